//! `file` and `stdout`, on real files and a real process.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::Write;
use std::process::Command;

use record::batch::Batch;
use serde_json::json;
use support::{KeyValue, batch, connector, expect_fatal, next_of, open, partition, write};
use tempfile::TempDir;

/// docs/records.md: what becomes of each kind of record.
fn every_kind() -> Batch {
    let large = "x".repeat(1 << 20);
    let mut all = batch(
        0,
        7,
        &[
            (Some(b"null"), None),
            (Some(b"empty"), Some(b"")),
            (Some(b"large"), Some(large.as_bytes())),
            (Some(b"invalid"), Some(b"\xff\xfe")),
            (None, Some(b"no key")),
            (Some(b"headers"), Some(b"v")),
        ],
    );
    for i in 0..100 {
        all.headers.push(format!("h{i}").as_bytes(), Some(b"v"));
    }
    all.headers.close(5);
    all
}

fn lines_of_values() -> Vec<Vec<u8>> {
    vec![
        b"null".to_vec(),
        Vec::new(),
        "x".repeat(1 << 20).into_bytes(),
        b"\xff\xfe".to_vec(),
        b"no key".to_vec(),
        b"v".to_vec(),
    ]
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.pop(), Some(Vec::new()), "the last line ends too");
    lines
}

#[tokio::test]
async fn a_file_gets_every_kind_of_record() {
    let directory = TempDir::new().expect("a directory");
    let keys = [&b"null"[..], b"empty", b"large", b"invalid", b"null", b"headers"];
    let keyed = keys.iter().zip(lines_of_values());
    let keyed = keyed.map(|(key, value)| [key, &b"\t"[..], &value].concat()).collect();
    for (format, expected) in [("value", lines_of_values()), ("key_value", keyed)] {
        let path = directory.path().join(format);
        let mut sink = wasmill_sinks::open(&connector("file", &json!({"path": path, "format": format})), "p", "0")
            .expect("a sink");
        assert_eq!(open(&mut *sink, 0).await, None);
        write(&mut *sink, &every_kind()).await;
        assert!(lines(&std::fs::read(&path).expect("read")) == expected, "{format}");
    }
    let path = directory.path().join("json");
    let mut sink =
        wasmill_sinks::open(&connector("file", &json!({"path": path, "format": "json"})), "p", "0").expect("a sink");
    open(&mut *sink, 0).await;
    write(&mut *sink, &every_kind()).await;
    let written: Vec<serde_json::Value> = lines(&std::fs::read(&path).expect("read"))
        .iter()
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    assert_eq!(written[0]["value"], json!(null));
    assert_eq!(written[1]["value"], json!(""));
    assert_eq!(written[2]["value"].as_str().map(str::len), Some(1 << 20));
    assert_eq!(written[3]["value_base64"], json!("//4="));
    assert_eq!((&written[4]["key"], &written[4]["offset"]), (&json!(null), &json!(11)));
    let headers: Vec<_> = (0..100)
        .map(|i| json!({"name": format!("h{i}"), "value": "v"}))
        .collect();
    assert_eq!(written[5]["headers"], json!(headers));
}

/// What is there stays; a line that a killed process left half is ended first.
#[tokio::test]
async fn a_file_is_appended_to() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("out");
    std::fs::write(&path, b"before\nhal").expect("written");
    let settings = json!({"path": path});
    let mut one = wasmill_sinks::open(&connector("file", &settings), "p", "0").expect("a sink");
    let mut two = wasmill_sinks::open(&connector("file", &settings), "p", "0").expect("a sink");
    open(&mut *one, 0).await;
    open(&mut *two, 1).await;
    let words: [KeyValue<'_>; 3] = [(None, Some(b"a")), (None, Some(b"skipped")), (None, Some(b"b"))];
    let first = batch(0, 0, &words);
    one.write(&first, &[1], next_of(&first)).await.expect("written");
    write(&mut *two, &batch(1, 0, &[(None, Some(b"c"))])).await;
    write(&mut *one, &batch(0, 3, &[(None, Some(b"d"))])).await;
    assert_eq!(std::fs::read(&path).expect("read"), b"before\nhal\na\nb\nc\nd\n");
}

/// A disk that is full takes nothing of a batch, and says so.
#[tokio::test]
async fn a_full_device_is_tried_again() {
    let mut sink = wasmill_sinks::open(&connector("file", &json!({"path": "/dev/full"})), "p", "0").expect("a sink");
    open(&mut *sink, 0).await;
    let one = batch(0, 0, &[(None, Some(b"a"))]);
    let what = support::expect_retriable(sink.write(&one, &[], next_of(&one)).await);
    assert!(what.contains("sink totals"), "{what}");
}

#[tokio::test]
async fn paths_that_cannot_be_written_are_named() {
    let directory = TempDir::new().expect("a directory");
    for (path, part) in [
        (directory.path().join("missing/out"), "create the directory"),
        (directory.path().to_owned(), "directory"),
    ] {
        let mut sink = wasmill_sinks::open(&connector("file", &json!({"path": path})), "p", "0").expect("a sink");
        let what = expect_fatal(sink.open(&partition(0)).await);
        assert!(what.contains(part) && what.contains("sink totals"), "{what}");
    }
}

/// Runs itself as a child whose standard output is read.
#[tokio::test]
async fn stdout_gets_every_kind_of_record() {
    const CHILD: &str = "WASMILL_TEST_STDOUT_CHILD";
    if std::env::var_os(CHILD).is_some() {
        std::io::stdout().write_all(b"begin\n").expect("written");
        let mut sink = wasmill_sinks::open(&connector("stdout", &json!({})), "p", "0").expect("a sink");
        open(&mut *sink, 0).await;
        write(&mut *sink, &every_kind()).await;
        std::io::stdout().write_all(b"end\n").expect("written");
        return;
    }
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "stdout_gets_every_kind_of_record", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("the child ran");
    assert!(output.status.success());
    let text = output.stdout;
    let position = |needle: &[u8]| {
        text.windows(needle.len())
            .position(|part| part == needle)
            .expect("the marks")
    };
    let printed = &text[position(b"begin\n") + 6..position(b"end\n")];
    assert_eq!(lines(printed), lines_of_values());
}

#[test]
fn unknown_kinds_and_formats_are_named() {
    let what = expect_fatal(wasmill_sinks::open(&connector("mysq", &json!({})), "p", "0").map(drop));
    assert!(what.contains("\"mysq\"") && what.contains("mysql, sqlite"), "{what}");
    let what = expect_fatal(wasmill_sinks::open(&connector("stdout", &json!({"format": "xml"})), "p", "0").map(drop));
    assert!(what.contains("expected one of `value`, `key_value`, `json`"), "{what}");
}
