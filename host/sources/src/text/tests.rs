//! What `stdin` does, on inputs that stand in for it.

use super::*;
use crate::settings::Format;
use std::io::Read;
use std::time::Duration;

fn source(pipe: &Arc<Mutex<Pipe>>, format: Format) -> TextSource {
    let pipe = Arc::clone(pipe);
    let input = Input::Pipe(Box::new(move || Ok(Arc::clone(&pipe))));
    TextSource::new(input, Cutter::new(format, ',').unwrap())
}

fn values(batch: &Batch) -> Vec<String> {
    batch
        .values
        .iter()
        .map(|v| String::from_utf8(v.unwrap().to_vec()).unwrap())
        .collect()
}

/// Reads until there is an end, or nothing for a while.
fn read_all(source: &mut TextSource, records: usize) -> (Batch, ReadEnd) {
    let mut batch = Batch::new("t".into(), 0);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match source.read(records, &mut batch, &mut Vec::new()).unwrap() {
            ReadEnd::End => return (batch, ReadEnd::End),
            ReadEnd::Idle if Instant::now() > deadline => return (batch, ReadEnd::Idle),
            ReadEnd::Idle => std::thread::sleep(Duration::from_millis(1)),
            ReadEnd::More => {}
        }
    }
}

#[test]
fn standard_input_is_read_to_its_end() {
    let pipe = Pipe::start(&b"one\ntwo\r\n\nlast"[..]).unwrap();
    let mut source = source(&pipe, Format::Lines);
    source.open(None).unwrap();
    let (batch, end) = read_all(&mut source, 2);
    assert_eq!(values(&batch), ["one", "two", "", "last"]);
    assert_eq!(end, ReadEnd::End);
    assert_eq!(read_all(&mut source, 2).0.len(), 0);
    assert_eq!(source.progress(), None);
}

#[test]
fn an_abort_goes_back_to_the_committed_line() {
    let rows: String = (0..30_000).map(|n| format!("{n},x{n}\n")).collect();
    let input = format!("n,text\n{rows}");
    let pipe = Pipe::start(io::Cursor::new(input)).unwrap();
    let mut first = source(&pipe, Format::Csv);
    first.open(None).unwrap();
    let mut batch = Batch::new("t".into(), 0);
    while batch.len() < 20_000 {
        first.read(20_000 - batch.len(), &mut batch, &mut Vec::new()).unwrap();
    }
    let committed = first.position();
    read_all(&mut first, 1_000);
    // A new task of the same process.
    let mut second = source(&pipe, Format::Csv);
    second.open(Some(&committed)).unwrap();
    let (batch, _) = read_all(&mut second, 1_000);
    let read = values(&batch);
    assert_eq!(read.len(), 10_000);
    assert_eq!(read[0], r#"{"n":"20000","text":"x20000"}"#);
    // Nothing was committed yet: from the beginning.
    let mut third = source(&pipe, Format::Csv);
    third.open(None).unwrap();
    assert_eq!(read_all(&mut third, 1_000).0.len(), 30_000);
    // An earlier process's position: what comes now is all there is.
    let other = committed.replacen("t1:", "t1:1-", 1);
    third.open(Some(&other)).unwrap();
    assert_eq!(read_all(&mut third, 1_000).0.len(), 30_000);
    assert!(matches!(
        third.open(Some("t1:file:0:0:0:0:0:0:0:0")),
        Err(SourceError::Changed { .. })
    ));
}

#[test]
fn what_is_too_far_back_is_told() {
    let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
    let pipe = Pipe::start(io::Cursor::new(line.repeat(20 << 10))).unwrap();
    let mut source = source(&pipe, Format::Lines);
    source.open(None).unwrap();
    let mut batch = Batch::new("t".into(), 0);
    while batch.len() < 100 {
        source.read(100 - batch.len(), &mut batch, &mut Vec::new()).unwrap();
    }
    let early = source.position();
    let (batch, _) = read_all(&mut source, 1_000);
    assert_eq!(batch.len(), (20 << 10) - 100);
    let opened = source
        .open(Some(&early))
        .and_then(|()| source.read(1, &mut Batch::new("t".into(), 0), &mut Vec::new()));
    assert!(matches!(opened, Err(SourceError::Changed { .. })), "{opened:?}");
}

struct Broken(bool);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if mem::replace(&mut self.0, true) {
            return Err(io::Error::other("the cable is cut"));
        }
        buffer[..4].copy_from_slice(b"a\nb\n");
        Ok(4)
    }
}

#[test]
fn a_failure_of_the_input_is_not_its_end() {
    let pipe = Pipe::start(Broken(false)).unwrap();
    let mut source = source(&pipe, Format::Lines);
    source.open(None).unwrap();
    let mut batch = Batch::new("t".into(), 0);
    let error = loop {
        match source.read(1, &mut batch, &mut Vec::new()) {
            Ok(ReadEnd::End) => panic!("an end"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(values(&batch), ["a", "b"]);
    assert!(error.to_string().contains("the cable is cut"), "{error}");
    assert!(source.read(1, &mut batch, &mut Vec::new()).is_err());
}

#[test]
fn a_waiting_input_is_idle() {
    let (reader, mut writer) = io::pipe().unwrap();
    let pipe = Pipe::start(reader).unwrap();
    let mut source = source(&pipe, Format::Lines);
    source.open(None).unwrap();
    let mut batch = Batch::new("t".into(), 0);
    assert_eq!(source.read(9, &mut batch, &mut Vec::new()).unwrap(), ReadEnd::Idle);
    io::Write::write_all(&mut writer, b"one\ntw").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while batch.is_empty() && Instant::now() < deadline {
        assert_eq!(source.read(9, &mut batch, &mut Vec::new()).unwrap(), ReadEnd::Idle);
    }
    io::Write::write_all(&mut writer, b"o\n").unwrap();
    drop(writer);
    assert_eq!(values(&batch), ["one"]);
    assert_eq!(values(&read_all(&mut source, 9).0), ["two"]);
}
