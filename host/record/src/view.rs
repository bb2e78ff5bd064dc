//! The state of transforms as it is read from outside their tasks: all partitions of this process as one.

use std::collections::HashMap;
use std::sync::Arc;

use crate::store::{Held, Page, StateBackend, StateView, StoreError};
use crate::topology::Topology;

/// A page of several partitions ends when it holds so many bytes.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// The state of one transform on the partitions that this process has.
pub struct Views {
    transform: String,
    views: Vec<(u32, Box<dyn StateView>)>,
    /// Those that are being brought back.
    missing: Vec<u32>,
}

/// Entries of several partitions, by rising keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// The partition of each. A key that several partitions have comes once for each of them.
    pub partitions: Vec<u32>,
    /// Keys and values; entries of one key are never parted by the end of a page.
    pub page: Page,
}

impl Views {
    /// Of a transform, as tasks have its state open at the moment.
    #[must_use]
    pub fn open(backend: &dyn StateBackend, transform: &str) -> Self {
        let mut all = Self {
            transform: transform.to_owned(),
            views: Vec::new(),
            missing: Vec::new(),
        };
        for Held { partition, is_whole } in backend.held(transform) {
            match backend.view(transform, partition) {
                Some(view) if is_whole => all.views.push((partition, view)),
                _ => all.missing.push(partition),
            }
        }
        all
    }

    /// The partitions that can be read, by rising number.
    #[must_use]
    pub fn partitions(&self) -> Vec<u32> {
        self.views.iter().map(|(partition, _)| *partition).collect()
    }

    /// The partitions that are being brought back.
    #[must_use]
    pub fn missing(&self) -> &[u32] {
        &self.missing
    }

    /// Those of one partition alone.
    #[must_use]
    pub fn only(mut self, partition: u32) -> Self {
        self.views.retain(|(number, _)| *number == partition);
        self.missing.retain(|number| *number == partition);
        self
    }

    /// What is not there may be in a partition that cannot be read: then nothing is said.
    fn check(&self) -> Result<(), StoreError> {
        match self.missing.first() {
            None => Ok(()),
            Some(partition) => Err(StoreError::Unreadable {
                place: format!("{}:{partition}", self.transform),
            }),
        }
    }

    /// The value of a key, and its partition: the first that has it.
    ///
    /// # Errors
    /// As [`StateView::get`]; no partition has it, but some cannot be read.
    pub fn get(&self, store: &str, key: &[u8]) -> Result<Option<(u32, Vec<u8>)>, StoreError> {
        for (partition, view) in &self.views {
            if let Some(value) = view.get(store, key)? {
                return Ok(Some((*partition, value)));
            }
        }
        self.check().map(|()| None)
    }

    /// As [`StateView::scan`], over all partitions.
    ///
    /// # Errors
    /// As [`StateView::get`]; some partitions cannot be read.
    pub fn scan(&self, store: &str, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Entries, StoreError> {
        self.check()?;
        let pages = self
            .views
            .iter()
            .map(|(partition, view)| Ok((*partition, view.scan(store, prefix, after, limit)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(merged(&pages, limit as usize))
    }
}

/// The state of all transforms of a pipeline, as one query reads it. Cheap to make: what is not asked for is
/// not opened.
pub struct PipelineViews {
    backend: Arc<dyn StateBackend>,
    topology: Arc<Topology>,
    open: HashMap<String, Views>,
}

impl PipelineViews {
    /// Of a pipeline that runs on this state.
    #[must_use]
    pub fn new(backend: Arc<dyn StateBackend>, topology: Arc<Topology>) -> Self {
        Self {
            backend,
            topology,
            open: HashMap::new(),
        }
    }

    fn of(&mut self, transform: &str, store: &str) -> Result<&Views, StoreError> {
        let mut nodes = self.topology.processes.iter().flat_map(|sub| &sub.nodes);
        let Some(node) = nodes.find(|node| *node.name == *transform) else {
            return Err(StoreError::Misuse(format!(
                "the pipeline has no transform `{transform}`"
            )));
        };
        if !node.description.stores.iter().any(|spec| spec.name == store) {
            return Err(StoreError::Misuse(format!(
                "transform `{transform}` has no store `{store}`"
            )));
        }
        let backend = &self.backend;
        let open = self.open.entry(transform.to_owned());
        Ok(open.or_insert_with(|| Views::open(&**backend, transform)))
    }

    /// The value of a key of a store.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] for a transform or store that does not exist; as [`Views::get`].
    pub fn get(&mut self, transform: &str, store: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.of(transform, store)?.get(store, key)?;
        Ok(found.map(|(_, value)| value))
    }

    /// Entries of a store.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn scan(
        &mut self,
        transform: &str,
        store: &str,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<Entries, StoreError> {
        self.of(transform, store)?.scan(store, prefix, after, limit)
    }
}

/// Key, partition and value.
type Found<'a> = (&'a [u8], u32, Option<&'a [u8]>);

/// The entries of pages in one order. A page that has more says nothing of what comes after its last key,
/// so the result ends there.
fn merged(pages: &[(u32, Page)], limit: usize) -> Entries {
    let ends = pages.iter().filter(|(_, page)| page.more);
    // A page with more, but without any entry, is one of which nothing was asked for.
    let known_to = ends
        .map(|(_, page)| page.keys.len().checked_sub(1).and_then(|last| page.keys.get(last)))
        .min();
    let mut all: Vec<Found<'_>> = Vec::new();
    for (partition, page) in pages {
        let entries = page.keys.iter().zip(page.values.iter());
        all.extend(entries.filter_map(|(key, value)| key.map(|key| (key, *partition, value))));
    }
    all.sort_unstable_by_key(|(key, partition, _)| (*key, *partition));
    let mut found = Entries::default();
    found.page.more = known_to.is_some();
    let mut before: Option<&[u8]> = None;
    for (key, partition, value) in all {
        let bytes =
            found.page.keys.data.len() + found.page.values.data.len() + key.len() + value.map_or(0, <[u8]>::len);
        let is_full = found.partitions.len() >= limit || (before.is_some() && bytes > PAGE_BYTES_MAX);
        if before != Some(key) && (is_full || known_to.is_some_and(|end| Some(key) > end)) {
            found.page.more = true;
            break;
        }
        found.partitions.push(partition);
        found.page.keys.push(Some(key));
        found.page.values.push(value);
        before = Some(key);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&[u8]], more: bool) -> Page {
        Page {
            keys: keys.iter().map(|key| Some(*key)).collect(),
            values: keys.iter().map(|key| Some(*key)).collect(),
            more,
        }
    }

    fn keys(entries: &Entries) -> Vec<(&[u8], u32)> {
        let keys = entries.page.keys.iter().map(|key| key.unwrap_or_default());
        keys.zip(entries.partitions.iter().copied()).collect()
    }

    #[test]
    fn entries_come_in_one_order() {
        let pages = [(0, page(&[b"a", b"c"], false)), (3, page(&[b"b", b"c", b"d"], false))];
        let all: [(&[u8], u32); 5] = [(b"a", 0), (b"b", 3), (b"c", 0), (b"c", 3), (b"d", 3)];
        let found = merged(&pages, 9);
        assert_eq!(keys(&found), all);
        assert!(!found.page.more);
        // Both entries of `c`, though that is one too many.
        let found = merged(&pages, 3);
        assert_eq!(keys(&found), all[..4]);
        assert!(found.page.more);
        assert!(!merged(&pages, 5).page.more);
        assert_eq!(merged(&[], 5), Entries::default());
    }

    #[test]
    fn what_a_page_does_not_know_is_left_to_the_next() {
        // There may be a `bb` in partition 0.
        let pages = [(0, page(&[b"a", b"b"], true)), (1, page(&[b"b", b"c"], false))];
        let found = merged(&pages, 9);
        assert_eq!(keys(&found), [(b"a".as_slice(), 0), (b"b", 0), (b"b", 1)]);
        assert!(found.page.more);
        let found = merged(&[(0, page(&[], true)), (1, page(&[b"a"], false))], 0);
        assert_eq!((keys(&found), found.page.more), (vec![], true));
    }

    #[test]
    fn a_page_stays_small() {
        let large = vec![b'v'; 600 << 10];
        let one = |key: &[u8]| Page {
            keys: [Some(key)].into_iter().collect(),
            values: [Some(large.as_slice())].into_iter().collect(),
            more: false,
        };
        let found = merged(&[(0, one(b"a")), (1, one(b"b"))], 9);
        assert_eq!(keys(&found), [(b"a".as_slice(), 0)]);
        assert!(found.page.more);
    }
}
