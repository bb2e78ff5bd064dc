//! What the API says of pipelines.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::flow::{EdgeView, Latency, NodeView, graph};
use crate::board::Entry;
use crate::shadow::{Report, Shadow};

/// How a pipeline does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It joins its group, or state is being brought back.
    Starting,
    /// All is as it should be.
    Running,
    /// Partitions stand still, or a group does not move.
    Degraded,
    /// Somebody has paused it.
    Paused,
    /// It was asked to end.
    Stopped,
    /// It has ended with an error.
    Failed,
}

impl State {
    /// As in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// Counters since the pipeline was started. Records that were rolled back are counted again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Counters {
    pub(crate) records_read: u64,
    pub(crate) records_written: u64,
    records_ingested: u64,
    pub(crate) records_delivered: u64,
    pub(crate) dead_letters: u64,
    records_skipped: u64,
    commits: u64,
    aborts: u64,
}

/// A partition that stands still.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Failure {
    /// Topic and partition.
    pub(crate) at: String,
    /// The transform, source or sink concerned.
    pub(crate) node: String,
    /// The code of its page in docs/errors.
    pub(crate) code: String,
    /// What happened.
    pub(crate) message: String,
    /// What to do.
    pub(crate) next: String,
}

/// What a plugin may use; the pipeline may set other limits than the usual.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Limits {
    /// Of one instance.
    memory_bytes: usize,
    /// Processor time.
    time_ms_per_record: u64,
    /// Processor time that a call has at least.
    time_ms_per_call: u64,
    /// What one call may hand out.
    output_bytes: usize,
    /// Messages of an instance.
    log_per_second: u32,
}

impl From<&record::topology::Limits> for Limits {
    fn from(limits: &record::topology::Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            time_ms_per_record: limits.time_ms_per_record,
            time_ms_per_call: limits.time_ms_per_call,
            output_bytes: limits.output_bytes,
            log_per_second: limits.log_per_second,
        }
    }
}

/// A transform, and what it has used over all its instances.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Transform {
    pub(crate) name: Arc<str>,
    /// Name and version of the plugin.
    pub(crate) plugin: String,
    /// The SHA-256 of the component.
    digest: String,
    /// The stores that it keeps.
    stores: Vec<String>,
    limits: Option<Limits>,
    calls: u64,
    records: u64,
    failed_records: u64,
    cpu_seconds: f64,
    memory_peak_bytes: usize,
    traps: u64,
    /// Another version that runs on the same records, and what it does differently.
    shadow: Option<Candidate>,
}

/// Another version of a plugin, that runs beside the one that counts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Candidate {
    /// Name and version of the plugin.
    plugin: String,
    /// The SHA-256 of the component.
    digest: String,
    #[serde(flatten)]
    report: Report,
}

impl Candidate {
    fn of(shadow: &Shadow) -> Self {
        let about = shadow.linked.compiled().description();
        Self {
            plugin: format!("{} {}", about.name, about.version),
            digest: shadow.linked.compiled().digest().to_owned(),
            report: shadow.report(),
        }
    }
}

/// A pipeline.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Pipeline {
    pub(crate) name: Arc<str>,
    pub(crate) state: State,
    /// Why, when it is not running.
    pub(crate) why: Option<String>,
    pub(crate) file: String,
    /// Tells plans apart: what processes of one pipeline must agree on.
    plan: String,
    /// When it was started, or started again by a reload.
    started: Timestamp,
    pub(crate) counters: Counters,
    /// Partitions that stand still.
    pub(crate) failures: Vec<Failure>,
    transforms: Vec<Transform>,
    /// External sinks.
    sinks: Vec<Arc<str>>,
    /// How far each group is behind; looked at every few seconds.
    pub(crate) lag: Vec<Lag>,
    /// All of them together.
    pub(crate) lag_total: i64,
    /// How old records were, by their event time, when what became of them was committed.
    pub(crate) latency: Latency,
    /// How long commits took.
    commit_time: Latency,
    /// The places of the plan.
    pub(crate) nodes: Vec<NodeView>,
    /// The ways between them.
    pub(crate) edges: Vec<EdgeView>,
}

/// How far a group is behind in one partition.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Lag {
    /// The pipeline's group, or that of a sink.
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    /// The group has committed what is before this offset.
    committed: i64,
    /// Where the committed records of the partition end.
    end: i64,
    /// Offsets in between; markers of transactions are among them.
    pub(crate) lag: i64,
}

impl From<&task::Lag> for Lag {
    fn from(lag: &task::Lag) -> Self {
        Self {
            group: Arc::clone(&lag.group),
            topic: Arc::clone(&lag.topic),
            partition: lag.partition,
            committed: lag.committed,
            end: lag.end,
            lag: lag.records(),
        }
    }
}

/// All pipelines of this process.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Pipelines {
    pub(crate) pipelines: Vec<Pipeline>,
}

/// Whether the process does its work.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether every pipeline runs, with its partitions.
    pub(super) ready: bool,
    /// Those that do not, and why.
    pub(super) waits_for: Vec<String>,
}

pub(super) fn state(entry: &Entry) -> (State, Option<String>) {
    match &entry.ended {
        Some(None) => return (State::Stopped, None),
        Some(Some(why)) => return (State::Failed, Some(why.clone())),
        None => {}
    }
    let counters = entry.observer.snapshot();
    if counters.failed > 0 {
        (
            State::Degraded,
            Some(format!("{} partitions stand still", counters.failed)),
        )
    } else if counters.stuck > 0 {
        (State::Degraded, Some(format!("{} groups do not move", counters.stuck)))
    } else if counters.restoring > 0 {
        (
            State::Starting,
            Some(format!("{} tasks restore their state", counters.restoring)),
        )
    } else if entry.control.is_paused() {
        (State::Paused, Some("somebody has paused it".to_owned()))
    } else if !entry.control.is_settled() {
        (State::Starting, Some("it waits for its partitions".to_owned()))
    } else {
        (State::Running, None)
    }
}

fn limits(plan: &record::topology::Topology, transform: &str) -> Option<Limits> {
    let mut nodes = plan.processes.iter().flat_map(|sub| &sub.nodes);
    let node = nodes.find(|node| *node.name == *transform)?;
    Some(Limits::from(&node.limits))
}

impl Pipeline {
    pub(super) fn of(entry: &Entry) -> Self {
        let counters = entry.observer.snapshot();
        let (state, why) = state(entry);
        let failures = entry.observer.failures();
        let lags = entry.observer.lags();
        let (nodes, edges) = graph(entry);
        Self {
            lag_total: lags.iter().map(task::Lag::records).sum(),
            lag: lags.iter().map(Lag::from).collect(),
            latency: Latency::of(&entry.observer.latency.times()),
            commit_time: Latency::of(&entry.observer.commit_time.times()),
            nodes,
            edges,
            name: Arc::clone(entry.name()),
            state,
            why,
            file: entry.file.display().to_string(),
            plan: entry.plan.clone(),
            started: entry.started,
            counters: Counters {
                records_read: counters.records_in,
                records_written: counters.records_out,
                records_ingested: counters.ingested,
                records_delivered: counters.delivered,
                dead_letters: counters.dead_letters,
                records_skipped: counters.skipped,
                commits: counters.commits,
                aborts: counters.aborts,
            },
            failures: failures
                .into_iter()
                .map(|failure| Failure {
                    at: failure.at.to_string(),
                    node: failure.node,
                    code: failure.code.to_string(),
                    message: failure.message,
                    next: failure.remedy,
                })
                .collect(),
            transforms: entry
                .linked
                .iter()
                .map(|one| {
                    let usage = one.usage();
                    let about = one.compiled().description();
                    Transform {
                        name: Arc::clone(one.transform()),
                        plugin: format!("{} {}", about.name, about.version),
                        digest: one.compiled().digest().to_owned(),
                        stores: about.stores.iter().map(|store| store.name.clone()).collect(),
                        limits: limits(&entry.topology, one.transform()),
                        calls: usage.calls,
                        records: usage.records,
                        failed_records: usage.failed_records,
                        cpu_seconds: usage.cpu.as_secs_f64(),
                        memory_peak_bytes: usage.memory_peak_bytes,
                        traps: usage.traps,
                        shadow: entry.shadows.get(one.transform()).map(Candidate::of),
                    }
                })
                .collect(),
            sinks: entry
                .topology
                .deliveries
                .iter()
                .map(|plan| Arc::clone(&plan.connector.name))
                .collect(),
        }
    }
}
