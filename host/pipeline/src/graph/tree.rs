//! A plan as a tree for a terminal.

use std::collections::BTreeSet;
use std::fmt::Write;

use record::topology::{SubTopology, Target, Topology};

use super::{role, topic, topic_name};

/// One line of a tree and what hangs below it.
struct Branch {
    text: String,
    below: Vec<Branch>,
}

pub(super) fn tree(topology: &Topology) -> String {
    let mut out = format!("{}\n", topology.pipeline);
    for (connector, topic) in super::filling(topology) {
        let _ = write!(
            out,
            "\nsource {} ({})\n└─ {}\n",
            connector.name,
            connector.kind,
            topic_text(topology, topic)
        );
    }
    for sub in &topology.processes {
        let state = if sub.is_stateful() { ", with state" } else { "" };
        let _ = writeln!(out, "\nsub-topology {}{state}", sub.id);
        let mut seen = BTreeSet::new();
        let branches: Vec<Branch> = sub
            .inputs
            .iter()
            .map(|route| Branch {
                text: match &route.key {
                    Some(key) => format!("{} (key {key})", topic_text(topology, route.topic)),
                    None => topic_text(topology, route.topic),
                },
                below: targets(topology, sub, &route.targets, &mut seen),
            })
            .collect();
        draw(&branches, "", &mut out);
    }
    for delivery in &topology.deliveries {
        let _ = write!(
            out,
            "\nsink {} ({})\n└─ reads {}\n",
            delivery.connector.name,
            delivery.connector.kind,
            topic_text(topology, delivery.topic)
        );
    }
    let _ = writeln!(out, "\ndead letters: {}", topic_name(topology, topology.dead_letters));
    out
}

fn topic_text(topology: &Topology, id: record::topology::TopicId) -> String {
    match topic(topology, id) {
        Some(topic) => format!("topic {} [{}]", topic.name, role(topic.role)),
        None => String::new(),
    }
}

fn targets(topology: &Topology, sub: &SubTopology, list: &[Target], seen: &mut BTreeSet<u32>) -> Vec<Branch> {
    let branch = |target: &Target| match target {
        Target::Topic { topic, input } => {
            let input = if *input > 0 {
                format!(", input {input}")
            } else {
                String::new()
            };
            Some(Branch {
                text: format!("-> {}{input}", topic_text(topology, *topic)),
                below: Vec::new(),
            })
        }
        Target::Node { node, .. } => {
            let place = node.0;
            let node = sub.nodes.get(place as usize)?;
            let plugin = &node.description;
            let mut text = format!("{} ({} {})", node.name, plugin.name, plugin.version);
            if let Some(changelog) = node.changelog {
                let _ = write!(text, ", state in {}", topic_name(topology, changelog));
            }
            if !seen.insert(place) {
                text.push_str(", as above");
                return Some(Branch {
                    text,
                    below: Vec::new(),
                });
            }
            let ports = plugin.ports.iter().zip(&node.ports);
            let below = ports
                .map(|(port, to)| {
                    let below = targets(topology, sub, to, seen);
                    let nowhere = if below.is_empty() { ": nothing reads it" } else { "" };
                    Branch {
                        text: format!("port {}{nowhere}", port.name),
                        below,
                    }
                })
                .collect();
            Some(Branch { text, below })
        }
    };
    let mut branches = Vec::new();
    let mut branch = branch;
    for target in list {
        branches.extend(branch(target));
    }
    branches
}

fn draw(branches: &[Branch], indent: &str, out: &mut String) {
    for (i, branch) in branches.iter().enumerate() {
        let last = i + 1 == branches.len();
        let (corner, line) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let _ = writeln!(out, "{indent}{corner}{}", branch.text);
        draw(&branch.below, &format!("{indent}{line}"), out);
    }
}
