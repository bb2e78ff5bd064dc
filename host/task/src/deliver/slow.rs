//! What takes long: a sink that is slow or away. The partitions are paused and the group is polled, so
//! that it does not expel this member.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use record::log::{LogError, LogEvent, PollLimit, Polled, Session};
use record::sink::SinkError;
use record::{NextOffset, TopicPartition};

use super::{BACKOFF_MAX, Deliverer, Delivery, SLICE};
use crate::error::RunError;

/// A write that takes longer than this: the partitions are paused and the group is polled.
const SLOW_WRITE: Duration = Duration::from_secs(1);

impl Deliverer {
    /// Whether the group waits for this member to take or give up partitions.
    pub(super) fn is_rebalancing(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, LogEvent::Assigned(_) | LogEvent::Revoked(_) | LogEvent::Lost(_)))
    }

    /// Waits before the next try, polling so that the group does not expel this member.
    pub(super) fn wait(&mut self, backoff: &mut Duration, until_rebalance: bool) -> Result<(), RunError> {
        let until = Instant::now() + *backoff;
        *backoff = (*backoff * 2).min(BACKOFF_MAX);
        let paused: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        self.session.pause(&paused).map_err(RunError::log("pausing"))?;
        let mut polled = Polled::default();
        while Instant::now() < until
            && !self.shared.shutdown.is_requested()
            && !(until_rebalance && self.is_rebalancing())
        {
            polled.clear();
            self.session
                .poll(Duration::from_millis(50), PollLimit::default(), &mut polled)
                .map_err(RunError::log("reading for a sink"))?;
            self.events.append(&mut polled.events);
        }
        resume(&mut *self.session, &self.partitions)
    }
}

/// Partitions that were paused while something took long go on behind what is gathered.
fn resume(session: &mut dyn Session, partitions: &HashMap<TopicPartition, Delivery>) -> Result<(), RunError> {
    let to: Vec<(TopicPartition, NextOffset)> = partitions
        .iter()
        .filter(|(_, delivery)| !delivery.failed)
        .map(|(at, delivery)| (at.clone(), delivery.batch.next_offset().unwrap_or(delivery.next)))
        .collect();
    let places: Vec<TopicPartition> = to.iter().map(|(at, _)| at.clone()).collect();
    session.seek(&to).map_err(RunError::log("seeking"))?;
    session.resume(&places).map_err(RunError::log("resuming"))
}

/// Runs a sink's future; when it takes long, the partitions are paused and the group is polled. The outer
/// error is the log's.
pub(super) fn drive<T>(
    runtime: &tokio::runtime::Runtime,
    session: &mut dyn Session,
    events: &mut Vec<LogEvent>,
    partitions: &HashMap<TopicPartition, Delivery>,
    mut future: futures_util::future::BoxFuture<'_, Result<T, SinkError>>,
) -> Result<Result<T, SinkError>, RunError> {
    if let Ok(done) = runtime.block_on(async { tokio::time::timeout(SLOW_WRITE, &mut future).await }) {
        return Ok(done);
    }
    let log_failed = |error: LogError| RunError::log("reading for a sink that is slow")(error);
    let paused: Vec<TopicPartition> = partitions.keys().cloned().collect();
    session.pause(&paused).map_err(log_failed)?;
    let mut polled = Polled::default();
    let done = loop {
        if let Ok(done) = runtime.block_on(async { tokio::time::timeout(SLICE, &mut future).await }) {
            break done;
        }
        polled.clear();
        session
            .poll(Duration::ZERO, PollLimit::default(), &mut polled)
            .map_err(log_failed)?;
        events.append(&mut polled.events);
    };
    drop(future);
    resume(session, partitions)?;
    Ok(done)
}
