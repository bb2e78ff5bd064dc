//! New versions on trial: one that fails too often is taken back, and the version before it runs again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plugin::Linked;
use record::topology::Rollback;

use super::diff;
use super::kept::differs_in_transforms_alone;
use super::receipt::{Cause, Outcome, Problem};
use super::reload::{Done, problem};
use super::switch::NOT_TOGETHER;
use super::{Running, Supervisor};
use crate::pipelines::{Made, Pipeline};

/// A new version has failed too often.
const ROLLED_BACK: &str = "E0724";

/// A reload that may be taken back.
pub(super) struct Trial {
    /// What ran before it.
    pipeline: Pipeline,
    made: Made,
    /// The transforms that it has changed.
    watched: Vec<Watched>,
}

struct Watched {
    since: Instant,
    rule: Rollback,
    linked: Linked,
}

impl Trial {
    /// What is to be watched of a reload, if anything: transforms that are others now, and say when they are to be
    /// taken back.
    pub(super) fn of(old: &Running, pipeline: &Pipeline, made: &Made) -> Option<Self> {
        let nodes = pipeline.topology.processes.iter().flat_map(|sub| &sub.nodes);
        let watched: Vec<Watched> = nodes
            .zip(&made.linked)
            // One that stays as it is counts on: it is the same object.
            .filter(|(_, linked)| old.made.linked.iter().all(|before| !before.is_same(linked)))
            .filter_map(|(node, linked)| {
                Some(Watched {
                    since: Instant::now(),
                    rule: node.rollback?,
                    linked: linked.clone(),
                })
            })
            .collect();
        (!watched.is_empty()).then(|| Self {
            pipeline: old.pipeline.clone(),
            made: old.made.clone(),
            watched,
        })
    }

    /// What is watched after another reload: what it has changed, and what is on trial since an earlier one and runs
    /// on. The version before the first of them is the one that comes back.
    pub(super) fn after(earlier: Option<Self>, new: Option<Self>, made: &Made) -> Option<Self> {
        let Some(mut earlier) = earlier.filter(|trial| !trial.is_over()) else {
            return new;
        };
        earlier
            .watched
            .retain(|one| made.linked.iter().any(|linked| linked.is_same(&one.linked)));
        if earlier.watched.is_empty() {
            return new;
        }
        earlier.watched.extend(new.into_iter().flat_map(|new| new.watched));
        Some(earlier)
    }

    fn is_over(&self) -> bool {
        self.watched.iter().all(|one| one.since.elapsed() > one.rule.within)
    }

    /// What is wrong with the new version, once that is certain. `standing`: the nodes at which partitions stand still.
    fn verdict(&self, standing: &[String]) -> Option<Problem> {
        self.watched
            .iter()
            .filter(|one| one.since.elapsed() <= one.rule.within)
            .find_map(|one| one.verdict(standing))
    }
}

impl Watched {
    fn verdict(&self, standing: &[String]) -> Option<Problem> {
        let after = self.since.elapsed();
        let name = self.linked.transform();
        let usage = self.linked.usage();
        let failed = usage.failed_records + usage.convicting_calls();
        let records = usage.records + usage.convicting_calls();
        let seconds = after.as_secs_f64();
        if standing.iter().any(|node| **node == **name) && failed > 0 {
            return Some(problem(
                ROLLED_BACK,
                format!(
                    "the new version of transform `{name}` has brought a partition to a stand after {seconds:.1} s"
                ),
            ));
        }
        let share = failed as f64 / records.max(1) as f64;
        (records >= self.rule.records && share > self.rule.failed_share).then(|| {
            problem(
                ROLLED_BACK,
                format!(
                    "the new version of transform `{name}` has failed {failed} times with {records} records in {seconds:.1} s: \
                     more than {} %",
                    self.rule.failed_share * 100.0
                ),
            )
        })
    }
}

impl Supervisor {
    /// Takes back what has failed too often; forgets what has stood its time.
    pub(super) fn judge_trials(&mut self) {
        for index in 0..self.running.len() {
            let one = &mut self.running[index];
            let Some(trial) = &one.trial else { continue };
            if one.ended || trial.is_over() {
                one.trial = None;
                continue;
            }
            let entry = self.board.entry(one.name());
            let failures = entry.map(|entry| entry.observer.failures()).unwrap_or_default();
            let standing: Vec<String> = failures.into_iter().map(|failure| failure.node).collect();
            if let Some(why) = trial.verdict(&standing) {
                self.roll_back(index, why);
            }
        }
    }

    /// Goes back behind a restart. Answers how long records stood still.
    fn restart_before(&mut self, index: usize, trial: Trial, changes: Vec<diff::Change>) -> Result<Duration, Done> {
        let Trial { pipeline, made, .. } = trial;
        if let Some(other) = self.others_or_refuse(index, &pipeline)?.first() {
            return Err(Done::refused(vec![problem(
                NOT_TOGETHER,
                format!(
                    "process {other} runs the new plan too: take the change back in the files of all processes, so that \
                     they go back together"
                ),
            )]));
        }
        let place = self.running[index].place.clone();
        let prepared = self.prepare_with(pipeline, &made.linked, place)?;
        let done = self.restart(index, prepared, changes, Cause::Rollback)?;
        // It ran before: it is not on trial.
        self.running[index].trial = None;
        Ok(done.pause)
    }

    fn roll_back(&mut self, index: usize, why: Problem) {
        let Some(trial) = self.running[index].trial.take() else {
            return;
        };
        let (at, began) = (Timestamp::now(), Instant::now());
        let one = &self.running[index];
        let (file, name) = (one.pipeline.file.clone(), Arc::clone(one.name()));
        let changes = diff::changes(&one.pipeline, &one.made.linked, &trial.pipeline, &trial.made.linked);
        // What was taken back is not tried again until one of its files changes, or of what runs again.
        let files = self.running[index].files.clone();
        let one = &self.running[index];
        let fits = differs_in_transforms_alone(&one.pipeline, &trial.pipeline)
            && one.control.fits(&trial.pipeline.topology.processes);
        let taken_back = if fits {
            self.take_over(index, trial.pipeline, trial.made)
        } else {
            self.restart_before(index, trial, changes.clone())
        };
        let done = match taken_back {
            Ok(pause) => Done {
                problems: vec![why],
                ..Done::of(Outcome::RolledBack, changes, pause)
            },
            Err(mut done) => {
                done.problems.insert(0, why);
                done
            }
        };
        self.running[index].files.add(files);
        let receipt = self.receipt(at, began, name, file, Cause::Rollback, done);
        self.keep(receipt);
    }
}
