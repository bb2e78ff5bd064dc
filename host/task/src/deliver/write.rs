//! From what is gathered of a partition to the sink, whatever its answer.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use record::error::{Code, Failure};
use record::log::LogError;
use record::origin::{self, DeadLetter};
use record::partitioner::partition_for;
use record::sink::SinkError;
use record::topology::OnError;
use record::{Batch, NextOffset, TopicPartition};

use super::slow::drive;
use super::{BACKOFF_MIN, Deliverer};
use crate::assignment::requested;
use crate::error::RunError;
use crate::plan::{LOG_TIMEOUT, now_ms};
use crate::traces;

impl Deliverer {
    pub(super) fn gather(&mut self, batch: &mut Batch) {
        let Some(delivery) = self.partitions.get_mut(&batch.place()) else {
            return;
        };
        if delivery.failed {
            return;
        }
        if self.absorb {
            origin::absorb(batch);
        }
        self.shared.flow(self.plan.topic).read(batch.len());
        self.shared.taps.show(&self.plan.connector.name, None, batch, None);
        if batch.origins.is_left_out() {
            for i in 0..batch.len() {
                let offset = batch.offsets[i];
                batch.origins.push(&Arc::clone(&batch.topic), batch.partition, offset);
            }
        }
        for i in 0..batch.len() {
            if batch.offsets[i] >= delivery.next.0 {
                delivery.batch.push_from(batch, i);
            }
        }
        let n = delivery.batch.len();
        delivery.batch.headers.finish(n);
        if n > 0 {
            delivery.since.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn write_due(&mut self, all: bool) -> Result<(), RunError> {
        let limits = self.plan.batch;
        let due: Vec<TopicPartition> = self
            .partitions
            .iter()
            .filter(|(_, delivery)| {
                let batch = &delivery.batch;
                !batch.is_empty()
                    && (all
                        || batch.len() >= limits.max_records
                        || batch.bytes() >= limits.max_bytes
                        || delivery.since.is_some_and(|since| since.elapsed() >= limits.timeout))
            })
            .map(|(at, _)| at.clone())
            .collect();
        for at in due {
            self.write(&at)?;
        }
        Ok(())
    }

    /// Writes what is gathered of partitions that leave, if that can be done now.
    pub(super) fn write_last(&mut self, partitions: &[TopicPartition]) -> Result<(), RunError> {
        self.is_giving_up = true;
        for at in partitions {
            if self
                .partitions
                .get(at)
                .is_some_and(|delivery| !delivery.batch.is_empty())
            {
                self.write(at)?;
            }
        }
        self.is_giving_up = false;
        Ok(())
    }

    /// The group wants something while the sink's service is away: what is gathered is written later.
    fn put_back(&mut self, at: &TopicPartition, batch: Batch) -> Result<(), RunError> {
        let next = batch.next_offset();
        if let (Some(delivery), Some(next)) = (self.partitions.get_mut(at), next) {
            delivery.batch = batch;
            delivery.since = Some(Instant::now());
            let place = [(at.clone(), next)];
            self.session.seek(&place).map_err(RunError::log("seeking"))?;
        }
        Ok(())
    }

    /// Writes what is gathered of a partition, whatever it takes; returns early when the run is
    /// to end, with nothing lost: the group's position stays behind.
    fn write(&mut self, at: &TopicPartition) -> Result<(), RunError> {
        let Some(delivery) = self.partitions.get_mut(at) else {
            return Ok(());
        };
        let mut batch = std::mem::replace(&mut delivery.batch, Batch::new(Arc::clone(&at.topic), at.partition));
        delivery.since = None;
        let mut skip = self.skip_by_request(at, &batch)?;
        let mut backoff = BACKOFF_MIN;
        let mut stop: Option<Failure> = None;
        loop {
            let next = match &stop {
                Some(failure) => NextOffset(batch.offsets[failure.index as usize]),
                None => batch.next_offset().unwrap_or(NextOffset(0)),
            };
            let began = SystemTime::now();
            let sink = &mut self.sink;
            let outcome = drive(
                &self.runtime,
                &mut *self.session,
                &mut self.events,
                &self.partitions,
                sink.write(&batch, &skip, next),
            )?;
            match outcome {
                Ok(()) => {
                    self.shared.observer.delivered(batch.len() - skip.len());
                    self.flow.wrote(batch.len() - skip.len());
                    self.flow.time.observe_ages(&batch.timestamps, now_ms());
                    if let Some(spans) = &self.shared.spans {
                        traces::delivered(&**spans, &self.plan.connector, &batch, &skip, began);
                    }
                    return self.written(at, &batch, next, stop);
                }
                Err(SinkError::Rejected(failures)) if !failures.is_empty() => match self.plan.on_error {
                    OnError::Fail => {
                        // The clean prefix is written; the partition stands at the first bad row.
                        let first = failures.into_iter().min_by_key(|failure| failure.index);
                        if let Some(first) = first {
                            skip.extend(first.index..batch.len() as u32);
                            stop = Some(first);
                        }
                    }
                    policy => {
                        if policy == OnError::DeadLetter {
                            self.write_dead_letters(&batch, &failures)?;
                        } else {
                            self.shared.observer.skipped(failures.len());
                        }
                        skip.extend(failures.iter().map(|failure| failure.index));
                    }
                },
                Err(SinkError::Rejected(_)) => {
                    let what = "the sink refuses a batch and names no record of it";
                    return self.fail(
                        at,
                        Code("E0602"),
                        what.to_owned(),
                        "please report this: it is a bug of the sink",
                    );
                }
                Err(SinkError::Retriable { what }) => {
                    tracing::warn!(sink = %self.plan.connector.name, "{what}");
                    if self.shared.shutdown.is_requested() || self.is_giving_up {
                        return Ok(());
                    }
                    self.wait(&mut backoff, true)?;
                    if self.is_rebalancing() {
                        return self.put_back(at, batch);
                    }
                    let Some(delivery) = self.partitions.get(at) else {
                        return Ok(());
                    };
                    let sink_partition = delivery.sink_partition.clone();
                    // The commit's fate may be unknown: what the database holds now tells.
                    let Some(stored) = self.open(&sink_partition, true)? else {
                        return self.put_back(at, batch);
                    };
                    if let Some(stored) = stored
                        && stored.0 > batch.offsets[0]
                    {
                        let fresh = batch.filtered(|i| batch.offsets[i] >= stored.0);
                        if fresh.is_empty() {
                            return self.written(at, &batch, next, stop);
                        }
                        skip = shifted(&skip, batch.len() - fresh.len());
                        if let Some(failure) = &mut stop {
                            failure.index = failure.index.saturating_sub((batch.len() - fresh.len()) as u32);
                        }
                        batch = fresh;
                    }
                }
                Err(SinkError::Fenced { at }) => {
                    tracing::warn!(%at, "taken over by another process; waiting for the group to say so");
                    if let Some(delivery) = self.partitions.get_mut(&at) {
                        delivery.failed = true;
                    }
                    return self
                        .session
                        .pause(&[at])
                        .map_err(RunError::log("pausing a partition of a sink"));
                }
                Err(error @ SinkError::Fatal { .. }) => {
                    let code = error.code();
                    return self.fail(at, code, error.to_string(), "mend it and start again: nothing is lost");
                }
            }
            skip.sort_unstable();
            skip.dedup();
        }
    }

    /// Records that `--skip` names go to the dead letters whatever the sink would say.
    fn skip_by_request(&mut self, at: &TopicPartition, batch: &Batch) -> Result<Vec<u32>, RunError> {
        let is_named = |offset: i64| {
            self.shared
                .skip
                .iter()
                .any(|(place, named)| place == at && named.0 == offset)
        };
        let skip: Vec<u32> = (0..batch.len() as u32)
            .filter(|i| is_named(batch.offsets[*i as usize]))
            .collect();
        if !skip.is_empty() {
            let failures: Vec<Failure> = skip.iter().map(|index| requested(*index)).collect();
            self.write_dead_letters(batch, &failures)?;
        }
        Ok(skip)
    }

    fn written(
        &mut self,
        at: &TopicPartition,
        batch: &Batch,
        next: NextOffset,
        stop: Option<Failure>,
    ) -> Result<(), RunError> {
        if let Some(delivery) = self.partitions.get_mut(at) {
            delivery.next = delivery.next.max(next);
            if let (Some(end), None) = (delivery.end.take(), &stop) {
                delivery.next = delivery.next.max(end);
            }
        }
        let Some(failure) = stop else { return Ok(()) };
        let offset = batch.offsets.get(failure.index as usize).copied().unwrap_or(next.0);
        self.commit()?;
        self.fail(
            at,
            Code("E0602"),
            format!(
                "record {at}:{offset} was rejected ({}): {}",
                failure.code, failure.message
            ),
            "mend the table or the data, or set `on_error = \"dead_letter\"` or `\"skip\"` on the sink",
        )
    }

    /// Acknowledged before the transaction that skips these records commits: at least once, and
    /// recognisable by their origin.
    fn write_dead_letters(&mut self, batch: &Batch, failures: &[Failure]) -> Result<(), RunError> {
        let topic = self.shared.topic(self.shared.topology.dead_letters);
        let mut letters = Batch::new(Arc::clone(&topic.name), batch.partition);
        for failure in failures {
            let letter = DeadLetter {
                pipeline: &self.shared.topology.pipeline,
                node: &self.plan.connector.name,
                plugin: "",
                code: &failure.code,
                message: &failure.message,
                detail: &failure.detail,
            };
            letter.push(batch, failure.index as usize, &mut letters);
        }
        let mut write = || {
            let count = self.session.partitions(&topic.name)?;
            let partitions: Vec<u32> = (0..letters.len())
                .map(|i| partition_for(letters.keys.get(i), batch.partition, count))
                .collect();
            self.session.produce(&topic.name, &letters, &partitions)?;
            self.session.flush(Instant::now() + LOG_TIMEOUT)
        };
        loop {
            match write() {
                Ok(()) => break,
                Err(LogError::Retriable { what }) if !self.shared.shutdown.is_requested() => {
                    tracing::warn!("writing dead letters: {what}");
                }
                Err(error) => return Err(RunError::log("writing dead letters")(error)),
            }
        }
        self.shared.observer.dead_lettered(letters.len());
        Ok(())
    }
}

/// Indexes after the first `gone` records of their batch went away.
fn shifted(indexes: &[u32], gone: usize) -> Vec<u32> {
    indexes
        .iter()
        .filter_map(|index| index.checked_sub(gone as u32))
        .collect()
}
