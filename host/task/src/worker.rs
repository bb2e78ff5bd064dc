//! The worker: one thread, one session (consumer and producer), the tasks of its partitions.
//!
//! The loop:
//! 1. poll;
//! 2. give each partition's run of records to its task;
//! 3. fire timers that are due between records;
//! 4. write what the tasks made to the producer;
//! 5. at the commit interval, commit.
//!
//! Steps 2 and 3 are in `feed.rs`. How a commit ends, and what follows from it, is in `commit.rs`; how
//! partitions come and go in `assignment.rs`; what is written, and may be refused, in `output.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::error::Code;
use record::log::{LogError, LogEvent, PollLimit, Polled, Session, SessionConfig, Writes};
use record::offset::Timestamp;
use record::topology::{Delivery, SubTopology};
use record::{NextOffset, TopicPartition};

use crate::assignment::Retry;
use crate::chain::{Chain, Watch};
use crate::control::{Instances, Version};
use crate::error::RunError;
use crate::ingest::IngestTask;
use crate::observer::{PartitionFailure, Place};
use crate::plan::{LOG_TIMEOUT, Shared};
use crate::process::{Phase, ProcessTask};
use crate::restore::Restorer;
use crate::start;
use crate::traces::OpenSpans;

/// A transaction that is open for longer is aborted by the broker. Not librdkafka's minute: what
/// a dead process left open holds back readers for as long.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the loop waits for records when it has nothing else to do.
const POLL_MAX: Duration = Duration::from_millis(50);
/// More changed state than this forces a commit.
const DIRTY_BYTES_MAX: usize = 64 << 20;
/// Being fenced this often within [`FENCE_WINDOW`] means that two processes fight.
const FENCES_MAX: usize = 3;
const FENCE_WINDOW: Duration = Duration::from_secs(60);

/// How a session ended.
pub(crate) enum Ended {
    /// Asked to.
    Shutdown,
    /// Another member took over: join again with nothing remembered.
    Fenced(String),
}

/// A task and the place of its sub-topology.
pub(crate) struct Owned {
    pub(crate) sub: usize,
    pub(crate) task: ProcessTask,
}

/// What is alone in a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Solo {
    /// The record at this offset.
    Record(i64),
    /// The timer that the task has run last.
    Timer,
}

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: usize,
    /// Of the transforms.
    pub(crate) version: u64,
    pub(crate) session: Box<dyn Session>,
    pub(crate) chains: Vec<Chain>,
    pub(crate) tasks: HashMap<TopicPartition, Owned>,
    pub(crate) ingests: Vec<IngestTask>,
    pub(crate) restorer: Restorer,
    /// Tasks whose store failed.
    pub(crate) retries: Vec<Retry>,
    polled: Polled,
    /// Events that arrived while something else was going on.
    pub(crate) events: Vec<LogEvent>,
    /// When the first output or advance since the last commit happened.
    pub(crate) open_since: Option<Instant>,
    pub(crate) commit_now: bool,
    /// How often all tasks went back to their committed positions.
    pub(crate) rewinds: u64,
    /// Transactions in a row that came to nothing.
    pub(crate) aborts_in_a_row: u32,
    /// The only record or timer in the open transaction, because the log has refused an output.
    pub(crate) solo: Option<(TopicPartition, Solo)>,
    /// How many restores the observer was told of.
    pub(crate) restoring: usize,
    /// How much was left of them then.
    pub(crate) restore_left: u64,
    /// Whether there has been an assignment.
    pub(crate) is_settled: bool,
    /// Nothing of the user's is read any more.
    pub(crate) is_draining: bool,
    /// Nothing is processed until somebody says so.
    pub(crate) is_paused: bool,
    /// Event times of what was processed since the last commit.
    pub(crate) uncommitted: Vec<Timestamp>,
    /// Of what is in the open transaction.
    pub(crate) spans: OpenSpans,
}

/// The body of a worker's thread: sessions, one after another, until the run ends.
pub(crate) fn run(shared: &Arc<Shared>, number: usize) -> Result<(), RunError> {
    let mut fences: Vec<Instant> = Vec::new();
    loop {
        let mut worker = Worker::join(Arc::clone(shared), number)?;
        match worker.serve() {
            Ok(Ended::Shutdown) => {
                let left = shared.shutdown.deadline().map_or(Duration::from_secs(5), |deadline| {
                    deadline.saturating_duration_since(Instant::now())
                });
                worker.session.close(shared.shutdown.leaves(), left);
                return Ok(());
            }
            Ok(Ended::Fenced(what)) => {
                worker.forget_all();
                worker.session.close(false, Duration::from_secs(1));
                fences.retain(|at| at.elapsed() < FENCE_WINDOW);
                fences.push(Instant::now());
                if fences.len() >= FENCES_MAX {
                    return Err(RunError::Fenced { what });
                }
                tracing::warn!("fenced ({what}); joining again");
            }
            Err(error) => {
                worker.session.close(true, Duration::from_secs(1));
                return Err(error);
            }
        }
        if shared.shutdown.is_requested() {
            return Ok(());
        }
    }
}

impl Worker {
    fn join(shared: Arc<Shared>, number: usize) -> Result<Self, RunError> {
        let topology = &shared.topology;
        let version = shared.control.join(number).ok_or_else(|| RunError::Thread {
            thread: format!("worker-{number}"),
        })?;
        let chains = chains(&shared, &version, version.instances()?);
        let mut topics: Vec<Arc<str>> = shared.readers.keys().cloned().collect();
        topics.sort();
        let member = format!("{}-{}-{number}", topology.pipeline, shared.process_id);
        let config = SessionConfig {
            group: topology.pipeline.to_string(),
            instance_id: Some(start::instance_id(&member, &topics)),
            client_id: shared.client_id.clone(),
            topics,
            writes: match topology.delivery {
                Delivery::ExactlyOnce => Writes::Transactional {
                    transactional_id: member,
                    timeout: TRANSACTION_TIMEOUT,
                },
                Delivery::AtLeastOnce => Writes::AtLeastOnce,
            },
        };
        let session = loop {
            match shared.log.session(config.clone()) {
                Ok(session) => break session,
                Err(LogError::Retriable { what }) if !shared.shutdown.is_requested() => {
                    tracing::warn!("cannot join the group yet: {what}");
                    std::thread::sleep(Duration::from_secs(1));
                }
                Err(error) => return Err(RunError::log("joining the group")(error)),
            }
        };
        Ok(Self {
            restorer: Restorer::new(Arc::clone(&shared.log)),
            shared,
            number,
            version: version.number,
            session,
            chains,
            tasks: HashMap::new(),
            ingests: Vec::new(),
            retries: Vec::new(),
            polled: Polled::default(),
            events: Vec::new(),
            open_since: None,
            commit_now: false,
            rewinds: 0,
            aborts_in_a_row: 0,
            solo: None,
            restoring: 0,
            restore_left: 0,
            is_settled: false,
            is_draining: false,
            is_paused: false,
            uncommitted: Vec::new(),
            spans: OpenSpans::default(),
        })
    }

    /// Another session takes over: what was said of these partitions does not hold any more.
    fn forget_all(&mut self) {
        for at in self.tasks.keys() {
            self.shared.observer.cleared(at);
        }
        for ingest in &self.ingests {
            self.shared.sources.lock().remove(&ingest.topic());
        }
        self.shared.observer.restoring(self.restoring, 0);
        self.shared.observer.restore_left(self.number, 0);
    }

    fn serve(&mut self) -> Result<Ended, RunError> {
        loop {
            match self.turn() {
                Ok(()) if self.shared.shutdown.is_requested() => {
                    return self.commit().map(|()| Ended::Shutdown).or_else(ended);
                }
                Ok(()) => {}
                Err(stop) => return ended(stop),
            }
        }
    }

    fn turn(&mut self) -> Result<(), Stop> {
        if self.shared.control.is_newer(self.version) {
            self.take_version()?;
        }
        if self.shared.control.is_draining() && !self.is_draining && self.commit_unless_rolled_back()? {
            self.is_draining = true;
            self.shared.control.stopped_reading(self.number);
        }
        self.pause_or_resume()?;
        // 1
        let mut polled = std::mem::take(&mut self.polled);
        polled.clear();
        polled.events.append(&mut self.events);
        let outcome = self
            .session
            .poll(self.poll_timeout(&polled), PollLimit::default(), &mut polled);
        if let Err(error) = outcome {
            return Err(Stop::from_log("reading", error));
        }
        // After an abort, what was polled before it comes again, with what stands before it.
        let rewinds = self.rewinds;
        let (lost, events): (Vec<_>, Vec<_>) = std::mem::take(&mut polled.events)
            .into_iter()
            .partition(|event| matches!(event, LogEvent::Lost(_)));
        for event in lost {
            self.on_event(event)?;
        }
        // 2, 4
        for batch in polled.batches.iter_mut().filter(|batch| !batch.is_empty()) {
            if self.rewinds == rewinds {
                self.feed(batch)?;
            }
            // A slow plugin does not keep a transaction open over the batches of all partitions.
            if self.commit_is_due() {
                self.commit()?;
            }
        }
        self.polled = polled;
        for event in events {
            if self.rewinds == rewinds || !matches!(event, LogEvent::End { .. }) {
                self.on_event(event)?;
            }
        }
        if !self.is_paused {
            self.work_off_queues()?;
            // 3
            self.fire_timers()?;
            self.read_sources()?;
        }
        self.restore()?;
        // 5
        if self.commit_now || self.commit_is_due() {
            self.commit()?;
        }
        Ok(())
    }

    /// Stands still behind a commit while that is asked for, with its partitions; goes on from there.
    fn pause_or_resume(&mut self) -> Result<(), Stop> {
        let wanted = self.shared.control.is_paused();
        if !self.is_paused && (!wanted || !self.commit_unless_rolled_back()?) {
            return Ok(());
        }
        let running = self
            .tasks
            .iter()
            .filter(|(_, owned)| matches!(owned.task.phase, Phase::Running));
        let places: Vec<_> = running.map(|(at, owned)| (at.clone(), owned.task.next)).collect();
        if wanted {
            // In every turn: there may be new ones.
            self.is_paused = true;
            let places: Vec<_> = places.into_iter().map(|(at, _)| at).collect();
            return self.session.pause(&places).map_err(|e| Stop::from_log("pausing", e));
        }
        self.is_paused = false;
        for (at, _) in &places {
            if let Some(owned) = self.tasks.get_mut(at) {
                owned.task.queue.clear();
                owned.task.is_held = false;
            }
        }
        // What was read meanwhile was dropped.
        self.session.seek(&places).map_err(|e| Stop::from_log("seeking", e))?;
        let places: Vec<_> = places.into_iter().map(|(at, _)| at).collect();
        self.session.resume(&places).map_err(|e| Stop::from_log("resuming", e))
    }

    /// Takes a newer version of the transforms, behind a commit; when that comes to nothing, in a later turn.
    fn take_version(&mut self) -> Result<(), Stop> {
        let began = Instant::now();
        if !self.commit_unless_rolled_back()? {
            return Ok(());
        }
        let Some((version, instances)) = self.shared.control.take(self.number) else {
            return Ok(());
        };
        let instances = match instances {
            Some(instances) => instances,
            None => version.instances().map_err(|error| Stop::Error(error.into()))?,
        };
        self.chains = chains(&self.shared, &version, instances);
        self.version = version.number;
        self.forgive()?;
        self.shared.control.taken(self.number, version.number, began.elapsed());
        Ok(())
    }

    /// What an earlier version could not process, a new one may: what it was convicted of is forgotten,
    /// and partitions that stand at a record go on.
    fn forgive(&mut self) -> Result<(), Stop> {
        let mut again = Vec::new();
        let mut unmigrated = Vec::new();
        for (at, owned) in &mut self.tasks {
            owned.task.forgive();
            if std::mem::take(&mut owned.task.is_unmigrated) {
                owned.task.is_disputed = false;
                self.shared.observer.revived(at);
                unmigrated.push(at.clone());
                continue;
            }
            if matches!(owned.task.phase, Phase::Failed) && owned.task.may_commit() {
                owned.task.phase = Phase::Running;
                self.shared.observer.revived(at);
                again.push((at.clone(), owned.task.next));
            }
        }
        for at in unmigrated {
            // From the changelog, once more.
            self.retry_later(&at, false)?;
        }
        let places: Vec<TopicPartition> = again.iter().map(|(at, _)| at.clone()).collect();
        self.session.seek(&again).map_err(|e| Stop::from_log("seeking", e))?;
        self.session.resume(&places).map_err(|e| Stop::from_log("resuming", e))
    }

    fn poll_timeout(&self, polled: &Polled) -> Duration {
        if self.is_paused && polled.events.is_empty() && self.restorer.is_idle() {
            return POLL_MAX;
        }
        let busy = !polled.events.is_empty()
            || self.commit_now
            || self.ingests.iter().any(IngestTask::is_busy)
            || self
                .tasks
                .values()
                .any(|owned| !owned.task.queue.is_empty() || owned.task.fires);
        if busy {
            return Duration::ZERO;
        }
        if !self.restorer.is_idle() {
            return Duration::from_millis(1);
        }
        match self.open_since {
            Some(since) => POLL_MAX.min(self.shared.topology.commit_interval.saturating_sub(since.elapsed())),
            None => POLL_MAX,
        }
    }

    pub(crate) fn commit_is_due(&self) -> bool {
        self.open_since.is_some_and(|since| {
            since.elapsed() >= self.shared.topology.commit_interval || self.dirty_bytes() > DIRTY_BYTES_MAX
        })
    }

    /// What tasks have changed since the last commit, which is held in memory.
    fn dirty_bytes(&self) -> usize {
        let states = self.tasks.values().flat_map(|owned| &owned.task.states);
        states
            .filter_map(|slot| slot.0.as_ref())
            .map(|state| state.dirty_bytes())
            .sum()
    }

    /// Whether the records of a topic are left to the next run.
    pub(crate) fn leaves(&self, topic: &str) -> bool {
        self.is_draining && !self.shared.reads_internal(topic)
    }

    fn on_event(&mut self, event: LogEvent) -> Result<(), Stop> {
        match event {
            LogEvent::Assigned(partitions) => self.assigned(&partitions),
            LogEvent::Revoked(partitions) => self.revoked(&partitions, false),
            LogEvent::Lost(partitions) => self.revoked(&partitions, true),
            LogEvent::End { at, next } => {
                if !self.leaves(&at.topic)
                    && let Some(owned) = self.tasks.get_mut(&at)
                    && matches!(owned.task.phase, Phase::Running)
                {
                    owned.task.reached(next);
                    if owned.task.is_advanced() {
                        self.open_since.get_or_insert_with(Instant::now);
                    }
                }
                Ok(())
            }
            LogEvent::OutOfRange { at } => {
                let next = self.tasks.get(&at).map_or(NextOffset(0), |owned| owned.task.next);
                self.fail(
                    &at,
                    "input",
                    Code("E0403"),
                    format!(
                        "offset {next} of {at} does not exist any more: records have expired before they were read"
                    ),
                    "raise the topic's retention, then choose a new start with `wasmill reset`",
                )
            }
            LogEvent::Trouble { what } => {
                tracing::warn!("{what}");
                Ok(())
            }
        }
    }

    /// Stops one partition; all others go on, and what is done is committed.
    pub(crate) fn fail(
        &mut self,
        at: &TopicPartition,
        node: &str,
        code: Code,
        message: String,
        remedy: &str,
    ) -> Result<(), Stop> {
        self.restorer.forget(at);
        if let Some(owned) = self.tasks.get_mut(at) {
            // A state that was not brought back is neither believed nor written.
            owned.task.is_disputed |= matches!(owned.task.phase, Phase::Restoring);
            owned.task.phase = Phase::Failed;
            owned.task.queue.clear();
            owned.task.end = None;
        }
        self.session
            .pause(std::slice::from_ref(at))
            .map_err(|e| Stop::from_log("pausing", e))?;
        self.commit_now = true;
        self.shared.observer.failed(PartitionFailure {
            at: at.clone(),
            node: node.to_owned(),
            code,
            message,
            remedy: remedy.to_owned(),
        });
        Ok(())
    }
}

/// What a worker runs of a version.
fn chains(shared: &Shared, version: &Version, instances: Instances) -> Vec<Chain> {
    let watch = |sub: &SubTopology| Watch {
        flows: sub
            .nodes
            .iter()
            .map(|node| shared.observer.flow(Place::Transform, &node.name))
            .collect(),
        taps: shared.taps.clone(),
    };
    let pipeline = &shared.topology.pipeline;
    let all = version.processes.iter().zip(instances);
    all.map(|(sub, transforms)| Chain::new(Arc::clone(pipeline), Arc::clone(sub), transforms, watch(sub)))
        .collect()
}

/// Why the loop of a session ends.
pub(crate) enum Stop {
    Fenced(String),
    Error(RunError),
}

impl Stop {
    pub(crate) fn from_log(doing: &str, error: LogError) -> Self {
        match error {
            LogError::Fenced { what } => Self::Fenced(what),
            other => Self::Error(RunError::log(doing)(other)),
        }
    }
}

fn ended(stop: Stop) -> Result<Ended, RunError> {
    match stop {
        Stop::Fenced(what) => Ok(Ended::Fenced(what)),
        Stop::Error(error) => Err(error),
    }
}

/// How long answers of the group coordinator are waited for.
pub(crate) const GROUP_TIMEOUT: Duration = LOG_TIMEOUT;
