//! `wasmill build`: plugins from their source.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;
use plugin::{BuildOptions, BuildReport};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;

/// Compile plugins written in Rust to components
///
/// Needs cargo with the target wasm32-unknown-unknown, and nothing else.
#[derive(Args, Debug)]
pub(crate) struct BuildArgs {
    /// A plugin, a workspace of plugins, or a directory that holds plugins
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where `NAME.wasm` is written
    #[arg(long, value_name = "DIR", default_value = "plugins/dist")]
    out: PathBuf,
}

/// Runs the command.
pub(crate) fn run(args: &BuildArgs, output: Output) -> Result<(), Failure> {
    let bar = output.waiting(&format!("building {}", args.dir.display()));
    let built = plugin::build_all(&BuildOptions {
        dir: args.dir.clone(),
        out_dir: args.out.clone(),
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
