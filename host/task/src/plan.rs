//! The topology together with what the log says of its topics: what workers share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use record::log::{Log, TopicInfo};
use record::sink::Sink;
use record::sink::SinkError;
use record::source::{Source, SourceError};
use record::store::StateBackend;
use record::topology::{DeliverPlan, Ingest, Node, SubTopology, Target, Topic, TopicId, Topology};
use record::trace::Spans;
use record::transform::Transform;
use record::{RecordOffset, TopicPartition};

use crate::Gate;
use crate::control::Control;
use crate::observer::{Observer, Shutdown};
use crate::stats::Flow;
use crate::tap::Taps;

/// Makes the concrete parts of a pipeline. The composition root implements it.
pub trait Parts: Send + Sync {
    /// A new instance of a transform, for one worker. Called when a worker starts.
    ///
    /// # Errors
    /// A sentence for people.
    fn transform(&self, node: &Node) -> Result<Box<dyn Transform>, String>;
    /// The reader of a source that is not a topic. Called when its partition 0 is assigned.
    ///
    /// # Errors
    /// The settings, or the source itself.
    fn source(&self, ingest: &Ingest) -> Result<Box<dyn Source>, SourceError>;
    /// A sink. Called once per deliver thread.
    ///
    /// # Errors
    /// The settings.
    fn sink(&self, plan: &DeliverPlan) -> Result<Box<dyn Sink>, SinkError>;
    /// Where spans are told, if anybody wants to have them.
    fn spans(&self) -> Option<Arc<dyn Spans>> {
        None
    }
}

/// What all threads of a run share.
pub(crate) struct Shared {
    pub(crate) topology: Arc<Topology>,
    pub(crate) processes: Vec<Arc<SubTopology>>,
    /// What the log says of each topic of the topology; `None` for those that do not exist yet.
    pub(crate) infos: Vec<TopicInfo>,
    /// Sub-topology and route by the name of the topic that is read.
    pub(crate) readers: HashMap<Arc<str>, (usize, usize)>,
    pub(crate) client_id: String,
    pub(crate) process_id: String,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) state: Arc<dyn StateBackend>,
    pub(crate) parts: Arc<dyn Parts>,
    pub(crate) control: Control,
    pub(crate) observer: Arc<Observer>,
    /// One per topic of the topology.
    pub(crate) flows: Vec<Arc<Flow>>,
    pub(crate) taps: Taps,
    pub(crate) shutdown: Shutdown,
    /// `None`: nothing is traced, and nothing looks for traces.
    pub(crate) spans: Option<Arc<dyn Spans>>,
    pub(crate) gate: Option<Gate>,
    /// `--until-end`: sources end.
    pub(crate) bounded: bool,
    /// `--skip`.
    pub(crate) skip: Vec<(TopicPartition, RecordOffset)>,
    /// The topics whose source this process reads, and whether it has ended, committed.
    pub(crate) sources: parking_lot::Mutex<HashMap<TopicId, bool>>,
    /// Workers that have had an assignment.
    pub(crate) settled: AtomicUsize,
    pub(crate) started: Instant,
}

/// How long calls to the log may take outside the record path.
pub(crate) const LOG_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for what is only looked at, and looked at again: a run that is to end does not wait for it.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// A process that gets no partition never hears of it; it has settled after this.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

impl Shared {
    /// Whether this process knows which partitions it has, as far as one can.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire) >= self.topology.workers || self.started.elapsed() > SETTLED_AFTER
    }

    pub(crate) fn flow(&self, id: TopicId) -> &Flow {
        &self.flows[id.0 as usize]
    }

    pub(crate) fn topic(&self, id: TopicId) -> &Topic {
        self.topology.topic(id)
    }

    pub(crate) fn info(&self, id: TopicId) -> &TopicInfo {
        &self.infos[id.0 as usize]
    }

    /// The role of a topic that is read.
    pub(crate) fn reads_internal(&self, topic: &str) -> bool {
        self.readers.get(topic).is_some_and(|(sub, route)| {
            let id = self.processes[*sub].inputs[*route].topic;
            self.topic(id).role.is_internal()
        })
    }

    /// Everything of a topic.
    pub(crate) fn partitions_of(&self, id: TopicId) -> Vec<TopicPartition> {
        let topic = self.topic(id);
        (0..self.info(id).partitions)
            .map(|partition| TopicPartition::new(Arc::clone(&topic.name), partition))
            .collect()
    }

    /// Whether a sub-topology writes to a topic.
    pub(crate) fn writes(sub: &SubTopology, topic: TopicId) -> bool {
        let is_it = |target: &Target| matches!(target, Target::Topic { topic: t, .. } if *t == topic);
        sub.inputs.iter().flat_map(|route| &route.targets).any(is_it)
            || sub.nodes.iter().flat_map(|node| node.ports.iter().flatten()).any(is_it)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as i64)
}
