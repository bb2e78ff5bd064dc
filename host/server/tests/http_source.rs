//! Pipelines that are sent their records by HTTP: what becomes of requests, over reloads, ends and kills.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;
mod listening;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{wasmill, write};
use listening::{Client, Listening, WAIT};
use serde_json::{Value, json};

const EVENTS: &str = r#"
name = "events"
partitions = 3
[sources.events]
type = "http"
listen = "127.0.0.1:0"
max_body_bytes = 2000

[[sources.events.routes]]
path = "/"
method = "GET"
event = { type = "default" }
answer = "This is the default response!\n"

[[sources.events.routes]]
path = "/players/{player}/buy"
method = ["GET", "POST"]
event = { type = "buy", player = "{path.player}", price = "{query.price:number}", host = "{header.Host}" }
headers = ["Host", "User-Agent", "Accept"]
key = "{path.player}"

[[sources.events.routes]]
path = "/raw"
key = "/id"

[sinks.out]
type = "kafka"
inputs = ["events"]
topic = "out"
"#;

fn records(dir: &Path, topic: &str) -> Vec<Value> {
    let args = [
        "consume",
        topic,
        "--embedded=log",
        "--from-beginning",
        "--until-end",
        "--json",
    ];
    let ran = wasmill(dir, &args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn header<'a>(record: &'a Value, name: &str) -> Option<&'a str> {
    let headers = record["headers"].as_array().unwrap();
    headers.iter().find(|pair| pair[0] == name)?[1].as_str()
}

#[test]
fn requests_become_records_and_mistakes_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("events.toml"), EVENTS.as_bytes());
    let mut process = Listening::run(dir.path(), &["events.toml", "--embedded=log"]);
    let client = process.client();
    let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    // Its topic is made when the pipeline has begun.
    client.until_written("GET", "/");
    let answer = client.ask("GET", "/", "", "");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "This is the default response!\n")
    );
    let answer = client.ask(
        "POST",
        "/players/p%201/buy?price=20.50",
        &format!("user-agent: test\r\n{parent}"),
        "",
    );
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(client.ask("POST", "/raw", "", r#"{"id":"k","n":1.10}"#).status, 204);
    for (method, path, body, status, part) in [
        ("GET", "/none", "", 404, "no such path"),
        ("GET", "/raw", "", 405, "it takes POST"),
        ("GET", "/players/p/buy", "", 400, "the query has no `price`"),
        ("GET", "/players/p/buy?price=x", "", 400, "is no number"),
        ("POST", "/raw", "{", 400, "not JSON"),
        ("POST", "/raw", "{}", 400, "`/id` finds nothing"),
        ("POST", "/raw", &"1".repeat(2001), 413, "too large"),
    ] {
        let answer = client.ask(method, path, "", body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["status"], status);
        assert!(answer.body.contains(part), "{method} {path}: {}", answer.body);
        assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
    }
    // As RFC 9110 asks for.
    assert!(client.ask("GET", "/raw", "", "").head.contains("allow: POST"));
    let metrics = process.api("/metrics");
    let counted = |status: u16, count: usize| {
        let name = "wasmill_http_source_requests_total";
        format!("{name}{{pipeline=\"events\",source=\"events\",status=\"{status}\"}} {count}.0\n")
    };
    for (status, count) in [(204, 2), (400, 4), (404, 1), (405, 2), (413, 1)] {
        assert!(metrics.contains(&counted(status, count)), "{status}: {metrics}");
    }
    process.terminate();

    let all = records(dir.path(), "events-events");
    let buy = all.iter().find(|record| record["key"] == "p 1").unwrap();
    let host = client.address.to_string();
    let expected = json!({"type": "buy", "player": "p 1", "price": 20.5, "host": host}).to_string();
    assert_eq!(buy["value"], expected);
    assert_eq!(header(buy, "User-Agent"), Some("test"));
    assert_eq!(header(buy, "Host"), Some(host.as_str()));
    assert_eq!(header(buy, "Accept"), None);
    assert_eq!(
        header(buy, "traceparent"),
        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    );
    let partition = u64::from(record::partitioner::partition_for_key(b"p 1", 3));
    assert_eq!(buy["partition"], partition);
    let raw = all.iter().find(|record| record["key"] == "k").unwrap();
    assert_eq!(raw["value"], r#"{"id":"k","n":1.10}"#);
    let others = all.iter().filter(|record| record["value"] == r#"{"type":"default"}"#);
    let partitions: BTreeSet<u64> = others.map(|record| record["partition"].as_u64().unwrap()).collect();
    assert!(!partitions.is_empty());
    assert_eq!(records(dir.path(), "out").len(), all.len());
}

#[test]
fn a_bounded_run_does_not_listen_and_reads_what_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.toml");
    write(&file, EVENTS.as_bytes());
    let mut process = Listening::run(dir.path(), &["events.toml", "--embedded=log"]);
    let client = process.client();
    client.until_written("GET", "/");
    process.kill();
    // Its address is somebody else's by now; it is not asked for.
    let taken = std::net::TcpListener::bind(client.address).unwrap();
    let text = EVENTS.replace("127.0.0.1:0", &client.address.to_string());
    write(&file, text.as_bytes());
    let ran = wasmill(dir.path(), &["run", "events.toml", "--embedded=log", "--until-end"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(
        records(dir.path(), "out").len(),
        records(dir.path(), "events-events").len()
    );
    // Without an end it is.
    let ran = wasmill(dir.path(), &["run", "events.toml", "--embedded=log", "--listen", "off"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("E0303") && ran.stderr.contains("cannot listen on"),
        "{}",
        ran.stderr
    );
    drop(taken);
}

#[test]
fn two_pipelines_do_not_listen_on_one_address() {
    let dir = tempfile::tempdir().unwrap();
    let text = EVENTS.replace("127.0.0.1:0", "127.0.0.1:45999");
    write(&dir.path().join("a.toml"), text.as_bytes());
    let other = text.replace("name = \"events\"", "name = \"other\"");
    write(&dir.path().join("b.toml"), other.as_bytes());
    let ran = wasmill(
        dir.path(),
        &["run", "a.toml", "b.toml", "--embedded", "--listen", "off"],
    );
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("E0303") && ran.stderr.contains("pipeline `events` listens there"),
        "{}",
        ran.stderr
    );
}

/// Sends numbered events until told to stop. What was answered with success, and all other answers.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<(Vec<String>, Vec<String>)>>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let threads = (0..4)
            .map(|thread| {
                let (client, stop, sent) = (client.clone(), Arc::clone(&stop), Arc::clone(&sent));
                std::thread::spawn(move || {
                    let (mut accepted, mut others) = (Vec::new(), Vec::new());
                    for number in 0.. {
                        if stop.load(Ordering::Acquire) {
                            break;
                        }
                        let id = format!("{thread}-{number}");
                        match client.try_ask("POST", "/raw", "", &format!(r#"{{"id":"{id}"}}"#)) {
                            Ok(answer) if answer.status == 204 => {
                                accepted.push(id);
                                sent.fetch_add(1, Ordering::AcqRel);
                            }
                            Ok(answer) => others.push(answer.status.to_string()),
                            Err(error) => others.push(error.kind().to_string()),
                        }
                    }
                    (accepted, others)
                })
            })
            .collect();
        Self { stop, sent, threads }
    }

    fn until_sent(&self, count: usize) {
        let wanted = self.sent.load(Ordering::Acquire) + count;
        let deadline = Instant::now() + WAIT;
        while self.sent.load(Ordering::Acquire) < wanted {
            assert!(
                Instant::now() < deadline,
                "{} of {wanted}",
                self.sent.load(Ordering::Acquire)
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(self) -> (Vec<String>, Vec<String>) {
        self.stop.store(true, Ordering::Release);
        let (mut accepted, mut others) = (Vec::new(), Vec::new());
        for thread in self.threads {
            let (a, o) = thread.join().unwrap();
            accepted.extend(a);
            others.extend(o);
        }
        (accepted, others)
    }
}

fn keys(dir: &Path, topic: &str) -> Vec<String> {
    let all = records(dir, topic);
    all.iter()
        .filter_map(|record| record["key"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn reloads_refuse_nobody_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.toml");
    write(&file, EVENTS.as_bytes());
    let mut process = Listening::run(dir.path(), &["events.toml", "--embedded=log", "--no-watch"]);
    let client = process.client();
    client.until_written("GET", "/");
    let load = Load::start(&client);
    for round in 0..3 {
        load.until_sent(20);
        // Another interval starts the run again; the source stays as it is.
        let text = format!("commit_interval_ms = {}\n{EVENTS}", 50 + round);
        write(&file, text.as_bytes());
        assert_eq!(process.reload()["outcome"], "restarted");
        load.until_sent(20);
        // Another answer exchanges the source; the run goes on.
        let text = text.replace("default response", &format!("response {round}"));
        write(&file, text.as_bytes());
        let receipt = process.reload();
        assert_eq!(receipt["outcome"], "applied", "{receipt}");
        assert_eq!(
            client.ask("GET", "/", "", "").body,
            format!("This is the response {round}!\n")
        );
    }
    load.until_sent(20);
    let (accepted, others) = load.end();
    assert_eq!(others, Vec::<String>::new(), "of {} requests", accepted.len());
    // Another topic: what the old one holds stays there, and is read when it is the source's again.
    let text = EVENTS.replace("listen =", "topic = \"elsewhere\"\nlisten =");
    write(&file, text.as_bytes());
    let receipt = process.reload();
    assert_eq!(receipt["outcome"], "restarted", "{receipt}");
    client.until_written("POST", "/players/new/buy?price=1");
    process.terminate();
    write(&file, EVENTS.as_bytes());
    let ran = wasmill(dir.path(), &["run", "events.toml", "--embedded=log", "--until-end"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let out = keys(dir.path(), "out");
    for id in &accepted {
        assert_eq!(out.iter().filter(|key| *key == id).count(), 1, "{id}");
    }
    assert!(keys(dir.path(), "elsewhere").contains(&"new".to_owned()));
    println!("{} requests over 6 reloads, all with success", accepted.len());
}

#[test]
fn an_address_that_cannot_be_had_refuses_the_reload_and_another_one_is_moved_to() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.toml");
    write(&file, EVENTS.as_bytes());
    let mut process = Listening::run(dir.path(), &["events.toml", "--embedded=log", "--no-watch"]);
    let client = process.client();
    client.until_written("GET", "/");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = EVENTS
        .replace("127.0.0.1:0", &address.to_string())
        .replace("default response", "other response");
    write(&file, text.as_bytes());
    let receipt = process.reload();
    assert_eq!(receipt["outcome"], "refused", "{receipt}");
    assert!(receipt.to_string().contains("E0303"), "{receipt}");
    assert_eq!(client.ask("GET", "/", "", "").body, "This is the default response!\n");
    drop(taken);
    let receipt = process.reload();
    assert_eq!(receipt["outcome"], "applied", "{receipt}");
    let moved = Client { address };
    assert_eq!(moved.ask("GET", "/", "", "").body, "This is the other response!\n");
    assert!(client.try_ask("GET", "/", "", "").is_err(), "the old one is closed");
    process.terminate();
}

#[test]
fn what_was_answered_with_success_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("events.toml"), EVENTS.as_bytes());
    let mut all = Vec::new();
    for round in 0..4 {
        let mut process = Listening::run(dir.path(), &["events.toml", "--embedded=log"]);
        let client = process.client();
        client.until_written("GET", "/");
        let load = Load::start(&client);
        load.until_sent(60);
        if round == 3 {
            // An end that is asked for: whoever has got an answer of success is right, too.
            process.terminate();
        } else {
            process.kill();
        }
        let (accepted, _) = load.end();
        all.extend(accepted.into_iter().map(|id| (round, id)));
    }
    let ran = wasmill(dir.path(), &["run", "events.toml", "--embedded=log", "--until-end"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let (sent, out) = (keys(dir.path(), "events-events"), keys(dir.path(), "out"));
    for (round, id) in &all {
        // The numbers begin anew with each round.
        let rounds = all.iter().filter(|(_, other)| other == id).count();
        assert!(
            sent.iter().filter(|key| *key == id).count() >= rounds,
            "{id} of round {round} is not in the topic"
        );
        assert_eq!(
            out.iter().filter(|key| *key == id).count(),
            sent.iter().filter(|key| *key == id).count(),
            "{id}"
        );
    }
    println!("{} requests with success over 3 kills and an end", all.len());
}

#[test]
fn a_gigabyte_takes_no_memory_and_slow_clients_hold_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let text = EVENTS.replace(
        "max_body_bytes = 2000",
        "max_body_bytes = 1000000\ntimeout_ms = 60000\nmax_connections = 900",
    );
    write(&dir.path().join("events.toml"), text.as_bytes());
    let mut process = Listening::run(dir.path(), &["events.toml", "--embedded=log"]);
    let client = process.client();
    client.until_written("GET", "/");
    let before = process.resident();
    // 800 clients that have sent half a head, or half a body.
    let slow: Vec<_> = (0..800)
        .map(|i| {
            let head = if i % 2 == 0 {
                "POST /raw HTTP/1.1\r\n".to_owned()
            } else {
                format!(
                    "POST /raw HTTP/1.1\r\nhost: {}\r\ncontent-length: 900000\r\n\r\n{{\"id\":",
                    client.address
                )
            };
            client.open(head.as_bytes())
        })
        .collect();
    let refused = client.flood(1 << 30);
    assert_eq!(refused, Some(413), "a gigabyte");
    for number in 0..50 {
        let answer = client.ask("POST", "/raw", "", &format!(r#"{{"id":{number}}}"#));
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
    let after = process.resident();
    println!("resident: {before} KiB before, {after} KiB with 800 slow clients and behind a gigabyte");
    assert!(after < before + (64 << 10), "{before} KiB, then {after}");
    drop(slow);
    process.terminate();
}
