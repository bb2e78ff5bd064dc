//! What a transform is, and what the engine and a transform tell each other.

use std::fmt;

use crate::batch::Batch;
use crate::column::{Column, MARK_INHERITED};
use crate::error::Failure;
use crate::headers::{HEADERS_REPLACE, Headers};
use crate::offset::{NO_TIMESTAMP, Timestamp};
use crate::store::{StoreError, TaskState};
use crate::timer::Clock;

/// A port of a transform: where outputs leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Kebab-case.
    pub name: String,
    /// One sentence for people.
    pub doc: String,
    /// Outputs may have other keys than their parents; keyed state downstream costs a repartition.
    pub rekeys: bool,
}

/// A store that a transform declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// Kebab-case; part of every changelog key.
    pub name: String,
    /// One sentence for people.
    pub doc: String,
    /// Read-only; filled from one of the pipeline's tables.
    pub table: bool,
    /// Used under the key of the record at hand only.
    pub keyed: bool,
    /// `bytes`, `utf8`, `json`, `s64-le`, `u64-le` or `f64-le`.
    pub key_format: String,
    /// As `key_format`.
    pub value_format: String,
}

/// What a transform says of itself. Always the same for the same component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Kebab-case or snake_case.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// One sentence for people.
    pub doc: String,
    /// Raised when what is stored changes its meaning.
    pub state_version: u32,
    /// No inputs listed: one without a name.
    pub inputs: Vec<String>,
    /// The first is the default.
    pub ports: Vec<Port>,
    /// In the order of the numbers by which they are used.
    pub stores: Vec<StoreSpec>,
    /// It sets timers, so its input must be partitioned by key.
    pub sets_timers: bool,
    /// Headers are handed over.
    pub reads_headers: bool,
    /// Origins are handed over.
    pub reads_origins: bool,
    /// JSON Schema of the config table; empty for none.
    pub config_schema: String,
}

impl Description {
    /// Whether the transform keeps state, so that its input must be partitioned by key.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        self.sets_timers || self.stores.iter().any(|store| !store.table)
    }
}

/// What a transform hands out for one batch. Shapes as in the plugin contract, `outbound`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Emitted {
    /// How many outputs there are.
    pub count: u32,
    /// For each output the index of its parent in the batch, never falling. Empty: output i comes
    /// from record i.
    pub parents: Vec<u32>,
    /// For each output its port. Empty: all 0.
    pub ports: Vec<u8>,
    /// Left out: all inherited.
    pub keys: Column,
    /// Left out: all inherited.
    pub values: Column,
    /// Empty: all inherited.
    pub timestamps: Vec<Timestamp>,
    /// Left out: all inherited.
    pub headers: Headers,
    /// By rising index. The transform has rolled back their state and emitted nothing for them.
    pub failures: Vec<Failure>,
}

impl Emitted {
    /// The parent of an output.
    #[must_use]
    #[inline]
    pub fn parent(&self, output: usize) -> usize {
        self.parents.get(output).map_or(output, |p| *p as usize)
    }

    /// The port of an output.
    #[must_use]
    #[inline]
    pub fn port(&self, output: usize) -> u8 {
        self.ports.get(output).copied().unwrap_or(0)
    }

    /// Why these are not the outputs of a transform with `ports` for `batch`, or nothing. Whatever
    /// a guest hands out is checked with this once, before anything else reads it.
    ///
    /// # Errors
    /// A sentence for people that names the fault.
    pub fn check(&self, batch: &Batch, ports: &[Port]) -> Result<(), String> {
        let count = self.count as usize;
        let records = batch.len();
        if self.parents.is_empty() {
            if count != 0 && count != records {
                return Err(format!("{count} outputs for {records} records name no parents"));
            }
        } else {
            if self.parents.len() != count {
                return Err(format!("{} parents for {count} outputs", self.parents.len()));
            }
            if self.parents.windows(2).any(|pair| pair[0] > pair[1]) {
                return Err("the parents fall".to_owned());
            }
            if self.parents.last().is_some_and(|last| *last as usize >= records) {
                return Err(format!("a parent is beyond the {records} records"));
            }
        }
        if !self.ports.is_empty() && self.ports.len() != count {
            return Err(format!("{} ports for {count} outputs", self.ports.len()));
        }
        let highest = self.ports.iter().copied().max().unwrap_or(0);
        if count > 0 && usize::from(highest) >= ports.len() {
            return Err(format!("there is no port {highest}"));
        }
        for (name, column) in [("keys", &self.keys), ("values", &self.values)] {
            let left_out = column.data.is_empty() && column.ends.is_empty() && column.marks.is_empty();
            if !left_out {
                column
                    .check(count, MARK_INHERITED)
                    .map_err(|e| format!("the column {name} {e}"))?;
            }
        }
        if !self.timestamps.is_empty() && self.timestamps.len() != count {
            return Err(format!("{} timestamps for {count} outputs", self.timestamps.len()));
        }
        let headers = &self.headers;
        if !(headers.is_left_out() && headers.names.is_empty() && headers.values.is_empty() && headers.marks.is_empty())
        {
            headers.check(count).map_err(|e| format!("the headers {e}"))?;
        }
        if self.failures.windows(2).any(|pair| pair[0].index >= pair[1].index) {
            return Err("the failures do not rise".to_owned());
        }
        if self.failures.last().is_some_and(|last| last.index as usize >= records) {
            return Err(format!("a failure is beyond the {records} records"));
        }
        self.check_keys(batch, ports)
    }

    /// The bytes that outputs take over from their parents; more than the parents have when several
    /// outputs have one parent. Each output is handed on with its own copy.
    #[must_use]
    pub fn inherited_bytes(&self, parents: &Batch) -> u64 {
        // One output per record, in order: once what is there already.
        if self.parents.is_empty() {
            return parents.bytes() as u64;
        }
        let inherits_header = |output: usize| self.headers.marks.get(output) != Some(&HEADERS_REPLACE);
        let of = |column: &Column, own: &Column, output: usize| {
            let inherits = own.is_empty() || own.mark(output) == MARK_INHERITED;
            let parent = self.parent(output);
            if inherits {
                column.get(parent).map_or(0, <[u8]>::len) as u64
            } else {
                0
            }
        };
        let mut total = 0_u64;
        for output in 0..self.count as usize {
            total = total
                .saturating_add(of(&parents.keys, &self.keys, output))
                .saturating_add(of(&parents.values, &self.values, output));
            if !parents.headers.is_left_out() && inherits_header(output) {
                total = total.saturating_add(parents.headers.bytes_of(self.parent(output)) as u64);
            }
        }
        total
    }

    fn check_keys(&self, batch: &Batch, ports: &[Port]) -> Result<(), String> {
        if self.keys.is_empty() || ports.iter().all(|port| port.rekeys) {
            return Ok(());
        }
        for output in 0..self.count as usize {
            let port = &ports[usize::from(self.port(output))];
            if !port.rekeys
                && self.keys.mark(output) != MARK_INHERITED
                && self.keys.get(output) != batch.keys.get(self.parent(output))
            {
                return Err(format!(
                    "output {output} has another key than its parent, but port `{}` does not say `rekeys`",
                    port.name
                ));
            }
        }
        Ok(())
    }
}

/// Why a whole call failed. Nothing of it counts; its records are run again one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// What happened.
    pub kind: CallErrorKind,
    /// For people: the trap, the panic message, the limit and how to raise it.
    pub message: String,
    /// A stack trace or the like; may be empty.
    pub detail: String,
}

/// What ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// The plugin trapped: a panic, an unreachable instruction, a stack overflow.
    Trap,
    /// The plugin ran longer than its limit.
    TimedOut,
    /// The plugin asked for more memory than its limit, or handed out more than the output limit.
    LimitExceeded,
    /// The plugin answered with an error for the whole call.
    Refused,
    /// What the plugin handed out is malformed, or it misused a host function.
    Misuse,
    /// No instance could be started, or all plugins together have no memory left: no record is convicted
    /// of what others did, or what is away.
    Unavailable,
    /// The state store could not be read: not the plugin's fault, so no record is convicted.
    Store,
    /// As [`Self::Store`]; what it holds is damaged and has to be made anew.
    StoreDamaged,
}

impl CallErrorKind {
    /// What a failure of the store is to the call in which it happened.
    #[must_use]
    pub fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::Corrupt { .. } => Self::StoreDamaged,
            _ => Self::Store,
        }
    }

    /// The stable word for metrics and dead letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::TimedOut => "timed-out",
            Self::LimitExceeded => "limit-exceeded",
            Self::Refused => "refused",
            Self::Misuse => "misuse",
            Self::Unavailable => "unavailable",
            Self::Store | Self::StoreDamaged => "store",
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.message)
    }
}

impl std::error::Error for CallError {}

/// Where a task's state rests between calls. A transform takes it for the time of a call, because
/// an instance serves several tasks, and puts it back, whatever happens.
#[derive(Default)]
pub struct StateSlot(pub Option<Box<dyn TaskState>>);

impl fmt::Debug for StateSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "StateSlot(full)"
        } else {
            "StateSlot(empty)"
        })
    }
}

/// What one call is given.
#[derive(Debug)]
pub struct Call<'a> {
    /// The records. A transform may take columns out for the time of the call; it puts them back
    /// as they were.
    pub batch: &'a mut Batch,
    /// The batch that the task read, for origins: `batch.root(i)` is an index into it. `None` when
    /// `batch` itself is that batch.
    pub input: Option<&'a Batch>,
    /// For each record the largest event time that the task has seen up to it, itself included.
    pub stream_times: &'a [Timestamp],
    /// How many records with the same root as the batch's first one came before it in earlier
    /// calls: a batch may be cut between siblings, and random seeds must not depend on that.
    pub siblings_before: u32,
    /// How far behind the stream time the watermark is, in milliseconds.
    pub lateness: Timestamp,
    /// The wall clock, in milliseconds since 1970.
    pub now: Timestamp,
    /// Empty for a transform without stores.
    pub state: &'a mut StateSlot,
}

/// What a call for timers that are due is given.
#[derive(Debug)]
pub struct TimerCall<'a> {
    /// The clock of all of them.
    pub clock: Clock,
    /// One record per timer: its key, no value, its time. A transform may take columns out for the
    /// time of the call; it puts them back as they were.
    pub timers: &'a mut Batch,
    /// One name per timer, never null. As `timers`.
    pub names: &'a mut Column,
    /// The largest event time that the task has seen.
    pub stream_time: Timestamp,
    /// As [`Call::lateness`].
    pub lateness: Timestamp,
    /// As [`Call::now`].
    pub now: Timestamp,
    /// As [`Call::state`].
    pub state: &'a mut StateSlot,
}

/// The watermark at a stream time: at least -1, for none.
#[must_use]
pub fn watermark(stream_time: Timestamp, lateness: Timestamp) -> Timestamp {
    stream_time.saturating_sub(lateness).max(NO_TIMESTAMP)
}

/// One instance of a transform on one worker. It serves several tasks, so its memory is a cache:
/// stores are the truth. Batches are cut arbitrarily; results must not depend on it.
pub trait Transform: Send {
    /// What the transform says of itself.
    fn description(&self) -> &Description;

    /// Runs a batch (1 to a few hundred records). Called by the worker's thread for every batch;
    /// may compute, must not do I/O. What it returns has passed [`Emitted::check`].
    ///
    /// # Errors
    /// The whole call failed. The caller undoes what it wrote to state, and recycles.
    fn process(&mut self, call: Call<'_>) -> Result<Emitted, CallError>;

    /// Runs timers of one clock and one time that are due; they are no longer set. Called by the
    /// worker's thread between records, only when the description says `sets_timers`. Parents of
    /// the outputs, and failures, are numbers of timers.
    ///
    /// # Errors
    /// As [`Self::process`].
    fn on_timers(&mut self, call: TimerCall<'_>) -> Result<Emitted, CallError> {
        let _ = call;
        Err(CallError {
            kind: CallErrorKind::Misuse,
            message: "the transform handles no timers".to_owned(),
            detail: String::new(),
        })
    }

    /// Changes what an earlier state version of the transform has stored on one partition into what this one
    /// reads. Called by the worker's thread before the task's first record; what it writes is committed with
    /// the new version, or comes to nothing and is done again. The caller undoes a failed one.
    ///
    /// # Errors
    /// The state stays as it was, and the task stands still.
    fn migrate(&mut self, from: u32, now: Timestamp, state: &mut StateSlot) -> Result<(), CallError> {
        let _ = (from, now, state);
        Err(CallError {
            kind: CallErrorKind::Refused,
            message: "the plugin migrates no state: it exports no `migration-handler`".to_owned(),
            detail: String::new(),
        })
    }

    /// What the calls since the last `keep` or `recycle` have counted stands: the step that they were
    /// part of has succeeded, so it is not made again but for an abort of its commit.
    fn keep(&mut self) {}

    /// Drops whatever the instance remembers. Called after a failed call, an abort and a change
    /// of the assignment.
    ///
    /// # Errors
    /// No new instance could be made; the pipeline fails with this.
    fn recycle(&mut self) -> Result<(), CallError>;
}
