//! Topics, offsets and groups, from outside.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use parking_lot::Mutex;
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic as NativeTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use record::appender::Appender;
use record::log::{
    Committed, Edge, GroupMember, Isolation, Log, LogError, NewTopic, Position, Reader, Session, SessionConfig,
    TopicInfo,
};
use record::{Batch, NextOffset, TopicPartition};

use crate::appender::KafkaAppender;
use crate::config::KafkaConfig;
use crate::consumer::{list, partition_number, positions};
use crate::error::{log_error, refused_settings, sort};
use crate::native;
use crate::producer::Producer;
use crate::reader::KafkaReader;
use crate::session::KafkaSession;

const GROUP: &str = "wasmill-admin";
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A Kafka cluster.
pub struct KafkaLog {
    config: KafkaConfig,
    admin: AdminClient<DefaultClientContext>,
    stable: BaseConsumer,
    uncommitted: BaseConsumer,
    /// A consumer per group whose positions were asked for; none ever joins.
    groups: Mutex<HashMap<String, Arc<BaseConsumer>>>,
    producer: Mutex<Option<Producer>>,
}

impl KafkaLog {
    /// Prepares to use a cluster. Does not connect: what is wrong with the address shows at the
    /// first call.
    ///
    /// # Errors
    /// `Fatal` when librdkafka refuses the settings.
    pub fn new(config: KafkaConfig) -> Result<Self, LogError> {
        let refused = |error: KafkaError| refused_settings(&error);
        let consumer = |isolation| {
            config
                .consumer(&config.client_id, GROUP, isolation)
                .create()
                .map_err(refused)
        };
        Ok(Self {
            admin: config.producer(&config.client_id).create().map_err(refused)?,
            stable: consumer(Isolation::ReadCommitted)?,
            uncommitted: consumer(Isolation::ReadUncommitted)?,
            groups: Mutex::default(),
            producer: Mutex::default(),
            config,
        })
    }

    fn group(&self, group: &str) -> Result<Arc<BaseConsumer>, LogError> {
        let mut groups = self.groups.lock();
        if let Some(consumer) = groups.get(group) {
            return Ok(Arc::clone(consumer));
        }
        let consumer: BaseConsumer = self
            .config
            .consumer(&self.config.client_id, group, Isolation::ReadCommitted)
            .create()
            .map_err(|e| log_error("opening a group", &e))?;
        let consumer = Arc::new(consumer);
        groups.insert(group.to_owned(), Arc::clone(&consumer));
        Ok(consumer)
    }

    fn options(timeout: Duration) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(timeout))
            .operation_timeout(Some(timeout))
    }

    fn edge(consumer: &BaseConsumer, at: &TopicPartition, timeout: Duration) -> Result<(i64, i64), LogError> {
        let ask = |left| {
            let found = consumer.fetch_watermarks(&at.topic, partition_number(at), left);
            found.map_err(|error| match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => LogError::NoTopic {
                    topic: at.topic.to_string(),
                },
                _ => log_error(&format!("reading the ends of {at}"), &error),
            })
        };
        retried(timeout, ask)
    }

    fn offsets_at(&self, places: &[TopicPartition], time: i64, timeout: Duration) -> Result<Vec<NextOffset>, LogError> {
        let doing = "looking for a time";
        let wanted = list(places.iter().map(|at| (at, Offset::Offset(time))))?;
        let found = self
            .stable
            .offsets_for_times(wanted, timeout)
            .map_err(|e| log_error(doing, &e))?;
        places
            .iter()
            .map(|at| {
                let element = found.find_partition(&at.topic, partition_number(at));
                match element.map(|element| element.offset()) {
                    Some(Offset::Offset(offset)) => Ok(NextOffset(offset)),
                    _ => Self::edge(&self.stable, at, timeout).map(|(_, end)| NextOffset(end)),
                }
            })
            .collect()
    }
}

/// Asks again while the answer is a passing one (a partition that has no leader yet, say), until
/// `timeout` is over. `ask` is given the time that is left.
fn retried<T>(timeout: Duration, mut ask: impl FnMut(Duration) -> Result<T, LogError>) -> Result<T, LogError> {
    let until = Instant::now() + timeout;
    loop {
        match ask(until.saturating_duration_since(Instant::now())) {
            Err(LogError::Retriable { .. }) if Instant::now() + ASK_AGAIN < until => std::thread::sleep(ASK_AGAIN),
            answer => return answer,
        }
    }
}

/// The committed positions of a consumer's group. A consumer that reads committed records asks
/// for stable positions: the broker does not answer while a transaction holds one open.
pub(crate) fn committed_by(
    consumer: &BaseConsumer,
    places: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<Committed>>, LogError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let doing = "reading committed positions";
    let wanted = list(places.iter().map(|at| (at, Offset::Invalid)))?;
    let found = consumer
        .committed_offsets(wanted, timeout)
        .map_err(|e| log_error(doing, &e))?;
    places
        .iter()
        .map(|at| {
            let Some(element) = found.find_partition(&at.topic, partition_number(at)) else {
                return Ok(None);
            };
            element.error().map_err(|e| log_error(doing, &e))?;
            Ok(match element.offset() {
                Offset::Offset(offset) => Some(Committed {
                    next: NextOffset(offset),
                    note: element.metadata().to_owned(),
                }),
                _ => None,
            })
        })
        .collect()
}

impl Log for KafkaLog {
    fn topics(&self, names: &[&str], timeout: Duration) -> Result<Vec<Option<TopicInfo>>, LogError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        retried(timeout, |left| {
            native::describe_topics(self.stable.client(), names, left)
                .map_err(|(code, what)| sort(code, format!("looking up topics: {what}")))
        })
    }

    fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), LogError> {
        let native: Vec<NativeTopic<'_>> = topics
            .iter()
            .map(|topic| {
                let replication = topic.replication.map_or(-1, i32::from);
                let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
                let new = NativeTopic::new(&topic.name, partitions, TopicReplication::Fixed(replication));
                topic.config.iter().fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        let doing = "creating topics";
        let results =
            block_on(self.admin.create_topics(&native, &Self::options(timeout))).map_err(|e| log_error(doing, &e))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(sort(code, format!("creating topic `{name}`: {code}"))),
            }
        }
        // The controller has them; other brokers may need a moment.
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        for _ in 0..100 {
            if self.topics(&names, timeout)?.iter().all(Option::is_some) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn delete_topics(&self, names: &[&str], timeout: Duration) -> Result<(), LogError> {
        if names.is_empty() {
            return Ok(());
        }
        let results = block_on(self.admin.delete_topics(names, &Self::options(timeout)))
            .map_err(|e| log_error("deleting topics", &e))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {}
                Err((name, code)) => return Err(sort(code, format!("deleting topic `{name}`: {code}"))),
            }
        }
        for _ in 0..100 {
            if self.topics(names, timeout)?.iter().all(Option::is_none) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn offsets(
        &self,
        partitions: &[TopicPartition],
        edge: Edge,
        timeout: Duration,
    ) -> Result<Vec<NextOffset>, LogError> {
        let each = |consumer: &BaseConsumer, end: bool| {
            partitions
                .iter()
                .map(|at| {
                    let (low, high) = Self::edge(consumer, at, timeout)?;
                    Ok(NextOffset(if end { high } else { low }))
                })
                .collect()
        };
        match edge {
            Edge::Start => each(&self.uncommitted, false),
            Edge::End => each(&self.uncommitted, true),
            Edge::StableEnd => each(&self.stable, true),
            Edge::Time(time) => self.offsets_at(partitions, time, timeout),
        }
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, LogError> {
        let consumer = self.group(group)?;
        retried(timeout, |left| committed_by(&consumer, partitions, left))
    }

    fn set_committed(&self, group: &str, at: &[Position], timeout: Duration) -> Result<(), LogError> {
        if at.is_empty() {
            return Ok(());
        }
        // The broker takes positions from outside only while the group has no members.
        if !self.group_members(group, timeout)?.is_empty() {
            return Err(LogError::Fatal {
                what: format!("group `{group}` has members; stop them first"),
            });
        }
        let list = positions(at)?;
        let consumer = self.group(group)?;
        retried(timeout, |_| {
            consumer
                .commit(&list, CommitMode::Sync)
                .map_err(|e| log_error(&format!("setting positions of group `{group}`"), &e))
        })
    }

    fn delete_group(&self, group: &str, timeout: Duration) -> Result<(), LogError> {
        self.groups.lock().remove(group);
        let results = block_on(self.admin.delete_groups(&[group], &Self::options(timeout)))
            .map_err(|e| log_error("deleting a group", &e))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                Err((name, code)) => return Err(sort(code, format!("deleting group `{name}`: {code}"))),
            }
        }
        Ok(())
    }

    fn group_members(&self, group: &str, timeout: Duration) -> Result<Vec<GroupMember>, LogError> {
        retried(timeout, |left| {
            native::describe_group(self.stable.client(), group, left)
                .map_err(|(code, what)| sort(code, format!("describing group `{group}`: {what}")))
        })
    }

    fn delete_records(&self, before: &[(TopicPartition, NextOffset)], timeout: Duration) -> Result<(), LogError> {
        if before.is_empty() {
            return Ok(());
        }
        let list = list(before.iter().map(|(at, next)| (at, Offset::Offset(next.0))))?;
        let done = block_on(self.admin.delete_records(&list, &Self::options(timeout)))
            .map_err(|e| log_error("deleting records", &e))?;
        for element in done.elements() {
            element.error().map_err(|e| {
                log_error(
                    &format!("deleting records of {}:{}", element.topic(), element.partition()),
                    &e,
                )
            })?;
        }
        Ok(())
    }

    fn session(&self, config: SessionConfig) -> Result<Box<dyn Session>, LogError> {
        KafkaSession::new(&self.config, config).map(|session| Box::new(session) as Box<dyn Session>)
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>, LogError> {
        KafkaReader::new(&self.config, isolation).map(|reader| Box::new(reader) as Box<dyn Reader>)
    }

    fn append(&self, topic: &str, batch: &Batch, partitions: &[u32], timeout: Duration) -> Result<(), LogError> {
        let mut slot = self.producer.lock();
        let producer = match &mut *slot {
            Some(producer) => producer,
            None => slot.insert(Producer::new(&self.config.producer(&self.config.client_id))?),
        };
        producer.produce(topic, batch, partitions)?;
        if !producer.flush(timeout) {
            return Err(LogError::Retriable {
                what: format!("records for topic `{topic}` are not acknowledged yet"),
            });
        }
        producer.take_failure().map_or(Ok(()), Err)
    }

    fn appender(&self) -> Result<Box<dyn Appender>, LogError> {
        Ok(Box::new(KafkaAppender::new(&self.config)?))
    }
}
