//! How records and timers get to the tasks of a worker, and what follows from the end of a step.

use std::time::{Duration, Instant};

use record::error::Code;
use record::origin;
use record::timer::Clock;
use record::topology::TopicRole;
use record::{Batch, TopicPartition};

use crate::plan::now_ms;
use crate::process::{Phase, ProcessTask, Verdict};
use crate::step::{StepEnd, Written};
use crate::traces;
use crate::worker::{Solo, Stop, Worker};

/// How long records that wait in queues are worked off before the group is polled again.
const QUEUE_SLICE: Duration = Duration::from_millis(500);

impl Worker {
    /// Gives a batch as it was read to its task.
    pub(crate) fn feed(&mut self, batch: &mut Batch) -> Result<(), Stop> {
        let at = batch.place();
        if self.is_paused || self.leaves(&at.topic) {
            return Ok(());
        }
        let Some(owned) = self.tasks.get_mut(&at) else {
            return Ok(());
        };
        // A paused partition's records come again: its task seeks before it resumes.
        if !matches!(owned.task.phase, Phase::Running) {
            return Ok(());
        }
        let (sub, route) = (owned.sub, owned.task.route);
        if self.shared.reads_internal(&batch.topic) {
            origin::absorb(batch);
        } else {
            origin::drop_foreign(batch);
        }
        let route = &self.shared.processes[sub].inputs[route];
        self.shared.flow(route.topic).read(batch.len());
        if self.shared.taps.is_open() && self.shared.topic(route.topic).role != TopicRole::Repartition {
            self.shared.taps.show(&route.name, None, batch, None);
        }
        let Some(owned) = self.tasks.get_mut(&at) else {
            return Ok(());
        };
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
    pub(crate) fn work_off_queues(&mut self) -> Result<(), Stop> {
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
        let traced = match &self.shared.spans {
            Some(spans) => traces::read(&**spans, &self.chains[owned.sub].plan, batch),
            None => Vec::new(),
        };
        let end = owned
            .task
            .step(&mut self.chains[owned.sub], batch, now_ms(), &mut written);
        self.spans.processed(traced, &end);
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
    pub(crate) fn fire_timers(&mut self) -> Result<(), Stop> {
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
        if matches!(end, StepEnd::Done) {
            self.uncommitted.extend_from_slice(&batch.timestamps);
        }
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
                tracing::warn!(%at, "a call failed ({why}); its {} records are run one by one", batch.len());
                self.after_commit(at, |task| task.isolate(batch))
            }
            StepEnd::IsolateTimers { why } => {
                tracing::warn!(%at, "a call for timers failed ({why}); they are run one by one");
                self.after_commit(at, |task| task.put_back(batch))
            }
            StepEnd::Stopped { at: offset, verdict } => self.stop_at(at, offset, &verdict),
            StepEnd::Trouble { why, is_damaged } => {
                tracing::error!(%at, "{why}; no record is guilty of it: the task starts over from its committed position");
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
                "mend the plugin, which is reloaded, or send it to the dead letters with `wasmill run --skip {at}:{offset}`, or set `on_error`"
            ),
        )
    }
}
