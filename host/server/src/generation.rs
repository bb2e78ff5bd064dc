//! Which plan of a pipeline is in force, for all the processes that run it.
//!
//! It is kept in the [control topic](crate::control_topic), so that it outlives every process:
//!
//! | key | what it says |
//! |---|---|
//! | `plan` | the plan in force: its generation, its hash, and what it keeps in the log |
//! | `ready:PROCESS` | the plan that the files of this process ask for, while another is in force |
//! | `switch` | a process asks all others to end the plan in force, and says which is to follow |
//!
//! A plan comes in force when no process runs another one, nothing is left in internal topics that it does
//! not read, and it leaves no state behind. It is written here before the first record is read by it: a
//! process that dies in between finds what held before, or what holds now. No record means that the pipeline
//! has not run yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use record::log::{Log, LogError};
use record::topology::{InternalTopics, Node, SubTopology, Topology};
use serde::{Deserialize, Serialize};
use task::Member;

use crate::compose::TIMEOUT;
use crate::control_topic;
use crate::pipelines::Pipeline;

const PLAN: &str = "plan";
const SWITCH: &str = "switch";
const READY: &str = "ready:";

/// The plan in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generation {
    /// Rises with every change of the plan.
    pub(crate) number: u64,
    /// The hash of the plan.
    pub(crate) plan: String,
    /// What it keeps in the log.
    pub(crate) holdings: Holdings,
}

/// What a plan keeps in the log, for those that come after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holdings {
    /// Internal topics, and who reads them.
    pub(crate) reads: Vec<InternalRead>,
    /// The state of transforms.
    pub(crate) state: Vec<KeptState>,
}

/// An internal topic that a group reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InternalRead {
    pub(crate) topic: Arc<str>,
    pub(crate) group: Arc<str>,
}

/// What a transform keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptState {
    pub(crate) transform: String,
    pub(crate) changelog: Arc<str>,
    pub(crate) version: u32,
    /// One text for each store: its name, its kind, its formats.
    pub(crate) stores: Vec<String>,
    /// What it reads, and where the keys come from.
    pub(crate) inputs: Vec<(Arc<str>, Option<String>)>,
}

/// A process asks all others to end the plan in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The hash of the plan that is to follow.
    pub(crate) to: String,
    /// The process that sees to it.
    pub(crate) by: String,
    /// Rises while it does so.
    pub(crate) beat: u64,
}

/// What a control topic says of plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) in_force: Option<Generation>,
    /// By process.
    pub(crate) ready: BTreeMap<String, String>,
    pub(crate) order: Option<Order>,
}

impl Said {
    /// Whether a process that runs the pipeline has said that its files ask for a plan.
    pub(crate) fn is_ready(&self, member: &Member, plan: &str) -> bool {
        let mut ready = self.ready.iter();
        ready.any(|(process, wanted)| member.is_process(process) && wanted == plan)
    }
}

impl Holdings {
    /// What a plan keeps.
    pub(crate) fn of(plan: &Topology) -> Self {
        let processes = plan.process_topics().map(|id| (id, &plan.pipeline));
        let deliveries = plan.deliveries.iter().map(|delivery| (delivery.topic, &delivery.group));
        let reads = processes
            .chain(deliveries)
            .filter(|(id, _)| plan.topic(*id).role.is_internal())
            .map(|(id, group)| InternalRead {
                topic: Arc::clone(&plan.topic(id).name),
                group: Arc::clone(group),
            })
            .collect();
        let nodes = plan
            .processes
            .iter()
            .flat_map(|sub| sub.nodes.iter().map(move |node| (node, sub)));
        Self {
            reads,
            state: nodes.filter_map(|(node, sub)| KeptState::of(plan, node, sub)).collect(),
        }
    }

    /// Internal topics that `next` does not read.
    pub(crate) fn topics_that_go(&self, next: &Self) -> Vec<InternalRead> {
        let mut gone = self.reads.clone();
        gone.retain(|one| !next.reads.contains(one));
        gone
    }
}

impl KeptState {
    fn of(plan: &Topology, node: &Node, sub: &SubTopology) -> Option<Self> {
        let changelog = Arc::clone(&plan.topic(node.changelog?).name);
        let stores = node.description.stores.iter().map(|store| {
            let kind = match (store.table, store.keyed) {
                (true, _) => "table",
                (false, true) => "keyed",
                (false, false) => "shared",
            };
            format!("{} {kind} {} {}", store.name, store.key_format, store.value_format)
        });
        let inputs = sub.inputs.iter();
        Some(Self {
            transform: node.name.to_string(),
            changelog,
            version: node.description.state_version,
            stores: stores.collect(),
            inputs: inputs
                .map(|route| (Arc::clone(&plan.topic(route.topic).name), route.key.clone()))
                .collect(),
        })
    }
}

/// The notes of one pipeline.
#[derive(Clone)]
pub(crate) struct Notes {
    log: Arc<dyn Log>,
    topic: String,
    replication: Option<u16>,
    may_create: bool,
}

impl Notes {
    /// Those of a pipeline, on the log that it runs on.
    pub(crate) fn of(pipeline: &Pipeline, log: &Arc<dyn Log>) -> Self {
        Self {
            log: Arc::clone(log),
            topic: pipeline.control_topic.clone(),
            replication: pipeline.topology.replication,
            may_create: pipeline.topology.internal_topics == InternalTopics::Create,
        }
    }

    /// What is said now.
    ///
    /// # Errors
    /// The log; `Fatal` when a record is none of ours.
    pub(crate) fn read(&self) -> Result<Said, LogError> {
        read(&*self.log, &self.topic)
    }

    /// A plan is in force from now on. Where Wasmill may not create the topic, and it is not there, nothing is
    /// kept, and answers false.
    ///
    /// # Errors
    /// The log.
    pub(crate) fn put_in_force(
        &self,
        plan: &str,
        topology: &Topology,
        before: Option<&Generation>,
    ) -> Result<bool, LogError> {
        let generation = Generation {
            number: before.map_or(0, |before| before.number) + 1,
            plan: plan.to_owned(),
            holdings: Holdings::of(topology),
        };
        if !self.is_there()? {
            return Ok(false);
        }
        self.write(PLAN, Some(control_topic::encoded(&generation)?))?;
        Ok(true)
    }

    /// The files of a process ask for a plan, or (`None`) for the one in force.
    ///
    /// # Errors
    /// The log.
    pub(crate) fn announce(&self, process: &str, plan: Option<&str>) -> Result<(), LogError> {
        if !self.is_there()? {
            return Err(LogError::NoTopic {
                topic: self.topic.clone(),
            });
        }
        let value = plan.map(|plan| control_topic::encoded(&plan)).transpose()?;
        self.write(&format!("{READY}{process}"), value)
    }

    /// All processes are to end the plan in force; or, `None`, nothing is asked of them any more.
    ///
    /// # Errors
    /// The log.
    pub(crate) fn order(&self, order: Option<&Order>) -> Result<(), LogError> {
        self.write(SWITCH, order.map(control_topic::encoded).transpose()?)
    }

    /// Whether there is a topic to write to, now.
    fn is_there(&self) -> Result<bool, LogError> {
        if self.may_create {
            self.make()?;
            return Ok(true);
        }
        let found = self.log.topics(&[&self.topic], TIMEOUT)?;
        Ok(found.into_iter().next().flatten().is_some())
    }

    fn make(&self) -> Result<(), LogError> {
        if self.may_create {
            control_topic::make(&*self.log, &self.topic, self.replication)?;
        }
        Ok(())
    }

    fn write(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), LogError> {
        control_topic::write(&*self.log, &self.topic, &[(key, value)])
    }
}

/// What a control topic says of plans.
///
/// # Errors
/// The log; `Fatal` when a record is none of ours.
pub(crate) fn read(log: &dyn Log, topic: &str) -> Result<Said, LogError> {
    let mut said = Said::default();
    control_topic::read(log, topic, &mut |noted| {
        match std::str::from_utf8(noted.key) {
            Ok(PLAN) => said.in_force = noted.json("the plan in force")?,
            Ok(SWITCH) => said.order = noted.json("a switch of plans")?,
            Ok(key) => {
                if let Some(process) = key.strip_prefix(READY) {
                    match noted.json("what a process is ready for")? {
                        Some(plan) => said.ready.insert(process.to_owned(), plan),
                        None => said.ready.remove(process),
                    };
                }
            }
            Err(_) => {}
        }
        Ok(())
    })?;
    Ok(said)
}

/// Forgets which plan was in force: a reset has left nothing of it.
///
/// # Errors
/// The log.
pub(crate) fn forget(log: &dyn Log, topic: &str) -> Result<(), LogError> {
    control_topic::write(log, topic, &[(PLAN, None)])
}
