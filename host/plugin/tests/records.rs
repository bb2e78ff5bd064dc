//! docs/records.md: what each shipped plugin makes of every kind of record.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::Runner;
use record::Batch;

const MEGABYTE: usize = 1 << 20;
const KINDS: [&str; 6] = ["null", "empty", "large", "invalid", "no key", "headers"];

type Bytes = Vec<u8>;

/// What becomes of a record.
enum Out {
    /// Key and value of each record that leaves.
    Leaves(Vec<(Option<Bytes>, Option<Bytes>)>),
    /// The code of its failure.
    Fails(&'static str),
}

/// A record by its kind, which is its key too (`no key` has none), and what becomes of it.
type Row = (&'static str, Option<Bytes>, Out);

fn some(bytes: impl AsRef<[u8]>) -> Option<Bytes> {
    Some(bytes.as_ref().to_vec())
}

/// One record leaves, with the key that it came with.
fn leaves(key: &str, value: Option<Bytes>) -> Out {
    Out::Leaves(vec![(some(key), value)])
}

/// These words leave, each as key and value.
fn words(words: &[&str]) -> Out {
    Out::Leaves(words.iter().map(|word| (some(word), some(word))).collect())
}

/// A hundred headers: names that repeat, values that are null, empty, and no UTF-8.
fn many_headers() -> Vec<(String, Option<Bytes>)> {
    let value = |i: usize| match i % 10 {
        0 => None,
        1 => some(""),
        _ => some(format!("v{i}")),
    };
    let mut headers: Vec<_> = (0..99).map(|i| (format!("h{}", i % 50), value(i))).collect();
    headers.push(("binary".to_owned(), some([0xff, 0xfe])));
    headers
}

/// The start of a value, for messages of failed assertions.
fn brief(bytes: Option<&[u8]>) -> String {
    bytes.map_or("null".to_owned(), |bytes| {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
        format!("{start:?} ({} bytes)", bytes.len())
    })
}

/// Runs all rows as one batch, so that one that fails would show if it touched another.
fn check(dir: &str, config: &str, rows: &[Row]) {
    let mut input = Batch::new(Arc::from("in"), 3);
    for (i, (kind, value, _)) in rows.iter().enumerate() {
        let key = (*kind != "no key").then_some(kind.as_bytes());
        input.push(key, value.as_deref(), 1_000 + i as i64);
        input.offsets.push(100 + i as i64);
        if *kind == "headers" {
            for (name, value) in many_headers() {
                input.headers.push(name.as_bytes(), value.as_deref());
            }
            input.headers.close(i);
        }
    }
    input.headers.finish(rows.len());
    let mut runner = Runner::new(dir, config);
    let emitted = runner.run(&mut input).unwrap();
    let mut out = Batch::new(Arc::from("out"), 3);
    out.extend_from_port(&emitted, 0, &input);
    assert_eq!(out.len(), emitted.count as usize, "{dir} has one port");

    for (i, (kind, _, expected)) in rows.iter().enumerate() {
        let failure = emitted.failures.iter().find(|failure| failure.index as usize == i);
        let code = failure.map(|failure| failure.code.as_str());
        let leaving: Vec<usize> = (0..out.len()).filter(|at| out.root(*at) == i).collect();
        match expected {
            Out::Fails(expected) => assert_eq!((code, leaving.len()), (Some(*expected), 0), "{dir}, {kind}"),
            Out::Leaves(expected) => {
                assert_eq!((code, leaving.len()), (None, expected.len()), "{dir}, {kind}");
                for (at, (key, value)) in leaving.iter().zip(expected) {
                    let found = (out.keys.get(*at), out.values.get(*at));
                    assert!(
                        found == (key.as_deref(), value.as_deref()),
                        "{dir}, {kind}: {}: {}",
                        brief(found.0),
                        brief(found.1)
                    );
                    assert_eq!(out.timestamps[*at], input.timestamps[i], "{dir}, {kind}");
                    assert!(out.headers.of(*at).eq(input.headers.of(i)), "{dir}, {kind}");
                }
            }
        }
        // One that failed has left nothing in the store either.
        if let (Some(state), Some(key)) = (&mut runner.state.0, input.keys.get(i)) {
            assert_eq!(state.get(0, key).unwrap().is_some(), code.is_none(), "{dir}, {kind}");
        }
    }
}

/// As [`check`], and every kind is among the rows.
fn check_every_kind(dir: &str, config: &str, rows: &[Row]) {
    for kind in KINDS {
        assert!(rows.iter().any(|(row, _, _)| *row == kind), "{dir} is not given {kind}");
    }
    check(dir, config, rows);
}

#[test]
fn word_split_and_every_kind_of_record() {
    let word = "W".repeat(MEGABYTE);
    let rows = [
        ("null", None, words(&[])),
        ("empty", some(""), words(&[])),
        ("large", some("A ".repeat(MEGABYTE / 2)), words(&["a"; MEGABYTE / 2])),
        ("one word", some(&word), words(&[&word.to_lowercase()])),
        ("invalid", some(b"a \xff b"), Out::Fails("bad-utf8")),
        ("no key", some("One two"), words(&["one", "two"])),
        ("headers", some("One two"), words(&["one", "two"])),
    ];
    check_every_kind("word_split", "{}", &rows);
}

#[test]
fn word_split_with_a_field_and_every_kind_of_record() {
    let word = "w".repeat(MEGABYTE);
    let rows = [
        ("null", None, words(&[])),
        ("empty", some(""), Out::Fails("bad-json")),
        ("large", some(format!(r#"{{"text":"{word}"}}"#)), words(&[&word])),
        ("invalid", some(b"{\"text\":\"\xff\"}"), Out::Fails("bad-json")),
        (
            "invalid elsewhere",
            some(b"{\"text\":\"a\",\"b\":\"\xff\"}"),
            Out::Fails("bad-json"),
        ),
        ("no key", some(r#"{"text":"One two"}"#), words(&["one", "two"])),
        ("headers", some(r#"{"text":"One two"}"#), words(&["one", "two"])),
    ];
    check_every_kind("word_split", r#"{"field":"text"}"#, &rows);
}

#[test]
fn word_count_and_every_kind_of_record() {
    let counted = |word: &str| leaves(word, some(format!(r#"{{"word":"{word}","count":1}}"#)));
    let rows = [
        ("null", None, counted("null")),
        ("empty", some(""), counted("empty")),
        ("large", some("x".repeat(MEGABYTE)), counted("large")),
        ("invalid", some([0xff, 0xfe]), counted("invalid")),
        ("no key", some("v"), Out::Fails("no-key")),
        ("headers", some("v"), counted("headers")),
    ];
    check_every_kind("word_count", "{}", &rows);
}

#[test]
fn temperature_and_every_kind_of_record() {
    let reading = |room: &[u8], more: &[u8]| {
        let parts = [
            &b"{\"room\":\""[..],
            room,
            b"\",\"temp\":20.5,\"ts\":7,\"more\":\"",
            more,
            b"\"}",
        ];
        some(parts.concat())
    };
    let change = |room: &str| {
        let text = format!(r#"{{"room":"{room}","temp":20.5,"delta":null,"avg":20.5,"count":1,"ts":7}}"#);
        leaves(room, some(text))
    };
    let rows = [
        ("null", None, Out::Fails("no-value")),
        ("empty", some(""), Out::Fails("bad-json")),
        ("large", reading(b"large", &vec![b'x'; MEGABYTE]), change("large")),
        ("invalid", reading(b"\xff", b""), Out::Fails("bad-json")),
        (
            "invalid elsewhere",
            reading(b"invalid elsewhere", b"\xff"),
            change("invalid elsewhere"),
        ),
        ("no key", reading(b"no key", b""), Out::Fails("no-key")),
        ("headers", reading(b"headers", b""), change("headers")),
    ];
    check_every_kind("temperature", "{}", &rows);
}

#[test]
fn enrich_and_every_kind_of_record() {
    let config = r#"{"fields":{"site":"x"},"headers":{"agent":"H7","empty":"h1","none":"h10"}}"#;
    let text = "x".repeat(MEGABYTE);
    let rows = [
        ("null", None, leaves("null", None)),
        ("empty", some(""), Out::Fails("bad-json")),
        (
            "large",
            some(format!(r#"{{"text":"{text}"}}"#)),
            leaves("large", some(format!(r#"{{"text":"{text}","site":"x"}}"#))),
        ),
        ("invalid", some(b"{\"a\":\"\xff\"}"), Out::Fails("bad-json")),
        (
            "no key",
            some(r#"{"a":1}"#),
            Out::Leaves(vec![(None, some(r#"{"a":1,"site":"x"}"#))]),
        ),
        (
            "headers",
            some(r#"{"a":1}"#),
            leaves(
                "headers",
                some(r#"{"a":1,"site":"x","agent":"v57","empty":"","none":null}"#),
            ),
        ),
    ];
    check_every_kind("enrich", config, &rows);
    let asked = [
        ("headers", some("{}"), Out::Fails("bad-utf8")),
        ("null", None, leaves("null", None)),
    ];
    check("enrich", r#"{"headers":{"b":"binary"}}"#, &asked);
}

#[test]
fn label_and_every_kind_of_record() {
    let text = "x".repeat(MEGABYTE);
    let rows = [
        ("null", None, leaves("null", None)),
        ("empty", some(""), leaves("empty", some("empty: "))),
        ("large", some(&text), leaves("large", some(format!("large: {text}")))),
        (
            "invalid",
            some([0xff, 0xfe]),
            leaves("invalid", some(b"invalid: \xff\xfe")),
        ),
        ("no key", some("v"), Out::Fails("no-key")),
        ("headers", some("v"), leaves("headers", some("headers: v"))),
    ];
    check_every_kind("label", "{}", &rows);
}
