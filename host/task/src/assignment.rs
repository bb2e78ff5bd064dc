//! How partitions come to a worker and leave it, and how their state is brought back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use record::error::{Code, Failure};
use record::log::{Edge, LogError};
use record::origin::PositionNote;
use record::store::{InputPosition, StoreError};
use record::topology::{Delivery, OnError};
use record::transform::StateSlot;
use record::{NextOffset, TopicPartition};

use crate::commit::has_state;
use crate::error::RunError;
use crate::ingest::IngestTask;
use crate::plan::{LOG_TIMEOUT, now_ms};
use crate::process::{Culprit, Phase, ProcessTask, Verdict};
use crate::restore::Owner;
use crate::worker::{GROUP_TIMEOUT, Owned, Stop, Worker};

const RESTORE_SLICE: Duration = Duration::from_millis(20);
const STORE_RETRY: Duration = Duration::from_secs(1);

/// A task whose store is opened anew at some time.
#[derive(Debug)]
pub(crate) struct Retry {
    at: TopicPartition,
    when: Instant,
    /// The store is damaged: it is emptied first.
    wipe: bool,
}

impl Retry {
    fn soon(at: &TopicPartition, wipe: bool) -> Self {
        Self {
            at: at.clone(),
            when: Instant::now() + STORE_RETRY,
            wipe,
        }
    }
}

impl Worker {
    pub(crate) fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), Stop> {
        // What follows may take longer than a transaction may be open.
        self.commit()?;
        if !self.is_settled {
            self.pass_gate()?;
        }
        let committed = self.retry("reading committed positions", |worker| {
            worker.session.committed(partitions, GROUP_TIMEOUT)
        })?;
        let mut from = Vec::with_capacity(partitions.len());
        let mut wait = Vec::new();
        let mut without_changelog = Vec::new();
        for (at, committed) in partitions.iter().zip(committed) {
            let Some(&(sub, route)) = self.shared.readers.get(&at.topic) else {
                continue;
            };
            let next = match &committed {
                Some(committed) => committed.next,
                // The run has committed start positions for all partitions there were; this one
                // is newer, so all its records are.
                None => self.retry("reading the start of a partition", |worker| worker.earliest(at))?,
            };
            let note = PositionNote::decode(committed.as_ref().map_or("", |c| &c.note));
            let id = self.shared.processes[sub].inputs[route].topic;
            let topic_id = self.shared.info(id).id.clone();
            let slots = self.shared.processes[sub]
                .nodes
                .iter()
                .map(|_| StateSlot(None))
                .collect();
            let mut task = ProcessTask::new(at.clone(), topic_id, route, slots, next, committed.as_ref());
            for (skipped, offset) in &self.shared.skip {
                if skipped == at {
                    task.convict(
                        offset.0,
                        Verdict {
                            timer: None,
                            culprit: Culprit::Request,
                            policy: OnError::DeadLetter,
                            failure: requested(0),
                        },
                    );
                }
            }
            if committed.is_none() {
                self.open_since.get_or_insert_with(Instant::now);
            }
            self.open_source(at, note.source.as_deref())?;
            if let Some(count) = self.changelog_partitions(sub) {
                task.phase = Phase::Restoring;
                wait.push(at.clone());
                if at.partition >= count {
                    without_changelog.push((at.clone(), count));
                } else {
                    match self.open_states(sub, at) {
                        Ok(states) => task.states = states,
                        // No room on the disk, say: tried again until there is.
                        Err(Stop::Error(RunError::Store(error @ StoreError::Io { .. }))) => {
                            tracing::error!(%at, "{error}");
                            self.retries.push(Retry::soon(at, false));
                        }
                        Err(stop) => return Err(stop),
                    }
                }
            }
            from.push((at.clone(), next));
            self.tasks.insert(at.clone(), Owned { sub, task });
        }
        self.session
            .assign(&from)
            .map_err(|e| Stop::from_log("taking partitions", e))?;
        self.session.pause(&wait).map_err(|e| Stop::from_log("pausing", e))?;
        for (at, count) in &without_changelog {
            self.fail(
                at,
                "state",
                Code("E0703"),
                format!(
                    "topic `{}` has got more partitions than the changelog of its state, which has {count}: keys have moved to other partitions",
                    at.topic
                ),
                "`wasmill reset` makes the internal topics anew; or give the topic its old number of partitions",
            )?;
        }
        for at in &wait {
            if self.retries.iter().all(|retry| retry.at != *at) {
                self.begin_restore(at)?;
            }
        }
        if !std::mem::replace(&mut self.is_settled, true) {
            self.shared.settled.fetch_add(1, Ordering::AcqRel);
            self.shared.control.settled(self.number);
        }
        self.recycle()
    }

    /// Others count those who are in the group: from here on, none of them misses this one.
    fn pass_gate(&mut self) -> Result<(), Stop> {
        let Some(gate) = self.shared.gate.clone() else {
            return Ok(());
        };
        match self.retry("reading which plan is in force", |_| gate())? {
            None => Ok(()),
            Some(what) => Err(Stop::Error(RunError::NotInForce {
                pipeline: self.shared.topology.pipeline.to_string(),
                what,
            })),
        }
    }

    /// The partitions of the smallest changelog of a sub-topology; `None` without state.
    fn changelog_partitions(&self, sub: usize) -> Option<u32> {
        let changelogs = self.shared.processes[sub]
            .nodes
            .iter()
            .filter_map(|node| node.changelog);
        changelogs.map(|id| self.shared.info(id).partitions).min()
    }

    fn earliest(&self, at: &TopicPartition) -> Result<NextOffset, LogError> {
        self.shared
            .log
            .offsets(std::slice::from_ref(at), Edge::Start, LOG_TIMEOUT)
            .map(|offsets| offsets.first().copied().unwrap_or(NextOffset(0)))
    }

    fn open_states(&self, sub: usize, at: &TopicPartition) -> Result<Vec<StateSlot>, Stop> {
        let plan = &self.shared.processes[sub];
        let open = |node: &record::topology::Node| -> Result<StateSlot, StoreError> {
            if node.changelog.is_none() {
                return Ok(StateSlot(None));
            }
            let stores = &node.description.stores;
            match self.shared.state.open(&node.name, at.partition, stores) {
                Err(StoreError::Corrupt { place, what }) => {
                    tracing::warn!("{place}: {what}");
                    self.shared
                        .state
                        .open(&node.name, at.partition, stores)
                        .map(|s| StateSlot(Some(s)))
                }
                opened => opened.map(|state| StateSlot(Some(state))),
            }
        };
        plan.nodes
            .iter()
            .map(open)
            .collect::<Result<_, _>>()
            .map_err(|error| Stop::Error(error.into()))
    }

    fn open_source(&mut self, at: &TopicPartition, note: Option<&str>) -> Result<(), Stop> {
        if at.partition != 0 {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        for ingest in &shared.topology.ingests {
            if shared.topic(ingest.topic).name != at.topic {
                continue;
            }
            let opened = shared.parts.source(ingest).and_then(|source| {
                IngestTask::open(
                    at.clone(),
                    ingest.clone(),
                    Arc::clone(&shared.topology.pipeline),
                    source,
                    shared.info(ingest.topic).partitions,
                    note,
                    shared.bounded,
                )
            });
            self.ingests.push(opened.map_err(|e| Stop::Error(e.into()))?);
            shared.sources.lock().insert(ingest.topic, false);
        }
        Ok(())
    }

    /// Partitions leave. While they are still ours, what was done is committed first; when they
    /// are lost already, it is undone.
    pub(crate) fn revoked(&mut self, partitions: &[TopicPartition], lost: bool) -> Result<(), Stop> {
        if lost {
            self.roll_back()?;
        } else {
            self.commit()?;
        }
        for at in partitions {
            self.tasks.remove(at);
            for ingest in self.ingests.extract_if(.., |ingest| ingest.at == *at) {
                self.shared.sources.lock().remove(&ingest.topic());
            }
            self.retries.retain(|retry| retry.at != *at);
            self.restorer.forget(at);
            self.shared.observer.cleared(at);
        }
        self.session
            .unassign(partitions)
            .map_err(|e| Stop::from_log("giving up partitions", e))?;
        // Instances serve all partitions: what they remember of the ones that left must go.
        self.recycle()
    }

    /// Begins to bring a task's state to the end of its changelogs; its partition is paused.
    pub(crate) fn begin_restore(&mut self, at: &TopicPartition) -> Result<(), Stop> {
        self.restorer.forget(at);
        let shared = Arc::clone(&self.shared);
        let Some(owned) = self.tasks.get_mut(at) else {
            return Ok(());
        };
        if matches!(owned.task.phase, Phase::Failed) {
            return Ok(());
        }
        owned.task.phase = Phase::Restoring;
        let plan = Arc::clone(&shared.processes[owned.sub]);
        let mut failed = None;
        for (i, (node, slot)) in plan.nodes.iter().zip(&mut owned.task.states).enumerate() {
            let (Some(changelog), Some(state)) = (node.changelog, &mut slot.0) else {
                continue;
            };
            let owner = Owner {
                task: at.clone(),
                node: i,
            };
            let place = TopicPartition::new(Arc::clone(&shared.topic(changelog).name), at.partition);
            let id = &shared.info(changelog).id;
            let begun = self.restorer.begin(owner, place, id, state.as_mut(), now_ms());
            match begun {
                Ok(()) => {}
                Err(RunError::Store(error)) => failed = Some(error),
                Err(RunError::Log {
                    source: LogError::Retriable { what },
                    ..
                }) => {
                    tracing::warn!(%at, "{what}");
                    self.retries.push(Retry::soon(at, false));
                    return Ok(());
                }
                Err(error) => return Err(Stop::Error(error)),
            }
        }
        match failed {
            Some(error) => self.store_failed(at, &error),
            None => Ok(()),
        }
    }

    /// What a store says of itself decides: a changelog that cannot be read stops the task, all
    /// else is tried again from the changelog.
    pub(crate) fn store_failed(&mut self, at: &TopicPartition, error: &StoreError) -> Result<(), Stop> {
        if let StoreError::BadChangelog { .. } = error {
            let remedy =
                "the changelog was written by something else or by a newer version; `wasmill reset` starts anew";
            return self.fail(at, "state", error.code(), error.to_string(), remedy);
        }
        tracing::error!(%at, "{error}");
        self.retry_later(at, matches!(error, StoreError::Corrupt { .. }))
    }

    /// The store of a task cannot be used now (damaged, disk full): its partition waits, and the
    /// store is opened anew and restored as soon as that works.
    pub(crate) fn retry_later(&mut self, at: &TopicPartition, wipe: bool) -> Result<(), Stop> {
        self.restorer.forget(at);
        if let Some(owned) = self.tasks.get_mut(at) {
            owned.task.phase = Phase::Restoring;
            owned.task.roll_back();
        }
        self.session
            .pause(std::slice::from_ref(at))
            .map_err(|e| Stop::from_log("pausing", e))?;
        match self.retries.iter_mut().find(|retry| retry.at == *at) {
            Some(retry) => retry.wipe |= wipe,
            None => self.retries.push(Retry::soon(at, wipe)),
        }
        Ok(())
    }

    /// Opens the stores of a task anew: a handle that has failed is not used again.
    fn reopen(&mut self, retry: &Retry) -> Result<(), Stop> {
        let Some(owned) = self.tasks.get_mut(&retry.at) else {
            return Ok(());
        };
        let sub = owned.sub;
        owned.task.states.iter_mut().for_each(|slot| slot.0 = None);
        let mut opened = match self.open_states(sub, &retry.at) {
            Ok(opened) => opened,
            Err(Stop::Error(RunError::Store(error))) => {
                tracing::warn!(at = %retry.at, "{error}");
                self.retries.push(Retry::soon(&retry.at, retry.wipe));
                return Ok(());
            }
            Err(stop) => return Err(stop),
        };
        if retry.wipe {
            for state in opened.iter_mut().filter_map(|slot| slot.0.as_mut()) {
                if let Err(error) = state.wipe() {
                    tracing::warn!(at = %retry.at, "{error}");
                    self.retries.push(Retry::soon(&retry.at, true));
                    return Ok(());
                }
            }
        }
        if let Some(owned) = self.tasks.get_mut(&retry.at) {
            owned.task.states = opened;
        }
        self.begin_restore(&retry.at)
    }

    /// A slice of restoring; tasks that are complete go on.
    pub(crate) fn restore(&mut self) -> Result<(), Stop> {
        let due: Vec<Retry> = self
            .retries
            .extract_if(.., |retry| retry.when <= Instant::now())
            .collect();
        for retry in due {
            self.reopen(&retry)?;
        }
        let restoring = self.restorer.len();
        self.shared
            .observer
            .restoring(std::mem::replace(&mut self.restoring, restoring), restoring);
        if restoring > 0 || self.restore_left > 0 {
            self.restore_left = self.restorer.left();
            self.shared.observer.restore_left(self.number, self.restore_left);
        }
        if restoring == 0 {
            return Ok(());
        }
        let tasks = &mut self.tasks;
        let outcome = self.restorer.step(RESTORE_SLICE, |owner, apply| {
            tasks
                .get_mut(&owner.task)
                .and_then(|owned| owned.task.states.get_mut(owner.node))
                .and_then(|slot| slot.0.as_mut())
                .map(|state| apply(state.as_mut()))
        });
        let progress = match outcome {
            Ok(progress) => progress,
            Err(RunError::Log {
                source: LogError::Retriable { what },
                ..
            }) => {
                tracing::warn!("while restoring: {what}");
                return Ok(());
            }
            Err(error) => return Err(Stop::Error(error)),
        };
        let mut waiting: Vec<(TopicPartition, StoreError)> = progress
            .failed
            .into_iter()
            .map(|(owner, error)| (owner.task, error))
            .collect();
        let mut complete = Vec::new();
        for (owner, id, next) in progress.complete {
            let Some(owned) = self.tasks.get_mut(&owner.task) else {
                continue;
            };
            let Some(state) = owned.task.states.get_mut(owner.node).and_then(|slot| slot.0.as_mut()) else {
                continue;
            };
            match state.restored(&id, next, now_ms()) {
                Ok(()) if !self.restorer.restores(&owner.task) => complete.push(owner.task),
                Ok(()) => {}
                Err(error) => waiting.push((owner.task, error)),
            }
        }
        for (at, error) in waiting {
            self.store_failed(&at, &error)?;
        }
        for at in complete {
            if !self.retries.iter().any(|retry| retry.at == at) {
                self.go_on(&at)?;
            }
        }
        Ok(())
    }

    /// All state of a task is restored: its changelog must agree with the group's position.
    fn go_on(&mut self, at: &TopicPartition) -> Result<(), Stop> {
        let Some(owned) = self.tasks.get_mut(at) else {
            return Ok(());
        };
        let task = &mut owned.task;
        if !matches!(task.phase, Phase::Restoring) {
            return Ok(());
        }
        let at_least_once = self.shared.topology.delivery == Delivery::AtLeastOnce;
        let disagreement = task
            .states
            .iter()
            .filter_map(|slot| slot.0.as_ref())
            .find_map(|state| disagrees(task, state.position(), at_least_once));
        if let Some(message) = disagreement {
            return self.fail(
                at,
                "state",
                Code("E0712"),
                message,
                "`wasmill reset` starts the pipeline anew; nothing was counted twice",
            );
        }
        if !self.migrate(at)? {
            return Ok(());
        }
        let Some(owned) = self.tasks.get_mut(at) else {
            return Ok(());
        };
        owned.task.phase = Phase::Running;
        for state in owned.task.states.iter_mut().filter_map(|slot| slot.0.as_mut()) {
            state.show();
        }
        let to = [(at.clone(), owned.task.next)];
        self.session.seek(&to).map_err(|e| Stop::from_log("seeking", e))?;
        self.session
            .resume(std::slice::from_ref(at))
            .map_err(|e| Stop::from_log("resuming", e))?;
        tracing::debug!(%at, "state restored");
        Ok(())
    }
}

/// Why the position in a task's changelog and the group's position cannot both be right.
fn disagrees(task: &ProcessTask, found: Option<&InputPosition>, at_least_once: bool) -> Option<String> {
    debug_assert!(has_state(task));
    let at = &task.at;
    let group = task.committed_next;
    let Some(found) = found else {
        return task.has_processed.then(|| {
            format!("the group has processed {at} up to {group}, but the changelog of its state is empty: it was deleted, or another one is used")
        });
    };
    if found.topic_id != task.topic_id {
        return Some(format!(
            "topic `{}` was deleted and created again since its state was written",
            at.topic
        ));
    }
    let agrees = found.next == group || (at_least_once && found.next > group);
    (!agrees).then(|| {
        format!(
            "the state of {at} stands at offset {}, the group's committed position is {group}: positions have expired or were reset by hand",
            found.next
        )
    })
}

/// Why a record that `--skip` names is a dead letter.
pub(crate) fn requested(index: u32) -> Failure {
    Failure {
        index,
        code: "skipped-by-request".to_owned(),
        message: "sent to the dead letters by `--skip`".to_owned(),
        detail: String::new(),
    }
}
