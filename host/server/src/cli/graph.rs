//! `wasmill graph`: the plan of a pipeline as a picture.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::PipelineArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::pipelines::Host;

/// Draw the plan of a pipeline, internal topics included
#[derive(Args, Debug)]
pub(crate) struct GraphArgs {
    /// The pipeline
    file: PathBuf,
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// How it is drawn [default: text, or json with `--json`]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree for the terminal
    Text,
    /// A Mermaid flowchart, which GitHub and many wikis draw
    Mermaid,
    /// A Graphviz digraph
    Dot,
    /// For programs
    Json,
}

/// Runs the command.
pub(crate) fn run(args: &GraphArgs, output: Output) -> Result<(), Failure> {
    let pipeline = Host::default().load(&args.file, &args.pipeline, None, output)?;
    let format = match args.format {
        None if output.is_json() => pipeline::Format::Json,
        None | Some(Format::Text) => pipeline::Format::Text,
        Some(Format::Mermaid) => pipeline::Format::Mermaid,
        Some(Format::Dot) => pipeline::Format::Dot,
        Some(Format::Json) => pipeline::Format::Json,
    };
    output.print(pipeline::graph(&pipeline.topology, format).trim_end())
}
