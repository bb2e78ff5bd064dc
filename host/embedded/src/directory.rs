//! The directory of a durable log: who holds it, and in which format it is.
//!
//! ```text
//! DIR/LOCK      held (flock) while a process has the log open; holds that process's id
//! DIR/API       the URL at which that process answers, if it does; counts only while LOCK is held
//! DIR/FORMAT    the version of everything below; written when the store is complete
//! DIR/CREATING  there while the store is made for the first time
//! DIR/store/    the key-value store
//! ```

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::EmbeddedError;

const API: &str = "API";
/// More is no address.
const API_BYTES_MAX: u64 = 300;
/// What `FORMAT` says.
const FORMAT: &str = "wasmill embedded log, format 1\n";

/// A directory that is ours until this is dropped.
pub(crate) struct Directory {
    path: PathBuf,
    /// Unlocked by the system when it is closed, after kill -9 too.
    _lock: File,
}

/// Before the lock is given back.
impl Drop for Directory {
    fn drop(&mut self) {
        self.forget_api();
    }
}

/// What the holder of a directory has announced.
fn read_api(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path.join(API)).ok()?;
    file.take(API_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> EmbeddedError {
    let path = path.to_owned();
    move |source| EmbeddedError::Io { path, source }
}

impl Directory {
    /// Takes the directory, which is created when missing.
    pub(crate) fn take(path: &Path) -> Result<Self, EmbeddedError> {
        std::fs::create_dir_all(path).map_err(io(path))?;
        let lock_path = path.join("LOCK");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock_path)
            .map_err(io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::Error(source)) => return Err(io(&lock_path)(source)),
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                return Err(EmbeddedError::InUse {
                    path: path.to_owned(),
                    api: read_api(path),
                    holder: match holder.trim() {
                        "" => "another process".to_owned(),
                        id if id == std::process::id().to_string() => "this process already".to_owned(),
                        id => format!("process {id}"),
                    },
                });
            }
        }
        lock.set_len(0).map_err(io(&lock_path))?;
        write!(lock, "{}", std::process::id()).map_err(io(&lock_path))?;
        let directory = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        // That of a process that was killed.
        directory.forget_api();
        Ok(directory)
    }

    /// Says where this process answers.
    pub(crate) fn announce(&self, api: &str) -> Result<(), EmbeddedError> {
        let (unfinished, file) = (self.path.join("API.new"), self.path.join(API));
        std::fs::write(&unfinished, api).map_err(io(&unfinished))?;
        std::fs::rename(&unfinished, &file).map_err(io(&file))
    }

    fn forget_api(&self) {
        // Where it stays, nobody answers there, or the next holder writes it anew.
        let _ = std::fs::remove_file(self.path.join(API));
    }

    /// Opens what is there, or makes it. `open` is given the store's folder. A first creation that
    /// was cut short is begun again: nothing was ever written to it.
    pub(crate) fn open_store<T>(
        &self,
        open: impl FnOnce(&Path) -> Result<T, EmbeddedError>,
    ) -> Result<T, EmbeddedError> {
        let (format, creating, store) = (
            self.path.join("FORMAT"),
            self.path.join("CREATING"),
            self.path.join("store"),
        );
        match std::fs::read_to_string(&format) {
            Ok(text) if text == FORMAT => return open(&store),
            Ok(text) => {
                return Err(EmbeddedError::NotALog {
                    path: self.path.clone(),
                    what: format!("holds a log of another version ({:?})", text.trim()),
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(io(&format)(source)),
        }
        if store.exists() {
            if !creating.exists() {
                return Err(EmbeddedError::NotALog {
                    path: self.path.clone(),
                    what: "has a `store` that is not an embedded log's".to_owned(),
                });
            }
            std::fs::remove_dir_all(&store).map_err(io(&store))?;
        }
        self.put(&creating, "")?;
        let opened = open(&store)?;
        // From here on the store counts.
        let unfinished = self.path.join("FORMAT.new");
        self.put(&unfinished, FORMAT)?;
        std::fs::rename(&unfinished, &format).map_err(io(&format))?;
        self.sync()?;
        std::fs::remove_file(&creating).map_err(io(&creating))?;
        Ok(opened)
    }

    fn put(&self, path: &Path, text: &str) -> Result<(), EmbeddedError> {
        let mut file = File::create(path).map_err(io(path))?;
        file.write_all(text.as_bytes()).map_err(io(path))?;
        file.sync_all().map_err(io(path))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), EmbeddedError> {
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(io(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = Directory::take(dir.path()).unwrap();
        let refused = Directory::take(dir.path()).err().unwrap().to_string();
        assert!(refused.contains("in use by this process already"), "{refused}");
        assert!(refused.contains("one process at a time"), "{refused}");
        drop(held);
        Directory::take(dir.path()).unwrap();
    }

    #[test]
    fn the_holder_says_where_it_answers() {
        let dir = tempfile::tempdir().unwrap();
        let asked = || match Directory::take(dir.path()).err().unwrap() {
            EmbeddedError::InUse { api, .. } => api,
            other => panic!("{other}"),
        };
        // Of one that was killed.
        std::fs::write(dir.path().join(API), "http://127.0.0.1:1").unwrap();
        let held = Directory::take(dir.path()).unwrap();
        assert_eq!(asked(), None);
        held.announce("http://127.0.0.1:2").unwrap();
        assert_eq!(asked().as_deref(), Some("http://127.0.0.1:2"));
        drop(held);
        assert!(!dir.path().join(API).exists());
    }

    #[test]
    fn a_creation_cut_short_is_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let held = Directory::take(dir.path()).unwrap();
        let failed: Result<(), _> = held.open_store(|store| {
            std::fs::create_dir_all(store.join("half")).unwrap();
            Err(EmbeddedError::Damaged("killed here"))
        });
        assert!(failed.is_err());
        held.open_store(|store| {
            assert!(!store.join("half").exists());
            std::fs::create_dir_all(store).unwrap();
            Ok(())
        })
        .unwrap();
        held.open_store(|store| {
            assert!(store.exists());
            Ok(())
        })
        .unwrap();
        assert!(!dir.path().join("CREATING").exists());
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("store")).unwrap();
        let held = Directory::take(dir.path()).unwrap();
        assert!(held.open_store(|_| Ok(())).is_err());
        std::fs::write(dir.path().join("FORMAT"), "wasmill embedded log, format 2\n").unwrap();
        let refused = held.open_store(|_| Ok(())).unwrap_err().to_string();
        assert!(refused.contains("another version"), "{refused}");
    }
}
