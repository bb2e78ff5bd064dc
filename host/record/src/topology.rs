//! The plan: a checked pipeline, cut into sub-topologies.
//!
//! Made by `pipeline` from the TOML and the plugins' descriptions, drawn by `graph`, run by `task`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::grant::Grant;
use crate::transform::Description;

/// A topic's place in [`Topology::topics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u32);

/// A node's place in [`SubTopology::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// The delivery guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Outputs, state and positions in one transaction.
    #[default]
    ExactlyOnce,
    /// Records may be processed again after a crash; state counts them twice.
    AtLeastOnce,
}

/// Where an input is read from when the group has no committed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Start {
    /// At the first record there is.
    #[default]
    Earliest,
    /// After the last record there is.
    Latest,
    /// At the first record at or after a time, in milliseconds since 1970.
    Time(i64),
}

/// What is done with a record that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnError {
    /// Its partition stops there until somebody decides.
    #[default]
    Fail,
    /// It goes to the dead letters, and the others go on.
    DeadLetter,
    /// It is counted and dropped.
    Skip,
}

/// Whether internal topics are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum InternalTopics {
    /// Wasmill creates them.
    #[default]
    Create,
    /// They must exist with the right settings; what is missing is listed.
    Require,
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRole {
    /// The user's: read by a source, or filled by an `http` source.
    Input,
    /// The user's: written by a `kafka` sink.
    Output,
    /// Ours: filled by a `file`, `stdin` or `generator` source.
    Source,
    /// Ours: records on their way to the task that owns their key.
    Repartition,
    /// Ours: records on their way to an external sink.
    Sink,
    /// Ours, compacted: the state of a transform.
    Changelog,
    /// Records that failed.
    DeadLetter,
}

impl TopicRole {
    /// Whether the topic belongs to Wasmill: created by it, with its headers in the records.
    #[must_use]
    pub fn is_internal(self) -> bool {
        matches!(self, Self::Source | Self::Repartition | Self::Sink | Self::Changelog)
    }
}

/// How many partitions a topic has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionCount {
    /// As many as it has: the user's topic.
    Existing,
    /// As many as the pipeline says. For the user's own topics only when they are created: one
    /// that exists keeps what it has.
    Fixed(u32),
    /// As many as another topic.
    SameAs(TopicId),
}

/// A topic of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its full name, prefix included.
    pub name: Arc<str>,
    /// What it is for.
    pub role: TopicRole,
    /// How many partitions it has, or gets.
    pub partitions: PartitionCount,
    /// Whether it is created when it is missing: internal ones by `internal_topics`, the user's
    /// only when embedded or with `create_topics = true`.
    pub create: bool,
}

/// A connector's settings: its type, and its checked table as JSON, secrets filled in. Shown to
/// nobody: `Debug` leaves the settings out.
#[derive(Clone, PartialEq)]
pub struct Connector {
    /// The name in the pipeline.
    pub name: Arc<str>,
    /// `file`, `generator`, `mysql`, `mongodb` and so on.
    pub kind: String,
    /// The table as JSON; paths are absolute.
    pub settings: String,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A source that is not a topic: it fills one.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingest {
    /// The source and its settings.
    pub connector: Connector,
    /// The topic that it fills ([`TopicRole::Source`]).
    pub topic: TopicId,
    /// A JSON Pointer into the value that gives the key.
    pub key: Option<String>,
    /// What is done with input that does not parse.
    pub on_undecodable: OnError,
}

/// A source that is sent its records: every process of the pipeline listens, and writes them to a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// The source and its settings.
    pub connector: Connector,
    /// The topic that its records are written to ([`TopicRole::Input`]).
    pub topic: TopicId,
    /// Whether what cannot be decoded goes to the dead letters; else it is refused.
    pub dead_letters: bool,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a transform of the same task.
    Node {
        /// Which.
        node: NodeId,
        /// Which of its inputs.
        input: u8,
    },
    /// To a topic.
    Topic {
        /// Which.
        topic: TopicId,
        /// The input of the transform behind a repartition topic; 0 elsewhere.
        input: u8,
    },
}

/// A topic that a sub-topology reads, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRoute {
    /// Which topic.
    pub topic: TopicId,
    /// The source in the pipeline; for repartition topics the transform behind it.
    pub name: Arc<str>,
    /// A JSON Pointer into the value that gives the key (user topics only; others are keyed when
    /// they are written).
    pub key: Option<String>,
    /// What is done with a value in which `key` finds nothing.
    pub on_undecodable: OnError,
    /// Where the group starts without a committed position.
    pub start: Start,
    /// Where the records go. For a repartition topic the input is in each record.
    pub targets: Vec<Target>,
}

/// A transform in a sub-topology. `Debug` leaves its config out, which may hold secrets.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// The transform's name in the pipeline.
    pub name: Arc<str>,
    /// The component: a file, or an `oci://` reference to one.
    pub plugin: PathBuf,
    /// The transform's config table as a JSON object.
    pub config: String,
    /// What the plugin says of itself.
    pub description: Description,
    /// What is done with a record that fails here.
    pub on_error: OnError,
    /// The limits of its instances.
    pub limits: Limits,
    /// What it may use beyond the contract.
    pub grant: Grant,
    /// How far behind the largest event time the watermark is, which fires its timers.
    pub lateness: Duration,
    /// When a reload that changes the transform is taken back; `None`: never.
    pub rollback: Option<Rollback>,
    /// What is run on the same records, and whose results are only compared.
    pub shadow: Option<Shadow>,
    /// For each port, where its records go.
    pub ports: Vec<Vec<Target>>,
    /// The changelog of its stores, when it has any.
    pub changelog: Option<TopicId>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .field("plugin", &self.plugin)
            .field("description", &self.description)
            .field("on_error", &self.on_error)
            .field("limits", &self.limits)
            .field("grant", &self.grant)
            .field("lateness", &self.lateness)
            .field("rollback", &self.rollback)
            .field("shadow", &self.shadow.as_ref().map(|shadow| &shadow.plugin))
            .field("ports", &self.ports)
            .field("changelog", &self.changelog)
            .finish_non_exhaustive()
    }
}

/// Another version of a transform's plugin, or the same with another config.
#[derive(Clone, PartialEq)]
pub struct Shadow {
    /// As [`Node::plugin`].
    pub plugin: PathBuf,
    /// As [`Node::config`].
    pub config: String,
}

/// When a new version of a transform is taken back by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rollback {
    /// More than this share of its records has failed, from 0 to 1,
    pub failed_share: f64,
    /// of at least so many,
    pub records: u64,
    /// within this time.
    pub within: Duration,
}

/// The limits of a plugin. The depth of its stack is a setting of the engine, so of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memories and tables of one instance together, in bytes.
    pub memory_bytes: usize,
    /// Processor time of one record, in milliseconds.
    pub time_ms_per_record: u64,
    /// Processor time that a call has at least, however few records it has, in milliseconds.
    pub time_ms_per_call: u64,
    /// What one call may hand out, and what it may write to state, in bytes each.
    pub output_bytes: usize,
    /// The size of the component, in bytes.
    pub component_bytes: u64,
    /// Core instances, memories and tables that one instance consists of; so many of each.
    pub parts: usize,
    /// Handles that an instance holds at once: its own resources, and those of what is granted.
    pub handles: usize,
    /// Messages a second that an instance may log, and twice as many at once.
    pub log_per_second: u32,
    /// Metrics of the transform, all label sets counted.
    pub metrics: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            time_ms_per_record: 10,
            time_ms_per_call: 1_000,
            output_bytes: 16 << 20,
            component_bytes: 64 << 20,
            parts: 1_000,
            handles: 10_000,
            log_per_second: 100,
            metrics: 1_000,
        }
    }
}

/// A part of the pipeline that runs without a topic in between.
#[derive(Clone, Debug, PartialEq)]
pub struct SubTopology {
    /// Its place in [`Topology::processes`].
    pub id: u32,
    /// What it reads. A stateful one reads exactly one topic.
    pub inputs: Vec<InputRoute>,
    /// In topological order.
    pub nodes: Vec<Node>,
}

impl SubTopology {
    /// Whether any of its transforms keeps state.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        self.nodes.iter().any(|node| node.changelog.is_some())
    }
}

/// An external sink and the topic that feeds it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliverPlan {
    /// The sink and its settings.
    pub connector: Connector,
    /// The topic that it reads: a sink topic, or what a source names directly.
    pub topic: TopicId,
    /// The consumer group of its own: `<pipeline>-<sink>`.
    pub group: Arc<str>,
    /// Where the group starts without a committed position.
    pub start: Start,
    /// What is done with a record that the system rejects.
    pub on_error: OnError,
    /// How records are gathered.
    pub batch: DeliverBatch,
}

/// How a deliver task gathers records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverBatch {
    /// A batch is written when it holds this many records,
    pub max_records: usize,
    /// or this many bytes,
    pub max_bytes: usize,
    /// or when its first record has waited this long.
    pub timeout: Duration,
}

impl Default for DeliverBatch {
    fn default() -> Self {
        Self {
            max_records: 1_000,
            max_bytes: 4 << 20,
            timeout: Duration::from_millis(100),
        }
    }
}

/// A checked pipeline, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// The pipeline's name; also the consumer group of its process tasks.
    pub pipeline: Arc<str>,
    /// The delivery guarantee.
    pub delivery: Delivery,
    /// How often a worker commits.
    pub commit_interval: Duration,
    /// Worker threads for process tasks.
    pub workers: usize,
    /// Where local state lives; `None`: a directory named after the pipeline under `.wasmill`.
    pub state_dir: Option<PathBuf>,
    /// Whether internal topics are created.
    pub internal_topics: InternalTopics,
    /// The replication factor of internal topics; `None`: the broker's default.
    pub replication: Option<u16>,
    /// All topics.
    pub topics: Vec<Topic>,
    /// Sources that are not topics.
    pub ingests: Vec<Ingest>,
    /// Sources that are sent their records.
    pub listens: Vec<Listen>,
    /// In topological order.
    pub processes: Vec<SubTopology>,
    /// External sinks.
    pub deliveries: Vec<DeliverPlan>,
    /// Where dead letters go.
    pub dead_letters: TopicId,
}

impl Topology {
    /// A topic of the plan.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> &Topic {
        &self.topics[id.0 as usize]
    }

    /// The topics that process workers read.
    pub fn process_topics(&self) -> impl Iterator<Item = TopicId> + '_ {
        self.processes
            .iter()
            .flat_map(|sub| sub.inputs.iter().map(|route| route.topic))
    }
}
