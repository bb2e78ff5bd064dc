//! An instance of a plugin on one worker.

use std::sync::Arc;

use record::Batch;
use record::topology::Limits;
use record::transform::{Call, CallError, CallErrorKind, Description, Emitted, StateSlot, TimerCall, Transform};
use wasmtime::component::ResourceTableError;
use wasmtime::{Store, WasmBacktrace};

use crate::bindings::Plugin;
use crate::bindings::wasmill::plugin::types;
use crate::clock::{Budget, CallClock};
use crate::convert;
use crate::engine::Engine;
use crate::host::context::{CallFacts, Seeds};
use crate::host::metrics::{Metrics, Registry};
use crate::host::state::Traffic;
use crate::host::{HostData, HostError, Names, Phase, log};
use crate::linked::{Linked, StartError};
use crate::memory::{Memory, Refusal};
use crate::usage::Usage;
use crate::wasi;

/// What a migration may write.
const MIGRATION_BYTES_MAX: usize = 256 << 20;
/// What wasmtime says when an instance holds too many handles of its own resources.
const HANDLES_EXCEEDED: &str = "store handle limit exceeded";
/// What a plugin logs as its last words starts so, when its SDK reports panics.
const PANIC: &str = "panicked at";

/// An instance that runs.
pub(crate) struct Live {
    pub(crate) store: Store<HostData>,
    pub(crate) exports: Plugin,
    /// Above this much memory the instance is replaced by a fresh one.
    recycle_above: usize,
}

impl Live {
    pub(crate) fn new(store: Store<HostData>, exports: Plugin, memory_limit: usize) -> Self {
        // Half the limit; for one that starts out large, half of what is left to it.
        let used = store.data().memory.used();
        let recycle_above = (memory_limit / 2).max(used + memory_limit.saturating_sub(used) / 2);
        Self {
            store,
            exports,
            recycle_above,
        }
    }

    /// Sets the limits of a call.
    pub(crate) fn begin(&mut self, budget: Budget) {
        let data = self.store.data_mut();
        data.clock.start(budget);
        data.memory.start_call();
        data.log.start_call();
        data.traffic.start_call();
    }

    /// Whether it is small enough for another call.
    pub(crate) fn is_kept(&self) -> bool {
        self.store.data().memory.used() < self.recycle_above
    }
}

/// The store of an instance, with all limits set.
pub(crate) fn new_store(
    engine: &Engine,
    names: Names,
    description: Arc<Description>,
    limits: Limits,
    metrics: Arc<Registry>,
    usage: Arc<Usage>,
    log_rate: log::Rate,
) -> Store<HostData> {
    let data = HostData {
        phase: Phase::Describe,
        names,
        description,
        memory: Memory::new(&limits, Arc::clone(engine.memory()), usage),
        clock: CallClock::new(),
        call: CallFacts::default(),
        state: None,
        queried: None,
        traffic: Traffic {
            written: 0,
            written_max: limits.output_bytes,
            // The ends of values are 32 bits wide.
            answer_max: limits.memory_bytes.min(u32::MAX as usize / 2),
            first_savepoint: None,
        },
        log: log::Log::new(log_rate),
        metrics: Metrics::new(metrics),
        wasi: None,
    };
    let mut store = Store::new(engine.wasm(), data);
    store.limiter(|data| &mut data.memory);
    store.epoch_deadline_callback(|mut store| store.data_mut().clock.tick());
    store.set_epoch_deadline(1);
    // What a guest hands to the host in one call is measured before it is copied.
    store.set_hostcall_fuel(limits.output_bytes);
    store.set_max_component_handles(limits.handles);
    store
}

/// A plugin on one worker.
pub(crate) struct Instance {
    linked: Linked,
    live: Option<Live>,
    seeds: Seeds,
    /// Updates of metrics that do not count yet.
    updates: Vec<(u32, f64)>,
}

impl Instance {
    pub(crate) fn new(linked: Linked, live: Live) -> Self {
        Self {
            seeds: Seeds::new(&linked.inner.names.transform),
            linked,
            live: Some(live),
            updates: Vec::new(),
        }
    }

    /// In place of one that is gone. No record is guilty when that fails: none has been seen yet.
    fn start(&self) -> Result<Live, CallError> {
        self.linked.inner.usage.recycled();
        self.linked.start().map_err(|error| {
            let (message, detail) = match error {
                StartError::Failed { during, error } => (
                    format!("a new instance cannot be started, in `{during}`: {error}"),
                    error.detail,
                ),
                StartError::Refused(problems) => (
                    format!(
                        "a new instance refuses the configuration that an earlier one accepted: {}",
                        problems
                            .first()
                            .map_or("it does not say why", |problem| problem.message.as_str())
                    ),
                    String::new(),
                ),
            };
            CallError {
                kind: CallErrorKind::Unavailable,
                message,
                detail,
            }
        })
    }

    fn facts(&self, facts: &mut CallFacts, call: &Call<'_>) {
        let uses = self.linked.inner.compiled.inner.uses;
        facts.now = call.now;
        facts.lateness = call.lateness;
        facts.firing = None;
        facts.stream_times.clear();
        if uses.stream_time {
            facts.stream_times.extend_from_slice(call.stream_times);
        }
        facts.seeds.clear();
        if uses.seed {
            let batch: &Batch = call.batch;
            let input = call.input.unwrap_or(batch);
            let mut sibling = call.siblings_before;
            for i in 0..batch.len() {
                let root = if call.input.is_some() { batch.root(i) } else { i };
                if i > 0 {
                    let before = if call.input.is_some() { batch.root(i - 1) } else { i - 1 };
                    sibling = if before == root { sibling + 1 } else { 0 };
                }
                let offset = input.offsets.get(root).copied().unwrap_or(-1);
                facts
                    .seeds
                    .push(self.seeds.of(&input.topic, input.partition, offset, sibling));
            }
        }
    }

    fn timer_facts(&self, facts: &mut CallFacts, call: &TimerCall<'_>) {
        let timers = &*call.timers;
        facts.now = call.now;
        facts.lateness = call.lateness;
        facts.firing = timers.timestamps.first().map(|time| (call.clock, *time));
        facts.stream_times.clear();
        facts.stream_times.resize(timers.len(), call.stream_time);
        facts.seeds.clear();
        if self.linked.inner.compiled.inner.uses.seed {
            let seeds = (0..timers.len()).map(|i| {
                let key = timers.keys.get(i).unwrap_or_default();
                let name = call.names.get(i).unwrap_or_default();
                self.seeds.of_timer(call.clock, key, name, timers.timestamps[i])
            });
            facts.seeds.extend(seeds);
        }
    }

    /// An instance for a call of so many records or timers, its limits set.
    fn begin(&mut self, count: usize) -> Result<Live, CallError> {
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.start()?,
        };
        live.begin(self.linked.call_time(count));
        Ok(live)
    }

    /// Checks the answer of a call about `parents`. An instance that failed is not kept: `live` is
    /// dropped with its memory and its metrics.
    fn end(
        &mut self,
        mut live: Live,
        answer: wasmtime::Result<Result<types::Outbound, String>>,
        parents: &Batch,
    ) -> Result<Emitted, CallError> {
        let outbound = match answer {
            Ok(Ok(outbound)) => outbound,
            Ok(Err(message)) => {
                return Err(CallError {
                    kind: CallErrorKind::Refused,
                    message,
                    detail: String::new(),
                });
            }
            Err(error) => return Err(call_error(&error, live.store.data())),
        };
        let emitted = convert::emitted(outbound);
        emitted
            .check(parents, &self.linked.inner.compiled.inner.description.ports)
            .map_err(|fault| CallError {
                kind: CallErrorKind::Misuse,
                message: format!("what it handed out is malformed: {fault}"),
                detail: String::new(),
            })?;
        let inherited = emitted.inherited_bytes(parents);
        // Once what the records have is no more than there is.
        let inherited_max = (self.linked.inner.limits.output_bytes as u64).saturating_add(parents.bytes() as u64);
        if inherited > inherited_max {
            return Err(CallError {
                kind: CallErrorKind::LimitExceeded,
                message: format!(
                    "its outputs inherit {} MiB of keys, values and headers, more than it may hand out in one call; \
                     raise `output_mib` if it needs more",
                    inherited >> 20
                ),
                detail: String::new(),
            });
        }
        live.store.data_mut().metrics.drain_into(&mut self.updates);
        if live.is_kept() {
            self.live = Some(live);
        }
        Ok(convert::without_failed(emitted))
    }

    /// Counts what a call of so many records or timers uses.
    fn metered(
        &mut self,
        count: usize,
        call: impl FnOnce(&mut Self) -> Result<Emitted, CallError>,
    ) -> Result<Emitted, CallError> {
        let meter = self.linked.inner.usage.start(count);
        let answer = call(self);
        self.linked.inner.usage.end(&meter, count, &answer);
        answer
    }

    fn run(&mut self, call: &mut Call<'_>) -> Result<Emitted, CallError> {
        let mut live = self.begin(call.batch.len())?;
        let description = Arc::clone(&self.linked.inner.compiled.inner.description);
        let store = &mut live.store;
        let data = store.data_mut();
        self.facts(&mut data.call, call);
        let origins = if description.reads_origins {
            convert::origins(call.batch, call.input)
        } else {
            convert::no_origins()
        };

        // From here to where they are put back nothing may return: state and columns are away.
        data.state = call.state.0.take();
        let inbound = convert::take_inbound(call.batch, description.reads_headers, origins);
        store.set_epoch_deadline(1);
        let answer = live.exports.processor.call_process(&mut *store, &inbound);
        convert::put_back(call.batch, description.reads_headers, inbound);
        call.state.0 = store.data_mut().state.take();
        self.end(live, answer, call.batch)
    }

    fn run_migration(&mut self, from: u32, now: i64, state: &mut StateSlot) -> Result<(), CallError> {
        let mut live = self.begin(1)?;
        live.begin(Budget::of_migration());
        let Some(handler) = &live.exports.migration_handler else {
            return Err(CallError {
                kind: CallErrorKind::Refused,
                message: "the plugin migrates no state: it exports no `migration-handler`".to_owned(),
                detail: String::new(),
            });
        };
        let store = &mut live.store;
        let data = store.data_mut();
        data.call = CallFacts {
            now,
            ..CallFacts::default()
        };
        // All of it is one commit, so all of it is in memory until then.
        let written_max = std::mem::replace(&mut data.traffic.written_max, MIGRATION_BYTES_MAX);
        data.phase = Phase::Migrate;

        // As in `run`.
        data.state = state.0.take();
        store.set_epoch_deadline(1);
        let answer = handler.call_migrate(&mut *store, from);
        let data = store.data_mut();
        state.0 = data.state.take();
        data.traffic.written_max = written_max;
        data.phase = Phase::Process;
        match answer {
            Ok(Ok(())) => {
                self.live = live.is_kept().then_some(live);
                Ok(())
            }
            Ok(Err(message)) => Err(CallError {
                kind: CallErrorKind::Refused,
                message,
                detail: String::new(),
            }),
            Err(error) => Err(call_error(&error, live.store.data())),
        }
    }

    fn run_timers(&mut self, call: &mut TimerCall<'_>) -> Result<Emitted, CallError> {
        let mut live = self.begin(call.timers.len())?;
        let Some(handler) = &live.exports.timer_handler else {
            return Err(CallError {
                kind: CallErrorKind::Misuse,
                message: "it exports no `timer-handler`".to_owned(),
                detail: String::new(),
            });
        };
        let store = &mut live.store;
        let data = store.data_mut();
        self.timer_facts(&mut data.call, call);

        // As in `run`.
        data.state = call.state.0.take();
        let due = convert::take_due(call.clock, call.timers, call.names);
        store.set_epoch_deadline(1);
        let answer = handler.call_on_timers(&mut *store, &due);
        convert::put_back_due(call.timers, call.names, due);
        call.state.0 = store.data_mut().state.take();
        self.end(live, answer, call.timers)
    }
}

impl Transform for Instance {
    fn description(&self) -> &Description {
        self.linked.inner.compiled.description()
    }

    fn process(&mut self, mut call: Call<'_>) -> Result<Emitted, CallError> {
        match call.batch.len() {
            0 => Ok(Emitted::default()),
            records => self.metered(records, |instance| instance.run(&mut call)),
        }
    }

    fn on_timers(&mut self, mut call: TimerCall<'_>) -> Result<Emitted, CallError> {
        self.metered(call.timers.len(), |instance| instance.run_timers(&mut call))
    }

    fn migrate(&mut self, from: u32, now: i64, state: &mut StateSlot) -> Result<(), CallError> {
        self.run_migration(from, now, state)
    }

    fn keep(&mut self) {
        if !self.updates.is_empty() {
            self.linked.inner.metrics.apply(&self.updates);
            self.updates.clear();
        }
    }

    fn recycle(&mut self) -> Result<(), CallError> {
        self.live = None;
        self.updates.clear();
        Ok(())
    }
}

/// What ended a call, in words for people.
pub(crate) fn call_error(error: &wasmtime::Error, data: &HostData) -> CallError {
    let root = error.root_cause().to_string();
    let said = data.log.last_error();
    let (kind, message) = if let Some(host) = error.downcast_ref::<HostError>() {
        let kind = match host {
            HostError::Misuse(_) => CallErrorKind::Misuse,
            HostError::Limit(_) => CallErrorKind::LimitExceeded,
            HostError::TimedOut(_) => CallErrorKind::TimedOut,
            HostError::Exit(_) => CallErrorKind::Trap,
            HostError::Store(error) => CallErrorKind::of_store(error),
        };
        (kind, host.to_string())
    } else if let Some(refused) = data.memory.refused() {
        let kind = match refused {
            Refusal::Own(_) => CallErrorKind::LimitExceeded,
            Refusal::Total(_) => CallErrorKind::Unavailable,
        };
        (kind, refused.to_string())
    } else if root.contains("fuel allocated for hostcalls") {
        let limit = data.traffic.written_max >> 20;
        let message = format!("it handed out more than {limit} MiB in one call; raise `output_mib` if it needs more");
        (CallErrorKind::LimitExceeded, message)
    } else if root.contains(HANDLES_EXCEEDED) {
        let message = "it holds more handles than its limit; raise `handles` if it needs more".to_owned();
        (CallErrorKind::LimitExceeded, message)
    } else if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        let message = format!(
            "it holds more handles of what it is granted than its limit, `handles` and {} at most; let it drop those \
             that it has done with",
            wasi::HANDLES_MAX
        );
        (CallErrorKind::LimitExceeded, message)
    } else if error.is::<wasmtime::Trap>() {
        let message = match said {
            Some(said) if said.starts_with(PANIC) => said.to_owned(),
            Some(said) => format!("{root}; the last error in its log: {said}"),
            None => root,
        };
        (CallErrorKind::Trap, message)
    } else {
        // Values that cannot be lifted: text that is no UTF-8, lists outside its memory.
        (CallErrorKind::Misuse, root)
    };
    let detail = error
        .downcast_ref::<WasmBacktrace>()
        .map_or_else(String::new, ToString::to_string);
    CallError { kind, message, detail }
}
