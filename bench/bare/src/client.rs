//! What several commands do with a broker.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

pub type Producer = ThreadedProducer<DefaultProducerContext>;

/// Partitions of every topic of the bench.
pub const PARTITIONS: i32 = 4;

const TIMEOUT: Duration = Duration::from_secs(30);

pub fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Hands a record to the producer; waits while its queue is full.
pub fn send(producer: &Producer, topic: &str, key: Option<&[u8]>, value: &[u8]) -> Result<()> {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(value);
    if let Some(key) = key {
        record = record.key(key);
    }
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((e, _)) => return Err(e).with_context(|| format!("cannot produce to {topic}")),
        }
    }
}

/// Waits until all is acknowledged, by librdkafka's own flush: the one of rdkafka 0.39 can stand
/// still for 100 ms, because it polls a queue that the producer's own thread empties.
pub fn flush(producer: &Producer) -> Result<()> {
    // SAFETY: the pointer is that of a live producer, which the borrow keeps alive for the call;
    // the function may be called from any thread.
    let code = unsafe { rdkafka::bindings::rd_kafka_flush(producer.client().native_ptr(), 60_000) };
    if code as i32 != 0 {
        bail!("flush failed: {:?}", RDKafkaErrorCode::from(code));
    }
    Ok(())
}

/// How many records (and transaction markers) are in a topic; `None` when there is no such topic.
pub fn appended(consumer: &BaseConsumer, topic: &str) -> Result<Option<u64>> {
    let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
    let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else {
        return Ok(None);
    };
    let mut total = 0;
    for partition in found.partitions() {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
        total += u64::try_from(high - low)?;
    }
    Ok(Some(total))
}

/// The same, for a topic that is known to exist: quick enough to be called often.
pub fn end_of(consumer: &BaseConsumer, topic: &str) -> Result<u64> {
    let mut total = 0;
    for partition in 0..PARTITIONS {
        total += u64::try_from(consumer.fetch_watermarks(topic, partition, TIMEOUT)?.1)?;
    }
    Ok(total)
}

pub fn create_topic(brokers: &str, topic: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(brokers).create()?;
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    for result in wait(admin.create_topics([&new], &AdminOptions::new()))? {
        result.map_err(|(topic, code)| anyhow::anyhow!("cannot create topic {topic}: {code}"))?;
    }
    Ok(())
}

pub fn delete_topic(brokers: &str, topic: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(brokers).create()?;
    for result in wait(admin.delete_topics(&[topic], &AdminOptions::new()))? {
        result.map_err(|(topic, code)| anyhow::anyhow!("cannot delete topic {topic}: {code}"))?;
    }
    Ok(())
}

/// Admin calls are futures that a thread of rdkafka completes: a parked thread is executor enough.
fn wait<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}
