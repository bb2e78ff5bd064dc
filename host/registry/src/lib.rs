//! Plugins from OCI registries: pinned by digest, verified, and kept in a cache.
//!
//! ```text
//!   oci://registry/name@sha256:M
//!        | manifest, whose digest must be M          cache: M.json
//!        v
//!   one layer with digest L, a component             cache: L.wasm
//! ```
//!
//! What is pinned is content: whoever controls the registry, the network or a tag can keep a plugin
//! away, but cannot put another one in its place. What was pulled once needs no registry.
//!
//! Registries are spoken to by TLS, those on this machine (loopback) without. Credentials are those
//! of Docker's config file.

mod artifact;
mod cache;
mod credentials;
mod digest;
mod error;
mod reference;
mod transfer;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use artifact::About;
pub use digest::Digest;
pub use error::RegistryError;
pub use reference::{Reference, Repository, SCHEME, Target, is_reference};

/// What a registry may take and give.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest component, in bytes.
    pub component_bytes: u64,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long the registry may be silent.
    pub silence: Duration,
    /// How long a pull or a push may take altogether.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 64 << 20,
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            total: Duration::from_secs(300),
        }
    }
}

/// The file of a plugin: from the cache, else pulled into it. Either way its content has just been
/// verified. May block for as long as the limits say; must not be called on an async runtime.
///
/// # Errors
/// As [`RegistryError`] says. Nothing that was not verified is left in the cache.
pub fn pull(reference: &Reference, cache_dir: &Path, limits: &Limits) -> Result<PathBuf, RegistryError> {
    transfer::pull(reference, cache_dir, limits)
}

/// What was pushed.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The reference to write into a pipeline.
    pub reference: Reference,
    /// The digest of the component itself.
    pub component: Digest,
    /// The size of the component, in bytes.
    pub size: u64,
}

/// Publishes a component, and asks the registry for it again. The same component gives the same
/// reference every time. May block, as [`pull`].
///
/// # Errors
/// As [`RegistryError`] says.
pub fn push(file: &Path, target: &Target, about: &About, limits: &Limits) -> Result<Pushed, RegistryError> {
    transfer::push(file, target, about, limits)
}
