//! The table of an `http` source.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::OnError;

/// What is sent by HTTP.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSource {
    /// Where to listen: `"ADDRESS:PORT"`, such as `"127.0.0.1:8080"`. Each process of the pipeline does.
    #[schemars(length(min = 1))]
    pub listen: String,
    /// The topic that records are written to. Left out: one named after the pipeline and the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub topic: Option<String>,
    /// Anybody who reaches the address may send, pages in browsers too. An address that other machines
    /// reach needs this or `tokens`.
    #[serde(default)]
    pub public: bool,
    /// One of these is sent with each request, as `Authorization: Bearer TOKEN`; of 16 bytes at least.
    #[serde(default)]
    #[schemars(schema_with = "tokens_schema")]
    pub tokens: Vec<String>,
    /// What a body must be: JSON, or any bytes.
    #[serde(default)]
    pub format: BodyFormat,
    /// The largest body in bytes; a larger one is answered with 413.
    #[serde(default = "default_body")]
    #[schemars(range(min = 1, max = 67_108_864))]
    pub max_body_bytes: u32,
    /// Records that wait for the broker at once; others are answered with 429.
    #[serde(default = "default_in_flight")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_in_flight: u32,
    /// Connections at once; others are answered with 503.
    #[serde(default = "default_connections")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_connections: u32,
    /// How long a client may take for the head of a request, and again for its body, in milliseconds.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 10, max = 600_000))]
    pub timeout_ms: u32,
    /// The partitions of the topic, when it is created and named after the source. Left out: `partitions`
    /// of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub partitions: Option<u32>,
    /// What is done with a body that is not JSON, or in which `key` finds nothing: `"fail"` answers 400,
    /// `"dead_letter"` keeps it and answers as always.
    #[serde(default)]
    pub on_undecodable: OnError,
    /// What is taken.
    #[schemars(length(min = 1))]
    pub routes: Vec<HttpRoute>,
}

/// Requests of a path and method, and the record that each becomes.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpRoute {
    /// Such as `"/rooms/{room}/readings"`; `{*rest}` at the end takes any number of segments.
    #[schemars(length(min = 1))]
    pub path: String,
    /// `"GET"`, `"POST"`, `"PUT"`, `"PATCH"`, `"DELETE"`, or several in brackets; `"POST"` when left out.
    #[serde(default = "default_method")]
    #[schemars(schema_with = "method_schema")]
    pub method: serde_json::Value,
    /// The record's value: `"body"` (also when left out), or a table that becomes a JSON object. In its
    /// texts `{path.NAME}`, `{query.NAME}`, `{header.NAME}` and `{now}` stand for parts of the request, with
    /// `:number` inside the braces for numbers.
    #[serde(default = "default_event")]
    #[schemars(schema_with = "event_schema")]
    pub event: serde_json::Value,
    /// Headers of the request that become headers of the record, such as `["Host", "User-Agent"]`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// The record's key: a JSON Pointer into the value such as `"/room"`, or a text with places, such as
    /// `"{path.room}"`. Left out: no key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub key: Option<String>,
    /// The text of the answer. Left out: an answer 204 without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// What a body must be.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BodyFormat {
    #[default]
    Json,
    Bytes,
}

/// Below the largest record that topics take when nothing is said of them (1,048,588 bytes), which has
/// headers and a key too.
fn default_body() -> u32 {
    1_000_000
}

fn default_in_flight() -> u32 {
    1_000
}

/// Each is a file of the process, which often may have 1,024; the log and state need some too.
fn default_connections() -> u32 {
    500
}

fn default_timeout() -> u32 {
    10_000
}

fn default_method() -> serde_json::Value {
    "POST".into()
}

fn default_event() -> serde_json::Value {
    "body".into()
}

fn tokens_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "x-wasmill-secret": true } })
}

fn method_schema(_: &mut SchemaGenerator) -> Schema {
    let one = || json_schema!({ "type": "string", "enum": ["GET", "POST", "PUT", "PATCH", "DELETE"] });
    json_schema!({ "anyOf": [one(), { "type": "array", "items": one(), "minItems": 1 }] })
}

fn event_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "string", "enum": ["body"] }, { "type": "object" }] })
}
