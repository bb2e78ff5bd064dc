//! `temperature` to MongoDB and to a topic with three processes, one killed and one added under way.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;
mod services;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use services::*;

const PARTITIONS: i32 = 6;
const READINGS: usize = 30_000;
const ROOMS: u64 = 50;

#[test]
fn each_reading_counts_once_while_processes_come_and_go() {
    let mut random = Random::seeded("temperature_scaled");
    let name = unique("ts");
    let (input, alpha) = (format!("{name}-readings"), format!("{name}-alpha"));
    create_topic(&input, PARTITIONS);
    create_topic(&alpha, PARTITIONS);
    let dir = tempfile::tempdir().unwrap();
    let file = pipeline(
        dir.path(),
        &format!(
            r#"
name = "{name}"
[kafka]
brokers = "{brokers}"
[sources.readings]
type = "kafka"
topics = ["{input}"]
[transforms.average]
inputs = ["readings"]
type = "wasm"
plugin = "{plugin}"
[sinks.alpha]
inputs = ["average"]
type = "kafka"
topic = "{alpha}"
[sinks.rooms]
inputs = ["average"]
type = "mongodb"
url = "{mongodb}"
database = "{database}"
collection = "rooms"
"#,
            brokers = brokers(),
            plugin = plugin("temperature"),
            mongodb = mongodb_url(),
            database = name.replace('-', "_"),
        ),
    );

    let mut readings: Vec<(String, f64)> = Vec::new();
    for _ in 0..READINGS {
        let room = format!("r{}", random.below(ROOMS));
        readings.push((room, 15.0 + random.below(1_200) as f64 / 100.0));
    }
    // Per room, in offset order: one room is one key, one partition.
    let mut expected: BTreeMap<String, (f64, u64, f64, Option<f64>)> = BTreeMap::new();
    for (room, temp) in &readings {
        let (sum, count, last, delta) = expected.entry(room.clone()).or_insert((0.0, 0, 0.0, None));
        *delta = (*count > 0).then_some(*temp - *last);
        *sum += *temp;
        *count += 1;
        *last = *temp;
    }
    let to = input;
    let producer = std::thread::spawn(move || {
        let producer = Producer::new();
        let began = Instant::now();
        for (i, (room, temp)) in readings.iter().enumerate() {
            let value = format!(r#"{{"room":"{room}","temp":{temp},"ts":{i}}}"#);
            producer.send(&to, None, Some(room.as_bytes()), value.as_bytes());
            if i % 50 == 49 {
                let due = Duration::from_millis(i as u64);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
        }
        producer.flush();
    });

    let watcher = Watcher::new(&alpha, PARTITIONS);
    let mut processes: Vec<Process> = ["a", "b", "c"]
        .iter()
        .map(|name| Process::run(dir.path(), &file, name, &[]))
        .collect();
    let tails = |processes: &[Process]| processes.iter().map(Process::tail).collect::<Vec<_>>().join("\n---\n");
    assert!(
        watcher.wait_for(READINGS / 6, Duration::from_secs(90)),
        "{} records:\n{}",
        watcher.count(),
        tails(&processes)
    );
    processes[1].kill();
    std::thread::sleep(Duration::from_millis(500));
    processes.push(Process::run(dir.path(), &file, "d", &[]));
    producer.join().unwrap();
    let done = watcher.wait_for(READINGS, Duration::from_secs(180));
    assert!(done, "{} of {READINGS}:\n{}", watcher.count(), tails(&processes));

    let mut last: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for seen in watcher.seen.lock().iter() {
        let value: serde_json::Value = serde_json::from_str(seen.value.as_deref().unwrap()).unwrap();
        let room = value["room"].as_str().unwrap().to_owned();
        let count = counts.entry(room.clone()).or_default();
        *count += 1;
        assert_eq!(value["count"].as_u64(), Some(*count), "{room}");
        last.insert(room, value);
    }
    for (room, (sum, count, _, delta)) in &expected {
        let value = &last[room];
        assert_eq!(value["count"].as_u64(), Some(*count), "{room}");
        assert_eq!(value["avg"].as_f64(), Some(sum / *count as f64), "{room}");
        assert_eq!(value["delta"].as_f64(), *delta, "{room}");
    }

    let runtime = runtime();
    let mut found = BTreeMap::new();
    let database = name.replace('-', "_");
    let equal = wait_until(Duration::from_secs(180), || {
        found = runtime.block_on(documents(&database));
        found.len() == expected.len()
            && expected
                .iter()
                .all(|(room, (sum, count, _, delta))| found.get(room) == Some(&(*count, sum / *count as f64, *delta)))
    });
    assert!(equal, "{found:?}\n{}", tails(&processes));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(watcher.count(), READINGS, "exactly one record per reading");
    for (i, process) in processes.iter_mut().enumerate().filter(|(i, _)| *i != 1) {
        assert_eq!(process.terminate(), Some(0), "process {i}:\n{}", process.tail());
    }
}

/// Per room: count, average, last delta.
async fn documents(database: &str) -> BTreeMap<String, (u64, f64, Option<f64>)> {
    use futures_util::TryStreamExt as _;
    use mongodb::bson::{Bson, Document};
    let client = mongodb::Client::with_uri_str(mongodb_url()).await.unwrap();
    let collection = client.database(database).collection::<Document>("rooms");
    let documents: Vec<Document> = match collection.find(Document::new()).await {
        Ok(cursor) => cursor.try_collect().await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let number = |value: Option<&Bson>| match value {
        Some(Bson::Double(n)) => Some(*n),
        Some(Bson::Int32(n)) => Some(f64::from(*n)),
        Some(Bson::Int64(n)) => Some(*n as f64),
        _ => None,
    };
    documents
        .iter()
        .filter_map(|document| {
            Some((
                document.get_str("_id").ok()?.to_owned(),
                (
                    number(document.get("count"))? as u64,
                    number(document.get("avg"))?,
                    number(document.get("delta")),
                ),
            ))
        })
        .collect()
}
