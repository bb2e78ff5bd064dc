//! `wasmill build`: plugins from their source.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;
use plugin::{BuildOptions, BuildReport, PluginError};
use serde_json::{Value, json};

use super::watch;
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
    /// Build again whenever a source file changes, until interrupted; a failed build does not end it
    #[arg(long)]
    watch: bool,
}

/// Runs the command.
pub(crate) fn run(args: &BuildArgs, output: Output) -> Result<(), Failure> {
    let first = build(args, output);
    if !args.watch {
        return first;
    }
    let ignored = args.out.clone().unwrap_or_else(|| args.dir.join("dist"));
    let watch = watch::Watch::start(&args.dir, &ignored)?;
    tell(first, args, output)?;
    loop {
        watch.wait()?;
        tell(build(args, output), args, output)?;
    }
}

/// Shows how a build under `--watch` went; only what ends the watching is an error.
fn tell(built: Result<(), Failure>, args: &BuildArgs, output: Output) -> Result<(), Failure> {
    match built {
        Err(failure) if failure.is_broken_pipe() => return Err(failure),
        Err(failure) => output.failure(&failure),
        Ok(()) => {}
    }
    output.note(&format!("watching {}; Ctrl-C ends it", args.dir.display()));
    Ok(())
}

fn build(args: &BuildArgs, output: Output) -> Result<(), Failure> {
    let bar = output.waiting(&format!("building {}", args.dir.display()));
    let built = plugin::build_all(&BuildOptions {
        dir: args.dir.clone(),
        out: args.out.clone(),
        debug: args.debug,
    });
    bar.finish_and_clear();
    let reports = built.map_err(|error| Failure::Other {
        code: error.code(),
        invalid: matches!(error, PluginError::NoProject { .. }),
        place: Some(args.dir.display().to_string()),
        next: next(&error).to_owned(),
        what: error.to_string(),
    })?;
    let rows = reports.iter().map(|report| {
        vec![
            report.path.display().to_string(),
            format!("{} {}", report.name, report.version),
            report.language.name().to_owned(),
            HumanBytes(report.size).to_string(),
            ports(report),
            stores(report),
            imports(report),
            format!("{:.1} s", report.seconds),
            format!("{:.1} s", report.load_seconds),
        ]
    });
    let table = output.table(
        &[
            "component",
            "plugin",
            "language",
            "size",
            "ports",
            "stores",
            "imports",
            "built in",
            "of it loading",
        ],
        rows,
    );
    output.result(&table, &reports.iter().map(value).collect())
}

fn next(error: &PluginError) -> &'static str {
    match error {
        PluginError::ToolMissing { .. } => "install it as the message says, then build again",
        PluginError::NoProject { .. } => {
            "give the directory of a plugin; `wasmill new plugin NAME --lang L` writes one"
        }
        _ => "mend what is named above and build again",
    }
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
    let mut stores: Vec<&str> = report.stores.iter().map(|store| store.name.as_str()).collect();
    if report.sets_timers {
        stores.push("timers");
    }
    stores.join("\n")
}

/// The contract's interfaces without what is the same in all of them.
fn imports(report: &BuildReport) -> String {
    let short = |name: &String| {
        let inner = name.strip_prefix("wasmill:plugin/").unwrap_or(name);
        inner.split('@').next().unwrap_or(inner).to_owned()
    };
    report.imports.iter().map(short).collect::<Vec<_>>().join("\n")
}

fn value(report: &BuildReport) -> Value {
    json!({
        "path": report.path,
        "plugin": report.name,
        "version": report.version,
        "language": report.language.name(),
        "dir": report.dir,
        "size": report.size,
        "ports": report.ports.iter().map(|port| json!({"name": port.name, "rekeys": port.rekeys})).collect::<Vec<_>>(),
        "stores": report.stores.iter().map(|store| &store.name).collect::<Vec<_>>(),
        "sets_timers": report.sets_timers,
        "imports": report.imports,
        "seconds": report.seconds,
        "load_seconds": report.load_seconds,
    })
}
