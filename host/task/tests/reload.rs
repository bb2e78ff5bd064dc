//! New versions of transforms while records flow: each record is processed once, by one version.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use harness::faulty::{Fault, Faulty};
use harness::*;
use record::log::{Edge, Log};
use record::sink::{Sink, SinkError};
use record::source::{Source, SourceError};
use record::topology::{DeliverPlan, Delivery, Ingest, Node, OnError, TopicRole};
use record::transform::{Call, CallError, Description, Emitted, Transform};
use record::{Batch, NextOffset, TopicPartition};
use wasmill_task::{Control, Parts, ReplaceError, Shutdown};

const WAIT: Duration = Duration::from_secs(20);

/// The native transforms; a version of them has a number, may not start, and may take what is `bad`.
struct Version {
    native: Native,
    starts: bool,
    takes_bad: bool,
    calls: Arc<AtomicUsize>,
}

impl Version {
    fn new(starts: bool, takes_bad: bool) -> Self {
        Self {
            native: Native::default(),
            starts,
            takes_bad,
            calls: Arc::default(),
        }
    }
}

struct Counted {
    inner: Box<dyn Transform>,
    takes_bad: bool,
    calls: Arc<AtomicUsize>,
}

impl Transform for Counted {
    fn description(&self) -> &Description {
        self.inner.description()
    }
    fn process(&mut self, call: Call<'_>) -> Result<Emitted, CallError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.takes_bad {
            return self.inner.process(call);
        }
        let mut batch = Batch::new(Arc::clone(&call.batch.topic), call.batch.partition);
        for i in 0..call.batch.len() {
            let value = String::from_utf8_lossy(call.batch.values.get(i).unwrap_or_default()).replace("bad", "good");
            batch.push(call.batch.keys.get(i), Some(value.as_bytes()), call.batch.timestamps[i]);
        }
        batch.offsets.clone_from(&call.batch.offsets);
        self.inner.process(Call {
            batch: &mut batch,
            input: None,
            stream_times: call.stream_times,
            siblings_before: call.siblings_before,
            lateness: call.lateness,
            now: call.now,
            state: call.state,
        })
    }
    fn recycle(&mut self) -> Result<(), CallError> {
        self.inner.recycle()
    }
}

impl Parts for Version {
    fn transform(&self, node: &Node) -> Result<Box<dyn Transform>, String> {
        if !self.starts && &*node.name == "count" {
            return Err("it does not start".to_owned());
        }
        Ok(Box::new(Counted {
            inner: self.native.transform(node)?,
            takes_bad: self.takes_bad && &*node.name == "split",
            calls: Arc::clone(&self.calls),
        }))
    }
    fn source(&self, ingest: &Ingest) -> Result<Box<dyn Source>, SourceError> {
        self.native.source(ingest)
    }
    fn sink(&self, plan: &DeliverPlan) -> Result<Box<dyn Sink>, SinkError> {
        self.native.sink(plan)
    }
}

/// Every count of every word, once.
fn recounted(log: &dyn Log, lines: &[String]) -> bool {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    series(log, TOTALS) == recount(&lines)
}

fn counted(log: &dyn Log) -> usize {
    if log.topics(&[TOTALS], WAIT).unwrap()[0].is_none() {
        return 0;
    }
    series(log, TOTALS).values().map(Vec::len).sum()
}

#[test]
fn a_hundred_versions_under_load_lose_and_repeat_nothing() {
    let faults = [Fault::Aborted, Fault::LostAnswer, Fault::LostRequest, Fault::Fenced];
    for faults in [&[][..], &faults] {
        let mut job = Job::new(log_with_lines(&[]), word_count(OnError::Fail, Delivery::ExactlyOnce));
        job.topology.workers = 2;
        job.topology.commit_interval = Duration::from_millis(5);
        // Three sessions that are fenced within a minute end a run.
        let log = Faulty::limited(Arc::clone(&job.log), 5, faults, 20, None, 12);
        let plain = std::mem::replace(&mut job.log, Arc::clone(&log) as Arc<dyn Log>);
        let (control, processes) = (job.control.clone(), job.topology.processes.clone());
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let runner = std::thread::spawn(move || job.run_until(&stop));
        let is_done = Arc::new(AtomicBool::new(false));
        let (feeder_done, feeder_log) = (Arc::clone(&is_done), Arc::clone(&plain));
        let feeder = std::thread::spawn(move || {
            let mut lines = Vec::new();
            while !feeder_done.load(Ordering::Relaxed) {
                let more: Vec<String> = (0..20).map(|i| format!("w{} w{} w", i % 7, lines.len() % 11)).collect();
                append(&*feeder_log, &more.iter().map(String::as_str).collect::<Vec<_>>());
                lines.extend(more);
                std::thread::sleep(Duration::from_millis(2));
            }
            lines
        });
        eventually("it runs", || counted(&*plain) > 0);
        let mut refused = 0;
        let mut versions = Vec::new();
        for number in 0..100 {
            let version = Version::new(number % 10 != 9, false);
            let calls = Arc::clone(&version.calls);
            match control.replace(&processes, Arc::new(version), WAIT) {
                Ok(replaced) => {
                    assert_eq!(replaced.waiting, 0, "version {number}");
                    versions.push(calls);
                }
                Err(ReplaceError::NotStarted(error)) => {
                    assert_eq!(error.to_string(), "transform `count`: it does not start");
                    refused += 1;
                    assert_eq!(calls.load(Ordering::Relaxed), 0);
                }
                Err(error) => panic!("version {number}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((versions.len(), refused), (90, 10));
        let worked = versions
            .iter()
            .filter(|calls| calls.load(Ordering::Relaxed) > 0)
            .count();
        assert!(worked > 60, "{worked} of 90 versions have processed records");
        is_done.store(true, Ordering::Relaxed);
        let lines = feeder.join().unwrap();
        eventually("all is counted", || counted(&*plain) >= lines.len() * 3);
        shutdown.request(std::time::Instant::now() + WAIT);
        let summary = runner.join().unwrap().unwrap();
        assert_eq!(summary.failures, []);
        assert!(recounted(&*plain, &lines), "{:?}", log.happened());
        assert_eq!(log.happened().is_empty(), faults.is_empty());
    }
}

#[test]
fn a_partition_that_stands_goes_on_with_a_version_that_takes_its_record() {
    let lines = ["a b", "a bad c", "b", "c a"];
    let job = Job::new(log_with_lines(&lines), word_count(OnError::Fail, Delivery::ExactlyOnce));
    let (log, control, processes) = (
        Arc::clone(&job.log),
        job.control.clone(),
        job.topology.processes.clone(),
    );
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let runner = std::thread::spawn(move || job.run_until(&stop));
    eventually("others are counted", || counted(&*log) >= 2);
    std::thread::sleep(Duration::from_millis(300));
    let before = series(&*log, TOTALS);
    assert!(!before.contains_key("good"), "{before:?}");
    control
        .replace(&processes, Arc::new(Version::new(true, true)), WAIT)
        .unwrap();
    let mended = lines.map(|line| line.replace("bad", "good"));
    let mended: Vec<&str> = mended.iter().map(String::as_str).collect();
    eventually("the record is taken", || series(&*log, TOTALS) == recount(&mended));
    shutdown.request(std::time::Instant::now() + WAIT);
    assert_eq!(runner.join().unwrap().unwrap().failures, []);
}

#[test]
fn what_has_another_shape_is_not_taken() {
    let job = Job::new(log_with_lines(&["a"]), word_count(OnError::Fail, Delivery::ExactlyOnce));
    let (log, control, processes) = (
        Arc::clone(&job.log),
        job.control.clone(),
        job.topology.processes.clone(),
    );
    let replace = |processes: &[_]| control.replace(processes, Arc::new(Version::new(true, false)), WAIT);
    assert_eq!(replace(&processes), Err(ReplaceError::NotRunning));
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let runner = std::thread::spawn(move || job.run_until(&stop));
    eventually("it runs", || counted(&*log) == 1);
    let mut other = processes.clone();
    other[1].nodes[0].description.stores[0].name = "totals".into();
    assert_eq!(replace(&other), Err(ReplaceError::OtherShape));
    let mut other = processes.clone();
    other[1].nodes[0].description.state_version = 1;
    assert_eq!(replace(&other), Err(ReplaceError::OtherShape));
    assert_eq!(replace(&processes[..1]), Err(ReplaceError::OtherShape));
    let mut other = processes.clone();
    other[0].nodes[0].on_error = OnError::Skip;
    other[0].nodes[0].config = "{\"x\":1}".into();
    assert!(replace(&other).is_ok());
    shutdown.request(std::time::Instant::now() + WAIT);
    runner.join().unwrap().unwrap();
    assert_eq!(replace(&processes), Err(ReplaceError::NotRunning));
}

#[test]
fn a_run_that_drains_leaves_nothing_in_its_internal_topics() {
    let mut job = Job::new(log_with_lines(&[]), word_count(OnError::Fail, Delivery::ExactlyOnce));
    job.topology.workers = 2;
    job.topology.commit_interval = Duration::from_millis(20);
    let (log, control, topology) = (Arc::clone(&job.log), job.control.clone(), job.topology.clone());
    // Lines are added until the run has ended, so that it has no end but the one that it is told to make.
    let has_ended = Arc::new(AtomicBool::new(false));
    let feeder = {
        let (log, has_ended) = (Arc::clone(&log), Arc::clone(&has_ended));
        std::thread::spawn(move || {
            let mut lines = Vec::new();
            let mut last = false;
            while !last {
                last = has_ended.load(Ordering::Relaxed);
                let first = lines.len();
                lines.extend((first..first + 50).map(|i| format!("w{} w{} w", i % 7, i % 11)));
                let texts: Vec<&str> = lines[first..].iter().map(String::as_str).collect();
                append(&*log, &texts);
                std::thread::sleep(Duration::from_millis(2));
            }
            lines
        })
    };
    // Small batches, so that there is something left to drain.
    let whole = std::mem::replace(
        &mut job.log,
        Faulty::new(Arc::clone(&log), 1, &[], 1, Some(4)) as Arc<dyn Log>,
    );
    let (sender, ended) = std::sync::mpsc::channel();
    let runner = std::thread::spawn(move || {
        sender.send(job.run_until(&Shutdown::new())).unwrap();
        job
    });
    eventually("it runs", || counted(&*log) > 0);
    control.drain();
    let summary = ended.recv_timeout(WAIT).expect("it ends by itself").unwrap();
    assert_eq!(summary.failures, []);
    let mut job = runner.join().unwrap();
    has_ended.store(true, Ordering::Relaxed);
    let lines = feeder.join().unwrap();
    assert!(counted(&*log) < lines.len() * 3);
    for topic in topology
        .topics
        .iter()
        .filter(|topic| topic.role == TopicRole::Repartition)
    {
        let count = log.topics(&[&topic.name], WAIT).unwrap()[0].clone().unwrap().partitions;
        let places: Vec<_> = (0..count)
            .map(|partition| TopicPartition::new(Arc::clone(&topic.name), partition))
            .collect();
        let ends = log.offsets(&places, Edge::StableEnd, WAIT).unwrap();
        let committed = log.committed(&topology.pipeline, &places, WAIT).unwrap();
        assert!(ends.iter().any(|end| end.0 > 0));
        for (end, committed) in ends.into_iter().zip(committed) {
            assert_eq!(committed.map_or(NextOffset(0), |committed| committed.next), end);
        }
    }
    // The next run goes on where this one has stopped.
    job.control = Control::new();
    job.log = whole;
    job.until_end().unwrap();
    assert!(recounted(&*log, &lines));
}
