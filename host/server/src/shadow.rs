//! Another version of a plugin, run on the records of the one that counts, and compared with it.
//!
//! ```text
//!   savepoint -> candidate on a copy of the batch -> rollback -> the version that counts, as if alone
//! ```
//!
//! The candidate sees the same records and the same state. Nothing of what it does is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use record::Batch;
use record::offset::Timestamp;
use record::transform::{Call, CallError, CallErrorKind, Description, Emitted, StateSlot, TimerCall, Transform};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::records::{bytes_value, headers_value};

/// So many examples are kept.
const EXAMPLES_MAX: usize = 10;
/// More outputs of a record are not shown.
const OUTPUTS_MAX: usize = 20;

/// A record of which the two versions make different things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Example {
    /// The topic that the task has read, and the partition.
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    /// `None`: a timer.
    pub(crate) offset: Option<i64>,
    /// What the version that counts hands out, or its error.
    pub(crate) current: Value,
    /// What the candidate hands out, or its error.
    pub(crate) candidate: Value,
}

/// What was compared so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ShadowReport)]
pub(crate) struct Report {
    /// Records and timers that both have processed.
    pub(crate) records: u64,
    /// Those of which they make different things.
    pub(crate) differences: u64,
    /// Calls of the candidate that failed as a whole: it trapped, or met a limit.
    pub(crate) failed_calls: u64,
    /// The newest differences.
    #[schema(value_type = Vec<Example>)]
    pub(crate) examples: VecDeque<Example>,
}

/// A candidate as all its instances see it.
#[derive(Clone)]
pub(crate) struct Shadow {
    /// The candidate.
    pub(crate) linked: plugin::Linked,
    report: Arc<Mutex<Report>>,
}

impl Shadow {
    pub(crate) fn new(linked: plugin::Linked) -> Self {
        Self {
            linked,
            report: Arc::default(),
        }
    }

    pub(crate) fn report(&self) -> Report {
        self.report.lock().clone()
    }

    /// An instance of the candidate beside one of the version that counts.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn beside(&self, current: Box<dyn Transform>) -> Result<Box<dyn Transform>, String> {
        let candidate = self.linked.instance().map_err(|error| format!("its shadow: {error}"))?;
        Ok(Box::new(Pair {
            current,
            candidate,
            ports: self.linked.compiled().description().ports.len(),
            report: Arc::clone(&self.report),
        }))
    }
}

/// Both versions, on one worker.
struct Pair {
    current: Box<dyn Transform>,
    candidate: Box<dyn Transform>,
    ports: usize,
    report: Arc<Mutex<Report>>,
}

/// What a call has come to.
type Answer = Result<Emitted, CallError>;

impl Transform for Pair {
    fn description(&self) -> &Description {
        self.current.description()
    }

    fn process(&mut self, call: Call<'_>) -> Answer {
        let mut copy = call.batch.clone();
        let tried = undone(call.state, |state| {
            self.candidate.process(Call {
                batch: &mut copy,
                input: call.input,
                stream_times: call.stream_times,
                siblings_before: call.siblings_before,
                lateness: call.lateness,
                now: call.now,
                state,
            })
        })?;
        let (batch, input) = (call.batch, call.input);
        let answer = self.current.process(Call {
            batch: &mut *batch,
            input,
            stream_times: call.stream_times,
            siblings_before: call.siblings_before,
            lateness: call.lateness,
            now: call.now,
            state: call.state,
        });
        self.compare(&answer, &tried, batch, input);
        answer
    }

    fn on_timers(&mut self, call: TimerCall<'_>) -> Answer {
        let (mut timers, mut names) = (call.timers.clone(), call.names.clone());
        let tried = undone(call.state, |state| {
            self.candidate.on_timers(TimerCall {
                clock: call.clock,
                timers: &mut timers,
                names: &mut names,
                stream_time: call.stream_time,
                lateness: call.lateness,
                now: call.now,
                state,
            })
        })?;
        let batch = call.timers;
        let answer = self.current.on_timers(TimerCall {
            clock: call.clock,
            timers: &mut *batch,
            names: call.names,
            stream_time: call.stream_time,
            lateness: call.lateness,
            now: call.now,
            state: call.state,
        });
        self.compare(&answer, &tried, batch, None);
        answer
    }

    fn migrate(&mut self, from: u32, now: Timestamp, state: &mut StateSlot) -> Result<(), CallError> {
        self.current.migrate(from, now, state)
    }

    fn keep(&mut self) {
        self.current.keep();
        self.candidate.keep();
    }

    fn recycle(&mut self) -> Result<(), CallError> {
        // The candidate holds nothing up: one that does not start is tried again with the next call that fails.
        if let Err(error) = self.candidate.recycle() {
            tracing::warn!("the shadow of a transform cannot be started again: {error}");
        }
        self.current.recycle()
    }
}

/// Runs the candidate, and undoes what it has done to state.
///
/// # Errors
/// It could not be undone: the state is not to be trusted, and the call is made again with one that is.
fn undone(slot: &mut StateSlot, run: impl FnOnce(&mut StateSlot) -> Answer) -> Result<Answer, CallError> {
    let before = slot.0.as_mut().map(|state| state.savepoint());
    let answer = run(slot);
    if let (Some(before), Some(state)) = (before, &mut slot.0) {
        state.rollback(before).map_err(|error| CallError {
            kind: CallErrorKind::Store,
            message: format!("what the shadow did cannot be undone: {error}"),
            detail: String::new(),
        })?;
    }
    Ok(answer)
}

impl Pair {
    fn compare(&mut self, current: &Answer, candidate: &Answer, batch: &Batch, input: Option<&Batch>) {
        if candidate.is_err()
            && let Err(error) = self.candidate.recycle()
        {
            tracing::warn!("the shadow of a transform cannot be started again: {error}");
        }
        // The records of a call that failed are run again, one by one.
        if current.is_err() && batch.len() > 1 {
            return;
        }
        let (mine, its) = (self.by_record(current, batch), self.by_record(candidate, batch));
        let mut report = self.report.lock();
        report.records += batch.len() as u64;
        if candidate.is_err() {
            report.failed_calls += 1;
        }
        for (i, (mine, its)) in mine.into_iter().zip(its).enumerate() {
            if mine == its {
                continue;
            }
            report.differences += 1;
            if report.examples.len() == EXAMPLES_MAX {
                report.examples.pop_front();
            }
            let (of, root) = input.map_or((batch, i), |input| (input, batch.root(i)));
            report.examples.push_back(Example {
                topic: Arc::clone(&of.topic),
                partition: of.partition,
                offset: of.offsets.get(root).copied(),
                current: mine,
                candidate: its,
            });
        }
    }

    /// What became of each record.
    fn by_record(&self, answer: &Answer, batch: &Batch) -> Vec<Value> {
        let mut of = vec![Vec::new(); batch.len()];
        let emitted = match answer {
            Ok(emitted) => emitted,
            Err(error) => {
                let what = serde_json::json!({ "error": error.kind.code(), "message": error.message });
                return vec![what; batch.len()];
            }
        };
        // Roots are places in the batch here, whatever they are outside.
        let mut parents = batch.clone();
        parents.roots = (0..batch.len() as u32).collect();
        for port in 0..self.ports {
            let out = Batch::of_port(emitted, port as u8, &parents);
            for i in 0..out.len() {
                let outputs: &mut Vec<Value> = &mut of[out.root(i)];
                if outputs.len() < OUTPUTS_MAX {
                    let ports = &self.current.description().ports;
                    outputs.push(serde_json::json!({
                        "port": ports.get(port).map(|port| port.name.as_str()),
                        "key": bytes_value(out.keys.get(i)),
                        "value": bytes_value(out.values.get(i)),
                        "timestamp": out.timestamps[i],
                        "headers": headers_value(out.headers.of(i)),
                    }));
                }
            }
        }
        let mut all: Vec<Value> = of.into_iter().map(Value::Array).collect();
        for failure in &emitted.failures {
            if let Some(place) = all.get_mut(failure.index as usize) {
                *place = serde_json::json!({ "error": failure.code, "message": failure.message });
            }
        }
        all
    }
}
