//! One batch through the transforms of a sub-topology. Pure but for the transforms and the state
//! they are given: nothing is written to the log here, so a failed step can be undone.

use std::sync::Arc;

use record::error::Failure;
use record::offset::Timestamp;
use record::timer::{Clock, Timer};
use record::topology::{InputRoute, Node, NodeId, SubTopology, Target, TopicId};
use record::transform::{Call, CallError, CallErrorKind, StateSlot, TimerCall, Transform};
use record::{Batch, Column, Headers};

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

/// A sub-topology's transforms on one worker.
pub(crate) struct Chain {
    pub(crate) pipeline: Arc<str>,
    pub(crate) plan: Arc<SubTopology>,
    transforms: Vec<Box<dyn Transform>>,
    timed: Vec<usize>,
}

impl Chain {
    pub(crate) fn new(pipeline: Arc<str>, plan: Arc<SubTopology>, transforms: Vec<Box<dyn Transform>>) -> Self {
        let timed = (0..plan.nodes.len())
            .filter(|i| plan.nodes[*i].description.sets_timers)
            .collect();
        Self {
            pipeline,
            plan,
            transforms,
            timed,
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.plan.nodes[id.0 as usize]
    }

    /// Drops what the instances remember: after an undone call and a change of the assignment.
    pub(crate) fn recycle(&mut self) -> Result<(), StepError> {
        for (i, transform) in self.transforms.iter_mut().enumerate() {
            // No record is guilty of this: the step is tried again.
            transform.recycle().map_err(|mut error| {
                error.kind = CallErrorKind::Store;
                StepError::Call(NodeId(i as u32), error)
            })?;
        }
        Ok(())
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
        let mut step = Step {
            arrived: vec![Vec::new(); self.transforms.len()],
            outgoing: Vec::new(),
        };
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
            let emitted = self.transforms[i].process(call).map_err(|e| StepError::Call(node, e))?;
            check_failures(node, &emitted.failures, input)?;
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
        let mut step = Step {
            arrived: vec![Vec::new(); self.transforms.len()],
            outgoing: Vec::new(),
        };
        let call = TimerCall {
            clock: due.clock,
            timers: due.batch,
            names: &mut names,
            stream_time,
            lateness: self.lateness(i),
            now,
            state: &mut states[i],
        };
        let emitted = self.transforms[i]
            .on_timers(call)
            .map_err(|e| StepError::Call(due.node, e))?;
        check_failures(due.node, &emitted.failures, due.batch)?;
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
            let Some(mut batch) = merge_by_root(arrived) else {
                continue;
            };
            let times: Vec<Timestamp> = (0..batch.len()).map(|r| stream_time(batch.root(r))).collect();
            let call = Call {
                batch: &mut batch,
                input: Some(input),
                stream_times: &times,
                // What one root has caused arrives here as one batch.
                siblings_before: 0,
                lateness: self.lateness(i),
                now,
                state,
            };
            let emitted = self.transforms[i].process(call).map_err(|e| StepError::Call(id, e))?;
            check_failures(id, &emitted.failures, &batch)?;
            step.send(&self.plan.nodes[i], &emitted, &batch);
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
    Err(StepError::Records(
        failures
            .iter()
            .map(|failure| (batch.root(failure.index as usize), id, failure.clone()))
            .collect(),
    ))
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

/// A failure of the state store is nobody's record: the task waits instead of convicting one.
pub(crate) fn convicts(error: &CallError) -> bool {
    !matches!(error.kind, CallErrorKind::Store | CallErrorKind::StoreDamaged)
}

struct Step {
    /// For each node what has arrived from each edge.
    arrived: Vec<Vec<Batch>>,
    outgoing: Vec<(TopicId, u8, Vec<Option<Batch>>)>,
}

impl Step {
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

    fn send(&mut self, node: &Node, emitted: &record::transform::Emitted, parents: &Batch) {
        for (port, targets) in node.ports.iter().enumerate() {
            let Some((last, others)) = targets.split_last() else {
                continue;
            };
            let mut batch = Batch::new(Arc::clone(&parents.topic), parents.partition);
            batch.extend_from_port(emitted, port as u8, parents);
            if batch.is_empty() {
                continue;
            }
            batch.headers.finish(batch.timestamps.len());
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
