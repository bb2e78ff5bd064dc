//! The table of an `http` source, as the pipeline has checked it.

use std::net::SocketAddr;

use record::Secret;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Settings {
    pub(super) listen: SocketAddr,
    pub(super) public: bool,
    #[serde(deserialize_with = "secrets")]
    pub(super) tokens: Vec<Secret>,
    pub(super) format: Format,
    pub(super) max_body_bytes: usize,
    pub(super) max_in_flight: usize,
    pub(super) max_connections: usize,
    pub(super) timeout_ms: u64,
    pub(super) routes: Vec<RouteSettings>,
}

/// What a body must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    Json,
    Bytes,
}

#[derive(Deserialize)]
pub(super) struct RouteSettings {
    pub(super) path: String,
    pub(super) method: OneOrMany,
    /// `"body"`, or a table.
    pub(super) event: serde_json::Value,
    #[serde(default)]
    pub(super) headers: Vec<String>,
    pub(super) key: Option<String>,
    pub(super) answer: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

fn secrets<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Ok(texts.into_iter().map(Secret::new).collect())
}
