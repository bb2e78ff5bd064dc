//! The tables of sources.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::OnError;
use super::http::HttpSource;

/// Where records come from.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Source {
    Kafka(KafkaSource),
    File(FileSource),
    Stdin(StdinSource),
    Generator(GeneratorSource),
    Http(HttpSource),
}

/// Topics of the broker.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaSource {
    /// The topics to read.
    #[schemars(length(min = 1))]
    pub topics: Vec<String>,
    /// Where to start when nothing is committed yet: `"earliest"`, `"latest"`, or a time (a TOML
    /// date with time and offset, the same as text, or milliseconds since 1970).
    #[serde(default)]
    #[schemars(schema_with = "start_schema")]
    #[allow(dead_code, reason = "read from the tree, which tells dates from text")]
    pub start: Option<serde_json::Value>,
    /// A JSON Pointer such as `"/room"`: what it finds in the value becomes the record's key.
    /// Left out: the record's own key.
    pub key: Option<String>,
    /// What is done with a record in whose value `key` finds nothing.
    #[serde(default)]
    pub on_undecodable: OnError,
}

/// A file.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSource {
    /// The file, relative to the pipeline file.
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub path: String,
    /// How it is cut into records: a line each, a JSON value a line, or CSV with a head line,
    /// each row becoming a JSON object.
    #[serde(default)]
    pub format: LineFormat,
    /// What stands between the fields of CSV, one ASCII character; `,` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1))]
    pub delimiter: Option<String>,
    /// Start again at its end, for ever.
    #[serde(default, rename = "loop")]
    pub repeat: bool,
    /// A JSON Pointer such as `"/room"`: what it finds in the value becomes the record's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// At most so many records a second. Left out: as fast as they are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 10_000_000.0))]
    pub rate: Option<f64>,
    /// The partitions of the topic that it fills. Left out: `partitions` of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub partitions: Option<u32>,
    /// What is done with input that does not parse, or in which `key` finds nothing.
    #[serde(default)]
    pub on_undecodable: OnError,
}

/// Standard input.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StdinSource {
    /// How it is cut into records, as for `file`.
    #[serde(default)]
    pub format: LineFormat,
    /// As for `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1))]
    pub delimiter: Option<String>,
    /// A JSON Pointer such as `"/room"`: what it finds in the value becomes the record's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The partitions of the topic that it fills. Left out: `partitions` of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub partitions: Option<u32>,
    /// What is done with input that does not parse, or in which `key` finds nothing.
    #[serde(default)]
    pub on_undecodable: OnError,
}

/// Records made up: number n of them is `start + n * step`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GeneratorSource {
    /// `numbers`: the value is the number as text. `template`: the value is `template`.
    /// `temperature`: readings of rooms, `{"room":"room-1","temp":20.5,"ts":1704067200000}`. Left out:
    /// `template` when there is one, else `numbers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<GeneratorKind>,
    /// The value, in which `{n}` stands for the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("x-wasmill-secret" = true))]
    pub template: Option<String>,
    /// How many rooms `temperature` has, in turn; 3 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub rooms: Option<u64>,
    /// What the readings of `temperature` are made from: equal seeds, equal readings. 0 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 9_000_000_000_000_000_u64))]
    pub seed: Option<u64>,
    /// The first number.
    #[serde(default)]
    pub start: i64,
    /// How much each number is larger than the one before.
    #[serde(default = "default_step")]
    pub step: i64,
    /// How many records are made. Left out: no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 9_000_000_000_000_000_u64))]
    pub count: Option<u64>,
    /// Records a second. Left out: as fast as they are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 10_000_000.0))]
    pub rate: Option<f64>,
    /// A JSON Pointer such as `"/room"`: what it finds in the value becomes the record's key. Text
    /// that does not start with `/` is the key of every record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The partitions of the topic that it fills. Left out: `partitions` of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub partitions: Option<u32>,
    /// What is done with a record in whose value `key` finds nothing.
    #[serde(default)]
    pub on_undecodable: OnError,
}

fn default_step() -> i64 {
    1
}

/// What a generator makes.
#[derive(Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GeneratorKind {
    Numbers,
    Template,
    Temperature,
}

/// How text is cut into records.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LineFormat {
    #[default]
    Lines,
    Ndjson,
    Csv,
}

fn start_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        { "type": "string", "x-wasmill-date": true },
        { "type": "integer", "minimum": 0 },
    ]})
}
