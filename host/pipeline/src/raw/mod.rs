//! The first of three types: a pipeline file as it is written. These structs are the one
//! definition of its keys: the JSON Schema comes from them ([`crate::schema`]), the shape of a file
//! is checked against that schema ([`crate::shape`]), and what passes is read into them by serde.

pub(crate) mod http;
pub(crate) mod sinks;
pub(crate) mod sources;
pub(crate) mod transforms;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use sinks::Sink;
pub(crate) use sources::Source;
pub(crate) use transforms::Transform;

/// A pipeline of Wasmill: records from sources, through transforms, to sinks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pipeline {
    /// The pipeline's name; also its consumer group and the start of the names of its topics.
    /// Letters, digits, `.`, `_` and `-`.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The guarantee: `exactly_once`, or `at_least_once`, with which records may be processed
    /// again after a crash and state counts them twice.
    #[serde(default)]
    pub delivery: Delivery,
    /// Worker threads of this process.
    #[serde(default = "default_workers")]
    #[schemars(range(min = 1, max = 256))]
    pub workers: usize,
    /// Where local state lives, relative to the pipeline file; one process at a time. Left out: a
    /// directory named after the pipeline under `.wasmill`.
    #[schemars(length(min = 1))]
    pub state_dir: Option<String>,
    /// How often a worker commits, in milliseconds. Every commit makes what was written visible.
    #[serde(default = "default_commit_interval_ms")]
    #[schemars(range(min = 1, max = 5000))]
    pub commit_interval_ms: u64,
    /// Where records that fail go with `on_error = "dead_letter"`. Left out:
    /// `<topic_prefix><pipeline>-dead-letters`.
    pub dead_letter_topic: Option<String>,
    /// Put before the names of the topics that Wasmill makes up.
    #[serde(default)]
    pub topic_prefix: String,
    /// Whether Wasmill creates its internal topics (`create`) or finds them (`require`).
    #[serde(default)]
    pub internal_topics: InternalTopics,
    /// What a reload does that does not fit the state which is kept (another input, other stores, another state
    /// version without a migration): it is refused (`refuse`), or the pipeline forgets everything and begins anew
    /// (`reset`), as with `wasmill reset`.
    #[serde(default)]
    pub on_state_change: OnStateChange,
    /// The replication factor of topics that are created. Left out: the broker's default.
    #[schemars(range(min = 1, max = 100))]
    pub replication: Option<u16>,
    /// Whether the topics of `kafka` sources and sinks are created when they are missing. They
    /// always are with `--embedded`.
    #[serde(default)]
    pub create_topics: bool,
    /// The partitions of topics that are created and follow no other topic: those filled by
    /// `file`, `stdin`, `generator` and `http` sources, and those that `create_topics` creates.
    #[serde(default = "default_partitions")]
    #[schemars(range(min = 1, max = 10_000))]
    pub partitions: u32,
    /// The broker. Not needed with `--embedded`.
    pub kafka: Option<Kafka>,
    /// Where records come from, by name.
    #[serde(default)]
    #[allow(dead_code, reason = "read node by node, so that one mistake does not hide others")]
    pub sources: BTreeMap<String, Source>,
    /// What is done with them, by name.
    #[serde(default)]
    #[allow(dead_code, reason = "read node by node, so that one mistake does not hide others")]
    pub transforms: BTreeMap<String, Transform>,
    /// Where they go, by name.
    #[serde(default)]
    #[allow(dead_code, reason = "read node by node, so that one mistake does not hide others")]
    pub sinks: BTreeMap<String, Sink>,
    /// What takes the place of nodes under `--embedded`.
    #[serde(default)]
    #[allow(dead_code, reason = "replaced in the tree, before it is read into these types")]
    pub embedded: Embedded,
}

fn default_workers() -> usize {
    1
}

fn default_commit_interval_ms() -> u64 {
    100
}

fn default_partitions() -> u32 {
    4
}

/// The guarantee.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delivery {
    #[default]
    ExactlyOnce,
    AtLeastOnce,
}

/// Whether internal topics are created.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InternalTopics {
    #[default]
    Create,
    Require,
}

/// What a reload does that does not fit the state.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnStateChange {
    #[default]
    Refuse,
    Reset,
}

/// What is done with a record that fails.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnError {
    #[default]
    Fail,
    DeadLetter,
    Skip,
}

impl From<Delivery> for record::topology::Delivery {
    fn from(raw: Delivery) -> Self {
        match raw {
            Delivery::ExactlyOnce => Self::ExactlyOnce,
            Delivery::AtLeastOnce => Self::AtLeastOnce,
        }
    }
}

impl From<InternalTopics> for record::topology::InternalTopics {
    fn from(raw: InternalTopics) -> Self {
        match raw {
            InternalTopics::Create => Self::Create,
            InternalTopics::Require => Self::Require,
        }
    }
}

impl From<OnError> for record::topology::OnError {
    fn from(raw: OnError) -> Self {
        match raw {
            OnError::Fail => Self::Fail,
            OnError::DeadLetter => Self::DeadLetter,
            OnError::Skip => Self::Skip,
        }
    }
}

/// The broker.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    /// `host:port`, several separated by commas.
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub brokers: String,
    /// Any setting of librdkafka, such as `"security.protocol" = "SASL_SSL"`, except for those
    /// that Wasmill sets itself. The values are shown to nobody.
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
}

/// A setting of librdkafka.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Property {
    /// Text.
    Text(#[schemars(extend("x-wasmill-secret" = true))] String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
}

/// What takes the place of nodes under `--embedded`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "replaced in the tree, before it is read into these types")]
pub(crate) struct Embedded {
    /// Sources that take the place of those of the same name.
    #[serde(default)]
    pub sources: BTreeMap<String, Source>,
    /// Sinks that take the place of those of the same name; `inputs` left out are those of the
    /// sink that is replaced.
    #[serde(default)]
    pub sinks: BTreeMap<String, Sink>,
}

/// Names of nodes and ports.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "read from the tree, which knows the place of each name")]
pub(crate) enum Inputs {
    /// For a plugin with one input: nodes (`"split"`) or ports (`"split.errors"`).
    List(#[schemars(length(min = 1))] Vec<String>),
    /// For a plugin with several inputs: for each of them a list.
    Table(BTreeMap<String, InputList>),
}

/// A list of nodes or ports.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[allow(dead_code, reason = "read from the tree, which knows the place of each name")]
pub(crate) struct InputList(#[schemars(length(min = 1))] pub Vec<String>);

impl Pipeline {
    /// A pipeline of which nothing but the name is known.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            delivery: Delivery::default(),
            workers: default_workers(),
            state_dir: None,
            commit_interval_ms: default_commit_interval_ms(),
            dead_letter_topic: None,
            topic_prefix: String::new(),
            internal_topics: InternalTopics::default(),
            replication: None,
            on_state_change: OnStateChange::Refuse,
            create_topics: false,
            partitions: default_partitions(),
            kafka: None,
            sources: BTreeMap::new(),
            transforms: BTreeMap::new(),
            sinks: BTreeMap::new(),
            embedded: Embedded::default(),
        }
    }
}
