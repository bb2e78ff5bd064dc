//! Local stores in memory, for tests and for runs that keep nothing.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use record::store::{Change, Checkpoint, StateBackend, Store, StoreError, TaskState};
use record::transform::StoreSpec;

use crate::disk_store::detached;
use crate::keyed::KeyedState;

/// State in memory. It lives as long as the backend: a task that is closed and opened again finds
/// what it committed. Nothing bounds it but what transforms store.
#[derive(Default)]
pub struct MemoryBackend {
    stores: Mutex<HashMap<String, Arc<Mutex<Data>>>>,
}

#[derive(Default)]
struct Data {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    checkpoint: Option<Checkpoint>,
    /// Raised by every opening: only the newest owner may go on.
    owner: u64,
}

impl MemoryBackend {
    /// The local store of `transform` on `partition`. An earlier one of the same name is cut off.
    pub fn store(&self, transform: &str, partition: u32) -> Box<dyn Store> {
        let place = format!("{transform}:{partition}");
        let data = Arc::clone(self.stores.lock().entry(place.clone()).or_default());
        let owner = {
            let mut data = data.lock();
            data.owner += 1;
            data.owner
        };
        Box::new(MemoryStore { place, data, owner })
    }
}

impl StateBackend for MemoryBackend {
    fn open(&self, transform: &str, partition: u32, stores: &[StoreSpec]) -> Result<Box<dyn TaskState>, StoreError> {
        let store = self.store(transform, partition);
        let state = KeyedState::open(format!("{transform}:{partition} (in memory)"), stores, store)?;
        Ok(Box::new(state))
    }
}

struct MemoryStore {
    place: String,
    data: Arc<Mutex<Data>>,
    owner: u64,
}

impl MemoryStore {
    fn with<T>(&self, f: impl FnOnce(&mut Data) -> T) -> Result<T, StoreError> {
        let mut data = self.data.lock();
        if data.owner == self.owner {
            Ok(f(&mut data))
        } else {
            Err(detached(&self.place))
        }
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|data| data.entries.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.with(|data| {
            let start = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let range = data.entries.range::<[u8], _>((start, Bound::Unbounded));
            for (key, value) in range.take_while(|(key, _)| key.starts_with(prefix)) {
                if !visit(key, value) {
                    break;
                }
            }
        })
    }

    fn apply(&mut self, changes: &mut dyn Iterator<Item = Change>, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.with(|data| {
            for (key, value) in changes {
                match value {
                    Some(value) => data.entries.insert(key, value),
                    None => data.entries.remove(&key),
                };
            }
            data.checkpoint = Some(checkpoint.clone());
        })
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.with(|data| data.checkpoint.clone())
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.with(|data| {
            data.entries.clear();
            data.checkpoint = None;
        })
    }
}
