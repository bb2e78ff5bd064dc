//! Writing: batches into librdkafka's queue, acknowledgements out of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer};
use record::log::LogError;
use record::{Batch, NextOffset, TopicPartition};

use crate::error::{log_error, refused_settings, sort};
use crate::native;

/// How long a full queue is waited for.
const QUEUE_FULL_MAX: Duration = Duration::from_secs(10);
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const METADATA_AGE_MAX: Duration = Duration::from_secs(30);

/// What the delivery reports say. Records carry the number of their slot, so that a report costs
/// no look-up and no allocation.
#[derive(Default)]
struct Reports {
    /// The offset after the last acknowledged record, by slot.
    slots: RwLock<Vec<AtomicI64>>,
    failure: Mutex<Option<LogError>>,
}

#[derive(Clone, Default)]
pub(crate) struct Context(Arc<Reports>);

impl ClientContext for Context {}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, slot: usize) {
        match report {
            Ok(message) => {
                if let Some(slot) = self.0.slots.read().get(slot) {
                    slot.fetch_max(message.offset().saturating_add(1), Ordering::AcqRel);
                }
            }
            // Purged by an abort: nobody waits for these.
            Err((error, _))
                if matches!(
                    error.rdkafka_error_code(),
                    Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
                ) => {}
            Err((error, message)) => {
                let failure = refusal(error, message.topic(), message.key_len() + message.payload_len());
                self.0.failure.lock().get_or_insert(failure);
            }
        }
    }
}

pub(crate) fn refusal(error: &KafkaError, topic: &str, bytes: usize) -> LogError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => LogError::TooLarge {
            topic: topic.to_owned(),
            bytes,
        },
        Some(RDKafkaErrorCode::InvalidRecord | RDKafkaErrorCode::InvalidTimestamp) => LogError::Rejected {
            topic: topic.to_owned(),
            what: error.to_string(),
        },
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => LogError::NoTopic {
            topic: topic.to_owned(),
        },
        Some(code) => sort(code, format!("a record for topic `{topic}` was not written: {error}")),
        None => log_error(&format!("writing to topic `{topic}`"), error),
    }
}

/// A producer with what is known of the topics it writes to.
pub(crate) struct Producer {
    inner: ThreadedProducer<Context>,
    reports: Arc<Reports>,
    slots: HashMap<Arc<str>, Vec<usize>>,
    counts: HashMap<Arc<str>, (u32, Instant)>,
}

impl Producer {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, LogError> {
        let context = Context::default();
        let reports = Arc::clone(&context.0);
        let inner = config
            .create_with_context(context)
            .map_err(|error: KafkaError| refused_settings(&error))?;
        Ok(Self {
            inner,
            reports,
            slots: HashMap::new(),
            counts: HashMap::new(),
        })
    }

    pub(crate) fn inner(&self) -> &ThreadedProducer<Context> {
        &self.inner
    }

    /// How many partitions a topic has, as of some seconds ago.
    pub(crate) fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        if let Some((count, at)) = self.counts.get(topic)
            && at.elapsed() < METADATA_AGE_MAX
        {
            return Ok(*count);
        }
        let doing = format!("looking up topic `{topic}`");
        let metadata = self
            .inner
            .client()
            .fetch_metadata(Some(topic), METADATA_TIMEOUT)
            .map_err(|e| log_error(&doing, &e))?;
        let no_topic = || LogError::NoTopic {
            topic: topic.to_owned(),
        };
        let found = metadata
            .topics()
            .iter()
            .find(|t| t.name() == topic)
            .ok_or_else(no_topic)?;
        let count = u32::try_from(found.partitions().len()).unwrap_or(0);
        if count == 0 {
            return Err(no_topic());
        }
        self.counts.insert(topic.into(), (count, Instant::now()));
        Ok(count)
    }

    /// The slots of a topic's partitions up to the highest that is written to.
    fn slots_of(&mut self, topic: &str, partitions: &[u32]) -> Vec<usize> {
        let highest = partitions.iter().copied().max().unwrap_or(0) as usize;
        if let Some(slots) = self.slots.get(topic)
            && slots.len() > highest
        {
            return slots.clone();
        }
        let slots = self.slots.entry(topic.into()).or_default();
        let mut all = self.reports.slots.write();
        while slots.len() <= highest {
            slots.push(all.len());
            all.push(AtomicI64::new(-1));
        }
        slots.clone()
    }

    pub(crate) fn produce(&mut self, topic: &str, batch: &Batch, partitions: &[u32]) -> Result<(), LogError> {
        let slots = self.slots_of(topic, partitions);
        for (i, partition) in partitions.iter().enumerate() {
            let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, slots[*partition as usize])
                .partition(i32::try_from(*partition).unwrap_or(i32::MAX));
            if let Some(key) = batch.keys.get(i) {
                record = record.key(key);
            }
            if let Some(value) = batch.values.get(i) {
                record = record.payload(value);
            }
            if batch.timestamps[i] >= 0 {
                record = record.timestamp(batch.timestamps[i]);
            }
            if !batch.headers.is_left_out() && batch.headers.of(i).next().is_some() {
                record = record.headers(headers(batch, i));
            }
            self.send(record, topic)?;
        }
        Ok(())
    }

    fn send(&self, record: BaseRecord<'_, [u8], [u8], usize>, topic: &str) -> Result<(), LogError> {
        let mut record = record;
        let mut waiting: Option<Instant> = None;
        loop {
            match self.inner.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) => {
                    let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    let since = *waiting.get_or_insert_with(Instant::now);
                    if !full || since.elapsed() > QUEUE_FULL_MAX {
                        let bytes = back.key.map_or(0, <[u8]>::len) + back.payload.map_or(0, <[u8]>::len);
                        return Err(match self.inner.client().fatal_error() {
                            Some((code, what)) => sort(code, format!("writing to topic `{topic}`: {what}")),
                            None => refusal(&error, topic, bytes),
                        });
                    }
                    record = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    pub(crate) fn acknowledged(&self, at: &TopicPartition) -> Option<NextOffset> {
        let slot = *self.slots.get(&at.topic)?.get(at.partition as usize)?;
        let next = self.reports.slots.read().get(slot)?.load(Ordering::Acquire);
        (next >= 0).then_some(NextOffset(next))
    }

    /// Waits until everything is acknowledged or refused; whether it is.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        native::flush(&self.inner, timeout)
    }

    /// The first record that was refused since this was last asked.
    pub(crate) fn take_failure(&self) -> Option<LogError> {
        self.reports.failure.lock().take()
    }
}

pub(crate) fn headers(batch: &Batch, i: usize) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new();
    for (name, value) in batch.headers.of(i) {
        headers = headers.insert(Header {
            key: &header_name(name),
            value,
        });
    }
    headers
}

/// Kafka's header names are text. What is none (invalid UTF-8, a zero byte) stands as U+FFFD: a name
/// must not keep its record from being written.
fn header_name(name: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(name);
    if text.contains('\0') {
        return Cow::Owned(text.replace('\0', "\u{fffd}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_that_are_no_text_are_replaced_where_they_are_none() {
        assert_eq!(header_name("größe".as_bytes()), "größe");
        assert_eq!(header_name(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(header_name(b"a\0b"), "a\u{fffd}b");
    }
}
