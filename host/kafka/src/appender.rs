//! A producer that answers for each record by itself.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer};
use record::Batch;
use record::appender::Appender;
use record::log::LogError;

use crate::config::KafkaConfig;
use crate::error::{refused_settings, sort};
use crate::native;
use crate::producer::{headers, refusal};

/// After this a record that has no answer is given up, so that each gets one.
const MESSAGE_TIMEOUT_MS: &str = "10000";

/// The answers of one call, by the place of the record in its batch.
type Answers = Mutex<Vec<Option<Result<(), LogError>>>>;

struct Context;

impl ClientContext for Context {}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = Box<(usize, Arc<Answers>)>;

    fn delivery(&self, report: &DeliveryResult<'_>, place: Self::DeliveryOpaque) {
        let answer = match report {
            Ok(_) => Ok(()),
            Err((error, message)) => Err(refusal(
                error,
                message.topic(),
                message.key_len() + message.payload_len(),
            )),
        };
        let (index, answers) = *place;
        if let Some(slot) = answers.lock().get_mut(index) {
            *slot = Some(answer);
        }
    }
}

/// An idempotent producer: what it sends again after a lost answer is not there twice.
pub(crate) struct KafkaAppender {
    inner: ThreadedProducer<Context>,
}

impl KafkaAppender {
    pub(crate) fn new(config: &KafkaConfig) -> Result<Self, LogError> {
        let mut settings = config.producer(&config.client_id);
        settings.set("message.timeout.ms", MESSAGE_TIMEOUT_MS);
        let inner = settings
            .create_with_context(Context)
            .map_err(|error: KafkaError| refused_settings(&error))?;
        Ok(Self { inner })
    }
}

impl Appender for KafkaAppender {
    fn append(
        &mut self,
        topic: &str,
        batch: &Batch,
        partitions: &[u32],
        timeout: Duration,
    ) -> Vec<Result<(), LogError>> {
        let answers: Arc<Answers> = Arc::new(Mutex::new(vec![None; partitions.len()]));
        for (i, partition) in partitions.iter().enumerate() {
            let place = Box::new((i, Arc::clone(&answers)));
            let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, place)
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
            if let Err((error, back)) = self.inner.send(record) {
                let bytes = back.key.map_or(0, <[u8]>::len) + back.payload.map_or(0, <[u8]>::len);
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                let answer = match self.inner.client().fatal_error() {
                    Some((code, what)) => sort(code, format!("writing to topic `{topic}`: {what}")),
                    None if full => LogError::Retriable {
                        what: format!("the queue for topic `{topic}` is full"),
                    },
                    None => refusal(&error, topic, bytes),
                };
                answers.lock()[i] = Some(Err(answer));
            }
        }
        // Sends at once what lingers, too.
        native::flush(&self.inner, timeout);
        let answers = answers.lock();
        answers
            .iter()
            .map(|answer| {
                answer.clone().unwrap_or_else(|| {
                    Err(LogError::Retriable {
                        what: format!("a record for topic `{topic}` is not acknowledged yet"),
                    })
                })
            })
            .collect()
    }
}
