//! The log: Kafka, or the embedded one. The engine knows nothing else of either.
//!
//! All calls block and belong on a worker's own thread, never on a tokio worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::appender::Appender;
use crate::batch::Batch;
use crate::error::{Code, Domain};
use crate::offset::{NextOffset, Timestamp, TopicPartition};

/// What can go wrong with the log, by what the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Passing: the same call may work later.
    #[error("{what}; it is tried again")]
    Retriable {
        /// What failed and what the broker said.
        what: String,
    },
    /// Another member has taken over: drop everything, join again.
    #[error("{what}; another process has taken over this work (same pipeline and process id?)")]
    Fenced {
        /// What failed and what the broker said.
        what: String,
    },
    /// The position is no longer in the topic (retention), or not yet.
    #[error(
        "offset {next} of {at} does not exist (the topic holds {start} to {end}); records may have expired; `wasmill reset` chooses a new start"
    )]
    OutOfRange {
        /// Where.
        at: TopicPartition,
        /// The offset that was to be read.
        next: NextOffset,
        /// The first offset there is.
        start: NextOffset,
        /// The offset after the last.
        end: NextOffset,
    },
    /// A topic does not exist.
    #[error("topic `{topic}` does not exist; create it, or say `create_topics = true`")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// One record is larger than the log takes.
    #[error(
        "a record of {bytes} bytes for topic `{topic}` is larger than it takes; raise `max.message.bytes` there or handle it with `on_error`"
    )]
    TooLarge {
        /// Its topic.
        topic: String,
        /// Key, value and headers, in bytes.
        bytes: usize,
    },
    /// The log takes other records of this topic, but never this one.
    #[error("a record for topic `{topic}` is refused: {what}")]
    Rejected {
        /// Its topic.
        topic: String,
        /// Why.
        what: String,
    },
    /// Nothing that is tried again will help: rights, configuration, an unsupported broker.
    #[error("{what}")]
    Fatal {
        /// What failed, what the broker said, and what to do.
        what: String,
    },
}

impl LogError {
    /// Whether one record is the cause, and the log takes others.
    #[must_use]
    pub fn is_of_a_record(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Rejected { .. })
    }

    /// Who can mend it.
    #[must_use]
    pub fn domain(&self) -> Domain {
        match self {
            Self::Retriable { .. } | Self::Fenced { .. } => Domain::System,
            Self::OutOfRange { .. }
            | Self::NoTopic { .. }
            | Self::TooLarge { .. }
            | Self::Rejected { .. }
            | Self::Fatal { .. } => Domain::User,
        }
    }

    /// The code of its page in docs/errors.
    #[must_use]
    pub fn code(&self) -> Code {
        Code(match self {
            Self::Retriable { .. } => "E0401",
            Self::Fenced { .. } => "E0402",
            Self::OutOfRange { .. } => "E0403",
            Self::NoTopic { .. } => "E0404",
            Self::TooLarge { .. } => "E0405",
            Self::Fatal { .. } => "E0406",
            Self::Rejected { .. } => "E0407",
        })
    }
}

/// How a commit that did not succeed ended. What to do next differs.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The time slice is over, the commit goes on: call again with the same positions.
    #[error("the commit is not finished yet")]
    Unfinished,
    /// It did not happen, and the log has acknowledged that (or it was never begun). Roll back,
    /// seek to the committed offsets, go on with the same session.
    #[error("the transaction was aborted: {what}")]
    Aborted {
        /// Why.
        what: String,
    },
    /// It may or may not have happened. Call [`Session::renew`], read the committed offsets,
    /// restore the changelog's tail.
    #[error("it is not known whether the transaction was committed: {what}")]
    Ambiguous {
        /// Why.
        what: String,
    },
    /// Another process has taken over. Nothing was committed by this call.
    #[error("fenced: {what}")]
    Fenced {
        /// Why.
        what: String,
    },
    /// A record was refused; nothing was committed; as [`Self::Aborted`].
    #[error("a record was refused: {0}")]
    Refused(LogError),
    /// Nothing that is tried again will help.
    #[error("{what}")]
    Fatal {
        /// Why, and what to do.
        what: String,
    },
}

/// What happened besides records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// These partitions are ours once [`Session::assign`] is called for them.
    Assigned(Vec<TopicPartition>),
    /// These are to be given up: commit, then call [`Session::unassign`].
    Revoked(Vec<TopicPartition>),
    /// These are gone already: abort, then call [`Session::unassign`].
    Lost(Vec<TopicPartition>),
    /// There is nothing to read at the moment; `next` is past everything, control records too.
    End {
        /// Where.
        at: TopicPartition,
        /// The position that says "all is read".
        next: NextOffset,
    },
    /// The position does not exist any more.
    OutOfRange {
        /// Where.
        at: TopicPartition,
    },
    /// Passing trouble worth a line in the log: the broker is away, say.
    Trouble {
        /// For people.
        what: String,
    },
}

/// What a poll found.
#[derive(Debug, Default)]
pub struct Polled {
    /// At most one batch per partition; empty ones are kept for their memory.
    pub batches: Vec<Batch>,
    /// In order.
    pub events: Vec<LogEvent>,
}

impl Polled {
    /// The batch of a partition, made when missing.
    pub fn batch(&mut self, topic: &str, partition: u32) -> &mut Batch {
        let found = self
            .batches
            .iter()
            .position(|b| b.partition == partition && &*b.topic == topic);
        let index = match found {
            Some(index) => index,
            None => {
                self.batches.push(Batch::new(Arc::from(topic), partition));
                self.batches.len() - 1
            }
        };
        &mut self.batches[index]
    }

    /// Removes all records and events and keeps the memory.
    pub fn clear(&mut self) {
        for batch in &mut self.batches {
            batch.clear();
        }
        self.events.clear();
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.batches.iter().all(Batch::is_empty)
    }
}

/// When a poll returns before its time is over: as soon as one partition's batch is this large.
#[derive(Clone, Copy, Debug)]
pub struct PollLimit {
    /// Records in one batch.
    pub records: usize,
    /// Bytes in one batch; a larger record travels alone.
    pub bytes: usize,
}

impl Default for PollLimit {
    fn default() -> Self {
        Self {
            records: 256,
            bytes: 1 << 20,
        }
    }
}

/// A committed position of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// What is read next.
    pub next: NextOffset,
    /// What was committed with it; see [`crate::origin::PositionNote`]. May be empty.
    pub note: String,
}

/// A position to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where.
    pub at: TopicPartition,
    /// What is read next.
    pub next: NextOffset,
    /// At most 4,000 bytes; returned with the committed position.
    pub note: String,
}

/// How a worker's session writes and commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Outputs and positions in one transaction under this id.
    Transactional {
        /// `<pipeline>-<process id>-<worker>`.
        transactional_id: String,
        /// How long a transaction may stay open.
        timeout: Duration,
    },
    /// Outputs are acknowledged before positions are committed.
    AtLeastOnce,
}

/// What a session joins, and as whom.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The consumer group.
    pub group: String,
    /// Static membership: a restart does not wait for the session timeout. `None`: dynamic.
    pub instance_id: Option<String>,
    /// Shown by group tools and compared by [`Log::group_members`]: carries the plan's hash.
    pub client_id: String,
    /// The topics to read.
    pub topics: Vec<Arc<str>>,
    /// How outputs are written.
    pub writes: Writes,
}

/// One member of a consumer group with one producer. Owned by one thread.
pub trait Session: Send {
    /// Waits up to `timeout` for records and events, and appends them to `polled`. Every member
    /// polls at least every few seconds, whatever else it does.
    ///
    /// # Errors
    /// Only what ends the session; passing trouble is an event.
    fn poll(&mut self, timeout: Duration, limit: PollLimit, polled: &mut Polled) -> Result<(), LogError>;

    /// Answers [`LogEvent::Assigned`]: reading starts at these positions.
    ///
    /// # Errors
    /// What ends the session.
    fn assign(&mut self, from: &[(TopicPartition, NextOffset)]) -> Result<(), LogError>;
    /// Answers [`LogEvent::Revoked`] and [`LogEvent::Lost`].
    ///
    /// # Errors
    /// What ends the session.
    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;
    /// Stops reading these; records already fetched are dropped, and come again after `resume`.
    ///
    /// # Errors
    /// What ends the session.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;
    /// Reads these again, from where each stood.
    ///
    /// # Errors
    /// What ends the session.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;
    /// Reads on from these positions; what was fetched is dropped.
    ///
    /// # Errors
    /// What ends the session.
    fn seek(&mut self, to: &[(TopicPartition, NextOffset)]) -> Result<(), LogError>;
    /// The group's committed positions, waiting until no transaction holds them open ("stable").
    ///
    /// # Errors
    /// `Retriable` when `timeout` is over.
    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, LogError>;

    /// Hands a batch to the producer, record `i` to `partitions[i]`. A transaction begins by
    /// itself. Records are copied; the call waits while the producer's queue is full.
    ///
    /// # Errors
    /// `TooLarge` for a record that can never be sent (none of the batch after it is sent then:
    /// abort), `Retriable` when the queue stays full, else what ends the session.
    fn produce(&mut self, topic: &str, batch: &Batch, partitions: &[u32]) -> Result<(), LogError>;
    /// How many partitions a topic has, from cached metadata.
    ///
    /// # Errors
    /// `NoTopic`, `Retriable`.
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError>;
    /// The offset after the last record that this session has had acknowledged in a partition.
    /// Known for every record once [`Self::commit`] or [`Self::flush`] has succeeded.
    fn acknowledged(&self, at: &TopicPartition) -> Option<NextOffset>;
    /// Waits until everything produced is acknowledged. At least once only.
    ///
    /// # Errors
    /// `Retriable` when the deadline is over; the refusal of a record.
    fn flush(&mut self, deadline: Instant) -> Result<(), LogError>;

    /// Commits everything produced and these positions: atomically where writes are
    /// transactional, else positions after all records are acknowledged. Works until `slice` is
    /// over and then returns [`CommitError::Unfinished`], so that the caller can look at the clock.
    ///
    /// # Errors
    /// Each variant says what to do.
    fn commit(&mut self, positions: &[Position], slice: Duration) -> Result<(), CommitError>;
    /// Aborts the open transaction, if any. At least once: forgets nothing that was sent.
    ///
    /// # Errors
    /// [`CommitError::Unfinished`], or `Ambiguous`: call [`Self::renew`].
    fn abort(&mut self, slice: Duration) -> Result<(), CommitError>;
    /// Replaces the producer by a new one that fences the old. The old one is never used again.
    ///
    /// # Errors
    /// `Retriable`, `Fenced`, `Fatal`.
    fn renew(&mut self, timeout: Duration) -> Result<(), LogError>;
    /// Ends the session: aborts what is open, leaves the group when asked to.
    fn close(self: Box<Self>, leave: bool, timeout: Duration);
}

/// Which records of transactions a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Only those of committed transactions, in order.
    ReadCommitted,
    /// All.
    ReadUncommitted,
}

/// Reads partitions that are assigned by hand, outside any group.
pub trait Reader: Send {
    /// Reads these partitions from these positions, and no others.
    ///
    /// # Errors
    /// What ends the reader.
    fn assign(&mut self, from: &[(TopicPartition, NextOffset)]) -> Result<(), LogError>;
    /// As [`Session::poll`]; the events are `End`, `OutOfRange` and `Trouble`.
    ///
    /// # Errors
    /// What ends the reader.
    fn poll(&mut self, timeout: Duration, limit: PollLimit, polled: &mut Polled) -> Result<(), LogError>;
}

/// What a topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Changes when a topic is deleted and created again.
    pub id: String,
    /// How many partitions it has.
    pub partitions: u32,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// `None`: the broker's default.
    pub replication: Option<u16>,
    /// Topic settings, such as `cleanup.policy`.
    pub config: Vec<(String, String)>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its client id: see [`SessionConfig::client_id`].
    pub client_id: String,
    /// Its host, as the broker sees it.
    pub host: String,
}

/// Which end of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The first record there is.
    Start,
    /// After the last record, counting those of open transactions.
    End,
    /// After the last record that a `read_committed` reader can reach now.
    StableEnd,
    /// The first record at or after a time; the end when there is none.
    Time(Timestamp),
}

/// The log as a whole. Cheap to share between threads.
pub trait Log: Send + Sync {
    /// One entry per name, `None` where there is no such topic.
    ///
    /// # Errors
    /// `Retriable` when the broker does not answer within `timeout`.
    fn topics(&self, names: &[&str], timeout: Duration) -> Result<Vec<Option<TopicInfo>>, LogError>;
    /// Creates topics; one that exists is left as it is.
    ///
    /// # Errors
    /// `Fatal` without the right; `Retriable`.
    fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), LogError>;
    /// Deletes topics; one that does not exist is fine.
    ///
    /// # Errors
    /// As [`Self::create_topics`].
    fn delete_topics(&self, names: &[&str], timeout: Duration) -> Result<(), LogError>;
    /// The offsets at one edge of partitions.
    ///
    /// # Errors
    /// `NoTopic`, `Retriable`.
    fn offsets(
        &self,
        partitions: &[TopicPartition],
        edge: Edge,
        timeout: Duration,
    ) -> Result<Vec<NextOffset>, LogError>;
    /// A group's committed positions, stable as in [`Session::committed`], from outside it.
    ///
    /// # Errors
    /// `Retriable`.
    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, LogError>;
    /// Sets positions of a group that has no members.
    ///
    /// # Errors
    /// `Fatal` while it has members; `Retriable`.
    fn set_committed(&self, group: &str, positions: &[Position], timeout: Duration) -> Result<(), LogError>;
    /// Forgets a group that has no members, positions and all.
    ///
    /// # Errors
    /// As [`Self::set_committed`]; a group that does not exist is fine.
    fn delete_group(&self, group: &str, timeout: Duration) -> Result<(), LogError>;
    /// The members of a group now; empty when there is no such group.
    ///
    /// # Errors
    /// `Retriable`.
    fn group_members(&self, group: &str, timeout: Duration) -> Result<Vec<GroupMember>, LogError>;
    /// Deletes the records before these offsets.
    ///
    /// # Errors
    /// `Fatal` without the right; `Retriable`.
    fn delete_records(&self, before: &[(TopicPartition, NextOffset)], timeout: Duration) -> Result<(), LogError>;
    /// A new member of a group.
    ///
    /// # Errors
    /// `Fatal` for a configuration that the log refuses; `Fenced`; `Retriable`.
    fn session(&self, config: SessionConfig) -> Result<Box<dyn Session>, LogError>;
    /// A reader outside any group.
    ///
    /// # Errors
    /// `Fatal` for a configuration that the log refuses.
    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>, LogError>;
    /// Writes a batch outside any group and transaction, and returns when all is acknowledged:
    /// what `wasmill produce` uses.
    ///
    /// # Errors
    /// As [`Session::produce`] and [`Session::flush`].
    fn append(&self, topic: &str, batch: &Batch, partitions: &[u32], timeout: Duration) -> Result<(), LogError>;
    /// A producer of its own, outside any group and transaction.
    ///
    /// # Errors
    /// `Fatal` for a configuration that the log refuses.
    fn appender(&self) -> Result<Box<dyn Appender>, LogError>;
    /// Whether the log is part of this process, so that others reach it through this one only.
    fn is_in_process(&self) -> bool {
        false
    }
    /// Leaves word beside the log of where this process answers over HTTP, for commands that find the log held.
    /// Does nothing where a log can be opened by others.
    ///
    /// # Errors
    /// `Fatal` when it cannot be written.
    fn announce(&self, _api: &str) -> Result<(), LogError> {
        Ok(())
    }
}
