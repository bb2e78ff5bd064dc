//! `produce` and `consume` on the embedded log, end to end.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use common::{Ran, wasmill, wasmill_with_input};
use serde_json::Value;
use tempfile::TempDir;

struct Log {
    dir: TempDir,
}

impl Log {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("tempdir"),
        }
    }

    fn produce(&self, topic: &str, args: &[&str], input: &[u8]) -> Ran {
        let mut all = vec!["produce", topic, "--embedded=log"];
        all.extend(args);
        wasmill_with_input(self.dir.path(), &all, input)
    }

    fn consume(&self, topic: &str, args: &[&str]) -> Ran {
        let mut all = vec!["consume", topic, "--embedded=log", "--from-beginning", "--until-end"];
        all.extend(args);
        wasmill(self.dir.path(), &all)
    }

    fn records(&self, topic: &str) -> Vec<Value> {
        let ran = self.consume(topic, &["--json"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

fn ok(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn lines_come_back_in_order() {
    let log = Log::new();
    ok(&log.produce("t", &["--create-topic", "1"], b"one\ntwo\r\n\nlast without end"));
    let ran = log.consume("t", &[]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "one\ntwo\n\nlast without end\n")
    );
}

#[test]
fn records_with_a_key_go_where_java_clients_put_them() {
    let log = Log::new();
    let input: String = (0..200).map(|i| format!("k{}\t{i}\n", i % 20)).collect();
    ok(&log.produce(
        "t",
        &["--create-topic", "7", "--key-separator", r"\t"],
        input.as_bytes(),
    ));
    let records = log.records("t");
    assert_eq!(records.len(), 200);
    for record in &records {
        let key = record["key"].as_str().expect("key");
        let want = record::partitioner::partition_for_key(key.as_bytes(), 7);
        assert_eq!(record["partition"], want, "{record}");
        assert!(record["timestamp"].as_i64() > Some(1_700_000_000_000), "{record}");
    }
    let of_k3: Vec<&str> = records
        .iter()
        .filter(|r| r["key"] == "k3")
        .filter_map(|r| r["value"].as_str())
        .collect();
    assert_eq!(of_k3, ["3", "23", "43", "63", "83", "103", "123", "143", "163", "183"]);
}

#[test]
fn records_without_a_key_go_to_each_partition_in_turn() {
    let log = Log::new();
    ok(&log.produce("t", &["--create-topic", "3"], b"a\nb\nc\nd\n"));
    let mut partitions: Vec<i64> = log
        .records("t")
        .iter()
        .filter_map(|r| r["partition"].as_i64())
        .collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 0, 1, 2]);
}

#[test]
fn documents_keep_their_bytes_and_give_their_key() {
    let log = Log::new();
    let input = b"{\"room\": \"a\",  \"temp\": 1.50}\n\n{\"room\": 7}\n";
    ok(&log.produce(
        "t",
        &["--create-topic", "1", "--format", "ndjson", "--key", "/room"],
        input,
    ));
    let records = log.records("t");
    assert_eq!(records[0]["value"], "{\"room\": \"a\",  \"temp\": 1.50}");
    assert_eq!(records[0]["key"], "a");
    assert_eq!(records[1]["key"], "7");
    assert_eq!(records.len(), 2);
}

#[test]
fn what_consume_prints_can_be_produced_again() {
    let log = Log::new();
    let lines = [
        r#"{"key":"k","value":"v","headers":[["a","1"],["a",null]],"timestamp":1700000000000,"partition":1}"#,
        r#"{"key":null,"value":null,"headers":[],"timestamp":1700000000001,"partition":0}"#,
        r#"{"key":"","value":{"base64":"/wA="},"headers":[],"timestamp":1700000000002,"partition":1}"#,
    ];
    let args = ["--create-topic", "2", "--format", "records"];
    ok(&log.produce("first", &args, lines.join("\n").as_bytes()));
    let printed = log.consume("first", &["--json"]).stdout;
    ok(&log.produce("second", &args, printed.as_bytes()));
    let strip = |topic| {
        let mut records = log.records(topic);
        for record in &mut records {
            record.as_object_mut().expect("object").shift_remove("topic");
        }
        records.sort_by_key(|record| record["timestamp"].as_i64());
        records
    };
    let first = strip("first");
    assert_eq!(first, strip("second"));
    for (line, record) in lines.iter().zip(&first) {
        let want: Value = serde_json::from_str(line).expect("JSON");
        for (name, value) in want.as_object().expect("object") {
            assert_eq!(&record[name], value, "{name} of {record}");
        }
    }
}

#[test]
fn a_bad_line_stops_after_what_is_before_it_and_says_how_to_go_on() {
    let log = Log::new();
    let args = ["--create-topic", "1", "--format", "ndjson"];
    let ran = log.produce("t", &args, b"{\"a\":1}\n{\"a\":2}\n{oops\n{\"a\":4}\n");
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.golden());
    assert_eq!(log.records("t").len(), 2);
    let again = ["--format", "ndjson", "--skip-lines", "2"];
    ok(&log.produce("t", &again, b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n"));
    let values: Vec<_> = log.records("t").into_iter().map(|r| r["value"].clone()).collect();
    assert_eq!(values, [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#, r#"{"a":4}"#]);
}

#[test]
fn max_stops_in_the_middle() {
    let log = Log::new();
    ok(&log.produce("t", &["--create-topic", "1"], b"a\nb\nc\n"));
    assert_eq!(log.consume("t", &["--max", "2"]).stdout, "a\nb\n");
    assert_eq!(log.consume("t", &["--max", "0"]).stdout, "");
}

#[test]
fn no_topic_is_created_by_accident() {
    let log = Log::new();
    let ran = log.produce("t", &[], b"a\n");
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!("produce_without_topic", ran.golden());
    let ran = log.consume("t", &[]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!("consume_without_topic", ran.golden());
}

#[test]
fn many_records_of_many_sizes_arrive() {
    let log = Log::new();
    let mut input = String::new();
    for i in 0..50_000 {
        input.push_str(&format!("{i:07} {}\n", "x".repeat(i % 100)));
    }
    input.push_str(&"y".repeat(6 << 20));
    let file = log.dir.path().join("input.txt");
    std::fs::write(&file, &input).expect("write");
    ok(&wasmill(
        log.dir.path(),
        &["produce", "t", "input.txt", "--embedded=log", "--create-topic", "1"],
    ));
    let ran = log.consume("t", &[]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stdout.trim_end() == input,
        "{} bytes of {}",
        ran.stdout.len(),
        input.len()
    );
}
