//! The metrics of the host: their names, what they are of, and what they say. Names are stable.

use plugin::UsageSnapshot;
use task::Snapshot;

use crate::shadow::Report;

/// One metric of the host: its name without the prefix, what kind it is, what it says, and its value.
pub(super) struct Known<T> {
    pub(super) name: &'static str,
    pub(super) counts: bool,
    pub(super) help: &'static str,
    pub(super) value: fn(&T) -> f64,
}

macro_rules! known {
    ($($name:literal $kind:ident $help:literal $value:expr;)*) => {
        &[$(Known { name: $name, counts: known!(@$kind), help: $help, value: $value }),*]
    };
    (@counter) => { true };
    (@gauge) => { false };
}

/// Of each pipeline.
pub(super) const PIPELINE: &[Known<Snapshot>] = known! {
    "records_read" counter "Records that the pipeline has read; those that were rolled back are counted again" |s| s.records_in as f64;
    "records_written" counter "Records that the pipeline has written to topics, changelogs not counted" |s| s.records_out as f64;
    "records_ingested" counter "Records that sources other than topics have brought" |s| s.ingested as f64;
    "records_delivered" counter "Records that external sinks have taken" |s| s.delivered as f64;
    "dead_letters" counter "Records that went to the dead letters" |s| s.dead_letters as f64;
    "records_skipped" counter "Records that failed and were dropped, as `on_error = \"skip\"` says" |s| s.skipped as f64;
    "commits" counter "Commits" |s| s.commits as f64;
    "aborts" counter "Transactions that were rolled back" |s| s.aborts as f64;
    "tasks_restoring" gauge "Tasks whose state is being brought back" |s| s.restoring as f64;
    "restore_records_left" gauge "Offsets of changelogs that are yet to be read for that" |s| s.restore_left as f64;
    "partitions_failed" gauge "Partitions that stand still until somebody decides" |s| s.failed as f64;
    "groups_stuck" gauge "Groups with ever more to read that do not move" |s| s.stuck as f64;
};

/// How times are distributed: of each pipeline, of its transforms and sinks.
pub(super) const TIMES: &[(&str, &str, &str)] = &[
    (
        "latency_seconds",
        "pipeline",
        "How old records were, by their event time, when what became of them was committed",
    ),
    (
        "commit_seconds",
        "pipeline",
        "How long commits have taken, those that came to nothing too",
    ),
    (
        "transform_seconds",
        "transform",
        "How long the call has taken that a record was in",
    ),
    (
        "sink_latency_seconds",
        "sink",
        "How old records were, by their event time, when an external sink had them",
    ),
];

/// What else is counted: by what, and what it says.
pub(super) const COUNTS: &[(&str, &str, &str)] = &[
    (
        "topic_records_read",
        "topic",
        "Records that the pipeline has read from a topic",
    ),
    (
        "topic_records_written",
        "topic",
        "Records that the pipeline has written to a topic",
    ),
    ("sink_records", "sink", "Records that an external sink has taken"),
];

/// What state takes up.
pub(super) const STATE: (&str, &str) = (
    "state_bytes",
    "What the local stores of a pipeline take up on disk; none where they are in memory",
);

/// How far groups are behind.
pub(super) const LAG: (&str, &str) = (
    "lag_records",
    "Offsets that a group has yet to process in a partition, markers of transactions among them",
);

/// Of each source that is sent its records.
pub(super) const REQUESTS: (&str, &str) = (
    "http_source_requests",
    "Requests to an `http` source, by how they were answered, since it has its address; connections that were \
     turned away count as 503",
);

/// Of each transform with a shadow.
pub(super) const SHADOW: &[Known<Report>] = known! {
    "shadow_records" counter "Records and timers that a transform and its shadow have both processed" |r| r.records as f64;
    "shadow_differences" counter "Those of which they make different things" |r| r.differences as f64;
    "shadow_failed_calls" counter "Calls of the shadow that failed as a whole" |r| r.failed_calls as f64;
};

/// Of each transform.
pub(super) const TRANSFORM: &[Known<UsageSnapshot>] = known! {
    "transform_calls" counter "Calls, failed ones too" |u| u.calls as f64;
    "transform_records" counter "Records and timers of calls that succeeded" |u| u.records as f64;
    "transform_outputs" counter "What those calls handed out" |u| u.outputs as f64;
    "transform_output_bytes" counter "Keys, values and headers of it" |u| u.output_bytes as f64;
    "transform_failed_records" counter "Records of those calls that failed by themselves" |u| u.failed_records as f64;
    "transform_cpu_seconds" counter "Processor time in calls" |u| u.cpu.as_secs_f64();
    "transform_traps" counter "Calls that trapped" |u| u.traps as f64;
    "transform_timeouts" counter "Calls that ran too long" |u| u.timed_out as f64;
    "transform_limits_exceeded" counter "Calls that met a limit of memory, output and the like" |u| u.limit_exceeded as f64;
    "transform_refused" counter "Calls that the plugin answered with an error" |u| u.refused as f64;
    "transform_misuses" counter "Calls that handed out something malformed, or misused the host" |u| u.misuse as f64;
    "transform_unavailable" counter "Calls for which no instance could be started" |u| u.unavailable as f64;
    "transform_store_failures" counter "Calls in which state could not be read or written" |u| u.store as f64;
    "transform_instances" counter "Instances that were started" |u| u.instances as f64;
    "transform_recycled" counter "Of them those that took the place of another" |u| u.recycled as f64;
    "transform_memory_peak_bytes" gauge "The most memory that one instance had" |u| u.memory_peak_bytes as f64;
};
