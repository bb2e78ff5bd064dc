//! The worker: one thread, one session (consumer and producer), the tasks of its partitions.
//!
//! The loop:
//! 1. poll;
//! 2. give each partition's run of records to its task;
//! 3. fire timers that are due between records;
//! 4. write what the tasks made to the producer;
//! 5. at the commit interval, commit.
//!
//! How a commit ends, and what follows from it, is in `commit.rs`; how partitions come and go in
//! `assignment.rs`; what is written, and may be refused, in `output.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::error::Code;
use record::log::{LogError, LogEvent, PollLimit, Polled, Session, SessionConfig, Writes};
use record::origin;
use record::timer::Clock;
use record::topology::Delivery;
use record::{Batch, NextOffset, TopicPartition};

use crate::assignment::Retry;
use crate::chain::Chain;
use crate::error::RunError;
use crate::ingest::IngestTask;
use crate::observer::PartitionFailure;
use crate::plan::{LOG_TIMEOUT, Shared, now_ms};
use crate::process::{Phase, ProcessTask, Verdict};
use crate::restore::Restorer;
use crate::start;
use crate::step::{StepEnd, Written};

/// A transaction that is open for longer is aborted by the broker. Not librdkafka's minute: what
/// a dead process left open holds back readers for as long.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long records that wait in queues are worked off before the group is polled again.
const QUEUE_SLICE: Duration = Duration::from_millis(500);
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
    /// Whether there has been an assignment.
    pub(crate) is_settled: bool,
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
                worker.session.close(true, left);
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
        let mut chains = Vec::with_capacity(shared.processes.len());
        for sub in &shared.processes {
            let transforms = sub
                .nodes
                .iter()
                .map(|node| {
                    shared.parts.transform(node).map_err(|what| RunError::Transform {
                        node: node.name.to_string(),
                        what,
                    })
                })
                .collect::<Result<_, _>>()?;
            chains.push(Chain::new(Arc::clone(&topology.pipeline), Arc::clone(sub), transforms));
        }
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
            is_settled: false,
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
        }
        self.polled = polled;
        for event in events {
            if self.rewinds == rewinds || !matches!(event, LogEvent::End { .. }) {
                self.on_event(event)?;
            }
        }
        self.work_off_queues()?;
        // 3
        self.fire_timers()?;
        self.read_sources()?;
        self.restore()?;
        // 5
        if self.commit_now || self.commit_is_due() {
            self.commit()?;
        }
        Ok(())
    }

    fn poll_timeout(&self, polled: &Polled) -> Duration {
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

    fn commit_is_due(&self) -> bool {
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

    fn on_event(&mut self, event: LogEvent) -> Result<(), Stop> {
        match event {
            LogEvent::Assigned(partitions) => self.assigned(&partitions),
            LogEvent::Revoked(partitions) => self.revoked(&partitions, false),
            LogEvent::Lost(partitions) => self.revoked(&partitions, true),
            LogEvent::End { at, next } => {
                if let Some(owned) = self.tasks.get_mut(&at)
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

    /// Gives a batch as it was read to its task.
    fn feed(&mut self, batch: &mut Batch) -> Result<(), Stop> {
        let at = batch.place();
        let Some(owned) = self.tasks.get_mut(&at) else {
            return Ok(());
        };
        // A paused partition's records come again: its task seeks before it resumes.
        if !matches!(owned.task.phase, Phase::Running) {
            return Ok(());
        }
        if self.shared.reads_internal(&batch.topic) {
            origin::absorb(batch);
        } else {
            origin::drop_foreign(batch);
        }
        let first = batch.offsets.first().copied().unwrap_or(0);
        if owned.task.solo_until.is_some_and(|until| first <= until) {
            owned.task.queue_singles(batch);
            return self.hold(&at);
        }
        if !owned.task.queue.is_empty() {
            owned.task.queue.push_back(batch.clone());
            return self.hold(&at);
        }
        self.step(&at, batch, false)
    }

    /// A partition with a queue is not read on until the queue is worked off: memory stays bounded.
    fn hold(&mut self, at: &TopicPartition) -> Result<(), Stop> {
        if let Some(owned) = self.tasks.get_mut(at)
            && !std::mem::replace(&mut owned.task.is_held, true)
        {
            self.session
                .pause(std::slice::from_ref(at))
                .map_err(|e| Stop::from_log("pausing", e))?;
        }
        Ok(())
    }

    /// Partitions whose queue is worked off, or was dropped by a rewind, are read on.
    fn release(&mut self) -> Result<(), Stop> {
        let mut free = Vec::new();
        for (at, owned) in &mut self.tasks {
            if owned.task.is_held && owned.task.queue.is_empty() {
                owned.task.is_held = false;
                // One that restores or has failed is paused for that.
                if matches!(owned.task.phase, Phase::Running) {
                    free.push(at.clone());
                }
            }
        }
        self.session.resume(&free).map_err(|e| Stop::from_log("resuming", e))
    }

    /// In turns, and for a while only: events, the group and other partitions are not held back.
    fn work_off_queues(&mut self) -> Result<(), Stop> {
        let until = Instant::now() + QUEUE_SLICE;
        loop {
            let waiting: Vec<TopicPartition> = self
                .tasks
                .iter()
                .filter(|(_, owned)| !owned.task.queue.is_empty())
                .map(|(at, _)| at.clone())
                .collect();
            if waiting.is_empty() || Instant::now() >= until {
                return self.release();
            }
            for at in waiting {
                self.step_queued(&at)?;
            }
        }
    }

    fn step_queued(&mut self, at: &TopicPartition) -> Result<(), Stop> {
        let Some(owned) = self.tasks.get_mut(at) else {
            return Ok(());
        };
        if !matches!(owned.task.phase, Phase::Running) {
            owned.task.queue.clear();
            return Ok(());
        }
        let is_solo = owned.task.solo_until.is_some();
        // What the others of its transaction did must not be refused with it.
        if is_solo && !self.commit_unless_rolled_back()? {
            return Ok(());
        }
        let Some(mut batch) = self.tasks.get_mut(at).and_then(|owned| owned.task.queue.pop_front()) else {
            return Ok(());
        };
        self.step(at, &mut batch, is_solo)?;
        if is_solo || self.commit_is_due() {
            self.commit()?;
        }
        self.solo = None;
        Ok(())
    }

    /// Runs one batch of a task and writes what it made.
    fn step(&mut self, at: &TopicPartition, batch: &mut Batch, is_solo: bool) -> Result<(), Stop> {
        let Some(owned) = self.tasks.get_mut(at) else {
            return Ok(());
        };
        let mut written = Written::default();
        owned.task.solo_timer = None;
        let end = owned
            .task
            .step(&mut self.chains[owned.sub], batch, now_ms(), &mut written);
        if is_solo {
            let solo = match (&owned.task.solo_timer, batch.offsets.first()) {
                (None, Some(offset)) => Solo::Record(*offset),
                _ => Solo::Timer,
            };
            self.solo = Some((at.clone(), solo));
        }
        self.finish(at, batch, written, end)
    }

    /// Timers that are due where a task stands.
    fn fire_timers(&mut self) -> Result<(), Stop> {
        let timed: Vec<TopicPartition> = self
            .tasks
            .iter()
            .filter(|(_, owned)| {
                matches!(owned.task.phase, Phase::Running)
                    && owned.task.queue.is_empty()
                    && !self.chains[owned.sub].timed().is_empty()
            })
            .map(|(at, _)| at.clone())
            .collect();
        // The common case, in every turn.
        if timed.is_empty() {
            return Ok(());
        }
        let none = Batch::new("".into(), 0);
        for at in timed {
            let is_solo = self.tasks.get(&at).is_some_and(|owned| owned.task.solo_timers);
            if is_solo && !self.commit_unless_rolled_back()? {
                return Ok(());
            }
            let Some(owned) = self.tasks.get_mut(&at) else { continue };
            let mut written = Written::default();
            owned.task.solo_timer = None;
            let end = owned
                .task
                .fire_now(&mut self.chains[owned.sub], &Clock::ALL, now_ms(), &mut written);
            if is_solo {
                self.solo = Some((at.clone(), Solo::Timer));
            }
            self.finish(&at, &none, written, end)?;
            if is_solo {
                self.commit()?;
            }
            self.solo = None;
        }
        Ok(())
    }

    /// Writes what a step made, and does what its end asks for.
    fn finish(&mut self, at: &TopicPartition, batch: &Batch, written: Written, end: StepEnd) -> Result<(), Stop> {
        if self.tasks.get(at).is_some_and(|owned| owned.task.is_advanced()) {
            self.open_since.get_or_insert_with(Instant::now);
        }
        let rewinds = self.rewinds;
        if !matches!(end, StepEnd::Trouble { .. }) {
            self.write(at, batch, written)?;
        }
        // What was refused is done again from the committed position.
        if self.rewinds != rewinds {
            return Ok(());
        }
        match end {
            StepEnd::Done => Ok(()),
            StepEnd::More => {
                self.put_back(at, batch);
                Ok(())
            }
            StepEnd::Isolate { why } => {
                tracing::warn!(%at, "a call failed ({why:?}); its {} records are run one by one", batch.len());
                self.after_commit(at, |task| task.isolate(batch))
            }
            StepEnd::IsolateTimers { why } => {
                tracing::warn!(%at, "a call for timers failed ({why:?}); they are run one by one");
                self.after_commit(at, |task| task.put_back(batch))
            }
            StepEnd::Stopped { at: offset, verdict } => self.stop_at(at, offset, &verdict),
            StepEnd::Trouble { why, is_damaged } => {
                tracing::error!(%at, "the state cannot be used ({why}); the task starts over from its changelog");
                self.roll_back()?;
                self.retry_later(at, is_damaged)
            }
        }
    }

    fn put_back(&mut self, at: &TopicPartition, batch: &Batch) {
        if let Some(owned) = self.tasks.get_mut(at) {
            owned.task.put_back(batch);
        }
    }

    /// The clean prefix is committed first: a hunt may take longer than a transaction.
    fn after_commit(&mut self, at: &TopicPartition, then: impl FnOnce(&mut ProcessTask)) -> Result<(), Stop> {
        if self.commit_unless_rolled_back()?
            && let Some(owned) = self.tasks.get_mut(at)
            // The commit stands, but its store may have failed.
            && matches!(owned.task.phase, Phase::Running)
        {
            then(&mut owned.task);
        }
        Ok(())
    }

    fn stop_at(&mut self, at: &TopicPartition, offset: i64, verdict: &Verdict) -> Result<(), Stop> {
        let node = match self.tasks.get(at) {
            Some(owned) => owned.task.names(&self.chains[owned.sub], verdict.culprit).0,
            None => return Ok(()),
        };
        let (code, message) = (&verdict.failure.code, &verdict.failure.message);
        self.fail(
            at,
            &node,
            Code("E0710"),
            match &verdict.timer {
                None => format!("record {at}:{offset} failed in `{node}` ({code}): {message}"),
                Some(timer) => format!("before {at}:{offset} a timer failed in `{node}` ({code}): {message}; it is {timer}"),
            },
            &format!(
                "mend the plugin and start again, or send it to the dead letters with `wasmill run --skip {at}:{offset}`, or set `on_error`"
            ),
        )
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
