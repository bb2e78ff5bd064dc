//! State during one call: read with one host call per store, written with one, and taken back
//! record by record.
//!
//! Nothing outlives the call: a call holds records of one partition, so partitions never mix, and
//! after a trap or an abort there is nothing stale.

use core::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::column::{self, Column};
use crate::host;
use crate::parents::Parents;

/// The place of a key among those that the call has touched.
pub(crate) type Slot = u32;

const NO_SLOT: Slot = Slot::MAX;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Not asked for yet.
    Unknown,
    /// There is no value.
    Absent,
    /// In `StoreCache::fetched`.
    Fetched,
    /// In `StoreCache::written`.
    Written,
}

#[derive(Clone, Copy)]
struct Entry {
    kind: Kind,
    /// Differs from what the host has.
    dirty: bool,
    start: u32,
    end: u32,
}

const UNKNOWN: Entry = Entry {
    kind: Kind::Unknown,
    dirty: false,
    start: 0,
    end: 0,
};

#[derive(Default)]
struct StoreCache {
    /// By slot; shorter than the slots when the last ones are unknown here.
    entries: Vec<Entry>,
    /// The bytes that came with the one fetch of the batch's keys.
    fetched: Vec<u8>,
    prefetched: bool,
    /// The bytes of values that were written, or fetched one by one.
    written: Vec<u8>,
    /// Slots that became dirty, possibly more than once.
    dirty: Vec<Slot>,
}

/// An entry as it was before the record at hand touched it.
struct Undo {
    store: u32,
    slot: Slot,
    entry: Entry,
}

pub(crate) struct Cache {
    /// The keys by slot.
    keys: Column,
    table: HashTable<Slot>,
    /// The slot of each parent's key, once `interned`.
    slots: Vec<Slot>,
    interned: bool,
    stores: Vec<StoreCache>,
    undo: Vec<Undo>,
}

impl Cache {
    pub(crate) fn new(stores: usize) -> Self {
        Self {
            keys: column::empty(),
            table: HashTable::new(),
            slots: Vec::new(),
            interned: false,
            stores: (0..stores).map(|_| StoreCache::default()).collect(),
            undo: Vec::new(),
        }
    }

    /// The slot of a parent's key; `None` without a key.
    #[inline]
    pub(crate) fn slot_of_parent(&mut self, parents: &Parents<'_>, index: usize) -> Option<Slot> {
        if !self.interned {
            self.intern(parents);
        }
        self.slots.get(index).copied().filter(|slot| *slot != NO_SLOT)
    }

    fn intern(&mut self, parents: &Parents<'_>) {
        for i in 0..parents.count {
            let slot = match column::entry(parents.keys, i) {
                Some(key) => self.slot_of_key(key),
                None => NO_SLOT,
            };
            self.slots.push(slot);
        }
        self.interned = true;
    }

    /// The slot of any key.
    #[inline]
    pub(crate) fn slot_of_key(&mut self, key: &[u8]) -> Slot {
        let hashed = hash(key);
        let keys = &self.keys;
        if let Some(slot) = self
            .table
            .find(hashed, |slot| column::entry(keys, *slot as usize) == Some(key))
        {
            return *slot;
        }
        let slot = self.keys.ends.len() as Slot;
        column::push(&mut self.keys, Some(key));
        let keys = &self.keys;
        self.table.insert_unique(hashed, slot, |slot| {
            hash(column::entry(keys, *slot as usize).unwrap_or_default())
        });
        slot
    }

    /// The key at a slot.
    pub(crate) fn key(&self, slot: Slot) -> &[u8] {
        column::entry(&self.keys, slot as usize).unwrap_or_default()
    }

    /// The value at a slot. `ahead`: the first read fetches the values of all keys of the batch.
    #[inline]
    pub(crate) fn get(&mut self, store: u32, slot: Slot, ahead: bool) -> Option<&[u8]> {
        self.load(store, slot, ahead);
        let cache = &self.stores[store as usize];
        let entry = cache.entries[slot as usize];
        let range = entry.start as usize..entry.end as usize;
        match entry.kind {
            Kind::Fetched => cache.fetched.get(range),
            Kind::Written => cache.written.get(range),
            Kind::Absent | Kind::Unknown => None,
        }
    }

    #[inline]
    fn load(&mut self, store: u32, slot: Slot, ahead: bool) {
        let cache = &mut self.stores[store as usize];
        if ahead && !cache.prefetched {
            self.prefetch(store);
        }
        let cache = &mut self.stores[store as usize];
        if cache.entries.len() <= slot as usize {
            cache.entries.resize(slot as usize + 1, UNKNOWN);
        }
        let entry = &mut cache.entries[slot as usize];
        if entry.kind == Kind::Unknown {
            let key = column::entry(&self.keys, slot as usize).unwrap_or_default();
            *entry = match host::get(store, key) {
                Some(value) => {
                    let start = cache.written.len() as u32;
                    cache.written.extend_from_slice(&value);
                    Entry {
                        kind: Kind::Written,
                        dirty: false,
                        start,
                        end: cache.written.len() as u32,
                    }
                }
                None => Entry {
                    kind: Kind::Absent,
                    ..UNKNOWN
                },
            };
        }
    }

    fn prefetch(&mut self, store: u32) {
        let values = host::get_many(store, &self.keys);
        let cache = &mut self.stores[store as usize];
        cache.entries.resize(self.keys.ends.len(), UNKNOWN);
        let mut start = 0;
        for (i, (entry, end)) in cache.entries.iter_mut().zip(&values.ends).enumerate() {
            // What was written before the first read stays.
            if entry.kind == Kind::Unknown {
                *entry = if values.marks.get(i).is_some_and(|mark| *mark != column::MARK_BYTES) {
                    Entry {
                        kind: Kind::Absent,
                        ..UNKNOWN
                    }
                } else {
                    Entry {
                        kind: Kind::Fetched,
                        dirty: false,
                        start,
                        end: *end,
                    }
                };
            }
            start = *end;
        }
        cache.fetched = values.data;
        cache.prefetched = true;
    }

    /// Sets the value at a slot to what `write` appends. On an error nothing has changed.
    #[inline]
    pub(crate) fn put<E>(
        &mut self,
        store: u32,
        slot: Slot,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let written = &mut self.stores[store as usize].written;
        let start = written.len();
        if let Err(error) = write(written) {
            written.truncate(start);
            return Err(error);
        }
        let end = written.len() as u32;
        self.set(store, slot, Kind::Written, start as u32, end);
        Ok(())
    }

    /// Removes the value at a slot.
    pub(crate) fn remove(&mut self, store: u32, slot: Slot) {
        let at = self.stores[store as usize].written.len() as u32;
        self.set(store, slot, Kind::Absent, at, at);
    }

    #[inline]
    fn set(&mut self, store: u32, slot: Slot, kind: Kind, start: u32, end: u32) {
        let cache = &mut self.stores[store as usize];
        if cache.entries.len() <= slot as usize {
            cache.entries.resize(slot as usize + 1, UNKNOWN);
        }
        let entry = &mut cache.entries[slot as usize];
        self.undo.push(Undo {
            store,
            slot,
            entry: *entry,
        });
        if !entry.dirty {
            cache.dirty.push(slot);
        }
        *entry = Entry {
            kind,
            dirty: true,
            start,
            end,
        };
    }

    /// The record at hand is done: what it wrote stays.
    #[inline]
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// The record at hand has failed: takes back what it wrote.
    pub(crate) fn rollback(&mut self) {
        while let Some(undo) = self.undo.pop() {
            let cache = &mut self.stores[undo.store as usize];
            cache.entries[undo.slot as usize] = undo.entry;
        }
    }

    /// Hands what was written to the host, and forgets everything.
    pub(crate) fn flush(&mut self) {
        for (store, cache) in self.stores.iter_mut().enumerate() {
            if !cache.dirty.is_empty() {
                let mut keys = Column {
                    data: Vec::with_capacity(self.keys.data.len()),
                    ends: Vec::with_capacity(cache.dirty.len()),
                    marks: Vec::new(),
                };
                let mut values = Column {
                    data: Vec::with_capacity(cache.written.len()),
                    ends: Vec::with_capacity(cache.dirty.len()),
                    marks: Vec::new(),
                };
                for slot in &cache.dirty {
                    let entry = &mut cache.entries[*slot as usize];
                    if !entry.dirty {
                        continue;
                    }
                    entry.dirty = false;
                    column::push(&mut keys, column::entry(&self.keys, *slot as usize));
                    let value = match entry.kind {
                        Kind::Written => cache.written.get(entry.start as usize..entry.end as usize),
                        Kind::Fetched | Kind::Absent | Kind::Unknown => None,
                    };
                    column::push(&mut values, value);
                }
                if !keys.ends.is_empty() {
                    host::put_many(store as u32, &keys, &values);
                }
            }
            cache.entries.clear();
            cache.fetched = Vec::new();
            cache.prefetched = false;
            cache.written.clear();
            cache.dirty.clear();
        }
        column::clear(&mut self.keys);
        self.table.clear();
        self.slots.clear();
        self.interned = false;
    }
}

#[inline]
fn hash(key: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    hasher.finish()
}
