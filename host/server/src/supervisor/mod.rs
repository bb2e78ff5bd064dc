//! The pipelines of this process: started, watched, reloaded and ended.
//!
//! One thread (the command's own) does all of it, in turns: ends of pipelines, requests to reload, a look
//! at the files. Records flow on threads of their own meanwhile.

mod admission;
pub(crate) mod diff;
mod directory;
mod kept;
mod listeners;
mod places;
pub(crate) mod receipt;
mod reload;
mod restart;
mod summary;
mod switch;
mod trial;
pub(crate) mod watch;

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, never, select, tick, unbounded};
use jiff::Timestamp;
use plugin::Linked;
use record::log::Log;
use record::store::StateBackend;
use record::topology::Start;
use record::{RecordOffset, TopicPartition};
use task::{Control, Observer, RunError, Shutdown, Summary, Taps};

use crate::api::{self, Access, Ask};
use crate::board::{Board, Entry};
use crate::cli::args::PipelineArgs;
use crate::failure::Failure;
use crate::incarnation;
use crate::output::Output;
use crate::pipelines::{Host, Made, Pipeline, open_state, try_sinks};
use crate::progress::Progress;
use crate::signals;
use crate::traces;
use listeners::Listeners;
use places::{check_skips, files_of, load_all};
use receipt::{Cause, Receipt};
use switch::Switch;
use trial::Trial;
use watch::Files;

/// How long a thread may need to return after its deadline.
const GRACE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(250);

/// What is asked of all pipelines.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Pipelines, and directories of pipelines.
    pub(crate) places: Vec<PathBuf>,
    pub(crate) pipeline: PipelineArgs,
    pub(crate) until_end: bool,
    pub(crate) from: Option<Start>,
    pub(crate) workers: Option<usize>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) skip: Vec<(TopicPartition, RecordOffset)>,
    pub(crate) shutdown_timeout: Duration,
    /// Whether files are looked at.
    pub(crate) watch: bool,
    /// Where the API listens.
    pub(crate) listen: Option<Listen>,
    /// Where traces are sent, if not where the environment says.
    pub(crate) otlp: Option<String>,
}

/// Where the API listens, and to whom.
#[derive(Debug)]
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    pub(crate) tokens: Option<PathBuf>,
    /// Somebody has asked for this address: without it nothing runs.
    pub(crate) is_required: bool,
}

/// How a run ended, by its number.
type End = (u64, Result<Summary, RunError>);

/// A pipeline whose thread has been started.
struct Running {
    pipeline: Pipeline,
    made: Made,
    /// What it was before the last reload, while that is on trial.
    trial: Option<Trial>,
    /// On its way to another plan, with the other processes that run it.
    switch: Option<Box<Switch>>,
    files: Files,
    /// Each start of a pipeline is another run.
    run: u64,
    place: Place,
    shutdown: Shutdown,
    control: Control,
    taps: Taps,
    progress: Progress,
    ended: bool,
}

impl Running {
    fn name(&self) -> &Arc<str> {
        &self.pipeline.topology.pipeline
    }
}

/// What a pipeline runs on.
#[derive(Clone)]
struct Place {
    log: Arc<dyn Log>,
    state: Arc<dyn StateBackend>,
    process_id: String,
}

/// What a run of a pipeline is made of.
struct Prepared {
    pipeline: Pipeline,
    made: Made,
    place: Place,
}

/// All of them.
pub(crate) struct Supervisor {
    settings: Settings,
    host: Host,
    running: Vec<Running>,
    listeners: Listeners,
    runs: u64,
    ended: Sender<End>,
    ends: Receiver<End>,
    /// Ends that came while something else was waited for.
    early_ends: VecDeque<End>,
    hangups: Receiver<()>,
    asks: Receiver<Ask>,
    board: Arc<Board>,
    /// Requested by the first signal, or when a pipeline fails.
    requested: Shutdown,
    shutdowns: Arc<Mutex<Vec<Shutdown>>>,
    reloads: u64,
    /// What ends all of it, found while something was reloaded.
    fatal: Option<Failure>,
    /// Files that are no pipelines (yet), as they were when that was told.
    refused: Vec<(PathBuf, Files)>,
    output: Output,
}

/// Runs pipelines until they end or are told to.
///
/// # Errors
/// What kept them from starting, or the first that failed.
pub(crate) fn run(settings: Settings, output: Output) -> Result<(), Failure> {
    let tracing = traces::start(settings.otlp.as_deref())?;
    let spans = tracing.as_ref().map(|tracing| Arc::clone(&tracing.spans));
    let mut host = Host::tracing(spans.clone());
    let files = files_of(&settings.places)?;
    let pipelines = load_all(&settings, &files, &mut host, output)?;
    check_skips(&settings, &pipelines)?;
    if !settings.until_end {
        listeners::check_addresses(pipelines.iter().map(|pipeline| &*pipeline.topology))?;
    }
    let requested = Shutdown::new();
    let shutdowns = Arc::new(Mutex::new(Vec::new()));
    let hangups = listen(&shutdowns, &requested, settings.shutdown_timeout)?;
    let (ended, ends) = unbounded();
    let (ask, asks) = unbounded();
    let board = Arc::new(Board::default());
    if let Some(listen) = &settings.listen {
        serve_api(listen, &board, ask, output)?;
    }
    let mut supervisor = Supervisor {
        settings,
        host,
        running: Vec::new(),
        listeners: Listeners::new(spans, Arc::clone(&board)),
        runs: 0,
        ended,
        ends,
        early_ends: VecDeque::new(),
        hangups,
        asks,
        board,
        requested,
        shutdowns,
        reloads: 0,
        fatal: None,
        refused: Vec::new(),
        output,
    };
    let prepared = pipelines
        .into_iter()
        .map(|pipeline| supervisor.prepare(pipeline, &[]))
        .collect::<Result<Vec<_>, _>>()?;
    // All addresses before anything runs.
    if !supervisor.settings.until_end {
        for one in &prepared {
            supervisor.listeners.bring_to(&one.pipeline.topology, &one.place.log)?;
        }
    }
    let from = supervisor.settings.from;
    for one in prepared {
        supervisor.start(one, from)?;
    }
    supervisor.board.complete();
    let outcome = supervisor.serve();
    for one in &mut supervisor.running {
        one.progress.finish();
    }
    // With the answers that are under way.
    drop(supervisor);
    if let Some(tracing) = tracing {
        tracing.flush();
    }
    outcome
}

/// Opens the API. An address that nobody has asked for may be taken, by another process of Wasmill.
fn serve_api(listen: &Listen, board: &Arc<Board>, ask: Sender<Ask>, output: Output) -> Result<(), Failure> {
    let access = Access::new(listen.address, listen.tokens.as_deref())?;
    match api::serve(listen.address, Arc::clone(board), ask, access) {
        Ok(address) => {
            tracing::info!("the API is at http://{address}");
            Ok(())
        }
        Err(failure) if listen.is_required => Err(failure),
        Err(failure) => {
            output.note(&format!("there is no API: {failure}; {}", failure.next()));
            Ok(())
        }
    }
}

/// Passes the first signal to end on to all runs, and tells of each SIGHUP.
fn listen(
    shutdowns: &Arc<Mutex<Vec<Shutdown>>>,
    requested: &Shutdown,
    time: Duration,
) -> Result<Receiver<()>, Failure> {
    let shutdowns = Arc::clone(shutdowns);
    let requested = requested.clone();
    let (hangup, hangups) = unbounded();
    signals::listen(
        move |signal| {
            let deadline = Instant::now() + time;
            tracing::info!(
                "{signal}: ending within {} s; a second signal exits at once",
                time.as_secs()
            );
            requested.request(deadline);
            for shutdown in shutdowns.lock().iter().flat_map(|all| all.iter()) {
                shutdown.request(deadline);
            }
        },
        move || {
            // Nobody receives when the process is about to exit.
            let _ = hangup.send(());
        },
    )?;
    Ok(hangups)
}

impl Supervisor {
    /// What a pipeline needs to run. `reuse`: transforms that run already, which are taken where nothing
    /// of them differs.
    fn prepare(&mut self, pipeline: Pipeline, reuse: &[Linked]) -> Result<Prepared, Failure> {
        let (state, process_id) = open_state(&pipeline, self.settings.state_dir.as_deref())?;
        let log = self.host.log(&pipeline)?;
        self.enter(pipeline, reuse, Place { log, state, process_id })
    }

    fn prepare_with(&mut self, pipeline: Pipeline, reuse: &[Linked], place: Place) -> Result<Prepared, Failure> {
        let name = &*pipeline.topology.pipeline;
        let incarnation = incarnation::read(&*place.log, &pipeline.control_topic).map_err(Failure::log(format!(
            "cannot read the reset incarnation of pipeline `{name}`"
        )))?;
        if !incarnation.finished {
            return Err(Failure::HalfReset {
                pipeline: name.to_owned(),
                file: pipeline.file.clone(),
            });
        }
        try_sinks(&pipeline.topology, &pipeline.file)?;
        let made = self
            .host
            .make(&pipeline.topology, &pipeline.file, &incarnation.text(), reuse)?;
        Ok(Prepared { pipeline, made, place })
    }

    /// Starts a pipeline on a thread of its own, in the place of one of the same name.
    /// `from`: where it starts if it never ran.
    fn start(&mut self, prepared: Prepared, from: Option<Start>) -> Result<u64, Failure> {
        let Prepared { pipeline, made, place } = prepared;
        let name = Arc::clone(&pipeline.topology.pipeline);
        // A bounded run reads what is there; what is sent later belongs to another run.
        if !self.settings.until_end {
            self.listeners.bring_to(&pipeline.topology, &place.log)?;
        }
        let before = self.running.iter().find(|one| *one.name() == name);
        let run = task::Run {
            topology: Arc::clone(&pipeline.topology),
            plan_hash: pipeline.plan_hash.clone(),
            process_id: place.process_id.clone(),
            log: Arc::clone(&place.log),
            state: Arc::clone(&place.state),
            parts: Arc::clone(&made.parts),
            until_end: self.settings.until_end,
            from,
            skip: self.settings.skip.clone(),
            shutdown: Shutdown::new(),
            control: Control::new(),
            observer: Arc::new(Observer::default()),
            taps: before.map(|one| one.taps.clone()).unwrap_or_default(),
            gate: admission::gate(&pipeline, &place),
        };
        // What somebody has paused stays so when it is started again.
        run.control.pause(before.is_some_and(|one| one.control.was_paused()));
        let prints = pipeline
            .topology
            .deliveries
            .iter()
            .any(|plan| plan.connector.kind == "stdout");
        let shares_terminal = prints && std::io::stdout().is_terminal();
        self.runs += 1;
        let running = Running {
            progress: Progress::start(
                Arc::clone(&name),
                Arc::clone(&run.observer),
                self.output,
                shares_terminal,
            ),
            files: pipeline.files(),
            run: self.runs,
            place,
            shutdown: run.shutdown.clone(),
            control: run.control.clone(),
            taps: run.taps.clone(),
            made,
            trial: None,
            switch: None,
            pipeline,
            ended: false,
        };
        self.board.set(Entry {
            file: running.pipeline.file.clone(),
            plan: running.pipeline.plan_hash.clone(),
            topology: Arc::clone(&running.pipeline.topology),
            started: Timestamp::now(),
            observer: Arc::clone(&run.observer),
            control: run.control.clone(),
            taps: run.taps.clone(),
            log: Arc::clone(&run.log),
            control_topic: running.pipeline.control_topic.clone(),
            linked: running.made.linked.clone(),
            shadows: running.made.shadows.clone(),
            state: Arc::clone(&running.place.state),
            ended: None,
        });
        tracing::info!(
            pipeline = &*name,
            file = %running.pipeline.file.display(),
            workers = run.topology.workers,
            process = run.process_id,
            "starting"
        );
        let (number, ended) = (running.run, self.ended.clone());
        match self.running.iter_mut().find(|one| *one.name() == name) {
            Some(before) => {
                before.progress.finish();
                *before = running;
            }
            None => self.running.push(running),
        }
        if let Ok(mut all) = self.shutdowns.lock() {
            *all = self.running.iter().map(|one| one.shutdown.clone()).collect();
        }
        // A signal that came before was not for this one.
        if let Some(deadline) = self.requested.deadline() {
            run.shutdown.request(deadline);
        }
        thread::Builder::new()
            .name(format!("pipeline-{name}"))
            .spawn(move || {
                let thread = format!("pipeline-{}", run.topology.pipeline);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task::run(run)))
                    .unwrap_or(Err(RunError::Thread { thread }));
                // Nobody receives when the process is about to exit.
                let _ = ended.send((number, result));
            })
            .map_err(|source| Failure::Stdio {
                doing: "start a thread",
                source,
            })?;
        Ok(number)
    }

    /// Serves all pipelines until the last has ended. One that fails ends the others too: whoever
    /// supervises the process restarts it.
    fn serve(&mut self) -> Result<(), Failure> {
        let mut first = None;
        let ticks = tick(TICK);
        loop {
            if let Some(end) = self.early_ends.pop_front() {
                self.on_end(end, &mut first);
            }
            if let Some(failure) = self.fatal.take() {
                self.end_all(failure, &mut first);
            }
            if self.is_over() {
                return first.map_or(Ok(()), Err);
            }
            select! {
                recv(self.ends) -> end => if let Ok(end) = end { self.on_end(end, &mut first); },
                recv(self.hangups) -> hangup => if hangup.is_ok() { self.reload_all(Cause::Signal); },
                recv(self.asks) -> ask => match ask {
                    Ok(ask) => self.answer(ask),
                    // There is no API.
                    Err(_) => self.asks = never(),
                },
                recv(ticks) -> _ => self.tick(),
            }
            if self
                .requested
                .deadline()
                .is_some_and(|deadline| Instant::now() > deadline + GRACE)
            {
                let late = Failure::Deadline {
                    what: self.unfinished(),
                    seconds: self.settings.shutdown_timeout.as_secs(),
                };
                return Err(first.unwrap_or(late));
            }
        }
    }

    /// Nothing runs any more. A directory of pipelines may get some later.
    fn is_over(&self) -> bool {
        let waits = self.settings.watch
            && !self.requested.is_requested()
            && self.settings.places.iter().any(|place| place.is_dir());
        let switches = !self.requested.is_requested() && self.running.iter().any(|one| one.switch.is_some());
        self.early_ends.is_empty() && !waits && !switches && self.running.iter().all(|one| one.ended)
    }

    fn tick(&mut self) {
        for one in self.running.iter_mut().filter(|one| !one.ended) {
            one.progress.tick();
        }
        if let Some(deadline) = self.requested.deadline() {
            self.listeners.end(deadline);
        }
        if !self.requested.is_requested() {
            self.judge_trials();
            self.step_switches();
            if self.settings.watch {
                self.look_at_files();
            }
        }
    }

    fn on_end(&mut self, (run, result): End, first: &mut Option<Failure>) {
        let Some(one) = self.running.iter_mut().find(|one| one.run == run) else {
            return;
        };
        one.ended = true;
        one.progress.finish();
        if one.switch.as_mut().is_some_and(|switch| switch.on_end(&result)) {
            return;
        }
        let name = Arc::clone(one.name());
        // All of them end: none is waited for longer than the others.
        let deadline = self.requested.deadline();
        let failed = result.is_err().then(|| Instant::now() + self.settings.shutdown_timeout);
        if let Some(deadline) = deadline.or(failed) {
            self.listeners.end(deadline);
        }
        self.listeners.close(&name);
        let why = result.as_ref().err().map(ToString::to_string);
        self.board.update(&name, |entry| entry.ended = Some(why));
        if let Err(failure) = summary::tell(one, result, &self.requested, self.output) {
            self.end_all(failure, first);
        }
    }

    /// One has failed: the others end, and whoever supervises the process starts it again.
    fn end_all(&mut self, failure: Failure, first: &mut Option<Failure>) {
        match first {
            None => *first = Some(failure),
            Some(_) => self.output.failure(&failure),
        }
        let deadline = Instant::now() + self.settings.shutdown_timeout;
        self.requested.request(deadline);
        self.running.iter().for_each(|one| one.shutdown.request(deadline));
    }

    /// Waits for the end of a run; others that end meanwhile are looked at later. `None`: it did not end
    /// in time.
    fn wait_for(&mut self, run: u64, timeout: Duration) -> Option<Result<Summary, RunError>> {
        if let Some(at) = self.early_ends.iter().position(|(other, _)| *other == run) {
            return self.early_ends.remove(at).map(|(_, result)| result);
        }
        let deadline = Instant::now() + timeout;
        loop {
            match self.ends.recv_deadline(deadline) {
                Ok((other, result)) if other == run => return Some(result),
                Ok(other) => self.early_ends.push_back(other),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn unfinished(&self) -> String {
        let names: Vec<&str> = self
            .running
            .iter()
            .filter(|one| !one.ended)
            .map(|one| &**one.name())
            .collect();
        names.join(", ")
    }

    fn keep(&self, receipt: Receipt) -> Receipt {
        receipt.log();
        self.board.keep(receipt.clone());
        receipt
    }
}

/// A failure that has no pipeline to belong to.
fn problem_of(failure: &Failure) -> receipt::Problem {
    receipt::Problem {
        code: failure.code().to_string(),
        message: format!("{failure}; {}", failure.next()),
        place: failure.place(),
    }
}
