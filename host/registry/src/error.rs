//! What can go wrong between a reference and a file.

use std::path::{Path, PathBuf};

use record::error::{Code, Domain};

use crate::digest::Digest;

/// Why a plugin cannot be pulled or pushed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The reference is malformed.
    #[error("`{text}` is not a reference to a plugin: {what}")]
    BadReference {
        /// The reference, without what may be a password.
        text: String,
        /// What is wrong with it.
        what: String,
    },
    /// The reference has no digest.
    #[error("`{text}` is not pinned: it has no `@sha256:...`, and a tag may be moved to another plugin")]
    NotPinned {
        /// The reference.
        text: String,
    },
    /// The registry cannot be reached, or its answer is none.
    #[error("cannot {what} {place}: {why}")]
    Unreachable {
        /// `pull`, `push`.
        what: &'static str,
        /// The reference.
        place: String,
        /// What the client says.
        why: String,
    },
    /// The registry wants other credentials, or the right is missing.
    #[error("cannot {what} {place}: the registry refuses access ({used})")]
    Refused {
        /// `pull`, `push`.
        what: &'static str,
        /// The reference.
        place: String,
        /// Which credentials were used.
        used: String,
    },
    /// The registry has no such thing.
    #[error("cannot pull {place}: the registry does not have {what}")]
    NotThere {
        /// The reference.
        place: String,
        /// The manifest or the layer.
        what: String,
    },
    /// What came is not what is pinned.
    #[error("{place}: {what} has the digest {found}, not {wanted}: it is not what was pinned, and is not used")]
    Tampered {
        /// The reference.
        place: String,
        /// The manifest or the layer.
        what: &'static str,
        /// What was pinned, or what the pinned manifest says.
        wanted: Digest,
        /// What came.
        found: String,
    },
    /// There is something else than a plugin.
    #[error("{place} is not a WebAssembly component: {what}")]
    NotAPlugin {
        /// The reference or the file.
        place: String,
        /// What it is instead; names the media type.
        what: String,
    },
    /// It is larger than allowed.
    #[error("{place}: {what} is larger than {max} bytes")]
    TooLarge {
        /// The reference or the file.
        place: String,
        /// The manifest or the component.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// The cache, or the file to push, cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Docker's config file cannot be used.
    #[error("cannot take credentials from {}: {what}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; without its content.
        what: String,
    },
    /// There is nowhere to keep what is pulled.
    #[error("there is no directory to keep pulled plugins in: neither XDG_CACHE_HOME nor HOME is set")]
    NoCache,
}

impl RegistryError {
    /// Who can mend it.
    #[must_use]
    pub fn domain(&self) -> Domain {
        match self {
            Self::BadReference { .. }
            | Self::NotPinned { .. }
            | Self::Refused { .. }
            | Self::NotThere { .. }
            | Self::Credentials { .. }
            | Self::NoCache => Domain::User,
            Self::NotAPlugin { .. } | Self::TooLarge { .. } => Domain::Plugin,
            Self::Unreachable { .. } | Self::Tampered { .. } | Self::Io { .. } => Domain::System,
        }
    }

    /// Whether the user has to mend something before it is tried again.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::BadReference { .. } | Self::NotPinned { .. })
    }

    /// The code of its page in docs/errors.
    #[must_use]
    pub fn code(&self) -> Code {
        Code(match self {
            Self::BadReference { .. } => "E0230",
            Self::NotPinned { .. } => "E0231",
            Self::Unreachable { .. } => "E0232",
            Self::Refused { .. } => "E0233",
            Self::NotThere { .. } => "E0234",
            Self::Tampered { .. } => "E0235",
            Self::NotAPlugin { .. } => "E0236",
            Self::TooLarge { .. } => "E0237",
            Self::Io { .. } | Self::NoCache => "E0238",
            Self::Credentials { .. } => "E0239",
        })
    }

    /// What to do.
    #[must_use]
    pub fn next(&self) -> String {
        match self {
            Self::BadReference { .. } => "write `oci://registry/name@sha256:DIGEST`, as `wasmill push` prints it".to_owned(),
            Self::NotPinned { text } => {
                let image = text.strip_prefix(crate::SCHEME).unwrap_or(text);
                format!(
                    "append `@sha256:DIGEST`, the digest of the manifest: `wasmill push` prints it, and so does `oras resolve {image}`"
                )
            }
            Self::Unreachable { .. } => {
                "check the registry's name and that it can be reached; what was pulled before works without it".to_owned()
            }
            Self::Refused { .. } => {
                "`docker login` or `oras login` writes `auths` into Docker's config file, which is read; credential helpers are not asked".to_owned()
            }
            Self::NotThere { .. } => {
                "check the name and the digest, which is that of the manifest and not of the layer: `wasmill push` prints it, and so does `oras resolve`".to_owned()
            }
            Self::Tampered { .. } => {
                "do not take over the other digest; ask who runs the registry why the content has changed".to_owned()
            }
            Self::NotAPlugin { .. } => {
                "push it with `wasmill push FILE.wasm oci://registry/name:tag`, or with another tool that writes the layout of wasm artifacts".to_owned()
            }
            Self::TooLarge { .. } => "make the component smaller (`wasm-tools strip`, an optimised build)".to_owned(),
            Self::Io { .. } => "check the path, the rights on it, and the space on the disk".to_owned(),
            Self::Credentials { .. } => {
                "mend the file, or name the directory of another one in DOCKER_CONFIG".to_owned()
            }
            Self::NoCache => "set XDG_CACHE_HOME to a directory that only you can write to".to_owned(),
        }
    }

    /// With what stands before the registry left out: it may be a password.
    pub(crate) fn bad_reference(text: &str, what: impl Into<String>) -> Self {
        let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
        let (place, name) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let text = match place.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}***@{host}{name}"),
            None => text.to_owned(),
        };
        Self::BadReference {
            text,
            what: what.into(),
        }
    }

    pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}
