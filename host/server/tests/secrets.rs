//! Secrets are in nothing that a process says: logs, answers, metrics, errors, results of commands. Every test looks
//! for them, by its helpers (`common::said`); here a process has many, and is made to say all that it can.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::secrets::{MARK, shown};
use common::{Ran, command, plugin, ran, said, write};
use serde_json::Value;

/// Each is planted somewhere else.
const IN_CONFIG: &str = "sesame-config-7f3a";
const IN_URL: &str = "sesame-url-91bc";
const IN_FILE: &str = "sesame-file-d04e\nsecond-line-sesame-d04e";
const IN_KAFKA: &str = "sesame-kafka-55aa";
const IN_TOKEN: &str = "sesame-token-0123456789abcdef";
const IN_BAD: &str = "sesame-bad-c0de";

const PIPELINE: &str = r#"
name = "secrets"
[kafka]
brokers = "localhost:1"
[kafka.properties]
"sasl.password" = "${env:IN_KAFKA}"
[sources.numbers]
type = "generator"
kind = "temperature"
rate = 200
[transforms.enrich]
inputs = ["numbers"]
type = "wasm"
plugin = "enrich.wasm"
on_error = "dead_letter"
config = { fields = { note = "${env:IN_CONFIG}", other = "${file:secret.txt}" } }
[sinks.rows]
inputs = ["enrich"]
type = "mysql"
url = "mysql://user:${env:IN_URL}@127.0.0.1:1/db"
table = "t"
key = ["n"]
columns = { n = "bigint" }
"#;

fn with_secrets(dir: &Path, args: &[&str]) -> common::Command {
    let mut command = command(dir, args);
    command
        .env("IN_CONFIG", IN_CONFIG)
        .env("IN_URL", IN_URL)
        .env("IN_KAFKA", IN_KAFKA)
        .env("IN_BAD", IN_BAD);
    command
}

/// Runs a command to its end.
fn told(dir: &Path, args: &[&str]) -> Ran {
    ran(with_secrets(dir, args).output().unwrap())
}

fn until<T>(log: &Mutex<String>, what: &str, mut found: impl FnMut(&str) -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = found(&log.lock().unwrap()) {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}:\n{}", log.lock().unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nothing_that_a_process_says_has_a_secret_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(&dir.join("enrich.wasm"), &plugin("enrich"));
    write(&dir.join("secret.txt"), IN_FILE.as_bytes());
    let file = dir.join("secrets.toml");
    write(&file, PIPELINE.as_bytes());
    let tokens = format!("[[tokens]]\ntoken = \"{IN_TOKEN}\"\nrole = \"operate\"\n");
    write(&dir.join("tokens.toml"), tokens.as_bytes());

    let args = [
        "run",
        "secrets.toml",
        "--embedded",
        "--no-watch",
        "--listen",
        "127.0.0.1:0",
        "--tokens",
        "tokens.toml",
        "--json",
        "--log",
        "debug",
    ];
    let log = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&log);
    let _process = with_secrets(dir, &args).start(move |line| {
        let mut log = to.lock().unwrap();
        log.push_str(&line);
        log.push('\n');
    });
    let api = until(&log, "it says where the API is", |log| {
        let (_, rest) = log.split_once("the API is at ")?;
        Some(rest.split(['"', '\n']).next()?.to_owned())
    });
    let ask = |args: &[&str]| {
        let mut command = with_secrets(dir, &[args, &["--api", &api]].concat());
        ran(command.env("WASMILL_TOKEN", IN_TOKEN).output().unwrap())
    };
    // The sink's service is not there, which it says again and again.
    until(&log, "the sink complains", |log| {
        log.contains("Connection refused").then_some(())
    });

    // A config that the plugin refuses, a secret that is missing, a secret with a line feed where none may be,
    // TOML that is broken around a secret: each is refused, and says so without it.
    for broken in [
        PIPELINE.replace("{ fields", "{ headers = \"${env:IN_BAD}\", fields"),
        PIPELINE.replace("${env:IN_CONFIG}", "${env:MISSING}"),
        PIPELINE.replace("type = \"mysql\"", "type = \"${env:IN_BAD}\""),
        PIPELINE.replace(
            "table = \"t\"",
            "table = \"${file:secret.txt}\"\nmode = \"${env:IN_BAD}\"",
        ),
        PIPELINE.replace("127.0.0.1:1/db", "127.0.0.1:1:${env:IN_BAD}/db"),
        PIPELINE.replace("[sinks.rows]", "[sinks.rows"),
    ] {
        write(&file, broken.as_bytes());
        let reload = ask(&["reload"]);
        assert_eq!(reload.code, Some(1), "{}", reload.golden());
        for json in [false, true] {
            let mut args = vec!["validate", "secrets.toml", "--embedded"];
            args.extend(json.then_some("--json"));
            let validated = told(dir, &args).golden();
            assert!(validated.contains("E0"), "{validated}");
        }
    }
    write(&file, PIPELINE.as_bytes());
    for args in [
        &["graph", "secrets.toml", "--embedded"][..],
        &["graph", "secrets.toml", "--embedded", "--json"],
        &["validate", "secrets.toml"],
        &["doctor", "secrets.toml"],
    ] {
        told(dir, args);
    }

    // Every answer. Records are what the plugin makes of them, its config among it: taps and dead letters show those
    // to whoever may read, and are no place of ours to hide something in.
    let document = ask(&["pipelines", "--json"]);
    assert!(document.stdout.contains("\"secrets\""), "{}", document.golden());
    let client = api.trim_start_matches("http://").to_owned();
    let get = |path: &str, headers: &str| {
        let mut stream = std::net::TcpStream::connect(&client).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {client}\r\n{headers}connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        said(path, &answer);
        answer
    };
    let bearer = format!("authorization: Bearer {IN_TOKEN}\r\n");
    let answer = get("/openapi.json", &bearer);
    let document: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let shows_records = ["/tap/", "/dead-letters", "/state/", "/query/", "/topics/"]
            .iter()
            .any(|part| path.contains(part));
        if methods["get"].is_object() && !shows_records {
            let path = path.replace("{name}", "secrets");
            let answer = get(&path, &bearer);
            assert!(
                answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 503"),
                "{path}: {answer}"
            );
            get(&path, "authorization: Bearer sesame-wrong\r\n");
            asked += 1;
        }
    }
    assert!(asked >= 7, "{asked}");
    let log = log.lock().unwrap().clone();
    assert!(log.lines().count() > 20, "{log}");
}

/// All Rust sources below a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// No test starts the binary, or asks it over HTTP, past the helpers that look for secrets.
#[test]
fn all_tests_go_through_what_looks_for_secrets() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let binary = concat!("CARGO_BIN_EXE", "_wasmill");
    let connect = concat!("TcpStream", "::connect(");
    let mut found = 0;
    for file in sources(&tests) {
        let text = std::fs::read_to_string(&file).unwrap();
        if text.contains(binary) || text.contains(connect) {
            assert!(
                text.contains("said("),
                "{} reads what a process says, and gives none of it to `common::said`",
                file.display()
            );
            found += 1;
        }
    }
    assert!(found >= 4, "{found} files");
}

#[test]
fn the_mark_is_found_in_every_form() {
    use base64::Engine as _;
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{MARK}-token");
        let encoded = base64::engine::general_purpose::STANDARD.encode(&text);
        let debugged = format!("{:?}", text.as_bytes());
        for form in [text.to_uppercase(), encoded, debugged] {
            assert!(shown(&format!("x {form} y")).is_some(), "{form}");
        }
    }
    assert_eq!(shown("open, says me"), None);
}
