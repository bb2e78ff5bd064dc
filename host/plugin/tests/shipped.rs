//! The shipped plugins, as components.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use common::{Runner, batch, codes, outputs, values};
use proptest::prelude::*;
use record::Batch;

#[test]
fn word_split_makes_words_their_own_keys() {
    let mut split = Runner::new("word_split", "{}");
    let mut input = batch(&[
        (Some("k"), Some("Don't STOP, \u{c9}t\u{e9}!")),
        (None, Some("")),
        (Some("k"), None),
        (None, Some("42")),
    ]);
    input.values.push(Some(&[0xff]));
    input.timestamps.push(9);
    input.offsets.push(9);
    let emitted = split.run(&mut input).unwrap();
    let words: Vec<_> = outputs(&emitted, &input);
    let word = |word: &str| (Some(word.to_owned()), Some(word.to_owned()));
    assert_eq!(words, [word("don't"), word("stop"), word("\u{e9}t\u{e9}"), word("42")]);
    assert_eq!(codes(&emitted), [(4, "bad-utf8")]);
    assert!(split.transform.description().ports[0].rekeys);
}

#[test]
fn word_count_counts_by_key() {
    let mut count = Runner::new("word_count", "{}");
    let mut input = batch(&[(Some("a"), Some("a")), (None, Some("a")), (Some("a"), None)]);
    let emitted = count.run(&mut input).unwrap();
    assert_eq!(
        outputs(&emitted, &input),
        [
            (Some("a".to_owned()), Some(r#"{"word":"a","count":1}"#.to_owned())),
            (Some("a".to_owned()), Some(r#"{"word":"a","count":2}"#.to_owned())),
        ]
    );
    assert_eq!(codes(&emitted), [(1, "no-key")]);
    let state = count.state.0.as_mut().unwrap();
    assert_eq!(state.get(0, b"a").unwrap(), Some(2u64.to_le_bytes().to_vec()));
}

#[test]
fn temperature_wants_the_room_as_key() {
    let mut temperature = Runner::new("temperature", "{}");
    let reading = Some(r#"{"room":"a","temp":20.5,"ts":5}"#);
    let mut input = batch(&[
        (Some("a"), reading),
        (Some("b"), reading),
        (None, reading),
        (Some("a"), reading),
    ]);
    let emitted = temperature.run(&mut input).unwrap();
    assert_eq!(
        values(&emitted, &input),
        [
            r#"{"room":"a","temp":20.5,"delta":null,"avg":20.5,"count":1,"ts":5}"#,
            r#"{"room":"a","temp":20.5,"delta":0.0,"avg":20.5,"count":2,"ts":5}"#,
        ]
    );
    assert_eq!(codes(&emitted), [(1, "wrong-key"), (2, "no-key")]);
    assert!(emitted.failures[0].message.contains("give the source"));
}

#[test]
fn enrich_reads_headers() {
    let mut enrich = Runner::new("enrich", r#"{"fields":{"site":"x"},"headers":{"agent":"User-Agent"}}"#);
    let mut input = batch(&[(None, Some(r#"{"a":1}"#)), (None, None)]);
    input.headers.push(b"user-agent", Some(b"curl"));
    input.headers.close(0);
    input.headers.finish(2);
    let before = input.clone();
    let emitted = enrich.run(&mut input).unwrap();
    assert_eq!(
        values(&emitted, &input),
        [r#"{"a":1,"site":"x","agent":"curl"}"#, "null"]
    );
    assert_eq!(input.headers, before.headers);
}

#[test]
fn label_prints_key_and_value() {
    let mut label = Runner::new("label", "{}");
    let mut input = batch(&[(Some("A"), Some("4")), (None, Some("7")), (Some("B"), None)]);
    let emitted = label.run(&mut input).unwrap();
    assert_eq!(values(&emitted, &input), ["A: 4", "null"]);
    assert_eq!(codes(&emitted), [(1, "no-key")]);
}

#[test]
fn bench_plugins_write_what_the_bare_loop_writes() {
    let reading = |temp: f64| {
        format!(r#"{{"room":"r7","temp":{temp:.2},"ts":1732000000123,"site":"plant-7","seq":5,"unit":"celsius"}}"#)
    };
    let (first, second) = (reading(20.0), reading(22.5));
    let records = [(Some("r7"), Some(first.as_str())), (Some("r7"), Some(second.as_str()))];
    let mut input = batch(&records);
    let emitted = Runner::new("bench_temperature", "{}").run(&mut input).unwrap();
    assert_eq!(
        values(&emitted, &input),
        [
            r#"{"room":"r7","delta":0.0,"avg":20.0}"#,
            r#"{"room":"r7","delta":2.5,"avg":21.25}"#,
        ]
    );
    let emitted = Runner::new("bench_json", "{}").run(&mut batch(&records[..1])).unwrap();
    assert_eq!(
        values(&emitted, &input),
        [r#"{"origin":"bench","room":"R7","seq":5,"site":"plant-7","temp":20.0,"ts":1732000000123,"unit":"celsius"}"#]
    );
}

#[test]
fn the_batch_comes_back_as_it_was() {
    let mut split = Runner::new("word_split", "{}");
    let mut input = batch(&[(Some("k"), Some("a b")), (None, None)]);
    let before = input.clone();
    split.run(&mut input).unwrap();
    assert_eq!(
        (&input.keys, &input.values, &input.timestamps, &input.offsets),
        (&before.keys, &before.values, &before.timestamps, &before.offsets)
    );
}

/// Everything that a plugin made of records, cut into batches of these sizes.
fn run_cut(dir: &str, records: &[(String, String)], cuts: &[usize]) -> (Vec<String>, Vec<(u32, String)>) {
    let mut runner = Runner::new(dir, "{}");
    let (mut all, mut failed, mut at) = (Vec::new(), Vec::new(), 0);
    let mut cuts = cuts.iter().cycle();
    while at < records.len() {
        let end = (at + cuts.next().unwrap()).min(records.len());
        let run: Vec<_> = records[at..end]
            .iter()
            .map(|(key, value)| ((!key.is_empty()).then_some(key.as_str()), Some(value.as_str())))
            .collect();
        let mut input: Batch = batch(&run);
        let emitted = runner.run_as_task(&mut input).unwrap();
        all.extend(
            outputs(&emitted, &input)
                .into_iter()
                .map(|output| format!("{output:?}")),
        );
        failed.extend(
            codes(&emitted)
                .into_iter()
                .map(|(i, code)| (i + at as u32, code.to_owned())),
        );
        at = end;
    }
    (all, failed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn results_do_not_depend_on_cuts(
        records in proptest::collection::vec(("[ab]?", 0..5_u8, -50.0..50.0_f64), 1..60),
        cuts in proptest::collection::vec(1..20_usize, 1..5),
    ) {
        let readings: Vec<_> = records
            .iter()
            .map(|(key, kind, temp)| {
                // Some readings are of another room, and some are no JSON: they fail in between.
                let room = if *kind == 0 { "z" } else { key };
                let value = format!(r#"{{"room":"{room}","temp":{temp},"ts":1}}"#);
                (key.clone(), if *kind == 1 { "no json".to_owned() } else { value })
            })
            .collect();
        for dir in ["temperature", "word_count", "word_split"] {
            prop_assert_eq!(run_cut(dir, &readings, &cuts), run_cut(dir, &readings, &[1]));
        }
        // `bad` stores and emits before it fails: both are taken back.
        let poison: Vec<_> = records
            .iter()
            .map(|(key, kind, _)| (key.clone(), if *kind == 0 { "bad" } else { "good" }.to_owned()))
            .collect();
        prop_assert_eq!(run_cut("misbehaving/poison", &poison, &cuts), run_cut("misbehaving/poison", &poison, &[1]));
    }
}
