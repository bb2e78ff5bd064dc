//! A plugin of a newer state version migrates what an older one has stored: at a reload, and at a start.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::path::Path;

use common::served::Served;
use common::{wasmill, write};
use serde_json::Value;

const TOML: &str = r#"
name = "seen"
partitions = 2
[sources.numbers]
type = "generator"
kind = "temperature"
rate = 500
count = COUNT
key = "/room"
[transforms.oracle]
inputs = ["numbers"]
type = "wasm"
plugin = "oracle.wasm"
CONFIG
[sinks.nothing]
inputs = ["oracle"]
type = "blackhole"
"#;

fn plugin(dir: &Path, name: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins/dist")
        .join(name);
    let component = std::fs::read(from).expect("`wasmill build` of plugins/misbehaving/oracle and .../migrating");
    write(&dir.join("oracle.wasm"), &component);
}

fn pipeline(dir: &Path, count: u32, config: &str) {
    let toml = TOML.replace("COUNT", &count.to_string()).replace("CONFIG", config);
    write(&dir.join("seen.toml"), toml.as_bytes());
}

fn start(dir: &Path) -> Served {
    Served::run(dir, &["seen.toml", "--no-watch", "--embedded=log"])
}

fn seen(process: &Served) -> (u16, String) {
    process.read("/v1/pipelines/seen/query/oracle/seen/room-1")
}

fn reload(dir: &Path, process: &Served) -> (Option<i32>, Value, String) {
    let api = format!("http://{}", process.api);
    let ran = wasmill(dir, &["reload", "seen", "--api", &api, "--json"]);
    (
        ran.code,
        serde_json::from_str(&ran.stdout).unwrap_or_default(),
        ran.stderr,
    )
}

#[test]
fn a_reload_migrates_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    plugin(dir, "oracle.wasm");
    pipeline(dir, 300, "");
    let process = start(dir);
    process.until("it comes to that", || seen(&process) == (200, "100".to_owned()));

    plugin(dir, "migrating.wasm");
    let (code, answer, error) = reload(dir, &process);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(answer["receipts"][0]["outcome"], "restarted", "{answer}");
    process.until("it comes to that", || {
        seen(&process) == (200, r#"{"count":100}"#.to_owned())
    });
    assert_eq!(process.json("/v1/pipelines/seen")["state"], "running");

    // And no way back.
    plugin(dir, "oracle.wasm");
    let (code, _, error) = reload(dir, &process);
    assert_eq!(code, Some(1));
    assert!(error.contains("E0721"), "{error}");
    assert_eq!(seen(&process).1, r#"{"count":100}"#);
}

#[test]
fn a_start_migrates_once_or_stands_still() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    plugin(dir, "oracle.wasm");
    pipeline(dir, 300, "");
    let process = start(dir);
    process.until("it comes to that", || seen(&process) == (200, "100".to_owned()));
    drop(process);

    // One that fails stands still, and has changed nothing.
    plugin(dir, "migrating.wasm");
    pipeline(dir, 600, "config = { refuse = true }");
    let process = start(dir);
    process.until("it comes to that", || {
        process.read("/v1/pipelines/seen").1.contains("E0713")
    });
    let failures = process.json("/v1/pipelines/seen")["failures"].to_string();
    assert!(
        failures.contains("not today") && failures.contains("from version 0 to 1"),
        "{failures}"
    );
    drop(process);

    pipeline(dir, 600, "");
    let process = start(dir);
    // What was there, and what came then.
    process.until("it comes to that", || {
        seen(&process) == (200, r#"{"count":200}"#.to_owned())
    });
    drop(process);
    // Killed, and started again: it is not migrated twice.
    let process = start(dir);
    process.until("it comes to that", || {
        seen(&process) == (200, r#"{"count":200}"#.to_owned())
    });
    drop(process);

    // The older one refuses what it cannot read.
    plugin(dir, "oracle.wasm");
    let process = start(dir);
    process.until("it comes to that", || {
        process.read("/v1/pipelines/seen").1.contains("E0713")
    });
    let failures = process.json("/v1/pipelines/seen")["failures"].to_string();
    assert!(failures.contains("has version 1"), "{failures}");
}
