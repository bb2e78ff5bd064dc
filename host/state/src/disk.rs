//! A directory of local stores: one database for all tasks of a process.
//!
//! ```text
//!   <state_dir>/lock          held while the process runs
//!   <state_dir>/process-id    made once
//!   <state_dir>/stores/       the database
//!   <state_dir>/damaged-<t>/  the last database that could not be opened, for whoever wants to look
//! ```

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use fjall::{Database, PersistMode};
use parking_lot::Mutex;
use record::store::{Held, StateBackend, StateView, StoreError, TaskState};
use record::transform::StoreSpec;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::disk_shown::ShownSlot;
use crate::disk_store::{DiskStore, Slot, corrupt, guarded, verify};
use crate::keyed::KeyedState;
use crate::view::View;

const LOCK_FILE: &str = "lock";
const PROCESS_ID_FILE: &str = "process-id";
const STORES: &str = "stores";
const DAMAGED: &str = "damaged-";
/// Blocks of tables kept in memory, for all stores together.
const CACHE_BYTES: u64 = 32 << 20;
/// Journals on disk; beyond this, stores that hold old ones back are written out.
const JOURNAL_BYTES_MAX: u64 = 128 << 20;

/// State on disk. The directory serves one process at a time.
pub struct DiskBackend {
    shared: Arc<Shared>,
    process_id: String,
}

/// What stores share. Fields are dropped in this order: the database closes before the lock goes.
pub(crate) struct Shared {
    opened: Mutex<Opened>,
    dir: PathBuf,
    _lock: File,
}

struct Opened {
    /// `None` when it could not be opened again after a failed write.
    database: Option<Database>,
    slots: HashMap<String, OpenSlot>,
}

/// A store that a task has open, or has had.
struct OpenSlot {
    transform: String,
    partition: u32,
    slot: Weak<Slot>,
}

impl DiskBackend {
    /// Locks a directory, makes it if need be, and opens the stores in it. A damaged database is
    /// moved aside with a warning, and the stores start empty: their changelogs have everything.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process holds the directory; the disk.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let lock = lock(dir)?;
        let process_id = process_id(dir).map_err(|e| io_error(dir, e))?;
        let database = open_or_replace(dir)?;
        let opened = Opened {
            database: Some(database),
            slots: HashMap::new(),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                opened: Mutex::new(opened),
                dir: dir.to_owned(),
                _lock: lock,
            }),
            process_id,
        })
    }

    /// An id that is made with the directory and stays with it: it names this process's
    /// transactions and group membership from one start to the next.
    #[must_use]
    pub fn process_id(&self) -> &str {
        &self.process_id
    }

    /// Deletes all stores of a directory that no process uses. The process id stays.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn clear(dir: &Path) -> Result<(), StoreError> {
        let _lock = lock(dir)?;
        remove_damaged(dir).map_err(|e| io_error(dir, e))?;
        remove_all(&dir.join(STORES)).map_err(|e| io_error(dir, e))
    }

    pub(crate) fn slot(&self, transform: &str, partition: u32) -> Result<(Arc<Slot>, Arc<Shared>), StoreError> {
        let mut opened = self.shared.opened.lock();
        let name = store_name(transform, partition);
        // Two owners of one store would overwrite each other's checkpoints: the newest goes on.
        if let Some(earlier) = opened.slots.remove(&name).and_then(|open| open.slot.upgrade()) {
            earlier.detach();
        }
        opened.slots.retain(|_, open| open.slot.strong_count() > 0);
        let database = opened.usable(&self.shared.dir)?;
        let place = self.place(transform, partition);
        let slot = Slot::open(&name, place, database)?;
        let open = OpenSlot {
            transform: transform.to_owned(),
            partition,
            slot: Arc::downgrade(&slot),
        };
        opened.slots.insert(name, open);
        Ok((slot, Arc::clone(&self.shared)))
    }

    fn place(&self, transform: &str, partition: u32) -> String {
        format!("{transform}:{partition} in {}", self.shared.dir.display())
    }

    /// The local store of `transform` on `partition`. An earlier one of the same name is cut off.
    ///
    /// # Errors
    /// The disk.
    pub fn store(&self, transform: &str, partition: u32) -> Result<Box<dyn record::store::Store>, StoreError> {
        let (slot, shared) = self.slot(transform, partition)?;
        Ok(Box::new(DiskStore::new(slot, shared)))
    }
}

impl StateBackend for DiskBackend {
    fn open(&self, transform: &str, partition: u32, stores: &[StoreSpec]) -> Result<Box<dyn TaskState>, StoreError> {
        let store = self.store(transform, partition)?;
        let state = KeyedState::open(self.place(transform, partition), stores, store)?;
        Ok(Box::new(state))
    }

    fn disk_bytes(&self) -> Option<u64> {
        // Not under the lock: files are looked at.
        let database = self.shared.opened.lock().database.clone()?;
        database.disk_space().ok()
    }

    fn held(&self, transform: &str) -> Vec<Held> {
        let opened = self.shared.opened.lock();
        let of = opened.slots.values().filter(|open| open.transform == transform);
        let mut held: Vec<Held> = of
            .filter_map(|open| {
                open.slot.upgrade().map(|slot| Held {
                    partition: open.partition,
                    is_whole: slot.is_shown(),
                })
            })
            .collect();
        held.sort_unstable();
        held
    }

    fn view(&self, transform: &str, partition: u32) -> Option<Box<dyn StateView>> {
        let opened = self.shared.opened.lock();
        let open = opened.slots.get(&store_name(transform, partition))?;
        (open.slot.strong_count() > 0).then(|| {
            Box::new(View(ShownSlot {
                place: self.place(transform, partition),
                slot: Weak::clone(&open.slot),
                _shared: Arc::clone(&self.shared),
            })) as Box<dyn StateView>
        })
    }
}

impl Opened {
    /// The database; opened anew when a write has failed (a full disk, say), because fjall takes no
    /// more writes then. Whoever has a store of it opens that again: what was written last may be
    /// missing.
    fn usable(&mut self, dir: &Path) -> Result<&Database, StoreError> {
        let place = dir.display().to_string();
        if let Some(database) = self.database.take() {
            match guarded(&place, || database.persist(PersistMode::Buffer)) {
                Ok(()) => return Ok(self.database.insert(database)),
                Err(error) => tracing::warn!(%error, "the local stores are opened anew"),
            }
        }
        for slot in self.slots.drain().filter_map(|(_, open)| open.slot.upgrade()) {
            slot.detach();
        }
        let database = open_or_replace(dir)?;
        drop_damaged_stores(&place, &database)?;
        Ok(self.database.insert(database))
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    fs::create_dir_all(dir).map_err(|e| io_error(dir, e))?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK_FILE))
        .map_err(|e| io_error(dir, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            place: dir.display().to_string(),
        }),
        Err(TryLockError::Error(error)) => Err(io_error(dir, error)),
    }
}

fn io_error(dir: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        place: dir.display().to_string(),
        source,
    }
}

/// Reads the process id, or makes one. It is in place whole or not at all.
fn process_id(dir: &Path) -> io::Result<String> {
    let path = dir.join(PROCESS_ID_FILE);
    match fs::read_to_string(&path) {
        Ok(text) if Uuid::try_parse(text.trim()).is_ok() => return Ok(text.trim().to_owned()),
        Ok(_) => tracing::warn!(path = %path.display(), "the process id cannot be read, a new one is made"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!(path = %path.display(), "the process id cannot be read, a new one is made");
        }
        Err(error) => return Err(error),
    }
    let id = Uuid::new_v4().to_string();
    let temporary = dir.join("process-id.new");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    File::open(dir)?.sync_all()?;
    Ok(id)
}

/// A keyspace's name has at most 255 bytes.
fn store_name(transform: &str, partition: u32) -> String {
    const TRANSFORM_BYTES_MAX: usize = 200;
    if transform.len() <= TRANSFORM_BYTES_MAX {
        format!("{transform}:{partition}")
    } else {
        format!("{:032x}:{partition}", xxh3_128(transform.as_bytes()))
    }
}

fn open_or_replace(dir: &Path) -> Result<Database, StoreError> {
    match open_database(dir) {
        Err(error @ StoreError::Corrupt { .. }) => {
            let aside = move_aside(dir).map_err(|e| io_error(dir, e))?;
            tracing::warn!(
                %error,
                moved_to = %aside.display(),
                "the local stores are damaged: they start empty and are restored from their changelogs"
            );
            open_database(dir)
        }
        other => other,
    }
}

fn open_database(dir: &Path) -> Result<Database, StoreError> {
    let path = dir.join(STORES);
    let place = path.display().to_string();
    if has_lost_its_journal(&path).map_err(|e| io_error(dir, e))? {
        return Err(corrupt(&place, "its journal is missing"));
    }
    guarded(&place, || {
        Database::builder(&path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .open()
    })
}

/// A database without any journal would open, and count its writes from 0 again: older ones would
/// hide them.
fn has_lost_its_journal(path: &Path) -> io::Result<bool> {
    if !path.join("version").try_exists()? {
        return Ok(false);
    }
    for entry in path.read_dir()? {
        if entry?.path().extension().is_some_and(|extension| extension == "jnl") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Moves the database aside, in place of what was moved aside before.
fn move_aside(dir: &Path) -> io::Result<PathBuf> {
    remove_damaged(dir)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let aside = dir.join(format!("{DAMAGED}{}", now.as_millis()));
    fs::rename(dir.join(STORES), &aside)?;
    Ok(aside)
}

fn remove_damaged(dir: &Path) -> io::Result<()> {
    for entry in dir.read_dir()? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(DAMAGED)) {
            remove_all(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads all stores and deletes those that cannot be read. A failed write may have been a failed
/// compaction of damaged data, which would fail again and again.
fn drop_damaged_stores(place: &str, database: &Database) -> Result<(), StoreError> {
    for name in database.list_keyspace_names() {
        let keyspace = guarded(place, || database.keyspace(&name, Default::default))?;
        match verify(place, &keyspace) {
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(%error, store = &*name, "a local store is damaged: it is restored from its changelog");
                guarded(place, || database.delete_keyspace(keyspace))?;
            }
            other => other?,
        }
    }
    Ok(())
}
