//! Scans that see dirty keys over the store.

use std::iter::Peekable;

use record::store::{Page, StoreError};

/// A page ends when it holds so many bytes, so that a scan over large values stays small; it holds
/// one entry at least.
const PAGE_BYTES_MAX: usize = 1 << 20;

struct Filling {
    page: Page,
    limit: usize,
}

impl Filling {
    /// Takes an entry; `false` when the page is full, and then there is more.
    fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        let bytes = self.page.keys.data.len() + self.page.values.data.len();
        let is_full = self.page.keys.len() >= self.limit
            || (!self.page.keys.is_empty() && bytes + key.len() + value.len() > PAGE_BYTES_MAX);
        if is_full {
            self.page.more = true;
            return false;
        }
        self.page.keys.push(Some(key));
        self.page.values.push(Some(value));
        true
    }

    /// Takes the dirty entries before `key`, then says what stands at `key` itself: `None` when no
    /// dirty entry does.
    fn push_before<'a>(
        &mut self,
        dirty: &mut Peekable<impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>>,
        key: &[u8],
    ) -> Result<Option<Option<&'a [u8]>>, PageFull> {
        while let Some((dirty_key, value)) = dirty.next_if(|(dirty_key, _)| *dirty_key <= key) {
            if dirty_key == key {
                return Ok(Some(value));
            }
            if let Some(value) = value
                && !self.push(dirty_key, value)
            {
                return Err(PageFull);
            }
        }
        Ok(None)
    }
}

struct PageFull;

/// What is told of each entry; `false` ends the scan.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;

/// Up to `limit` entries of a store, dirty ones first of all. Keys in the store start with
/// `store_prefix`, which is not part of the page; `dirty` has the keys in order, from the place
/// where the scan starts. `store` is the `scan` of [`record::store::Store`].
pub(crate) fn scan<'a>(
    store: impl FnOnce(&[u8], Option<&[u8]>, Visit<'_>) -> Result<(), StoreError>,
    store_prefix: &[u8],
    (prefix, after): (&[u8], Option<&[u8]>),
    limit: u32,
    dirty: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
) -> Result<Page, StoreError> {
    let mut dirty = dirty.peekable();
    let mut filling = Filling {
        page: Page::default(),
        limit: limit as usize,
    };
    let mut full = false;
    let full_prefix = [store_prefix, prefix].concat();
    let full_after = after.map(|after| [store_prefix, after].concat());
    store(&full_prefix, full_after.as_deref(), &mut |key, value| {
        let key = key.get(store_prefix.len()..).unwrap_or_default();
        let goes_on = match filling.push_before(&mut dirty, key) {
            Err(PageFull) => false,
            Ok(Some(None)) => true,
            Ok(Some(Some(newer))) => filling.push(key, newer),
            Ok(None) => filling.push(key, value),
        };
        full = !goes_on;
        goes_on
    })?;
    while !full && let Some((key, value)) = dirty.next() {
        full = value.is_some_and(|value| !filling.push(key, value));
    }
    Ok(filling.page)
}
