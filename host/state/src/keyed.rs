//! The state of one transform on one partition.

use record::batch::Batch;
use record::column::Column;
use record::offset::{NO_TIMESTAMP, NextOffset, Timestamp};
use record::store::{Change, Checkpoint, InputPosition, Page, StateAccess, Store, StoreError, TaskState};
use record::timer::{Clock, Timer};
use record::transform::StoreSpec;

use crate::codec::{self, POSITION_KEY};
use crate::dirty::Keys;
use crate::timers::{Known, Timers};
use crate::undo::UndoLog;
use crate::{KEY_BYTES_MAX, VALUE_BYTES_MAX, merge, timers};

/// What a state keeps in memory of keys that are not dirty.
const CACHE_BYTES_MAX: usize = 8 << 20;
/// A restore hands so much to the store at once.
const RESTORE_BYTES: usize = 4 << 20;

struct StoreInfo {
    name: String,
    table: bool,
    /// What its keys start with, in the local store and the changelog.
    prefix: Vec<u8>,
}

/// Reads go to the keys in memory, then to the local store. Writes stay in memory until the commit
/// is known to have happened.
pub(crate) struct KeyedState {
    /// For errors: the transform and partition.
    place: String,
    stores: Vec<StoreInfo>,
    store: Box<dyn Store>,
    keys: Keys,
    undo: UndoLog,
    /// What the local store holds. Not shown to the task while its changelog's id is missing.
    checkpoint: Option<Checkpoint>,
    position: Option<InputPosition>,
    restoring: Restoring,
    /// Reused for the keys of reads.
    key: Vec<u8>,
    timers: Known,
    /// The store of the timers, which is the last, may be used.
    in_timers: bool,
}

/// Changelog records on their way into the local store.
#[derive(Default)]
struct Restoring {
    /// The last record of a key wins.
    changes: hashbrown::HashMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
    /// The changelog is taken in up to here; `None` before the first batch.
    next: Option<NextOffset>,
    /// The store refused some: the restore cannot end, it is begun again.
    lost: bool,
}

impl KeyedState {
    /// Reads the checkpoint. What cannot be used is wiped: the changelog has it all.
    pub(crate) fn open(place: String, specs: &[StoreSpec], store: Box<dyn Store>) -> Result<Self, StoreError> {
        let mut stores: Vec<StoreInfo> = Vec::with_capacity(specs.len());
        for spec in specs {
            if spec.name.is_empty() || spec.name.len() > usize::from(u8::MAX) {
                return Err(StoreError::Misuse(format!(
                    "a store's name has 1 to 255 bytes, `{}` has {}",
                    spec.name,
                    spec.name.len()
                )));
            }
            if stores.iter().any(|other| other.name == spec.name) {
                return Err(StoreError::Misuse(format!("two stores are named `{}`", spec.name)));
            }
            stores.push(StoreInfo {
                name: spec.name.clone(),
                table: spec.table,
                prefix: codec::entry_prefix(&spec.name),
            });
        }
        stores.push(StoreInfo {
            name: timers::STORE_NAME.to_owned(),
            table: false,
            prefix: codec::entry_prefix(timers::STORE_NAME),
        });
        let mut state = Self {
            place,
            timers: Known::default(),
            in_timers: false,
            keys: Keys::new(stores.len()),
            stores,
            store,
            undo: UndoLog::default(),
            checkpoint: None,
            position: None,
            restoring: Restoring::default(),
            key: Vec::new(),
        };
        match state.store.checkpoint() {
            Ok(Some(checkpoint)) if checkpoint.changelog_id.is_empty() => {
                // The first restore was cut short. Begun again, it could miss a tombstone that the
                // changelog has dropped since.
                state.wipe()?;
            }
            Ok(checkpoint) => {
                state.position = checkpoint.as_ref().and_then(|c| c.position.clone());
                state.checkpoint = checkpoint;
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(state = state.place, %error);
                state.wipe()?;
            }
            Err(error) => return Err(error),
        }
        Ok(state)
    }

    fn info(&self, store: u32) -> Result<&StoreInfo, StoreError> {
        let declared = self.stores.len() - usize::from(!self.in_timers);
        self.stores[..declared].get(store as usize).ok_or_else(|| {
            StoreError::Misuse(format!(
                "there is no store number {store}; the transform declares {declared}"
            ))
        })
    }

    fn check_key(&self, store: u32, key: &[u8]) -> Result<(), StoreError> {
        let info = self.info(store)?;
        if key.len() > KEY_BYTES_MAX {
            return Err(StoreError::Misuse(format!(
                "a key of store `{}` has {} bytes, more than {KEY_BYTES_MAX}",
                info.name,
                key.len()
            )));
        }
        Ok(())
    }

    fn check_write(&self, store: u32, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.check_key(store, key)?;
        let info = self.info(store)?;
        if info.table {
            return Err(StoreError::Misuse(format!(
                "`{}` is a table: it can only be read",
                info.name
            )));
        }
        if let Some(value) = value.filter(|value| value.len() > VALUE_BYTES_MAX) {
            return Err(StoreError::Misuse(format!(
                "a value of store `{}` has {} bytes, more than {VALUE_BYTES_MAX}",
                info.name,
                value.len()
            )));
        }
        Ok(())
    }

    fn write(&mut self, store: u32, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.check_write(store, key, value)?;
        self.keys.write(store, key, value, &mut self.undo);
        Ok(())
    }

    /// Reads a key that memory knows nothing of.
    fn load(&mut self, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(info) = self.stores.get(store as usize) else {
            return Ok(None);
        };
        self.key.clear();
        self.key.extend_from_slice(&info.prefix);
        self.key.extend_from_slice(key);
        let value = self.store.get(&self.key)?;
        self.keys
            .remember(store, key, value.as_deref(), CACHE_BYTES_MAX, &self.undo);
        Ok(value)
    }

    /// Runs a function on the timers, which are in the last store.
    fn with_timers<T>(&mut self, run: impl FnOnce(&mut Timers<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut known = std::mem::take(&mut self.timers);
        let store = self.stores.len() as u32 - 1;
        self.in_timers = true;
        let answer = run(&mut Timers {
            state: self,
            store,
            known: &mut known,
        });
        if answer.is_err() {
            known.forget();
        }
        self.in_timers = false;
        self.timers = known;
        answer
    }

    /// Hands the gathered records to the store. Until the restore ends, the checkpoint keeps the
    /// changelog's id and the time of the last whole one: cut short, the restore goes on from here,
    /// and what the store has beyond its checkpoint is written again with the same result. Without
    /// an id the store is wiped when it is opened.
    fn flush_restore(&mut self) -> Result<(), StoreError> {
        let before = self.checkpoint.as_ref();
        let checkpoint = Checkpoint {
            changelog_id: before.map(|c| c.changelog_id.clone()).unwrap_or_default(),
            changelog_next: self
                .restoring
                .next
                .or(before.map(|c| c.changelog_next))
                .unwrap_or(NextOffset(0)),
            position: self.position.clone(),
            saved_at: before.map_or(NO_TIMESTAMP, |c| c.saved_at),
        };
        self.apply_restored(checkpoint)
    }

    fn apply_restored(&mut self, checkpoint: Checkpoint) -> Result<(), StoreError> {
        if self.restoring.lost {
            return Err(StoreError::Misuse(format!(
                "the restore of {} has failed; it is begun again by opening the state anew",
                self.place
            )));
        }
        self.restoring.bytes = 0;
        let applied = self.store.apply(&mut self.restoring.changes.drain(), &checkpoint);
        self.restoring.lost = applied.is_err();
        applied?;
        self.checkpoint = Some(checkpoint);
        Ok(())
    }
}

impl StateAccess for KeyedState {
    fn get(&mut self, store: u32, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check_key(store, key)?;
        match self.keys.get(store, key) {
            Some(known) => Ok(known.map(<[u8]>::to_vec)),
            None => self.load(store, key),
        }
    }

    fn put(&mut self, store: u32, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.write(store, key, Some(value))
    }

    fn remove(&mut self, store: u32, key: &[u8]) -> Result<(), StoreError> {
        self.write(store, key, None)
    }

    fn scan(&mut self, store: u32, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Page, StoreError> {
        self.info(store)?;
        let store_prefix = &self.stores[store as usize].prefix;
        let dirty = self.keys.dirty_range(store, prefix, after);
        let scan = |prefix: &[u8], after: Option<&[u8]>, visit: merge::Visit<'_>| self.store.scan(prefix, after, visit);
        merge::scan(scan, store_prefix, (prefix, after), limit, dirty)
    }

    fn get_many(&mut self, store: u32, keys: &Column, bytes_max: usize) -> Result<Column, StoreError> {
        let mut values = Column::default();
        for key in keys.iter() {
            if values.data.len() > bytes_max {
                break;
            }
            let key = key.ok_or_else(|| null_key("get_many"))?;
            self.check_key(store, key)?;
            match self.keys.get(store, key) {
                Some(known) => values.push(known),
                None => {
                    let value = self.load(store, key)?;
                    values.push(value.as_deref());
                }
            }
        }
        Ok(values)
    }

    fn put_many(&mut self, store: u32, keys: &Column, values: &Column) -> Result<(), StoreError> {
        if keys.len() != values.len() {
            return Err(StoreError::Misuse(format!(
                "put_many has {} keys and {} values",
                keys.len(),
                values.len()
            )));
        }
        for (key, value) in keys.iter().zip(values.iter()) {
            let key = key.ok_or_else(|| null_key("put_many"))?;
            self.write(store, key, value)?;
        }
        Ok(())
    }

    fn timer(&mut self, clock: Clock, key: &[u8], name: &str) -> Result<Option<Timestamp>, StoreError> {
        self.with_timers(|timers| timers.get(clock, key, name))
    }

    fn set_timer(&mut self, clock: Clock, key: &[u8], name: &str, time: Timestamp) -> Result<(), StoreError> {
        self.with_timers(|timers| timers.set(clock, key, name, time))
    }

    fn cancel_timer(&mut self, clock: Clock, key: &[u8], name: &str) -> Result<(), StoreError> {
        self.with_timers(|timers| timers.cancel(clock, key, name))
    }

    fn savepoint(&mut self) -> u64 {
        self.undo.savepoint()
    }

    fn rollback(&mut self, to: u64) -> Result<(), StoreError> {
        self.timers.forget();
        if self.keys.rollback(to, &mut self.undo) {
            Ok(())
        } else {
            Err(StoreError::Misuse(format!(
                "there is no savepoint {to}; savepoints hold for one call"
            )))
        }
    }
}

fn null_key(call: &str) -> StoreError {
    StoreError::Misuse(format!("{call} was given a null key"))
}

impl TaskState for KeyedState {
    fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref().filter(|c| !c.changelog_id.is_empty())
    }

    fn wipe(&mut self) -> Result<(), StoreError> {
        self.abort();
        self.restoring = Restoring::default();
        self.store.show(false);
        self.store.wipe()?;
        self.checkpoint = None;
        self.position = None;
        Ok(())
    }

    fn restore(&mut self, changelog: &Batch) -> Result<(), StoreError> {
        // The changelog is the truth: nothing that was only in memory outlives it.
        self.abort();
        self.store.show(false);
        let mut position = None;
        for i in 0..changelog.len() {
            match codec::read_change(changelog.keys.get(i), changelog.values.get(i)) {
                Ok(codec::Change::Position(found)) => position = Some(found),
                Ok(codec::Change::Entry) => {}
                Err(what) => {
                    let offset = changelog.offsets.get(i).copied().unwrap_or(-1);
                    return Err(StoreError::BadChangelog {
                        place: self.place.clone(),
                        what: format!("{what} ({}:{}:{offset})", changelog.topic, changelog.partition),
                    });
                }
            }
        }
        for i in 0..changelog.len() {
            if let Some(key) = changelog.keys.get(i)
                && key != POSITION_KEY
            {
                let value = changelog.values.get(i);
                self.restoring.bytes += key.len() + value.map_or(0, <[u8]>::len);
                self.restoring.changes.insert(key.to_vec(), value.map(<[u8]>::to_vec));
            }
        }
        if position.is_some() {
            self.position = position;
        }
        if let Some(next) = changelog.next_offset() {
            self.restoring.next = Some(next);
        }
        if self.restoring.bytes >= RESTORE_BYTES {
            self.flush_restore()?;
        }
        Ok(())
    }

    fn restored(&mut self, changelog_id: &str, next: NextOffset, now: Timestamp) -> Result<(), StoreError> {
        let checkpoint = Checkpoint {
            changelog_id: changelog_id.to_owned(),
            changelog_next: next,
            position: self.position.clone(),
            saved_at: now,
        };
        self.apply_restored(checkpoint)?;
        self.timers.forget();
        self.restoring = Restoring::default();
        Ok(())
    }

    fn show(&mut self) {
        self.store.show(true);
    }

    fn position(&self) -> Option<&InputPosition> {
        self.position.as_ref()
    }

    fn next_timer(&mut self, clock: Clock) -> Result<Option<Timestamp>, StoreError> {
        self.with_timers(|timers| timers.next(clock))
    }

    fn take_timers(&mut self, clock: Clock, time: Timestamp, limit: usize) -> Result<Vec<Timer>, StoreError> {
        self.with_timers(|timers| timers.take(clock, time, limit))
    }

    fn earliest_set(&mut self, clock: Clock) -> Option<Timestamp> {
        self.timers.take_earliest_set(clock)
    }

    fn keep(&mut self) {
        self.undo.clear();
    }

    fn is_dirty(&self) -> bool {
        self.keys.is_dirty()
    }

    fn dirty_bytes(&self) -> usize {
        self.keys.dirty_bytes()
    }

    fn changes(&mut self, position: &InputPosition, now: Timestamp, into: &mut Batch) {
        for (store, key, value) in self.keys.dirty() {
            into.keys.push_with(|bytes| {
                bytes.extend_from_slice(&self.stores[store as usize].prefix);
                bytes.extend_from_slice(key);
            });
            into.values.push(value);
            into.timestamps.push(now);
        }
        into.keys.push(Some(POSITION_KEY));
        into.values.push_with(|bytes| codec::encode_position(position, bytes));
        into.timestamps.push(now);
    }

    fn commit(
        &mut self,
        position: InputPosition,
        changelog_next: NextOffset,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.undo.clear();
        // Whatever becomes of the local store, this is what the log says from now on.
        self.position = Some(position.clone());
        let Some(before) = self.checkpoint() else {
            return Err(StoreError::Misuse(format!(
                "{} was committed before its restore had ended",
                self.place
            )));
        };
        let checkpoint = Checkpoint {
            changelog_id: before.changelog_id.clone(),
            changelog_next,
            position: Some(position),
            saved_at: now,
        };
        let stores = &self.stores;
        let mut changes = self.keys.dirty().map(|(store, key, value)| -> Change {
            let prefix = &stores[store as usize].prefix;
            let mut full = Vec::with_capacity(prefix.len() + key.len() + 1);
            full.extend_from_slice(prefix);
            full.extend_from_slice(key);
            (full, value.map(<[u8]>::to_vec))
        });
        self.store.apply(&mut changes, &checkpoint)?;
        drop(changes);
        self.keys.committed(CACHE_BYTES_MAX);
        self.checkpoint = Some(checkpoint);
        Ok(())
    }

    fn abort(&mut self) {
        self.timers.forget();
        self.undo.clear();
        self.keys.clear();
    }
}
