//! The dead letters of a pipeline: read newest first, put back into the topics that they came from, or
//! discarded.
//!
//! A letter stays in its topic whatever becomes of it; what was done with it is kept in the pipeline's control
//! topic, under `dead-letter:TOPIC-ID:PARTITION:OFFSET`. Letters are put back, a hundred at a time, before that is
//! written down: a crash in between leaves those open, and they may be put back twice, but never lost.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::Batch;
use record::log::{Edge, Isolation, Log, LogError, LogEvent, PollLimit, Polled};
use record::offset::{NextOffset, TopicPartition};
use record::origin::{self, HEADER_PREFIX, TaskMark};
use record::topology::{TopicRole, Topology};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::compose::TIMEOUT;
use crate::control_topic;
use crate::records::{bytes_value, headers_value};

/// So many letters are looked at beyond those that are wanted, since offsets have gaps.
const MARGIN: i64 = 64;
/// So many letters are put back or discarded by one request.
pub(crate) const AT_ONCE_MAX: usize = 10_000;
/// No answer shows more bytes of letters.
const PAGE_BYTES: usize = 4 << 20;
/// Nor is more of them held while they are looked for.
const HELD_BYTES_MAX: usize = 32 << 20;
/// So many are put back, and noted, at a time.
const TOGETHER: usize = 100;
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
    fn bytes(&self) -> usize {
        self.batch.bytes_of(self.i)
    }

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

    /// Visits the committed records of partitions between two offsets, until `visit` says that it has enough.
    fn read(
        &self,
        ranges: &[(TopicPartition, i64, i64)],
        visit: &mut dyn FnMut(Found) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        let wanted = || ranges.iter().filter(|(_, from, to)| from < to);
        let mut open: HashMap<TopicPartition, i64> = wanted().map(|(at, _, to)| (at.clone(), *to)).collect();
        if open.is_empty() {
            return Ok(());
        }
        let mut reader = self.log.reader(Isolation::ReadCommitted)?;
        let from: Vec<_> = wanted().map(|(at, from, _)| (at.clone(), NextOffset(*from))).collect();
        reader.assign(&from)?;
        let mut deadline = Instant::now() + TIMEOUT;
        let mut polled = Polled::default();
        while !open.is_empty() {
            if Instant::now() >= deadline {
                return Err(LogError::Retriable {
                    what: format!("nothing more could be read for {} s", TIMEOUT.as_secs()),
                });
            }
            polled.clear();
            reader.poll(Duration::from_millis(200), PollLimit::default(), &mut polled)?;
            if !polled.batches.is_empty() {
                deadline = Instant::now() + TIMEOUT;
            }
            for batch in polled.batches.drain(..) {
                let at = batch.place();
                let Some(to) = open.get(&at).copied() else { continue };
                let batch = Arc::new(batch);
                for i in (0..batch.len()).filter(|i| batch.offsets[*i] < to) {
                    let found = Found {
                        batch: Arc::clone(&batch),
                        i,
                    };
                    if visit(found).is_break() {
                        return Ok(());
                    }
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
        Ok(())
    }

    /// What was done with letters.
    fn fates(&self) -> Result<HashMap<At, Fate>, LogError> {
        let mut fates = HashMap::new();
        let id = self.id()?;
        control_topic::read(self.log, self.control_topic, &mut |noted| {
            if let Some(at) = place_of_mark(noted.key, &id) {
                match noted.json("what was done with a dead letter")? {
                    Some(fate) => fates.insert(at, fate),
                    None => fates.remove(&at),
                };
            }
            Ok(())
        })?;
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
            let mut found = VecDeque::new();
            let mut bytes = 0;
            let mut is_whole = ranges
                .iter()
                .zip(&edges)
                .all(|((_, from, _), (_, start, _))| from == start);
            self.read(&ranges, &mut |one| {
                bytes += one.bytes();
                found.push_back(one);
                // The oldest of a partition come first, and are left to another page.
                while bytes > HELD_BYTES_MAX
                    && found.len() > 1
                    && let Some(oldest) = found.pop_front()
                {
                    bytes -= oldest.bytes();
                    is_whole = false;
                }
                ControlFlow::Continue(())
            })?;
            if found.len() >= limit || is_whole || bytes > HELD_BYTES_MAX / 2 {
                break (Vec::from(found), is_whole);
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
            bytes += one.bytes();
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
        let fates = self.fates()?;
        let mut letter = None;
        self.each(&[at], &mut |found| {
            let one = found.first();
            letter = one.map(|one| one.letter(fates.get(&at).copied().unwrap_or(Fate::Open)));
            Ok(())
        })?;
        Ok(letter)
    }

    /// Hands over the letters at these places, a few at a time.
    fn each(&self, wanted: &[At], act: &mut dyn FnMut(&[Found]) -> Result<(), LogError>) -> Result<(), LogError> {
        let places: HashSet<At> = wanted.iter().copied().collect();
        let mut ranges = Vec::new();
        for (at, start, end) in self.edges(&self.topic)? {
            let of = places.iter().filter(|one| one.partition == at.partition);
            let offsets = || of.clone().map(|one| one.offset);
            if let (Some(first), Some(last)) = (offsets().min(), offsets().max()) {
                ranges.push((at.clone(), first.max(start), last.saturating_add(1).min(end)));
            }
        }
        let (mut held, mut bytes) = (Vec::new(), 0);
        let mut outcome = Ok(());
        self.read(&ranges, &mut |one| {
            if !places.contains(&one.at()) {
                return ControlFlow::Continue(());
            }
            bytes += one.bytes();
            held.push(one);
            if held.len() < TOGETHER && bytes < PAGE_BYTES {
                return ControlFlow::Continue(());
            }
            outcome = act(&held);
            held.clear();
            bytes = 0;
            if outcome.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        outcome?;
        if held.is_empty() { Ok(()) } else { act(&held) }
    }

    /// All letters with which nothing was done yet, oldest first; at most [`AT_ONCE_MAX`].
    ///
    /// # Errors
    /// The log.
    pub(crate) fn open(&self) -> Result<Vec<At>, LogError> {
        let fates = self.fates()?;
        let mut open = Vec::new();
        self.read(&self.edges(&self.topic)?, &mut |one| {
            let at = one.at();
            if !fates.contains_key(&at) {
                open.push(at);
            }
            if open.len() < AT_ONCE_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(open)
    }

    /// Puts letters back into the topics that their records came from.
    ///
    /// # Errors
    /// The log. Some may have been put back.
    pub(crate) fn replay(&self, wanted: &[At]) -> Result<Done, LogError> {
        let mut done = Done::default();
        let mut seen = HashSet::new();
        let fates = self.fates()?;
        control_topic::make(self.log, self.control_topic, self.plan.replication)?;
        let id = self.id()?;
        self.each(wanted, &mut |found| {
            let mut back: Vec<Back> = Vec::new();
            for one in found {
                let at = one.at();
                seen.insert(at);
                if fates.get(&at) == Some(&Fate::Discarded) {
                    done.problems
                        .push(format!("{}:{} was discarded", at.partition, at.offset));
                } else if let Err(why) = self.add_to(&mut back, one) {
                    done.problems.push(format!("{}:{} {why}", at.partition, at.offset));
                }
            }
            for Back {
                mut batch,
                partitions,
                places,
            } in back
            {
                batch.headers.finish(places.len());
                self.log
                    .append(&Arc::clone(&batch.topic), &batch, &partitions, TIMEOUT)?;
                self.mark(&id, &places, Fate::Replayed)?;
                done.done += places.len();
            }
            Ok(())
        })?;
        self.tell_missing(wanted, &seen, &mut done);
        Ok(done)
    }

    /// Says that nobody wants these letters.
    ///
    /// # Errors
    /// The log.
    pub(crate) fn discard(&self, wanted: &[At]) -> Result<Done, LogError> {
        let mut done = Done::default();
        let mut seen = HashSet::new();
        control_topic::make(self.log, self.control_topic, self.plan.replication)?;
        let id = self.id()?;
        self.each(wanted, &mut |found| {
            let places: Vec<At> = found.iter().map(Found::at).collect();
            self.mark(&id, &places, Fate::Discarded)?;
            done.done += places.len();
            seen.extend(places);
            Ok(())
        })?;
        self.tell_missing(wanted, &seen, &mut done);
        Ok(done)
    }

    fn tell_missing(&self, wanted: &[At], seen: &HashSet<At>, done: &mut Done) {
        for at in wanted.iter().filter(|at| !seen.contains(at)) {
            done.problems.push(format!(
                "{}:{} is not in `{}`: it has expired, or never was",
                at.partition, at.offset, self.topic
            ));
        }
    }

    /// Adds a letter, as it was, to what goes to the topic that its task had read.
    fn add_to(&self, back: &mut Vec<Back>, one: &Found) -> Result<(), String> {
        if let Some(timer) = one.text(origin::HEADER_TIMER) {
            return Err(format!("is the timer `{timer}`, no record; it cannot be put back"));
        }
        let input = one
            .place(origin::HEADER_INPUT)
            .ok_or("does not say which record it was")?;
        let topic = self.plan.topics.iter().find(|topic| *topic.name == *input.topic);
        let topic =
            topic.ok_or_else(|| format!("came from `{}`, which the pipeline does not read any more", input.topic))?;
        let there = back.iter().position(|back| back.batch.topic == topic.name);
        let place = there.unwrap_or_else(|| {
            back.push(Back {
                batch: Batch::new(Arc::clone(&topic.name), input.partition),
                partitions: Vec::new(),
                places: Vec::new(),
            });
            back.len() - 1
        });
        let Back {
            batch,
            partitions,
            places,
        } = &mut back[place];
        let i = batch.len();
        batch.push(
            one.batch.keys.get(one.i),
            one.batch.values.get(one.i),
            one.batch.timestamps[one.i],
        );
        for (name, value) in one.own_headers() {
            batch.headers.push(name, value);
        }
        if matches!(topic.role, TopicRole::Repartition | TopicRole::Sink) {
            if let Some(origin) = one.header(origin::HEADER_ORIGIN) {
                batch.headers.push(origin::HEADER_ORIGIN.as_bytes(), Some(origin));
            }
            let number = one.text(origin::HEADER_INPUT_NUMBER).and_then(|text| text.parse().ok());
            let mark = TaskMark {
                input: number.unwrap_or(0),
                sub_topology: 0,
                partition: input.partition,
                stream_time: record::offset::NO_TIMESTAMP,
            };
            let mark = mark.encode();
            batch
                .headers
                .push(origin::HEADER_TASK.as_bytes(), Some(mark.as_bytes()));
        }
        batch.headers.close(i);
        partitions.push(input.partition);
        places.push(one.at());
        Ok(())
    }

    /// The id of the topic of the letters: one that was deleted and made again has others.
    fn id(&self) -> Result<String, LogError> {
        let info = self.log.topics(&[&self.topic], TIMEOUT)?.into_iter().next().flatten();
        Ok(info.map(|info| info.id).unwrap_or_default())
    }

    /// Writes down what was done.
    fn mark(&self, id: &str, places: &[At], fate: Fate) -> Result<(), LogError> {
        let value = control_topic::encoded(&fate)?;
        let marks: Vec<_> = places
            .iter()
            .map(|at| (mark_of(id, *at), Some(value.clone())))
            .collect();
        control_topic::write(self.log, self.control_topic, &marks)
    }
}

/// Letters on their way back to one topic.
struct Back {
    batch: Batch,
    /// One per record.
    partitions: Vec<u32>,
    places: Vec<At>,
}

fn mark_of(id: &str, at: At) -> String {
    format!("{MARK}{id}:{}:{}", at.partition, at.offset)
}

fn place_of_mark(key: &[u8], id: &str) -> Option<At> {
    let place = std::str::from_utf8(key).ok()?.strip_prefix(MARK)?;
    at_of(place.strip_prefix(id)?.strip_prefix(':')?)
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
