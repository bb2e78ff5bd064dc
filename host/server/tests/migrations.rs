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
use common::{is_built, plugin, wasmill, write};
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

/// Puts a plugin where the pipeline has it.
fn install(dir: &Path, name: &str) {
    write(&dir.join("oracle.wasm"), &plugin(name));
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

/// The numbers of the oracle become objects, by a plugin that was written in whatever language.
fn reload_migrates(migrating: &str) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    install(dir, "oracle");
    pipeline(dir, 300, "");
    let process = start(dir);
    process.until("it comes to that", || seen(&process) == (200, "100".to_owned()));

    install(dir, migrating);
    let (code, answer, error) = reload(dir, &process);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(answer["receipts"][0]["outcome"], "restarted", "{answer}");
    process.until("it comes to that", || {
        seen(&process) == (200, r#"{"count":100}"#.to_owned())
    });
    assert_eq!(process.json("/v1/pipelines/seen")["state"], "running");

    // And no way back.
    install(dir, "oracle");
    let (code, _, error) = reload(dir, &process);
    assert_eq!(code, Some(1));
    assert!(error.contains("E0721"), "{error}");
    assert_eq!(seen(&process).1, r#"{"count":100}"#);
}

fn start_migrates_once_or_stands_still(migrating: &str) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    install(dir, "oracle");
    pipeline(dir, 300, "");
    let process = start(dir);
    process.until("it comes to that", || seen(&process) == (200, "100".to_owned()));
    drop(process);

    // One that fails stands still, and has changed nothing.
    install(dir, migrating);
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
    // Nobody reads it by the formats of the version that it does not have.
    let (status, body) = process.read("/v1/pipelines/seen/query/oracle/seen/room-2");
    assert_eq!(status, 503, "{body}");
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
    install(dir, "oracle");
    let process = start(dir);
    process.until("it comes to that", || {
        process.read("/v1/pipelines/seen").1.contains("E0713")
    });
    let failures = process.json("/v1/pipelines/seen")["failures"].to_string();
    assert!(failures.contains("has version 1"), "{failures}");
}

#[test]
fn a_reload_migrates_what_is_stored() {
    reload_migrates("migrating");
}

#[test]
fn a_start_migrates_once_or_stands_still() {
    start_migrates_once_or_stands_still("migrating");
}

/// Both, by the plugin of another language.
fn language_migrates(language: &str) {
    if is_built(language) {
        let migrating = format!("{language}/migrating");
        reload_migrates(&migrating);
        start_migrates_once_or_stands_still(&migrating);
    }
}

#[test]
fn plugins_in_go_migrate() {
    language_migrates("go");
}

#[test]
fn plugins_in_c_migrate() {
    language_migrates("c");
}

#[test]
fn plugins_in_python_migrate() {
    language_migrates("python");
}

#[test]
fn plugins_in_javascript_migrate() {
    language_migrates("js");
}
