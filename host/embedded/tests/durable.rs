//! What a directory keeps, who may open it, and what leaves it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use record::log::{Edge, Isolation, Log, LogError, PollLimit, Polled, Position};
use record::{Batch, NextOffset, TopicPartition};
use testkit::log_conformance::{Subject, key_value};
use wasmill_embedded::EmbeddedLog;

const CALL: Duration = Duration::from_secs(10);

fn open(directory: &Path) -> Subject {
    Subject::new(Arc::new(EmbeddedLog::open(Some(directory)).unwrap()))
}

#[test]
fn a_log_that_is_opened_again_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (topic, group, before, seen) = {
        let s = open(directory.path());
        let topic = s.topic_with("t", 2, &[("max.message.bytes", "100")]);
        let group = s.name("g");
        let mut batch = Batch::new(Arc::from(""), 0);
        for i in 0..10 {
            batch.push(Some(b"k"), (i != 4).then_some(b"v".as_slice()), 1_000 + i);
            batch.headers.push(b"h", None);
            batch.headers.close(i as usize);
        }
        s.log.append(&topic, &batch, &[1; 10], CALL).unwrap();
        let at = TopicPartition::new(Arc::clone(&topic), 1);
        s.log.delete_records(&[(at.clone(), NextOffset(3))], CALL).unwrap();
        let position = Position {
            at,
            next: NextOffset(7),
            note: "n\u{e4}".to_owned(),
        };
        s.log.set_committed(&group, &[position], CALL).unwrap();
        let info = s.log.topics(&[&topic], CALL).unwrap();
        let seen = s.visible(&topic);
        assert_eq!(seen.len(), 7);
        (topic, group, info, seen)
    };
    let s = open(directory.path());
    let at = TopicPartition::new(Arc::clone(&topic), 1);
    assert_eq!(s.log.topics(&[&topic], CALL).unwrap(), before);
    assert_eq!(s.visible(&topic), seen);
    assert_eq!(s.offset(&at, Edge::Start), NextOffset(3));
    assert_eq!(s.offset(&at, Edge::End), NextOffset(10));
    assert_eq!(s.offset(&at, Edge::Time(1_005)), NextOffset(5));
    assert_eq!(s.committed(&group, &at), Some((NextOffset(7), "n\u{e4}".to_owned())));
    let large = key_value("k", Some(&"x".repeat(200)));
    let refused = s.log.append(&topic, &large, &[1], CALL);
    assert!(matches!(refused, Err(LogError::TooLarge { .. })), "{refused:?}");
    s.append(&topic, 1, &["more"]);
    assert_eq!(s.offset(&at, Edge::End), NextOffset(11));
}

#[test]
fn a_second_opening_is_refused_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(Some(directory.path())).unwrap();
    let session = log.reader(Isolation::ReadCommitted).unwrap();
    drop(log);
    // A session or reader keeps it open.
    let refused = EmbeddedLog::open(Some(directory.path())).err().unwrap().to_string();
    assert!(refused.contains("in use"), "{refused}");
    assert!(refused.contains("stop it first"), "{refused}");
    drop(session);
    EmbeddedLog::open(Some(directory.path())).unwrap();
}

/// More than memory keeps of a partition, so that old records come from the disk.
#[test]
fn records_that_left_memory_are_read_from_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let count = 6_000_i64;
    let topic = {
        let s = open(directory.path());
        let topic = s.topic("big", 1);
        let padding = "x".repeat(4_000);
        for start in (0..count).step_by(500) {
            let mut batch = Batch::new(Arc::from(""), 0);
            for n in start..start + 500 {
                batch.push(None, Some(format!("{n} {padding}").as_bytes()), 1_000 + n);
            }
            s.log.append(&topic, &batch, &[0; 500], CALL).unwrap();
        }
        check_numbers(&s, &topic, count);
        topic
    };
    let s = open(directory.path());
    check_numbers(&s, &topic, count);
}

fn check_numbers(s: &Subject, topic: &Arc<str>, count: i64) {
    let at = TopicPartition::new(Arc::clone(topic), 0);
    for time in [0, 1, 2_500, count - 1] {
        assert_eq!(s.offset(&at, Edge::Time(1_000 + time)), NextOffset(time));
    }
    let mut reader = s.log.reader(Isolation::ReadCommitted).unwrap();
    let mut polled = Polled::default();
    // A run through from the start, and shorter ones from the middle.
    for start in [0, 137, 3_001, count - 5] {
        reader.assign(&[(at.clone(), NextOffset(start))]).unwrap();
        let mut next = start;
        while next < count {
            polled.clear();
            reader.poll(CALL, PollLimit::default(), &mut polled).unwrap();
            let batch = &polled.batches[0];
            assert!(!batch.is_empty());
            for i in 0..batch.len() {
                assert_eq!(batch.offsets[i], next);
                let number = batch.values.get(i).unwrap().split(|b| *b == b' ').next();
                assert_eq!(number, Some(next.to_string().as_bytes()));
                next += 1;
            }
        }
    }
}

/// The last value of each key, and how many records are there.
fn table(s: &Subject, topic: &Arc<str>) -> (BTreeMap<String, Option<String>>, usize) {
    let records = s.visible(topic);
    let mut found = BTreeMap::new();
    for record in &records {
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        found.insert(key, record.value.is_some().then(|| record.text()));
    }
    (found, records.len())
}

/// Writes 20 keys over and over, the last round with tombstones for two of them.
fn write_rounds(s: &Subject, topic: &str, from: u32, to: u32) {
    for round in from..to {
        let mut batch = Batch::new(Arc::from(""), 0);
        for key in 0..20 {
            let gone = round == to - 1 && key < 2;
            let value = format!("{round}-{key}");
            batch.push(
                Some(format!("k{key}").as_bytes()),
                (!gone).then_some(value.as_bytes()),
                i64::from(round),
            );
        }
        s.log.append(topic, &batch, &[0; 20], CALL).unwrap();
    }
}

fn compaction(s: &Subject, tombstones_stay: bool) -> Arc<str> {
    let retention = if tombstones_stay { "3600000" } else { "0" };
    let topic = s.topic_with(
        "c",
        1,
        &[("cleanup.policy", "compact"), ("delete.retention.ms", retention)],
    );
    let keys = if tombstones_stay { 20 } else { 18 };
    for (from, to) in [(0, 100), (100, 200)] {
        write_rounds(s, &topic, from, to);
        // Compaction runs when it is due; writing a little more makes it due again.
        let mut extra = to;
        s.until("dead records are gone", || {
            let (found, count) = table(s, &topic);
            assert!(found.len() <= 20);
            for (key, value) in &found {
                if let Some(value) = value {
                    assert!(value.ends_with(&key[1..]), "{key} has {value}");
                }
            }
            if count < 1_000 {
                return true;
            }
            extra += 1;
            write_rounds(s, &topic, extra, extra + 1);
            false
        });
    }
    write_rounds(s, &topic, 1_000, 1_100);
    s.until("old tombstones are gone", || {
        let (found, count) = table(s, &topic);
        let dead = found.values().filter(|v| v.is_none()).count();
        if count < 1_000 && dead + 18 == keys {
            return true;
        }
        write_rounds(s, &topic, 1_100, 1_102);
        false
    });
    let at = TopicPartition::new(Arc::clone(&topic), 0);
    let (found, _) = table(s, &topic);
    assert_eq!(found.values().flatten().count(), 18);
    // The end is where it was, whatever was taken away before it.
    let read = s.visible(&topic);
    assert!(read.windows(2).all(|w| w[0].offset < w[1].offset));
    assert!(s.offset(&at, Edge::End).0 > read.last().unwrap().offset);
    topic
}

#[test]
fn compaction_in_memory_leaves_the_last_values() {
    for tombstones_stay in [true, false] {
        let s = Subject::new(Arc::new(EmbeddedLog::open(None).unwrap()));
        compaction(&s, tombstones_stay);
    }
}

#[test]
fn compaction_in_a_directory_leaves_the_last_values() {
    for tombstones_stay in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let (topic, before) = {
            let s = open(directory.path());
            let topic = compaction(&s, tombstones_stay);
            let before = table(&s, &topic).0;
            (topic, before)
        };
        let s = open(directory.path());
        assert_eq!(table(&s, &topic).0, before);
        s.append(&topic, 0, &["and on"]);
    }
}

#[test]
fn a_deleted_topic_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let topic = {
        let s = open(directory.path());
        let topic = s.topic("t", 2);
        s.append(&topic, 0, &["a", "b"]);
        s.append(&topic, 1, &["c"]);
        let at = TopicPartition::new(Arc::clone(&topic), 0);
        let position = Position {
            at: at.clone(),
            next: NextOffset(1),
            note: String::new(),
        };
        s.log.set_committed("g", &[position], CALL).unwrap();
        s.log.delete_topics(&[&topic], CALL).unwrap();
        assert_eq!(s.committed("g", &at), None);
        topic
    };
    let s = open(directory.path());
    assert_eq!(s.log.topics(&[&topic], CALL).unwrap(), [None]);
    let at = TopicPartition::new(Arc::clone(&topic), 0);
    assert_eq!(s.committed("g", &at), None);
    let new = record::log::NewTopic {
        name: topic.to_string(),
        partitions: 1,
        replication: None,
        config: Vec::new(),
    };
    s.log.create_topics(&[new], CALL).unwrap();
    assert_eq!(s.visible_texts(&topic), Vec::<String>::new());
}
