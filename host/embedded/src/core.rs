//! The heart: one writer at a time, many readers, every commit atomic.
//!
//! There are two locks, always taken in this order:
//! 1. `writer` serialises everything that changes records, positions, topics or who may commit.
//!    It is held while the store makes a commit durable, which takes milliseconds.
//! 2. `state` is what readers see. It is held for microseconds, never during I/O.
//!
//! A commit checks under both, writes to the store under the first, and publishes under both. So
//! nothing is visible that is not in the store, and nobody is fenced in the middle of a commit.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex, MutexGuard};
use record::log::{CommitError, Committed, LogError, Position};
use record::{NextOffset, TopicPartition};

use crate::chunk::Chunk;
use crate::compactor::Compactor;
use crate::directory::Directory;
use crate::error::EmbeddedError;
use crate::state::{Partition, State};
use crate::store::Store;

/// A compacted partition with fewer records than this is left alone.
const COMPACT_RECORDS_MIN: u64 = 1_000;
/// The longest note of a position, as in Kafka.
const NOTE_BYTES_MAX: usize = 4_096;

/// Records for one partition, without offsets yet.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) at: TopicPartition,
    /// Which topic of that name.
    pub(crate) topic: u64,
    pub(crate) chunks: Vec<Chunk>,
}

/// What one commit changes.
#[derive(Debug, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) group: &'a str,
    pub(crate) positions: &'a [Position],
    /// Whether it has to survive a loss of power when this returns.
    pub(crate) durable: bool,
}

/// Shared by the log, its sessions, its readers and the compactor.
pub(crate) struct Shared {
    writer: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
    /// `None`: in memory.
    pub(crate) store: Option<Store>,
    /// After the store, so that it is given back when the store is closed.
    pub(crate) directory: Option<Directory>,
}

/// The log while anybody uses it.
pub(crate) struct Core {
    /// Before `shared`: the compactor stops before the store closes.
    compactor: Compactor,
    pub(crate) shared: Arc<Shared>,
}

/// Proof that the writer lock is held.
pub(crate) struct Writing<'a>(#[allow(dead_code, reason = "held, not read")] MutexGuard<'a, ()>);

/// Milliseconds since 1970, by the wall clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The writer lock, waiting at most this long. Whoever holds it knows that no commit is under
    /// way: what is committed is stable.
    pub(crate) fn writing(&self, timeout: Duration) -> Option<Writing<'_>> {
        self.writer.try_lock_for(timeout).map(Writing)
    }

    pub(crate) fn writing_or_retry(&self, timeout: Duration) -> Result<Writing<'_>, LogError> {
        self.writing(timeout).ok_or_else(|| LogError::Retriable {
            what: format!("the embedded log was busy for {timeout:?}"),
        })
    }

    /// The writer lock, however long it takes: at most as long as the commits before.
    pub(crate) fn writing_now(&self) -> Writing<'_> {
        Writing(self.writer.lock())
    }

    /// Wakes everybody who waits for something to change.
    pub(crate) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Waits for a change; answers whether the deadline is over. `None` waits for ever.
    pub(crate) fn wait(&self, state: &mut MutexGuard<'_, State>, deadline: Option<Instant>) -> bool {
        match deadline {
            Some(deadline) => self.changed.wait_until(state, deadline).timed_out(),
            None => {
                self.changed.wait(state);
                false
            }
        }
    }

    /// Removes the records of deleted topics from the store.
    pub(crate) fn sweep(&self) -> Result<(), EmbeddedError> {
        self.store.as_ref().map_or(Ok(()), Store::sweep)
    }
}

/// What the store keeps of a partition beside its records.
pub(crate) fn facts(partition: &Partition) -> [i64; 4] {
    [
        partition.start,
        partition.end,
        partition.records as i64,
        partition.clean as i64,
    ]
}

impl Core {
    /// Opens a log: in memory without a directory.
    pub(crate) fn open(dir: Option<&Path>) -> Result<Self, EmbeddedError> {
        let (directory, store, state) = match dir {
            None => (None, None, State::default()),
            Some(dir) => {
                let directory = Directory::take(dir)?;
                let store = directory.open_store(Store::open)?;
                let state = store.load()?;
                store.sweep()?;
                (Some(directory), Some(store), state)
            }
        };
        let shared = Arc::new(Shared {
            writer: Mutex::new(()),
            state: Mutex::new(state),
            changed: Condvar::new(),
            store,
            directory,
        });
        let core = Self {
            compactor: Compactor::start(Arc::clone(&shared)).map_err(|source| EmbeddedError::Io {
                path: dir.unwrap_or_else(|| Path::new("memory")).to_owned(),
                source,
            })?,
            shared,
        };
        core.ask_for_compaction(&mut core.shared.state(), 0);
        Ok(core)
    }

    /// Asks for the compaction of what is due, among partitions with at least `least` records.
    fn ask_for_compaction(&self, state: &mut State, least: u64) {
        for (name, topic) in state.topics.iter_mut().filter(|(_, t)| t.settings.compacted) {
            for (number, partition) in topic.partitions.iter_mut().enumerate() {
                let due = partition.records >= least
                    && partition.records > partition.clean
                    && partition.records >= partition.clean.saturating_mul(2);
                if due && !partition.compacting {
                    partition.compacting = true;
                    self.compactor
                        .ask(TopicPartition::new(Arc::clone(name), number as u32), topic.number);
                }
            }
        }
    }

    /// Makes changes happen, all or nothing. `check` says, under the locks, whether the caller may.
    /// Answers the offset after the last record in each partition written.
    pub(crate) fn write(
        &self,
        _writing: &Writing<'_>,
        mut changes: Changes<'_>,
        check: impl FnOnce(&State) -> Result<(), CommitError>,
    ) -> Result<Vec<(TopicPartition, NextOffset)>, CommitError> {
        let shared = &self.shared;
        let written_ms = now_ms();
        let mut after = Vec::with_capacity(changes.outgoing.len());
        // 1. May it happen, and where do the records stand? Only holders of the writer lock move ends.
        {
            let mut state = shared.state();
            check(&state)?;
            for position in changes.positions {
                check_position(&state, position)?;
            }
            for outgoing in &mut changes.outgoing {
                let at = &outgoing.at;
                let Some(partition) = state.partition_mut(&at.topic, outgoing.topic, at.partition) else {
                    return Err(CommitError::Aborted {
                        what: format!("topic `{}` was deleted in the meantime", at.topic),
                    });
                };
                let mut facts = facts(partition);
                for chunk in &mut outgoing.chunks {
                    let first = facts[1];
                    facts[1] += chunk.len() as i64;
                    facts[2] += chunk.len() as i64;
                    chunk.offsets = (first..facts[1]).collect();
                    chunk.written_ms = written_ms;
                    let records = chunk.len();
                    chunk.headers.finish(records);
                }
                after.push((at.clone(), NextOffset(facts[1]), facts));
            }
        }
        // 2. Into the store.
        if let Some(store) = &shared.store {
            let mut batch = store.batch();
            for (outgoing, (at, _, facts)) in changes.outgoing.iter().zip(&after) {
                for chunk in &outgoing.chunks {
                    store.put_chunk(&mut batch, outgoing.topic, at.partition, chunk);
                }
                store.put_partition(&mut batch, outgoing.topic, at.partition, *facts);
            }
            for position in changes.positions {
                store.put_position(&mut batch, changes.group, &position.at, &committed(position));
            }
            store.commit(batch, changes.durable)?;
        }
        // 3. Into view.
        let mut state = shared.state();
        let mut compacted = false;
        for outgoing in changes.outgoing {
            let at = &outgoing.at;
            let evict = shared.store.is_some();
            if let Some(partition) = state.partition_mut(&at.topic, outgoing.topic, at.partition) {
                for chunk in outgoing.chunks {
                    partition.append(Arc::new(chunk), evict);
                }
            }
            compacted |= state.topics.get(&at.topic).is_some_and(|t| t.settings.compacted);
        }
        if !changes.positions.is_empty() {
            let group = state.groups.entry(changes.group.to_owned()).or_default();
            for position in changes.positions {
                group.positions.insert(position.at.clone(), committed(position));
            }
        }
        if compacted {
            self.ask_for_compaction(&mut state, COMPACT_RECORDS_MIN);
        }
        drop(state);
        shared.wake();
        Ok(after.into_iter().map(|(at, next, _)| (at, next)).collect())
    }
}

impl Shared {
    /// Puts the chunks of a compaction in the place of others, when all of those are still there.
    /// Answers whether it did.
    pub(crate) fn replace_chunks(
        &self,
        at: &TopicPartition,
        number: u64,
        old: &[(i64, usize)],
        new: Vec<Arc<Chunk>>,
    ) -> Result<bool, EmbeddedError> {
        let _writing = self.writing_now();
        let lasts: Vec<i64> = old.iter().map(|(last, _)| *last).collect();
        let before: usize = old.iter().map(|(_, count)| *count).sum();
        let dropped = before - new.iter().map(|c| c.len()).sum::<usize>();
        if let Some(store) = &self.store {
            let mut facts = {
                let state = self.state();
                match state.partition(at) {
                    Ok((topic, partition)) if topic.number == number => facts(partition),
                    _ => return Ok(false),
                }
            };
            let mut batch = store.batch();
            for last in &lasts {
                if !store.has_chunk(number, at.partition, *last)? {
                    return Ok(false);
                }
                // All changes of a batch happen at one moment: a key is removed or written, not both.
                if !new.iter().any(|chunk| chunk.last() == *last) {
                    store.remove_chunk(&mut batch, number, at.partition, *last);
                }
            }
            for chunk in &new {
                store.put_chunk(&mut batch, number, at.partition, chunk);
            }
            facts[2] -= dropped as i64;
            store.put_partition(&mut batch, number, at.partition, facts);
            // Losing this to a power failure loses no record: then the old chunks are back.
            store.commit(batch, false)?;
        }
        let mut state = self.state();
        let Some(partition) = state.partition_mut(&at.topic, number, at.partition) else {
            return Ok(false);
        };
        if self.store.is_some() {
            partition.uncache_through(lasts.last().copied().unwrap_or(-1));
        } else if !partition.replace(&lasts, new) {
            return Ok(false);
        }
        partition.records = partition.records.saturating_sub(dropped as u64);
        Ok(true)
    }

    /// Ends a compaction that left so many records; `None` when it was given up.
    pub(crate) fn end_compaction(
        &self,
        at: &TopicPartition,
        number: u64,
        clean: Option<u64>,
    ) -> Result<(), EmbeddedError> {
        let _writing = self.writing_now();
        let facts = {
            let mut state = self.state();
            let Some(partition) = state.partition_mut(&at.topic, number, at.partition) else {
                return Ok(());
            };
            partition.compacting = false;
            let Some(clean) = clean else { return Ok(()) };
            partition.clean = clean;
            facts(partition)
        };
        if let Some(store) = &self.store {
            let mut batch = store.batch();
            store.put_partition(&mut batch, number, at.partition, facts);
            store.commit(batch, false)?;
        }
        Ok(())
    }
}

fn committed(position: &Position) -> Committed {
    Committed {
        next: position.next,
        note: position.note.clone(),
    }
}

fn check_position(state: &State, position: &Position) -> Result<(), CommitError> {
    let at = &position.at;
    if state.partition(at).is_err() {
        return Err(CommitError::Aborted {
            what: format!("{at} does not exist any more; its position cannot be committed"),
        });
    }
    if position.note.len() > NOTE_BYTES_MAX || position.next.0 < 0 {
        return Err(CommitError::Fatal {
            what: format!(
                "the position of {at} (offset {}, a note of {} bytes) is not one: notes have at most {NOTE_BYTES_MAX} bytes",
                position.next,
                position.note.len()
            ),
        });
    }
    Ok(())
}
