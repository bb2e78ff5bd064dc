//! The plugin's own metrics, shown beside those of the host. Define them in `Plugin::new` and keep
//! the handle; what a failed call has counted is undone by the host.

use crate::host;

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
}

/// A metric that was defined.
#[derive(Clone, Copy, Debug)]
pub struct Metric(u32);

impl Metric {
    /// A sum that only grows. The name is snake_case and ends in `_total`.
    #[must_use]
    pub fn counter(name: &str, help: &str, labels: &[(&str, &str)]) -> Self {
        Self(host::define(name, Kind::Counter, help, labels, &[]))
    }

    /// A value that goes up and down.
    #[must_use]
    pub fn gauge(name: &str, help: &str, labels: &[(&str, &str)]) -> Self {
        Self(host::define(name, Kind::Gauge, help, labels, &[]))
    }

    /// How values are distributed over buckets with these upper bounds, rising.
    #[must_use]
    pub fn histogram(name: &str, help: &str, labels: &[(&str, &str)], bounds: &[f64]) -> Self {
        Self(host::define(name, Kind::Histogram, help, labels, bounds))
    }

    /// Adds to a counter, sets a gauge, observes in a histogram.
    pub fn update(self, value: f64) {
        host::update(self.0, value);
    }
}
