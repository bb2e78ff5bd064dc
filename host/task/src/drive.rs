//! Runs a whole pipeline on one thread, on records that are given to it and a clock that the caller
//! moves: for tests of pipelines. No log, no sinks, no sources; the tasks, the transforms and the
//! state are those of a real run.
//!
//! What is written to a topic is kept here, and read from here by the task behind it. Every record
//! knows which of the records and clock moves that were put in has caused it (its *cause*); what
//! comes out is shown by rising causes, as if records had come one by one. So the outcome does not
//! depend on how they are cut into batches, unless a plugin makes it so: that is what [`Cuts`] finds
//! out.

use std::collections::BTreeMap;
use std::sync::Arc;

use record::error::{Code, Failure};
use record::offset::Timestamp;
use record::origin::{self, DeadLetter, TaskMark};
use record::partitioner::partition_for;
use record::store::{StateBackend, StoreError};
use record::topology::{OnError, TopicId, TopicRole, Topology};
use record::transform::StateSlot;
use record::{Batch, NextOffset, TopicPartition};

use crate::chain::{Chain, StepError};
use crate::error::RunError;
use crate::keys;
use crate::observer::{PartitionFailure, SOURCE};
use crate::plan::Parts;
use crate::process::{ProcessTask, StepEnd, Verdict, Written};

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

/// A pipeline, driven by hand.
pub struct Driver {
    topology: Arc<Topology>,
    partitions: u32,
    now: Timestamp,
    cuts: Cuts,
    random: u64,
    chains: Vec<Chain>,
    /// By sub-topology, route and partition.
    tasks: BTreeMap<(usize, usize, u32), ProcessTask>,
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
            ));
            for (r, route) in sub.inputs.iter().enumerate() {
                let topic = &topology.topic(route.topic).name;
                for partition in 0..partitions {
                    let states = sub.nodes.iter().map(|node| match node.changelog {
                        Some(_) => state
                            .open(&node.name, partition, &node.description.stores)
                            .map(|state| StateSlot(Some(state))),
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
            let count = if topic.role == TopicRole::DeadLetter { 1 } else { partitions };
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
            let Some(state) = &mut task.states[node].0 else { continue };
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

    /// Moves the wall clock, and processes what comes of it.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn advance(&mut self, ms: i64) -> Result<(), RunError> {
        self.now = self.now.saturating_add(ms);
        self.puts += 1;
        self.settle()
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
        put.partition.map_or_else(own, |partition| partition.min(self.partitions - 1))
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

    /// Runs all tasks until none has anything to read.
    fn settle(&mut self) -> Result<(), RunError> {
        let topology = Arc::clone(&self.topology);
        let places: Vec<(usize, usize, u32)> = self.tasks.keys().copied().collect();
        loop {
            let mut is_idle = true;
            for &place in &places {
                let (s, r, partition) = place;
                let topic = topology.processes[s].inputs[r].topic;
                while let Some(mut batch) = self.next_batch(place, topic) {
                    is_idle = false;
                    let role = topology.topic(topic).role;
                    if role.is_internal() {
                        origin::absorb(&mut batch);
                    } else {
                        origin::drop_foreign(&mut batch);
                    }
                    self.step(place, topic, &mut batch)?;
                }
                self.commit(place, partition);
            }
            if is_idle {
                return Ok(());
            }
        }
    }

    /// What a task reads next.
    fn next_batch(&mut self, place: (usize, usize, u32), topic: TopicId) -> Option<Batch> {
        let task = self.tasks.get(&place)?;
        if self.failures.iter().any(|failure| failure.at == task.at) {
            return None;
        }
        let next = task.next.0 as usize;
        let available = self.topics[topic.0 as usize][place.2 as usize]
            .batch
            .len()
            .checked_sub(next)
            .filter(|available| *available > 0)?;
        let count = self.cut(available);
        let held = &self.topics[topic.0 as usize][place.2 as usize].batch;
        Some(held.filtered(|i| (next..next + count).contains(&i)))
    }

    fn step(&mut self, place: (usize, usize, u32), topic: TopicId, batch: &mut Batch) -> Result<(), RunError> {
        let (s, _, _) = place;
        let renew = match self.cuts {
            Cuts::Whole => false,
            Cuts::Single => true,
            Cuts::Random(_) => self.random() % 4 == 0,
        };
        if renew {
            self.chains[s].recycle().map_err(|error| trouble(&error))?;
        }
        let mut alone = Vec::new();
        let Some(task) = self.tasks.get_mut(&place) else {
            return Ok(());
        };
        match task.step(&mut self.chains[s], batch, self.now) {
            StepEnd::Done(written) => self.write(place, topic, batch, written),
            StepEnd::Isolate { .. } => {
                // As a worker does, record by record; only here they do not wait in the task.
                let next = task.next.0;
                let offsets = batch.offsets.iter().enumerate();
                let left = offsets.filter(|(_, offset)| **offset >= next).map(|(i, _)| i);
                alone.extend(left.map(|i| batch.filtered(|other| other == i)));
            }
            StepEnd::Stopped { written, at, verdict } => {
                self.write(place, topic, batch, written);
                self.stop(place, at, &verdict);
            }
            StepEnd::Trouble { why, .. } => {
                return Err(RunError::Store(StoreError::Misuse(why)));
            }
        }
        for mut single in alone {
            if self.is_stopped(place) {
                break;
            }
            self.step(place, topic, &mut single)?;
        }
        Ok(())
    }

    fn is_stopped(&self, place: (usize, usize, u32)) -> bool {
        let at = self.tasks.get(&place).map(|task| &task.at);
        self.failures.iter().any(|failure| Some(&failure.at) == at)
    }

    fn stop(&mut self, place: (usize, usize, u32), offset: i64, verdict: &Verdict) {
        let Some(task) = self.tasks.get(&place) else { return };
        let at = task.at.clone();
        let node = task.names(&self.chains[place.0], verdict.culprit).0;
        self.failures.push(PartitionFailure {
            code: Code("E0710"),
            message: format!(
                "record {at}:{offset} failed in `{node}` ({}): {}",
                verdict.failure.code, verdict.failure.message
            ),
            remedy: "mend the plugin, or set `on_error`".to_owned(),
            at,
            node,
        });
    }

    /// Keeps what a step has made. `input` is the batch of the step, read from `topic`.
    fn write(&mut self, place: (usize, usize, u32), topic: TopicId, input: &Batch, written: Written) {
        let (s, _, partition) = place;
        self.skipped += written.skipped;
        let held = &self.topics[topic.0 as usize][partition as usize];
        let causes: Vec<Cause> = input
            .offsets
            .iter()
            .map(|offset| Cause {
                put: held.causes[*offset as usize].put,
                sub: Some(s),
                partition,
            })
            .collect();
        let stream_time = self.tasks.get(&place).map_or(-1, |task| task.stream_time);
        for out in written.outgoing {
            let mut own = out.batch;
            if self.topology.topic(out.topic).role == TopicRole::Repartition {
                let batch = own.get_or_insert_with(|| {
                    let mut whole = input.clone();
                    whole.roots.clear();
                    whole
                });
                let mark = TaskMark {
                    input: out.input,
                    sub_topology: s as u32,
                    partition,
                    stream_time,
                };
                origin::attach(batch, input, mark);
            }
            let batch = own.as_ref().unwrap_or(input);
            for i in 0..batch.len() {
                let to = partition_for(batch.keys.get(i), partition, self.partitions);
                self.hold(out.topic, to, batch, i, causes[batch.root(i)]);
            }
        }
        if let Some(letters) = written.dead_letters {
            // A letter names the record that it is of.
            self.refuse(&letters, |i| {
                let input_offset = letters
                    .headers
                    .last(i, origin::HEADER_INPUT)
                    .flatten()
                    .and_then(origin::decode_origin)
                    .map(|(_, _, offset)| offset);
                let at = input.offsets.iter().position(|offset| Some(*offset) == input_offset);
                causes[at.unwrap_or(0)]
            });
        }
    }

    fn refuse(&mut self, letters: &Batch, cause: impl Fn(usize) -> Cause) {
        for i in 0..letters.len() {
            let header = |name| {
                let value = letters.headers.last(i, name).flatten().unwrap_or_default();
                String::from_utf8_lossy(value).into_owned()
            };
            let refused = Refused {
                node: header(origin::HEADER_NODE),
                code: header(origin::HEADER_ERROR_CODE),
                message: header(origin::HEADER_ERROR),
                key: letters.keys.get(i).map(<[u8]>::to_vec),
                value: letters.values.get(i).map(<[u8]>::to_vec),
            };
            self.refused.push((cause(i), refused));
        }
    }

    /// What a worker does at the commit interval, with a log that takes everything.
    fn commit(&mut self, place: (usize, usize, u32), partition: u32) {
        let Some(task) = self.tasks.get_mut(&place) else { return };
        if !task.is_advanced() {
            return;
        }
        let position = task.input_position();
        let mut changes = Batch::new(Arc::clone(&task.at.topic), partition);
        for state in task.states.iter_mut().filter_map(|slot| slot.0.as_mut()) {
            changes.clear();
            state.changes(&position, self.now, &mut changes);
            // A store in memory takes everything.
            if let Err(error) = state.commit(position.clone(), NextOffset(0), self.now) {
                tracing::error!("cannot keep the state: {error}");
            }
        }
        let (next, stream_time) = (task.next, task.stream_time);
        task.committed(next, stream_time);
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

fn trouble(error: &StepError) -> RunError {
    RunError::Transform {
        node: match error {
            StepError::Call(node, _) => node.0.to_string(),
            StepError::Records(_) => String::new(),
        },
        what: format!("cannot be made anew: {error:?}"),
    }
}
