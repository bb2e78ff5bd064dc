//! The control topic of a pipeline: `<pipeline>-control`, compacted, one partition. Reset incarnation, the
//! plan in force and the fates of dead letters lie there under keys of their own.

use std::time::Instant;

use record::Batch;
use record::log::{Edge, Isolation, Log, LogError, LogEvent, NewTopic, PollLimit, Polled};
use record::offset::TopicPartition;

use crate::compose::TIMEOUT;
use crate::time;

/// One record of a control topic, as it is read.
pub(crate) struct Noted<'a> {
    pub(crate) key: &'a [u8],
    /// `None`: nothing holds under this key any more.
    pub(crate) value: Option<&'a [u8]>,
    topic: &'a str,
    offset: i64,
}

impl Noted<'_> {
    /// The value, of JSON; `None` where there is none.
    ///
    /// # Errors
    /// `Fatal`: it is none of ours. `what`: what should be there.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, what: &str) -> Result<Option<T>, LogError> {
        self.value
            .map(|value| {
                serde_json::from_slice(value).map_err(|error| LogError::Fatal {
                    what: format!(
                        "record {} of topic `{}` is not {what}: {error}; is the topic used by another program, or by a \
                         newer version?",
                        self.offset, self.topic
                    ),
                })
            })
            .transpose()
    }
}

/// Shows every record of a control topic, in order. There are none when there is no topic.
///
/// # Errors
/// The log, and those of `visit`.
pub(crate) fn read(
    log: &dyn Log,
    topic: &str,
    visit: &mut dyn FnMut(&Noted<'_>) -> Result<(), LogError>,
) -> Result<(), LogError> {
    if log.topics(&[topic], TIMEOUT)?.into_iter().next().flatten().is_none() {
        return Ok(());
    }
    let at = TopicPartition::new(topic, 0);
    let start = log.offsets(std::slice::from_ref(&at), Edge::Start, TIMEOUT)?;
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    let from: Vec<_> = std::iter::once(at).zip(start).collect();
    reader.assign(&from)?;
    let deadline = Instant::now() + TIMEOUT;
    let mut polled = Polled::default();
    while Instant::now() < deadline {
        polled.clear();
        reader.poll(
            deadline.saturating_duration_since(Instant::now()),
            PollLimit::default(),
            &mut polled,
        )?;
        for batch in &polled.batches {
            for i in 0..batch.len() {
                if let Some(key) = batch.keys.get(i) {
                    visit(&Noted {
                        key,
                        value: batch.values.get(i),
                        topic,
                        offset: batch.offsets.get(i).copied().unwrap_or(-1),
                    })?;
                }
            }
        }
        if polled.events.iter().any(|event| matches!(event, LogEvent::End { .. })) {
            return Ok(());
        }
    }
    Err(LogError::Retriable {
        what: format!(
            "topic `{topic}` could not be read to its end in {} s",
            TIMEOUT.as_secs()
        ),
    })
}

/// Creates a control topic when there is none.
///
/// # Errors
/// The log.
pub(crate) fn make(log: &dyn Log, topic: &str, replication: Option<u16>) -> Result<(), LogError> {
    let topic = NewTopic {
        name: topic.to_owned(),
        partitions: 1,
        replication,
        config: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
    };
    log.create_topics(&[topic], TIMEOUT)
}

/// Writes values under keys of a control topic that is there. `None`: nothing holds under the key any more.
///
/// # Errors
/// The log.
pub(crate) fn write<K: AsRef<[u8]>>(log: &dyn Log, topic: &str, all: &[(K, Option<Vec<u8>>)]) -> Result<(), LogError> {
    if all.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::new(topic.into(), 0);
    for (key, value) in all {
        batch.push(Some(key.as_ref()), value.as_deref(), time::now());
    }
    log.append(topic, &batch, &vec![0; all.len()], TIMEOUT)
}

/// As it is kept.
///
/// # Errors
/// `Fatal`: it cannot be written as JSON.
pub(crate) fn encoded<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, LogError> {
    serde_json::to_vec(value).map_err(|error| LogError::Fatal {
        what: error.to_string(),
    })
}
