//! Rust: cargo for `wasm32-unknown-unknown`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::component::Made;
use super::tool::Tool;
use super::{Language, Settings, fail};
use crate::error::PluginError;

const TARGET: &str = "wasm32-unknown-unknown";

/// A crate that makes a plugin.
pub(super) struct PluginCrate {
    /// As `cargo build -p` takes it.
    package: String,
    id: String,
    dir: PathBuf,
}

/// The crates of a directory that make plugins.
pub(super) fn plugin_crates(dir: &Path) -> Result<Vec<PluginCrate>, PluginError> {
    let cargo = cargo();
    let mut command = command(&cargo, dir);
    let output = cargo.run(dir, command.args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| fail(dir, error.to_string()))?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let here = dir
        .join("Cargo.toml")
        .canonicalize()
        .map_err(|error| PluginError::io("read", dir, error))?;
    let packages = list(&metadata["packages"]);
    // A package of a workspace names itself; the workspace's own directory, its default members.
    let own = packages
        .iter()
        .find(|package| Path::new(&text(&package["manifest_path"])) == here)
        .map(|package| package["id"].clone());
    let wanted = own.map_or_else(|| list(&metadata["workspace_default_members"]), |id| vec![id]);
    let is_cdylib = |target: &Value| list(&target["crate_types"]).iter().any(|kind| kind == "cdylib");
    Ok(packages
        .iter()
        .filter(|package| wanted.contains(&package["id"]) && list(&package["targets"]).iter().any(is_cdylib))
        .map(|package| PluginCrate {
            package: text(&package["name"]),
            id: text(&package["id"]),
            dir: PathBuf::from(text(&package["manifest_path"]))
                .parent()
                .map(Path::to_owned)
                .unwrap_or_default(),
        })
        .collect())
}

/// Compiles crates to core modules, all at once: they share their dependencies.
pub(super) fn compile(dir: &Path, crates: &[PluginCrate], settings: Settings) -> Result<Vec<Made>, PluginError> {
    let start = Instant::now();
    let cargo = cargo();
    let mut command = command(&cargo, dir);
    // The last errors of cargo are for people, its messages about artifacts for us.
    command.args(["build", "--release", "--lib", "--target", TARGET]);
    command.arg("--message-format=json-render-diagnostics");
    if settings.debug {
        command.args(["--config", "profile.release.debug=\"full\""]);
        command.args(["--config", "profile.release.strip=\"none\""]);
    }
    for one in crates {
        command.args(["-p", &one.package]);
    }
    // Its standard output is not for people.
    let output = cargo.run_with(dir, &mut command, |output| {
        String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
    })?;
    let mut all = Vec::new();
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let ours = crates
            .iter()
            .find(|one| message["reason"] == "compiler-artifact" && message["package_id"] == one.id.as_str());
        let files = message["filenames"].as_array().into_iter().flatten();
        if let Some(one) = ours {
            for file in files.filter_map(Value::as_str).filter(|file| file.ends_with(".wasm")) {
                all.push(Made::read(Path::new(file), &one.dir, Language::Rust, start)?);
            }
        }
    }
    Ok(all)
}

/// Checks the tools, before anything is built. rustc is asked where the standard library of the
/// target would be, so that this holds without rustup too.
pub(super) fn check(dir: &Path) -> Result<(), PluginError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(dir)
        .output();
    // Without a rustc to ask, cargo knows another one, or says best what is missing.
    let Ok(output) = output else { return Ok(()) };
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let is_there = std::fs::read_dir(&libraries).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    });
    if !output.status.success() || is_there {
        return Ok(());
    }
    Err(PluginError::ToolMissing {
        dir: dir.to_owned(),
        what: format!("Rust's standard library for {TARGET} is not installed"),
        remedy: format!("run `rustup target add {TARGET}`, or install it with the package manager that Rust came from"),
    })
}

fn cargo() -> Tool {
    Tool::of_path(
        "cargo",
        std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        format!("install Rust from https://rustup.rs, then run `rustup target add {TARGET}`"),
    )
}

fn command(cargo: &Tool, dir: &Path) -> Command {
    let mut command = cargo.command(dir);
    // Flags for this machine's processor and linker do not fit WebAssembly.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // Panics name source files: the paths of this machine are nobody's business, and would make the
    // same source another component elsewhere.
    if let Some(home) = cargo_home() {
        command.env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("--remap-path-prefix={}=cargo", home.display()),
        );
    }
    command
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home)
}
