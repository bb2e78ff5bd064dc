//! Keyed state: what a transform sees, what a task sees, and the local store underneath.

use crate::batch::Batch;
use crate::column::Column;
use crate::error::{Code, Domain};
use crate::offset::{NextOffset, Timestamp, TopicPartition};
use crate::timer::{Clock, Timer};
use crate::topology::Node;
use crate::transform::StoreSpec;

/// What can go wrong with state.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A plugin used a store that it did not declare, wrote to a table, or the like: a trap.
    #[error("{0}")]
    Misuse(String),
    /// A checksum or a format is wrong. The remedy is automatic: wipe and restore.
    #[error("the local store {place} is damaged: {what}; it is wiped and restored from its changelog")]
    Corrupt {
        /// The store's directory.
        place: String,
        /// What was found.
        what: String,
    },
    /// A changelog record is not one that this version writes: wiping the local store does not help.
    #[error(
        "the changelog of {place} holds a record that cannot be read: {what}; if a newer version of Wasmill wrote it, \
         run that version; else `wasmill reset` starts the state anew"
    )]
    BadChangelog {
        /// The store whose changelog it is.
        place: String,
        /// What was found, and at which offset.
        what: String,
    },
    /// Another process holds the directory.
    #[error("{place} is in use by another process; give each process its own `state_dir`")]
    Locked {
        /// The directory.
        place: String,
    },
    /// Somebody who is not its task asks for state that cannot be read at the moment.
    #[error("the state of {place} cannot be read now: its task brings it back, or has left this process")]
    Unreadable {
        /// The transform and the partition.
        place: String,
    },
    /// The disk.
    #[error("cannot use the local store {place}: {source}")]
    Io {
        /// The store's directory.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Who can mend it.
    #[must_use]
    pub fn domain(&self) -> Domain {
        match self {
            Self::Misuse(_) => Domain::Plugin,
            Self::Locked { .. } | Self::BadChangelog { .. } => Domain::User,
            Self::Corrupt { .. } | Self::Io { .. } | Self::Unreadable { .. } => Domain::System,
        }
    }

    /// The code of its page in docs/errors.
    #[must_use]
    pub fn code(&self) -> Code {
        Code(match self {
            Self::Misuse(_) => "E0501",
            Self::Corrupt { .. } => "E0502",
            Self::Locked { .. } => "E0503",
            Self::Io { .. } => "E0504",
            Self::BadChangelog { .. } => "E0505",
            Self::Unreadable { .. } => "E0506",
        })
    }
}

/// Entries of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of unsigned bytes.
    pub keys: Column,
    /// One per key.
    pub values: Column,
    /// There are entries after the last key.
    pub more: bool,
}

/// State as a transform sees it, during a call. Stores are numbered as the transform declared them.
/// Reads see every earlier write. Keys and values are bytes.
pub trait StateAccess: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] traps the call; others pause the task.
    fn get(&mut self, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Sets the value of a key.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn put(&mut self, store: u32, key: &[u8], value: &[u8]) -> Result<(), StoreError>;
    /// Removes a key.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn remove(&mut self, store: u32, key: &[u8]) -> Result<(), StoreError>;
    /// Up to `limit` entries whose key starts with `prefix` and comes after `after`.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn scan(&mut self, store: u32, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Page, StoreError>;
    /// One value per key, null where there is none. Stops behind the first value with which there are more
    /// than `bytes_max` bytes: then there are fewer values than keys, or the last is one too much.
    ///
    /// # Errors
    /// As [`Self::get`]; a null key is misuse.
    fn get_many(&mut self, store: u32, keys: &Column, bytes_max: usize) -> Result<Column, StoreError>;
    /// One value per key, null removes; the last of a repeated key wins.
    ///
    /// # Errors
    /// As [`Self::get`]; a null key is misuse.
    fn put_many(&mut self, store: u32, keys: &Column, values: &Column) -> Result<(), StoreError>;
    /// When a timer is due; nothing when it is not set. Timers are part of the state: written, undone,
    /// committed and restored with it.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn timer(&mut self, clock: Clock, key: &[u8], name: &str) -> Result<Option<Timestamp>, StoreError>;
    /// Sets a timer, in place of the one of the same clock, key and name.
    ///
    /// # Errors
    /// As [`Self::get`]; a negative time, an empty name or one that is too long is misuse.
    fn set_timer(&mut self, clock: Clock, key: &[u8], name: &str, time: Timestamp) -> Result<(), StoreError>;
    /// Takes a timer back, if it is set.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn cancel_timer(&mut self, clock: Clock, key: &[u8], name: &str) -> Result<(), StoreError>;
    /// A point that [`Self::rollback`] can return to, until the next [`TaskState::keep`].
    fn savepoint(&mut self) -> u64;
    /// Undoes all writes since the savepoint; an unknown one undoes nothing and is misuse.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn rollback(&mut self, to: u64) -> Result<(), StoreError>;
}

/// Where a task stands in its input, as its changelog records it in every commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputPosition {
    /// The input.
    pub input: TopicPartition,
    /// The topic's id: a topic deleted and created again has another one.
    pub topic_id: String,
    /// What is read next.
    pub next: NextOffset,
    /// The task's stream time there.
    pub stream_time: Timestamp,
    /// The state version of the plugin that has stored this; 0 where an earlier version of Wasmill did not say.
    pub state_version: u32,
}

impl InputPosition {
    /// As the changelog of a transform tells it.
    #[must_use]
    pub fn of(&self, node: &Node) -> Self {
        Self {
            state_version: node.description.state_version,
            ..self.clone()
        }
    }
}

/// What a local store has taken in, in one batch with its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The id of the changelog topic.
    pub changelog_id: String,
    /// The changelog is applied up to here.
    pub changelog_next: NextOffset,
    /// Where the task stands in its input, if it has committed anything.
    pub position: Option<InputPosition>,
    /// When this was written: a store older than the changelog's `delete.retention.ms` may have
    /// missed a tombstone and is rebuilt.
    pub saved_at: Timestamp,
}

/// The state of one transform on one partition, as its task sees it.
///
/// ```text
///   open -> (wipe) -> restore* -> restored -> { call, keep | rollback }* -> changes -> commit | abort
/// ```
pub trait TaskState: StateAccess {
    /// What the local store holds; `None` when it is new.
    fn checkpoint(&self) -> Option<&Checkpoint>;
    /// Empties the local store.
    ///
    /// # Errors
    /// The disk.
    fn wipe(&mut self) -> Result<(), StoreError>;
    /// Takes in a run of changelog records (offsets and all), in order.
    ///
    /// # Errors
    /// A record of an unknown format, or the disk.
    fn restore(&mut self, changelog: &Batch) -> Result<(), StoreError>;
    /// Ends the restore at `next`, and persists it.
    ///
    /// # Errors
    /// The disk.
    fn restored(&mut self, changelog_id: &str, next: NextOffset, now: Timestamp) -> Result<(), StoreError>;
    /// Lets others than its task read it, from now until it is restored or wiped: it is whole, and of the version that
    /// the task reads.
    fn show(&mut self);
    /// Where the task stood in its input by the newest committed changelog record.
    fn position(&self) -> Option<&InputPosition>;
    /// When the first timer of a clock is due.
    ///
    /// # Errors
    /// As [`StateAccess::get`].
    fn next_timer(&mut self, clock: Clock) -> Result<Option<Timestamp>, StoreError>;
    /// Removes up to `limit` timers that are due at exactly `time` and answers them, by name, shorter
    /// names first, then key. None may be due earlier.
    ///
    /// # Errors
    /// As [`StateAccess::get`].
    fn take_timers(&mut self, clock: Clock, time: Timestamp, limit: usize) -> Result<Vec<Timer>, StoreError>;
    /// The earliest time for which a timer was set since this was last asked, rolled back or not.
    fn earliest_set(&mut self, clock: Clock) -> Option<Timestamp>;
    /// Forgets savepoints: what was written counts as part of the next commit.
    fn keep(&mut self);
    /// Whether there is anything to commit.
    fn is_dirty(&self) -> bool;
    /// The bytes of the dirty keys and values, overhead included: a worker commits early when they
    /// grow large, because they are kept in memory and go into one batch of changes.
    fn dirty_bytes(&self) -> usize {
        0
    }
    /// Appends one changelog record per dirty key and one for the position, keys and values
    /// encoded. Timestamps are `now`.
    fn changes(&mut self, position: &InputPosition, now: Timestamp, into: &mut Batch);
    /// The commit is known to have happened: the local store takes the dirty entries and the
    /// positions in one batch. `changelog_next` is known from the delivery reports.
    ///
    /// # Errors
    /// The disk. The commit stands; the store is behind and restores the tail at the next start.
    fn commit(&mut self, position: InputPosition, changelog_next: NextOffset, now: Timestamp)
    -> Result<(), StoreError>;
    /// The commit is known not to have happened: drops the dirty entries.
    fn abort(&mut self);
}

/// Opens the state of tasks: one directory of local stores, or memory.
pub trait StateBackend: Send + Sync {
    /// The state of `transform` on `partition`.
    ///
    /// # Errors
    /// The disk, or another process that holds it.
    fn open(&self, transform: &str, partition: u32, stores: &[StoreSpec]) -> Result<Box<dyn TaskState>, StoreError>;
    /// The partitions of `transform` whose state tasks of this process have open, by rising number.
    fn held(&self, transform: &str) -> Vec<Held>;
    /// Reads the state of `transform` on `partition` beside its task, from any thread. Opens and makes
    /// nothing: `None` when no task of this process has it open. Never waited for by the task's commits.
    fn view(&self, transform: &str, partition: u32) -> Option<Box<dyn StateView>>;
    /// What all of it takes up on disk, in bytes; `None` where it is kept elsewhere, or cannot be told.
    fn disk_bytes(&self) -> Option<u64> {
        None
    }
}

/// A partition of a transform's state that a task of this process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Its number.
    pub partition: u32,
    /// All of it is there: it is not being brought back.
    pub is_whole: bool,
}

/// What a task has committed, read from outside it. Each read sees one commit whole or not at all, and
/// a later read a later one perhaps.
pub trait StateView: Send + Sync {
    /// The value of a key of a store; nothing for a store that does not exist, too.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] while the state is brought back and when its task has closed it;
    /// damage, or the disk.
    fn get(&self, store: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Up to `limit` entries of a store, as [`StateAccess::scan`]; fewer when they are large.
    ///
    /// # Errors
    /// As [`Self::get`].
    fn scan(&self, store: &str, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Page, StoreError>;
}

/// One change of a local store: a key, and its new value or `None` to remove it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// A local store: sorted keys and values on disk or in memory. Values are checked by checksum.
pub trait Store: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// Damage, or the disk.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Visits entries whose key starts with `prefix` and comes after `after`, in the order of
    /// unsigned bytes, until `visit` says `false`.
    ///
    /// # Errors
    /// Damage, or the disk.
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError>;
    /// Applies changes and the checkpoint, all or nothing. Each key occurs at most once.
    ///
    /// # Errors
    /// The disk.
    fn apply(&mut self, changes: &mut dyn Iterator<Item = Change>, checkpoint: &Checkpoint) -> Result<(), StoreError>;
    /// The checkpoint last applied.
    ///
    /// # Errors
    /// Damage, or the disk.
    fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError>;
    /// Removes everything.
    ///
    /// # Errors
    /// The disk.
    fn wipe(&mut self) -> Result<(), StoreError>;
    /// Says whether views may read it: not before everything is there. A store that was just opened is
    /// not shown.
    fn show(&mut self, is_whole: bool);
}
