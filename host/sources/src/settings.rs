//! The settings of each kind, as the pipeline's table has them. Keys that belong to the pipeline
//! (`key` as a JSON Pointer, `partitions`, `on_undecodable`) are not ours and passed over.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A `file` source.
#[derive(Deserialize)]
pub(crate) struct FileSettings {
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) format: Format,
    #[serde(default, rename = "loop")]
    pub(crate) repeat: bool,
    /// Records a second.
    pub(crate) rate: Option<f64>,
    /// CSV only: one ASCII character.
    #[serde(default = "comma")]
    pub(crate) delimiter: char,
}

/// A `stdin` source.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct StdinSettings {
    #[serde(default)]
    pub(crate) format: Format,
    #[serde(default = "comma")]
    pub(crate) delimiter: char,
}

/// How bytes are cut into records.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    #[default]
    Lines,
    Ndjson,
    Csv,
}

/// A `generator` source.
#[derive(Deserialize)]
pub(crate) struct GeneratorSettings {
    /// Left out: `template` when there is one, else `numbers`.
    pub(crate) kind: Option<GeneratorKind>,
    #[serde(default)]
    pub(crate) start: i64,
    #[serde(default = "one")]
    pub(crate) step: i64,
    pub(crate) template: Option<String>,
    /// How many rooms `temperature` has.
    #[serde(default = "three")]
    pub(crate) rooms: u64,
    #[serde(default)]
    pub(crate) seed: u64,
    /// How many records there are; without, no end.
    pub(crate) count: Option<u64>,
    pub(crate) rate: Option<f64>,
    /// A text that does not start with `/` is the key of every record. One that does is a JSON
    /// Pointer, which the pipeline applies.
    pub(crate) key: Option<String>,
}

/// What a generator makes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GeneratorKind {
    Numbers,
    Template,
    Temperature,
}

fn comma() -> char {
    ','
}

fn one() -> i64 {
    1
}

fn three() -> u64 {
    3
}

pub(crate) fn parse<T: DeserializeOwned>(settings: &str) -> Result<T, String> {
    serde_json::from_str(settings).map_err(|e| format!("its settings cannot be read: {e}"))
}
