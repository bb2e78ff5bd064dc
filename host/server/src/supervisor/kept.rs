//! What must stay when a pipeline is reloaded: state, and what is in internal topics.

use std::sync::Arc;

use plugin::Linked;
use record::topology::{Node, SubTopology, Topology};

use super::receipt::Problem;
use super::reload::problem;
use crate::pipelines::Pipeline;

/// State that nobody would own any more.
const ORPHANED: &str = "E0721";

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

/// A transform with state, and what it reads.
fn stateful(plan: &Topology) -> impl Iterator<Item = (&Node, &SubTopology)> {
    plan.processes
        .iter()
        .flat_map(|sub| sub.nodes.iter().map(move |node| (node, sub)))
        .filter(|(node, _)| node.changelog.is_some())
}

/// State that the new plan would leave behind, or read as what it is not.
pub(super) fn orphans(old: &Topology, new: &Topology, linked: &[Linked]) -> Vec<Problem> {
    let migrates = |old: &Node, new: &Node| {
        let its = linked.iter().find(|linked| **linked.transform() == *new.name);
        old.description.state_version < new.description.state_version
            && its.is_some_and(|linked| linked.compiled().migrates())
    };
    let inputs = |plan: &Topology, sub: &SubTopology| -> Vec<_> {
        let of = |route: &record::topology::InputRoute| (Arc::clone(&plan.topic(route.topic).name), route.key.clone());
        sub.inputs.iter().map(of).collect()
    };
    let mut problems = Vec::new();
    for (node, sub) in stateful(old) {
        let name = &node.name;
        let why = match stateful(new).find(|(other, _)| other.name == *name) {
            None => "is not there any more, or keeps none".to_owned(),
            Some((other, _))
                if other.description.state_version != node.description.state_version && !migrates(node, other) =>
            {
                format!(
                    "has state version {} now, and what it keeps has version {}, which the plugin does not migrate",
                    other.description.state_version, node.description.state_version
                )
            }
            Some((other, _)) if other.description.stores != node.description.stores && !migrates(node, other) => {
                "has other stores, or other formats in them".to_owned()
            }
            Some((_, other)) if inputs(new, other) != inputs(old, sub) => {
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

/// Internal topics with records in them that the new plan does not read, and the groups that read them.
pub(super) fn topics_that_go(old: &Topology, new: &Topology) -> Vec<(Arc<str>, Arc<str>)> {
    let read = |plan: &Topology| -> Vec<(Arc<str>, Arc<str>)> {
        let processes = plan.process_topics().map(|id| (id, Arc::clone(&plan.pipeline)));
        let deliveries = plan
            .deliveries
            .iter()
            .map(|delivery| (delivery.topic, Arc::clone(&delivery.group)));
        processes
            .chain(deliveries)
            .filter(|(id, _)| plan.topic(*id).role.is_internal())
            .map(|(id, group)| (Arc::clone(&plan.topic(id).name), group))
            .collect()
    };
    let stays = read(new);
    let mut gone = read(old);
    gone.retain(|one| !stays.contains(one));
    gone
}
