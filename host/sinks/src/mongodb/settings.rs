//! The settings of `mongodb`.

use std::time::Duration;

use record::Secret;
use record::sink::SinkError;
use record::topology::Connector;
use serde::Deserialize;

use crate::redact::Redactor;
use crate::settings::{parse, wrong};

/// How documents are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// A document replaces the one with the same `_id`.
    #[default]
    Replace,
    /// The record's fields are set; others of the document stay.
    Update,
    /// Every record is a new document.
    Insert,
}

/// Where a document's `_id` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Id {
    /// The record's key; without one, as [`Id::Origin`].
    Key,
    /// What a JSON Pointer finds in the value.
    Pointer(String),
    /// The record's place, `topic:partition:offset`: a document per record.
    Origin,
}

#[derive(Deserialize)]
struct Raw {
    url: String,
    database: String,
    collection: String,
    id: Option<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default = "yes")]
    guard: bool,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
}

fn yes() -> bool {
    true
}

fn default_timeout_ms() -> u64 {
    60_000
}

/// What the pipeline says, checked.
pub(super) struct Settings {
    pub(super) url: Secret,
    pub(super) redactor: Redactor,
    pub(super) database: String,
    pub(super) collection: String,
    pub(super) id: Id,
    pub(super) mode: Mode,
    pub(super) guard: bool,
    /// How long one `open` or `write` may take.
    pub(super) timeout: Duration,
}

pub(super) fn read(connector: &Connector) -> Result<Settings, SinkError> {
    let raw: Raw = parse(connector)?;
    if !raw.url.starts_with("mongodb://") && !raw.url.starts_with("mongodb+srv://") {
        return Err(wrong(
            connector,
            "`url` does not start with mongodb:// or mongodb+srv://",
        ));
    }
    if raw.database.is_empty() || raw.database.contains(['/', '\\', '.', ' ', '"', '$', '\0']) {
        return Err(wrong(connector, "`database` is no name of a MongoDB database"));
    }
    if raw.collection.is_empty() || raw.collection.contains(['$', '\0']) || raw.collection.starts_with("system.") {
        return Err(wrong(connector, "`collection` is no name of a MongoDB collection"));
    }
    let id = match raw.id {
        None => Id::Key,
        Some(origin) if origin == "origin" => Id::Origin,
        Some(pointer) if pointer.starts_with('/') => Id::Pointer(pointer),
        Some(_) => {
            return Err(wrong(
                connector,
                "`id` is neither \"origin\" nor a JSON Pointer, which starts with a slash, as in \"/room\"",
            ));
        }
    };
    Ok(Settings {
        redactor: Redactor::of_url(&raw.url),
        url: Secret::new(raw.url),
        database: raw.database,
        collection: raw.collection,
        id,
        mode: raw.mode,
        guard: raw.guard,
        timeout: Duration::from_millis(raw.timeout_ms.max(1)),
    })
}
