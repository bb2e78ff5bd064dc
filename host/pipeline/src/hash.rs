//! What all processes of a pipeline must agree on, as a short text that tells plans apart.

use std::fmt::Write;

use record::topology::{PartitionCount, Target, Topology};
use sha2::{Digest, Sha256};

use crate::checked::{Checked, SinkKind, SourceKind};

/// The hash of a plan, 16 hexadecimal digits. It covers topics, sub-topologies, what transforms keep, and
/// the settings of sources and sinks as they are written, so that no secret goes into it. It leaves out
/// what may differ from process to process: workers, batches, the commit interval; and all that a reload
/// may bring to one process after another: plugins with their configuration, limits and grants.
pub(crate) fn hash(checked: &Checked, plan: &Topology) -> String {
    let mut hasher = Sha256::new();
    hasher.update(describe(checked, plan).as_bytes());
    let mut text = String::new();
    for byte in hasher.finalize().iter().take(8) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A line for each thing, in a fixed form: what is hashed. Texts of the user's are quoted.
fn describe(checked: &Checked, plan: &Topology) -> String {
    let mut lines = vec![
        "plan 2".to_owned(),
        format!("pipeline {:?} {:?}", plan.pipeline, plan.delivery),
        format!("dead letters {}", plan.dead_letters.0),
    ];
    for topic in &plan.topics {
        let partitions = match topic.partitions {
            PartitionCount::Existing => "existing".to_owned(),
            // A topic of the user's keeps what it has, whatever is said here.
            PartitionCount::Fixed(_) if !topic.role.is_internal() => "existing".to_owned(),
            PartitionCount::Fixed(n) => n.to_string(),
            PartitionCount::SameAs(other) => format!("as {}", other.0),
        };
        lines.push(format!("topic {:?} {:?} {partitions}", topic.name, topic.role));
    }
    for source in &checked.sources {
        if let SourceKind::Ingest { connector, written, .. } = &source.kind {
            lines.push(format!("ingest {:?} {} {written}", source.name, connector.kind));
        }
    }
    for sub in &plan.processes {
        lines.push(format!("sub-topology {}", sub.id));
        for route in &sub.inputs {
            lines.push(format!(
                "input {} {:?} {:?} {}",
                route.topic.0,
                route.key,
                route.on_undecodable,
                targets(&route.targets)
            ));
        }
        for node in &sub.nodes {
            lines.push(format!(
                "node {:?} {:?} {} {:?}",
                node.name,
                node.description.name,
                node.description.state_version,
                node.changelog.map(|topic| topic.0),
            ));
            for store in &node.description.stores {
                lines.push(format!(
                    "store {:?} {} {} {:?} {:?}",
                    store.name, store.table, store.keyed, store.key_format, store.value_format
                ));
            }
            for port in &node.ports {
                lines.push(format!("port {}", targets(port)));
            }
        }
    }
    for delivery in &plan.deliveries {
        lines.push(format!(
            "deliver {:?} {} {:?} {:?}",
            delivery.connector.name, delivery.topic.0, delivery.group, delivery.on_error
        ));
    }
    for sink in &checked.sinks {
        if let SinkKind::External { connector, written, .. } = &sink.kind {
            lines.push(format!("sink {:?} {} {written}", sink.name, connector.kind));
        }
    }
    lines.join("\n")
}

fn targets(targets: &[Target]) -> String {
    let texts: Vec<String> = targets
        .iter()
        .map(|target| match target {
            Target::Node { node, input } => format!("node {}/{input}", node.0),
            Target::Topic { topic, input } => format!("topic {}/{input}", topic.0),
        })
        .collect();
    texts.join(", ")
}
