//! Reloads: a pipeline becomes what its file and its plugins say now, and loses no record.
//!
//! ```text
//!   read -> plan -> compile, link -> differs how?
//!     not at all ------------------------------------------------------------> unchanged
//!     in its transforms alone:  instances for all workers; each takes its own
//!                               behind a commit ------------------------------> applied
//!     in anything else:         may its state and internal topics stay?
//!       other processes run the old plan: see `switch` -----------------------> waiting
//!                               stop behind a commit, start as it is now -----> restarted
//!     whatever does not work: what ran before runs on, or is started again --> refused
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pipeline::Severity;
use task::ReplaceError;

use super::diff;
use super::kept::differs_in_transforms_alone;
use super::receipt::{Cause, Outcome, Problem, Receipt, millis};
use super::restart::NOT_STARTED;
use super::trial::Trial;
use super::{Prepared, Supervisor, problem_of};
use crate::api::Ask;
use crate::failure::Failure;
use crate::pipelines::{Made, Pipeline};

/// How long workers may take to come to a commit.
const REPLACE_TIME: Duration = Duration::from_secs(30);

/// A change of the pipeline's name.
pub(super) const RENAMED: &str = "E0720";

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
        let done = self.try_reload(index, cause).unwrap_or_else(|done| done);
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

    fn try_reload(&mut self, index: usize, cause: Cause) -> Result<Done, Done> {
        self.set_switch_aside(index)?;
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
        self.restart(index, prepared, changes, cause)
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
}
