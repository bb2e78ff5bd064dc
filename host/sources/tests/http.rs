//! What clients are answered when the log is slow, away, or refuses: with a log that does as it is told.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use record::appender::Appender;
use record::log::{
    Committed, Edge, GroupMember, Isolation, Log, LogError, NewTopic, Position, Reader, Session, SessionConfig,
    TopicInfo,
};
use record::topology::Connector;
use record::{Batch, NextOffset, TopicPartition};
use wasmill_sources::http::{Listening, Target};

/// Each batch is told to the test, which says how it ends.
struct Told {
    batches: Sender<(String, Batch)>,
    outcomes: Receiver<Result<(), LogError>>,
}

fn none<T>() -> Result<T, LogError> {
    Err(LogError::Fatal {
        what: "not in this test".to_owned(),
    })
}

impl Log for Told {
    fn topics(&self, names: &[&str], _: Duration) -> Result<Vec<Option<TopicInfo>>, LogError> {
        let info = |_: &&str| {
            Some(TopicInfo {
                id: String::new(),
                partitions: 4,
            })
        };
        Ok(names.iter().map(info).collect())
    }
    fn create_topics(&self, _: &[NewTopic], _: Duration) -> Result<(), LogError> {
        none()
    }
    fn delete_topics(&self, _: &[&str], _: Duration) -> Result<(), LogError> {
        none()
    }
    fn offsets(&self, _: &[TopicPartition], _: Edge, _: Duration) -> Result<Vec<NextOffset>, LogError> {
        none()
    }
    fn committed(&self, _: &str, _: &[TopicPartition], _: Duration) -> Result<Vec<Option<Committed>>, LogError> {
        none()
    }
    fn set_committed(&self, _: &str, _: &[Position], _: Duration) -> Result<(), LogError> {
        none()
    }
    fn delete_group(&self, _: &str, _: Duration) -> Result<(), LogError> {
        none()
    }
    fn group_members(&self, _: &str, _: Duration) -> Result<Vec<GroupMember>, LogError> {
        none()
    }
    fn delete_records(&self, _: &[(TopicPartition, NextOffset)], _: Duration) -> Result<(), LogError> {
        none()
    }
    fn session(&self, _: SessionConfig) -> Result<Box<dyn Session>, LogError> {
        none()
    }
    fn reader(&self, _: Isolation) -> Result<Box<dyn Reader>, LogError> {
        none()
    }
    fn append(&self, _: &str, _: &Batch, _: &[u32], _: Duration) -> Result<(), LogError> {
        none()
    }
    fn appender(&self) -> Result<Box<dyn Appender>, LogError> {
        Ok(Box::new(Self {
            batches: self.batches.clone(),
            outcomes: self.outcomes.clone(),
        }))
    }
}

impl Appender for Told {
    fn append(&mut self, topic: &str, batch: &Batch, partitions: &[u32], _: Duration) -> Vec<Result<(), LogError>> {
        self.batches.send((topic.to_owned(), batch.clone())).unwrap();
        vec![self.outcomes.recv().unwrap(); partitions.len()]
    }
}

struct Source {
    listening: Listening,
    batches: Receiver<(String, Batch)>,
    outcomes: Sender<Result<(), LogError>>,
}

fn source(settings: &str, keeps_undecodable: bool) -> Source {
    let (tell, batches) = unbounded();
    let (outcomes, ends) = unbounded();
    let log = Told {
        batches: tell,
        outcomes: ends,
    };
    let settings = format!(
        r#"{{"listen":"127.0.0.1:0","public":false,"tokens":[],"format":"json","max_body_bytes":1000,
            "max_in_flight":2,"max_connections":8,"timeout_ms":5000,
            "routes":[{{"path":"/","method":"POST","event":"body","answer":"thanks"}}]{settings}}}"#
    );
    // Of keys that are there twice the last counts here.
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    let connector = Connector {
        name: "events".into(),
        kind: "http".to_owned(),
        settings: settings.to_string(),
    };
    let target = Target {
        pipeline: "p".into(),
        source: "events".into(),
        log: Arc::new(log),
        topic: "p-events".into(),
        dead_letters: "p-dead-letters".into(),
        keeps_undecodable,
        spans: None,
    };
    Source {
        listening: Listening::open(&connector, target).unwrap(),
        batches,
        outcomes,
    }
}

fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn post(address: SocketAddr, body: &str) -> TcpStream {
    let length = body.len();
    send(
        address,
        &format!("POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"),
    )
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {text:?}"));
    (status.parse().unwrap(), text)
}

fn away() -> LogError {
    LogError::Retriable {
        what: "the broker at b.example:9092 is away".to_owned(),
    }
}

#[test]
fn success_is_told_after_the_log_has_acknowledged() {
    let source = source("", false);
    let address = source.listening.address();
    let waiting = post(address, r#"{"a":1}"#);
    let (topic, batch) = source.batches.recv().unwrap();
    assert_eq!(
        (topic.as_str(), batch.values.get(0)),
        ("p-events", Some(&br#"{"a":1}"#[..]))
    );
    waiting.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let early = (&waiting).read(&mut [0]);
    assert!(early.is_err(), "an answer before the acknowledgement: {early:?}");
    waiting.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    source.outcomes.send(Ok(())).unwrap();
    let (status, text) = answer(waiting);
    assert!(status == 200 && text.ends_with("thanks"), "{text}");
}

/// Of two requests the one that is answered while the other waits.
fn answered_of_two(address: SocketAddr) -> ((u16, String), Receiver<(u16, String)>) {
    let (sender, answers) = unbounded();
    for body in ["2", "3"] {
        let (stream, sender) = (post(address, body), sender.clone());
        std::thread::spawn(move || sender.send(answer(stream)));
    }
    (answers.recv().unwrap(), answers)
}

#[test]
fn more_than_may_wait_is_told_to_come_back_and_a_broker_that_is_away_is_named() {
    let source = source("", false);
    let address = source.listening.address();
    // One is being written, and one of two has the place to wait.
    let first = post(address, "1");
    source.batches.recv().unwrap();
    let ((status, text), waits) = answered_of_two(address);
    assert_eq!(status, 429, "{text}");
    assert!(text.contains("retry-after: 1"), "{text}");
    assert!(text.contains("application/problem+json"), "{text}");
    source.outcomes.send(Err(away())).unwrap();
    let (status, text) = answer(first);
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("retry-after: 1") && !text.contains("b.example"), "{text}");
    // While it is away, what is too much is no matter of pace.
    source.batches.recv().unwrap();
    let ((status, text), waits_too) = answered_of_two(address);
    assert_eq!(status, 503, "{text}");
    source.outcomes.send(Ok(())).unwrap();
    assert_eq!(waits.recv().unwrap().0, 200);
    source.batches.recv().unwrap();
    source.outcomes.send(Ok(())).unwrap();
    assert_eq!(waits_too.recv().unwrap().0, 200);
}

#[test]
fn a_record_that_is_refused_takes_no_other_with_it() {
    let source = source(r#","max_in_flight":9"#, false);
    let address = source.listening.address();
    let first = post(address, "1");
    source.batches.recv().unwrap();
    let (small, large) = (post(address, "2"), post(address, "333"));
    // Both wait until the first is written, so they come in one batch.
    std::thread::sleep(Duration::from_millis(500));
    source.outcomes.send(Ok(())).unwrap();
    assert_eq!(answer(first).0, 200);
    let too_large = || LogError::TooLarge {
        topic: "p-events".to_owned(),
        bytes: 3,
    };
    let (_, both) = source.batches.recv().unwrap();
    if both.len() == 2 {
        source.outcomes.send(Err(too_large())).unwrap();
        source.batches.recv().map(|_| ()).unwrap();
    }
    for _ in 0..2 {
        source.outcomes.send(Ok(())).unwrap();
    }
    assert_eq!((answer(small).0, answer(large).0), (200, 200));
    let alone = post(address, "333");
    source.outcomes.send(Err(too_large())).unwrap();
    assert_eq!(answer(alone).0, 413);
}

#[test]
fn what_is_no_json_is_refused_or_kept_as_a_dead_letter() {
    let refusing = source("", false);
    let (status, text) = answer(post(refusing.listening.address(), "{"));
    assert!(status == 400 && text.contains("not JSON"), "{text}");
    assert!(refusing.batches.is_empty());
    let keeping = source("", true);
    let waiting = post(keeping.listening.address(), "{");
    let (topic, batch) = keeping.batches.recv().unwrap();
    assert_eq!(
        (topic.as_str(), batch.values.get(0)),
        ("p-dead-letters", Some(&b"{"[..]))
    );
    assert_eq!(batch.headers.last(0, "wasmill-node"), Some(Some(&b"events"[..])));
    assert_eq!(
        batch.headers.last(0, "wasmill-error-code"),
        Some(Some(&b"bad-json"[..]))
    );
    keeping.outcomes.send(Ok(())).unwrap();
    assert_eq!(answer(waiting).0, 200);
}

#[test]
fn tokens_hosts_and_pages_of_others() {
    let guarded = source(r#","tokens":["0123456789abcdef","fedcba9876543210"]"#, false);
    let address = guarded.listening.address();
    let ask = |address, headers: &str| {
        let request = format!("POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: 1\r\n{headers}\r\n{{");
        answer(send(address, &request)).0
    };
    assert_eq!(ask(address, "host: x\r\n"), 401);
    assert_eq!(
        ask(address, "host: x\r\nauthorization: Bearer 0123456789abcdeX\r\n"),
        401
    );
    // Let in, it is no JSON.
    assert_eq!(
        ask(address, "host: x\r\nauthorization: bearer fedcba9876543210\r\n"),
        400
    );
    let local = source("", false);
    let address = local.listening.address();
    assert_eq!(ask(address, "host: evil.example\r\n"), 403);
    assert_eq!(
        ask(address, "host: localhost:1\r\norigin: https://evil.example\r\n"),
        403
    );
    assert_eq!(ask(address, "host: localhost:1\r\norigin: http://localhost:1\r\n"), 400);
    let public = source(r#","public":true"#, false);
    assert_eq!(ask(public.listening.address(), "host: evil.example\r\n"), 400);
}

#[test]
fn large_bodies_slow_clients_and_many_connections() {
    let source = source(r#","timeout_ms":300"#, false);
    let address = source.listening.address();
    let head = format!("POST / HTTP/1.1\r\nhost: {address}\r\n");
    // A gigabyte, told before.
    let declared = send(address, &format!("{head}content-length: 1000000000\r\n\r\n[1,"));
    assert_eq!(answer(declared).0, 413);
    // One that does not say how large it is.
    let chunk = format!("258\r\n{}\r\n", "1".repeat(600));
    let chunked = send(
        address,
        &format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}"),
    );
    assert_eq!(answer(chunked).0, 413);
    let slow = send(address, &format!("{head}content-length: 10\r\n\r\n[1,"));
    assert_eq!(answer(slow).0, 408);
    // Half a head: the connection ends.
    let mut silent = send(address, "POST / HT");
    let mut rest = String::new();
    let _ = silent.read_to_string(&mut rest);
    assert!(rest.is_empty() || rest.contains(" 408 "), "{rest}");
    assert!(source.batches.is_empty());
}

#[test]
fn connections_beyond_the_limit_are_turned_away_and_the_others_are_served() {
    let source = source("", false);
    let address = source.listening.address();
    let idle: Vec<TcpStream> = (0..7).map(|_| send(address, "POST / HTTP/1.1\r\n")).collect();
    let mut kept = send(address, &format!("POST / HTTP/1.1\r\nhost: {address}\r\n"));
    for _ in 0..10_000 {
        let (status, text) = answer(TcpStream::connect(address).unwrap());
        assert!(status == 503 && text.contains("retry-after"), "{text}");
    }
    kept.write_all(b"connection: close\r\ncontent-length: 1\r\n\r\n1")
        .unwrap();
    source.batches.recv().unwrap();
    source.outcomes.send(Ok(())).unwrap();
    assert_eq!(answer(kept).0, 200);
    drop(idle);
}

#[test]
fn an_end_waits_for_answers_and_an_exchange_keeps_the_socket() {
    let source = source("", false);
    let address = source.listening.address();
    source.listening.hold();
    assert_eq!(answer(post(address, "1")).0, 503);
    let (tell, batches) = unbounded();
    let (outcomes, ends) = unbounded();
    let connector = Connector {
        name: "events".into(),
        kind: "http".to_owned(),
        settings: r#"{"listen":"127.0.0.1:0","public":false,"tokens":[],"format":"bytes","max_body_bytes":1000,
            "max_in_flight":2,"max_connections":8,"timeout_ms":5000,
            "routes":[{"path":"/new","method":"POST","event":"body"}]}"#
            .to_owned(),
    };
    let target = Target {
        pipeline: "p".into(),
        source: "events".into(),
        log: Arc::new(Told {
            batches: tell,
            outcomes: ends,
        }),
        topic: "other".into(),
        dead_letters: "p-dead-letters".into(),
        keeps_undecodable: false,
        spans: None,
    };
    source.listening.exchange(&connector, target).unwrap();
    assert_eq!(answer(post(address, "1")).0, 404);
    let request = format!("POST /new HTTP/1.1\r\nhost: {address}\r\ncontent-length: 1\r\n\r\n{{");
    let waiting = send(address, &request);
    assert_eq!(batches.recv().unwrap().0, "other");
    source.listening.end(Instant::now() + Duration::from_secs(30));
    let dropped = std::thread::spawn(move || drop(source.listening));
    outcomes.send(Ok(())).unwrap();
    // Kept alive by nobody: it is closed behind its answer.
    assert_eq!(answer(waiting).0, 204);
    dropped.join().unwrap();
    assert!(TcpStream::connect(address).is_err());
}
