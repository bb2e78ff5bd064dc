//! docs/records.md: what the `kafka` source and the `kafka` sink make of every kind of record. Records
//! are written and read by clients of their own and compared byte by byte.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;
mod services;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use services::*;

const MEGABYTE: usize = 1 << 20;
/// By default a topic takes a megabyte and twelve bytes, frame and headers included.
const RAISED: [(&str, &str); 1] = [("max.message.bytes", "4194304")];
const LOWERED: [(&str, &str); 1] = [("max.message.bytes", "100000")];

type Bytes = Vec<u8>;

/// A record with everything that a producer gives it.
#[derive(Clone, PartialEq)]
struct Exact {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
    timestamp: i64,
}

impl Exact {
    /// The header by which Wasmill says something of a dead letter.
    fn note(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(own, _)| own == name);
        let value = found.and_then(|(_, value)| value.clone()).unwrap_or_default();
        String::from_utf8(value).unwrap()
    }

    /// Without those headers.
    fn without_notes(&self) -> Self {
        let mut without = self.clone();
        without.headers.retain(|(name, _)| !name.starts_with("wasmill-"));
        without
    }

    /// For messages of failed assertions.
    fn brief(&self) -> String {
        let text = |bytes: Option<&Bytes>| {
            bytes.map_or("null".to_owned(), |bytes| {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
                format!("{start:?} ({} bytes)", bytes.len())
            })
        };
        let (key, value) = (text(self.key.as_ref()), text(self.value.as_ref()));
        format!("{key}: {value}, {} headers, at {}", self.headers.len(), self.timestamp)
    }
}

fn exact(key: Option<&[u8]>, value: Option<&[u8]>) -> Exact {
    // Each kind has a time of its own, and none is so old that the broker deletes it.
    static NEXT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    Exact {
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: Vec::new(),
        timestamp: now - 3_600_000 + NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
    }
}

/// A hundred headers: names that repeat, values that are null, empty, and no UTF-8.
fn with_many_headers(mut record: Exact) -> Exact {
    for i in 0..99 {
        let value = match i % 10 {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(format!("v{i}").into_bytes()),
        };
        record.headers.push((format!("h{}", i % 50), value));
    }
    record.headers.push(("binary".to_owned(), Some(vec![0xff, 0xfe])));
    record
}

fn write(topic: &str, records: impl IntoIterator<Item = Exact>) {
    let producer: ThreadedProducer<DefaultProducerContext> = client()
        .set("message.max.bytes", "8388608")
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    for record in records {
        let mut out = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(0)
            .timestamp(record.timestamp);
        if let Some(key) = &record.key {
            out = out.key(key);
        }
        if let Some(value) = &record.value {
            out = out.payload(value);
        }
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            let value = value.as_deref();
            headers = headers.insert(Header { key, value });
        }
        if !record.headers.is_empty() {
            out = out.headers(headers);
        }
        assert!(producer.send(out).is_ok());
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// Waits for `count` committed records of partition 0, and a little longer for one too many.
fn read(topic: &str, count: usize) -> Vec<Exact> {
    let consumer: BaseConsumer = client()
        .set("group.id", "records")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&places).unwrap();
    let mut found = Vec::new();
    let mut until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        let Some(message) = consumer.poll(Duration::from_millis(50)) else {
            continue;
        };
        let message = message.unwrap();
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect()
        });
        found.push(Exact {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
            timestamp: message.timestamp().to_millis().unwrap(),
        });
        if found.len() == count {
            until = Instant::now() + Duration::from_millis(500);
        }
    }
    found
}

fn assert_same(found: &[Exact], wanted: &[(&str, Exact)]) {
    let brief: Vec<String> = found.iter().map(Exact::brief).collect();
    assert_eq!(found.len(), wanted.len(), "{brief:#?}");
    for (found, (kind, wanted)) in found.iter().zip(wanted) {
        assert!(found == wanted, "{kind}: {}, not {}", found.brief(), wanted.brief());
    }
}

/// The topics of a test, one partition each.
struct Topics {
    name: String,
    input: String,
    output: String,
    letters: String,
}

impl Topics {
    fn new(stem: &str, output_settings: &[(&str, &str)]) -> Self {
        let name = unique(stem);
        let topics = Self {
            input: format!("{name}-in"),
            output: format!("{name}-out"),
            letters: format!("{name}-dead"),
            name,
        };
        create_topic_with(&topics.input, 1, &RAISED);
        create_topic_with(&topics.output, 1, output_settings);
        create_topic_with(&topics.letters, 1, &RAISED);
        topics
    }

    /// From the input to the output, through `between` if that is not empty.
    fn pipeline(&self, dir: &Path, source: &str, between: &str) -> std::path::PathBuf {
        let last = if between.is_empty() { "in" } else { "between" };
        let text = format!(
            r#"
name = "{name}"
dead_letter_topic = "{letters}"
[kafka]
brokers = "{brokers}"
[sources.in]
type = "kafka"
topics = ["{input}"]
{source}
{between}
[sinks.out]
inputs = ["{last}"]
type = "kafka"
topic = "{output}"
"#,
            name = self.name,
            letters = self.letters,
            brokers = brokers(),
            input = self.input,
            output = self.output,
        );
        pipeline(dir, &text)
    }
}

fn run_to_end(dir: &Path, file: &Path) -> (Option<i32>, String) {
    let mut process = Process::run(dir, file, "p", &["--until-end"]);
    let code = process.wait(Duration::from_secs(120));
    (code, process.tail())
}

#[test]
fn a_topic_and_every_kind_of_record() {
    let large = vec![b'x'; MEGABYTE];
    let records = [
        ("null value", exact(Some(b"k"), None)),
        ("empty value", exact(Some(b"k"), Some(b""))),
        ("1 MB", exact(Some(b"k"), Some(&large))),
        ("invalid UTF-8", exact(Some(b"\xff"), Some(b"\xff\xfe\x00"))),
        ("no key", exact(None, Some(b"v"))),
        ("empty key", exact(Some(b""), Some(b"v"))),
        ("neither key nor value", exact(None, None)),
        ("many headers", with_many_headers(exact(Some(b"k"), Some(b"v")))),
        (
            "many headers and a null value",
            with_many_headers(exact(Some(b"k"), None)),
        ),
        ("no headers after many", exact(Some(b"k"), Some(b"v"))),
    ];
    let topics = Topics::new("records", &RAISED);
    let dir = tempfile::tempdir().unwrap();
    let file = topics.pipeline(dir.path(), "", "");
    write(&topics.input, records.iter().map(|(_, record)| record.clone()));
    let (code, tail) = run_to_end(dir.path(), &file);
    assert_eq!(code, Some(0), "{tail}");
    assert_same(&read(&topics.output, records.len()), &records);
}

#[test]
fn a_key_out_of_every_kind_of_record() {
    let large = format!(r#"{{"text":"{}","id":7}}"#, "x".repeat(MEGABYTE)).into_bytes();
    // What the pointer finds, or the code of the dead letter.
    let records = [
        ("null value", exact(Some(b"k"), None), Err("no-key")),
        ("empty value", exact(Some(b"k"), Some(b"")), Err("bad-json")),
        ("1 MB", exact(Some(b"k"), Some(&large)), Ok("7")),
        (
            "invalid UTF-8",
            exact(Some(b"k"), Some(b"{\"id\":1,\"a\":\"\xff\"}")),
            Err("bad-json"),
        ),
        ("no key", exact(None, Some(br#"{"id":"a"}"#)), Ok("a")),
        ("nothing there", exact(Some(b"k"), Some(br#"{"a":1}"#)), Err("no-key")),
        ("null there", exact(Some(b"k"), Some(br#"{"id":null}"#)), Err("no-key")),
        (
            "many headers",
            with_many_headers(exact(Some(b"k"), Some(br#"{"id":{"n":1}}"#))),
            Ok(r#"{"n":1}"#),
        ),
        (
            "many headers and a null value",
            with_many_headers(exact(Some(b"k"), None)),
            Err("no-key"),
        ),
    ];
    let topics = Topics::new("keys", &RAISED);
    let dir = tempfile::tempdir().unwrap();
    let source = "key = \"/id\"\non_undecodable = \"dead_letter\"";
    let file = topics.pipeline(dir.path(), source, "");
    write(&topics.input, records.iter().map(|(_, record, _)| record.clone()));
    let (code, tail) = run_to_end(dir.path(), &file);
    assert_eq!(code, Some(0), "{tail}");

    let keyed: Vec<(&str, Exact)> = records
        .iter()
        .filter_map(|(kind, record, key)| {
            let key = Some(key.ok()?.as_bytes().to_vec());
            Some((*kind, Exact { key, ..record.clone() }))
        })
        .collect();
    assert_same(&read(&topics.output, keyed.len()), &keyed);

    let refused: Vec<_> = records
        .iter()
        .enumerate()
        .filter_map(|(offset, (kind, record, key))| Some((offset, *kind, record.clone(), key.err()?)))
        .collect();
    let letters = read(&topics.letters, refused.len());
    let bare: Vec<Exact> = letters.iter().map(Exact::without_notes).collect();
    let wanted: Vec<(&str, Exact)> = refused
        .iter()
        .map(|(_, kind, record, _)| (*kind, record.clone()))
        .collect();
    assert_same(&bare, &wanted);
    for (letter, (offset, kind, _, code)) in letters.iter().zip(&refused) {
        assert_eq!(letter.note("wasmill-error-code"), *code, "{kind}");
        assert_eq!(
            letter.note("wasmill-origin"),
            format!("{}:0:{offset}", topics.input),
            "{kind}"
        );
    }
}

/// The output topic takes less than a megabyte.
#[test]
fn a_record_too_large_for_its_topic_goes_by_on_error() {
    let large = vec![b'x'; MEGABYTE];
    let records = [
        exact(Some(b"a"), Some(b"before")),
        with_many_headers(exact(Some(b"a"), Some(&large))),
        exact(Some(b"a"), Some(b"after")),
    ];
    let topics = Topics::new("large", &LOWERED);
    let dir = tempfile::tempdir().unwrap();
    let between = format!(
        "[transforms.between]\ninputs = [\"in\"]\ntype = \"wasm\"\nplugin = \"{}\"\non_error = \"dead_letter\"",
        plugin("label")
    );
    let file = topics.pipeline(dir.path(), "", &between);
    write(&topics.input, records.clone());
    let (code, tail) = run_to_end(dir.path(), &file);
    assert_eq!(code, Some(0), "{tail}");
    let labelled = |record: &Exact, value: &[u8]| Exact {
        value: Some(value.to_vec()),
        ..record.clone()
    };
    let wanted = [
        ("before", labelled(&records[0], b"a: before")),
        ("after", labelled(&records[2], b"a: after")),
    ];
    assert_same(&read(&topics.output, 2), &wanted);
    let letters = read(&topics.letters, 1);
    let bare: Vec<Exact> = letters.iter().map(Exact::without_notes).collect();
    assert_same(&bare, &[("1 MB", records[1].clone())]);
    assert_eq!(letters[0].note("wasmill-error-code"), "output-too-large");
    assert_eq!(letters[0].note("wasmill-origin"), format!("{}:0:1", topics.input));
}

/// Without a transform there is no `on_error`: the partition stops there.
#[test]
fn a_record_too_large_for_its_topic_stops_its_partition() {
    let large = vec![b'x'; MEGABYTE];
    let before = exact(Some(b"a"), Some(b"before"));
    let topics = Topics::new("stop", &LOWERED);
    let dir = tempfile::tempdir().unwrap();
    let file = topics.pipeline(dir.path(), "", "");
    write(
        &topics.input,
        [
            before.clone(),
            exact(Some(b"a"), Some(&large)),
            exact(Some(b"a"), Some(b"after")),
        ],
    );
    let (code, tail) = run_to_end(dir.path(), &file);
    assert_eq!(code, Some(1), "{tail}");
    assert!(tail.contains("output-too-large"), "{tail}");
    assert!(tail.contains(&format!("--skip {}:0:1", topics.input)), "{tail}");
    assert_same(&read(&topics.output, 1), &[("before", before)]);
}
