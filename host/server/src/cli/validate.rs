//! `wasmill validate`: everything that is wrong with pipelines, without running them.

use std::path::{Path, PathBuf};

use clap::Args;
use pipeline::Diagnostic;
use record::topology::{PartitionCount, Topic, Topology};
use serde_json::{Value, json};

use super::args::PipelineArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::pipelines::{Host, Pipeline, try_sinks};
use crate::reset::role_name;

/// Check pipelines and their plugins without running them
///
/// Shows everything that is wrong at once. Plugins are loaded, describe themselves and try their
/// config; no broker and no database is asked. Exit code 2 when a pipeline is wrong.
#[derive(Args, Debug)]
pub(crate) struct ValidateArgs {
    /// The pipelines
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    pipeline: PipelineArgs,
}

/// Runs the command.
pub(crate) fn run(args: &ValidateArgs, output: Output) -> Result<(), Failure> {
    let mut host = Host::default();
    let mut wrong = None;
    for file in &args.files {
        match host.check(file, &args.pipeline, None) {
            Ok(pipeline) => {
                if let Err(failure) = try_sinks(&pipeline.topology, file) {
                    if output.is_json() {
                        output.print(&value(file, None, &[]).to_string())?;
                    }
                    output.failure(&failure);
                    wrong.get_or_insert(Failure::Invalid { file: file.clone() });
                    continue;
                }
                if !output.is_json() {
                    output.diagnostics(&pipeline.warnings);
                }
                output.result(
                    &text(&pipeline, output),
                    &value(file, Some(&pipeline), &pipeline.warnings),
                )?;
            }
            Err(diagnostics) => {
                if output.is_json() {
                    output.print(&value(file, None, &diagnostics.list).to_string())?;
                } else {
                    output.diagnostics(&diagnostics.list);
                }
                wrong.get_or_insert(Failure::Invalid { file: file.clone() });
            }
        }
    }
    wrong.map_or(Ok(()), Err)
}

fn text(pipeline: &Pipeline, output: Output) -> String {
    let topology = &*pipeline.topology;
    let mut text = format!(
        "{}: pipeline `{}` is valid (plan {})\n",
        pipeline.file.display(),
        topology.pipeline,
        pipeline.plan_hash
    );
    let transforms: Vec<Vec<String>> = nodes(topology)
        .map(|node| {
            let description = &node.description;
            let list = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
            vec![
                node.name.to_string(),
                format!("{} {}", description.name, description.version),
                list(&mut description.ports.iter().map(|port| port.name.as_str())),
                list(&mut description.stores.iter().map(|store| store.name.as_str())),
            ]
        })
        .collect();
    if !transforms.is_empty() {
        text.push_str(&output.table(&["transform", "plugin", "ports", "stores"], transforms));
        text.push('\n');
    }
    let topics = topology.topics.iter().map(|topic| {
        vec![
            topic.name.to_string(),
            role_name(topic.role).to_owned(),
            partitions(topology, topic),
            if topic.create { "if missing" } else { "by you" }.to_owned(),
        ]
    });
    text.push_str(&output.table(&["topic", "is the", "partitions", "created"], topics));
    text
}

fn value(file: &Path, pipeline: Option<&Pipeline>, diagnostics: &[Diagnostic]) -> Value {
    let mut value = json!({
        "file": file,
        "valid": pipeline.is_some(),
        "diagnostics": diagnostics,
    });
    let (Some(pipeline), Some(members)) = (pipeline, value.as_object_mut()) else {
        return value;
    };
    let topology = &*pipeline.topology;
    let transforms: Vec<Value> = nodes(topology)
        .map(|node| {
            let description = &node.description;
            json!({
                "name": &*node.name,
                "file": node.plugin,
                "plugin": description.name,
                "version": description.version,
                "ports": description.ports.iter().map(|port| &port.name).collect::<Vec<_>>(),
                "stores": description.stores.iter().map(|store| &store.name).collect::<Vec<_>>(),
            })
        })
        .collect();
    let topics: Vec<Value> = topology
        .topics
        .iter()
        .map(|topic| {
            json!({
                "name": &*topic.name,
                "role": role_name(topic.role),
                "partitions": partitions(topology, topic),
                "create": topic.create,
            })
        })
        .collect();
    members.insert("pipeline".to_owned(), (*topology.pipeline).into());
    members.insert("plan".to_owned(), pipeline.plan_hash.as_str().into());
    members.insert("transforms".to_owned(), transforms.into());
    members.insert("topics".to_owned(), topics.into());
    value
}

fn nodes(topology: &Topology) -> impl Iterator<Item = &record::topology::Node> {
    topology.processes.iter().flat_map(|sub| &sub.nodes)
}

fn partitions(topology: &Topology, topic: &Topic) -> String {
    match topic.partitions {
        PartitionCount::Existing => "as it has".to_owned(),
        PartitionCount::Fixed(count) => count.to_string(),
        PartitionCount::SameAs(id) => match topology.topics.get(id.0 as usize) {
            Some(model) => format!("as {}", model.name),
            None => "?".to_owned(),
        },
    }
}
