//! Reloads on a real broker: sessions end and begin, groups are joined again, and nothing is lost or repeated.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;
mod services;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use common::{built_anew, wasmill, write};
use serde_json::Value;
use services::*;

const RELOADS: usize = 40;

/// Asks the process to reload, and answers its receipt.
fn reload(api: &str) -> Value {
    let ran = wasmill(Path::new("."), &["reload", "--json", "--api", api]);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.golden()));
    answer["receipts"][0].clone()
}

#[test]
fn reloads_under_load_lose_and_repeat_nothing() {
    let name = unique("reload");
    let (input, output) = (format!("{name}-in"), format!("{name}-out"));
    create_topic(&input, 4);
    create_topic(&output, 4);
    let dir = tempfile::tempdir().unwrap();
    let component = dir.path().join("word_count.wasm");
    let count = std::fs::read(plugin("word_count")).unwrap();
    write(&component, &count);
    let text = |commit: usize, memory: usize| {
        format!(
            r#"
name = "{name}"
workers = 2
commit_interval_ms = {commit}
[kafka]
brokers = "{brokers}"
[sources.lines]
type = "kafka"
topics = ["{input}"]
start = "earliest"
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "{split}"
limits = {{ memory_mib = {memory} }}
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "{}"
[sinks.out]
inputs = ["count"]
type = "kafka"
topic = "{output}"
"#,
            component.display(),
            brokers = brokers(),
            split = plugin("word_split"),
        )
    };
    let file = pipeline(dir.path(), &text(50, 64));
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let listen = format!("127.0.0.1:{port}");
    let api = format!("http://{listen}");
    let mut process = Process::run(dir.path(), &file, "p", &["--no-watch", "--listen", &listen]);
    let watcher = Watcher::new(&output, 4);
    let feeder = Feeder::start(&input, 50, Duration::from_millis(10));
    assert!(watcher.wait_for(1_000, Duration::from_secs(60)), "{}", process.tail());
    let (mut commit, mut memory, mut anew) = (50, 64, count.clone());
    let mut pauses: HashMap<&str, Vec<f64>> = HashMap::new();
    for number in 1..=RELOADS {
        let expected = match number % 8 {
            0 => "refused",
            4 => {
                commit += 1;
                "restarted"
            }
            odd if odd % 2 == 1 => {
                anew = built_anew(&count, number);
                "applied"
            }
            _ => {
                memory += 1;
                "applied"
            }
        };
        write(&component, if expected == "refused" { &anew[..1_000] } else { &anew });
        write(&file, text(commit, memory).as_bytes());
        let receipt = reload(&api);
        assert_eq!(receipt["outcome"], expected, "{number}: {receipt}\n{}", process.tail());
        if expected != "refused" {
            pauses
                .entry(expected)
                .or_default()
                .push(receipt["pause_ms"].as_f64().unwrap());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let sent = feeder.stop();
    assert!(
        watcher.wait_for(2 * sent, Duration::from_secs(60)),
        "{} of {}\n{}",
        watcher.count(),
        2 * sent,
        process.tail()
    );
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(process.terminate(), Some(0), "{}", process.tail());
    for (outcome, mut pauses) in pauses {
        pauses.sort_by(f64::total_cmp);
        let (median, most) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
        println!(
            "{outcome}: {} times; pause {median:.1} ms in the median, {most:.1} at most",
            pauses.len()
        );
    }
    println!("{sent} lines");
    assert_counted_once(&watcher, sent);
}
