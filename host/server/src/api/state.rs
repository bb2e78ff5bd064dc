//! What transforms have stored and committed, read while they run.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use record::store::StoreError;
use record::transform::StoreSpec;
use record::view::Views;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::extract::Params;
use super::problem::Problem;
use super::{Api, format};
use crate::board::Entry;

type Shared = State<Arc<Api>>;

/// Entries of one page, unless it is asked for fewer.
const ENTRIES_DEFAULT: u32 = 100;
/// Entries of one page at most.
const ENTRIES_MAX: u32 = 1_000;

/// A store of a transform.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Store {
    pub(crate) name: String,
    /// What it holds.
    pub(crate) doc: String,
    /// `bytes`, `utf8`, `json`, `s64-le`, `u64-le` or `f64-le`.
    pub(crate) key_format: String,
    /// As `key_format`.
    pub(crate) value_format: String,
}

/// The state of a transform in this process.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Stores {
    pub(crate) stores: Vec<Store>,
    /// The partitions that can be read here. Others are in other processes.
    pub(crate) partitions: Vec<u32>,
    /// The partitions that are being brought back.
    pub(crate) restoring: Vec<u32>,
}

/// An entry of a store.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Stored {
    pub(crate) partition: u32,
    /// As the store's format shows it: text, JSON or a number; base64 for bytes.
    pub(crate) key: Value,
    /// `base64` when the key is shown so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_encoding: Option<String>,
    /// As `key`.
    pub(crate) value: Value,
    /// As `key_encoding`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value_encoding: Option<String>,
}

/// Some entries of a store, by the bytes of their keys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Stored>,
    /// There are entries after these.
    pub(crate) more: bool,
    /// What to give as `after` for the next page; with `encoding=base64` where it says so.
    pub(crate) after: Option<String>,
    /// `base64` when `after` is given so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after_encoding: Option<String>,
}

/// One entry, or a page of them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Found {
    /// With `key`.
    One(Stored),
    /// Without.
    Page(Page),
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The entry of this key alone, given as the store's format shows it.
    key: Option<String>,
    /// Entries whose keys begin so.
    prefix: Option<String>,
    /// Entries after this key.
    after: Option<String>,
    /// Entries of one page: 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// Of this partition alone.
    partition: Option<u32>,
    /// `utf8` or `base64`: keys are given and shown so, whatever the format.
    encoding: Option<String>,
}

/// Declared stores of a transform that the pipeline fills: tables are somebody else's.
fn stores<'a>(entry: &'a Entry, transform: &str) -> Result<Vec<&'a StoreSpec>, Problem> {
    let node = entry
        .topology
        .processes
        .iter()
        .flat_map(|sub| &sub.nodes)
        .find(|node| *node.name == *transform)
        .ok_or_else(|| unknown_transform(entry, transform))?;
    Ok(node.description.stores.iter().filter(|store| !store.table).collect())
}

pub(super) fn unknown_transform(entry: &Entry, transform: &str) -> Problem {
    Problem::not_found(
        format!("pipeline `{}` has no transform `{transform}`", entry.name()),
        format!("GET /v1/pipelines/{} lists them", entry.name()),
    )
}

/// Why state could not be read.
pub(super) fn unreadable(error: &StoreError) -> Problem {
    match error {
        StoreError::Unreadable { .. } => Problem::unavailable(error.to_string(), "try again in a moment"),
        other => Problem::internal(other.to_string(), "the log of the process says what is done about it"),
    }
}

/// Runs what reads disks beside the thread that takes requests.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Problem::internal("the answer was lost", "please report it")))
}

/// The stores of a transform
///
/// With the partitions of its state that this process has.
#[utoipa::path(get, path = "/v1/pipelines/{name}/state/{transform}", params(
    ("name" = String, Path, description = "The pipeline"),
    ("transform" = String, Path, description = "The transform"),
), responses(
    (status = 200, body = Stores),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such pipeline or transform", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(api): Shared,
    Path((name, transform)): Path<(String, String)>,
) -> Result<Json<Stores>, Problem> {
    let entry = api.entry(&name)?;
    let stores = stores(&entry, &transform)?
        .into_iter()
        .map(|store| Store {
            name: store.name.clone(),
            doc: store.doc.clone(),
            key_format: store.key_format.clone(),
            value_format: store.value_format.clone(),
        })
        .collect();
    let views = beside(move || Ok(Views::open(&*entry.state, &transform))).await?;
    Ok(Json(Stores {
        stores,
        partitions: views.partitions(),
        restoring: views.missing().to_vec(),
    }))
}

/// Entries of a store
///
/// One, by its key, or a page of them in the order of their keys' bytes. What is committed, of the partitions
/// that this process has.
#[utoipa::path(get, path = "/v1/pipelines/{name}/state/{transform}/{store}", params(
    ("name" = String, Path, description = "The pipeline"),
    ("transform" = String, Path, description = "The transform"),
    ("store" = String, Path, description = "The store"),
    Which,
), responses(
    (status = 200, body = Found),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such pipeline, transform, store, partition or key", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The state is being brought back", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn read(
    State(api): Shared,
    Path((name, transform, store)): Path<(String, String, String)>,
    Params(which): Params<Which>,
) -> Result<Json<Found>, Problem> {
    let entry = api.entry(&name)?;
    let all = stores(&entry, &transform)?;
    let spec = all.iter().find(|spec| spec.name == store).copied().cloned();
    let Some(spec) = spec else {
        return Err(Problem::not_found(
            format!("transform `{transform}` has no store `{store}`"),
            format!("GET /v1/pipelines/{name}/state/{transform} lists its stores"),
        ));
    };
    let asked = Asked::new(which, &spec)?;
    beside(move || asked.read(&entry, &transform, &spec)).await.map(Json)
}

/// What is asked for, in bytes.
struct Asked {
    key: Option<Vec<u8>>,
    prefix: Vec<u8>,
    after: Option<Vec<u8>>,
    limit: u32,
    partition: Option<u32>,
    key_format: String,
}

impl Asked {
    fn new(which: Which, spec: &StoreSpec) -> Result<Self, Problem> {
        let bad = Problem::bad_parameter::<String>;
        let format = match which.encoding.as_deref() {
            None => spec.key_format.as_str(),
            Some("utf8") => "utf8",
            Some(format::BASE64) => "bytes",
            Some(other) => return Err(bad(format!("`encoding` is `utf8` or `base64`, not `{other}`"))),
        };
        let bytes = |name: &str, text: Option<String>| {
            let read = text.map(|text| format::read(format, &text)).transpose();
            read.map_err(|what| {
                Problem::invalid(
                    format!("`{name}`: {what}, as the keys of store `{}` are", spec.name),
                    "give it as the store shows it, or in base64 with `encoding=base64`",
                )
            })
        };
        if which.key.is_some() && (which.prefix.is_some() || which.after.is_some() || which.limit.is_some()) {
            return Err(bad(
                "`key` asks for one entry: it goes without `prefix`, `after` and `limit`".to_owned(),
            ));
        }
        if format.ends_with("-le") && which.prefix.is_some() {
            return Err(Problem::invalid(
                format!("the keys of store `{}` are numbers: they have no `prefix`", spec.name),
                "leave it out, or give bytes in base64 with `encoding=base64`",
            ));
        }
        let limit = which.limit.unwrap_or(ENTRIES_DEFAULT);
        if !(1..=ENTRIES_MAX).contains(&limit) {
            return Err(bad(format!("`limit` is 1 to {ENTRIES_MAX}, not {limit}")));
        }
        Ok(Self {
            key: bytes("key", which.key)?,
            prefix: bytes("prefix", which.prefix)?.unwrap_or_default(),
            after: bytes("after", which.after)?,
            limit,
            partition: which.partition,
            key_format: format.to_owned(),
        })
    }

    fn read(&self, entry: &Entry, transform: &str, spec: &StoreSpec) -> Result<Found, Problem> {
        let mut views = Views::open(&*entry.state, transform);
        if let Some(partition) = self.partition {
            views = views.only(partition);
            if views.partitions().is_empty() && views.missing().is_empty() {
                return Err(Problem::not_found(
                    format!("this process does not have partition {partition} of `{transform}`"),
                    format!("GET /v1/pipelines/{}/state/{transform} says which it has", entry.name()),
                ));
            }
        }
        let failed = |error: StoreError| unreadable(&error);
        if let Some(key) = &self.key {
            let found = views.get(&spec.name, key).map_err(failed)?;
            let (partition, value) = found.ok_or_else(|| {
                Problem::not_found(
                    format!("store `{}` has no such key", spec.name),
                    format!(
                        "this process has partitions {:?} of it; ask others that run the pipeline for theirs",
                        views.partitions()
                    ),
                )
            })?;
            return Ok(Found::One(self.stored(spec, partition, key, &value)));
        }
        let found = views
            .scan(&spec.name, &self.prefix, self.after.as_deref(), self.limit)
            .map_err(failed)?;
        let (keys, values) = (&found.page.keys, &found.page.values);
        let entries = keys.iter().zip(values.iter()).zip(&found.partitions);
        let entries: Vec<Stored> = entries
            .map(|((key, value), partition)| {
                self.stored(spec, *partition, key.unwrap_or_default(), value.unwrap_or_default())
            })
            .collect();
        let last = keys.len().checked_sub(1).and_then(|last| keys.get(last));
        let (after, after_encoding) = match last.filter(|_| found.page.more) {
            None => (None, None),
            Some(key) => {
                let (text, encoding) = self.cursor(key);
                (Some(text), encoding.map(str::to_owned))
            }
        };
        Ok(Found::Page(Page {
            entries,
            more: found.page.more,
            after,
            after_encoding,
        }))
    }

    /// A key as the next request has to give it.
    fn cursor(&self, key: &[u8]) -> (String, Option<&'static str>) {
        let (shown, encoding) = match self.key_format.as_str() {
            // Its own text: one that is written differently is another key.
            "json" => format::show("utf8", key),
            format => format::show(format, key),
        };
        (
            shown.as_str().map_or_else(|| shown.to_string(), str::to_owned),
            encoding,
        )
    }

    fn stored(&self, spec: &StoreSpec, partition: u32, key: &[u8], value: &[u8]) -> Stored {
        let (key, key_encoding) = format::show(&self.key_format, key);
        let (value, value_encoding) = format::show(&spec.value_format, value);
        Stored {
            partition,
            key,
            key_encoding: key_encoding.map(str::to_owned),
            value,
            value_encoding: value_encoding.map(str::to_owned),
        }
    }
}
