//! Plugins that trap, loop, bomb and flood, in whole runs on the embedded log: the guilty record goes
//! by policy, all others arrive exactly once, and the process lives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;

use common::command;
use serde_json::Value;

/// A record; what it says is looked for in its value.
fn record(n: usize, says: &str) -> String {
    format!(r#"{{"k":"k{}","v":"{says} {n}"}}"#, n % 10)
}

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins")
        .canonicalize()
        .unwrap()
}

/// Runs a pipeline of `poison` over these values, with these lines of its transform.
fn run(dir: &Path, values: &[String], transform: &str) -> Output {
    let out = dir.join("plugins");
    plugin::build(&plugin::BuildOptions {
        dir: plugins().join("misbehaving/poison"),
        out: Some(out),
        debug: false,
    })
    .unwrap();
    std::fs::write(dir.join("in.txt"), values.join("\n") + "\n").unwrap();
    let text = format!(
        r#"
name = "misbehaving"
partitions = 1
[sources.lines]
type = "file"
path = "in.txt"
key = "/k"
[transforms.pass]
inputs = ["lines"]
type = "wasm"
plugin = "plugins/poison.wasm"
{transform}
[sinks.out]
inputs = ["pass"]
type = "file"
path = "out.txt"
"#
    );
    std::fs::write(dir.join("p.toml"), text).unwrap();
    command(dir, &["run", "p.toml", "--embedded", "--until-end", "--json"])
        .output()
        .unwrap()
}

fn summary(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find(|line| line.contains("\"records_in\""));
    let line = line.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(line).unwrap()
}

fn values(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("out.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn every_kind_of_misbehaviour_costs_its_own_record_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut input: Vec<String> = (0..2_000).map(|i| record(i, "fine")).collect();
    let guilty = [
        "poison", "loop", "memory", "flood", "million", "recurse", "calls", "bad",
    ];
    for (n, kind) in guilty.iter().enumerate() {
        input[200 * n + 77] = record(200 * n + 77, kind);
    }
    let limits = "on_error = \"dead_letter\"\nlimits = { call_time_ms = 100, time_ms = 1, memory_mib = 64 }";
    let output = run(dir.path(), &input, limits);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: Vec<String> = input.iter().filter(|value| value.contains("fine")).cloned().collect();
    assert_eq!(values(dir.path()), expected);
    let summary = summary(&output);
    assert_eq!(summary["dead_letters"], guilty.len());
    let used = &summary["transforms"][0];
    assert_eq!(used["transform"], "pass");
    // Each ends the call in which it runs alone, and the first of a batch the call of all.
    for (kind, least) in [("traps", 2), ("timed_out", 2), ("limit_exceeded", 3)] {
        assert!(used[kind].as_u64().unwrap() >= least, "{used}");
    }
    assert!(used["memory_peak_bytes"].as_u64().unwrap() <= 64 << 20, "{used}");
    assert!(used["recycled"].as_u64().unwrap() > 7, "{used}");
}

#[test]
fn skipped_records_are_counted_and_the_others_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let input: Vec<String> = (0..600)
        .map(|i| record(i, if i == 300 { "poison" } else { "fine" }))
        .collect();
    let output = run(dir.path(), &input, "on_error = \"skip\"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: Vec<String> = input.iter().filter(|value| value.contains("fine")).cloned().collect();
    assert_eq!(values(dir.path()), expected);
    assert_eq!(summary(&output)["skipped"], 1);
}

#[test]
fn the_record_that_stops_a_run_is_named_and_what_came_before_it_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let input: Vec<String> = (0..600)
        .map(|i| record(i, if i == 300 { "recurse" } else { "fine" }))
        .collect();
    let output = run(dir.path(), &input, "on_error = \"fail\"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("0:300") && said.contains("stack"), "{said}");
    assert_eq!(values(dir.path()), input[..300]);
}
