//! Records that failed are looked at, put back once what failed is mended, or discarded.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use common::served::Served;
use common::{consumed, plugin, wasmill, write};
use serde_json::{Value, json};

const ENRICH: &str = r#"
name = "lines"
partitions = 1
[sources.lines]
type = "file"
path = "lines.txt"
format = "lines"
[transforms.pass]
inputs = ["lines"]
type = "wasm"
plugin = "enrich.wasm"
on_error = "dead_letter"
[sinks.out]
inputs = ["pass"]
type = "kafka"
topic = "out"
"#;

fn letters(process: &Served, params: &str) -> Value {
    process.json(&format!("/v1/pipelines/lines/dead-letters{params}"))
}

fn states(process: &Served) -> Vec<String> {
    let all = letters(process, "?limit=1000");
    let states = all["dead_letters"].as_array().unwrap().iter();
    states
        .map(|one| format!("{} {}", one["value"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect()
}

/// What a plugin has refused arrives when the plugin is another one, and is put back; what nobody wants stays away.
#[test]
fn letters_are_put_back_when_what_has_failed_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["enrich", "word_split"] {
        write(&dir.join(format!("{name}.wasm")), &plugin(name));
    }
    write(&dir.join("lines.txt"), b"{}\nbad one\n{}\nbad two\nbad three\n{}\n");
    write(&dir.join("lines.toml"), ENRICH.as_bytes());
    let process = Served::run(dir, &["lines.toml", "--embedded=log", "--no-watch"]);
    process.until_ready();
    process.until("all letters are there", || states(&process).len() == 3);

    // The newest first, in pages, each with what has failed.
    assert_eq!(states(&process), ["bad three open", "bad two open", "bad one open"]);
    let first = letters(&process, "?limit=2");
    assert_eq!(first["dead_letters"].as_array().unwrap().len(), 2);
    let second = letters(
        &process,
        &format!("?limit=2&before={}", first["next"].as_str().unwrap()),
    );
    assert_eq!(second["dead_letters"][0]["value"], "bad one");
    assert_eq!(second["next"], Value::Null);
    let one = &second["dead_letters"][0];
    assert_eq!((&one["node"], &one["plugin"]), (&"pass".into(), &"enrich@0.1.0".into()));
    assert_eq!(one["input"]["topic"], "lines-lines");
    assert!(!one["code"].as_str().unwrap().is_empty() && !one["message"].as_str().unwrap().is_empty());
    let place = format!("{}/{}", one["partition"], one["offset"]);
    assert_eq!(&process.json(&format!("/v1/pipelines/lines/dead-letters/{place}")), one);
    let name = format!("{}:{}", one["partition"], one["offset"]);

    // Mistakes.
    let replay = "/v1/pipelines/lines/dead-letters/replay";
    for (body, expected) in [
        ("{}", 400),
        ("{", 400),
        ("7", 422),
        (r#"{"all":true,"letters":[{"partition":0,"offset":1}]}"#, 400),
    ] {
        let (status, answer) = process.send("POST", replay, "", body);
        assert_eq!(status, expected, "{body}: {answer}");
        let problem: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(problem["status"], expected);
    }
    assert_eq!(process.ask("GET", "/v1/pipelines/lines/dead-letters/0/999", "").0, 404);
    assert_eq!(
        process.ask("GET", "/v1/pipelines/lines/dead-letters?limit=0", "").0,
        400
    );
    assert_eq!(
        process.ask("GET", "/v1/pipelines/lines/dead-letters?before=x", "").0,
        400
    );

    // Put back while nothing is mended, it fails again: as another letter.
    let ran = process.wasmill(dir, &["dlq", "replay", &name]);
    assert_eq!(
        (ran.code, ran.stdout.trim()),
        (Some(0), "1 letters were put back"),
        "{}",
        ran.stderr
    );
    process.until("it has failed again", || states(&process).len() == 4);
    assert_eq!(
        states(&process),
        ["bad one open", "bad three open", "bad two open", "bad one replayed"]
    );

    let ran = process.wasmill(dir, &["dlq", "list"]);
    assert!(
        ran.stdout.contains("bad two") && ran.stdout.contains("enrich"),
        "{}",
        ran.stdout
    );
    let ran = process.wasmill(dir, &["dlq", "show", &name]);
    assert!(ran.stdout.contains("lines-lines:"), "{}", ran.stdout);
    let two = letters(&process, "?limit=10");
    let two = &two["dead_letters"][2];
    let chosen = json!({ "letters": [{ "partition": two["partition"], "offset": two["offset"] }, { "partition": 0, "offset": 999 }] });
    let (status, answer) = process.send(
        "POST",
        "/v1/pipelines/lines/dead-letters/discard",
        "",
        &chosen.to_string(),
    );
    assert!(
        status == 200 && answer.contains("\"done\":1") && answer.contains("999 is not in"),
        "{answer}"
    );

    // With another plugin they arrive.
    write(
        &dir.join("lines.toml"),
        ENRICH.replace("enrich.wasm", "word_split.wasm").as_bytes(),
    );
    let ran = process.wasmill(dir, &["reload"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    process.until_ready();
    let ran = process.wasmill(dir, &["dlq", "replay", "--all", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap()["done"], 2);
    process.until("they have gone through", || {
        process.json("/v1/pipelines/lines")["counters"]["records_written"] == 4
    });
    assert_eq!(
        states(&process),
        [
            "bad one replayed",
            "bad three replayed",
            "bad two discarded",
            "bad one replayed"
        ]
    );
    process.stop();
    let out = consumed(dir, "out");
    let words: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["value"].clone())
        .collect();
    let count = |word: &str| words.iter().filter(|one| **one == word).count();
    assert_eq!(
        (count("bad"), count("one"), count("three"), count("two")),
        (2, 1, 1, 0),
        "{out}"
    );
}

/// A letter of a task behind a repartition topic goes back there: it knows its input and its origin.
#[test]
fn letters_of_repartitioned_records_go_back_to_their_task() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["poison", "word_split"] {
        write(&dir.join(format!("{name}.wasm")), &plugin(name));
    }
    write(&dir.join("lines.txt"), b"good bad good\n");
    let toml = r#"
name = "lines"
partitions = 1
[sources.lines]
type = "file"
path = "lines.txt"
format = "lines"
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "word_split.wasm"
[transforms.pass]
inputs = ["split"]
type = "wasm"
plugin = "poison.wasm"
on_error = "dead_letter"
[sinks.out]
inputs = ["pass"]
type = "kafka"
topic = "out"
"#;
    write(&dir.join("lines.toml"), toml.as_bytes());
    let process = Served::run(dir, &["lines.toml", "--embedded=log", "--no-watch"]);
    process.until_ready();
    process.until("the letter is there", || states(&process).len() == 1);
    let before = letters(&process, "");
    let before = &before["dead_letters"][0];
    assert_eq!(
        (&before["node"], &before["origin"]["topic"]),
        (&"pass".into(), &"lines-lines".into())
    );
    let ran = process.wasmill(dir, &["dlq", "replay", "--all"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    process.until("it has failed again", || states(&process).len() == 2);
    let after = letters(&process, "");
    let after = &after["dead_letters"][0];
    assert_eq!(
        (&after["value"], &after["key"], &after["timestamp"]),
        (&before["value"], &before["key"], &before["timestamp"])
    );
    assert_eq!(
        after["origin"], before["origin"],
        "what has caused it in the end is known"
    );
    assert_eq!(after["input"]["topic"], before["input"]["topic"]);
    assert_eq!(after["input"]["partition"], before["input"]["partition"]);
    let ran = wasmill(dir, &["dlq", "list", "--api", "http://127.0.0.1:1"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("does not answer"), "{}", ran.stderr);
    process.stop();
}
