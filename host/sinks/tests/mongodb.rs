//! What only documents have: ids, the guard, modes, and answers that get lost.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use mongodb::IndexModel;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;
use serde_json::json;
use support::mongo::Mongo;
use support::proxy::Proxy;
use support::{
    KeyValue, System, batch, connector, counts, expect_fatal, expect_retriable, expected, next_of, open, partition,
    rejections, write,
};

fn without_origin(document: Option<Document>) -> Document {
    let mut document = document.expect("a document");
    document.remove("_wasmill");
    document
}

async fn unique_index(system: &Mongo, field: &str) {
    let options = IndexOptions::builder().unique(true).build();
    let model = IndexModel::builder().keys(doc! { field: 1 }).options(options).build();
    system.collection().create_index(model).await.expect("an index");
}

#[tokio::test]
async fn documents_say_where_they_come_from() {
    let system = Mongo::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 3).await;
    write(&mut *sink, &counts(3, 7, &[("a", Some(1)), ("a", Some(2))])).await;
    let expected = doc! {
        "_id": "a", "word": "a", "count": 2_i32,
        "_wasmill": {
            "incarnation": "0", "topic": "wc-totals", "topic_id": "topic-id-1", "partition": 3_i64, "offset": 8_i64,
        },
    };
    assert_eq!(system.find("a").await, Some(expected));
}

/// A process that does not know that it was replaced writes no document back.
#[tokio::test]
async fn an_older_write_is_dropped() {
    let system = Mongo::fresh().await;
    for mode in ["replace", "update"] {
        let mut old = system.sink(&json!({"mode": mode}));
        let mut new = system.sink(&json!({"mode": mode}));
        open(&mut *old, 0).await;
        open(&mut *new, 0).await;
        write(&mut *new, &counts(0, 100, &[("a", Some(9)), ("b", Some(9))])).await;
        write(
            &mut *old,
            &counts(0, 98, &[("a", Some(1)), ("b", None), ("new", Some(1))]),
        )
        .await;
        assert_eq!(
            system.counts().await,
            expected(&[("a", 9), ("b", 9), ("new", 1)]),
            "{mode}"
        );
        write(&mut *new, &counts(0, 102, &[("a", None), ("b", None), ("new", None)])).await;
        assert_eq!(system.counts().await, expected(&[]), "{mode}");
    }
}

/// Offsets are compared within a partition, a topic id and an incarnation only.
#[tokio::test]
async fn the_guard_lets_other_origins_pass() {
    let system = Mongo::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    open(&mut *sink, 1).await;
    write(&mut *sink, &counts(0, 100, &[("a", Some(1))])).await;
    write(&mut *sink, &counts(1, 5, &[("a", Some(2))])).await;
    assert_eq!(system.counts().await, expected(&[("a", 2)]));

    let mut recreated = partition(1);
    recreated.topic_id = "topic-id-2".to_owned();
    sink.open(&recreated).await.expect("opened");
    write(&mut *sink, &counts(1, 0, &[("a", Some(3))])).await;
    assert_eq!(system.counts().await, expected(&[("a", 3)]));

    let mut reset = system.sink_of(&json!({}), "1");
    reset.open(&recreated).await.expect("opened");
    write(&mut *reset, &counts(1, 0, &[("a", Some(4))])).await;
    assert_eq!(system.counts().await, expected(&[("a", 4)]));

    // A document that somebody else has put there.
    system
        .collection()
        .insert_one(doc! { "_id": "own", "count": 1_i32 })
        .await
        .expect("inserted");
    write(&mut *reset, &counts(1, 1, &[("own", Some(5))])).await;
    assert_eq!(system.counts().await, expected(&[("a", 4), ("own", 5)]));
}

#[tokio::test]
async fn without_the_guard_the_last_write_counts() {
    let system = Mongo::fresh().await;
    let mut sink = system.sink(&json!({"guard": false}));
    open(&mut *sink, 0).await;
    write(&mut *sink, &counts(0, 100, &[("a", Some(9))])).await;
    write(&mut *sink, &counts(0, 5, &[("a", Some(1)), ("b", Some(1))])).await;
    assert_eq!(
        system.find("a").await,
        Some(doc! { "_id": "a", "word": "a", "count": 1_i32 })
    );
    write(&mut *sink, &counts(0, 2, &[("a", None)])).await;
    assert_eq!(system.counts().await, expected(&[("b", 1)]));
}

#[tokio::test]
async fn updates_set_fields_and_leave_others() {
    let system = Mongo::fresh().await;
    let mut sink = system.sink(&json!({"mode": "update"}));
    open(&mut *sink, 0).await;
    let records: [KeyValue<'_>; 5] = [
        (Some(b"a"), Some(br#"{"x":1,"y":{"z":1}}"#)),
        (Some(b"b"), Some(br#"{"x":1}"#)),
        (Some(b"a"), Some(br#"{"y":2}"#)),
        (Some(b"empty"), Some(b"{}")),
        (Some(b"b"), None),
    ];
    write(&mut *sink, &batch(0, 0, &records)).await;
    assert_eq!(
        without_origin(system.find("a").await),
        doc! { "_id": "a", "x": 1_i32, "y": 2_i32 }
    );
    assert_eq!(without_origin(system.find("empty").await), doc! { "_id": "empty" });
    assert_eq!(system.find("b").await, None);
    write(&mut *sink, &batch(0, 5, &[(Some(b"a"), Some(br#"{"x":5}"#))])).await;
    assert_eq!(
        without_origin(system.find("a").await),
        doc! { "_id": "a", "x": 5_i32, "y": 2_i32 }
    );
    // After a tombstone a document starts anew.
    let again: [KeyValue<'_>; 2] = [(Some(b"a"), None), (Some(b"a"), Some(br#"{"w":1}"#))];
    write(&mut *sink, &batch(0, 6, &again)).await;
    assert_eq!(without_origin(system.find("a").await), doc! { "_id": "a", "w": 1_i32 });
}

#[tokio::test]
async fn inserts_refuse_ids_that_are_taken_but_not_replays() {
    let system = Mongo::fresh().await;
    let mut sink = system.sink(&json!({"mode": "insert"}));
    open(&mut *sink, 0).await;
    let first = counts(0, 0, &[("a", Some(1)), ("b", Some(1))]);
    write(&mut *sink, &first).await;
    write(&mut *sink, &first).await;
    let words = [
        ("a", Some(2)),
        ("c", Some(1)),
        ("b", None),
        ("b", Some(3)),
        ("b", Some(4)),
    ];
    let second = counts(0, 2, &words);
    for _ in 0..2 {
        let found = rejections(sink.write(&second, &[], next_of(&second)).await);
        assert_eq!(
            found,
            [(0, "duplicate-key".to_owned()), (4, "duplicate-key".to_owned())]
        );
        assert_eq!(system.counts().await, expected(&[("a", 1), ("b", 3), ("c", 1)]));
    }
    sink.write(&second, &[0, 4], next_of(&second))
        .await
        .expect("the rest is there");
    assert_eq!(system.counts().await, expected(&[("a", 1), ("b", 3), ("c", 1)]));
    // Records without a key are as many documents.
    let keyless: [KeyValue<'_>; 2] = [(None, Some(b"{}")), (None, Some(b"{}"))];
    write(&mut *sink, &batch(0, 7, &keyless)).await;
    assert!(system.find("wc-totals:0:7").await.is_some() && system.find("wc-totals:0:8").await.is_some());
}

#[tokio::test]
async fn ids_come_from_the_key_or_the_value() {
    let system = Mongo::fresh().await;
    let mut sink = system.sink(&json!({"id": "/who/id"}));
    open(&mut *sink, 0).await;
    let records: [KeyValue<'_>; 3] = [
        (Some(b"x"), Some(br#"{"who":{"id":7},"n":1}"#)),
        (Some(b"y"), Some(br#"{"who":{"id":7},"n":2}"#)),
        (None, Some(br#"{"who":{"id":"text"},"n":3}"#)),
    ];
    write(&mut *sink, &batch(0, 0, &records)).await;
    assert_eq!(
        system.find(7).await.and_then(|document| document.get_i32("n").ok()),
        Some(2)
    );
    assert_eq!(
        system
            .find("text")
            .await
            .and_then(|document| document.get_i32("n").ok()),
        Some(3)
    );
    let missing = batch(0, 3, &[(Some(b"k"), Some(br#"{"n":1}"#))]);
    assert_eq!(
        rejections(sink.write(&missing, &[], next_of(&missing)).await),
        [(0, "bad-id".to_owned())]
    );

    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    write(
        &mut *sink,
        &batch(
            0,
            4,
            &[
                (Some(b"\xff\x00"), Some(br#"{"n":4}"#)),
                (Some(b""), Some(br#"{"n":5}"#)),
            ],
        ),
    )
    .await;
    let bytes = mongodb::bson::Binary {
        subtype: mongodb::bson::spec::BinarySubtype::Generic,
        bytes: vec![0xff, 0],
    };
    assert_eq!(
        system.find(bytes).await.and_then(|document| document.get_i32("n").ok()),
        Some(4)
    );
    assert_eq!(
        system.find("").await.and_then(|document| document.get_i32("n").ok()),
        Some(5)
    );
}

#[tokio::test]
async fn numbers_keep_their_type() {
    let system = Mongo::fresh().await;
    let mut sink = system.sink(&json!({"guard": false}));
    open(&mut *sink, 0).await;
    let value =
        br#"{"i":1,"l":4294967296,"h":123456789012345678901234567890,"f":1.0,"b":true,"n":null,"a":[1,{"x":"y"}]}"#;
    write(&mut *sink, &batch(0, 0, &[(Some(b"k"), Some(value))])).await;
    let expected = doc! {
        "_id": "k", "i": 1_i32, "l": 4_294_967_296_i64, "h": "123456789012345678901234567890", "f": 1.0, "b": true,
        "n": Bson::Null, "a": [1_i32, { "x": "y" }],
    };
    assert_eq!(system.find("k").await, Some(expected));
}

/// A second unique index refuses a document: named by its index, also within merged updates.
#[tokio::test]
async fn documents_that_another_index_refuses_are_named() {
    let system = Mongo::fresh().await;
    unique_index(&system, "email").await;
    let record = |key: &'static [u8], value: &'static [u8]| (Some(key), Some(value));
    let records = [
        record(b"a", br#"{"email":"a@x"}"#),
        record(b"b", br#"{"email":"b@x"}"#),
        record(b"c", br#"{"email":"a@x"}"#),
        record(b"d", br#"{"email":"d@x"}"#),
    ];
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    let first = batch(0, 0, &records);
    assert_eq!(
        rejections(sink.write(&first, &[], next_of(&first)).await),
        [(2, "duplicate-key".to_owned())]
    );
    sink.write(&first, &[2], next_of(&first))
        .await
        .expect("the rest is written");
    let mut ids: Vec<_> = system
        .all()
        .await
        .iter()
        .filter_map(|document| document.get_str("_id").map(str::to_owned).ok())
        .collect();
    ids.sort();
    assert_eq!(ids, ["a", "b", "d"]);

    let mut sink = system.sink(&json!({"mode": "update"}));
    open(&mut *sink, 0).await;
    // New documents again: FerretDB has another error for one that is there already.
    let records = [
        record(b"a", br#"{"n":1}"#),
        record(b"e", br#"{"email":"a@x"}"#),
        record(b"e", br#"{"n":2}"#),
        record(b"d", br#"{"n":3}"#),
    ];
    let second = batch(0, 4, &records);
    assert_eq!(
        rejections(sink.write(&second, &[], next_of(&second)).await),
        [(1, "duplicate-key".to_owned())]
    );
    sink.write(&second, &[1], next_of(&second))
        .await
        .expect("the rest is written");
    assert_eq!(without_origin(system.find("e").await), doc! { "_id": "e", "n": 2_i32 });
    assert_eq!(
        without_origin(system.find("d").await),
        doc! { "_id": "d", "email": "d@x", "n": 3_i32 }
    );
}

#[tokio::test]
async fn documents_beyond_16_mib_are_refused() {
    let system = Mongo::fresh().await;
    let mut sink = system.sink(&json!({}));
    open(&mut *sink, 0).await;
    let value = json!({"text": "x".repeat(16 << 20)}).to_string();
    let large = batch(0, 0, &[(Some(b"a"), Some(value.as_bytes())), (Some(b"b"), Some(b"{}"))]);
    assert_eq!(
        rejections(sink.write(&large, &[], next_of(&large)).await),
        [(0, "too-large".to_owned())]
    );
    sink.write(&large, &[0], next_of(&large))
        .await
        .expect("the rest is written");
    assert!(system.find("b").await.is_some() && system.find("a").await.is_none());
}

/// The server carries a command out and nobody hears it: written again, the documents are exact.
#[tokio::test]
async fn a_lost_answer_is_written_again() {
    let system = Mongo::fresh().await;
    let upstream = system
        .url
        .trim_start_matches("mongodb://")
        .split(['/', '?'])
        .next()
        .and_then(|place| place.rsplit('@').next())
        .expect("a host")
        .to_owned();
    let query = if system.url.contains('?') { "&" } else { "/?" };
    for (mode, needle) in [
        ("replace", &b"updates"[..]),
        ("update", b"updates"),
        ("insert", b"documents"),
    ] {
        let proxy = Proxy::start(upstream.clone(), needle).await;
        let through = system.url.replace(&upstream, &format!("127.0.0.1:{}", proxy.port));
        let url = format!("{}{query}directConnection=true", through.trim_end_matches('/'));
        let mut sink = system.sink(&json!({"url": url, "mode": mode, "timeout_ms": 10_000}));
        open(&mut *sink, 0).await;
        write(&mut *sink, &counts(0, 0, &[("a", Some(1))])).await;
        proxy.lose_answers(1);
        let second = counts(0, 1, &[("b", Some(1)), ("c", Some(2))]);
        expect_retriable(sink.write(&second, &[], next_of(&second)).await);
        assert_eq!(proxy.left(), 0, "the answer was lost");
        assert_eq!(open(&mut *sink, 0).await, None);
        write(&mut *sink, &second).await;
        assert_eq!(
            system.counts().await,
            expected(&[("a", 1), ("b", 1), ("c", 2)]),
            "{mode}"
        );
        system.collection().delete_many(doc! {}).await.expect("emptied");
    }
}

#[tokio::test]
async fn an_absent_server_is_tried_again() {
    let url = "mongodb://bob:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=300";
    let settings = json!({"url": url, "database": "d", "collection": "c"});
    let mut sink = wasmill_sinks::open(&connector("mongodb", &settings), "p", "0").expect("a sink");
    let what = expect_retriable(sink.open(&partition(0)).await.map(drop));
    assert!(!what.contains("hunter2"), "{what}");
}

#[test]
fn settings_that_do_not_fit_are_named() {
    for (settings, part) in [
        (
            json!({"url": "http://bob:hunter2@h", "database": "d", "collection": "c"}),
            "does not start with mongodb://",
        ),
        (
            json!({"url": "mongodb://h", "database": "a.b", "collection": "c"}),
            "`database`",
        ),
        (
            json!({"url": "mongodb://h", "database": "d", "collection": ""}),
            "`collection`",
        ),
        (
            json!({"url": "mongodb://h", "database": "d", "collection": "c", "id": "room"}),
            "JSON Pointer",
        ),
        (
            json!({"url": "mongodb://h", "database": "d"}),
            "missing field `collection`",
        ),
    ] {
        let what = expect_fatal(wasmill_sinks::open(&connector("mongodb", &settings), "p", "0").map(drop));
        assert!(what.contains(part) && !what.contains("hunter2"), "{what}");
    }
}
