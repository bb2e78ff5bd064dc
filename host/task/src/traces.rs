//! Spans of records whose trace is recorded: read and processed, written, delivered. Looked for only where
//! somebody wants to have them.
//!
//! A record's parent is exchanged when it is read, so that whatever is made of it names the work on it, and
//! again when something is written, so that its readers name the writing.

use std::time::SystemTime;

use record::Batch;
use record::topology::{Connector, SubTopology};
use record::trace::{self, Span, SpanKind, Spans};

use crate::chain::Outgoing;
use crate::step::StepEnd;

/// Spans of one transaction that are kept; those beyond are not told.
const OPEN_MAX: usize = 10_000;

/// Spans of what is not committed yet.
#[derive(Default)]
pub(crate) struct OpenSpans(Vec<Span>);

/// Begins a span for each record of a batch whose trace is recorded, and makes it the record's parent.
pub(crate) fn read(spans: &dyn Spans, sub: &SubTopology, batch: &mut Batch) -> Vec<Span> {
    let transforms = || {
        let names: Vec<&str> = sub.nodes.iter().map(|node| &*node.name).collect();
        names.join(",")
    };
    let name = format!("process {}", batch.topic);
    let (topic, partition) = (batch.topic.to_string(), batch.partition.to_string());
    begin(spans, batch, SpanKind::Consumer, |batch, i| {
        let offset = batch.offsets.get(i).map_or(String::new(), ToString::to_string);
        (
            name.clone(),
            vec![
                ("messaging.system", "kafka".to_owned()),
                ("messaging.operation.type", "process".to_owned()),
                ("messaging.destination.name", topic.clone()),
                ("messaging.destination.partition.id", partition.clone()),
                ("messaging.kafka.offset", offset),
                ("wasmill.transforms", transforms()),
            ],
        )
    })
}

fn begin(
    spans: &dyn Spans,
    batch: &mut Batch,
    kind: SpanKind,
    describe: impl Fn(&Batch, usize) -> (String, Vec<(&'static str, String)>),
) -> Vec<Span> {
    // The common case: nobody traces.
    if batch.headers.is_left_out() {
        return Vec::new();
    }
    let now = SystemTime::now();
    let mut begun = Vec::new();
    let mut parents = Vec::new();
    for i in 0..batch.len() {
        let Some(parent) = trace::sampled(&batch.headers, i) else {
            continue;
        };
        let (name, attributes) = describe(batch, i);
        let span = Span {
            parent,
            id: spans.id(),
            name,
            kind,
            began: now,
            ended: now,
            attributes,
            failure: None,
        };
        parents.push((i, span.as_parent()));
        begun.push(span);
    }
    if !parents.is_empty() {
        let count = batch.len();
        trace::replace(&mut batch.headers, count, &parents);
    }
    begun
}

impl OpenSpans {
    fn keep(&mut self, spans: Vec<Span>) {
        let room = OPEN_MAX.saturating_sub(self.0.len());
        self.0.extend(spans.into_iter().take(room));
    }

    /// The step of these records has ended.
    pub(crate) fn processed(&mut self, mut spans: Vec<Span>, end: &StepEnd) {
        if spans.is_empty() {
            return;
        }
        let now = SystemTime::now();
        let failure = match end {
            StepEnd::Done | StepEnd::More => None,
            StepEnd::Isolate { .. } | StepEnd::IsolateTimers { .. } => {
                Some("a call failed; records are run one by one")
            }
            StepEnd::Stopped { .. } => Some("a record of the batch failed, and its partition stands still"),
            StepEnd::Trouble { .. } => Some("the state store cannot be read"),
        };
        for span in &mut spans {
            span.ended = now;
            span.failure = failure.map(str::to_owned);
        }
        self.keep(spans);
    }

    /// These records are about to be written to a topic. Their spans end with the commit.
    pub(crate) fn written(&mut self, spans: &dyn Spans, topic: &str, out: &mut Outgoing, input: &Batch) {
        let batch = out.batch.as_ref().unwrap_or(input);
        if batch.headers.is_left_out() || (0..batch.len()).all(|i| trace::sampled(&batch.headers, i).is_none()) {
            return;
        }
        let begun = begin(spans, out.own(input), SpanKind::Producer, |_, _| {
            (
                format!("send {topic}"),
                vec![
                    ("messaging.system", "kafka".to_owned()),
                    ("messaging.operation.type", "send".to_owned()),
                    ("messaging.destination.name", topic.to_owned()),
                ],
            )
        });
        self.keep(begun);
    }

    /// The transaction is committed.
    pub(crate) fn committed(&mut self, spans: Option<&dyn Spans>) {
        self.tell(spans, None);
    }

    /// It did not happen; the records are read again.
    pub(crate) fn undone(&mut self, spans: Option<&dyn Spans>) {
        self.tell(spans, Some("the transaction was rolled back; the record is read again"));
    }

    fn tell(&mut self, spans: Option<&dyn Spans>, failure: Option<&str>) {
        let Some(spans) = spans else { return };
        let now = SystemTime::now();
        for mut span in self.0.drain(..) {
            if span.kind == SpanKind::Producer {
                span.ended = now;
            }
            if let Some(failure) = failure {
                span.failure.get_or_insert_with(|| failure.to_owned());
            }
            spans.put(span);
        }
    }
}

/// A sink has written a batch, but for those records that it was told to skip.
pub(crate) fn delivered(spans: &dyn Spans, sink: &Connector, batch: &Batch, skip: &[u32], began: SystemTime) {
    if batch.headers.is_left_out() {
        return;
    }
    let ended = SystemTime::now();
    for i in (0..batch.len()).filter(|i| !skip.contains(&(*i as u32))) {
        let Some(parent) = trace::sampled(&batch.headers, i) else {
            continue;
        };
        spans.put(Span {
            parent,
            id: spans.id(),
            name: format!("write {}", sink.name),
            kind: SpanKind::Client,
            began,
            ended,
            attributes: vec![
                ("wasmill.sink.type", sink.kind.clone()),
                ("messaging.destination.name", batch.topic.to_string()),
                ("messaging.destination.partition.id", batch.partition.to_string()),
                (
                    "messaging.kafka.offset",
                    batch.offsets.get(i).map_or(String::new(), ToString::to_string),
                ),
                ("wasmill.batch.records", batch.len().to_string()),
            ],
            failure: None,
        });
    }
}
