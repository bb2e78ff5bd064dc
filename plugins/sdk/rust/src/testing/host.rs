//! The host's functions, played by maps.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Level;
use crate::bindings::wasmill::plugin::state::Page;
use crate::bindings::wasmill::plugin::types::Clock;
use crate::column::{self, Column};

/// By clock (as a number), key and name.
type TimerId = (u8, Vec<u8>, String);

/// The key and the name of a timer that is due.
type Due = (Vec<u8>, String);

/// What a plugin sees of its task.
#[derive(Default)]
pub(crate) struct World {
    /// By store and key.
    pub(super) state: BTreeMap<(u32, Vec<u8>), Vec<u8>>,
    /// The stores of other transforms, by transform, store and key.
    pub(super) peers: BTreeMap<(String, String, Vec<u8>), Vec<u8>>,
    pub(super) timers: BTreeMap<TimerId, i64>,
    /// Every change of a timer that was handed over; a negative time cancels.
    #[cfg(test)]
    pub(super) changes: Vec<(TimerId, i64)>,
    /// For each record or timer of the call the largest event time up to it.
    pub(super) stream_times: Vec<i64>,
    pub(super) lateness: i64,
    pub(super) now: i64,
}

impl World {
    /// Removes the timers of the earliest time in a range and answers them, by key, then name.
    pub(super) fn take_due(&mut self, clock: Clock, after: i64, until: i64) -> Option<(i64, Vec<Due>)> {
        let is_due = |id: &TimerId, time: i64| id.0 == clock as u8 && time > after && time <= until;
        let due = self.timers.iter().filter(|(id, time)| is_due(id, **time));
        let first = due.map(|(_, time)| *time).min()?;
        let mut taken = Vec::new();
        self.timers.retain(|id, time| {
            let keep = !is_due(id, *time) || *time != first;
            if !keep {
                taken.push((id.1.clone(), id.2.clone()));
            }
            keep
        });
        Some((first, taken))
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::default());
}

/// Runs what calls the host, in this world.
pub(super) fn within<R>(world: &mut World, run: impl FnOnce() -> R) -> R {
    WORLD.with(|cell| cell.replace(std::mem::take(world)));
    let answer = run();
    *world = WORLD.with(RefCell::take);
    answer
}

pub(crate) fn get(store: u32, key: &[u8]) -> Option<Vec<u8>> {
    WORLD.with_borrow(|world| world.state.get(&(store, key.to_vec())).cloned())
}

pub(crate) fn get_many(store: u32, keys: &Column) -> Column {
    let mut values = column::empty();
    for i in 0..keys.ends.len() {
        let value = column::entry(keys, i).and_then(|key| get(store, key));
        column::push(&mut values, value.as_deref());
    }
    values
}

/// The entries of a page among all of a store.
fn page<'a>(
    all: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: u32,
) -> Page {
    let mut page = Page {
        keys: column::empty(),
        values: column::empty(),
        more: false,
    };
    let is_asked = |key: &[u8]| key.starts_with(prefix) && after.is_none_or(|after| key > after);
    for (key, value) in all.filter(|(key, _)| is_asked(key)) {
        if page.keys.ends.len() as u32 >= limit {
            page.more = true;
            break;
        }
        column::push(&mut page.keys, Some(key));
        column::push(&mut page.values, Some(value));
    }
    page
}

pub(crate) fn scan(store: u32, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Page {
    WORLD.with_borrow(|world| {
        let own = world.state.iter().filter(|((of, _), _)| *of == store);
        page(own.map(|((_, key), value)| (key, value)), prefix, after, limit)
    })
}

pub(crate) fn peer_get(transform: &str, store: &str, key: &[u8]) -> Option<Vec<u8>> {
    let place = (transform.to_owned(), store.to_owned(), key.to_vec());
    WORLD.with_borrow(|world| world.peers.get(&place).cloned())
}

pub(crate) fn peer_get_many(transform: &str, store: &str, keys: &Column) -> Column {
    let mut values = column::empty();
    for i in 0..keys.ends.len() {
        let value = column::entry(keys, i).and_then(|key| peer_get(transform, store, key));
        column::push(&mut values, value.as_deref());
    }
    values
}

pub(crate) fn peer_scan(transform: &str, store: &str, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Page {
    WORLD.with_borrow(|world| {
        let all = world.peers.iter();
        let own = all.filter(|((of, named, _), _)| of == transform && named == store);
        page(own.map(|((_, _, key), value)| (key, value)), prefix, after, limit)
    })
}

pub(crate) fn put(store: u32, key: &[u8], value: &[u8]) {
    WORLD.with_borrow_mut(|world| world.state.insert((store, key.to_vec()), value.to_vec()));
}

pub(crate) fn remove(store: u32, key: &[u8]) {
    WORLD.with_borrow_mut(|world| world.state.remove(&(store, key.to_vec())));
}

pub(crate) fn put_many(store: u32, keys: &Column, values: &Column) {
    WORLD.with_borrow_mut(|world| {
        for i in 0..keys.ends.len() {
            let key = (store, column::entry(keys, i).unwrap_or_default().to_vec());
            match column::entry(values, i) {
                Some(value) => world.state.insert(key, value.to_vec()),
                None => world.state.remove(&key),
            };
        }
    });
}

pub(crate) fn timer(clock: Clock, key: &[u8], name: &str) -> Option<i64> {
    let id = (clock as u8, key.to_vec(), name.to_owned());
    WORLD.with_borrow(|world| world.timers.get(&id).copied())
}

pub(crate) fn set_timers(clock: Clock, keys: &Column, names: &Column, times: &[i64]) {
    WORLD.with_borrow_mut(|world| {
        for (i, time) in times.iter().enumerate() {
            let key = column::entry(keys, i).unwrap_or_default().to_vec();
            let name = String::from_utf8_lossy(column::entry(names, i).unwrap_or_default()).into_owned();
            let id = (clock as u8, key, name);
            #[cfg(test)]
            world.changes.push((id.clone(), *time));
            if *time < 0 {
                world.timers.remove(&id);
            } else {
                world.timers.insert(id, *time);
            }
        }
    });
}

pub(crate) fn threshold() -> Level {
    Level::Trace
}

pub(crate) fn write(level: Level, index: Option<u32>, message: &str) {
    eprintln!("{level:?} {index:?} {message}");
}

pub(crate) fn define(_: &str, _: crate::metrics::Kind, _: &str, _: &[(&str, &str)], _: &[f64]) -> u32 {
    0
}

pub(crate) fn update(_: u32, _: f64) {}

pub(crate) fn pipeline() -> String {
    "test".to_owned()
}

pub(crate) fn transform() -> String {
    "test".to_owned()
}

pub(crate) fn now() -> i64 {
    WORLD.with_borrow(|world| world.now)
}

pub(crate) fn stream_time(index: u32) -> i64 {
    WORLD.with_borrow(|world| world.stream_times.get(index as usize).copied().unwrap_or(-1))
}

pub(crate) fn watermark(index: u32) -> i64 {
    let lateness = WORLD.with_borrow(|world| world.lateness);
    stream_time(index).saturating_sub(lateness).max(-1)
}

pub(crate) fn seed(index: u32) -> u64 {
    u64::from(index)
}
