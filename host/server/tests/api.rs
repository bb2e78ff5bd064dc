//! The API of a process that runs: what it says, whom it lets in, and what it bears.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use common::served::Served;
use common::{command, plugin, said, wasmill, write};
use serde_json::Value;

const PIPELINE: &str = r#"
name = "numbers"
[sources.numbers]
type = "generator"
rate = 2000
kind = "temperature"
key = "/room"
[transforms.pass]
inputs = ["numbers"]
type = "wasm"
plugin = "poison.wasm"
[sinks.out]
inputs = ["pass"]
type = "kafka"
topic = "out"
"#;

/// Runs the pipeline.
fn run(dir: &Path, args: &[&str]) -> Served {
    write(&dir.join("poison.wasm"), &plugin("poison"));
    std::fs::write(dir.join("numbers.toml"), PIPELINE).unwrap();
    Served::run(dir, &[&["numbers.toml", "--embedded", "--no-watch"], args].concat())
}

fn read(process: &Served) -> u64 {
    process.json("/v1/pipelines/numbers")["counters"]["records_read"]
        .as_u64()
        .unwrap()
}

fn until_it_reads(process: &Served) {
    process.until_ready();
    process.until("records are read", || read(process) > 0);
}

#[test]
fn a_pipeline_is_paused_and_resumed_and_its_records_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let process = run(dir.path(), &[]);
    until_it_reads(&process);
    assert_eq!(process.ask("POST", "/v1/pipelines/none/pause", "").0, 404);

    // Records as they go by: what the transform hands out, so many a second.
    let mut stream = TcpStream::connect(process.api).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let path = "/v1/pipelines/numbers/tap/pass?rate=5&contains=temp";
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", process.api).unwrap();
    let mut seen = 0;
    let mut left_out = 0;
    let mut kind = String::new();
    for line in BufReader::new(&stream).lines() {
        let line = line.unwrap();
        said(path, &line);
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut kind);
        }
        let Some(data) = line.strip_prefix("data: ") else {
            continue;
        };
        let data: Value = serde_json::from_str(data).unwrap();
        if kind == "record" {
            seen += 1;
            assert_eq!((&data["node"], &data["port"]), (&"pass".into(), &"out".into()));
            assert!(data["value"].as_str().unwrap().contains("temp"), "{data}");
            assert!(data["key"].is_string() && data["offset"].is_i64());
        } else {
            left_out += data["count"].as_u64().unwrap();
        }
        if seen >= 5 && left_out > 0 {
            break;
        }
    }
    assert!(left_out > 100, "2,000 come by in a second: {left_out}");
    drop(stream);
    let (status, answer) = process.ask("GET", "/v1/pipelines/numbers/tap/none", "");
    assert!(
        status == 404 && answer.contains("it has numbers, pass, out"),
        "{answer}"
    );
    assert_eq!(process.ask("GET", "/v1/pipelines/numbers/tap/pass?rate=0", "").0, 400);
    assert_eq!(process.ask("GET", "/v1/pipelines/numbers/tap/pass?rate=x", "").0, 400);

    let answer = process.get("/health");
    assert!(answer.head.contains("x-request-id: "), "{}", answer.head);

    // Nothing moves while it is paused, and nothing is lost.
    let (status, answer) = process.ask("POST", "/v1/pipelines/numbers/pause", "");
    assert_eq!(status, 200, "{answer}");
    let standing = || {
        let before = read(&process);
        std::thread::sleep(Duration::from_millis(300));
        read(&process) == before
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !standing() {
        assert!(Instant::now() < deadline);
    }
    let one = process.json("/v1/pipelines/numbers");
    assert_eq!(one["state"], "paused", "{one}");
    assert_eq!(process.ask("GET", "/ready", "").0, 503);
    let (_, metrics) = process.ask("GET", "/metrics", "");
    assert!(
        metrics.contains("wasmill_pipeline_paused{pipeline=\"numbers\"} 1"),
        "{metrics}"
    );
    let before = read(&process);
    assert_eq!(process.ask("POST", "/v1/pipelines/numbers/resume", "").0, 200);
    let deadline = Instant::now() + Duration::from_secs(20);
    while read(&process) < before + 1_000 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
    let one = process.json("/v1/pipelines/numbers");
    assert_eq!(one["state"], "running");
    let (read, written) = (&one["counters"]["records_read"], &one["counters"]["records_written"]);
    assert_eq!(read, written, "each record has gone through once");

    // The plan, and what goes through it.
    let nodes: Vec<(&str, &str)> = one["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["name"].as_str().unwrap(), node["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(nodes, [("numbers", "source"), ("pass", "transform"), ("out", "topic")]);
    assert_eq!(one["edges"][1]["port"], "out");
    assert!(one["nodes"][1]["latency"]["p99_ms"].as_f64().unwrap() > 0.0);
    assert!(one["latency"]["p50_ms"].as_f64().unwrap() > 0.0);
    assert!(
        metrics.contains("wasmill_commit_seconds_count{pipeline=\"numbers\"}"),
        "{metrics}"
    );
    let deadline = Instant::now() + Duration::from_secs(20);
    while process.json("/v1/pipelines/numbers")["lag"]
        .as_array()
        .unwrap()
        .is_empty()
    {
        assert!(Instant::now() < deadline, "lag is looked at every few seconds");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn it_says_what_runs_and_reloads_it() {
    let dir = tempfile::tempdir().unwrap();
    let process = run(dir.path(), &[]);
    until_it_reads(&process);
    assert_eq!(process.ask("GET", "/health", ""), (200, "ok\n".to_owned()));
    let all = process.json("/v1/pipelines");
    let one = &all["pipelines"][0];
    assert_eq!((&one["name"], &one["state"]), (&"numbers".into(), &"running".into()));
    assert_eq!(one["transforms"][0]["plugin"], "poison 0.1.0");
    assert_eq!(process.ask("GET", "/v1/pipelines/none", "").0, 404);
    assert_eq!(process.ask("GET", "/none", "").0, 404);
    assert_eq!(process.ask("DELETE", "/v1/pipelines", "").0, 405);

    // A reload, by a command.
    let api = format!("http://{}", process.api);
    let toml = dir.path().join("numbers.toml");
    std::fs::write(
        &toml,
        PIPELINE.replace("poison.wasm\"", "poison.wasm\"\nlimits = { time_ms = 20 }"),
    )
    .unwrap();
    let ran = wasmill(dir.path(), &["reload", "numbers", "--api", &api, "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    let receipt = &answer["receipts"][0];
    assert_eq!(
        (&receipt["outcome"], &receipt["cause"]),
        (&"applied".into(), &"api".into())
    );
    assert_eq!(receipt["changes"][0]["what"], "limits");
    std::fs::write(&toml, PIPELINE.replace("[sinks.out]", "[sinks.out")).unwrap();
    let ran = wasmill(dir.path(), &["reload", "--api", &api]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("E0732") && ran.stderr.contains("numbers.toml:"),
        "{}",
        ran.stderr
    );
    let receipts = process.json("/v1/receipts?pipeline=numbers");
    assert_eq!(receipts["receipts"].as_array().unwrap().len(), 2);
    assert_eq!(
        process.json("/v1/receipts?pipeline=none")["receipts"]
            .as_array()
            .unwrap()
            .len(),
        0
    );

    // Metrics, the plugin's own among them.
    let (status, text) = process.ask("GET", "/metrics", "");
    assert_eq!(status, 200);
    for line in [
        "wasmill_pipeline_up{pipeline=\"numbers\"} 1.0",
        "wasmill_reloads{pipeline=\"numbers\",outcome=\"refused\"} 1.0",
        "# TYPE wasmill_plugin_seen counter",
        "wasmill_plugin_seen_total{pipeline=\"numbers\",transform=\"pass\"} ",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    // Each path of the document answers, and nothing else is in it.
    let document = process.json("/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    // Those that name something in a pipeline, or topics, have tests of their own.
    let is_plain = |path: &&String| !path.contains("{transform}") && !path.contains("{topic}");
    let all = document["paths"].as_object().unwrap().keys();
    let paths: Vec<&String> = all.filter(is_plain).collect();
    for path in &paths {
        // Events without end; what has a test of its own.
        if path.contains("/tap/") || path.contains("/dead-letters/") {
            continue;
        }
        let (path, method) = (path.replace("{name}", "numbers"), path);
        let method = if document["paths"][method]["get"].is_object() {
            "GET"
        } else {
            "POST"
        };
        assert_eq!(
            process.ask(method, &path, "content-length: 0\r\n").0,
            200,
            "{method} {path}"
        );
    }
    assert_eq!(paths.len(), 16);
    // The table for people.
    let ran = wasmill(dir.path(), &["pipelines", "--api", &api]);
    assert!(
        ran.stdout.contains("numbers") && ran.stdout.contains("running"),
        "{}",
        ran.stdout
    );
}

#[test]
fn tokens_open_what_they_are_for() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = "[[tokens]]\ntoken = \"sesame-read-0123456789abcdef\"\nrole = \"read\"\n\
                  [[tokens]]\ntoken = \"sesame-operate-0123456789abcdef\"\nrole = \"operate\"\n";
    std::fs::write(dir.path().join("tokens.toml"), tokens).unwrap();
    let process = run(dir.path(), &["--tokens", "tokens.toml"]);
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let read = bearer("sesame-read-0123456789abcdef");
    for (method, path, headers, expected) in [
        ("GET", "/health", "", 200),
        ("GET", "/metrics", "", 401),
        ("GET", "/v1/pipelines", "", 401),
        (
            "GET",
            "/v1/pipelines",
            bearer("sesame-read-0123456789abcdeg").as_str(),
            401,
        ),
        ("GET", "/v1/pipelines", &read, 200),
        ("POST", "/v1/reload", &read, 403),
        ("POST", "/v1/reload", &bearer("sesame-operate-0123456789abcdef"), 200),
    ] {
        let (status, body) = process.ask(method, path, headers);
        assert_eq!(status, expected, "{method} {path} {headers}: {body}");
        if expected > 400 {
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["status"], expected);
            assert!(!body.contains("0123456789"), "{body}");
        }
    }
    let api = format!("http://{}", process.api);
    let ran = command(dir.path(), &["pipelines", "--api", &api])
        .env("WASMILL_TOKEN", "sesame-read-0123456789abcdef")
        .output()
        .unwrap();
    assert!(ran.status.success());
    let ran = wasmill(dir.path(), &["pipelines", "--api", &api]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("a token is missing"), "{}", ran.stderr);
    let ran = wasmill(
        dir.path(),
        &["run", "numbers.toml", "--embedded", "--listen", "0.0.0.0:0"],
    );
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("--tokens"), "{}", ran.stderr);
}

/// Idle and slow clients, and bodies that do not end, hold neither records nor the API up for long.
#[test]
fn clients_that_misbehave_hold_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let process = run(dir.path(), &[]);
    until_it_reads(&process);
    let mut idle: Vec<TcpStream> = Vec::new();
    let mut refused = 0;
    for i in 0..1_000 {
        match TcpStream::connect(process.api) {
            Ok(mut stream) => {
                // Every other one begins a request and does not go on.
                if i % 2 == 0 {
                    let _ = stream.write_all(b"POST /v1/reload HTTP/1.1\r\nhost: loc");
                }
                idle.push(stream);
            }
            Err(_) => refused += 1,
        }
    }
    // Records flow, as the file descriptors and the log say: the API itself is full.
    std::thread::sleep(Duration::from_secs(12));
    drop(idle);
    let before = read(&process);
    std::thread::sleep(Duration::from_secs(2));
    let rate = (read(&process) - before) / 2;
    assert!(
        before > 2_000 * 8,
        "{before} records in more than 12 seconds; {refused} refused"
    );
    assert!((1_000..4_000).contains(&rate), "{rate} records a second");
    // A body that is announced as a gigabyte is not waited for.
    let json = "content-type: application/json\r\ncontent-length: 1000000000\r\n";
    let (status, _) = process.ask("POST", "/v1/pipelines/numbers/dead-letters/replay", json);
    assert_eq!(status, 413);
}
