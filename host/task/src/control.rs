//! New versions of the transforms of a run, while it goes on.
//!
//! ```text
//!   asker:  instances for every worker -> offer -> wait ---------------------------> replaced
//!   worker:           ... batch, batch -> commit -> take them -> batch, batch ...
//! ```
//!
//! Whoever asks makes the instances, so what does not start changes nothing and costs the record path
//! nothing. A worker takes its own between two batches and behind a commit that stands: a record is
//! processed by one version, and what an earlier one did is committed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use record::topology::{Node, SubTopology};
use record::transform::Transform;

use crate::plan::Parts;

/// The instances of one worker: of each sub-topology, of each node.
pub(crate) type Instances = Vec<Vec<Box<dyn Transform>>>;

/// Replaces the transforms of a run. Clones are of the same run.
#[derive(Clone, Default)]
pub struct Control(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The number of the newest version, for workers to look at in every turn.
    newest: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    /// One replacement at a time.
    replacing: Mutex<()>,
    is_draining: AtomicBool,
    is_paused: AtomicBool,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Version>>,
    /// By the number of the worker.
    offers: HashMap<usize, Instances>,
    workers: HashMap<usize, Standing>,
    /// How many workers there will be.
    expected: usize,
}

/// What a worker runs.
#[derive(Clone, Copy)]
struct Standing {
    version: u64,
    /// How long its records stood still for it.
    pause: Duration,
    /// It reads nothing of the user's any more, and what it has read is committed.
    has_stopped_reading: bool,
    /// It has had an assignment.
    is_settled: bool,
}

/// The transforms as they are to be.
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) processes: Vec<Arc<SubTopology>>,
    pub(crate) parts: Arc<dyn Parts>,
}

impl Version {
    /// Instances for one worker.
    pub(crate) fn instances(&self) -> Result<Instances, NotStarted> {
        let of_node = |node: &Node| {
            self.parts.transform(node).map_err(|what| NotStarted {
                node: node.name.to_string(),
                what,
            })
        };
        let of_sub = |sub: &Arc<SubTopology>| sub.nodes.iter().map(of_node).collect();
        self.processes.iter().map(of_sub).collect()
    }
}

/// An instance could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transform `{node}`: {what}")]
pub struct NotStarted {
    /// Its name in the pipeline.
    pub node: String,
    /// What is wrong.
    pub what: String,
}

/// Why nothing was replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// The run would have other topics, routes or stores: it has to be started again.
    #[error("the new plan has another shape")]
    OtherShape,
    /// A new instance.
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    /// The run has not started yet, or has ended.
    #[error("the pipeline does not run")]
    NotRunning,
}

/// What a replacement has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The longest time for which the records of a worker stood still.
    pub pause: Duration,
    /// How many workers have not taken it yet; they will, behind their next commit that stands.
    pub waiting: usize,
}

impl Control {
    /// Of a run that has not started.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether [`Self::replace`] can take these sub-topologies: nothing differs from what runs but the
    /// plugins, their configuration, and what is said of each transform by itself.
    #[must_use]
    pub fn fits(&self, processes: &[SubTopology]) -> bool {
        let current = self.0.state.lock().current.clone();
        current.is_some_and(|current| have_same_shape(&current.processes, processes))
    }

    /// Replaces all transforms by those of `processes`, which `parts` makes, and waits until every worker
    /// has taken them, or `timeout` is over.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn replace(
        &self,
        processes: &[SubTopology],
        parts: Arc<dyn Parts>,
        timeout: Duration,
    ) -> Result<Replaced, ReplaceError> {
        let _one = self.0.replacing.lock();
        if self.0.state.lock().current.is_none() {
            return Err(ReplaceError::NotRunning);
        }
        if !self.fits(processes) {
            return Err(ReplaceError::OtherShape);
        }
        let version = Version {
            number: self.0.newest.load(Ordering::Acquire) + 1,
            processes: processes.iter().cloned().map(Arc::new).collect(),
            parts,
        };
        let workers: Vec<usize> = self.0.state.lock().workers.keys().copied().collect();
        let mut offers = HashMap::new();
        for worker in workers {
            offers.insert(worker, version.instances()?);
        }
        let number = version.number;
        let deadline = Instant::now() + timeout;
        let mut state = self.0.state.lock();
        state.current = Some(Arc::new(version));
        // What was offered before and was not taken is not wanted any more.
        state.offers = offers;
        self.0.newest.store(number, Ordering::Release);
        loop {
            let waiting = state.workers.values().filter(|worker| worker.version < number).count();
            if waiting == 0 || self.0.changed.wait_until(&mut state, deadline).timed_out() {
                let taken = state.workers.values().filter(|worker| worker.version >= number);
                return Ok(Replaced {
                    pause: taken.map(|worker| worker.pause).max().unwrap_or_default(),
                    waiting,
                });
            }
        }
    }

    /// Whether every worker has had an assignment.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let state = self.0.state.lock();
        state.current.is_some()
            && state.workers.len() >= state.expected
            && state.workers.values().all(|worker| worker.is_settled)
    }

    /// A worker has had an assignment.
    pub(crate) fn settled(&self, worker: usize) {
        if let Some(standing) = self.0.state.lock().workers.get_mut(&worker) {
            standing.is_settled = true;
        }
    }

    /// Asks the run to read nothing of the user's any more, to process and deliver what is in its internal
    /// topics, and to end.
    pub fn drain(&self) {
        self.0.is_draining.store(true, Ordering::Release);
    }

    /// Asks the run to process and deliver nothing, behind what it has done; or to go on.
    pub fn pause(&self, is_paused: bool) {
        self.0.is_paused.store(is_paused, Ordering::Release);
    }

    /// Whether somebody has paused it, whatever else was asked of it since.
    #[must_use]
    pub fn was_paused(&self) -> bool {
        self.0.is_paused.load(Ordering::Acquire)
    }

    /// Whether it was asked to stand still. One that drains goes on.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.was_paused() && !self.is_draining()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Acquire)
    }

    /// A worker reads nothing of the user's any more, and what it has read is committed.
    pub(crate) fn stopped_reading(&self, worker: usize) {
        if let Some(standing) = self.0.state.lock().workers.get_mut(&worker) {
            standing.has_stopped_reading = true;
        }
    }

    /// Whether what is in internal topics only becomes less.
    pub(crate) fn have_all_stopped_reading(&self) -> bool {
        let state = self.0.state.lock();
        state.workers.values().all(|worker| worker.has_stopped_reading)
    }

    /// What the run starts with.
    pub(crate) fn start(&self, processes: Vec<Arc<SubTopology>>, parts: Arc<dyn Parts>, workers: usize) {
        let version = Version {
            number: self.0.newest.load(Ordering::Acquire),
            processes,
            parts,
        };
        let mut state = self.0.state.lock();
        state.current = Some(Arc::new(version));
        state.expected = workers;
    }

    /// The run has ended.
    pub(crate) fn end(&self) {
        let mut state = self.0.state.lock();
        *state = State::default();
        self.0.changed.notify_all();
    }

    /// A worker starts: with this version, whatever was offered to one before it.
    pub(crate) fn join(&self, worker: usize) -> Option<Arc<Version>> {
        let mut state = self.0.state.lock();
        state.offers.remove(&worker);
        let current = state.current.clone()?;
        let standing = Standing {
            version: current.number,
            pause: Duration::ZERO,
            has_stopped_reading: false,
            is_settled: false,
        };
        state.workers.insert(worker, standing);
        self.0.changed.notify_all();
        Some(current)
    }

    /// Whether there is a newer version than a worker runs.
    pub(crate) fn is_newer(&self, version: u64) -> bool {
        self.0.newest.load(Ordering::Acquire) > version
    }

    /// The newest version, and a worker's instances of it. There are none when it has joined since they
    /// were made: it makes its own.
    pub(crate) fn take(&self, worker: usize) -> Option<(Arc<Version>, Option<Instances>)> {
        let mut state = self.0.state.lock();
        let offer = state.offers.remove(&worker);
        Some((state.current.clone()?, offer))
    }

    /// A worker runs a version now.
    pub(crate) fn taken(&self, worker: usize, version: u64, pause: Duration) {
        if let Some(standing) = self.0.state.lock().workers.get_mut(&worker) {
            standing.version = version;
            standing.pause = pause;
        }
        self.0.changed.notify_all();
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

fn have_same_shape(old: &[Arc<SubTopology>], new: &[SubTopology]) -> bool {
    let same_node = |old: &Node, new: &Node| {
        old.name == new.name
            && old.description.name == new.description.name
            && old.changelog == new.changelog
            && old.ports == new.ports
            && old.description.stores == new.description.stores
            && old.description.inputs == new.description.inputs
            && old.description.state_version == new.description.state_version
    };
    let same_sub = |old: &Arc<SubTopology>, new: &SubTopology| {
        old.id == new.id
            && old.inputs == new.inputs
            && old.nodes.len() == new.nodes.len()
            && old.nodes.iter().zip(&new.nodes).all(|(old, new)| same_node(old, new))
    };
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same_sub(old, new))
}
