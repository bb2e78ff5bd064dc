//! Reads of what a task has committed, from outside the task.

use record::store::{Page, StateView, StoreError};

use crate::merge::{self, Visit};
use crate::{codec, timers};

/// A local store that others than its owner may read. Each function reads one commit.
pub(crate) trait Shown: Send + Sync {
    /// As [`record::store::Store::get`]; [`StoreError::Unreadable`] while it is not shown.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// As [`record::store::Store::scan`]; [`StoreError::Unreadable`] while it is not shown.
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError>;
}

/// The stores of a transform in one that is shown.
pub(crate) struct View<S>(pub(crate) S);

/// Timers are nobody else's, and no store has a name that the changelog cannot have.
fn exists(store: &str) -> bool {
    store != timers::STORE_NAME && !store.is_empty() && store.len() <= usize::from(u8::MAX)
}

impl<S: Shown> StateView for View<S> {
    fn get(&self, store: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if !exists(store) {
            return Ok(None);
        }
        let mut full = codec::entry_prefix(store);
        full.extend_from_slice(key);
        self.0.get(&full)
    }

    fn scan(&self, store: &str, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Page, StoreError> {
        if !exists(store) {
            return Ok(Page::default());
        }
        let scan = |prefix: &[u8], after: Option<&[u8]>, visit: Visit<'_>| self.0.scan(prefix, after, visit);
        let nothing_dirty = std::iter::empty();
        merge::scan(scan, &codec::entry_prefix(store), (prefix, after), limit, nothing_dirty)
    }
}
