//! How a worker commits, and what it does when a commit does not succeed.
//!
//! The order, and what a crash between two steps leads to:
//! 1. changelog records of all dirty keys and the position are produced. *Crash*: the open
//!    transaction is aborted; the new owner starts at the committed position, with the state of
//!    the changelog's committed records: the same place.
//! 2. positions and outputs are committed, atomically. *Crash before the answer*: as 1 or as 3.
//! 3. the local store takes dirty entries and positions in one batch. *Crash before it*: the store
//!    is behind the changelog; the tail is restored at the next start.
//!
//! At least once, outputs are acknowledged before step 1, and step 2 is: all records acknowledged, then
//! positions. A crash between leads to records that are processed again.

use std::time::{Duration, Instant};

use record::log::{CommitError, LogError, Position};
use record::origin::PositionNote;
use record::topology::Delivery;
use record::{Batch, NextOffset, TopicPartition};

use crate::ingest::IngestTask;
use crate::plan::now_ms;
use crate::process::{Phase, ProcessTask};
use crate::worker::{GROUP_TIMEOUT, Stop, Worker};

const SLICE: Duration = Duration::from_millis(200);
const RENEW_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(500);

impl Worker {
    /// Commits what there is to commit. Whatever happens, tasks are consistent afterwards: at the
    /// new positions, or back at the old ones.
    pub(crate) fn commit(&mut self) -> Result<(), Stop> {
        self.commit_unless_rolled_back().map(|_| ())
    }

    /// As [`Self::commit`]; answers whether the tasks stand where they stood.
    pub(crate) fn commit_unless_rolled_back(&mut self) -> Result<bool, Stop> {
        self.commit_now = false;
        if self.open_since.is_none() {
            return Ok(true);
        }
        let began = Instant::now();
        let committed = self.try_to_commit();
        self.shared.observer.commit_time.observe(began.elapsed(), 1);
        if let Ok(true) = committed {
            self.shared.observer.latency.observe_ages(&self.uncommitted, now_ms());
        }
        self.uncommitted.clear();
        committed
    }

    /// As [`Self::commit_unless_rolled_back`], of what is there; not measured.
    fn try_to_commit(&mut self) -> Result<bool, Stop> {
        let positions = self.positions();
        if let Err(error) = self.write_sources_again() {
            self.refused(error)?;
            return Ok(false);
        }
        let mut outcome = Ok(());
        if self.settles_outputs_first() {
            outcome = self.commit_in_slices(&[])?;
        }
        if outcome.is_ok() {
            if let Err(error) = self.write_changelogs(&positions) {
                self.refused(error)?;
                return Ok(false);
            }
            outcome = self.commit_in_slices(&positions)?;
        }
        match outcome {
            Ok(()) => {
                self.open_since = None;
                self.aborts_in_a_row = 0;
                self.shared.observer.committed();
                self.spans.committed(self.shared.spans.as_deref());
                self.take_in(&positions)?;
                Ok(true)
            }
            Err(CommitError::Aborted { what }) => {
                tracing::warn!("{what}; going back to the committed positions");
                self.rewind()?;
                self.pause_after_aborts();
                Ok(false)
            }
            Err(CommitError::Refused(error)) => {
                self.find_refused(&error);
                self.rewind()?;
                self.pause_after_aborts();
                Ok(false)
            }
            Err(CommitError::Ambiguous { what }) => {
                tracing::warn!("{what}; asking the log what happened");
                self.recover()?;
                Ok(false)
            }
            Err(CommitError::Fenced { what }) => Err(Stop::Fenced(what)),
            Err(CommitError::Fatal { what }) => Err(Stop::Error(crate::RunError::Log {
                doing: "committing".to_owned(),
                source: LogError::Fatal { what },
            })),
            Err(CommitError::Unfinished) => Ok(false),
        }
    }

    /// At least once there is no transaction around outputs and changelog. The changelog must not say that
    /// a timer has fired, or a record was counted, whose outputs have not arrived.
    fn settles_outputs_first(&self) -> bool {
        self.shared.topology.delivery == Delivery::AtLeastOnce
            && self.tasks.values().any(|owned| has_state(&owned.task))
    }

    fn commit_in_slices(&mut self, positions: &[Position]) -> Result<Result<(), CommitError>, Stop> {
        loop {
            match self.session.commit(positions, SLICE) {
                Err(CommitError::Unfinished) if self.shared.shutdown.is_overdue() => {
                    // What is open is aborted by the broker's time-out, or by the next start.
                    return Err(Stop::Fenced("the deadline of the shutdown is over".to_owned()));
                }
                Err(CommitError::Unfinished) => {}
                other => return Ok(other),
            }
        }
    }

    fn positions(&self) -> Vec<Position> {
        self.tasks
            .values()
            .filter_map(|owned| {
                let ingest = self.ingests.iter().find(|ingest| ingest.at == owned.task.at);
                let due = owned.task.is_advanced() || ingest.is_some_and(|ingest| ingest.is_advanced());
                (due && owned.task.may_commit()).then(|| owned.task.position(ingest.map(|ingest| ingest.note())))
            })
            .collect()
    }

    /// A commit may follow an abort before the sources are read again, and has their positions.
    fn write_sources_again(&mut self) -> Result<(), LogError> {
        for i in 0..self.ingests.len() {
            if !self.may_read(i) {
                continue;
            }
            self.ingests[i].write_again(self.session.as_mut())?;
            if let Some(letters) = self.ingests[i].give_letters() {
                self.write_dead_letters(0, &letters)?;
            }
        }
        Ok(())
    }

    /// Whether what a source has read may be committed: with the position of its topic's partition 0.
    pub(crate) fn may_read(&self, ingest: usize) -> bool {
        let at = &self.ingests[ingest].at;
        self.tasks.get(at).is_some_and(|owned| owned.task.may_commit())
    }

    /// A transaction that fails again and again for a reason outside does not keep a processor busy.
    pub(crate) fn pause_after_aborts(&mut self) {
        self.aborts_in_a_row = self.aborts_in_a_row.saturating_add(1);
        if self.aborts_in_a_row > 3 {
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    fn write_changelogs(&mut self, positions: &[Position]) -> Result<(), LogError> {
        let now = now_ms();
        let mut batch = Batch::new("".into(), 0);
        for position in positions {
            let Some(owned) = self.tasks.get_mut(&position.at) else {
                continue;
            };
            let task = &mut owned.task;
            let position = task.input_position();
            let plan = &self.chains[owned.sub].plan;
            for (node, slot) in plan.nodes.iter().zip(&mut task.states) {
                let (Some(changelog), Some(state)) = (node.changelog, &mut slot.0) else {
                    continue;
                };
                batch.clear();
                let position = position.of(node);
                state.changes(&position, now, &mut batch);
                let partitions = vec![task.at.partition; batch.len()];
                self.session
                    .produce(&self.shared.topic(changelog).name, &batch, &partitions)?;
            }
        }
        Ok(())
    }

    /// After a commit that is known to have happened.
    fn take_in(&mut self, positions: &[Position]) -> Result<(), Stop> {
        let now = now_ms();
        let mut damaged = Vec::new();
        for position in positions {
            if let Some(ingest) = self.ingests.iter_mut().find(|ingest| ingest.at == position.at) {
                ingest.committed();
                if ingest.has_ended() || ingest.is_stopped() {
                    self.shared.sources.lock().insert(ingest.topic(), true);
                }
            }
            let Some(owned) = self.tasks.get_mut(&position.at) else {
                continue;
            };
            let task = &mut owned.task;
            let input = task.input_position();
            let plan = &self.chains[owned.sub].plan;
            for (node, slot) in plan.nodes.iter().zip(&mut task.states) {
                let (Some(changelog), Some(state)) = (node.changelog, &mut slot.0) else {
                    continue;
                };
                let place = TopicPartition::new(self.shared.topic(changelog).name.clone(), task.at.partition);
                let next = self.session.acknowledged(&place).unwrap_or(NextOffset(0));
                if let Err(error) = state.commit(input.of(node), next, now) {
                    tracing::warn!(at = %task.at, "the commit stands; its store is restored from the changelog");
                    damaged.push((task.at.clone(), error));
                }
            }
            task.committed(position.next, PositionNote::decode(&position.note).stream_time);
        }
        for (at, error) in damaged {
            self.store_failed(&at, &error)?;
        }
        Ok(())
    }

    /// Undoes everything since the last commit and goes back to the committed positions.
    pub(crate) fn roll_back(&mut self) -> Result<(), Stop> {
        loop {
            match self.session.abort(SLICE) {
                Ok(()) => break,
                Err(CommitError::Unfinished) if self.shared.shutdown.is_overdue() => {
                    return Err(Stop::Fenced("the deadline of the shutdown is over".to_owned()));
                }
                Err(CommitError::Unfinished) => {}
                Err(CommitError::Fenced { what }) => return Err(Stop::Fenced(what)),
                Err(other) => {
                    tracing::warn!("{other}; asking the log what happened");
                    return self.recover();
                }
            }
        }
        self.rewind()
    }

    /// The transaction is known not to have happened.
    fn rewind(&mut self) -> Result<(), Stop> {
        self.rewinds += 1;
        self.open_since = None;
        self.commit_now = false;
        self.shared.observer.aborted();
        self.spans.undone(self.shared.spans.as_deref());
        self.redo_prefixes()?;
        for owned in self.tasks.values_mut() {
            owned.task.roll_back();
        }
        for ingest in &mut self.ingests {
            ingest.roll_back();
        }
        self.recycle()?;
        self.start_over()
    }

    /// Tasks read on from where they stand now. What was not committed and is not read again from a
    /// topic is to be committed soon.
    fn start_over(&mut self) -> Result<(), Stop> {
        let is_new = self.tasks.values().any(|owned| owned.task.position_is_new);
        if is_new || self.ingests.iter().any(IngestTask::is_advanced) {
            self.open_since = Some(Instant::now());
        }
        let to: Vec<_> = self
            .tasks
            .values()
            .filter(|owned| matches!(owned.task.phase, Phase::Running))
            .map(|owned| (owned.task.at.clone(), owned.task.next))
            .collect();
        self.session.seek(&to).map_err(|e| Stop::from_log("seeking", e))
    }

    /// What stands before the record at which a task stopped is not committed: it is done again, and
    /// then the task stops there again.
    fn redo_prefixes(&mut self) -> Result<(), Stop> {
        let mut again = Vec::new();
        for (at, owned) in &mut self.tasks {
            if matches!(owned.task.phase, Phase::Failed) && owned.task.next != owned.task.committed_next {
                owned.task.phase = Phase::Running;
                self.shared.observer.revived(at);
                again.push(at.clone());
            }
        }
        self.session.resume(&again).map_err(|e| Stop::from_log("resuming", e))
    }

    /// It is not known whether the last transaction happened: a new producer, the positions as the
    /// log has them now, and the state restored from the changelog before anything goes on.
    fn recover(&mut self) -> Result<(), Stop> {
        self.rewinds += 1;
        self.shared.observer.aborted();
        self.spans.undone(self.shared.spans.as_deref());
        self.open_since = None;
        self.commit_now = false;
        self.retry("replacing the producer", |worker| worker.session.renew(RENEW_TIMEOUT))?;
        self.redo_prefixes()?;
        let places: Vec<TopicPartition> = self.tasks.keys().cloned().collect();
        let committed = self.retry("reading committed positions", |worker| {
            worker.session.committed(&places, GROUP_TIMEOUT)
        })?;
        for (at, committed) in places.iter().zip(committed) {
            let Some(owned) = self.tasks.get_mut(at) else { continue };
            let task = &mut owned.task;
            if let Some(committed) = committed {
                let note = PositionNote::decode(&committed.note);
                if let Some(ingest) = self.ingests.iter_mut().find(|ingest| ingest.at == *at) {
                    ingest.resolve(note.source.as_deref());
                }
                task.committed(committed.next, note.stream_time);
                task.has_processed = !committed.note.is_empty();
            } else if let Some(ingest) = self.ingests.iter_mut().find(|ingest| ingest.at == *at) {
                ingest.roll_back();
            }
            task.roll_back();
        }
        self.recycle()?;
        let stateful: Vec<TopicPartition> = places.iter().filter(|at| self.is_stateful(at)).cloned().collect();
        self.session
            .pause(&stateful)
            .map_err(|e| Stop::from_log("pausing", e))?;
        self.start_over()?;
        for at in &stateful {
            self.begin_restore(at)?;
        }
        Ok(())
    }

    /// Tries again what the broker's absence prevents, as long as the run goes on. Events that
    /// arrive meanwhile are kept.
    pub(crate) fn retry<T>(
        &mut self,
        doing: &str,
        mut attempt: impl FnMut(&mut Self) -> Result<T, LogError>,
    ) -> Result<T, Stop> {
        loop {
            match attempt(self) {
                Ok(done) => return Ok(done),
                Err(LogError::Retriable { what }) if self.shared.shutdown.is_requested() => {
                    // What is open is aborted by the broker's time-out, or by the next start.
                    return Err(Stop::Fenced(format!("{doing}: {what}, and the run is to end")));
                }
                Err(LogError::Retriable { what }) => {
                    tracing::warn!("{doing}: {what}");
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err(error) => return Err(Stop::from_log(doing, error)),
            }
        }
    }

    fn is_stateful(&self, at: &TopicPartition) -> bool {
        self.tasks
            .get(at)
            .is_some_and(|owned| has_state(&owned.task) && !matches!(owned.task.phase, Phase::Failed))
    }

    pub(crate) fn recycle(&mut self) -> Result<(), Stop> {
        for chain in &mut self.chains {
            if let Err(error) = chain.recycle() {
                return Err(Stop::Error(crate::RunError::Transform {
                    node: "?".to_owned(),
                    what: error.to_string(),
                }));
            }
        }
        Ok(())
    }
}

pub(crate) fn has_state(task: &ProcessTask) -> bool {
    task.states.iter().any(|slot| slot.0.is_some())
}
