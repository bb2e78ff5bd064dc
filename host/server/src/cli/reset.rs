//! `wasmill reset`: a pipeline forgets everything that it has left behind.

use std::path::PathBuf;

use clap::Args;
use record::topology::TopicRole;
use serde_json::{Value, json};

use super::args::PipelineArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::pipelines::{Host, state_dir};
use crate::reset::{Reset, role_name};

/// Forget a pipeline's offsets, state and sink positions together
///
/// Shows what would be done, and does it with `--yes`. Deletes the pipeline's consumer groups, its
/// internal topics (changelogs, repartition, sink and source topics) and the local state, and makes
/// the guards of its sinks start anew. Records in your own topics, dead letters and rows in
/// databases stay. Refused while a process of the pipeline runs.
#[derive(Args, Debug)]
pub(crate) struct ResetArgs {
    /// The pipeline
    file: PathBuf,
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Where local state lies: in DIR/<pipeline>
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Do it; without this it is only shown
    #[arg(long)]
    yes: bool,
}

/// Runs the command.
pub(crate) fn run(args: &ResetArgs, output: Output) -> Result<(), Failure> {
    if args.pipeline.embedded == Some(None) {
        return Err(Failure::usage(
            "an embedded log in memory has nothing to forget",
            "name its directory: `--embedded=DIR`",
        ));
    }
    let mut host = Host::default();
    let pipeline = host.load(&args.file, &args.pipeline, None, output)?;
    let log = host.log(&pipeline)?;
    let dir = state_dir(&pipeline, args.state_dir.as_deref());
    let reset = Reset::look(
        &*log,
        &pipeline.topology,
        pipeline.control_topic.clone(),
        dir.as_deref(),
    )?;
    let steps = steps(&reset);
    let table = output.table(
        &["what", "name", "holds", if args.yes { "done" } else { "would be done" }],
        steps.iter().map(Step::row),
    );
    let value = |done: bool| {
        json!({
            "pipeline": &*reset.pipeline,
            "done": done,
            "steps": steps.iter().map(Step::json).collect::<Vec<_>>(),
        })
    };
    if !args.yes {
        let again = "nothing was changed; `--yes` does it. Your own topics, dead letters and rows in databases stay.";
        return output.result(&format!("{table}\n{again}"), &value(false));
    }
    reset.run(&*log)?;
    output.result(
        &format!("{table}\npipeline `{}` starts anew at its next run", reset.pipeline),
        &value(true),
    )
}

/// A line of the table.
struct Step {
    what: &'static str,
    name: String,
    holds: String,
    action: String,
}

impl Step {
    fn row(&self) -> Vec<String> {
        vec![
            self.what.to_owned(),
            self.name.clone(),
            self.holds.clone(),
            self.action.clone(),
        ]
    }

    fn json(&self) -> Value {
        json!({"what": self.what, "name": self.name, "holds": self.holds, "action": self.action})
    }
}

fn steps(reset: &Reset) -> Vec<Step> {
    let mut steps = Vec::new();
    for group in &reset.groups {
        steps.push(Step {
            what: "group",
            name: group.name.to_string(),
            holds: format!("{} committed positions", group.positions.len()),
            action: "delete".to_owned(),
        });
    }
    for topic in &reset.topics {
        let (holds, action) = match (&topic.ends, reset.deletes_topics, topic.role) {
            (None, _, _) => ("does not exist".to_owned(), "nothing"),
            (Some(_), true, _) => (
                format!("{} offsets", topic.records),
                "delete; made anew at the next start",
            ),
            (Some(_), false, TopicRole::Changelog) if topic.records > 0 => (
                format!("{} offsets", topic.records),
                "yours to delete and make anew first",
            ),
            (Some(_), false, _) => (format!("{} offsets", topic.records), "delete its records"),
        };
        steps.push(Step {
            what: role_name(topic.role),
            name: topic.name.to_string(),
            holds,
            action: action.to_owned(),
        });
    }
    if let Some(dir) = &reset.state_dir {
        steps.push(Step {
            what: "local state",
            name: dir.display().to_string(),
            holds: "stores".to_owned(),
            action: "delete".to_owned(),
        });
    }
    let raised = reset.incarnation.raised();
    steps.push(Step {
        what: "sink guards",
        name: reset.control.clone(),
        holds: format!("incarnation {}", reset.incarnation.number),
        action: format!("raise to incarnation {}", raised.number),
    });
    steps
}
