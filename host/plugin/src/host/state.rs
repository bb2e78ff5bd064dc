//! `state`: the task's stores. Whatever the guest hands in is checked before it goes there.

use record::Column;
use record::column::{MARK_BYTES, MARK_NULL};
use record::store::{StoreError, TaskState};

use super::{HostData, HostError, Phase, misuse};
use crate::bindings::wasmill::plugin::{state, types};
use crate::convert::{from_guest, to_guest};

/// What an entry takes up in the host beside its key and value, until the next commit.
const ENTRY_OVERHEAD_BYTES: usize = 128;
/// Entries of one page at most.
pub(super) const SCAN_ENTRIES_MAX: u32 = 1_000;

/// How much a call may write to state and read from it at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Bytes written in this call.
    pub(crate) written: usize,
    /// Bytes that a call may write, and that it may be handed at once.
    pub(crate) written_max: usize,
    pub(crate) answer_max: usize,
    /// The first savepoint of this call: those before it are the engine's own.
    pub(crate) first_savepoint: Option<u64>,
}

impl Traffic {
    pub(crate) fn start_call(&mut self) {
        self.written = 0;
        self.first_savepoint = None;
    }
}

pub(crate) fn failed(error: StoreError) -> wasmtime::Error {
    wasmtime::Error::new(match error {
        StoreError::Misuse(message) => HostError::Misuse(message),
        other => HostError::Store(other),
    })
}

fn limit(message: String) -> wasmtime::Error {
    wasmtime::Error::new(HostError::Limit(message))
}

impl HostData {
    fn stores(&mut self, function: &str) -> wasmtime::Result<&mut Box<dyn TaskState>> {
        self.allow(Phase::Migrate, function)?;
        self.state
            .as_mut()
            .ok_or_else(|| misuse(format!("`{function}` was called, but the plugin declares no stores")))
    }

    fn store(&mut self, function: &str, store: u32, writes: bool) -> wasmtime::Result<&mut Box<dyn TaskState>> {
        match self.description.stores.get(store as usize) {
            None => return Err(misuse(format!("`{function}`: the plugin declares no store {store}"))),
            Some(spec) if spec.table && writes => {
                return Err(misuse(format!("`{function}`: the table `{}` is read-only", spec.name)));
            }
            Some(_) => {}
        }
        self.stores(function)
    }

    /// Counts entries that a call writes, and the bytes of their keys and values.
    pub(crate) fn count_written(&mut self, entries: usize, bytes: usize) -> wasmtime::Result<()> {
        let traffic = &mut self.traffic;
        let overhead = entries.saturating_mul(ENTRY_OVERHEAD_BYTES);
        traffic.written = traffic.written.saturating_add(bytes).saturating_add(overhead);
        if traffic.written > traffic.written_max {
            return Err(limit(format!(
                "it wrote more than {} MiB to state in one call; raise `output_mib` if it needs more",
                traffic.written_max >> 20
            )));
        }
        Ok(())
    }

    /// The engine has savepoints of its own, before the call: going back to one would undo what the engine did.
    fn check_savepoint(&self, to: u64) -> wasmtime::Result<()> {
        if self.traffic.first_savepoint.is_some_and(|first| to >= first) {
            return Ok(());
        }
        Err(misuse(format!(
            "`state.rollback`: there is no savepoint {to}; savepoints hold for one call"
        )))
    }

    pub(super) fn check_answer(&self, bytes: usize) -> wasmtime::Result<()> {
        if bytes > self.traffic.answer_max {
            return Err(limit(format!(
                "it read more than {} MiB of state at once, which is all its memory",
                self.traffic.answer_max >> 20
            )));
        }
        Ok(())
    }
}

pub(crate) fn check(column: &Column, n: usize, highest_mark: u8, what: &str) -> wasmtime::Result<()> {
    column
        .check(n, highest_mark)
        .map_err(|error| misuse(format!("the column of {what} {error}")))
}

impl state::Host for HostData {
    fn get(&mut self, store: u32, key: Vec<u8>) -> wasmtime::Result<Option<Vec<u8>>> {
        if self.phase == Phase::Query {
            let (transform, store) = self.own("state.get", store)?;
            return self.queried_get("state.get", &transform, &store, &key);
        }
        self.store("state.get", store, false)?.get(store, &key).map_err(failed)
    }

    fn put(&mut self, store: u32, key: Vec<u8>, value: Vec<u8>) -> wasmtime::Result<()> {
        self.count_written(1, key.len() + value.len())?;
        self.store("state.put", store, true)?
            .put(store, &key, &value)
            .map_err(failed)
    }

    fn remove(&mut self, store: u32, key: Vec<u8>) -> wasmtime::Result<()> {
        self.count_written(1, key.len())?;
        self.store("state.remove", store, true)?
            .remove(store, &key)
            .map_err(failed)
    }

    fn scan(
        &mut self,
        store: u32,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<state::Page> {
        if self.phase == Phase::Query {
            let (transform, store) = self.own("state.scan", store)?;
            return self.queried_scan("state.scan", (&transform, &store), &prefix, after.as_deref(), limit);
        }
        let page = self
            .store("state.scan", store, false)?
            .scan(store, &prefix, after.as_deref(), limit.min(SCAN_ENTRIES_MAX))
            .map_err(failed)?;
        self.check_answer(page.keys.data.len() + page.values.data.len())?;
        Ok(state::Page {
            keys: to_guest(page.keys),
            values: to_guest(page.values),
            more: page.more,
        })
    }

    fn get_many(&mut self, store: u32, keys: types::Column) -> wasmtime::Result<types::Column> {
        if self.phase == Phase::Query {
            let (transform, store) = self.own("state.get-many", store)?;
            return self.queried_get_many("state.get-many", (&transform, &store), keys);
        }
        let keys = from_guest(keys);
        check(&keys, keys.len(), MARK_BYTES, "keys")?;
        let max = self.traffic.answer_max;
        let values = self
            .store("state.get-many", store, false)?
            .get_many(store, &keys, max)
            .map_err(failed)?;
        self.check_answer(values.data.len())?;
        Ok(to_guest(values))
    }

    fn put_many(&mut self, store: u32, keys: types::Column, values: types::Column) -> wasmtime::Result<()> {
        let (keys, values) = (from_guest(keys), from_guest(values));
        check(&keys, keys.len(), MARK_BYTES, "keys")?;
        check(&values, keys.len(), MARK_NULL, "values")?;
        self.count_written(keys.len(), keys.data.len() + values.data.len())?;
        self.store("state.put-many", store, true)?
            .put_many(store, &keys, &values)
            .map_err(failed)
    }

    fn savepoint(&mut self) -> wasmtime::Result<u64> {
        let point = self.stores("state.savepoint")?.savepoint();
        self.traffic.first_savepoint.get_or_insert(point);
        Ok(point)
    }

    fn rollback(&mut self, to: u64) -> wasmtime::Result<()> {
        self.check_savepoint(to)?;
        self.stores("state.rollback")?.rollback(to).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use crate::host::tests::host_data;

    #[test]
    fn savepoints_of_the_engine_are_out_of_reach() {
        let mut data = host_data();
        assert!(data.check_savepoint(6).is_err());
        data.traffic.first_savepoint = Some(7);
        assert!(data.check_savepoint(6).is_err());
        assert!(data.check_savepoint(7).is_ok());
        data.traffic.start_call();
        assert!(data.check_savepoint(7).is_err());
    }

    #[test]
    fn entries_count_beside_their_bytes() {
        let mut data = host_data();
        data.traffic.written_max = 1 << 20;
        let taken = (0..100_000).take_while(|_| data.count_written(1, 4).is_ok()).count();
        assert!(taken < 10_000, "{taken}");
    }
}
