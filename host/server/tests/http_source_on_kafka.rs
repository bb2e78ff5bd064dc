//! What was answered with success is in the topic on Kafka, whatever is killed.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;
mod listening;
mod services;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use listening::Listening;
use services::{Watcher, brokers, create_topic, unique, wait_until};

#[test]
fn every_success_is_in_the_topic_whatever_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let name = unique("http");
    let topic = format!("{name}-events");
    create_topic(&topic, 4);
    let text = format!(
        r#"
name = "{name}"
create_topics = true
[kafka]
brokers = "{}"
[sources.events]
type = "http"
listen = "127.0.0.1:0"
topic = "{topic}"
[[sources.events.routes]]
path = "/events/{{id}}"
event = {{ id = "{{path.id}}" }}
key = "{{path.id}}"
answer = "kept"
[sinks.out]
type = "kafka"
inputs = ["events"]
topic = "{name}-out"
"#,
        brokers()
    );
    std::fs::write(dir.path().join("events.toml"), text).unwrap();
    let mut all = Vec::new();
    for round in 0..3 {
        let mut process = Listening::run(dir.path(), &["events.toml", "--state-dir", "state"]);
        let client = process.client();
        client.until_written("POST", &format!("/events/first-{round}"));
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (client, stop) = (client.clone(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let mut accepted = Vec::new();
                    for number in 0.. {
                        let id = format!("{round}-{thread}-{number}");
                        match client.try_ask("POST", &format!("/events/{id}"), "", "") {
                            Ok(answer) if answer.status == 200 => accepted.push(id),
                            _ if stop.load(Ordering::Acquire) => break,
                            _ => {}
                        }
                    }
                    accepted
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(2));
        if round == 2 {
            process.terminate();
        } else {
            process.kill();
        }
        stop.store(true, Ordering::Release);
        for thread in threads {
            all.extend(thread.join().unwrap());
        }
    }
    assert!(all.len() > 100, "{}", all.len());
    let watcher = Watcher::new(&topic, 4);
    let has = |id: &String| watcher.seen.lock().iter().any(|seen| seen.key.as_ref() == Some(id));
    let complete = wait_until(Duration::from_secs(60), || all.iter().all(has));
    let missing: Vec<_> = all.iter().filter(|id| !has(id)).collect();
    assert!(complete, "{} of {} are missing: {missing:?}", missing.len(), all.len());
    for seen in watcher.seen.lock().iter() {
        let key = seen.key.as_deref().unwrap();
        let partition = record::partitioner::partition_for_key(key.as_bytes(), 4);
        assert_eq!(seen.partition, i32::try_from(partition).unwrap(), "{key}");
    }
    println!("{} requests with success, two kills and an end", all.len());
}
