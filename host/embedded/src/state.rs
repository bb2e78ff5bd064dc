//! Everything that readers see, kept under one short lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use record::log::{LogError, NewTopic};
use record::{NextOffset, TopicPartition};

use crate::chunk::Chunk;
use crate::group::{Group, TopicShape};

/// How many bytes of a durable partition's newest records stay in memory.
const TAIL_BYTES: usize = 8 << 20;
/// Tombstones stay this long by default, as in Kafka: 24 hours.
const DELETE_RETENTION_MS: i64 = 24 * 3_600 * 1_000;

/// The settings of a topic that mean something here. All others are kept and do nothing: time and
/// size never delete a record of the embedded log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `max.message.bytes`, when it is set.
    pub(crate) record_bytes_max: Option<usize>,
    /// `cleanup.policy` names `compact`.
    pub(crate) compacted: bool,
    /// `delete.retention.ms`: how long tombstones of a compacted topic stay.
    pub(crate) tombstones_ms: i64,
}

impl Settings {
    /// Reads a topic's settings.
    pub(crate) fn of(config: &[(String, String)]) -> Result<Self, String> {
        let mut settings = Self {
            record_bytes_max: None,
            compacted: false,
            tombstones_ms: DELETE_RETENTION_MS,
        };
        for (name, value) in config {
            let number = || {
                value
                    .trim()
                    .parse::<u64>()
                    .map_err(|_| format!("`{name}` is {value:?}, which is not a number"))
            };
            match name.as_str() {
                "max.message.bytes" => settings.record_bytes_max = Some(number()? as usize),
                "delete.retention.ms" => settings.tombstones_ms = i64::try_from(number()?).unwrap_or(i64::MAX),
                "cleanup.policy" => {
                    for policy in value.split(',').map(str::trim) {
                        match policy {
                            "compact" => settings.compacted = true,
                            "delete" => {}
                            other => {
                                return Err(format!("`cleanup.policy` names {other:?}; there are compact, delete"));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(settings)
    }
}

/// One partition of a topic.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    /// The first offset that may be read.
    pub(crate) start: i64,
    /// The next offset that is given.
    pub(crate) end: i64,
    /// How many records there are.
    pub(crate) records: u64,
    /// How many of them the last compaction left.
    pub(crate) clean: u64,
    /// Whether a compaction is under way or asked for.
    pub(crate) compacting: bool,
    /// Chunks in memory by their last offset: all records from `cached_from` on.
    cached: BTreeMap<i64, Arc<Chunk>>,
    cached_bytes: usize,
    /// 0 in a log without a directory: memory is all it has.
    cached_from: i64,
}

impl Partition {
    /// A partition whose records are in the store.
    pub(crate) fn stored(start: i64, end: i64, records: u64, clean: u64) -> Self {
        Self {
            start,
            end,
            records,
            clean,
            cached_from: end,
            ..Self::default()
        }
    }

    /// Whether memory holds every record at or after an offset.
    pub(crate) fn holds(&self, offset: i64) -> bool {
        offset >= self.cached_from
    }

    /// The chunks in memory that hold records at or after an offset.
    pub(crate) fn chunks(&self, offset: i64) -> impl Iterator<Item = &Arc<Chunk>> {
        self.cached.range(offset..).map(|(_, chunk)| chunk)
    }

    /// Appends a chunk at the end. With `evict`, the oldest ones leave memory.
    pub(crate) fn append(&mut self, chunk: Arc<Chunk>, evict: bool) {
        self.end = chunk.last() + 1;
        self.records += chunk.len() as u64;
        self.cached_bytes += chunk.bytes();
        self.cached.insert(chunk.last(), chunk);
        while evict && self.cached_bytes > TAIL_BYTES && self.cached.len() > 1 {
            if let Some((last, chunk)) = self.cached.pop_first() {
                self.cached_bytes -= chunk.bytes();
                self.cached_from = last + 1;
            }
        }
    }

    /// Forgets the chunks in memory that end before an offset; answers how many records they had.
    pub(crate) fn forget_before(&mut self, offset: i64) -> u64 {
        let kept = self.cached.split_off(&offset);
        let gone = std::mem::replace(&mut self.cached, kept);
        self.cached_bytes -= gone.values().map(|c| c.bytes()).sum::<usize>();
        gone.values().map(|c| c.len() as u64).sum()
    }

    /// Puts chunks in the place of others, in memory; answers `false`, and does nothing, when one
    /// of the old ones is not there.
    pub(crate) fn replace(&mut self, old: &[i64], new: Vec<Arc<Chunk>>) -> bool {
        if !old.iter().all(|last| self.cached.contains_key(last)) {
            return false;
        }
        for last in old {
            if let Some(chunk) = self.cached.remove(last) {
                self.cached_bytes -= chunk.bytes();
            }
        }
        for chunk in new {
            self.cached_bytes += chunk.bytes();
            self.cached.insert(chunk.last(), chunk);
        }
        true
    }

    /// Leaves chunks up to an offset to the store: they were replaced there.
    pub(crate) fn uncache_through(&mut self, last: i64) {
        let kept = self.cached.split_off(&(last + 1));
        let gone = std::mem::replace(&mut self.cached, kept);
        self.cached_bytes -= gone.values().map(|c| c.bytes()).sum::<usize>();
        self.cached_from = self.cached_from.max(last + 1);
    }
}

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    /// Never used twice in one log: names its records in the store.
    pub(crate) number: u64,
    /// Never used twice anywhere: what callers see.
    pub(crate) id: String,
    pub(crate) config: Vec<(String, String)>,
    pub(crate) settings: Settings,
    pub(crate) partitions: Vec<Partition>,
}

/// Topics, groups and transactional ids.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) topics: HashMap<Arc<str>, Topic>,
    pub(crate) groups: HashMap<String, Group>,
    /// The epoch of each transactional id; only the newest may commit.
    pub(crate) epochs: HashMap<String, u64>,
    pub(crate) next_topic: u64,
    pub(crate) next_member: u64,
}

impl State {
    /// A topic as assignment sees it.
    pub(crate) fn shape(&self, topic: &str) -> Option<TopicShape> {
        self.topics.get(topic).map(|t| TopicShape {
            number: t.number,
            partitions: t.partitions.len() as u32,
        })
    }

    /// Computes a group's targets anew.
    pub(crate) fn rebalance(&mut self, group: &str) {
        let Self { topics, groups, .. } = self;
        if let Some(group) = groups.get_mut(group) {
            group.rebalance(&|topic| shape(topics, topic));
        }
    }

    /// Computes all groups' targets anew, after topics came or went.
    pub(crate) fn rebalance_all(&mut self) {
        let Self { topics, groups, .. } = self;
        for group in groups.values_mut() {
            group.rebalance(&|topic| shape(topics, topic));
        }
    }

    /// What a member has to be told now.
    pub(crate) fn reconcile(&mut self, group: &str, member: u64) -> Vec<record::log::LogEvent> {
        let Self { topics, groups, .. } = self;
        groups
            .get_mut(group)
            .map_or_else(Vec::new, |group| group.reconcile(member, &|topic| shape(topics, topic)))
    }

    /// A partition that exists.
    pub(crate) fn partition(&self, at: &TopicPartition) -> Result<(&Topic, &Partition), LogError> {
        let no_topic = || LogError::NoTopic {
            topic: at.topic.to_string(),
        };
        let topic = self.topics.get(&at.topic).ok_or_else(no_topic)?;
        match topic.partitions.get(at.partition as usize) {
            Some(partition) => Ok((topic, partition)),
            None => Err(LogError::Fatal {
                what: format!(
                    "topic `{}` has {} partitions; there is no partition {}",
                    at.topic,
                    topic.partitions.len(),
                    at.partition
                ),
            }),
        }
    }

    /// A partition of a topic of this number, for changes; `None` when the topic is gone, another
    /// one of its name there or not.
    pub(crate) fn partition_mut(&mut self, name: &str, number: u64, partition: u32) -> Option<&mut Partition> {
        let topic = self.topics.get_mut(name).filter(|t| t.number == number)?;
        topic.partitions.get_mut(partition as usize)
    }

    /// That an offset can be read or be the end of what is deleted.
    pub(crate) fn check_range(&self, at: &TopicPartition, next: NextOffset) -> Result<(), LogError> {
        let (_, partition) = self.partition(at)?;
        if (0..=partition.end).contains(&next.0) {
            return Ok(());
        }
        Err(LogError::OutOfRange {
            at: at.clone(),
            next,
            start: NextOffset(partition.start),
            end: NextOffset(partition.end),
        })
    }
}

fn shape(topics: &HashMap<Arc<str>, Topic>, topic: &str) -> Option<TopicShape> {
    topics.get(topic).map(|t| TopicShape {
        number: t.number,
        partitions: t.partitions.len() as u32,
    })
}

/// That a topic can be created: Kafka's own rules, so that a pipeline moves there as it is.
pub(crate) fn check_new_topic(topic: &NewTopic) -> Result<Settings, LogError> {
    let fatal = |why: String| LogError::Fatal {
        what: format!("topic `{}` cannot be created: {why}", topic.name),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.name.is_empty() || topic.name.len() > 249 || topic.name == "." || topic.name == ".." {
        return Err(fatal(
            "a name has 1 to 249 characters and is not `.` or `..`".to_owned(),
        ));
    }
    if let Some(bad) = topic.name.chars().find(|c| !legal(*c)) {
        return Err(fatal(format!(
            "a name is made of letters, digits, `.`, `_` and `-`, not {bad:?}"
        )));
    }
    if topic.partitions == 0 {
        return Err(fatal("it needs at least one partition".to_owned()));
    }
    Settings::of(&topic.config).map_err(fatal)
}
