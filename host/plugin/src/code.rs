//! The cache of compiled code.
//!
//! A file is named by the SHA-256 of the component and of everything in the engine that the code
//! depends on, and starts with the SHA-256 of the code. What does not check out is compiled anew.

use std::hash::{Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::error::PluginError;

/// Code that other users could write would run as us.
const PRIVATE: u32 = 0o700;
const SUM_BYTES: usize = 32;
const EXTENSION: &str = "bin";

/// A directory of compiled code that nobody else can write to.
pub(crate) struct CodeCache {
    dir: PathBuf,
    bytes_max: u64,
    engine_hash: String,
}

impl CodeCache {
    pub(crate) fn open(dir: PathBuf, bytes_max: u64, wasm: &wasmtime::Engine) -> Result<Self, PluginError> {
        make_private(&dir)?;
        let mut hasher = ShaHasher(Sha256::new());
        wasm.precompile_compatibility_hash().hash(&mut hasher);
        let engine_hash = hex(&hasher.0.finalize()).split_off(48);
        Ok(Self {
            dir,
            bytes_max,
            engine_hash,
        })
    }

    /// The code of the component with this digest, if it is there and undamaged.
    pub(crate) fn read(&self, digest: &str, wasm: &wasmtime::Engine) -> Option<Component> {
        let path = self.path(digest);
        let file = match read_private(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), "compiled code cannot be used: {error}; it is compiled again");
                return None;
            }
        };
        let (sum, code) = file.split_at_checked(SUM_BYTES)?;
        if Sha256::digest(code)[..] != *sum {
            tracing::warn!(path = %path.display(), "compiled code is damaged; it is compiled again");
            return None;
        }
        match deserialize(wasm, code) {
            Ok(component) => {
                // What is used stays. Where that cannot be noted, the file only goes earlier.
                let _ = std::fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                Some(component)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), "compiled code cannot be used; it is compiled again: {error:#}");
                None
            }
        }
    }

    /// Whether there is code of the component with this digest, without a look at it.
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.path(digest).is_file()
    }

    /// Keeps code for the next time. A cache that cannot be written costs time, nothing else.
    pub(crate) fn write(&self, digest: &str, component: &Component) {
        let path = self.path(digest);
        if let Err(error) = self.try_write(&path, component) {
            tracing::warn!(path = %path.display(), "compiled code cannot be kept: {error}");
        }
        if let Err(error) = self.evict(&path) {
            tracing::warn!(path = %self.dir.display(), "old compiled code cannot be removed: {error}");
        }
    }

    /// Removes what has not been used for longest, until the rest fits; not what was just written.
    /// Other processes may do the same meanwhile: a file that is gone already is no error.
    fn evict(&self, keep: &Path) -> std::io::Result<()> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let path = entry.path();
            if let Ok(metadata) = entry.metadata()
                && metadata.is_file()
                && path.extension().is_some_and(|extension| extension == EXTENSION)
            {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((used, metadata.len(), path));
            }
        }
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        files.sort_by_key(|(used, _, _)| *used);
        for (_, bytes, path) in files {
            if total <= self.bytes_max {
                break;
            }
            if path == keep {
                continue;
            }
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => total -= bytes,
            }
        }
        Ok(())
    }

    fn try_write(&self, path: &Path, component: &Component) -> std::io::Result<()> {
        let code = component.serialize().map_err(std::io::Error::other)?;
        // A file of its own under a temporary name, then renamed: readers see all or nothing.
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(&Sha256::digest(&code))?;
        file.write_all(&code)?;
        file.persist(path)?;
        Ok(())
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}-{}.{EXTENSION}", self.engine_hash))
    }
}

/// The bytes of a file that nobody but this user can have written.
fn read_private(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let flags = rustix::fs::OFlags::NOFOLLOW.bits();
    let flags = i32::try_from(flags).map_err(std::io::Error::other)?;
    let mut file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err(std::io::Error::new(
            std::io::ErrorKind::PermissionDenied,
            "another user could have written it",
        ));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The SHA-256 of a component, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make_private(dir: &Path) -> Result<(), PluginError> {
    let io = |error| PluginError::io("keep compiled code in", dir, error);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(dir)
        .map_err(io)?;
    let metadata = std::fs::metadata(dir).map_err(io)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io(std::io::Error::new(
            std::io::ErrorKind::PermissionDenied,
            "it belongs to another user; name another directory",
        )));
    }
    if metadata.mode() & 0o777 != PRIVATE {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(PRIVATE)).map_err(io)?;
    }
    Ok(())
}

struct ShaHasher(Sha256);

impl Hasher for ShaHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0
            .clone()
            .finalize()
            .first_chunk()
            .map_or(0, |first| u64::from_le_bytes(*first))
    }
}

#[allow(unsafe_code, reason = "the one way that wasmtime has to load compiled code")]
fn deserialize(wasm: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` must be what `Component::serialize` of the same version and configuration of
    // wasmtime has written. It comes from a directory that belongs to this user and that nobody
    // else can write to (seen to when the cache was opened), from a file of this user that nobody
    // else can write to (checked by `read_private`, in case the directory was open before), which
    // only `try_write` makes, under a name with the hash of wasmtime's version and configuration
    // (of which wasmtime checks some again itself), and its checksum has just been verified, so it
    // is what was written.
    unsafe { Component::deserialize(wasm, code) }
}
