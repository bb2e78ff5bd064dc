//! The keys in memory: those written since the last commit, and some that are only cached.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::Bound;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::undo::UndoLog;

/// What is known of a key in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nothing: ask the store. Left behind by a rollback.
    Unknown,
    /// As in the store.
    Clean,
    /// Written since the last commit.
    Dirty,
}

struct Entry {
    key: Box<[u8]>,
    value: Vec<u8>,
    /// Whether there is a value; `value` is empty without.
    present: bool,
    status: Status,
    /// The savepoint under which its earlier value was last logged.
    logged_at: u64,
}

impl Entry {
    fn bytes(&self) -> usize {
        ENTRY_OVERHEAD + self.key.len() + self.value.len()
    }
}

/// What an entry costs beside its bytes: its place in the list, the index and the dirty list.
const ENTRY_OVERHEAD: usize = 112;

/// The keys of one store. Entries are never removed one by one, so their numbers hold until `clear`.
#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The dirty keys in order, kept from the first scan on.
    ordered: Option<BTreeMap<Box<[u8]>, u32>>,
}

impl Table {
    fn find(&self, key: &[u8]) -> Option<u32> {
        let entries = &self.entries;
        self.index
            .find(self.hasher.hash_one(key), |&i| *entries[i as usize].key == *key)
            .copied()
    }

    fn find_or_insert(&mut self, key: &[u8]) -> (u32, bool) {
        let hash = self.hasher.hash_one(key);
        let (entries, hasher) = (&mut self.entries, &self.hasher);
        if let Some(&found) = self.index.find(hash, |&i| *entries[i as usize].key == *key) {
            return (found, false);
        }
        let number = entries.len() as u32;
        entries.push(Entry {
            key: key.into(),
            value: Vec::new(),
            present: false,
            status: Status::Unknown,
            logged_at: 0,
        });
        self.index
            .insert_unique(hash, number, |&i| hasher.hash_one(&*entries[i as usize].key));
        (number, true)
    }
}

/// The keys in memory of all stores of one task state.
#[derive(Default)]
pub(crate) struct Keys {
    tables: Vec<Table>,
    /// Dirty entries in the order in which they became dirty: the order of the changelog.
    dirty: Vec<(u32, u32)>,
    bytes: usize,
    dirty_bytes: usize,
    /// Something was not cached for want of room: the next commit makes some.
    is_full: bool,
}

impl Keys {
    pub(crate) fn new(stores: usize) -> Self {
        Self {
            tables: std::iter::repeat_with(Table::default).take(stores).collect(),
            ..Self::default()
        }
    }

    /// What memory knows of a key: `None` is nothing, `Some(None)` that there is no value.
    #[inline]
    pub(crate) fn get(&self, store: u32, key: &[u8]) -> Option<Option<&[u8]>> {
        let table = &self.tables[store as usize];
        let entry = &table.entries[table.find(key)? as usize];
        match entry.status {
            Status::Unknown => None,
            Status::Clean | Status::Dirty => Some(entry.present.then_some(entry.value.as_slice())),
        }
    }

    /// Sets or removes a key, and logs what was there if there is a savepoint.
    pub(crate) fn write(&mut self, store: u32, key: &[u8], value: Option<&[u8]>, undo: &mut UndoLog) {
        let table = &mut self.tables[store as usize];
        let (number, is_new) = table.find_or_insert(key);
        let entry = &mut table.entries[number as usize];
        if let Some(savepoint) = undo.current()
            && entry.logged_at != savepoint
        {
            let before = (entry.status, entry.present, entry.logged_at);
            undo.push(store, number, before, &entry.value);
            entry.logged_at = savepoint;
        }
        let old_bytes = if is_new { 0 } else { entry.bytes() };
        if entry.status == Status::Dirty {
            self.dirty_bytes -= old_bytes;
        } else {
            entry.status = Status::Dirty;
            self.dirty.push((store, number));
            if let Some(ordered) = &mut table.ordered {
                ordered.insert(entry.key.clone(), number);
            }
        }
        entry.value.clear();
        entry.value.extend_from_slice(value.unwrap_or_default());
        entry.present = value.is_some();
        self.bytes = self.bytes - old_bytes + entry.bytes();
        self.dirty_bytes += entry.bytes();
    }

    /// Undoes writes back to a savepoint; `false` when there is none of that id.
    pub(crate) fn rollback(&mut self, to: u64, undo: &mut UndoLog) -> bool {
        undo.rollback(to, |before, value| {
            let table = &mut self.tables[before.store as usize];
            let entry = &mut table.entries[before.entry as usize];
            let old_bytes = entry.bytes();
            if before.status != Status::Dirty {
                // Every step from not dirty to dirty since the savepoint is in the log, so the
                // newest one is at the end of the list.
                let last = self.dirty.pop();
                debug_assert_eq!(last, Some((before.store, before.entry)));
                if let Some(ordered) = &mut table.ordered {
                    ordered.remove(&entry.key);
                }
            }
            entry.value.clear();
            entry.value.extend_from_slice(value);
            entry.present = before.present;
            entry.status = before.status;
            entry.logged_at = before.logged_at;
            self.bytes = self.bytes - old_bytes + entry.bytes();
            self.dirty_bytes -= old_bytes;
            if before.status == Status::Dirty {
                self.dirty_bytes += entry.bytes();
            }
        })
    }

    /// Remembers what the store answered, while there is room. The caller has found nothing here.
    pub(crate) fn remember(&mut self, store: u32, key: &[u8], value: Option<&[u8]>, bytes_max: usize, undo: &UndoLog) {
        let size = ENTRY_OVERHEAD + key.len() + value.map_or(0, <[u8]>::len);
        if self.bytes + size > bytes_max {
            if size > bytes_max || !self.dirty.is_empty() || !undo.is_empty() {
                self.is_full = true;
                return;
            }
            self.clear();
        }
        let table = &mut self.tables[store as usize];
        let (number, is_new) = table.find_or_insert(key);
        let entry = &mut table.entries[number as usize];
        let old_bytes = if is_new { 0 } else { entry.bytes() };
        entry.value.clear();
        entry.value.extend_from_slice(value.unwrap_or_default());
        entry.present = value.is_some();
        entry.status = Status::Clean;
        self.bytes = self.bytes - old_bytes + entry.bytes();
    }

    /// The dirty entries in the order in which they became dirty: store, key, value.
    pub(crate) fn dirty(&self) -> impl Iterator<Item = (u32, &[u8], Option<&[u8]>)> {
        self.dirty.iter().map(|&(store, number)| {
            let entry = &self.tables[store as usize].entries[number as usize];
            (store, &*entry.key, entry.present.then_some(entry.value.as_slice()))
        })
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(crate) fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// The dirty entries of a store whose key starts with `prefix` and comes after `after`, in
    /// order.
    pub(crate) fn dirty_range<'a>(
        &'a mut self,
        store: u32,
        prefix: &'a [u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let Table { entries, ordered, .. } = &mut self.tables[store as usize];
        let dirty = &self.dirty;
        let entries: &'a [Entry] = entries;
        let ordered: &'a BTreeMap<Box<[u8]>, u32> = ordered.get_or_insert_with(|| {
            let own = dirty.iter().filter(|(of, _)| *of == store);
            own.map(|&(_, number)| (entries[number as usize].key.clone(), number))
                .collect()
        });
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        ordered
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(move |(key, &number)| {
                let entry = &entries[number as usize];
                (&**key, entry.present.then_some(entry.value.as_slice()))
            })
    }

    /// What was dirty is in the store now. Keeps it as a cache of at most `bytes_max`.
    pub(crate) fn committed(&mut self, bytes_max: usize) {
        for &(store, number) in &self.dirty {
            self.tables[store as usize].entries[number as usize].status = Status::Clean;
        }
        self.dirty.clear();
        self.dirty_bytes = 0;
        for table in &mut self.tables {
            if let Some(ordered) = &mut table.ordered {
                ordered.clear();
            }
        }
        if self.bytes > bytes_max || self.is_full {
            self.clear();
        }
    }

    /// Forgets everything, dirty or not.
    pub(crate) fn clear(&mut self) {
        for table in &mut self.tables {
            table.entries.clear();
            table.index.clear();
            if let Some(ordered) = &mut table.ordered {
                ordered.clear();
            }
        }
        self.dirty.clear();
        self.bytes = 0;
        self.dirty_bytes = 0;
        self.is_full = false;
    }
}
