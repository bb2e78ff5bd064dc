//! The directory that holds what was pulled, each file named by the digest of its content.
//!
//! ```text
//!   sha256/<digest of the manifest>.json     what the pinned digest stands for
//!   sha256/<digest of the layer>.wasm        the component
//! ```
//!
//! Nothing is believed because it lies there: every use verifies the digest again, and what does
//! not check out is pulled anew.

use std::fs::{DirBuilder, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::digest::Digest;
use crate::error::RegistryError;

/// Components that other users could write would run as us.
const PRIVATE: u32 = 0o700;

pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Creates the directory where it is missing.
    ///
    /// # Errors
    /// It cannot be created, or belongs to another user.
    pub(crate) fn open(dir: &Path) -> Result<Self, RegistryError> {
        make_private(dir)?;
        let dir = dir.join("sha256");
        make_private(&dir)?;
        Ok(Self { dir })
    }

    /// The manifest with this digest.
    pub(crate) fn manifest(&self, digest: &Digest, max: u64) -> Option<Vec<u8>> {
        self.read(&self.manifest_path(digest), digest, max)
    }

    /// The component with this digest.
    pub(crate) fn layer(&self, digest: &Digest, max: u64) -> Option<PathBuf> {
        let path = self.layer_path(digest);
        self.read(&path, digest, max).map(|_| path)
    }

    fn read(&self, path: &Path, digest: &Digest, max: u64) -> Option<Vec<u8>> {
        let size = std::fs::symlink_metadata(path)
            .ok()
            .filter(std::fs::Metadata::is_file)?
            .len();
        if size > max {
            return None;
        }
        let bytes = std::fs::read(path).ok()?;
        if Digest::of(&bytes) == *digest {
            return Some(bytes);
        }
        tracing::warn!(path = %path.display(), "a pulled plugin is damaged; it is pulled again");
        None
    }

    /// Keeps a manifest, which the caller has verified.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn keep_manifest(&self, digest: &Digest, bytes: &[u8]) -> Result<(), RegistryError> {
        let mut file = self.new_file()?;
        let path = self.manifest_path(digest);
        file.write_all(bytes)
            .map_err(|error| RegistryError::io("write", &path, error))?;
        keep(file, &path)
    }

    /// A file that is gone when it is not kept.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn new_file(&self) -> Result<NamedTempFile, RegistryError> {
        NamedTempFile::new_in(&self.dir).map_err(|error| RegistryError::io("write to", &self.dir, error))
    }

    /// Keeps a component, which the caller has verified, and answers where.
    ///
    /// # Errors
    /// The disk.
    pub(crate) fn keep_layer(&self, digest: &Digest, file: NamedTempFile) -> Result<PathBuf, RegistryError> {
        let path = self.layer_path(digest);
        keep(file, &path)?;
        Ok(path)
    }

    fn manifest_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{}.json", digest.hex()))
    }

    fn layer_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{}.wasm", digest.hex()))
    }
}

/// Renames: readers see all or nothing, and of two writers either, which have written the same.
fn keep(file: NamedTempFile, path: &Path) -> Result<(), RegistryError> {
    file.persist(path)
        .map(|_| ())
        .map_err(|error| RegistryError::io("write", path, error.error))
}

fn make_private(dir: &Path) -> Result<(), RegistryError> {
    let io = |error| RegistryError::io("keep plugins in", dir, error);
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(dir)
        .map_err(io)?;
    let metadata = std::fs::metadata(dir).map_err(io)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        let kind = std::io::ErrorKind::PermissionDenied;
        return Err(io(std::io::Error::new(kind, "it belongs to another user")));
    }
    if metadata.mode() & 0o777 != PRIVATE {
        std::fs::set_permissions(dir, Permissions::from_mode(PRIVATE)).map_err(io)?;
    }
    Ok(())
}
