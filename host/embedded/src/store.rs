//! What is on disk: three trees of one key-value store, changed by one atomic batch per commit.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `chunks` | topic number, partition, last offset | the records ([`crate::codec`]) |
//! | `index` | the same | count and largest timestamp, to look at many without reading records |
//! | `facts` | `t` topic, `p` partition, `g` group position, `n` next topic number, `d` topic being deleted | |
//!
//! Keys end with the *last* offset of a chunk, so that seeking to an offset finds the chunk that
//! holds it, or the next one.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use record::log::Committed;
use record::{NextOffset, TopicPartition};

use crate::chunk::Chunk;
use crate::codec::{Reader, Writer, decode_chunk, encode_chunk};
use crate::error::EmbeddedError;
use crate::state::{Partition, Settings, State, Topic};

/// Keys removed in one batch when a topic goes.
const REMOVE_AT_ONCE: usize = 10_000;

/// What the index says of a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) last: i64,
    pub(crate) count: u64,
    pub(crate) max_timestamp: i64,
}

/// The store. All changes are made under the log's writer lock.
pub(crate) struct Store {
    db: Database,
    chunks: Keyspace,
    index: Keyspace,
    facts: Keyspace,
}

fn place_key(number: u64, partition: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(20);
    key.extend_from_slice(&number.to_be_bytes());
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

fn chunk_key(number: u64, partition: u32, last: i64) -> Vec<u8> {
    let mut key = place_key(number, partition);
    key.extend_from_slice(&last.to_be_bytes());
    key
}

fn position_key(group: &str, at: Option<&TopicPartition>) -> Vec<u8> {
    let mut writer = Writer(vec![b'g']);
    writer.bytes(group.as_bytes());
    if let Some(at) = at {
        writer.bytes(at.topic.as_bytes());
        writer.number(i64::from(at.partition));
    }
    writer.0
}

fn partition_key(number: u64, partition: u32) -> Vec<u8> {
    [&b"p"[..], &place_key(number, partition)].concat()
}

impl Store {
    /// Opens the store in a folder, or makes it.
    pub(crate) fn open(folder: &Path) -> Result<Self, EmbeddedError> {
        // Two threads flush and compact in the background. The journal is made durable by us,
        // once per commit; see `commit`.
        let db = Database::builder(folder).worker_threads(2).open()?;
        let tree = |name| db.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Self {
            chunks: tree("chunks")?,
            index: tree("index")?,
            facts: tree("facts")?,
            db,
        })
    }

    /// Reads everything but the records.
    pub(crate) fn load(&self) -> Result<State, EmbeddedError> {
        let mut state = State {
            next_topic: 1,
            ..State::default()
        };
        let mut partitions: HashMap<u64, Vec<(u32, Partition)>> = HashMap::new();
        for entry in self.facts.iter() {
            let (key, value) = entry.into_inner()?;
            let mut value = Reader(&value);
            let Some((kind, key)) = key.split_first() else {
                return Err(EmbeddedError::Damaged("an empty key"));
            };
            match kind {
                b'n' => state.next_topic = value.number()? as u64,
                b't' => {
                    let name =
                        std::str::from_utf8(key).map_err(|_| EmbeddedError::Damaged("a topic's name is not UTF-8"))?;
                    let topic = load_topic(&mut value)?;
                    state.topics.insert(name.into(), topic);
                }
                b'p' => {
                    let (number, rest) = key.split_first_chunk::<8>().ok_or(EmbeddedError::Damaged("a key"))?;
                    let partition = rest.first_chunk::<4>().ok_or(EmbeddedError::Damaged("a key"))?;
                    partitions.entry(u64::from_be_bytes(*number)).or_default().push((
                        u32::from_be_bytes(*partition),
                        Partition::stored(
                            value.number()?,
                            value.number()?,
                            value.number()? as u64,
                            value.number()? as u64,
                        ),
                    ));
                }
                b'g' => {
                    let mut key = Reader(key);
                    let group = state.groups.entry(key.text()?.to_owned()).or_default();
                    let at = TopicPartition::new(key.text()?, key.number()? as u32);
                    let committed = Committed {
                        next: NextOffset(value.number()?),
                        note: value.text()?.to_owned(),
                    };
                    group.positions.insert(at, committed);
                }
                _ => {}
            }
        }
        for topic in state.topics.values_mut() {
            let mut found = partitions.remove(&topic.number).unwrap_or_default();
            found.sort_by_key(|(number, _)| *number);
            if found.is_empty() || !found.iter().zip(0..).all(|((number, _), i)| *number == i) {
                return Err(EmbeddedError::Damaged("a partition is missing"));
            }
            topic.partitions = found.into_iter().map(|(_, partition)| partition).collect();
        }
        Ok(state)
    }

    /// An empty batch of changes.
    pub(crate) fn batch(&self) -> OwnedWriteBatch {
        self.db.batch()
    }

    /// Makes a batch of changes happen, all or nothing. A killed process never loses it once this
    /// has returned; with `durable`, neither does a machine that loses power.
    pub(crate) fn commit(&self, batch: OwnedWriteBatch, durable: bool) -> Result<(), EmbeddedError> {
        let mode = if durable {
            PersistMode::SyncData
        } else {
            PersistMode::Buffer
        };
        Ok(batch.durability(Some(mode)).commit()?)
    }

    /// Makes everything committed so far survive a loss of power.
    pub(crate) fn sync(&self) -> Result<(), EmbeddedError> {
        Ok(self.db.persist(PersistMode::SyncData)?)
    }

    pub(crate) fn put_chunk(&self, batch: &mut OwnedWriteBatch, number: u64, partition: u32, chunk: &Chunk) {
        let key = chunk_key(number, partition, chunk.last());
        let mut entry = Writer::default();
        entry.number(chunk.len() as i64);
        entry.number(chunk.max_timestamp());
        batch.insert(&self.index, key.clone(), entry.0);
        batch.insert(&self.chunks, key, encode_chunk(chunk));
    }

    pub(crate) fn remove_chunk(&self, batch: &mut OwnedWriteBatch, number: u64, partition: u32, last: i64) {
        let key = chunk_key(number, partition, last);
        batch.remove(&self.index, key.clone());
        batch.remove(&self.chunks, key);
    }

    pub(crate) fn put_partition(&self, batch: &mut OwnedWriteBatch, number: u64, partition: u32, facts: [i64; 4]) {
        let mut value = Writer::default();
        for fact in facts {
            value.number(fact);
        }
        batch.insert(&self.facts, partition_key(number, partition), value.0);
    }

    pub(crate) fn put_topic(&self, batch: &mut OwnedWriteBatch, name: &str, topic: &Topic) {
        let mut value = Writer::default();
        value.number(topic.number as i64);
        value.bytes(topic.id.as_bytes());
        value.number(topic.config.len() as i64);
        for (name, setting) in &topic.config {
            value.bytes(name.as_bytes());
            value.bytes(setting.as_bytes());
        }
        batch.insert(&self.facts, [b"t", name.as_bytes()].concat(), value.0);
        for partition in 0..topic.partitions.len() as u32 {
            self.put_partition(batch, topic.number, partition, [0; 4]);
        }
        let mut next = Writer::default();
        next.number(topic.number as i64 + 1);
        batch.insert(&self.facts, "n", next.0);
    }

    /// Takes a topic away, and says that its records are to follow ([`Self::sweep`]).
    pub(crate) fn remove_topic(&self, batch: &mut OwnedWriteBatch, name: &str, topic: &Topic) {
        batch.remove(&self.facts, [b"t", name.as_bytes()].concat());
        for partition in 0..topic.partitions.len() as u32 {
            batch.remove(&self.facts, partition_key(topic.number, partition));
        }
        batch.insert(&self.facts, [&b"d"[..], &topic.number.to_be_bytes()].concat(), "");
    }

    pub(crate) fn put_position(&self, batch: &mut OwnedWriteBatch, group: &str, at: &TopicPartition, to: &Committed) {
        let mut value = Writer::default();
        value.number(to.next.0);
        value.bytes(to.note.as_bytes());
        batch.insert(&self.facts, position_key(group, Some(at)), value.0);
    }

    pub(crate) fn remove_position(&self, batch: &mut OwnedWriteBatch, group: &str, at: &TopicPartition) {
        batch.remove(&self.facts, position_key(group, Some(at)));
    }

    /// Removes the records of deleted topics. A crash before its end leaves the rest to the next.
    pub(crate) fn sweep(&self) -> Result<(), EmbeddedError> {
        let doomed: Vec<_> = self
            .facts
            .prefix("d")
            .map(fjall::Guard::key)
            .collect::<Result<_, _>>()?;
        for doomed in doomed {
            let Some(number) = doomed.get(1..) else { continue };
            loop {
                let keys: Vec<_> = self
                    .index
                    .prefix(number)
                    .take(REMOVE_AT_ONCE)
                    .map(fjall::Guard::key)
                    .collect::<Result<_, _>>()?;
                let mut batch = self.batch();
                for key in &keys {
                    batch.remove(&self.chunks, key.clone());
                    batch.remove(&self.index, key.clone());
                }
                if keys.is_empty() {
                    batch.remove(&self.facts, doomed);
                    self.commit(batch, false)?;
                    break;
                }
                self.commit(batch, false)?;
            }
        }
        Ok(())
    }

    /// Gives the chunks with records at or after an offset to `each`, in order, until it breaks.
    pub(crate) fn chunks_from(
        &self,
        number: u64,
        partition: u32,
        offset: i64,
        mut each: impl FnMut(Arc<Chunk>) -> ControlFlow<()>,
    ) -> Result<(), EmbeddedError> {
        let range = chunk_key(number, partition, offset)..=chunk_key(number, partition, i64::MAX);
        for entry in self.chunks.range(range) {
            let chunk = decode_chunk(&entry.value()?)?;
            if each(Arc::new(chunk)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// What the index says of the chunks with records in a range of offsets.
    pub(crate) fn entries(
        &self,
        number: u64,
        partition: u32,
        offsets: std::ops::Range<i64>,
    ) -> impl Iterator<Item = Result<Entry, EmbeddedError>> {
        let range = chunk_key(number, partition, offsets.start)..chunk_key(number, partition, offsets.end);
        self.index.range(range).map(|entry| {
            let (key, value) = entry.into_inner()?;
            let last = key.last_chunk::<8>().ok_or(EmbeddedError::Damaged("a key"))?;
            let mut value = Reader(&value);
            Ok(Entry {
                last: i64::from_be_bytes(*last),
                count: value.number()? as u64,
                max_timestamp: value.number()?,
            })
        })
    }

    /// Whether a chunk is there.
    pub(crate) fn has_chunk(&self, number: u64, partition: u32, last: i64) -> Result<bool, EmbeddedError> {
        Ok(self.index.contains_key(chunk_key(number, partition, last))?)
    }
}

fn load_topic(value: &mut Reader<'_>) -> Result<Topic, EmbeddedError> {
    let number = value.number()? as u64;
    let id = value.text()?.to_owned();
    let mut config = Vec::new();
    for _ in 0..value.number()? {
        config.push((value.text()?.to_owned(), value.text()?.to_owned()));
    }
    let settings = Settings::of(&config).map_err(|_| EmbeddedError::Damaged("a topic's settings"))?;
    Ok(Topic {
        number,
        id,
        config,
        settings,
        partitions: Vec::new(),
    })
}
