//! Timers as entries of a store of their own, so that they are undone, committed, written to the
//! changelog and restored like all state.
//!
//! ```text
//!   0 <clock> <length of name: u8> <name> <key>                 value: <due: u64> <listed: u64>
//!   1 <clock> <listed: u64> <length of name: u8> <name> <key>   no value
//! ```
//!
//! Numbers are big-endian. The second kind lists timers by time. A timer that is set again for a
//! later time, as that of a session is by every record, stays listed where it is: when that time has
//! come it is listed anew, so moving it costs one write. An entry of the list counts only when the
//! timer says that it is listed there.

use record::offset::Timestamp;
use record::store::{StateAccess, StoreError};
use record::timer::{Clock, TIMER_NAME_BYTES_MAX, Timer};

use crate::KEY_BYTES_MAX;

/// The store's name; those of plugins have no dot.
pub(crate) const STORE_NAME: &str = ".timers";
const KIND_TIMER: u8 = 0;
const KIND_LISTED: u8 = 1;
/// The longest key of a timer: that of a store less what is written beside it.
const TIMER_KEY_BYTES_MAX: usize = KEY_BYTES_MAX - TIMER_NAME_BYTES_MAX - 16;
const PAGE: u32 = 256;

/// What is known of the timers without asking the store.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// When the first entry of each clock's list stands; `None`: not known.
    first: [Option<Option<Timestamp>>; 2],
    /// The earliest time set since it was asked for.
    earliest_set: [Option<Timestamp>; 2],
}

impl Known {
    /// Entries may have changed in other ways than by the functions here.
    pub(crate) fn forget(&mut self) {
        self.first = [None; 2];
    }

    pub(crate) fn take_earliest_set(&mut self, clock: Clock) -> Option<Timestamp> {
        self.earliest_set[clock.index()].take()
    }

    fn set(&mut self, clock: Clock, time: Timestamp) {
        let earliest = &mut self.earliest_set[clock.index()];
        *earliest = Some(earliest.map_or(time, |before| before.min(time)));
    }

    fn listed(&mut self, clock: Clock, time: Timestamp) {
        if let Some(first) = &mut self.first[clock.index()] {
            *first = Some(first.map_or(time, |before| before.min(time)));
        }
    }

    fn unlisted(&mut self, clock: Clock, time: Timestamp) {
        let first = &mut self.first[clock.index()];
        if *first == Some(Some(time)) {
            *first = None;
        }
    }
}

/// A timer's own entry.
#[derive(Clone, Copy)]
struct Times {
    due: Timestamp,
    listed: Timestamp,
}

/// The timers of one task state.
pub(crate) struct Timers<'a> {
    pub(crate) state: &'a mut dyn StateAccess,
    /// The number of the store.
    pub(crate) store: u32,
    pub(crate) known: &'a mut Known,
}

impl Timers<'_> {
    pub(crate) fn get(&mut self, clock: Clock, key: &[u8], name: &str) -> Result<Option<Timestamp>, StoreError> {
        check(key, name)?;
        Ok(self.times(&timer_key(clock, key, name))?.map(|times| times.due))
    }

    pub(crate) fn set(&mut self, clock: Clock, key: &[u8], name: &str, time: Timestamp) -> Result<(), StoreError> {
        check(key, name)?;
        if time < 0 {
            return Err(StoreError::Misuse(format!(
                "the timer `{name}` was set for {time}; times are milliseconds since 1970, not negative"
            )));
        }
        self.known.set(clock, time);
        let own = timer_key(clock, key, name);
        let listed = match self.times(&own)? {
            Some(before) if before.listed <= time => before.listed,
            Some(before) => {
                self.unlist(clock, before.listed, key, name)?;
                self.list(clock, time, key, name)?
            }
            None => self.list(clock, time, key, name)?,
        };
        self.write(&own, Times { due: time, listed })
    }

    pub(crate) fn cancel(&mut self, clock: Clock, key: &[u8], name: &str) -> Result<(), StoreError> {
        check(key, name)?;
        let own = timer_key(clock, key, name);
        if let Some(before) = self.times(&own)? {
            self.unlist(clock, before.listed, key, name)?;
            self.state.remove(self.store, &own)?;
        }
        Ok(())
    }

    /// When the first timer is due.
    pub(crate) fn next(&mut self, clock: Clock) -> Result<Option<Timestamp>, StoreError> {
        loop {
            let first = match self.known.first[clock.index()] {
                Some(first) => first,
                None => {
                    let page = self
                        .state
                        .scan(self.store, &[KIND_LISTED, clock.index() as u8], None, 1)?;
                    let first = page.keys.get(0).map(listed_time).transpose()?;
                    self.known.first[clock.index()] = Some(first);
                    first
                }
            };
            let Some(time) = first else { return Ok(None) };
            let due = self.due_at(clock, time, 1)?;
            if !due.is_empty() {
                return Ok(Some(time));
            }
            self.known.first[clock.index()] = None;
        }
    }

    /// Removes up to `limit` timers that are due at exactly `time`, which is the first there is.
    pub(crate) fn take(&mut self, clock: Clock, time: Timestamp, limit: usize) -> Result<Vec<Timer>, StoreError> {
        let due = self.due_at(clock, time, limit)?;
        for timer in &due {
            self.state
                .remove(self.store, &timer_key(clock, &timer.key, &timer.name))?;
            self.unlist(clock, time, &timer.key, &timer.name)?;
        }
        Ok(due)
    }

    /// The first `limit` timers that are due at `time`, in the order of the list. What is found before
    /// them and is due later is listed where it belongs.
    fn due_at(&mut self, clock: Clock, time: Timestamp, limit: usize) -> Result<Vec<Timer>, StoreError> {
        let prefix = listed_prefix(clock, time);
        let mut due = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = u32::try_from(limit - due.len()).map_or(PAGE, |left| left.min(PAGE));
            let page = self.state.scan(self.store, &prefix, after.as_deref(), page)?;
            for listed in page.keys.iter().flatten() {
                let (key, name) = read_listed(listed)?;
                let own = timer_key(clock, &key, &name);
                match self.times(&own)? {
                    Some(times) if times.listed == time && times.due == time => due.push(Timer { time, key, name }),
                    Some(times) if times.listed == time => {
                        self.state.remove(self.store, listed)?;
                        let listed = self.list(clock, times.due, &key, &name)?;
                        self.write(&own, Times { listed, ..times })?;
                    }
                    _ => self.state.remove(self.store, listed)?,
                }
            }
            after = page.keys.iter().last().flatten().map(<[u8]>::to_vec);
            if !page.more || after.is_none() || due.len() >= limit {
                return Ok(due);
            }
        }
    }

    fn list(&mut self, clock: Clock, time: Timestamp, key: &[u8], name: &str) -> Result<Timestamp, StoreError> {
        self.state.put(self.store, &listed_key(clock, time, key, name), b"")?;
        self.known.listed(clock, time);
        Ok(time)
    }

    fn unlist(&mut self, clock: Clock, time: Timestamp, key: &[u8], name: &str) -> Result<(), StoreError> {
        self.state.remove(self.store, &listed_key(clock, time, key, name))?;
        self.known.unlisted(clock, time);
        Ok(())
    }

    fn times(&mut self, own: &[u8]) -> Result<Option<Times>, StoreError> {
        let Some(value) = self.state.get(self.store, own)? else {
            return Ok(None);
        };
        let numbers = value.split_at_checked(8).and_then(|(due, listed)| {
            let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
            Some((number(due)?, number(listed)?))
        });
        match numbers {
            Some((due, listed)) => Ok(Some(Times {
                due: due as Timestamp,
                listed: listed as Timestamp,
            })),
            None => Err(damaged()),
        }
    }

    fn write(&mut self, own: &[u8], times: Times) -> Result<(), StoreError> {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&times.due.to_be_bytes());
        value[8..].copy_from_slice(&times.listed.to_be_bytes());
        self.state.put(self.store, own, &value)
    }
}

fn check(key: &[u8], name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > TIMER_NAME_BYTES_MAX {
        return Err(StoreError::Misuse(format!(
            "a timer's name has 1 to {TIMER_NAME_BYTES_MAX} bytes, this one has {}",
            name.len()
        )));
    }
    if key.len() > TIMER_KEY_BYTES_MAX {
        return Err(StoreError::Misuse(format!(
            "the key of the timer `{name}` has {} bytes, more than {TIMER_KEY_BYTES_MAX}",
            key.len()
        )));
    }
    Ok(())
}

/// Wiping the local store and reading the changelog again brings it back.
fn damaged() -> StoreError {
    StoreError::Corrupt {
        place: "of timers".to_owned(),
        what: "an entry is not as timers are written".to_owned(),
    }
}

fn timer_key(clock: Clock, key: &[u8], name: &str) -> Vec<u8> {
    let mut own = vec![KIND_TIMER, clock.index() as u8];
    push_name_and_key(&mut own, key, name);
    own
}

fn listed_prefix(clock: Clock, time: Timestamp) -> Vec<u8> {
    let mut prefix = vec![KIND_LISTED, clock.index() as u8];
    prefix.extend_from_slice(&time.to_be_bytes());
    prefix
}

fn listed_key(clock: Clock, time: Timestamp, key: &[u8], name: &str) -> Vec<u8> {
    let mut listed = listed_prefix(clock, time);
    push_name_and_key(&mut listed, key, name);
    listed
}

fn push_name_and_key(bytes: &mut Vec<u8>, key: &[u8], name: &str) {
    bytes.push(name.len() as u8);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(key);
}

fn listed_time(listed: &[u8]) -> Result<Timestamp, StoreError> {
    let bytes = listed.get(2..10).and_then(|bytes| bytes.try_into().ok());
    bytes.map(Timestamp::from_be_bytes).ok_or_else(damaged)
}

/// The key and the name of a listed timer.
fn read_listed(listed: &[u8]) -> Result<(Vec<u8>, String), StoreError> {
    let parts = listed.get(10..).and_then(|rest| {
        let (length, rest) = rest.split_first()?;
        let (name, key) = rest.split_at_checked(usize::from(*length))?;
        Some((key.to_vec(), String::from_utf8(name.to_vec()).ok()?))
    });
    parts.ok_or_else(damaged)
}
