//! A pipeline that is stopped, changed and started again.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod common;

use common::served::Served;
use common::{Ran, consumed, plugin, wasmill, write};

const COUNT: &str = r#"
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "word_count.wasm"
[sinks.counts]
inputs = ["count"]
type = "kafka"
topic = "counts"
"#;

/// Words are split; `rest` says what becomes of them.
fn words(head: &str, rest: &str) -> String {
    format!(
        r#"
name = "words"
create_topics = true
commit_interval_ms = 50
{head}
[sources.lines]
type = "file"
path = "lines.txt"
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "word_split.wasm"
{rest}
"#
    )
}

#[test]
fn a_start_with_another_plan_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["word_split", "word_count"] {
        write(&dir.join(format!("{name}.wasm")), &plugin(name));
    }
    write(&dir.join("lines.txt"), b"one two\ntwo\n");
    let run = |text: &str| -> Ran {
        write(&dir.join("words.toml"), text.as_bytes());
        wasmill(dir, &["run", "words.toml", "--embedded=log", "--until-end"])
    };
    let plain = "[sinks.words]\ninputs = [\"split\"]\ntype = \"kafka\"\ntopic = \"words-out\"\n";
    // A sink that is away has an internal topic of its own, with something left in it.
    let full = format!("{COUNT}[sinks.full]\ninputs = [\"count\", \"split\"]\ntype = \"file\"\npath = \"/dev/full\"\n");
    write(&dir.join("words.toml"), words("", &full).as_bytes());
    let process = Served::run(dir, &["words.toml", "--embedded=log"]);
    process.until("all is counted", || {
        process.json("/v1/pipelines")["pipelines"][0]["counters"]["records_written"] == 12
    });
    process.stop();

    let ran = run(&words("", COUNT));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("E0722") && ran.stderr.contains("words-full"),
        "{}",
        ran.stderr
    );

    let ran = run(&words("", plain));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("E0721") && ran.stderr.contains("`count`"),
        "{}",
        ran.stderr
    );

    // The plan that is in force still runs: the sink is somewhere else now, its topic is the same.
    let mended = full.replace("/dev/full", "rest.ndjson");
    let ran = run(&words("", &mended));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let rest = std::fs::read_to_string(dir.join("rest.ndjson")).unwrap();
    assert_eq!(rest.lines().count(), 6, "{rest}");

    // Nothing is left now, so the sink may go.
    let ran = run(&words("", COUNT));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(consumed(dir, "counts").lines().count(), 3);

    let ran = run(&words("on_state_change = \"reset\"", plain));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(consumed(dir, "words-out").lines().count(), 3, "it begins anew");
    let ran = run(&words("", COUNT));
    assert_eq!(ran.code, Some(0), "what was reset is not in the way: {}", ran.stderr);
}
