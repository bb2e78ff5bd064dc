//! State that an earlier version of the plugin has stored.

use crate::bindings::wasmill::plugin::state::Page;
use crate::column;
use crate::error::Result;
use crate::store::{Format, Store};
use crate::{Plugin, host};

/// Entries that are read at once.
const PAGE: u32 = 1_000;

/// A plugin that changes what an earlier state version of it has stored into what this one reads. Export it by
/// `export!(MyPlugin, migrates)`.
pub trait Migrates: Plugin {
    /// Changes the stores of one partition, which were written by state version `from`, smaller than
    /// [`crate::About::state_version`]. Called before the partition's first record; what is stored is
    /// committed with the new version, or not at all and then it is called again.
    ///
    /// # Errors
    /// Nothing of it counts, and the partition stands still.
    fn migrate(&mut self, from: u32, state: &mut Migration) -> Result<()>;
}

/// The stores of one partition, to read and to write. A [`Store`] of the earlier version's type reads what
/// that has written: same number, its own type.
#[derive(Debug)]
pub struct Migration(());

impl Migration {
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// What a store holds under a key.
    ///
    /// # Errors
    /// `bad-state` when it is not of this type.
    pub fn get<T, F: Format<T>>(&mut self, store: Store<T, F>, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        host::get(store.id, key.as_ref())
            .map(|bytes| F::read(&bytes))
            .transpose()
    }

    /// Stores a value under a key.
    ///
    /// # Errors
    /// The value cannot be written.
    pub fn put<T, F: Format<T>>(&mut self, store: Store<T, F>, key: impl AsRef<[u8]>, value: &T) -> Result<()> {
        let mut bytes = Vec::new();
        F::write(value, &mut bytes)?;
        host::put(store.id, key.as_ref(), &bytes);
        Ok(())
    }

    /// Removes a key.
    pub fn remove<T, F>(&mut self, store: Store<T, F>, key: impl AsRef<[u8]>) {
        host::remove(store.id, key.as_ref());
    }

    /// Replaces every entry of a store, in the order of the keys' bytes: `change` is given what the earlier version has
    /// stored and answers what this one stores, under the same key; `None` removes it.
    ///
    /// # Errors
    /// That of `change`; `bad-state` when an entry is not of the earlier type.
    pub fn rewrite<A, FA: Format<A>, B, FB: Format<B>>(
        &mut self,
        earlier: Store<A, FA>,
        now: Store<B, FB>,
        mut change: impl FnMut(&[u8], A) -> Result<Option<B>>,
    ) -> Result<()> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let Page { keys, values, more } = host::scan(earlier.id, b"", after.as_deref(), PAGE);
            for i in 0..keys.ends.len() {
                let key = column::entry(&keys, i).unwrap_or_default();
                let value = FA::read(column::entry(&values, i).unwrap_or_default())?;
                match change(key, value)? {
                    Some(value) => self.put(now, key, &value)?,
                    None => self.remove(now, key),
                }
            }
            let last = keys
                .ends
                .len()
                .checked_sub(1)
                .and_then(|last| column::entry(&keys, last));
            match last.filter(|_| more) {
                Some(last) => after = Some(last.to_vec()),
                None => return Ok(()),
            }
        }
    }
}
