//! The log under test, and what a test needs to talk about records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use record::log::{Edge, Isolation, Log, LogError, LogEvent, NewTopic, PollLimit, Polled};
use record::{Batch, NextOffset, TopicPartition};

/// One call to the log may take this long.
pub(super) const CALL: Duration = Duration::from_secs(10);
/// One poll waits this long.
pub(super) const POLL: Duration = Duration::from_millis(50);
/// Timestamps start here: recent enough for no broker to object.
pub(super) const BASE_TIME: i64 = 1_750_000_000_000;

/// A header's name and value.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// One record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub partition: u32,
    /// Where it stands.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its timestamp.
    pub timestamp: i64,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}

impl Record {
    /// The value as text, for tests that write text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or(b"<null>")).into_owned()
    }
}

/// Appends the records of a batch that was read.
pub(super) fn collect(batch: &Batch, into: &mut Vec<Record>) {
    assert_eq!(
        batch.offsets.len(),
        batch.len(),
        "a batch that was read has an offset per record"
    );
    for i in 0..batch.len() {
        into.push(Record {
            partition: batch.partition,
            offset: batch.offsets[i],
            key: batch.keys.get(i).map(<[u8]>::to_vec),
            value: batch.values.get(i).map(<[u8]>::to_vec),
            timestamp: batch.timestamps[i],
            headers: batch
                .headers
                .of(i)
                .map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
                .collect(),
        });
    }
}

/// A batch of records without keys whose values are these texts.
pub fn batch(values: &[&str]) -> Batch {
    let mut batch = Batch::new(Arc::from(""), 0);
    for (i, value) in values.iter().enumerate() {
        batch.push(None, Some(value.as_bytes()), BASE_TIME + i as i64);
    }
    batch
}

/// A batch of one record.
pub fn key_value(key: &str, value: Option<&str>) -> Batch {
    let mut batch = Batch::new(Arc::from(""), 0);
    batch.push(Some(key.as_bytes()), value.map(str::as_bytes), BASE_TIME);
    batch
}

/// A log under test. Names that it gives out are its own.
pub struct Subject {
    /// The log.
    pub log: Arc<dyn Log>,
    /// How long anything may take before the case fails.
    pub patience: Duration,
    /// Whether records of an open transaction are in the log already, where `ReadUncommitted` and
    /// [`Edge::End`] see them (Kafka), or reach it with the commit.
    pub open_transactions_in_log: bool,
    prefix: String,
}

impl Subject {
    /// A subject whose open transactions are not in the log, with a minute's patience.
    pub fn new(log: Arc<dyn Log>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let prefix = format!(
            "t{}-{}-{}",
            now.as_millis(),
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Self {
            log,
            patience: Duration::from_secs(60),
            open_transactions_in_log: false,
            prefix,
        }
    }

    /// Says that records of open transactions are in the log: see the field.
    #[must_use]
    pub fn with_open_transactions_in_log(mut self) -> Self {
        self.open_transactions_in_log = true;
        self
    }

    /// A name that no other subject has.
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    /// Creates a topic that keeps everything.
    pub fn topic(&self, what: &str, partitions: u32) -> Arc<str> {
        self.topic_with(what, partitions, &[("retention.ms", "-1")])
    }

    /// Creates a topic with settings.
    pub fn topic_with(&self, what: &str, partitions: u32, config: &[(&str, &str)]) -> Arc<str> {
        let name = self.name(what);
        let topic = NewTopic {
            name: name.clone(),
            partitions,
            replication: None,
            config: config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        self.retry("create a topic", || {
            self.log.create_topics(std::slice::from_ref(&topic), CALL)
        });
        self.until("the new topic is known", || {
            let found = self.retry("topics", || self.log.topics(&[&name], CALL));
            matches!(found.as_slice(), [Some(info)] if info.partitions == partitions)
        });
        name.into()
    }

    /// Calls again while the log says that it may help.
    pub fn retry<T>(&self, what: &str, mut call: impl FnMut() -> Result<T, LogError>) -> T {
        let deadline = Instant::now() + self.patience;
        loop {
            match call() {
                Ok(value) => return value,
                Err(error @ LogError::Retriable { .. }) => {
                    assert!(Instant::now() < deadline, "{what}: {error}");
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + self.patience;
        while !is_so() {
            assert!(Instant::now() < deadline, "not within {:?}: {what}", self.patience);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Writes texts to one partition, outside any transaction.
    pub fn append(&self, topic: &str, partition: u32, values: &[&str]) {
        let batch = batch(values);
        self.retry("append", || {
            self.log.append(topic, &batch, &vec![partition; batch.len()], CALL)
        });
    }

    /// The offset at an edge of one partition.
    pub fn offset(&self, at: &TopicPartition, edge: Edge) -> NextOffset {
        let found = self.retry("offsets", || self.log.offsets(std::slice::from_ref(at), edge, CALL));
        assert_eq!(found.len(), 1, "one offset per partition");
        found[0]
    }

    /// What a group has committed for one partition: position and note.
    pub fn committed(&self, group: &str, at: &TopicPartition) -> Option<(NextOffset, String)> {
        let found = self.retry("committed", || {
            self.log.committed(group, std::slice::from_ref(at), CALL)
        });
        assert_eq!(found.len(), 1, "one entry per partition");
        found.into_iter().next().flatten().map(|c| (c.next, c.note))
    }

    /// All partitions of a topic.
    pub fn partitions(&self, topic: &Arc<str>) -> Vec<TopicPartition> {
        let info = self
            .retry("topics", || self.log.topics(&[topic], CALL))
            .pop()
            .flatten()
            .expect("the topic exists");
        (0..info.partitions)
            .map(|p| TopicPartition::new(Arc::clone(topic), p))
            .collect()
    }

    /// Reads everything that a `read_committed` reader sees now.
    pub fn visible(&self, topic: &Arc<str>) -> Vec<Record> {
        self.read(topic, Isolation::ReadCommitted)
    }

    /// The values of [`Self::visible`].
    pub fn visible_texts(&self, topic: &Arc<str>) -> Vec<String> {
        self.visible(topic).iter().map(Record::text).collect()
    }

    /// Reads everything from the start to the end that the isolation allows.
    pub fn read(&self, topic: &Arc<str>, isolation: Isolation) -> Vec<Record> {
        let edge = match isolation {
            Isolation::ReadCommitted => Edge::StableEnd,
            Isolation::ReadUncommitted => Edge::End,
        };
        let mut reader = self.log.reader(isolation).expect("a reader");
        let mut open = BTreeMap::new();
        let mut from = Vec::new();
        for at in self.partitions(topic) {
            from.push((at.clone(), self.offset(&at, Edge::Start)));
            let end = self.offset(&at, edge);
            open.insert(at, end);
        }
        reader.assign(&from).expect("assign");
        let mut records = Vec::new();
        let mut polled = Polled::default();
        let deadline = Instant::now() + self.patience;
        while !open.is_empty() {
            assert!(Instant::now() < deadline, "no end of {open:?}");
            polled.clear();
            reader.poll(POLL, PollLimit::default(), &mut polled).expect("poll");
            for batch in &polled.batches {
                collect(batch, &mut records);
            }
            for event in &polled.events {
                match event {
                    LogEvent::End { at, next } => {
                        if open.get(at).is_some_and(|end| next >= end) {
                            open.remove(at);
                        }
                    }
                    LogEvent::Trouble { what } => eprintln!("trouble: {what}"),
                    other => panic!("a reader does not get {other:?}"),
                }
            }
        }
        records.sort_by_key(|r| r.partition);
        records
    }
}
