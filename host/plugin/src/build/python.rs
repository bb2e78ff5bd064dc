//! Python: componentize-py puts the interpreter, the SDK and the plugin into one component.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;

use super::component::Made;
use super::tool::{Tool, Version, is_program, which};
use super::{Handlers, Language, not_a_plugin};
use crate::error::PluginError;

/// The manifest of a project.
pub(super) const MANIFEST: &str = "pyproject.toml";
const COMPONENTIZE_MIN: Version = Version(0, 25, 0);
const INSTALL: &str = "`python3 -m venv .venv` and `.venv/bin/pip install componentize-py==0.25.1` in the project's \
                       directory install it; it needs Python 3.11 or newer";

/// The part of `pyproject.toml` that is for us; the rest is for other tools.
#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    tool: Tools,
}

#[derive(Debug, Default, Deserialize)]
struct Tools {
    wasmill: Option<Settings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The module that calls `export`.
    module: String,
    /// Where it and what it imports are.
    #[serde(default = "here")]
    path: Vec<PathBuf>,
    /// The plugin answers queries.
    #[serde(default)]
    queries: bool,
    /// The plugin migrates its state.
    #[serde(default)]
    migrates: bool,
}

fn here() -> Vec<PathBuf> {
    vec![PathBuf::from(".")]
}

/// What the manifest says; `None` when it is not that of a plugin.
fn read(dir: &Path) -> Result<Option<Settings>, PluginError> {
    let keys = "`module`, `path`, `queries` and `migrates` in `[tool.wasmill]`";
    let manifest: Manifest = super::read_toml(&dir.join(MANIFEST), keys)?;
    Ok(manifest.tool.wasmill)
}

/// Whether the project of a directory is a plugin.
pub(super) fn is_plugin(dir: &Path) -> Result<bool, PluginError> {
    Ok(read(dir)?.is_some())
}

/// Checks the tools, before anything is built.
pub(super) fn check(dir: &Path) -> Result<(), PluginError> {
    let tool = find(dir)?;
    let has = tool.version(dir, &["--version"])?;
    tool.need(dir, has, COMPONENTIZE_MIN)
}

/// Puts a project into a component.
pub(super) fn compile(dir: &Path) -> Result<Made, PluginError> {
    let start = Instant::now();
    let settings = read(dir)?.ok_or_else(|| not_a_plugin(dir, NO_PLUGIN))?;
    let work = super::work_dir()?;
    let handlers = Handlers {
        queries: settings.queries,
        migrates: settings.migrates,
    };
    let contract = super::write_contract(work.path(), handlers)?;
    let component = work.path().join("plugin.wasm");
    let tool = find(dir)?;
    let mut command = tool.command(dir);
    command.arg("--quiet").arg("--wit-path").arg(&contract.wit).args([
        "--world",
        contract.world,
        "componentize",
        "--stub-wasi",
    ]);
    for path in &settings.path {
        command.arg("--python-path").arg(path);
    }
    command.arg("--output").arg(&component).arg(&settings.module);
    // Packages of the environment that the tool is in are the plugin's too.
    let environment = tool.command.first().map(PathBuf::from);
    if let Some(environment) = environment.as_deref().and_then(Path::parent).and_then(Path::parent)
        && environment.join("pyvenv.cfg").is_file()
    {
        command.env("VIRTUAL_ENV", environment);
    }
    tool.run(dir, &mut command)?;
    Made::read(&component, dir, Language::Python, start)
}

/// What a project without our table is told.
pub(super) const NO_PLUGIN: &str =
    "its `pyproject.toml` has no `[tool.wasmill]` with `module`, the module that calls `export`";

/// componentize-py of the project's environment, the active one, or the `PATH`.
fn find(dir: &Path) -> Result<Tool, PluginError> {
    let own = environments(dir).into_iter().map(|env| env.join("bin/componentize-py"));
    let program: Option<OsString> = own
        .chain(which("componentize-py"))
        .find(|file| is_program(file))
        .map(PathBuf::into_os_string);
    let is_there = program.is_some();
    let tool = Tool::of_path("componentize-py", program.unwrap_or_default(), INSTALL);
    if is_there {
        Ok(tool)
    } else {
        Err(tool.missing(dir, "componentize-py is not installed"))
    }
}

/// Pythons that may have a tool in them: those of the same environments, and the one of the `PATH`.
pub(super) fn interpreters(dir: &Path) -> Vec<PathBuf> {
    let own = environments(dir).into_iter().map(|env| env.join("bin/python"));
    own.chain(which("python3")).filter(|file| is_program(file)).collect()
}

/// `.venv` of the project and of the directories above it, then the active one.
fn environments(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = super::ancestors(dir).into_iter().map(|dir| dir.join(".venv")).collect();
    all.extend(std::env::var_os("VIRTUAL_ENV").map(PathBuf::from));
    all
}
