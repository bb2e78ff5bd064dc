//! `wasmill build`: plugins from their source.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;
use plugin::{BuildOptions, BuildReport};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;

/// Compile plugins to components, from Rust, Go, JavaScript, TypeScript, Python, C or C++
///
/// The language is known by the manifest: Cargo.toml, go.mod, package.json, pyproject.toml, or
/// plugin.toml for C and C++. Its tools are checked first, and what is missing is named with how to
/// install it.
#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    /// A plugin, a workspace of plugins, or a directory that holds plugins
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Where `NAME.wasm` is written; a file that ends in .wasm for one plugin [default: DIR/dist]
    #[arg(long, short, value_name = "OUT")]
    out: Option<PathBuf>,
    /// Keep what debuggers read: DWARF and all names
    #[arg(long)]
    debug: bool,
}

/// Runs the command.
pub(crate) fn run(args: &BuildArgs, output: Output) -> Result<(), Failure> {
    let bar = output.waiting(&format!("building {}", args.dir.display()));
    let built = plugin::build_all(&BuildOptions {
        dir: args.dir.clone(),
        out: args.out.clone(),
        debug: args.debug,
    });
    bar.finish_and_clear();
    let reports = built.map_err(|error| Failure::Other {
        code: error.code(),
        invalid: false,
        what: error.to_string(),
        place: Some(args.dir.display().to_string()),
        next: "mend what is named above and build again".to_owned(),
    })?;
    let rows = reports.iter().map(|report| {
        vec![
            report.path.display().to_string(),
            format!("{} {}", report.name, report.version),
            HumanBytes(report.size).to_string(),
            ports(report),
            stores(report),
            report.imports.join("\n"),
            format!("{:.1} s", report.seconds),
        ]
    });
    let table = output.table(
        &["component", "plugin", "size", "ports", "stores", "imports", "took"],
        rows,
    );
    output.result(&table, &reports.iter().map(value).collect())
}

fn ports(report: &BuildReport) -> String {
    let ports: Vec<String> = report
        .ports
        .iter()
        .map(|port| {
            if port.rekeys {
                format!("{} (rekeys)", port.name)
            } else {
                port.name.clone()
            }
        })
        .collect();
    ports.join("\n")
}

fn stores(report: &BuildReport) -> String {
    let stores: Vec<&str> = report.stores.iter().map(|store| store.name.as_str()).collect();
    stores.join("\n")
}

fn value(report: &BuildReport) -> Value {
    json!({
        "path": report.path,
        "plugin": report.name,
        "version": report.version,
        "size": report.size,
        "ports": report.ports.iter().map(|port| json!({"name": port.name, "rekeys": port.rekeys})).collect::<Vec<_>>(),
        "stores": report.stores.iter().map(|store| &store.name).collect::<Vec<_>>(),
        "imports": report.imports,
        "seconds": report.seconds,
    })
}
