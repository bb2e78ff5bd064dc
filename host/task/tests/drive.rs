//! The driver behind pipeline tests gives what a run gives, in one order, however batches are cut.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

mod harness;

use std::sync::Arc;

use harness::sessions::*;
use harness::*;
use record::topology::{OnError, TopicId, Topology};
use state::MemoryBackend;
use wasmill_task::{Cuts, Driver, Produced, Put};

const CUTS: [Cuts; 5] = [
    Cuts::Whole,
    Cuts::Single,
    Cuts::Random(1),
    Cuts::Random(2),
    Cuts::Random(3),
];
const TOTALS_ID: TopicId = TopicId(3);

fn driver(topology: Topology, partitions: u32, cuts: Cuts) -> Driver {
    let state = MemoryBackend::default();
    Driver::new(Arc::new(topology), &Native::default(), &state, partitions, 1_000, cuts).unwrap()
}

fn put(key: Option<&str>, value: &str, timestamp: i64) -> Put {
    Put {
        topic: TopicId(0),
        partition: None,
        key: key.map(|key| key.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        timestamp,
        headers: vec![],
    }
}

fn texts(produced: &[Produced]) -> Vec<String> {
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    produced
        .iter()
        .map(|one| format!("{}={}", text(&one.key), text(&one.value)))
        .collect()
}

#[test]
fn words_are_counted_in_the_order_in_which_they_come() {
    for cuts in CUTS {
        for partitions in [1, 3] {
            let mut driver = driver(word_count(OnError::DeadLetter, Default::default()), partitions, cuts);
            let lines = ["a b a", "a bad c", "b", "c a"].map(|line| put(None, line, 5));
            driver.put(&lines).unwrap();
            let mut found = texts(&driver.produced(TOTALS_ID, false));
            if partitions > 1 {
                found.sort();
            }
            let mut expected = ["a=1", "b=1", "a=2", "b=2", "c=1", "a=3"].map(str::to_owned).to_vec();
            if partitions > 1 {
                expected.sort();
            }
            assert_eq!(found, expected, "{cuts:?}, {partitions} partitions");
            let refused = driver.refused();
            assert_eq!(refused.len(), 1, "{cuts:?}: {refused:?}");
            assert_eq!(refused[0].value.as_deref(), Some(b"a bad c".as_slice()));
            assert_eq!(driver.failures(), []);
        }
    }
}

#[test]
fn a_record_that_fails_stops_its_partition_and_nothing_before_it() {
    for cuts in CUTS {
        let mut driver = driver(word_count(OnError::Fail, Default::default()), 1, cuts);
        driver
            .put(&["a", "b", "bad", "c"].map(|line| put(None, line, 5)))
            .unwrap();
        assert_eq!(texts(&driver.produced(TOTALS_ID, false)), ["a=1", "b=1"], "{cuts:?}");
        assert_eq!(driver.failures().len(), 1);
        assert!(driver.failures()[0].message.contains("lines:0:2"), "{cuts:?}");
        // What comes later changes nothing.
        driver.put(&[put(None, "d", 6)]).unwrap();
        assert_eq!(driver.produced(TOTALS_ID, false).len(), 2);
    }
}

#[test]
fn event_time_timers_fire_at_their_place_among_the_records() {
    let events: Vec<Event> = (0..600)
        .map(|i: i64| {
            let key = ["a", "b", "c", "d", "e"][(i * i % 5) as usize];
            (key, i * 7 - (i * 13) % 60 + 100)
        })
        .collect();
    for lateness in [0, 40] {
        let expected = model(&events, lateness);
        let mut first: Option<Vec<Produced>> = None;
        for cuts in CUTS {
            let mut driver = driver(sessions(OnError::Fail, lateness), 4, cuts);
            let puts: Vec<Put> = events.iter().map(|(key, time)| put(Some(key), "", *time)).collect();
            driver.put(&puts).unwrap();
            let produced = driver.produced(TOTALS_ID, false);
            let found: Vec<Vec<String>> = (0..4)
                .map(|partition| {
                    let of: Vec<_> = produced
                        .iter()
                        .filter(|one| one.partition == partition)
                        .cloned()
                        .collect();
                    texts(&of)
                })
                .collect();
            let expected: Vec<Vec<String>> = expected
                .iter()
                .map(|left| left.iter().map(|(key, text)| format!("{key}={text}")).collect())
                .collect();
            assert!(expected.iter().map(Vec::len).sum::<usize>() > 20);
            assert_eq!(found, expected, "{cuts:?}, lateness {lateness}");
            // Also over all partitions there is one order.
            assert_eq!(*first.get_or_insert_with(|| produced.clone()), produced, "{cuts:?}");
        }
    }
}

#[test]
fn wall_clock_timers_fire_when_the_clock_is_moved_and_only_then() {
    for cuts in CUTS {
        let mut driver = driver(sessions(OnError::Fail, 0), 1, cuts);
        driver
            .put(&[put(Some("wall"), "", 5), put(Some("a"), "", 90_000)])
            .unwrap();
        driver.advance(29).unwrap();
        assert_eq!(
            texts(&driver.produced(TOTALS_ID, false)),
            Vec::<String>::new(),
            "{cuts:?}"
        );
        driver.advance(1_000).unwrap();
        assert_eq!(driver.now(), 2_029);
        let produced = driver.produced(TOTALS_ID, false);
        assert_eq!(texts(&produced), ["wall=wall"], "{cuts:?}");
        assert_eq!(produced[0].timestamp, 1_030, "at its own time");
        driver.advance(1_000).unwrap();
        assert_eq!(driver.produced(TOTALS_ID, false).len(), 1, "once");
    }
}

#[test]
fn timers_that_fail_are_dead_letters_and_the_others_fire() {
    for cuts in CUTS {
        let mut driver = driver(sessions(OnError::DeadLetter, 0), 1, cuts);
        let puts = [("a", 10), ("bad", 10), ("poison", 10), ("b", 10), ("z", 500)];
        driver.put(&puts.map(|(key, time)| put(Some(key), "", time))).unwrap();
        assert_eq!(
            texts(&driver.produced(TOTALS_ID, false)),
            ["a=10-10:1", "b=10-10:1"],
            "{cuts:?}"
        );
        let codes: Vec<String> = driver.refused().into_iter().map(|refused| refused.code).collect();
        assert_eq!(codes, ["bad-timer", "trap"], "{cuts:?}");
    }
}

#[test]
fn stores_are_filled_before_and_read_after() {
    for cuts in CUTS {
        let mut driver = driver(word_count(OnError::Fail, Default::default()), 3, cuts);
        driver.fill(1, 0, 0, b"a", &41_u64.to_le_bytes()).unwrap();
        driver.put(&[put(None, "a b", 5)]).unwrap();
        let entries = driver.entries(1, 0, 0).unwrap();
        let expected = [("a", 42_u64), ("b", 1)];
        let expected: Vec<(Vec<u8>, Vec<u8>)> = expected
            .map(|(key, n)| (key.as_bytes().to_vec(), n.to_le_bytes().to_vec()))
            .to_vec();
        assert_eq!(entries.into_iter().collect::<Vec<_>>(), expected, "{cuts:?}");
    }
}

/// Counts in its own memory, which is a mistake.
struct Forgetful(record::transform::Description, u64);

impl record::transform::Transform for Forgetful {
    fn description(&self) -> &record::transform::Description {
        &self.0
    }

    fn process(
        &mut self,
        call: record::transform::Call<'_>,
    ) -> Result<record::transform::Emitted, record::transform::CallError> {
        let mut out = record::transform::Emitted::default();
        for _ in 0..call.batch.len() {
            self.1 += 1;
            out.values.push(Some(self.1.to_string().as_bytes()));
            out.count += 1;
        }
        Ok(out)
    }

    fn recycle(&mut self) -> Result<(), record::transform::CallError> {
        self.1 = 0;
        Ok(())
    }
}

struct Forgets;

impl wasmill_task::Parts for Forgets {
    fn transform(&self, node: &record::topology::Node) -> Result<Box<dyn record::transform::Transform>, String> {
        Ok(Box::new(Forgetful(node.description.clone(), 0)))
    }
    fn source(
        &self,
        _: &record::topology::Ingest,
    ) -> Result<Box<dyn record::source::Source>, record::source::SourceError> {
        panic!("the driver opens no source")
    }
    fn sink(&self, _: &record::topology::DeliverPlan) -> Result<Box<dyn record::sink::Sink>, record::sink::SinkError> {
        panic!("the driver opens no sink")
    }
}

#[test]
fn a_plugin_that_keeps_state_in_its_memory_gives_itself_away() {
    let run = |cuts| {
        let mut topology = word_count(OnError::Fail, Default::default());
        topology.processes.truncate(1);
        topology.processes[0].nodes[0].ports[0][0] = record::topology::Target::Topic {
            topic: TOTALS_ID,
            input: 0,
        };
        let state = MemoryBackend::default();
        let mut driver = Driver::new(Arc::new(topology), &Forgets, &state, 1, 1_000, cuts).unwrap();
        driver.put(&["x", "y", "z"].map(|line| put(None, line, 5))).unwrap();
        texts(&driver.produced(TOTALS_ID, false))
    };
    assert_eq!(run(Cuts::Whole), ["=1", "=2", "=3"]);
    assert_eq!(run(Cuts::Single), ["=1", "=1", "=1"]);
}
