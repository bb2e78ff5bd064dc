//! What can be said of a component without running records through it.

use std::path::Path;

use record::transform::Description;

use crate::engine::{Engine, EngineOptions, LoadOptions};
use crate::error::PluginError;
use crate::{grants, section};

/// What a component is. Ports, stores and the state version are in its description.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The version of the contract that it was built against, such as `wasmill:plugin@0.1.0`.
    pub contract: String,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The keys of a `[transforms.NAME.grant]` that it cannot do without, as `env` or `http`.
    pub needs: Vec<String>,
    /// The interfaces that it exports.
    pub exports: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// What the plugin says of itself.
    pub description: Description,
    /// Whether `wasmill build` has kept the description in the file.
    pub keeps_description: bool,
    /// What it was made with: `language Rust`, `processed-by wit-component 0.263.0` and the
    /// like, of the component and the modules in it.
    pub producers: Vec<String>,
}

/// Loads a component and says what it is. It may import whatever could be granted; nothing is
/// handed over.
///
/// # Errors
/// As [`Engine::load`].
pub fn inspect(path: &Path) -> Result<Inspection, PluginError> {
    let bytes = std::fs::read(path).map_err(|error| PluginError::io("read", path, error))?;
    let options = LoadOptions {
        grant: grants::opened(),
        component_bytes_max: u64::MAX,
    };
    let compiled = Engine::new(EngineOptions::default())?.load_bytes_with(&bytes, path, &options)?;
    let version = compiled
        .exports()
        .iter()
        .find_map(|export| export.split_once('@'))
        .map_or(crate::CONTRACT_VERSION, |(_, version)| version);
    let keeps_description = section::read(&bytes).is_ok_and(|section| section.is_some());
    let mut producers: Vec<_> = section::producers(&bytes);
    producers.sort();
    producers.dedup();
    Ok(Inspection {
        contract: format!("wasmill:plugin@{version}"),
        imports: compiled.imports().to_vec(),
        needs: compiled.needs().to_vec(),
        exports: compiled.exports().to_vec(),
        size: bytes.len() as u64,
        sha256: compiled.digest().to_owned(),
        description: compiled.description().clone(),
        keeps_description,
        producers,
    })
}
