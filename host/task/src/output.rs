//! What a worker writes to the producer: outputs, dead letters, what sources have read. And what it does
//! when the log does not take it.

use std::sync::Arc;
use std::time::Instant;

use record::error::{Code, Failure};
use record::log::LogError;
use record::origin::{self, TaskMark};
use record::partitioner::partition_for;
use record::topology::{NodeId, OnError, TopicId, TopicRole};
use record::{Batch, TopicPartition};

use crate::chain::Chain;
use crate::observer::{PartitionFailure, SOURCE};
use crate::plan::now_ms;
use crate::process::{Culprit, Verdict};
use crate::step::Written;
use crate::worker::{Owned, Solo, Stop, Worker};

impl Worker {
    pub(crate) fn write(&mut self, at: &TopicPartition, input: &Batch, mut written: Written) -> Result<(), Stop> {
        self.shared.observer.read(written.read);
        self.shared.observer.skipped(written.skipped);
        let mut refused = None;
        let outgoing = written.parts.iter_mut().flat_map(|part| {
            let input = part.input.as_ref().unwrap_or(input);
            part.outgoing.drain(..).map(move |out| (input, out))
        });
        for (input, mut out) in outgoing {
            let shared = Arc::clone(&self.shared);
            let topic = shared.topic(out.topic);
            let count = match self.partition_count(out.topic) {
                Ok(count) => count,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            };
            if matches!(topic.role, TopicRole::Repartition | TopicRole::Sink) {
                let mark = TaskMark {
                    input: out.input,
                    sub_topology: self.tasks.get(at).map_or(0, |owned| owned.sub as u32),
                    partition: at.partition,
                    stream_time: self.tasks.get(at).map_or(-1, |owned| owned.task.stream_time),
                };
                origin::attach(out.own(input), input, mark);
            }
            if let Some(spans) = &shared.spans {
                self.spans.written(&**spans, &topic.name, &mut out, input);
            }
            let batch = out.batch.as_ref().unwrap_or(input);
            let partitions: Vec<u32> = (0..batch.len())
                .map(|i| partition_for(batch.keys.get(i), at.partition, count))
                .collect();
            match self.session.produce(&topic.name, batch, &partitions) {
                Ok(()) => {
                    self.shared.observer.wrote(batch.len());
                    shared.flow(out.topic).wrote(batch.len());
                    if topic.role == TopicRole::Output {
                        shared.taps.show(&topic.name, None, batch, Some(input));
                    }
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        if refused.is_none()
            && let Some(letters) = written.dead_letters
        {
            refused = self.write_dead_letters(at.partition, &letters).err();
        }
        match refused {
            None => Ok(()),
            Some(error) => self.refused(error),
        }
    }

    pub(crate) fn write_dead_letters(&mut self, partition: u32, letters: &Batch) -> Result<(), LogError> {
        let shared = Arc::clone(&self.shared);
        let topic = shared.topic(shared.topology.dead_letters);
        let count = self.session.partitions(&topic.name)?;
        let partitions: Vec<u32> = (0..letters.len())
            .map(|i| partition_for(letters.keys.get(i), partition, count))
            .collect();
        self.session.produce(&topic.name, letters, &partitions)?;
        self.shared.observer.dead_lettered(letters.len());
        self.shared.flow(self.shared.topology.dead_letters).wrote(letters.len());
        Ok(())
    }

    fn partition_count(&mut self, id: TopicId) -> Result<u32, LogError> {
        let topic = self.shared.topic(id);
        // An output topic of the user's may grow while the pipeline runs; ours may not.
        if topic.role == TopicRole::Output {
            let name = Arc::clone(&topic.name);
            return self.session.partitions(&name);
        }
        Ok(self.shared.info(id).partitions)
    }

    /// The log did not take an output. The transaction is undone; the record that is too large is
    /// found by running records one per transaction, and then goes by policy.
    pub(crate) fn refused(&mut self, error: LogError) -> Result<(), Stop> {
        match error {
            LogError::Retriable { what } => tracing::warn!("{what}; the transaction is rolled back"),
            error if error.is_of_a_record() => self.find_refused(&error),
            other => return Err(Stop::from_log("writing", other)),
        }
        self.roll_back()?;
        self.pause_after_aborts();
        Ok(())
    }

    /// Convicts the record whose output was refused, or makes sure that it is found.
    pub(crate) fn find_refused(&mut self, error: &LogError) {
        tracing::warn!("{error}");
        if let Some((at, solo)) = self.solo.take() {
            if let Some(owned) = self.tasks.get_mut(&at) {
                convict_output(owned, &self.chains, solo, error);
            }
        } else if self.tasks.values().any(|owned| owned.task.has_worked) {
            self.go_solo();
        } else {
            self.refuse_sources(error);
        }
    }

    /// Only sources have written: the one whose topic has refused stops.
    fn refuse_sources(&mut self, error: &LogError) {
        let topic = match error {
            LogError::TooLarge { topic, .. } | LogError::Rejected { topic, .. } => topic.as_str(),
            _ => "",
        };
        let is_named = self
            .ingests
            .iter()
            .any(|ingest| ingest.is_advanced() && *ingest.at.topic == *topic);
        for ingest in self.ingests.iter_mut().filter(|ingest| ingest.is_advanced()) {
            // A dead letter's topic names none of them.
            if is_named && *ingest.at.topic != *topic {
                continue;
            }
            self.shared.sources.lock().insert(ingest.topic(), true);
            self.shared.observer.failed(PartitionFailure {
                at: ingest.at.clone(),
                node: SOURCE.to_owned(),
                code: Code("E0711"),
                message: format!("what the source has read since {} is refused: {error}", ingest.refuse()),
                remedy: format!("raise `max.message.bytes` of topic `{topic}`, or mend the input"),
            });
        }
    }

    /// From the committed position to where each task stands, records are run one per transaction.
    fn go_solo(&mut self) {
        for owned in self.tasks.values_mut() {
            if owned.task.has_worked {
                owned.task.solo_timers = !self.chains[owned.sub].timed().is_empty();
                let last = owned.task.next.0.saturating_sub(1);
                owned.task.solo_until = Some(owned.task.solo_until.map_or(last, |until| until.max(last)));
            }
        }
    }

    pub(crate) fn read_sources(&mut self) -> Result<(), Stop> {
        for i in 0..self.ingests.len() {
            if self.is_draining || !self.may_read(i) {
                continue;
            }
            let ingest = &mut self.ingests[i];
            let read = match ingest.step(self.session.as_mut(), now_ms()) {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => return self.refused(error),
                Err(error) => return Err(Stop::Error(error.into())),
            };
            if ingest.is_advanced() {
                self.open_since.get_or_insert_with(Instant::now);
            }
            self.commit_now |= ingest.wants_commit();
            let at = ingest.at.clone();
            self.shared.observer.ingested(read.records);
            self.shared.flow(self.ingests[i].topic()).wrote(read.records);
            self.shared.observer.skipped(read.skipped);
            if let Some(letters) = &read.dead_letters
                && let Err(error) = self.write_dead_letters(0, letters)
            {
                return self.refused(error);
            }
            if let Some(input) = read.stopped {
                // A bounded run goes on with what stands before it, once that is committed.
                if !self.ingests[i].is_advanced() {
                    self.shared.sources.lock().insert(self.ingests[i].topic(), true);
                }
                self.shared.observer.failed(PartitionFailure {
                    at,
                    node: SOURCE.to_owned(),
                    code: Code("E0711"),
                    message: format!("{} cannot be read: {}", input.place, input.message),
                    remedy: "mend the input, or set `on_undecodable = \"dead_letter\"` or `\"skip\"`".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Convicts the single record of a transaction whose output the log refused. When that was its dead
/// letter already, its partition stops.
fn convict_output(owned: &mut Owned, chains: &[Chain], solo: Solo, error: &LogError) {
    let code = match error {
        LogError::TooLarge { .. } => "output-too-large",
        _ => "output-refused",
    };
    let failure = Failure {
        index: 0,
        code: code.to_owned(),
        message: error.to_string(),
        detail: String::new(),
    };
    let chain = &chains[owned.sub];
    let offset = match solo {
        Solo::Record(offset) => offset,
        Solo::Timer => return owned.task.convict_solo_timer(chain, failure),
    };
    let nodes = &chain.plan.nodes;
    let policy = match nodes.last() {
        Some(node) if !owned.task.is_convicted(offset) => node.on_error,
        _ => OnError::Fail,
    };
    let last = nodes.len().checked_sub(1);
    let verdict = Verdict {
        culprit: last.map_or(Culprit::Output, |node| Culprit::Node(NodeId(node as u32))),
        policy,
        failure,
        timer: None,
    };
    owned.task.convict(offset, verdict);
}
