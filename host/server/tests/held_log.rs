//! `produce` and `consume` on an embedded log that a process has open: through its API, with the same outcome.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use common::served::Served;
use common::{Ran, command, plugin, ran, wasmill, wasmill_with_input, write};
use serde_json::{Value, json};

const WAIT: Duration = Duration::from_secs(60);

/// Splits the lines of a topic into words.
const PIPELINE: &str = r#"
name = "words"
commit_interval_ms = COMMIT
partitions = 2
[sources.lines]
type = "kafka"
topics = ["lines"]
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "word_split.wasm"
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "word_count.wasm"
[sinks.words]
inputs = ["split"]
type = "kafka"
topic = "words"
[sinks.counts]
inputs = ["count"]
type = "blackhole"
"#;

/// A process that has the log in `log` open.
fn hold(dir: &Path, commit_ms: u32, args: &[&str]) -> Served {
    for name in ["word_split", "word_count"] {
        write(&dir.join(format!("{name}.wasm")), &plugin(name));
    }
    let text = PIPELINE.replace("COMMIT", &commit_ms.to_string());
    write(&dir.join("words.toml"), text.as_bytes());
    let process = Served::run(dir, &[&["words.toml", "--embedded=log", "--no-watch"], args].concat());
    process.until("it has the log", || dir.join("log/log/API").exists());
    process
}

fn produce(dir: &Path, topic: &str, args: &[&str], input: &[u8]) -> Ran {
    wasmill_with_input(dir, &[&["produce", topic, "--embedded=log"], args].concat(), input)
}

/// From the beginning to the end.
fn consume(dir: &Path, topic: &str, args: &[&str]) -> Ran {
    let all = ["consume", topic, "--embedded=log", "--from-beginning", "--until-end"];
    wasmill(dir, &[&all, args].concat())
}

fn ok(ran: Ran) -> Ran {
    assert_eq!(ran.code, Some(0), "{}", ran.golden());
    ran
}

/// Lines of JSON, by partition and offset: partitions are read side by side.
fn sorted(text: &str) -> Vec<Value> {
    let mut all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    all.sort_by_key(|record| (record["partition"].as_u64(), record["offset"].as_i64()));
    all
}

/// What is printed of a topic, which need not be text, in any order.
fn lines_of(dir: &Path, topic: &str, args: &[&str]) -> Vec<Vec<u8>> {
    let all = ["consume", topic, "--embedded=log", "--from-beginning", "--until-end"];
    let output = command(dir, &[&all, args].concat()).output().unwrap();
    assert!(output.status.success());
    let lines = output.stdout.split_inclusive(|byte| *byte == b'\n');
    let mut lines: Vec<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_goes_through_the_process_is_what_is_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let process = hold(dir, 100, &[]);
    process.until_ready();

    // Every kind of record, a large one among them, over more pages than one.
    let mut lines = vec![
        r#"{"key":"k","value":"v","headers":[["a","1"],["a",null]],"timestamp":1700000000000,"partition":1}"#
            .to_owned(),
        r#"{"key":null,"value":null,"timestamp":1700000000001,"partition":0}"#.to_owned(),
        r#"{"key":"","value":{"base64":"/wA="},"timestamp":-1,"partition":1}"#.to_owned(),
        json!({"value": "y".repeat(6 << 20), "partition": 2}).to_string(),
    ];
    lines.extend((0..3_000).map(|n| json!({"key": format!("k{n}"), "value": format!("{n}\u{1}")}).to_string()));
    let args = ["--create-topic", "3", "--format", "records", "--json"];
    let written = ok(produce(dir, "all", &args, lines.join("\n").as_bytes()));
    assert_eq!(
        serde_json::from_str::<Value>(&written.stdout).unwrap(),
        json!({"topic": "all", "partitions": 3, "records": 3_004})
    );
    let held = ok(consume(dir, "all", &["--json"])).stdout;
    let plain = lines_of(dir, "all", &["--key-separator", "="]);
    assert_eq!(lines_of(dir, "all", &["--max", "7"]).len(), 7);
    assert!(lines_of(dir, "all", &["--max", "0"]).is_empty());

    // A topic that there is not.
    let (wrote, read) = (produce(dir, "none", &[], b"a\n"), consume(dir, "none", &[]));

    process.stop();
    let direct = ok(consume(dir, "all", &["--json"])).stdout;
    assert_eq!(held.lines().count(), 3_004);
    assert!(sorted(&held) == sorted(&direct), "records differ");
    assert!(plain == lines_of(dir, "all", &["--key-separator", "="]), "lines differ");
    assert_eq!(wrote.golden(), produce(dir, "none", &[], b"a\n").golden());
    assert_eq!(read.golden(), consume(dir, "none", &[]).golden());

    // Who was killed has said where it answers, and does not any more.
    let process = hold(dir, 100, &[]);
    process.until_ready();
    drop(process);
    assert!(dir.join("log/log/API").exists());
    ok(produce(dir, "all", &[], b"more\n"));
    assert_eq!(lines_of(dir, "all", &[]).len(), 3_005);
}

#[test]
fn records_are_followed_as_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let process = hold(dir, 100, &[]);
    process.until_ready();
    ok(produce(dir, "lines", &[], b"early\n"));
    process.until("the word is there", || {
        consume(dir, "words", &[]).stdout.contains("early")
    });

    let (sender, lines) = channel();
    let mut follows = command(dir, &["consume", "words", "--embedded=log"]).start(move |line| {
        let _ = sender.send(line);
    });
    // It starts at the end, whenever that is: what is written until it listens is not for it.
    let mut seen = Vec::new();
    let deadline = Instant::now() + WAIT;
    while seen.len() < 3 {
        assert!(Instant::now() < deadline && follows.is_running(), "{seen:?}");
        ok(produce(dir, "lines", &[], b"late\n"));
        seen.extend(lines.recv_timeout(Duration::from_millis(500)));
    }
    assert!(seen.iter().all(|line| line == "late"), "{seen:?}");
    follows.kill();
    process.stop();
}

#[test]
fn only_what_is_committed_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let process = hold(dir, 3_000, &[]);
    process.until_ready();
    ok(produce(dir, "lines", &[], "a b\n".repeat(500).as_bytes()));
    let processed = || {
        let one = process.json("/v1/pipelines/words");
        one["counters"]["records_read"].as_u64() >= Some(500)
    };
    let mut before = 0;
    let mut seen = 0;
    process.until("all words are there", || {
        let is_processed = processed();
        let count = consume(dir, "words", &[]).stdout.lines().count();
        assert!(count >= seen, "{count} after {seen}");
        before += usize::from(is_processed && count < 1_000);
        seen = count;
        count == 1_000
    });
    assert!(before > 0, "it was never read between processing and commit");
    process.stop();
}

#[test]
fn who_may_look_may_not_write() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let tokens = "[[tokens]]\ntoken = \"sesame-read-0123456789\"\nrole = \"read\"\n\
                  [[tokens]]\ntoken = \"sesame-operate-0123456789\"\nrole = \"operate\"\n";
    write(&dir.join("tokens.toml"), tokens.as_bytes());
    let process = hold(dir, 100, &["--tokens", "tokens.toml"]);
    process.until_ready();
    let with = |token: &str, args: &[&str]| {
        let mut command = command(dir, args);
        ran(command.env("WASMILL_TOKEN", token).output_of(b"a\n").unwrap())
    };
    let produce = ["produce", "lines", "--embedded=log"];
    let consume = ["consume", "lines", "--embedded=log", "--from-beginning", "--until-end"];
    ok(with("sesame-operate-0123456789", &produce));
    assert_eq!(ok(with("sesame-read-0123456789", &consume)).stdout, "a\n");
    let ran = with("sesame-read-0123456789", &produce);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("this token allows to look, not to change"),
        "{}",
        ran.golden()
    );
    for args in [&produce[..], &consume] {
        let ran = with("sesame-wrong-0123456789", args);
        assert!(
            ran.code == Some(1)
                && ran.stderr.contains("a token is missing")
                && ran.stderr.contains("set WASMILL_TOKEN"),
            "{}",
            ran.golden()
        );
    }
    assert_eq!(ok(with("sesame-read-0123456789", &consume)).stdout, "a\n");
    process.stop();
}

#[test]
fn without_an_api_it_says_who_has_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    drop(hold(dir, 100, &[]));
    let mut holder = command(
        dir,
        &["run", "words.toml", "--embedded=log", "--no-watch", "--listen", "off"],
    )
    .start(drop);
    let id = holder.id().to_string();
    let lock = dir.join("log/log/LOCK");
    let deadline = Instant::now() + WAIT;
    while std::fs::read_to_string(&lock).unwrap() != id {
        assert!(Instant::now() < deadline && holder.is_running());
        std::thread::sleep(Duration::from_millis(20));
    }
    for ran in [produce(dir, "lines", &[], b"a\n"), consume(dir, "lines", &[])] {
        assert_eq!(ran.code, Some(1), "{}", ran.golden());
        for part in [
            "E0731",
            &format!("process {id}, which has no API"),
            "--listen 127.0.0.1:0",
        ] {
            assert!(ran.stderr.contains(part), "{part} is missing: {}", ran.golden());
        }
    }
    holder.signal("-TERM");
    assert!(holder.wait(WAIT).unwrap().success());
}

#[test]
fn topics_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let process = hold(dir, 100, &[]);
    process.until_ready();
    let send = |method: &str, path: &str, body: &Value| {
        let (status, answer) = process.send(method, path, "", &body.to_string());
        (status, serde_json::from_str::<Value>(&answer).unwrap())
    };
    let (status, topic) = send("PUT", "/v1/topics/t", &json!({"partitions": 2}));
    assert_eq!(
        (status, &topic["partitions"][1]),
        (200, &json!({"partition": 1, "start": 0, "end": 0}))
    );
    // It is left as it is.
    let (_, same) = send("PUT", "/v1/topics/t", &json!({"partitions": 5}));
    assert_eq!(same, topic);

    let records = json!({"records": [{"value": "a"}, {"value": "b"}, {"key": "k", "value": {"n": 1}, "partition": 1}]});
    assert_eq!(
        send("POST", "/v1/topics/t/records", &records),
        (200, json!({"records": 3}))
    );
    let first = process.json("/v1/topics/t/records?limit=2");
    assert_eq!(first["records"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    let second = process.json(&format!("/v1/topics/t/records?from={next}"));
    assert_eq!(second["records"].as_array().unwrap().len(), 1, "{first} {second}");
    let mut values: Vec<&str> = [&first, &second]
        .iter()
        .flat_map(|page| page["records"].as_array().unwrap())
        .map(|record| record["value"].as_str().unwrap())
        .collect();
    values.sort_unstable();
    assert_eq!(values, ["a", "b", r#"{"n":1}"#]);
    let one = process.json("/v1/topics/t/records?from=1:1");
    assert_eq!(
        (one["records"].as_array().unwrap().len(), &one["next"], &one["ended"]),
        (1, &json!("1:2"), &json!([1]))
    );
    // A place that there is not any more, or not yet.
    let beyond = process.json("/v1/topics/t/records?from=1:9");
    assert_eq!(
        beyond["skipped"],
        json!([{"partition": 1, "from": 9, "to": 0}]),
        "{beyond}"
    );

    // It waits for a record, and no longer than it was told.
    let began = Instant::now();
    let none = process.json("/v1/topics/t/records?from=latest&wait_ms=700");
    assert!(began.elapsed() >= Duration::from_millis(700));
    assert_eq!(none["records"], json!([]));
    let next = none["next"].as_str().unwrap().to_owned();
    let waited = std::thread::scope(|scope| {
        let waits = scope.spawn(|| process.json(&format!("/v1/topics/t/records?from={next}&wait_ms=5000")));
        std::thread::sleep(Duration::from_millis(300));
        send("POST", "/v1/topics/t/records", &json!({"records": [{"value": "c"}]}));
        waits.join().unwrap()
    });
    assert_eq!(waited["records"][0]["value"], "c");

    // All of a request's records are written, or none.
    let before = process.json("/v1/topics/t");
    for (record, part) in [
        (
            json!({"value": "d", "partition": 2}),
            "record 2 names partition 2, but `t` has 2",
        ),
        (json!({"vaule": "d"}), "record 2 has the unknown member `vaule`"),
        (json!({"value": {"base64": "%"}}), "record 2 has malformed base64"),
    ] {
        let body = json!({"records": [{"value": "c"}, record]});
        let (status, problem) = send("POST", "/v1/topics/t/records", &body);
        assert_eq!(status, 400, "{problem}");
        assert!(problem["title"].as_str().unwrap().contains(part), "{problem}");
    }
    assert_eq!(process.json("/v1/topics/t"), before);

    // What is a pipeline's own is written by nobody else; reading it is no harm.
    let plan = process.json("/v1/pipelines/words").to_string();
    let internal = "words-count-repartition";
    assert!(plan.contains(internal), "{plan}");
    let path = format!("/v1/topics/{internal}/records");
    let (status, problem) = send("POST", &path, &json!({"records": [{"value": "x"}]}));
    assert_eq!(status, 409, "{problem}");
    assert!(
        problem["title"].as_str().unwrap().contains("pipeline `words`'s own"),
        "{problem}"
    );
    process.json(&path);
    let path = format!("/v1/topics/{internal}");
    assert_eq!(send("PUT", &path, &json!({"partitions": 2})).0, 409);

    // Who means a topic that there is not any more neither reads nor writes the one that has its name now.
    let one_more = json!({"records": [{"value": "e"}]});
    let right = format!("/v1/topics/t/records?topic_id={}", topic["id"].as_str().unwrap());
    assert_eq!(process.read(&right).0, 200);
    assert_eq!(send("POST", &right, &one_more).0, 200);
    let wrong = "/v1/topics/t/records?topic_id=another";
    let before = process.json("/v1/topics/t");
    assert_eq!(process.read(wrong).0, 409);
    let (status, problem) = send("POST", wrong, &one_more);
    assert_eq!(
        (status, &problem["title"]),
        (409, &json!("topic `t` is another one now"))
    );
    assert_eq!(process.json("/v1/topics/t"), before);

    for (path, expected) in [
        ("/v1/topics/none", 404),
        ("/v1/topics/none/records", 404),
        ("/v1/topics/t/records?limit=0", 400),
        ("/v1/topics/t/records?limit=1001", 400),
        ("/v1/topics/t/records?wait_ms=5001", 400),
        ("/v1/topics/t/records?from=x", 400),
        ("/v1/topics/t/records?from=2:0", 400),
        ("/v1/topics/t/records?from=0:0,0:1", 400),
        ("/v1/topics/t/records?from=0:-1", 400),
    ] {
        assert_eq!(process.read(path).0, expected, "{path}");
    }
    assert_eq!(send("PUT", "/v1/topics/t2", &json!({"partitions": 0})).0, 400);
    assert_eq!(send("PUT", "/v1/topics/a%20b", &json!({"partitions": 1})).0, 400);
    let large = "content-type: application/json\r\ncontent-length: 20000000\r\n";
    assert_eq!(process.ask("POST", "/v1/topics/t/records", large).0, 413);
    // Other sites in a browser do not write.
    let foreign = "origin: http://elsewhere\r\n";
    assert_eq!(
        process
            .send("POST", "/v1/topics/t/records", foreign, &records.to_string())
            .0,
        403
    );
    process.stop();
}
