//! A new plan for a pipeline that several processes run: it starts when all of them have it.
//!
//! ```text
//!   each:    checked -> announced ~~ the old version runs ~~> told to end -> ends -> stands
//!   leader:  all have announced -> tells to end ... nobody runs -> drained? -> in force -> started -> takes the word back
//!   others:                                                   ... the word is taken back -> what is in force starts
//! ```
//!
//! All that they say to each other is in the control topic (see [`crate::generation`]). The leader is the
//! process with the least id of those that are ready; whoever finds that it is silent for [`SILENT`] goes on in its
//! place. A process that dies is counted until its session ends; when it starts again it does as the notes
//! say ([`super::admission`]).

use std::time::{Duration, Instant};

use jiff::Timestamp;
use record::log::LogError;
use task::{Member, RunError, Summary};

use super::receipt::{Cause, Outcome, Problem};
use super::reload::{Done, problem};
use super::restart::{Before, Change, DRAIN_TIME, is_drained, put_in_force};
use super::{Prepared, Supervisor, problem_of};
use crate::generation::{Notes, Order, Said};
use crate::pipelines::Pipeline;

/// Processes of one pipeline that do not come to one plan.
pub(super) const NOT_TOGETHER: &str = "E0725";

/// How often the notes are looked at, while all stand still for it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often, while the old plan runs: it may do so for days.
const LOOK_WAITING_EVERY: Duration = Duration::from_secs(2);
/// How often a leader says that it is there.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// A leader that has said nothing for so long is taken for dead.
pub(super) const SILENT: Duration = Duration::from_secs(45);
/// How much longer than its own time to end a process waits for the others to end.
const LEAVE_TIME: Duration = Duration::from_secs(30);

/// A pipeline of this process on its way to another plan.
pub(super) struct Switch {
    new: Prepared,
    change: Change,
    cause: Cause,
    at: Timestamp,
    began: Instant,
    phase: Phase,
    looked: Instant,
    watch: OrderWatch,
    /// Those that do not have the plan yet, as was told last.
    missing: Vec<Member>,
}

enum Phase {
    /// The old plan runs. Not every process has the new one.
    Waiting,
    /// The old plan ends.
    Ending {
        since: Instant,
        until: Instant,
        is_told: bool,
        /// How it has ended.
        ended: Option<Result<(), Problem>>,
    },
    /// The old plan has ended here.
    Standing { since: Instant, ended_at: Instant },
}

/// Looks whether somebody still sees to an order.
#[derive(Default)]
pub(super) struct OrderWatch {
    seen: Option<(Order, Instant)>,
}

impl OrderWatch {
    /// How long an order has been the same.
    pub(super) fn silent_for(&mut self, order: &Order) -> Duration {
        match &self.seen {
            Some((seen, since)) if seen == order => since.elapsed(),
            _ => {
                self.seen = Some((order.clone(), Instant::now()));
                Duration::ZERO
            }
        }
    }
}

/// What a look at the notes has come to.
enum Step {
    Stay(Box<Switch>),
    Done(Done),
}

impl Switch {
    fn notes(&self) -> Notes {
        Notes::of(&self.new.pipeline, &self.new.place.log)
    }

    fn look_every(&self) -> Duration {
        if self.is_waiting() {
            LOOK_WAITING_EVERY
        } else {
            LOOK_EVERY
        }
    }

    /// Whether the old plan runs and was not told to end.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting)
    }

    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { ended: None, .. })
    }

    /// The run of the old plan is over, if it was to end.
    pub(super) fn on_end(&mut self, result: &Result<Summary, RunError>) -> bool {
        let Phase::Ending { ended, .. } = &mut self.phase else {
            return false;
        };
        *ended = Some(result.as_ref().map(|_| ()).map_err(|error| {
            problem(
                error.code().0,
                format!("the version that ran ended with an error: {error}"),
            )
        }));
        true
    }
}

impl Supervisor {
    /// Other processes that run a pipeline, by this plan or another one.
    pub(super) fn others(&self, index: usize, new: &Pipeline) -> Result<Vec<Member>, LogError> {
        let old = &self.running[index];
        let mut all = task::members(&*old.place.log, &old.pipeline.topology)?;
        all.extend(task::members(&*old.place.log, &new.topology)?);
        all.retain(|member| !member.is_process(&old.place.process_id));
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// As [`Self::others`], for a reload that is refused when they cannot be seen.
    pub(super) fn others_or_refuse(&self, index: usize, new: &Pipeline) -> Result<Vec<Member>, Done> {
        self.others(index, new).map_err(|error| {
            Done::refused(vec![problem(
                error.code().0,
                format!("looking for other processes of the pipeline: {error}"),
            )])
        })
    }

    /// Says that this process has a new plan, and lets the old one run until all have it.
    pub(super) fn begin_switch(
        &mut self,
        index: usize,
        new: Prepared,
        change: Change,
        cause: Cause,
    ) -> Result<Done, Done> {
        let failed = |error: LogError| {
            Done::refused(vec![problem(
                NOT_TOGETHER,
                format!("the other processes of the pipeline cannot be told of the new plan: {error}"),
            )])
        };
        let switch = Switch {
            new,
            change,
            cause,
            at: Timestamp::now(),
            began: Instant::now(),
            phase: Phase::Waiting,
            looked: Instant::now(),
            watch: OrderWatch::default(),
            missing: Vec::new(),
        };
        let notes = switch.notes();
        let process = &switch.new.place.process_id;
        // From here on the others may count on it, whatever is answered.
        notes
            .announce(process, Some(&switch.new.pipeline.plan_hash))
            .map_err(failed)?;
        let looked = notes.read().and_then(|said| {
            let mut others = self.others(index, &switch.new.pipeline)?;
            others.retain(|other| !said.is_ready(other, &switch.new.pipeline.plan_hash));
            Ok(others)
        });
        let (missing, problems) = match looked {
            Ok(missing) => {
                let behind = |member: &Member| {
                    problem(
                        NOT_TOGETHER,
                        format!("process {member} runs the old plan, and its files do not ask for this one yet"),
                    )
                };
                let problems = missing.iter().map(behind).collect();
                (missing, problems)
            }
            Err(error) => (Vec::new(), vec![problem(error.code().0, error.to_string())]),
        };
        let done = Done {
            problems,
            ..Done::of(Outcome::Waiting, switch.change.changes.clone(), Duration::ZERO)
        };
        let one = &mut self.running[index];
        // Plugins that only the new plan has are changed like any other file.
        one.files.add(switch.new.pipeline.files());
        one.switch = Some(Box::new(Switch { missing, ..switch }));
        Ok(done)
    }

    /// A reload of a pipeline that waits for other processes: what its files say now counts.
    pub(super) fn set_switch_aside(&mut self, index: usize) -> Result<(), Done> {
        let one = &mut self.running[index];
        let Some(switch) = &one.switch else {
            return Ok(());
        };
        let refused = |why: String| Done::refused(vec![problem(NOT_TOGETHER, why)]);
        let failed = |error: LogError| {
            refused(format!(
                "the other processes of the pipeline cannot be told that the plan is not wanted any more: {error}"
            ))
        };
        let notes = switch.notes();
        let order = notes.read().map_err(failed)?.order;
        if !switch.is_waiting() || order.is_some_and(|order| order.to == switch.new.pipeline.plan_hash) {
            return Err(refused(
                "the processes of the pipeline are being brought to another plan; reload again when that is done"
                    .to_owned(),
            ));
        }
        notes.announce(&one.place.process_id, None).map_err(failed)?;
        one.switch = None;
        Ok(())
    }

    /// A pipeline goes: nobody waits for it any more.
    pub(super) fn drop_switch(&mut self, index: usize) {
        let one = &mut self.running[index];
        if let Some(switch) = one.switch.take() {
            take_back(&switch.notes(), &one.place.process_id);
        }
    }

    /// Looks at all pipelines that are on their way to another plan.
    pub(super) fn step_switches(&mut self) {
        for index in 0..self.running.len() {
            let is_due = |switch: &mut Box<Switch>| switch.looked.elapsed() >= switch.look_every();
            let Some(mut switch) = self.running[index].switch.take_if(is_due) else {
                continue;
            };
            switch.looked = Instant::now();
            let (at, began, cause) = (switch.at, switch.began, switch.cause);
            self.note_end(index, &mut switch);
            let one = &self.running[index];
            let (file, name) = (one.pipeline.file.clone(), one.name().clone());
            let (files, run) = (one.files.clone(), one.run);
            match self.step(index, switch) {
                Step::Stay(switch) => self.running[index].switch = Some(switch),
                Step::Done(done) => {
                    // What was written meanwhile is another change.
                    let one = &mut self.running[index];
                    if one.run != run {
                        one.files = one.pipeline.files().seen_at(&files);
                    }
                    let receipt = self.receipt(at, began, name, file, cause, done);
                    self.keep(receipt);
                }
            }
        }
    }

    /// Its end may have come while this thread was busy.
    fn note_end(&mut self, index: usize, switch: &mut Switch) {
        if switch.is_ending()
            && let Some(result) = self.wait_for(self.running[index].run, Duration::ZERO)
        {
            let one = &mut self.running[index];
            one.ended = true;
            one.progress.finish();
            switch.on_end(&result);
        }
    }

    fn step(&mut self, index: usize, mut switch: Box<Switch>) -> Step {
        match &mut switch.phase {
            Phase::Waiting => self.wait(index, switch),
            Phase::Ending {
                since,
                until,
                is_told,
                ended,
            } => {
                let since = *since;
                if ended.is_some() {
                    if let Some(Err(why)) = ended.take() {
                        tracing::warn!(pipeline = &**self.running[index].name(), "{}", why.message);
                    }
                    switch.phase = Phase::Standing {
                        since,
                        ended_at: Instant::now(),
                    };
                } else if Instant::now() > *until {
                    let time = self.settings.shutdown_timeout;
                    if *is_told {
                        let why = problem(
                            NOT_TOGETHER,
                            format!("the version that runs did not stop within {} s", time.as_secs()),
                        );
                        self.cannot_go_on(&switch.new.pipeline, &why);
                        return Step::Done(Done::refused(vec![why]));
                    }
                    *is_told = true;
                    *until = Instant::now() + time + super::GRACE;
                    self.running[index].shutdown.request(Instant::now() + time);
                }
                self.beat_as_leader(&mut switch);
                Step::Stay(switch)
            }
            Phase::Standing { .. } => self.stand(index, switch),
        }
    }

    /// The old plan runs: have all the new one?
    fn wait(&mut self, index: usize, mut switch: Box<Switch>) -> Step {
        let notes = switch.notes();
        let wanted = switch.new.pipeline.plan_hash.clone();
        let looked = notes
            .read()
            .and_then(|said| Ok((self.others(index, &switch.new.pipeline)?, said)));
        let (others, said) = match looked {
            Ok(found) => found,
            Err(error) => return not_seen(switch, &error),
        };
        if said.order.as_ref().is_some_and(|order| order.to == wanted) {
            return self.end_old(index, switch);
        }
        let mut missing = others.clone();
        missing.retain(|other| !said.is_ready(other, &wanted));
        if !missing.is_empty() {
            if missing != switch.missing {
                let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
                tracing::info!(
                    pipeline = &**self.running[index].name(),
                    "the new plan waits for {}",
                    names.join(", ")
                );
                switch.missing = missing;
            }
            return Step::Stay(switch);
        }
        let own = &switch.new.place.process_id;
        let ready = said
            .ready
            .iter()
            .filter(|(process, plan)| **plan == wanted && others.iter().any(|other| other.is_process(process)));
        if ready.map(|(process, _)| process).any(|process| process < own) {
            return Step::Stay(switch);
        }
        let order = Order {
            to: wanted,
            by: own.clone(),
            beat: 0,
        };
        match notes.order(Some(&order)) {
            Ok(()) => {
                tracing::info!(
                    pipeline = &**self.running[index].name(),
                    "this process sees to the switch to the new plan"
                );
                self.end_old(index, switch)
            }
            Err(error) => not_seen(switch, &error),
        }
    }

    /// Tells the old plan to end.
    fn end_old(&mut self, index: usize, mut switch: Box<Switch>) -> Step {
        self.listeners
            .hold_what_moves(&switch.new.pipeline.topology, &switch.new.place.log);
        let one = &self.running[index];
        tracing::info!(
            pipeline = &**one.name(),
            "all processes have the new plan: the old one ends"
        );
        let time = self.settings.shutdown_timeout;
        let since = Instant::now();
        let drains = !switch.change.gone.is_empty();
        if drains {
            one.control.drain();
        } else {
            one.shutdown.request(since + time);
        }
        switch.phase = Phase::Ending {
            since,
            until: since + if drains { DRAIN_TIME } else { time + super::GRACE },
            is_told: !drains,
            ended: None,
        };
        Step::Stay(switch)
    }

    /// A leader that is busy says that it is there.
    fn beat_as_leader(&self, switch: &mut Switch) {
        let notes = switch.notes();
        let Ok(Said { order: Some(order), .. }) = notes.read() else {
            return;
        };
        beat(&notes, &order, switch);
    }

    /// The old plan has ended here: what is to follow?
    fn stand(&mut self, index: usize, mut switch: Box<Switch>) -> Step {
        let notes = switch.notes();
        let said = match notes.read() {
            Ok(said) => said,
            Err(error) => return not_seen(switch, &error),
        };
        let own = switch.new.place.process_id.clone();
        match said.order.clone() {
            None => {
                let in_force = said.in_force.map(|in_force| in_force.plan);
                self.follow(index, switch, in_force.as_deref())
            }
            Some(order) if order.by == own => self.lead(index, switch, &order, &said),
            Some(order) => {
                if switch.watch.silent_for(&order) > SILENT {
                    tracing::warn!(
                        pipeline = &**self.running[index].name(),
                        "process `{}`, which saw to the new plan, is silent: going on in its place",
                        order.by
                    );
                    let order = Order {
                        by: own,
                        beat: order.beat + 1,
                        ..order
                    };
                    if let Err(error) = notes.order(Some(&order)) {
                        return not_seen(switch, &error);
                    }
                }
                Step::Stay(switch)
            }
        }
    }

    /// The leader is done: the plan in force starts.
    fn follow(&mut self, index: usize, switch: Box<Switch>, in_force: Option<&str>) -> Step {
        let before = self.running[index].before();
        let pause = switch.pause();
        let notes = switch.notes();
        let Switch { new, change, .. } = *switch;
        let process = new.place.process_id.clone();
        let done = if in_force == Some(&*new.pipeline.plan_hash) {
            // A reset has changed the incarnation.
            let Prepared { pipeline, made, place } = new;
            let failed = pipeline.clone();
            let started = self
                .prepare_with(pipeline, &made.linked, place)
                .map_err(|failure| problem_of(&failure))
                .and_then(|new| self.start_and_settle(new));
            match started {
                Ok(()) => Done::of(Outcome::Restarted, change.changes, pause()),
                Err(why) => {
                    // The old plan is not in force any more.
                    self.cannot_go_on(&failed, &why);
                    Done::refused(vec![why])
                }
            }
        } else {
            let why = problem(
                NOT_TOGETHER,
                "the process that saw to it has gone back to the old plan; its receipts say why",
            );
            Done {
                pause: pause(),
                ..Done::refused(self.go_back(before, why))
            }
        };
        take_back(&notes, &process);
        Step::Done(done)
    }

    /// Brings the new plan in when nobody runs the old one.
    fn lead(&mut self, index: usize, mut switch: Box<Switch>, order: &Order, said: &Said) -> Step {
        let Phase::Standing { since, ended_at } = switch.phase else {
            return Step::Stay(switch);
        };
        let notes = switch.notes();
        let time = DRAIN_TIME + self.settings.shutdown_timeout + LEAVE_TIME;
        let before = self.running[index].before();
        let left = self
            .others(index, &switch.new.pipeline)
            .and_then(|others| Ok((others, super::kept::unread(&*before.place.log, &switch.change.gone)?)));
        let (others, unread) = match left {
            Ok(found) => found,
            Err(error) if since.elapsed() < time => return not_seen(switch, &error),
            Err(error) => {
                let why = problem(NOT_TOGETHER, error.to_string());
                return self.give_up(&switch, before, why);
            }
        };
        let in_force = said.in_force.as_ref().map(|in_force| &*in_force.plan);
        if in_force == Some(&*order.to) && !others.is_empty() && others.iter().all(|other| other.has_plan(&order.to)) {
            // The one before has brought it in, and could not say so.
            if let Err(error) = notes.order(None) {
                return not_seen(switch, &error);
            }
            return self.follow(index, switch, in_force);
        }
        if let Some(other) = others.iter().find(|other| !said.is_ready(other, &order.to)) {
            let why = problem(
                NOT_TOGETHER,
                format!("process {other} has come since, and its files do not ask for the new plan"),
            );
            return self.give_up(&switch, before, why);
        }
        if let Some(other) = others.first() {
            if since.elapsed() < time {
                beat(&notes, order, &mut switch);
                return Step::Stay(switch);
            }
            let why = problem(
                NOT_TOGETHER,
                format!("process {other} did not end the old plan within {} s", time.as_secs()),
            );
            return self.give_up(&switch, before, why);
        }
        // What a process that has died had begun ends by itself.
        if unread.is_open && ended_at.elapsed() < time {
            beat(&notes, order, &mut switch);
            return Step::Stay(switch);
        }
        if let Err(why) = is_drained(&*before.place.log, &switch.change.gone) {
            return self.give_up(&switch, before, why);
        }
        let pause = switch.pause();
        let Switch { new, change, .. } = *switch;
        let process = new.place.process_id.clone();
        let done = match self.bring_in(new, &before, &change) {
            Ok(()) => Done::of(Outcome::Restarted, change.changes, pause()),
            Err(why) => Done {
                pause: pause(),
                ..Done::refused(self.go_back(before, why))
            },
        };
        finish(&notes, &process);
        Step::Done(done)
    }

    /// The old plan starts again, here and everywhere.
    fn give_up(&mut self, switch: &Switch, before: Before, why: Problem) -> Step {
        let pause = switch.pause();
        let (notes, process) = (switch.notes(), switch.new.place.process_id.clone());
        let in_force = notes.read().map(|said| said.in_force.map(|in_force| in_force.plan));
        if !matches!(in_force, Ok(Some(plan)) if plan == before.pipeline.plan_hash)
            && let Err(why) = put_in_force(&notes, &before.pipeline)
        {
            tracing::warn!(pipeline = &*before.pipeline.topology.pipeline, "{}", why.message);
        }
        let done = Done {
            pause: pause(),
            ..Done::refused(self.go_back(before, why))
        };
        finish(&notes, &process);
        Step::Done(done)
    }
}

impl Switch {
    /// How long records have stood still, when it is asked.
    fn pause(&self) -> impl Fn() -> Duration + use<> {
        let since = match self.phase {
            Phase::Waiting => Instant::now(),
            Phase::Ending { since, .. } | Phase::Standing { since, .. } => since,
        };
        move || since.elapsed()
    }
}

fn not_seen(switch: Box<Switch>, error: &LogError) -> Step {
    tracing::warn!(
        pipeline = &*switch.new.pipeline.topology.pipeline,
        "looking at how far other processes are with the new plan: {error}"
    );
    Step::Stay(switch)
}

/// Says that the leader is there, if it is this process.
fn beat(notes: &Notes, order: &Order, switch: &mut Switch) {
    if order.by != switch.new.place.process_id || switch.watch.silent_for(order) < BEAT_EVERY {
        return;
    }
    let order = Order {
        beat: order.beat + 1,
        ..order.clone()
    };
    if let Err(error) = notes.order(Some(&order)) {
        tracing::warn!("telling other processes that this one is there: {error}");
    }
}

/// The others may go on.
fn finish(notes: &Notes, process: &str) {
    if let Err(error) = notes.order(None) {
        tracing::warn!(
            "telling other processes to go on: {error}; they do so by themselves after {} s",
            SILENT.as_secs()
        );
    }
    take_back(notes, process);
}

/// This process waits for nothing any more.
fn take_back(notes: &Notes, process: &str) {
    if let Err(error) = notes.announce(process, None) {
        tracing::warn!("telling other processes that this one is done: {error}");
    }
}
