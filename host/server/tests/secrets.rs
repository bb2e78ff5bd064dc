//! Secrets are in nothing that a process says: logs, answers, metrics, errors, results of commands.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{command, plugin, write};
use serde_json::Value;

/// Each is planted somewhere else.
const IN_CONFIG: &str = "sesame-config-7f3a";
const IN_URL: &str = "sesame-url-91bc";
const IN_FILE: &str = "sesame-file-d04e\nsecond-line-d04e";
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

/// Everything that is planted, as it may be written.
fn planted() -> Vec<String> {
    let second = IN_FILE.lines().nth(1).unwrap();
    [
        IN_CONFIG,
        IN_URL,
        IN_KAFKA,
        IN_TOKEN,
        IN_BAD,
        "sesame-file-d04e",
        second,
    ]
    .into_iter()
    .flat_map(|secret| {
        let encoded = base64(secret.as_bytes());
        [secret.to_owned(), encoded.trim_end_matches('=').to_owned()]
    })
    .collect()
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .map(|chunk| {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            let signs = (0..=chunk.len()).map(|i| SIGNS[(bits >> (18 - 6 * i) & 63) as usize] as char);
            signs.collect::<String>()
        })
        .collect()
}

fn holds_no_secret(what: &str, text: &str) {
    for secret in planted() {
        assert!(!text.contains(&secret), "{what} tells `{secret}`:\n{text}");
    }
}

fn with_secrets(dir: &Path, args: &[&str]) -> std::process::Command {
    let mut command = command(dir, args);
    command
        .env("IN_CONFIG", IN_CONFIG)
        .env("IN_URL", IN_URL)
        .env("IN_KAFKA", IN_KAFKA)
        .env("IN_BAD", IN_BAD);
    command
}

struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn until<T>(&self, what: &str, mut found: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = found(&self.log.lock().unwrap()) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "in vain: {what}:\n{}",
                self.log.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
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
    let mut child = with_secrets(dir, &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    let pipes: [Box<dyn Read + Send>; 2] = [
        Box::new(child.stdout.take().unwrap()),
        Box::new(child.stderr.take().unwrap()),
    ];
    for mut pipe in pipes {
        let log = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = pipe.read(&mut bytes)
                && count > 0
            {
                log.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
    }
    let running = Running { child, log };
    let api = running.until("it says where the API is", |log| {
        let (_, rest) = log.split_once("the API is at ")?;
        Some(rest.split(['"', '\n']).next()?.to_owned())
    });
    let ask = |args: &[&str]| {
        let ran = with_secrets(dir, &[args, &["--api", &api]].concat())
            .env("WASMILL_TOKEN", IN_TOKEN)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        holds_no_secret(&args.join(" "), &said);
        (ran.status.code(), said)
    };
    // The sink's service is not there, which it says again and again.
    running.until("the sink complains", |log| log.contains("127.0.0.1:1").then_some(()));

    // A config that the plugin refuses, a secret that is missing, a secret with a line feed where none may be,
    // TOML that is broken around a secret: each is refused, and says so without it.
    for broken in [
        PIPELINE
            .replace("fields = {", "fields = { \"\" = 1, bad = \"${env:IN_BAD}\", ")
            .replace("note =", "headers = \"${env:IN_BAD}\", note ="),
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
        let (code, said) = ask(&["reload"]);
        assert_eq!(code, Some(1), "{said}");
        for json in [false, true] {
            let mut args = vec!["validate", "secrets.toml", "--embedded"];
            args.extend(json.then_some("--json"));
            let ran = with_secrets(dir, &args).output().unwrap();
            let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
            holds_no_secret("validate", &said);
            assert!(said.contains("E0"), "{said}");
        }
    }
    write(&file, PIPELINE.as_bytes());
    for args in [
        &["graph", "secrets.toml", "--embedded"][..],
        &["graph", "secrets.toml", "--embedded", "--json"],
        &["validate", "secrets.toml"],
        &["doctor", "secrets.toml"],
    ] {
        let ran = with_secrets(dir, args).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        holds_no_secret(&args.join(" "), &said);
    }

    // Every answer. Records are what the plugin makes of them, its config among it: taps and dead letters show those
    // to whoever may read, and are no place of ours to hide something in.
    let (_, document) = ask(&["pipelines", "--json"]);
    assert!(document.contains("\"secrets\""), "{document}");
    let client = api.trim_start_matches("http://").to_owned();
    let get = |path: &str, headers: &str| {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(&client).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {client}\r\n{headers}connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let bearer = format!("authorization: Bearer {IN_TOKEN}\r\n");
    let answer = get("/openapi.json", &bearer);
    let document: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let shows_records = ["/tap/", "/dead-letters", "/state/", "/query/"]
            .iter()
            .any(|part| path.contains(part));
        if methods["get"].is_object() && !shows_records {
            let path = path.replace("{name}", "secrets");
            let answer = get(&path, &bearer);
            assert!(
                answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 503"),
                "{path}: {answer}"
            );
            holds_no_secret(&path, &answer);
            holds_no_secret(&path, &get(&path, "authorization: Bearer sesame-wrong\r\n"));
            asked += 1;
        }
    }
    assert!(asked >= 7, "{asked}");
    let log = running.log.lock().unwrap().clone();
    assert!(log.lines().count() > 20, "{log}");
    holds_no_secret("the log", &log);
}
