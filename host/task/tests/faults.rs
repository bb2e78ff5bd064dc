//! The engine when commits go wrong, batches are cut anywhere, and processes come and go.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use harness::faulty::{Fault, Faulty};
use harness::*;
use record::log::{Edge, Log, NewTopic, SessionConfig, Writes};
use record::topology::{Delivery, OnError, Start};
use record::{Batch, NextOffset, RecordOffset, TopicPartition, origin};
use wasmill_task::Shutdown;

fn texts(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

fn inputs(partitions: u32) -> Vec<TopicPartition> {
    (0..partitions).map(|p| TopicPartition::new(LINES, p)).collect()
}

fn create(log: &dyn Log, name: &str, partitions: u32, settings: &[(&str, &str)]) {
    let topic = NewTopic {
        name: name.to_owned(),
        partitions,
        replication: None,
        config: settings
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    };
    log.create_topics(&[topic], T).unwrap();
}

/// Runs the word count over commits that fail in these ways.
fn counts_through(faults: &[Fault], seed: u64) {
    let lines = many_lines();
    let lines = texts(&lines);
    let faulty = Faulty::new(log_with_lines(&lines), seed, faults, 4, Some(40));
    let mut job = Job::new(
        Arc::clone(&faulty) as Arc<dyn Log>,
        word_count(OnError::Fail, Delivery::ExactlyOnce),
    );
    job.topology.commit_interval = Duration::ZERO;
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    let happened = faulty.happened();
    for fault in faults {
        let times = happened.get(fault).copied().unwrap_or(0);
        assert!(times >= 2, "{fault:?} happened {times} times only");
    }
    assert_eq!(
        series(&*job.log, TOTALS),
        recount(&lines),
        "after {happened:?}, seed {seed}"
    );
}

#[test]
fn an_aborted_commit_is_done_again() {
    counts_through(&[Fault::Aborted], 11);
}

#[test]
fn a_commit_whose_answer_is_lost_counts_once() {
    counts_through(&[Fault::LostAnswer, Fault::LostRequest], 12);
}

/// Commits of a migration go wrong in all ways: it is whole, once, and before the first record.
#[test]
fn a_migration_that_is_not_committed_is_done_again() {
    let lines = many_lines();
    let lines = texts(&lines);
    let (first, second) = lines.split_at(lines.len() / 2);
    let before = recount(first);
    let mut expected = recount(&lines);
    for (word, counts) in &mut expected {
        let old = before.get(word).map_or(0, Vec::len);
        for (i, count) in counts.iter_mut().enumerate().skip(old) {
            *count = (old * 1_000 + i + 1 - old).to_string();
        }
    }
    for seed in [31, 32, 33] {
        let log = log_with_lines(first);
        let job = Job::new(Arc::clone(&log), word_count(OnError::Fail, Delivery::ExactlyOnce));
        job.until_end().unwrap();
        append(&*log, second);
        let faults = [Fault::Aborted, Fault::LostAnswer, Fault::LostRequest];
        let faulty = Faulty::new(log, seed, &faults, 2, Some(40));
        let mut job = Job::new(
            Arc::clone(&faulty) as Arc<dyn Log>,
            word_count(OnError::Fail, Delivery::ExactlyOnce),
        );
        job.topology.processes[1].nodes[0].description.state_version = 1;
        job.topology.commit_interval = Duration::ZERO;
        assert_eq!(job.until_end().unwrap().failures, []);
        let happened = faulty.happened();
        assert_eq!(series(&*job.log, TOTALS), expected, "after {happened:?}, seed {seed}");
    }
}

/// An older plugin does not read what a newer one has stored.
#[test]
fn newer_state_is_refused_and_left_alone() {
    let log = log_with_lines(&["a b a"]);
    let mut job = Job::new(Arc::clone(&log), word_count(OnError::Fail, Delivery::ExactlyOnce));
    job.topology.processes[1].nodes[0].description.state_version = 1;
    job.until_end().unwrap();
    let before = series(&*log, TOTALS);
    // Their counts are in partitions that have stored some.
    append(&*log, &["b a"]);
    let older = Job::new(Arc::clone(&log), word_count(OnError::Fail, Delivery::ExactlyOnce));
    let failures = older.until_end().unwrap().failures;
    assert!(
        !failures.is_empty() && failures.iter().all(|failure| failure.code.0 == "E0713"),
        "{failures:?}"
    );
    assert_eq!(series(&*log, TOTALS), before);
    // The version that has stored it goes on.
    let mut job = Job::new(Arc::clone(&log), word_count(OnError::Fail, Delivery::ExactlyOnce));
    job.topology.processes[1].nodes[0].description.state_version = 1;
    assert_eq!(job.until_end().unwrap().failures, []);
    assert_eq!(series(&*log, TOTALS), recount(&["a b a", "b a"]));
}

#[test]
fn all_faults_together_change_nothing() {
    for seed in [21, 22, 23] {
        counts_through(&[Fault::Aborted, Fault::LostAnswer, Fault::LostRequest], seed);
    }
}

#[test]
fn a_session_that_is_fenced_joins_again() {
    let lines = many_lines();
    let lines = texts(&lines);
    // Not so often that it looks like two processes that fight.
    let faulty = Faulty::limited(log_with_lines(&lines), 5, &[Fault::Fenced], 10, Some(40), 2);
    let mut job = Job::new(
        Arc::clone(&faulty) as Arc<dyn Log>,
        word_count(OnError::Fail, Delivery::ExactlyOnce),
    );
    job.topology.commit_interval = Duration::ZERO;
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    assert_eq!(faulty.happened()[&Fault::Fenced], 2);
    assert_eq!(series(&*job.log, TOTALS), recount(&lines));
}

#[test]
fn two_processes_that_fence_each_other_end() {
    let lines = many_lines();
    let lines = texts(&lines);
    let faulty = Faulty::new(log_with_lines(&lines), 5, &[Fault::Fenced], 1, None);
    let job = Job::new(faulty, word_count(OnError::Fail, Delivery::ExactlyOnce));
    let error = job.until_end().unwrap_err();
    assert_eq!(error.code().0, "E0705", "{error}");
}

#[test]
fn results_do_not_depend_on_how_batches_are_cut() {
    let mut lines = many_lines();
    for i in (50..lines.len()).step_by(97) {
        lines[i] = "bad w1".to_owned();
    }
    for i in (60..lines.len()).step_by(501) {
        lines[i] = "poison w1".to_owned();
    }
    let lines = texts(&lines);
    let run = |seed: u64, cut: u64| {
        let log = Faulty::new(log_with_lines(&lines), seed, &[], 1, Some(cut));
        let mut job = Job::new(log, word_count(OnError::DeadLetter, Delivery::ExactlyOnce));
        // One order of a word's lines: one worker, which reads one partition.
        job.topology.workers = 1;
        job.until_end().unwrap();
        let letters = &read_all(&*job.log, LETTERS)[0];
        let mut origins: Vec<String> = (0..letters.len())
            .map(|i| String::from_utf8_lossy(letters.headers.last(i, origin::HEADER_ORIGIN).flatten().unwrap()).into())
            .collect();
        origins.sort();
        (series(&*job.log, TOTALS), origins)
    };
    let whole = run(1, 1_000_000);
    assert_eq!(whole.0, recount(&lines));
    for (seed, cut) in [(2, 1), (3, 7), (4, 300)] {
        assert_eq!(run(seed, cut), whole, "batches of up to {cut}");
    }
}

#[test]
fn the_position_of_a_source_commits_with_its_records() {
    let log: Arc<dyn Log> = Arc::new(embedded::EmbeddedLog::open(None).unwrap());
    let faults = [Fault::Aborted, Fault::LostAnswer, Fault::LostRequest];
    let faulty = Faulty::new(log, 77, &faults, 3, None);
    let mut job = Job::new(Arc::clone(&faulty) as Arc<dyn Log>, numbers_count());
    job.topology.commit_interval = Duration::ZERO;
    Arc::get_mut(&mut job.parts).unwrap().numbers = 5_000;
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    assert!(
        faulty.happened().values().sum::<usize>() >= 5,
        "{:?}",
        faulty.happened()
    );
    let counts = series(&*job.log, TOTALS);
    assert_eq!(counts.len(), 5_000);
    assert!(counts.values().all(|counts| counts == &["1"]));
}

/// A trap commits at once. Its commit may be aborted with batches of the same poll still to come, or
/// follow an abort before the source has written its records again.
#[test]
fn an_abort_in_the_midst_of_a_turn_loses_nothing() {
    for seed in 80..90 {
        let log: Arc<dyn Log> = Arc::new(embedded::EmbeddedLog::open(None).unwrap());
        let faulty = Faulty::new(log, seed, &[Fault::Aborted, Fault::LostRequest], 3, Some(20));
        let mut job = Job::new(Arc::clone(&faulty) as Arc<dyn Log>, numbers_count());
        job.topology.commit_interval = Duration::ZERO;
        job.topology.processes[0].nodes[0].on_error = OnError::Skip;
        let parts = Arc::get_mut(&mut job.parts).unwrap();
        (parts.numbers, parts.poison_every) = (1_000, 7);
        let summary = job.until_end().unwrap();
        assert_eq!(summary.failures, []);
        let counts = series(&*job.log, TOTALS);
        let lost: Vec<u64> = (0..1_000)
            .filter(|n| n % 7 != 0 && counts.get(&format!("n{n}")).is_none_or(|counts| counts != &["1"]))
            .collect();
        assert_eq!(lost, [0; 0], "seed {seed}, {:?}", faulty.happened());
    }
}

#[test]
fn the_dead_letters_of_a_source_commit_with_its_position() {
    let log: Arc<dyn Log> = Arc::new(embedded::EmbeddedLog::open(None).unwrap());
    let faults = [Fault::Aborted, Fault::LostAnswer, Fault::LostRequest];
    let faulty = Faulty::new(log, 78, &faults, 3, None);
    let mut job = Job::new(Arc::clone(&faulty) as Arc<dyn Log>, numbers_count());
    job.topology.commit_interval = Duration::ZERO;
    // No value is JSON, so none has a key.
    job.topology.ingests[0].key = Some("/n".to_owned());
    job.topology.ingests[0].on_undecodable = OnError::DeadLetter;
    Arc::get_mut(&mut job.parts).unwrap().numbers = 1_000;
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures, []);
    assert!(
        faulty.happened().values().sum::<usize>() >= 5,
        "{:?}",
        faulty.happened()
    );
    let letters = &read_all(&*job.log, LETTERS)[0];
    let values = letters.values.iter().flatten().map(<[u8]>::to_vec);
    assert!(
        values.eq((0..1_000).map(|n| format!("n{n}").into_bytes())),
        "{} letters",
        letters.len()
    );
}

#[test]
fn an_output_that_is_refused_behind_many_records_is_found_and_nothing_is_lost() {
    let mut lines = many_lines();
    let long = "x".repeat(400);
    lines[1_702] = format!("w1 {long} w2");
    lines[2_990] = format!("w1 {long} w2");
    let kept: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.len() < 100)
        .collect();
    let lines = texts(&lines);
    for late in [false, true] {
        let log = log_with_lines(&lines);
        create(&*log, "wc-count-repartition", 4, &[("max.message.bytes", "300")]);
        let log: Arc<dyn Log> = if late { Faulty::refusing_late(log) } else { log };
        let job = Job::new(log, word_count(OnError::DeadLetter, Delivery::ExactlyOnce));
        let summary = job.until_end().unwrap();
        assert_eq!(summary.failures, []);
        assert_eq!(series(&*job.log, TOTALS), recount(&kept), "refused late: {late}");
        let letters = &read_all(&*job.log, LETTERS)[0];
        let codes: Vec<_> = (0..letters.len())
            .map(|i| letters.headers.last(i, origin::HEADER_ERROR_CODE).flatten())
            .collect();
        assert_eq!(codes, [Some(b"output-too-large".as_slice()); 2]);
    }
}

/// The source goes on only when the state of the task that its position is committed with is there.
#[test]
fn a_source_waits_for_the_state_that_is_restored_beside_it() {
    let log: Arc<dyn Log> = Arc::new(embedded::EmbeddedLog::open(None).unwrap());
    let run = |log: Arc<dyn Log>, numbers| {
        let mut job = Job::new(log, numbers_counted_at_once());
        job.topology.workers = 1;
        job.topology.commit_interval = Duration::ZERO;
        Arc::get_mut(&mut job.parts).unwrap().numbers = numbers;
        let summary = job.until_end().unwrap();
        assert_eq!(summary.failures, []);
    };
    run(Arc::clone(&log), 3_000);
    // A new store each: all of the changelog is read again.
    run(Faulty::restoring_slowly(Arc::clone(&log)), 4_000);
    run(Faulty::restoring_slowly(Arc::clone(&log)), 5_000);
    let counts = series(&*log, TOTALS);
    assert_eq!(counts.len(), 5_000);
    assert!(counts.values().all(|counts| counts == &["1"]));
}

/// The source's position is committed with one of a task that has had no record yet.
#[test]
fn a_source_whose_first_partition_stays_empty_can_start_again() {
    let log: Arc<dyn Log> = Arc::new(embedded::EmbeddedLog::open(None).unwrap());
    // `n1` to `n4` belong to other partitions than 0, `n5` to that one.
    for numbers in 2..=6 {
        let mut job = Job::new(Arc::clone(&log), numbers_counted_at_once());
        let parts = Arc::get_mut(&mut job.parts).unwrap();
        (parts.first_number, parts.numbers) = (1, numbers);
        let summary = job.until_end().unwrap();
        assert_eq!(summary.failures, [], "up to {numbers}");
    }
    let counts = series(&*log, TOTALS);
    assert_eq!(counts.len(), 5);
    assert!(counts.values().all(|counts| counts == &["1"]));
}

#[test]
fn what_stands_before_a_record_that_fails_is_committed_whatever_is_aborted() {
    // Which commits go wrong is another matter each time: the one after the failure among them.
    for seed in [3, 4, 5, 6] {
        stops_behind_its_prefix(seed);
    }
}

fn stops_behind_its_prefix(seed: u64) {
    let mut lines = many_lines();
    lines[2_000] = "poison".to_owned();
    let lines = texts(&lines);
    let faults = [Fault::Aborted, Fault::LostRequest, Fault::LostAnswer];
    let log = Faulty::new(log_with_lines(&lines), seed, &faults, 2, Some(10));
    let mut job = Job::new(log, word_count(OnError::Fail, Delivery::ExactlyOnce));
    job.topology.commit_interval = Duration::ZERO;
    let shutdown = Shutdown::new();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| job.run_until(&shutdown));
        // Line 2,000 is record 500 of partition 0; all before it, and all of the other partitions.
        let expected = [500, 750, 750, 750];
        eventually("all other records are committed", || {
            let committed = job.log.committed("wc", &inputs(4), T).unwrap();
            committed.iter().flatten().map(|c| c.next.0).eq(expected)
        });
        shutdown.request(Instant::now() + T);
        let summary = running.join().unwrap().unwrap();
        assert_eq!(summary.failures.len(), 1, "{:?}", summary.failures);
    });
    job.skip = vec![(TopicPartition::new(LINES, 0), RecordOffset(500))];
    assert_eq!(job.until_end().unwrap().failures, []);
    assert_eq!(series(&*job.log, TOTALS), recount(&lines));
}

#[test]
fn a_source_whose_records_are_refused_stops_and_nothing_of_others_is_lost() {
    for late in [false, true] {
        let log: Arc<dyn Log> = Arc::new(embedded::EmbeddedLog::open(None).unwrap());
        // Key and value of `n999` fit, those of `n1000` do not.
        create(&*log, "wc-numbers", 4, &[("max.message.bytes", "8")]);
        let log: Arc<dyn Log> = if late { Faulty::refusing_late(log) } else { log };
        let mut job = Job::new(log, numbers_count());
        job.topology.commit_interval = Duration::ZERO;
        Arc::get_mut(&mut job.parts).unwrap().numbers = 2_000;
        let summary = job.until_end().unwrap();
        assert_eq!(summary.failures.len(), 1, "{:?}", summary.failures);
        assert_eq!(summary.failures[0].code.0, "E0711", "{:?}", summary.failures);
        let counts = series(&*job.log, TOTALS);
        assert!(counts.values().all(|counts| counts == &["1"]), "refused late: {late}");
    }
}

#[test]
fn start_positions_are_committed_before_the_first_record() {
    let job = |log: &Arc<dyn Log>, from| {
        let mut job = Job::new(Arc::clone(log), word_count(OnError::Fail, Delivery::ExactlyOnce));
        job.from = from;
        job
    };
    let log = log_with_lines(&["old a", "old b", "old c", "old d", "old e"]);
    job(&log, Some(Start::Latest)).until_end().unwrap();
    let committed = log.committed("wc", &inputs(4), T).unwrap();
    let next: Vec<_> = committed.iter().map(|c| c.as_ref().unwrap().next.0).collect();
    assert_eq!(next, [2, 1, 1, 1]);

    append(&*log, &["new a", "new b"]);
    job(&log, None).until_end().unwrap();
    let counts = series(&*log, TOTALS);
    assert_eq!(counts["new"], ["1", "2"]);
    assert!(!counts.contains_key("old"));

    let error = job(&log, Some(Start::Earliest)).until_end().unwrap_err();
    assert_eq!(error.code().0, "E0704", "{error}");
}

#[test]
fn a_topic_that_is_added_later_starts_where_it_says() {
    let log = log_with_lines(&["first"]);
    Job::new(Arc::clone(&log), word_count(OnError::Fail, Delivery::ExactlyOnce))
        .until_end()
        .unwrap();
    let other = |texts: &[&str]| {
        let mut batch = Batch::new("other".into(), 0);
        texts
            .iter()
            .for_each(|text| batch.push(None, Some(text.as_bytes()), 1_000));
        log.append("other", &batch, &vec![0; texts.len()], T).unwrap();
    };
    create(&*log, "other", 4, &[]);
    other(&["old"]);
    // The lines come from another topic now; the rest of the group's positions stay.
    let mut topology = word_count(OnError::Fail, Delivery::ExactlyOnce);
    topology.topics[0].name = "other".into();
    topology.processes[0].inputs[0].start = Start::Latest;
    let job = Job::new(Arc::clone(&log), topology);
    job.until_end().unwrap();
    other(&["new"]);
    job.until_end().unwrap();
    let words: Vec<String> = series(&*log, TOTALS).into_keys().collect();
    assert_eq!(words, ["first", "new"]);
}

#[test]
fn records_that_expired_before_they_were_read_stop_their_partition() {
    let log = log_with_lines(&["a", "b", "c", "d"]);
    let job = Job::new(Arc::clone(&log), word_count(OnError::Fail, Delivery::ExactlyOnce));
    job.until_end().unwrap();
    append(&*log, &["a", "b", "c", "d", "a", "b", "c", "d"]);
    log.delete_records(&[(TopicPartition::new(LINES, 2), NextOffset(2))], T)
        .unwrap();
    let summary = job.until_end().unwrap();
    assert_eq!(summary.failures.len(), 1, "{:?}", summary.failures);
    let failure = &summary.failures[0];
    assert_eq!((&failure.at, failure.code.0), (&TopicPartition::new(LINES, 2), "E0403"));
    assert!(failure.remedy.contains("wasmill reset"), "{}", failure.remedy);
    let committed = log.committed("wc", &inputs(4), T).unwrap();
    assert_eq!(
        committed[2].as_ref().unwrap().next,
        NextOffset(1),
        "nothing was skipped"
    );
}

#[test]
fn a_bounded_run_ends_behind_what_was_aborted() {
    let log = log_with_lines(&["a", "b", "c", "d"]);
    let mut other = log
        .session(SessionConfig {
            group: "other".into(),
            instance_id: None,
            client_id: "other".into(),
            topics: vec![],
            writes: Writes::Transactional {
                transactional_id: "other".into(),
                timeout: T,
            },
        })
        .unwrap();
    let mut batch = Batch::new(LINES.into(), 0);
    batch.push(None, Some(b"never"), 1_000);
    other.produce(LINES, &batch, &[1]).unwrap();
    other.abort(T).unwrap();
    let job = Job::new(Arc::clone(&log), word_count(OnError::Fail, Delivery::ExactlyOnce));
    for _ in 0..2 {
        let summary = job.until_end().unwrap();
        assert_eq!(summary.failures, []);
        assert!(summary.elapsed < Duration::from_secs(20), "{:?}", summary.elapsed);
    }
    assert_eq!(series(&*log, TOTALS), recount(&["a", "b", "c", "d"]));
    // Every group position is at the end of its partition.
    let ends = log.offsets(&inputs(4), Edge::StableEnd, T).unwrap();
    let committed = log.committed("wc", &inputs(4), T).unwrap();
    assert_eq!(committed.into_iter().map(|c| c.unwrap().next).collect::<Vec<_>>(), ends);
}

#[test]
fn an_internal_topic_with_another_partition_count_is_refused() {
    let log = log_with_lines(&["a"]);
    create(&*log, "wc-count-repartition", 3, &[]);
    let job = Job::new(Arc::clone(&log), word_count(OnError::Fail, Delivery::ExactlyOnce));
    let error = job.until_end().unwrap_err();
    assert_eq!(error.code().0, "E0703", "{error}");
    assert!(
        error.to_string().contains("has 3 partitions, and the plan needs 4"),
        "{error}"
    );
    assert!(log.topics(&[TOTALS], T).unwrap()[0].is_none(), "nothing was created");
}

#[test]
fn internal_headers_stay_inside() {
    let log = log_with_lines(&["a b", "a"]);
    let job = Job::new(Arc::clone(&log), word_count(OnError::Fail, Delivery::ExactlyOnce));
    job.until_end().unwrap();
    let names = |topic: &str| -> Vec<String> {
        let batches = read_all(&*log, topic);
        let of = |batch: &Batch, i: usize| -> Vec<String> {
            batch
                .headers
                .of(i)
                .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
                .collect()
        };
        batches
            .iter()
            .flat_map(|batch| (0..batch.len()).flat_map(|i| of(batch, i)))
            .collect()
    };
    assert_eq!(names(TOTALS), Vec::<String>::new());
    let inside = names("wc-count-repartition");
    assert!(inside.contains(&origin::HEADER_ORIGIN.to_owned()), "{inside:?}");
}

#[test]
fn a_sink_that_is_away_holds_back_nothing_but_itself() {
    let lines = many_lines();
    let lines = texts(&lines);
    let log = log_with_lines(&lines);
    let job = Job::new(
        Arc::clone(&log),
        with_sink(word_count(OnError::Fail, Delivery::ExactlyOnce), OnError::Fail),
    );
    let away = Arc::clone(&job.parts.away);
    away.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| job.until_end());
        eventually("all is counted while the sink is away", || {
            log.topics(&[TOTALS], T).unwrap()[0].is_some() && series(&*log, TOTALS) == recount(&lines)
        });
        assert_eq!(job.parts.collected.lock().len(), 0);
        away.store(false, Ordering::Relaxed);
        let summary = running.join().unwrap().unwrap();
        assert_eq!(summary.failures, []);
    });
    assert_eq!(job.parts.collected.lock().len(), lines.len() * 3);
}

#[test]
fn a_sink_that_is_away_gives_partitions_to_another_process() {
    let lines = many_lines();
    let lines = texts(&lines);
    let log = log_with_lines(&lines);
    let job = |process_id: &'static str| {
        let mut job = Job::new(
            Arc::clone(&log),
            with_sink(word_count(OnError::Fail, Delivery::ExactlyOnce), OnError::Fail),
        );
        job.process_id = process_id;
        job
    };
    let (away, works) = (job("11111111"), job("22222222"));
    away.parts.away.store(true, Ordering::Relaxed);
    let [one, two] = [Shutdown::new(), Shutdown::new()];
    let delivered = |job: &Job| job.parts.collected.lock().len();
    std::thread::scope(|scope| {
        let a = scope.spawn(|| away.run_until(&one));
        eventually("all is counted", || {
            log.topics(&[TOTALS], T).unwrap()[0].is_some() && series(&*log, TOTALS) == recount(&lines)
        });
        let b = scope.spawn(|| works.run_until(&two));
        eventually("the other process delivers", || delivered(&works) > 0);
        assert_eq!(delivered(&away), 0);
        away.parts.away.store(false, Ordering::Relaxed);
        eventually("all is delivered", || {
            delivered(&away) + delivered(&works) >= lines.len() * 3
        });
        for (shutdown, running) in [(&one, a), (&two, b)] {
            shutdown.request(Instant::now() + T);
            assert_eq!(running.join().unwrap().unwrap().failures, []);
        }
    });
    assert_eq!(delivered(&away) + delivered(&works), lines.len() * 3);
}

#[test]
fn processes_that_come_and_go_hand_over_without_loss_or_repeat() {
    let lines = many_lines();
    let lines = texts(&lines);
    let log = log_with_lines(&lines[..1_000]);
    let job = |process_id: &'static str| {
        let mut job = Job::new(
            // Small batches, so that there is work left to hand over.
            Faulty::new(Arc::clone(&log), 9, &[], 1, Some(3)),
            word_count(OnError::Fail, Delivery::ExactlyOnce),
        );
        job.process_id = process_id;
        job
    };
    let (first, second, third) = (job("11111111"), job("22222222"), job("33333333"));
    let [one, two, three] = [Shutdown::new(), Shutdown::new(), Shutdown::new()];
    let end = |shutdown: &Shutdown| shutdown.request(Instant::now() + T);
    let counted = |n: usize| {
        eventually("records arrive", || {
            log.topics(&[TOTALS], T).unwrap()[0].is_some()
                && series(&*log, TOTALS).values().map(Vec::len).sum::<usize>() >= n
        });
    };
    std::thread::scope(|scope| {
        let a = scope.spawn(|| first.run_until(&one));
        counted(100);
        let b = scope.spawn(|| second.run_until(&two));
        append(&*log, &lines[1_000..2_000]);
        counted(3_500);
        end(&one);
        a.join().unwrap().unwrap();
        let c = scope.spawn(|| third.run_until(&three));
        append(&*log, &lines[2_000..]);
        counted(7_000);
        end(&two);
        b.join().unwrap().unwrap();
        counted(9_000);
        end(&three);
        c.join().unwrap().unwrap();
    });
    assert_eq!(series(&*log, TOTALS), recount(&lines));
}
