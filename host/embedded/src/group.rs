//! Consumer groups: who reads which partition, and what is committed. Pure; no locks, no waiting.
//!
//! Assignment is sticky and cooperative. The *target* of each member is what it should have; a
//! partition changes hands in two steps: its owner is told to give it up and does so
//! ([`Group::release`]), and only then is it given to the next ([`Group::reconcile`]).
//!
//! ```text
//!            target has it, nobody owns it          target has it no more
//!   free ---------------------------------> owned ------------------------> owned, told to give up
//!    ^                                        | topic deleted                        |
//!    |                                        v                                      |
//!    +---------------- release ------- owned, told it is lost <---- topic deleted ---+
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use record::TopicPartition;
use record::log::{Committed, LogEvent};

/// What a member knows of a partition that it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owned {
    /// Which topic of this name it is: see [`crate::state::Topic::number`].
    topic: u64,
    told_revoked: bool,
    told_lost: bool,
}

/// One session in a group.
#[derive(Debug)]
pub(crate) struct Member {
    /// Never used twice.
    pub(crate) id: u64,
    pub(crate) client_id: String,
    pub(crate) instance_id: Option<String>,
    topics: Vec<Arc<str>>,
    target: BTreeSet<TopicPartition>,
    owned: BTreeMap<TopicPartition, Owned>,
    /// The missing topics that were reported.
    missed: BTreeSet<Arc<str>>,
}

/// A topic as assignment sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicShape {
    pub(crate) number: u64,
    pub(crate) partitions: u32,
}

/// A consumer group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) members: Vec<Member>,
    pub(crate) positions: HashMap<TopicPartition, Committed>,
}

impl Group {
    /// Adds a member. One with the same instance id is replaced: the old session is fenced, and
    /// what it owned is free.
    pub(crate) fn join(&mut self, id: u64, client_id: String, instance_id: Option<String>, topics: Vec<Arc<str>>) {
        let mut target = BTreeSet::new();
        if let Some(before) = self
            .members
            .iter()
            .position(|m| instance_id.is_some() && m.instance_id == instance_id)
        {
            // What it had stays with its successor.
            target = self.members.remove(before).target;
        }
        self.members.push(Member {
            id,
            client_id,
            instance_id,
            topics,
            target,
            owned: BTreeMap::new(),
            missed: BTreeSet::new(),
        });
    }

    /// Removes a member; what it owned is free.
    pub(crate) fn leave(&mut self, id: u64) {
        self.members.retain(|m| m.id != id);
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.members.iter().any(|m| m.id == id)
    }

    /// The member that owns a partition.
    pub(crate) fn owner(&self, at: &TopicPartition) -> Option<u64> {
        self.members.iter().find(|m| m.owned.contains_key(at)).map(|m| m.id)
    }

    /// Computes every member's target anew: as even as can be, moving as little as possible.
    pub(crate) fn rebalance(&mut self, shape: &dyn Fn(&str) -> Option<TopicShape>) {
        let topics: BTreeSet<Arc<str>> = self.members.iter().flat_map(|m| m.topics.iter().cloned()).collect();
        let mut all = Vec::new();
        for topic in topics {
            let partitions = shape(&topic).map_or(0, |s| s.partitions);
            all.extend((0..partitions).map(|p| TopicPartition::new(Arc::clone(&topic), p)));
        }
        let exists: BTreeSet<_> = all.iter().cloned().collect();
        let mut taken = BTreeSet::new();
        for member in &mut self.members {
            let topics = &member.topics;
            member
                .target
                .retain(|at| exists.contains(at) && topics.contains(&at.topic) && taken.insert(at.clone()));
        }
        for at in all.into_iter().filter(|at| !taken.contains(at)) {
            let least = self
                .members
                .iter_mut()
                .filter(|m| m.topics.contains(&at.topic))
                .min_by_key(|m| m.target.len());
            if let Some(member) = least {
                member.target.insert(at);
            }
        }
        while self.move_one() {}
    }

    /// Moves one partition from a member to one that has at least two fewer, if there is such a
    /// pair. Each move makes the sum of squares smaller, so this ends.
    fn move_one(&mut self) -> bool {
        let mut by_size: Vec<usize> = (0..self.members.len()).collect();
        by_size.sort_by_key(|i| std::cmp::Reverse(self.members[*i].target.len()));
        for from in &by_size {
            for to in by_size.iter().rev() {
                if self.members[*from].target.len() < self.members[*to].target.len() + 2 {
                    break;
                }
                let takes = &self.members[*to].topics;
                // The last ones go, so that the first member keeps the first partitions.
                let found = self.members[*from]
                    .target
                    .iter()
                    .rev()
                    .find(|at| takes.contains(&at.topic))
                    .cloned();
                if let Some(at) = found {
                    self.members[*from].target.remove(&at);
                    self.members[*to].target.insert(at);
                    return true;
                }
            }
        }
        false
    }

    /// What a member has to be told now. Partitions that nobody owns become its own here.
    pub(crate) fn reconcile(&mut self, id: u64, shape: &dyn Fn(&str) -> Option<TopicShape>) -> Vec<LogEvent> {
        let Some(index) = self.members.iter().position(|m| m.id == id) else {
            return Vec::new();
        };
        let free: Vec<_> = self.members[index]
            .target
            .iter()
            .filter(|at| self.owner(at).is_none())
            .cloned()
            .collect();
        let member = &mut self.members[index];
        let mut events = Vec::new();
        for topic in &member.topics {
            if shape(topic).is_some() {
                member.missed.remove(topic);
            } else if member.missed.insert(Arc::clone(topic)) {
                events.push(LogEvent::Trouble {
                    what: format!("topic `{topic}` does not exist; it is read as soon as it does"),
                });
            }
        }
        let (mut lost, mut revoked, mut assigned) = (Vec::new(), Vec::new(), Vec::new());
        for (at, owned) in &mut member.owned {
            let there = shape(&at.topic).is_some_and(|s| s.number == owned.topic && at.partition < s.partitions);
            if !there && !owned.told_lost {
                owned.told_lost = true;
                lost.push(at.clone());
            } else if there && !member.target.contains(at) && !owned.told_revoked {
                owned.told_revoked = true;
                revoked.push(at.clone());
            }
        }
        for at in free {
            if let Some(shape) = shape(&at.topic) {
                member.owned.insert(
                    at.clone(),
                    Owned {
                        topic: shape.number,
                        told_revoked: false,
                        told_lost: false,
                    },
                );
                assigned.push(at);
            }
        }
        for (partitions, event) in [
            (lost, LogEvent::Lost as fn(_) -> _),
            (revoked, LogEvent::Revoked),
            (assigned, LogEvent::Assigned),
        ] {
            if !partitions.is_empty() {
                events.push(event(partitions));
            }
        }
        events
    }

    /// Which topic (by number) the member owns this partition of; `None` when it does not.
    pub(crate) fn owned_topic(&self, id: u64, at: &TopicPartition) -> Option<u64> {
        let member = self.members.iter().find(|m| m.id == id)?;
        member.owned.get(at).map(|o| o.topic)
    }

    /// The member gives partitions up.
    pub(crate) fn release(&mut self, id: u64, partitions: &[TopicPartition]) {
        if let Some(member) = self.members.iter_mut().find(|m| m.id == id) {
            for at in partitions {
                member.owned.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(topic: &str, partition: u32) -> TopicPartition {
        TopicPartition::new(topic, partition)
    }

    fn four(topic: &str) -> Option<TopicShape> {
        (topic != "none").then_some(TopicShape {
            number: 1,
            partitions: 4,
        })
    }

    fn join(group: &mut Group, id: u64, topics: &[&str]) {
        let topics = topics.iter().map(|t| Arc::from(*t)).collect();
        group.join(id, format!("c{id}"), None, topics);
        group.rebalance(&four);
    }

    #[test]
    fn a_partition_is_given_only_after_it_was_given_up() {
        let mut group = Group::default();
        join(&mut group, 1, &["t"]);
        let all: Vec<_> = (0..4).map(|p| at("t", p)).collect();
        assert_eq!(group.reconcile(1, &four), [LogEvent::Assigned(all)]);
        assert_eq!(group.reconcile(1, &four), []);
        join(&mut group, 2, &["t"]);
        assert_eq!(group.reconcile(2, &four), [], "nothing is free yet");
        let two = vec![at("t", 2), at("t", 3)];
        assert_eq!(group.reconcile(1, &four), [LogEvent::Revoked(two.clone())]);
        assert_eq!(group.reconcile(1, &four), [], "told once");
        group.release(1, &two);
        assert_eq!(group.reconcile(2, &four), [LogEvent::Assigned(two.clone())]);
        group.leave(1);
        group.rebalance(&four);
        let rest = vec![at("t", 0), at("t", 1)];
        assert_eq!(group.reconcile(2, &four), [LogEvent::Assigned(rest)]);
        assert_eq!(group.owner(&two[0]), Some(2));
    }

    #[test]
    fn a_deleted_topic_is_lost_and_a_new_one_of_its_name_assigned() {
        let mut group = Group::default();
        join(&mut group, 1, &["t"]);
        group.reconcile(1, &four);
        let other = |_: &str| {
            Some(TopicShape {
                number: 2,
                partitions: 1,
            })
        };
        group.rebalance(&other);
        let all: Vec<_> = (0..4).map(|p| at("t", p)).collect();
        assert_eq!(group.reconcile(1, &other), [LogEvent::Lost(all.clone())]);
        group.release(1, &all);
        assert_eq!(group.reconcile(1, &other), [LogEvent::Assigned(vec![at("t", 0)])]);
    }

    #[test]
    fn the_same_instance_takes_over_at_once() {
        let mut group = Group::default();
        group.join(1, "a".to_owned(), Some("i".to_owned()), vec!["t".into()]);
        group.rebalance(&four);
        group.reconcile(1, &four);
        group.join(2, "b".to_owned(), Some("i".to_owned()), vec!["t".into()]);
        group.rebalance(&four);
        assert!(!group.has(1));
        assert!(matches!(&group.reconcile(2, &four)[..], [LogEvent::Assigned(p)] if p.len() == 4));
    }

    #[test]
    fn a_missing_topic_is_reported_once() {
        let mut group = Group::default();
        join(&mut group, 1, &["none"]);
        assert!(matches!(&group.reconcile(1, &four)[..], [LogEvent::Trouble { .. }]));
        assert_eq!(group.reconcile(1, &four), []);
    }

    proptest! {
        /// Whatever joins and leaves: everything is assigned once, evenly, and to subscribers.
        #[test]
        fn targets_are_complete_even_and_sticky(steps in proptest::collection::vec((0..6_u64, 1..4_u8), 1..30)) {
            let mut group = Group::default();
            for (id, topics) in steps {
                let before: Vec<_> = group.members.iter().map(|m| (m.id, m.target.clone())).collect();
                let leaving = group.has(id);
                if leaving {
                    group.leave(id);
                    group.rebalance(&four);
                } else {
                    let names: Vec<_> = ["a", "b"].into_iter().enumerate()
                        .filter(|(i, _)| topics & (1 << i) != 0).map(|(_, n)| n).collect();
                    join(&mut group, id, &names);
                }
                let mut seen = BTreeSet::new();
                for member in &group.members {
                    for at in &member.target {
                        prop_assert!(member.topics.contains(&at.topic));
                        prop_assert!(seen.insert(at.clone()));
                    }
                }
                for topic in ["a", "b"] {
                    let wanted = group.members.iter().any(|m| m.topics.iter().any(|t| &**t == topic));
                    let count = seen.iter().filter(|at| &*at.topic == topic).count();
                    prop_assert_eq!(count, if wanted { 4 } else { 0 });
                }
                let equal = group.members.iter().all(|m| m.topics == group.members[0].topics);
                if equal && !group.members.is_empty() {
                    let sizes: Vec<_> = group.members.iter().map(|m| m.target.len()).collect();
                    prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
                    if leaving {
                        for (id, target) in before.iter().filter(|(i, _)| group.has(*i)) {
                            let now = &group.members.iter().find(|m| m.id == *id).unwrap().target;
                            prop_assert!(target.is_subset(now), "who stays keeps what it has");
                        }
                    }
                }
            }
        }
    }
}
