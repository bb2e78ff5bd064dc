//! Reading: a position per partition, and one look at the log after the other until there is
//! something to say. Used by sessions and readers alike.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use record::log::{LogError, LogEvent, PollLimit, Polled};
use record::{NextOffset, TopicPartition};

use crate::chunk::Chunk;
use crate::core::Shared;
use crate::state::State;

/// A place that is read from.
#[derive(Debug)]
struct Cursor {
    at: TopicPartition,
    /// Which topic of that name.
    topic: u64,
    next: i64,
    paused: bool,
    /// Given up or about to be: nothing more is read.
    stopped: bool,
    /// The end at `next` was reported.
    ended: bool,
    /// `next` is not in the log, and that was reported.
    out_of_range: bool,
}

/// What one look found for one cursor.
struct Found {
    cursor: usize,
    /// The end when it was looked at.
    end: i64,
    /// What memory holds, as much as one batch takes; `None`: the store has it.
    chunks: Option<Vec<Arc<Chunk>>>,
}

/// All places that a session or reader reads from.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    list: Vec<Cursor>,
    /// Where the next look begins, so that no partition starves behind the others.
    first: usize,
}

impl Cursors {
    /// Reads `at`, of the topic of this number, from `next` on.
    pub(crate) fn start(&mut self, at: &TopicPartition, topic: u64, next: NextOffset) {
        self.stop(std::slice::from_ref(at));
        self.list.push(Cursor {
            at: at.clone(),
            topic,
            next: next.0,
            paused: false,
            stopped: false,
            ended: false,
            out_of_range: false,
        });
    }

    /// Reads these no more.
    pub(crate) fn stop(&mut self, partitions: &[TopicPartition]) {
        self.list.retain(|c| !partitions.contains(&c.at));
    }

    /// Reads nothing more.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// Reads nothing more of these, which are about to be given up.
    pub(crate) fn hold(&mut self, partitions: &[TopicPartition]) {
        for cursor in self.list.iter_mut().filter(|c| partitions.contains(&c.at)) {
            cursor.stopped = true;
        }
    }

    /// Pauses or resumes; the end is said again after a resume.
    pub(crate) fn pause(&mut self, partitions: &[TopicPartition], paused: bool) {
        for cursor in self.list.iter_mut().filter(|c| partitions.contains(&c.at)) {
            cursor.paused = paused;
            cursor.ended = false;
        }
    }

    /// Moves to another position; `false` when the partition is not read from.
    pub(crate) fn seek(&mut self, at: &TopicPartition, next: NextOffset) -> bool {
        let Some(cursor) = self.list.iter_mut().find(|c| c.at == *at) else {
            return false;
        };
        cursor.next = next.0;
        cursor.ended = false;
        cursor.out_of_range = false;
        true
    }

    /// Waits until there are records or events, or the deadline is over. `events` is asked first,
    /// at every look, under the lock; what it says is reported before anything is read.
    pub(crate) fn poll(
        &mut self,
        shared: &Shared,
        deadline: Option<Instant>,
        limit: PollLimit,
        polled: &mut Polled,
        mut events: impl FnMut(&mut State, &mut Self) -> Result<Vec<LogEvent>, LogError>,
    ) -> Result<(), LogError> {
        let found = {
            let mut state = shared.state();
            loop {
                let said = events(&mut state, self)?;
                if !said.is_empty() {
                    polled.events.extend(said);
                    return Ok(());
                }
                let before = polled.events.len();
                let found = self.look(&state, limit, &mut polled.events);
                if !found.is_empty() {
                    break found;
                }
                if polled.events.len() > before || shared.wait(&mut state, deadline) {
                    return Ok(());
                }
            }
        };
        for found in found {
            self.fill(shared, found, limit, polled)?;
        }
        Ok(())
    }

    /// What can be read now; ends and lost positions go to `events`.
    fn look(&mut self, state: &State, limit: PollLimit, events: &mut Vec<LogEvent>) -> Vec<Found> {
        let mut found = Vec::new();
        let count = self.list.len();
        self.first = if count == 0 { 0 } else { (self.first + 1) % count };
        for i in 0..count {
            let index = (self.first + i) % count;
            let cursor = &mut self.list[index];
            if cursor.paused || cursor.stopped || cursor.out_of_range {
                continue;
            }
            let partition = match state.partition(&cursor.at) {
                Ok((topic, partition)) if topic.number == cursor.topic => partition,
                _ => {
                    // A session is told by its group; a reader learns it here.
                    cursor.stopped = true;
                    events.push(LogEvent::Trouble {
                        what: format!("topic `{}` was deleted; nothing more is read from it", cursor.at.topic),
                    });
                    continue;
                }
            };
            if cursor.next < partition.start || cursor.next > partition.end {
                cursor.out_of_range = true;
                events.push(LogEvent::OutOfRange { at: cursor.at.clone() });
                continue;
            }
            if cursor.next == partition.end {
                if !cursor.ended {
                    cursor.ended = true;
                    events.push(cursor.end());
                }
                continue;
            }
            let chunks = partition.holds(cursor.next).then(|| {
                let (mut records, mut bytes) = (0, 0);
                partition
                    .chunks(cursor.next)
                    .take_while(|chunk| {
                        let more = records < limit.records && bytes < limit.bytes;
                        let rest = chunk.index_of(cursor.next)..chunk.len();
                        records += rest.len();
                        bytes += chunk.bytes_of(&rest);
                        more
                    })
                    .map(Arc::clone)
                    .collect()
            });
            found.push(Found {
                cursor: index,
                end: partition.end,
                chunks,
            });
        }
        found
    }

    /// Copies what was found into the partition's batch, up to the limit.
    fn fill(&mut self, shared: &Shared, found: Found, limit: PollLimit, polled: &mut Polled) -> Result<(), LogError> {
        let Found { cursor, end, chunks } = found;
        let Some(cursor) = self.list.get_mut(cursor) else {
            return Ok(());
        };
        let batch = polled.batch(&cursor.at.topic, cursor.at.partition);
        let mut cut_short = false;
        let mut copy = |chunk: &Chunk, next: &mut i64| {
            if chunk.last() >= end {
                // Stored and not yet published.
                return ControlFlow::Break(());
            }
            let start = chunk.index_of(*next);
            let records = limit.records.saturating_sub(batch.len());
            let bytes = limit.bytes.saturating_sub(batch.bytes());
            let mut stop = chunk.cut(start, records, bytes);
            if stop == start && batch.is_empty() {
                // A record larger than the limit travels alone.
                stop = start + 1;
            }
            if stop > start {
                chunk.read_into(start..stop, batch);
                *next = chunk.offsets[stop - 1] + 1;
            }
            if stop < chunk.len() || batch.len() >= limit.records || batch.bytes() >= limit.bytes {
                cut_short = true;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        match (chunks, &shared.store) {
            (Some(chunks), _) => {
                let _ = chunks.iter().try_for_each(|chunk| copy(chunk, &mut cursor.next));
            }
            (None, Some(store)) => store.chunks_from(cursor.topic, cursor.at.partition, cursor.next, |chunk| {
                copy(&chunk, &mut cursor.next)
            })?,
            (None, None) => {}
        }
        // Compaction and deletion leave gaps: when there was no more, all up to the end is read.
        if !cut_short {
            cursor.next = cursor.next.max(end);
        }
        cursor.ended = cursor.next == end;
        if cursor.ended {
            polled.events.push(cursor.end());
        }
        Ok(())
    }
}

impl Cursor {
    fn end(&self) -> LogEvent {
        LogEvent::End {
            at: self.at.clone(),
            next: NextOffset(self.next),
        }
    }
}
