//! A member of a group with its producer.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer as _, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;
use record::log::{
    CommitError, Committed, Isolation, LogError, LogEvent, PollLimit, Polled, Position, Session, SessionConfig, Writes,
};
use record::{Batch, NextOffset, TopicPartition};

use crate::config::KafkaConfig;
use crate::consumer::{Consumer, list, offset, partition_number, positions};
use crate::error::log_error;
use crate::producer::Producer;
use crate::transaction::Stage;

pub(crate) const INIT_TIMEOUT: Duration = Duration::from_secs(30);
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);

/// The session; its transaction is driven in `transaction.rs`.
pub(crate) struct KafkaSession {
    pub(crate) consumer: Consumer,
    /// `None` only while it is being replaced, or when that failed.
    pub(crate) producer: Option<Producer>,
    kafka: KafkaConfig,
    config: SessionConfig,
    pub(crate) stage: Stage,
    /// The producer cannot go on after an abort: a refused record has left a gap in its sequence
    /// numbers, or it did not even begin a transaction.
    pub(crate) is_spoiled: bool,
    pub(crate) commit_began: Option<Instant>,
}

impl KafkaSession {
    pub(crate) fn new(kafka: &KafkaConfig, config: SessionConfig) -> Result<Self, LogError> {
        let mut settings = kafka.consumer(&config.client_id, &config.group, Isolation::ReadCommitted);
        // Under KIP-848 a static member keeps its partitions even when it leaves, and a restart is
        // refused until the session has timed out.
        if let Some(id) = config.instance_id.as_ref().filter(|_| !kafka.has_consumer_protocol()) {
            settings.set("group.instance.id", id);
        }
        let producer = new_producer(kafka, &config, INIT_TIMEOUT)?;
        let consumer = Consumer::new(&settings)?;
        let topics: Vec<&str> = config.topics.iter().map(|topic| &**topic).collect();
        consumer
            .client()
            .subscribe(&topics)
            .map_err(|e| log_error("subscribing", &e))?;
        Ok(Self {
            consumer,
            producer: Some(producer),
            kafka: kafka.clone(),
            config,
            stage: Stage::None,
            is_spoiled: false,
            commit_began: None,
        })
    }

    fn is_transactional(&self) -> bool {
        matches!(self.config.writes, Writes::Transactional { .. })
    }

    fn producer(&mut self) -> Result<&mut Producer, LogError> {
        self.producer.as_mut().ok_or_else(|| LogError::Retriable {
            what: "the producer could not be replaced yet".to_owned(),
        })
    }

    fn commit_at_least_once(&mut self, at: &[Position], slice: Duration) -> Result<(), CommitError> {
        let fatal = |error: LogError| CommitError::Fatal {
            what: error.to_string(),
        };
        let Some(producer) = &self.producer else {
            return Err(CommitError::Ambiguous {
                what: "there is no producer".to_owned(),
            });
        };
        if !producer.flush(slice) {
            return Err(CommitError::Unfinished);
        }
        match producer.take_failure() {
            None => {}
            Some(error) if error.is_of_a_record() => return Err(CommitError::Refused(error)),
            Some(LogError::Fenced { what }) => return Err(CommitError::Fenced { what }),
            Some(LogError::Fatal { what }) => return Err(CommitError::Fatal { what }),
            Some(other) => {
                return Err(CommitError::Aborted {
                    what: other.to_string(),
                });
            }
        }
        if at.is_empty() {
            return Ok(());
        }
        let list = positions(at).map_err(fatal)?;
        self.consumer.client().commit(&list, CommitMode::Sync).map_err(|error| {
            let what = format!("committing positions: {error}");
            match log_error("committing positions", &error) {
                LogError::Fenced { what } => CommitError::Fenced { what },
                LogError::Fatal { what } if !is_membership(&error) => CommitError::Fatal { what },
                _ => CommitError::Aborted { what },
            }
        })
    }
}

fn is_membership(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration)
    )
}

fn new_producer(kafka: &KafkaConfig, config: &SessionConfig, timeout: Duration) -> Result<Producer, LogError> {
    let mut settings = kafka.producer(&config.client_id);
    if let Writes::Transactional {
        transactional_id,
        timeout,
    } = &config.writes
    {
        settings
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", timeout.as_millis().to_string())
            // Below the transaction's: it is we who give up first, with an abort that is acknowledged.
            .set("message.timeout.ms", (*timeout * 4 / 5).as_millis().to_string());
    } else {
        // Well below the time after which a member that does not poll is expelled.
        settings.set("message.timeout.ms", "120000");
    }
    let producer = Producer::new(&settings)?;
    if matches!(config.writes, Writes::Transactional { .. }) {
        producer
            .inner()
            .init_transactions(timeout)
            .map_err(|e| log_error("taking over the transactional id", &e))?;
    }
    Ok(producer)
}

impl Session for KafkaSession {
    fn poll(&mut self, timeout: Duration, limit: PollLimit, polled: &mut Polled) -> Result<(), LogError> {
        self.consumer.poll(timeout, limit, polled)
    }

    fn assign(&mut self, from: &[(TopicPartition, NextOffset)]) -> Result<(), LogError> {
        let list = list(from.iter().map(|(at, next)| (at, offset(*next))))?;
        let client = self.consumer.client();
        let assigned = match client.rebalance_protocol() {
            RebalanceProtocol::Eager => client.assign(&list),
            RebalanceProtocol::Cooperative | RebalanceProtocol::None => client.incremental_assign(&list),
        };
        assigned
            // That a partition is paused outlives its assignment.
            .and_then(|()| client.resume(&list))
            .map_err(|e| log_error("taking partitions", &e))
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let list = list(partitions.iter().map(|at| (at, Offset::Invalid)))?;
        let client = self.consumer.client();
        let unassigned = match client.rebalance_protocol() {
            RebalanceProtocol::Eager => client.unassign(),
            RebalanceProtocol::Cooperative | RebalanceProtocol::None => client.incremental_unassign(&list),
        };
        unassigned.map_err(|e| log_error("giving up partitions", &e))
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        if partitions.is_empty() {
            return Ok(());
        }
        let list = list(partitions.iter().map(|at| (at, Offset::Invalid)))?;
        self.consumer
            .client()
            .pause(&list)
            .map_err(|e| log_error("pausing", &e))
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        if partitions.is_empty() {
            return Ok(());
        }
        let list = list(partitions.iter().map(|at| (at, Offset::Invalid)))?;
        self.consumer
            .client()
            .resume(&list)
            .map_err(|e| log_error("resuming", &e))
    }

    fn seek(&mut self, to: &[(TopicPartition, NextOffset)]) -> Result<(), LogError> {
        if to.is_empty() {
            return Ok(());
        }
        let doing = "going to a position";
        let wanted = list(to.iter().map(|(at, next)| (at, offset(*next))))?;
        let client = self.consumer.client();
        let done = client
            .seek_partitions(wanted, SEEK_TIMEOUT)
            .map_err(|e| log_error(doing, &e))?;
        for element in done.elements() {
            let Err(error) = element.error() else { continue };
            let Some((at, next)) = to
                .iter()
                .find(|(at, _)| *at.topic == *element.topic() && partition_number(at) == element.partition())
            else {
                continue;
            };
            // A partition whose position did not exist is not fetched any more, and cannot be
            // sought in: it is taken anew.
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::State) {
                return Err(log_error(&format!("{doing} of {at}"), &error));
            }
            let one = list([(at, offset(*next))])?;
            client
                .incremental_unassign(&one)
                .and_then(|()| client.incremental_assign(&one))
                .map_err(|e| log_error(&format!("{doing} of {at}"), &e))?;
        }
        Ok(())
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, LogError> {
        crate::admin::committed_by(self.consumer.client(), partitions, timeout)
    }

    fn produce(&mut self, topic: &str, batch: &Batch, partitions: &[u32]) -> Result<(), LogError> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.is_transactional() {
            self.begin().map_err(|error| match error {
                CommitError::Fenced { what } => LogError::Fenced { what },
                CommitError::Fatal { what } => LogError::Fatal { what },
                other => LogError::Retriable {
                    what: other.to_string(),
                },
            })?;
        }
        let producer = self.producer()?;
        let Err(error) = producer.produce(topic, batch, partitions) else {
            return Ok(());
        };
        // After a refusal nothing more is taken until the abort; the refusal is the cause to tell.
        let cause = producer
            .take_failure()
            .filter(|cause| !matches!(cause, LogError::Retriable { .. }));
        self.is_spoiled |= [cause.as_ref(), Some(&error)]
            .into_iter()
            .flatten()
            .any(LogError::is_of_a_record);
        Err(cause.unwrap_or(error))
    }

    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        self.producer()?.partitions(topic)
    }

    fn acknowledged(&self, at: &TopicPartition) -> Option<NextOffset> {
        self.producer.as_ref()?.acknowledged(at)
    }

    fn flush(&mut self, deadline: Instant) -> Result<(), LogError> {
        let producer = self.producer()?;
        if !producer.flush(deadline.saturating_duration_since(Instant::now())) {
            return Err(LogError::Retriable {
                what: "records are not acknowledged yet".to_owned(),
            });
        }
        producer.take_failure().map_or(Ok(()), Err)
    }

    fn commit(&mut self, positions: &[Position], slice: Duration) -> Result<(), CommitError> {
        if !self.is_transactional() {
            return self.commit_at_least_once(positions, slice);
        }
        if self.stage == Stage::None {
            if positions.is_empty() {
                return Ok(());
            }
            self.begin()?;
        }
        self.drive(positions, slice)
    }

    fn abort(&mut self, slice: Duration) -> Result<(), CommitError> {
        if !self.is_transactional() {
            // What is on its way is written all the same; what it is told does not concern what follows.
            let Some(producer) = &self.producer else { return Ok(()) };
            if !producer.flush(slice) {
                return Err(CommitError::Unfinished);
            }
            let _ = producer.take_failure();
            return Ok(());
        }
        match self.stage {
            Stage::None if self.is_spoiled => {
                return Err(CommitError::Ambiguous {
                    what: "the producer cannot begin a transaction".to_owned(),
                });
            }
            Stage::None => return Ok(()),
            Stage::Aborting(_) => {}
            // A commit whose answer is awaited can no longer be aborted with certainty.
            Stage::Committing => {
                return Err(CommitError::Ambiguous {
                    what: "the commit is under way".to_owned(),
                });
            }
            Stage::Open | Stage::Flushing | Stage::Offsets => self.stage = Stage::Aborting(None),
        }
        match self.drive(&[], slice) {
            // The reason was told to nobody yet, and the caller wants nothing but the abort.
            Err(CommitError::Aborted { .. } | CommitError::Refused(_)) => Ok(()),
            other => other,
        }
    }

    fn renew(&mut self, timeout: Duration) -> Result<(), LogError> {
        self.stage = Stage::None;
        self.is_spoiled = false;
        self.commit_began = None;
        // The old one goes first: what it still had to send is purged, never sent.
        self.producer = None;
        self.producer = Some(new_producer(&self.kafka, &self.config, timeout)?);
        Ok(())
    }

    fn close(self: Box<Self>, leave: bool, timeout: Duration) {
        let mut this = *self;
        let until = Instant::now() + timeout;
        if this.stage != Stage::None {
            let _ = this.abort(timeout.min(Duration::from_secs(5)));
        }
        if !leave {
            return;
        }
        // A static member does not leave when its consumer is closed (KIP-345), but it does when
        // it unsubscribes first.
        this.consumer.client().unsubscribe();
        let mut polled = Polled::default();
        let mut given_up = false;
        while Instant::now() < until && !given_up {
            polled.clear();
            if this
                .consumer
                .poll(Duration::from_millis(50), PollLimit::default(), &mut polled)
                .is_err()
            {
                break;
            }
            for event in std::mem::take(&mut polled.events) {
                if let LogEvent::Revoked(places) | LogEvent::Lost(places) = event {
                    given_up |= this.unassign(&places).is_ok();
                }
            }
            let left = this.consumer.client().assignment().map_or(0, |list| list.count());
            given_up |= left == 0;
        }
        // The request to leave is on its way; closing waits for the connection.
        let _ = this
            .consumer
            .poll(Duration::from_millis(100), PollLimit::default(), &mut polled);
    }
}
