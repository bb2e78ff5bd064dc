//! Traces: the `traceparent` header of W3C Trace Context, version 00, which goes with requests and records,
//! and the spans that are told of them.

use std::time::SystemTime;

use crate::headers::Headers;

/// Its name, as HTTP and records have it.
pub const HEADER: &str = "traceparent";

/// What a trace is continued with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace. Never all zero.
    pub trace: [u8; 16],
    /// The span that caused this one. Never all zero.
    pub span: [u8; 8],
    /// Whether the one who began it records the trace.
    pub is_sampled: bool,
}

impl TraceParent {
    /// Reads a header. `None`: it is malformed, and the trace is as if there were none.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|byte| *byte == b'-');
        let version: [u8; 1] = bytes(parts.next()?)?;
        let trace: [u8; 16] = bytes(parts.next()?)?;
        let span: [u8; 8] = bytes(parts.next()?)?;
        let flags: [u8; 1] = bytes(parts.next()?)?;
        // Later versions may have more parts; 255 is no version.
        let has_more = parts.next().is_some();
        if version[0] == 0xff || (version[0] == 0 && has_more) || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        Some(Self {
            trace,
            span,
            is_sampled: flags[0] & 1 == 1,
        })
    }

    /// As the header has it.
    #[must_use]
    pub fn encode(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!(
            "00-{}-{}-{:02x}",
            hex(&self.trace),
            hex(&self.span),
            u8::from(self.is_sampled)
        )
    }
}

/// What a span is of, as OpenTelemetry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A request that came.
    Server,
    /// A record that was read from a topic.
    Consumer,
    /// A record that was written to a topic.
    Producer,
    /// Something that was asked of another system.
    Client,
}

/// Work that was done for one request or record.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its trace, and the span that caused it; all zero: none did.
    pub parent: TraceParent,
    /// Its own number.
    pub id: [u8; 8],
    /// Of few different values: a verb and what it is about.
    pub name: String,
    /// What it is of.
    pub kind: SpanKind,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// Names as OpenTelemetry's conventions have them.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it came to nothing.
    pub failure: Option<String>,
}

impl Span {
    /// What comes after this span names it with.
    #[must_use]
    pub fn as_parent(&self) -> TraceParent {
        TraceParent {
            span: self.id,
            ..self.parent
        }
    }
}

/// Where spans are told. There is none unless somebody wants to have them.
pub trait Spans: Send + Sync {
    /// A new number for a span. Never all zero.
    fn id(&self) -> [u8; 8];
    /// A new trace, for a request that belongs to none. `None`: it is not recorded.
    fn begin(&self) -> Option<TraceParent>;
    /// Takes a span; never waits, and drops it when there are too many.
    fn put(&self, span: Span);
}

/// What record `i` is traced with, if its trace is recorded.
#[must_use]
pub fn sampled(headers: &Headers, i: usize) -> Option<TraceParent> {
    let parent = TraceParent::parse(headers.last(i, HEADER)??)?;
    parent.is_sampled.then_some(parent)
}

/// Gives records another parent: `(record, parent)`, in the order of the records, for those that have one
/// already. The batch has `count` records.
pub fn replace(headers: &mut Headers, count: usize, parents: &[(usize, TraceParent)]) {
    let mut replaced = Headers::default();
    let mut parents = parents.iter().peekable();
    for i in 0..count {
        let parent = parents.next_if(|(at, _)| *at == i).map(|(_, parent)| parent.encode());
        for (name, value) in headers.of(i) {
            match &parent {
                Some(parent) if name == HEADER.as_bytes() => replaced.push(name, Some(parent.as_bytes())),
                _ => replaced.push(name, value),
            }
        }
        replaced.close(i);
    }
    replaced.marks = std::mem::take(&mut headers.marks);
    *headers = replaced;
}

/// Lower case only, as the specification says.
fn bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut found = [0; N];
    for (byte, pair) in found.iter_mut().zip(text.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_and_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(text.as_bytes()).unwrap();
        assert!(parent.is_sampled);
        assert_eq!(parent.encode(), text);
        assert!(!TraceParent::parse(&text.as_bytes()[..54]).is_some_and(|parent| parent.is_sampled));
    }

    #[test]
    fn parents_are_replaced_where_they_are() {
        let old = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut headers = Headers::default();
        headers.push(b"a", None);
        headers.push(HEADER.as_bytes(), Some(old.as_bytes()));
        headers.close(0);
        headers.push(HEADER.as_bytes(), Some(b"nonsense"));
        headers.close(2);
        let parent = sampled(&headers, 0).unwrap();
        assert_eq!((sampled(&headers, 1), sampled(&headers, 2)), (None, None));
        let new = TraceParent { span: [7; 8], ..parent };
        replace(&mut headers, 3, &[(0, new)]);
        assert_eq!(sampled(&headers, 0), Some(new));
        assert_eq!(headers.of(0).next(), Some((&b"a"[..], None)));
        assert_eq!(headers.last(2, HEADER), Some(Some(&b"nonsense"[..])));
        assert_eq!(headers.of(1).count(), 0);
    }

    #[test]
    fn what_is_malformed_is_none() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(TraceParent::parse(text.as_bytes()), None, "{text}");
        }
        // A later version with a part more.
        assert!(TraceParent::parse(b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-x").is_some());
    }
}
