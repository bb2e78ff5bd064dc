//! The real services of scripts/test.sh, seen with clients of their own: nothing here goes through
//! Wasmill's code. And `wasmill` processes that can be killed.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::common::{self, command};

fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run the tests with scripts/test.sh"))
}

pub fn brokers() -> String {
    service("WASMILL_TEST_KAFKA")
}

pub fn mysql_url() -> String {
    service("WASMILL_TEST_MYSQL")
}

pub fn mongodb_url() -> String {
    service("WASMILL_TEST_MONGODB")
}

/// A name that no other test and no earlier run has used.
pub fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    format!("{prefix}-{now:x}-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A client's settings, to which a test adds its own.
pub fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers());
    config
}

pub fn create_topic(name: &str, partitions: i32) {
    create_topic_with(name, partitions, &[]);
}

/// With settings of the topic, such as `max.message.bytes`.
pub fn create_topic_with(name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let results = runtime()
        .block_on(admin.create_topics([&topic], &AdminOptions::new()))
        .unwrap();
    for result in results {
        result.unwrap();
    }
}

pub struct Producer(ThreadedProducer<DefaultProducerContext>);

impl Producer {
    /// Partitions by murmur2, as Java clients do.
    pub fn new() -> Self {
        let mut config = client();
        config
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("queue.buffering.max.messages", "500000")
            .set("linger.ms", "20");
        Self(config.create().unwrap())
    }

    pub fn send(&self, topic: &str, partition: Option<i32>, key: Option<&[u8]>, value: &[u8]) {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(partition) = partition {
            record = record.partition(partition);
        }
        while let Err((error, back)) = self.0.send(record) {
            assert_eq!(
                error.rdkafka_error_code(),
                Some(rdkafka::types::RDKafkaErrorCode::QueueFull),
                "{error}"
            );
            record = back;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn flush(&self) {
        self.0.flush(Duration::from_secs(60)).unwrap();
    }
}

/// Sends lines to a topic, in the background: `wN all`, each N once.
pub struct Feeder {
    done: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Feeder {
    /// So many lines at a time, and a pause.
    pub fn start(topic: &str, lines: usize, pause: Duration) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (until, topic) = (Arc::clone(&done), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let producer = Producer::new();
            let mut sent = 0_usize;
            while !until.load(Ordering::Relaxed) {
                for _ in 0..lines {
                    producer.send(&topic, None, None, format!("w{sent} all").as_bytes());
                    sent += 1;
                }
                std::thread::sleep(pause);
            }
            producer.flush();
            sent
        });
        Self { done, thread }
    }

    /// How many lines there are.
    pub fn stop(self) -> usize {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Each of so many lines of a [`Feeder`] is in the counts of its words, once.
pub fn assert_counted_once(watcher: &Watcher, lines: usize) {
    let seen = watcher.seen.lock();
    assert_eq!(seen.len(), 2 * lines, "each line has a word of its own, and `all`");
    let mut all = 0;
    for record in seen.iter() {
        let value: serde_json::Value = serde_json::from_str(record.value.as_deref().unwrap()).unwrap();
        let count = value["count"].as_u64().unwrap();
        if value["word"] == "all" {
            all += 1;
            assert_eq!(count, all, "counts of one word go up by one");
        } else {
            assert_eq!(count, 1, "{value}");
        }
    }
}

/// A record as somebody else sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: BTreeMap<String, String>,
}

/// Reads a topic with `read_committed`, from its beginning, in the background.
pub struct Watcher {
    pub seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub fn new(topic: &str, partitions: i32) -> Self {
        let consumer: BaseConsumer = client()
            .set("group.id", "watcher")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("fetch.queue.backoff.ms", "5")
            .create()
            .unwrap();
        let mut places = TopicPartitionList::new();
        for partition in 0..partitions {
            places
                .add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&places).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (to, until) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) else {
                    continue;
                };
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers = message.headers().map_or_else(BTreeMap::new, |headers| {
                    headers
                        .iter()
                        .map(|header| (header.key.to_owned(), header.value.map(text).unwrap_or_default()))
                        .collect()
                });
                to.lock().push(Seen {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().map(text),
                    value: message.payload().map(text),
                    headers,
                });
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    pub fn count(&self) -> usize {
        self.seen.lock().len()
    }

    /// Waits until at least `count` records were seen.
    pub fn wait_for(&self, count: usize, time: Duration) -> bool {
        wait_until(time, || self.count() >= count)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn wait_until(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + time;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_path_buf()
}

/// A plugin that `wasmill build plugins` has made.
pub fn plugin(name: &str) -> String {
    let path = root().join("plugins/dist").join(format!("{name}.wasm"));
    assert!(
        path.exists(),
        "{} is missing; scripts/test.sh builds the plugins first",
        path.display()
    );
    path.display().to_string()
}

/// A `wasmill run` process. Killed when dropped.
pub struct Process {
    process: common::Process,
    pub log: PathBuf,
}

impl Process {
    pub fn run(dir: &Path, pipeline: &Path, name: &str, extra: &[&str]) -> Self {
        Self::run_with(dir, pipeline, name, extra, &[])
    }

    /// With variables in its environment.
    pub fn run_with(dir: &Path, pipeline: &Path, name: &str, extra: &[&str], env: &[(&str, String)]) -> Self {
        let log = dir.join(format!("{name}.log"));
        let mut out = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let state = dir.join(format!("state-{name}")).display().to_string();
        let pipeline = pipeline.display().to_string();
        // Not needed by a broker that asks for none, and not to be shown all the same.
        let secret = "kafka.properties.\"sasl.password\"=${env:WASMILL_TEST_SECRET}";
        let run = [
            "run",
            &pipeline,
            "--plugin-root",
            "/",
            "--state-dir",
            &state,
            "--set",
            secret,
        ];
        let mut command = command(Path::new("."), &[&run, extra].concat());
        for (name, value) in env {
            command.env(name, value);
        }
        let process = command.start(move |line| writeln!(out, "{line}").unwrap());
        Self { process, log }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.process.signal("-TERM");
        self.wait(Duration::from_secs(40))
    }

    /// Waits for the end; the exit code.
    pub fn wait(&mut self, time: Duration) -> Option<i32> {
        self.process.wait(time).and_then(|status| status.code())
    }

    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// The end of what it said, for messages of failed assertions.
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// Writes a pipeline file.
pub fn pipeline(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("pipeline.toml");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    path
}

/// A small generator of random numbers (xorshift); its seed is printed by who uses it.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    /// Seeded by `WASMILL_TEST_SEED`, or by the clock; printed, so that a failure can be replayed.
    pub fn seeded(test: &str) -> Self {
        let seed = std::env::var("WASMILL_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_nanos() as u64
                | 1
        });
        println!("{test}: WASMILL_TEST_SEED={seed}");
        Self(seed)
    }
}
