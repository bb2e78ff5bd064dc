//! The `generator` source.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests as well")]

use record::batch::Batch;
use record::source::{ReadEnd, Source, SourceError};
use record::topology::Connector;

fn open(settings: &str) -> Result<Box<dyn Source>, SourceError> {
    wasmill_sources::open(&Connector {
        name: "g".into(),
        kind: "generator".to_owned(),
        settings: settings.to_owned(),
    })
}

/// Up to `limit` records, in reads of `records`.
fn made(settings: &str, records: usize, limit: usize) -> (Batch, ReadEnd) {
    let mut source = open(settings).unwrap();
    source.open(None).unwrap();
    let mut batch = Batch::new("t".into(), 0);
    loop {
        let end = source.read(records, &mut batch, &mut Vec::new()).unwrap();
        if end == ReadEnd::End || batch.len() >= limit {
            return (batch, end);
        }
    }
}

fn values(batch: &Batch) -> Vec<&str> {
    batch
        .values
        .iter()
        .map(|value| std::str::from_utf8(value.unwrap()).unwrap())
        .collect()
}

#[test]
fn numbers_with_a_key() {
    let (batch, end) = made(r#"{"start":1,"step":2,"count":4,"key":"B"}"#, 3, 100);
    assert_eq!(values(&batch), ["1", "3", "5", "7"]);
    assert!(batch.keys.iter().all(|key| key == Some(b"B")));
    assert_eq!(end, ReadEnd::End);
    assert!(batch.timestamps.iter().all(|ts| *ts > 1_700_000_000_000));
    let (batch, end) = made(r#"{"kind":"numbers"}"#, 3, 5);
    assert_eq!(values(&batch), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(end, ReadEnd::More);
    assert!(batch.keys.iter().all(|key| key.is_none()));
}

#[test]
fn a_template_with_its_number() {
    let (batch, _) = made(
        r#"{"template":"{\"a\":{n},\"b\":\"<{n}>\"}","count":2,"start":-1,"key":"/a"}"#,
        9,
        9,
    );
    assert_eq!(values(&batch), [r#"{"a":-1,"b":"<-1>"}"#, r#"{"a":0,"b":"<0>"}"#]);
    // A pointer is the pipeline's.
    assert!(batch.keys.iter().all(|key| key.is_none()));
    assert_eq!(values(&made(r#"{"template":"same","count":1}"#, 9, 9).0), ["same"]);
}

#[test]
fn temperatures_of_some_rooms() {
    let settings = r#"{"kind":"temperature","rooms":2,"seed":3,"count":5}"#;
    let (batch, _) = made(settings, 2, 100);
    assert_eq!(
        values(&batch)[..3],
        [
            r#"{"room":"room-1","temp":20.5,"ts":1704067200000}"#,
            r#"{"room":"room-2","temp":20.8,"ts":1704067201000}"#,
            r#"{"room":"room-1","temp":20.2,"ts":1704067202000}"#,
        ]
    );
    assert_eq!(values(&batch), values(&made(settings, 5, 100).0));
    for value in values(&batch) {
        serde_json::from_str::<serde_json::Value>(value).unwrap();
    }
}

#[test]
fn every_position_goes_on_exactly() {
    for settings in [
        r#"{"count":20,"step":-3}"#,
        r#"{"template":"{n}","count":20}"#,
        r#"{"kind":"temperature","count":20}"#,
    ] {
        let (whole, _) = made(settings, 20, 20);
        let mut position: Option<String> = None;
        let mut batch = Batch::new("t".into(), 0);
        for size in [1, 3, 2].into_iter().cycle() {
            let mut source = open(settings).unwrap();
            source.open(position.as_deref()).unwrap();
            let end = source.read(size, &mut batch, &mut Vec::new()).unwrap();
            position = Some(source.position());
            if end == ReadEnd::End {
                assert_eq!(source.read(size, &mut batch, &mut Vec::new()).unwrap(), ReadEnd::End);
                break;
            }
        }
        assert_eq!(values(&batch), values(&whole));
    }
}

#[test]
fn a_rate_lets_one_through_at_first() {
    let mut source = open(r#"{"rate":0.01}"#).unwrap();
    source.open(None).unwrap();
    let mut batch = Batch::new("t".into(), 0);
    assert_eq!(source.read(9, &mut batch, &mut Vec::new()).unwrap(), ReadEnd::More);
    assert_eq!(source.read(9, &mut batch, &mut Vec::new()).unwrap(), ReadEnd::Idle);
    assert_eq!(values(&batch), ["0"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for settings in [
        r#"{"kind":"template"}"#,
        r#"{"kind":"temperature","rooms":0}"#,
        r#"{"kind":"noise"}"#,
        r#"{"rate":-1}"#,
        "nothing",
    ] {
        assert!(open(settings).is_err(), "{settings}");
    }
    let mut source = open("{}").unwrap();
    assert!(matches!(source.open(Some("t1:x")), Err(SourceError::Changed { .. })));
    let connector = Connector {
        name: "x".into(),
        kind: "ftp".to_owned(),
        settings: "{}".to_owned(),
    };
    let error = wasmill_sources::open(&connector).err().unwrap();
    assert!(error.to_string().contains("`ftp`"), "{error}");
}
