//! `wasmill test`: the tests of the shipped pipelines pass, and what a failing one shows, writes and
//! reports is as in the goldens. `UPDATE_GOLDENS=1` writes those anew.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod common;
mod services;

use std::path::{Path, PathBuf};

use common::wasmill;
use services::{plugin, root};

/// A folder with the shipped plugins and one of the pipelines in `tests/testing`.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    for name in ["word_split", "word_count"] {
        std::fs::copy(plugin(name), plugins.join(format!("{name}.wasm"))).unwrap();
    }
    for name in names {
        std::fs::copy(goldens().join(name), dir.path().join(name)).unwrap();
    }
    dir
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testing")
}

/// Times differ from run to run.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(end) = rest.find(" ms") {
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        let number = rest[..end].trim_end_matches(digits);
        out.push_str(number);
        out.push('N');
        out.push_str(" ms");
        rest = &rest[end + 3..];
    }
    out.push_str(rest);
    // Attributes of XML.
    let mut parts = out.split("time=\"");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("time=\"N");
        text.push_str(&part[part.find('"').unwrap_or(0)..]);
    }
    text
}

fn same(name: &str, found: &str) {
    let path = goldens().join(name);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{name} differs; found:\n{found}\nexpected:\n{wanted}");
}

#[test]
fn the_shipped_pipelines_pass_their_tests() {
    let ran = wasmill(&root(), &["test", "pipelines"]);
    assert_eq!(ran.code, Some(0), "{}", ran.golden());
    // Every pipeline has tests, and every test ran.
    let ran = wasmill(&root(), &["test", "pipelines", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let files: Vec<&str> = value["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["file"].as_str().unwrap())
        .collect();
    for entry in std::fs::read_dir(root().join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = format!("pipelines/{name}/pipeline.test.toml");
        assert!(files.contains(&file.as_str()), "{name} has no test among {files:?}");
    }
    assert_eq!(value["failed"], 0);
    assert_eq!(value["wrong"], 0);
    assert!(value["passed"].as_u64().unwrap() >= 15, "{value:#}");
}

#[test]
fn what_failed_is_shown_with_its_first_difference() {
    let dir = folder(&["failing.toml", "failing.test.toml"]);
    let junit = ["test", "failing.test.toml", "--seed", "7", "--junit", "report.xml"];
    let ran = wasmill(dir.path(), &junit);
    assert_eq!(ran.code, Some(1), "{}", ran.golden());
    same("failing.out", &timeless(&ran.golden()));
    let report = std::fs::read_to_string(dir.path().join("report.xml")).unwrap();
    same("failing.xml", &timeless(&report));
}

#[test]
fn update_writes_what_came_and_nothing_else() {
    let dir = folder(&["failing.toml", "failing.test.toml"]);
    let file = dir.path().join("failing.test.toml");
    let ran = wasmill(dir.path(), &["test", "failing.test.toml", "--update"]);
    assert_eq!(ran.code, Some(0), "{}", ran.golden());
    let updated = std::fs::read_to_string(&file).unwrap();
    same("failing.updated", &updated);
    // What was right already stands as it stood, comments and all.
    let before = std::fs::read_to_string(goldens().join("failing.test.toml")).unwrap();
    for line in before.lines() {
        if let Some(at) = line.find('#') {
            assert!(updated.contains(&line[at..]), "{line} is gone");
        }
    }
    // The second time there is nothing to write.
    let ran = wasmill(dir.path(), &["test", "failing.test.toml", "--update"]);
    assert_eq!(ran.code, Some(0), "{}", ran.golden());
    assert!(!ran.stderr.contains("written"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), updated);
}

#[test]
fn mistakes_in_a_test_have_their_place() {
    for name in ["by-itself", "against-the-pipeline"] {
        let test = format!("{name}.test.toml");
        let dir = folder(&["failing.toml", &test]);
        let ran = wasmill(dir.path(), &["test", &test, "--seed", "7"]);
        assert_eq!(ran.code, Some(2), "{}", ran.golden());
        same(&format!("{name}.out"), &timeless(&ran.golden()));
    }
}

#[test]
fn a_plugin_that_is_not_built_is_named_with_the_remedy() {
    let dir = folder(&["failing.toml", "failing.test.toml"]);
    std::fs::remove_file(dir.path().join("plugins/word_count.wasm")).unwrap();
    let ran = wasmill(dir.path(), &["test"]);
    assert_eq!(ran.code, Some(2), "{}", ran.golden());
    assert!(ran.stderr.contains("error[E0121]"), "{}", ran.stderr);
    assert!(ran.stderr.contains("wasmill build"), "{}", ran.stderr);
    // Once, not once per case.
    assert_eq!(ran.stderr.matches("there is no plugin").count(), 1, "{}", ran.stderr);
}

#[test]
fn a_filter_chooses_cases_and_must_find_one() {
    let dir = folder(&["failing.toml", "failing.test.toml"]);
    let ran = wasmill(dir.path(), &["test", "--filter", "passes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.golden());
    assert!(ran.stdout.contains("1 passed in 1 file"), "{}", ran.stdout);
    let ran = wasmill(dir.path(), &["test", "--filter", "no such case"]);
    assert_eq!(ran.code, Some(2), "{}", ran.golden());
    let empty = tempfile::tempdir().unwrap();
    let ran = wasmill(empty.path(), &["test"]);
    assert_eq!(ran.code, Some(2), "{}", ran.golden());
    assert!(ran.stderr.contains(".test.toml"), "{}", ran.stderr);
}

/// docs/testing.md shows a test file; it is one, and passes.
#[test]
fn the_example_of_the_docs_passes() {
    let text = std::fs::read_to_string(root().join("docs/testing.md")).unwrap();
    let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(plugin("temperature"), dir.path().join("temperature.wasm")).unwrap();
    let pipeline = std::fs::read_to_string(root().join("pipelines/temperature/pipeline.toml")).unwrap();
    let pipeline = pipeline.replace("../../plugins/dist/", "");
    std::fs::write(dir.path().join("pipeline.toml"), pipeline).unwrap();
    std::fs::write(dir.path().join("pipeline.test.toml"), example).unwrap();
    let ran = wasmill(dir.path(), &["test"]);
    assert_eq!(ran.code, Some(0), "{}", ran.golden());
    assert!(ran.stdout.contains("2 passed"), "{}", ran.stdout);
}
