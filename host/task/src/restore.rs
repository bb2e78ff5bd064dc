//! Brings the state of tasks up to the end of their changelogs before they process anything.
//!
//! 1. The stable committed positions are read first (by the caller).
//! 2. The target is the changelog's end read with *read_uncommitted*: what the committed position
//!    covers is certainly before it.
//! 3. The data is read with *read_committed*, until the reader's position has passed the target.
//!    That may need the end of somebody's open transaction: the wait is bounded by its time-out.
//! 4. A local store is used only when it provably continues in this changelog; otherwise it is
//!    wiped. Never a guess.

use std::sync::Arc;
use std::time::{Duration, Instant};

use record::log::{Edge, Isolation, Log, LogEvent, PollLimit, Polled, Reader};
use record::offset::Timestamp;
use record::store::{Checkpoint, StoreError, TaskState};
use record::{NextOffset, TopicPartition};

use crate::error::RunError;

/// A store that was saved longer ago than half of the changelog's `delete.retention.ms` (a day)
/// may have missed a tombstone that compaction has removed since.
const STORE_AGE_MS_MAX: i64 = 12 * 60 * 60 * 1000;
const LOG_TIMEOUT: Duration = Duration::from_secs(30);
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// What is done with a state.
pub(crate) type Apply<'a> = &'a mut dyn FnMut(&mut dyn TaskState) -> Result<(), StoreError>;

/// Whose state is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The task.
    pub(crate) task: TopicPartition,
    /// The node in its sub-topology.
    pub(crate) node: usize,
}

struct Job {
    owner: Owner,
    changelog: TopicPartition,
    changelog_id: String,
    next: NextOffset,
    target: NextOffset,
    reported: Instant,
}

/// What a slice of restoring found.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Batches to give to [`TaskState::restore`] were given; these are complete.
    pub(crate) complete: Vec<(Owner, String, NextOffset)>,
    /// These failed; the store is damaged or the disk is full.
    pub(crate) failed: Vec<(Owner, StoreError)>,
}

/// All restores of one worker, through one reader.
pub(crate) struct Restorer {
    log: Arc<dyn Log>,
    reader: Option<Box<dyn Reader>>,
    jobs: Vec<Job>,
    polled: Polled,
    reassign: bool,
}

impl Restorer {
    pub(crate) fn new(log: Arc<dyn Log>) -> Self {
        Self {
            log,
            reader: None,
            jobs: Vec::new(),
            polled: Polled::default(),
            reassign: false,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// How many offsets of changelogs are yet to be read.
    pub(crate) fn left(&self) -> u64 {
        let left = |job: &Job| u64::try_from(job.target.0 - job.next.0).unwrap_or(0);
        self.jobs.iter().map(left).sum()
    }

    /// How many states are being restored.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Begins to restore `state` from `changelog`. The caller has read the committed positions.
    pub(crate) fn begin(
        &mut self,
        owner: Owner,
        changelog: TopicPartition,
        changelog_id: &str,
        state: &mut dyn TaskState,
        now: Timestamp,
    ) -> Result<(), RunError> {
        let place = [changelog.clone()];
        let doing = || format!("reading the ends of changelog {changelog}");
        let start = self
            .log
            .offsets(&place, Edge::Start, LOG_TIMEOUT)
            .map_err(RunError::log(doing()))?;
        let end = self
            .log
            .offsets(&place, Edge::End, LOG_TIMEOUT)
            .map_err(RunError::log(doing()))?;
        let (start, target) = (
            start.first().copied().unwrap_or(NextOffset(0)),
            end.first().copied().unwrap_or(NextOffset(0)),
        );
        let next = match state
            .checkpoint()
            .map(|c| continues(c, changelog_id, start, target, now))
        {
            Some(Ok(next)) => next,
            Some(Err(why)) => {
                tracing::warn!(%changelog, "the local store is rebuilt: {why}");
                state.wipe()?;
                start
            }
            None => start,
        };
        tracing::debug!(%changelog, %next, %target, "restore begins");
        self.jobs.push(Job {
            owner,
            changelog,
            changelog_id: changelog_id.to_owned(),
            next,
            target,
            reported: Instant::now(),
        });
        self.reassign = true;
        Ok(())
    }

    /// Drops the restores of a task that was given up.
    pub(crate) fn forget(&mut self, task: &TopicPartition) {
        let before = self.jobs.len();
        self.jobs.retain(|job| job.owner.task != *task);
        self.reassign |= self.jobs.len() != before;
    }

    /// Whether anything of a task is still being restored.
    pub(crate) fn restores(&self, task: &TopicPartition) -> bool {
        self.jobs.iter().any(|job| job.owner.task == *task)
    }

    /// Restores for at most about `slice`. `with_state` applies a function to an owner's state.
    pub(crate) fn step(
        &mut self,
        slice: Duration,
        mut with_state: impl FnMut(&Owner, Apply<'_>) -> Option<Result<(), StoreError>>,
    ) -> Result<Progress, RunError> {
        let mut progress = Progress::default();
        self.collect_complete(&mut progress);
        if self.jobs.is_empty() {
            return Ok(progress);
        }
        let doing = || "reading changelogs".to_owned();
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => self.reader.insert(
                self.log
                    .reader(Isolation::ReadCommitted)
                    .map_err(RunError::log(doing()))?,
            ),
        };
        if self.reassign {
            let from: Vec<_> = self.jobs.iter().map(|job| (job.changelog.clone(), job.next)).collect();
            reader.assign(&from).map_err(RunError::log(doing()))?;
            self.reassign = false;
        }
        let limit = PollLimit {
            records: 10_000,
            bytes: 4 << 20,
        };
        self.polled.clear();
        reader
            .poll(slice, limit, &mut self.polled)
            .map_err(RunError::log(doing()))?;
        for batch in self.polled.batches.iter().filter(|batch| !batch.is_empty()) {
            let place = batch.place();
            let Some(job) = self.jobs.iter_mut().find(|job| job.changelog == place) else {
                continue;
            };
            // Records that were on their way when the reader was assigned anew come twice.
            let fresh;
            let batch = if batch.offsets[0] < job.next.0 {
                fresh = batch.filtered(|i| batch.offsets[i] >= job.next.0);
                &fresh
            } else {
                batch
            };
            let Some(next) = batch.next_offset() else { continue };
            match with_state(&job.owner, &mut |state| state.restore(batch)) {
                Some(Ok(())) => job.next = next,
                Some(Err(error)) => progress.failed.push((job.owner.clone(), error)),
                None => {}
            }
        }
        for event in self.polled.events.drain(..) {
            match event {
                LogEvent::End { at, next } => {
                    if let Some(job) = self.jobs.iter_mut().find(|job| job.changelog == at) {
                        job.next = job.next.max(next);
                    }
                }
                LogEvent::Trouble { what } => tracing::warn!("while restoring: {what}"),
                LogEvent::OutOfRange { at } => {
                    tracing::warn!(%at, "the changelog was cut while it was read; the store is rebuilt");
                    if let Some(job) = self.jobs.iter().find(|job| job.changelog == at) {
                        let what = "its changelog no longer holds the position that was read".to_owned();
                        let place = at.to_string();
                        progress
                            .failed
                            .push((job.owner.clone(), StoreError::Corrupt { place, what }));
                    }
                }
                LogEvent::Assigned(_) | LogEvent::Revoked(_) | LogEvent::Lost(_) => {}
            }
        }
        for (owner, _) in &progress.failed {
            self.jobs.retain(|job| job.owner != *owner);
            self.reassign = true;
        }
        self.collect_complete(&mut progress);
        for job in self.jobs.iter_mut().filter(|job| job.reported.elapsed() > REPORT_EVERY) {
            job.reported = Instant::now();
            tracing::info!(changelog = %job.changelog, next = %job.next, target = %job.target,
                "restoring (an open transaction at the end is waited for)");
        }
        Ok(progress)
    }

    fn collect_complete(&mut self, progress: &mut Progress) {
        let before = self.jobs.len();
        self.jobs.retain(|job| {
            if job.next >= job.target {
                progress
                    .complete
                    .push((job.owner.clone(), job.changelog_id.clone(), job.next));
            }
            job.next < job.target
        });
        self.reassign |= self.jobs.len() != before;
        if self.jobs.is_empty() {
            self.reader = None;
        }
    }
}

/// Where a local store continues, or why it cannot be used.
fn continues(
    store: &Checkpoint,
    changelog_id: &str,
    start: NextOffset,
    end: NextOffset,
    now: Timestamp,
) -> Result<NextOffset, String> {
    let next = store.changelog_next;
    if store.changelog_id != changelog_id {
        return Err("its changelog topic was deleted and created again".to_owned());
    }
    if next < start {
        return Err(format!("it stands at {next}, and its changelog begins at {start}"));
    }
    if next > end {
        return Err(format!("it stands at {next}, and its changelog ends at {end}"));
    }
    if now - store.saved_at > STORE_AGE_MS_MAX {
        return Err("it is older than the changelog's tombstones are kept for".to_owned());
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(next: i64, saved_at: i64) -> Checkpoint {
        Checkpoint {
            changelog_id: "id".to_owned(),
            changelog_next: NextOffset(next),
            position: None,
            saved_at,
        }
    }

    #[test]
    fn a_store_is_used_only_where_it_provably_continues() {
        let ok = |store: &Checkpoint, id, now| continues(store, id, NextOffset(5), NextOffset(9), now);
        assert_eq!(ok(&store(5, 0), "id", 0), Ok(NextOffset(5)));
        assert_eq!(ok(&store(9, 0), "id", 0), Ok(NextOffset(9)));
        assert!(ok(&store(4, 0), "id", 0).is_err());
        assert!(ok(&store(10, 0), "id", 0).is_err());
        assert!(ok(&store(5, 0), "other", 0).is_err());
        assert!(ok(&store(5, 0), "id", STORE_AGE_MS_MAX + 1).is_err());
    }
}
