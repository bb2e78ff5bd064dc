//! The topics of a plan: looked up, compared with what the plan needs, created when missing.

use std::sync::Arc;

use record::log::{Log, NewTopic, TopicInfo};
use record::topology::{InternalTopics, PartitionCount, Topic, TopicId, TopicRole, Topology};

use crate::error::RunError;
use crate::plan::LOG_TIMEOUT;

/// Internal topics accept records as large as any input's.
const MESSAGE_BYTES_MAX: &str = "67108864";
/// A day, whatever the broker's default is: how old a local store may be rests on it (`restore.rs`).
const DELETE_RETENTION_MS: &str = "86400000";

/// Makes sure that all topics are there, with the partitions that the plan needs. Answers what
/// the log says of each.
pub(crate) fn ensure(topology: &Topology, log: &Arc<dyn Log>) -> Result<Vec<TopicInfo>, RunError> {
    let names: Vec<&str> = topology.topics.iter().map(|topic| &*topic.name).collect();
    let doing = "looking up topics";
    let found = log.topics(&names, LOG_TIMEOUT).map_err(RunError::log(doing))?;
    let mut missing = Vec::new();
    let mut wrong = Vec::new();
    for (i, (topic, info)) in topology.topics.iter().zip(&found).enumerate() {
        let wanted = partitions(topology, TopicId(i as u32), &found);
        match (info, wanted) {
            (Some(info), Some(wanted)) if info.partitions != wanted && topic.role.is_internal() => wrong.push(format!(
                "internal topic `{}` has {} partitions, and the plan needs {wanted}: a changed input? `wasmill reset` deletes and creates it anew",
                topic.name, info.partitions
            )),
            (Some(_), _) => {}
            (None, Some(wanted)) if topic.create => missing.push(new_topic(topology, topic, wanted)),
            (None, _) if topic.role.is_internal() || topic.role == TopicRole::DeadLetter => wrong.push(format!(
                "internal topic `{}` does not exist; create it with {} partitions and {}, or set `internal_topics = \"create\"`",
                topic.name,
                wanted.map_or("the input's".to_owned(), |n| n.to_string()),
                settings(topic.role).iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", ")
            )),
            (None, _) => wrong.push(format!(
                "topic `{}` does not exist; create it, or set `create_topics = true`",
                topic.name
            )),
        }
    }
    if !wrong.is_empty() {
        return Err(RunError::Topics { what: wrong.join("\n") });
    }
    if !missing.is_empty() {
        log.create_topics(&missing, LOG_TIMEOUT)
            .map_err(RunError::log("creating topics"))?;
    }
    let found = log.topics(&names, LOG_TIMEOUT).map_err(RunError::log(doing))?;
    topology
        .topics
        .iter()
        .zip(found)
        .map(|(topic, info)| {
            info.ok_or_else(|| RunError::Topics {
                what: format!("topic `{}` was created but cannot be seen yet; try again", topic.name),
            })
        })
        .collect()
}

/// How many partitions a topic has to have; `None` when that is not known (its model is missing).
fn partitions(topology: &Topology, id: TopicId, found: &[Option<TopicInfo>]) -> Option<u32> {
    let mut id = id;
    // A chain of models is at most as long as there are topics.
    for _ in 0..topology.topics.len() {
        match topology.topic(id).partitions {
            PartitionCount::Fixed(count) => {
                // The user's own topic may have any number, once it is there.
                let known = found.get(id.0 as usize).and_then(Option::as_ref);
                let internal = topology.topic(id).role.is_internal();
                return Some(known.filter(|_| !internal).map_or(count, |info| info.partitions));
            }
            PartitionCount::Existing => {
                return found
                    .get(id.0 as usize)
                    .and_then(Option::as_ref)
                    .map(|info| info.partitions);
            }
            PartitionCount::SameAs(model) => id = model,
        }
    }
    None
}

fn settings(role: TopicRole) -> Vec<(&'static str, &'static str)> {
    match role {
        TopicRole::Changelog => vec![
            ("cleanup.policy", "compact"),
            ("delete.retention.ms", DELETE_RETENTION_MS),
            ("max.message.bytes", MESSAGE_BYTES_MAX),
        ],
        // Kept until consumed, then purged behind the committed position.
        TopicRole::Repartition | TopicRole::Sink => vec![
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("max.message.bytes", MESSAGE_BYTES_MAX),
        ],
        TopicRole::Source | TopicRole::DeadLetter => {
            vec![("cleanup.policy", "delete"), ("max.message.bytes", MESSAGE_BYTES_MAX)]
        }
        TopicRole::Input | TopicRole::Output => Vec::new(),
    }
}

fn new_topic(topology: &Topology, topic: &Topic, partitions: u32) -> NewTopic {
    let mut config = settings(topic.role);
    if topology.internal_topics == InternalTopics::Require {
        config.clear();
    }
    NewTopic {
        name: topic.name.to_string(),
        partitions,
        replication: topology.replication,
        config: config
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    }
}
