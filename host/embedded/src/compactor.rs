//! Compaction: of the records of one key only the last stays. A thread of its own, at rest until a
//! partition has twice the records that the last compaction left.
//!
//! Chunks are replaced a few at a time, from the oldest on, each group atomically: readers and
//! crashes find either the old ones or the new. A record goes only when a later one of its key
//! stays, or, for a tombstone, when all before it are gone already.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use record::TopicPartition;

use crate::chunk::Chunk;
use crate::core::{Shared, now_ms};
use crate::error::EmbeddedError;

struct Job {
    at: TopicPartition,
    topic: u64,
}

/// The thread, which ends when this is dropped.
pub(crate) struct Compactor {
    jobs: Option<Sender<Job>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Compactor {
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (jobs, asked) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("log-compactor".to_owned())
            .spawn(move || work(&shared, &asked, &seen))?;
        Ok(Self {
            jobs: Some(jobs),
            stop,
            thread: Some(thread),
        })
    }

    pub(crate) fn ask(&self, at: TopicPartition, topic: u64) {
        if let Some(jobs) = &self.jobs {
            // The thread is gone only when it has panicked; then nothing is compacted any more.
            let _ = jobs.send(Job { at, topic });
        }
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the thread owns what it is given")]
fn work(shared: &Shared, asked: &Receiver<Job>, stop: &AtomicBool) {
    while let Ok(job) = asked.recv() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let clean = compact(shared, &job, stop);
        let ended = match clean {
            Ok(clean) => shared.end_compaction(&job.at, job.topic, clean),
            Err(error) => shared.end_compaction(&job.at, job.topic, None).and(Err(error)),
        };
        if let Err(error) = ended {
            tracing::warn!(partition = %job.at, %error, "a compaction failed; the records stay as they are");
        }
    }
}

/// Gives every chunk of a partition from `from` up to `end` to `each`.
fn scan(
    shared: &Shared,
    job: &Job,
    from: i64,
    end: i64,
    mut each: impl FnMut(Arc<Chunk>) -> ControlFlow<()>,
) -> Result<(), EmbeddedError> {
    let mut inside = |chunk: Arc<Chunk>| {
        if chunk.last() >= end {
            return ControlFlow::Break(());
        }
        each(chunk)
    };
    if let Some(store) = &shared.store {
        return store.chunks_from(job.topic, job.at.partition, from, inside);
    }
    let chunks: Vec<_> = shared
        .state()
        .partition_mut(&job.at.topic, job.topic, job.at.partition)
        .map(|p| p.chunks(from).map(Arc::clone).collect())
        .unwrap_or_default();
    let _ = chunks.into_iter().try_for_each(&mut inside);
    Ok(())
}

/// A group of neighbouring chunks and what is left of them.
#[derive(Default)]
struct Rewrite {
    /// Last offset and number of records of each.
    old: Vec<(i64, usize)>,
    left: Chunk,
    dropped: bool,
}

/// Answers how many records are left; `None` when it was given up.
fn compact(shared: &Shared, job: &Job, stop: &AtomicBool) -> Result<Option<u64>, EmbeddedError> {
    let found = shared
        .state()
        .topics
        .get(&job.at.topic)
        .filter(|t| t.number == job.topic)
        .and_then(|t| {
            Some((
                t.settings,
                t.partitions.get(job.at.partition as usize).map(|p| (p.start, p.end))?,
            ))
        });
    let Some((settings, (start, end))) = found else {
        return Ok(None);
    };
    // 1. Where does each key stand last?
    let mut last: HashMap<Box<[u8]>, i64> = HashMap::new();
    scan(shared, job, start, end, |chunk| {
        for i in 0..chunk.len() {
            if let Some(key) = chunk.keys.get(i) {
                match last.get_mut(key) {
                    Some(offset) => *offset = chunk.offsets[i],
                    None => {
                        last.insert(key.into(), chunk.offsets[i]);
                    }
                }
            }
        }
        if stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    // 2. Rewrite, oldest first. Records without a key stay; so do young tombstones.
    let tombstones_before = now_ms().saturating_sub(settings.tombstones_ms);
    let mut group = Rewrite::default();
    let mut clean = 0;
    let mut outcome = Ok(true);
    scan(shared, job, start, end, |chunk| {
        let stays = |i: usize| match chunk.keys.get(i) {
            None => true,
            Some(key) => {
                last.get(key).is_none_or(|offset| *offset == chunk.offsets[i])
                    && (chunk.values.get(i).is_some() || chunk.written_ms > tombstones_before)
            }
        };
        if !group.left.has_room(chunk.bytes()) {
            outcome = finish(shared, job, &mut group);
        }
        group.old.push((chunk.last(), chunk.len()));
        group.left.written_ms = group.left.written_ms.max(chunk.written_ms);
        for i in 0..chunk.len() {
            if stays(i) {
                group.left.extend(&chunk, i..i + 1);
                clean += 1;
            } else {
                group.dropped = true;
            }
        }
        if matches!(outcome, Ok(true)) && !stop.load(Ordering::Relaxed) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    let done = outcome? && !stop.load(Ordering::Relaxed) && finish(shared, job, &mut group)?;
    Ok(done.then_some(clean))
}

/// Writes a group, when that changes anything; answers whether its chunks were still there.
fn finish(shared: &Shared, job: &Job, group: &mut Rewrite) -> Result<bool, EmbeddedError> {
    let Rewrite { old, left, dropped } = std::mem::take(group);
    if !dropped && old.len() < 2 {
        return Ok(true);
    }
    let new = if left.is_empty() {
        Vec::new()
    } else {
        vec![Arc::new(left)]
    };
    shared.replace_chunks(&job.at, job.topic, &old, new)
}
