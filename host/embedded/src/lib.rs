//! The log inside the process: topics, partitions, offsets, groups, compaction and transactions
//! without a broker. One implementation of [`record::log::Log`], beside Kafka.
//!
//! # What is kept
//! With a directory, everything, until it is deleted by `delete_records`, `delete_topics` or
//! compaction; without one, everything as long as the process lives: memory grows with the records
//! that nobody deletes. Retention by time or size does not exist here, whatever a topic's
//! `retention.ms` says. Of a topic's settings, `cleanup.policy`, `delete.retention.ms` and
//! `max.message.bytes` (1 GiB by default and at most) mean something; the others are kept and do
//! nothing.
//!
//! # What survives
//! A commit is one atomic batch of records, end offsets and positions. When it has returned, it
//! survives the end of the process and a loss of power (the journal is synced, `fdatasync`). What
//! an at-least-once session produces is visible and safe from the end of the process at once, and
//! safe from a loss of power after `flush` or `commit`; as there is one journal, nothing that was
//! derived from a record can survive without it.
//!
//! # Groups and fencing
//! All members live in this process. A member that stops polling is not expelled, and an open
//! transaction has no time-out: it holds nothing up, as its records enter the log only with the
//! commit. (So `ReadUncommitted` sees the same as `ReadCommitted`, and [`Edge::End`] is
//! [`Edge::StableEnd`].) A session that is dropped leaves its group. A second session with the same
//! transactional id, or of the same instance in a group, fences the first.
//!
//! # Threads
//! Sessions and readers work on their caller's thread and sleep on a condition while there is
//! nothing to read. One more thread compacts; with a directory, two of the store's flush.

mod admin;
mod appender;
mod chunk;
mod codec;
mod compactor;
mod core;
mod cursor;
mod directory;
mod error;
mod group;
mod outbox;
mod reader;
mod session;
mod state;
mod store;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use record::appender::Appender;
use record::log::{
    Committed, Edge, GroupMember, Isolation, Log, LogError, NewTopic, Position, Reader, Session, SessionConfig,
    TopicInfo,
};
use record::{Batch, NextOffset, TopicPartition};

use crate::appender::EmbeddedAppender;
use crate::chunk::Chunk;
use crate::core::{Changes, Core};
use crate::cursor::Cursors;
use crate::error::EmbeddedError;
use crate::reader::EmbeddedReader;
use crate::session::EmbeddedSession;

/// What is found in a directory.
pub enum Found {
    /// The log, open.
    Open(EmbeddedLog),
    /// Another process, which has it open.
    Held {
        /// For people: `process 17`.
        holder: String,
        /// Where it answers over HTTP, if it has said so: see [`Log::announce`].
        api: Option<String>,
    },
}

/// The log inside the process. Clones share it; it is closed when the last clone, session and
/// reader is gone.
#[derive(Clone)]
pub struct EmbeddedLog {
    core: Arc<Core>,
}

impl EmbeddedLog {
    /// Opens the log in a directory, which is created when missing; without one, in memory.
    ///
    /// # Errors
    /// `Fatal` when another process has the directory open, when it is not a log's or of another
    /// version, when it cannot be used, or when it is damaged. Each says what to do.
    pub fn open(dir: Option<&Path>) -> Result<Self, LogError> {
        Ok(Self {
            core: Arc::new(Core::open(dir)?),
        })
    }

    /// Opens the log in a directory, as [`Self::open`], or finds who has it open.
    ///
    /// # Errors
    /// As [`Self::open`], but for another process.
    pub fn open_or_find(dir: &Path) -> Result<Found, LogError> {
        match Core::open(Some(dir)) {
            Ok(core) => Ok(Found::Open(Self { core: Arc::new(core) })),
            Err(EmbeddedError::InUse { holder, api, .. }) => Ok(Found::Held { holder, api }),
            Err(error) => Err(error.into()),
        }
    }

    /// The first record at or after a time.
    fn at_time(&self, at: &TopicPartition, time: i64) -> Result<NextOffset, LogError> {
        let shared = &self.core.shared;
        let (number, start, end, chunks) = {
            let state = shared.state();
            let (topic, partition) = state.partition(at)?;
            let chunks: Vec<Arc<Chunk>> = match &shared.store {
                Some(_) => Vec::new(),
                None => partition.chunks(partition.start).map(Arc::clone).collect(),
            };
            (topic.number, partition.start, partition.end, chunks)
        };
        let first_in = |chunk: &Chunk| {
            (chunk.index_of(start)..chunk.len())
                .find(|i| chunk.timestamps[*i] >= time)
                .map(|i| NextOffset(chunk.offsets[i]))
        };
        let mut found = chunks.iter().find_map(|chunk| first_in(chunk));
        if let Some(store) = &shared.store {
            for entry in store.entries(number, at.partition, start..end) {
                let entry = entry?;
                if entry.max_timestamp < time {
                    continue;
                }
                store.chunks_from(number, at.partition, entry.last, |chunk| {
                    found = first_in(&chunk);
                    ControlFlow::Break(())
                })?;
                if found.is_some() {
                    break;
                }
            }
        }
        Ok(found.unwrap_or(NextOffset(end)))
    }
}

impl Log for EmbeddedLog {
    fn topics(&self, names: &[&str], _timeout: Duration) -> Result<Vec<Option<TopicInfo>>, LogError> {
        let state = self.core.shared.state();
        Ok(names
            .iter()
            .map(|name| {
                state.topics.get(*name).map(|topic| TopicInfo {
                    id: topic.id.clone(),
                    partitions: topic.partitions.len() as u32,
                })
            })
            .collect())
    }

    fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), LogError> {
        self.core.create_topics(topics, timeout)
    }

    fn delete_topics(&self, names: &[&str], timeout: Duration) -> Result<(), LogError> {
        self.core.delete_topics(names, timeout)
    }

    fn offsets(
        &self,
        partitions: &[TopicPartition],
        edge: Edge,
        _timeout: Duration,
    ) -> Result<Vec<NextOffset>, LogError> {
        partitions
            .iter()
            .map(|at| match edge {
                Edge::Time(time) => self.at_time(at, time),
                Edge::Start => Ok(NextOffset(self.core.shared.state().partition(at)?.1.start)),
                Edge::End | Edge::StableEnd => Ok(NextOffset(self.core.shared.state().partition(at)?.1.end)),
            })
            .collect()
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, LogError> {
        session::committed(&self.core, group, partitions, timeout)
    }

    fn set_committed(&self, group: &str, positions: &[Position], timeout: Duration) -> Result<(), LogError> {
        let writing = self.core.shared.writing_or_retry(timeout)?;
        {
            // Members join under the writer lock: none comes in between.
            let state = self.core.shared.state();
            admin::no_members(group, state.groups.get(group).map_or(0, |g| g.members.len()))?;
            for position in positions {
                state.partition(&position.at)?;
            }
        }
        let changes = Changes {
            group,
            positions,
            durable: true,
            ..Changes::default()
        };
        match self.core.write(&writing, changes, |_| Ok(())) {
            Ok(_) => Ok(()),
            Err(error) => Err(LogError::Fatal {
                what: error.to_string(),
            }),
        }
    }

    fn delete_group(&self, group: &str, timeout: Duration) -> Result<(), LogError> {
        self.core.delete_group(group, timeout)
    }

    fn group_members(&self, group: &str, _timeout: Duration) -> Result<Vec<GroupMember>, LogError> {
        let state = self.core.shared.state();
        Ok(state.groups.get(group).map_or_else(Vec::new, |group| {
            let member = |m: &group::Member| GroupMember {
                client_id: m.client_id.clone(),
                host: "in this process".to_owned(),
            };
            group.members.iter().map(member).collect()
        }))
    }

    fn delete_records(&self, before: &[(TopicPartition, NextOffset)], timeout: Duration) -> Result<(), LogError> {
        self.core.delete_records(before, timeout)
    }

    fn session(&self, config: SessionConfig) -> Result<Box<dyn Session>, LogError> {
        Ok(Box::new(EmbeddedSession::join(Arc::clone(&self.core), config)?))
    }

    fn reader(&self, _isolation: Isolation) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(EmbeddedReader {
            core: Arc::clone(&self.core),
            cursors: Cursors::default(),
        }))
    }

    fn append(&self, topic: &str, batch: &Batch, partitions: &[u32], timeout: Duration) -> Result<(), LogError> {
        session::append(&self.core, topic, batch, partitions, timeout)
    }

    fn appender(&self) -> Result<Box<dyn Appender>, LogError> {
        Ok(Box::new(EmbeddedAppender(Arc::clone(&self.core))))
    }

    fn is_in_process(&self) -> bool {
        true
    }

    fn announce(&self, api: &str) -> Result<(), LogError> {
        match &self.core.shared.directory {
            Some(directory) => Ok(directory.announce(api)?),
            None => Ok(()),
        }
    }
}
