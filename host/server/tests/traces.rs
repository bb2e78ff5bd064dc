//! One trace, from an HTTP request through two pipelines to what a sink has written, as a collector has it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;
mod listening;
mod services;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use listening::{Listening, WAIT};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;
use services::{brokers, create_topic, mongodb_url, plugin, unique};

/// Takes spans by OTLP over HTTP.
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&spans);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let all = Arc::clone(&all);
                std::thread::spawn(move || serve(&stream, &all));
            }
        });
        Self { address, spans }
    }

    fn of_trace(&self, trace: &str) -> Vec<Span> {
        let spans = self.spans.lock();
        spans
            .iter()
            .filter(|span| hex(&span.trace_id) == trace)
            .cloned()
            .collect()
    }
}

fn serve(stream: &TcpStream, all: &Mutex<Vec<Span>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length, mut first) = (String::new(), 0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if first.is_empty() {
                first.clone_from(&line);
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        assert!(first.starts_with("POST /v1/traces "), "{first}");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            assert!(
                attributes.iter().any(|attribute| attribute.key == "service.name"),
                "{attributes:?}"
            );
            for scope in resource.scope_spans {
                all.lock().extend(scope.spans);
            }
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        let mut stream = stream;
        stream.write_all(answer).unwrap();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Words that are sent by HTTP are counted, which has an internal topic in between; a second pipeline writes
/// the counts to a sink.
fn pipelines(dir: &Path, name: &str, head: &str, sink: &str) {
    let first = format!(
        r#"
name = "{name}"
{head}
[sources.words]
type = "http"
listen = "127.0.0.1:0"
format = "bytes"
routes = [{{ path = "/words" }}]
[transforms.split]
inputs = ["words"]
type = "wasm"
plugin = "{split}"
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "{count}"
[sinks.counts]
inputs = ["count"]
type = "kafka"
topic = "{name}-counts"
"#,
        split = plugin("word_split"),
        count = plugin("word_count"),
    );
    let second = format!(
        r#"
name = "{name}-store"
{head}
[sources.counts]
type = "kafka"
topics = ["{name}-counts"]
[transforms.enrich]
inputs = ["counts"]
type = "wasm"
plugin = "{enrich}"
config.fields.source = "http"
[sinks.documents]
inputs = ["enrich"]
{sink}
"#,
        enrich = plugin("enrich"),
    );
    std::fs::write(dir.join("first.toml"), first).unwrap();
    std::fs::write(dir.join("second.toml"), second).unwrap();
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";
const UNSAMPLED: &str = "5bf92f3577b34da6a3ce929d0e0e4736";

/// Sends a word in a trace, and follows that from the sink back to the client.
fn follow(dir: &Path, name: &str, args: &[&str]) {
    let collector = Collector::start();
    let otlp = format!("http://{}", collector.address);
    let mut all = vec!["first.toml", "second.toml", "--plugin-root", "/", "--otlp", &otlp];
    all.extend(args);
    let mut process = Listening::run(dir, &all);
    let client = process.client();
    client.until_written("POST", "/words");
    let header = |trace: &str, flags: &str| format!("traceparent: 00-{trace}-{CLIENT}-{flags}\r\n");
    assert_eq!(
        client.ask("POST", "/words", &header(UNSAMPLED, "00"), "shield").status,
        204
    );
    assert_eq!(client.ask("POST", "/words", &header(TRACE, "01"), "sword").status, 204);
    let deadline = Instant::now() + WAIT;
    let spans = loop {
        let spans = collector.of_trace(TRACE);
        if spans.iter().any(|span| span.name == "write documents") {
            break spans;
        }
        let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
        assert!(Instant::now() < deadline, "{names:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    process.terminate();
    let spans = if spans.len() < 9 {
        collector.of_trace(TRACE)
    } else {
        spans
    };
    let mut at = spans.iter().find(|span| span.name == "write documents").unwrap();
    let mut way = vec![at.name.clone()];
    while let Some(parent) = spans.iter().find(|span| span.span_id == at.parent_span_id) {
        assert!(
            parent.start_time_unix_nano <= at.end_time_unix_nano,
            "{parent:?} {at:?}"
        );
        at = parent;
        way.push(at.name.clone());
    }
    way.reverse();
    println!("{}", way.join(" -> "));
    assert_eq!(
        way,
        [
            "POST /words".to_owned(),
            format!("send {name}-words"),
            format!("process {name}-words"),
            format!("send {name}-count-repartition"),
            format!("process {name}-count-repartition"),
            format!("send {name}-counts"),
            format!("process {name}-counts"),
            format!("send {name}-store-documents"),
            "write documents".to_owned(),
        ]
    );
    assert_eq!(hex(&at.parent_span_id), CLIENT);
    assert!(collector.of_trace(UNSAMPLED).is_empty());
    // The first request had no trace: it has begun one.
    let begun = collector.spans.lock();
    let begun = begun
        .iter()
        .filter(|span| span.name == "POST /words" && span.parent_span_id.is_empty());
    assert!(begun.count() > 0);
}

#[test]
fn a_trace_is_followed_across_two_pipelines() {
    let dir = tempfile::tempdir().unwrap();
    let sink = "type = \"sqlite\"\npath = \"words.db\"\ntable = \"words\"\nkey = [\"word\"]\ncreate_table = true";
    pipelines(dir.path(), "traced", "", sink);
    follow(dir.path(), "traced", &["--embedded=log"]);
}

#[test]
fn a_trace_is_followed_from_http_to_a_document_in_mongodb() {
    let dir = tempfile::tempdir().unwrap();
    let name = unique("traced");
    create_topic(&format!("{name}-counts"), 2);
    let database = name.replace('-', "_");
    let head = format!("create_topics = true\nkafka.brokers = \"{}\"", brokers());
    let sink = format!(
        "type = \"mongodb\"\nurl = \"{}\"\ndatabase = \"{database}\"\ncollection = \"words\"\nid = \"/word\"",
        mongodb_url()
    );
    pipelines(dir.path(), &name, &head, &sink);
    follow(dir.path(), &name, &["--state-dir", "state"]);
    let document = services::runtime().block_on(async {
        let client = mongodb::Client::with_uri_str(mongodb_url()).await.unwrap();
        let words = client
            .database(&database)
            .collection::<mongodb::bson::Document>("words");
        words.find_one(mongodb::bson::doc! { "_id": "sword" }).await.unwrap()
    });
    let document = document.expect("the document");
    assert_eq!(document.get_str("source").ok(), Some("http"), "{document}");
}

#[test]
fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let sink = "type = \"blackhole\"";
    pipelines(dir.path(), "away", "", sink);
    // Nobody listens there any more.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{nobody}");
    let args = ["first.toml", "second.toml", "--plugin-root", "/", "--embedded=log"];
    let mut process = Listening::run_with(dir.path(), &args, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let client = process.client();
    client.until_written("POST", "/words");
    for _ in 0..20 {
        assert_eq!(client.ask("POST", "/words", "", "word").status, 204);
    }
    process.line_with("spans were not sent");
    assert_eq!(client.ask("POST", "/words", "", "word").status, 204);
    process.terminate();
}
