//! The tables of transforms.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Inputs, OnError};

/// What is done with records.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Transform {
    Wasm(WasmTransform),
}

/// A plugin: a WebAssembly component.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WasmTransform {
    /// What it reads: nodes (`"split"`) or ports (`"split.errors"`); for a plugin with several
    /// inputs a table, `{ orders = ["a"], prices = ["b"] }`.
    #[allow(dead_code, reason = "read from the tree, which knows the place of each name")]
    pub inputs: Inputs,
    /// The component, relative to the pipeline file and under the plugin root.
    #[schemars(length(min = 1))]
    pub plugin: String,
    /// The plugin's own settings.
    #[serde(default)]
    #[allow(dead_code, reason = "read from the tree, which knows what is secret in it")]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// What is done with a record that fails here: its partition stops (`fail`), it goes to the
    /// dead letters (`dead_letter`), or it is counted and dropped (`skip`).
    #[serde(default)]
    pub on_error: OnError,
    /// How late records may come, in milliseconds: the watermark, which fires event-time timers, is the
    /// largest event time that a partition has seen, less this.
    #[serde(default)]
    #[schemars(range(max = 31_536_000_000_u64))]
    pub lateness_ms: u64,
    /// The limits of the plugin's instances.
    #[serde(default)]
    pub limits: Limits,
}

/// The limits of a plugin's instance.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Memory of one instance, in MiB.
    #[schemars(range(min = 1, max = 4096))]
    pub memory_mib: usize,
    /// CPU time of one record, in milliseconds; a call has at least a second.
    #[schemars(range(min = 1, max = 60_000))]
    pub time_ms: u64,
    /// Output of one call, in MiB.
    #[schemars(range(min = 1, max = 1024))]
    pub output_mib: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = record::topology::Limits::default();
        Self {
            memory_mib: limits.memory_bytes >> 20,
            time_ms: limits.time_ms_per_record,
            output_mib: limits.output_bytes >> 20,
        }
    }
}

impl From<&Limits> for record::topology::Limits {
    fn from(raw: &Limits) -> Self {
        Self {
            memory_bytes: raw.memory_mib << 20,
            time_ms_per_record: raw.time_ms,
            output_bytes: raw.output_mib << 20,
        }
    }
}
