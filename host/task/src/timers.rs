//! Timers of a task: which are due, and what comes of them.
//!
//! An event-time timer fires before the record that brings the watermark to its time, so that results
//! depend neither on how records are cut into batches nor on when the process runs. A wall-clock timer
//! fires between records. What fires is removed from the state, and so are its effects written, in the
//! transaction that is open: a crash undoes both.
//!
//! Timers fire in the order of their times. All those of one time and one node are one call, whose
//! outputs flow through the rest of the sub-topology before the next time has its turn: what a timer
//! causes downstream may set timers too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use record::error::Failure;
use record::offset::Timestamp;
use record::partitioner::murmur2;
use record::store::StoreError;
use record::timer::{Clock, Timer};
use record::topology::{NodeId, OnError};
use record::transform::{CallErrorKind, watermark};
use record::{Batch, TopicPartition};

use crate::chain::{Chain, Due, StepError, convicts, failure_of};
use crate::process::{Culprit, ProcessTask, Verdict};
use crate::step::{Part, StepEnd, Written};

/// A call has so many timers at most.
const TIMERS_PER_CALL: usize = 256;
/// After so many calls, or so long, the worker has its turn: it polls, and commits when that is due.
const CALLS_MAX: usize = 64;
const FIRING_TIME: Duration = Duration::from_secs(1);

/// A timer, wherever it was set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId {
    pub(crate) node: NodeId,
    pub(crate) clock: Clock,
    pub(crate) timer: Timer,
}

impl std::fmt::Display for TimerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "timer `{}` of key `{}`, due at {} ({})",
            self.timer.name,
            String::from_utf8_lossy(&self.timer.key),
            self.timer.time,
            self.clock.name()
        )
    }
}

/// Up to where timers fire, and what they are put down to.
pub(crate) struct Moment<'a> {
    /// The largest event time that the task has seen, the record at hand included.
    pub(crate) stream_time: Timestamp,
    pub(crate) now: Timestamp,
    /// The clocks whose timers fire.
    pub(crate) clocks: &'a [Clock],
    /// The record that moved the time: topic, partition, offset of its source record.
    pub(crate) cause: (&'a Arc<str>, u32, i64),
}

/// The timers of one node and one time.
struct Group {
    node: usize,
    clock: Clock,
    time: Timestamp,
}

impl ProcessTask {
    /// Fires what is due. `written` takes what comes of it.
    pub(crate) fn fire(
        &mut self,
        chain: &mut Chain,
        moment: &Moment<'_>,
        written: &mut Written,
    ) -> Result<(), StepEnd> {
        let outcome = self.fire_groups(chain, moment, written);
        self.fires = matches!(outcome, Err(StepEnd::More | StepEnd::IsolateTimers { .. }));
        outcome
    }

    fn fire_groups(&mut self, chain: &mut Chain, moment: &Moment<'_>, written: &mut Written) -> Result<(), StepEnd> {
        let started = Instant::now();
        for _ in 0..CALLS_MAX {
            let first = self.first_due(chain, moment);
            let Some(group) = first.map_err(|error| StepEnd::of_store(&error))? else {
                self.solo_timers = false;
                return Ok(());
            };
            self.fire_group(chain, &group, moment, written)?;
            if self.is_solo() || started.elapsed() > FIRING_TIME {
                break;
            }
        }
        Err(StepEnd::More)
    }

    /// Whether each timer has a transaction of its own.
    fn is_solo(&self) -> bool {
        self.solo_timers || self.solo_until.is_some()
    }

    fn first_due(&mut self, chain: &Chain, moment: &Moment<'_>) -> Result<Option<Group>, StoreError> {
        let mut first: Option<Group> = None;
        for &node in chain.timed() {
            let Some(state) = &mut self.states[node].0 else {
                continue;
            };
            for &clock in moment.clocks {
                let limit = match clock {
                    Clock::EventTime => watermark(moment.stream_time, chain.lateness(node)),
                    Clock::WallClock => moment.now,
                };
                if let Some(time) = state.next_timer(clock)?
                    && time <= limit
                    && first.as_ref().is_none_or(|first| time < first.time)
                {
                    first = Some(Group { node, clock, time });
                }
            }
        }
        Ok(first)
    }

    /// Runs the first timers of a group in one call, or a single one; on success they and their effects
    /// are part of the next commit. On failure nothing has happened, but for verdicts.
    fn fire_group(
        &mut self,
        chain: &mut Chain,
        group: &Group,
        moment: &Moment<'_>,
        written: &mut Written,
    ) -> Result<(), StepEnd> {
        let node = NodeId(group.node as u32);
        let id = |timer: &Timer| TimerId {
            node,
            clock: group.clock,
            timer: timer.clone(),
        };
        loop {
            let points = self.savepoints();
            let limit = if self.is_solo() { 1 } else { TIMERS_PER_CALL };
            let due = self.take(group, limit).map_err(|error| StepEnd::of_store(&error))?;
            if let Some(verdict) = self.stops_at(&due, &id) {
                self.undo(chain, &points)?;
                return Err(StepEnd::Stopped {
                    at: self.next.0,
                    verdict: Box::new(verdict),
                });
            }
            if self.is_solo() {
                self.solo_timer = due.first().map(&id);
            }
            let (clean, convicted): (Vec<Timer>, Vec<Timer>) =
                due.into_iter().partition(|timer| self.verdict(&id(timer)).is_none());
            let mut batch = timer_batch(&self.at, &clean, moment);
            let outcome = if clean.is_empty() {
                Ok(Vec::new())
            } else {
                let mut due = Due {
                    node,
                    clock: group.clock,
                    timers: &clean,
                    batch: &mut batch,
                };
                chain.run_timers(&mut due, &mut self.states, moment.stream_time, moment.now)
            };
            let error = match outcome {
                Ok(outgoing) => {
                    self.keep(chain);
                    self.has_worked = true;
                    written.parts.push(Part {
                        input: Some(batch),
                        outgoing,
                    });
                    self.dispose_timers(chain, &convicted, &id, moment, written);
                    return Ok(());
                }
                Err(error) => error,
            };
            self.undo(chain, &points)?;
            match error {
                StepError::Records(failures) => {
                    for (index, culprit, failure) in failures {
                        self.convict_timer(chain, id(&clean[index]), culprit, failure);
                    }
                }
                StepError::Call(_, error) if !convicts(&error) => {
                    return Err(StepEnd::of_call(&error));
                }
                StepError::Call(culprit, error) => {
                    if let [timer] = clean.as_slice() {
                        self.convict_timer(chain, id(timer), culprit, failure_of(&error));
                    }
                    // A trap may have taken long: what is open is committed before the hunt goes on.
                    self.solo_timers = true;
                    return Err(StepEnd::IsolateTimers {
                        why: StepError::Call(culprit, error),
                    });
                }
                StepError::Cut(_) => {
                    return Err(StepEnd::Trouble {
                        why: "timers are not cut".to_owned(),
                        is_damaged: false,
                    });
                }
            }
        }
    }

    fn take(&mut self, group: &Group, limit: usize) -> Result<Vec<Timer>, StoreError> {
        match &mut self.states[group.node].0 {
            Some(state) => state.take_timers(group.clock, group.time, limit),
            None => Ok(Vec::new()),
        }
    }

    /// The verdict of the first timer whose policy is `fail`, unless somebody asked to skip what
    /// stands at the task's position: then they go to the dead letters.
    fn stops_at(&mut self, due: &[Timer], id: &impl Fn(&Timer) -> TimerId) -> Option<Verdict> {
        if self.timer_verdicts.is_empty() {
            return None;
        }
        let mut verdicts = due.iter().filter_map(|timer| self.verdict(&id(timer)));
        let first = verdicts.find(|verdict| verdict.policy == OnError::Fail)?.clone();
        if !self.take_request() {
            return Some(first);
        }
        for timer in due {
            if let Some(verdict) = self.timer_verdicts.get_mut(&id(timer)) {
                verdict.policy = OnError::DeadLetter;
            }
        }
        None
    }

    /// What is known of a timer. One that was disposed of and set again is tried again.
    fn verdict(&self, id: &TimerId) -> Option<&Verdict> {
        self.timer_verdicts
            .get(id)
            .filter(|_| !self.disposed_timers.contains(id))
    }

    fn convict_timer(&mut self, chain: &Chain, id: TimerId, culprit: NodeId, failure: Failure) {
        let verdict = Verdict {
            culprit: Culprit::Node(culprit),
            policy: chain.node(culprit).on_error,
            failure,
            timer: Some(id.to_string()),
        };
        // One that was set again after it was disposed of, and has failed again.
        self.disposed_timers.retain(|other| *other != id);
        self.timer_verdicts.insert(id, verdict);
    }

    /// The log has refused the outputs of the only timer in a transaction.
    pub(crate) fn convict_solo_timer(&mut self, chain: &Chain, failure: Failure) {
        let Some(id) = self.solo_timer.take() else { return };
        // Refused again: it is the dead letter that does not fit.
        let policy = match self.timer_verdicts.contains_key(&id) {
            false => chain.node(id.node).on_error,
            true => OnError::Fail,
        };
        let verdict = Verdict {
            culprit: Culprit::Node(id.node),
            policy,
            failure,
            timer: Some(id.to_string()),
        };
        self.timer_verdicts.insert(id, verdict);
    }

    /// Dead letters and skips among timers. A dead letter is the timer's key and time, its name in a
    /// header.
    fn dispose_timers(
        &mut self,
        chain: &Chain,
        timers: &[Timer],
        id: &impl Fn(&Timer) -> TimerId,
        moment: &Moment<'_>,
        written: &mut Written,
    ) {
        let batch = timer_batch(&self.at, timers, moment);
        for (i, of) in timers.iter().enumerate() {
            let id = id(of);
            let Some(verdict) = self.timer_verdicts.get(&id) else {
                continue;
            };
            self.disposed_timers.push(id);
            if verdict.policy == OnError::Skip {
                written.skipped += 1;
                continue;
            }
            let names = self.names(chain, verdict.culprit);
            let timer = verdict.timer.as_deref().unwrap_or_default();
            verdict
                .letter(chain, &names)
                .push_timer(&batch, i, timer, written.letters(&self.at));
        }
    }

    fn undo(&mut self, chain: &mut Chain, points: &[Option<u64>]) -> Result<(), StepEnd> {
        self.roll_back_to(chain, points).map_err(|error| StepEnd::Trouble {
            is_damaged: matches!(&error, StepError::Call(_, e) if e.kind == CallErrorKind::StoreDamaged),
            why: error.to_string(),
        })
    }
}

/// One record per timer: its key, no value, its time. They come from the record that moved the time.
fn timer_batch(at: &TopicPartition, timers: &[Timer], moment: &Moment<'_>) -> Batch {
    let mut batch = Batch::new(Arc::clone(&at.topic), at.partition);
    let (topic, partition, offset) = moment.cause;
    for timer in timers {
        batch.push(Some(&timer.key), None, timer.time);
        // Not an offset of the topic, but what tells timers apart where seeds are made of it.
        let hash = u64::from(murmur2(&timer.key)) << 32 | u64::from(murmur2(timer.name.as_bytes()));
        batch.offsets.push(hash as i64 ^ timer.time);
        batch.origins.push(topic, partition, offset);
    }
    batch.roots = (0..timers.len() as u32).collect();
    batch
}
