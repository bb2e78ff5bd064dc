//! Metrics in the OpenMetrics text format, which Prometheus reads. Names are stable: docs/metrics.md.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use plugin::{MetricKind, MetricSnapshot, MetricValue, UsageSnapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use task::{Flow, Place, Snapshot, TIME_BOUNDS, Times};

use crate::board::{Board, Entry, Heard};
use crate::shadow::Report;
use crate::supervisor::receipt::Receipt;

/// What Prometheus is told that it gets.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(String, String)>;

/// One metric of the host: its name without the prefix, what kind it is, what it says, and its value.
struct Known<T> {
    name: &'static str,
    counts: bool,
    help: &'static str,
    value: fn(&T) -> f64,
}

macro_rules! known {
    ($($name:literal $kind:ident $help:literal $value:expr;)*) => {
        &[$(Known { name: $name, counts: known!(@$kind), help: $help, value: $value }),*]
    };
    (@counter) => { true };
    (@gauge) => { false };
}

/// Of each pipeline.
const PIPELINE: &[Known<Snapshot>] = known! {
    "records_read" counter "Records that the pipeline has read; those that were rolled back are counted again" |s| s.records_in as f64;
    "records_written" counter "Records that the pipeline has written to topics, changelogs not counted" |s| s.records_out as f64;
    "records_ingested" counter "Records that sources other than topics have brought" |s| s.ingested as f64;
    "records_delivered" counter "Records that external sinks have taken" |s| s.delivered as f64;
    "dead_letters" counter "Records that went to the dead letters" |s| s.dead_letters as f64;
    "records_skipped" counter "Records that failed and were dropped, as `on_error = \"skip\"` says" |s| s.skipped as f64;
    "commits" counter "Commits" |s| s.commits as f64;
    "aborts" counter "Transactions that were rolled back" |s| s.aborts as f64;
    "tasks_restoring" gauge "Tasks whose state is being brought back" |s| s.restoring as f64;
    "partitions_failed" gauge "Partitions that stand still until somebody decides" |s| s.failed as f64;
    "groups_stuck" gauge "Groups with ever more to read that do not move" |s| s.stuck as f64;
};

/// How times are distributed: of each pipeline, of its transforms and sinks.
const TIMES: &[(&str, &str, &str)] = &[
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
const COUNTS: &[(&str, &str, &str)] = &[
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

/// How far groups are behind.
const LAG: (&str, &str) = (
    "lag_records",
    "Offsets that a group has yet to process in a partition, markers of transactions among them",
);

/// Of each source that is sent its records.
const REQUESTS: (&str, &str) = (
    "http_source_requests",
    "Requests to an `http` source, by how they were answered, since it has its address; connections that were \
     turned away count as 503",
);

/// Of each transform with a shadow.
const SHADOW: &[Known<Report>] = known! {
    "shadow_records" counter "Records and timers that a transform and its shadow have both processed" |r| r.records as f64;
    "shadow_differences" counter "Those of which they make different things" |r| r.differences as f64;
    "shadow_failed_calls" counter "Calls of the shadow that failed as a whole" |r| r.failed_calls as f64;
};

/// Of each transform.
const TRANSFORM: &[Known<UsageSnapshot>] = known! {
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

/// Encodes what a board says now.
struct Scrape(Arc<Board>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

fn label(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn write(metric: &mut MetricEncoder<'_>, labels: &Labels, counts: bool, value: f64) -> fmt::Result {
    let mut one = metric.encode_family(labels)?;
    if counts {
        one.encode_counter::<NoLabelSet, _, f64>(&value, None)
    } else {
        one.encode_gauge(&value)
    }
}

fn kind(counts: bool) -> MetricType {
    if counts { MetricType::Counter } else { MetricType::Gauge }
}

/// A family of one known metric, for everything that has it.
fn family<T>(encoder: &mut DescriptorEncoder<'_>, known: &Known<T>, all: &[(Labels, T)]) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(known.name, known.help, None, kind(known.counts))?;
    for (labels, of) in all {
        write(&mut metric, labels, known.counts, (known.value)(of))?;
    }
    Ok(())
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let entries = self.0.entries();
        let mut build = encoder.encode_descriptor("build", "The version of Wasmill", None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let mut up = encoder.encode_descriptor("pipeline_up", "Whether a pipeline runs", None, MetricType::Gauge)?;
        for entry in &entries {
            write(
                &mut up,
                &of_pipeline(entry),
                false,
                f64::from(u8::from(entry.ended.is_none())),
            )?;
        }
        let counters: Vec<_> = entries
            .iter()
            .map(|entry| (of_pipeline(entry), entry.observer.snapshot()))
            .collect();
        for known in PIPELINE {
            family(&mut encoder, known, &counters)?;
        }
        let usage: Vec<_> = entries
            .iter()
            .flat_map(|entry| {
                entry
                    .linked
                    .iter()
                    .map(|one| (of_transform(entry, one.transform()), one.usage()))
            })
            .collect();
        for known in TRANSFORM {
            family(&mut encoder, known, &usage)?;
        }
        let shadows: Vec<_> = entries
            .iter()
            .flat_map(|entry| {
                let all = entry.shadows.iter();
                all.map(|(name, shadow)| (of_transform(entry, name), shadow.report()))
            })
            .collect();
        for known in SHADOW {
            family(&mut encoder, known, &shadows)?;
        }
        paused(&mut encoder, &entries)?;
        for (name, of, help) in TIMES {
            times(&mut encoder, (name, of, help), &entries)?;
        }
        for (name, of, help) in COUNTS {
            counts(&mut encoder, (name, of, help), &entries)?;
        }
        lags(&mut encoder, &entries)?;
        requests(&mut encoder, &self.0.heard())?;
        reloads(&mut encoder, &self.0.receipts())?;
        plugins(&mut encoder, &entries)
    }
}

fn of_pipeline(entry: &Entry) -> Labels {
    vec![label("pipeline", entry.name())]
}

fn of_transform(entry: &Entry, transform: &str) -> Labels {
    vec![label("pipeline", entry.name()), label("transform", transform)]
}

fn paused(encoder: &mut DescriptorEncoder<'_>, entries: &[Entry]) -> fmt::Result {
    let help = "Whether somebody has paused a pipeline";
    let mut metric = encoder.encode_descriptor("pipeline_paused", help, None, MetricType::Gauge)?;
    for entry in entries {
        let is_paused = entry.control.is_paused();
        write(&mut metric, &of_pipeline(entry), false, f64::from(u8::from(is_paused)))?;
    }
    Ok(())
}

/// A family of histograms.
fn times(encoder: &mut DescriptorEncoder<'_>, known: (&str, &str, &str), entries: &[Entry]) -> fmt::Result {
    let (name, of, help) = known;
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for entry in entries {
        let all: Vec<(Labels, Times)> = match name {
            "latency_seconds" => vec![(of_pipeline(entry), entry.observer.latency.times())],
            "commit_seconds" => vec![(of_pipeline(entry), entry.observer.commit_time.times())],
            _ => flows(entry, of)
                .map(|(labels, flow)| (labels, flow.time.times()))
                .collect(),
        };
        for (labels, times) in all {
            let bounds = TIME_BOUNDS.iter().copied().chain([f64::MAX]);
            let buckets: Vec<_> = bounds.zip(times.counts).collect();
            let mut one = metric.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(times.sum, times.count(), &buckets, None)?;
        }
    }
    Ok(())
}

/// What goes through the topics, transforms or sinks of a pipeline.
fn flows(entry: &Entry, of: &str) -> impl Iterator<Item = (Labels, Arc<Flow>)> {
    let wanted = match of {
        "topic" => Place::Topic,
        "sink" => Place::Sink,
        _ => Place::Transform,
    };
    let all = entry.observer.flows().into_iter();
    all.filter(move |(place, _, _)| *place == wanted)
        .map(move |(_, name, flow)| (vec![label("pipeline", entry.name()), label(of, &name)], flow))
}

fn counts(encoder: &mut DescriptorEncoder<'_>, known: (&str, &str, &str), entries: &[Entry]) -> fmt::Result {
    let (name, of, help) = known;
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, flow) in entries.iter().flat_map(|entry| flows(entry, of)) {
        let records = if name == "topic_records_read" {
            flow.records_read()
        } else {
            flow.records_written()
        };
        write(&mut metric, &labels, true, records as f64)?;
    }
    Ok(())
}

fn lags(encoder: &mut DescriptorEncoder<'_>, entries: &[Entry]) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(LAG.0, LAG.1, None, MetricType::Gauge)?;
    for entry in entries {
        for lag in entry.observer.lags() {
            let mut labels = of_pipeline(entry);
            labels.push(label("group", &lag.group));
            labels.push(label("topic", &lag.topic));
            labels.push(label("partition", &lag.partition.to_string()));
            write(&mut metric, &labels, false, lag.records() as f64)?;
        }
    }
    Ok(())
}

fn requests(encoder: &mut DescriptorEncoder<'_>, heard: &[Heard]) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(REQUESTS.0, REQUESTS.1, None, MetricType::Counter)?;
    for one in heard {
        for (status, count) in one.answers.all() {
            let labels = vec![
                label("pipeline", &one.pipeline),
                label("source", &one.source),
                label("status", &status.to_string()),
            ];
            write(&mut metric, &labels, true, count as f64)?;
        }
    }
    Ok(())
}

fn reloads(encoder: &mut DescriptorEncoder<'_>, receipts: &[Receipt]) -> fmt::Result {
    let mut counts: BTreeMap<(Arc<str>, &str), f64> = BTreeMap::new();
    for receipt in receipts {
        *counts
            .entry((Arc::clone(&receipt.pipeline), receipt.outcome.name()))
            .or_default() += 1.0;
    }
    let help = "Reloads whose receipts are kept, by what came of them";
    let mut metric = encoder.encode_descriptor("reloads", help, None, MetricType::Gauge)?;
    for ((pipeline, outcome), count) in counts {
        write(
            &mut metric,
            &vec![label("pipeline", &pipeline), label("outcome", outcome)],
            false,
            count,
        )?;
    }
    Ok(())
}

/// What plugins measure themselves. A family has one kind, whatever plugins say: the first decides.
fn plugins(encoder: &mut DescriptorEncoder<'_>, entries: &[Entry]) -> fmt::Result {
    let mut families: BTreeMap<String, Vec<(Labels, MetricSnapshot)>> = BTreeMap::new();
    for entry in entries {
        for one in &entry.linked {
            for metric in one.metrics() {
                let mut labels = of_transform(entry, one.transform());
                // The host's own labels stay what they are.
                let own = metric
                    .labels
                    .iter()
                    .filter(|(name, _)| name != "pipeline" && name != "transform");
                labels.extend(own.cloned());
                // The format adds this ending to all that count.
                let name = metric.name.strip_suffix("_total").unwrap_or(&metric.name);
                families
                    .entry(format!("plugin_{name}"))
                    .or_default()
                    .push((labels, metric));
            }
        }
    }
    for (name, all) in families {
        let Some((_, first)) = all.first() else { continue };
        let (of, help) = (first.kind, first.help.clone());
        let is = match of {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        };
        let mut family = encoder.encode_descriptor(&name, &help, None, is)?;
        for (labels, metric) in all.iter().filter(|(_, metric)| metric.kind == of) {
            match &metric.value {
                MetricValue::Number(value) => write(&mut family, labels, of == MetricKind::Counter, *value)?,
                MetricValue::Histogram { counts, sum } => {
                    // The last count is of what is above all bounds.
                    let bounds = metric.bounds.iter().copied().chain([f64::MAX]);
                    let buckets: Vec<_> = bounds.zip(counts.iter().copied()).collect();
                    family.encode_family(labels)?.encode_histogram::<NoLabelSet>(
                        *sum,
                        counts.iter().sum(),
                        &buckets,
                        None,
                    )?;
                }
            }
        }
    }
    Ok(())
}

/// All metrics as text.
pub(super) fn render(board: &Arc<Board>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("wasmill");
    registry.register_collector(Box::new(Scrape(Arc::clone(board))));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table<T>(of: &str, all: &[Known<T>]) -> String {
        let mut text = format!("## {of}\n\n| name | kind | what |\n|---|---|---|\n");
        for known in all {
            let (ending, kind) = if known.counts {
                ("_total", "counter")
            } else {
                ("", "gauge")
            };
            text.push_str(&format!(
                "| `wasmill_{}{ending}` | {kind} | {} |\n",
                known.name, known.help
            ));
        }
        text + "\n"
    }

    fn others() -> String {
        let labels = |of: &str| match of {
            "pipeline" => "label `pipeline`".to_owned(),
            of => format!("labels `pipeline`, `{of}`"),
        };
        let times = TIMES
            .iter()
            .map(|(name, of, help)| (*name, "histogram", *help, labels(of)));
        let counts = COUNTS
            .iter()
            .map(|(name, of, help)| (*name, "counter", *help, labels(of)));
        let lag = (
            LAG.0,
            "gauge",
            LAG.1,
            "labels `pipeline`, `group`, `topic`, `partition`".to_owned(),
        );
        let requests = (
            REQUESTS.0,
            "counter",
            REQUESTS.1,
            "labels `pipeline`, `source`, `status`".to_owned(),
        );
        times
            .chain(counts)
            .chain([lag, requests])
            .map(|(name, kind, help, labels)| {
                let ending = if kind == "counter" { "_total" } else { "" };
                format!("| `wasmill_{name}{ending}` | {kind} | {help}; {labels} |\n")
            })
            .collect()
    }

    /// `UPDATE_DOCS=1 cargo test --workspace --bins metrics` writes the page.
    #[test]
    fn the_page_of_the_metrics_is_up_to_date() {
        let page = format!(
            "# Metrics\n\n`GET /metrics` of [the API](api.md), in the OpenMetrics text format, which Prometheus reads. \
             Names and labels are stable.\nCounters begin anew when a pipeline is started again, also by a reload that \
             restarts it.\n\n{}{}{}\
             ## Others\n\n| name | kind | what |\n|---|---|---|\n\
             | `wasmill_build_info` | info | The version of Wasmill, as a label |\n\
             | `wasmill_pipeline_up` | gauge | Whether a pipeline runs; label `pipeline` |\n\
             | `wasmill_pipeline_paused` | gauge | Whether somebody has paused a pipeline; label `pipeline` |\n\
             {}\
             | `wasmill_reloads` | gauge | Reloads whose receipts are kept, by what came of them; labels `pipeline`, `outcome` |\n\
             | `wasmill_plugin_NAME` | as the plugin says | What plugins measure themselves; labels `pipeline`, `transform` and the plugin's own |\n",
            table("Of a pipeline, by `pipeline`", PIPELINE),
            table("Of a transform, by `pipeline` and `transform`", TRANSFORM),
            table("Of a transform with a shadow, by `pipeline` and `transform`", SHADOW),
            others(),
        );
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).expect("writes docs/metrics.md");
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            there == page,
            "docs/metrics.md is out of date: UPDATE_DOCS=1 cargo test --workspace --bins metrics"
        );
    }
}
