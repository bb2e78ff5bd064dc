//! Kafka, through our crate, does what every log has to do.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use testkit::log_conformance::Subject;
use wasmill_kafka::{KafkaConfig, KafkaLog};

fn fresh() -> Subject {
    let brokers = std::env::var("WASMILL_TEST_KAFKA")
        .unwrap_or_else(|_| panic!("WASMILL_TEST_KAFKA is not set; run the tests with scripts/test.sh"));
    let log = KafkaLog::new(KafkaConfig {
        brokers,
        properties: Vec::new(),
        client_id: "conformance".to_owned(),
    });
    Subject::new(Arc::new(log.unwrap())).with_open_transactions_in_log()
}

testkit::log_conformance!(fresh);
