//! One batch through the transforms of a sub-topology. Pure but for the transforms and the state
//! they are given: nothing is written to the log here, so a failed step can be undone.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::error::Failure;
use record::log::PollLimit;
use record::offset::Timestamp;
use record::timer::{Clock, Timer};
use record::topology::{InputRoute, Node, NodeId, SubTopology, Target, TopicId};
use record::transform::{Call, CallError, CallErrorKind, Emitted, StateSlot, TimerCall, Transform};
use record::{Batch, Column, Headers};

use crate::stats::Flow;
use crate::tap::Taps;

/// A batch of many records is given up after so long, and its records are run one by one: the
/// transaction that it is part of must not end before it does.
const STEP_TIME_MAX: Duration = Duration::from_secs(5);

/// What a step leaves for one topic.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Where it goes.
    pub(crate) topic: TopicId,
    /// The input of the transform behind a repartition topic.
    pub(crate) input: u8,
    /// The records; `roots` point into the task's input batch. `None`: the input batch itself.
    pub(crate) batch: Option<Batch>,
}

impl Outgoing {
    /// The records, to be changed: a copy of the input batch where they are that batch.
    pub(crate) fn own(&mut self, input: &Batch) -> &mut Batch {
        self.batch.get_or_insert_with(|| {
            let mut whole = input.clone();
            whole.roots.clear();
            whole
        })
    }
}

/// Why a step failed. Nothing of it counts.
#[derive(Debug)]
pub(crate) enum StepError {
    /// A transform named records of the input batch that it cannot process: (root, node, why).
    Records(Vec<(usize, NodeId, Failure)>),
    /// A whole call failed; any of the records may be the guilty one.
    Call(NodeId, CallError),
    /// A timer was set that fires before this record of the batch, or right after an earlier one.
    Cut(usize),
}

impl std::fmt::Display for StepError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Records(failures) => write!(f, "{} records failed", failures.len()),
            Self::Call(_, error) => error.fmt(f),
            Self::Cut(at) => write!(f, "a timer fires before record {at} of the batch"),
        }
    }
}

/// A sub-topology's transforms on one worker.
pub(crate) struct Chain {
    pub(crate) pipeline: Arc<str>,
    pub(crate) plan: Arc<SubTopology>,
    transforms: Vec<Box<dyn Transform>>,
    timed: Vec<usize>,
    watch: Watch,
}

/// Who looks at what goes through a chain.
#[derive(Default)]
pub(crate) struct Watch {
    /// One per node.
    pub(crate) flows: Vec<Arc<Flow>>,
    pub(crate) taps: Taps,
}

impl Watch {
    /// A call has succeeded.
    fn saw(&self, plan: &SubTopology, i: usize, began: Instant, emitted: &Emitted, batch: &Batch, input: &Batch) {
        if let Some(flow) = self.flows.get(i) {
            flow.read(batch.len());
            flow.wrote(emitted.count as usize);
            flow.time.observe(began.elapsed(), batch.len() as u64);
        }
        let node = &plan.nodes[i];
        if !self.taps.looks_at(&node.name) {
            return;
        }
        for (port, description) in node.description.ports.iter().enumerate() {
            let out = Batch::of_port(emitted, port as u8, batch);
            self.taps.show(&node.name, Some(&description.name), &out, Some(input));
        }
    }
}

impl Chain {
    pub(crate) fn new(
        pipeline: Arc<str>,
        plan: Arc<SubTopology>,
        transforms: Vec<Box<dyn Transform>>,
        watch: Watch,
    ) -> Self {
        let timed = (0..plan.nodes.len())
            .filter(|i| plan.nodes[*i].description.sets_timers)
            .collect();
        Self {
            pipeline,
            plan,
            transforms,
            timed,
            watch,
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.plan.nodes[id.0 as usize]
    }

    /// Lets a node change what an earlier state version of it has stored.
    pub(crate) fn migrate(&mut self, node: usize, from: u32, now: i64, state: &mut StateSlot) -> Result<(), CallError> {
        match self.transforms.get_mut(node) {
            Some(transform) => transform.migrate(from, now, state),
            None => Ok(()),
        }
    }

    /// Drops what the instances remember: after an undone call and a change of the assignment.
    pub(crate) fn recycle(&mut self) -> Result<(), StepError> {
        for (i, transform) in self.transforms.iter_mut().enumerate() {
            // No record is guilty of this: the step is tried again.
            transform.recycle().map_err(|mut error| {
                error.kind = CallErrorKind::Unavailable;
                StepError::Call(NodeId(i as u32), error)
            })?;
        }
        Ok(())
    }

    /// The step that was run has succeeded.
    pub(crate) fn keep(&mut self) {
        for transform in &mut self.transforms {
            transform.keep();
        }
    }

    /// Runs a task's input batch. `states` has one slot per node; `stream_times` one entry per
    /// record of `input`.
    pub(crate) fn run(
        &mut self,
        route: &InputRoute,
        input: &mut Batch,
        states: &mut [StateSlot],
        stream_times: &[Timestamp],
        now: Timestamp,
    ) -> Result<Vec<Outgoing>, StepError> {
        let mut step = Step::new(self.transforms.len());
        // The common case, one transform and nothing else reads the input: no copy of it.
        let alone = match route.targets.as_slice() {
            [Target::Node { node, input: number }] => {
                if *number != 0 && input.inputs.is_empty() {
                    input.inputs = vec![*number; input.len()];
                }
                Some(*node)
            }
            targets => {
                for target in targets {
                    step.send_input(target, input);
                }
                None
            }
        };
        if let Some(node) = alone {
            let i = node.0 as usize;
            let call = Call {
                batch: input,
                input: None,
                stream_times,
                siblings_before: 0,
                lateness: self.lateness(i),
                now,
                state: &mut states[i],
            };
            let began = Instant::now();
            let emitted = self.transforms[i].process(call).map_err(|e| StepError::Call(node, e))?;
            check_failures(node, &emitted.failures, input)?;
            self.watch.saw(&self.plan, i, began, &emitted, input, input);
            step.send(&self.plan.nodes[i], &emitted, input);
        }
        self.flow(&mut step, input, states, now, |root| stream_times[root])?;
        Ok(step.finish())
    }

    /// Runs timers of one clock and one time that a node has set: one record per timer, its key, no
    /// value, its time. What leaves has roots that are numbers of timers.
    pub(crate) fn run_timers(
        &mut self,
        due: &mut Due<'_>,
        states: &mut [StateSlot],
        stream_time: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Outgoing>, StepError> {
        let i = due.node.0 as usize;
        let mut names: Column = due.timers.iter().map(|timer| Some(timer.name.as_bytes())).collect();
        let mut step = Step::new(self.transforms.len());
        let call = TimerCall {
            clock: due.clock,
            timers: due.batch,
            names: &mut names,
            stream_time,
            lateness: self.lateness(i),
            now,
            state: &mut states[i],
        };
        let began = Instant::now();
        let emitted = self.transforms[i]
            .on_timers(call)
            .map_err(|e| StepError::Call(due.node, e))?;
        check_failures(due.node, &emitted.failures, due.batch)?;
        self.watch.saw(&self.plan, i, began, &emitted, due.batch, due.batch);
        step.send(&self.plan.nodes[i], &emitted, due.batch);
        self.flow(&mut step, due.batch, states, now, |_| stream_time)?;
        Ok(step.finish())
    }

    /// Runs what has arrived at each node, in topological order. `input` is what roots point into.
    fn flow(
        &mut self,
        step: &mut Step,
        input: &Batch,
        states: &mut [StateSlot],
        now: Timestamp,
        stream_time: impl Fn(usize) -> Timestamp,
    ) -> Result<(), StepError> {
        for (i, state) in states.iter_mut().enumerate() {
            let id = NodeId(i as u32);
            let arrived = std::mem::take(&mut step.arrived[i]);
            let Some(mut arrived) = merge_by_root(arrived) else {
                continue;
            };
            let mut failures = Vec::new();
            for range in calls(&arrived) {
                // One record may take as long as it needs; many are run one by one instead.
                if input.len() > 1 && step.started.elapsed() > STEP_TIME_MAX {
                    return Err(StepError::Call(id, too_long()));
                }
                let siblings_before = siblings_before(&arrived, range.start);
                let mut part;
                let batch = if range.len() == arrived.len() {
                    &mut arrived
                } else {
                    part = arrived.slice(range);
                    &mut part
                };
                let times: Vec<Timestamp> = (0..batch.len()).map(|r| stream_time(batch.root(r))).collect();
                let call = Call {
                    batch,
                    input: Some(input),
                    stream_times: &times,
                    siblings_before,
                    lateness: self.lateness(i),
                    now,
                    state,
                };
                let began = Instant::now();
                let emitted = self.transforms[i].process(call).map_err(|e| StepError::Call(id, e))?;
                if emitted.failures.is_empty() {
                    self.watch.saw(&self.plan, i, began, &emitted, batch, input);
                }
                failures.extend(rooted(id, &emitted.failures, batch));
                if failures.is_empty() {
                    step.send(&self.plan.nodes[i], &emitted, batch);
                }
            }
            if !failures.is_empty() {
                return Err(StepError::Records(failures));
            }
        }
        Ok(())
    }

    pub(crate) fn lateness(&self, node: usize) -> Timestamp {
        Timestamp::try_from(self.plan.nodes[node].lateness.as_millis()).unwrap_or(Timestamp::MAX)
    }

    /// The nodes that set timers.
    pub(crate) fn timed(&self) -> &[usize] {
        &self.timed
    }
}

/// Timers of one node that are due.
pub(crate) struct Due<'a> {
    pub(crate) node: NodeId,
    pub(crate) clock: Clock,
    pub(crate) timers: &'a [Timer],
    /// One record per timer.
    pub(crate) batch: &'a mut Batch,
}

fn check_failures(id: NodeId, failures: &[Failure], batch: &Batch) -> Result<(), StepError> {
    if failures.is_empty() {
        return Ok(());
    }
    Err(StepError::Records(rooted(id, failures, batch).collect()))
}

/// Failures by the root of their record.
fn rooted(id: NodeId, failures: &[Failure], batch: &Batch) -> impl Iterator<Item = (usize, NodeId, Failure)> {
    failures
        .iter()
        .map(move |failure| (batch.root(failure.index as usize), id, failure.clone()))
}

/// A batch in calls of as many records and bytes as batches from the log have: what one record has
/// become, or many, may be any number.
fn calls(batch: &Batch) -> Vec<Range<usize>> {
    let limit = PollLimit::default();
    if batch.len() <= limit.records && batch.bytes() <= limit.bytes {
        return std::iter::once(0..batch.len()).collect();
    }
    let mut calls = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for i in 0..batch.len() {
        let own = batch.bytes_of(i);
        if i > start && (i - start == limit.records || bytes + own > limit.bytes) {
            calls.push(start..i);
            (start, bytes) = (i, 0);
        }
        bytes += own;
    }
    calls.push(start..batch.len());
    calls
}

/// How many records before this one have the same root.
fn siblings_before(batch: &Batch, i: usize) -> u32 {
    let root = batch.root(i);
    let siblings = (0..i).rev().take_while(|before| batch.root(*before) == root);
    siblings.count() as u32
}

fn too_long() -> CallError {
    CallError {
        kind: CallErrorKind::TimedOut,
        message: format!("the batch took longer than {STEP_TIME_MAX:?}"),
        detail: String::new(),
    }
}

/// What a call that has failed says of the only record or timer in it.
pub(crate) fn failure_of(error: &CallError) -> Failure {
    Failure {
        index: 0,
        code: error.kind.code().to_owned(),
        message: error.message.clone(),
        detail: error.detail.clone(),
    }
}

/// A failure of the state store, or of what plugins share, is no record's: the task waits instead of
/// convicting one.
pub(crate) fn convicts(error: &CallError) -> bool {
    !matches!(
        error.kind,
        CallErrorKind::Unavailable | CallErrorKind::Store | CallErrorKind::StoreDamaged
    )
}

struct Step {
    started: Instant,
    /// For each node what has arrived from each edge.
    arrived: Vec<Vec<Batch>>,
    outgoing: Vec<(TopicId, u8, Vec<Option<Batch>>)>,
}

impl Step {
    fn new(nodes: usize) -> Self {
        Self {
            started: Instant::now(),
            arrived: vec![Vec::new(); nodes],
            outgoing: Vec::new(),
        }
    }

    fn send_input(&mut self, target: &Target, input: &Batch) {
        match target {
            Target::Node { node, input: number } => {
                let mut batch = input.clone();
                batch.roots = (0..batch.len() as u32).collect();
                if *number != 0 && batch.inputs.is_empty() {
                    batch.inputs = vec![*number; batch.len()];
                }
                self.arrived[node.0 as usize].push(batch);
            }
            Target::Topic { topic, input: number } => self.leave(*topic, *number, None),
        }
    }

    fn send(&mut self, node: &Node, emitted: &Emitted, parents: &Batch) {
        for (port, targets) in node.ports.iter().enumerate() {
            let Some((last, others)) = targets.split_last() else {
                continue;
            };
            let batch = Batch::of_port(emitted, port as u8, parents);
            if batch.is_empty() {
                continue;
            }
            for target in others {
                self.arrive(target, batch.clone());
            }
            self.arrive(last, batch);
        }
    }

    fn arrive(&mut self, target: &Target, mut batch: Batch) {
        match target {
            Target::Node { node, input } => {
                if *input != 0 {
                    batch.inputs = vec![*input; batch.len()];
                }
                self.arrived[node.0 as usize].push(batch);
            }
            Target::Topic { topic, input } => self.leave(*topic, *input, Some(batch)),
        }
    }

    fn leave(&mut self, topic: TopicId, input: u8, batch: Option<Batch>) {
        match self.outgoing.iter_mut().find(|(t, i, _)| *t == topic && *i == input) {
            Some((_, _, batches)) => batches.push(batch),
            None => self.outgoing.push((topic, input, vec![batch])),
        }
    }

    fn finish(self) -> Vec<Outgoing> {
        let mut outgoing = Vec::with_capacity(self.outgoing.len());
        for (topic, input, batches) in self.outgoing {
            let (own, whole): (Vec<_>, Vec<_>) = batches.into_iter().partition(Option::is_some);
            for _ in whole {
                outgoing.push(Outgoing {
                    topic,
                    input,
                    batch: None,
                });
            }
            if let Some(batch) = merge_by_root(own.into_iter().flatten().collect()) {
                outgoing.push(Outgoing {
                    topic,
                    input,
                    batch: Some(batch),
                });
            }
        }
        outgoing
    }
}

/// Several edges into one place: their records in the order of the task's input, so that the
/// order does not depend on how the input was cut into batches.
fn merge_by_root(mut batches: Vec<Batch>) -> Option<Batch> {
    if batches.len() < 2 {
        return batches.pop();
    }
    let mut order: Vec<(usize, usize, usize)> = batches
        .iter()
        .enumerate()
        .flat_map(|(edge, batch)| (0..batch.len()).map(move |i| (batch.root(i), edge, i)))
        .collect();
    order.sort_unstable();
    let tagged = batches.iter().any(|batch| !batch.inputs.is_empty());
    let mut merged = Batch::new(Arc::clone(&batches[0].topic), batches[0].partition);
    for (root, edge, i) in order {
        let batch = &batches[edge];
        let at = merged.len();
        merged.push(batch.keys.get(i), batch.values.get(i), batch.timestamps[i]);
        if !batch.headers.is_left_out() {
            copy_headers(&batch.headers, i, &mut merged.headers, at);
        }
        if tagged {
            merged.inputs.push(batch.inputs.get(i).copied().unwrap_or(0));
        }
        merged.roots.push(root as u32);
    }
    let n = merged.len();
    merged.headers.finish(n);
    Some(merged)
}

fn copy_headers(from: &Headers, i: usize, to: &mut Headers, at: usize) {
    for (name, value) in from.of(i) {
        to.push(name, value);
    }
    to.close(at);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(values: &[usize], roots: &[u32]) -> Batch {
        let mut batch = Batch::new(Arc::from("in"), 0);
        for bytes in values {
            batch.push(None, Some(&vec![b'x'; *bytes]), 0);
        }
        batch.roots = roots.to_vec();
        batch
    }

    #[test]
    fn what_many_records_have_become_is_run_in_several_calls() {
        let of = |count| calls(&batch(&vec![1; count], &vec![0; count]));
        assert_eq!(of(256).len(), 1);
        assert_eq!(of(600), [0..256, 256..512, 512..600]);
        let mib = 1 << 20;
        let large = batch(&[mib / 2, mib / 2, 1, 3 * mib, 1, mib], &[0; 6]);
        assert_eq!(calls(&large), [0..2, 2..3, 3..4, 4..5, 5..6]);
    }

    #[test]
    fn siblings_are_counted_across_calls() {
        let batch = batch(&[1; 6], &[0, 0, 1, 1, 1, 2]);
        let found: Vec<u32> = (0..6).map(|i| siblings_before(&batch, i)).collect();
        assert_eq!(found, [0, 1, 0, 1, 2, 0]);
    }
}
