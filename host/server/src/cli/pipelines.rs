//! `wasmill pipelines`: what runs, and how it does.

use clap::Args;
use reqwest::Method;

use super::remote::RemoteArgs;
use crate::api::views::Pipelines;
use crate::failure::Failure;
use crate::output::Output;

/// Show the pipelines of a process that runs
#[derive(Args, Debug)]
pub(crate) struct PipelinesArgs {
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(crate) fn run(args: &PipelinesArgs, output: Output) -> Result<(), Failure> {
    let all: Pipelines = args.remote.ask(Method::GET, &["v1", "pipelines"])?;
    let value = serde_json::to_value(&all).unwrap_or_default();
    let rows = all.pipelines.iter().map(|one| {
        vec![
            one.name.to_string(),
            one.state.name().to_owned(),
            one.counters.records_read.to_string(),
            one.counters.records_written.to_string(),
            one.counters.records_delivered.to_string(),
            one.counters.dead_letters.to_string(),
            one.why.clone().unwrap_or_default(),
        ]
    });
    let header = ["pipeline", "is", "read", "written", "delivered", "dead letters", "why"];
    let mut text = output.table(&header, rows);
    for failure in all.pipelines.iter().flat_map(|one| &one.failures) {
        text.push_str(&format!(
            "\n\n{} `{}` ({}): {}\n  next: {}",
            failure.at, failure.node, failure.code, failure.message, failure.next
        ));
    }
    output.result(&text, &value)
}
