//! `wasmill pause` and `wasmill resume`.

use clap::Args;
use reqwest::Method;

use super::remote::RemoteArgs;
use crate::api::views::Pipeline;
use crate::failure::Failure;
use crate::output::Output;

/// Pause a pipeline: it commits what it has done, and stands still with its partitions
///
/// Until it is resumed, or the process ends.
#[derive(Args, Debug)]
pub(crate) struct PauseArgs {
    /// The pipeline [default: the only one of the process]
    pipeline: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Let a pipeline go on that was paused
#[derive(Args, Debug)]
pub(crate) struct ResumeArgs {
    /// The pipeline [default: the only one of the process]
    pipeline: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs `wasmill pause`.
pub(crate) fn pause(args: &PauseArgs, output: Output) -> Result<(), Failure> {
    set(args.pipeline.as_deref(), &args.remote, "pause", "is paused", output)
}

/// Runs `wasmill resume`.
pub(crate) fn resume(args: &ResumeArgs, output: Output) -> Result<(), Failure> {
    set(args.pipeline.as_deref(), &args.remote, "resume", "goes on", output)
}

fn set(pipeline: Option<&str>, remote: &RemoteArgs, what: &str, outcome: &str, output: Output) -> Result<(), Failure> {
    let name = remote.pipeline(pipeline)?;
    let one: Pipeline = remote.ask(Method::POST, &["v1", "pipelines", &name, what])?;
    let value = serde_json::to_value(&one).unwrap_or_default();
    output.result(&format!("pipeline `{name}` {outcome}"), &value)
}
