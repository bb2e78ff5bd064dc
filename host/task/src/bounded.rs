//! When a bounded run (`--until-end`) is done, or one that drains: sub-topologies end in topological order.
//!
//! For each topic a target is fixed once nobody writes to it any more: the user's topics at the
//! start, a source's topic when the source has ended, an internal topic when all that write to it
//! are done. Its readers are done when the group's committed positions have reached the target
//! in every partition, on whichever process. Positions follow end-of-partition events, so control
//! records at the end do not hold the run up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::NextOffset;
use record::log::{Edge, LogError};
use record::origin::PositionNote;
use record::topology::{TopicId, TopicRole};

use crate::error::RunError;
use crate::ingest::IngestTask;
use crate::plan::{LOG_TIMEOUT, Shared};

const ASK_EVERY: Duration = Duration::from_millis(150);

/// Watches for the end of a bounded run.
pub(crate) struct Ends {
    shared: Arc<Shared>,
    targets: HashMap<TopicId, Vec<NextOffset>>,
    done_processes: Vec<bool>,
    done_deliveries: Vec<bool>,
    asked: Instant,
    /// What is the user's, and sources, do not count: nobody reads them.
    drains: bool,
}

impl Ends {
    /// Of a run that reads nothing of the user's any more.
    pub(crate) fn of_draining(shared: Arc<Shared>) -> Self {
        Self {
            done_processes: vec![false; shared.processes.len()],
            done_deliveries: vec![false; shared.topology.deliveries.len()],
            targets: HashMap::new(),
            asked: Instant::now(),
            drains: true,
            shared,
        }
    }

    /// Fixes the targets of the user's topics: where they end now.
    pub(crate) fn new(shared: Arc<Shared>) -> Result<Self, RunError> {
        let mut ends = Self {
            drains: false,
            ..Self::of_draining(shared)
        };
        for (i, topic) in ends.shared.topology.topics.iter().enumerate() {
            let id = TopicId(i as u32);
            // What this pipeline itself writes ends when its writers do.
            let is_written = ends.shared.processes.iter().any(|sub| Shared::writes(sub, id));
            if topic.role == TopicRole::Input && !is_written {
                let target = ends.end_of(id)?;
                ends.targets.insert(id, target);
            }
        }
        Ok(ends)
    }

    fn end_of(&self, id: TopicId) -> Result<Vec<NextOffset>, RunError> {
        self.shared
            .log
            .offsets(&self.shared.partitions_of(id), Edge::StableEnd, LOG_TIMEOUT)
            .map_err(RunError::log("reading the end of a topic"))
    }

    /// Whether everything is processed and delivered.
    pub(crate) fn reached(&mut self) -> Result<bool, RunError> {
        if self.asked.elapsed() < ASK_EVERY {
            return Ok(false);
        }
        self.asked = Instant::now();
        match self.advance() {
            Ok(()) => Ok(self
                .done_processes
                .iter()
                .chain(&self.done_deliveries)
                .all(|done| *done)),
            Err(RunError::Log {
                source: LogError::Retriable { what },
                ..
            }) => {
                tracing::warn!("looking for the end of the run: {what}");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn advance(&mut self) -> Result<(), RunError> {
        let shared = Arc::clone(&self.shared);
        for (i, sub) in shared.processes.iter().enumerate() {
            if self.done_processes[i] {
                continue;
            }
            let mut done = true;
            for route in &sub.inputs {
                done = done && self.is_consumed(route.topic, &shared.topology.pipeline)?;
            }
            self.done_processes[i] = done;
        }
        for (i, plan) in shared.topology.deliveries.iter().enumerate() {
            if !self.done_deliveries[i] {
                self.done_deliveries[i] = self.is_consumed(plan.topic, &plan.group)?;
            }
        }
        Ok(())
    }

    fn is_consumed(&mut self, topic: TopicId, group: &str) -> Result<bool, RunError> {
        if self.drains && !self.shared.topic(topic).role.is_internal() {
            return Ok(true);
        }
        let Some(target) = self.target(topic)? else {
            return Ok(false);
        };
        let places = self.shared.partitions_of(topic);
        let committed = self
            .shared
            .log
            .committed(group, &places, LOG_TIMEOUT)
            .map_err(RunError::log("reading committed positions"))?;
        Ok(committed
            .iter()
            .zip(&target)
            .all(|(committed, target)| committed.as_ref().is_some_and(|c| c.next >= *target)))
    }

    fn target(&mut self, topic: TopicId) -> Result<Option<Vec<NextOffset>>, RunError> {
        if let Some(target) = self.targets.get(&topic) {
            return Ok(Some(target.clone()));
        }
        let shared = Arc::clone(&self.shared);
        for ingest in &shared.topology.ingests {
            if ingest.topic == topic && !self.drains && !self.has_ended(topic)? {
                return Ok(None);
            }
        }
        let written = shared
            .processes
            .iter()
            .zip(&self.done_processes)
            .any(|(sub, done)| !done && Shared::writes(sub, topic));
        if written {
            return Ok(None);
        }
        let target = self.end_of(topic)?;
        self.targets.insert(topic, target.clone());
        Ok(Some(target))
    }

    /// Whether the source of a topic has ended: in this process, or by what another one committed.
    fn has_ended(&self, topic: TopicId) -> Result<bool, RunError> {
        let shared = &self.shared;
        let own = shared.sources.lock().get(&topic).copied();
        if let Some(ended) = own {
            return Ok(ended);
        }
        let place = shared.partitions_of(topic).into_iter().take(1).collect::<Vec<_>>();
        let committed = shared
            .log
            .committed(&shared.topology.pipeline, &place, LOG_TIMEOUT)
            .map_err(RunError::log("reading committed positions"))?;
        let note = committed
            .into_iter()
            .next()
            .flatten()
            .map_or_else(PositionNote::default, |c| PositionNote::decode(&c.note));
        Ok(shared.is_settled() && IngestTask::note_has_ended(note.source.as_deref()))
    }
}
