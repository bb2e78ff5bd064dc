//! Runs a pipeline: workers for process tasks, a thread per external sink, a supervisor.
//!
//! ```text
//!                         run (supervisor: ends of bounded runs, purging, first failure)
//!            ________________|_________________
//!           |                                  |
//!   worker thread x N                  deliver thread x sinks
//!   session: consumer + producer       session: consumer of the sink's own group
//!   tasks, transforms, state           sink, runtime of its own
//!   sources that are not topics
//! ```
//!
//! `worker` holds the loop; `process` one task; `chain` one batch through the transforms;
//! `commit`, `assignment`, `restore`, `migrate`, `ingest` what their names say; `deliver` the sinks.

mod assignment;
mod bounded;
mod chain;
mod commit;
mod control;
mod deliver;
mod drive;
mod error;
mod feed;
mod ingest;
mod keys;
mod migrate;
mod observer;
mod output;
mod plan;
mod process;
mod restore;
mod start;
mod stats;
mod step;
mod tap;
mod timers;
mod topics;
mod traces;
mod watchdog;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use record::log::{Log, LogError};
use record::store::StateBackend;
use record::topology::{Start, TopicRole, Topology};
use record::{RecordOffset, TopicPartition};

pub use control::{Control, NotStarted, ReplaceError, Replaced};
pub use drive::{Cuts, Driver, Produced, Put, Refused};
pub use error::RunError;
pub use observer::{Observer, PartitionFailure, Place, Shutdown, Snapshot};
pub use plan::Parts;
pub use start::{Member, members};
pub use stats::{Flow, Histogram, Lag, TIME_BOUNDS, Times};
pub use tap::{TapOptions, TapReader, Tapped, Taps};

use plan::{LOOK_TIMEOUT, Shared};

const SUPERVISE_EVERY: Duration = Duration::from_millis(50);
const PURGE_EVERY: Duration = Duration::from_secs(30);
const SHUTDOWN_TIME: Duration = Duration::from_secs(20);

/// A pipeline and what it runs with.
pub struct Run {
    /// The plan.
    pub topology: Arc<Topology>,
    /// Differs when anything differs that processes of one pipeline must agree on.
    pub plan_hash: String,
    /// Kept in the locked state directory, so that a restart is the same process to the log.
    pub process_id: String,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where state is kept.
    pub state: Arc<dyn StateBackend>,
    /// Makes transforms, sources and sinks.
    pub parts: Arc<dyn Parts>,
    /// End when everything that was there at the start is processed and delivered.
    pub until_end: bool,
    /// Start positions, for a group that has none.
    pub from: Option<Start>,
    /// Records that go to the dead letters whatever happens.
    pub skip: Vec<(TopicPartition, RecordOffset)>,
    /// Ends the run.
    pub shutdown: Shutdown,
    /// Replaces transforms while it goes on. One for each run.
    pub control: Control,
    /// Watches the run.
    pub observer: Arc<Observer>,
    /// Those who look at its records.
    pub taps: Taps,
    /// Asked by each worker when it has joined the group, before its first record. `None`: none need be asked.
    pub gate: Option<Gate>,
}

/// Answers why a run may not go on beside what else there is, if that is so.
pub type Gate = Arc<dyn Fn() -> Result<Option<String>, LogError> + Send + Sync>;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The counters at the end.
    pub counters: Snapshot,
    /// Partitions that stood still. Not empty: a bounded run has failed.
    pub failures: Vec<PartitionFailure>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Runs a pipeline until it is asked to end, or has reached the end with `until_end`. Blocks; call
/// it on a thread of its own.
///
/// # Errors
/// What kept the run from starting, or the first thing that ended one of its threads.
pub fn run(run: Run) -> Result<Summary, RunError> {
    let began = Instant::now();
    let until_end = run.until_end;
    let shared = prepare(run, began)?;
    let bounded = if until_end {
        Some(bounded::Ends::new(Arc::clone(&shared))?)
    } else {
        None
    };
    let workers = if shared.readers.is_empty() {
        0
    } else {
        shared.topology.workers
    };
    shared
        .control
        .start(shared.processes.clone(), Arc::clone(&shared.parts), workers);
    let mut threads = spawn(&shared, workers)?;
    let outcome = supervise(&shared, bounded, &mut threads);
    shared.shutdown.request(Instant::now() + SHUTDOWN_TIME);
    let (mut failures, mut first) = match outcome {
        Ok(failures) => (failures, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    for (name, thread) in threads {
        let ended = thread.join().unwrap_or(Err(RunError::Thread { thread: name }));
        if let Err(error) = ended {
            first.get_or_insert(error);
        }
    }
    shared.control.end();
    match first {
        Some(error) => Err(error),
        None => {
            // Those that ended the run count, also when their last commit came to nothing.
            let now = shared.observer.failures();
            failures.retain(|then| now.iter().all(|now| (&now.at, &now.node) != (&then.at, &then.node)));
            failures.extend(now);
            Ok(Summary {
                counters: shared.observer.snapshot(),
                failures,
                elapsed: began.elapsed(),
            })
        }
    }
}

fn prepare(run: Run, began: Instant) -> Result<Arc<Shared>, RunError> {
    let topology = &Arc::clone(&run.topology);
    let client_id = start::client_id(&run.plan_hash, &run.process_id);
    start::refuse_other_plan(&run.log, topology, &run.plan_hash, &run.process_id)?;
    let infos = topics::ensure(topology, &run.log)?;
    let mut readers = HashMap::new();
    for (sub, plan) in topology.processes.iter().enumerate() {
        for (route, input) in plan.inputs.iter().enumerate() {
            readers.insert(Arc::clone(&topology.topic(input.topic).name), (sub, route));
        }
    }
    let flows = topology.topics.iter();
    let shared = Arc::new(Shared {
        flows: flows
            .map(|topic| run.observer.flow(Place::Topic, &topic.name))
            .collect(),
        taps: run.taps,
        processes: topology.processes.iter().cloned().map(Arc::new).collect(),
        topology: run.topology,
        infos,
        readers,
        client_id,
        process_id: run.process_id,
        log: run.log,
        state: run.state,
        parts: Arc::clone(&run.parts),
        control: run.control,
        observer: run.observer,
        shutdown: run.shutdown,
        spans: run.parts.spans(),
        gate: run.gate,
        bounded: run.until_end,
        skip: run.skip,
        sources: parking_lot::Mutex::new(HashMap::new()),
        settled: AtomicUsize::new(0),
        started: began,
    });
    let inputs: Vec<_> = topology
        .processes
        .iter()
        .flat_map(|sub| sub.inputs.iter().map(|route| (route.topic, route.start)))
        .collect();
    start::resolve(&shared, &topology.pipeline, &inputs, run.from)?;
    for plan in &topology.deliveries {
        // A sink topic is ours: `--from` is about what the user's topics hold.
        let from = if topology.topic(plan.topic).role.is_internal() {
            None
        } else {
            run.from
        };
        start::resolve(&shared, &plan.group, &[(plan.topic, plan.start)], from)?;
    }
    Ok(shared)
}

type Thread = (String, JoinHandle<Result<(), RunError>>);

fn spawn(shared: &Arc<Shared>, workers: usize) -> Result<Vec<Thread>, RunError> {
    let mut threads = Vec::new();
    let mut add = |name: String, body: Box<dyn FnOnce() -> Result<(), RunError> + Send>| {
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(body)
            .map_err(|_| {
                shared.shutdown.request(Instant::now() + SHUTDOWN_TIME);
                RunError::Thread { thread: name.clone() }
            })?;
        threads.push((name, thread));
        Ok::<(), RunError>(())
    };
    for number in 0..workers {
        let shared = Arc::clone(shared);
        add(
            format!("worker-{number}"),
            Box::new(move || worker::run(&shared, number)),
        )?;
    }
    for (index, plan) in shared.topology.deliveries.iter().enumerate() {
        let shared = Arc::clone(shared);
        add(
            format!("sink-{}", plan.connector.name),
            Box::new(move || deliver::run(&shared, index)),
        )?;
    }
    Ok(threads)
}

/// Waits for the end of the run: asked for, reached, or forced by a thread that failed. Answers the
/// failures that have ended a bounded run.
fn supervise(
    shared: &Arc<Shared>,
    mut bounded: Option<bounded::Ends>,
    threads: &mut [Thread],
) -> Result<Vec<PartitionFailure>, RunError> {
    let mut purged = Instant::now();
    let mut watchdog = watchdog::Watchdog::new(shared);
    let mut drained = None;
    loop {
        std::thread::sleep(SUPERVISE_EVERY);
        if shared.shutdown.is_requested() || threads.iter().any(|(_, thread)| thread.is_finished()) {
            return Ok(Vec::new());
        }
        if shared.control.is_draining() && shared.control.have_all_stopped_reading() {
            let ends = drained.get_or_insert_with(|| bounded::Ends::of_draining(Arc::clone(shared)));
            if ends.reached()? {
                return Ok(Vec::new());
            }
        }
        if let Some(ends) = &mut bounded {
            let failures = shared.observer.failures();
            // A source that stands leaves what it has read before to be processed.
            if failures.iter().any(|failure| failure.node != observer::SOURCE) || ends.reached()? {
                return Ok(failures);
            }
        }
        if purged.elapsed() >= PURGE_EVERY {
            purged = Instant::now();
            purge(shared);
        }
        watchdog.turn();
    }
}

/// Deletes what all readers of a repartition or sink topic have committed. Trying is enough: what
/// is left is deleted next time.
fn purge(shared: &Shared) {
    let topology = &shared.topology;
    let process = topology.process_topics().map(|id| (id, &topology.pipeline));
    let deliver = topology.deliveries.iter().map(|plan| (plan.topic, &plan.group));
    for (id, group) in process.chain(deliver) {
        if !matches!(shared.topic(id).role, TopicRole::Repartition | TopicRole::Sink) {
            continue;
        }
        let places = shared.partitions_of(id);
        if shared.shutdown.is_requested() {
            return;
        }
        let Ok(committed) = shared.log.committed(group, &places, LOOK_TIMEOUT) else {
            continue;
        };
        let before: Vec<_> = places
            .into_iter()
            .zip(committed)
            .filter_map(|(at, committed)| Some((at, committed?.next)))
            .filter(|(_, next)| next.0 > 0)
            .collect();
        if let Err(error) = shared.log.delete_records(&before, LOOK_TIMEOUT) {
            tracing::warn!("cannot purge `{}`: {error}", shared.topic(id).name);
        }
    }
}
