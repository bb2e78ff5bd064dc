//! The engine on the embedded log, with native transforms.

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::faulty::Faulty;
use harness::*;
use record::log::{Log, SessionConfig, Writes};
use record::origin;
use record::store::{Held, StateBackend, StateView, StoreError, TaskState};
use record::topology::{Delivery, OnError};
use record::transform::StoreSpec;
use record::{RecordOffset, TopicPartition};

#[test]
fn every_count_goes_up_by_one() {
    let lines = many_lines();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for delivery in [Delivery::ExactlyOnce, Delivery::AtLeastOnce] {
        let log = log_with_lines(&lines);
        let job = Job::new(log, word_count(OnError::Fail, delivery));
        let summary = job.until_end().unwrap();
        assert_eq!(summary.failures, []);
        assert_eq!(series(&*job.log, TOTALS), recount(&lines));
    }
}

/// Without a transaction around both, state must not say that something was done which may not arrive.
#[test]
fn at_least_once_outputs_arrive_before_the_changelog_tells_of_them() {
    let lines = many_lines();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let early = |delivery| {
        let mut job = Job::new(log_with_lines(&lines), word_count(OnError::Fail, delivery));
        let log = Faulty::new(Arc::clone(&job.log), 1, &[], 1, None);
        job.log = Arc::clone(&log) as Arc<dyn Log>;
        job.until_end().unwrap();
        assert_eq!(series(&*job.log, TOTALS), recount(&lines));
        log.early_changelogs()
    };
    assert_eq!(early(Delivery::AtLeastOnce), 0);
    assert!(early(Delivery::ExactlyOnce) > 0, "the test sees nothing");
}

#[test]
fn state_goes_on_after_the_local_store_is_gone() {
    let first = ["a b a", "b c"];
    let second = ["a c", "c c d"];
    let log = log_with_lines(&first);
    let mut job = Job::new(log, word_count(OnError::Fail, Delivery::ExactlyOnce));
    job.until_end().unwrap();
    append(&*job.log, &second);
    job.state = std::sync::Arc::new(state::MemoryBackend::default());
    job.until_end().unwrap();
    assert_eq!(
        series(&*job.log, TOTALS),
        recount(&[first.as_slice(), &second].concat())
    );
}

#[test]
fn failing_and_trapping_records_go_to_the_dead_letters_and_all_others_arrive() {
    let mut lines = many_lines();
    lines[700] = "bad w1".to_owned();
    lines[1_401] = "poison w2".to_owned();
    lines[1_405] = "poison bad".to_owned();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let job = Job::new(
        log_with_lines(&lines),
        word_count(OnError::DeadLetter, Delivery::ExactlyOnce),
    );
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    assert_eq!(series(&*job.log, TOTALS), recount(&lines));
    let letters = &read_all(&*job.log, LETTERS)[0];
    assert_eq!(letters.len(), 3);
    let mut found = Vec::new();
    for i in 0..letters.len() {
        let header = |name: &str| {
            let value = letters.headers.last(i, name).flatten().unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        found.push((
            header(origin::HEADER_ORIGIN),
            header(origin::HEADER_ERROR_CODE),
            header(origin::HEADER_PLUGIN),
        ));
    }
    found.sort();
    // Line i is record i / 4 of partition i % 4.
    let expect = |i: usize, code: &str| {
        (
            format!("lines:{}:{}", i % 4, i / 4),
            code.to_owned(),
            "split@1.0.0".to_owned(),
        )
    };
    let mut expected = vec![expect(700, "bad-text"), expect(1_401, "trap"), expect(1_405, "trap")];
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn skipped_records_are_counted_and_dropped() {
    let lines = ["a", "bad", "b", "poison", "a"];
    let job = Job::new(log_with_lines(&lines), word_count(OnError::Skip, Delivery::ExactlyOnce));
    let summary = job.until_end().unwrap();
    assert_eq!(summary.counters.skipped, 2);
    assert_eq!(series(&*job.log, TOTALS), recount(&lines));
}

#[test]
fn a_record_that_fails_stops_its_partition_until_it_is_skipped() {
    // Partition 0 holds lines 0 and 4, and so on.
    let lines = ["a", "b", "c", "d", "poison", "b", "c", "d", "a", "b"];
    let log = log_with_lines(&lines);
    let mut job = Job::new(log, word_count(OnError::Fail, Delivery::ExactlyOnce));
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures.len(), 1, "{:?}", summary.failures);
    assert_eq!(summary.failures[0].at, TopicPartition::new(LINES, 0));
    assert!(
        summary.failures[0].message.contains("lines:0:1"),
        "{:?}",
        summary.failures
    );
    assert!(
        summary.failures[0].remedy.contains("--skip lines:0:1"),
        "{:?}",
        summary.failures
    );

    job.skip = vec![(TopicPartition::new(LINES, 0), RecordOffset(1))];
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    assert_eq!(series(&*job.log, TOTALS), recount(&lines));
    assert_eq!(read_all(&*job.log, LETTERS)[0].len(), 1);
}

#[test]
fn a_sink_gets_every_record_and_rejected_ones_go_by_policy() {
    let lines = ["a reject", "b reject", "reject a"];
    let log = log_with_lines(&lines);
    let job = Job::new(
        log,
        with_sink(word_count(OnError::Fail, Delivery::ExactlyOnce), OnError::DeadLetter),
    );
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    let mut seen = job.parts.collected.lock().clone();
    seen.sort();
    assert_eq!(seen, ["a=1", "a=2", "b=1", "reject=1", "reject=3"]);
    let letters = &read_all(&*job.log, LETTERS)[0];
    assert_eq!(letters.len(), 1);
    assert_eq!(letters.values.get(0), Some(b"2".as_slice()));
}

#[test]
fn a_record_that_a_sink_rejects_stops_its_partition_until_it_is_skipped() {
    let log = log_with_lines(&["a reject", "b reject", "reject a"]);
    let mut job = Job::new(
        log,
        with_sink(word_count(OnError::Fail, Delivery::ExactlyOnce), OnError::Fail),
    );
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures.len(), 1, "{:?}", summary.failures);
    let at = summary.failures[0].at.clone();
    let totals = &read_all(&*job.log, TOTALS)[at.partition as usize];
    let rejected =
        (0..totals.len()).find(|i| totals.values.get(*i) == Some(b"2") && totals.keys.get(*i) == Some(b"reject"));
    job.skip = vec![(at, RecordOffset(totals.offsets[rejected.unwrap()]))];
    assert_eq!(job.until_end().unwrap().failures, []);
    let mut seen = job.parts.collected.lock().clone();
    seen.sort();
    assert_eq!(seen, ["a=1", "a=2", "b=1", "reject=1", "reject=3"]);
    assert_eq!(read_all(&*job.log, LETTERS)[0].len(), 1);
}

#[test]
fn a_changelog_that_was_emptied_stops_the_task_instead_of_counting_anew() {
    let log = log_with_lines(&["a b", "a"]);
    let job = Job::new(log, word_count(OnError::Fail, Delivery::ExactlyOnce));
    job.until_end().unwrap();
    job.log.delete_topics(&["wc-count-changelog"], T).unwrap();
    append(&*job.log, &["a"]);
    let summary = job.until_end().unwrap();
    assert!(!summary.failures.is_empty());
    assert!(
        summary.failures[0].message.contains("changelog"),
        "{:?}",
        summary.failures
    );
    assert_eq!(series(&*job.log, TOTALS)["a"], ["1", "2"]);
}

#[test]
fn another_plan_of_the_same_name_is_refused_while_it_runs() {
    // In the group of the tasks, or of a sink.
    for group in ["wc", "wc-collect"] {
        let log = log_with_lines(&["a"]);
        let _other = log
            .session(SessionConfig {
                group: group.into(),
                instance_id: None,
                client_id: "wasmill-fedcba9876543210-22222222".into(),
                topics: vec![LINES.into()],
                writes: Writes::AtLeastOnce,
            })
            .unwrap();
        let topology = with_sink(word_count(OnError::Fail, Delivery::ExactlyOnce), OnError::Fail);
        let error = Job::new(log, topology).until_end().unwrap_err();
        assert_eq!(error.code().0, "E0702", "{error}");
    }
}

/// State on a disk that is full when it is opened.
struct Full {
    inner: state::MemoryBackend,
    refusals: AtomicUsize,
}

impl StateBackend for Full {
    fn open(&self, transform: &str, partition: u32, stores: &[StoreSpec]) -> Result<Box<dyn TaskState>, StoreError> {
        if self
            .refusals
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_ok()
        {
            return Err(StoreError::Io {
                place: "state".into(),
                source: std::io::Error::from(std::io::ErrorKind::StorageFull),
            });
        }
        self.inner.open(transform, partition, stores)
    }

    fn held(&self, transform: &str) -> Vec<Held> {
        self.inner.held(transform)
    }

    fn view(&self, transform: &str, partition: u32) -> Option<Box<dyn StateView>> {
        self.inner.view(transform, partition)
    }
}

#[test]
fn a_full_disk_is_waited_for() {
    let lines = ["a b a", "b c", "a c", "c c d"];
    let mut job = Job::new(log_with_lines(&lines), word_count(OnError::Fail, Delivery::ExactlyOnce));
    job.state = Arc::new(Full {
        inner: state::MemoryBackend::default(),
        refusals: AtomicUsize::new(5),
    });
    assert_eq!(job.until_end().unwrap().failures, []);
    assert_eq!(series(&*job.log, TOTALS), recount(&lines));
}
