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
use std::sync::Arc;

use record::error::Failure;
use record::log::{Committed, Position};
use record::offset::Timestamp;
use record::origin::{DeadLetter, PositionNote};
use record::store::InputPosition;
use record::topology::{NodeId, OnError};
use record::transform::{CallError, CallErrorKind, StateSlot};
use record::{Batch, NextOffset, TopicPartition};

use crate::chain::{Chain, Outgoing, StepError, convicts};
use crate::keys;

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

/// What a step of a task asks the worker to write.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) dead_letters: Option<Batch>,
    /// How many records were read, dead-lettered, skipped.
    pub(crate) read: usize,
    pub(crate) skipped: usize,
}

/// How a step ended.
#[derive(Debug)]
pub(crate) enum StepEnd {
    /// All of the batch is done.
    Done(Written),
    /// The whole call failed and was undone: the worker commits what came before, and then the
    /// batch is run record by record.
    Isolate { why: StepError },
    /// The part before a record whose policy is `fail` is done; the task stands at that record.
    Stopped {
        written: Written,
        at: i64,
        verdict: Verdict,
    },
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

    /// Whether there is anything to commit.
    pub(crate) fn is_advanced(&self) -> bool {
        self.next != self.committed_next || self.position_is_new
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
    }

    /// Nothing is left to read before `end`, control records included.
    pub(crate) fn reached(&mut self, end: NextOffset) {
        if self.queue.is_empty() {
            self.next = self.next.max(end);
        } else {
            self.end = Some(end);
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
    pub(crate) fn step(&mut self, chain: &mut Chain, batch: &mut Batch, now: Timestamp) -> StepEnd {
        if batch.offsets.first().is_some_and(|first| *first < self.next.0) {
            let next = self.next.0;
            *batch = batch.filtered(|i| batch.offsets[i] >= next);
        }
        if batch.is_empty() {
            return StepEnd::Done(Written::default());
        }
        let plan = Arc::clone(&chain.plan);
        let route = &plan.inputs[self.route];
        if let Some(pointer) = &route.key {
            for (i, failure) in keys::set_keys(batch, pointer) {
                let verdict = Verdict {
                    culprit: Culprit::Key,
                    policy: route.on_undecodable,
                    failure,
                };
                self.verdicts.entry(batch.offsets[i]).or_insert(verdict);
            }
        }
        let mut times = Vec::with_capacity(batch.len());
        let mut stream_time = self.stream_time;
        for timestamp in &batch.timestamps {
            stream_time = stream_time.max(*timestamp);
            times.push(stream_time);
        }
        loop {
            let stop = self.first_stop(batch);
            let read = stop.unwrap_or(batch.len());
            let first = batch.offsets[0];
            let convicted = stop.is_some() || self.verdicts.range(first..).next().is_some();
            let outcome = if convicted {
                let keep: Vec<usize> = (0..read)
                    .filter(|i| !self.verdicts.contains_key(&batch.offsets[*i]))
                    .collect();
                let mut clean = batch.filtered(|i| keep.binary_search(&i).is_ok());
                let clean_times: Vec<_> = keep.iter().map(|i| times[*i]).collect();
                let outcome = if clean.is_empty() {
                    Ok(Vec::new())
                } else {
                    self.attempt(chain, &mut clean, &clean_times, now)
                };
                // Back to indexes of the whole batch, which dead letters and origins use.
                outcome
                    .map(|outgoing| reroot(outgoing, &keep, &clean))
                    .map_err(|error| reroot_error(error, &keep))
            } else {
                self.attempt(chain, batch, &times, now)
            };
            match outcome {
                Ok(outgoing) => {
                    let mut written = Written {
                        outgoing,
                        read,
                        ..Written::default()
                    };
                    self.dispose(chain, batch, read, &mut written);
                    if read > 0 {
                        self.has_worked = true;
                        self.next = record::RecordOffset(batch.offsets[read - 1]).next();
                        self.stream_time = times[read - 1];
                    }
                    let Some(stop) = stop else {
                        if self.queue.is_empty()
                            && let Some(end) = self.end.take()
                        {
                            self.next = self.next.max(end);
                        }
                        return StepEnd::Done(written);
                    };
                    let at = batch.offsets[stop];
                    return StepEnd::Stopped {
                        written,
                        at,
                        verdict: self.verdicts[&at].clone(),
                    };
                }
                Err(StepError::Records(failures)) => {
                    for (root, node, failure) in failures {
                        let verdict = Verdict {
                            culprit: Culprit::Node(node),
                            policy: chain.node(node).on_error,
                            failure,
                        };
                        self.verdicts.insert(batch.offsets[root], verdict);
                    }
                }
                Err(StepError::Call(_, error)) if !convicts(&error) => {
                    return StepEnd::Trouble {
                        why: error.to_string(),
                        is_damaged: error.kind == CallErrorKind::StoreDamaged,
                    };
                }
                Err(StepError::Call(node, error)) if read == 1 => {
                    let failure = Failure {
                        index: 0,
                        code: error.kind.code().to_owned(),
                        message: error.message,
                        detail: error.detail,
                    };
                    let verdict = Verdict {
                        culprit: Culprit::Node(node),
                        policy: chain.node(node).on_error,
                        failure,
                    };
                    self.verdicts.insert(batch.offsets[0], verdict);
                }
                Err(why) => return StepEnd::Isolate { why },
            }
        }
    }

    /// The index of the first record whose policy is `fail`.
    fn first_stop(&self, batch: &Batch) -> Option<usize> {
        if self.verdicts.is_empty() {
            return None;
        }
        batch.offsets.iter().position(|offset| {
            self.verdicts
                .get(offset)
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
        let points: Vec<Option<u64>> = self
            .states
            .iter_mut()
            .map(|slot| slot.0.as_mut().map(|state| state.savepoint()))
            .collect();
        let plan = Arc::clone(&chain.plan);
        let outcome = chain.run(&plan.inputs[self.route], batch, &mut self.states, times, now);
        match outcome {
            Ok(outgoing) => {
                for state in self.states.iter_mut().filter_map(|slot| slot.0.as_mut()) {
                    state.keep();
                }
                Ok(outgoing)
            }
            Err(error) => {
                for (slot, point) in self.states.iter_mut().zip(points) {
                    if let (Some(state), Some(point)) = (&mut slot.0, point)
                        && let Err(rollback) = state.rollback(point)
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
                chain.recycle()?;
                Err(error)
            }
        }
    }

    /// Dead letters and skips among the first `read` records.
    fn dispose(&self, chain: &Chain, batch: &Batch, read: usize, written: &mut Written) {
        if self.verdicts.is_empty() {
            return;
        }
        for i in 0..read {
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
            let letters = written
                .dead_letters
                .get_or_insert_with(|| Batch::new(Arc::clone(&batch.topic), batch.partition));
            letter.push(batch, i, letters);
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
        call @ StepError::Call(..) => call,
    }
}
