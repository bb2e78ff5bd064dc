//! A test file as it is written: the JSON Schema that its shape is checked against comes from these
//! structs. What they hold is read from the tree, which knows the place of everything.

#![allow(dead_code, reason = "read from the tree")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value as Json;

/// Tests of one pipeline.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct TestFile {
    /// The pipeline, relative to this file. Left out: `NAME.toml` for `NAME.test.toml`.
    #[schemars(length(min = 1))]
    pipeline: Option<String>,
    /// Test what `--embedded` runs.
    embedded: Option<bool>,
    /// The partitions of every topic.
    #[schemars(range(min = 1, max = 1024))]
    partitions: Option<u32>,
    /// The wall clock at the start of each case.
    #[schemars(default, schema_with = "time")]
    clock: Option<Json>,
    /// The cases, each with state of its own.
    #[schemars(length(min = 1))]
    cases: Vec<Case>,
}

/// A case.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Case {
    /// Says what is shown.
    #[schemars(length(min = 1))]
    name: String,
    /// By transform: options of its `config`.
    config: Option<BTreeMap<String, serde_json::Map<String, Json>>>,
    /// By transform and store: what the store holds at the beginning.
    state: Option<BTreeMap<String, BTreeMap<String, Vec<Entry>>>>,
    /// What happens, in order.
    steps: Option<Vec<Step>>,
    /// By sink, `TRANSFORM.PORT` or transform: what comes out.
    expect: Option<BTreeMap<String, Vec<Record>>>,
    /// The names in `expect` whose order does not matter.
    unordered: Option<Vec<String>>,
    /// All dead letters, in order.
    dead_letters: Option<Vec<DeadLetter>>,
    /// By transform and store: what the store holds at the end.
    final_state: Option<BTreeMap<String, BTreeMap<String, Vec<Entry>>>>,
    /// How the pipeline fails.
    error: Option<Failure>,
}

/// A step: a record (with `source`), or `advance_ms`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Step {
    /// How far the wall clock moves on, in milliseconds.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    advance_ms: Option<u64>,
    /// The source that the record comes from.
    #[schemars(length(min = 1))]
    source: Option<String>,
    /// One of the topics of a `kafka` source. Left out: its first.
    topic: Option<String>,
    /// Text, or what becomes JSON.
    key: Option<Json>,
    /// JSON as text.
    key_json: Option<String>,
    /// Bytes.
    key_hex: Option<String>,
    /// Text, or what becomes JSON.
    value: Option<Json>,
    /// JSON as text.
    value_json: Option<String>,
    /// Bytes.
    value_hex: Option<String>,
    /// The event time. Left out: the wall clock.
    #[schemars(default, schema_with = "time")]
    timestamp: Option<Json>,
    /// Texts by name.
    #[schemars(default, schema_with = "headers")]
    headers: Option<Json>,
    /// Where it stands in its topic.
    #[schemars(range(max = 1023))]
    partition: Option<u32>,
}

/// A record that comes out.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Record {
    /// Text, or what becomes JSON.
    key: Option<Json>,
    /// JSON as text.
    key_json: Option<String>,
    /// Bytes.
    key_hex: Option<String>,
    /// Text, or what becomes JSON.
    value: Option<Json>,
    /// JSON as text.
    value_json: Option<String>,
    /// Bytes.
    value_hex: Option<String>,
    /// The event time.
    #[schemars(default, schema_with = "time")]
    timestamp: Option<Json>,
    /// Texts by name.
    #[schemars(default, schema_with = "headers")]
    headers: Option<Json>,
    /// Where it stands in its topic.
    #[schemars(range(max = 1023))]
    partition: Option<u32>,
}

/// A record that was refused.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct DeadLetter {
    /// The transform or the source that refused it.
    #[schemars(length(min = 1))]
    node: String,
    /// The code of the failure.
    #[schemars(length(min = 1))]
    code: String,
    /// A part of the message.
    message: Option<String>,
    /// Text, or what becomes JSON.
    key: Option<Json>,
    /// JSON as text.
    key_json: Option<String>,
    /// Bytes.
    key_hex: Option<String>,
    /// Text, or what becomes JSON.
    value: Option<Json>,
    /// JSON as text.
    value_json: Option<String>,
    /// Bytes.
    value_hex: Option<String>,
}

/// An entry of a store.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Entry {
    /// As the store's format has it.
    key: Option<Json>,
    /// JSON as text.
    key_json: Option<String>,
    /// Bytes.
    key_hex: Option<String>,
    /// As the store's format has it.
    value: Option<Json>,
    /// JSON as text.
    value_json: Option<String>,
    /// Bytes.
    value_hex: Option<String>,
}

/// How the pipeline fails.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Failure {
    /// The code of the error.
    #[schemars(length(min = 1))]
    code: String,
    /// A part of the message.
    message: Option<String>,
}

fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        { "type": "string", "x-wasmill-date": true },
        { "type": "integer", "minimum": 0 },
    ]})
}

fn headers(_: &mut SchemaGenerator) -> Schema {
    let text = || {
        serde_json::json!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ]})
    };
    json_schema!({ "type": "object", "additionalProperties": text() })
}

/// What a test file may hold.
pub(super) fn schema() -> &'static Json {
    static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
        let mut schema = crate::schema::schema_of::<TestFile>();
        allow_placeholders(&mut schema);
        if let Some(root) = schema.as_object_mut() {
            root.insert("x-wasmill-whole".to_owned(), "a test file".into());
        }
        schema
    });
    &SCHEMA
}

/// Nothing in a test file is filled in, so `${` means nothing there.
fn allow_placeholders(schema: &mut Json) {
    match schema {
        Json::Array(items) => items.iter_mut().for_each(allow_placeholders),
        Json::Object(map) => {
            if map.get("type").is_some_and(|kind| kind == "string") {
                map.insert("x-wasmill-secret".to_owned(), true.into());
            }
            map.values_mut().for_each(allow_placeholders);
        }
        _ => {}
    }
}
