//! The `stdin` source in a process of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests as well")]

use std::io::Write;
use std::process::{Command, Stdio};

use record::batch::Batch;
use record::source::ReadEnd;
use record::topology::Connector;

const CHILD: &str = "WASMILL_SOURCES_TEST_CHILD";

/// Not a test of its own: what the next one starts.
#[test]
fn child_that_prints_its_standard_input() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut source = wasmill_sources::open(&Connector {
        name: "in".into(),
        kind: "stdin".to_owned(),
        settings: r#"{"format":"ndjson","partitions":1}"#.to_owned(),
    })
    .unwrap();
    source.open(None).unwrap();
    let mut batch = Batch::new("t".into(), 0);
    let mut bad = Vec::new();
    while source.read(100, &mut batch, &mut bad).unwrap() != ReadEnd::End {
        std::thread::yield_now();
    }
    for value in batch.values.iter() {
        println!("read {}", String::from_utf8_lossy(value.unwrap()));
    }
    println!("bad {} at {}", bad.len(), bad[0].place);
}

#[test]
fn standard_input_is_read() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_that_prints_its_standard_input", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for n in 0..50_000 {
        writeln!(input, "{{\"n\":{n}}}").unwrap();
    }
    input.write_all(b"oops\n[1]").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{out}");
    let read: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix("read ")).collect();
    assert_eq!(read.len(), 50_001);
    assert_eq!((read[49_999], read[50_000]), (r#"{"n":49999}"#, "[1]"));
    assert!(out.contains("bad 1 at standard input, line 50001"), "{out}");
}
