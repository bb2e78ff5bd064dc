//! The host's functions. Under test, outside WebAssembly, [`crate::testing`] plays the host.

pub(crate) use imported::*;

/// How important a log message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever mends the plugin.
    Debug,
    /// Good to know.
    Info,
    /// Somebody should look.
    Warn,
    /// Something failed.
    Error,
}

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host as imported;

#[cfg(target_arch = "wasm32")]
mod imported {
    pub(crate) use crate::bindings::wasmill::plugin::context::{
        now, pipeline, seed, stream_time, transform, watermark,
    };
    pub(crate) use crate::bindings::wasmill::plugin::metrics::update;
    pub(crate) use crate::bindings::wasmill::plugin::state::{get, get_many, put, put_many, remove, scan};
    pub(crate) use crate::bindings::wasmill::plugin::timers::{get as timer, set_many as set_timers};
    pub(crate) use crate::query_bindings::wasmill::plugin::stores::{
        get as peer_get, get_many as peer_get_many, scan as peer_scan,
    };

    use super::Level;
    use crate::bindings::wasmill::plugin::{log, metrics};

    pub(crate) fn threshold() -> Level {
        match log::threshold() {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        }
    }

    pub(crate) fn write(level: Level, index: Option<u32>, message: &str) {
        let level = match level {
            Level::Trace => log::Level::Trace,
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        log::write(level, index, message);
    }

    pub(crate) fn define(
        name: &str,
        kind: crate::metrics::Kind,
        help: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
    ) -> u32 {
        let kind = match kind {
            crate::metrics::Kind::Counter => metrics::Kind::Counter,
            crate::metrics::Kind::Gauge => metrics::Kind::Gauge,
            crate::metrics::Kind::Histogram => metrics::Kind::Histogram,
        };
        let labels: Vec<(String, String)> = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        metrics::define(name, kind, help, &labels, bounds)
    }
}
