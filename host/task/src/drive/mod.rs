//! Runs a whole pipeline on one thread, on records that are given to it and a clock that the caller
//! moves: for tests of pipelines. No log, no sinks, no sources; the tasks, the transforms and the
//! state are those of a real run.
//!
//! What is written to a topic is kept here, and read from here by the task behind it. Every record
//! knows which of the records and clock moves that were put in has caused it (its *cause*); what
//! comes out is shown by rising causes, as if records had come one by one. So the outcome does not
//! depend on how they are cut into batches, unless a plugin makes it so: that is what [`Cuts`] finds
//! out.

mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use record::error::{Code, Failure};
use record::offset::Timestamp;
use record::origin::{self, DeadLetter};
use record::partitioner::partition_for;
use record::store::{StateBackend, StoreError};
use record::timer::Clock;
use record::topology::{OnError, TopicId, TopicRole, Topology};
use record::transform::StateSlot;
use record::{Batch, NextOffset, TopicPartition};

use crate::chain::{Chain, Watch};
use crate::error::RunError;
use crate::keys;
use crate::observer::{PartitionFailure, SOURCE};
use crate::plan::Parts;
use crate::process::ProcessTask;

/// Entries of a store that are read at once.
const PAGE: u32 = 1_000;

/// How records are cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// As large as in a run.
    Whole,
    /// One record per call, each on new instances of the transforms.
    Single,
    /// At random places, with new instances at random times. The same for the same seed.
    Random(u64),
}

/// A record that was written to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The event time; -1 for none.
    pub timestamp: Timestamp,
    /// Headers, without those of Wasmill.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The partition.
    pub partition: u32,
}

/// A record that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The transform or the source.
    pub node: String,
    /// The code of the failure.
    pub code: String,
    /// What it says.
    pub message: String,
    /// The key of the refused record.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// A record to put in.
#[derive(Clone, Debug)]
pub struct Put {
    /// The topic of its source.
    pub topic: TopicId,
    /// The partition; `None`: that of its key, 0 without one.
    pub partition: Option<u32>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The event time.
    pub timestamp: Timestamp,
    /// Names and values.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Where a record comes from: which of the things put in has caused it, and which task wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cause {
    put: u64,
    /// The sub-topology; `None`: it was put in.
    sub: Option<usize>,
    partition: u32,
}

/// A partition of a topic: all records that it ever had.
struct Held {
    batch: Batch,
    causes: Vec<Cause>,
}

/// A task: its sub-topology, its route and its partition.
type Place = (usize, usize, u32);

/// A pipeline, driven by hand.
pub struct Driver {
    topology: Arc<Topology>,
    partitions: u32,
    now: Timestamp,
    cuts: Cuts,
    random: u64,
    chains: Vec<Chain>,
    /// By sub-topology, route and partition.
    tasks: BTreeMap<Place, ProcessTask>,
    topics: Vec<Vec<Held>>,
    refused: Vec<(Cause, Refused)>,
    skipped: usize,
    failures: Vec<PartitionFailure>,
    puts: u64,
}

impl Driver {
    /// A pipeline whose topics have `partitions` each. `now` is the wall clock.
    ///
    /// # Errors
    /// A transform that cannot be made; state that cannot be opened.
    pub fn new(
        topology: Arc<Topology>,
        parts: &dyn Parts,
        state: &dyn StateBackend,
        partitions: u32,
        now: Timestamp,
        cuts: Cuts,
    ) -> Result<Self, RunError> {
        let mut chains = Vec::with_capacity(topology.processes.len());
        let mut tasks = BTreeMap::new();
        for (s, sub) in topology.processes.iter().enumerate() {
            let transforms = sub.nodes.iter().map(|node| {
                parts.transform(node).map_err(|what| RunError::Transform {
                    node: node.name.to_string(),
                    what,
                })
            });
            let transforms = transforms.collect::<Result<_, _>>()?;
            chains.push(Chain::new(
                Arc::clone(&topology.pipeline),
                Arc::new(sub.clone()),
                transforms,
                Watch::default(),
            ));
            for (r, route) in sub.inputs.iter().enumerate() {
                let topic = &topology.topic(route.topic).name;
                for partition in 0..partitions {
                    let states = sub.nodes.iter().map(|node| match node.changelog {
                        Some(_) => {
                            let mut state = state.open(&node.name, partition, &node.description.stores)?;
                            // There is nothing to restore.
                            state.restored("none", NextOffset(0), now)?;
                            Ok(StateSlot(Some(state)))
                        }
                        None => Ok(StateSlot::default()),
                    });
                    let states = states.collect::<Result<_, StoreError>>()?;
                    let at = TopicPartition::new(Arc::clone(topic), partition);
                    let task = ProcessTask::new(at, topic.to_string(), r, states, NextOffset(0), None);
                    tasks.insert((s, r, partition), task);
                }
            }
        }
        let held = |topic: &record::topology::Topic| {
            let count = if topic.role == TopicRole::DeadLetter {
                1
            } else {
                partitions
            };
            let partition = |p| Held {
                batch: Batch::new(Arc::clone(&topic.name), p),
                causes: Vec::new(),
            };
            (0..count).map(partition).collect()
        };
        Ok(Self {
            topics: topology.topics.iter().map(held).collect(),
            topology,
            partitions,
            now,
            cuts,
            random: match cuts {
                Cuts::Random(seed) => seed,
                Cuts::Whole | Cuts::Single => 0,
            },
            chains,
            tasks,
            refused: Vec::new(),
            skipped: 0,
            failures: Vec::new(),
            puts: 0,
        })
    }

    /// Gives a store an entry, before anything is put in. It lies where the key's records are.
    ///
    /// # Errors
    /// The store refuses it.
    pub fn fill(&mut self, sub: usize, node: usize, store: u32, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let partition = partition_for(Some(key), 0, self.partitions);
        for task in self.tasks_of(sub).filter(|task| task.at.partition == partition) {
            if let Some(state) = &mut task.states[node].0 {
                state.put(store, key, value)?;
                state.keep();
            }
        }
        Ok(())
    }

    /// All entries of a store, by key.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn entries(&mut self, sub: usize, node: usize, store: u32) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StoreError> {
        let mut entries = BTreeMap::new();
        for task in self.tasks_of(sub) {
            let Some(state) = &mut task.states[node].0 else {
                continue;
            };
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = state.scan(store, &[], after.as_deref(), PAGE)?;
                for i in 0..page.keys.len() {
                    let key = page.keys.get(i).unwrap_or_default().to_vec();
                    after = Some(key.clone());
                    entries.insert(key, page.values.get(i).unwrap_or_default().to_vec());
                }
                if !page.more || page.keys.is_empty() {
                    break;
                }
            }
        }
        Ok(entries)
    }

    /// Puts records in, in order, and processes each to the end before those that stand in another
    /// place come: a run of records for one partition is one batch, or is cut.
    ///
    /// # Errors
    /// What no record is guilty of: the state, a plugin that cannot be made.
    pub fn put(&mut self, records: &[Put]) -> Result<(), RunError> {
        let mut rest = records;
        while let Some(first) = rest.first() {
            let place = |put: &Put| (put.topic, self.partition_of(put));
            let run = rest.iter().take_while(|put| place(put) == place(first)).count();
            let count = self.cut(run);
            let (now, later) = rest.split_at(count);
            for put in now {
                self.append(put);
            }
            self.settle()?;
            rest = later;
        }
        Ok(())
    }

    /// Moves the wall clock, from one wall-clock timer that is due to the next, and processes what
    /// comes of each.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn advance(&mut self, ms: i64) -> Result<(), RunError> {
        let target = self.now.saturating_add(ms);
        loop {
            let mut next: Option<Timestamp> = None;
            let failures = &self.failures;
            let running = self
                .tasks
                .values_mut()
                .filter(|task| failures.iter().all(|failure| failure.at != task.at));
            for state in running.flat_map(|task| &mut task.states) {
                if let Some(state) = &mut state.0
                    && let Some(time) = state.next_timer(Clock::WallClock)?
                {
                    next = Some(next.map_or(time, |next| next.min(time)));
                }
            }
            let Some(time) = next.filter(|time| *time <= target) else {
                break;
            };
            self.now = self.now.max(time);
            self.puts += 1;
            let places: Vec<Place> = self.tasks.keys().copied().collect();
            for place in places {
                self.fire(place, Clock::WallClock)?;
            }
            self.settle()?;
        }
        self.now = target;
        Ok(())
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What was written to a topic, in order; with `all`, also what was put in there.
    #[must_use]
    pub fn produced(&self, topic: TopicId, all: bool) -> Vec<Produced> {
        let is_wanted = |cause: &Cause| all || cause.sub.is_some();
        let mut found: Vec<(Cause, Produced)> = Vec::new();
        for held in &self.topics[topic.0 as usize] {
            for (i, cause) in held.causes.iter().enumerate().filter(|(_, cause)| is_wanted(cause)) {
                found.push((*cause, produced(&held.batch, i)));
            }
        }
        // Stable: what one task wrote for one record stays in order.
        found.sort_by_key(|(cause, _)| *cause);
        found.into_iter().map(|(_, produced)| produced).collect()
    }

    /// The dead letters, in order.
    #[must_use]
    pub fn refused(&self) -> Vec<Refused> {
        let mut all: Vec<_> = self.refused.iter().collect();
        all.sort_by_key(|(cause, _)| *cause);
        all.into_iter().map(|(_, refused)| refused.clone()).collect()
    }

    /// How many records were dropped by `on_error = "skip"` and its like.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Partitions that stand still.
    #[must_use]
    pub fn failures(&self) -> &[PartitionFailure] {
        &self.failures
    }

    fn tasks_of(&mut self, sub: usize) -> impl Iterator<Item = &mut ProcessTask> {
        let tasks = self.tasks.iter_mut();
        tasks.filter_map(move |((s, ..), task)| (*s == sub).then_some(task))
    }

    fn partition_of(&self, put: &Put) -> u32 {
        let own = || partition_for(put.key.as_deref(), 0, self.partitions);
        put.partition
            .map_or_else(own, |partition| partition.min(self.partitions - 1))
    }

    /// How many of `available` records make the next batch.
    fn cut(&mut self, available: usize) -> usize {
        let available = available.min(record::log::PollLimit::default().records);
        match self.cuts {
            Cuts::Whole => available,
            Cuts::Single => available.min(1),
            Cuts::Random(_) => 1 + (self.random() % available.max(1) as u64) as usize,
        }
        .min(available)
    }

    /// SplitMix64 (Steele, Lea, Flood, 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn append(&mut self, put: &Put) {
        self.puts += 1;
        let cause = Cause {
            put: self.puts,
            sub: None,
            partition: 0,
        };
        let topology = Arc::clone(&self.topology);
        let topic = topology.topic(put.topic);
        let mut batch = Batch::new(Arc::clone(&topic.name), 0);
        batch.push(put.key.as_deref(), put.value.as_deref(), put.timestamp);
        for (name, value) in &put.headers {
            batch.headers.push(name.as_bytes(), value.as_deref());
        }
        if !put.headers.is_empty() {
            batch.headers.close(0);
        }
        let ingest = topology.ingests.iter().find(|ingest| ingest.topic == put.topic);
        if let Some(ingest) = ingest
            && let Some(pointer) = &ingest.key
            && let Some((_, failure)) = keys::set_keys(&mut batch, pointer).pop()
        {
            self.undecodable(ingest, &batch, &failure, cause);
            return;
        }
        // Where a source makes the key, it makes the partition.
        let partition = match put.partition {
            Some(partition) => partition.min(self.partitions - 1),
            None => partition_for(batch.keys.get(0), 0, self.partitions),
        };
        self.hold(put.topic, partition, &batch, 0, cause);
    }

    fn undecodable(&mut self, ingest: &record::topology::Ingest, batch: &Batch, failure: &Failure, cause: Cause) {
        let node = &ingest.connector.name;
        match ingest.on_undecodable {
            OnError::Skip => self.skipped += 1,
            OnError::DeadLetter => {
                let letter = DeadLetter {
                    pipeline: &self.topology.pipeline,
                    node,
                    plugin: "",
                    code: "undecodable",
                    message: &failure.message,
                    detail: "",
                };
                let mut letters = Batch::new(Arc::clone(&batch.topic), 0);
                letter.push(batch, 0, &mut letters);
                self.refuse(&letters, |_| cause);
            }
            OnError::Fail => self.failures.push(PartitionFailure {
                at: TopicPartition::new(Arc::clone(&batch.topic), 0),
                node: SOURCE.to_owned(),
                code: Code("E0711"),
                message: format!("a record of the source `{node}` cannot be read: {}", failure.message),
                remedy: "mend the input, or set `on_undecodable = \"dead_letter\"` or `\"skip\"`".to_owned(),
            }),
        }
    }

    /// Appends record `i` of a batch to a topic.
    fn hold(&mut self, topic: TopicId, partition: u32, batch: &Batch, i: usize, cause: Cause) {
        let held = &mut self.topics[topic.0 as usize][partition as usize];
        let into = &mut held.batch;
        let at = into.len();
        into.push(batch.keys.get(i), batch.values.get(i), batch.timestamps[i]);
        for (name, value) in batch.headers.of(i) {
            into.headers.push(name, value);
        }
        if !into.headers.names.is_empty() {
            into.headers.close(at);
        }
        into.offsets.push(at as i64);
        held.causes.push(cause);
    }
}

fn produced(batch: &Batch, i: usize) -> Produced {
    let ours = |name: &[u8]| name.starts_with(origin::HEADER_PREFIX.as_bytes());
    let headers = batch.headers.of(i).filter(|(name, _)| !ours(name));
    Produced {
        key: batch.keys.get(i).map(<[u8]>::to_vec),
        value: batch.values.get(i).map(<[u8]>::to_vec),
        timestamp: batch.timestamps[i],
        headers: headers
            .map(|(name, value)| {
                let name = String::from_utf8_lossy(name).into_owned();
                (name, value.map(<[u8]>::to_vec))
            })
            .collect(),
        partition: batch.partition,
    }
}
