//! Before the first record: another plan of the same name is refused, and start positions are
//! resolved and committed by us, never left to a client's default.

use std::sync::Arc;

use record::TopicPartition;
use record::log::{Edge, Log, LogError, Position};
use record::partitioner::murmur2;
use record::topology::{Start, TopicId, Topology};

use crate::error::RunError;
use crate::plan::{LOG_TIMEOUT, Shared};

/// What `client_id` starts with in every process of Wasmill: `wasmill-<plan>-<process>`.
const CLIENT_PREFIX: &str = "wasmill-";

/// The client id of a process: its plan is what other processes compare.
pub(crate) fn client_id(plan_hash: &str, process_id: &str) -> String {
    let short = |text: &str, n: usize| text.chars().take(n).collect::<String>();
    format!("{CLIENT_PREFIX}{}-{}", short(plan_hash, 16), short(process_id, 8))
}

/// The id of a static member. A broker does not look at the topics of a member that comes back under
/// its id (KIP-345), so other topics make it another member.
pub(crate) fn instance_id(member: &str, topics: &[Arc<str>]) -> String {
    let mut topics = topics.to_vec();
    topics.sort_unstable();
    format!("{member}-{:08x}", murmur2(topics.join("\n").as_bytes()))
}

/// A process that runs a pipeline, as its groups know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    plan: String,
    process: String,
    /// Where it runs.
    pub host: String,
}

impl Member {
    /// `None`: it is none of ours.
    fn of(client_id: &str, host: String) -> Option<Self> {
        let (plan, process) = client_id.strip_prefix(CLIENT_PREFIX)?.split_once('-')?;
        Some(Self {
            plan: plan.to_owned(),
            process: process.to_owned(),
            host,
        })
    }

    /// Whether it runs the plan with this hash.
    #[must_use]
    pub fn has_plan(&self, hash: &str) -> bool {
        client_id(hash, "") == client_id(&self.plan, "")
    }

    /// Whether it is the process with this id.
    #[must_use]
    pub fn is_process(&self, id: &str) -> bool {
        client_id("", id) == client_id("", &self.process)
    }
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` on {}", client_id(&self.plan, &self.process), self.host)
    }
}

/// The processes that run a pipeline, each once. One that has died is among them until its session ends.
///
/// # Errors
/// The log.
pub fn members(log: &dyn Log, topology: &Topology) -> Result<Vec<Member>, LogError> {
    let mut members = Vec::new();
    // A pipeline without transforms may have members in its sinks' groups only.
    for group in std::iter::once(&topology.pipeline).chain(topology.deliveries.iter().map(|plan| &plan.group)) {
        let found = log.group_members(group, LOG_TIMEOUT)?;
        members.extend(found.into_iter().filter_map(|one| Member::of(&one.client_id, one.host)));
    }
    members.sort();
    members.dedup();
    Ok(members)
}

/// Refuses to run beside a process with another plan of the same name. A member of our own process id
/// is dead (its state directory is ours now), whatever its plan was.
pub(crate) fn refuse_other_plan(
    log: &Arc<dyn Log>,
    topology: &Topology,
    plan_hash: &str,
    process_id: &str,
) -> Result<(), RunError> {
    let members = members(&**log, topology).map_err(RunError::log("looking for other members of the group"))?;
    let other = members
        .into_iter()
        .find(|member| !member.has_plan(plan_hash) && !member.is_process(process_id));
    match other {
        None => Ok(()),
        Some(other) => Err(RunError::OtherPlan {
            pipeline: topology.pipeline.to_string(),
            client_id: client_id(&other.plan, &other.process),
            host: other.host,
        }),
    }
}

/// Commits the start positions of a group that has none yet. `from` is `--from`.
pub(crate) fn resolve(
    shared: &Shared,
    group: &str,
    topics: &[(TopicId, Start)],
    from: Option<Start>,
) -> Result<(), RunError> {
    let log = &shared.log;
    let places: Vec<TopicPartition> = topics.iter().flat_map(|(id, _)| shared.partitions_of(*id)).collect();
    if places.is_empty() {
        return Ok(());
    }
    let committed = log
        .committed(group, &places, LOG_TIMEOUT)
        .map_err(RunError::log("reading committed positions"))?;
    let has_run = committed.iter().any(Option::is_some);
    if has_run && from.is_some() {
        return Err(RunError::FromIgnored {
            pipeline: group.to_owned(),
        });
    }
    let mut known = committed.into_iter();
    let mut positions = Vec::new();
    for (id, start) in topics {
        let places = shared.partitions_of(*id);
        let is_known = known.by_ref().take(places.len()).filter(Option::is_some).count() > 0;
        // A topic that has come to a pipeline that has run before. Partitions that have come to a known
        // topic begin at their first record, when they are assigned.
        if has_run && (is_known || *start == Start::Earliest) {
            continue;
        }
        let start = if shared.topic(*id).role.is_internal() {
            Start::Earliest
        } else {
            from.unwrap_or(*start)
        };
        let edge = match start {
            Start::Earliest => Edge::Start,
            Start::Latest => Edge::StableEnd,
            Start::Time(time) => Edge::Time(time),
        };
        let offsets = log
            .offsets(&places, edge, LOG_TIMEOUT)
            .map_err(RunError::log("resolving start positions"))?;
        positions.extend(places.into_iter().zip(offsets).map(|(at, next)| Position {
            at,
            next,
            note: String::new(),
        }));
    }
    if positions.is_empty() {
        return Ok(());
    }
    match log.set_committed(group, &positions, LOG_TIMEOUT) {
        Ok(()) => Ok(()),
        // Another process was quicker: then the positions are its, and the same.
        Err(LogError::Fatal { what }) => {
            let committed = log
                .committed(group, &places, LOG_TIMEOUT)
                .map_err(RunError::log("reading committed positions"))?;
            let members = log
                .group_members(group, LOG_TIMEOUT)
                .map_err(RunError::log("looking for other members of the group"))?;
            if committed.iter().any(Option::is_some) || !members.is_empty() {
                return Ok(());
            }
            Err(RunError::log("committing start positions")(LogError::Fatal { what }))
        }
        Err(error) => Err(RunError::log("committing start positions")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_with_other_topics_are_other_members() {
        let id = |topics: &[&str]| {
            let topics: Vec<Arc<str>> = topics.iter().map(|topic| Arc::from(*topic)).collect();
            instance_id("p-1-0", &topics)
        };
        assert_eq!(id(&["a", "b"]), id(&["b", "a"]));
        assert_ne!(id(&["a", "b"]), id(&["a"]));
        assert!(id(&["a"]).starts_with("p-1-0-"));
    }
}
