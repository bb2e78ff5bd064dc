//! Pipelines without plugins on the embedded log: validate, graph, run, reset, doctor as a user
//! has them. Plugins and real services have tests of their own.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Ran, command, wasmill};
use serde_json::Value;
use tempfile::TempDir;

const COPY: &str = r#"
name = "copy"
create_topics = true

[sources.lines]
type = "file"
path = "lines.txt"

[sinks.copied]
inputs = ["lines"]
type = "kafka"
topic = "copied"

[sinks.written]
inputs = ["lines"]
type = "file"
path = "written.txt"
"#;

/// A directory with the pipeline `copy` and a hundred lines for it.
fn copy() -> TempDir {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::write(dir.path().join("copy.toml"), COPY).expect("write");
    std::fs::write(dir.path().join("lines.txt"), lines()).expect("write");
    dir
}

fn lines() -> String {
    (0..100).map(|i| format!("line {i}\n")).collect()
}

/// In the order of the numbers: the lines go to four partitions.
fn sorted(text: &str) -> String {
    let number = |line: &&str| line.rsplit(' ').next().and_then(|n| n.parse::<u32>().ok());
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_by_key(number);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn run_to_end(dir: &Path, more: &[&str]) -> Ran {
    let mut args = vec!["run", "copy.toml", "--embedded=log", "--until-end"];
    args.extend(more);
    wasmill(dir, &args)
}

fn copied(dir: &Path) -> String {
    let ran = wasmill(
        dir,
        &["consume", "copied", "--embedded=log", "--from-beginning", "--until-end"],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    sorted(&ran.stdout)
}

/// Hides what differs from run to run.
fn stable(text: &str, dir: &Path) -> String {
    let text = text.replace(&dir.display().to_string(), "DIR");
    let mut out = String::new();
    for word in text.split_inclusive([' ', '\n', ')', '"']) {
        let core = word.trim_end_matches([' ', '\n', ')', '"']);
        let is_hash = core.len() >= 16 && core.bytes().all(|b| b.is_ascii_hexdigit());
        out.push_str(&if is_hash {
            word.replace(core, "HASH")
        } else {
            word.to_owned()
        });
    }
    out
}

#[test]
fn validate_shows_the_topics() {
    let dir = copy();
    let ran = wasmill(dir.path(), &["validate", "copy.toml", "--embedded"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    insta::assert_snapshot!(stable(&ran.golden(), dir.path()));
}

#[test]
fn validate_as_json() {
    let dir = copy();
    let ran = wasmill(dir.path(), &["validate", "copy.toml", "--embedded", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let value: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(value["valid"], true);
    assert_eq!(value["pipeline"], "copy");
    assert!(
        value["topics"]
            .as_array()
            .is_some_and(|topics| topics.iter().any(|t| t["name"] == "copied"))
    );
}

#[test]
fn several_mistakes_are_shown_at_once_with_exit_code_2() {
    let dir = copy();
    let broken = COPY
        .replace("path = \"lines.txt\"", "pth = \"lines.txt\"")
        .replace("[\"lines\"]", "[\"lnes\"]");
    std::fs::write(dir.path().join("broken.toml"), broken).expect("write");
    let ran = wasmill(dir.path(), &["validate", "broken.toml", "copy.toml", "--embedded"]);
    assert_eq!(ran.code, Some(2));
    insta::assert_snapshot!(stable(&ran.golden(), dir.path()));
    let ran = wasmill(dir.path(), &["run", "broken.toml", "--embedded"]);
    assert_eq!(ran.code, Some(2));
    let ran = wasmill(dir.path(), &["validate", "broken.toml", "--embedded", "--json"]);
    assert_eq!(ran.code, Some(2));
    let value: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(value["valid"], false);
    assert!(
        value["diagnostics"].as_array().is_some_and(|list| list.len() >= 3),
        "{value}"
    );
}

#[test]
fn a_file_that_is_missing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let ran = wasmill(dir.path(), &["validate", "nowhere.toml"]);
    assert_eq!(ran.code, Some(2));
    insta::assert_snapshot!(ran.golden());
}

#[test]
fn every_format_of_a_graph_names_the_nodes() {
    let dir = copy();
    for format in ["text", "mermaid", "dot", "json"] {
        let ran = wasmill(dir.path(), &["graph", "copy.toml", "--embedded", "--format", format]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for name in ["lines", "copied", "written"] {
            assert!(ran.stdout.contains(name), "{format}: {}", ran.stdout);
        }
    }
    let ran = wasmill(dir.path(), &["graph", "copy.toml", "--embedded", "--json"]);
    serde_json::from_str::<Value>(&ran.stdout).expect("JSON");
}

#[test]
fn the_schema_is_json() {
    let dir = tempfile::tempdir().expect("tempdir");
    let ran = wasmill(dir.path(), &["schema"]);
    assert_eq!(ran.code, Some(0));
    let schema: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert!(schema.pointer("/properties/sources").is_some());
}

#[test]
fn a_bounded_run_goes_on_where_it_stopped_until_it_is_reset() {
    let dir = copy();
    let ran = run_to_end(dir.path(), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(copied(dir.path()), lines());
    let written = std::fs::read_to_string(dir.path().join("written.txt")).expect("written");
    assert_eq!(sorted(&written), lines());

    let ran = run_to_end(dir.path(), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(copied(dir.path()), lines(), "nothing is read twice");

    let ran = run_to_end(dir.path(), &["--from", "earliest"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("wasmill reset copy.toml"), "{}", ran.stderr);

    let dry = wasmill(dir.path(), &["reset", "copy.toml", "--embedded=log"]);
    insta::assert_snapshot!(stable(&dry.golden(), dir.path()));
    assert_eq!(run_to_end(dir.path(), &[]).code, Some(0));
    assert_eq!(copied(dir.path()), lines(), "a dry run changes nothing");

    let done = wasmill(dir.path(), &["reset", "copy.toml", "--embedded=log", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let ran = run_to_end(dir.path(), &["--from", "earliest"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let twice: String = lines().lines().map(|line| format!("{line}\n{line}\n")).collect();
    assert_eq!(copied(dir.path()), twice, "the user's own topic is kept");
}

#[test]
fn a_reset_that_was_not_finished_keeps_the_pipeline_from_starting() {
    let dir = copy();
    assert_eq!(run_to_end(dir.path(), &[]).code, Some(0));
    let record = br#"{"key":"incarnation","value":{"number":1,"finished":false}}"#;
    let ran = common::wasmill_with_input(
        dir.path(),
        &[
            "produce",
            "copy-control",
            "--embedded=log",
            "--create-topic",
            "1",
            "--format",
            "records",
        ],
        record,
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run_to_end(dir.path(), &[]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("E0804"), "{}", ran.stderr);
    let ran = wasmill(dir.path(), &["doctor", "copy.toml", "--embedded=log"]);
    assert_eq!(ran.code, Some(1));
    let ran = wasmill(dir.path(), &["reset", "copy.toml", "--embedded=log", "--yes"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(run_to_end(dir.path(), &[]).code, Some(0));
}

/// Documents of which number 700 is not UTF-8: neither in the first read of the source nor where one begins.
fn documents_with_a_bad_one(on_undecodable: &str) -> TempDir {
    let dir = copy();
    let policy = format!("path = \"lines.txt\"\nformat = \"ndjson\"\non_undecodable = \"{on_undecodable}\"");
    let file = COPY.replace("path = \"lines.txt\"", &policy);
    std::fs::write(dir.path().join("copy.toml"), file).expect("write");
    let documents = (0..1_000).flat_map(|n| match n {
        700 => b"{\"n\":\"\xff\"}\n".to_vec(),
        _ => format!("{{\"n\":{n}}}\n").into_bytes(),
    });
    std::fs::write(dir.path().join("lines.txt"), documents.collect::<Vec<u8>>()).expect("write");
    dir
}

/// A topic's records as `consume --json` shows them.
fn records(dir: &Path, topic: &str) -> Vec<Value> {
    let args = ["consume", topic, "--embedded=log", "--from-beginning", "--until-end"];
    let ran = wasmill(dir, &[&args[..], &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// The numbers of the documents in a topic, in order.
fn numbers(dir: &Path, topic: &str) -> Vec<i64> {
    let document = |record: Value| serde_json::from_str::<Value>(record["value"].as_str()?).ok();
    let documents = records(dir, topic).into_iter().filter_map(document);
    let mut numbers: Vec<i64> = documents.filter_map(|document| document["n"].as_i64()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn input_that_does_not_parse_stops_its_source_and_nothing_around_it_is_lost() {
    let dir = documents_with_a_bad_one("fail");
    for _ in 0..2 {
        let ran = run_to_end(dir.path(), &["--json"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let value: Value = serde_json::from_str(&ran.stdout).expect("one line of JSON");
        let message = value["failures"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains("the file of source `lines`, line 701"), "{value}");
        // What stands before it is in the source's topic. The run ended without waiting for the rest.
        assert!(numbers(dir.path(), "copy-lines").into_iter().eq(0..700));
    }
    let path = dir.path().join("lines.txt");
    let text = String::from_utf8_lossy(&std::fs::read(&path).expect("read")).replace("\"\u{fffd}\"", "700");
    std::fs::write(&path, text).expect("write");
    let ran = run_to_end(dir.path(), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        numbers(dir.path(), "copied").into_iter().eq(0..1_000),
        "mended, it goes on there"
    );
}

#[test]
fn input_that_does_not_parse_is_skipped_or_goes_to_the_dead_letters() {
    for policy in ["skip", "dead_letter"] {
        let dir = documents_with_a_bad_one(policy);
        let ran = run_to_end(dir.path(), &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let others = (0..1_000).filter(|n| *n != 700);
        assert!(numbers(dir.path(), "copied").into_iter().eq(others), "{policy}");
        if policy == "skip" {
            continue;
        }
        let letters = records(dir.path(), "copy-dead-letters");
        assert_eq!(letters.len(), 1);
        let letter = &letters[0];
        // The line as it stands in the file, its end included.
        assert_eq!(letter["value"], serde_json::json!({"base64": "eyJuIjoi/yJ9Cg=="}));
        assert_eq!(letter["key"], Value::Null);
        let headers = letter["headers"].as_array().expect("headers");
        assert!(
            headers.contains(&serde_json::json!(["wasmill-error-code", "undecodable"])),
            "{letter}"
        );
    }
}

#[test]
fn a_key_out_of_the_lines_of_a_file() {
    let dir = copy();
    let policy = "path = \"lines.txt\"\nkey = \"/n\"\non_undecodable = \"dead_letter\"";
    let file = COPY.replace("path = \"lines.txt\"", policy);
    std::fs::write(dir.path().join("copy.toml"), file).expect("write");
    let bad = ["", "no JSON", r#"{"m":1}"#, r#"{"n":null}"#];
    let lines = [&bad[..], &[r#"{"n":7}"#, r#"{"n":"a"}"#]].concat().join("\n") + "\n";
    std::fs::write(dir.path().join("lines.txt"), lines).expect("write");
    let ran = run_to_end(dir.path(), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut keys: Vec<Value> = records(dir.path(), "copied")
        .into_iter()
        .map(|record| record["key"].clone())
        .collect();
    keys.sort_by_key(Value::to_string);
    assert_eq!(keys, ["7", "a"]);
    let values: Vec<Value> = records(dir.path(), "copy-dead-letters")
        .into_iter()
        .map(|letter| letter["value"].clone())
        .collect();
    assert_eq!(values, bad);
}

#[test]
fn a_summary_for_scripts() {
    let dir = copy();
    let ran = run_to_end(dir.path(), &["--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let value: Value = serde_json::from_str(&ran.stdout).expect("one line of JSON");
    assert_eq!(value["pipeline"], "copy");
    assert_eq!(value["ingested"], 100);
    assert_eq!(value["delivered"], 100);
    assert_eq!(value["failures"], serde_json::json!([]));
    for line in ran.stderr.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
}

#[test]
fn two_pipelines_in_one_process() {
    let dir = copy();
    let other = r#"
name = "again"
[sources.copied]
type = "kafka"
topics = ["copied"]
[sinks.out]
inputs = ["copied"]
type = "kafka"
topic = "twice"
"#;
    std::fs::write(dir.path().join("again.toml"), other).expect("write");
    assert_eq!(run_to_end(dir.path(), &[]).code, Some(0));
    let ran = wasmill(
        dir.path(),
        &["run", "copy.toml", "again.toml", "--embedded=log", "--until-end"],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = wasmill(
        dir.path(),
        &["consume", "twice", "--embedded=log", "--from-beginning", "--until-end"],
    );
    assert_eq!(sorted(&ran.stdout), lines());
}

#[test]
fn two_pipelines_of_one_name_are_refused() {
    let dir = copy();
    std::fs::write(dir.path().join("other.toml"), COPY).expect("write");
    let ran = wasmill(dir.path(), &["run", "copy.toml", "other.toml", "--embedded"]);
    assert_eq!(ran.code, Some(2));
    insta::assert_snapshot!(ran.golden());
}

#[test]
fn a_record_to_skip_must_be_one_that_is_read() {
    let dir = copy();
    let ran = wasmill(dir.path(), &["run", "copy.toml", "--embedded", "--skip", "lines:0:7"]);
    assert_eq!(ran.code, Some(2));
    insta::assert_snapshot!(ran.golden());
}

#[test]
fn sigterm_ends_a_run_cleanly_and_nothing_is_lost() {
    let dir = copy();
    let mut process = command(dir.path(), &["run", "copy.toml", "--embedded=log"]).start(drop);
    let written = dir.path().join("written.txt");
    let deadline = Instant::now() + Duration::from_secs(30);
    while sorted(&std::fs::read_to_string(&written).unwrap_or_default()) != lines() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    process.signal("-TERM");
    let status = process.wait(Duration::from_secs(60)).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert_eq!(run_to_end(dir.path(), &[]).code, Some(0));
    assert_eq!(copied(dir.path()), lines());
}

#[test]
fn doctor_finds_what_is_there() {
    let dir = copy();
    let before = wasmill(dir.path(), &["doctor", "copy.toml", "--embedded=log", "--json"]);
    assert_eq!(before.code, Some(0), "{before:?}");
    let value: Value = serde_json::from_str(&before.stdout).expect("JSON");
    assert_eq!(value["failed"], 0);
    assert_eq!(run_to_end(dir.path(), &[]).code, Some(0));
    let after = wasmill(dir.path(), &["doctor", "copy.toml", "--embedded=log"]);
    assert_eq!(after.code, Some(0), "{after:?}");
    assert!(after.stdout.contains("0 offsets behind"), "{}", after.stdout);
}

#[test]
fn doctor_names_a_topic_that_is_missing() {
    let dir = copy();
    let file = COPY.replace("create_topics = true", "").replace(
        "type = \"file\"\npath = \"lines.txt\"",
        "type = \"kafka\"\ntopics = [\"lines\"]",
    );
    std::fs::write(
        dir.path().join("real.toml"),
        format!("{file}\n[kafka]\nbrokers = \"127.0.0.1:1\"\n"),
    )
    .expect("write");
    let ran = wasmill(dir.path(), &["doctor", "real.toml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("FAILED"), "{}", ran.stdout);
    assert!(ran.stderr.contains("E0808"), "{}", ran.stderr);
}
