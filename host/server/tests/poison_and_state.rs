//! A plugin that traps on one record, a state directory that is deleted between two runs, and a restore
//! from a changelog in which a transaction is open.

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
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use services::*;

#[test]
fn a_poisoned_record_goes_to_the_dead_letters_and_all_others_arrive_once() {
    let name = unique("poison");
    let (input, output, letters) = (format!("{name}-in"), format!("{name}-out"), format!("{name}-dead"));
    for topic in [&input, &output, &letters] {
        create_topic(topic, 2);
    }
    let dir = tempfile::tempdir().unwrap();
    let file = pipeline(
        dir.path(),
        &format!(
            r#"
name = "{name}"
dead_letter_topic = "{letters}"
[kafka]
brokers = "{brokers}"
[sources.records]
type = "kafka"
topics = ["{input}"]
[transforms.pass]
inputs = ["records"]
type = "wasm"
plugin = "{plugin}"
on_error = "dead_letter"
[sinks.out]
inputs = ["pass"]
type = "kafka"
topic = "{output}"
"#,
            brokers = brokers(),
            plugin = plugin("poison"),
        ),
    );
    let producer = Producer::new();
    for i in 0..5_000 {
        let value = if i == 2_468 {
            format!("poison {i}")
        } else {
            format!("value {i}")
        };
        producer.send(&input, Some(i % 2), Some(format!("k{i}").as_bytes()), value.as_bytes());
    }
    producer.flush();
    let (out, dead) = (Watcher::new(&output, 2), Watcher::new(&letters, 2));
    let mut process = Process::run(dir.path(), &file, "p", &["--until-end"]);
    assert_eq!(process.wait(Duration::from_secs(120)), Some(0), "{}", process.tail());
    assert!(
        out.wait_for(4_999, Duration::from_secs(20)),
        "{}\n{}",
        out.count(),
        process.tail()
    );
    assert!(dead.wait_for(1, Duration::from_secs(20)), "{}", process.tail());
    std::thread::sleep(Duration::from_millis(500));

    let mut values: Vec<String> = out.seen.lock().iter().filter_map(|seen| seen.value.clone()).collect();
    values.sort();
    values.dedup();
    assert_eq!((values.len(), out.count()), (4_999, 4_999), "each once");
    let dead = dead.seen.lock().clone();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].value.as_deref(), Some("poison 2468"));
    assert_eq!(dead[0].key.as_deref(), Some("k2468"));
    let header = |name: &str| dead[0].headers.get(name).cloned().unwrap_or_default();
    assert_eq!(header("wasmill-origin"), format!("{input}:0:1234"));
    assert_eq!(header("wasmill-node"), "pass");
    assert_eq!(header("wasmill-error-code"), "trap");
    assert!(header("wasmill-error").contains("poison"), "{:?}", dead[0].headers);
    assert!(header("wasmill-plugin").starts_with("poison@"), "{:?}", dead[0].headers);
}

#[test]
fn counts_go_on_where_they_were_when_the_state_directory_is_deleted() {
    let name = unique("regrow");
    let (input, output) = (format!("{name}-lines"), format!("{name}-counts"));
    create_topic(&input, 3);
    create_topic(&output, 3);
    let dir = tempfile::tempdir().unwrap();
    let file = word_count(dir.path(), &name, &input, &output);
    let watcher = Watcher::new(&output, 3);
    let producer = Producer::new();
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..2 {
        for i in 0..2_000 {
            let line = format!("a b{} c{}", i % 10, i % 100);
            for word in line.split(' ') {
                *expected.entry(word.to_owned()).or_default() += 1;
            }
            producer.send(&input, Some(i % 3), None, line.as_bytes());
        }
        producer.flush();
        let mut process = Process::run(dir.path(), &file, "p", &["--until-end"]);
        assert_eq!(process.wait(Duration::from_secs(120)), Some(0), "{}", process.tail());
        let total = 6_000 * (round + 1);
        assert!(
            watcher.wait_for(total, Duration::from_secs(20)),
            "{} of {total}\n{}",
            watcher.count(),
            process.tail()
        );
        std::fs::remove_dir_all(dir.path().join("state-p")).unwrap();
    }
    assert_eq!(counted(&watcher), expected);
}

/// A restore reads committed records only, and goes to the end that all records have: what is open
/// there may still be committed, and belongs to positions that are.
#[test]
fn a_restore_waits_for_what_is_open_in_the_changelog() {
    let name = unique("open");
    let (input, output) = (format!("{name}-lines"), format!("{name}-counts"));
    create_topic(&input, 3);
    create_topic(&output, 3);
    let dir = tempfile::tempdir().unwrap();
    let file = word_count(dir.path(), &name, &input, &output);
    let watcher = Watcher::new(&output, 3);
    let lines = || {
        let producer = Producer::new();
        for i in 0..300 {
            producer.send(
                &input,
                Some(i % 3),
                None,
                format!("a b{} c{}", i % 10, i % 100).as_bytes(),
            );
        }
        producer.flush();
    };
    lines();
    let mut process = Process::run(dir.path(), &file, "p", &["--until-end"]);
    assert_eq!(process.wait(Duration::from_secs(120)), Some(0), "{}", process.tail());
    assert!(watcher.wait_for(900, Duration::from_secs(20)), "{}", watcher.count());
    std::fs::remove_dir_all(dir.path().join("state-p")).unwrap();

    // Nothing that a restore could take for state, so one that reads it fails.
    let other: ThreadedProducer<DefaultProducerContext> =
        client().set("transactional.id", unique("other")).create().unwrap();
    let wait = Duration::from_secs(20);
    other.init_transactions(wait).unwrap();
    other.begin_transaction().unwrap();
    let changelog = format!("{name}-count-changelog");
    for partition in 0..3 {
        let record = BaseRecord::<[u8], [u8]>::to(&changelog)
            .partition(partition)
            .key(b"no state")
            .payload(b"at all");
        other.send(record).map_err(|(error, _)| error).unwrap();
    }
    other.flush(wait).unwrap();
    lines();
    let mut process = Process::run(dir.path(), &file, "p", &["--until-end"]);
    std::thread::sleep(Duration::from_secs(4));
    assert!(process.is_running(), "{}", process.tail());
    assert_eq!(watcher.count(), 900, "{}", process.tail());
    other.abort_transaction(wait).unwrap();
    assert_eq!(process.wait(Duration::from_secs(120)), Some(0), "{}", process.tail());
    assert!(watcher.wait_for(1_800, Duration::from_secs(20)), "{}", watcher.count());
    assert_eq!(counted(&watcher)["a"], 600);
}

fn word_count(dir: &Path, name: &str, input: &str, output: &str) -> PathBuf {
    pipeline(
        dir,
        &format!(
            r#"
name = "{name}"
[kafka]
brokers = "{brokers}"
[sources.lines]
type = "kafka"
topics = ["{input}"]
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "{split}"
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "{count}"
[sinks.counts]
inputs = ["count"]
type = "kafka"
topic = "{output}"
"#,
            brokers = brokers(),
            split = plugin("word_split"),
            count = plugin("word_count"),
        ),
    )
}

/// The last count of each word; each went up by one, from one.
fn counted(watcher: &Watcher) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for seen in watcher.seen.lock().iter() {
        let value: serde_json::Value = serde_json::from_str(seen.value.as_deref().unwrap()).unwrap();
        let count = counts.entry(value["word"].as_str().unwrap().to_owned()).or_default();
        *count += 1;
        assert_eq!(value["count"].as_u64(), Some(*count), "{}", value["word"]);
    }
    counts
}
