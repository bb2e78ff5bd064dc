//! A plan as a picture: boxes and arrows for Mermaid and Graphviz.

use std::fmt::Write;

use record::topology::{SubTopology, Target, Topology};

use super::role;

/// What a box stands for.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Topic,
    Internal,
    Transform,
    Connector,
}

struct Node {
    id: String,
    label: Vec<String>,
    shape: Shape,
}

struct Arrow {
    from: String,
    to: String,
    label: String,
    /// Between a transform and its changelog.
    dashed: bool,
}

/// A plan as boxes and arrows.
struct Picture {
    outside: Vec<Node>,
    /// Sub-topologies.
    groups: Vec<(String, Vec<Node>)>,
    arrows: Vec<Arrow>,
}

fn picture(topology: &Topology) -> Picture {
    let mut outside = Vec::new();
    let mut arrows = Vec::new();
    let topic_id = |id: record::topology::TopicId| format!("t{}", id.0);
    for (i, topic) in topology.topics.iter().enumerate() {
        outside.push(Node {
            id: format!("t{i}"),
            label: vec![topic.name.to_string(), role(topic.role).to_owned()],
            shape: if topic.role.is_internal() {
                Shape::Internal
            } else {
                Shape::Topic
            },
        });
    }
    let mut arrow = |from: String, to: String, label: &str, dashed: bool| {
        arrows.push(Arrow {
            from,
            to,
            label: label.to_owned(),
            dashed,
        });
    };
    for (i, (connector, topic)) in super::filling(topology).enumerate() {
        outside.push(Node {
            id: format!("source{i}"),
            label: vec![connector.name.to_string(), connector.kind.clone()],
            shape: Shape::Connector,
        });
        arrow(format!("source{i}"), topic_id(topic), "", false);
    }
    let mut groups = Vec::new();
    for sub in &topology.processes {
        let node_id = |place: usize| format!("s{}n{place}", sub.id);
        let target_id = |target: &Target| match target {
            Target::Node { node, .. } => node_id(node.0 as usize),
            Target::Topic { topic, .. } => topic_id(*topic),
        };
        for route in &sub.inputs {
            for target in &route.targets {
                arrow(topic_id(route.topic), target_id(target), "", false);
            }
        }
        for (place, node) in sub.nodes.iter().enumerate() {
            for (port, targets) in node.description.ports.iter().zip(&node.ports) {
                for target in targets {
                    arrow(node_id(place), target_id(target), &port.name, false);
                }
            }
            if let Some(changelog) = node.changelog {
                arrow(node_id(place), topic_id(changelog), "state", true);
            }
        }
        if !sub.nodes.is_empty() {
            groups.push((format!("sub-topology {}", sub.id), nodes(sub, &node_id)));
        }
    }
    for (i, delivery) in topology.deliveries.iter().enumerate() {
        outside.push(Node {
            id: format!("sink{i}"),
            label: vec![delivery.connector.name.to_string(), delivery.connector.kind.clone()],
            shape: Shape::Connector,
        });
        arrow(topic_id(delivery.topic), format!("sink{i}"), "", false);
    }
    Picture {
        outside,
        groups,
        arrows,
    }
}

fn nodes(sub: &SubTopology, id: &dyn Fn(usize) -> String) -> Vec<Node> {
    let nodes = sub.nodes.iter().enumerate();
    nodes
        .map(|(place, node)| Node {
            id: id(place),
            label: vec![
                node.name.to_string(),
                format!("{} {}", node.description.name, node.description.version),
            ],
            shape: Shape::Transform,
        })
        .collect()
}

pub(super) fn mermaid(topology: &Topology) -> String {
    let picture = picture(topology);
    let mut out = "flowchart LR\n".to_owned();
    let node = |node: &Node, indent: &str, out: &mut String| {
        let label = node.label.join("<br/>").replace('"', "#quot;");
        let (open, close) = match node.shape {
            Shape::Topic => ("[(", ")]"),
            Shape::Internal => ("[/", "/]"),
            Shape::Transform => ("[", "]"),
            Shape::Connector => ("([", "])"),
        };
        let _ = writeln!(out, "{indent}{}{open}\"{label}\"{close}", node.id);
    };
    picture.outside.iter().for_each(|n| node(n, "    ", &mut out));
    for (i, (name, nodes)) in picture.groups.iter().enumerate() {
        let _ = writeln!(out, "    subgraph g{i}[\"{name}\"]");
        nodes.iter().for_each(|n| node(n, "        ", &mut out));
        out.push_str("    end\n");
    }
    for arrow in &picture.arrows {
        let line = if arrow.dashed { "-.->" } else { "-->" };
        let label = if arrow.label.is_empty() {
            String::new()
        } else {
            format!("|\"{}\"|", arrow.label.replace('"', "#quot;"))
        };
        let _ = writeln!(out, "    {} {line}{label} {}", arrow.from, arrow.to);
    }
    out
}

pub(super) fn dot(topology: &Topology) -> String {
    let picture = picture(topology);
    let mut out = format!("digraph {} {{\n    rankdir=LR;\n", quoted(&topology.pipeline));
    let node = |node: &Node, indent: &str, out: &mut String| {
        let shape = match node.shape {
            Shape::Topic => "cylinder",
            Shape::Internal => "cylinder, style=dashed",
            Shape::Transform => "box",
            Shape::Connector => "oval",
        };
        let _ = writeln!(
            out,
            "{indent}{} [label={}, shape={shape}];",
            node.id,
            quoted(&node.label.join("\n"))
        );
    };
    picture.outside.iter().for_each(|n| node(n, "    ", &mut out));
    for (i, (name, nodes)) in picture.groups.iter().enumerate() {
        let _ = writeln!(out, "    subgraph cluster{i} {{\n        label={};", quoted(name));
        nodes.iter().for_each(|n| node(n, "        ", &mut out));
        out.push_str("    }\n");
    }
    for arrow in &picture.arrows {
        let style = if arrow.dashed { ", style=dashed" } else { "" };
        let _ = writeln!(
            out,
            "    {} -> {} [label={}{style}];",
            arrow.from,
            arrow.to,
            quoted(&arrow.label)
        );
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
    )
}
