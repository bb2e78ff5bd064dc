//! What must stay when a pipeline is reloaded: state, and what is in internal topics.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use plugin::Linked;
use record::log::{Edge, Isolation, Log, LogError, LogEvent, PollLimit, Polled};
use record::topology::Topology;
use record::{NextOffset, TopicPartition};

use super::receipt::Problem;
use super::reload::problem;
use crate::compose::TIMEOUT;
use crate::generation::{Holdings, InternalRead, KeptState};
use crate::pipelines::Pipeline;

/// State that nobody would own any more.
pub(super) const ORPHANED: &str = "E0721";

/// Whether a run of the old plan can go on with the transforms of the new one.
pub(super) fn differs_in_transforms_alone(old: &Pipeline, new: &Pipeline) -> bool {
    let mut other = (*new.topology).clone();
    other.processes.clone_from(&old.topology.processes);
    // Sources that are sent their records are exchanged without the run.
    other.listens.clone_from(&old.topology.listens);
    other == *old.topology && old.place == new.place && old.plan_hash == new.plan_hash
}

/// Whether runs of both plans have the same members in the same groups: one that stays in its group and does
/// not come back holds its partitions until the broker gives it up.
pub(super) fn have_same_members(old: &Topology, new: &Topology) -> bool {
    let members = |plan: &Topology| {
        let mut read: Vec<_> = plan
            .process_topics()
            .map(|id| Arc::clone(&plan.topic(id).name))
            .collect();
        read.sort();
        let deliveries = plan.deliveries.iter();
        let mut delivered: Vec<_> = deliveries
            .map(|delivery| {
                (
                    Arc::clone(&delivery.group),
                    Arc::clone(&plan.topic(delivery.topic).name),
                )
            })
            .collect();
        delivered.sort();
        (plan.workers, read, delivered)
    };
    members(old) == members(new)
}

/// State that the new plan would leave behind, or read as what it is not.
pub(super) fn orphans(old: &Holdings, new: &Holdings, linked: &[Linked]) -> Vec<Problem> {
    let migrates = |old: &KeptState, new: &KeptState| {
        let its = linked.iter().find(|linked| **linked.transform() == *new.transform);
        old.version < new.version && its.is_some_and(|linked| linked.compiled().migrates())
    };
    let mut problems = Vec::new();
    for kept in &old.state {
        let name = &kept.transform;
        let why = match new.state.iter().find(|other| other.transform == *name) {
            None => "is not there any more, or keeps none".to_owned(),
            Some(other) if other.version != kept.version && !migrates(kept, other) => {
                format!(
                    "has state version {} now, and what it keeps has version {}, which the plugin does not migrate",
                    other.version, kept.version
                )
            }
            Some(other) if other.stores != kept.stores && !migrates(kept, other) => {
                "has other stores, or other formats in them".to_owned()
            }
            Some(other) if other.inputs != kept.inputs => {
                "reads another topic, or takes its keys from elsewhere: keys would be looked for in other partitions"
                    .to_owned()
            }
            Some(_) => continue,
        };
        problems.push(problem(
            ORPHANED,
            format!(
                "transform `{name}` keeps state, and {why}; take the change back; or say `on_state_change = \"reset\"`, \
                 and the pipeline forgets everything and begins anew"
            ),
        ));
    }
    problems
}

/// What is left in internal topics.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// By topic, where there is something: how many records at most.
    pub(super) records: Vec<(Arc<str>, i64)>,
    /// A transaction is open in one of them: more may come, until the log gives it up.
    pub(super) is_open: bool,
}

impl Unread {
    /// In words, as a sentence begins with it.
    pub(super) fn words(&self) -> String {
        let all: Vec<String> = self
            .records
            .iter()
            .map(|(topic, count)| format!("{count} records in `{topic}`"))
            .collect();
        if all.is_empty() {
            "what an open transaction holds".to_owned()
        } else {
            all.join(", ")
        }
    }
}

/// Looks at what has not been read of internal topics.
///
/// # Errors
/// The log.
pub(super) fn unread(log: &dyn Log, reads: &[InternalRead]) -> Result<Unread, LogError> {
    let mut unread = Unread::default();
    for InternalRead { topic, group } in reads {
        let Some(info) = log.topics(&[topic], TIMEOUT)?.into_iter().next().flatten() else {
            continue;
        };
        let places: Vec<_> = (0..info.partitions)
            .map(|partition| TopicPartition::new(Arc::clone(topic), partition))
            .collect();
        let starts = log.offsets(&places, Edge::Start, TIMEOUT)?;
        let ends = log.offsets(&places, Edge::StableEnd, TIMEOUT)?;
        unread.is_open |= log.offsets(&places, Edge::End, TIMEOUT)? != ends;
        let committed = log.committed(group, &places, TIMEOUT)?;
        let mut open = Vec::new();
        for (i, place) in places.into_iter().enumerate() {
            let next = committed[i]
                .as_ref()
                .map_or(starts[i], |committed| committed.next.max(starts[i]));
            if next < ends[i] {
                open.push((place, next, ends[i]));
            }
        }
        // Behind the last record there may be marks of transactions, which nobody reads.
        if has_records(log, &open)? {
            let count = open.iter().map(|(_, next, end)| end.0 - next.0).sum();
            unread.records.push((Arc::clone(topic), count));
        }
    }
    Ok(unread)
}

/// Whether there is a record in any of these ranges.
fn has_records(log: &dyn Log, ranges: &[(TopicPartition, NextOffset, NextOffset)]) -> Result<bool, LogError> {
    if ranges.is_empty() {
        return Ok(false);
    }
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    let from: Vec<_> = ranges.iter().map(|(at, next, _)| (at.clone(), *next)).collect();
    reader.assign(&from)?;
    let mut ended = HashSet::new();
    let mut polled = Polled::default();
    let deadline = Instant::now() + TIMEOUT;
    while ended.len() < ranges.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LogError::Retriable {
                what: format!(
                    "internal topics could not be read to their ends in {} s",
                    TIMEOUT.as_secs()
                ),
            });
        }
        polled.clear();
        reader.poll(left, PollLimit::default(), &mut polled)?;
        if polled.batches.iter().any(|batch| !batch.is_empty()) {
            return Ok(true);
        }
        for event in polled.events.drain(..) {
            if let LogEvent::End { at, .. } = event {
                ended.insert(at);
            }
        }
    }
    Ok(false)
}
