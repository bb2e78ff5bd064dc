//! One local store on disk: a keyspace of the database.
//!
//! ```text
//!   "d" <key>              value, then its checksum: xxh3 of the value, seeded by xxh3 of the key
//!   "c" <n: u64, big end>  the checkpoint of commit n, with a checksum like any value
//! ```
//!
//! Why data and checkpoint agree after a crash though nothing is synced to disk per commit: a
//! commit is one batch in one keyspace. fjall writes a batch to its journal under one checksum and
//! takes it back whole or not at all, and what it moves from memory to tables is whole batches too.
//! A killed process loses nothing, as each batch reaches the operating system; a power failure
//! loses the end of the newest journal. An older state than that of the last commit is fine: the
//! changelog has what came after its checkpoint.
//!
//! Damage can do more than a crash: fjall cuts an older journal off where it cannot be read and
//! goes on with the next, which loses commits in the middle. Therefore each commit adds a
//! checkpoint of its own and removes that of the commit before: behind a hole, the checkpoint
//! before the hole is still there, and two checkpoints are damage. So that there is one before any
//! hole, that of commit 0 goes into a table when the store is made, past the journals.

use std::error::Error as _;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, Readable};
use parking_lot::RwLock;
use record::store::{Change, Checkpoint, Store, StoreError};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::codec;
use crate::disk::Shared;
use crate::disk_shown::Reader;
use crate::merge::Visit;

const DATA: u8 = b'd';
const CHECKPOINT: u8 = b'c';
const CHECKSUM_BYTES: usize = 8;
/// fjall's limit.
const STORED_KEY_BYTES_MAX: usize = u16::MAX as usize;
/// What one store holds in memory before it is written out. Up to four more wait to be written.
const MEMTABLE_BYTES: u64 = 8 << 20;

/// A store's place in the database. The backend takes it back when somebody else opens the same
/// store, or when the database has to be opened anew.
pub(crate) struct Slot {
    name: String,
    place: String,
    pub(crate) open: RwLock<Option<(Database, Keyspace)>>,
    /// Raised whenever it is shown to others than its owner, or hidden from them. Odd: it is shown.
    pub(crate) shown: AtomicU64,
}

impl Slot {
    pub(crate) fn open(name: &str, place: String, database: &Database) -> Result<Arc<Self>, StoreError> {
        let keyspace = guarded(&place, || database.keyspace(name, options))?;
        Ok(Arc::new(Self {
            name: name.to_owned(),
            place,
            open: RwLock::new(Some((database.clone(), keyspace))),
            shown: AtomicU64::new(0),
        }))
    }

    pub(crate) fn detach(&self) {
        *self.open.write() = None;
    }

    fn with<T>(&self, f: impl FnOnce(&Database, &Keyspace) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &*self.open.read() {
            Some((database, keyspace)) => f(database, keyspace),
            None => Err(detached(&self.place)),
        }
    }

    pub(crate) fn is_shown(&self) -> bool {
        self.shown.load(Ordering::Acquire) % 2 == 1
    }

    /// `reader`: whoever writes sees all that is there; others see batches whole by a snapshot only.
    pub(crate) fn get(&self, reader: Reader, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let place = &self.place;
        let key = data_key(key);
        self.with(|database, keyspace| {
            let stored = guarded(place, || match reader {
                Reader::Owner => keyspace.get(&key),
                Reader::Other => database.snapshot().get(keyspace, &key),
            })?;
            let value = stored.as_deref().map(|stored| verified(place, &key, stored));
            Ok(value.transpose()?.map(<[u8]>::to_vec))
        })
    }

    /// As [`Self::get`].
    pub(crate) fn scan(
        &self,
        reader: Reader,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let place = &self.place;
        let prefix = data_key(prefix);
        let after = after.map(data_key);
        // The upper end spares walking over what was removed behind the prefix.
        let end = after_prefix(&prefix);
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        if let (Bound::Excluded(start), Some(end)) = (&start, &end)
            && start >= end
        {
            return Ok(());
        }
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        self.with(|database, keyspace| {
            let mut entries = guarded(place, || {
                Ok(match reader {
                    Reader::Owner => keyspace.range::<Vec<u8>, _>((start, end)),
                    Reader::Other => database.snapshot().range::<Vec<u8>, _>(keyspace, (start, end)),
                })
            })?;
            while let Some((key, stored)) = guarded(place, || entries.next().map(fjall::Guard::into_inner).transpose())?
            {
                let value = verified(place, &key, &stored)?;
                if !visit(key.get(1..).unwrap_or_default(), value) {
                    break;
                }
            }
            Ok(())
        })
    }
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
}

/// Whoever has a store that was taken back opens it again and restores what it misses.
pub(crate) fn detached(place: &str) -> StoreError {
    StoreError::Io {
        place: place.to_owned(),
        source: io::Error::other("it was closed after a failure, or opened by another task; it is opened again"),
    }
}

pub(crate) struct DiskStore {
    slot: Arc<Slot>,
    /// The number of the newest commit, once it is known.
    newest: Option<u64>,
    /// Keeps the directory locked, and is dropped after the slot.
    _shared: Arc<Shared>,
}

impl DiskStore {
    pub(crate) fn new(slot: Arc<Slot>, shared: Arc<Shared>) -> Self {
        Self {
            slot,
            newest: None,
            _shared: shared,
        }
    }
}

fn checkpoint_key(commit: u64) -> [u8; 9] {
    let mut key = [CHECKPOINT; 9];
    key[1..].copy_from_slice(&commit.to_be_bytes());
    key
}

/// The only checkpoint of a store, with the number of its commit; `None` when the store is empty.
fn newest_commit(place: &str, keyspace: &Keyspace) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let mut found = None;
    let mut checkpoints = guarded(place, || Ok(keyspace.prefix([CHECKPOINT])))?;
    while let Some((key, stored)) = guarded(place, || checkpoints.next().map(fjall::Guard::into_inner).transpose())? {
        let number = key.get(1..).and_then(|number| number.try_into().ok());
        let number = u64::from_be_bytes(number.ok_or_else(|| corrupt(place, "a checkpoint has no number"))?);
        if let Some((before, _)) = found {
            return Err(corrupt(
                place,
                format!("commits after number {before} are missing, number {number} is there"),
            ));
        }
        found = Some((number, verified(place, &key, &stored)?.to_vec()));
    }
    if found.is_none() && guarded(place, || Ok(keyspace.first_key_value()))?.is_some() {
        return Err(corrupt(place, "its checkpoint is missing"));
    }
    Ok(found)
}

/// Writes the checkpoint of commit 0, which stands for nothing, into a table.
fn write_first_checkpoint(place: &str, keyspace: &Keyspace) -> Result<(), StoreError> {
    let key = checkpoint_key(0);
    guarded(place, || {
        let mut table = keyspace.start_ingestion()?;
        table.write(key, checksum(&key, b""))?;
        table.finish()
    })
}

/// Calls fjall. It panics on some damage (names of files, missing settings), which is an error here.
pub(crate) fn guarded<T>(place: &str, f: impl FnOnce() -> fjall::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|error| from_fjall(place, &error)),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(corrupt(place, text.unwrap_or("the database panicked")))
        }
    }
}

pub(crate) fn corrupt(place: &str, what: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        place: place.to_owned(),
        what: what.into(),
    }
}

fn from_fjall(place: &str, error: &fjall::Error) -> StoreError {
    if matches!(error, fjall::Error::Locked) {
        return StoreError::Locked {
            place: place.to_owned(),
        };
    }
    if matches!(error, fjall::Error::Poisoned | fjall::Error::KeyspaceDeleted) {
        return StoreError::Io {
            place: place.to_owned(),
            source: io::Error::other("an earlier write failed; the store is closed until it is opened again"),
        };
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io_error) = error.downcast_ref::<io::Error>() {
            return from_io(place, io_error);
        }
        cause = error.source();
    }
    corrupt(place, error.to_string())
}

/// Files that are missing, too short or in the way are damage. Anything else is the system's.
fn from_io(place: &str, error: &io::Error) -> StoreError {
    use io::ErrorKind::{AlreadyExists, InvalidData, NotFound, UnexpectedEof};
    if matches!(error.kind(), AlreadyExists | InvalidData | NotFound | UnexpectedEof) {
        return corrupt(place, error.to_string());
    }
    StoreError::Io {
        place: place.to_owned(),
        source: match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        },
    }
}

fn data_key(key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(DATA);
    full.extend_from_slice(key);
    full
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    xxh3_64_with_seed(value, xxh3_64(key)).to_le_bytes()
}

fn with_checksum(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let sum = checksum(key, &value);
    value.extend_from_slice(&sum);
    value
}

/// The value of a stored key, its checksum taken off.
fn verified<'a>(place: &str, stored_key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let (value, sum) = stored
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or_else(|| corrupt(place, "a value is too short for its checksum"))?;
    if checksum(stored_key, value) == *sum {
        Ok(value)
    } else {
        Err(corrupt(
            place,
            format!(
                "the value of key {:?} has a wrong checksum",
                stored_key.escape_ascii().to_string()
            ),
        ))
    }
}

/// Reads every block and every value of a keyspace.
pub(crate) fn verify(place: &str, keyspace: &Keyspace) -> Result<(), StoreError> {
    for guard in keyspace.iter() {
        let (key, value) = guarded(place, || guard.into_inner())?;
        verified(place, &key, &value)?;
    }
    Ok(())
}

/// After every key that starts with `prefix`; `None` when there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = prefix[..=last].to_vec();
    if let Some(byte) = next.last_mut() {
        *byte += 1;
    }
    Some(next)
}

impl Store for DiskStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.slot.get(Reader::Owner, key)
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.slot.scan(Reader::Owner, prefix, after, visit)
    }

    fn apply(&mut self, changes: &mut dyn Iterator<Item = Change>, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let place = &self.slot.place;
        let newest = &mut self.newest;
        self.slot.with(|database, keyspace| {
            let before = match *newest {
                Some(number) => number,
                None => match newest_commit(place, keyspace)? {
                    Some((number, _)) => number,
                    None => {
                        write_first_checkpoint(place, keyspace)?;
                        0
                    }
                },
            };
            let mut batch = database.batch();
            for (mut key, value) in changes {
                key.insert(0, DATA);
                if key.len() > STORED_KEY_BYTES_MAX {
                    return Err(StoreError::Misuse(format!(
                        "a key of {} bytes is longer than the local store takes ({STORED_KEY_BYTES_MAX})",
                        key.len()
                    )));
                }
                match value {
                    Some(value) => {
                        let value = with_checksum(&key, value);
                        batch.insert(keyspace, key, value);
                    }
                    None => batch.remove(keyspace, key),
                }
            }
            let key = checkpoint_key(before + 1);
            batch.insert(keyspace, key, with_checksum(&key, codec::encode_checkpoint(checkpoint)));
            batch.remove(keyspace, checkpoint_key(before));
            guarded(place, || batch.commit())?;
            *newest = Some(before + 1);
            Ok(())
        })
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let place = &self.slot.place;
        self.slot.with(|_, keyspace| match newest_commit(place, keyspace)? {
            None | Some((0, _)) => Ok(None),
            Some((_, value)) => {
                let checkpoint = codec::decode_checkpoint(&value).map_err(|what| corrupt(place, what))?;
                Ok(Some(checkpoint))
            }
        })
    }

    /// Deletes the keyspace and makes a new one: what stands in journals for the old one is void.
    fn wipe(&mut self) -> Result<(), StoreError> {
        self.newest = None;
        let mut open = self.slot.open.write();
        let Some((database, keyspace)) = open.take() else {
            return Err(detached(&self.slot.place));
        };
        let place = &self.slot.place;
        guarded(place, || database.delete_keyspace(keyspace))?;
        let keyspace = guarded(place, || database.keyspace(&self.slot.name, options))?;
        *open = Some((database, keyspace));
        Ok(())
    }

    fn show(&mut self, is_whole: bool) {
        if self.slot.is_shown() != is_whole {
            self.slot.shown.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::offset::NextOffset;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            changelog_id: "c".to_owned(),
            changelog_next: NextOffset(1),
            position: None,
            saved_at: 0,
        }
    }

    #[test]
    fn a_value_that_is_not_what_was_written_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let backend = crate::DiskBackend::open(dir.path()).unwrap();
        let (slot, shared) = backend.slot("t", 0).unwrap();
        let mut store = DiskStore::new(Arc::clone(&slot), shared);
        let mut changes = [(b"k".to_vec(), Some(b"value".to_vec())), (b"l".to_vec(), Some(vec![]))].into_iter();
        store.apply(&mut changes, &checkpoint()).unwrap();
        assert_eq!(store.get(b"k").unwrap(), Some(b"value".to_vec()));
        assert_eq!(store.get(b"l").unwrap(), Some(vec![]));

        let mut flipped = slot
            .with(|_, keyspace| Ok(keyspace.get("dk").unwrap().unwrap().to_vec()))
            .unwrap();
        flipped[2] ^= 1;
        slot.with(|_, keyspace| {
            keyspace.insert("dk", flipped).unwrap();
            Ok(())
        })
        .unwrap();
        assert!(matches!(store.get(b"k"), Err(StoreError::Corrupt { .. })));
        assert!(matches!(
            store.scan(b"", None, &mut |_, _| true),
            Err(StoreError::Corrupt { .. })
        ));
        assert_eq!(store.get(b"l").unwrap(), Some(vec![]));

        // Another key's value is not this key's.
        slot.with(|_, keyspace| {
            let other = keyspace.get("dl").unwrap().unwrap();
            keyspace.insert("dk", other).unwrap();
            keyspace.insert(checkpoint_key(1), b"short".as_slice()).unwrap();
            Ok(())
        })
        .unwrap();
        assert!(matches!(store.get(b"k"), Err(StoreError::Corrupt { .. })));
        assert!(matches!(store.checkpoint(), Err(StoreError::Corrupt { .. })));

        store.wipe().unwrap();
        assert_eq!(store.get(b"l").unwrap(), None);
        assert_eq!(store.checkpoint().unwrap(), None);
    }

    #[test]
    fn commits_that_are_missing_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let backend = crate::DiskBackend::open(dir.path()).unwrap();
        let (slot, shared) = backend.slot("t", 0).unwrap();
        let mut store = DiskStore::new(Arc::clone(&slot), shared);
        for _ in 0..3 {
            store.apply(&mut std::iter::empty(), &checkpoint()).unwrap();
        }
        assert_eq!(store.checkpoint().unwrap(), Some(checkpoint()));
        // As when the second commit, which removed the checkpoint of the first, is lost.
        for number in [0, 1] {
            let key = checkpoint_key(number);
            slot.with(|_, keyspace| {
                keyspace.insert(key, with_checksum(&key, Vec::new())).unwrap();
                Ok(())
            })
            .unwrap();
            let found = store.checkpoint().unwrap_err().to_string();
            assert!(found.contains("commits after number 0 are missing"), "{found}");
        }
        store.wipe().unwrap();
        assert_eq!(store.checkpoint().unwrap(), None);
        store.apply(&mut std::iter::empty(), &checkpoint()).unwrap();
        assert_eq!(store.checkpoint().unwrap(), Some(checkpoint()));
        // And a store whose checkpoint alone is lost.
        let mut changes = [(b"k".to_vec(), Some(Vec::new()))].into_iter();
        store.apply(&mut changes, &checkpoint()).unwrap();
        slot.with(|_, keyspace| {
            keyspace.remove(checkpoint_key(2)).unwrap();
            Ok(())
        })
        .unwrap();
        assert!(matches!(store.checkpoint(), Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(after_prefix(b"da"), Some(b"db".to_vec()));
        assert_eq!(after_prefix(b"d\xff\xff"), Some(b"e".to_vec()));
        assert_eq!(after_prefix(b"\xff"), None);
    }
}
