//! One batch through the transforms of a sub-topology. Pure but for the transforms and the state
//! they are given: nothing is written to the log here, so a failed step can be undone.

use std::sync::Arc;

use record::error::Failure;
use record::offset::Timestamp;
use record::topology::{InputRoute, Node, NodeId, SubTopology, Target, TopicId};
use record::transform::{Call, CallError, CallErrorKind, StateSlot, Transform};
use record::{Batch, Headers};

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

/// Why a step failed. Nothing of it counts.
#[derive(Debug)]
pub(crate) enum StepError {
    /// A transform named records of the input batch that it cannot process: (root, node, why).
    Records(Vec<(usize, NodeId, Failure)>),
    /// A whole call failed; any of the records may be the guilty one.
    Call(NodeId, CallError),
}

/// A sub-topology's transforms on one worker.
pub(crate) struct Chain {
    pub(crate) pipeline: Arc<str>,
    pub(crate) plan: Arc<SubTopology>,
    transforms: Vec<Box<dyn Transform>>,
}

impl Chain {
    pub(crate) fn new(pipeline: Arc<str>, plan: Arc<SubTopology>, transforms: Vec<Box<dyn Transform>>) -> Self {
        Self {
            pipeline,
            plan,
            transforms,
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
        for (i, (transform, state)) in self.transforms.iter_mut().zip(states).enumerate() {
            let id = NodeId(i as u32);
            if alone == Some(id) {
                let call = Call {
                    batch: input,
                    input: None,
                    stream_times,
                    siblings_before: 0,
                    now,
                    state,
                };
                let emitted = transform.process(call).map_err(|e| StepError::Call(id, e))?;
                check_failures(id, &emitted.failures, input)?;
                step.send(&self.plan.nodes[i], &emitted, input);
                continue;
            }
            let arrived = std::mem::take(&mut step.arrived[i]);
            let Some(mut batch) = merge_by_root(arrived) else {
                continue;
            };
            let times: Vec<Timestamp> = (0..batch.len()).map(|r| stream_times[batch.root(r)]).collect();
            let call = Call {
                batch: &mut batch,
                input: Some(input),
                stream_times: &times,
                // What one root has caused arrives here as one batch.
                siblings_before: 0,
                now,
                state,
            };
            let emitted = transform.process(call).map_err(|e| StepError::Call(id, e))?;
            check_failures(id, &emitted.failures, &batch)?;
            step.send(&self.plan.nodes[i], &emitted, &batch);
        }
        Ok(step.finish())
    }
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
