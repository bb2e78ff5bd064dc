//! Deliver tasks: from one topic to one external system, on a thread of their own with a
//! consumer group of their own, so that a slow database holds back nothing but itself.
//!
//! The loop: (1) poll; (2) gather each partition's records; (3) write what is full or old enough,
//! position included where the system has transactions; (4) at the interval, commit positions to
//! the group.
//!
//! A crash after (3) and before (4): the records come again. A sink that keeps positions answers
//! them at `open` and skips; one that does not writes the same rows or documents again.

mod slow;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::error::Code;
use record::log::{CommitError, Edge, LogError, LogEvent, PollLimit, Polled, Position, Session, SessionConfig, Writes};
use record::sink::{Sink, SinkError, SinkPartition};
use record::topology::DeliverPlan;
use record::{Batch, NextOffset, TopicPartition};

use crate::error::RunError;
use crate::observer::{PartitionFailure, Place};
use crate::plan::{LOG_TIMEOUT, Shared};
use crate::start;
use crate::stats::Flow;
use slow::drive;

const POLL_MAX: Duration = Duration::from_millis(50);
const SLICE: Duration = Duration::from_millis(200);
const COMMIT_EVERY: Duration = Duration::from_millis(500);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Records of one partition on their way.
struct Delivery {
    sink_partition: SinkPartition,
    batch: Batch,
    since: Option<Instant>,
    /// Written up to here, but perhaps not committed to the group.
    next: NextOffset,
    committed: NextOffset,
    /// An end of the partition behind what is gathered.
    end: Option<NextOffset>,
    failed: bool,
}

struct Deliverer {
    shared: Arc<Shared>,
    plan: DeliverPlan,
    session: Box<dyn Session>,
    sink: Box<dyn Sink>,
    runtime: tokio::runtime::Runtime,
    partitions: HashMap<TopicPartition, Delivery>,
    events: Vec<LogEvent>,
    /// Partitions are being given up: what cannot be written now is left to their next owner.
    is_giving_up: bool,
    absorb: bool,
    last_commit: Instant,
    is_paused: bool,
    flow: Arc<Flow>,
}

/// The body of a deliver thread.
pub(crate) fn run(shared: &Arc<Shared>, index: usize) -> Result<(), RunError> {
    let plan = shared.topology.deliveries[index].clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| {
            RunError::Sink(SinkError::Fatal {
                what: format!("cannot start the runtime of sink `{}`: {source}", plan.connector.name),
            })
        })?;
    let sink = shared.parts.sink(&plan)?;
    let topic = shared.topic(plan.topic);
    let topics = vec![Arc::clone(&topic.name)];
    let config = SessionConfig {
        group: plan.group.to_string(),
        instance_id: Some(start::instance_id(
            &format!("{}-{}", plan.group, shared.process_id),
            &topics,
        )),
        client_id: shared.client_id.clone(),
        topics,
        writes: Writes::AtLeastOnce,
    };
    let session = loop {
        match shared.log.session(config.clone()) {
            Ok(session) => break session,
            Err(LogError::Retriable { what }) if !shared.shutdown.is_requested() => {
                tracing::warn!("sink `{}` cannot join its group yet: {what}", plan.connector.name);
                std::thread::sleep(Duration::from_secs(1));
            }
            Err(error) => return Err(RunError::log("joining the group of a sink")(error)),
        }
    };
    let flow = shared.observer.flow(Place::Sink, &plan.connector.name);
    let mut deliverer = Deliverer {
        absorb: topic.role.is_internal(),
        shared: Arc::clone(shared),
        plan,
        session,
        sink,
        runtime,
        partitions: HashMap::new(),
        events: Vec::new(),
        is_giving_up: false,
        last_commit: Instant::now(),
        is_paused: false,
        flow,
    };
    let outcome = deliverer.serve();
    let left = shared.shutdown.deadline().map_or(Duration::from_secs(1), |deadline| {
        deadline.saturating_duration_since(Instant::now())
    });
    let Deliverer { session, .. } = deliverer;
    session.close(outcome.is_err() || shared.shutdown.leaves(), left);
    outcome
}

impl Deliverer {
    fn serve(&mut self) -> Result<(), RunError> {
        let mut polled = Polled::default();
        loop {
            polled.clear();
            polled.events.append(&mut self.events);
            let timeout = if polled.events.is_empty() {
                self.poll_timeout()
            } else {
                Duration::ZERO
            };
            self.session
                .poll(timeout, PollLimit::default(), &mut polled)
                .map_err(RunError::log("reading for a sink"))?;
            let (lost, events): (Vec<_>, Vec<_>) = polled
                .events
                .drain(..)
                .partition(|event| matches!(event, LogEvent::Lost(_)));
            for event in lost {
                self.on_event(event)?;
            }
            for batch in polled.batches.iter_mut().filter(|batch| !batch.is_empty()) {
                self.gather(batch);
            }
            for event in events {
                self.on_event(event)?;
            }
            if !self.pause_or_resume()? {
                self.write_due(false)?;
            }
            if self.last_commit.elapsed() >= COMMIT_EVERY {
                self.commit()?;
            }
            if self.shared.shutdown.is_requested() {
                self.write_due(true)?;
                return self.commit();
            }
        }
    }

    fn poll_timeout(&self) -> Duration {
        let waiting = self.partitions.values().filter_map(|delivery| delivery.since).min();
        match waiting {
            Some(since) => POLL_MAX.min(self.plan.batch.timeout.saturating_sub(since.elapsed())),
            None => POLL_MAX,
        }
    }

    fn on_event(&mut self, event: LogEvent) -> Result<(), RunError> {
        match event {
            LogEvent::Assigned(partitions) => self.assigned(&partitions),
            LogEvent::Revoked(partitions) => {
                self.write_last(&partitions)?;
                self.commit()?;
                self.give_up(&partitions)
            }
            LogEvent::Lost(partitions) => self.give_up(&partitions),
            LogEvent::End { at, next } => {
                if let Some(delivery) = self.partitions.get_mut(&at)
                    && !delivery.failed
                {
                    if delivery.batch.is_empty() {
                        delivery.next = delivery.next.max(next);
                    } else {
                        delivery.end = Some(next);
                    }
                }
                Ok(())
            }
            LogEvent::OutOfRange { at } => {
                let next = self.partitions.get(&at).map_or(NextOffset(0), |delivery| delivery.next);
                self.fail(
                    &at,
                    Code("E0403"),
                    format!(
                        "offset {next} of {at} does not exist any more: records have expired before they were delivered"
                    ),
                    "raise the topic's retention, then choose a new start with `wasmill reset`",
                )
            }
            LogEvent::Trouble { what } => {
                tracing::warn!(sink = %self.plan.connector.name, "{what}");
                Ok(())
            }
        }
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), RunError> {
        let committed = loop {
            match self.session.committed(partitions, LOG_TIMEOUT) {
                Ok(committed) => break committed,
                Err(LogError::Retriable { what }) => {
                    tracing::warn!("reading committed positions: {what}");
                    if self.shared.shutdown.is_requested() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(RunError::log("reading committed positions")(error)),
            }
        };
        let mut from = Vec::new();
        let mut opened = Vec::new();
        for (at, committed) in partitions.iter().zip(committed) {
            let sink_partition = SinkPartition {
                at: at.clone(),
                topic_id: self.shared.info(self.plan.topic).id.clone(),
                committed: committed.as_ref().map(|c| c.next),
            };
            let Some(stored) = self.open(&sink_partition, false)? else {
                return Ok(());
            };
            let next = match (stored, &committed) {
                // The database's position is in one transaction with its rows: it is the truth.
                (Some(stored), _) => stored,
                (None, Some(committed)) => committed.next,
                (None, None) => self.earliest(at)?,
            };
            from.push((at.clone(), next));
            let delivery = Delivery {
                sink_partition,
                batch: Batch::new(Arc::clone(&at.topic), at.partition),
                since: None,
                next,
                committed: committed.map_or(NextOffset(-1), |c| c.next),
                end: None,
                failed: false,
            };
            opened.push((at.clone(), delivery));
        }
        self.session
            .assign(&from)
            .map_err(RunError::log("taking partitions of a sink"))?;
        self.partitions.extend(opened);
        Ok(())
    }

    fn earliest(&self, at: &TopicPartition) -> Result<NextOffset, RunError> {
        self.shared
            .log
            .offsets(std::slice::from_ref(at), Edge::Start, LOG_TIMEOUT)
            .map(|offsets| offsets.first().copied().unwrap_or(NextOffset(0)))
            .map_err(RunError::log("reading the start of a partition"))
    }

    /// Opens a partition at the sink, again and again while the service is away. `None`: the run is to
    /// end before that, or, when that is asked for, the group wants something.
    fn open(
        &mut self,
        partition: &SinkPartition,
        until_rebalance: bool,
    ) -> Result<Option<Option<NextOffset>>, RunError> {
        let mut backoff = BACKOFF_MIN;
        loop {
            let sink = &mut self.sink;
            match drive(
                &self.runtime,
                &mut *self.session,
                &mut self.events,
                &self.partitions,
                sink.open(partition),
            )? {
                Ok(stored) => return Ok(Some(stored)),
                Err(SinkError::Retriable { what }) => {
                    tracing::warn!(sink = %self.plan.connector.name, "{what}");
                    if self.shared.shutdown.is_requested() {
                        return Ok(None);
                    }
                    self.wait(&mut backoff, until_rebalance)?;
                    if until_rebalance && self.is_rebalancing() {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(RunError::Sink(error)),
            }
        }
    }

    /// Reads nothing while that is asked for; what is gathered waits. Answers whether it does.
    fn pause_or_resume(&mut self) -> Result<bool, RunError> {
        let wanted = self.shared.control.is_paused();
        if wanted || self.is_paused {
            let places: Vec<_> = self
                .partitions
                .iter()
                .filter(|(_, delivery)| !delivery.failed)
                .map(|(at, _)| at.clone())
                .collect();
            if wanted {
                // In every turn: there may be new ones.
                self.session.pause(&places)
            } else {
                self.session.resume(&places)
            }
            .map_err(RunError::log("pausing or resuming partitions of a sink"))?;
        }
        self.is_paused = wanted;
        Ok(wanted)
    }

    fn give_up(&mut self, partitions: &[TopicPartition]) -> Result<(), RunError> {
        for at in partitions {
            if self.partitions.remove(at).is_some() {
                self.runtime.block_on(self.sink.close(at));
                self.shared.observer.cleared(at);
            }
        }
        self.session
            .unassign(partitions)
            .map_err(RunError::log("giving up partitions of a sink"))
    }

    fn fail(&mut self, at: &TopicPartition, code: Code, message: String, remedy: &str) -> Result<(), RunError> {
        if let Some(delivery) = self.partitions.get_mut(at) {
            delivery.failed = true;
            delivery.end = None;
        }
        self.session
            .pause(std::slice::from_ref(at))
            .map_err(RunError::log("pausing a partition of a sink"))?;
        self.shared.observer.failed(PartitionFailure {
            at: at.clone(),
            node: self.plan.connector.name.to_string(),
            code,
            message,
            remedy: remedy.to_owned(),
        });
        Ok(())
    }

    fn commit(&mut self) -> Result<(), RunError> {
        self.last_commit = Instant::now();
        let positions: Vec<Position> = self
            .partitions
            .iter()
            .filter(|(_, delivery)| delivery.next != delivery.committed)
            .map(|(at, delivery)| Position {
                at: at.clone(),
                next: delivery.next,
                note: String::new(),
            })
            .collect();
        if positions.is_empty() {
            return Ok(());
        }
        loop {
            match self.session.commit(&positions, SLICE) {
                Ok(()) => break,
                Err(CommitError::Unfinished) if self.shared.shutdown.is_overdue() => return Ok(()),
                Err(CommitError::Unfinished) => {}
                // The positions are a convenience here: the next commit says them again.
                Err(
                    error @ (CommitError::Aborted { .. } | CommitError::Ambiguous { .. } | CommitError::Fenced { .. }),
                ) => {
                    tracing::warn!(sink = %self.plan.connector.name, "positions were not committed: {error}");
                    return Ok(());
                }
                Err(CommitError::Refused(error)) => return Err(RunError::log("committing positions of a sink")(error)),
                Err(CommitError::Fatal { what }) => {
                    return Err(RunError::log("committing positions of a sink")(LogError::Fatal {
                        what,
                    }));
                }
            }
        }
        for position in positions {
            if let Some(delivery) = self.partitions.get_mut(&position.at) {
                delivery.committed = position.next;
            }
        }
        Ok(())
    }
}
