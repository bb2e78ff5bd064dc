//! Positions, edges, limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use record::log::{Edge, Isolation, LogEvent, PollLimit, Polled};
use record::{Batch, NextOffset, TopicPartition};

use super::subject::{BASE_TIME, POLL, Record, Subject, collect};

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| n.to_string()).collect()
}

fn append_numbers(s: &Subject, topic: &str, partition: u32, from: usize, to: usize) {
    let values = numbers(from, to);
    s.append(topic, partition, &values.iter().map(String::as_str).collect::<Vec<_>>());
}

pub(super) fn batches_are_per_partition_and_respect_the_limit(s: &Subject) {
    let topic = s.topic("t", 2);
    append_numbers(s, &topic, 0, 0, 100);
    append_numbers(s, &topic, 1, 100, 200);
    let from: Vec<_> = s.partitions(&topic).into_iter().map(|at| (at, NextOffset(0))).collect();
    for limit in [
        PollLimit {
            records: 7,
            bytes: 1 << 20,
        },
        PollLimit {
            records: 1_000,
            bytes: 20,
        },
        PollLimit { records: 1, bytes: 1 },
    ] {
        let mut reader = s.log.reader(Isolation::ReadCommitted).unwrap();
        reader.assign(&from).unwrap();
        let mut polled = Polled::default();
        let mut records: Vec<Record> = Vec::new();
        let deadline = Instant::now() + s.patience;
        while records.len() < 200 {
            assert!(Instant::now() < deadline, "{} records of 200", records.len());
            polled.clear();
            reader.poll(POLL, limit, &mut polled).unwrap();
            let mut seen = Vec::new();
            for batch in polled.batches.iter().filter(|b| !b.is_empty()) {
                assert!(!seen.contains(&batch.partition), "one batch per partition");
                seen.push(batch.partition);
                assert_eq!(batch.topic, topic);
                assert!(batch.len() <= limit.records, "{} records", batch.len());
                let last = batch.values.get(batch.len() - 1).map_or(0, <[u8]>::len);
                assert!(batch.bytes() - last < limit.bytes, "{} bytes", batch.bytes());
                collect(batch, &mut records);
            }
        }
        records.sort_by_key(|r| r.partition);
        let texts: Vec<_> = records.iter().map(Record::text).collect();
        assert_eq!(texts, numbers(0, 200));
    }
}

pub(super) fn a_reader_starts_where_it_is_told(s: &Subject) {
    let topic = s.topic("t", 2);
    append_numbers(s, &topic, 0, 0, 10);
    append_numbers(s, &topic, 1, 10, 20);
    let at = |p| TopicPartition::new(Arc::clone(&topic), p);
    let mut reader = s.log.reader(Isolation::ReadCommitted).unwrap();
    let mut read = |from: &[(TopicPartition, NextOffset)]| {
        reader.assign(from).unwrap();
        let (mut records, mut ends) = (Vec::new(), 0);
        let mut polled = Polled::default();
        let deadline = Instant::now() + s.patience;
        while ends < from.len() {
            assert!(Instant::now() < deadline, "{ends} ends");
            polled.clear();
            reader.poll(POLL, PollLimit::default(), &mut polled).unwrap();
            for batch in &polled.batches {
                collect(batch, &mut records);
            }
            ends += polled
                .events
                .iter()
                .filter(|e| matches!(e, LogEvent::End { .. }))
                .count();
        }
        records.sort_by_key(|r| r.partition);
        records.iter().map(Record::text).collect::<Vec<_>>()
    };
    assert_eq!(read(&[(at(0), NextOffset(7))]), numbers(7, 10));
    // Assigning again replaces the assignment.
    assert_eq!(
        read(&[(at(0), NextOffset(9)), (at(1), NextOffset(8))]),
        ["9", "18", "19"]
    );
    assert_eq!(read(&[(at(1), NextOffset(10))]), Vec::<String>::new());
}

pub(super) fn edges_and_times_give_offsets(s: &Subject) {
    let topic = s.topic("t", 1);
    let at = TopicPartition::new(Arc::clone(&topic), 0);
    for edge in [Edge::Start, Edge::End, Edge::StableEnd, Edge::Time(BASE_TIME)] {
        assert_eq!(s.offset(&at, edge), NextOffset(0), "{edge:?} of an empty partition");
    }
    let mut batch = Batch::new(Arc::from(""), 0);
    for i in 0..10 {
        batch.push(None, Some(b"x"), BASE_TIME + i * 1_000);
    }
    s.retry("append", || {
        s.log.append(&topic, &batch, &[0; 10], Duration::from_secs(10))
    });
    assert_eq!(s.offset(&at, Edge::Start), NextOffset(0));
    assert_eq!(s.offset(&at, Edge::End), NextOffset(10));
    assert_eq!(s.offset(&at, Edge::StableEnd), NextOffset(10));
    for (time, next) in [(0, 0), (3_000, 3), (3_001, 4), (9_000, 9), (9_001, 10)] {
        assert_eq!(
            s.offset(&at, Edge::Time(BASE_TIME + time)),
            NextOffset(next),
            "{time} ms"
        );
    }
    assert_eq!(s.offset(&at, Edge::Time(0)), NextOffset(0));
}

pub(super) fn seeking_back_reads_again(s: &Subject) {
    let topic = s.topic("t", 2);
    append_numbers(s, &topic, 0, 0, 5);
    append_numbers(s, &topic, 1, 5, 10);
    let mut member = s.member(&s.name("g"), &[&topic], &s.name("x"));
    member.until_read(10);
    member.until("the ends", |m| m.ends.len() == 2);
    member.records.clear();
    let at = TopicPartition::new(Arc::clone(&topic), 0);
    member.owned.insert(at.clone(), NextOffset(2));
    member.session.seek(&[(at.clone(), NextOffset(2))]).unwrap();
    member.ends.clear();
    member.until("the end again", |m| m.ends.contains_key(&at));
    assert_eq!(member.texts(), numbers(2, 5));
    // And forth.
    append_numbers(s, &topic, 0, 10, 20);
    member.session.seek(&[(at.clone(), NextOffset(12))]).unwrap();
    member.records.clear();
    member.owned.insert(at, NextOffset(12));
    member.until_read(3);
    assert_eq!(member.texts(), numbers(17, 20));
    member.close();
}

pub(super) fn pause_and_resume_lose_and_repeat_nothing(s: &Subject) {
    let topic = s.topic("t", 2);
    let at = |p| TopicPartition::new(Arc::clone(&topic), p);
    append_numbers(s, &topic, 0, 0, 600);
    append_numbers(s, &topic, 1, 1_000, 1_100);
    let mut member = s.member(&s.name("g"), &[&topic], &s.name("x"));
    member.until("the first records", |m| !m.records.is_empty());
    let before = member.records.iter().filter(|r| r.partition == 0).count();
    member.session.pause(&[at(0)]).unwrap();
    append_numbers(s, &topic, 1, 1_100, 1_200);
    append_numbers(s, &topic, 0, 600, 700);
    member.until("all of partition 1", |m| {
        m.records.iter().filter(|r| r.partition == 1).count() == 200
    });
    let paused = member.records.iter().filter(|r| r.partition == 0).count();
    assert_eq!(paused, before, "nothing of a paused partition");
    member.session.resume(&[at(0)]).unwrap();
    member.until_read(900);
    member.records.sort_by_key(|r| r.partition);
    let expected: Vec<_> = numbers(0, 700).into_iter().chain(numbers(1_000, 1_200)).collect();
    assert_eq!(member.texts(), expected);
    member.close();
}

pub(super) fn deleted_records_are_out_of_range(s: &Subject) {
    let topic = s.topic("t", 1);
    let at = TopicPartition::new(Arc::clone(&topic), 0);
    append_numbers(s, &topic, 0, 0, 10);
    s.retry("delete records", || {
        s.log
            .delete_records(&[(at.clone(), NextOffset(6))], Duration::from_secs(10))
    });
    assert_eq!(s.offset(&at, Edge::Start), NextOffset(6));
    assert_eq!(s.offset(&at, Edge::End), NextOffset(10));
    assert_eq!(s.visible_texts(&topic), numbers(6, 10));
    let mut member = s.member(&s.name("g"), &[&topic], &s.name("x"));
    member.until_owns(1);
    member.until_read(4);
    for wrong in [2, 999] {
        member.records.clear();
        member.out_of_range.clear();
        member.session.seek(&[(at.clone(), NextOffset(wrong))]).unwrap();
        member.until("out of range is said", |m| !m.out_of_range.is_empty());
        assert_eq!(member.out_of_range[0], at);
        for _ in 0..5 {
            member.step();
        }
        assert!(member.records.is_empty(), "nothing is read from anywhere else");
        // A seek to what there is mends it.
        member.owned.insert(at.clone(), NextOffset(8));
        member.session.seek(&[(at.clone(), NextOffset(8))]).unwrap();
        member.until_read(2);
    }
    // A reader says so too.
    let mut reader = s.log.reader(Isolation::ReadCommitted).unwrap();
    reader.assign(&[(at.clone(), NextOffset(0))]).unwrap();
    let mut polled = Polled::default();
    s.until("a reader is out of range", || {
        reader.poll(POLL, PollLimit::default(), &mut polled).unwrap();
        polled.events.contains(&LogEvent::OutOfRange { at: at.clone() })
    });
    assert!(polled.batches.iter().all(Batch::is_empty));
    member.close();
}

pub(super) fn the_end_is_the_stable_end_and_can_be_committed(s: &Subject) {
    let topic = s.topic("t", 2);
    let group = s.name("g");
    let at = |p| TopicPartition::new(Arc::clone(&topic), p);
    // Transactions leave control records behind in Kafka: the end is after them.
    let mut writer = s.member(&s.name("w"), &[&s.topic("in", 1)], &s.name("w"));
    writer.produce(&topic, 0, &["a", "b"]);
    writer.commit(&[]).unwrap();
    writer.produce(&topic, 0, &["aborted"]);
    writer.abort();
    let mut member = s.member(&group, &[&topic], &s.name("x"));
    s.until("reading to the end", || {
        member.step();
        let end = s.offset(&at(0), Edge::StableEnd);
        member.ends.len() == 2 && member.ends[&at(0)] == end
    });
    assert_eq!(member.texts(), ["a", "b"]);
    assert_eq!(member.ends[&at(1)], NextOffset(0));
    member.commit(&[]).unwrap();
    for p in 0..2 {
        let end = s.offset(&at(p), Edge::StableEnd);
        assert_eq!(s.committed(&group, &at(p)).unwrap().0, end);
        assert_eq!(s.offset(&at(p), Edge::End), end);
    }
    // The end comes again after more records.
    member.ends.clear();
    writer.produce(&topic, 0, &["c"]);
    writer.commit(&[]).unwrap();
    member.until("the next end", |m| m.ends.contains_key(&at(0)) && m.records.len() == 3);
    writer.close();
    member.close();
}

pub(super) fn a_waiting_poll_wakes_up_for_new_records(s: &Subject) {
    let topic = s.topic("t", 1);
    let at = TopicPartition::new(Arc::clone(&topic), 0);
    let mut reader = s.log.reader(Isolation::ReadCommitted).unwrap();
    reader.assign(&[(at, NextOffset(0))]).unwrap();
    let mut polled = Polled::default();
    s.until("the end of the empty topic", || {
        reader.poll(POLL, PollLimit::default(), &mut polled).unwrap();
        polled.events.iter().any(|e| matches!(e, LogEvent::End { .. }))
    });
    polled.clear();
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            s.append(&topic, 0, &["late"]);
        });
        while polled.batches.iter().all(Batch::is_empty) {
            assert!(began.elapsed() < s.patience, "the record never came");
            // A poll that slept through would take the whole of this.
            reader.poll(s.patience, PollLimit::default(), &mut polled).unwrap();
        }
    });
    assert!(began.elapsed() < s.patience / 2, "woken after {:?}", began.elapsed());
}
