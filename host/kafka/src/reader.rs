//! Partitions assigned by hand, outside any group.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use record::log::{Isolation, LogError, PollLimit, Polled, Reader};
use record::{NextOffset, TopicPartition};

use crate::config::KafkaConfig;
use crate::consumer::{Consumer, list, offset};
use crate::error::log_error;

/// The group's name is needed by librdkafka; nothing is ever committed to it.
const GROUP: &str = "wasmill-reader";

pub(crate) struct KafkaReader(Consumer);

impl KafkaReader {
    pub(crate) fn new(config: &KafkaConfig, isolation: Isolation) -> Result<Self, LogError> {
        Consumer::new(&config.consumer(&config.client_id, GROUP, isolation)).map(Self)
    }
}

impl Reader for KafkaReader {
    fn assign(&mut self, from: &[(TopicPartition, NextOffset)]) -> Result<(), LogError> {
        let list = list(from.iter().map(|(at, next)| (at, offset(*next))))?;
        self.0
            .client()
            .assign(&list)
            .map_err(|e| log_error("assigning partitions to a reader", &e))
    }

    fn poll(&mut self, timeout: Duration, limit: PollLimit, polled: &mut Polled) -> Result<(), LogError> {
        self.0.poll(timeout, limit, polled)
    }
}
