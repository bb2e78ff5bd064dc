//! Local stores in memory, for tests and for runs that keep nothing.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use record::store::{Change, Checkpoint, Held, StateBackend, StateView, Store, StoreError, TaskState};
use record::transform::StoreSpec;

use crate::disk_store::detached;
use crate::keyed::KeyedState;
use crate::merge::Visit;
use crate::view::{Shown, View};

/// State in memory. It lives as long as the backend: a task that is closed and opened again finds
/// what it committed. Nothing bounds it but what transforms store.
#[derive(Default)]
pub struct MemoryBackend {
    stores: Mutex<Stores>,
}

/// By transform and partition.
type Stores = HashMap<(String, u32), Arc<RwLock<Data>>>;

#[derive(Default)]
struct Data {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    checkpoint: Option<Checkpoint>,
    /// Raised by every opening: only the newest owner may go on.
    owner: u64,
    /// The newest owner still has it.
    is_open: bool,
    /// Others may read it.
    is_shown: bool,
}

impl Data {
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, visit: Visit<'_>) {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let range = self.entries.range::<[u8], _>((start, Bound::Unbounded));
        for (key, value) in range.take_while(|(key, _)| key.starts_with(prefix)) {
            if !visit(key, value) {
                break;
            }
        }
    }
}

impl MemoryBackend {
    /// The local store of `transform` on `partition`. An earlier one of the same name is cut off.
    pub fn store(&self, transform: &str, partition: u32) -> Box<dyn Store> {
        let key = (transform.to_owned(), partition);
        let data = Arc::clone(self.stores.lock().entry(key).or_default());
        let owner = {
            let mut data = data.write();
            data.owner += 1;
            data.is_open = true;
            data.is_shown = false;
            data.owner
        };
        Box::new(MemoryStore {
            place: format!("{transform}:{partition}"),
            data,
            owner,
        })
    }
}

impl StateBackend for MemoryBackend {
    fn open(&self, transform: &str, partition: u32, stores: &[StoreSpec]) -> Result<Box<dyn TaskState>, StoreError> {
        let store = self.store(transform, partition);
        let state = KeyedState::open(format!("{transform}:{partition} (in memory)"), stores, store)?;
        Ok(Box::new(state))
    }

    fn held(&self, transform: &str) -> Vec<Held> {
        let stores = self.stores.lock();
        let mut held: Vec<Held> = stores
            .iter()
            .filter(|((of, _), _)| of == transform)
            .filter_map(|((_, partition), data)| {
                let data = data.read();
                data.is_open.then_some(Held {
                    partition: *partition,
                    is_whole: data.is_shown,
                })
            })
            .collect();
        held.sort_unstable();
        held
    }

    fn view(&self, transform: &str, partition: u32) -> Option<Box<dyn StateView>> {
        let data = Arc::clone(self.stores.lock().get(&(transform.to_owned(), partition))?);
        let is_open = data.read().is_open;
        is_open.then(|| {
            let place = format!("{transform}:{partition}");
            Box::new(View(ShownMemory { place, data })) as Box<dyn StateView>
        })
    }
}

/// A store in memory for others than its owner.
struct ShownMemory {
    place: String,
    data: Arc<RwLock<Data>>,
}

impl ShownMemory {
    fn with<T>(&self, f: impl FnOnce(&Data) -> T) -> Result<T, StoreError> {
        let data = self.data.read();
        if data.is_open && data.is_shown {
            Ok(f(&data))
        } else {
            Err(StoreError::Unreadable {
                place: self.place.clone(),
            })
        }
    }
}

impl Shown for ShownMemory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|data| data.entries.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        self.with(|data| data.scan(prefix, after, visit))
    }
}

struct MemoryStore {
    place: String,
    data: Arc<RwLock<Data>>,
    owner: u64,
}

impl MemoryStore {
    fn with<T>(&self, f: impl FnOnce(&Data) -> T) -> Result<T, StoreError> {
        let data = self.data.read();
        if data.owner == self.owner {
            Ok(f(&data))
        } else {
            Err(detached(&self.place))
        }
    }

    fn with_mut<T>(&self, f: impl FnOnce(&mut Data) -> T) -> Result<T, StoreError> {
        let mut data = self.data.write();
        if data.owner == self.owner {
            Ok(f(&mut data))
        } else {
            Err(detached(&self.place))
        }
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        // When another has opened it, there is nothing left to close.
        let _ = self.with_mut(|data| data.is_open = false);
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
        self.with(|data| data.scan(prefix, after, visit))
    }

    fn apply(&mut self, changes: &mut dyn Iterator<Item = Change>, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        // Made before others have to wait, and what goes is dropped when they need not any more.
        let changes: Vec<Change> = changes.collect();
        let mut gone = Vec::with_capacity(changes.len());
        self.with_mut(|data| {
            for (key, value) in changes {
                gone.push(match value {
                    Some(value) => data.entries.insert(key, value),
                    None => data.entries.remove(&key),
                });
            }
            data.checkpoint = Some(checkpoint.clone());
        })
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.with(|data| data.checkpoint.clone())
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.with_mut(|data| {
            data.entries.clear();
            data.checkpoint = None;
        })
    }

    fn show(&mut self, is_whole: bool) {
        // One that was cut off is shown by its new owner.
        let _ = self.with_mut(|data| data.is_shown = is_whole);
    }
}
