//! The records of one topic partition, in flat columns.

use std::sync::Arc;

use crate::column::{Column, MARK_INHERITED};
use crate::headers::{HEADERS_REPLACE, Headers};
use crate::offset::{NextOffset, RecordOffset, Timestamp, TopicPartition};
use crate::transform::Emitted;

/// Which source record each record comes from, in the end. Left out: each record is its own origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// The topics that occur.
    pub topics: Vec<Arc<str>>,
    /// For each record its place in `topics`.
    pub topic_indexes: Vec<u16>,
    /// For each record the partition that its source record stands in.
    pub partitions: Vec<u32>,
    /// For each record the offset of its source record.
    pub offsets: Vec<i64>,
}

impl Origins {
    /// Whether each record is its own origin.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Appends the origin of the next record.
    pub fn push(&mut self, topic: &str, partition: u32, offset: i64) {
        let index = match self.topics.iter().rposition(|t| **t == *topic) {
            Some(index) => index,
            None => {
                self.topics.push(topic.into());
                self.topics.len() - 1
            }
        };
        self.topic_indexes.push(index as u16);
        self.partitions.push(partition);
        self.offsets.push(offset);
    }

    fn clear(&mut self) {
        self.topics.clear();
        self.topic_indexes.clear();
        self.partitions.clear();
        self.offsets.clear();
    }
}

/// Records of one topic partition, in order; also what transforms and producers are given.
///
/// All columns have one entry per record, or are left out (empty) as each says.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The topic that the records were read from.
    pub topic: Arc<str>,
    /// The partition that the records were read from: the task's partition.
    pub partition: u32,
    /// Left out: all null.
    pub keys: Column,
    /// Left out: all null (tombstones).
    pub values: Column,
    /// Milliseconds since 1970 UTC, -1 for none; one per record.
    pub timestamps: Vec<Timestamp>,
    /// Left out: no record has headers.
    pub headers: Headers,
    /// Where each record stands in its topic; one per record in what a task reads, empty in what
    /// transforms and producers are given further on.
    pub offsets: Vec<i64>,
    /// For each record the input of the transform that it is for. Empty: all 0.
    pub inputs: Vec<u8>,
    /// For each record its index in the task's input batch. Empty: the same index.
    pub roots: Vec<u32>,
    /// Where each record comes from in the end. Left out: from its own place.
    pub origins: Origins,
}

impl Batch {
    /// An empty batch of a topic partition.
    #[must_use]
    pub fn new(topic: Arc<str>, partition: u32) -> Self {
        Self {
            topic,
            partition,
            keys: Column::default(),
            values: Column::default(),
            timestamps: Vec::new(),
            headers: Headers::default(),
            offsets: Vec::new(),
            inputs: Vec::new(),
            roots: Vec::new(),
            origins: Origins::default(),
        }
    }

    /// How many records there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The bytes of keys, values and headers: what memory limits count.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.keys.data.len() + self.values.data.len() + self.headers.names.data.len() + self.headers.values.data.len()
    }

    /// Where the records stand.
    #[must_use]
    pub fn place(&self) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.topic), self.partition)
    }

    /// What is read after this batch; `None` when it is empty or not read from a topic.
    #[must_use]
    pub fn next_offset(&self) -> Option<NextOffset> {
        self.offsets.last().map(|offset| RecordOffset(*offset).next())
    }

    /// The index of record `i` in the task's input batch.
    #[must_use]
    #[inline]
    pub fn root(&self, i: usize) -> usize {
        self.roots.get(i).map_or(i, |root| *root as usize)
    }

    /// The origin of record `i` (topic, partition, offset) of a task's input batch.
    #[must_use]
    pub fn origin(&self, i: usize) -> (&Arc<str>, u32, i64) {
        if self.origins.is_left_out() {
            (&self.topic, self.partition, self.offsets.get(i).copied().unwrap_or(-1))
        } else {
            (
                &self.origins.topics[self.origins.topic_indexes[i] as usize],
                self.origins.partitions[i],
                self.origins.offsets[i],
            )
        }
    }

    /// Appends a record without headers, offset and origin.
    #[inline]
    pub fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: Timestamp) {
        self.keys.push(key);
        self.values.push(value);
        self.timestamps.push(timestamp);
    }

    /// Appends record `i` of another batch, with its headers, as a root of its own.
    pub fn push_from(&mut self, other: &Self, i: usize) {
        let at = self.len();
        self.push(other.keys.get(i), other.values.get(i), other.timestamps[i]);
        if !other.headers.is_left_out() {
            for (name, value) in other.headers.of(i) {
                self.headers.push(name, value);
            }
            self.headers.close(at);
        }
        if let Some(offset) = other.offsets.get(i) {
            self.offsets.push(*offset);
        }
        if !other.inputs.is_empty() {
            self.inputs.push(other.inputs[i]);
        }
        if !other.origins.is_left_out() {
            let (topic, partition, offset) = other.origin(i);
            self.origins.push(topic, partition, offset);
        }
    }

    /// The bytes of record `i`, as [`Self::bytes`] counts them, with what is kept beside headers.
    #[must_use]
    pub fn bytes_of(&self, i: usize) -> usize {
        let column = |column: &Column| column.get(i).map_or(0, <[u8]>::len);
        column(&self.keys) + column(&self.values) + self.headers.bytes_of(i)
    }

    /// The records in a range, their roots as they are.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let mut batch = Self::new(Arc::clone(&self.topic), self.partition);
        for i in range {
            batch.push_from(self, i);
            if let Some(root) = self.roots.get(i) {
                batch.roots.push(*root);
            }
        }
        batch.headers.finish(batch.timestamps.len());
        batch
    }

    /// The records of this task input batch whose index `keep` accepts, in order, as a task input
    /// batch of their own.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut batch = Self::new(Arc::clone(&self.topic), self.partition);
        for i in 0..self.len() {
            if keep(i) {
                batch.push_from(self, i);
            }
        }
        batch
    }

    /// Removes all records and keeps the memory.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.timestamps.clear();
        self.headers.clear();
        self.offsets.clear();
        self.inputs.clear();
        self.roots.clear();
        self.origins.clear();
    }

    /// Those of `emitted`'s records that left by `port`, as a batch of the place of `parents`: see
    /// [`Self::extend_from_port`].
    #[must_use]
    pub fn of_port(emitted: &Emitted, port: u8, parents: &Self) -> Self {
        let mut batch = Self::new(Arc::clone(&parents.topic), parents.partition);
        batch.extend_from_port(emitted, port, parents);
        batch.headers.finish(batch.timestamps.len());
        batch
    }

    /// Appends those of `emitted`'s records that left by `port` to this batch, with what they
    /// inherit from `parents` (the batch that `emitted` was made from) filled in. `emitted` must
    /// have passed [`Emitted::check`].
    pub fn extend_from_port(&mut self, emitted: &Emitted, port: u8, parents: &Self) {
        for output in 0..emitted.count as usize {
            if emitted.port(output) != port {
                continue;
            }
            let parent = emitted.parent(output);
            let at = self.len();
            if emitted.keys.is_empty() || emitted.keys.mark(output) == MARK_INHERITED {
                self.keys.push(parents.keys.get(parent));
            } else {
                self.keys.push(emitted.keys.get(output));
            }
            if emitted.values.is_empty() || emitted.values.mark(output) == MARK_INHERITED {
                self.values.push(parents.values.get(parent));
            } else {
                self.values.push(emitted.values.get(output));
            }
            self.timestamps.push(match emitted.timestamps.get(output) {
                Some(timestamp) => *timestamp,
                None => parents.timestamps[parent],
            });
            self.extend_headers(at, emitted, output, parents, parent);
            self.roots.push(parents.root(parent) as u32);
        }
    }

    fn extend_headers(&mut self, at: usize, emitted: &Emitted, output: usize, parents: &Self, parent: usize) {
        if emitted.headers.is_left_out() {
            if parents.headers.is_left_out() {
                return;
            }
            for (name, value) in parents.headers.of(parent) {
                self.headers.push(name, value);
            }
        } else {
            let replace = emitted.headers.marks.get(output) == Some(&HEADERS_REPLACE);
            if !replace {
                for (name, value) in parents.headers.of(parent) {
                    if !emitted.headers.of(output).any(|(own, _)| own == name) {
                        self.headers.push(name, value);
                    }
                }
            }
            for (name, value) in emitted.headers.of(output) {
                self.headers.push(name, value);
            }
        }
        self.headers.close(at);
    }
}
