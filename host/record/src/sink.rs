//! What an external sink is. Deliver tasks own it.

use futures_core::future::BoxFuture;

use crate::batch::Batch;
use crate::error::{Code, Domain, Failure};
use crate::offset::{NextOffset, TopicPartition};

/// What can go wrong with a sink, by what the deliver task has to do.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Nothing of the batch was written; the same call may work later (the service is away, a
    /// deadlock, or a commit whose fate is unknown: then [`Sink::open`] first, which tells).
    #[error("{what}; it is tried again")]
    Retriable {
        /// What failed and what the service said, without secrets.
        what: String,
    },
    /// Nothing of the batch was written, because of these records. After they are acknowledged as
    /// dead letters (or skipped), the batch is written again without them.
    #[error("{} record(s) were rejected, the first: {}", .0.len(), .0.first().map_or("", |f| f.message.as_str()))]
    Rejected(Vec<Failure>),
    /// Another process has taken this partition over.
    #[error("{at} was taken over by another process")]
    Fenced {
        /// The partition of the sink's topic.
        at: TopicPartition,
    },
    /// Nothing that is tried again will help: rights, a missing table, a wrong column.
    #[error("{what}")]
    Fatal {
        /// What failed and what to do, without secrets.
        what: String,
    },
}

impl SinkError {
    /// Who can mend it.
    #[must_use]
    pub fn domain(&self) -> Domain {
        match self {
            Self::Rejected(_) | Self::Fatal { .. } => Domain::User,
            Self::Retriable { .. } | Self::Fenced { .. } => Domain::System,
        }
    }

    /// The code of its page in docs/errors.
    #[must_use]
    pub fn code(&self) -> Code {
        Code(match self {
            Self::Retriable { .. } => "E0601",
            Self::Rejected(_) => "E0602",
            Self::Fenced { .. } => "E0603",
            Self::Fatal { .. } => "E0604",
        })
    }
}

/// A partition of a sink's topic, as it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPartition {
    /// The partition.
    pub at: TopicPartition,
    /// The topic's id.
    pub topic_id: String,
    /// What the consumer group has committed, if anything.
    pub committed: Option<NextOffset>,
}

/// An external system that records are delivered to: `mysql`, `mongodb`, `stdout` and so on.
///
/// A batch holds records of one partition, in order. Batches of a partition come in order, one at
/// a time; after a crash, a rebalance or an error, records may come again.
pub trait Sink: Send {
    /// Called when a partition is assigned, and again after a [`SinkError::Retriable`] from
    /// [`Self::write`]: creates what is missing, fences older writers, and answers where to go on
    /// (`None`: at the committed offset).
    fn open<'a>(&'a mut self, partition: &'a SinkPartition) -> BoxFuture<'a, Result<Option<NextOffset>, SinkError>>;

    /// Writes a batch except for the indexes in `skip` (rising), with the position `next` in the
    /// same transaction where the system has those. Called for every batch.
    fn write<'a>(
        &'a mut self,
        batch: &'a Batch,
        skip: &'a [u32],
        next: NextOffset,
    ) -> BoxFuture<'a, Result<(), SinkError>>;

    /// Called when a partition is given up. Releases what was held for it; cannot fail.
    fn close<'a>(&'a mut self, at: &'a TopicPartition) -> BoxFuture<'a, ()>;
}
