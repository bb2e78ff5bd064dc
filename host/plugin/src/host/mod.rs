//! The host's side of the contract: what a plugin may call, and when.
//!
//! No function here panics; misuse is an error, which wasmtime turns into a trap.

pub(crate) mod context;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod query;
pub(crate) mod state;
pub(crate) mod timers;

use std::sync::Arc;

use record::store::{StoreError, TaskState};
use record::transform::Description;
use record::view::PipelineViews;

use crate::bindings::wasmill::plugin::types;
use crate::clock::CallClock;
use crate::memory::Memory;
use crate::wasi::Wasi;

/// Why a host function ends the call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// The plugin did what the contract forbids.
    #[error("{0}")]
    Misuse(String),
    /// The plugin exceeded a limit.
    #[error("{0}")]
    Limit(String),
    /// The plugin ran too long.
    #[error("{0}")]
    TimedOut(String),
    /// The plugin ended itself.
    #[error("{0}")]
    Exit(String),
    /// State could not be used: not the plugin's fault.
    #[error("{0}")]
    Store(StoreError),
}

pub(crate) fn misuse(message: impl Into<String>) -> wasmtime::Error {
    wasmtime::Error::new(HostError::Misuse(message.into()))
}

/// What is running, and so which functions may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Starting an instance, or `describe`: only `log`.
    Describe,
    /// `configure`: not state, and nothing of a record.
    Configure,
    /// `process` and `on-timers`: everything but the stores of others.
    Process,
    /// `answer`: reads of state; nothing of a record.
    Query,
    /// `migrate`: state, but no timers; nothing of a record.
    Migrate,
}

/// Whose instance this is.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) pipeline: Arc<str>,
    pub(crate) transform: Arc<str>,
}

/// What one instance's host functions work on.
pub(crate) struct HostData {
    pub(crate) phase: Phase,
    pub(crate) names: Names,
    pub(crate) description: Arc<Description>,
    pub(crate) memory: Memory,
    pub(crate) clock: CallClock,
    pub(crate) call: context::CallFacts,
    /// Here for the time of a call only.
    pub(crate) state: Option<Box<dyn TaskState>>,
    /// What a query reads. Here for the time of one only.
    pub(crate) queried: Option<PipelineViews>,
    pub(crate) traffic: state::Traffic,
    pub(crate) log: log::Log,
    pub(crate) metrics: metrics::Metrics,
    /// Made when something is granted.
    pub(crate) wasi: Option<Box<Wasi>>,
}

impl HostData {
    /// `Err` unless the phase allows what `least` does.
    fn allow(&self, least: Phase, function: &str) -> wasmtime::Result<()> {
        let allowed = match least {
            Phase::Describe => true,
            Phase::Configure => self.phase != Phase::Describe,
            Phase::Process => self.phase == Phase::Process,
            Phase::Query => self.phase == Phase::Query,
            Phase::Migrate => matches!(self.phase, Phase::Process | Phase::Migrate),
        };
        if allowed {
            return Ok(());
        }
        let during = match self.phase {
            Phase::Describe => "describe",
            Phase::Configure => "configure",
            Phase::Process => "process",
            Phase::Query => "answer",
            Phase::Migrate => "migrate",
        };
        Err(misuse(format!("`{function}` must not be called in `{during}`")))
    }
}

impl types::Host for HostData {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, EngineOptions};
    use crate::host::log::Rate;
    use crate::host::metrics::Registry;
    use crate::instance::new_store;
    use crate::usage::Usage;

    /// Of no plugin, as before its first call.
    pub(crate) fn host_data() -> HostData {
        let names = Names {
            pipeline: Arc::from("test"),
            transform: Arc::from("node"),
        };
        let engine = Engine::new(EngineOptions::default()).unwrap();
        let store = new_store(
            &engine,
            names,
            Arc::default(),
            record::topology::Limits::default(),
            Arc::new(Registry::new(0)),
            Arc::new(Usage::default()),
            Rate::new(0),
        );
        store.into_data()
    }
}
