//! Records that a broker refuses for good end their transaction with that cause, and the session goes on.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use record::Batch;
use record::log::{CommitError, Log, LogError, NewTopic, Session, SessionConfig, Writes};
use wasmill_kafka::{KafkaConfig, KafkaLog};

const T: Duration = Duration::from_secs(30);

fn log() -> KafkaLog {
    let brokers = std::env::var("WASMILL_TEST_KAFKA")
        .unwrap_or_else(|_| panic!("WASMILL_TEST_KAFKA is not set; run the tests with scripts/test.sh"));
    KafkaLog::new(KafkaConfig {
        brokers,
        properties: Vec::new(),
        client_id: "refusals".to_owned(),
    })
    .unwrap()
}

/// A topic with one setting, and a session that writes to it in transactions.
fn fresh(log: &KafkaLog, name: &str, key: &str, value: &str) -> (String, Box<dyn Session>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let name = format!("refusals-{name}-{now:x}");
    let topic = NewTopic {
        name: name.clone(),
        partitions: 1,
        replication: None,
        config: vec![(key.to_owned(), value.to_owned())],
    };
    log.create_topics(&[topic], T).unwrap();
    let session = log
        .session(SessionConfig {
            group: name.clone(),
            instance_id: None,
            client_id: "refusals".to_owned(),
            topics: vec![Arc::from(name.as_str())],
            writes: Writes::Transactional {
                transactional_id: name.clone(),
                timeout: Duration::from_secs(10),
            },
        })
        .unwrap();
    (name, session)
}

fn one(topic: &str, key: Option<&[u8]>, bytes: usize) -> Batch {
    let mut batch = Batch::new(topic.into(), 0);
    batch.push(key, Some(&vec![b'x'; bytes]), 1_000);
    batch
}

fn finish(mut call: impl FnMut() -> Result<(), CommitError>) -> Result<(), CommitError> {
    let until = Instant::now() + T;
    loop {
        match call() {
            Err(CommitError::Unfinished) if Instant::now() < until => {}
            done => return done,
        }
    }
}

/// Commits a good record: the session can be used.
fn goes_on(topic: &str, session: &mut dyn Session) {
    session.produce(topic, &one(topic, Some(b"k"), 10), &[0]).unwrap();
    finish(|| session.commit(&[], Duration::from_secs(1))).unwrap();
    let at = record::TopicPartition::new(topic, 0);
    assert!(session.acknowledged(&at).is_some());
}

#[test]
fn a_record_without_a_key_for_a_compacted_topic_is_named() {
    let log = log();
    let (topic, mut session) = fresh(&log, "compacted", "cleanup.policy", "compact");
    session.produce(&topic, &one(&topic, None, 10), &[0]).unwrap();
    let position = record::log::Position {
        at: record::TopicPartition::new(topic.as_str(), 0),
        next: record::NextOffset(0),
        note: String::new(),
    };
    let refused = finish(|| session.commit(std::slice::from_ref(&position), Duration::from_secs(1)));
    assert!(
        matches!(&refused, Err(CommitError::Refused(LogError::Rejected { topic: named, .. })) if *named == topic),
        "{refused:?}"
    );
    goes_on(&topic, &mut *session);
}

#[test]
fn a_record_that_is_too_large_is_the_cause_of_what_follows_it() {
    let log = log();
    let (topic, mut session) = fresh(&log, "large", "max.message.bytes", "2000");
    session.produce(&topic, &one(&topic, Some(b"k"), 5_000), &[0]).unwrap();
    // The broker's answer comes while more is written; what is refused then says why.
    let until = Instant::now() + T;
    let refused = loop {
        match session.produce(&topic, &one(&topic, Some(b"k"), 10), &[0]) {
            Ok(()) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            done => break done,
        }
    };
    assert!(matches!(refused, Err(LogError::TooLarge { .. })), "{refused:?}");
    finish(|| session.abort(Duration::from_secs(1))).unwrap();
    goes_on(&topic, &mut *session);
}
