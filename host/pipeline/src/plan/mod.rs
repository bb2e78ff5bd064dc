//! The third of three types: the plan. A checked pipeline is cut into sub-topologies at every
//! repartition and before every external sink; nothing can go wrong here any more.

mod cut;
mod topics;

use record::topology::{
    DeliverPlan, Ingest, InputRoute, Listen, Node, NodeId, OnError, Start, SubTopology, Target, TopicId, Topology,
};

use crate::checked::{Checked, Feed, SinkKind, SourceKind};
use cut::Cut;
use topics::Topics;

/// Where a pipeline's records come from and go to, by the names in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The topics of each source.
    pub sources: Vec<End>,
    /// The topic that each sink writes, or is fed by.
    pub sinks: Vec<End>,
}

/// A source or a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its name in the pipeline.
    pub name: String,
    /// Its topics.
    pub topics: Vec<TopicId>,
}

/// Makes the plan.
pub(crate) fn plan(checked: &Checked) -> (Topology, Ends) {
    let cut = cut::cut(checked);
    let topics = Topics::new(checked, &cut);
    let planner = Planner {
        checked,
        cut: &cut,
        topics: &topics,
    };
    let end = |name: &str, topics: Vec<TopicId>| End {
        name: name.to_owned(),
        topics,
    };
    let sources = checked.sources.iter().zip(&topics.sources);
    let sinks = checked.sinks.iter().zip(&topics.sinks);
    let ends = Ends {
        sources: sources.map(|(source, ids)| end(&source.name, ids.clone())).collect(),
        sinks: sinks
            .map(|(sink, topic)| end(&sink.name, vec![topic.topic()]))
            .collect(),
    };
    let topology = Topology {
        pipeline: checked.name.as_str().into(),
        delivery: checked.delivery,
        commit_interval: checked.commit_interval,
        workers: checked.workers,
        state_dir: checked.state_dir.clone(),
        internal_topics: checked.internal_topics,
        replication: checked.replication,
        ingests: planner.ingests(),
        listens: planner.listens(),
        processes: planner.processes(),
        deliveries: planner.deliveries(),
        dead_letters: topics.dead_letters,
        topics: topics.list,
    };
    (topology, ends)
}

/// The source that a sink may read the topic of directly: it is its only input, has one topic, and
/// its records are in that topic as they are to be delivered.
pub(super) fn direct_source(checked: &Checked, feeds: &[Feed]) -> Option<usize> {
    let [Feed::Source(s)] = feeds else { return None };
    let source = &checked.sources[*s];
    let direct = match &source.kind {
        SourceKind::Topics { topics, .. } => topics.len() == 1 && source.key.is_none(),
        SourceKind::Ingest { .. } | SourceKind::Listen { .. } => true,
    };
    direct.then_some(*s)
}

struct Planner<'a> {
    checked: &'a Checked,
    cut: &'a Cut,
    topics: &'a Topics,
}

impl Planner<'_> {
    fn ingests(&self) -> Vec<Ingest> {
        let sources = self.checked.sources.iter().enumerate();
        let ingests = sources.filter_map(|(s, source)| match &source.kind {
            SourceKind::Topics { .. } | SourceKind::Listen { .. } => None,
            SourceKind::Ingest { connector, .. } => Some(Ingest {
                connector: connector.clone(),
                topic: *self.topics.sources[s].first()?,
                key: source.key.clone(),
                on_undecodable: source.on_undecodable,
            }),
        });
        ingests.collect()
    }

    fn listens(&self) -> Vec<Listen> {
        let sources = self.checked.sources.iter().enumerate();
        let listens = sources.filter_map(|(s, source)| match &source.kind {
            SourceKind::Topics { .. } | SourceKind::Ingest { .. } => None,
            SourceKind::Listen { connector, .. } => Some(Listen {
                connector: connector.clone(),
                topic: *self.topics.sources[s].first()?,
                dead_letters: source.on_undecodable == OnError::DeadLetter,
            }),
        });
        listens.collect()
    }

    fn processes(&self) -> Vec<SubTopology> {
        let mut parts: Vec<usize> = Vec::new();
        for part in self.cut.source_part.iter().chain(&self.cut.transform_part) {
            if !parts.contains(part) {
                parts.push(*part);
            }
        }
        let mut subs: Vec<SubTopology> = parts.into_iter().map(|part| self.sub_topology(part)).collect();
        subs.retain(|sub| !sub.inputs.is_empty());
        let mut ordered = topological(subs);
        for (id, sub) in ordered.iter_mut().enumerate() {
            sub.id = id as u32;
        }
        ordered
    }

    fn sub_topology(&self, part: usize) -> SubTopology {
        let order = self.cut.order.iter().copied();
        let nodes: Vec<usize> = order.filter(|t| self.cut.transform_part[*t] == part).collect();
        let mut inputs = Vec::new();
        for (s, source) in self.checked.sources.iter().enumerate() {
            if self.cut.source_part[s] != part {
                continue;
            }
            let targets = self.targets(Feed::Source(s), &nodes);
            let (key, start) = match &source.kind {
                // Sinks that read the topic by themselves leave nothing to do here.
                SourceKind::Topics { .. } | SourceKind::Listen { .. } if targets.is_empty() => continue,
                SourceKind::Topics { start, .. } => (source.key.clone(), *start),
                // Even without targets: the worker that owns partition 0 runs the source.
                SourceKind::Ingest { .. } | SourceKind::Listen { .. } => (None, Start::Earliest),
            };
            inputs.extend(self.topics.sources[s].iter().map(|topic| InputRoute {
                topic: *topic,
                name: source.name.as_str().into(),
                key: key.clone(),
                on_undecodable: source.on_undecodable,
                start,
                targets: targets.clone(),
            }));
        }
        for (place, t) in nodes.iter().enumerate() {
            if let Some(topic) = self.topics.repartitions[*t] {
                inputs.push(InputRoute {
                    topic,
                    name: self.checked.transforms[*t].name.as_str().into(),
                    key: None,
                    on_undecodable: OnError::default(),
                    start: Start::Earliest,
                    targets: vec![Target::Node {
                        node: NodeId(place as u32),
                        input: 0,
                    }],
                });
            }
        }
        SubTopology {
            id: 0,
            inputs,
            nodes: nodes.iter().map(|t| self.node(*t, &nodes)).collect(),
        }
    }

    fn node(&self, t: usize, nodes: &[usize]) -> Node {
        let transform = &self.checked.transforms[t];
        let ports = (0..transform.description.ports.len())
            .map(|port| self.targets(Feed::Port { transform: t, port }, nodes))
            .collect();
        Node {
            name: transform.name.as_str().into(),
            plugin: transform.plugin.clone(),
            config: transform.config.clone(),
            description: transform.description.clone(),
            on_error: transform.on_error,
            limits: transform.limits,
            grant: transform.grant.clone(),
            lateness: transform.lateness,
            rollback: transform.rollback,
            shadow: transform.shadow.clone(),
            ports,
            changelog: self.topics.changelogs[t],
        }
    }

    /// Where the records of a feed go; `nodes` are those of its own sub-topology.
    fn targets(&self, feed: Feed, nodes: &[usize]) -> Vec<Target> {
        let mut targets = Vec::new();
        for (t, transform) in self.checked.transforms.iter().enumerate() {
            for (_, input) in transform.feeds.iter().filter(|(from, _)| *from == feed) {
                if let Some(topic) = self.topics.repartitions[t] {
                    targets.push(Target::Topic { topic, input: *input });
                } else if let Some(place) = nodes.iter().position(|node| *node == t) {
                    targets.push(Target::Node {
                        node: NodeId(place as u32),
                        input: *input,
                    });
                }
            }
        }
        for (k, sink) in self.checked.sinks.iter().enumerate() {
            if sink.feeds.contains(&feed)
                && let Some(topic) = self.topics.sinks[k].written()
            {
                targets.push(Target::Topic { topic, input: 0 });
            }
        }
        targets
    }

    fn deliveries(&self) -> Vec<DeliverPlan> {
        let mut plans = Vec::new();
        for (k, sink) in self.checked.sinks.iter().enumerate() {
            let SinkKind::External {
                connector,
                on_error,
                batch,
                ..
            } = &sink.kind
            else {
                continue;
            };
            let start = match direct_source(self.checked, &sink.feeds).map(|s| &self.checked.sources[s].kind) {
                Some(SourceKind::Topics { start, .. }) => *start,
                _ => Start::Earliest,
            };
            plans.push(DeliverPlan {
                connector: connector.clone(),
                topic: self.topics.sinks[k].topic(),
                group: format!("{}-{}", self.checked.name, sink.name).into(),
                start,
                on_error: *on_error,
                batch: *batch,
            });
        }
        plans
    }
}

/// Sub-topologies so that each comes after those that write what it reads.
fn topological(subs: Vec<SubTopology>) -> Vec<SubTopology> {
    let mut rest = subs;
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let free = rest.iter().position(|sub| {
            let mut others = rest.iter().filter(|other| !std::ptr::eq(*other, sub));
            !others.any(|other| sub.inputs.iter().any(|route| writes(other, route.topic)))
        });
        ordered.push(rest.remove(free.unwrap_or(0)));
    }
    ordered
}

fn writes(sub: &SubTopology, wanted: TopicId) -> bool {
    let routes = sub.inputs.iter().flat_map(|route| &route.targets);
    let ports = sub.nodes.iter().flat_map(|node| node.ports.iter().flatten());
    routes
        .chain(ports)
        .any(|target| matches!(target, Target::Topic { topic, .. } if *topic == wanted))
}
