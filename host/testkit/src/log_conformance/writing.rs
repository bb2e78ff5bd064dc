//! What is written is what is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::log::{CommitError, LogError, SessionConfig, Writes};
use record::{Batch, TopicPartition};

use super::subject::{BASE_TIME, CALL, Subject, key_value};

pub(super) fn offsets_rise_in_each_partition_in_the_order_written(s: &Subject) {
    let topic = s.topic("out", 3);
    let mut member = s.member(&s.name("g"), &[&s.topic("in", 1)], &s.name("x"));
    for round in 0..5 {
        let mut batch = Batch::new(Arc::from(""), 0);
        let mut partitions = Vec::new();
        for i in 0..60 {
            batch.push(None, Some(format!("{round}-{i}").as_bytes()), BASE_TIME);
            partitions.push(i % 3);
        }
        member.session.produce(&topic, &batch, &partitions).unwrap();
        member.commit(&[]).unwrap();
    }
    let read = s.visible(&topic);
    assert_eq!(read.len(), 300);
    for partition in 0..3 {
        let of: Vec<_> = read.iter().filter(|r| r.partition == partition).collect();
        let expected: Vec<_> = (0..5)
            .flat_map(|round| (0..60).map(move |i| (round, i)))
            .filter(|(_, i)| i % 3 == partition)
            .map(|(round, i)| format!("{round}-{i}"))
            .collect();
        assert_eq!(of.iter().map(|r| r.text()).collect::<Vec<_>>(), expected);
        assert!(of.windows(2).all(|w| w[0].offset < w[1].offset), "offsets rise");
        assert!(of[0].offset >= 0);
    }
    member.close();
}

pub(super) fn keys_values_headers_and_timestamps_are_kept(s: &Subject) {
    let topic = s.topic("out", 1);
    let invalid_utf8 = [0xff, 0x00, 0xc3];
    let entries: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"text"), Some(&invalid_utf8)];
    let mut batch = Batch::new(Arc::from(""), 0);
    for (i, key) in entries.iter().enumerate() {
        for (j, value) in entries.iter().enumerate() {
            let at = batch.len();
            batch.push(*key, *value, BASE_TIME + at as i64);
            // Every second record has headers, the last one has none: both ends are covered.
            if j % 2 == 0 {
                batch.headers.push(b"twice", Some(b"1"));
                batch.headers.push(b"twice", Some(b""));
                batch.headers.push(b"null", None);
                for n in 0..i * 20 {
                    batch.headers.push(format!("h{n}").as_bytes(), Some(&invalid_utf8));
                }
                batch.headers.close(at);
            }
        }
    }
    batch.headers.finish(batch.len());
    let mut member = s.member(&s.name("g"), &[&s.topic("in", 1)], &s.name("x"));
    member.session.produce(&topic, &batch, &vec![0; batch.len()]).unwrap();
    member.commit(&[]).unwrap();
    // Left-out columns are all null.
    let mut bare = Batch::new(Arc::from(""), 0);
    bare.timestamps = vec![BASE_TIME + 77];
    member.session.produce(&topic, &bare, &[0]).unwrap();
    member.commit(&[]).unwrap();

    let read = s.visible(&topic);
    assert_eq!(read.len(), batch.len() + 1);
    for (i, record) in read[..batch.len()].iter().enumerate() {
        assert_eq!(record.key.as_deref(), batch.keys.get(i), "key of record {i}");
        assert_eq!(record.value.as_deref(), batch.values.get(i), "value of record {i}");
        assert_eq!(record.timestamp, batch.timestamps[i], "timestamp of record {i}");
        let headers: Vec<_> = batch
            .headers
            .of(i)
            .map(|(n, v)| (n.to_vec(), v.map(<[u8]>::to_vec)))
            .collect();
        assert_eq!(record.headers, headers, "headers of record {i}");
    }
    let last = &read[batch.len()];
    assert_eq!((&last.key, &last.value, last.timestamp), (&None, &None, BASE_TIME + 77));
    assert!(last.headers.is_empty());
    member.close();
}

pub(super) fn append_is_visible_when_it_returns(s: &Subject) {
    let topic = s.topic("t", 2);
    s.append(&topic, 1, &["a", "b"]);
    s.append(&topic, 0, &["c"]);
    assert_eq!(s.visible_texts(&topic), ["c", "a", "b"]);
}

pub(super) fn append_to_a_missing_topic_is_an_error(s: &Subject) {
    let batch = key_value("k", Some("v"));
    let answer = s.log.append(&s.name("missing"), &batch, &[0], CALL);
    assert!(
        matches!(answer, Err(LogError::NoTopic { .. } | LogError::Retriable { .. })),
        "{answer:?}"
    );
}

pub(super) fn an_appender_answers_for_each_record(s: &Subject) {
    let topic = s.topic_with("t", 2, &[("max.message.bytes", "10000")]);
    let mut appender = s.log.appender().expect("an appender");
    let mut both = key_value("k", Some("a"));
    both.push(None, Some(b"b"), -1);
    assert_eq!(appender.append(&topic, &both, &[1, 0], CALL), [Ok(()), Ok(())]);
    assert_eq!(s.visible_texts(&topic), ["b", "a"]);
    let mut large = key_value("k", None);
    large.values = record::Column::default();
    large.values.push(Some(&noise(50_000)));
    let answers = appender.append(&topic, &large, &[0], CALL);
    assert!(
        matches!(answers.as_slice(), [Err(error)] if error.is_of_a_record()),
        "{answers:?}"
    );
    let answers = appender.append(&s.name("missing"), &both, &[0, 0], CALL);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Err(LogError::NoTopic { .. } | LogError::Retriable { .. }))),
        "{answers:?}"
    );
    // It goes on after both.
    assert_eq!(appender.append(&topic, &both, &[0, 0], CALL), [Ok(()), Ok(())]);
    assert_eq!(s.visible_texts(&topic), ["b", "a", "b", "a"]);
}

/// Bytes that no compression makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

pub(super) fn a_record_larger_than_the_topic_takes_is_refused_and_the_session_goes_on(s: &Subject) {
    let topic = s.topic_with("out", 1, &[("max.message.bytes", "10000")]);
    let mut member = s.member(&s.name("g"), &[&s.topic("in", 1)], &s.name("x"));
    member.produce(&topic, 0, &["before"]);
    let mut large = Batch::new(Arc::from(""), 0);
    large.push(None, Some(&noise(100_000)), BASE_TIME);
    let refused = match member.session.produce(&topic, &large, &[0]) {
        Err(error) => error,
        Ok(()) => match member.commit(&[]) {
            Err(CommitError::Refused(error)) => error,
            other => panic!("a record that is too large: {other:?}"),
        },
    };
    assert!(matches!(refused, LogError::TooLarge { .. }), "{refused:?}");
    member.abort();
    assert_eq!(s.visible_texts(&topic), Vec::<String>::new());
    member.produce(&topic, 0, &["after"]);
    member.commit(&[]).unwrap();
    assert_eq!(s.visible_texts(&topic), ["after"]);
    member.close();
}

pub(super) fn large_records_pass_where_the_topic_takes_them(s: &Subject) {
    let config = [("max.message.bytes", "8000000"), ("retention.ms", "-1")];
    let topic = s.topic_with("big", 1, &config);
    let value = noise(3_000_000);
    let mut batch = Batch::new(Arc::from(""), 0);
    batch.push(Some(b"big"), Some(&value), BASE_TIME);
    batch.push(Some(b"small"), Some(b"x"), BASE_TIME);
    let mut member = s.member(&s.name("g"), &[&topic], &s.name("x"));
    member.session.produce(&topic, &batch, &[0, 0]).unwrap();
    member.commit(&[]).unwrap();
    member.until_read(2);
    assert!(
        member.records[0].value.as_ref() == Some(&value),
        "3 MB come back as they were"
    );
    member.close();
}

pub(super) fn at_least_once_flush_shows_records_and_commit_keeps_positions(s: &Subject) {
    let (input, output) = (s.topic("in", 1), s.topic("out", 1));
    let group = s.name("g");
    s.append(&input, 0, &["1", "2"]);
    let mut member = s.join(&SessionConfig {
        writes: Writes::AtLeastOnce,
        ..s.config(&group, &[&input], "alo")
    });
    member.until_read(2);
    member.produce(&output, 0, &["a"]);
    member.session.flush(Instant::now() + CALL).unwrap();
    assert_eq!(s.visible_texts(&output), ["a"]);
    let at = TopicPartition::new(Arc::clone(&input), 0);
    assert_eq!(s.committed(&group, &at), None, "flush commits nothing");
    let out = TopicPartition::new(Arc::clone(&output), 0);
    let before = member.session.acknowledged(&out);
    assert_eq!(before.map(|n| n.0), s.visible(&output).last().map(|r| r.offset + 1));
    member.produce(&output, 0, &["b"]);
    member.commit(&[]).unwrap();
    assert_eq!(s.visible_texts(&output), ["a", "b"]);
    assert!(member.session.acknowledged(&out) > before);
    assert_eq!(s.committed(&group, &at).unwrap().0, member.owned[&at]);
    member.close();
}

pub(super) fn acknowledged_is_the_offset_after_the_last_record(s: &Subject) {
    let output = s.topic("out", 2);
    let mut member = s.member(&s.name("g"), &[&s.topic("in", 1)], &s.name("x"));
    let at = |p| TopicPartition::new(Arc::clone(&output), p);
    assert_eq!(member.session.acknowledged(&at(0)), None);
    for round in ["1", "2", "3"] {
        member.produce(&output, 1, &[round, "x"]);
        member.commit(&[]).unwrap();
        let last = s.visible(&output).pop().unwrap();
        assert_eq!(member.session.acknowledged(&at(1)).unwrap().0, last.offset + 1);
    }
    assert_eq!(member.session.acknowledged(&at(0)), None);
    member.close();
}

pub(super) fn the_last_value_of_each_key_survives_compaction(s: &Subject) {
    // Settings that make Kafka compact as eagerly as it ever does; it may still not have done so.
    let topic = s.topic_with(
        "compacted",
        1,
        &[
            ("cleanup.policy", "compact"),
            ("segment.ms", "100"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("delete.retention.ms", "100"),
        ],
    );
    let mut member = s.member(&s.name("g"), &[&s.topic("in", 1)], &s.name("x"));
    let mut model: BTreeMap<String, Option<String>> = BTreeMap::new();
    for round in 0..40_u32 {
        for key in 0..50_u32 {
            let gone = key % 10 == 3 && round == 39;
            let (key, value) = (format!("k{key}"), (!gone).then(|| format!("v{round}-{key}")));
            let batch = key_value(&key, value.as_deref());
            member.session.produce(&topic, &batch, &[0]).unwrap();
            model.insert(key, value);
        }
        member.commit(&[]).unwrap();
        compare(s, &topic, &model);
        if round % 10 == 9 {
            // A chance for a compaction in the background to do something wrong.
            for _ in 0..5 {
                std::thread::sleep(Duration::from_millis(20));
                compare(s, &topic, &model);
            }
        }
    }
    member.close();
}

/// What keys have as values; those without one are left out.
fn live(table: &BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
    let live = |(key, value): (&String, &Option<String>)| Some((key.clone(), value.clone()?));
    table.iter().filter_map(live).collect()
}

/// That the last values of a topic are right. A tombstone may itself be compacted away: then its
/// key is absent, which means the same.
fn compare(s: &Subject, topic: &Arc<str>, model: &BTreeMap<String, Option<String>>) {
    let mut found = BTreeMap::new();
    let mut last = -1;
    for record in s.visible(topic) {
        assert!(record.offset > last, "offsets rise over compacted gaps");
        last = record.offset;
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        found.insert(key, record.value.is_some().then(|| record.text()));
    }
    assert_eq!(live(&found), live(model));
}
