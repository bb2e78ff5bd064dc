//! Restarts: a pipeline stops behind a commit, and goes on by another plan.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plugin::Linked;
use record::error::Code;
use record::log::Log;

use super::diff;
use super::kept::{have_same_members, orphans, unread};
use super::receipt::{Cause, Outcome, Problem};
use super::reload::{Done, problem};
use super::trial::Trial;
use super::{Place, Prepared, Running, Supervisor, problem_of};
use crate::failure::Failure;
use crate::generation::{Holdings, InternalRead, Notes};
use crate::pipelines::Pipeline;
use crate::reset::Reset;

/// Internal topics that were not drained.
pub(super) const NOT_DRAINED: &str = "E0722";
/// The new version did not start.
pub(super) const NOT_STARTED: &str = "E0723";
/// How long what is in internal topics that go away may take.
pub(super) const DRAIN_TIME: Duration = Duration::from_secs(60);
/// How long a run is waited for to have its partitions: a worker that gets none never hears of it.
const SETTLE_TIME: Duration = Duration::from_secs(10);

/// What a restart changes.
pub(super) struct Change {
    pub(super) changes: Vec<diff::Change>,
    /// The state does not fit, and the pipeline says that it is forgotten then.
    pub(super) resets: bool,
    /// Internal topics that are to be empty before.
    pub(super) gone: Vec<InternalRead>,
}

impl Change {
    /// Refused when state would be left behind.
    fn of(old: &Running, new: &Prepared, mut changes: Vec<diff::Change>) -> Result<Self, Done> {
        let before = Holdings::of(&old.pipeline.topology);
        let after = Holdings::of(&new.pipeline.topology);
        let problems = orphans(&before, &after, &new.made.linked);
        let resets = !problems.is_empty() && new.pipeline.resets_state;
        if !problems.is_empty() && !resets {
            return Err(Done::refused(problems));
        }
        if resets {
            changes.push(diff::Change {
                part: "pipeline".to_owned(),
                name: old.name().to_string(),
                what: "reset: state, positions and internal topics".to_owned(),
            });
        }
        Ok(Self {
            changes,
            resets,
            // A reset forgets all of it, and it comes again.
            gone: if resets {
                Vec::new()
            } else {
                before.topics_that_go(&after)
            },
        })
    }
}

/// What ran before a restart.
pub(super) struct Before {
    pub(super) pipeline: Pipeline,
    pub(super) linked: Vec<Linked>,
    pub(super) place: Place,
}

impl Running {
    pub(super) fn before(&self) -> Before {
        Before {
            pipeline: self.pipeline.clone(),
            linked: self.made.linked.clone(),
            place: self.place.clone(),
        }
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

impl Supervisor {
    /// Stops the old version behind a commit, and starts the new one: at once, or when all processes that run the
    /// old plan have the new one.
    pub(super) fn restart(
        &mut self,
        index: usize,
        new: Prepared,
        changes: Vec<diff::Change>,
        cause: Cause,
    ) -> Result<Done, Done> {
        let old = &self.running[index];
        let change = Change::of(old, &new, changes)?;
        let is_same_log = new.pipeline.place == old.pipeline.place;
        if is_same_log
            && new.pipeline.plan_hash != old.pipeline.plan_hash
            && !self.others_or_refuse(index, &new.pipeline)?.is_empty()
        {
            return self.begin_switch(index, new, change, cause);
        }
        let began = Instant::now();
        let old = &mut self.running[index];
        let before = old.before();
        // What was reset, or is on another log, cannot be taken back.
        let is_watched = is_same_log && !change.resets;
        let new_trial = is_watched.then(|| Trial::of(old, &new.pipeline, &new.made)).flatten();
        let earlier_trial = old.trial.take().filter(|_| is_watched);
        self.listeners.hold_what_moves(&new.pipeline.topology, &new.place.log);
        let old = &self.running[index];
        // A reset finds no members in its groups.
        if is_same_log && have_same_members(&before.pipeline.topology, &new.pipeline.topology) && !change.resets {
            old.shutdown.comes_back();
        }
        let stopped = self.stop(index, !change.gone.is_empty());
        let is_stuck = matches!(stopped, Err(Unstopped::Stuck(_)));
        let started = stopped
            .map_err(Unstopped::into_problem)
            .and_then(|()| is_drained(&*before.place.log, &change.gone))
            .and_then(|()| self.bring_in(new, &before, &change));
        let Err(why) = started else {
            let one = &mut self.running[index];
            one.trial = Trial::after(earlier_trial, new_trial, &one.made);
            return Ok(Done::of(Outcome::Restarted, change.changes, began.elapsed()));
        };
        // One that did not stop may still write: nothing is started beside it.
        let problems = if is_stuck {
            self.cannot_go_on(&before.pipeline, &why);
            vec![why]
        } else {
            self.go_back(before, why)
        };
        Err(Done {
            pause: began.elapsed(),
            ..Done::refused(problems)
        })
    }

    /// Starts the new version where the old one has stopped. It is in force from then on; where it does not start,
    /// the old one is.
    pub(super) fn bring_in(&mut self, new: Prepared, before: &Before, change: &Change) -> Result<(), Problem> {
        let new = if change.resets {
            self.reset(new, &before.pipeline, &before.place)?
        } else {
            new
        };
        let is_other = new.pipeline.plan_hash != before.pipeline.plan_hash;
        let notes = Notes::of(&new.pipeline, &new.place.log);
        let noted = if is_other {
            put_in_force(&notes, &new.pipeline)
        } else {
            Ok(())
        };
        let started = noted.and_then(|()| self.start_and_settle(new));
        // Also where it is not known whether the note was taken.
        if started.is_err()
            && is_other
            && let Err(why) = put_in_force(&notes, &before.pipeline)
        {
            tracing::warn!(pipeline = &*before.pipeline.topology.pipeline, "{}", why.message);
        }
        started
    }

    /// Starts what ran before, since `why`. Answers what is wrong.
    pub(super) fn go_back(&mut self, before: Before, why: Problem) -> Vec<Problem> {
        let Before {
            pipeline,
            linked,
            place,
        } = before;
        let again = self
            .prepare_with(pipeline.clone(), &linked, place)
            .map_err(|failure| problem_of(&failure))
            .and_then(|prepared| self.start_and_settle(prepared));
        let mut problems = vec![why];
        if let Err(why) = again {
            self.cannot_go_on(&pipeline, &why);
            if !problems.contains(&why) {
                problems.push(why);
            }
        }
        problems
    }

    /// Neither the new version nor the old one runs: all of it ends.
    pub(super) fn cannot_go_on(&mut self, pipeline: &Pipeline, why: &Problem) {
        self.fatal = Some(Failure::Other {
            code: Code(NOT_STARTED),
            invalid: false,
            what: format!(
                "pipeline `{}` could not go on after a reload: {} ({})",
                pipeline.topology.pipeline, why.message, why.code
            ),
            place: Some(pipeline.file.display().to_string()),
            next: "mend it and start again: it goes on behind its last commit".to_owned(),
        });
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
}

/// Refuses to leave records in internal topics that go away with the old plan.
pub(super) fn is_drained(log: &dyn Log, gone: &[InternalRead]) -> Result<(), Problem> {
    let unread = unread(log, gone).map_err(|error| problem(NOT_DRAINED, error.to_string()))?;
    if unread.records.is_empty() {
        return Ok(());
    }
    Err(problem(
        NOT_DRAINED,
        format!(
            "{}, which the new version does not read, were not processed within {} s; mend what keeps them, and \
             reload again",
            unread.words(),
            DRAIN_TIME.as_secs()
        ),
    ))
}

/// Notes that a plan is in force, after whichever was.
pub(super) fn put_in_force(notes: &Notes, pipeline: &Pipeline) -> Result<(), Problem> {
    let noted = notes
        .read()
        .and_then(|said| notes.put_in_force(&pipeline.plan_hash, &pipeline.topology, said.in_force.as_ref()));
    noted
        .map(drop)
        .map_err(|error| problem(error.code().0, format!("noting the plan in the control topic: {error}")))
}
