//! What can be said of a component without running records through it, also of one that the host
//! refuses.

use std::path::{Path, PathBuf};

use record::error::Code;
use record::grant::Grant;
use record::transform::Description;
use wasmparser::{Parser, Payload};

use crate::engine::{Engine, EngineOptions, LoadOptions};
use crate::error::PluginError;
use crate::grants::Need;
use crate::{PACKAGE, code, compiled, section};

/// What a component is. Ports, stores and the state version are in its description.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The world of the contract that its exports make up; `None` when they make up none.
    pub world: Option<&'static str>,
    /// The version of the contract that it was built against; `None` when it exports nothing of it.
    pub contract: Option<String>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// The interfaces that it exports.
    pub exports: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// What the plugin says of itself, or said when it was built if it cannot be asked now.
    pub description: Option<Description>,
    /// Whether `wasmill build` has kept the description in the file.
    pub keeps_description: bool,
    /// What it was made with: `language Rust`, `processed-by wit-component 0.263.0` and the
    /// like, of the component and the modules in it.
    pub producers: Vec<String>,
    /// Why a pipeline without grants refuses it; `None`: it does not.
    pub refusal: Option<Refusal>,
    /// Whether its compiled code was kept already; `None` when nothing is kept.
    pub is_cached: Option<bool>,
    /// How long it took to load it, in seconds.
    pub load_seconds: f64,
}

/// An interface that a component imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name, with its version.
    pub name: String,
    /// What opens it.
    pub access: Access,
}

/// What opens an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: it is part of the contract and always linked.
    Always,
    /// Any key of `[transforms.NAME.grant]`: it comes with what tools import, and reaches nothing.
    AnyGrant,
    /// This key of `[transforms.NAME.grant]`.
    Grant(&'static str),
    /// Nothing can: it is never linked.
    Never,
}

/// Why a component is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the error's page.
    pub code: Code,
    /// What is wrong, and the remedy where there is one.
    pub message: String,
}

/// Says what a component is. `cache_dir` is where compiled code is kept; it is looked up and filled
/// there as when a pipeline starts.
///
/// # Errors
/// The file cannot be read or is no component; or there is no engine.
pub fn inspect(path: &Path, cache_dir: Option<PathBuf>) -> Result<Inspection, PluginError> {
    let bytes = std::fs::read(path).map_err(|error| PluginError::io("read", path, error))?;
    compiled::check_kind(&bytes, path)?;
    let (imports, exports) = surface(&bytes).map_err(|error| PluginError::NotAComponent {
        path: path.to_owned(),
        message: format!("it is damaged: {error}"),
    })?;
    let sha256 = code::digest(&bytes);
    let engine = Engine::new(EngineOptions {
        cache_dir,
        ..EngineOptions::default()
    })?;
    let is_cached = engine.cache().map(|cache| cache.has(&sha256));
    let start = std::time::Instant::now();
    let loaded = engine.load_bytes(&bytes, path);
    let load_seconds = start.elapsed().as_secs_f64();
    let kept = section::read(&bytes).ok().flatten();
    let (description, refusal) = match loaded {
        Ok(compiled) => (Some(compiled.description().clone()), None),
        Err(error @ PluginError::Engine(_)) => return Err(error),
        Err(error) => {
            let refusal = Refusal {
                code: error.code(),
                message: error.to_string(),
            };
            let opened = LoadOptions {
                grant: Grant::opened(),
                component_bytes_max: u64::MAX,
            };
            // What a grant would open may still say what it is.
            let described = engine.load_bytes_with(&bytes, path, &opened);
            let description = match described {
                Ok(compiled) => Some(compiled.description().clone()),
                Err(_) => kept.as_ref().and_then(crate::description::of_json),
            };
            (description, Some(refusal))
        }
    };
    let mut producers: Vec<_> = section::producers(&bytes);
    producers.sort();
    producers.dedup();
    Ok(Inspection {
        world: world(&exports),
        contract: exports.iter().find_map(|export| {
            let (_, version) = export.strip_prefix(PACKAGE)?.split_once('@')?;
            Some(format!("wasmill:plugin@{version}"))
        }),
        imports: imports
            .into_iter()
            .map(|name| Import {
                access: access(&name),
                name,
            })
            .collect(),
        exports,
        size: bytes.len() as u64,
        sha256,
        description,
        keeps_description: kept.is_some(),
        producers,
        refusal,
        is_cached,
        load_seconds,
    })
}

/// The names of a component's own imports and exports, in order.
fn surface(component: &[u8]) -> Result<(Vec<String>, Vec<String>), wasmparser::BinaryReaderError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn world(exports: &[String]) -> Option<&'static str> {
    let has = |interface: &str| {
        let prefix = format!("{PACKAGE}{interface}@");
        exports.iter().any(|export| export.starts_with(&prefix))
    };
    match (has("lifecycle") && has("processor"), has("timer-handler")) {
        (true, true) => Some("timed-transform"),
        (true, false) => Some("transform"),
        (false, _) => None,
    }
}

/// What opens the import of this name.
fn access(name: &str) -> Access {
    if name.starts_with(PACKAGE) {
        return Access::Always;
    }
    match Need::of_name(name) {
        Some(Need::Any) => Access::AnyGrant,
        Some(Need::Env) => Access::Grant("env"),
        Some(Need::Clocks) => Access::Grant("clocks"),
        Some(Need::Random) => Access::Grant("random"),
        Some(Need::Dir) => Access::Grant("dir"),
        Some(Need::Http) => Access::Grant("http"),
        Some(Need::Never) | None => Access::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_import_says_what_opens_it() {
        assert_eq!(access("wasmill:plugin/state@0.1.2"), Access::Always);
        assert_eq!(access("wasi:cli/environment@0.2.6"), Access::Grant("env"));
        assert_eq!(access("wasi:filesystem/preopens@0.2.0"), Access::Grant("dir"));
        assert_eq!(access("wasi:cli/terminal-stdin@0.2.3"), Access::AnyGrant);
        assert_eq!(access("wasi:sockets/tcp@0.2.3"), Access::Never);
        assert_eq!(access("wasi:cli/environment@0.3.0"), Access::Never);
        assert_eq!(access("acme:db/sql@0.2.0"), Access::Never);
    }

    #[test]
    fn a_world_needs_all_of_its_exports() {
        let of = |names: &[&str]| {
            let exports: Vec<_> = names.iter().map(|name| format!("{PACKAGE}{name}@0.1.0")).collect();
            world(&exports)
        };
        assert_eq!(of(&["lifecycle", "processor"]), Some("transform"));
        assert_eq!(
            of(&["lifecycle", "processor", "timer-handler"]),
            Some("timed-transform")
        );
        assert_eq!(of(&["processor", "timer-handler"]), None);
    }
}
