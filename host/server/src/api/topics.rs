//! Topics of the embedded log, for those who cannot open it themselves because this process has it: `wasmill produce`,
//! `wasmill consume`. Kafka's topics are anybody's to open, and are not served.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use record::log::{Edge, Isolation, Log, LogError, LogEvent, NewTopic, PollLimit, Polled, TopicInfo};
use record::partitioner::partition_for_key;
use record::{Batch, NextOffset, TopicPartition};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Body, Params};
use super::problem::Problem;
use crate::records::{self, bytes_value, headers_value};

const LIMIT: usize = 100;
pub(crate) const LIMIT_MAX: usize = 1_000;
/// What is waited for records at most: less than a request may take.
pub(crate) const WAIT_MS_MAX: u64 = 5_000;
/// One answer has a record more at most.
const PAGE_BYTES: usize = 4 << 20;
/// Of one partition in one poll.
const POLL_BYTES_MIN: usize = 64 << 10;
/// The body of a request that writes records.
pub(crate) const RECORDS_BODY_MAX: usize = 16 << 20;
const PARTITIONS_MAX: u32 = 100_000;
/// For questions to the log, and for a write.
const LOG_TIME: Duration = Duration::from_secs(8);

/// A topic.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Topic {
    pub(crate) name: String,
    /// Another one where the topic was deleted and created again.
    pub(crate) id: String,
    /// By number.
    pub(crate) partitions: Vec<Edges>,
}

/// What a partition holds.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Edges {
    pub(crate) partition: u32,
    /// The offset of the first record.
    pub(crate) start: i64,
    /// The offset of the next record that is written.
    pub(crate) end: i64,
}

/// A topic to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[schema(minimum = 1, maximum = 100_000)]
    partitions: u32,
}

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// `earliest`, `latest`, what an earlier answer has as `next`, or `PARTITION:OFFSET,...` for some partitions only.
    #[param(default = "earliest")]
    from: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Wait so long for records where there are none.
    #[param(minimum = 0, maximum = 5000, default = 0)]
    wait_ms: Option<u64>,
    /// `id` of the topic that is meant: 409 where it is another one now.
    topic_id: Option<String>,
}

/// Which topic is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Meant {
    /// `id` of the topic that is meant: 409 where it is another one now.
    topic_id: Option<String>,
}

/// A record of a topic, as `wasmill consume --json` prints it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Record {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    /// Its event time, in milliseconds since 1970; -1 for none.
    pub(crate) timestamp: i64,
    /// Text, `{"base64": ...}` where it is no UTF-8, or null.
    pub(crate) key: Value,
    /// As `key`.
    pub(crate) value: Value,
    /// Pairs of a name and a value, which is as `key`.
    pub(crate) headers: Value,
}

impl Record {
    fn of(batch: &Batch, i: usize) -> Self {
        Self {
            topic: Arc::clone(&batch.topic),
            partition: batch.partition,
            offset: batch.offsets.get(i).copied().unwrap_or_default(),
            timestamp: batch.timestamps.get(i).copied().unwrap_or_default(),
            key: bytes_value(batch.keys.get(i)),
            value: bytes_value(batch.values.get(i)),
            headers: headers_value(batch.headers.of(i)),
        }
    }
}

/// Records of a topic, those of each partition in order. Only what is committed is there.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Records {
    pub(crate) records: Vec<Record>,
    /// Where to read on: `from` of the next request.
    pub(crate) next: String,
    /// The partitions that were read to their end.
    pub(crate) ended: Vec<u32>,
    /// Where records were gone, and it was read on behind them.
    pub(crate) skipped: Vec<Skipped>,
}

/// Records that went away before they were read.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Skipped {
    pub(crate) partition: u32,
    /// What was to be read.
    pub(crate) from: i64,
    /// What is read instead: the first record that there is.
    pub(crate) to: i64,
}

/// A record to be written, as `wasmill produce --format records` reads it.
#[derive(ToSchema)]
#[allow(dead_code, reason = "what a request may have; `records::draft` reads it")]
struct NewRecord {
    /// Text, `{"base64": ...}`, or null for none. Anything else is its own JSON.
    key: Option<Value>,
    /// As `key`; null is a tombstone.
    value: Option<Value>,
    /// Pairs of a name and a value, or an object.
    headers: Option<Value>,
    /// Milliseconds since 1970, or a time; now, if it is left out.
    timestamp: Option<Value>,
    /// The one of its key, if it is left out; without a key, each in turn.
    partition: Option<u32>,
}

/// Records to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRecords {
    /// All of them are written, or none.
    #[schema(value_type = Vec<NewRecord>, min_items = 1)]
    records: Vec<Map<String, Value>>,
}

/// What was written.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Written {
    pub(crate) records: usize,
}

/// The turn of a request that writes records. It is waited for before the body is read: few large bodies at once.
pub(super) struct Turn(OwnedSemaphorePermit);

impl FromRequestParts<Arc<Api>> for Turn {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let turn = Arc::clone(&api.writing).acquire_owned().await;
        turn.map(Self).map_err(|_| Problem::ending())
    }
}

fn no_topic(name: &str) -> Problem {
    Problem::not_found(
        format!("there is no topic `{name}`"),
        "PUT /v1/topics/NAME creates it, and so does `wasmill produce --create-topic N`",
    )
}

fn problem_of(error: &LogError) -> Problem {
    match error {
        LogError::NoTopic { topic } => no_topic(topic),
        error if error.is_of_a_record() => Problem::bad_body(error.to_string()),
        error => Problem::of_log(error),
    }
}

/// The log of this process.
fn log_of(api: &Api) -> Result<Arc<dyn Log>, Problem> {
    let entries = api.board.entries();
    if let Some(entry) = entries.iter().find(|entry| entry.log.is_in_process()) {
        return Ok(Arc::clone(&entry.log));
    }
    if entries.is_empty() && !api.board.is_complete() {
        return Err(Problem::unavailable(
            "pipelines are being started",
            "GET /ready says when they run",
        ));
    }
    Err(Problem::conflict(
        "the pipelines of this process are on Kafka",
        "ask the brokers: topics are served where they are embedded",
    ))
}

/// Wasmill's own topics are written by their pipelines: a record from elsewhere would be taken for one of theirs.
fn refuse_ours(api: &Api, topic: &str) -> Result<(), Problem> {
    let owner = api.board.entries().into_iter().find(|entry| {
        let topics = &entry.topology.topics;
        entry.control_topic == topic || topics.iter().any(|one| &*one.name == topic && one.role.is_internal())
    });
    match owner {
        None => Ok(()),
        Some(entry) => Err(Problem::conflict(
            format!("topic `{topic}` is pipeline `{}`'s own", entry.name()),
            "write to a topic that a source of the pipeline names",
        )),
    }
}

/// Asks the log, which may take its time. What is asked goes on when the client does not wait for it.
async fn ask<T: Send + 'static>(
    permit: OwnedSemaphorePermit,
    what: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let asked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        what()
    });
    asked.await.map_err(|_| Problem::ending())?
}

/// To read records, which may take as long as is waited for them.
fn look(api: &Api) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = Arc::clone(&api.reading).try_acquire_owned();
    permit.map_err(|_| Problem::busy())
}

/// To ask about a topic, or to create one. Those who read records do not stand in the way.
async fn look_briefly(api: &Api) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = Arc::clone(&api.asking).acquire_owned().await;
    permit.map_err(|_| Problem::ending())
}

/// What a topic is. `id`: that of the one that is meant, where only that will do.
fn info_of(log: &dyn Log, topic: &str, id: Option<&str>) -> Result<TopicInfo, Problem> {
    let found = log.topics(&[topic], LOG_TIME).map_err(|error| problem_of(&error))?;
    let info = found.into_iter().next().flatten().ok_or_else(|| no_topic(topic))?;
    if id.is_some_and(|id| id != info.id) {
        return Err(Problem::conflict(
            format!("topic `{topic}` is another one now"),
            "it was created anew, or is in another log: begin again with what GET /v1/topics/NAME says",
        ));
    }
    Ok(info)
}

/// As [`info_of`], with what its partitions hold.
fn edges_of(log: &dyn Log, topic: &str, id: Option<&str>) -> Result<Topic, Problem> {
    let TopicInfo { id, partitions: count } = info_of(log, topic, id)?;
    let places: Vec<_> = (0..count)
        .map(|partition| TopicPartition::new(topic, partition))
        .collect();
    let at = |edge| log.offsets(&places, edge, LOG_TIME).map_err(|error| problem_of(&error));
    // The start first: it never comes behind the end.
    let (starts, ends) = (at(Edge::Start)?, at(Edge::End)?);
    let partitions = (0..count).zip(starts).zip(ends);
    Ok(Topic {
        name: topic.to_owned(),
        id,
        partitions: partitions
            .map(|((partition, start), end)| Edges {
                partition,
                start: start.0,
                end: end.0,
            })
            .collect(),
    })
}

/// A topic of the embedded log
#[utoipa::path(get, path = "/v1/topics/{topic}", params(("topic" = String, Path, description = "Its name")), responses(
    (status = 200, body = Topic),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The log is not embedded", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The log is away", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn show(State(api): State<Arc<Api>>, Path(topic): Path<String>) -> Result<Json<Topic>, Problem> {
    let log = log_of(&api)?;
    let permit = look_briefly(&api).await?;
    ask(permit, move || edges_of(&*log, &topic, None)).await.map(Json)
}

/// Creates a topic of the embedded log
///
/// One that exists is left as it is. A topic that is a pipeline's own is refused.
#[utoipa::path(put, path = "/v1/topics/{topic}", params(("topic" = String, Path, description = "Its name")), request_body = Wanted, responses(
    (status = 200, description = "It is there", body = Topic),
    (status = 400, description = "The body is no JSON, or the name or the number cannot be", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token does not allow it, or another site asks", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The log is not embedded, or the topic is a pipeline's own", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "The body is not said to be JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The body is other JSON", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The log is away", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Path(topic): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Topic>, Problem> {
    let log = log_of(&api)?;
    refuse_ours(&api, &topic)?;
    let partitions = wanted.partitions;
    if !(1..=PARTITIONS_MAX).contains(&partitions) {
        return Err(Problem::bad_body(format!(
            "`partitions` is {partitions}; it is 1 to {PARTITIONS_MAX}"
        )));
    }
    let permit = look_briefly(&api).await?;
    let created = ask(permit, move || {
        let new = NewTopic {
            name: topic.clone(),
            partitions,
            replication: None,
            config: Vec::new(),
        };
        log.create_topics(&[new], LOG_TIME).map_err(|error| match error {
            // The embedded log refuses names like that.
            LogError::Fatal { what } => Problem::bad_body(what),
            error => problem_of(&error),
        })?;
        edges_of(&*log, &topic, None)
    });
    created.await.map(Json)
}

/// Writes records to a topic of the embedded log
///
/// In one batch: all of them are there when this has answered, or none. A topic that is a pipeline's own is refused.
#[utoipa::path(post, path = "/v1/topics/{topic}/records", params(("topic" = String, Path, description = "Its name"), Meant), request_body = NewRecords, responses(
    (status = 200, body = Written),
    (status = 400, description = "The body is no JSON, or a record is none", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token does not allow it, or another site asks", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such topic", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The log is not embedded, or the topic is a pipeline's own, or not the one that is meant", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
    (status = 415, description = "The body is not said to be JSON", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "The body is other JSON", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The log is away", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn write(
    State(api): State<Arc<Api>>,
    Path(topic): Path<String>,
    Params(meant): Params<Meant>,
    Turn(turn): Turn,
    Body(new): Body<NewRecords>,
) -> Result<Json<Written>, Problem> {
    let log = log_of(&api)?;
    refuse_ours(&api, &topic)?;
    let asked = ask(turn, move || {
        let partitions = info_of(&*log, &topic, meant.topic_id.as_deref())?.partitions;
        let count = new.records.len();
        let first = api
            .turn
            .fetch_add(u32::try_from(count).unwrap_or_default(), Ordering::Relaxed);
        let (batch, to) = batch_of(&topic, partitions, new, first)?;
        if !batch.is_empty() {
            log.append(&topic, &batch, &to, LOG_TIME)
                .map_err(|error| problem_of(&error))?;
        }
        Ok(Written { records: count })
    });
    asked.await.map(Json)
}

/// The records as one batch, and where each goes. `turn`: the partition of the first without a key.
fn batch_of(topic: &str, partitions: u32, new: NewRecords, turn: u32) -> Result<(Batch, Vec<u32>), Problem> {
    let mut batch = Batch::new(topic.into(), 0);
    let mut to = Vec::with_capacity(new.records.len());
    let (now, mut turn) = (crate::time::now(), turn);
    for (i, members) in new.records.into_iter().enumerate() {
        let wrong = |what: String| Problem::bad_body(format!("record {} {what}", i + 1));
        let draft = records::draft(members).map_err(wrong)?;
        to.push(match (draft.partition, &draft.key) {
            (Some(partition), _) if partition < partitions => partition,
            (Some(partition), _) => {
                return Err(wrong(format!(
                    "names partition {partition}, but `{topic}` has {partitions}"
                )));
            }
            (None, Some(key)) => partition_for_key(key, partitions),
            (None, None) => {
                turn = turn.wrapping_add(1);
                turn % partitions.max(1)
            }
        });
        draft.push_to(&mut batch, now);
    }
    batch.headers.finish(batch.len());
    Ok((batch, to))
}

/// The records of a topic of the embedded log
///
/// Answers as soon as there are some, those of several partitions side by side. Joins no group and commits nothing.
#[utoipa::path(get, path = "/v1/topics/{topic}/records", params(("topic" = String, Path, description = "Its name"), Page), responses(
    (status = 200, body = Records),
    (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    (status = 401, body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such topic", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "The log is not embedded, or the topic not the one that is meant", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "The log is away, or too many read already", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(topic): Path<String>,
    Params(page): Params<Page>,
) -> Result<Json<Records>, Problem> {
    let log = log_of(&api)?;
    let limit = page.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_parameter(format!(
            "`limit` is {limit}; it is 1 to {LIMIT_MAX}"
        )));
    }
    let wait_ms = page.wait_ms.unwrap_or(0);
    if wait_ms > WAIT_MS_MAX {
        return Err(Problem::bad_parameter(format!(
            "`wait_ms` is {wait_ms}; it is at most {WAIT_MS_MAX}"
        )));
    }
    let asked = ask(look(&api)?, move || {
        let edges = edges_of(&*log, &topic, page.topic_id.as_deref())?;
        let places = places_of(edges, page.from.as_deref())?;
        read_page(&*log, &topic, places, limit, Duration::from_millis(wait_ms)).map_err(|error| problem_of(&error))
    });
    asked.await.map(Json)
}

/// Partitions and the offsets to read there next; those first that come first.
type Places = Vec<(u32, i64)>;

fn places_of(topic: Topic, from: Option<&str>) -> Result<Places, Problem> {
    let Topic {
        name,
        partitions: edges,
        ..
    } = topic;
    let text = match from {
        None | Some("earliest") => return Ok(edges.iter().map(|one| (one.partition, one.start)).collect()),
        Some("latest") => return Ok(edges.iter().map(|one| (one.partition, one.end)).collect()),
        Some(text) => text,
    };
    let wrong = || {
        Problem::bad_parameter(format!(
            "`from` is neither `earliest` nor `latest` nor `PARTITION:OFFSET,...` with partitions of `{name}`"
        ))
    };
    let mut places = Places::new();
    for place in text.split(',') {
        let (partition, offset) = place.split_once(':').ok_or_else(wrong)?;
        let partition: u32 = partition.parse().map_err(|_| wrong())?;
        let offset: i64 = offset.parse().map_err(|_| wrong())?;
        let is_known = edges.iter().any(|one| one.partition == partition);
        if !is_known || offset < 0 || places.iter().any(|(other, _)| *other == partition) {
            return Err(wrong());
        }
        places.push((partition, offset));
    }
    Ok(places)
}

/// `next` of an answer.
pub(crate) fn cursor(places: &[(u32, i64)]) -> String {
    let mut text = String::new();
    for (partition, next) in places {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{partition}:{next}");
    }
    text
}

/// Reads once, waiting for records.
fn read_page(
    log: &dyn Log,
    topic: &str,
    mut places: Places,
    limit: usize,
    wait: Duration,
) -> Result<Records, LogError> {
    let deadline = Instant::now() + wait;
    let mut skipped = Vec::new();
    let bounds = PollLimit {
        records: limit,
        bytes: (PAGE_BYTES / places.len().max(1)).max(POLL_BYTES_MIN),
    };
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    let assigned = |places: &Places| -> Vec<_> {
        let each = places.iter();
        each.map(|(partition, next)| (TopicPartition::new(topic, *partition), NextOffset(*next)))
            .collect()
    };
    reader.assign(&assigned(&places))?;
    // Of the partitions that were read to their end.
    let mut ends: HashMap<u32, i64> = HashMap::new();
    let mut polled = Polled::default();
    loop {
        polled.clear();
        let left = deadline.saturating_duration_since(Instant::now());
        reader.poll(left, bounds, &mut polled)?;
        // What was the end before is none any more.
        for batch in polled.batches.iter().filter(|batch| !batch.is_empty()) {
            ends.remove(&batch.partition);
        }
        let mut expired = Vec::new();
        for event in polled.events.drain(..) {
            match event {
                LogEvent::End { at, next } => {
                    ends.insert(at.partition, next.0);
                }
                LogEvent::OutOfRange { at } => expired.push(at),
                // That the topic was deleted: the next request says so.
                LogEvent::Trouble { .. } | LogEvent::Assigned(_) | LogEvent::Revoked(_) | LogEvent::Lost(_) => {}
            }
        }
        let starts = log.offsets(&expired, Edge::Start, LOG_TIME)?;
        for (at, start) in expired.iter().zip(starts) {
            if let Some((partition, next)) = places.iter_mut().find(|(partition, _)| *partition == at.partition) {
                skipped.push(Skipped {
                    partition: *partition,
                    from: *next,
                    to: start.0,
                });
                *next = start.0;
            }
        }
        let is_found = polled.batches.iter().any(|batch| !batch.is_empty());
        if is_found || Instant::now() >= deadline {
            break;
        }
        if !expired.is_empty() {
            reader.assign(&assigned(&places))?;
        }
    }
    Ok(page_of(&polled, places, &ends, limit, skipped))
}

/// As much of what was read as an answer may have. Partitions of which something was left are first in the next one.
fn page_of(polled: &Polled, places: Places, ends: &HashMap<u32, i64>, limit: usize, skipped: Vec<Skipped>) -> Records {
    let mut records = Vec::new();
    let mut bytes = 0;
    let (mut left, mut done, mut ended) = (Places::new(), Places::new(), Vec::new());
    for (partition, next) in places {
        let batch = polled.batches.iter().find(|batch| batch.partition == partition);
        let mut next = next;
        let mut is_cut = false;
        for (batch, i) in batch
            .into_iter()
            .flat_map(|batch| (0..batch.len()).map(move |i| (batch, i)))
        {
            if records.len() >= limit || bytes >= PAGE_BYTES {
                is_cut = true;
                break;
            }
            bytes += batch.bytes_of(i);
            let record = Record::of(batch, i);
            next = record.offset + 1;
            records.push(record);
        }
        if is_cut {
            left.push((partition, next));
            continue;
        }
        // Compaction and deletion leave gaps: the end is behind them.
        if let Some(end) = ends.get(&partition) {
            next = next.max(*end);
            ended.push(partition);
        }
        done.push((partition, next));
    }
    left.append(&mut done);
    Records {
        records,
        next: cursor(&left),
        ended,
        skipped,
    }
}
