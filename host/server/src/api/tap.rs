//! Records as they go by, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use task::{TapOptions, TapReader, Tapped};
use tokio::time::{Instant, sleep_until};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::Params;
use super::problem::Problem;
use crate::records::{bytes_value, headers_value};

/// Records a second, where nothing is said.
const RATE: u32 = 10;
const RATE_MAX: u32 = 1_000;
/// How often it is said what was left out.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// So that proxies and clients see that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// At most so many a second; what is more is left out and counted.
    #[param(minimum = 1, maximum = 1000, default = 10)]
    rate: Option<u32>,
    /// Those with this key only.
    key: Option<String>,
    /// Those whose value has this text in it only.
    contains: Option<String>,
}

/// A record that has gone by. It may be rolled back afterwards, and is then seen again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Seen {
    pub(crate) node: String,
    /// The port by which it has left a transform.
    pub(crate) port: Option<String>,
    /// The topic from which it, or the record that it was made of, was read; its partition and offset there.
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    pub(crate) offset: Option<i64>,
    /// Its event time, in milliseconds since 1970; -1 for none.
    pub(crate) timestamp: i64,
    /// Text, `{"base64": ...}` where it is no UTF-8, or null.
    pub(crate) key: Value,
    /// As `key`.
    pub(crate) value: Value,
    /// Pairs of a name and a value, which is as `key`.
    pub(crate) headers: Value,
    /// Something of it was too large to be shown whole.
    pub(crate) is_cut: bool,
}

impl Seen {
    fn of(node: &str, tapped: Tapped) -> Self {
        Self {
            node: node.to_owned(),
            key: bytes_value(tapped.key.as_deref()),
            value: bytes_value(tapped.value.as_deref()),
            headers: headers_value(tapped.headers.iter().map(|(n, v)| (n.as_bytes(), v.as_deref()))),
            port: tapped.port,
            topic: tapped.topic,
            partition: tapped.partition,
            offset: tapped.offset,
            timestamp: tapped.timestamp,
            is_cut: tapped.is_cut,
        }
    }
}

/// Records that were left out: there were more than the rate allows.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct LeftOut {
    pub(crate) count: u64,
}

/// Records as they go by
///
/// Events `record` (a `Seen`) and `dropped` (a `LeftOut`), until the client goes.
#[utoipa::path(get, path = "/v1/pipelines/{name}/tap/{node}", params(
    ("name" = String, Path, description = "Of the pipeline"),
    ("node" = String, Path, description = "A source, transform, sink or topic that it writes"),
    Filter,
), responses(
    (status = 200, description = "Server-sent events", body = str, content_type = "text/event-stream"),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such pipeline or node", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Too many look already", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn tap(
    State(api): State<Arc<Api>>,
    Path((name, node)): Path<(String, String)>,
    Params(filter): Params<Filter>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let entry = api.entry(&name)?;
    let (nodes, _) = super::flow::graph(&entry);
    if nodes.iter().all(|one| *one.name != *node) {
        let names: Vec<&str> = nodes.iter().map(|one| &*one.name).collect();
        return Err(Problem::not_found(
            format!("pipeline `{name}` has no `{node}`"),
            format!("it has {}", names.join(", ")),
        ));
    }
    let rate = filter.rate.unwrap_or(RATE);
    if !(1..=RATE_MAX).contains(&rate) {
        return Err(Problem::bad_parameter(format!(
            "`rate` is {rate}; it is 1 to {RATE_MAX}"
        )));
    }
    let options = TapOptions {
        node: node.clone(),
        rate,
        key: filter.key.map(String::into_bytes),
        contains: filter.contains.map(String::into_bytes),
    };
    let reader = entry.taps.open(options).ok_or_else(Problem::busy)?;
    let watch = Watch {
        reader,
        node,
        tell: Instant::now() + TELL_EVERY,
    };
    let events = futures_util::stream::unfold(watch, async |mut watch| {
        let event = watch.next().await?;
        Some((Ok(event), watch))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Watch {
    reader: TapReader,
    node: String,
    tell: Instant,
}

impl Watch {
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                record = self.reader.records.recv() => {
                    let seen = Seen::of(&self.node, record?);
                    return Event::default().event("record").json_data(seen).ok();
                }
                () = sleep_until(self.tell) => {
                    self.tell = Instant::now() + TELL_EVERY;
                    let count = self.reader.left_out();
                    if count > 0 {
                        return Event::default().event("dropped").json_data(LeftOut { count }).ok();
                    }
                }
            }
        }
    }
}
