//! `wasmill schema`: the JSON Schema of pipeline files.

use clap::Args;

use crate::failure::Failure;
use crate::output::Output;

/// Print the JSON Schema of pipeline files, for editors
///
/// With the schema in a file, `#:schema ./pipeline.schema.json` as the first line of a pipeline
/// makes editors that know TOML (taplo, Even Better TOML) check and complete it.
#[derive(Args, Debug)]
pub(crate) struct SchemaArgs {}

/// Runs the command.
pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let schema = pipeline::schema();
    let text = serde_json::to_string_pretty(&schema).unwrap_or_else(|_| schema.to_string());
    output.print(&text)
}
