//! Savepoints: what writes replaced, so that it can be put back.

use crate::dirty::Status;

/// What an entry was before a write.
pub(crate) struct Before {
    pub(crate) store: u32,
    pub(crate) entry: u32,
    pub(crate) status: Status,
    pub(crate) present: bool,
    /// The savepoint under which the entry was last logged.
    pub(crate) logged_at: u64,
    /// Where its value starts in the arena; it ends where the next one starts.
    value_start: usize,
}

/// The log of what was replaced since the oldest savepoint.
///
/// Old values are copied into one arena, so that an entry keeps its allocation and a write under a
/// savepoint allocates nothing. Within one savepoint an entry is logged once.
#[derive(Default)]
pub(crate) struct UndoLog {
    log: Vec<Before>,
    arena: Vec<u8>,
    /// Id, and how long the log was then. Ids rise and are never used again.
    savepoints: Vec<(u64, usize)>,
    last_id: u64,
}

/// Above this the memory of a large call is given back.
const ARENA_BYTES_KEPT: usize = 1 << 20;

impl UndoLog {
    pub(crate) fn savepoint(&mut self) -> u64 {
        self.last_id += 1;
        self.savepoints.push((self.last_id, self.log.len()));
        self.last_id
    }

    /// The newest savepoint; writes are logged for it.
    pub(crate) fn current(&self) -> Option<u64> {
        self.savepoints.last().map(|(id, _)| *id)
    }

    pub(crate) fn push(&mut self, store: u32, entry: u32, before: (Status, bool, u64), value: &[u8]) {
        let (status, present, logged_at) = before;
        self.log.push(Before {
            store,
            entry,
            status,
            present,
            logged_at,
            value_start: self.arena.len(),
        });
        self.arena.extend_from_slice(value);
    }

    /// Calls `put_back` for all that was logged since a savepoint, newest first. The savepoint
    /// stays, those after it go. `false` when there is no such savepoint.
    pub(crate) fn rollback(&mut self, to: u64, mut put_back: impl FnMut(&Before, &[u8])) -> bool {
        let Ok(index) = self.savepoints.binary_search_by_key(&to, |(id, _)| *id) else {
            return false;
        };
        self.savepoints.truncate(index + 1);
        let length = self.savepoints.last().map_or(0, |(_, length)| *length);
        while self.log.len() > length {
            let Some(before) = self.log.pop() else { break };
            let start = before.value_start.min(self.arena.len());
            put_back(&before, &self.arena[start..]);
            self.arena.truncate(start);
        }
        true
    }

    /// Forgets everything, savepoints too.
    pub(crate) fn clear(&mut self) {
        self.log.clear();
        self.savepoints.clear();
        self.arena.clear();
        if self.arena.capacity() > ARENA_BYTES_KEPT {
            self.arena = Vec::new();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.savepoints.is_empty()
    }
}
