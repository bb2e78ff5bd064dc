//! JavaScript and TypeScript: esbuild makes one module of the plugin and its SDK, componentize-qjs puts
//! it into QuickJS.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;

use super::component::Made;
use super::tool::{Tool, Version, is_program};
use super::{Handlers, Language, Settings, not_a_plugin};
use crate::error::PluginError;

/// The manifest of a package.
pub(super) const MANIFEST: &str = "package.json";
const NODE_MIN: Version = Version(20, 0, 0);
const COMPONENTIZE_MIN: Version = Version(0, 4, 0);
const ESBUILD_MIN: Version = Version(0, 20, 0);
/// The package whose `component` is the entry of a component.
const SDK: &str = "wasmill-sdk";
/// Where a plugin's own module is when the manifest has no `main`.
const ENTRIES: [&str; 3] = ["src/index.ts", "src/index.js", "index.js"];

#[derive(Debug, Deserialize)]
struct Manifest {
    main: Option<String>,
    #[serde(default)]
    workspaces: Workspaces,
    /// The part that is for us.
    #[serde(default)]
    wasmill: Handlers,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Workspaces {
    List(Vec<String>),
    Table { packages: Vec<String> },
}

impl Default for Workspaces {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// The packages of a directory that are plugins: its own, or those of its workspaces.
pub(super) fn packages(dir: &Path) -> Result<Vec<PathBuf>, PluginError> {
    let (Workspaces::List(patterns) | Workspaces::Table { packages: patterns }) = read(dir)?.workspaces;
    if patterns.is_empty() {
        entry(dir)?;
        return Ok(vec![dir.to_owned()]);
    }
    let mut all = Vec::new();
    for manifest in super::files(dir, MANIFEST, "workspaces", &with_manifest(&patterns))? {
        let package = manifest.parent().unwrap_or(dir);
        // A library of the workspace is no plugin.
        if entry(package).is_ok() {
            all.push(package.to_owned());
        }
    }
    Ok(all)
}

fn with_manifest(patterns: &[String]) -> Vec<String> {
    patterns
        .iter()
        .map(|pattern| format!("{}/{MANIFEST}", pattern.trim_end_matches('/')))
        .collect()
}

fn read(dir: &Path) -> Result<Manifest, PluginError> {
    let path = dir.join(MANIFEST);
    let text = std::fs::read(&path).map_err(|error| PluginError::io("read", &path, error))?;
    serde_json::from_slice(&text)
        .map_err(|error| not_a_plugin(dir, format!("{} has a mistake: {error}", path.display())))
}

/// The plugin's own module.
fn entry(dir: &Path) -> Result<PathBuf, PluginError> {
    if let Some(main) = read(dir)?.main {
        let path = dir.join(&main);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(not_a_plugin(
                dir,
                format!("`main` of {MANIFEST} names `{main}`, which is not there"),
            ))
        };
    }
    ENTRIES
        .iter()
        .map(|entry| dir.join(entry))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            not_a_plugin(
                dir,
                format!(
                    "`main` of {MANIFEST} does not name the plugin's module, and there is no {}",
                    ENTRIES.join(", ")
                ),
            )
        })
}

/// Checks the tools, before anything is built.
pub(super) fn check(dir: &Path) -> Result<(), PluginError> {
    let node = Tool::of_path(
        "node",
        "node",
        format!(
            "install Node.js {NODE_MIN} or newer from https://nodejs.org or with the package manager of the system"
        ),
    );
    let has = node.version(dir, &["--version"])?;
    node.need(dir, has, NODE_MIN)?;
    for (name, least) in [("esbuild", ESBUILD_MIN), ("componentize-qjs", COMPONENTIZE_MIN)] {
        let tool = local(dir, name)?;
        // Not all of them answer when they are asked for their version.
        let manifest = package(dir, name).and_then(|package| std::fs::read(package.join(MANIFEST)).ok());
        let manifest = manifest.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        let has = manifest.and_then(|manifest| Version::find(manifest["version"].as_str()?));
        tool.need(dir, has.unwrap_or(Version(0, 0, 0)), least)?;
    }
    if package(dir, SDK).is_none() {
        return Err(install(dir, SDK).missing(dir, format!("the package `{SDK}` is not installed")));
    }
    Ok(())
}

/// The directory of a package that the project has installed.
fn package(dir: &Path, name: &str) -> Option<PathBuf> {
    super::ancestors(dir)
        .into_iter()
        .map(|dir| dir.join("node_modules").join(name))
        .find(|path| path.is_dir())
}

/// A program of the project's own packages.
fn local(dir: &Path, name: &'static str) -> Result<Tool, PluginError> {
    let mut tool = install(dir, name);
    let found = super::ancestors(dir)
        .into_iter()
        .map(|dir| dir.join("node_modules/.bin").join(name))
        .find(|file| is_program(file));
    match found {
        Some(program) => {
            tool.command = vec![program.into()];
            Ok(tool)
        }
        None => Err(tool.missing(dir, format!("`{name}` is not installed"))),
    }
}

fn install(dir: &Path, name: &'static str) -> Tool {
    let install = format!(
        "run `npm install` in {}; its `devDependencies` must have `{name}`, as those of `wasmill new plugin` have",
        dir.display()
    );
    Tool::of_path(name, name, install)
}

/// A module with what the component exports. The parts of the SDK look whether the plugin has what they
/// export, and the last one whether it has more.
fn exporting(Handlers { queries, migrates }: Handlers) -> String {
    [
        (queries, "component-queries"),
        (migrates, "component-migrations"),
        (true, "component"),
    ]
    .into_iter()
    .filter(|(has, _)| *has)
    .map(|(_, part)| format!("export * from '{SDK}/{part}';\n"))
    .collect()
}

/// Puts a package into a component.
pub(super) fn compile(dir: &Path, settings: Settings) -> Result<Made, PluginError> {
    let start = Instant::now();
    let dir = &dir
        .canonicalize()
        .map_err(|error| PluginError::io("read", dir, error))?;
    let entry = entry(dir)?;
    let handlers = read(dir)?.wasmill;
    let work = super::work_dir()?;
    // What the component exports; read from standard input, it finds the SDK from the package's directory.
    let exports = work.path().join("component.js");
    std::fs::write(&exports, exporting(handlers)).map_err(|error| PluginError::io("write", &exports, error))?;
    let input = File::open(&exports).map_err(|error| PluginError::io("read", &exports, error))?;
    let bundle = work.path().join("plugin.js");
    let esbuild = local(dir, "esbuild")?;
    let mut command = esbuild.command(dir);
    command
        .stdin(input)
        .args([
            "--bundle",
            "--format=esm",
            "--target=es2024",
            "--log-level=warning",
            "--color=false",
        ])
        .arg(format!("--alias:wasmill-plugin={}", entry.display()))
        .arg("--external:wasmill:*")
        .arg(format!("--outfile={}", bundle.display()));
    if !settings.debug {
        // Names stay, for stack traces in dead letters.
        command.args(["--minify-whitespace", "--minify-syntax", "--legal-comments=none"]);
    }
    esbuild.run(dir, &mut command)?;

    let contract = super::write_contract(work.path(), handlers)?;
    let component = work.path().join("plugin.wasm");
    let componentize = local(dir, "componentize-qjs")?;
    let mut command = componentize.command(dir);
    command
        .arg("--js")
        .arg(&bundle)
        .arg("--wit")
        .arg(&contract.wit)
        .args(["--world", contract.world, "--stub-wasi", "--sync", "--output"])
        .arg(&component);
    componentize.run(dir, &mut command)?;
    Made::read(&component, dir, Language::JavaScript, start)
}
