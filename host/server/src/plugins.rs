//! Where the files of plugins are: on this machine, or in a registry.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use plugin::PluginError;
use record::error::Code;
use registry::{Limits, Reference, RegistryError, is_reference};

use crate::failure::Failure;

/// Why a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// What it is.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Where it is.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl LoadError {
    /// The stable code.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Plugin(error) => error.code(),
            Self::Registry(error) => error.code(),
        }
    }
}

/// The file of a plugin, pulled from its registry when `path` is a reference.
///
/// # Errors
/// The reference is malformed, or what it names cannot be had.
pub(crate) fn file_of(path: &Path) -> Result<Cow<'_, Path>, RegistryError> {
    let Some(text) = path.to_str().filter(|text| is_reference(text)) else {
        return Ok(Cow::Borrowed(path));
    };
    let reference: Reference = text.parse()?;
    // Beside compiled code.
    let cache = cache_dir().ok_or(RegistryError::NoCache)?.join("registry");
    Ok(Cow::Owned(registry::pull(&reference, &cache, &Limits::default())?))
}

/// Trouble with a registry as a command's failure.
pub(crate) fn failure(error: &RegistryError) -> Failure {
    Failure::Other {
        code: error.code(),
        invalid: error.is_invalid(),
        what: error.to_string(),
        place: None,
        next: error.next(),
    }
}

/// Compiled and pulled plugins are kept where the system keeps what may be deleted.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        // The specification: relative paths are ignored.
        Some(dir) if dir.is_absolute() => dir,
        _ => PathBuf::from(std::env::var_os("HOME").filter(|home| !home.is_empty())?).join(".cache"),
    };
    Some(base.join("wasmill"))
}
