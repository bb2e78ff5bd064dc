//! Settings of librdkafka: ours, then the user's, then those that correctness rests on.

use rdkafka::ClientConfig;
use record::Secret;
use record::log::Isolation;

/// How to reach a Kafka cluster.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Settings passed to librdkafka as they are: SASL, TLS, tuning.
    pub properties: Vec<(String, Secret)>,
    /// Shown in the brokers' logs and quotas.
    pub client_id: String,
}

/// A record may be this large at least; the topic's own limit decides.
const MESSAGE_BYTES_MAX: &str = "67108864";

/// Settings of consumers only or producers only; librdkafka warns about them elsewhere.
const CONSUMER_ONLY: [&str; 12] = [
    "auto.offset.reset",
    "fetch.",
    "max.poll.interval.ms",
    "max.partition.fetch.bytes",
    "queued.",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
    "group.",
    "isolation.level",
    "check.crcs",
    "coordinator.query.interval.ms",
];
const PRODUCER_ONLY: [&str; 12] = [
    "acks",
    "batch.",
    "compression.",
    "delivery.timeout.ms",
    "enable.idempotence",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "queue.buffering.",
    "request.timeout.ms",
    "retries",
    "transaction",
];

fn is_one_of(key: &str, kinds: &[&str]) -> bool {
    kinds
        .iter()
        .any(|kind| key == *kind || (kind.ends_with('.') && key.starts_with(kind)))
        || (kinds.contains(&"transaction") && key.starts_with("transaction"))
}

impl KafkaConfig {
    fn base(&self, client_id: &str, leave_out: &[&str]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", client_id)
            // Topics are created by us, with the right settings, or not at all.
            .set("allow.auto.create.topics", "false")
            .set("message.max.bytes", MESSAGE_BYTES_MAX);
        for (key, value) in &self.properties {
            if !is_one_of(key, leave_out) {
                config.set(key, value.reveal());
            }
        }
        config
    }

    pub(crate) fn has_consumer_protocol(&self) -> bool {
        self.properties
            .iter()
            .any(|(key, value)| key == "group.protocol" && value.reveal().eq_ignore_ascii_case("consumer"))
    }

    /// A consumer; `group` is needed even where partitions are assigned by hand.
    pub(crate) fn consumer(&self, client_id: &str, group: &str, isolation: Isolation) -> ClientConfig {
        let mut config = self.base(client_id, &PRODUCER_ONLY);
        let mut default = |key: &str, value: &str| {
            if config.get(key).is_none() {
                config.set(key, value);
            }
        };
        // The default, a second, stands still whenever the local queue is full.
        default("fetch.queue.backoff.ms", "5");
        default("fetch.wait.max.ms", "50");
        // With KIP-848 these three are the broker's to decide, and librdkafka refuses them.
        if !self.has_consumer_protocol() {
            default("session.timeout.ms", "10000");
            default("heartbeat.interval.ms", "2000");
            default("partition.assignment.strategy", "cooperative-sticky");
        }
        default("queued.max.messages.kbytes", "32768");
        default("topic.metadata.refresh.interval.ms", "30000");
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            // Start positions are ours to decide: a position that does not exist is an error.
            .set("auto.offset.reset", "error")
            .set(
                "isolation.level",
                match isolation {
                    Isolation::ReadCommitted => "read_committed",
                    Isolation::ReadUncommitted => "read_uncommitted",
                },
            );
        config
    }

    /// A producer that keeps order and does not repeat records.
    pub(crate) fn producer(&self, client_id: &str) -> ClientConfig {
        let mut config = self.base(client_id, &CONSUMER_ONLY);
        let mut default = |key: &str, value: &str| {
            if config.get(key).is_none() {
                config.set(key, value);
            }
        };
        default("linger.ms", "5");
        default("queue.buffering.max.messages", "500000");
        default("queue.buffering.max.kbytes", "262144");
        config.set("enable.idempotence", "true").set("acks", "all");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_reach_the_client_they_are_for_and_cannot_break_the_guarantees() {
        let property = |key: &str, value: &str| (key.to_owned(), Secret::new(value));
        let kafka = KafkaConfig {
            brokers: "b:1".into(),
            client_id: "c".into(),
            properties: vec![
                property("linger.ms", "50"),
                property("fetch.wait.max.ms", "9"),
                property("sasl.password", "hunter2"),
                property("enable.auto.commit", "true"),
            ],
        };
        let consumer = kafka.consumer("c", "g", Isolation::ReadCommitted);
        assert_eq!(consumer.get("linger.ms"), None);
        assert_eq!(consumer.get("fetch.wait.max.ms"), Some("9"));
        assert_eq!(consumer.get("enable.auto.commit"), Some("false"));
        let producer = kafka.producer("c");
        assert_eq!(producer.get("linger.ms"), Some("50"));
        assert_eq!(producer.get("fetch.wait.max.ms"), None);
        assert_eq!(producer.get("sasl.password"), Some("hunter2"));
        assert!(!format!("{kafka:?}").contains("hunter2"));
    }
}
