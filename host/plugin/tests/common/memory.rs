//! State in a map, with savepoints by copying: slow and plainly right.

use std::collections::BTreeMap;
use std::ops::Bound;

use record::offset::{NextOffset, Timestamp};
use record::store::{Checkpoint, InputPosition, Page, StateAccess, StoreError, TaskState};
use record::timer::{Clock, Timer};
use record::{Batch, Column};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
type Timers = BTreeMap<(Clock, Vec<u8>, String), Timestamp>;

#[derive(Clone, Debug, Default)]
pub(crate) struct MapState {
    stores: Vec<Map>,
    timers: Timers,
    savepoints: Vec<(Vec<Map>, Timers)>,
}

impl MapState {
    pub(crate) fn new(stores: usize) -> Self {
        Self {
            stores: vec![Map::new(); stores],
            ..Self::default()
        }
    }

    fn store(&mut self, store: u32) -> Result<&mut Map, StoreError> {
        self.stores
            .get_mut(store as usize)
            .ok_or_else(|| StoreError::Misuse(format!("no store {store}")))
    }
}

impl StateAccess for MapState {
    fn get(&mut self, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.store(store)?.get(key).cloned())
    }

    fn put(&mut self, store: u32, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.store(store)?.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, store: u32, key: &[u8]) -> Result<(), StoreError> {
        self.store(store)?.remove(key);
        Ok(())
    }

    fn scan(&mut self, store: u32, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Page, StoreError> {
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let mut page = Page::default();
        for (key, value) in self.store(store)?.range::<[u8], _>((start, Bound::Unbounded)) {
            if !key.starts_with(prefix) {
                continue;
            }
            if page.keys.len() == limit as usize {
                page.more = true;
                break;
            }
            page.keys.push(Some(key));
            page.values.push(Some(value));
        }
        Ok(page)
    }

    fn get_many(&mut self, store: u32, keys: &Column, _: usize) -> Result<Column, StoreError> {
        let map = self.store(store)?;
        Ok(keys.iter().map(|key| map.get(key?).map(Vec::as_slice)).collect())
    }

    fn put_many(&mut self, store: u32, keys: &Column, values: &Column) -> Result<(), StoreError> {
        for (key, value) in keys.iter().zip(values.iter()) {
            let key = key.ok_or_else(|| StoreError::Misuse("a null key".to_owned()))?;
            match value {
                Some(value) => self.put(store, key, value)?,
                None => self.remove(store, key)?,
            }
        }
        Ok(())
    }

    fn timer(&mut self, clock: Clock, key: &[u8], name: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.timers.get(&(clock, key.to_vec(), name.to_owned())).copied())
    }

    fn set_timer(&mut self, clock: Clock, key: &[u8], name: &str, time: Timestamp) -> Result<(), StoreError> {
        if time < 0 || name.is_empty() {
            return Err(StoreError::Misuse(format!("the timer `{name}` at {time}")));
        }
        self.timers.insert((clock, key.to_vec(), name.to_owned()), time);
        Ok(())
    }

    fn cancel_timer(&mut self, clock: Clock, key: &[u8], name: &str) -> Result<(), StoreError> {
        self.timers.remove(&(clock, key.to_vec(), name.to_owned()));
        Ok(())
    }

    fn savepoint(&mut self) -> u64 {
        self.savepoints.push((self.stores.clone(), self.timers.clone()));
        self.savepoints.len() as u64
    }

    fn rollback(&mut self, to: u64) -> Result<(), StoreError> {
        let saved = (to as usize).checked_sub(1).and_then(|at| self.savepoints.get(at));
        (self.stores, self.timers) = saved
            .cloned()
            .ok_or_else(|| StoreError::Misuse(format!("no savepoint {to}")))?;
        Ok(())
    }
}

impl TaskState for MapState {
    fn checkpoint(&self) -> Option<&Checkpoint> {
        None
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        *self = Self::new(self.stores.len());
        Ok(())
    }

    fn restore(&mut self, _: &Batch) -> Result<(), StoreError> {
        Ok(())
    }

    fn restored(&mut self, _: &str, _: NextOffset, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    fn show(&mut self) {}

    fn position(&self) -> Option<&InputPosition> {
        None
    }

    fn next_timer(&mut self, clock: Clock) -> Result<Option<Timestamp>, StoreError> {
        let of_clock = self.timers.iter().filter(|((of, ..), _)| *of == clock);
        Ok(of_clock.map(|(_, time)| *time).min())
    }

    fn take_timers(&mut self, clock: Clock, time: Timestamp, limit: usize) -> Result<Vec<Timer>, StoreError> {
        let taken = self.timers.extract_if(.., |(of, ..), at| *of == clock && *at == time);
        Ok(taken
            .take(limit)
            .map(|((_, key, name), time)| Timer { time, key, name })
            .collect())
    }

    fn earliest_set(&mut self, _: Clock) -> Option<Timestamp> {
        None
    }

    fn keep(&mut self) {
        self.savepoints.clear();
    }

    fn is_dirty(&self) -> bool {
        false
    }

    fn changes(&mut self, _: &InputPosition, _: Timestamp, _: &mut Batch) {}

    fn commit(&mut self, _: InputPosition, _: NextOffset, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    fn abort(&mut self) {}
}
