//! `wasmill run`: one or many pipelines in one process.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use plugin::{Linked, UsageSnapshot};
use record::topology::Start;
use record::{RecordOffset, TopicPartition};
use serde_json::json;
use task::{Control, Observer, RunError, Shutdown, Summary};

use super::args::{PipelineArgs, place_of_record, start};
use crate::failure::Failure;
use crate::incarnation;
use crate::output::Output;
use crate::pipelines::{Host, Pipeline, open_state};
use crate::progress::{Progress, in_words};
use crate::reset::group_inputs;
use crate::signals;

/// How long a thread may need to return after its deadline.
const GRACE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(250);

/// Run pipelines
///
/// Several files are several pipelines in one process. SIGINT or SIGTERM ends them cleanly: they
/// commit what they have done and leave their groups; a second signal exits at once.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The pipelines
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// End when everything that is there now is processed and delivered
    #[arg(long)]
    until_end: bool,
    /// Where to start: earliest, latest, milliseconds since 1970 or a time such as
    /// 2026-11-30T12:00:00Z. Refused where offsets are committed
    #[arg(long, value_name = "WHERE", value_parser = start)]
    from: Option<Start>,
    /// Worker threads, instead of the pipeline's `workers`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Keep local state in DIR/<pipeline>; each process needs its own
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Send one record that stops its partition to the dead letters; may be repeated
    #[arg(long, value_name = "TOPIC:PARTITION:OFFSET", value_parser = place_of_record)]
    skip: Vec<(TopicPartition, RecordOffset)>,
    /// How long a clean shutdown may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    shutdown_timeout: u64,
}

/// Runs the command.
pub(crate) fn run(args: &RunArgs, output: Output) -> Result<(), Failure> {
    let mut host = Host::default();
    let pipelines = load_all(args, &mut host, output)?;
    check_skips(args, &pipelines)?;
    let (ended, ends) = unbounded();
    let shutdowns = Arc::new(Mutex::new(Vec::new()));
    let requested = listen(&shutdowns, Duration::from_secs(args.shutdown_timeout))?;
    let prepared = pipelines
        .iter()
        .map(|pipeline| prepare(args, &mut host, pipeline))
        .collect::<Result<Vec<_>, _>>()?;
    let mut running = Vec::new();
    for (index, (pipeline, run)) in pipelines.iter().zip(prepared).enumerate() {
        if let Ok(mut all) = shutdowns.lock() {
            all.push(run.shutdown.clone());
        }
        let plugins = host.transforms(&pipeline.topology.pipeline);
        running.push(spawn(index, pipeline, run, plugins, ended.clone(), output)?);
    }
    drop(ended);
    // A signal that came while threads were started was not for those that had none yet.
    if let Some(deadline) = requested.deadline() {
        for one in &running {
            one.shutdown.request(deadline);
        }
    }
    let outcome = wait(args, &mut running, &ends, &requested, output);
    for one in &mut running {
        one.progress.finish();
    }
    outcome
}

/// Loads every pipeline, and shows the mistakes of all of them before it gives up.
fn load_all(args: &RunArgs, host: &mut Host, output: Output) -> Result<Vec<Pipeline>, Failure> {
    let mut pipelines = Vec::new();
    let mut invalid = None;
    for file in &args.files {
        match host.load(file, &args.pipeline, args.workers.map(usize::from), output) {
            Ok(pipeline) => pipelines.push(pipeline),
            Err(failure @ Failure::Invalid { .. }) => {
                invalid.get_or_insert(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    if let Some(failure) = invalid {
        return Err(failure);
    }
    let mut names = HashSet::new();
    for pipeline in &pipelines {
        if !names.insert(Arc::clone(&pipeline.topology.pipeline)) {
            return Err(Failure::usage(
                format!("two of the files are a pipeline named `{}`", pipeline.topology.pipeline),
                "give one of them another `name`: it is the consumer group",
            ));
        }
    }
    Ok(pipelines)
}

/// A record to skip must be in a topic that one of the pipelines reads.
fn check_skips(args: &RunArgs, pipelines: &[Pipeline]) -> Result<(), Failure> {
    let read: HashSet<Arc<str>> = pipelines
        .iter()
        .flat_map(|pipeline| group_inputs(&pipeline.topology))
        .flat_map(|(_, topics)| topics)
        .collect();
    for (at, offset) in &args.skip {
        if !read.contains(&at.topic) {
            let mut topics: Vec<&str> = read.iter().map(|topic| &**topic).collect();
            topics.sort_unstable();
            return Err(Failure::usage(
                format!("`--skip {at}:{offset}` is no record of this run"),
                format!("name a record of one of these topics: {}", topics.join(", ")),
            ));
        }
    }
    Ok(())
}

/// Passes the first signal on to all runs, also to one shutdown of its own that tells whether
/// there was a signal.
fn listen(shutdowns: &Arc<Mutex<Vec<Shutdown>>>, time: Duration) -> Result<Shutdown, Failure> {
    let requested = Shutdown::new();
    let shutdowns = Arc::clone(shutdowns);
    let tell = requested.clone();
    signals::listen(move |signal| {
        let deadline = Instant::now() + time;
        tracing::info!(
            "{signal}: ending within {} s; a second signal exits at once",
            time.as_secs()
        );
        tell.request(deadline);
        for shutdown in shutdowns.lock().iter().flat_map(|all| all.iter()) {
            shutdown.request(deadline);
        }
    })?;
    Ok(requested)
}

fn prepare(args: &RunArgs, host: &mut Host, pipeline: &Pipeline) -> Result<task::Run, Failure> {
    let name = &*pipeline.topology.pipeline;
    let log = host.log(pipeline)?;
    let incarnation = incarnation::read(&*log, &pipeline.control_topic).map_err(Failure::log(format!(
        "cannot read the reset incarnation of pipeline `{name}`"
    )))?;
    if !incarnation.finished {
        return Err(Failure::HalfReset {
            pipeline: name.to_owned(),
            file: pipeline.file.clone(),
        });
    }
    let (state, process_id) = open_state(pipeline, args.state_dir.as_deref())?;
    Ok(task::Run {
        topology: Arc::clone(&pipeline.topology),
        plan_hash: pipeline.plan_hash.clone(),
        process_id,
        log,
        state,
        parts: host.parts(pipeline, &incarnation.text())?,
        until_end: args.until_end,
        from: args.from,
        skip: args.skip.clone(),
        shutdown: Shutdown::new(),
        control: Control::new(),
        observer: Arc::new(Observer::default()),
    })
}

/// A pipeline whose thread has been started.
struct Running {
    pipeline: Arc<str>,
    file: PathBuf,
    shutdown: Shutdown,
    progress: Progress,
    plugins: Vec<Linked>,
    ended: bool,
}

type End = (usize, Result<Summary, RunError>);

fn spawn(
    index: usize,
    pipeline: &Pipeline,
    run: task::Run,
    plugins: Vec<Linked>,
    ended: Sender<End>,
    output: Output,
) -> Result<Running, Failure> {
    let name = Arc::clone(&pipeline.topology.pipeline);
    let prints = pipeline
        .topology
        .deliveries
        .iter()
        .any(|plan| plan.connector.kind == "stdout");
    let shares_terminal = prints && std::io::stdout().is_terminal();
    let running = Running {
        progress: Progress::start(Arc::clone(&name), Arc::clone(&run.observer), output, shares_terminal),
        pipeline: Arc::clone(&name),
        file: pipeline.file.clone(),
        shutdown: run.shutdown.clone(),
        plugins,
        ended: false,
    };
    tracing::info!(
        pipeline = &*name,
        file = %pipeline.file.display(),
        workers = run.topology.workers,
        process = run.process_id,
        "starting"
    );
    thread::Builder::new()
        .name(format!("pipeline-{name}"))
        .spawn(move || {
            let thread = format!("pipeline-{}", run.topology.pipeline);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task::run(run)))
                .unwrap_or(Err(RunError::Thread { thread }));
            // Nobody receives when the process is about to exit.
            let _ = ended.send((index, result));
        })
        .map_err(|source| Failure::Stdio {
            doing: "start a thread",
            source,
        })?;
    Ok(running)
}

/// Waits for all pipelines. One that fails ends the others too: a supervisor restarts the process.
fn wait(
    args: &RunArgs,
    running: &mut [Running],
    ends: &Receiver<End>,
    requested: &Shutdown,
    output: Output,
) -> Result<(), Failure> {
    let mut first = None;
    while running.iter().any(|one| !one.ended) {
        match ends.recv_timeout(TICK) {
            Ok((index, result)) => {
                let Some(one) = running.get_mut(index) else { continue };
                one.ended = true;
                one.progress.finish();
                if let Err(failure) = tell_end(one, result, requested, output) {
                    match &first {
                        None => first = Some(failure),
                        Some(_) => output.failure(&failure),
                    }
                    let deadline = Instant::now() + Duration::from_secs(args.shutdown_timeout);
                    requested.request(deadline);
                    running.iter().for_each(|one| one.shutdown.request(deadline));
                }
            }
            Err(RecvTimeoutError::Timeout) => running.iter_mut().for_each(|one| one.progress.tick()),
            // Cannot be, since every thread says how it ended; if it is, it is no success.
            Err(RecvTimeoutError::Disconnected) => {
                let thread = unfinished(running);
                return Err(first.unwrap_or(Failure::Pipeline {
                    pipeline: thread.clone(),
                    code: record::error::Code("E0706"),
                    what: RunError::Thread { thread }.to_string(),
                    next: "a restart goes on where it stopped".to_owned(),
                }));
            }
        }
        if requested
            .deadline()
            .is_some_and(|deadline| Instant::now() > deadline + GRACE)
        {
            let late = Failure::Deadline {
                what: unfinished(running),
                seconds: args.shutdown_timeout,
            };
            return Err(first.unwrap_or(late));
        }
    }
    first.map_or(Ok(()), Err)
}

fn unfinished(running: &[Running]) -> String {
    let names: Vec<&str> = running
        .iter()
        .filter(|one| !one.ended)
        .map(|one| &*one.pipeline)
        .collect();
    names.join(", ")
}

/// Tells how a pipeline ended.
fn tell_end(
    one: &Running,
    result: Result<Summary, RunError>,
    requested: &Shutdown,
    output: Output,
) -> Result<(), Failure> {
    let summary = result.map_err(|error| Failure::Pipeline {
        pipeline: one.pipeline.to_string(),
        code: error.code(),
        next: next_after(&error, one),
        what: error.to_string(),
    })?;
    let counters = &summary.counters;
    output.note(&format!(
        "pipeline `{}` {} after {:.1} s: {}",
        one.pipeline,
        if requested.is_requested() { "stopped" } else { "done" },
        summary.elapsed.as_secs_f64(),
        in_words(counters)
    ));
    for plugin in &one.plugins {
        let usage = plugin.usage();
        if usage.calls > 0 {
            output.note(&format!("  `{}` {}", plugin.transform(), usage_in_words(&usage)));
        }
    }
    if output.is_json() {
        let transforms: Vec<_> = one.plugins.iter().map(usage_as_json).collect();
        let failures: Vec<_> = summary
            .failures
            .iter()
            .map(|failure| {
                json!({
                    "at": failure.at.to_string(),
                    "node": failure.node,
                    "code": failure.code.0,
                    "message": failure.message,
                    "next": failure.remedy,
                })
            })
            .collect();
        output.print(
            &json!({
                "pipeline": &*one.pipeline,
                "seconds": summary.elapsed.as_secs_f64(),
                "records_in": counters.records_in,
                "records_out": counters.records_out,
                "ingested": counters.ingested,
                "delivered": counters.delivered,
                "dead_letters": counters.dead_letters,
                "skipped": counters.skipped,
                "commits": counters.commits,
                "aborts": counters.aborts,
                "transforms": transforms,
                "failures": failures,
            })
            .to_string(),
        )?;
    }
    // A partition that stands still has records that were not processed: not a success, whoever
    // ended the run.
    match summary.failures.first() {
        None => Ok(()),
        Some(failure) => Err(Failure::Pipeline {
            pipeline: one.pipeline.to_string(),
            code: failure.code,
            what: format!("`{}` stands still at {}: {}", failure.node, failure.at, failure.message),
            next: failure.remedy.clone(),
        }),
    }
}

fn usage_in_words(usage: &UsageSnapshot) -> String {
    let mut words = format!(
        "took {:.2} s of processor time in {} calls, {} MiB at most",
        usage.cpu.as_secs_f64(),
        usage.calls,
        usage.memory_peak_bytes.div_ceil(1 << 20),
    );
    for (count, what) in [
        (usage.traps, "trapped"),
        (usage.timed_out, "timed out"),
        (usage.limit_exceeded, "met a limit"),
        (usage.refused, "were refused"),
        (usage.misuse, "misused the host"),
    ] {
        if count > 0 {
            words.push_str(&format!(", {count} {what}"));
        }
    }
    words
}

fn usage_as_json(plugin: &Linked) -> serde_json::Value {
    let usage = plugin.usage();
    json!({
        "transform": &**plugin.transform(),
        "calls": usage.calls,
        "records": usage.records,
        "failed_records": usage.failed_records,
        "outputs": usage.outputs,
        "output_bytes": usage.output_bytes,
        "cpu_seconds": usage.cpu.as_secs_f64(),
        "memory_peak_bytes": usage.memory_peak_bytes,
        "instances": usage.instances,
        "recycled": usage.recycled,
        "traps": usage.traps,
        "timed_out": usage.timed_out,
        "limit_exceeded": usage.limit_exceeded,
        "refused": usage.refused,
        "misuse": usage.misuse,
    })
}

fn next_after(error: &RunError, one: &Running) -> String {
    let file = one.file.display();
    match error {
        RunError::FromIgnored { .. } => {
            format!("leave `--from` out to go on where it stopped, or forget everything with `wasmill reset {file}`")
        }
        RunError::Log { source, .. } => crate::failure::log_next(source),
        RunError::Topics { .. } => format!("`wasmill doctor {file}` lists all topics and what they should be"),
        RunError::Store(_) => "nothing is lost: state that is removed is restored from its changelog".to_owned(),
        RunError::Source(_) => "make the source readable and start again: it goes on where it stopped".to_owned(),
        RunError::Sink(_) => format!(
            "mend it and start again: it goes on where it stopped; `wasmill doctor {file}` checks that services answer"
        ),
        RunError::Transform { .. } => format!("`wasmill validate {file}` checks plugins without running them"),
        RunError::OtherPlan { .. } => "stop the other process first, or give this pipeline another `name`".to_owned(),
        RunError::Fenced { .. } => "give each process a `--state-dir` of its own".to_owned(),
        RunError::Thread { .. } => {
            "please report this with the log above; a restart goes on where it stopped".to_owned()
        }
    }
}
