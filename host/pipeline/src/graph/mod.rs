//! Draws a plan, internal topics included. Settings and config are left out: they may hold secrets.

mod picture;
mod tree;

use record::topology::{Connector, PartitionCount, Target, Topic, TopicId, TopicRole, Topology};
use serde_json::{Map, Value, json};

/// How a plan is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A tree for a terminal.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
    /// For programs.
    Json,
}

/// Draws `topology`; ends with a line break.
#[must_use]
pub fn graph(topology: &Topology, format: Format) -> String {
    match format {
        Format::Text => tree::tree(topology),
        Format::Mermaid => picture::mermaid(topology),
        Format::Dot => picture::dot(topology),
        Format::Json => {
            let mut text = format!("{:#}", to_json(topology));
            text.push('\n');
            text
        }
    }
}

/// What a topic is for, as graphs name it.
fn role(role: TopicRole) -> &'static str {
    match role {
        TopicRole::Input => "input",
        TopicRole::Output => "output",
        TopicRole::Source => "source",
        TopicRole::Repartition => "repartition",
        TopicRole::Sink => "sink",
        TopicRole::Changelog => "changelog",
        TopicRole::DeadLetter => "dead letters",
    }
}

/// Sources that are not topics, and what they fill.
fn filling(topology: &Topology) -> impl Iterator<Item = (&Connector, TopicId)> {
    let ingests = topology.ingests.iter().map(|ingest| (&ingest.connector, ingest.topic));
    ingests.chain(topology.listens.iter().map(|listen| (&listen.connector, listen.topic)))
}

/// A topic that is there; a plan never names another.
fn topic(topology: &Topology, id: TopicId) -> Option<&Topic> {
    topology.topics.get(id.0 as usize)
}

fn topic_name(topology: &Topology, id: TopicId) -> &str {
    topic(topology, id).map_or("", |topic| &topic.name)
}

fn to_json(topology: &Topology) -> Value {
    let name = |id: TopicId| topic_name(topology, id);
    let topics = topology.topics.iter().map(|topic| {
        let partitions = match topic.partitions {
            PartitionCount::Existing => json!("existing"),
            PartitionCount::Fixed(n) => json!(n),
            PartitionCount::SameAs(other) => json!({ "same_as": name(other) }),
        };
        json!({
            "name": *topic.name,
            "role": role(topic.role),
            "internal": topic.role.is_internal(),
            "partitions": partitions,
            "create": topic.create,
        })
    });
    let sources = topology.ingests.iter().map(|ingest| {
        json!({
            "name": *ingest.connector.name,
            "type": ingest.connector.kind,
            "topic": name(ingest.topic),
            "key": ingest.key,
        })
    });
    let listens = topology.listens.iter().map(|listen| {
        json!({
            "name": *listen.connector.name,
            "type": listen.connector.kind,
            "topic": name(listen.topic),
        })
    });
    let sources = sources.chain(listens);
    let processes = topology.processes.iter().map(|sub| {
        let targets = |targets: &[Target]| -> Value {
            targets
                .iter()
                .map(|target| match target {
                    Target::Node { node, input } => {
                        let name = sub.nodes.get(node.0 as usize).map_or("", |node| &node.name);
                        json!({ "transform": name, "input": input })
                    }
                    Target::Topic { topic, input } => json!({ "topic": name(*topic), "input": input }),
                })
                .collect()
        };
        let inputs = sub.inputs.iter().map(|route| {
            json!({
                "topic": name(route.topic),
                "name": *route.name,
                "key": route.key,
                "targets": targets(&route.targets),
            })
        });
        let nodes = sub.nodes.iter().map(|node| {
            let ports = node.description.ports.iter().zip(&node.ports);
            let ports: Map<String, Value> = ports.map(|(port, to)| (port.name.clone(), targets(to))).collect();
            json!({
                "name": *node.name,
                "plugin": node.description.name,
                "version": node.description.version,
                "changelog": node.changelog.map(name),
                "ports": ports,
            })
        });
        json!({
            "id": sub.id,
            "inputs": inputs.collect::<Vec<_>>(),
            "transforms": nodes.collect::<Vec<_>>(),
        })
    });
    let deliveries = topology.deliveries.iter().map(|delivery| {
        json!({
            "name": *delivery.connector.name,
            "type": delivery.connector.kind,
            "topic": name(delivery.topic),
            "group": *delivery.group,
        })
    });
    json!({
        "pipeline": *topology.pipeline,
        "delivery": match topology.delivery {
            record::topology::Delivery::ExactlyOnce => "exactly_once",
            record::topology::Delivery::AtLeastOnce => "at_least_once",
        },
        "topics": topics.collect::<Vec<_>>(),
        "sources": sources.collect::<Vec<_>>(),
        "sub_topologies": processes.collect::<Vec<_>>(),
        "sinks": deliveries.collect::<Vec<_>>(),
        "dead_letters": name(topology.dead_letters),
    })
}
