//! What can go wrong inside the embedded log, before callers see it as a [`LogError`].

use std::path::PathBuf;

use record::log::{CommitError, LogError};

/// A fault of the directory or of what is in it. None of these goes away by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmbeddedError {
    /// A file of the directory cannot be used.
    #[error("the embedded log cannot use {path}: {source}; check the path, its rights and the free space")]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Another process holds the directory.
    #[error("the embedded log in {path} is in use by {holder}; stop it first: one process at a time has it")]
    InUse {
        path: PathBuf,
        holder: String,
        /// Where the holder answers over HTTP, if it has said so.
        api: Option<String>,
    },
    /// The directory is not one of ours, or of another version.
    #[error("{path} {what}; name another directory, or delete this one to start with an empty log")]
    NotALog { path: PathBuf, what: String },
    /// The store below failed.
    #[error("the store of the embedded log failed: {0}; after freeing space or mending the disk, start again")]
    Store(#[from] fjall::Error),
    /// What was stored does not read back as what was written.
    #[error("the embedded log is damaged ({0}); restore its directory from a copy, or delete it")]
    Damaged(&'static str),
}

impl From<EmbeddedError> for LogError {
    fn from(error: EmbeddedError) -> Self {
        Self::Fatal {
            what: error.to_string(),
        }
    }
}

impl From<EmbeddedError> for CommitError {
    fn from(error: EmbeddedError) -> Self {
        Self::Fatal {
            what: error.to_string(),
        }
    }
}
