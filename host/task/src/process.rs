//! One sub-topology on one partition: its state, its position and its verdicts.
//!
//! ```text
//!                 restored                      fail
//!   Restoring ----------------> Running ----------------> Failed
//!       |                        |   ^
//!       | changelog disagrees    |   | queue empty
//!       v                        v   |
//!     Failed                   isolating (records one by one)
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use record::error::Failure;
use record::log::{Committed, Position};
use record::offset::Timestamp;
use record::origin::{DeadLetter, PositionNote};
use record::store::{InputPosition, StoreError};
use record::timer::Clock;
use record::topology::{NodeId, OnError};
use record::transform::{CallError, CallErrorKind, StateSlot, watermark};
use record::{Batch, NextOffset, TopicPartition};

use crate::chain::{Chain, Outgoing, StepError, convicts};
use crate::keys;
use crate::timers::{Fired, Moment, TimerId};

/// Who is guilty of a record's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Culprit {
    /// A transform.
    Node(NodeId),
    /// The record has no key where the source says it should be.
    Key,
    /// What a transform made of the record is larger than the log takes.
    Output,
    /// Somebody asked for it with `--skip`.
    Request,
}

/// A record that is known to fail. Kept by offset until its commit, across aborts, so that a
/// replay does not repeat the hunt.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) culprit: Culprit,
    pub(crate) policy: OnError,
    pub(crate) failure: Failure,
    /// The timer that failed, in words; `None` for a record.
    pub(crate) timer: Option<String>,
}

/// Where a task is in its life; the diagram stands above.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Its changelogs are read; its partition is paused.
    Restoring,
    /// It processes records.
    Running,
    /// It stands at a record, or its state cannot be trusted; its partition is paused.
    Failed,
}

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

pub(crate) struct ProcessTask {
    pub(crate) at: TopicPartition,
    pub(crate) topic_id: String,
    pub(crate) route: usize,
    pub(crate) phase: Phase,
    /// One slot per node of the sub-topology.
    pub(crate) states: Vec<StateSlot>,
    /// The position up to which everything is processed, but perhaps not committed.
    pub(crate) next: NextOffset,
    pub(crate) stream_time: Timestamp,
    /// The position as committed.
    pub(crate) committed_next: NextOffset,
    pub(crate) committed_stream_time: Timestamp,
    /// The committed position was written by a task, not by a start position or by hand.
    pub(crate) has_processed: bool,
    /// The position was resolved by us and is not committed yet.
    pub(crate) position_is_new: bool,
    /// Batches that wait: record by record after a failed call.
    pub(crate) queue: VecDeque<Batch>,
    /// An end of the partition that is past the queue.
    pub(crate) end: Option<NextOffset>,
    /// Records were processed since the last commit; a position also moves over control records.
    pub(crate) has_worked: bool,
    /// It failed while its state was brought back: neither state nor position is written.
    pub(crate) is_disputed: bool,
    /// The partition is paused until the queue is worked off.
    pub(crate) is_held: bool,
    /// Records up to here are run one per transaction, because the log refused an output.
    pub(crate) solo_until: Option<i64>,
    verdicts: BTreeMap<i64, Verdict>,
    /// As `verdicts`, of timers.
    pub(crate) timer_verdicts: BTreeMap<TimerId, Verdict>,
    /// Those whose dead letters or skips are part of the next commit.
    pub(crate) disposed_timers: Vec<TimerId>,
    /// Timers are run one per transaction until nothing is due.
    pub(crate) solo_timers: bool,
    /// The timer that was run last while they are run one by one.
    pub(crate) solo_timer: Option<TimerId>,
    /// Timers are due that had to wait: the task has not reached its end.
    pub(crate) fires: bool,
}

impl ProcessTask {
    /// A task of a partition that was just assigned. `start` is the committed position, or where
    /// we begin without one.
    pub(crate) fn new(
        at: TopicPartition,
        topic_id: String,
        route: usize,
        states: Vec<StateSlot>,
        start: NextOffset,
        committed: Option<&Committed>,
    ) -> Self {
        let note = PositionNote::decode(committed.map_or("", |c| &c.note));
        Self {
            at,
            topic_id,
            route,
            phase: Phase::Running,
            states,
            next: start,
            stream_time: note.stream_time,
            committed_next: start,
            committed_stream_time: note.stream_time,
            has_processed: committed.is_some_and(|c| !c.note.is_empty()),
            position_is_new: committed.is_none(),
            queue: VecDeque::new(),
            end: None,
            has_worked: false,
            is_disputed: false,
            is_held: false,
            solo_until: None,
            verdicts: BTreeMap::new(),
            timer_verdicts: BTreeMap::new(),
            disposed_timers: Vec::new(),
            solo_timers: false,
            solo_timer: None,
            fires: false,
        }
    }

    pub(crate) fn convict(&mut self, offset: i64, verdict: Verdict) {
        self.verdicts.insert(offset, verdict);
    }

    /// Whether a record was convicted before.
    pub(crate) fn is_convicted(&self, offset: i64) -> bool {
        self.verdicts.contains_key(&offset)
    }

    /// Whether the position may be committed. Not while state is brought back, and never one that the
    /// state disputes: the next start must find the same disagreement.
    pub(crate) fn may_commit(&self) -> bool {
        match self.phase {
            Phase::Running => true,
            Phase::Restoring => false,
            Phase::Failed => !self.is_disputed,
        }
    }

    /// Whether there is anything to commit. Timers change the state where the position stands.
    pub(crate) fn is_advanced(&self) -> bool {
        self.next != self.committed_next || self.position_is_new || self.has_worked
    }

    /// The position to commit now. `source` is the position of the source that fills the topic.
    pub(crate) fn position(&self, source: Option<String>) -> Position {
        let note = PositionNote {
            stream_time: self.stream_time,
            source,
        };
        Position {
            at: self.at.clone(),
            next: self.next,
            note: note.encode(),
        }
    }

    pub(crate) fn input_position(&self) -> InputPosition {
        InputPosition {
            input: self.at.clone(),
            topic_id: self.topic_id.clone(),
            next: self.next,
            stream_time: self.stream_time,
        }
    }

    /// The commit has happened at the position that was given to it.
    pub(crate) fn committed(&mut self, next: NextOffset, stream_time: Timestamp) {
        self.committed_next = next;
        self.committed_stream_time = stream_time;
        self.has_worked = false;
        self.position_is_new = false;
        self.has_processed = true;
        self.verdicts = self.verdicts.split_off(&next.0);
        for id in self.disposed_timers.drain(..) {
            self.timer_verdicts.remove(&id);
        }
        if self.solo_until.is_some_and(|until| next.0 > until) {
            self.solo_until = None;
        }
    }

    /// The transaction did not happen: back to the committed position. Verdicts stay.
    pub(crate) fn roll_back(&mut self) {
        for slot in &mut self.states {
            if let Some(state) = &mut slot.0 {
                state.abort();
            }
        }
        self.next = self.committed_next;
        self.has_worked = false;
        self.stream_time = self.committed_stream_time;
        self.queue.clear();
        self.end = None;
        self.fires = false;
        self.disposed_timers.clear();
    }

    /// Nothing is left to read before `end`, control records included.
    pub(crate) fn reached(&mut self, end: NextOffset) {
        self.end = Some(end);
        self.take_end();
    }

    /// Moves to the end of the partition when nothing waits before it.
    fn take_end(&mut self) {
        if self.queue.is_empty()
            && !self.fires
            && let Some(end) = self.end.take()
        {
            self.next = self.next.max(end);
        }
    }

    /// Takes the request to skip what stands at the task's position, if there is one.
    pub(crate) fn take_request(&mut self) -> bool {
        let at = self.next.0;
        let is_requested = self
            .verdicts
            .get(&at)
            .is_some_and(|verdict| verdict.culprit == Culprit::Request);
        if is_requested {
            self.verdicts.remove(&at);
        }
        is_requested
    }

    /// Puts what is left of a batch before anything that waits already.
    pub(crate) fn put_back(&mut self, batch: &Batch) {
        let next = self.next.0;
        let rest = batch.filtered(|i| batch.offsets[i] >= next);
        if !rest.is_empty() {
            self.queue.push_front(rest);
        }
    }

    /// Puts a batch behind all that waits, to be run record by record.
    pub(crate) fn queue_singles(&mut self, batch: &Batch) {
        self.queue
            .extend((0..batch.len()).map(|i| batch.filtered(|other| other == i)));
    }

    /// Puts a batch to be run record by record, before anything that waits already.
    pub(crate) fn isolate(&mut self, batch: &Batch) {
        for i in (0..batch.len()).rev() {
            if batch.offsets[i] >= self.next.0 {
                self.queue.push_front(batch.filtered(|other| other == i));
            }
        }
    }

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
        match outcome {
            Ok(()) => {
                self.take_end();
                StepEnd::Done
            }
            Err(end) => end,
        }
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
            let mut to = from + 1;
            while to < batch.len() && to - from < try_at_once {
                match self.event_timer_is_due(chain, times[to]) {
                    Ok(true) => break,
                    Ok(false) => to += 1,
                    Err(error) => return Err(trouble(&error)),
                }
            }
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
        let fired = self.fire(chain, &moment, written);
        self.fired(fired)
    }

    /// Fires what is due where the task stands, between records.
    pub(crate) fn fire_now(&mut self, chain: &mut Chain, now: Timestamp, written: &mut Written) -> StepEnd {
        let topic = Arc::clone(&self.at.topic);
        let moment = Moment {
            stream_time: self.stream_time,
            now,
            clocks: &Clock::ALL,
            cause: (&topic, self.at.partition, self.next.0 - 1),
        };
        let fired = self.fire(chain, &moment, written);
        match self.fired(fired) {
            Ok(()) => {
                self.take_end();
                StepEnd::Done
            }
            Err(end) => end,
        }
    }

    fn fired(&mut self, fired: Fired) -> Result<(), StepEnd> {
        self.fires = matches!(fired, Fired::More | Fired::Isolate { .. });
        match fired {
            Fired::All => Ok(()),
            Fired::More => Err(StepEnd::More),
            Fired::Isolate { why } => Err(StepEnd::IsolateTimers { why }),
            Fired::Stopped { verdict } => Err(StepEnd::Stopped {
                at: self.next.0,
                verdict,
            }),
            Fired::Trouble { why, is_damaged } => Err(StepEnd::Trouble { why, is_damaged }),
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
            let keep: Vec<usize> = (range.start..end)
                .filter(|i| !self.verdicts.contains_key(&batch.offsets[*i]))
                .collect();
            let outcome = if keep.len() == batch.len() {
                self.attempt(chain, batch, times, now)
            } else if keep.is_empty() {
                Ok(Vec::new())
            } else {
                let mut some = batch.filtered(|i| keep.binary_search(&i).is_ok());
                let some_times: Vec<_> = keep.iter().map(|i| times[*i]).collect();
                // Back to indexes of the whole batch, which dead letters and origins use.
                self.attempt(chain, &mut some, &some_times, now)
                    .map(|outgoing| reroot(outgoing, &keep, &some))
                    .map_err(|error| reroot_error(error, &keep))
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
                    return Err(StepEnd::Trouble {
                        why: error.to_string(),
                        is_damaged: error.kind == CallErrorKind::StoreDamaged,
                    });
                }
                // A call of a single record has failed; its batch may have been cut for timers.
                Err(StepError::Call(node, error)) if keep.len() == 1 && batch.len() == 1 => {
                    let failure = Failure {
                        index: 0,
                        code: error.kind.code().to_owned(),
                        message: error.message,
                        detail: error.detail,
                    };
                    self.convict_node(chain, batch.offsets[keep[0]], node, failure);
                }
                Err(why) => return Err(StepEnd::Isolate { why }),
            }
        }
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
        for slot in &mut self.states {
            if let Some(state) = &mut slot.0 {
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
                self.keep();
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
            if let Some(time) = set {
                let lateness = chain.lateness(node);
                let at = times.partition_point(|stream_time| watermark(*stream_time, lateness) < time);
                cut = Some(cut.map_or(at, |before| before.min(at)));
            }
        }
        // After the last record they fire without a cut.
        cut.filter(|at| *at < times.len() && times.len() > 1)
    }

    pub(crate) fn savepoints(&mut self) -> Vec<Option<u64>> {
        self.states
            .iter_mut()
            .map(|slot| slot.0.as_mut().map(|state| state.savepoint()))
            .collect()
    }

    pub(crate) fn keep(&mut self) {
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
            let (node, plugin) = self.names(chain, verdict.culprit);
            let letter = DeadLetter {
                pipeline: &chain.pipeline,
                node: &node,
                plugin: &plugin,
                code: &verdict.failure.code,
                message: &verdict.failure.message,
                detail: &verdict.failure.detail,
            };
            letter.push(batch, i, written.letters(&self.at));
        }
    }

    /// The node's name and its plugin's `name@version`, for messages and dead letters.
    pub(crate) fn names(&self, chain: &Chain, culprit: Culprit) -> (String, String) {
        match culprit {
            Culprit::Node(id) => {
                let node = chain.node(id);
                let plugin = format!("{}@{}", node.description.name, node.description.version);
                (node.name.to_string(), plugin)
            }
            Culprit::Key | Culprit::Output | Culprit::Request => {
                (chain.plan.inputs[self.route].name.to_string(), String::new())
            }
        }
    }
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

fn trouble(error: &StoreError) -> StepEnd {
    StepEnd::Trouble {
        why: error.to_string(),
        is_damaged: CallErrorKind::of_store(error) == CallErrorKind::StoreDamaged,
    }
}
