//! `wasmill doctor`: is everything there that a pipeline needs?

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::args::{LogArgs, PipelineArgs};
use crate::compose;
use crate::failure::Failure;
use crate::health::{self, Check, Verdict};
use crate::incarnation;
use crate::output::Output;
use crate::pipelines::Host;

/// Check broker, topics, groups, plugins, services and directories
///
/// With a pipeline: that it is valid, its plugins load, its log answers, its topics are as the plan
/// needs them, its groups and services can be reached. Without one: that the log answers. Changes
/// nothing. Exit code 1 when a check failed; warnings leave it 0.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// The pipeline; its own `[kafka]` is used then
    file: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
    /// Override a value of the pipeline; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = super::args::name_value)]
    set: Vec<(String, String)>,
    /// Plugins must lie in this directory [default: the current one]
    #[arg(long, value_name = "DIR")]
    plugin_root: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &DoctorArgs, output: Output) -> Result<(), Failure> {
    let mut checks = vec![Check::new(
        "wasmill",
        Verdict::Ok,
        format!(
            "{} on {} {}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH
        ),
    )];
    match &args.file {
        None => {
            let place = args.log.place()?;
            let name = place.to_string();
            checks.push(match compose::open_log(&place, "wasmill-doctor") {
                Ok(log) => health::log_answers(&*log, &name),
                Err(failure) => Check::failed(format!("log {name}"), &failure),
            });
        }
        Some(file) => pipeline_checks(args, file, output, &mut checks)?,
    }
    show(&checks, output)
}

fn pipeline_checks(args: &DoctorArgs, file: &Path, output: Output, checks: &mut Vec<Check>) -> Result<(), Failure> {
    let options = PipelineArgs {
        embedded: args.log.embedded.clone().map(Some),
        set: args.set.clone(),
        plugin_root: args.plugin_root.clone(),
    };
    let mut host = Host::default();
    let pipeline = host.load(file, &options, None, output)?;
    let topology = &*pipeline.topology;
    let (verdict, found) = match pipeline.warnings.len() {
        0 => (Verdict::Ok, "valid"),
        _ => (Verdict::Warning, "valid, with the warnings shown above"),
    };
    checks.push(Check::new(
        format!("pipeline `{}`", topology.pipeline),
        verdict,
        format!("{found}, plan {}", pipeline.plan_hash),
    ));
    for node in topology.processes.iter().flat_map(|sub| &sub.nodes) {
        let description = &node.description;
        checks.push(Check::new(
            format!("transform `{}`", node.name),
            Verdict::Ok,
            format!(
                "{} {} from {}",
                description.name,
                description.version,
                node.plugin.display()
            ),
        ));
    }
    let place = &pipeline.place;
    let what = place.to_string();
    match host.log(&pipeline) {
        Err(failure) => checks.push(Check::failed(format!("log {what}"), &failure)),
        Ok(log) => {
            let answers = health::log_answers(&*log, &what);
            let reachable = answers.verdict == Verdict::Ok;
            checks.push(answers);
            // Each of these would wait for the same broker again.
            if reachable {
                health::topics(&*log, topology, checks);
                health::groups(&*log, topology, checks);
                checks.push(reset_check(&*log, &pipeline.control_topic));
            }
        }
    }
    health::services(topology, checks);
    Ok(())
}

fn reset_check(log: &dyn record::log::Log, control: &str) -> Check {
    match incarnation::read(log, control) {
        Ok(found) if found.finished => Check::new("resets", Verdict::Ok, format!("incarnation {}", found.number)),
        Ok(_) => Check::new(
            "resets",
            Verdict::Failed,
            "a reset was begun and not finished; `wasmill reset FILE --yes` finishes it",
        ),
        Err(error) => Check::failed("resets", &Failure::log("cannot read the control topic")(error)),
    }
}

fn show(checks: &[Check], output: Output) -> Result<(), Failure> {
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Failed).count();
    let table = output.table(
        &["check", "", "found"],
        checks
            .iter()
            .map(|check| vec![check.what.clone(), check.verdict.word().to_owned(), check.found.clone()]),
    );
    let list: Vec<_> = checks
        .iter()
        .map(|check| json!({"check": check.what, "verdict": check.verdict.word().to_lowercase(), "found": check.found}))
        .collect();
    output.result(&table, &json!({"checks": list, "failed": failed}))?;
    if failed > 0 {
        return Err(Failure::Unwell {
            failed,
            all: checks.len(),
        });
    }
    Ok(())
}
