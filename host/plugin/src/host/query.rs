//! `stores`, and `state` in a query: what is committed, of all partitions that this process has.

use std::sync::Arc;

use record::Column;
use record::column::MARK_BYTES;
use record::view::PipelineViews;

use super::state::{SCAN_ENTRIES_MAX, check, failed};
use super::{HostData, Phase, misuse};
use crate::bindings::wasmill::plugin::{state, stores, types};
use crate::convert::{from_guest, to_guest};

impl HostData {
    fn queried(&mut self, function: &str) -> wasmtime::Result<&mut PipelineViews> {
        self.allow(Phase::Query, function)?;
        self.queried
            .as_mut()
            .ok_or_else(|| misuse(format!("`{function}` was called, but nothing is asked")))
    }

    /// The names of the plugin's own transform and store.
    pub(super) fn own(&self, function: &str, store: u32) -> wasmtime::Result<(Arc<str>, String)> {
        match self.description.stores.get(store as usize) {
            Some(spec) => Ok((Arc::clone(&self.names.transform), spec.name.clone())),
            None => Err(misuse(format!("`{function}`: the plugin declares no store {store}"))),
        }
    }

    pub(super) fn queried_get(
        &mut self,
        function: &str,
        transform: &str,
        store: &str,
        key: &[u8],
    ) -> wasmtime::Result<Option<Vec<u8>>> {
        self.queried(function)?.get(transform, store, key).map_err(failed)
    }

    pub(super) fn queried_get_many(
        &mut self,
        function: &str,
        (transform, store): (&str, &str),
        keys: types::Column,
    ) -> wasmtime::Result<types::Column> {
        let keys = from_guest(keys);
        check(&keys, keys.len(), MARK_BYTES, "keys")?;
        let mut values = Column::default();
        for key in keys.iter() {
            let key = key.unwrap_or_default();
            let value = self.queried(function)?.get(transform, store, key).map_err(failed)?;
            values.push(value.as_deref());
            self.check_answer(values.data.len())?;
        }
        Ok(to_guest(values))
    }

    pub(super) fn queried_scan(
        &mut self,
        function: &str,
        (transform, store): (&str, &str),
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> wasmtime::Result<state::Page> {
        let entries = self
            .queried(function)?
            .scan(transform, store, prefix, after, limit.min(SCAN_ENTRIES_MAX))
            .map_err(failed)?;
        let page = entries.page;
        self.check_answer(page.keys.data.len() + page.values.data.len())?;
        Ok(state::Page {
            keys: to_guest(page.keys),
            values: to_guest(page.values),
            more: page.more,
        })
    }
}

impl stores::Host for HostData {
    fn get(&mut self, transform: String, store: String, key: Vec<u8>) -> wasmtime::Result<Option<Vec<u8>>> {
        self.queried_get("stores.get", &transform, &store, &key)
    }

    fn get_many(&mut self, transform: String, store: String, keys: types::Column) -> wasmtime::Result<types::Column> {
        self.queried_get_many("stores.get-many", (&transform, &store), keys)
    }

    fn scan(
        &mut self,
        transform: String,
        store: String,
        prefix: Vec<u8>,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<state::Page> {
        self.queried_scan("stores.scan", (&transform, &store), &prefix, after.as_deref(), limit)
    }
}
