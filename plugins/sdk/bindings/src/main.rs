//! Writes the committed bindings of the C SDK from `wit/plugin.wit`, or checks them with `--check`.
//!
//!     cargo run --locked --manifest-path plugins/sdk/bindings/Cargo.toml -- --check

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};

const WORLD: &str = "timed-transform";

/// The bindings of one language.
struct Target {
    /// Where they lie, from `plugins/sdk`. Nothing else lies there.
    folder: &'static str,
    generator: fn() -> Box<dyn WorldGenerator>,
}

const TARGETS: &[Target] = &[Target {
    folder: "c/generated",
    generator: c,
}];

/// Without an object file: `wasmill build` embeds the contract itself.
fn c() -> Box<dyn WorldGenerator> {
    let options = wit_bindgen_c::Opts {
        no_object_file: true,
        ..wit_bindgen_c::Opts::default()
    };
    options.build()
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        _ => bail!("usage: wasmill-bindings [--check]"),
    };
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut drifted = Vec::new();
    for target in TARGETS {
        let folder = sdk.join(target.folder);
        let files = generate(target, &sdk.join("../../wit/plugin.wit"))?;
        if check {
            drifted.extend(drift(&folder, &files)?);
        } else {
            write(&folder, &files)?;
        }
    }
    for path in &drifted {
        eprintln!("differs from what wit/plugin.wit gives: {}", path.display());
    }
    if drifted.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("write the bindings anew: cargo run --locked --manifest-path plugins/sdk/bindings/Cargo.toml");
    Ok(ExitCode::FAILURE)
}

fn generate(target: &Target, contract: &Path) -> Result<Files> {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_path(contract)
        .with_context(|| format!("cannot read {}", contract.display()))?
        .0;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    let mut files = Files::default();
    (target.generator)().generate(&mut resolve, world, &mut files)?;
    Ok(files)
}

/// The files that are missing, differ, or should not be there.
fn drift(folder: &Path, files: &Files) -> Result<Vec<PathBuf>> {
    let mut drifted = Vec::new();
    let mut expected = BTreeSet::new();
    for (name, content) in files.iter() {
        let path = folder.join(name);
        if fs::read(&path).ok().as_deref() != Some(content) {
            drifted.push(path.clone());
        }
        expected.insert(path);
    }
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry?.path();
        if !expected.contains(&path) {
            drifted.push(path);
        }
    }
    Ok(drifted)
}

fn write(folder: &Path, files: &Files) -> Result<()> {
    for (name, content) in files.iter() {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
