//! Writes the committed bindings of the C and the Go SDK from `wit/plugin.wit`, or checks them with `--check`.
//! The Go ones need `gofmt`.
//!
//!     cargo run --locked --manifest-path plugins/sdk/bindings/Cargo.toml -- --check

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::{Files, WorldGenerator};

const WORLD: &str = "timed-transform";

/// The files of a target, by their place in its folder.
type Contents = BTreeMap<String, Vec<u8>>;

/// The bindings of one language.
struct Target {
    /// The SDK, in `plugins/sdk`. One that is not in the tree is left out.
    sdk: &'static str,
    /// Where the bindings lie in it.
    folder: &'static str,
    /// The parts of the folder in which nothing else lies; the generator's other files are not kept.
    parts: &'static [&'static str],
    generator: fn() -> Box<dyn WorldGenerator>,
    /// What is done to a file after that.
    finish: fn(&str, Vec<u8>) -> Result<Vec<u8>>,
}

const TARGETS: &[Target] = &[
    Target {
        sdk: "c",
        folder: "generated",
        parts: &[""],
        generator: c,
        finish: |_, content| Ok(content),
    },
    Target {
        sdk: "go",
        folder: "internal/bindings",
        parts: &["imports/", "exports/wit_exports/"],
        generator: go,
        finish: finish_go,
    },
];

/// Without an object file: `wasmill build` embeds the contract itself.
fn c() -> Box<dyn WorldGenerator> {
    let options = wit_bindgen_c::Opts {
        no_object_file: true,
        ..wit_bindgen_c::Opts::default()
    };
    options.build()
}

fn go() -> Box<dyn WorldGenerator> {
    let options = wit_bindgen_go::Opts {
        pkg_name: Some("wasmill/internal/bindings".to_owned()),
        ..wit_bindgen_go::Opts::default()
    };
    options.build()
}

/// The bindings' runtime is a copy in the module, so imports name that; then they stand in gofmt's order.
fn finish_go(name: &str, content: Vec<u8>) -> Result<Vec<u8>> {
    if !name.ends_with(".go") {
        return Ok(content);
    }
    let text =
        String::from_utf8(content)?.replace("\"go.bytecodealliance.org/pkg/wit/", "\"wasmill/internal/bindings/wit/");
    let mut gofmt = Command::new("gofmt")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run gofmt, which the bindings of Go need; it comes with Go")?;
    let mut input = gofmt.stdin.take().context("gofmt has no input")?;
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = gofmt.wait_with_output()?;
    if writer.join().is_err() || !output.status.success() {
        bail!("gofmt refuses {name}");
    }
    Ok(output.stdout)
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
        if !sdk.join(target.sdk).is_dir() {
            eprintln!("there is no SDK in plugins/sdk/{}: left out", target.sdk);
            continue;
        }
        let folder = sdk.join(target.sdk).join(target.folder);
        let files = generate(target, &sdk.join("../../wit/plugin.wit"))?;
        if check {
            drifted.extend(drift(target, &folder, &files)?);
        } else {
            write(&folder, &files)?;
            for old in drift(target, &folder, &files)? {
                fs::remove_file(&old)?;
            }
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

fn generate(target: &Target, contract: &Path) -> Result<Contents> {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_path(contract)
        .with_context(|| format!("cannot read {}", contract.display()))?
        .0;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    let mut files = Files::default();
    (target.generator)().generate(&mut resolve, world, &mut files)?;
    files
        .iter()
        .filter(|(name, _)| target.parts.iter().any(|part| name.starts_with(part)))
        .map(|(name, content)| Ok((name.to_owned(), (target.finish)(name, content.to_vec())?)))
        .collect()
}

/// The files that are missing, differ, or should not be there.
fn drift(target: &Target, folder: &Path, files: &Contents) -> Result<BTreeSet<PathBuf>> {
    let mut drifted = BTreeSet::new();
    for (name, content) in files {
        let path = folder.join(name);
        if fs::read(&path).ok().as_ref() != Some(content) {
            drifted.insert(path);
        }
    }
    let mut present = Vec::new();
    for part in target.parts {
        list(&folder.join(part), &mut present)?;
    }
    let expected: BTreeSet<PathBuf> = files.keys().map(|name| folder.join(name)).collect();
    drifted.extend(present.into_iter().filter(|path| !expected.contains(path)));
    Ok(drifted)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn write(folder: &Path, files: &Contents) -> Result<()> {
    for (name, content) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
