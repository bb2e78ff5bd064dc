//! Pipelines of native transforms on the embedded log.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    reason = "each test file uses its part"
)]

pub mod faulty;
pub mod sessions;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use embedded::EmbeddedLog;
use record::log::{Edge, Isolation, Log, PollLimit, Polled};
use record::partitioner::partition_for;
use record::sink::{Sink, SinkError};
use record::source::{ReadEnd, Source, SourceError, Undecodable};
use record::store::StateBackend;
use record::topology::{
    DeliverPlan, Delivery, Ingest, InputRoute, InternalTopics, Limits, Node, NodeId, OnError, PartitionCount, Start,
    SubTopology, Target, Topic, TopicId, TopicRole, Topology,
};
use record::transform::{Call, CallError, CallErrorKind, Description, Emitted, Port, StateSlot, StoreSpec, Transform};
use record::{Batch, NextOffset, RecordOffset, TopicPartition};
use wasmill_task::{Control, Observer, Parts, Run, RunError, Shutdown, Summary, Taps};

pub const T: Duration = Duration::from_secs(10);

/// Splits values into words: key and value = word; its port rekeys. Fails on `bad`, traps on
/// `poison`, as records of their own or within a batch.
pub struct Split(Description);

/// Counts per key: emits `<count>`.
pub struct Count(Description);

fn port(rekeys: bool) -> Vec<Port> {
    vec![Port {
        name: "out".into(),
        doc: String::new(),
        rekeys,
    }]
}

pub fn split_description() -> Description {
    Description {
        name: "split".into(),
        version: "1.0.0".into(),
        ports: port(true),
        ..Description::default()
    }
}

pub fn count_description() -> Description {
    Description {
        name: "count".into(),
        version: "1.0.0".into(),
        ports: port(false),
        stores: vec![StoreSpec {
            name: "counts".into(),
            doc: String::new(),
            table: false,
            keyed: true,
            key_format: "bytes".into(),
            value_format: "u64-le".into(),
        }],
        ..Description::default()
    }
}

impl Transform for Split {
    fn description(&self) -> &Description {
        &self.0
    }
    fn process(&mut self, call: Call<'_>) -> Result<Emitted, CallError> {
        let mut out = Emitted::default();
        for i in 0..call.batch.len() {
            let text = String::from_utf8_lossy(call.batch.values.get(i).unwrap_or_default()).into_owned();
            if text.contains("poison") {
                return Err(CallError {
                    kind: CallErrorKind::Trap,
                    message: "it was poison".into(),
                    detail: String::new(),
                });
            }
            if text.contains("bad") {
                out.failures.push(record::error::Failure {
                    index: i as u32,
                    code: "bad-text".into(),
                    message: "it was bad".into(),
                    detail: String::new(),
                });
                continue;
            }
            for word in text.split_whitespace() {
                out.keys.push(Some(word.as_bytes()));
                out.values.push(Some(word.as_bytes()));
                out.parents.push(i as u32);
                out.count += 1;
            }
        }
        Ok(out)
    }
    fn recycle(&mut self) -> Result<(), CallError> {
        Ok(())
    }
}

impl Transform for Count {
    fn description(&self) -> &Description {
        &self.0
    }
    fn process(&mut self, call: Call<'_>) -> Result<Emitted, CallError> {
        let mut out = Emitted::default();
        let store_error = |e: record::store::StoreError| CallError {
            kind: CallErrorKind::Store,
            message: e.to_string(),
            detail: String::new(),
        };
        let state = call.state.0.as_mut().unwrap();
        for i in 0..call.batch.len() {
            let key = call.batch.keys.get(i).unwrap();
            let count = state
                .get(0, key)
                .map_err(store_error)?
                .map_or(0, |v| u64::from_le_bytes(v.try_into().unwrap()))
                + 1;
            state.put(0, key, &count.to_le_bytes()).map_err(store_error)?;
            out.values.push(Some(count.to_string().as_bytes()));
            out.count += 1;
        }
        Ok(out)
    }
    /// Each state version has a thousand times the counts of the one before.
    fn migrate(&mut self, from: u32, _: i64, slot: &mut StateSlot) -> Result<(), CallError> {
        assert_eq!(from + 1, self.0.state_version);
        let state = slot.0.as_mut().unwrap();
        let page = state.scan(0, b"", None, 1_000).unwrap();
        assert!(!page.more);
        for (key, value) in page.keys.iter().zip(page.values.iter()) {
            let count = u64::from_le_bytes(value.unwrap().try_into().unwrap());
            state.put(0, key.unwrap(), &(count * 1_000).to_le_bytes()).unwrap();
        }
        Ok(())
    }
    fn recycle(&mut self) -> Result<(), CallError> {
        Ok(())
    }
}

/// Remembers what it delivers; rejects some records; is away as long as it is told.
pub struct Collect {
    pub collected: Arc<parking_lot::Mutex<Vec<String>>>,
    pub away: Arc<AtomicBool>,
}

impl Sink for Collect {
    fn open<'a>(
        &'a mut self,
        _: &'a record::sink::SinkPartition,
    ) -> futures_util::future::BoxFuture<'a, Result<Option<NextOffset>, SinkError>> {
        Box::pin(async { Ok(None) })
    }
    fn write<'a>(
        &'a mut self,
        batch: &'a Batch,
        skip: &'a [u32],
        _: NextOffset,
    ) -> futures_util::future::BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async move {
            if self.away.load(Ordering::Relaxed) {
                return Err(SinkError::Retriable { what: "away".into() });
            }
            let rejected: Vec<_> = (0..batch.len())
                .filter(|i| !skip.contains(&(*i as u32)) && batch.values.get(*i) == Some(b"2"))
                .filter(|i| batch.keys.get(*i) == Some(b"reject"))
                .map(|i| record::error::Failure {
                    index: i as u32,
                    code: "rejected".into(),
                    message: "a second one".into(),
                    detail: String::new(),
                })
                .collect();
            if !rejected.is_empty() {
                return Err(SinkError::Rejected(rejected));
            }
            let mut seen = self.collected.lock();
            for i in (0..batch.len()).filter(|i| !skip.contains(&(*i as u32))) {
                let text = |b: Option<&[u8]>| String::from_utf8_lossy(b.unwrap_or_default()).into_owned();
                seen.push(format!("{}={}", text(batch.keys.get(i)), text(batch.values.get(i))));
            }
            Ok(())
        })
    }
    fn close<'a>(&'a mut self, _: &'a TopicPartition) -> futures_util::future::BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

/// The numbers below `end` as values, and the next one as position.
pub struct Numbers {
    next: u64,
    end: u64,
    poison_every: u64,
}

impl Source for Numbers {
    fn open(&mut self, position: Option<&str>) -> Result<(), SourceError> {
        self.next = position.map_or(self.next, |text| text.parse().unwrap());
        Ok(())
    }
    fn read(&mut self, records: usize, into: &mut Batch, _: &mut Vec<Undecodable>) -> Result<ReadEnd, SourceError> {
        let until = self.end.min(self.next + records.min(10) as u64);
        for number in self.next..until {
            let is_poison = self.poison_every > 0 && number % self.poison_every == 0;
            let text = format!("{}n{number}", if is_poison { "poison " } else { "" });
            into.push(Some(text.as_bytes()), Some(text.as_bytes()), 1_000 + number as i64);
        }
        self.next = until;
        Ok(if until == self.end { ReadEnd::End } else { ReadEnd::More })
    }
    fn position(&self) -> String {
        self.next.to_string()
    }
}

#[derive(Default)]
pub struct Native {
    pub collected: Arc<parking_lot::Mutex<Vec<String>>>,
    /// The sink's service is away.
    pub away: Arc<AtomicBool>,
    /// How many numbers the source has.
    pub numbers: u64,
    /// The first of them.
    pub first_number: u64,
    /// One of so many is `poison`; 0: none.
    pub poison_every: u64,
    pub made: AtomicUsize,
}

impl Parts for Native {
    fn transform(&self, node: &Node) -> Result<Box<dyn Transform>, String> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(match &*node.description.name {
            "split" => Box::new(Split(node.description.clone())),
            "sessions" => Box::new(sessions::Sessions(node.description.clone())),
            _ => Box::new(Count(node.description.clone())),
        })
    }
    fn source(&self, _: &Ingest) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(Numbers {
            next: self.first_number,
            end: self.numbers,
            poison_every: self.poison_every,
        }))
    }
    fn sink(&self, _: &DeliverPlan) -> Result<Box<dyn Sink>, SinkError> {
        Ok(Box::new(Collect {
            collected: Arc::clone(&self.collected),
            away: Arc::clone(&self.away),
        }))
    }
}

fn topic(name: &str, role: TopicRole, partitions: PartitionCount) -> Topic {
    Topic {
        name: name.into(),
        role,
        partitions,
        create: true,
    }
}

pub const LINES: &str = "lines";
pub const TOTALS: &str = "totals";
pub const LETTERS: &str = "wc-dead-letters";

/// lines -> split -> (repartition) -> count -> totals, and a sink of the totals.
pub fn word_count(on_error: OnError, delivery: Delivery) -> Topology {
    let node = |name: &str, description, to, changelog| Node {
        rollback: None,
        shadow: None,
        name: name.into(),
        plugin: PathBuf::new(),
        config: "{}".into(),
        description,
        on_error,
        limits: Limits::default(),
        grant: record::grant::Grant::default(),
        lateness: Duration::ZERO,
        ports: vec![vec![Target::Topic { topic: to, input: 0 }]],
        changelog,
    };
    let route = |topic, name: &str| InputRoute {
        topic,
        name: name.into(),
        key: None,
        on_undecodable: OnError::Fail,
        start: Start::Earliest,
        targets: vec![Target::Node {
            node: NodeId(0),
            input: 0,
        }],
    };
    Topology {
        pipeline: "wc".into(),
        delivery,
        commit_interval: Duration::from_millis(20),
        workers: 2,
        state_dir: None,
        internal_topics: InternalTopics::Create,
        replication: None,
        topics: vec![
            topic(LINES, TopicRole::Input, PartitionCount::Existing),
            topic(
                "wc-count-repartition",
                TopicRole::Repartition,
                PartitionCount::SameAs(TopicId(0)),
            ),
            topic(
                "wc-count-changelog",
                TopicRole::Changelog,
                PartitionCount::SameAs(TopicId(1)),
            ),
            topic(TOTALS, TopicRole::Output, PartitionCount::SameAs(TopicId(0))),
            topic(LETTERS, TopicRole::DeadLetter, PartitionCount::Fixed(1)),
        ],
        ingests: vec![],
        listens: vec![],
        processes: vec![
            SubTopology {
                id: 0,
                inputs: vec![route(TopicId(0), "lines")],
                nodes: vec![node("split", split_description(), TopicId(1), None)],
            },
            SubTopology {
                id: 1,
                inputs: vec![route(TopicId(1), "count")],
                nodes: vec![node("count", count_description(), TopicId(3), Some(TopicId(2)))],
            },
        ],
        deliveries: vec![],
        dead_letters: TopicId(4),
    }
}

/// As [`word_count`], its lines topic filled by [`Numbers`].
pub fn numbers_count() -> Topology {
    let mut topology = word_count(OnError::Fail, Delivery::ExactlyOnce);
    topology.topics[0] = topic("wc-numbers", TopicRole::Source, PartitionCount::Fixed(4));
    topology.ingests.push(Ingest {
        connector: record::topology::Connector {
            name: "numbers".into(),
            kind: "numbers".into(),
            settings: "{}".into(),
        },
        topic: TopicId(0),
        key: None,
        on_undecodable: OnError::Fail,
    });
    topology
}

/// Numbers counted where their source writes them, without a repartition.
pub fn numbers_counted_at_once() -> Topology {
    let mut topology = numbers_count();
    let mut count = topology.processes.pop().unwrap();
    count.id = 0;
    count.inputs[0].topic = TopicId(0);
    topology.processes = vec![count];
    topology.topics[2].partitions = PartitionCount::SameAs(TopicId(0));
    topology
}

pub fn with_sink(mut topology: Topology, on_error: OnError) -> Topology {
    topology.deliveries.push(DeliverPlan {
        connector: record::topology::Connector {
            name: "collect".into(),
            kind: "collect".into(),
            settings: "{}".into(),
        },
        topic: TopicId(3),
        group: "wc-collect".into(),
        start: Start::Earliest,
        on_error,
        batch: record::topology::DeliverBatch::default(),
    });
    topology
}

pub fn log_with_lines(lines: &[&str]) -> Arc<dyn Log> {
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(None).unwrap());
    log.create_topics(
        &[record::log::NewTopic {
            name: LINES.into(),
            partitions: 4,
            replication: None,
            config: vec![],
        }],
        T,
    )
    .unwrap();
    append(&*log, lines);
    log
}

pub fn append(log: &dyn Log, lines: &[&str]) {
    let mut batch = Batch::new(LINES.into(), 0);
    let mut partitions = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        batch.push(None, Some(line.as_bytes()), 1_000 + i as i64);
        partitions.push(i as u32 % 4);
    }
    log.append(LINES, &batch, &partitions, T).unwrap();
}

pub struct Job {
    pub log: Arc<dyn Log>,
    pub state: Arc<dyn StateBackend>,
    pub parts: Arc<Native>,
    pub topology: Topology,
    pub skip: Vec<(TopicPartition, RecordOffset)>,
    pub from: Option<Start>,
    pub process_id: &'static str,
    pub control: Control,
}

impl Job {
    pub fn new(log: Arc<dyn Log>, topology: Topology) -> Self {
        Self {
            log,
            state: Arc::new(state::MemoryBackend::default()),
            parts: Arc::default(),
            topology,
            skip: vec![],
            from: None,
            process_id: "11111111",
            control: Control::new(),
        }
    }

    /// Runs to the end of what there is.
    pub fn until_end(&self) -> Result<Summary, RunError> {
        self.run(true, &Shutdown::new())
    }

    /// Runs until it is told to end.
    pub fn run_until(&self, shutdown: &Shutdown) -> Result<Summary, RunError> {
        self.run(false, shutdown)
    }

    fn run(&self, until_end: bool, shutdown: &Shutdown) -> Result<Summary, RunError> {
        let guard = shutdown.clone();
        // A test that hangs ends by itself, and then fails by what it compares.
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(60));
            guard.request(Instant::now());
        });
        wasmill_task::run(Run {
            topology: Arc::new(self.topology.clone()),
            plan_hash: "0123456789abcdef".into(),
            process_id: self.process_id.into(),
            log: Arc::clone(&self.log),
            state: Arc::clone(&self.state),
            parts: Arc::clone(&self.parts) as Arc<dyn Parts>,
            until_end,
            from: self.from,
            skip: self.skip.clone(),
            shutdown: shutdown.clone(),
            control: self.control.clone(),
            observer: Arc::new(Observer::default()),
            taps: Taps::default(),
            gate: None,
        })
    }
}

/// Waits until something holds; fails the test when it does not in time.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + T * 3;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All records of a topic that a read_committed reader sees: key, value, headers.
pub fn read_all(log: &dyn Log, topic: &str) -> Vec<Batch> {
    let count = log.topics(&[topic], T).unwrap()[0].clone().unwrap().partitions;
    let places: Vec<_> = (0..count).map(|p| TopicPartition::new(topic, p)).collect();
    let ends = log.offsets(&places, Edge::StableEnd, T).unwrap();
    let mut out = Vec::new();
    for (at, end) in places.into_iter().zip(ends) {
        let mut whole = Batch::new(topic.into(), at.partition);
        let mut reader = log.reader(Isolation::ReadCommitted).unwrap();
        reader.assign(&[(at.clone(), NextOffset(0))]).unwrap();
        let mut next = NextOffset(0);
        let deadline = Instant::now() + T;
        while next < end && Instant::now() < deadline {
            let mut polled = Polled::default();
            reader
                .poll(Duration::from_millis(100), PollLimit::default(), &mut polled)
                .unwrap();
            for batch in &polled.batches {
                for i in 0..batch.len() {
                    whole.push_from(batch, i);
                }
                next = next.max(batch.next_offset().unwrap_or(next));
            }
            for event in polled.events {
                if let record::log::LogEvent::End { next: end, .. } = event {
                    next = next.max(end);
                }
            }
        }
        out.push(whole);
    }
    out
}

/// Every key's values in order.
pub fn series(log: &dyn Log, topic: &str) -> BTreeMap<String, Vec<String>> {
    let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for batch in read_all(log, topic) {
        for i in 0..batch.len() {
            let text = |b: Option<&[u8]>| String::from_utf8_lossy(b.unwrap_or_default()).into_owned();
            let key = text(batch.keys.get(i));
            assert_eq!(
                partition_for(batch.keys.get(i), 0, 4),
                batch.partition,
                "the key decides the partition"
            );
            series.entry(key).or_default().push(text(batch.values.get(i)));
        }
    }
    series
}

/// What counting must give: for each word 1, 2, 3, ... without a gap or a repeat.
pub fn recount(lines: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines
        .iter()
        .filter(|line| !line.contains("bad") && !line.contains("poison"))
    {
        for word in line.split_whitespace() {
            let counts = expected.entry(word.to_owned()).or_default();
            counts.push((counts.len() + 1).to_string());
        }
    }
    expected
}

pub fn many_lines() -> Vec<String> {
    (0..3_000)
        .map(|i| format!("w{} w{} w{}", i % 7, i % 31, i % 211))
        .collect()
}
