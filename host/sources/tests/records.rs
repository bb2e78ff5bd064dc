//! docs/records.md: what `file`, `stdin` and `generator` make of every kind of record.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests as well")]

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use record::batch::Batch;
use record::source::{ReadEnd, Source};
use record::topology::Connector;
use serde_json::json;

const MEGABYTE: usize = 1 << 20;
/// Set in a child that reads its standard input: the format.
const CHILD_FORMAT: &str = "WASMILL_SOURCES_TEST_RECORDS_FORMAT";
/// Where it writes what it has read.
const CHILD_OUT: &str = "WASMILL_SOURCES_TEST_RECORDS_OUT";

type Bytes = Vec<u8>;

/// What becomes of a line.
enum Out {
    /// A record with this value.
    Value(Bytes),
    /// Input that does not parse; part of what is said about it.
    Undecodable(&'static str),
    Nothing,
}

/// Lines of a format, without their ends, and what becomes of each.
struct Table {
    format: &'static str,
    lines: Vec<(Bytes, Out)>,
}

impl Table {
    fn input(&self) -> Bytes {
        self.lines
            .iter()
            .flat_map(|(line, _)| [line.as_slice(), b"\n"].concat())
            .collect()
    }

    fn check(&self, found: &Found, who: &str) {
        let mut values = found.values.iter();
        let mut bad = found.bad.iter();
        for (number, (line, out)) in self.lines.iter().enumerate() {
            let place = format!("{who}, {}, line {}", self.format, number + 1);
            match out {
                Out::Value(value) => assert!(values.next() == Some(value), "{place}"),
                Out::Undecodable(why) => {
                    let (raw, message) = bad.next().unwrap_or_else(|| panic!("{place}: it was decoded"));
                    assert_eq!(*raw, [line.as_slice(), b"\n"].concat(), "{place}");
                    assert!(message.contains(why), "{place}: {message}");
                }
                Out::Nothing => {}
            }
        }
        assert_eq!((values.len(), bad.len()), (0, 0), "{who}, {}: and no more", self.format);
    }
}

/// Every kind that a line of each format can be.
fn tables() -> [Table; 3] {
    let megabyte = vec![b'm'; MEGABYTE];
    let same = |line: &[u8]| (line.to_vec(), Out::Value(line.to_vec()));
    let value = |line: &[u8], value: &[u8]| (line.to_vec(), Out::Value(value.to_vec()));
    [
        Table {
            format: "lines",
            lines: vec![same(b"null"), same(b""), same(&megabyte), same(b"\xff\xfe"), same(b"v")],
        },
        Table {
            format: "ndjson",
            lines: vec![
                same(b"null"),
                (b"".to_vec(), Out::Nothing),
                same(b"\"\""),
                same(&[b"{\"a\":\"", megabyte.as_slice(), b"\"}"].concat()),
                (b"{\"a\":\"\xff\"}".to_vec(), Out::Undecodable("not UTF-8")),
                same(b"{}"),
            ],
        },
        Table {
            format: "csv",
            lines: vec![
                (b"a,b".to_vec(), Out::Nothing),
                value(b"null,1", br#"{"a":"null","b":"1"}"#),
                (b"".to_vec(), Out::Nothing),
                value(b",", br#"{"a":"","b":""}"#),
                value(
                    &[megabyte.as_slice(), b",1"].concat(),
                    &[b"{\"a\":\"", megabyte.as_slice(), b"\",\"b\":\"1\"}"].concat(),
                ),
                (b"\xff,1".to_vec(), Out::Undecodable("not UTF-8")),
                value(b"v,1", br#"{"a":"v","b":"1"}"#),
            ],
        },
    ]
}

/// Values, and what does not parse with what is said about it.
#[derive(Default)]
struct Found {
    values: Vec<Bytes>,
    bad: Vec<(Bytes, String)>,
}

fn open(kind: &str, settings: &serde_json::Value) -> Box<dyn Source> {
    let mut source = wasmill_sources::open(&Connector {
        name: "s".into(),
        kind: kind.to_owned(),
        settings: settings.to_string(),
    })
    .unwrap();
    source.open(None).unwrap();
    source
}

/// Reads to the end. No record has a null value, a header or another key than `key`.
fn read(source: &mut dyn Source, key: Option<&[u8]>) -> Found {
    let mut found = Found::default();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (mut batch, mut bad) = (Batch::new("t".into(), 0), Vec::new());
        let end = source.read(3, &mut batch, &mut bad).unwrap();
        for i in 0..batch.len() {
            assert_eq!(batch.keys.get(i), key);
            assert_eq!(batch.headers.of(i).count(), 0);
            found.values.push(batch.values.get(i).unwrap().to_vec());
        }
        found.bad.extend(bad.into_iter().map(|bad| (bad.raw, bad.message)));
        match end {
            ReadEnd::End => return found,
            ReadEnd::Idle => sleep(Duration::from_millis(2)),
            ReadEnd::More => {}
        }
        assert!(Instant::now() < deadline, "it does not end");
    }
}

#[test]
fn a_file_and_every_kind_of_record() {
    let dir = tempfile::tempdir().unwrap();
    for table in tables() {
        let path = dir.path().join(table.format);
        fs::write(&path, table.input()).unwrap();
        // Written a while ago, so that its end is the end.
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(5)).unwrap();
        let mut source = open("file", &json!({"path": path, "format": table.format}));
        table.check(&read(&mut *source, None), "file");
    }
}

/// Not a test of its own: what the next one starts.
#[test]
fn child_that_writes_down_its_standard_input() {
    let (Ok(format), Some(out)) = (std::env::var(CHILD_FORMAT), std::env::var_os(CHILD_OUT)) else {
        return;
    };
    let found = read(&mut *open("stdin", &json!({"format": format})), None);
    fs::write(out, serde_json::to_vec(&(found.values, found.bad)).unwrap()).unwrap();
}

#[test]
fn standard_input_and_every_kind_of_record() {
    let dir = tempfile::tempdir().unwrap();
    for table in tables() {
        let (input, out) = (dir.path().join("in"), dir.path().join("out"));
        fs::write(&input, table.input()).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["child_that_writes_down_its_standard_input", "--exact"])
            .env(CHILD_FORMAT, table.format)
            .env(CHILD_OUT, &out)
            .stdin(Stdio::from(fs::File::open(&input).unwrap()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let (values, bad) = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
        table.check(&Found { values, bad }, "stdin");
        fs::remove_file(&out).unwrap();
    }
}

#[test]
fn a_generator_and_every_kind_of_record() {
    let megabyte = "\u{fc}".repeat(MEGABYTE / 2);
    for (settings, key, value) in [
        (json!({"count": 3}), None, None),
        (json!({"kind": "temperature", "count": 3}), None, None),
        (json!({"template": "null", "count": 3}), None, Some("null")),
        (json!({"template": "", "count": 3}), None, Some("")),
        (json!({"template": megabyte, "count": 3}), None, Some(megabyte.as_str())),
        (json!({"template": "v", "count": 3, "key": "A"}), Some("A"), Some("v")),
        (json!({"template": "v", "count": 3, "key": ""}), None, Some("v")),
    ] {
        let found = read(&mut *open("generator", &settings), key.map(str::as_bytes));
        assert_eq!((found.values.len(), found.bad.len()), (3, 0));
        for made in found.values {
            // Settings are text, so nothing else than UTF-8 comes of them.
            let text = std::str::from_utf8(&made).unwrap();
            assert!(value.is_none_or(|value| text == value), "{} bytes", text.len());
        }
    }
}
