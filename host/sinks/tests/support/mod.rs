//! What the tests of the sinks share: batches, services, a reader of their own for each, and a
//! proxy that loses answers.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod mongo;
pub(crate) mod mysql;
pub(crate) mod proxy;
pub(crate) mod sqlite;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use record::batch::Batch;
use record::sink::{Sink, SinkError, SinkPartition};
use record::topology::Connector;
use record::{NextOffset, TopicPartition};
use serde_json::{Value, json};

pub(crate) const TOPIC: &str = "wc-totals";

/// The address of a service that scripts/test.sh starts.
pub(crate) fn service(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run scripts/test.sh, which starts the services and sets it"))
}

/// A name that no other test and no earlier run has.
pub(crate) fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{stem}_{}_{}_{n}", std::process::id(), since.as_micros())
}

pub(crate) fn partition(number: u32) -> SinkPartition {
    SinkPartition {
        at: TopicPartition::new(TOPIC, number),
        topic_id: "topic-id-1".to_owned(),
        committed: None,
    }
}

/// A record's key and value.
pub(crate) type KeyValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Records of partition `number` from offset `from` on.
pub(crate) fn batch(number: u32, from: i64, records: &[KeyValue<'_>]) -> Batch {
    let mut batch = Batch::new(TOPIC.into(), number);
    for (i, (key, value)) in records.iter().enumerate() {
        batch.push(*key, *value, 1_700_000_000_000);
        batch.offsets.push(from + i as i64);
    }
    batch
}

/// Word counts: `None` is a tombstone.
pub(crate) fn counts(number: u32, from: i64, words: &[(&str, Option<i64>)]) -> Batch {
    let values: Vec<Option<Vec<u8>>> = words
        .iter()
        .map(|(word, count)| count.map(|count| json!({"word": word, "count": count}).to_string().into_bytes()))
        .collect();
    let records: Vec<_> = words
        .iter()
        .zip(&values)
        .map(|((word, _), value)| (Some(word.as_bytes()), value.as_deref()))
        .collect();
    batch(number, from, &records)
}

pub(crate) fn next_of(batch: &Batch) -> NextOffset {
    batch.next_offset().expect("a batch from a topic")
}

/// Writes a batch that is expected to be taken.
pub(crate) async fn write(sink: &mut dyn Sink, batch: &Batch) {
    sink.write(batch, &[], next_of(batch)).await.expect("written");
}

/// Opens a partition.
pub(crate) async fn open(sink: &mut dyn Sink, number: u32) -> Option<i64> {
    sink.open(&partition(number)).await.expect("opened").map(|next| next.0)
}

/// The indexes and codes of the rejected records.
pub(crate) fn rejections(result: Result<(), SinkError>) -> Vec<(u32, String)> {
    match result {
        Err(SinkError::Rejected(failures)) => failures
            .into_iter()
            .map(|failure| (failure.index, failure.code))
            .collect(),
        other => panic!("expected rejected records, got {other:?}"),
    }
}

pub(crate) fn expect_retriable(result: Result<(), SinkError>) -> String {
    match result {
        Err(SinkError::Retriable { what }) => what,
        other => panic!("expected an error to try again, got {other:?}"),
    }
}

pub(crate) fn expect_fatal<T: std::fmt::Debug>(result: Result<T, SinkError>) -> String {
    match result {
        Err(SinkError::Fatal { what }) => what,
        other => panic!("expected a fatal error, got {other:?}"),
    }
}

pub(crate) fn connector(kind: &str, settings: &Value) -> Connector {
    Connector {
        name: "totals".into(),
        kind: kind.to_owned(),
        settings: settings.to_string(),
    }
}

/// `more` over `base`; a null takes a key away.
pub(crate) fn over(mut base: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().expect("an object") {
        match value {
            Value::Null => base.as_object_mut().expect("an object").remove(key),
            value => base
                .as_object_mut()
                .expect("an object")
                .insert(key.clone(), value.clone()),
        };
    }
    base
}

/// A database with one table or collection for word counts, as the suite uses it.
pub(crate) trait System {
    /// Starts with nothing there.
    async fn fresh() -> Self;

    /// A sink that creates its table, with `more` settings.
    fn sink(&self, more: &Value) -> Box<dyn Sink>;

    /// The field `count` of every row or document, read without the sink's code.
    async fn counts(&self) -> BTreeMap<String, Option<i64>>;

    /// The field `text` of the row of `word`; the outer `None`: there is no row.
    async fn text(&self, word: &str) -> Option<Option<String>>;

    /// Whether positions are kept beside the rows.
    const KEEPS_POSITIONS: bool;
}

pub(crate) fn expected(rows: &[(&str, i64)]) -> BTreeMap<String, Option<i64>> {
    rows.iter()
        .map(|(word, count)| ((*word).to_owned(), Some(*count)))
        .collect()
}
