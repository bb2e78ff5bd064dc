//! The tables of transforms.

use std::time::Duration;

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
    /// The component: a path, relative to the pipeline file and under the plugin root; or one in a
    /// registry, `"oci://registry/name@sha256:..."`, with the digest of its manifest.
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
    /// The limits of the plugin.
    #[serde(default)]
    pub limits: Limits,
    /// What the plugin may use beyond Wasmill's own interfaces. Nothing is granted unless it
    /// stands here.
    #[serde(default)]
    pub grant: Grant,
    /// When a reload that changes this transform is taken back by itself. Left out: never.
    pub rollback: Option<Rollback>,
    /// Another version of the plugin, or another config. It is run on the same records, before the one that counts;
    /// what it does differently is reported, and nothing of what it does is kept.
    pub shadow: Option<Shadow>,
}

/// What runs beside a transform.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shadow {
    /// The component, as `plugin` of the transform. Left out: the same.
    #[schemars(length(min = 1))]
    pub plugin: Option<String>,
    /// The plugin's settings. Left out: the same.
    #[allow(dead_code, reason = "read from the tree, which knows what is secret in it")]
    pub config: Option<serde_json::Map<String, serde_json::Value>>,
}

/// When a reload is taken back: the version before it runs again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rollback {
    /// The share of records that may fail, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub failed_share: f64,
    /// Nothing is judged before so many records; a partition that stands still is at once.
    #[schemars(range(min = 1, max = 1_000_000_000_u64))]
    pub records: u64,
    /// How long the new version is watched, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub within_s: u64,
}

impl Default for Rollback {
    fn default() -> Self {
        Self {
            failed_share: 0.01,
            records: 100,
            within_s: 60,
        }
    }
}

impl From<&Rollback> for record::topology::Rollback {
    fn from(raw: &Rollback) -> Self {
        Self {
            failed_share: raw.failed_share,
            records: raw.records,
            within: Duration::from_secs(raw.within_s),
        }
    }
}

/// The limits of a plugin.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Memory and tables of one instance, in MiB.
    #[schemars(range(min = 1, max = 4096))]
    pub memory_mib: usize,
    /// Processor time of one record, in milliseconds. Ten times as long by the clock on the wall.
    #[schemars(range(min = 1, max = 60_000))]
    pub time_ms: u64,
    /// Processor time that a call has at least, however few records it has, in milliseconds.
    #[schemars(range(min = 20, max = 60_000))]
    pub call_time_ms: u64,
    /// What one call may hand out, and what it may write to state, in MiB each.
    #[schemars(range(min = 1, max = 1024))]
    pub output_mib: usize,
    /// The size of the component, in MiB.
    #[schemars(range(min = 1, max = 1024))]
    pub component_mib: u64,
    /// Core instances, memories and tables that one instance consists of; so many of each.
    #[schemars(range(min = 1, max = 10_000))]
    pub parts: usize,
    /// Handles that an instance holds at once: its own resources, and those of what is granted.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub handles: usize,
    /// Messages a second that an instance may log, and twice as many at once; the rest is counted
    /// and dropped.
    #[schemars(range(min = 0, max = 100_000))]
    pub log_per_second: u32,
    /// Metrics of the transform, all label sets counted.
    #[schemars(range(min = 0, max = 100_000))]
    pub metrics: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = record::topology::Limits::default();
        Self {
            memory_mib: limits.memory_bytes >> 20,
            time_ms: limits.time_ms_per_record,
            call_time_ms: limits.time_ms_per_call,
            output_mib: limits.output_bytes >> 20,
            component_mib: limits.component_bytes >> 20,
            parts: limits.parts,
            handles: limits.handles,
            log_per_second: limits.log_per_second,
            metrics: limits.metrics,
        }
    }
}

impl From<&Limits> for record::topology::Limits {
    fn from(raw: &Limits) -> Self {
        Self {
            memory_bytes: raw.memory_mib << 20,
            time_ms_per_record: raw.time_ms,
            time_ms_per_call: raw.call_time_ms,
            output_bytes: raw.output_mib << 20,
            component_bytes: raw.component_mib << 20,
            parts: raw.parts,
            handles: raw.handles,
            log_per_second: raw.log_per_second,
            metrics: raw.metrics,
        }
    }
}

/// What a plugin may use beyond Wasmill's own interfaces.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    /// Environment variables that the plugin sees, by name. `[]` opens `wasi:cli/environment` and
    /// shows nothing.
    pub env: Option<Vec<String>>,
    /// The clock on the wall and a monotonic one: `wasi:clocks`.
    #[serde(default)]
    pub clocks: bool,
    /// Random numbers: `wasi:random`.
    #[serde(default)]
    pub random: bool,
    /// Directories that the plugin sees: `wasi:filesystem`. `[]` opens it and shows nothing.
    pub dir: Option<Vec<GrantedDir>>,
    /// Servers that the plugin may send requests to: `wasi:http`. Each a scheme, a host and
    /// perhaps a port, such as `"https://api.example.com"`. `[]` opens it and lets nothing out.
    pub http: Option<Vec<String>>,
}

/// A directory that a plugin sees.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantedDir {
    /// The directory, relative to the pipeline file and under the plugin root.
    #[schemars(length(min = 1))]
    pub path: String,
    /// The absolute path under which the plugin finds it.
    #[schemars(length(min = 1))]
    pub guest: String,
    /// Whether the plugin may write there.
    #[serde(default)]
    pub write: bool,
}
