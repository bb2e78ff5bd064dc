//! The second of three types: a pipeline in which every name is resolved and every value is in
//! range. [`crate::plan`] makes the third of it, and cannot fail.

use std::path::PathBuf;
use std::time::Duration;

use record::grant::Grant;
use record::topology::{Connector, DeliverBatch, Delivery, InternalTopics, Limits, OnError, Rollback, Shadow, Start};
use record::transform::Description;

/// A checked pipeline.
pub(crate) struct Checked {
    pub name: String,
    pub delivery: Delivery,
    pub workers: usize,
    pub state_dir: Option<PathBuf>,
    pub commit_interval: Duration,
    pub dead_letter_topic: Option<String>,
    pub topic_prefix: String,
    pub internal_topics: InternalTopics,
    pub replication: Option<u16>,
    /// Whether a reload that does not fit the state resets the pipeline.
    pub resets_state: bool,
    /// Whether the user's topics are created: `create_topics`, or embedded.
    pub create_topics: bool,
    pub embedded: bool,
    pub partitions: u32,
    pub sources: Vec<Source>,
    pub transforms: Vec<Transform>,
    pub sinks: Vec<Sink>,
}

/// A source.
pub(crate) struct Source {
    pub name: String,
    pub kind: SourceKind,
    /// A JSON Pointer.
    pub key: Option<String>,
    pub on_undecodable: OnError,
}

pub(crate) enum SourceKind {
    /// The user's topics.
    Topics { topics: Vec<String>, start: Start },
    /// It fills a topic of its own.
    Ingest {
        connector: Connector,
        partitions: u32,
        /// It gives each record a key by itself, besides what `key` finds.
        sets_keys: bool,
        /// The settings as they are written, for the plan's hash.
        written: String,
    },
    /// It is sent its records, and writes them to a topic.
    Listen {
        connector: Connector,
        /// `None`: one named after the source.
        topic: Option<String>,
        partitions: u32,
        /// Every route gives its records a key.
        sets_keys: bool,
    },
}

/// A transform.
pub(crate) struct Transform {
    pub name: String,
    pub plugin: PathBuf,
    /// Its config as JSON, secrets filled in.
    pub config: String,
    pub description: Description,
    pub on_error: OnError,
    pub limits: Limits,
    pub grant: Grant,
    pub lateness: Duration,
    pub rollback: Option<Rollback>,
    pub shadow: Option<Shadow>,
    /// What it reads, and into which of its inputs.
    pub feeds: Vec<(Feed, u8)>,
}

/// A sink.
pub(crate) struct Sink {
    pub name: String,
    pub kind: SinkKind,
    pub feeds: Vec<Feed>,
}

pub(crate) enum SinkKind {
    Topic(String),
    External {
        connector: Connector,
        /// The settings as they are written, for the plan's hash.
        written: String,
        on_error: OnError,
        batch: DeliverBatch,
    },
}

/// Where records come from: places in the lists of [`Checked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Feed {
    Source(usize),
    Port { transform: usize, port: usize },
}
