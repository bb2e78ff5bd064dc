//! What differs between a pipeline that runs and what its file says now.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use plugin::Linked;
use record::topology::{Node, Topology};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::pipelines::Pipeline;
use crate::shadow::Shadow;

/// A part of a pipeline that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Change {
    /// `pipeline`, `source`, `transform`, `sink` or `topic`.
    pub(crate) part: String,
    /// Its name.
    pub(crate) name: String,
    /// `added`, `removed`, or what of it differs.
    pub(crate) what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.part, self.name, self.what)
    }
}

/// All differences, in the order of the names. Values are not told: they may be secrets.
pub(crate) fn changes(old: &Pipeline, linked: &[Linked], new: &Pipeline, new_linked: &[Linked]) -> Vec<Change> {
    let (before, after) = (&*old.topology, &*new.topology);
    let mut all = Vec::new();
    let whole = settings(old, new);
    if !whole.is_empty() {
        all.push(Change {
            part: "pipeline".to_owned(),
            name: before.pipeline.to_string(),
            what: whole.join(", "),
        });
    }
    let sources = |plan: &Topology| {
        let of = |ingest: &record::topology::Ingest| (ingest.connector.name.to_string(), ingest.clone());
        plan.ingests.iter().map(of).collect()
    };
    all.extend(compared("source", &sources(before), &sources(after), |old, new| {
        (old != new).then(|| "settings".to_owned())
    }));
    let listens = |plan: &Topology| {
        let of = |listen: &record::topology::Listen| (listen.connector.name.to_string(), listen.clone());
        plan.listens.iter().map(of).collect()
    };
    all.extend(compared("source", &listens(before), &listens(after), |old, new| {
        (old != new).then(|| "settings".to_owned())
    }));
    let transforms = |plan: &Topology, linked: &[Linked]| {
        let nodes = plan.processes.iter().flat_map(|sub| &sub.nodes);
        // In the order of the plan, both.
        let digests = linked.iter().map(|one| one.compiled().digest().to_owned());
        nodes
            .zip(digests)
            .map(|(node, digest)| (node.name.to_string(), (node.clone(), digest)))
            .collect()
    };
    all.extend(compared(
        "transform",
        &transforms(before, linked),
        &transforms(after, new_linked),
        |(old, old_digest), (new, new_digest)| transform(old, old_digest, new, new_digest),
    ));
    let sinks = |plan: &Topology| {
        let of = |plan: &record::topology::DeliverPlan| (plan.connector.name.to_string(), plan.clone());
        plan.deliveries.iter().map(of).collect()
    };
    all.extend(compared("sink", &sinks(before), &sinks(after), |old, new| {
        (old != new).then(|| "settings".to_owned())
    }));
    let topics = |plan: &Topology| {
        let of = |topic: &record::topology::Topic| (topic.name.to_string(), topic.clone());
        plan.topics.iter().map(of).collect()
    };
    all.extend(compared("topic", &topics(before), &topics(after), |old, new| {
        (old != new).then(|| "role or partitions".to_owned())
    }));
    // The same parts may be wired in another way.
    if all.is_empty() && before != after {
        all.push(Change {
            part: "pipeline".to_owned(),
            name: before.pipeline.to_string(),
            what: "wiring".to_owned(),
        });
    }
    all
}

/// Candidates whose files hold something else; those that come and go are in [`changes`].
pub(crate) fn shadows(old: &HashMap<Arc<str>, Shadow>, new: &HashMap<Arc<str>, Shadow>) -> Vec<Change> {
    let digest = |shadow: &Shadow| shadow.linked.compiled().digest().to_owned();
    let mut changes: Vec<Change> = old
        .iter()
        .filter(|(name, shadow)| new.get(*name).is_some_and(|other| digest(other) != digest(shadow)))
        .map(|(name, _)| Change {
            part: "transform".to_owned(),
            name: name.to_string(),
            what: "shadow (built anew)".to_owned(),
        })
        .collect();
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

fn settings(old: &Pipeline, new: &Pipeline) -> Vec<&'static str> {
    let (before, after) = (&*old.topology, &*new.topology);
    let inputs = |plan: &Topology| plan.processes.iter().map(|sub| sub.inputs.clone()).collect::<Vec<_>>();
    [
        (old.place != new.place, "kafka"),
        (before.pipeline != after.pipeline, "name"),
        (before.delivery != after.delivery, "delivery"),
        (old.resets_state != new.resets_state, "on_state_change"),
        (before.commit_interval != after.commit_interval, "commit interval"),
        (before.workers != after.workers, "workers"),
        (before.state_dir != after.state_dir, "state directory"),
        (
            (before.internal_topics, before.replication) != (after.internal_topics, after.replication),
            "internal topics",
        ),
        (inputs(before) != inputs(after), "inputs"),
    ]
    .into_iter()
    .filter_map(|(differs, what)| differs.then_some(what))
    .collect()
}

fn compared<T>(
    part: &'static str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    differs: impl Fn(&T, &T) -> Option<String>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut change = |name: &String, what: String| {
        changes.push(Change {
            part: part.to_owned(),
            name: name.clone(),
            what,
        });
    };
    for (name, before) in old {
        match new.get(name) {
            None => change(name, "removed".to_owned()),
            Some(after) => {
                if let Some(what) = differs(before, after) {
                    change(name, what);
                }
            }
        }
    }
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        change(name, "added".to_owned());
    }
    changes
}

fn transform(old: &Node, old_digest: &str, new: &Node, new_digest: &str) -> Option<String> {
    let mut what = Vec::new();
    if old_digest != new_digest {
        let version = |node: &Node| format!("{} {}", node.description.name, node.description.version);
        what.push(if version(old) == version(new) {
            format!("plugin ({}, built anew)", version(new))
        } else {
            format!("plugin ({} -> {})", version(old), version(new))
        });
    } else if old.plugin != new.plugin {
        what.push("path of the plugin".to_owned());
    }
    for (differs, name) in [
        (old.config != new.config, "config"),
        (old.limits != new.limits, "limits"),
        (old.grant != new.grant, "grant"),
        (old.on_error != new.on_error, "on_error"),
        (old.lateness != new.lateness, "lateness_ms"),
        (old.rollback != new.rollback, "rollback"),
        (old.shadow != new.shadow, "shadow"),
        (old.ports != new.ports, "where its ports lead"),
        (old.changelog != new.changelog, "changelog"),
    ] {
        if differs {
            what.push(name.to_owned());
        }
    }
    (!what.is_empty()).then(|| what.join(", "))
}
