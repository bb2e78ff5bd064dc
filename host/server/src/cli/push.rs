//! `wasmill push`: a plugin into a registry.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;
use registry::{About, Limits, Target};
use serde_json::json;

use crate::cli::inspect;
use crate::failure::Failure;
use crate::output::Output;
use crate::plugins;

/// Publish a plugin in an OCI registry, and print the reference for pipelines
///
/// Credentials are those of Docker's config file (`docker login`). The same component always gives
/// the same reference.
#[derive(Args, Debug)]
pub(crate) struct PushArgs {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Where: `oci://registry/name:tag`
    #[arg(value_name = "TARGET")]
    target: String,
}

/// Runs the command.
pub(crate) fn run(args: &PushArgs, output: Output) -> Result<(), Failure> {
    let target: Target = args.target.parse().map_err(|error| plugins::failure(&error))?;
    let inspection = inspect::inspect(&args.file)?;
    let Some(description) = inspection.description else {
        return Err(Failure::usage(
            "it does not say what it is, so it is no plugin",
            "`wasmill inspect` shows why",
        ));
    };
    let about = About {
        name: description.name,
        version: description.version,
        imports: inspection.imports.into_iter().map(|import| import.name).collect(),
        exports: inspection.exports,
    };
    let bar = output.waiting(&format!("pushing to {target}"));
    let pushed = registry::push(&args.file, &target, &about, &Limits::default());
    bar.finish_and_clear();
    let pushed = pushed.map_err(|error| plugins::failure(&error))?;
    output.note(&format!(
        "pushed {} {} ({}); in a pipeline:",
        about.name,
        about.version,
        HumanBytes(pushed.size)
    ));
    let reference = pushed.reference.to_string();
    output.result(
        &format!("plugin = \"{reference}\""),
        &json!({
            "reference": reference,
            "manifest": pushed.reference.digest.as_str(),
            "component": pushed.component.as_str(),
            "size": pushed.size,
            "plugin": about.name,
            "version": about.version,
        }),
    )
}
