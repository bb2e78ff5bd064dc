//! The tables of sinks.

use std::collections::BTreeMap;
use std::time::Duration;

use record::topology::DeliverBatch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::OnError;

/// Where records go.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Sink {
    Kafka(KafkaSink),
    Mysql(MysqlSink),
    Sqlite(SqliteSink),
    Mongodb(MongodbSink),
    Stdout(StdoutSink),
    File(FileSink),
    Blackhole(BlackholeSink),
}

/// A topic of the broker, written in the same transaction as state and positions.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaSink {
    /// What it writes: nodes (`"count"`) or ports (`"split.errors"`).
    #[schemars(length(min = 1))]
    pub inputs: Vec<String>,
    /// The topic.
    pub topic: String,
}

/// A table of MySQL or MariaDB.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MysqlSink {
    /// What it writes: nodes (`"count"`) or ports (`"split.errors"`).
    #[schemars(length(min = 1))]
    pub inputs: Vec<String>,
    /// `mysql://user:password@host:port/database`.
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub url: String,
    /// The table.
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub table: String,
    /// The columns that identify a row; a tombstone's row is found by the record's key. Needed by
    /// `mode = "upsert"`.
    #[serde(default)]
    pub key: Vec<String>,
    /// `upsert`: the newest record of a key is its row. `insert`: every record is a row.
    #[serde(default)]
    pub mode: SqlMode,
    /// Create the table when it is missing.
    #[serde(default)]
    pub create_table: bool,
    /// The columns and their types in the database's own words. Left out: derived from the first
    /// records.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub columns: Map<String, Value>,
    /// How long one write may take, in milliseconds; after it the write is tried again.
    #[serde(default = "default_timeout_ms")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub timeout_ms: u64,
    /// How records are gathered.
    #[serde(default)]
    pub batch: Batch,
    /// What is done with a record that is rejected: its partition stops (`fail`), it goes to the
    /// dead letters (`dead_letter`), or it is counted and dropped (`skip`).
    #[serde(default)]
    pub on_error: OnError,
}

/// A table of an SQLite file.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqliteSink {
    /// What it writes: nodes (`"count"`) or ports (`"split.errors"`).
    #[schemars(length(min = 1))]
    pub inputs: Vec<String>,
    /// The database file, relative to the pipeline file.
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub path: String,
    /// The table.
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub table: String,
    /// The columns that identify a row; a tombstone's row is found by the record's key. Needed by
    /// `mode = "upsert"`.
    #[serde(default)]
    pub key: Vec<String>,
    /// `upsert`: the newest record of a key is its row. `insert`: every record is a row.
    #[serde(default)]
    pub mode: SqlMode,
    /// Create the table when it is missing.
    #[serde(default)]
    pub create_table: bool,
    /// The columns and their types in the database's own words. Left out: derived from the first
    /// records.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub columns: Map<String, Value>,
    /// How long one write may take, in milliseconds; after it the write is tried again.
    #[serde(default = "default_timeout_ms")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub timeout_ms: u64,
    /// How records are gathered.
    #[serde(default)]
    pub batch: Batch,
    /// What is done with a record that is rejected: its partition stops (`fail`), it goes to the
    /// dead letters (`dead_letter`), or it is counted and dropped (`skip`).
    #[serde(default)]
    pub on_error: OnError,
}

/// A collection of MongoDB.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MongodbSink {
    /// What it writes: nodes (`"count"`) or ports (`"split.errors"`).
    #[schemars(length(min = 1))]
    pub inputs: Vec<String>,
    /// `mongodb://user:password@host:port`, or `mongodb+srv://`.
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub url: String,
    /// The database.
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub database: String,
    /// The collection.
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub collection: String,
    /// A JSON Pointer such as `"/room"`: what it finds in the value becomes the document's `_id`.
    /// `"origin"`: `topic:partition:offset`, a document per record. Left out: the record's key, and
    /// without one as `"origin"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `replace`: the newest record of an id is its document. `update`: its fields are set, others
    /// stay. `insert`: the first record of an id stays.
    #[serde(default)]
    pub mode: DocumentMode,
    /// Keep each document's origin in its field `_wasmill`, so that an older write never takes the
    /// place of a newer one.
    #[serde(default = "yes")]
    pub guard: bool,
    /// How long one write may take, in milliseconds; after it the write is tried again.
    #[serde(default = "default_timeout_ms")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub timeout_ms: u64,
    /// How records are gathered.
    #[serde(default)]
    pub batch: Batch,
    /// What is done with a record that is rejected: its partition stops (`fail`), it goes to the
    /// dead letters (`dead_letter`), or it is counted and dropped (`skip`).
    #[serde(default)]
    pub on_error: OnError,
}

/// Standard output.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StdoutSink {
    /// What it writes: nodes (`"count"`) or ports (`"split.errors"`).
    #[schemars(length(min = 1))]
    pub inputs: Vec<String>,
    /// What a record's line is. `value`: its value as it is. `key_value`: its key, a tab, its
    /// value. `json`: an object with everything there is to the record.
    #[serde(default)]
    pub format: OutputFormat,
    /// How records are gathered.
    #[serde(default)]
    pub batch: Batch,
    /// What is done with a record that is rejected: its partition stops (`fail`), it goes to the
    /// dead letters (`dead_letter`), or it is counted and dropped (`skip`).
    #[serde(default)]
    pub on_error: OnError,
}

/// A file that is appended to.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSink {
    /// What it writes: nodes (`"count"`) or ports (`"split.errors"`).
    #[schemars(length(min = 1))]
    pub inputs: Vec<String>,
    /// The file, relative to the pipeline file.
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub path: String,
    /// As for `stdout`.
    #[serde(default)]
    pub format: OutputFormat,
    /// How records are gathered.
    #[serde(default)]
    pub batch: Batch,
    /// What is done with a record that is rejected: its partition stops (`fail`), it goes to the
    /// dead letters (`dead_letter`), or it is counted and dropped (`skip`).
    #[serde(default)]
    pub on_error: OnError,
}

/// Nowhere: records are counted and dropped.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlackholeSink {
    /// What it writes: nodes (`"count"`) or ports (`"split.errors"`).
    #[schemars(length(min = 1))]
    pub inputs: Vec<String>,
    /// How records are gathered.
    #[serde(default)]
    pub batch: Batch,
    /// What is done with a record that is rejected: its partition stops (`fail`), it goes to the
    /// dead letters (`dead_letter`), or it is counted and dropped (`skip`).
    #[serde(default)]
    pub on_error: OnError,
}

/// How a deliver task gathers records: what comes first ends a batch.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Batch {
    /// Records.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_records: usize,
    /// Bytes.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_bytes: usize,
    /// How long its first record may wait, in milliseconds.
    #[schemars(range(min = 0, max = 60_000))]
    pub timeout_ms: u64,
}

impl Default for Batch {
    fn default() -> Self {
        let batch = DeliverBatch::default();
        Self {
            max_records: batch.max_records,
            max_bytes: batch.max_bytes,
            timeout_ms: batch.timeout.as_millis() as u64,
        }
    }
}

impl From<&Batch> for DeliverBatch {
    fn from(raw: &Batch) -> Self {
        Self {
            max_records: raw.max_records,
            max_bytes: raw.max_bytes,
            timeout: Duration::from_millis(raw.timeout_ms),
        }
    }
}

/// How rows are written.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SqlMode {
    #[default]
    Upsert,
    Insert,
}

/// How documents are written.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DocumentMode {
    #[default]
    Replace,
    Update,
    Insert,
}

/// How records are shown.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutputFormat {
    #[default]
    Value,
    KeyValue,
    Json,
}

fn default_timeout_ms() -> u64 {
    60_000
}

fn yes() -> bool {
    true
}
