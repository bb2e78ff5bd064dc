//! The dead letters of a pipeline: read newest first, put back into the topics that they came from, or
//! discarded.
//!
//! A letter stays in its topic whatever becomes of it; what was done with it is kept in the pipeline's control
//! topic, under `dead-letter:PARTITION:OFFSET`. A letter is put back before that is written down: a crash in between
//! leaves it open, and it may be put back twice, but never lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::log::{Edge, Isolation, Log, LogError, LogEvent, NewTopic, PollLimit, Polled};
use record::offset::{NextOffset, TopicPartition};
use record::origin::{self, HEADER_PREFIX, TaskMark};
use record::topology::{TopicRole, Topology};
use record::{Batch, Headers};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::compose::TIMEOUT;
use crate::records::{bytes_value, headers_value};
use crate::time;

/// So many letters are looked at beyond those that are wanted, since offsets have gaps.
const MARGIN: i64 = 64;
/// So many letters are put back or discarded by one request.
pub(crate) const AT_ONCE_MAX: usize = 10_000;
/// No answer shows more bytes of letters.
const PAGE_BYTES: usize = 4 << 20;
const MARK: &str = "dead-letter:";

/// What was done with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// Nothing yet.
    Open,
    /// It was put back into the topic that it came from.
    Replayed,
    /// Nobody wants it.
    Discarded,
}

/// Where a letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub(crate) struct At {
    pub(crate) partition: u32,
    pub(crate) offset: i64,
}

/// A place in a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Origin {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: i64,
}

/// A record that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Letter {
    /// Its place in the topic of the dead letters.
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    pub(crate) state: Fate,
    /// The transform, source or sink that has refused it.
    pub(crate) node: String,
    /// `name@version` of the plugin, where one is concerned.
    pub(crate) plugin: Option<String>,
    /// The stable word of the error.
    pub(crate) code: String,
    /// The error for people.
    pub(crate) message: String,
    /// A stack trace or the like.
    pub(crate) detail: Option<String>,
    /// The record that the task had read.
    pub(crate) input: Option<Origin>,
    /// The record of a source that has caused it.
    pub(crate) origin: Option<Origin>,
    /// The timer that failed, where it was none of records.
    pub(crate) timer: Option<String>,
    /// Its event time, in milliseconds since 1970; -1 for none.
    pub(crate) timestamp: i64,
    /// Text, `{"base64": ...}` where it is no UTF-8, or null.
    pub(crate) key: Value,
    /// As `key`.
    pub(crate) value: Value,
    /// Pairs of a name and a value, without those of Wasmill.
    pub(crate) headers: Value,
}

/// Some letters, the newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Letters {
    pub(crate) dead_letters: Vec<Letter>,
    /// Ask for what is `before` this for more; null when there are none.
    pub(crate) next: Option<String>,
    /// How many offsets the topic holds: about as many letters, whatever was done with them.
    pub(crate) total: i64,
}

/// What came of putting letters back.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct Done {
    /// How many letters were put back, or discarded.
    pub(crate) done: usize,
    /// Those with which nothing was done, and why.
    pub(crate) problems: Vec<String>,
}

/// Letters as they lie in a batch that was read.
struct Found {
    batch: Arc<Batch>,
    i: usize,
}

impl Found {
    fn at(&self) -> At {
        At {
            partition: self.batch.partition,
            offset: self.batch.offsets[self.i],
        }
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.batch.headers.last(self.i, name).flatten()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.header(name)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn place(&self, name: &str) -> Option<Origin> {
        let (topic, partition, offset) = origin::decode_origin(self.header(name)?)?;
        Some(Origin {
            topic: topic.to_owned(),
            partition,
            offset,
        })
    }

    /// The headers that the record had.
    fn own_headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let all = self.batch.headers.of(self.i);
        all.filter(|(name, _)| !name.starts_with(HEADER_PREFIX.as_bytes()))
    }

    fn letter(&self, fate: Fate) -> Letter {
        Letter {
            partition: self.batch.partition,
            offset: self.batch.offsets[self.i],
            state: fate,
            node: self.text(origin::HEADER_NODE).unwrap_or_default(),
            plugin: self.text(origin::HEADER_PLUGIN),
            code: self.text(origin::HEADER_ERROR_CODE).unwrap_or_default(),
            message: self.text(origin::HEADER_ERROR).unwrap_or_default(),
            detail: self.text(origin::HEADER_ERROR_DETAIL),
            input: self.place(origin::HEADER_INPUT),
            origin: self.place(origin::HEADER_ORIGIN),
            timer: self.text(origin::HEADER_TIMER),
            timestamp: self.batch.timestamps[self.i],
            key: bytes_value(self.batch.keys.get(self.i)),
            value: bytes_value(self.batch.values.get(self.i)),
            headers: headers_value(self.own_headers()),
        }
    }
}

/// The dead letters of one pipeline.
pub(crate) struct DeadLetters<'a> {
    log: &'a dyn Log,
    plan: &'a Topology,
    control_topic: &'a str,
    topic: Arc<str>,
}

impl<'a> DeadLetters<'a> {
    pub(crate) fn new(log: &'a dyn Log, plan: &'a Topology, control_topic: &'a str) -> Self {
        Self {
            log,
            plan,
            control_topic,
            topic: Arc::clone(&plan.topic(plan.dead_letters).name),
        }
    }

    /// Where each partition of a topic starts and ends.
    fn edges(&self, topic: &str) -> Result<Vec<(TopicPartition, i64, i64)>, LogError> {
        let info = self.log.topics(&[topic], TIMEOUT)?.into_iter().next().flatten();
        let count = info.map_or(0, |info| info.partitions);
        let places: Vec<_> = (0..count)
            .map(|partition| TopicPartition::new(topic, partition))
            .collect();
        let starts = self.log.offsets(&places, Edge::Start, TIMEOUT)?;
        let ends = self.log.offsets(&places, Edge::StableEnd, TIMEOUT)?;
        let edges = starts.into_iter().zip(ends);
        Ok(places
            .into_iter()
            .zip(edges)
            .map(|(at, (start, end))| (at, start.0, end.0))
            .collect())
    }

    /// The committed records of partitions between two offsets.
    fn read(&self, ranges: &[(TopicPartition, i64, i64)]) -> Result<Vec<Found>, LogError> {
        let mut open: HashMap<TopicPartition, i64> = ranges
            .iter()
            .filter(|(_, from, to)| from < to)
            .map(|(at, _, to)| (at.clone(), *to))
            .collect();
        let mut found = Vec::new();
        if open.is_empty() {
            return Ok(found);
        }
        let mut reader = self.log.reader(Isolation::ReadCommitted)?;
        let from: Vec<_> = ranges
            .iter()
            .filter(|(_, from, to)| from < to)
            .map(|(at, from, _)| (at.clone(), NextOffset(*from)))
            .collect();
        reader.assign(&from)?;
        let deadline = Instant::now() + TIMEOUT;
        let mut polled = Polled::default();
        while !open.is_empty() {
            if Instant::now() >= deadline {
                return Err(LogError::Retriable {
                    what: format!("the dead letters could not be read in {} s", TIMEOUT.as_secs()),
                });
            }
            polled.clear();
            reader.poll(Duration::from_millis(200), PollLimit::default(), &mut polled)?;
            for batch in polled.batches.drain(..) {
                let at = batch.place();
                let Some(to) = open.get(&at).copied() else { continue };
                let batch = Arc::new(batch);
                for i in (0..batch.len()).filter(|i| batch.offsets[*i] < to) {
                    found.push(Found {
                        batch: Arc::clone(&batch),
                        i,
                    });
                }
                if batch.next_offset().is_some_and(|next| next.0 >= to) {
                    open.remove(&at);
                }
            }
            for event in polled.events.drain(..) {
                if let LogEvent::End { at, next } = event
                    && open.get(&at).is_some_and(|to| next.0 >= *to)
                {
                    open.remove(&at);
                }
            }
        }
        Ok(found)
    }

    /// What was done with letters.
    fn fates(&self) -> Result<HashMap<At, Fate>, LogError> {
        let mut fates = HashMap::new();
        for found in self.read(&self.edges(self.control_topic)?)? {
            let Some(at) = found.batch.keys.get(found.i).and_then(place_of_mark) else {
                continue;
            };
            match found
                .batch
                .values
                .get(found.i)
                .and_then(|value| serde_json::from_slice(value).ok())
            {
                Some(fate) => fates.insert(at, fate),
                None => fates.remove(&at),
            };
        }
        Ok(fates)
    }

    /// Up to `limit` letters in front of `before`, the newest first.
    ///
    /// # Errors
    /// The log.
    pub(crate) fn list(&self, before: Option<&[At]>, limit: usize) -> Result<Letters, LogError> {
        let edges = self.edges(&self.topic)?;
        let total = edges.iter().map(|(_, start, end)| end - start).sum();
        let upper = |at: &TopicPartition, end: i64| {
            let known = before.and_then(|all| all.iter().find(|one| one.partition == at.partition));
            known.map_or(end, |one| one.offset.min(end))
        };
        let mut window = limit as i64 + MARGIN;
        let (mut found, is_whole) = loop {
            let ranges: Vec<_> = edges
                .iter()
                .map(|(at, start, end)| {
                    let upper = upper(at, *end);
                    (at.clone(), (upper - window).max(*start), upper)
                })
                .collect();
            let found = self.read(&ranges)?;
            let is_whole = ranges
                .iter()
                .zip(&edges)
                .all(|((_, from, _), (_, start, _))| from == start);
            if found.len() >= limit || is_whole {
                break (found, is_whole);
            }
            window *= 8;
        };
        // Within a partition the order of the topic holds, so that a page ends at one offset of each.
        found.sort_by_key(|one| std::cmp::Reverse((one.batch.offsets[one.i], one.batch.partition)));
        let mut cursor: Vec<At> = edges
            .iter()
            .map(|(at, _, end)| At {
                partition: at.partition,
                offset: upper(at, *end),
            })
            .collect();
        let mut bytes = 0;
        let fates = self.fates()?;
        let mut letters = Vec::new();
        for one in &found {
            bytes += one.batch.bytes_of(one.i);
            if letters.len() == limit || (bytes > PAGE_BYTES && !letters.is_empty()) {
                break;
            }
            if let Some(mark) = cursor.iter_mut().find(|mark| mark.partition == one.batch.partition) {
                mark.offset = mark.offset.min(one.batch.offsets[one.i]);
            }
            letters.push(one.letter(fates.get(&one.at()).copied().unwrap_or(Fate::Open)));
        }
        let is_all = is_whole && letters.len() == found.len();
        Ok(Letters {
            dead_letters: letters,
            next: (!is_all).then(|| encode_cursor(&cursor)),
            total,
        })
    }

    /// One letter. `None`: there is none at that place.
    ///
    /// # Errors
    /// The log.
    pub(crate) fn show(&self, at: At) -> Result<Option<Letter>, LogError> {
        let found = self.find(&[at])?;
        let fates = self.fates()?;
        let one = found.first();
        Ok(one.map(|one| one.letter(fates.get(&at).copied().unwrap_or(Fate::Open))))
    }

    fn find(&self, wanted: &[At]) -> Result<Vec<Found>, LogError> {
        let mut ranges = Vec::new();
        for (at, start, end) in self.edges(&self.topic)? {
            let offsets = || {
                wanted
                    .iter()
                    .filter(|one| one.partition == at.partition)
                    .map(|one| one.offset)
            };
            if let (Some(first), Some(last)) = (offsets().min(), offsets().max()) {
                ranges.push((at.clone(), first.max(start), last.saturating_add(1).min(end)));
            }
        }
        let mut found = self.read(&ranges)?;
        found.retain(|one| wanted.contains(&one.at()));
        Ok(found)
    }

    /// All letters with which nothing was done yet, oldest first; at most [`AT_ONCE_MAX`].
    ///
    /// # Errors
    /// The log.
    pub(crate) fn open(&self) -> Result<Vec<At>, LogError> {
        let fates = self.fates()?;
        let found = self.read(&self.edges(&self.topic)?)?;
        let open = found.iter().map(Found::at).filter(|at| !fates.contains_key(at));
        Ok(open.take(AT_ONCE_MAX).collect())
    }

    /// Puts letters back into the topics that their records came from.
    ///
    /// # Errors
    /// The log. Some may have been put back.
    pub(crate) fn replay(&self, wanted: &[At]) -> Result<Done, LogError> {
        let mut done = Done::default();
        let fates = self.fates()?;
        let found = self.find(wanted)?;
        self.tell_missing(wanted, &found, &mut done);
        for one in found {
            let at = one.at();
            if fates.get(&at) == Some(&Fate::Discarded) {
                done.problems
                    .push(format!("{}:{} was discarded", at.partition, at.offset));
                continue;
            }
            match self.put_back(&one)? {
                Ok(()) => {
                    self.mark(&[at], Fate::Replayed)?;
                    done.done += 1;
                }
                Err(why) => done.problems.push(format!("{}:{} {why}", at.partition, at.offset)),
            }
        }
        Ok(done)
    }

    /// Says that nobody wants these letters.
    ///
    /// # Errors
    /// The log.
    pub(crate) fn discard(&self, wanted: &[At]) -> Result<Done, LogError> {
        let mut done = Done::default();
        let found = self.find(wanted)?;
        self.tell_missing(wanted, &found, &mut done);
        let places: Vec<At> = found.iter().map(Found::at).collect();
        self.mark(&places, Fate::Discarded)?;
        done.done = places.len();
        Ok(done)
    }

    fn tell_missing(&self, wanted: &[At], found: &[Found], done: &mut Done) {
        for at in wanted.iter().filter(|at| found.iter().all(|one| one.at() != **at)) {
            done.problems.push(format!(
                "{}:{} is not in `{}`: it has expired, or never was",
                at.partition, at.offset, self.topic
            ));
        }
    }

    /// Appends a letter to the topic that its task had read, as it was there.
    fn put_back(&self, one: &Found) -> Result<Result<(), String>, LogError> {
        if let Some(timer) = one.text(origin::HEADER_TIMER) {
            return Ok(Err(format!("is the timer `{timer}`, no record; it cannot be put back")));
        }
        let Some(input) = one.place(origin::HEADER_INPUT) else {
            return Ok(Err("does not say which record it was".to_owned()));
        };
        let Some(topic) = self.plan.topics.iter().find(|topic| *topic.name == *input.topic) else {
            return Ok(Err(format!(
                "came from `{}`, which the pipeline does not read any more",
                input.topic
            )));
        };
        let mut batch = Batch::new(Arc::clone(&topic.name), input.partition);
        batch.push(
            one.batch.keys.get(one.i),
            one.batch.values.get(one.i),
            one.batch.timestamps[one.i],
        );
        let mut headers = Headers::default();
        for (name, value) in one.own_headers() {
            headers.push(name, value);
        }
        if matches!(topic.role, TopicRole::Repartition | TopicRole::Sink) {
            if let Some(origin) = one.header(origin::HEADER_ORIGIN) {
                headers.push(origin::HEADER_ORIGIN.as_bytes(), Some(origin));
            }
            let number = one.text(origin::HEADER_INPUT_NUMBER).and_then(|text| text.parse().ok());
            let mark = TaskMark {
                input: number.unwrap_or(0),
                sub_topology: 0,
                partition: input.partition,
                stream_time: record::offset::NO_TIMESTAMP,
            };
            headers.push(origin::HEADER_TASK.as_bytes(), Some(mark.encode().as_bytes()));
        }
        headers.close(0);
        headers.finish(1);
        batch.headers = headers;
        self.log.append(&topic.name, &batch, &[input.partition], TIMEOUT)?;
        Ok(Ok(()))
    }

    /// Writes down what was done, and forgets what was done with letters that have expired.
    fn mark(&self, places: &[At], fate: Fate) -> Result<(), LogError> {
        if places.is_empty() {
            return Ok(());
        }
        self.log.create_topics(
            &[NewTopic {
                name: self.control_topic.to_owned(),
                partitions: 1,
                replication: self.plan.replication,
                config: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
            }],
            TIMEOUT,
        )?;
        let value = serde_json::to_vec(&fate).map_err(|error| LogError::Fatal {
            what: error.to_string(),
        })?;
        let mut batch = Batch::new(self.control_topic.into(), 0);
        for at in places {
            batch.push(Some(mark_of(*at).as_bytes()), Some(&value), time::now());
        }
        self.log
            .append(self.control_topic, &batch, &vec![0; places.len()], TIMEOUT)
    }
}

fn mark_of(at: At) -> String {
    format!("{MARK}{}:{}", at.partition, at.offset)
}

fn place_of_mark(key: &[u8]) -> Option<At> {
    at_of(std::str::from_utf8(key).ok()?.strip_prefix(MARK)?)
}

/// `PARTITION:OFFSET`.
pub(crate) fn at_of(text: &str) -> Option<At> {
    let (partition, offset) = text.split_once(':')?;
    Some(At {
        partition: partition.parse().ok()?,
        offset: offset.parse().ok()?,
    })
}

fn encode_cursor(marks: &[At]) -> String {
    let all: Vec<String> = marks
        .iter()
        .map(|at| format!("{}:{}", at.partition, at.offset))
        .collect();
    all.join(",")
}

/// As [`Letters::next`] has it.
pub(crate) fn decode_cursor(text: &str) -> Option<Vec<At>> {
    text.split(',').map(at_of).collect()
}
