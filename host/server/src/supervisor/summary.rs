//! What is told when a pipeline ends.

use plugin::{Linked, UsageSnapshot};
use serde_json::json;
use task::{RunError, Shutdown, Summary};

use super::Running;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::in_words;

/// Tells how a pipeline ended.
pub(super) fn tell(
    one: &Running,
    result: Result<Summary, RunError>,
    requested: &Shutdown,
    output: Output,
) -> Result<(), Failure> {
    let summary = result.map_err(|error| Failure::Pipeline {
        pipeline: one.name().to_string(),
        code: error.code(),
        next: next_after(&error, one),
        what: error.to_string(),
    })?;
    let counters = &summary.counters;
    output.note(&format!(
        "pipeline `{}` {} after {:.1} s: {}",
        one.name(),
        if requested.is_requested() { "stopped" } else { "done" },
        summary.elapsed.as_secs_f64(),
        in_words(counters)
    ));
    for plugin in &one.made.linked {
        let usage = plugin.usage();
        if usage.calls > 0 {
            output.note(&format!("  `{}` {}", plugin.transform(), usage_in_words(&usage)));
        }
    }
    if output.is_json() {
        let transforms: Vec<_> = one.made.linked.iter().map(usage_as_json).collect();
        let failures: Vec<_> = summary
            .failures
            .iter()
            .map(|failure| {
                json!({
                    "at": failure.at.to_string(),
                    "node": failure.node,
                    "code": failure.code.0,
                    "message": failure.message,
                    "next": failure.remedy,
                })
            })
            .collect();
        output.print(
            &json!({
                "pipeline": &**one.name(),
                "seconds": summary.elapsed.as_secs_f64(),
                "records_in": counters.records_in,
                "records_out": counters.records_out,
                "ingested": counters.ingested,
                "delivered": counters.delivered,
                "dead_letters": counters.dead_letters,
                "skipped": counters.skipped,
                "commits": counters.commits,
                "aborts": counters.aborts,
                "transforms": transforms,
                "failures": failures,
            })
            .to_string(),
        )?;
    }
    // A partition that stands still has records that were not processed: not a success, whoever
    // ended the run.
    match summary.failures.first() {
        None => Ok(()),
        Some(failure) => Err(Failure::Pipeline {
            pipeline: one.name().to_string(),
            code: failure.code,
            what: format!("`{}` stands still at {}: {}", failure.node, failure.at, failure.message),
            next: failure.remedy.clone(),
        }),
    }
}

fn usage_in_words(usage: &UsageSnapshot) -> String {
    let mut words = format!(
        "took {:.2} s of processor time in {} calls, {} MiB at most",
        usage.cpu.as_secs_f64(),
        usage.calls,
        usage.memory_peak_bytes.div_ceil(1 << 20),
    );
    for (count, what) in [
        (usage.traps, "trapped"),
        (usage.timed_out, "timed out"),
        (usage.limit_exceeded, "met a limit"),
        (usage.refused, "were refused"),
        (usage.misuse, "misused the host"),
    ] {
        if count > 0 {
            words.push_str(&format!(", {count} {what}"));
        }
    }
    words
}

fn usage_as_json(plugin: &Linked) -> serde_json::Value {
    let usage = plugin.usage();
    json!({
        "transform": &**plugin.transform(),
        "calls": usage.calls,
        "records": usage.records,
        "failed_records": usage.failed_records,
        "outputs": usage.outputs,
        "output_bytes": usage.output_bytes,
        "cpu_seconds": usage.cpu.as_secs_f64(),
        "memory_peak_bytes": usage.memory_peak_bytes,
        "instances": usage.instances,
        "recycled": usage.recycled,
        "traps": usage.traps,
        "timed_out": usage.timed_out,
        "limit_exceeded": usage.limit_exceeded,
        "refused": usage.refused,
        "misuse": usage.misuse,
    })
}

fn next_after(error: &RunError, one: &Running) -> String {
    let file = one.pipeline.file.display();
    match error {
        RunError::FromIgnored { .. } => {
            format!("leave `--from` out to go on where it stopped, or forget everything with `wasmill reset {file}`")
        }
        RunError::Log { source, .. } => crate::failure::log_next(source),
        RunError::Topics { .. } => format!("`wasmill doctor {file}` lists all topics and what they should be"),
        RunError::Store(_) => "nothing is lost: state that is removed is restored from its changelog".to_owned(),
        RunError::Source(_) => "make the source readable and start again: it goes on where it stopped".to_owned(),
        RunError::Sink(_) => format!(
            "mend it and start again: it goes on where it stopped; `wasmill doctor {file}` checks that services answer"
        ),
        RunError::Transform { .. } => format!("`wasmill validate {file}` checks plugins without running them"),
        RunError::NotInForce { .. } => {
            "start again with the plan that the other processes have; with that one, it waits for them".to_owned()
        }
        RunError::OtherPlan { .. } => "stop the other process first, or give this pipeline another `name`".to_owned(),
        RunError::Fenced { .. } => "give each process a `--state-dir` of its own".to_owned(),
        RunError::Thread { .. } => {
            "please report this with the log above; a restart goes on where it stopped".to_owned()
        }
    }
}
