//! The log on Kafka: the only crate that knows rdkafka.
//!
//! `session` is a member of a group with its producer, `reader` a consumer without one, `admin`
//! everything about topics and groups, `producer` what is common to all that write,
//! `appender` a producer that answers for each record. `native` holds
//! the calls that rdkafka does not offer, and all `unsafe`.

mod admin;
mod appender;
mod config;
mod consumer;
mod error;
mod native;
mod producer;
mod reader;
mod session;
mod transaction;

pub use admin::KafkaLog;
pub use config::KafkaConfig;
