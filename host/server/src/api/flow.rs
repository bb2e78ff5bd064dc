//! A plan as a picture for people: nodes and edges, with what goes through them.

use std::collections::HashMap;
use std::sync::Arc;

use record::topology::{SubTopology, Target, TopicId, TopicRole, Topology};
use serde::{Deserialize, Serialize};
use task::{Flow, Place, TIME_BOUNDS, Times};
use utoipa::ToSchema;

use crate::board::Entry;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// It reads a topic of the user's, or fills one of its own.
    Source,
    /// A plugin.
    Transform,
    /// An external system.
    Sink,
    /// A topic that the pipeline writes.
    Topic,
}

/// How times are distributed since the pipeline was started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Latency {
    /// Half of all were quicker, in milliseconds.
    pub(crate) p50_ms: Option<f64>,
    /// All but one in a hundred were quicker, in milliseconds.
    pub(crate) p99_ms: Option<f64>,
    /// The upper bounds of the buckets, in seconds.
    bounds: Vec<f64>,
    /// How many are in each bucket, and above the last bound.
    counts: Vec<u64>,
}

impl Latency {
    pub(super) fn of(times: &Times) -> Self {
        let millis = |share| times.quantile(share).map(|seconds| seconds * 1_000.0);
        Self {
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
            bounds: TIME_BOUNDS.to_vec(),
            counts: times.counts.to_vec(),
        }
    }
}

/// A place of the plan.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Node)]
pub(crate) struct NodeView {
    /// As in the pipeline; a topic's own name.
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    /// The topic, the plugin, or what kind of source or sink it is.
    pub(crate) label: String,
    /// Records that came in, since the pipeline was started. Those that were rolled back are counted again.
    pub(crate) records_in: u64,
    /// Records that went out.
    pub(crate) records_out: u64,
    /// Records and calls that failed.
    pub(crate) errors: u64,
    /// Records that are yet to be read: by the sub-topology behind a source, by a sink.
    pub(crate) lag: Option<i64>,
    /// Of a transform: how long a record spends in a call. Of a sink: how old it is, by its event time, when the
    /// sink has it.
    pub(crate) latency: Option<Latency>,
}

/// A way from one place to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Edge)]
pub(crate) struct EdgeView {
    pub(crate) from: Arc<str>,
    pub(crate) to: Arc<str>,
    /// The port by which records leave a transform.
    pub(crate) port: Option<String>,
    /// The topic of Wasmill's own that lies between.
    pub(crate) topic: Option<Arc<str>>,
}

/// The nodes and edges of a pipeline.
pub(super) fn graph(entry: &Entry) -> (Vec<NodeView>, Vec<EdgeView>) {
    let mut graph = Graph {
        plan: &entry.topology,
        nodes: Vec::new(),
        edges: Vec::new(),
        flows: HashMap::new(),
        lags: HashMap::new(),
    };
    for (place, name, flow) in entry.observer.flows() {
        graph.flows.insert((place, name), flow);
    }
    for lag in entry.observer.lags() {
        *graph
            .lags
            .entry((Arc::clone(&lag.group), Arc::clone(&lag.topic)))
            .or_default() += lag.records();
    }
    graph.draw(entry);
    (graph.nodes, graph.edges)
}

struct Graph<'a> {
    plan: &'a Topology,
    nodes: Vec<NodeView>,
    edges: Vec<EdgeView>,
    flows: HashMap<(Place, Arc<str>), Arc<Flow>>,
    /// By group and topic.
    lags: HashMap<(Arc<str>, Arc<str>), i64>,
}

impl Graph<'_> {
    fn flow(&self, place: Place, name: &Arc<str>) -> (u64, u64) {
        let flow = self.flows.get(&(place, Arc::clone(name)));
        flow.map_or((0, 0), |flow| (flow.records_read(), flow.records_written()))
    }

    fn latency(&self, place: Place, name: &Arc<str>) -> Option<Latency> {
        let flow = self.flows.get(&(place, Arc::clone(name)))?;
        Some(Latency::of(&flow.time.times()))
    }

    fn lag(&self, group: &Arc<str>, topic: TopicId) -> Option<i64> {
        let topic = Arc::clone(&self.plan.topic(topic).name);
        self.lags.get(&(Arc::clone(group), topic)).copied()
    }

    fn draw(&mut self, entry: &Entry) {
        let plan = self.plan;
        for sub in &plan.processes {
            for route in &sub.inputs {
                if plan.topic(route.topic).role != TopicRole::Repartition {
                    self.source(&route.name, route.topic, &plan.pipeline);
                    self.edges_to(&route.name, None, sub, &route.targets);
                }
            }
            for node in &sub.nodes {
                self.transform(&node.name, entry);
                for (port, targets) in node.description.ports.iter().zip(&node.ports) {
                    self.edges_to(&node.name, Some(&port.name), sub, targets);
                }
            }
        }
        let failures = entry.observer.failures();
        for delivery in &plan.deliveries {
            let name = &delivery.connector.name;
            let node = NodeView {
                name: Arc::clone(name),
                kind: Kind::Sink,
                label: delivery.connector.kind.clone(),
                records_in: self.flow(Place::Topic, &plan.topic(delivery.topic).name).0,
                records_out: self.flow(Place::Sink, name).1,
                errors: failures.iter().filter(|failure| *failure.node == **name).count() as u64,
                lag: self.lag(&delivery.group, delivery.topic),
                latency: self.latency(Place::Sink, name),
            };
            self.nodes.push(node);
            if plan.topic(delivery.topic).role != TopicRole::Sink {
                // It reads what a source names, without a transform in between.
                let filled = plan.ingests.iter().find(|ingest| ingest.topic == delivery.topic);
                let source = match filled {
                    Some(ingest) => Arc::clone(&ingest.connector.name),
                    None => Arc::clone(&plan.topic(delivery.topic).name),
                };
                self.source(&source, delivery.topic, &delivery.group);
                self.edge(&source, None, name, None);
            }
        }
    }

    fn source(&mut self, name: &Arc<str>, topic: TopicId, group: &Arc<str>) {
        if self.nodes.iter().any(|node| node.name == *name) {
            return;
        }
        let plan = self.plan;
        let topic_name = &plan.topic(topic).name;
        let filled = plan.ingests.iter().find(|ingest| ingest.topic == topic);
        let sent = plan.listens.iter().find(|listen| listen.topic == topic);
        let (read, written) = self.flow(Place::Topic, topic_name);
        self.nodes.push(NodeView {
            name: Arc::clone(name),
            kind: Kind::Source,
            label: match (filled, sent) {
                (Some(ingest), _) => ingest.connector.kind.clone(),
                (None, Some(listen)) => format!("{}, topic {topic_name}", listen.connector.kind),
                (None, None) => format!("topic {topic_name}"),
            },
            records_in: if filled.is_some() { written } else { read },
            records_out: read,
            errors: 0,
            lag: self.lag(group, topic),
            latency: None,
        });
    }

    fn transform(&mut self, name: &Arc<str>, entry: &Entry) {
        let linked = entry.linked.iter().find(|one| *one.transform() == *name);
        let usage = linked.map(plugin::Linked::usage).unwrap_or_default();
        let (read, written) = self.flow(Place::Transform, name);
        self.nodes.push(NodeView {
            name: Arc::clone(name),
            kind: Kind::Transform,
            label: linked.map_or_else(String::new, |one| {
                let about = one.compiled().description();
                format!("{} {}", about.name, about.version)
            }),
            records_in: read,
            records_out: written,
            errors: usage.failed_records + usage.failed_calls(),
            lag: None,
            latency: self.latency(Place::Transform, name),
        });
    }

    fn edges_to(&mut self, from: &Arc<str>, port: Option<&String>, sub: &SubTopology, targets: &[Target]) {
        let plan = self.plan;
        for target in targets {
            match target {
                Target::Node { node, .. } => {
                    if let Some(node) = sub.nodes.get(node.0 as usize) {
                        self.edge(from, port, &node.name, None);
                    }
                }
                Target::Topic { topic, input } => self.through(from, port, *topic, *input, plan),
            }
        }
    }

    fn through(&mut self, from: &Arc<str>, port: Option<&String>, id: TopicId, input: u8, plan: &Topology) {
        let topic = plan.topic(id);
        let between = Some(Arc::clone(&topic.name));
        match topic.role {
            TopicRole::Repartition => {
                let readers = plan
                    .processes
                    .iter()
                    .flat_map(|sub| sub.inputs.iter().map(move |r| (sub, r)));
                for (sub, route) in readers.filter(|(_, route)| route.topic == id) {
                    for target in &route.targets {
                        if let Target::Node { node, input: number } = target
                            && (*number == input || route.targets.len() == 1)
                            && let Some(node) = sub.nodes.get(node.0 as usize)
                        {
                            self.edge(from, port, &node.name, between.clone());
                        }
                    }
                }
            }
            TopicRole::Sink => {
                for delivery in plan.deliveries.iter().filter(|delivery| delivery.topic == id) {
                    self.edge(from, port, &delivery.connector.name, between.clone());
                }
            }
            _ => {
                if !self.nodes.iter().any(|node| node.name == topic.name) {
                    let written = self.flow(Place::Topic, &topic.name).1;
                    self.nodes.push(NodeView {
                        name: Arc::clone(&topic.name),
                        kind: Kind::Topic,
                        label: "topic".to_owned(),
                        records_in: written,
                        records_out: written,
                        errors: 0,
                        lag: None,
                        latency: None,
                    });
                }
                self.edge(from, port, &topic.name, None);
            }
        }
    }

    fn edge(&mut self, from: &Arc<str>, port: Option<&String>, to: &Arc<str>, topic: Option<Arc<str>>) {
        let edge = EdgeView {
            from: Arc::clone(from),
            to: Arc::clone(to),
            port: port.cloned(),
            topic,
        };
        if !self.edges.contains(&edge) {
            self.edges.push(edge);
        }
    }
}
