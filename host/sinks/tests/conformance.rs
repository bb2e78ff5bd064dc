//! The same cases for every sink that writes rows or documents.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::json;
use support::mongo::Mongo;
use support::mysql::MySql;
use support::sqlite::Sqlite;
use support::{KeyValue, System, batch, counts, expected, next_of, open, rejections, write};

/// Records that come again, cut otherwise, change nothing; where positions are kept, `open` says
/// where to go on.
async fn replays_converge<S: System>() {
    let system = S::fresh().await;
    let mut sink = system.sink(&json!({}));
    assert_eq!(open(&mut *sink, 0).await, None);
    write(
        &mut *sink,
        &counts(0, 10, &[("a", Some(1)), ("b", Some(1)), ("a", Some(2))]),
    )
    .await;
    write(&mut *sink, &counts(0, 13, &[("a", Some(3)), ("c", None)])).await;
    let rows = expected(&[("a", 3), ("b", 1)]);
    assert_eq!(system.counts().await, rows);

    // A crash before the group's offset was committed, and another process.
    let mut sink = system.sink(&json!({}));
    assert_eq!(open(&mut *sink, 0).await, S::KEEPS_POSITIONS.then_some(15));
    write(&mut *sink, &counts(0, 10, &[("a", Some(1))])).await;
    assert_eq!(system.counts().await, rows, "an older record never shows again");
    write(
        &mut *sink,
        &counts(
            0,
            11,
            &[
                ("b", Some(1)),
                ("a", Some(2)),
                ("a", Some(3)),
                ("c", None),
                ("c", Some(7)),
            ],
        ),
    )
    .await;
    assert_eq!(system.counts().await, expected(&[("a", 3), ("b", 1), ("c", 7)]));
    assert_eq!(open(&mut *sink, 0).await, S::KEEPS_POSITIONS.then_some(16));
}

/// Within one batch the last record of a key counts; a tombstone deletes its row, also where it
/// never was.
async fn keys_are_folded<S: System>() {
    let system = S::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    write(
        &mut *sink,
        &counts(0, 0, &[("kept", Some(1)), ("gone", Some(1)), ("back", Some(1))]),
    )
    .await;
    let words = [
        ("new", Some(1)),
        ("gone", None),
        ("never", None),
        ("new", Some(2)),
        ("back", None),
        ("short", Some(1)),
        ("short", None),
        ("back", Some(5)),
    ];
    write(&mut *sink, &counts(0, 3, &words)).await;
    assert_eq!(system.counts().await, expected(&[("back", 5), ("kept", 1), ("new", 2)]));
}

/// Keys that a forgiving comparison takes for the same are different rows.
async fn keys_differ_by_every_byte<S: System>() {
    let system = S::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    let words = [
        "the",
        "The",
        "thé",
        "the ",
        "straße",
        "strasse",
        "",
        "日本",
        "'; DROP TABLE wordCount; --",
        "a\"b`c\\",
    ];
    let all: Vec<_> = words
        .iter()
        .enumerate()
        .map(|(i, word)| (*word, Some(i as i64)))
        .collect();
    write(&mut *sink, &counts(0, 0, &all)).await;
    let rows: Vec<_> = words.iter().enumerate().map(|(i, word)| (*word, i as i64)).collect();
    assert_eq!(system.counts().await, expected(&rows));
    write(
        &mut *sink,
        &counts(0, 10, &[("the ", None), ("THE", None), ("The", Some(70))]),
    )
    .await;
    let left = system.counts().await;
    assert_eq!(left.len(), words.len() - 1);
    assert_eq!(
        (left.get("the"), left.get("The"), left.get("the ")),
        (Some(&Some(0)), Some(&Some(70)), None)
    );
}

/// Two partitions of one sink go on by themselves.
async fn partitions_are_apart<S: System>() {
    let system = S::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    open(&mut *sink, 1).await;
    write(&mut *sink, &counts(0, 100, &[("a", Some(1))])).await;
    write(&mut *sink, &counts(1, 5, &[("b", Some(1))])).await;
    write(&mut *sink, &counts(1, 6, &[("b", Some(2))])).await;
    sink.close(&support::partition(0).at).await;
    write(&mut *sink, &counts(1, 7, &[("c", Some(3))])).await;
    assert_eq!(system.counts().await, expected(&[("a", 1), ("b", 2), ("c", 3)]));
    let mut other = system.sink(&json!({}));
    assert_eq!(open(&mut *other, 0).await, S::KEEPS_POSITIONS.then_some(101));
    assert_eq!(open(&mut *other, 1).await, S::KEEPS_POSITIONS.then_some(8));
}

/// Bad records are named all at once by their index, and the rest is written without them.
async fn bad_records_are_named<S: System>() {
    let system = S::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    let records: [KeyValue<'_>; 6] = [
        (Some(b"a"), Some(br#"{"word":"a","count":1}"#)),
        (Some(b"b"), Some(b"no json")),
        (Some(b"c"), Some(br#"{"word":"c","count":3}"#)),
        (Some(b"d"), Some(b"[1]")),
        (Some(b"e"), Some(br#"{"word":"e","count":1e400}"#)),
        (None, None),
    ];
    let bad = batch(0, 20, &records);
    let found = rejections(sink.write(&bad, &[], next_of(&bad)).await);
    let indexes: Vec<u32> = found.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [1, 3, 4, 5], "{found:?}");
    assert_eq!(
        (found[0].1.as_str(), found[1].1.as_str(), found[3].1.as_str()),
        ("bad-json", "not-an-object", "bad-key")
    );
    sink.write(&bad, &indexes, next_of(&bad))
        .await
        .expect("the rest is written");
    assert_eq!(system.counts().await, expected(&[("a", 1), ("c", 3)]));
    assert_eq!(open(&mut *sink, 0).await, S::KEEPS_POSITIONS.then_some(26));
}

/// A batch whose records are all skipped, or which holds none, still moves the position.
async fn skipped_batches_move_on<S: System>() {
    let system = S::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    let all = counts(0, 0, &[("a", Some(1))]);
    // Behind the last record: transaction markers take offsets too.
    sink.write(&all, &[0], record::NextOffset(3)).await.expect("written");
    assert_eq!(system.counts().await, expected(&[]));
    assert_eq!(open(&mut *sink, 0).await, S::KEEPS_POSITIONS.then_some(3));
}

/// docs/records.md: what becomes of each kind of record.
async fn every_kind_of_record<S: System>() {
    let system = S::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    let mut offset = 0;
    let mut records = |list: &[KeyValue<'_>]| {
        let made = batch(0, offset, list);
        offset += list.len() as i64;
        made
    };

    // Null value: the row of the key goes.
    write(
        &mut *sink,
        &records(&[(Some(b"k"), Some(br#"{"word":"k","count":1}"#))]),
    )
    .await;
    write(&mut *sink, &records(&[(Some(b"k"), None)])).await;
    assert_eq!(system.counts().await, expected(&[]));

    // Empty value, invalid UTF-8: rejected.
    let empty = records(&[(Some(b"k"), Some(b""))]);
    assert_eq!(
        rejections(sink.write(&empty, &[], next_of(&empty)).await),
        [(0, "bad-json".to_owned())]
    );
    let invalid = records(&[(Some(b"k"), Some(b"{\"word\":\"\xff\"}"))]);
    assert_eq!(
        rejections(sink.write(&invalid, &[], next_of(&invalid)).await),
        [(0, "bad-json".to_owned())]
    );

    // 1 MB.
    let large = "ü".repeat(500_000);
    let value = json!({"word": "large", "count": 1, "text": large}).to_string();
    write(&mut *sink, &records(&[(Some(b"large"), Some(value.as_bytes()))])).await;
    assert_eq!(system.text("large").await, Some(Some(large)));

    // Many headers: they are not written.
    let mut headers = records(&[(Some(b"headed"), Some(br#"{"word":"headed","count":1,"text":""}"#))]);
    for i in 0..100 {
        headers.headers.push(format!("h{i}").as_bytes(), Some(b"v"));
    }
    headers.headers.close(0);
    write(&mut *sink, &headers).await;
    assert_eq!(
        system.text("headed").await,
        Some(Some(String::new())),
        "an empty text is no null"
    );

    // Nulls inside.
    write(
        &mut *sink,
        &records(&[(Some(b"null"), Some(br#"{"word":"null","count":null,"text":null}"#))]),
    )
    .await;
    assert_eq!(system.text("null").await, Some(None));

    // No key: a row by its fields, a document by its place.
    let keyless = records(&[(None, Some(br#"{"word":"keyless","count":9,"text":"t"}"#))]);
    let place = if S::KEEPS_POSITIONS {
        "keyless".to_owned()
    } else {
        format!("wc-totals:0:{}", keyless.offsets[0])
    };
    write(&mut *sink, &keyless).await;
    assert_eq!(system.counts().await.get(&place), Some(&Some(9)));
}

/// Thousands of rows with values that do not fit one statement.
async fn large_batches_are_cut<S: System>() {
    let system = S::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    let words: Vec<String> = (0..3_000).map(|i| format!("w{i}")).collect();
    let all: Vec<_> = words
        .iter()
        .enumerate()
        .map(|(i, word)| (word.as_str(), Some(i as i64)))
        .collect();
    write(&mut *sink, &counts(0, 0, &all)).await;
    let text = "x".repeat(1 << 20);
    let values: Vec<String> = (0..24)
        .map(|i| json!({"word": format!("w{i}"), "count": -i, "text": text}).to_string())
        .collect();
    let records: Vec<_> = words
        .iter()
        .zip(&values)
        .map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes())))
        .collect();
    write(&mut *sink, &batch(0, 3_000, &records)).await;
    let rows = system.counts().await;
    assert_eq!(rows.len(), 3_000);
    assert_eq!((rows["w7"], rows["w2999"]), (Some(-7), Some(2_999)));
    let tombstones: Vec<_> = words.iter().skip(1).map(|word| (word.as_str(), None)).collect();
    write(&mut *sink, &counts(0, 3_024, &tombstones)).await;
    assert_eq!(system.counts().await.len(), 1);
}

macro_rules! conformance {
    ($module:ident, $system:ty, $($case:ident),+ $(,)?) => {
        mod $module {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                super::$case::<$system>().await;
            })+
        }
    };
    ($($module:ident: $system:ty),+ $(,)?) => {
        $(conformance!(
            $module, $system, replays_converge, keys_are_folded, keys_differ_by_every_byte, partitions_are_apart,
            bad_records_are_named, skipped_batches_move_on, every_kind_of_record, large_batches_are_cut,
        );)+
    };
}

conformance!(mysql: MySql, sqlite: Sqlite, mongodb: Mongo);
