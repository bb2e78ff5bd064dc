//! From a plugin's Rust source to a component: cargo, then `wit-component` as a library.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use record::transform::{Port, StoreSpec};
use serde_json::Value;

use crate::engine::{Engine, EngineOptions};
use crate::error::PluginError;
use crate::{description, section};

const TARGET: &str = "wasm32-unknown-unknown";

/// What to build, and where the result goes.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The directory of a plugin's `Cargo.toml`; for [`build_all`] also that of a workspace, or
    /// one whose subdirectories are plugins.
    pub dir: PathBuf,
    /// Where `NAME.wasm` is written; it is created.
    pub out_dir: PathBuf,
}

/// What was built.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildReport {
    /// The plugin's name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
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
    /// How long it took. Plugins that were compiled together share the time of that.
    pub seconds: f64,
}

/// Builds the plugin of one directory.
///
/// # Errors
/// [`PluginError::Build`] with what cargo said, or how to install what is missing; or the component
/// is no acceptable plugin.
pub fn build(options: &BuildOptions) -> Result<BuildReport, PluginError> {
    let crates = plugin_crates(&options.dir)?;
    match crates.as_slice() {
        [one] => {
            let mut reports = build_crates(&options.dir, std::slice::from_ref(one), &options.out_dir)?;
            reports.pop().ok_or_else(|| fail(&options.dir, "nothing was built"))
        }
        [] => Err(fail(
            &options.dir,
            "it holds no plugin: `Cargo.toml` needs `[lib] crate-type = [\"cdylib\"]`",
        )),
        several => Err(fail(
            &options.dir,
            format!(
                "it is a workspace of {} plugins; name one of their directories",
                several.len()
            ),
        )),
    }
}

/// Builds every plugin of a directory: of a plugin, of a workspace (its default members), or one
/// whose subdirectories are plugins. In the order of their names.
///
/// # Errors
/// As [`build`]; the first one ends it.
pub fn build_all(options: &BuildOptions) -> Result<Vec<BuildReport>, PluginError> {
    let dir = &options.dir;
    let mut reports = Vec::new();
    if dir.join("Cargo.toml").is_file() {
        let crates = plugin_crates(dir)?;
        reports = build_crates(dir, &crates, &options.out_dir)?;
    } else {
        let entries = std::fs::read_dir(dir).map_err(|error| PluginError::io("read", dir, error))?;
        for entry in entries {
            let path = entry.map_err(|error| PluginError::io("read", dir, error))?.path();
            if path.join("Cargo.toml").is_file() {
                let crates = plugin_crates(&path)?;
                reports.extend(build_crates(&path, &crates, &options.out_dir)?);
            }
        }
    }
    if reports.is_empty() {
        return Err(fail(dir, "it holds no plugin"));
    }
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(reports)
}

fn fail(dir: &Path, message: impl Into<String>) -> PluginError {
    PluginError::Build {
        dir: dir.to_owned(),
        message: message.into(),
    }
}

/// A crate that makes a plugin.
struct PluginCrate {
    /// As `cargo build -p` takes it.
    package: String,
    id: String,
}

/// The crates of a directory that make plugins.
fn plugin_crates(dir: &Path) -> Result<Vec<PluginCrate>, PluginError> {
    if !dir.join("Cargo.toml").is_file() {
        return Err(fail(dir, "there is no `Cargo.toml`"));
    }
    let output = cargo(dir, &["metadata", "--no-deps", "--format-version", "1"])?;
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
        })
        .collect())
}

fn build_crates(dir: &Path, crates: &[PluginCrate], out_dir: &Path) -> Result<Vec<BuildReport>, PluginError> {
    if crates.is_empty() {
        return Ok(Vec::new());
    }
    let start = Instant::now();
    let modules = compile(dir, crates)?;
    let compile_seconds = start.elapsed().as_secs_f64();
    std::fs::create_dir_all(out_dir).map_err(|error| PluginError::io("create", out_dir, error))?;
    let engine = Engine::new(EngineOptions::default())?;
    modules
        .iter()
        .map(|module| {
            let start = Instant::now();
            let mut report = finish(&engine, dir, module, out_dir)?;
            report.seconds = compile_seconds + start.elapsed().as_secs_f64();
            Ok(report)
        })
        .collect()
}

/// Compiles crates to core modules, and says where those are.
fn compile(dir: &Path, crates: &[PluginCrate]) -> Result<Vec<PathBuf>, PluginError> {
    check_target(dir)?;
    let mut arguments = vec!["build", "--release", "--lib", "--target", TARGET];
    // The last errors of cargo are for people, its messages about artifacts for us.
    arguments.push("--message-format=json-render-diagnostics");
    for one in crates {
        arguments.extend(["-p", &one.package]);
    }
    let output = cargo(dir, &arguments)?;
    let mut modules = Vec::new();
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let is_ours = message["reason"] == "compiler-artifact"
            && crates.iter().any(|one| message["package_id"] == one.id.as_str());
        if is_ours {
            let files = message["filenames"].as_array().into_iter().flatten();
            modules.extend(
                files
                    .filter_map(Value::as_str)
                    .filter(|file| file.ends_with(".wasm"))
                    .map(PathBuf::from),
            );
        }
    }
    Ok(modules)
}

/// Says how to install the standard library of the target, when it is not there. rustc is asked
/// where it would be, so that this holds without rustup too.
fn check_target(dir: &Path) -> Result<(), PluginError> {
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
    Err(fail(
        dir,
        format!(
            "Rust's standard library for {TARGET} is missing; run `rustup target add {TARGET}`, \
             or install it with the package manager that Rust came from"
        ),
    ))
}

fn cargo(dir: &Path, arguments: &[&str]) -> Result<Output, PluginError> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        // Flags for this machine's processor and linker do not fit WebAssembly.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => fail(
                dir,
                format!("cargo is not installed; install Rust, then run `rustup target add {TARGET}`"),
            ),
            _ => fail(dir, format!("cargo does not start: {error}")),
        })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(fail(dir, format!("cargo failed\n{}", said.trim_end())))
}

/// Makes a component of a core module, lets it describe itself, and writes both.
fn finish(engine: &Engine, dir: &Path, module: &Path, out_dir: &Path) -> Result<BuildReport, PluginError> {
    let core = std::fs::read(module).map_err(|error| PluginError::io("read", module, error))?;
    let encode = |core: &[u8]| {
        wit_component::ComponentEncoder::default()
            .module(core)?
            .validate(true)
            .encode()
    };
    let mut component = encode(&core).map_err(|error| {
        fail(
            dir,
            format!("{} does not become a component: {error:#}", module.display()),
        )
    })?;
    let compiled = engine.load_bytes(&component, module)?;
    let about = compiled.description();
    section::append(&mut component, &description::to_json(about));
    let path = out_dir.join(format!("{}.wasm", about.name.replace('-', "_")));
    write(&path, &component)?;
    Ok(BuildReport {
        name: about.name.clone(),
        version: about.version.clone(),
        path,
        size: component.len() as u64,
        imports: compiled.imports().to_vec(),
        ports: about.ports.clone(),
        stores: about.stores.clone(),
        seconds: 0.0,
    })
}

/// Replaces the file at once: a pipeline that watches it never reads half of it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), PluginError> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    let io = |error| PluginError::io("write", path, error);
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    // Temporary files are private; a plugin is for whoever may read the directory.
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))
        .map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}
