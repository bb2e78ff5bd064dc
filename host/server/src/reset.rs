//! What `wasmill reset` does: finds out what a pipeline has left behind, and makes it forget.
//!
//! Offsets, state, sink positions and guards go together or not at all: an offset without its
//! state counts records twice, state without its offset as well. The order holds through a crash
//! between any two steps, because a pipeline does not start while its reset is unfinished:
//!
//! 1. local stores are deleted, which a process that runs on them refuses; alone that is harmless,
//!    they are restored from changelogs;
//! 2. the incarnation is raised and marked unfinished;
//! 3. the groups are deleted, which the broker refuses while one has members;
//! 4. internal topics are deleted, or emptied where Wasmill may not create them;
//! 5. which plan was in force is forgotten: nothing of it is left;
//! 6. the incarnation is marked finished.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::log::{Edge, Log, LogError};
use record::offset::{NextOffset, TopicPartition};
use record::topology::{InternalTopics, TopicRole, Topology};

use crate::compose::{self, TIMEOUT};
use crate::failure::Failure;
use crate::generation::{self, Holdings, InternalRead};
use crate::incarnation::{self, Incarnation};

/// A consumer group of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its committed positions.
    pub(crate) positions: Vec<(TopicPartition, NextOffset)>,
}

/// An internal topic of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Internal {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// What it is for.
    pub(crate) role: TopicRole,
    /// The end of each partition; `None` when there is no such topic.
    pub(crate) ends: Option<Vec<NextOffset>>,
    /// Offsets that are in use; for compacted topics an upper bound of the records.
    pub(crate) records: i64,
}

/// What there is to forget, and how.
#[derive(Clone, Debug)]
pub(crate) struct Reset {
    /// The pipeline.
    pub(crate) pipeline: Arc<str>,
    /// Its control topic.
    pub(crate) control: String,
    /// As it is.
    pub(crate) incarnation: Incarnation,
    /// As they are.
    pub(crate) groups: Vec<Group>,
    /// As they are.
    pub(crate) topics: Vec<Internal>,
    /// Whether topics are deleted; else they are emptied.
    pub(crate) deletes_topics: bool,
    /// The local state directory, when there is one.
    pub(crate) state_dir: Option<PathBuf>,
    replication: Option<u16>,
}

impl Reset {
    /// Looks at the log and the disk. Changes nothing.
    ///
    /// # Errors
    /// The log; [`Failure::Running`] while a group has members.
    pub(crate) fn look(
        log: &dyn Log,
        topology: &Topology,
        control: String,
        state_dir: Option<&Path>,
    ) -> Result<Self, Failure> {
        let incarnation =
            incarnation::read(log, &control).map_err(Failure::log("cannot read the reset incarnation"))?;
        let in_force = generation::read(log, &control)
            .map_err(Failure::log("cannot read which plan is in force"))?
            .in_force;
        let left = in_force.map(|generation| generation.holdings).unwrap_or_default();
        let groups = with_groups_of(group_inputs(topology), &left)
            .into_iter()
            .map(|(name, topics)| look_at_group(log, name, &topics))
            .collect::<Result<_, _>>()?;
        let topics = internal_topics(topology, &left)
            .into_iter()
            .map(|(name, role)| look_at_topic(log, &name, role))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            pipeline: Arc::clone(&topology.pipeline),
            control,
            incarnation,
            groups,
            topics,
            deletes_topics: topology.internal_topics == InternalTopics::Create,
            state_dir: state_dir.filter(|dir| dir.exists()).map(Path::to_owned),
            replication: topology.replication,
        })
    }

    /// Does it. May be called again after a failure or a crash: it takes up what is left.
    ///
    /// # Errors
    /// The log or the disk; [`Failure::NotOurs`] for changelogs that must be emptied by hand.
    pub(crate) fn run(&self, log: &dyn Log) -> Result<(), Failure> {
        if !self.deletes_topics {
            self.refuse_full_changelogs()?;
        }
        for group in &self.groups {
            refuse_members(log, &group.name)?;
        }
        if let Some(dir) = &self.state_dir {
            compose::clear_state(dir)?;
        }
        let raised = self.incarnation.raised();
        let write = |incarnation: &Incarnation| {
            incarnation::write(log, &self.control, self.replication, incarnation)
                .map_err(Failure::log("cannot write the reset incarnation"))
        };
        write(&raised)?;
        for group in &self.groups {
            refuse_members(log, &group.name)?;
            log.delete_group(&group.name, TIMEOUT)
                .map_err(Failure::log(format!("cannot delete group `{}`", group.name)))?;
        }
        self.empty_topics(log)?;
        generation::forget(log, &self.control).map_err(Failure::log("cannot forget which plan was in force"))?;
        write(&Incarnation {
            finished: true,
            ..raised
        })
    }

    fn refuse_full_changelogs(&self) -> Result<(), Failure> {
        let full: Vec<String> = self
            .topics
            .iter()
            .filter(|topic| topic.role == TopicRole::Changelog && topic.records > 0)
            .map(|topic| format!("`{}`", topic.name))
            .collect();
        if full.is_empty() {
            return Ok(());
        }
        Err(Failure::NotOurs {
            pipeline: self.pipeline.to_string(),
            topics: full.join(", "),
        })
    }

    fn empty_topics(&self, log: &dyn Log) -> Result<(), Failure> {
        let there = self.topics.iter().filter(|topic| topic.ends.is_some());
        if self.deletes_topics {
            let names: Vec<&str> = there.map(|topic| &*topic.name).collect();
            log.delete_topics(&names, TIMEOUT)
                .map_err(Failure::log("cannot delete the internal topics"))?;
            return wait_until_gone(log, &names);
        }
        for topic in there.filter(|topic| topic.role != TopicRole::Changelog) {
            let before: Vec<_> = topic
                .ends
                .iter()
                .flatten()
                .enumerate()
                .map(|(p, end)| (TopicPartition::new(Arc::clone(&topic.name), p as u32), *end))
                .collect();
            log.delete_records(&before, TIMEOUT)
                .map_err(Failure::log(format!("cannot empty topic `{}`", topic.name)))?;
        }
        Ok(())
    }
}

/// Deleting takes a moment, and the next start creates topics of the same names.
fn wait_until_gone(log: &dyn Log, names: &[&str]) -> Result<(), Failure> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let infos = log
            .topics(names, TIMEOUT)
            .map_err(Failure::log("cannot see whether the internal topics are gone"))?;
        let left: Vec<&str> = names
            .iter()
            .zip(&infos)
            .filter(|(_, info)| info.is_some())
            .map(|(n, _)| *n)
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Failure::log("the internal topics were not deleted")(
                LogError::Retriable {
                    what: format!("still there after {} s: {}", TIMEOUT.as_secs(), left.join(", ")),
                },
            ));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The groups of a pipeline with the topics that each reads: one for the process tasks (and the
/// sources that are not topics), one per external sink.
pub(crate) fn group_inputs(topology: &Topology) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
    let name = |id| Arc::clone(&topology.topic(id).name);
    let mut own: Vec<Arc<str>> = topology.process_topics().map(name).collect();
    own.extend(topology.ingests.iter().map(|ingest| name(ingest.topic)));
    own.sort();
    own.dedup();
    let mut groups = vec![(Arc::clone(&topology.pipeline), own)];
    for plan in &topology.deliveries {
        groups.push((Arc::clone(&plan.group), vec![name(plan.topic)]));
    }
    groups
}

/// With those that the plan in force reads and this one does not.
fn with_groups_of(mut groups: Vec<(Arc<str>, Vec<Arc<str>>)>, left: &Holdings) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
    for InternalRead { topic, group } in &left.reads {
        match groups.iter_mut().find(|(name, _)| name == group) {
            Some((_, topics)) if topics.contains(topic) => {}
            Some((_, topics)) => topics.push(Arc::clone(topic)),
            None => groups.push((Arc::clone(group), vec![Arc::clone(topic)])),
        }
    }
    groups
}

/// The internal topics of a plan, and those that only the plan in force has.
fn internal_topics(topology: &Topology, left: &Holdings) -> Vec<(Arc<str>, TopicRole)> {
    let own = topology.topics.iter().filter(|topic| topic.role.is_internal());
    let mut all: Vec<_> = own.map(|topic| (Arc::clone(&topic.name), topic.role)).collect();
    let reads = left.reads.iter().map(|read| {
        let is_of_tasks = read.group == topology.pipeline;
        let role = if is_of_tasks {
            TopicRole::Repartition
        } else {
            TopicRole::Sink
        };
        (Arc::clone(&read.topic), role)
    });
    let state = left
        .state
        .iter()
        .map(|state| (Arc::clone(&state.changelog), TopicRole::Changelog));
    for (name, role) in reads.chain(state) {
        if all.iter().all(|(other, _)| *other != name) {
            all.push((name, role));
        }
    }
    all
}

/// The partitions of those topics that there are.
///
/// # Errors
/// The log.
pub(crate) fn partitions_of(log: &dyn Log, topics: &[Arc<str>]) -> Result<Vec<TopicPartition>, Failure> {
    let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
    let infos = log
        .topics(&names, TIMEOUT)
        .map_err(Failure::log("cannot look up the pipeline's topics"))?;
    Ok(topics
        .iter()
        .zip(infos)
        .flat_map(|(topic, info)| {
            let count = info.map_or(0, |info| info.partitions);
            (0..count).map(|p| TopicPartition::new(Arc::clone(topic), p))
        })
        .collect())
}

fn refuse_members(log: &dyn Log, group: &str) -> Result<(), Failure> {
    let members = log
        .group_members(group, TIMEOUT)
        .map_err(Failure::log(format!("cannot look at group `{group}`")))?;
    if members.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = members
        .iter()
        .map(|member| format!("{} on {}", member.client_id, member.host))
        .collect();
    Err(Failure::Running {
        group: group.to_owned(),
        members: names.join(", "),
    })
}

fn look_at_group(log: &dyn Log, name: Arc<str>, topics: &[Arc<str>]) -> Result<Group, Failure> {
    refuse_members(log, &name)?;
    let partitions = partitions_of(log, topics)?;
    let committed = if partitions.is_empty() {
        Vec::new()
    } else {
        log.committed(&name, &partitions, TIMEOUT)
            .map_err(Failure::log(format!("cannot read the positions of group `{name}`")))?
    };
    let positions = partitions
        .into_iter()
        .zip(committed)
        .filter_map(|(at, committed)| Some((at, committed?.next)))
        .collect();
    Ok(Group { name, positions })
}

fn look_at_topic(log: &dyn Log, name: &Arc<str>, role: TopicRole) -> Result<Internal, Failure> {
    let partitions = partitions_of(log, std::slice::from_ref(name))?;
    let mut internal = Internal {
        name: Arc::clone(name),
        role,
        ends: None,
        records: 0,
    };
    if !partitions.is_empty() {
        let edges = |edge| {
            log.offsets(&partitions, edge, TIMEOUT)
                .map_err(Failure::log(format!("cannot look at topic `{name}`")))
        };
        let starts = edges(Edge::Start)?;
        let ends = edges(Edge::End)?;
        internal.records = starts.iter().zip(&ends).map(|(start, end)| end.0 - start.0).sum();
        internal.ends = Some(ends);
    }
    Ok(internal)
}

/// What a topic is for, in words.
pub(crate) fn role_name(role: TopicRole) -> &'static str {
    match role {
        TopicRole::Input => "input topic",
        TopicRole::Output => "output topic",
        TopicRole::Source => "source topic",
        TopicRole::Repartition => "repartition topic",
        TopicRole::Sink => "sink topic",
        TopicRole::Changelog => "changelog",
        TopicRole::DeadLetter => "dead letters",
    }
}

#[cfg(test)]
mod tests {
    use record::Batch;
    use record::log::{NewTopic, Position, SessionConfig, Writes};
    use record::topology::{Delivery, PartitionCount, SubTopology, Topic, TopicId};

    use super::*;
    use crate::compose::{LogPlace, open_log};

    fn topology(internal_topics: InternalTopics) -> Topology {
        let topic = |name: &str, role: TopicRole| Topic {
            name: name.into(),
            role,
            partitions: PartitionCount::Existing,
            create: role.is_internal(),
        };
        Topology {
            pipeline: "p".into(),
            delivery: Delivery::ExactlyOnce,
            commit_interval: Duration::from_millis(100),
            workers: 1,
            state_dir: None,
            internal_topics,
            replication: None,
            topics: vec![
                topic("lines", TopicRole::Input),
                topic("p-count-repartition", TopicRole::Repartition),
                topic("p-count-changelog", TopicRole::Changelog),
                topic("p-dead-letters", TopicRole::DeadLetter),
            ],
            ingests: Vec::new(),
            listens: Vec::new(),
            processes: vec![
                SubTopology {
                    id: 0,
                    inputs: vec![route(TopicId(0))],
                    nodes: Vec::new(),
                },
                SubTopology {
                    id: 1,
                    inputs: vec![route(TopicId(1))],
                    nodes: Vec::new(),
                },
            ],
            deliveries: Vec::new(),
            dead_letters: TopicId(3),
        }
    }

    fn route(topic: TopicId) -> record::topology::InputRoute {
        record::topology::InputRoute {
            topic,
            name: "x".into(),
            key: None,
            on_undecodable: record::topology::OnError::Fail,
            start: record::topology::Start::Earliest,
            targets: Vec::new(),
        }
    }

    /// A log on which the pipeline has run: ten records everywhere, five of them committed.
    fn used(topology: &Topology) -> Arc<dyn Log> {
        let log = open_log(&LogPlace::Embedded(None), "test").expect("opens");
        for topic in &topology.topics {
            log.create_topics(
                &[NewTopic {
                    name: topic.name.to_string(),
                    partitions: 2,
                    replication: None,
                    config: Vec::new(),
                }],
                TIMEOUT,
            )
            .expect("creates");
            let mut batch = Batch::new(Arc::clone(&topic.name), 0);
            for i in 0..10 {
                batch.push(Some(b"k"), Some(b"v"), i);
            }
            log.append(&topic.name, &batch, &[0; 10], TIMEOUT).expect("appends");
        }
        let positions: Vec<Position> = ["lines", "p-count-repartition"]
            .into_iter()
            .map(|topic| Position {
                at: TopicPartition::new(topic, 0),
                next: NextOffset(5),
                note: String::new(),
            })
            .collect();
        log.set_committed("p", &positions, TIMEOUT).expect("commits");
        log
    }

    fn look(log: &dyn Log, topology: &Topology, state_dir: Option<&Path>) -> Result<Reset, Failure> {
        Reset::look(log, topology, "p-control".to_owned(), state_dir)
    }

    fn records(log: &dyn Log, topic: &str) -> Option<i64> {
        let info = log.topics(&[topic], TIMEOUT).expect("looks").remove(0)?;
        let at: Vec<_> = (0..info.partitions).map(|p| TopicPartition::new(topic, p)).collect();
        let edge = |edge| log.offsets(&at, edge, TIMEOUT).expect("offsets");
        Some(
            edge(Edge::End)
                .iter()
                .zip(edge(Edge::Start))
                .map(|(end, start)| end.0 - start.0)
                .sum(),
        )
    }

    fn committed(log: &dyn Log) -> usize {
        let at = [
            TopicPartition::new("lines", 0),
            TopicPartition::new("p-count-repartition", 0),
        ];
        log.committed("p", &at, TIMEOUT)
            .expect("committed")
            .iter()
            .flatten()
            .count()
    }

    #[test]
    fn looking_changes_nothing_and_sees_everything() {
        let topology = topology(InternalTopics::Create);
        let log = used(&topology);
        let reset = look(&*log, &topology, Some(Path::new("/nowhere/at/all"))).expect("looks");
        assert_eq!(reset.groups[0].positions.len(), 2);
        let internal: Vec<_> = reset.topics.iter().map(|t| (&*t.name, t.records)).collect();
        assert_eq!(internal, [("p-count-repartition", 10), ("p-count-changelog", 10)]);
        assert_eq!(reset.state_dir, None);
        assert_eq!(committed(&*log), 2);
        assert_eq!(records(&*log, "p-control"), None);
    }

    #[test]
    fn everything_of_the_pipeline_goes_and_the_users_topics_stay() {
        let topology = topology(InternalTopics::Create);
        let log = used(&topology);
        let state = tempfile::tempdir().expect("tempdir");
        drop(compose::open_state(Some(state.path())).expect("opens"));
        assert!(state.path().join("stores").exists());
        look(&*log, &topology, Some(state.path()))
            .expect("looks")
            .run(&*log)
            .expect("resets");
        assert_eq!(committed(&*log), 0);
        assert_eq!(records(&*log, "p-count-repartition"), None);
        assert_eq!(records(&*log, "p-count-changelog"), None);
        assert_eq!(records(&*log, "lines"), Some(10));
        assert_eq!(records(&*log, "p-dead-letters"), Some(10));
        assert!(!state.path().join("stores").exists());
        let now = incarnation::read(&*log, "p-control").expect("reads");
        assert_eq!((now.number, now.finished), (1, true));
        // Again, on what is left.
        look(&*log, &topology, None).expect("looks").run(&*log).expect("resets");
        assert_eq!(incarnation::read(&*log, "p-control").expect("reads").number, 2);
    }

    #[test]
    fn a_reset_under_a_running_process_is_refused() {
        let topology = topology(InternalTopics::Create);
        let log = used(&topology);
        let member = log
            .session(SessionConfig {
                group: "p".to_owned(),
                instance_id: None,
                client_id: "wasmill-abc-1".to_owned(),
                topics: vec!["lines".into()],
                writes: Writes::AtLeastOnce,
            })
            .expect("joins");
        let refused = look(&*log, &topology, None).expect_err("refused");
        assert!(matches!(refused, Failure::Running { .. }), "{refused}");
        assert!(refused.to_string().contains("wasmill-abc-1"), "{refused}");
        member.close(true, TIMEOUT);
        look(&*log, &topology, None).expect("looks");
    }

    #[test]
    fn state_that_is_in_use_is_refused_before_anything_is_done() {
        let topology = topology(InternalTopics::Create);
        let log = used(&topology);
        let state = tempfile::tempdir().expect("tempdir");
        let held = compose::open_state(Some(state.path())).expect("opens");
        let reset = look(&*log, &topology, Some(state.path())).expect("looks");
        assert!(matches!(reset.run(&*log), Err(Failure::State(_))));
        assert_eq!(committed(&*log), 2);
        assert_eq!(records(&*log, "p-control"), None);
        drop(held);
        reset.run(&*log).expect("resets");
    }

    #[test]
    fn topics_that_are_not_ours_are_emptied_and_full_changelogs_refused() {
        let topology = topology(InternalTopics::Require);
        let log = used(&topology);
        let refused = look(&*log, &topology, None)
            .expect("looks")
            .run(&*log)
            .expect_err("refused");
        assert!(matches!(refused, Failure::NotOurs { .. }), "{refused}");
        assert_eq!(committed(&*log), 2);

        // The administrator makes the changelog anew.
        let changelog = NewTopic {
            name: "p-count-changelog".to_owned(),
            partitions: 2,
            replication: None,
            config: Vec::new(),
        };
        log.delete_topics(&["p-count-changelog"], TIMEOUT).expect("deletes");
        log.create_topics(&[changelog], TIMEOUT).expect("creates");
        look(&*log, &topology, None).expect("looks").run(&*log).expect("resets");
        assert_eq!(records(&*log, "p-count-repartition"), Some(0), "emptied, not deleted");
        assert_eq!(committed(&*log), 0);
    }
}
