//! `metrics`: a plugin's own metrics. Updates of a call are held back until the step that it is part of
//! has succeeded: a step that is made again must not count twice.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{HostData, HostError, Phase, misuse};
use crate::bindings::wasmill::plugin::metrics;

const LABELS_MAX: usize = 16;
const BOUNDS_MAX: usize = 100;
const TEXT_BYTES_MAX: usize = 1_024;
/// Updates in one call.
const UPDATES_MAX: usize = 1 << 20;

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
}

/// What a metric has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// How many values were at or below each bound and above the one before, then how many
        /// were above the last.
        counts: Vec<u64>,
        /// The sum of all values.
        sum: f64,
    },
}

/// A plugin's metric at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSnapshot {
    /// As the plugin named it.
    pub name: String,
    /// What it measures.
    pub kind: MetricKind,
    /// For people.
    pub help: String,
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// The upper bounds of a histogram's buckets, rising.
    pub bounds: Vec<f64>,
    /// What it has come to.
    pub value: MetricValue,
}

/// The metrics of one transform, of all its instances.
pub(crate) struct Registry {
    metrics: Mutex<Vec<MetricSnapshot>>,
    /// How many there may be, all label sets counted.
    max: usize,
}

impl Registry {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            metrics: Mutex::new(Vec::new()),
            max,
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<MetricSnapshot> {
        self.metrics.lock().clone()
    }

    fn define(&self, new: MetricSnapshot) -> Result<u32, String> {
        let mut metrics = self.metrics.lock();
        let found = metrics
            .iter()
            .position(|m| m.name == new.name && m.labels == new.labels);
        if let Some(other) = metrics.iter().find(|m| m.name == new.name)
            && (other.kind != new.kind || other.bounds != new.bounds)
        {
            return Err(format!("the metric `{}` was defined differently before", new.name));
        }
        let at = match found {
            Some(at) => at,
            None if metrics.len() >= self.max => {
                return Err(format!(
                    "more than {} metrics, label sets counted; raise `metrics` in the limits if it needs more",
                    self.max
                ));
            }
            None => {
                metrics.push(new);
                metrics.len() - 1
            }
        };
        u32::try_from(at).map_err(|error| error.to_string())
    }

    fn kind(&self, metric: u32) -> Option<MetricKind> {
        self.metrics.lock().get(metric as usize).map(|metric| metric.kind)
    }

    /// Updates, by number, that count.
    pub(crate) fn apply(&self, updates: &[(u32, f64)]) {
        let mut metrics = self.metrics.lock();
        for (metric, update) in updates {
            let Some(metric) = metrics.get_mut(*metric as usize) else {
                continue;
            };
            match &mut metric.value {
                MetricValue::Number(value) if metric.kind == MetricKind::Gauge => *value = *update,
                MetricValue::Number(value) => *value += update,
                MetricValue::Histogram { counts, sum } => {
                    let bucket = metric.bounds.partition_point(|bound| bound < update);
                    if let Some(count) = counts.get_mut(bucket) {
                        *count += 1;
                    }
                    *sum += update;
                }
            }
        }
    }
}

/// The metrics as one instance sees them.
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    /// The kinds of those that were defined here, by number.
    kinds: Vec<Option<MetricKind>>,
    pending: Vec<(u32, f64)>,
}

impl Metrics {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            kinds: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Hands over the updates since this was last asked, behind others.
    pub(crate) fn drain_into(&mut self, updates: &mut Vec<(u32, f64)>) {
        for (metric, value) in self.pending.drain(..) {
            let counts = self.kinds.get(metric as usize) == Some(&Some(MetricKind::Counter));
            match updates.last_mut() {
                // As in a call: counting takes no room, however many calls a step has.
                Some(last) if counts && last.0 == metric => last.1 += value,
                _ => updates.push((metric, value)),
            }
        }
    }
}

fn check(metric: &MetricSnapshot) -> Result<(), String> {
    let name = &metric.name;
    let is_name = |name: &str| {
        name.len() <= 200
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !is_name(name) {
        return Err(format!("`{name:.200}` is no name of a metric: letters, digits and `_`"));
    }
    if metric.labels.len() > LABELS_MAX {
        return Err(format!("the metric `{name}` has more than {LABELS_MAX} labels"));
    }
    if let Some((label, _)) = metric.labels.iter().find(|(label, _)| !is_name(label)) {
        return Err(format!("`{label:.200}` is no name of a label: letters, digits and `_`"));
    }
    let texts = metric.labels.iter().map(|(_, value)| value).chain([&metric.help]);
    if texts.into_iter().any(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(format!(
            "a text of the metric `{name}` is longer than {TEXT_BYTES_MAX} bytes"
        ));
    }
    let bounds = &metric.bounds;
    let rising = bounds.windows(2).all(|pair| pair[0] < pair[1]) && bounds.iter().all(|bound| bound.is_finite());
    if bounds.len() > BOUNDS_MAX || !rising || (metric.kind != MetricKind::Histogram && !bounds.is_empty()) {
        return Err(format!(
            "the metric `{name}` needs at most {BOUNDS_MAX} finite, rising bounds, and none unless it is a histogram"
        ));
    }
    Ok(())
}

impl metrics::Host for HostData {
    fn define(
        &mut self,
        name: String,
        kind: metrics::Kind,
        help: String,
        labels: Vec<(String, String)>,
        bounds: Vec<f64>,
    ) -> wasmtime::Result<u32> {
        self.allow(Phase::Configure, "metrics.define")?;
        let (kind, value) = match kind {
            metrics::Kind::Counter => (MetricKind::Counter, MetricValue::Number(0.0)),
            metrics::Kind::Gauge => (MetricKind::Gauge, MetricValue::Number(0.0)),
            metrics::Kind::Histogram => {
                let counts = vec![0; bounds.len() + 1];
                (MetricKind::Histogram, MetricValue::Histogram { counts, sum: 0.0 })
            }
        };
        let metric = MetricSnapshot {
            name,
            kind,
            help,
            labels,
            bounds,
            value,
        };
        check(&metric).map_err(misuse)?;
        let number = self.metrics.registry.define(metric).map_err(misuse)?;
        let kinds = &mut self.metrics.kinds;
        kinds.resize(kinds.len().max(number as usize + 1), None);
        if let Some(place) = kinds.get_mut(number as usize) {
            *place = self.metrics.registry.kind(number);
        }
        Ok(number)
    }

    fn update(&mut self, metric: u32, value: f64) -> wasmtime::Result<()> {
        self.allow(Phase::Configure, "metrics.update")?;
        let metrics = &mut self.metrics;
        match metrics.kinds.get(metric as usize).copied().flatten() {
            None => return Err(misuse(format!("the metric {metric} was not defined"))),
            Some(MetricKind::Counter) if !(value >= 0.0 && value.is_finite()) => {
                return Err(misuse(format!("a counter cannot grow by {value}")));
            }
            Some(MetricKind::Histogram) if value.is_nan() => {
                return Err(misuse("a histogram cannot observe NaN"));
            }
            // Counting record by record is the common case, and takes no room.
            Some(MetricKind::Counter) => {
                if let Some(last) = metrics.pending.last_mut()
                    && last.0 == metric
                {
                    last.1 += value;
                    return Ok(());
                }
            }
            Some(_) => {}
        }
        if metrics.pending.len() >= UPDATES_MAX {
            return Err(wasmtime::Error::new(HostError::Limit(format!(
                "it updated metrics more than {UPDATES_MAX} times in one call"
            ))));
        }
        metrics.pending.push((metric, value));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_counts_below_it() {
        let registry = Registry::new(10);
        let number = registry
            .define(MetricSnapshot {
                name: "h".to_owned(),
                kind: MetricKind::Histogram,
                help: String::new(),
                labels: Vec::new(),
                bounds: vec![1.0, 2.0],
                value: MetricValue::Histogram {
                    counts: vec![0; 3],
                    sum: 0.0,
                },
            })
            .unwrap();
        registry.apply(&[(number, 1.0), (number, 1.5), (number, 2.5)]);
        assert_eq!(
            registry.snapshot()[0].value,
            MetricValue::Histogram {
                counts: vec![1, 1, 1],
                sum: 5.0
            }
        );
    }
}
