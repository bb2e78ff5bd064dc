//! The topics of an embedded log that another process has open, through the API of that process.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use record::log::{Edge, Isolation, LogError, LogEvent, PollLimit, Polled, Reader};
use record::offset::NO_TIMESTAMP;
use record::{Batch, NextOffset, TopicPartition};
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::args::TokenArgs;
use super::remote::{Answer, Client, RemoteArgs};
use super::topics::Topics;
use crate::api::topics::{LIMIT_MAX, RECORDS_BODY_MAX, Record, Records, Topic, WAIT_MS_MAX, Written, cursor};
use crate::failure::Failure;
use crate::records::{self, bytes_value, headers_value};

/// As JSON it grows, and has to stay below what the API takes.
const BATCH_BYTES: usize = 1 << 20;
/// How long a process that is busy, or not there yet, is asked again.
const BUSY_TIME: Duration = Duration::from_secs(15);
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// The process that has the log.
pub(super) struct Held {
    client: Client,
    /// The id that each topic had at the first look, by its name. Another process may answer later, with another log.
    ids: Mutex<HashMap<String, String>>,
}

impl Held {
    /// By its API.
    ///
    /// # Errors
    /// No client can be made.
    pub(super) fn new(api: Url, token: &TokenArgs) -> Result<Self, Failure> {
        Ok(Self {
            client: RemoteArgs::found(api, token.clone()).client()?,
            ids: Mutex::default(),
        })
    }

    /// Asks; none where there is no such topic. What may be asked twice is asked again while the process is busy.
    fn ask<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &[&str],
        params: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Option<T>, LogError> {
        let path = [&["v1", "topics"], path].concat();
        let may_repeat = *method == Method::GET || *method == Method::PUT;
        let deadline = Instant::now() + BUSY_TIME;
        loop {
            let asked = self.client.ask(method.clone(), &path, params, body);
            let problem = match asked.map_err(|failure| fatal(&failure))? {
                Answer::Good(answer) => return Ok(Some(answer)),
                Answer::Refused(problem) => problem,
            };
            if problem.status == StatusCode::NOT_FOUND.as_u16() {
                return Ok(None);
            }
            let is_busy = problem.status == StatusCode::SERVICE_UNAVAILABLE.as_u16();
            if !(is_busy && may_repeat && Instant::now() < deadline) {
                let next = if problem.status == StatusCode::UNAUTHORIZED.as_u16() {
                    "set WASMILL_TOKEN to a token of the process that has the log"
                } else {
                    problem.detail.as_str()
                };
                return Err(LogError::Fatal {
                    what: format!("{}; {next}", problem.title),
                });
            }
            sleep(BUSY_PAUSE);
        }
    }

    fn topic(&self, name: &str) -> Result<Option<Topic>, LogError> {
        let Some(topic) = self.ask::<Topic>(&Method::GET, &[name], &[], None)? else {
            return Ok(None);
        };
        let mut ids = self.ids.lock();
        let first = ids.entry(name.to_owned()).or_insert_with(|| topic.id.clone());
        if *first != topic.id {
            return Err(LogError::Fatal {
                what: format!("topic `{name}` is another one now; run it again"),
            });
        }
        Ok(Some(topic))
    }

    /// As [`Self::ask`], of a topic that has to be there, and to be the one that was looked at.
    fn records<T: DeserializeOwned>(
        &self,
        topic: &str,
        method: &Method,
        params: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<T, LogError> {
        let id = self.ids.lock().get(topic).cloned();
        let mut params: Vec<(&str, &str)> = params.to_vec();
        if let Some(id) = &id {
            params.push(("topic_id", id.as_str()));
        }
        let answer = self.ask(method, &[topic, "records"], &params, body)?;
        answer.ok_or_else(|| LogError::NoTopic {
            topic: topic.to_owned(),
        })
    }
}

fn fatal(failure: &Failure) -> LogError {
    LogError::Fatal {
        what: format!("{failure}; {}", failure.next()),
    }
}

impl Topics for Held {
    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        let count = |topic: Topic| u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        Ok(self.topic(topic)?.map(count))
    }

    fn create(&self, topic: &str, partitions: u32) -> Result<(), LogError> {
        let wanted = json!({"partitions": partitions});
        self.ask::<Topic>(&Method::PUT, &[topic], &[], Some(&wanted))?;
        Ok(())
    }

    fn offsets(&self, partitions: &[TopicPartition], edge: Edge) -> Result<Vec<NextOffset>, LogError> {
        let mut topics: HashMap<&str, Topic> = HashMap::new();
        let mut found = Vec::with_capacity(partitions.len());
        for at in partitions {
            let none = || LogError::NoTopic {
                topic: at.topic.to_string(),
            };
            if !topics.contains_key(&*at.topic) {
                topics.insert(&at.topic, self.topic(&at.topic)?.ok_or_else(none)?);
            }
            let topic = topics.get(&*at.topic).ok_or_else(none)?;
            let edges = topic.partitions.get(at.partition as usize).ok_or_else(none)?;
            found.push(NextOffset(if edge == Edge::Start { edges.start } else { edges.end }));
        }
        Ok(found)
    }

    /// Both isolations see the same: what is not committed is not in an embedded log.
    fn reader(&self, _isolation: Isolation) -> Result<Box<dyn Reader + '_>, LogError> {
        Ok(Box::new(HeldReader {
            held: self,
            topic: None,
            next: Vec::new(),
            is_at_end: false,
        }))
    }

    fn append(&self, topic: &str, batch: &Batch, to: &[u32]) -> Result<(), LogError> {
        let record = |i: usize| {
            let mut record = Map::new();
            record.insert("key".to_owned(), bytes_value(batch.keys.get(i)));
            record.insert("value".to_owned(), bytes_value(batch.values.get(i)));
            record.insert("headers".to_owned(), headers_value(batch.headers.of(i)));
            record.insert("timestamp".to_owned(), batch.timestamps.get(i).copied().into());
            record.insert("partition".to_owned(), to.get(i).copied().into());
            Value::Object(record)
        };
        let body = json!({"records": (0..batch.len()).map(record).collect::<Value>()});
        let bytes = body.to_string().len();
        if bytes > RECORDS_BODY_MAX {
            return Err(LogError::Fatal {
                what: format!(
                    "they are {bytes} bytes as JSON, and the process that has the log takes {RECORDS_BODY_MAX} at \
                     once; stop it, and write them then"
                ),
            });
        }
        let _: Written = self.records(topic, &Method::POST, &[], Some(&body))?;
        Ok(())
    }

    fn batch_bytes(&self) -> usize {
        BATCH_BYTES
    }
}

/// Reads the partitions of one topic, a page at a time.
struct HeldReader<'a> {
    held: &'a Held,
    topic: Option<String>,
    /// By partition; those first that are to be read first.
    next: Vec<(u32, i64)>,
    /// There was nothing more: records are waited for.
    is_at_end: bool,
}

impl Reader for HeldReader<'_> {
    fn assign(&mut self, from: &[(TopicPartition, NextOffset)]) -> Result<(), LogError> {
        self.topic = from.first().map(|(at, _)| at.topic.to_string());
        self.next = from.iter().map(|(at, next)| (at.partition, next.0)).collect();
        self.is_at_end = false;
        Ok(())
    }

    fn poll(&mut self, timeout: Duration, limit: PollLimit, polled: &mut Polled) -> Result<(), LogError> {
        let Some(topic) = &self.topic else { return Ok(()) };
        // Nobody else looks at the clock here: a longer wait asks less often.
        let wait = u64::try_from(timeout.as_millis())
            .unwrap_or(WAIT_MS_MAX)
            .clamp(1_000, WAIT_MS_MAX);
        let wait = if self.is_at_end { wait } else { 0 };
        let limit = limit.records.saturating_mul(self.next.len()).clamp(1, LIMIT_MAX);
        let params = [
            ("from", cursor(&self.next)),
            ("limit", limit.to_string()),
            ("wait_ms", wait.to_string()),
        ];
        let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let page: Records = self.held.records(topic, &Method::GET, &params, None)?;
        self.is_at_end = page.records.is_empty();
        for skipped in &page.skipped {
            tracing::warn!(
                "records {} to {} of {topic}:{} expired before they were read",
                skipped.from,
                skipped.to,
                skipped.partition
            );
        }
        for record in page.records {
            push(record, topic, polled)?;
        }
        self.next = places(&page.next)?;
        for partition in page.ended {
            let next = self.next.iter().find(|(other, _)| *other == partition);
            polled.events.push(LogEvent::End {
                at: TopicPartition::new(topic.as_str(), partition),
                next: NextOffset(next.map_or(0, |(_, next)| *next)),
            });
        }
        Ok(())
    }
}

fn places(text: &str) -> Result<Vec<(u32, i64)>, LogError> {
    let place = |place: &str| {
        let (partition, next) = place.split_once(':')?;
        Some((partition.parse().ok()?, next.parse().ok()?))
    };
    let all: Option<Vec<(u32, i64)>> = text.split(',').map(place).collect();
    all.ok_or_else(|| unreadable("it says no place to read on"))
}

fn unreadable(what: &str) -> LogError {
    LogError::Fatal {
        what: format!("the API answers what cannot be read: {what}; is it of the same version of Wasmill?"),
    }
}

/// Appends a record to the batch of its partition.
fn push(record: Record, topic: &str, polled: &mut Polled) -> Result<(), LogError> {
    let Record {
        partition,
        offset,
        timestamp,
        key,
        value,
        headers,
        ..
    } = record;
    let members = [("key", key), ("value", value), ("headers", headers)];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    let mut draft = records::draft(members.into_iter().collect()).map_err(|what| unreadable(&what))?;
    draft.timestamp = Some(timestamp);
    let batch = polled.batch(topic, partition);
    draft.push_to(batch, NO_TIMESTAMP);
    batch.offsets.push(offset);
    batch.headers.finish(batch.len());
    Ok(())
}
