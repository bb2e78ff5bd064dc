//! What `wasmill` says when it is called wrongly: exit code 2, and what to write instead.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use common::wasmill;

fn refused(args: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("tempdir");
    let ran = wasmill(dir.path(), args);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(ran.stdout, "");
    ran.stderr
}

#[test]
fn an_unknown_command() {
    insta::assert_snapshot!(refused(&["rum"]));
}

#[test]
fn a_run_without_a_file() {
    insta::assert_snapshot!(refused(&["run"]));
}

#[test]
fn a_start_that_is_none() {
    insta::assert_snapshot!(refused(&["run", "p.toml", "--from", "yesterday"]));
}

#[test]
fn a_record_to_skip_that_is_none() {
    insta::assert_snapshot!(refused(&["run", "p.toml", "--skip", "lines:3"]));
}

#[test]
fn a_key_pointer_for_lines() {
    insta::assert_snapshot!(refused(&["produce", "t", "--key", "/a"]));
}

#[test]
fn a_key_that_is_no_pointer() {
    insta::assert_snapshot!(refused(&["produce", "t", "--format", "ndjson", "--key", "room"]));
}

#[test]
fn a_log_filter_that_is_none() {
    insta::assert_snapshot!(refused(&["consume", "t", "--log", "a=b=c"]));
}

#[test]
fn errors_are_json_for_scripts() {
    let text = refused(&["produce", "t", "--key", "/a", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
    assert_eq!(value["code"], "E0801");
    assert_eq!(value["page"], "docs/errors/E0801.md");
    assert!(value["next"].as_str().is_some_and(|next| next.contains("ndjson")));
}

#[test]
fn a_reset_in_memory() {
    insta::assert_snapshot!(refused(&["reset", "p.toml", "--embedded"]));
}

#[test]
fn help_and_version_are_no_errors() {
    let dir = tempfile::tempdir().expect("tempdir");
    let ran = wasmill(dir.path(), &["--version"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stdout, format!("wasmill {}\n", env!("CARGO_PKG_VERSION")));
    let ran = wasmill(dir.path(), &["help", "run"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("--until-end"));
}

#[test]
fn completions_name_the_commands() {
    let dir = tempfile::tempdir().expect("tempdir");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = wasmill(dir.path(), &["completions", shell]);
        assert_eq!(ran.code, Some(0), "{shell}");
        assert!(ran.stdout.contains("until-end"), "{shell}");
    }
}
