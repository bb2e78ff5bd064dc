//! Whether a pipeline may start in this process: what ran before it, here or elsewhere, has left what it can go
//! on with. The same as for a reload holds for who stops, changes a file, and starts again.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use record::TopicPartition;
use record::error::Code;
use record::log::{Edge, Log, LogError};

use super::kept::{ORPHANED, Unread, orphans, unread};
use super::restart::NOT_DRAINED;
use super::switch::{OrderWatch, SILENT};
use super::{Prepared, Supervisor};
use crate::compose::{LogPlace, TIMEOUT};
use crate::failure::Failure;
use crate::generation::{Generation, Holdings, KeptState, Notes, Order, Said};
use crate::reset::Reset;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long what a process that has died had begun may take to end: the longest of a transaction, and more.
const OPEN_TIME: Duration = Duration::from_secs(90);

impl Supervisor {
    /// Lets a pipeline start: its plan is in force, or comes in force now.
    pub(super) fn admit(&mut self, prepared: Prepared) -> Result<Prepared, Failure> {
        // Nothing was before it.
        if prepared.pipeline.place == LogPlace::Embedded(None) {
            return Ok(prepared);
        }
        let name = Arc::clone(&prepared.pipeline.topology.pipeline);
        let failed =
            |error: LogError| Failure::log(format!("cannot read which plan of pipeline `{name}` is in force"))(error);
        let notes = Notes::of(&prepared.pipeline, &prepared.place.log);
        let own = prepared.place.process_id.clone();
        let said = self.until_nobody_switches(&notes, &prepared).map_err(failed)?;
        if said.ready.contains_key(&own) {
            notes.announce(&own, None).map_err(failed)?;
        }
        let prepared = match &said.in_force {
            Some(before) if before.plan == prepared.pipeline.plan_hash => prepared,
            before => {
                // The run refuses to be the only one with its plan, and says who has another.
                let others = task::members(&*prepared.place.log, &prepared.pipeline.topology).map_err(failed)?;
                if others.iter().any(|other| !other.is_process(&own)) {
                    return Ok(prepared);
                }
                let prepared = match before {
                    Some(before) => self.succeed(prepared, before)?,
                    None => prepared,
                };
                let (plan, topology) = (&prepared.pipeline.plan_hash, &prepared.pipeline.topology);
                if !notes.put_in_force(plan, topology, before.as_ref()).map_err(failed)? {
                    tracing::info!(
                        pipeline = &*name,
                        topic = prepared.pipeline.control_topic,
                        "the control topic is not there: a later start with another plan is not checked"
                    );
                }
                prepared
            }
        };
        if said.order.is_some() {
            notes.order(None).map_err(failed)?;
        }
        Ok(prepared)
    }

    /// Waits while a process brings the pipeline to another plan. One that is silent has died.
    fn until_nobody_switches(&self, notes: &Notes, prepared: &Prepared) -> Result<Said, LogError> {
        let mut watch = OrderWatch::default();
        let mut is_told = false;
        loop {
            let said = notes.read()?;
            let Some(order) = &said.order else {
                return Ok(said);
            };
            if self.requested.is_requested() || self.is_ours(order, &mut watch, prepared)? {
                return Ok(said);
            }
            if !is_told {
                is_told = true;
                self.output.note(&format!(
                    "pipeline `{}` is being brought to another plan by process `{}`: waiting",
                    prepared.pipeline.topology.pipeline, order.by
                ));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Whether nobody else sees to an order: this process did, before it died, and those that were to end
    /// their plan have; or whoever did says nothing any more.
    fn is_ours(&self, order: &Order, watch: &mut OrderWatch, prepared: &Prepared) -> Result<bool, LogError> {
        let own = &prepared.place.process_id;
        let silent_for = watch.silent_for(order);
        if order.by != *own {
            return Ok(silent_for > SILENT);
        }
        let members = task::members(&*prepared.place.log, &prepared.pipeline.topology)?;
        Ok(members.iter().all(|member| member.is_process(own)) || silent_for > SILENT)
    }

    /// Comes after another plan, which nobody runs any more.
    fn succeed(&mut self, prepared: Prepared, before: &Generation) -> Result<Prepared, Failure> {
        let Prepared { pipeline, made, place } = &prepared;
        let name = &pipeline.topology.pipeline;
        let failed =
            |error: LogError| Failure::log(format!("cannot see what pipeline `{name}` has left behind"))(error);
        let after = Holdings::of(&pipeline.topology);
        let mut left = before.holdings.clone();
        let mut kept = Vec::new();
        for mut state in left.state {
            if is_there(&*place.log, &state).map_err(failed)? {
                let now = after.state.iter().find(|other| other.transform == state.transform);
                // The plan before may not have come to migrate it: each partition looks for itself (E0713).
                if let Some(now) = now.filter(|now| now.version < state.version) {
                    state.version = now.version;
                    state.stores.clone_from(&now.stores);
                }
                kept.push(state);
            }
        }
        left.state = kept;
        let problems = orphans(&left, &after, &made.linked);
        if problems.is_empty() {
            let unread = self.until_closed(&*place.log, &left, &after).map_err(failed)?;
            if unread.records.is_empty() && !unread.is_open {
                return Ok(prepared);
            }
            return Err(Failure::Other {
                code: Code(NOT_DRAINED),
                invalid: false,
                what: format!(
                    "pipeline `{name}` ran with another plan before, and {}, which this one does not read, were not \
                     processed",
                    unread.words()
                ),
                place: Some(pipeline.file.display().to_string()),
                next: format!(
                    "start the version before, and change the file while it runs: a reload processes them first; or \
                     forget everything with `wasmill reset {}`",
                    pipeline.file.display()
                ),
            });
        }
        if !pipeline.resets_state {
            let all: Vec<&str> = problems.iter().map(|problem| &*problem.message).collect();
            return Err(Failure::Other {
                code: Code(ORPHANED),
                invalid: false,
                what: format!("pipeline `{name}` ran with another plan before: {}", all.join("; ")),
                place: Some(pipeline.file.display().to_string()),
                next: format!(
                    "or forget everything once with `wasmill reset {}`",
                    pipeline.file.display()
                ),
            });
        }
        Reset::look(&*place.log, &pipeline.topology, pipeline.control_topic.clone(), None)?.run(&*place.log)?;
        tracing::warn!(
            pipeline = &**name,
            "its state did not fit: state, positions and internal topics were reset, as `on_state_change` says"
        );
        let Prepared { pipeline, made, place } = prepared;
        self.prepare_with(pipeline, &made.linked, place)
    }

    /// What is left in topics that go, when no transaction of a process that has died is open in them any more.
    fn until_closed(&self, log: &dyn Log, before: &Holdings, after: &Holdings) -> Result<Unread, LogError> {
        let gone = before.topics_that_go(after);
        let deadline = Instant::now() + OPEN_TIME;
        loop {
            let unread = unread(log, &gone)?;
            if !unread.is_open || Instant::now() > deadline || self.requested.is_requested() {
                return Ok(unread);
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// Whether anything of a transform's state is in the log.
fn is_there(log: &dyn Log, state: &KeptState) -> Result<bool, LogError> {
    let topic = &state.changelog;
    let Some(info) = log.topics(&[topic], TIMEOUT)?.into_iter().next().flatten() else {
        return Ok(false);
    };
    let places: Vec<_> = (0..info.partitions)
        .map(|partition| TopicPartition::new(Arc::clone(topic), partition))
        .collect();
    Ok(log.offsets(&places, Edge::Start, TIMEOUT)? != log.offsets(&places, Edge::End, TIMEOUT)?)
}
