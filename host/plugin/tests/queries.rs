//! Plugins that answer queries: what they read, what they may not do, and how they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{batch, link};
use plugin::{Answer, Linked, Query, QueryError};
use record::TopicPartition;
use record::grant::Grant;
use record::offset::NextOffset;
use record::store::{InputPosition, StateBackend, TaskState};
use record::topology::{Delivery, InternalTopics, Limits, Node, OnError, SubTopology, TopicId, Topology};
use record::transform::{Call, CallErrorKind, Description, StateSlot};
use record::view::PipelineViews;
use state::MemoryBackend;
use wasmill_plugin as plugin;

const ORACLE: &str = "misbehaving/oracle";

fn node(name: &str, description: &Description) -> Node {
    Node {
        name: name.into(),
        plugin: PathBuf::new(),
        config: "{}".to_owned(),
        description: description.clone(),
        on_error: OnError::Fail,
        limits: Limits::default(),
        grant: Grant::default(),
        lateness: Duration::ZERO,
        rollback: None,
        shadow: None,
        ports: Vec::new(),
        changelog: None,
    }
}

/// The transform `node`, and one beside it of the same plugin, `other`.
struct Pipeline {
    linked: Linked,
    backend: Arc<MemoryBackend>,
    topology: Arc<Topology>,
    /// Open as long as this lives.
    tasks: Mutex<Vec<StateSlot>>,
}

impl Pipeline {
    fn new(limits: Limits) -> Self {
        let linked = link(ORACLE, "{}", limits);
        let description = linked.compiled().description();
        let topology = Topology {
            pipeline: "test".into(),
            delivery: Delivery::ExactlyOnce,
            commit_interval: Duration::from_millis(100),
            workers: 1,
            state_dir: None,
            internal_topics: InternalTopics::Create,
            replication: None,
            topics: Vec::new(),
            ingests: Vec::new(),
            listens: Vec::new(),
            deliveries: Vec::new(),
            dead_letters: TopicId(0),
            processes: vec![SubTopology {
                id: 0,
                inputs: Vec::new(),
                nodes: vec![node("node", description), node("other", description)],
            }],
        };
        Self {
            linked,
            backend: Arc::new(MemoryBackend::default()),
            topology: Arc::new(topology),
            tasks: Mutex::default(),
        }
    }

    fn open(&self, transform: &str, partition: u32) -> Box<dyn TaskState> {
        let stores = &self.linked.compiled().description().stores;
        self.backend.open(transform, partition, stores).unwrap()
    }

    /// Lets records with these keys through a partition of a transform, and commits.
    fn process(&self, transform: &str, partition: u32, keys: &[&str]) {
        let mut state = self.open(transform, partition);
        state.restored("id", NextOffset(0), 1).unwrap();
        state.show();
        let mut slot = StateSlot(Some(state));
        let records: Vec<_> = keys.iter().map(|key| (Some(*key), None)).collect();
        let mut batch = batch(&records);
        let mut instance = self.linked.instance().unwrap();
        let call = Call {
            stream_times: &batch.timestamps.clone(),
            batch: &mut batch,
            input: None,
            siblings_before: 0,
            lateness: 0,
            now: 0,
            state: &mut slot,
        };
        instance.process(call).unwrap();
        let position = InputPosition {
            input: TopicPartition::new("in", partition),
            topic_id: String::new(),
            next: NextOffset(1),
            stream_time: 0,
            state_version: 0,
        };
        slot.0.as_mut().unwrap().commit(position, NextOffset(1), 1).unwrap();
        self.tasks.lock().unwrap().push(slot);
    }

    fn ask(&self, path: &str) -> Result<Answer, QueryError> {
        let (path, parameters) = path.split_once('?').unwrap_or((path, ""));
        let pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
        let query = Query {
            path: path
                .split('/')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            parameters: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        };
        let backend = Arc::clone(&self.backend) as Arc<dyn StateBackend>;
        let views = PipelineViews::new(backend, Arc::clone(&self.topology));
        self.linked.answer(query, views, 77)
    }

    fn text(&self, path: &str) -> (u16, String) {
        let answer = self.ask(path).unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    fn error(&self, path: &str) -> (CallErrorKind, String) {
        match self.ask(path) {
            Err(QueryError::Failed(error)) => (error.kind, error.message),
            other => panic!("{path}: {other:?}"),
        }
    }
}

fn full() -> Pipeline {
    let pipeline = Pipeline::new(Limits {
        memory_bytes: 64 << 20,
        time_ms_per_call: 200,
        ..Limits::default()
    });
    pipeline.process("node", 0, &["a", "c", "a"]);
    pipeline.process("node", 2, &["b", "d", "d"]);
    pipeline.process("other", 0, &["a"]);
    pipeline
}

#[test]
fn a_query_reads_all_partitions_and_other_transforms() {
    let pipeline = full();
    for (path, status, text) in [
        ("", 200, "hello"),
        ("seen/a", 200, "2"),
        ("seen/d", 200, "2"),
        ("seen/x", 404, "never seen"),
        ("seen-of/other/a", 200, "1"),
        ("seen-of/node/b", 200, "1"),
        ("seen-of/other/b", 404, "never seen"),
        ("all", 200, "a=2 b=1 c=1 d=2"),
        ("all?limit=3", 200, "a=2 b=1 c=1 +"),
        ("all?after=b&limit=1", 200, "c=1 +"),
        ("all?after=b", 200, "c=1 d=2"),
        ("all?prefix=d", 200, "d=2"),
        ("all-of/other", 200, "a=1"),
        ("many/d/x/a", 200, "[Some(2), None, Some(2)]"),
        ("now", 200, "77"),
        ("status/404", 404, "so be it"),
        ("status/599", 599, "so be it"),
    ] {
        assert_eq!(pipeline.text(path), (status, text.to_owned()), "{path}");
    }
    let echo = pipeline.text("echo?a=1&b=x y&a=2").1;
    assert!(echo.contains(r#"[("a", "1"), ("b", "x y"), ("a", "2")]"#), "{echo}");
}

#[test]
fn an_instance_answers_again() {
    let pipeline = full();
    for number in 1..=3 {
        assert_eq!(pipeline.text("answers").1, number.to_string());
    }
    // One that has failed does not.
    pipeline.error("refuse");
    assert_eq!(pipeline.text("answers").1, "1");
    let before = pipeline.linked.usage().instances;
    pipeline.text("answers");
    assert_eq!(pipeline.linked.usage().instances, before);
}

#[test]
fn what_writes_traps() {
    let pipeline = full();
    for path in [
        "put",
        "put-many",
        "remove",
        "savepoint",
        "rollback",
        "timer",
        "stream-time",
    ] {
        let (kind, message) = pipeline.error(path);
        assert_eq!(kind, CallErrorKind::Misuse, "{path}: {message}");
        // A savepoint that there is none of is told first.
        assert!(
            message.contains("in `answer`") || path == "rollback",
            "{path}: {message}"
        );
    }
    for (path, says) in [
        ("seen-of/none/a", "no transform `none`"),
        ("store-of/other", "no store `none`"),
        ("kind?type=", "content type"),
        ("kind?type=text/plain\r\nset-cookie: a=b", "content type"),
        ("status/199", "status 199"),
        ("status/600", "status 600"),
    ] {
        let (kind, message) = pipeline.error(path);
        assert_eq!(kind, CallErrorKind::Misuse, "{path}: {message}");
        assert!(message.contains(says), "{path}: {message}");
    }
    assert_eq!(pipeline.text("all").1, "a=2 b=1 c=1 d=2");
}

#[test]
fn one_that_fails_is_told_and_the_next_is_answered() {
    let pipeline = full();
    for (path, kind, says) in [
        ("panic", CallErrorKind::Trap, "asked for it"),
        ("loop", CallErrorKind::TimedOut, "`time_ms`"),
        ("memory", CallErrorKind::LimitExceeded, "`memory_mib`"),
        ("flood", CallErrorKind::LimitExceeded, "`"),
        ("refuse", CallErrorKind::Refused, "no-mood: not today"),
    ] {
        let (found, message) = pipeline.error(path);
        assert_eq!(found, kind, "{path}: {message}");
        assert!(message.contains(says), "{path}: {message}");
        assert_eq!(pipeline.text("seen/a").1, "2");
    }
}

#[test]
fn state_that_is_brought_back_is_not_read() {
    let pipeline = full();
    let _restoring = pipeline.open("node", 1);
    // What is there is there; what is not may be in the partition that cannot be read.
    assert_eq!(pipeline.text("seen/a").1, "2");
    for path in ["seen/x", "all", "seen-of/node/x"] {
        let (kind, message) = pipeline.error(path);
        assert_eq!(kind, CallErrorKind::Store, "{path}: {message}");
        assert!(message.contains("node:1"), "{message}");
    }
    assert_eq!(pipeline.text("all-of/other").1, "a=1");
}

#[test]
fn many_ask_at_once() {
    let pipeline = full();
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| (0..50).all(|_| pipeline.text("seen/d").1 == "2")))
            .collect();
        for asker in askers {
            assert!(asker.join().unwrap());
        }
    });
    assert!(pipeline.linked.usage().instances <= 8, "{:?}", pipeline.linked.usage());
}

#[test]
fn one_that_answers_nothing_says_so() {
    let pipeline = full();
    let silent = link("word_count", "{}", Limits::default());
    assert!(!silent.compiled().answers_queries());
    let backend = Arc::clone(&pipeline.backend) as Arc<dyn StateBackend>;
    let views = PipelineViews::new(backend, Arc::clone(&pipeline.topology));
    assert_eq!(silent.answer(Query::default(), views, 0), Err(QueryError::NotAnswered));
    assert!(
        pipeline
            .linked
            .compiled()
            .exports()
            .iter()
            .any(|export| export.contains("/query-handler@0.1.2"))
    );
}
