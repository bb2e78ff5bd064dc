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

/// A world of all that a plugin may import and export, for C, whose bindings of two worlds cannot be linked
/// together.
const EVERYTHING: &str = "
    package wasmill:sdk;
    world everything {
        include wasmill:plugin/timed-transform@0.1.2;
        include wasmill:plugin/query@0.1.2;
        include wasmill:plugin/migrate@0.1.2;
    }
";

/// The files of a target, by their place in its folder.
type Contents = BTreeMap<String, Vec<u8>>;

/// The bindings of one language.
struct Target {
    /// The SDK, in `plugins/sdk`. One that is not in the tree is left out.
    sdk: &'static str,
    /// Where the bindings lie in it.
    folder: &'static str,
    /// The worlds, of which each gives files; those that several give are the same.
    worlds: &'static [&'static str],
    /// The parts of the folder in which nothing else lies; the generator's other files are not kept.
    parts: &'static [&'static str],
    generator: fn() -> Box<dyn WorldGenerator>,
    /// What is done to a file of a world after that: its place, and what is in it.
    finish: fn(&str, &str, &str) -> Result<(String, String)>,
}

const TARGETS: &[Target] = &[
    Target {
        sdk: "c",
        folder: "generated",
        worlds: &["everything"],
        parts: &[""],
        generator: c,
        finish: finish_c,
    },
    Target {
        sdk: "go",
        folder: "internal/bindings",
        worlds: &["timed-transform", "query", "migrate"],
        parts: &[
            "imports/",
            "exports/wit_exports/",
            "exports/wit_query_exports/",
            "exports/wit_migrate_exports/",
        ],
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

/// What not every plugin has is exported by the macro with which it says so, not by its being compiled.
fn finish_c(_: &str, name: &str, content: &str) -> Result<(String, String)> {
    const ASKED_FOR: [&str; 2] = ["wasmill:plugin/query-handler@", "wasmill:plugin/migration-handler@"];
    let is_export =
        |line: &str| line.contains("__export_name__(") && ASKED_FOR.iter().any(|interface| line.contains(interface));
    let kept = content.lines().filter(|line| !is_export(line));
    Ok((name.to_owned(), kept.map(|line| format!("{line}\n")).collect()))
}

/// The bindings' runtime is a copy in the module, so imports name that; then they stand in gofmt's order. The
/// exports of each world are a package of their own: what links it has them.
fn finish_go(world: &str, name: &str, content: &str) -> Result<(String, String)> {
    if !name.ends_with(".go") {
        return Ok((name.to_owned(), content.to_owned()));
    }
    let exports = match world {
        "query" => "wit_query_exports",
        "migrate" => "wit_migrate_exports",
        _ => "wit_exports",
    };
    let name = name.replace("wit_exports", exports);
    let text = content
        .replace("\"go.bytecodealliance.org/pkg/wit/", "\"wasmill/internal/bindings/wit/")
        .replace("package wit_exports\n", &format!("package {exports}\n"));
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
    Ok((name, String::from_utf8(output.stdout)?))
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
    let mut contents = Contents::new();
    for world in target.worlds {
        let mut resolve = Resolve::default();
        let mut package = resolve
            .push_path(contract)
            .with_context(|| format!("cannot read {}", contract.display()))?
            .0;
        if *world == "everything" {
            package = resolve.push_str("everything.wit", EVERYTHING)?;
        }
        let id = resolve.select_world(&[package], Some(world))?;
        let mut files = Files::default();
        (target.generator)().generate(&mut resolve, id, &mut files)?;
        for (name, content) in files.iter() {
            let (name, content) = (target.finish)(world, name, str::from_utf8(content)?)?;
            if !target.parts.iter().any(|part| name.starts_with(part)) {
                continue;
            }
            let content = content.into_bytes();
            if contents.get(&name).is_some_and(|other| *other != content) {
                bail!("{name} differs from world to world");
            }
            contents.insert(name, content);
        }
    }
    Ok(contents)
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
