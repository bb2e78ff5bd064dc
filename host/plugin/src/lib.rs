//! Plugins: WebAssembly components that turn records into records.
//!
//! The only crate that knows wasmtime. A plugin has three lifetimes, and each is a type:
//!
//! ```text
//!   Engine --load--> Compiled --link--> Linked --instance--> dyn Transform
//!   one per process  one per .wasm     one per transform    one per worker and transform
//!   any thread       any thread        any thread           its worker's thread
//! ```
//!
//! * [`Engine`] holds the settings that all plugins share, the cache of compiled code and the
//!   clock that interrupts endless loops.
//! * [`Compiled`] is a checked component: its imports are allowed, its exports are those of the
//!   contract, and it has described itself.
//! * [`Linked`] is a component with a configuration that it has accepted, and its limits.
//! * The instance runs batches. Whatever it does (traps, loops, hoards memory), the call fails with
//!   a [`record::transform::CallError`], and state is back in its slot.

mod bindings;
mod build;
mod clock;
mod code;
mod compiled;
mod convert;
mod description;
mod engine;
mod error;
mod grants;
mod host;
mod inspect;
mod instance;
mod linked;
mod memory;
mod query;
mod section;
mod usage;
mod wasi;

pub use build::{BuildOptions, BuildReport, Language, build, build_all};
pub use compiled::Compiled;
pub use engine::{Engine, EngineOptions, LoadOptions};
pub use error::{PluginError, Problem};
pub use host::metrics::{MetricKind, MetricSnapshot, MetricValue};
pub use inspect::{Access, Import, Inspection, Refusal, inspect};
pub use linked::{LinkOptions, Linked};
pub use query::{Answer, Query, QueryError};
pub use usage::UsageSnapshot;

/// What the fuzz targets reach.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    /// Drops the outputs of records that failed. `emitted` has passed its check.
    #[must_use]
    pub fn without_failed(emitted: record::transform::Emitted) -> record::transform::Emitted {
        crate::convert::without_failed(emitted)
    }
}

/// The version of the contract in `wit/` that this host serves.
pub const CONTRACT_VERSION: &str = "0.1.2";

/// All that plugins may import or export is in here.
const PACKAGE: &str = "wasmill:plugin/";
/// What a plugin exports that sets timers; the version follows.
const TIMER_HANDLER: &str = "wasmill:plugin/timer-handler@";
/// What a plugin exports that migrates its state.
const MIGRATION_HANDLER: &str = "wasmill:plugin/migration-handler@";
/// What a plugin exports that answers queries.
const QUERY_HANDLER: &str = "wasmill:plugin/query-handler@";
