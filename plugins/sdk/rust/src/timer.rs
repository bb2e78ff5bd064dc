//! Timers: the one that fires, and the changes that a call makes to those that are set.

use core::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::bindings::wasmill::plugin::types::{Clock, DueTimers};
use crate::cache::{Cache, Slot};
use crate::column;
use crate::error::{Error, Result};
use crate::host;

/// The longest name of a timer, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What the contract takes for "cancel".
const CANCEL: i64 = -1;

/// A timer that is due. It is no longer set. It borrows from its call and copies nothing.
#[derive(Clone, Copy)]
pub struct Timer<'a> {
    pub(crate) due: &'a DueTimers,
    pub(crate) index: usize,
}

impl<'a> Timer<'a> {
    /// The key for which it was set.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        column::entry(&self.due.keys, self.index).unwrap_or_default()
    }

    /// The key as text.
    ///
    /// # Errors
    /// `bad-utf8`.
    pub fn key_str(&self) -> Result<&'a str> {
        Ok(std::str::from_utf8(self.key())?)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        let name = column::entry(&self.due.names, self.index).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// The time for which it was set, in milliseconds since 1970 UTC.
    #[must_use]
    pub fn time(&self) -> i64 {
        self.due.times.get(self.index).copied().unwrap_or(0)
    }

    /// The clock that it waited for.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.due.clock
    }

    /// The task's partition.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.due.partition
    }
}

/// What a call knows of one timer.
struct Entry {
    clock: Clock,
    slot: Slot,
    name_start: u32,
    name_end: u32,
    /// The time for which it is set; [`CANCEL`] when it is not. Unknown until read or written.
    time: Option<i64>,
}

/// A change of a timer.
struct Change {
    /// The timer's entry.
    at: u32,
    /// [`CANCEL`] takes it back.
    time: i64,
    /// What was known of the timer before.
    before: Option<i64>,
}

/// The timers that a call has touched: changes are kept here, handed over once, and taken back
/// record by record. Nothing outlives the call.
#[derive(Default)]
pub(crate) struct Timers {
    entries: Vec<Entry>,
    /// The names of all entries, end to end.
    names: String,
    table: HashTable<u32>,
    /// All changes, in order: a timer that was due before a later change took it back has fired.
    changes: Vec<Change>,
    /// How many of them were made before the record at hand.
    kept: usize,
}

impl Timers {
    /// When a timer is due; `None` when it is not set.
    pub(crate) fn get(&mut self, clock: Clock, slot: Slot, name: &str, cache: &Cache) -> Result<Option<i64>> {
        let at = self.entry(clock, slot, name)?;
        let entry = &mut self.entries[at as usize];
        let time = match entry.time {
            Some(time) => time,
            None => {
                let time = host::timer(clock, cache.key(slot), name).unwrap_or(CANCEL);
                entry.time = Some(time);
                time
            }
        };
        Ok((time != CANCEL).then_some(time))
    }

    /// Sets a timer.
    pub(crate) fn set(&mut self, clock: Clock, slot: Slot, name: &str, time: i64) -> Result<()> {
        if time < 0 {
            return Err(Error::new(
                "error",
                format!("the timer `{name}` was set for {time}, but times are not negative"),
            ));
        }
        self.write(clock, slot, name, time)
    }

    /// Takes a timer back.
    pub(crate) fn cancel(&mut self, clock: Clock, slot: Slot, name: &str) -> Result<()> {
        self.write(clock, slot, name, CANCEL)
    }

    fn write(&mut self, clock: Clock, slot: Slot, name: &str, time: i64) -> Result<()> {
        let at = self.entry(clock, slot, name)?;
        let entry = &mut self.entries[at as usize];
        let before = entry.time.replace(time);
        self.changes.push(Change { at, time, before });
        Ok(())
    }

    fn entry(&mut self, clock: Clock, slot: Slot, name: &str) -> Result<u32> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Error::new(
                "no-timer-name",
                format!(
                    "the name of a timer has {} bytes, not 1 to {NAME_BYTES_MAX}",
                    name.len()
                ),
            ));
        }
        let hashed = hash(clock, slot, name);
        let (entries, names) = (&self.entries, &self.names);
        let found = self.table.find(hashed, |at| {
            let entry = &entries[*at as usize];
            entry.clock == clock && entry.slot == slot && name_of(names, entry) == name
        });
        if let Some(at) = found {
            return Ok(*at);
        }
        let at = self.entries.len() as u32;
        let name_start = self.names.len() as u32;
        self.names.push_str(name);
        self.entries.push(Entry {
            clock,
            slot,
            name_start,
            name_end: self.names.len() as u32,
            time: None,
        });
        let (entries, names) = (&self.entries, &self.names);
        self.table.insert_unique(hashed, at, |at| {
            let entry = &entries[*at as usize];
            hash(entry.clock, entry.slot, name_of(names, entry))
        });
        Ok(at)
    }

    /// The record or timer at hand is done: what it changed stays.
    #[inline]
    pub(crate) fn keep(&mut self) {
        self.kept = self.changes.len();
    }

    /// The record or timer at hand has failed: takes back what it changed.
    pub(crate) fn rollback(&mut self) {
        for change in self.changes.drain(self.kept..).rev() {
            self.entries[change.at as usize].time = change.before;
        }
    }

    /// Hands the changes to the host, once per clock, and forgets everything.
    pub(crate) fn flush(&mut self, cache: &Cache) {
        if self.entries.is_empty() {
            return;
        }
        for clock in [Clock::EventTime, Clock::WallClock] {
            let (mut keys, mut names, mut times) = (column::empty(), column::empty(), Vec::new());
            for change in &self.changes {
                let entry = &self.entries[change.at as usize];
                if entry.clock == clock {
                    column::push(&mut keys, Some(cache.key(entry.slot)));
                    column::push(&mut names, Some(name_of(&self.names, entry).as_bytes()));
                    times.push(change.time);
                }
            }
            if !times.is_empty() {
                host::set_timers(clock, &keys, &names, &times);
            }
        }
        self.entries.clear();
        self.names.clear();
        self.table.clear();
        self.changes.clear();
        self.kept = 0;
    }
}

fn name_of<'a>(names: &'a str, entry: &Entry) -> &'a str {
    &names[entry.name_start as usize..entry.name_end as usize]
}

fn hash(clock: Clock, slot: Slot, name: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u32(slot << 1 | clock as u32);
    hasher.write(name.as_bytes());
    hasher.finish()
}
