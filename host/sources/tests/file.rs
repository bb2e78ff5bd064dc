//! The `file` source: what comes out, and that every position goes on exactly.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests as well")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use record::batch::Batch;
use record::source::{ReadEnd, Source, SourceError, Undecodable};
use record::topology::Connector;

fn open(settings: &str) -> Result<Box<dyn Source>, SourceError> {
    wasmill_sources::open(&Connector {
        name: "s".into(),
        kind: "file".to_owned(),
        settings: settings.to_owned(),
    })
}

fn source(path: &Path, more: &str) -> Box<dyn Source> {
    let path = serde_json::to_string(path).unwrap();
    open(&format!(r#"{{"path":{path}{more}}}"#)).unwrap()
}

/// A file that was written a while ago, so that an unfinished last line is taken as it is.
fn write_settled(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    settle(path);
}

fn settle(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(5)).unwrap();
}

#[derive(Debug, Default, PartialEq)]
struct Found {
    values: Vec<Vec<u8>>,
    bad: Vec<Undecodable>,
}

impl Found {
    fn add(&mut self, batch: &Batch, bad: Vec<Undecodable>) {
        self.values
            .extend(batch.values.iter().map(|value| value.unwrap().to_vec()));
        self.bad.extend(bad);
    }

    fn texts(&self) -> Vec<&str> {
        self.values
            .iter()
            .map(|value| std::str::from_utf8(value).unwrap())
            .collect()
    }
}

/// Reads up to `limit` records in reads of `records`, or to the end.
fn read(source: &mut dyn Source, records: usize, limit: usize) -> (Found, ReadEnd) {
    let mut found = Found::default();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut batch = Batch::new("t".into(), 0);
        let mut bad = Vec::new();
        let end = source.read(records, &mut batch, &mut bad).unwrap();
        assert!(batch.len() + bad.len() <= records);
        assert!(batch.keys.iter().all(|key| key.is_none()));
        assert!(batch.timestamps.iter().all(|ts| *ts > 1_700_000_000_000));
        found.add(&batch, bad);
        if end != ReadEnd::More || found.values.len() + found.bad.len() >= limit {
            if end == ReadEnd::Idle && Instant::now() < deadline && found.values.len() < limit {
                sleep(Duration::from_millis(2));
                continue;
            }
            return (found, end);
        }
    }
}

fn all(path: &Path, more: &str) -> Found {
    let mut source = source(path, more);
    source.open(None).unwrap();
    let (found, end) = read(&mut *source, 7, usize::MAX);
    assert_eq!(end, ReadEnd::End);
    found
}

#[test]
fn lines_of_all_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let megabyte = vec![b'm'; 1 << 20];
    let content = [b"a\r\n\n\xff\xfe\n", megabyte.as_slice(), b"\nno end"].concat();
    write_settled(&path, &content);
    let expected: [&[u8]; 5] = [b"a", b"", b"\xff\xfe", &megabyte, b"no end"];
    assert_eq!(all(&path, "").values, expected);
    write_settled(&path, b"");
    assert_eq!(all(&path, ""), Found::default());
    write_settled(&path, b"\n");
    assert_eq!(all(&path, "").values, [b""]);
}

#[test]
fn what_does_not_parse_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write_settled(&path, b"{\"a\":1}\n\nnot json\n[2]\n");
    let found = all(&path, r#","format":"ndjson""#);
    assert_eq!(found.texts(), [r#"{"a":1}"#, "[2]"]);
    assert_eq!(found.bad.len(), 1);
    assert_eq!(found.bad[0].raw, b"not json\n");
    assert_eq!(found.bad[0].place, "the file of source `s`, line 3 (byte 9)");

    write_settled(&path, b"n;t\n1;a\n2\n3;c");
    let found = all(&path, r#","format":"csv","delimiter":";""#);
    assert_eq!(found.texts(), [r#"{"n":"1","t":"a"}"#, r#"{"n":"3","t":"c"}"#]);
    assert_eq!(found.bad[0].place, "the file of source `s`, row 3 (byte 8)");
}

#[test]
fn a_line_beyond_all_bounds_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let huge = vec![b'h'; (16 << 20) + 3_000_000];
    write_settled(&path, &[b"a\n", huge.as_slice(), b"\nb\n"].concat());
    let mut source = source(&path, "");
    source.open(None).unwrap();
    let before = {
        read(&mut *source, 1, 1);
        source.position()
    };
    let (found, _) = read(&mut *source, 7, usize::MAX);
    assert_eq!(found.texts(), ["b"]);
    assert_eq!(found.bad.len(), 1);
    assert_eq!(found.bad[0].raw.len(), 64 << 10);
    assert!(
        found.bad[0].message.contains("19777217 bytes"),
        "{}",
        found.bad[0].message
    );
    // In the midst of it the position is still before it.
    source.open(Some(&before)).unwrap();
    let mut positions = Vec::new();
    loop {
        let (mut batch, mut bad) = (Batch::new("t".into(), 0), Vec::new());
        source.read(7, &mut batch, &mut bad).unwrap();
        if !bad.is_empty() {
            break;
        }
        positions.push(source.position());
    }
    assert!(
        positions.len() > 1 && positions.iter().all(|p| *p == before),
        "{positions:?}"
    );
    write_settled(&path, &huge);
    assert_eq!(all(&path, "").bad.len(), 1);
}

#[test]
fn a_missing_file_and_one_that_is_none_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let missing = source(&dir.path().join("missing"), "").open(None).unwrap_err();
    assert!(matches!(missing, SourceError::Io { .. }));
    // The path may have secrets in it.
    let text = missing.to_string();
    assert!(
        text.starts_with("cannot read the file of source `s`: ") && !text.contains("missing"),
        "{text}"
    );
    let directory = source(dir.path(), "").open(None).unwrap_err();
    assert!(directory.to_string().contains("not a regular file"), "{directory}");
    for settings in ["{}", "[]", r#"{"path":"x","format":"xml"}"#, r#"{"path":"x","rate":0}"#] {
        assert!(open(settings).is_err(), "{settings}");
    }
    let path = dir.path().join("f");
    write_settled(&path, b"a,a\n1,2\n");
    let mut twice = source(&path, r#","format":"csv""#);
    twice.open(None).unwrap();
    let error = twice
        .read(1, &mut Batch::new("t".into(), 0), &mut Vec::new())
        .unwrap_err();
    assert!(error.to_string().contains("`a` twice"), "{error}");
}

#[test]
fn a_file_that_grows_is_read_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write_settled(&path, b"one\ntwo");
    let mut reader = source(&path, "");
    reader.open(None).unwrap();
    let (found, end) = read(&mut *reader, 9, usize::MAX);
    assert_eq!((found.texts(), end), (vec!["one", "two"], ReadEnd::End));

    // The end of the line that was taken without one is not an empty line, here nor after a restart.
    let position = reader.position();
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    file.write_all(b"\nthree\nfo").unwrap();
    for position in [None, Some(&position)] {
        if let Some(position) = position {
            reader.open(Some(position)).unwrap();
        }
        let (found, _) = read(&mut *reader, 9, 1);
        assert_eq!(found.texts(), ["three"]);
        // Somebody is in the middle of a line.
        let mut batch = Batch::new("t".into(), 0);
        assert_eq!(reader.read(9, &mut batch, &mut Vec::new()).unwrap(), ReadEnd::Idle);
        assert!(batch.is_empty());
    }
    file.write_all(b"ur\n").unwrap();
    let (found, end) = read(&mut *reader, 9, usize::MAX);
    assert_eq!((found.texts(), end), (vec!["four"], ReadEnd::End));
    // Without an end, a last line is taken after a second.
    file.write_all(b"five").unwrap();
    let (found, end) = read(&mut *reader, 9, usize::MAX);
    assert_eq!((found.texts(), end), (vec!["five"], ReadEnd::End));
}

#[test]
fn a_loop_says_its_end_once_per_pass() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write_settled(&path, b"n\n1\n2\n");
    let mut reader = source(&path, r#","format":"csv","loop":true"#);
    reader.open(None).unwrap();
    let mut positions = Vec::new();
    for _ in 0..3 {
        let (found, end) = read(&mut *reader, 9, usize::MAX);
        assert_eq!((found.values.len(), end), (2, ReadEnd::End));
        positions.push(reader.position());
    }
    assert_ne!(positions[0], positions[1]);
    // At the end of a pass a restart has nothing more of it, and then goes on with the next one.
    reader.open(Some(&positions[1])).unwrap();
    assert_eq!(read(&mut *reader, 9, usize::MAX), (Found::default(), ReadEnd::End));
    let (found, _) = read(&mut *reader, 1, 1);
    assert_eq!(found.texts(), [r#"{"n":"1"}"#]);
    reader.open(Some(&reader.position())).unwrap();
    assert_eq!(read(&mut *reader, 9, usize::MAX).0.texts(), [r#"{"n":"2"}"#]);
}

#[test]
fn a_changed_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let lines: String = (0..3_000).map(|n| format!("line {n}\n")).collect();
    write_settled(&path, lines.as_bytes());
    let mut reader = source(&path, "");
    reader.open(None).unwrap();
    read(&mut *reader, 1_000, 1_000);
    let position = reader.position();
    let mut grown = lines.clone();
    grown.push_str("one more\n");
    write_settled(&path, grown.as_bytes());
    reader.open(Some(&position)).unwrap();
    assert_eq!(read(&mut *reader, 1_000, usize::MAX).0.values.len(), 2_001);

    let late_change = lines.replace("line 990\n", "LINE 990\n");
    for (changed, why) in [
        (&lines[..5_000], "shorter"),
        (&lines.replacen("line 7", "line 8", 1), "begins with other bytes"),
        (&late_change, "other bytes stand before"),
        ("", "shorter"),
    ] {
        write_settled(&path, changed.as_bytes());
        let error = reader.open(Some(&position)).unwrap_err();
        assert!(matches!(error, SourceError::Changed { .. }));
        assert!(error.to_string().contains(why), "{error}");
    }
    for foreign in ["", "g1:5", "t1:99-1:0:0:0:0:0:0:0:0"] {
        assert!(
            matches!(reader.open(Some(foreign)), Err(SourceError::Changed { .. })),
            "{foreign}"
        );
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let next = |reader: &mut dyn Source| reader.read(9, &mut Batch::new("t".into(), 0), &mut Vec::new());
    write_settled(&path, b"one\ntwo\n");
    let mut reader = source(&path, "");
    reader.open(None).unwrap();
    read(&mut *reader, 9, usize::MAX);
    fs::File::options().write(true).open(&path).unwrap().set_len(3).unwrap();
    assert!(matches!(next(&mut *reader), Err(SourceError::Changed { .. })));

    write_settled(&path, b"one\n");
    reader.open(None).unwrap();
    read(&mut *reader, 9, usize::MAX);
    let other = dir.path().join("other");
    write_settled(&other, b"one\ntwo\n");
    fs::rename(&other, &path).unwrap();
    assert!(matches!(next(&mut *reader), Err(SourceError::Changed { .. })));
}

#[test]
fn a_rate_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write_settled(&path, "x\n".repeat(1_000).as_bytes());
    let mut reader = source(&path, r#","rate":100"#);
    reader.open(None).unwrap();
    let start = Instant::now();
    let mut made = 0;
    while start.elapsed() < Duration::from_millis(600) {
        let mut batch = Batch::new("t".into(), 0);
        let asked = Instant::now();
        reader.read(256, &mut batch, &mut Vec::new()).unwrap();
        assert!(asked.elapsed() < Duration::from_millis(300), "a read slept");
        made += batch.len();
        sleep(Duration::from_millis(3));
    }
    let due = start.elapsed().as_secs_f64() * 100.0 + 1.0;
    assert!(made as f64 <= due && made >= 30, "{made} of {due}");
}

#[test]
fn the_end_does_not_wait_for_the_rate() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write_settled(&path, b"only\n");
    let mut reader = source(&path, r#","rate":0.001"#);
    reader.open(None).unwrap();
    let (found, end) = read(&mut *reader, 9, usize::MAX);
    assert_eq!((found.texts(), end), (vec!["only"], ReadEnd::End));
}

#[test]
fn progress_goes_from_nothing_to_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write_settled(&path, b"one\ntwo\n");
    let mut reader = source(&path, "");
    reader.open(None).unwrap();
    assert_eq!(reader.progress(), Some((0, 8)));
    read(&mut *reader, 1, 1);
    assert_eq!(reader.progress(), Some((4, 8)));
    read(&mut *reader, 1, usize::MAX);
    assert_eq!(reader.progress(), Some((8, 8)));
}

fn content(format: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::collection::vec(prop::sample::select(b"ab,\"\n\r{}1 \xff".to_vec()), 0..12),
        2 => Just(b"{\"k\":[1,2]}".to_vec()),
        2 => Just(b"x,\"y\nz\"".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..600),
    ];
    let end = prop::sample::select(vec![&b"\n"[..], b"\r\n", b""]);
    prop::collection::vec((piece, end), 0..30).prop_map(move |pieces| {
        let mut content = if format == "csv" { b"p,q\n".to_vec() } else { Vec::new() };
        for (piece, end) in pieces {
            content.extend(piece);
            content.extend(end);
        }
        content
    })
}

/// Positions after reads of any size, and a restart at each of them.
fn check_resume(format: &'static str, content: &[u8], sizes: &[usize]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    write_settled(&path, content);
    let settings = format!(r#","format":"{format}""#);
    let whole = all(&path, &settings);
    let mut found = Found::default();
    let mut position: Option<String> = None;
    for size in sizes.iter().cycle() {
        let mut reader = source(&path, &settings);
        reader.open(position.as_deref()).unwrap();
        let (mut batch, mut bad) = (Batch::new("t".into(), 0), Vec::new());
        let end = reader.read(*size, &mut batch, &mut bad).unwrap();
        found.add(&batch, bad);
        let now = reader.position();
        assert!(now.is_ascii() && now.len() <= 1_000);
        position = Some(now);
        if end == ReadEnd::End {
            break;
        }
    }
    assert_eq!(found, whole);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn lines_go_on_from_every_position(content in content("lines"), sizes in prop::collection::vec(1..5_usize, 1..5)) {
        check_resume("lines", &content, &sizes);
    }

    #[test]
    fn ndjson_goes_on_from_every_position(content in content("ndjson"), sizes in prop::collection::vec(1..5_usize, 1..5)) {
        check_resume("ndjson", &content, &sizes);
    }

    #[test]
    fn csv_goes_on_from_every_position(content in content("csv"), sizes in prop::collection::vec(1..5_usize, 1..5)) {
        check_resume("csv", &content, &sizes);
    }

    #[test]
    fn lines_are_what_splitting_gives(content in content("lines")) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_settled(&path, &content);
        let mut expected: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
        if expected.last() == Some(&&b""[..]) {
            expected.pop();
        }
        let expected: Vec<_> = expected.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        prop_assert_eq!(all(&path, "").values, expected);
    }
}
