use super::*;
use recommender_model::Packed;
use wasmill_sdk::Format;
use wasmill_sdk::testing::{Harness, Input};

fn like(user: &str, item: &str) -> Input {
    Input::new(format!(r#"{{"user":"{user}","item":"{item}"}}"#)).key(user)
}

#[test]
fn a_new_like_is_told_by_item() {
    let mut plugin = Harness::<Recommend>::new("{}").unwrap();
    let run = plugin.run(&[
        like("u", "a"),
        like("u", "b"),
        // Not liked, and rated again.
        Input::new(r#"{"item":"c","rating":2.5}"#).key("u"),
        like("u", "a"),
        like("u", "d"),
    ]);
    let told: Vec<(String, String, String)> = run
        .outputs
        .iter()
        .map(|out| {
            let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
            (out.port.clone(), text(&out.key), text(&out.value))
        })
        .collect();
    let told: Vec<(&str, &str, &str)> = told
        .iter()
        .map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("likes", "a", ""),
            ("pairs", "a", r#"{"user":"u","with":[]}"#),
            ("likes", "b", ""),
            ("pairs", "a", r#"{"with":["b"]}"#),
            ("pairs", "b", r#"{"user":"u","with":["a"]}"#),
            ("likes", "d", ""),
            ("pairs", "b", r#"{"with":["d"]}"#),
            ("pairs", "a", r#"{"with":["d"]}"#),
            ("pairs", "d", r#"{"user":"u","with":["b","a"]}"#),
        ]
    );
    let history = &plugin.stored("history")[&b"u"[..]];
    assert_eq!(history, b"\x01a\x01\0\0\0\x01b\x01\0\0\0\x01c\0\0\0\0\x01d\x01\0\0\0");
    let run = plugin.run(&[
        Input::new(r#"{"item":""}"#).key("u"),
        Input::new("{}").key("u"),
        like("", "a"),
    ]);
    assert_eq!(run.codes(), ["bad-name", "bad-json", "bad-name"]);
}

#[test]
fn what_is_kept_and_told_has_caps() {
    let mut plugin = Harness::<Recommend>::new("{}").unwrap();
    let all: Vec<Input> = (0..HISTORY_MAX + 10).map(|i| like("u", &format!("i{i}"))).collect();
    let run = plugin.run(&all);
    let of_last = run.outputs.iter().filter(|out| out.parent == all.len() - 1).count();
    assert_eq!(of_last, PAIRED_MAX + 2);
    let history = Packed::read(&plugin.stored("history")[&b"u"[..]]).unwrap();
    assert_eq!((history.0.len(), history.0[0].0.as_str()), (HISTORY_MAX, "i10"));
}

fn packed(entries: &[(&str, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let list = List(
        entries
            .iter()
            .map(|(name, number)| ((*name).to_owned(), *number))
            .collect(),
    );
    Packed::write(&list, &mut bytes).unwrap();
    bytes
}

fn asked(plugin: &mut Harness<Recommend>, path: &str) -> (u16, String) {
    let answer = plugin.ask(path).unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

#[test]
fn models_answer() {
    let mut plugin = Harness::<Recommend>::new("{}").unwrap();
    plugin.run(&[
        like("u", "a"),
        like("u", "b"),
        like("v", "a"),
        like("v", "z"),
        like("w", "x"),
    ]);
    plugin.store_of("popularity", "top", "top", packed(&[("x", 9), ("a", 4), ("y", 2)]));
    for (item, likes) in [("a", 4_u64), ("b", 1), ("x", 9), ("y", 4)] {
        plugin.store_of("popularity", "likes", item, likes.to_le_bytes());
    }
    plugin.store_of(
        "cooccurrence",
        "neighbours",
        "a",
        packed(&[("x", 3), ("y", 2), ("b", 1)]),
    );
    plugin.store_of("cooccurrence", "audience", "a", packed(&[("u", 1), ("v", 1)]));
    let popular = r#"[{"item":"x","score":9.0},{"item":"y","score":2.0}]"#;
    for (path, model, items) in [
        ("recommendations/u?model=popularity", "popularity", popular),
        // Nothing is known of nobody.
        (
            "recommendations/nobody?n=1",
            "popularity",
            r#"[{"item":"x","score":9.0}]"#,
        ),
        // 3 / sqrt(4 * 9), 2 / sqrt(4 * 4).
        (
            "recommendations/u",
            "items",
            r#"[{"item":"x","score":0.5},{"item":"y","score":0.5}]"#,
        ),
        (
            "recommendations/u?model=items&n=1",
            "items",
            r#"[{"item":"x","score":0.5}]"#,
        ),
        // Nobody is like w.
        (
            "recommendations/w?model=users",
            "popularity",
            r#"[{"item":"a","score":4.0},{"item":"y","score":2.0}]"#,
        ),
    ] {
        let user = path.split(['/', '?']).nth(1).unwrap();
        let expected = format!(r#"{{"user":"{user}","model":"{model}","items":{items}}}"#);
        assert_eq!(asked(&mut plugin, path), (200, expected), "{path}");
    }
    let (status, text) = asked(&mut plugin, "recommendations/u?model=users");
    assert!(status == 200 && text.contains(r#""items":[{"item":"z","#), "{text}");
    for (path, status) in [
        ("recommendations/u?n=0", 400),
        ("recommendations/u?n=101", 400),
        ("recommendations/u?n=x", 400),
        ("recommendations/u?model=magic", 400),
        ("recommendations", 404),
        ("others/u", 404),
    ] {
        assert_eq!(asked(&mut plugin, path).0, status, "{path}");
    }
    assert!(Harness::<Recommend>::new(r#"{"popular":"x"}"#).is_err());
}
