//! One batch through a task: what is run, what fires in between, and what a failure undoes.
//!
//! ```text
//!   step: records up to where a timer fires -> timers -> more records -> ...
//!   run:  all records that are not convicted, in one call; whoever fails is convicted, and again
//!   attempt: one try, with a savepoint before it
//! ```

use std::ops::Range;
use std::sync::Arc;

use record::error::Failure;
use record::offset::Timestamp;
use record::store::StoreError;
use record::timer::Clock;
use record::topology::{NodeId, OnError};
use record::transform::{CallError, CallErrorKind, watermark};
use record::{Batch, TopicPartition};

use crate::chain::{Chain, Outgoing, StepError, convicts, failure_of};
use crate::keys;
use crate::process::{Culprit, ProcessTask, Verdict};
use crate::timers::Moment;

/// Outputs, and what their roots point into.
#[derive(Debug)]
pub(crate) struct Part {
    /// `None`: the batch that the step was given.
    pub(crate) input: Option<Batch>,
    pub(crate) outgoing: Vec<Outgoing>,
}

/// What a step of a task asks the worker to write.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// In order.
    pub(crate) parts: Vec<Part>,
    pub(crate) dead_letters: Option<Batch>,
    /// How many records were read, dead-lettered, skipped.
    pub(crate) read: usize,
    pub(crate) skipped: usize,
}

impl Written {
    pub(crate) fn letters(&mut self, at: &TopicPartition) -> &mut Batch {
        self.dead_letters
            .get_or_insert_with(|| Batch::new(Arc::clone(&at.topic), at.partition))
    }
}

/// How a step ended. What was done before is written in any case.
#[derive(Debug)]
pub(crate) enum StepEnd {
    /// All of the batch is done.
    Done,
    /// More is to be done: what is left of the batch waits until the worker had its turn.
    More,
    /// A whole call failed and was undone: the worker commits what came before, and then what is
    /// left of the batch is run record by record.
    Isolate { why: StepError },
    /// As `Isolate`, of timers: they are run one by one.
    IsolateTimers { why: StepError },
    /// The part before a record or timer whose policy is `fail` is done; the task stands there.
    Stopped { at: i64, verdict: Box<Verdict> },
    /// The state store cannot be read; nobody is guilty. The step is tried again.
    Trouble { why: String, is_damaged: bool },
}

impl StepEnd {
    pub(crate) fn of_store(error: &StoreError) -> Self {
        Self::Trouble {
            why: error.to_string(),
            is_damaged: CallErrorKind::of_store(error) == CallErrorKind::StoreDamaged,
        }
    }

    /// Of a call that nobody is guilty of.
    pub(crate) fn of_call(error: &CallError) -> Self {
        Self::Trouble {
            why: error.to_string(),
            is_damaged: error.kind == CallErrorKind::StoreDamaged,
        }
    }
}

impl ProcessTask {
    /// Runs a batch of the task's input. On success the task stands behind it.
    pub(crate) fn step(
        &mut self,
        chain: &mut Chain,
        batch: &mut Batch,
        now: Timestamp,
        written: &mut Written,
    ) -> StepEnd {
        if batch.offsets.first().is_some_and(|first| *first < self.next.0) {
            let next = self.next.0;
            *batch = batch.filtered(|i| batch.offsets[i] >= next);
        }
        if batch.is_empty() {
            return StepEnd::Done;
        }
        self.set_keys(chain, batch);
        let mut times = Vec::with_capacity(batch.len());
        let mut stream_time = self.stream_time;
        for timestamp in &batch.timestamps {
            stream_time = stream_time.max(*timestamp);
            times.push(stream_time);
        }
        let outcome = if chain.timed().is_empty() {
            self.run(chain, batch, 0..batch.len(), &times, now, written)
        } else {
            self.step_with_timers(chain, batch, &times, now, written)
        };
        self.ended(outcome)
    }

    /// Cuts the batch where timers fire: before the record that brings the watermark to their time,
    /// or at once when it is there already.
    fn step_with_timers(
        &mut self,
        chain: &mut Chain,
        batch: &mut Batch,
        times: &[Timestamp],
        now: Timestamp,
        written: &mut Written,
    ) -> Result<(), StepEnd> {
        let mut from = 0;
        // How many records are tried at once: few after a cut, and then more and more.
        let mut try_at_once = batch.len();
        while from < batch.len() {
            self.fire_event_timers(chain, batch, from, times[from], now, written)?;
            let due = match self.first_record_due(chain, times) {
                Ok(due) => due.unwrap_or(batch.len()),
                Err(error) => return Err(StepEnd::of_store(&error)),
            };
            let to = due.max(from + 1).min(from.saturating_add(try_at_once)).min(batch.len());
            match self.run(chain, batch, from..to, times, now, written) {
                Ok(()) => {}
                Err(StepEnd::Isolate {
                    why: StepError::Cut(at),
                }) => {
                    try_at_once = (at - from).max(1);
                    continue;
                }
                Err(end) => return Err(end),
            }
            try_at_once = (to - from).saturating_mul(2);
            // One per transaction: that of the record is not theirs.
            if self.solo_until.is_none() {
                self.fire_event_timers(chain, batch, to - 1, times[to - 1], now, written)?;
            }
            from = to;
        }
        Ok(())
    }

    fn fire_event_timers(
        &mut self,
        chain: &mut Chain,
        batch: &Batch,
        cause: usize,
        stream_time: Timestamp,
        now: Timestamp,
        written: &mut Written,
    ) -> Result<(), StepEnd> {
        let moment = Moment {
            stream_time,
            now,
            clocks: &[Clock::EventTime],
            cause: batch.origin(cause),
        };
        self.fire(chain, &moment, written)
    }

    /// Fires what is due by these clocks where the task stands, between records.
    pub(crate) fn fire_now(
        &mut self,
        chain: &mut Chain,
        clocks: &[Clock],
        now: Timestamp,
        written: &mut Written,
    ) -> StepEnd {
        let topic = Arc::clone(&self.at.topic);
        let moment = Moment {
            stream_time: self.stream_time,
            now,
            clocks,
            cause: (&topic, self.at.partition, self.next.0 - 1),
        };
        let outcome = self.fire(chain, &moment, written);
        self.ended(outcome)
    }

    /// All is done, or what an outcome says.
    fn ended(&mut self, outcome: Result<(), StepEnd>) -> StepEnd {
        match outcome {
            Ok(()) => {
                self.take_end();
                StepEnd::Done
            }
            Err(end) => end,
        }
    }

    /// Gives records the keys that their source takes from the value.
    fn set_keys(&mut self, chain: &Chain, batch: &mut Batch) {
        let route = &chain.plan.inputs[self.route];
        let Some(pointer) = &route.key else { return };
        for (i, failure) in keys::set_keys(batch, pointer) {
            let verdict = Verdict {
                culprit: Culprit::Key,
                policy: route.on_undecodable,
                failure,
                timer: None,
            };
            self.verdicts.entry(batch.offsets[i]).or_insert(verdict);
        }
    }

    /// Runs some records of a batch. On success the task stands behind them.
    fn run(
        &mut self,
        chain: &mut Chain,
        batch: &mut Batch,
        range: Range<usize>,
        times: &[Timestamp],
        now: Timestamp,
        written: &mut Written,
    ) -> Result<(), StepEnd> {
        loop {
            let stop = self.first_stop(batch, range.clone());
            let end = stop.unwrap_or(range.end);
            let is_whole = range.start == 0 && end == batch.len();
            let outcome = if is_whole && self.verdicts.range(batch.offsets[0]..).next().is_none() {
                self.attempt(chain, batch, times, now)
            } else {
                self.attempt_some(chain, batch, range.start..end, times, now)
            };
            match outcome {
                Ok(outgoing) => {
                    written.parts.push(Part { input: None, outgoing });
                    written.read += end - range.start;
                    self.dispose(chain, batch, range.start..end, written);
                    if end > range.start {
                        self.has_worked = true;
                        self.next = record::RecordOffset(batch.offsets[end - 1]).next();
                        self.stream_time = times[end - 1];
                    }
                    let Some(stop) = stop else { return Ok(()) };
                    let at = batch.offsets[stop];
                    return Err(StepEnd::Stopped {
                        at,
                        verdict: Box::new(self.verdicts[&at].clone()),
                    });
                }
                Err(StepError::Records(failures)) => {
                    for (root, node, failure) in failures {
                        self.convict_node(chain, batch.offsets[root], node, failure);
                    }
                }
                Err(StepError::Call(_, error)) if !convicts(&error) => {
                    return Err(StepEnd::of_call(&error));
                }
                // Not one that was cut out of a batch for timers: what is open is committed before a hunt.
                Err(StepError::Call(node, error)) if batch.len() == 1 => {
                    self.convict_node(chain, batch.offsets[0], node, failure_of(&error));
                }
                Err(why) => return Err(StepEnd::Isolate { why }),
            }
        }
    }

    /// As [`Self::attempt`], of those records in a range that are not convicted.
    fn attempt_some(
        &mut self,
        chain: &mut Chain,
        batch: &Batch,
        range: Range<usize>,
        times: &[Timestamp],
        now: Timestamp,
    ) -> Result<Vec<Outgoing>, StepError> {
        let keep: Vec<usize> = range
            .filter(|i| !self.verdicts.contains_key(&batch.offsets[*i]))
            .collect();
        if keep.is_empty() {
            return Ok(Vec::new());
        }
        let mut some = batch.filtered(|i| keep.binary_search(&i).is_ok());
        let some_times: Vec<_> = keep.iter().map(|i| times[*i]).collect();
        // Back to indexes of the whole batch, which dead letters and origins use.
        self.attempt(chain, &mut some, &some_times, now)
            .map(|outgoing| reroot(outgoing, &keep, &some))
            .map_err(|error| reroot_error(error, &keep))
    }

    fn convict_node(&mut self, chain: &Chain, offset: i64, node: NodeId, failure: Failure) {
        let verdict = Verdict {
            culprit: Culprit::Node(node),
            policy: chain.node(node).on_error,
            failure,
            timer: None,
        };
        self.verdicts.insert(offset, verdict);
    }

    /// The index of the first record whose policy is `fail`.
    fn first_stop(&self, batch: &Batch, mut range: Range<usize>) -> Option<usize> {
        if self.verdicts.is_empty() {
            return None;
        }
        range.find(|i| {
            self.verdicts
                .get(&batch.offsets[*i])
                .is_some_and(|verdict| verdict.policy == OnError::Fail)
        })
    }

    /// One try. A failed one leaves no trace in state or instances.
    fn attempt(
        &mut self,
        chain: &mut Chain,
        batch: &mut Batch,
        times: &[Timestamp],
        now: Timestamp,
    ) -> Result<Vec<Outgoing>, StepError> {
        let points = self.savepoints();
        for &node in chain.timed() {
            if let Some(state) = &mut self.states[node].0 {
                let _ = state.earliest_set(Clock::EventTime);
            }
        }
        let plan = Arc::clone(&chain.plan);
        let outcome = chain
            .run(&plan.inputs[self.route], batch, &mut self.states, times, now)
            .and_then(|outgoing| match self.cut(chain, times) {
                Some(at) => Err(StepError::Cut(at)),
                None => Ok(outgoing),
            });
        match outcome {
            Ok(outgoing) => {
                self.keep(chain);
                Ok(outgoing)
            }
            Err(error) => {
                self.roll_back_to(chain, &points)?;
                Err(error)
            }
        }
    }

    /// The first record before which a timer fires that was set in the call just made. Where it was
    /// set is not known, so it may be one after that too.
    fn cut(&mut self, chain: &Chain, times: &[Timestamp]) -> Option<usize> {
        let mut cut: Option<usize> = None;
        for &node in chain.timed() {
            let set = self.states[node].0.as_mut()?.earliest_set(Clock::EventTime);
            cut = cut
                .into_iter()
                .chain(set.map(|time| due_at(chain, node, times, time)))
                .min();
        }
        // After the last record they fire without a cut.
        cut.filter(|at| *at < times.len() && times.len() > 1)
    }

    /// The first record that brings the watermark to the time of a timer that is set.
    fn first_record_due(&mut self, chain: &Chain, times: &[Timestamp]) -> Result<Option<usize>, StoreError> {
        let mut first: Option<usize> = None;
        for &node in chain.timed() {
            if let Some(state) = &mut self.states[node].0 {
                let next = state.next_timer(Clock::EventTime)?;
                first = first
                    .into_iter()
                    .chain(next.map(|time| due_at(chain, node, times, time)))
                    .min();
            }
        }
        Ok(first)
    }

    pub(crate) fn savepoints(&mut self) -> Vec<Option<u64>> {
        self.states
            .iter_mut()
            .map(|slot| slot.0.as_mut().map(|state| state.savepoint()))
            .collect()
    }

    pub(crate) fn keep(&mut self, chain: &mut Chain) {
        chain.keep();
        for state in self.states.iter_mut().filter_map(|slot| slot.0.as_mut()) {
            state.keep();
        }
    }

    pub(crate) fn roll_back_to(&mut self, chain: &mut Chain, points: &[Option<u64>]) -> Result<(), StepError> {
        for (slot, point) in self.states.iter_mut().zip(points) {
            if let (Some(state), Some(point)) = (&mut slot.0, point)
                && let Err(rollback) = state.rollback(*point)
            {
                return Err(StepError::Call(
                    NodeId(0),
                    CallError {
                        kind: CallErrorKind::of_store(&rollback),
                        message: rollback.to_string(),
                        detail: String::new(),
                    },
                ));
            }
        }
        chain.recycle()
    }

    /// Dead letters and skips among some records of a batch.
    fn dispose(&self, chain: &Chain, batch: &Batch, range: Range<usize>, written: &mut Written) {
        if self.verdicts.is_empty() {
            return;
        }
        for i in range {
            let Some(verdict) = self.verdicts.get(&batch.offsets[i]) else {
                continue;
            };
            if verdict.policy == OnError::Skip {
                written.skipped += 1;
                continue;
            }
            let names = self.names(chain, verdict.culprit);
            verdict.letter(chain, &names).push(batch, i, written.letters(&self.at));
        }
    }
}

/// The first record whose stream time makes a timer of a node due; the number of records when none does.
fn due_at(chain: &Chain, node: usize, times: &[Timestamp], time: Timestamp) -> usize {
    let lateness = chain.lateness(node);
    times.partition_point(|stream_time| watermark(*stream_time, lateness) < time)
}

fn reroot(mut outgoing: Vec<Outgoing>, keep: &[usize], clean: &Batch) -> Vec<Outgoing> {
    for out in &mut outgoing {
        let batch = out.batch.get_or_insert_with(|| {
            let mut whole = clean.clone();
            whole.roots = (0..whole.len() as u32).collect();
            whole
        });
        for root in &mut batch.roots {
            *root = keep[*root as usize] as u32;
        }
    }
    outgoing
}

fn reroot_error(error: StepError, keep: &[usize]) -> StepError {
    match error {
        StepError::Records(failures) => StepError::Records(
            failures
                .into_iter()
                .map(|(root, node, failure)| (keep[root], node, failure))
                .collect(),
        ),
        StepError::Cut(at) => StepError::Cut(keep[at]),
        call @ StepError::Call(..) => call,
    }
}
