//! The spans of a request: the request itself, and the writing of its record.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Method, StatusCode};
use record::trace::{self, Span, SpanKind, Spans, TraceParent};

/// A request whose trace is recorded.
pub(super) struct Traced {
    spans: Arc<dyn Spans>,
    /// What the client sent, or a new trace.
    parent: TraceParent,
    /// Of the request.
    id: [u8; 8],
    /// Of the writing, which readers of the record continue.
    writing: [u8; 8],
    began: SystemTime,
}

impl Traced {
    /// `None`: nobody wants spans, or the client or the sampler says that this trace is not recorded.
    pub(super) fn begin(spans: Option<&Arc<dyn Spans>>, headers: &HeaderMap) -> Option<Self> {
        let spans = spans?;
        let sent = headers
            .get(trace::HEADER)
            .and_then(|value| TraceParent::parse(value.as_bytes()));
        let parent = match sent {
            Some(parent) => parent.is_sampled.then_some(parent)?,
            None => spans.begin()?,
        };
        Some(Self {
            parent,
            id: spans.id(),
            writing: spans.id(),
            began: SystemTime::now(),
            spans: Arc::clone(spans),
        })
    }

    /// Gives the record its parent.
    pub(super) fn mark(&self, headers: &mut Vec<(String, Vec<u8>)>) {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(trace::HEADER));
        let parent = TraceParent {
            span: self.writing,
            ..self.parent
        };
        headers.push((trace::HEADER.to_owned(), parent.encode().into_bytes()));
    }

    /// Tells both spans.
    pub(super) fn end(self, method: &Method, path: &str, topic: &str, status: StatusCode) {
        let ended = SystemTime::now();
        let is_failure = status.is_server_error();
        let failure = is_failure.then(|| status.to_string());
        let request = Span {
            parent: self.parent,
            id: self.id,
            name: format!("{method} {path}"),
            kind: SpanKind::Server,
            began: self.began,
            ended,
            attributes: vec![
                ("http.request.method", method.to_string()),
                ("http.route", path.to_owned()),
                ("http.response.status_code", status.as_u16().to_string()),
            ],
            failure: failure.clone(),
        };
        let writing = Span {
            parent: request.as_parent(),
            id: self.writing,
            name: format!("send {topic}"),
            kind: SpanKind::Producer,
            began: self.began,
            ended,
            attributes: vec![
                ("messaging.system", "kafka".to_owned()),
                ("messaging.operation.type", "send".to_owned()),
                ("messaging.destination.name", topic.to_owned()),
            ],
            failure,
        };
        self.spans.put(request);
        // A request that was refused has written nothing.
        if !status.is_client_error() {
            self.spans.put(writing);
        }
    }
}
