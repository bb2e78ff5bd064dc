//! Records that wait for a commit, sorted by partition.

use std::sync::Arc;

use record::log::LogError;
use record::offset::NO_TIMESTAMP;
use record::{Batch, TopicPartition};

use crate::chunk::{Chunk, record_bytes};
use crate::core::{Outgoing, now_ms};
use crate::state::State;

/// No record is larger than this, whatever its topic says: columns and the store count in 32 bits.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// A topic that was written to.
#[derive(Debug)]
struct Target {
    name: Arc<str>,
    number: u64,
    record_bytes_max: usize,
    /// For each partition its records.
    partitions: Vec<Vec<Chunk>>,
}

/// Records that wait for a commit. Their memory is all they cost until then.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    targets: Vec<Target>,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.targets.clear();
    }

    /// Finds a topic to push to.
    pub(crate) fn target(&mut self, state: &State, name: &str) -> Result<usize, LogError> {
        let Some((name, topic)) = state.topics.get_key_value(name) else {
            return Err(LogError::NoTopic { topic: name.to_owned() });
        };
        // A topic that was created again is another one: what was meant for the old one fails with
        // the commit.
        let found = self
            .targets
            .iter()
            .position(|t| t.number == topic.number && t.name == *name);
        Ok(found.unwrap_or_else(|| {
            self.targets.push(Target {
                name: Arc::clone(name),
                number: topic.number,
                record_bytes_max: topic
                    .settings
                    .record_bytes_max
                    .map_or(RECORD_BYTES_MAX, |max| max.min(RECORD_BYTES_MAX)),
                partitions: vec![Vec::new(); topic.partitions.len()],
            });
            self.targets.len() - 1
        }))
    }

    /// Copies records, up to the first that is refused. Those without a timestamp get the time of
    /// now, as Kafka's producer does.
    pub(crate) fn push(&mut self, target: usize, batch: &Batch, partitions: &[u32]) -> Result<(), LogError> {
        let Some(target) = self.targets.get_mut(target) else {
            return Ok(());
        };
        if partitions.len() != batch.len() {
            return Err(LogError::Fatal {
                what: format!("{} partitions were named for {} records", partitions.len(), batch.len()),
            });
        }
        let mut now = None;
        for (i, partition) in partitions.iter().enumerate() {
            let bytes = record_bytes(batch, i);
            if bytes > target.record_bytes_max {
                return Err(LogError::TooLarge {
                    topic: target.name.to_string(),
                    bytes,
                });
            }
            let count = target.partitions.len();
            let Some(chunks) = target.partitions.get_mut(*partition as usize) else {
                return Err(LogError::Fatal {
                    what: format!(
                        "topic `{}` has {count} partitions; there is no partition {partition}",
                        target.name
                    ),
                });
            };
            let timestamp = match batch.timestamps[i] {
                time if time <= NO_TIMESTAMP => *now.get_or_insert_with(now_ms),
                time => time,
            };
            match chunks.last_mut().filter(|chunk| chunk.has_room(bytes)) {
                Some(chunk) => chunk.push(batch, i, timestamp),
                None => {
                    let mut chunk = Chunk::default();
                    chunk.push(batch, i, timestamp);
                    chunks.push(chunk);
                }
            }
        }
        Ok(())
    }

    /// Everything, by partition; nothing is left.
    pub(crate) fn take(&mut self) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        for target in self.targets.drain(..) {
            for (partition, chunks) in (0..).zip(target.partitions) {
                if !chunks.is_empty() {
                    outgoing.push(Outgoing {
                        at: TopicPartition::new(Arc::clone(&target.name), partition),
                        topic: target.number,
                        chunks,
                    });
                }
            }
        }
        outgoing
    }
}
