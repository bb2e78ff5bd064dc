//! From a plugin's source to a component, in every language: its tools compile, `wit-component`
//! makes the component, and the component describes itself.
//!
//! ```text
//!   detect --projects--> check tools --> recipe (rust, go, js, python, c) --module or component-->
//!   componentise (world, stub adapter) --> strip --> load and describe --> NAME.wasm
//! ```

mod c;
mod component;
mod detect;
mod go;
mod js;
mod python;
mod rust;
mod strip;
mod tool;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use record::transform::{Port, StoreSpec};
use serde::Deserialize;

use crate::engine::{Engine, EngineOptions};
use crate::error::PluginError;

pub use detect::Language;

/// What to build, and where the result goes.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The directory of a plugin, of several (a workspace), or one whose subdirectories are plugins.
    pub dir: PathBuf,
    /// Where the component is written: a directory, or a file that ends in `.wasm` when `dir` is one
    /// plugin. `None`: `dist` in `dir`.
    pub out: Option<PathBuf>,
    /// Keep what debuggers read.
    pub debug: bool,
}

/// What was built.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildReport {
    /// The plugin's name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// The language of its source.
    pub language: Language,
    /// The directory of its source.
    pub dir: PathBuf,
    /// The component.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// Its ports; the first is the default.
    pub ports: Vec<Port>,
    /// Its stores.
    pub stores: Vec<StoreSpec>,
    /// It sets timers.
    pub sets_timers: bool,
    /// How long the build took. Plugins that were compiled together share the time of that.
    pub seconds: f64,
    /// How much of it the host took to compile the component to machine code and to let it describe
    /// itself: what a first start takes without the cache.
    pub load_seconds: f64,
}

/// How recipes compile.
#[derive(Clone, Copy, Debug)]
struct Settings {
    /// Keep what debuggers read.
    debug: bool,
}

/// Builds the plugin of one directory.
///
/// # Errors
/// As [`build_all`]; or the directory holds several plugins.
pub fn build(options: &BuildOptions) -> Result<BuildReport, PluginError> {
    let projects = detect::projects(&options.dir)?;
    let mut reports = match projects.as_slice() {
        [one] if one.plugins() == 1 => build_projects(options, &projects)?,
        _ => {
            let count: usize = projects.iter().map(detect::Project::plugins).sum();
            return Err(not_a_plugin(
                &options.dir,
                format!("it holds {count} plugins; name one of their directories"),
            ));
        }
    };
    reports.pop().ok_or_else(|| fail(&options.dir, "nothing was built"))
}

/// Builds every plugin of a directory: of a plugin, of a workspace, or one whose subdirectories are
/// plugins, in whatever languages. In the order of their names.
///
/// # Errors
/// There is no plugin; a tool is missing, which is found before anything is built; the source does
/// not compile; or the component is no acceptable plugin. The first one ends it.
pub fn build_all(options: &BuildOptions) -> Result<Vec<BuildReport>, PluginError> {
    let projects = detect::projects(&options.dir)?;
    build_projects(options, &projects)
}

fn build_projects(options: &BuildOptions, projects: &[detect::Project]) -> Result<Vec<BuildReport>, PluginError> {
    let plugins = projects.iter().map(detect::Project::plugins).sum();
    let out = Out::new(options, plugins)?;
    let settings = Settings { debug: options.debug };
    for project in projects {
        project.check()?;
    }
    let mut reports: Vec<BuildReport> = Vec::new();
    let engine = Engine::new(EngineOptions::default())?;
    for project in projects {
        for made in project.compile(settings)? {
            let report = component::finish(&engine, &made, &out, settings)?;
            if let Some(other) = reports.iter().find(|other| other.path == report.path) {
                return Err(not_a_plugin(
                    &report.dir,
                    format!(
                        "its name is `{}`, as that of {}; build them one by one, each with an `--out` of its own",
                        report.name,
                        other.dir.display()
                    ),
                ));
            }
            reports.push(report);
        }
    }
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(reports)
}

/// Where components are written.
struct Out {
    dir: PathBuf,
    /// The one component's name, when it does not follow from the plugin's.
    file: Option<PathBuf>,
}

impl Out {
    fn new(options: &BuildOptions, plugins: usize) -> Result<Self, PluginError> {
        let out = options.out.clone().unwrap_or_else(|| options.dir.join("dist"));
        let is_file = out.extension().is_some_and(|extension| extension == "wasm") && !out.is_dir();
        let (dir, file) = if is_file {
            let dir = out.parent().map(Path::to_owned).unwrap_or_default();
            (dir, Some(out))
        } else {
            (out, None)
        };
        if file.is_some() && plugins != 1 {
            return Err(not_a_plugin(
                &options.dir,
                format!("it holds {plugins} plugins: `--out` must be a directory"),
            ));
        }
        let dir = if dir.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            dir
        };
        std::fs::create_dir_all(&dir).map_err(|error| PluginError::io("create", &dir, error))?;
        Ok(Self { dir, file })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.file
            .clone()
            .unwrap_or_else(|| self.dir.join(format!("{}.wasm", name.replace('-', "_"))))
    }
}

fn fail(dir: &Path, message: impl Into<String>) -> PluginError {
    PluginError::Build {
        dir: dir.to_owned(),
        message: message.into(),
    }
}

fn not_a_plugin(dir: &Path, message: impl Into<String>) -> PluginError {
    PluginError::NoProject {
        dir: dir.to_owned(),
        message: message.into(),
    }
}

/// A directory for what comes before the component.
fn work_dir() -> Result<tempfile::TempDir, PluginError> {
    tempfile::Builder::new()
        .prefix("wasmill-build-")
        .tempdir()
        .map_err(|error| PluginError::io("create a temporary directory in", &std::env::temp_dir(), error))
}

/// A directory and those above it, nearest first, up to the first in which others can write: programs are
/// run that are found in them.
fn ancestors(dir: &Path) -> Vec<PathBuf> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let user = rustix::process::geteuid().as_raw();
    let is_ours = |dir: &Path| {
        std::fs::metadata(dir).is_ok_and(|found| {
            let mode = found.mode();
            [user, 0].contains(&found.uid()) && mode & 0o002 == 0
        })
    };
    let above = dir.ancestors().skip(1).take_while(|dir| is_ours(dir));
    std::iter::once(dir.as_path())
        .chain(above)
        .map(Path::to_owned)
        .collect()
}

/// What a plugin has beside functions for records and timers. The tools of JavaScript and Python export the
/// whole world, and what a component exports it is asked for, so the manifest says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Handlers {
    /// It answers queries.
    queries: bool,
    /// It migrates its state.
    migrates: bool,
}

/// The contract as files, for tools that read it.
struct Contract {
    /// The directory.
    wit: PathBuf,
    /// The world in it that the plugin is built for.
    world: &'static str,
}

/// Writes the contract into a directory, with a world that has these handlers.
fn write_contract(dir: &Path, handlers: Handlers) -> Result<Contract, PluginError> {
    let wit = dir.join("wit");
    let write = |name: &str, text: &str| {
        let path = wit.join(name);
        std::fs::create_dir_all(&wit)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| PluginError::io("write", &path, error))
    };
    write("plugin.wit", component::CONTRACT)?;
    let Handlers { queries, migrates } = handlers;
    let more: Vec<_> = [(queries, "query"), (migrates, "migrate")]
        .into_iter()
        .filter_map(|(has, world)| has.then_some(world))
        .collect();
    if more.is_empty() {
        let world = component::WORLD;
        return Ok(Contract { wit, world });
    }
    let mut text = format!("world built {{\n  include {};\n", component::WORLD);
    for world in more {
        text.push_str(&format!("  include {world};\n"));
    }
    text.push_str("}\n");
    write("built.wit", &text)?;
    Ok(Contract { wit, world: "built" })
}

/// The files that the patterns of a manifest name, in the order of the patterns.
fn files(dir: &Path, manifest: &str, key: &str, patterns: &[String]) -> Result<Vec<PathBuf>, PluginError> {
    let base = dir
        .canonicalize()
        .map_err(|error| PluginError::io("read", dir, error))?;
    let mut all = Vec::new();
    for pattern in patterns {
        let wrong = |what: String| not_a_plugin(dir, format!("`{key}` of {manifest}: `{pattern}` {what}"));
        let whole = format!("{}/{pattern}", glob::Pattern::escape(&base.display().to_string()));
        let found = glob::glob(&whole).map_err(|error| wrong(format!("is no pattern: {error}")))?;
        let before = all.len();
        for file in found {
            all.push(file.map_err(|error| wrong(error.to_string()))?);
        }
        if all.len() == before {
            return Err(wrong("names no file".to_owned()));
        }
    }
    Ok(all)
}

/// Reads a manifest; `keys` are those that it may have.
fn read_toml<T: serde::de::DeserializeOwned>(path: &Path, keys: &str) -> Result<T, PluginError> {
    let text = std::fs::read_to_string(path).map_err(|error| PluginError::io("read", path, error))?;
    toml::from_str(&text).map_err(|error| {
        let dir = path.parent().unwrap_or(path);
        let message = error.to_string();
        not_a_plugin(
            dir,
            format!(
                "{} has a mistake; it takes {keys}\n{}",
                path.display(),
                message.trim_end()
            ),
        )
    })
}

/// Replaces the file at once: a pipeline that watches it never reads half of it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), PluginError> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    let io = |error| PluginError::io("write", path, error);
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    // Temporary files are private; a plugin is for whoever may read the directory.
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))
        .map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_world_has_the_handlers_that_the_manifest_names() {
        for (queries, migrates, more) in [
            (false, false, &[][..]),
            (true, false, &["query-handler"]),
            (false, true, &["migration-handler"]),
            (true, true, &["query-handler", "migration-handler"]),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let contract = write_contract(dir.path(), Handlers { queries, migrates }).unwrap();
            let mut resolve = wit_parser::Resolve::default();
            let (package, _) = resolve.push_dir(&contract.wit).unwrap();
            let world = resolve.select_world(&[package], Some(contract.world)).unwrap();
            let keys = resolve.worlds[world].exports.keys();
            let exports: BTreeSet<_> = keys.map(|key| resolve.name_world_key(key)).collect();
            let expected = ["lifecycle", "processor", "timer-handler"].iter().chain(more);
            let expected = expected.map(|name| format!("wasmill:plugin/{name}@0.1.2")).collect();
            assert_eq!(exports, expected);
        }
    }
}
