//! Whether a pipeline may start in this process: what ran before it, here or elsewhere, has left what it can go
//! on with. The same as for a reload holds for who stops, changes a file, and starts again.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plugin::Linked;
use record::TopicPartition;
use record::error::Code;
use record::log::{Edge, Log, LogError};

use super::kept::{ORPHANED, Unread, orphans, unread};
use super::restart::NOT_DRAINED;
use super::switch::{OrderWatch, SILENT};
use super::{Place, Prepared, Supervisor};
use crate::compose::{LogPlace, TIMEOUT};
use crate::failure::Failure;
use crate::generation::{Generation, Holdings, KeptState, Notes, Order, Said};
use crate::pipelines::Pipeline;
use crate::reset::Reset;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long processes of one plan are given to end it, at a start beside them: as long as a leader gives them.
const LEAVE_TIME: Duration = Duration::from_secs(120);
/// How long others that start at the same time have to say so.
const CLAIM_TIME: Duration = Duration::from_secs(2);
/// How long what a process that has died had begun may take to end: the longest of a transaction, and more.
const OPEN_TIME: Duration = Duration::from_secs(90);

/// Refuses a run, before its first record, by a plan that is not in force: what was found at its start may have
/// changed until it was in its group, where others see it.
pub(super) fn gate(pipeline: &Pipeline, place: &Place) -> Option<task::Gate> {
    if pipeline.place == LogPlace::Embedded(None) {
        return None;
    }
    let notes = Notes::of(pipeline, &place.log);
    let (plan, process) = (pipeline.plan_hash.clone(), place.process_id.clone());
    Some(Arc::new(move || {
        let said = notes.read()?;
        if let Some(order) = said.order.filter(|order| order.by != process) {
            return Ok(Some(format!("process `{}` sees to it", order.by)));
        }
        let other = said.in_force.filter(|in_force| in_force.plan != plan);
        Ok(other.map(|other| format!("generation {} has the plan {}", other.number, other.plan)))
    }))
}

impl Supervisor {
    /// Prepares a pipeline and lets it start: its plan is in force, or comes in force now.
    pub(super) fn enter(&mut self, pipeline: Pipeline, reuse: &[Linked], place: Place) -> Result<Prepared, Failure> {
        // Nothing was before it.
        if pipeline.place == LogPlace::Embedded(None) {
            return self.prepare_with(pipeline, reuse, place);
        }
        let failed = unread_notes(&pipeline);
        let notes = Notes::of(&pipeline, &place.log);
        let takes_over = self.until_nobody_switches(&notes, &pipeline, &place).map_err(&failed)?;
        // What a switch changes is read behind it.
        let prepared = self.prepare_with(pipeline, reuse, place)?;
        let said = notes.read().map_err(failed)?;
        if self.requested.is_requested() || (said.order.is_some() && !takes_over) {
            // It ends at once, or is refused before its first record.
            return Ok(prepared);
        }
        self.admit(prepared, &notes, &said)
    }

    fn admit(&mut self, prepared: Prepared, notes: &Notes, said: &Said) -> Result<Prepared, Failure> {
        let failed = unread_notes(&prepared.pipeline);
        let own = prepared.place.process_id.clone();
        let mut has_ordered = said.order.is_some();
        if said.ready.contains_key(&own) {
            notes.announce(&own, None).map_err(&failed)?;
        }
        let is_in_force = |said: &Said, prepared: &Prepared| {
            said.in_force
                .as_ref()
                .is_some_and(|in_force| in_force.plan == prepared.pipeline.plan_hash)
        };
        let mut prepared = prepared;
        if !is_in_force(said, &prepared) {
            let others = task::members(&*prepared.place.log, &prepared.pipeline.topology).map_err(&failed)?;
            if others.iter().any(|other| !other.is_process(&own)) {
                // The run refuses to be the only one with its plan, and says who has another.
                return Ok(prepared);
            }
            if let Some(before) = &said.in_force
                && self.must_reset(&prepared, before)?
            {
                if !self.claims(notes, &prepared).map_err(&failed)? {
                    let Prepared { pipeline, made, place } = prepared;
                    return self.enter(pipeline, &made.linked, place);
                }
                has_ordered = true;
                prepared = self.reset_what_was(prepared)?;
            }
            let (plan, topology) = (&prepared.pipeline.plan_hash, &prepared.pipeline.topology);
            if !notes
                .put_in_force(plan, topology, said.in_force.as_ref())
                .map_err(&failed)?
            {
                tracing::info!(
                    pipeline = &*topology.pipeline,
                    topic = prepared.pipeline.control_topic,
                    "the control topic is not there: a later start with another plan is not checked"
                );
            }
        }
        if has_ordered {
            notes.order(None).map_err(failed)?;
        }
        Ok(prepared)
    }

    /// Waits while a process brings the pipeline to another plan. Answers whether there is an order that nobody sees
    /// to any more.
    fn until_nobody_switches(&self, notes: &Notes, pipeline: &Pipeline, place: &Place) -> Result<bool, LogError> {
        let mut watch = OrderWatch::default();
        let began = Instant::now();
        let mut is_told = false;
        loop {
            let Some(order) = notes.read()?.order else {
                return Ok(false);
            };
            if self.requested.is_requested() {
                return Ok(false);
            }
            let is_silent = order.by == place.process_id || watch.silent_for(&order) > SILENT;
            // Those that end the old plan are waited for, but not for ever.
            if is_silent && (began.elapsed() > LEAVE_TIME || nobody_has_another_plan(pipeline, place)?) {
                return Ok(true);
            }
            if !is_told {
                is_told = true;
                self.output.note(&format!(
                    "pipeline `{}` is being brought to another plan by process `{}`: waiting",
                    pipeline.topology.pipeline, order.by
                ));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Makes sure that no other process that starts now resets the pipeline too: of several, the last to say so does.
    fn claims(&self, notes: &Notes, prepared: &Prepared) -> Result<bool, LogError> {
        let own = &prepared.place.process_id;
        notes.order(Some(&Order {
            to: prepared.pipeline.plan_hash.clone(),
            by: own.clone(),
            beat: 0,
        }))?;
        thread::sleep(CLAIM_TIME);
        Ok(notes.read()?.order.is_some_and(|order| order.by == *own))
    }

    /// Whether a plan that comes after another one, which nobody runs any more, has to forget what that has left.
    ///
    /// # Errors
    /// Something is left that it may not forget.
    fn must_reset(&self, prepared: &Prepared, before: &Generation) -> Result<bool, Failure> {
        let Prepared { pipeline, made, place } = prepared;
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
            let is_empty = unread.records.is_empty() && !unread.is_open;
            if is_empty || self.requested.is_requested() {
                return Ok(false);
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
                     forget everything with `wasmill reset {}`, with the `--embedded` or `--state-dir` of this run",
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
                    "or forget everything once with `wasmill reset {}`, with the `--embedded` or `--state-dir` of this run",
                    pipeline.file.display()
                ),
            });
        }
        Ok(true)
    }

    fn reset_what_was(&mut self, prepared: Prepared) -> Result<Prepared, Failure> {
        let Prepared { pipeline, made, place } = prepared;
        Reset::look(&*place.log, &pipeline.topology, pipeline.control_topic.clone(), None)?.run(&*place.log)?;
        tracing::warn!(
            pipeline = &*pipeline.topology.pipeline,
            "its state did not fit: state, positions and internal topics were reset, as `on_state_change` says"
        );
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

fn unread_notes(pipeline: &Pipeline) -> impl Fn(LogError) -> Failure + use<> {
    let doing = format!(
        "cannot read or write which plan of pipeline `{}` is in force",
        pipeline.topology.pipeline
    );
    move |source| Failure::Log {
        doing: doing.clone(),
        source,
    }
}

/// Whether all other processes that run a pipeline, if any, have its plan.
fn nobody_has_another_plan(pipeline: &Pipeline, place: &Place) -> Result<bool, LogError> {
    let members = task::members(&*place.log, &pipeline.topology)?;
    Ok(members
        .iter()
        .all(|member| member.is_process(&place.process_id) || member.has_plan(&pipeline.plan_hash)))
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
