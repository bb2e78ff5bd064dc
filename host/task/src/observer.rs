//! What a run tells the outside while it runs: counters, and partitions that stand still.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use record::TopicPartition;
use record::error::Code;

use crate::stats::{Flow, Histogram, Lag};

/// The node of a failure of a source that is not a topic.
pub(crate) const SOURCE: &str = "source";

/// Asks a run to end. Clones share one request.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<ShutdownState>);

#[derive(Debug, Default)]
struct ShutdownState {
    requested: AtomicBool,
    comes_back: AtomicBool,
    deadline: Mutex<Option<Instant>>,
}

impl Shutdown {
    /// A request that nobody has made yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to commit, leave the group and end, and to give up waiting at `deadline`.
    pub fn request(&self, deadline: Instant) {
        let mut current = self.0.deadline.lock();
        *current = Some(current.map_or(deadline, |earlier| earlier.min(deadline)));
        self.0.requested.store(true, Ordering::Release);
    }

    /// Says that a run with the same members follows at once: they stay in their groups, so that these wait
    /// for them instead of giving their partitions to others.
    pub fn comes_back(&self) {
        self.0.comes_back.store(true, Ordering::Release);
    }

    /// Whether groups are left at the end.
    pub(crate) fn leaves(&self) -> bool {
        !self.0.comes_back.load(Ordering::Acquire)
    }

    /// Whether the run was asked to end.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// When to give up waiting; `None` while nobody asked.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        *self.0.deadline.lock()
    }

    /// Whether the deadline is over.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// A partition that stands still until somebody decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionFailure {
    /// Where.
    pub at: TopicPartition,
    /// The node or sink concerned.
    pub node: String,
    /// The code of the error's page.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// Counters of a run, shared by its threads. Records that were processed, then rolled back and
/// processed again, are counted again.
#[derive(Debug, Default)]
pub struct Observer {
    records_in: AtomicU64,
    records_out: AtomicU64,
    ingested: AtomicU64,
    delivered: AtomicU64,
    dead_letters: AtomicU64,
    skipped: AtomicU64,
    commits: AtomicU64,
    aborts: AtomicU64,
    restoring: AtomicU64,
    /// By the number of the worker.
    restore_left: Mutex<BTreeMap<usize, u64>>,
    stuck: AtomicU64,
    failures: Mutex<Vec<PartitionFailure>>,
    flows: Mutex<Flows>,
    lags: Mutex<Vec<Lag>>,
    /// How long commits of process tasks have taken, those that came to nothing too.
    pub commit_time: Histogram,
    /// How old records were, by their event time, when what became of them was committed.
    pub latency: Histogram,
}

type Flows = BTreeMap<(Place, Arc<str>), Arc<Flow>>;

/// What a [`Flow`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A topic of the plan.
    Topic,
    /// A transform.
    Transform,
    /// An external sink.
    Sink,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Records that process tasks read.
    pub records_in: u64,
    /// Records that process tasks wrote, changelogs not counted.
    pub records_out: u64,
    /// Records that sources other than topics wrote to their topic.
    pub ingested: u64,
    /// Records that sinks took.
    pub delivered: u64,
    /// Records that went to the dead letters.
    pub dead_letters: u64,
    /// Records that failed and were dropped, as `on_error = "skip"` says.
    pub skipped: u64,
    /// Commits of process tasks.
    pub commits: u64,
    /// Transactions that were rolled back.
    pub aborts: u64,
    /// Tasks that restore their state at the moment.
    pub restoring: u64,
    /// Offsets of changelogs that are yet to be read for that.
    pub restore_left: u64,
    /// Partitions that stand still.
    pub failed: u64,
    /// Groups (the pipeline's, a sink's) with ever more to read that do not move.
    pub stuck: u64,
}

impl Observer {
    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            records_in: get(&self.records_in),
            records_out: get(&self.records_out),
            ingested: get(&self.ingested),
            delivered: get(&self.delivered),
            dead_letters: get(&self.dead_letters),
            skipped: get(&self.skipped),
            commits: get(&self.commits),
            aborts: get(&self.aborts),
            restoring: get(&self.restoring),
            restore_left: self.restore_left.lock().values().sum(),
            failed: self.failures.lock().len() as u64,
            stuck: get(&self.stuck),
        }
    }

    /// The partitions that stand still, in the order in which they stopped.
    #[must_use]
    pub fn failures(&self) -> Vec<PartitionFailure> {
        self.failures.lock().clone()
    }

    /// What goes through each topic, transform and external sink, by name.
    #[must_use]
    pub fn flows(&self) -> Vec<(Place, Arc<str>, Arc<Flow>)> {
        let flows = self.flows.lock();
        let all = flows.iter();
        all.map(|((place, name), flow)| (*place, Arc::clone(name), Arc::clone(flow)))
            .collect()
    }

    /// What goes through one place. Asked for once by each thread, since it takes a lock.
    pub(crate) fn flow(&self, place: Place, name: &Arc<str>) -> Arc<Flow> {
        let mut flows = self.flows.lock();
        Arc::clone(flows.entry((place, Arc::clone(name))).or_default())
    }

    /// How far each group was behind in each partition when that was last looked at; partitions in which
    /// nothing was committed yet are among them.
    #[must_use]
    pub fn lags(&self) -> Vec<Lag> {
        self.lags.lock().clone()
    }

    pub(crate) fn lag(&self, lags: Vec<Lag>) {
        *self.lags.lock() = lags;
    }

    pub(crate) fn read(&self, records: usize) {
        self.records_in.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, records: usize) {
        self.records_out.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn ingested(&self, records: usize) {
        self.ingested.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn delivered(&self, records: usize) {
        self.delivered.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn dead_lettered(&self, records: usize) {
        self.dead_letters.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn skipped(&self, records: usize) {
        self.skipped.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn aborted(&self) {
        self.aborts.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker restores `now` states, and restored `before` when it last said so.
    pub(crate) fn restoring(&self, before: usize, now: usize) {
        if before <= now {
            self.restoring.fetch_add((now - before) as u64, Ordering::Relaxed);
        } else {
            self.restoring.fetch_sub((before - now) as u64, Ordering::Relaxed);
        }
    }

    /// A worker has so many offsets of changelogs to read.
    pub(crate) fn restore_left(&self, worker: usize, left: u64) {
        self.restore_left.lock().insert(worker, left);
    }

    pub(crate) fn stuck(&self, groups: u64) {
        self.stuck.store(groups, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, failure: PartitionFailure) {
        tracing::error!(
            at = %failure.at, node = %failure.node, code = %failure.code,
            "{}; {}", failure.message, failure.remedy
        );
        let mut failures = self.failures.lock();
        failures.retain(|earlier| earlier.at != failure.at || earlier.node != failure.node);
        failures.push(failure);
    }

    /// A task goes on; the source that fills its topic may still stand.
    pub(crate) fn revived(&self, at: &TopicPartition) {
        let mut failures = self.failures.lock();
        failures.retain(|failure| failure.at != *at || failure.node == SOURCE);
    }

    /// The partition was given up.
    pub(crate) fn cleared(&self, at: &TopicPartition) {
        self.failures.lock().retain(|failure| failure.at != *at);
    }
}
