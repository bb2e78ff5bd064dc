//! Timers: each fires once, at its place among the records, whatever happens.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod harness;

use std::sync::Arc;
use std::time::Duration;

use harness::faulty::{Fault, Faulty};
use harness::sessions::*;
use harness::*;
use record::log::{Log, NewTopic};
use record::origin;
use record::partitioner::partition_for_key;
use record::topology::OnError;
use record::{RecordOffset, TopicPartition};
use wasmill_task::Shutdown;

const KEYS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

/// Records whose times come out of order and jump.
fn many_events(seed: u64) -> Vec<Event> {
    let mut random = seed | 1;
    let mut below = move |n: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % n) as i64
    };
    let mut time = 1_000;
    (0..3_000)
        .map(|_| {
            time += if below(40) == 0 { below(500) } else { below(4) };
            (KEYS[below(9) as usize], (time - below(60)).max(0))
        })
        .collect()
}

fn job(events: &[Event], on_error: OnError, lateness: i64) -> Job {
    let log = log_with_lines(&[]);
    append_events(&*log, events);
    Job::new(log, sessions(on_error, lateness))
}

fn all_of(left: &[Vec<(String, String)>]) -> usize {
    left.iter().map(Vec::len).sum()
}

#[test]
fn timers_fire_between_records_however_batches_are_cut() {
    for (seed, lateness) in [(1, 0), (2, 40), (3, 1_000)] {
        let events = many_events(seed);
        let expected = model(&events, lateness);
        assert!(all_of(&expected) > 100, "{}", all_of(&expected));
        for cut in [1, 7, 1_000] {
            let mut job = job(&events, OnError::Fail, lateness);
            job.log = Faulty::new(Arc::clone(&job.log), seed, &[], 1, Some(cut));
            let summary = job.until_end().unwrap();
            assert_eq!(summary.failures, []);
            assert_eq!(
                left(&*job.log),
                expected,
                "seed {seed}, lateness {lateness}, batches of up to {cut}"
            );
        }
    }
}

#[test]
fn timers_fire_once_when_commits_go_wrong() {
    for seed in [31, 32, 33] {
        let events = many_events(seed);
        let mut job = job(&events, OnError::Fail, 20);
        let faults = [Fault::Aborted, Fault::LostAnswer, Fault::LostRequest];
        let faulty = Faulty::new(Arc::clone(&job.log), seed, &faults, 4, Some(40));
        job.log = Arc::clone(&faulty) as Arc<dyn Log>;
        job.topology.commit_interval = Duration::ZERO;
        let summary = job.until_end().unwrap();
        assert_eq!(summary.failures, []);
        let happened = faulty.happened();
        assert!(happened.values().sum::<usize>() >= 6, "{happened:?}");
        assert_eq!(left(&*job.log), model(&events, 20), "after {happened:?}, seed {seed}");
    }
}

/// Windows that end at the same time are as many timers as there are keys: they must fit into memory and
/// into transactions.
#[test]
fn very_many_timers_of_one_time_fire_in_several_commits() {
    let keys: Vec<&'static str> = (0..30_000).map(|i| &*format!("k{i}").leak()).collect();
    let mut events: Vec<Event> = keys.iter().map(|key| (*key, 1_000)).collect();
    events.extend(KEYS.map(|key| (key, 900_000)));
    let mut job = job(&events, OnError::Fail, 0);
    let faulty = Faulty::limited(
        Arc::clone(&job.log),
        7,
        &[Fault::Aborted, Fault::LostAnswer],
        3,
        None,
        5,
    );
    job.log = Arc::clone(&faulty) as Arc<dyn Log>;
    job.topology.commit_interval = Duration::ZERO;
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    let expected = model(&events, 0);
    assert!(all_of(&expected) >= keys.len(), "{}", all_of(&expected));
    assert_eq!(left(&*job.log), expected);
    // 256 in a call, 64 calls before the worker has its turn.
    assert!(summary.counters.commits > 4, "{:?}", summary.counters);
    assert_eq!(faulty.happened().values().sum::<usize>(), 5);
}

#[test]
fn timers_outlive_the_process_and_its_state_directory() {
    let events = many_events(5);
    let expected = model(&events, 20);
    let mut job = job(&events[..1_000], OnError::Fail, 20);
    for (i, run) in events[1_000..].chunks(500).enumerate() {
        job.until_end().unwrap();
        append_events(&*job.log, run);
        if i % 2 == 0 {
            job.state = Arc::new(state::MemoryBackend::default());
        }
        job.process_id = ["11111111", "22222222"][i % 2];
    }
    job.until_end().unwrap();
    assert_eq!(left(&*job.log), expected);
}

#[test]
fn a_timer_that_sets_itself_again_catches_up() {
    // All that is late at one record: more than a worker fires at once.
    let job = job(&[("tick", 1_000), ("tick", 900_000)], OnError::Fail, 0);
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    let expected: Vec<String> = (1_000..5_000).map(|time| time.to_string()).collect();
    assert_eq!(series(&*job.log, TOTALS)["tick"], expected);
}

#[test]
fn timers_that_fail_or_trap_go_to_the_dead_letters_and_all_others_fire() {
    let mut events = many_events(6);
    for i in (100..2_900).step_by(700) {
        events[i].0 = "bad";
        events[i + 50].0 = "poison";
    }
    let job = job(&events, OnError::DeadLetter, 0);
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    let mut expected = model(&events, 0);
    let mut lost = Vec::new();
    for of_partition in &mut expected {
        lost.extend(of_partition.extract_if(.., |(key, _)| key == "bad" || key == "poison"));
    }
    assert_eq!(left(&*job.log), expected);
    let letters = &read_all(&*job.log, LETTERS)[0];
    let mut found = Vec::new();
    for i in 0..letters.len() {
        let header = |name: &str| {
            let value = letters.headers.last(i, name).flatten().unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        assert_eq!(letters.values.get(i), None);
        assert!(header(origin::HEADER_ORIGIN).starts_with("lines:"));
        assert!(
            header(origin::HEADER_TIMER).starts_with("timer `close` of key `"),
            "{}",
            header(origin::HEADER_TIMER)
        );
        found.push((
            String::from_utf8_lossy(letters.keys.get(i).unwrap()).into_owned(),
            header(origin::HEADER_ERROR_CODE),
        ));
    }
    found.sort();
    lost.sort();
    // A failed timer leaves its session in the store, where the next one finds it: one letter each.
    let wanted = |key: &str, code: &str| {
        let n = lost.iter().filter(|(lost, _)| lost == key).count();
        vec![(key.to_owned(), code.to_owned()); n]
    };
    assert!(lost.len() >= 6, "{lost:?}");
    assert_eq!(found, [wanted("bad", "bad-timer"), wanted("poison", "trap")].concat());
}

#[test]
fn a_timer_that_fails_stops_its_partition_until_it_is_skipped() {
    let partition = partition_for_key(b"bad", 4);
    let other = KEYS
        .into_iter()
        .find(|key| partition_for_key(key.as_bytes(), 4) == partition);
    let events = [("bad", 1_000), ("bad", 1_001), (other.unwrap(), 2_000)];
    let mut job = job(&events, OnError::Fail, 0);
    for _ in 0..2 {
        let summary = job.until_end().unwrap();
        assert_eq!(summary.failures.len(), 1, "{:?}", summary.failures);
        let failure = &summary.failures[0];
        assert_eq!(failure.code.0, "E0710");
        assert!(
            failure.message.contains("timer `close` of key `bad`, due at 1031"),
            "{}",
            failure.message
        );
    }
    let at = TopicPartition::new(LINES, partition);
    job.skip = vec![(at, RecordOffset(2))];
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    let letters = &read_all(&*job.log, LETTERS)[0];
    assert_eq!(letters.len(), 1);
    assert_eq!(letters.keys.get(0), Some(b"bad".as_slice()));
    assert_eq!(
        letters.headers.last(0, origin::HEADER_ERROR_CODE).flatten(),
        Some(b"bad-timer".as_slice())
    );
}

#[test]
fn a_timer_whose_output_the_log_refuses_is_found() {
    let mut events = many_events(7);
    for i in (100..2_900).step_by(900) {
        events[i].0 = "huge";
    }
    for late_refusals in [false, true] {
        let log = log_with_lines(&[]);
        let small = NewTopic {
            name: TOTALS.into(),
            partitions: 4,
            replication: None,
            config: vec![("max.message.bytes".into(), "100000".into())],
        };
        log.create_topics(&[small], T).unwrap();
        append_events(&*log, &events);
        let log = match late_refusals {
            false => log,
            true => Faulty::refusing_late(log),
        };
        let job = Job::new(log, sessions(OnError::DeadLetter, 0));
        let summary = job.until_end().unwrap();
        assert_eq!(summary.failures, []);
        let mut expected = model(&events, 0);
        let mut lost = 0;
        for of_partition in &mut expected {
            lost += of_partition.extract_if(.., |(key, _)| key == "huge").count();
        }
        assert!(lost >= 3, "{lost}");
        assert_eq!(left(&*job.log), expected);
        let letters = &read_all(&*job.log, LETTERS)[0];
        assert_eq!(letters.len(), lost);
        assert!(letters.keys.iter().all(|key| key == Some(b"huge".as_slice())));
    }
}

#[test]
fn a_timer_on_the_wall_clock_fires_once_and_without_records() {
    let job = job(&[("wall", 1_000)], OnError::Fail, 0);
    let fired = || series(&*job.log, TOTALS).get("wall").map_or(0, Vec::len);
    let shutdown = Shutdown::new();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| job.run_until(&shutdown));
        eventually("a topic of totals", || {
            job.log.topics(&[TOTALS], T).unwrap()[0].is_some()
        });
        eventually("a timer", || fired() == 1);
        std::thread::sleep(Duration::from_millis(200));
        shutdown.request(std::time::Instant::now() + T);
        run.join().unwrap().unwrap();
    });
    assert_eq!(fired(), 1);
    // One that is set, and due while no process runs, fires at the next start.
    append_events(&*job.log, &[("wall", 1_001)]);
    job.until_end().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let shutdown = Shutdown::new();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| job.run_until(&shutdown));
        eventually("the second", || fired() == 2);
        shutdown.request(std::time::Instant::now() + T);
        run.join().unwrap().unwrap();
    });
    assert_eq!(fired(), 2);
}
