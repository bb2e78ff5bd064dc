//! Reloads: a pipeline becomes what its file and its plugins say now, and loses no record.
//!
//! ```text
//!   read -> plan -> compile, link -> differs how?
//!     not at all ------------------------------------------------------------> unchanged
//!     in its transforms alone:  instances for all workers; each takes its own
//!                               behind a commit ------------------------------> applied
//!     in anything else:         may its state and internal topics stay?
//!                               stop behind a commit, start as it is now -----> restarted
//!     whatever does not work: what ran before runs on, or is started again --> refused
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pipeline::Severity;
use record::TopicPartition;
use record::error::Code;
use record::log::Edge;
use task::ReplaceError;

use super::diff;
use super::kept::{differs_in_transforms_alone, have_same_members, orphans, topics_that_go};
use super::receipt::{Cause, Outcome, Problem, Receipt, millis};
use super::trial::Trial;
use super::{Place, Prepared, Supervisor, problem_of};
use crate::api::Ask;
use crate::compose::TIMEOUT;
use crate::failure::Failure;
use crate::pipelines::{Made, Pipeline};
use crate::reset::Reset;

/// How long workers may take to come to a commit.
const REPLACE_TIME: Duration = Duration::from_secs(30);
/// How long what is in internal topics that go away may take.
const DRAIN_TIME: Duration = Duration::from_secs(60);
/// How long a run is waited for to have its partitions: a worker that gets none never hears of it.
const SETTLE_TIME: Duration = Duration::from_secs(10);

/// A change of the pipeline's name.
pub(super) const RENAMED: &str = "E0720";
/// Internal topics that were not drained.
const NOT_DRAINED: &str = "E0722";
/// The new version did not start.
const NOT_STARTED: &str = "E0723";

/// How a reload has ended, without what all have.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) changes: Vec<diff::Change>,
    pub(super) problems: Vec<Problem>,
    pub(super) pause: Duration,
}

impl Done {
    pub(super) fn of(outcome: Outcome, changes: Vec<diff::Change>, pause: Duration) -> Self {
        Self {
            outcome,
            changes,
            problems: Vec::new(),
            pause,
        }
    }

    pub(super) fn refused(problems: Vec<Problem>) -> Self {
        Self {
            problems,
            ..Self::of(Outcome::Refused, Vec::new(), Duration::ZERO)
        }
    }
}

impl From<Failure> for Done {
    fn from(failure: Failure) -> Self {
        Self::refused(vec![problem_of(&failure)])
    }
}

/// Why a run did not stop as it should.
pub(super) enum Unstopped {
    /// It has ended, with an error.
    Failed(Problem),
    /// It has not ended.
    Stuck(Problem),
}

impl Unstopped {
    pub(super) fn into_problem(self) -> Problem {
        match self {
            Self::Failed(problem) | Self::Stuck(problem) => problem,
        }
    }
}

pub(super) fn problem(code: &str, message: impl Into<String>) -> Problem {
    Problem {
        code: code.to_owned(),
        message: message.into(),
        place: None,
    }
}

impl Supervisor {
    /// Does what the API asks for.
    pub(super) fn answer(&mut self, ask: Ask) {
        let Ask::Reload { pipeline, answer } = ask;
        let receipts = match pipeline {
            None => self.reload_all(Cause::Api),
            Some(_) if self.settings.until_end => Vec::new(),
            Some(name) => {
                let index = self.running.iter().position(|one| *one.name() == name && !one.ended);
                index.map(|index| self.reload(index, Cause::Api)).into_iter().collect()
            }
        };
        // Whoever asked may have gone.
        let _ = answer.send(receipts);
    }

    /// Reloads every pipeline.
    pub(super) fn reload_all(&mut self, cause: Cause) -> Vec<Receipt> {
        if self.settings.until_end {
            tracing::warn!("a bounded run is not reloaded");
            return Vec::new();
        }
        let mut receipts = Vec::new();
        for index in 0..self.running.len() {
            if !self.running[index].ended {
                receipts.push(self.reload(index, cause));
            }
        }
        receipts
    }

    /// Reloads one pipeline.
    pub(super) fn reload(&mut self, index: usize, cause: Cause) -> Receipt {
        let began = Instant::now();
        let at = Timestamp::now();
        let (file, pipeline) = (
            self.running[index].pipeline.file.clone(),
            Arc::clone(self.running[index].name()),
        );
        // What is written from here on is another change.
        self.running[index].files.look_again();
        self.host.refresh();
        let done = self.try_reload(index).unwrap_or_else(|done| done);
        let receipt = self.receipt(at, began, pipeline, file, cause, done);
        self.keep(receipt)
    }

    pub(super) fn receipt(
        &mut self,
        at: Timestamp,
        began: Instant,
        pipeline: Arc<str>,
        file: PathBuf,
        cause: Cause,
        done: Done,
    ) -> Receipt {
        self.reloads += 1;
        Receipt {
            id: self.reloads,
            at,
            pipeline,
            file,
            cause,
            outcome: done.outcome,
            changes: done.changes,
            problems: done.problems,
            pause_ms: millis(done.pause),
            took_ms: millis(began.elapsed()),
        }
    }

    /// The plan that a file holds now.
    pub(super) fn check(&mut self, file: &Path) -> Result<Pipeline, Done> {
        let checked = self.host.check(file, &self.settings.pipeline, self.settings.workers);
        checked.map_err(|diagnostics| {
            let errors = diagnostics.list.iter().filter(|one| one.severity == Severity::Error);
            Done::refused(
                errors
                    .map(|one| Problem {
                        code: one.code.to_string(),
                        message: one.message.clone(),
                        place: Some(format!("{}:{}:{}", one.file, one.line, one.column)),
                    })
                    .collect(),
            )
        })
    }

    fn try_reload(&mut self, index: usize) -> Result<Done, Done> {
        let new = self.check(&self.running[index].pipeline.file.clone())?;
        let old = &self.running[index];
        if new.topology.pipeline != old.pipeline.topology.pipeline {
            return Err(Done::refused(vec![problem(
                RENAMED,
                format!(
                    "the pipeline was named `{}` and is named `{}` now: its name is its consumer group; stop this \
                     process and start another one for another pipeline",
                    old.pipeline.topology.pipeline, new.topology.pipeline
                ),
            )]));
        }
        if new.topology.state_dir != old.pipeline.topology.state_dir {
            return Err(Done::refused(vec![problem(
                NOT_STARTED,
                "`state_dir` has changed: the state is where it was opened until the process ends; take it back, or \
                 start the process again",
            )]));
        }
        let mut place = old.place.clone();
        let linked = old.made.linked.clone();
        if new.place != old.pipeline.place {
            place.log = self.host.log(&new)?;
        }
        let prepared = self.prepare_with(new, &linked, place)?;
        let old = &self.running[index];
        let mut changes = diff::changes(&old.pipeline, &linked, &prepared.pipeline, &prepared.made.linked);
        changes.extend(diff::shadows(&old.made.shadows, &prepared.made.shadows));
        if changes.is_empty() {
            return Ok(Done::of(Outcome::Unchanged, changes, Duration::ZERO));
        }
        if differs_in_transforms_alone(&old.pipeline, &prepared.pipeline)
            && old.control.fits(&prepared.pipeline.topology.processes)
        {
            return self.replace(index, prepared, changes);
        }
        self.restart(index, prepared, changes)
    }

    /// New versions of transforms, between two batches.
    fn replace(&mut self, index: usize, prepared: Prepared, changes: Vec<diff::Change>) -> Result<Done, Done> {
        let Prepared { pipeline, made, .. } = prepared;
        let new = Trial::of(&self.running[index], &pipeline, &made);
        let pause = self.take_over(index, pipeline, made)?;
        let one = &mut self.running[index];
        one.trial = Trial::after(one.trial.take(), new, &one.made);
        Ok(Done::of(Outcome::Applied, changes, pause))
    }

    /// Replaces the transforms of a run. Answers how long records stood still.
    pub(super) fn take_over(&mut self, index: usize, pipeline: Pipeline, made: Made) -> Result<Duration, Done> {
        let log = Arc::clone(&self.running[index].place.log);
        // An address that cannot be had refuses all of it.
        self.listeners.bring_to(&pipeline.topology, &log)?;
        let one = &mut self.running[index];
        let parts = Arc::clone(&made.parts);
        match one.control.replace(&pipeline.topology.processes, parts, REPLACE_TIME) {
            Ok(replaced) => {
                if replaced.waiting > 0 {
                    tracing::warn!(
                        pipeline = &*pipeline.topology.pipeline,
                        "{} workers have not come to a commit yet; they take the new version when they do",
                        replaced.waiting
                    );
                }
                one.files = pipeline.files().seen_at(&one.files);
                one.pipeline = pipeline;
                one.made = made;
                let (topology, made) = (Arc::clone(&one.pipeline.topology), &one.made);
                self.board.update(&topology.pipeline, |entry| {
                    entry.topology = Arc::clone(&topology);
                    entry.linked.clone_from(&made.linked);
                    entry.shadows.clone_from(&made.shadows);
                });
                Ok(replaced.pause)
            }
            Err(error) => {
                // Their own settings were fine before.
                let before = Arc::clone(&one.pipeline.topology);
                if let Err(failure) = self.listeners.bring_to(&before, &log) {
                    tracing::error!(pipeline = &*before.pipeline, "{failure}");
                }
                let (code, why) = match error {
                    ReplaceError::NotStarted(error) => ("E0701", error.to_string()),
                    error @ (ReplaceError::NotRunning | ReplaceError::OtherShape) => (NOT_STARTED, error.to_string()),
                };
                Err(Done::refused(vec![problem(code, why)]))
            }
        }
    }

    /// Stops the old version behind a commit, and starts the new one.
    fn restart(&mut self, index: usize, new: Prepared, mut changes: Vec<diff::Change>) -> Result<Done, Done> {
        let old = &self.running[index];
        let problems = orphans(&old.pipeline.topology, &new.pipeline.topology, &new.made.linked);
        let resets = !problems.is_empty() && new.pipeline.resets_state;
        if !problems.is_empty() && !resets {
            return Err(Done::refused(problems));
        }
        let began = Instant::now();
        let gone = if resets {
            changes.push(diff::Change {
                part: "pipeline".to_owned(),
                name: old.name().to_string(),
                what: "reset: state, positions and internal topics".to_owned(),
            });
            // All of it is forgotten, and comes again.
            Vec::new()
        } else {
            topics_that_go(&old.pipeline.topology, &new.pipeline.topology)
        };
        let (before, linked, place) = (old.pipeline.clone(), old.made.linked.clone(), old.place.clone());
        let (name, file) = (Arc::clone(old.name()), before.file.clone());
        self.listeners.hold_what_moves(&new.pipeline.topology, &new.place.log);
        let old = &self.running[index];
        // A reset finds no members in its groups.
        let stays = have_same_members(&before.topology, &new.pipeline.topology) && new.pipeline.place == before.place;
        if stays && !resets {
            old.shutdown.comes_back();
        }
        let stopped = self.stop(index, !gone.is_empty());
        let is_stuck = matches!(stopped, Err(Unstopped::Stuck(_)));
        let ready = stopped
            .map_err(Unstopped::into_problem)
            .and_then(|()| self.are_drained(index, &gone));
        let started = ready
            .and_then(|()| {
                if resets {
                    self.reset(new, &before, &place)
                } else {
                    Ok(new)
                }
            })
            .and_then(|new| self.start_and_settle(new));
        let Err(why) = started else {
            return Ok(Done::of(Outcome::Restarted, changes, began.elapsed()));
        };
        let mut problems = vec![why];
        // One that did not stop may still write: nothing is started beside it.
        let again = if is_stuck {
            Err(problems[0].clone())
        } else {
            self.prepare_with(before, &linked, place)
                .map_err(|failure| problem_of(&failure))
                .and_then(|prepared| self.start_and_settle(prepared))
        };
        if let Err(why) = again {
            self.fatal = Some(Failure::Other {
                code: Code(NOT_STARTED),
                invalid: false,
                what: format!(
                    "pipeline `{name}` could not go on after a reload: {} ({})",
                    why.message, why.code
                ),
                place: Some(file.display().to_string()),
                next: "mend it and start again: it goes on behind its last commit".to_owned(),
            });
            if !problems.contains(&why) {
                problems.push(why);
            }
        }
        Err(Done {
            pause: began.elapsed(),
            ..Done::refused(problems)
        })
    }

    /// Makes a pipeline that has stopped forget everything, as `wasmill reset` does. Answers what it is to become,
    /// with the incarnation that it has then. Local stores are wiped when their changelogs are others.
    fn reset(&mut self, new: Prepared, before: &Pipeline, place: &Place) -> Result<Prepared, Problem> {
        let control = before.control_topic.clone();
        Reset::look(&*place.log, &before.topology, control, None)
            .and_then(|reset| reset.run(&*place.log))
            .map_err(|failure| problem_of(&failure))?;
        tracing::warn!(
            pipeline = &*before.topology.pipeline,
            "its state did not fit: state, positions and internal topics were reset, as `on_state_change` says"
        );
        let Prepared { pipeline, made, place } = new;
        self.prepare_with(pipeline, &made.linked, place)
            .map_err(|failure| problem_of(&failure))
    }

    /// Ends a run behind a commit, with what is in its internal topics processed if `drain`.
    pub(super) fn stop(&mut self, index: usize, drain: bool) -> Result<(), Unstopped> {
        let one = &self.running[index];
        let (run, shutdown, control) = (one.run, one.shutdown.clone(), one.control.clone());
        let mut ended = None;
        if drain {
            control.drain();
            ended = self.wait_for(run, DRAIN_TIME);
        }
        let time = self.settings.shutdown_timeout;
        let ended = match ended {
            Some(ended) => Some(ended),
            None => {
                shutdown.request(Instant::now() + time);
                self.wait_for(run, time + super::GRACE)
            }
        };
        // Whatever becomes of it, this end is not that of the pipeline.
        self.running[index].ended = true;
        match ended {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Unstopped::Failed(problem(
                error.code().0,
                format!("the version that ran ended with an error: {error}"),
            ))),
            None => Err(Unstopped::Stuck(problem(
                NOT_STARTED,
                format!("the version that runs did not stop within {} s", time.as_secs()),
            ))),
        }
    }

    /// Starts a run, and waits until it has its partitions.
    pub(super) fn start_and_settle(&mut self, prepared: Prepared) -> Result<(), Problem> {
        let name = Arc::clone(&prepared.pipeline.topology.pipeline);
        let run = self.start(prepared, None).map_err(|failure| problem_of(&failure))?;
        let control = self
            .running
            .iter()
            .find(|one| one.run == run)
            .map(|one| one.control.clone());
        let deadline = Instant::now() + SETTLE_TIME;
        while let Some(control) = &control
            && !control.is_settled()
            && Instant::now() < deadline
        {
            match self.wait_for(run, Duration::from_millis(20)) {
                None => {}
                // It was told to end meanwhile: its end is looked at like any other.
                Some(ended @ Ok(_)) => {
                    self.early_ends.push_back((run, ended));
                    return Ok(());
                }
                Some(Err(error)) => {
                    if let Some(one) = self.running.iter_mut().find(|one| one.run == run) {
                        one.ended = true;
                        one.progress.finish();
                        let why = error.to_string();
                        self.board.update(&name, |entry| entry.ended = Some(Some(why)));
                    }
                    return Err(problem(error.code().0, format!("pipeline `{name}`: {error}")));
                }
            }
        }
        Ok(())
    }

    /// Whether nothing is left in internal topics that go away with the old plan.
    fn are_drained(&self, index: usize, gone: &[(Arc<str>, Arc<str>)]) -> Result<(), Problem> {
        let one = &self.running[index];
        let failed = |error: record::log::LogError| problem(NOT_DRAINED, error.to_string());
        for (topic, group) in gone {
            let found = one.place.log.topics(&[topic], TIMEOUT).map_err(failed)?;
            let Some(Some(info)) = found.into_iter().next() else {
                continue;
            };
            let places: Vec<_> = (0..info.partitions)
                .map(|partition| TopicPartition::new(Arc::clone(topic), partition))
                .collect();
            let ends = one
                .place
                .log
                .offsets(&places, Edge::StableEnd, TIMEOUT)
                .map_err(failed)?;
            let committed = one.place.log.committed(group, &places, TIMEOUT).map_err(failed)?;
            let left: i64 = ends
                .iter()
                .zip(committed)
                .map(|(end, committed)| end.0 - committed.map_or(0, |committed| committed.next.0))
                .sum();
            if left > 0 {
                return Err(problem(
                    NOT_DRAINED,
                    format!(
                        "{left} records in `{topic}`, which the new version does not read, were not processed within \
                         {} s; mend what keeps them, and reload again",
                        DRAIN_TIME.as_secs()
                    ),
                ));
            }
        }
        Ok(())
    }
}
