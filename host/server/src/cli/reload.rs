//! `wasmill reload`: pipelines become what their files say, now.

use clap::Args;
use record::error::Code;
use reqwest::Method;

use super::remote::RemoteArgs;
use crate::api::routes::Receipts;
use crate::failure::Failure;
use crate::output::Output;
use crate::supervisor::receipt::{Outcome, Receipt};

/// Reload pipelines of a process that runs
///
/// Shows the receipt of each. The exit code is 1 when one is refused: what ran before runs on. One that waits does so
/// for other processes of its pipeline, which do not have the new plan yet.
#[derive(Args, Debug)]
pub(crate) struct ReloadArgs {
    /// The pipeline [default: all of the process]
    pipeline: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(crate) fn run(args: &ReloadArgs, output: Output) -> Result<(), Failure> {
    let path: Vec<&str> = match &args.pipeline {
        Some(name) => vec!["v1", "pipelines", name, "reload"],
        None => vec!["v1", "reload"],
    };
    let waiting = output.waiting("reloading");
    let answer: Result<Receipts, _> = args.remote.ask(Method::POST, &path);
    waiting.finish_and_clear();
    let receipts = answer?.receipts;
    let rows = receipts.iter().map(|receipt| {
        let changes: Vec<String> = receipt.changes.iter().map(ToString::to_string).collect();
        vec![
            receipt.id.to_string(),
            receipt.pipeline.to_string(),
            receipt.outcome.name().to_owned(),
            format!("{:.1}", receipt.pause_ms),
            changes.join("\n"),
        ]
    });
    let text = output.table(&["reload", "pipeline", "was", "stood still ms", "changes"], rows);
    output.result(&text, &serde_json::json!({ "receipts": receipts }))?;
    for receipt in receipts.iter().filter(|receipt| receipt.outcome == Outcome::Waiting) {
        for problem in &receipt.problems {
            output.note(&format!("pipeline `{}` waits: {}", receipt.pipeline, problem.message));
        }
    }
    match receipts.iter().find(|receipt| receipt.outcome == Outcome::Refused) {
        None => Ok(()),
        Some(refused) => Err(refusal(refused)),
    }
}

fn refusal(receipt: &Receipt) -> Failure {
    let problems: Vec<String> = receipt
        .problems
        .iter()
        .map(|problem| {
            let place = problem
                .place
                .as_ref()
                .map(|place| format!("{place}: "))
                .unwrap_or_default();
            format!("{place}{} ({})", problem.message, problem.code)
        })
        .collect();
    Failure::Other {
        code: Code("E0732"),
        invalid: false,
        what: format!(
            "pipeline `{}` was not reloaded: {}",
            receipt.pipeline,
            problems.join("; ")
        ),
        place: Some(receipt.file.display().to_string()),
        next: "mend it and reload again; the version that ran goes on".to_owned(),
    }
}
