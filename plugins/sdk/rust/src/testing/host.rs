//! The host's functions, played by maps.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::Level;
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
