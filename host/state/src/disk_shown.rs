//! A local store on disk, read by others than its owner.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use record::store::StoreError;

use crate::disk::Shared;
use crate::disk_store::Slot;
use crate::merge::Visit;
use crate::view::Shown;

/// Who reads a store.
#[derive(Clone, Copy)]
pub(crate) enum Reader {
    /// The task that writes it.
    Owner,
    /// Anybody else: batches may be written meanwhile.
    Other,
}

/// A store on disk for others than its owner, who closes it when it likes. Reads hold back neither its
/// reads nor its commits; only where it empties the store it waits for the end of a page.
pub(crate) struct ShownSlot {
    pub(crate) place: String,
    pub(crate) slot: Weak<Slot>,
    /// Keeps the directory locked while it is read.
    pub(crate) _shared: Arc<Shared>,
}

impl ShownSlot {
    fn with<T>(&self, f: impl FnOnce(&Slot) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let unreadable = || StoreError::Unreadable {
            place: self.place.clone(),
        };
        let slot = self.slot.upgrade().ok_or_else(unreadable)?;
        let shown = slot.shown.load(Ordering::Acquire);
        if shown % 2 == 0 {
            return Err(unreadable());
        }
        let answer = f(&slot);
        // What is read while it is emptied and filled is not whole. One that was taken back says `Io`.
        if slot.shown.load(Ordering::Acquire) == shown && slot.open.read().is_some() {
            answer
        } else {
            Err(unreadable())
        }
    }
}

impl Shown for ShownSlot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|slot| slot.get(Reader::Other, key))
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        self.with(|slot| slot.scan(Reader::Other, prefix, after, visit))
    }
}
