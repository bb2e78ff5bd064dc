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

use record::error::Failure;
use record::log::{Committed, Position};
use record::offset::Timestamp;
use record::origin::{DeadLetter, PositionNote};
use record::store::InputPosition;
use record::topology::{NodeId, OnError};
use record::transform::StateSlot;
use record::{Batch, NextOffset, TopicPartition};

use crate::chain::Chain;
use crate::timers::TimerId;

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

impl Verdict {
    /// The dead letter of what failed. `names`: see [`ProcessTask::names`].
    pub(crate) fn letter<'a>(&'a self, chain: &'a Chain, names: &'a (String, String)) -> DeadLetter<'a> {
        DeadLetter {
            pipeline: &chain.pipeline,
            node: &names.0,
            plugin: &names.1,
            code: &self.failure.code,
            message: &self.failure.message,
            detail: &self.failure.detail,
        }
    }
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
    /// It stands because its state could not be migrated: another version of the plugin may do it.
    pub(crate) is_unmigrated: bool,
    /// The partition is paused until the queue is worked off.
    pub(crate) is_held: bool,
    /// Records up to here are run one per transaction, because the log refused an output.
    pub(crate) solo_until: Option<i64>,
    pub(crate) verdicts: BTreeMap<i64, Verdict>,
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
            is_unmigrated: false,
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

    /// Forgets what transforms were convicted of. What somebody asked to skip, and records without their
    /// key, stay.
    pub(crate) fn forgive(&mut self) {
        let stays = |verdict: &Verdict| matches!(verdict.culprit, Culprit::Request | Culprit::Key);
        self.verdicts.retain(|_, verdict| stays(verdict));
        self.timer_verdicts.clear();
        self.disposed_timers.clear();
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

    /// Where the task stands; the state version is that of no node yet.
    pub(crate) fn input_position(&self) -> InputPosition {
        InputPosition {
            input: self.at.clone(),
            topic_id: self.topic_id.clone(),
            next: self.next,
            stream_time: self.stream_time,
            state_version: 0,
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
    pub(crate) fn take_end(&mut self) {
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
