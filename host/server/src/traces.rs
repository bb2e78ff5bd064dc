//! Spans on their way to a collector, by OTLP over HTTP. Whoever tells a span never waits: it goes into a
//! queue, and a thread of its own sends what is there. A collector that is away costs spans, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use record::error::Code;
use record::trace::{Span, SpanKind, Spans, TraceParent};

use crate::failure::Failure;

/// Spans that wait; those beyond are dropped.
const WAITING_MAX: usize = 16_384;
/// Spans that are sent at once.
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// How often it is said that spans are lost.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// The variables that say where a collector is. The exporter reads them itself, and those about headers,
/// time-outs and the resource.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// The part of requests without a trace that begin one, 0 to 1.
const RATIO: &str = "OTEL_TRACES_SAMPLER_ARG";

/// How long the last spans are waited for when the process ends.
const LAST_TIME: Duration = Duration::from_secs(3);

/// What waits to be sent.
enum Item {
    /// Boxed: it is large, and the queue has room for many.
    Span(Box<SpanData>),
    /// Send what is there, and say so.
    Flush(Sender<()>),
}

/// Spans are sent.
pub(crate) struct Tracing {
    pub(crate) spans: Arc<dyn Spans>,
    queue: Sender<Item>,
}

impl Tracing {
    /// Waits until what was told is sent, for a moment.
    pub(crate) fn flush(&self) {
        let (done, sent) = bounded(1);
        if self.queue.send_timeout(Item::Flush(done), LAST_TIME).is_ok() {
            // It was tried.
            let _ = sent.recv_timeout(LAST_TIME);
        }
    }
}

/// Begins to send spans, if `url` or the environment says where to.
///
/// # Errors
/// A URL or a ratio that is none.
pub(crate) fn start(url: Option<&str>) -> Result<Option<Tracing>, Failure> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if url.is_none() && !ENDPOINTS.iter().any(|name| is_set(name)) {
        return Ok(None);
    }
    let failed = |what: String| Failure::Other {
        code: Code("E0734"),
        invalid: true,
        what,
        place: None,
        next: format!(
            "name a collector such as http://localhost:4318, with `--otlp` or {}",
            ENDPOINTS[1]
        ),
    };
    // Whoever was first is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ratio = match std::env::var(RATIO) {
        Err(_) => 1.0,
        Ok(text) => text
            .parse::<f64>()
            .ok()
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .ok_or_else(|| failed(format!("{RATIO} is `{text}`, which is no number from 0 to 1")))?,
    };
    let builder = SpanExporter::builder().with_http();
    let builder = match url {
        Some(url) => builder.with_endpoint(traces_url(url).map_err(&failed)?),
        None => builder,
    };
    let mut exporter = builder
        .build()
        .map_err(|error| failed(format!("traces cannot be sent: {error}")))?;
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some()
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|text| text.contains("service.name"));
    let mut resource = Resource::builder();
    if !named {
        resource = resource.with_service_name("wasmill");
    }
    exporter.set_resource(&resource.build());
    let (queue, waiting) = bounded(WAITING_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(format!("traces cannot be sent: {error}")))?;
    let counted = Arc::clone(&lost);
    std::thread::Builder::new()
        .name("traces".to_owned())
        .spawn(move || runtime.block_on(send(&exporter, &waiting, &counted)))
        .map_err(|error| failed(format!("traces cannot be sent: {error}")))?;
    let spans = Otlp {
        queue: queue.clone(),
        lost,
        ids: RandomIdGenerator::default(),
        // Of the first eight bytes of a trace's number, which are random.
        below: (ratio * u64::MAX as f64) as u64,
    };
    Ok(Some(Tracing {
        spans: Arc::new(spans),
        queue,
    }))
}

/// The path of traces, where a URL has none.
fn traces_url(url: &str) -> Result<String, String> {
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("`{url}` is no URL: {error}"))?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(format!("`{url}` is no address of a collector"));
    }
    Ok(match parsed.path() {
        "" | "/" => format!("{}/v1/traces", url.trim_end_matches('/')),
        _ => url.to_owned(),
    })
}

/// The sending end.
struct Otlp {
    queue: Sender<Item>,
    lost: Arc<AtomicU64>,
    ids: RandomIdGenerator,
    below: u64,
}

impl Spans for Otlp {
    fn id(&self) -> [u8; 8] {
        self.ids.new_span_id().to_bytes()
    }

    fn begin(&self) -> Option<TraceParent> {
        let trace = self.ids.new_trace_id().to_bytes();
        let [a, b, c, d, e, f, g, h, ..] = trace;
        (u64::from_be_bytes([a, b, c, d, e, f, g, h]) <= self.below && self.below > 0).then_some(TraceParent {
            trace,
            span: [0; 8],
            is_sampled: true,
        })
    }

    fn put(&self, span: Span) {
        if self.queue.try_send(Item::Span(Box::new(data(span)))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn data(span: Span) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(span.parent.trace),
            SpanId::from_bytes(span.id),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: SpanId::from_bytes(span.parent.span),
        parent_span_is_remote: matches!(span.kind, SpanKind::Server | SpanKind::Consumer),
        span_kind: match span.kind {
            SpanKind::Server => opentelemetry::trace::SpanKind::Server,
            SpanKind::Consumer => opentelemetry::trace::SpanKind::Consumer,
            SpanKind::Producer => opentelemetry::trace::SpanKind::Producer,
            SpanKind::Client => opentelemetry::trace::SpanKind::Client,
        },
        name: span.name.into(),
        start_time: span.began,
        end_time: span.ended,
        attributes: span
            .attributes
            .into_iter()
            .map(|(name, value)| KeyValue::new(name, value))
            .collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match span.failure {
            None => Status::Unset,
            Some(why) => Status::error(why),
        },
        instrumentation_scope: InstrumentationScope::builder("wasmill")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

/// Sends until nobody is left who tells spans.
async fn send(exporter: &SpanExporter, waiting: &Receiver<Item>, lost: &AtomicU64) {
    let mut said: Option<Instant> = None;
    while let Ok(first) = waiting.recv() {
        let until = Instant::now() + BATCH_TIME;
        let (mut batch, mut flushed) = (Vec::new(), None);
        let mut next = Ok(first);
        while let Ok(item) = next {
            match item {
                Item::Span(span) => batch.push(*span),
                Item::Flush(done) => flushed = Some(done),
            }
            if flushed.is_some() || batch.len() >= BATCH_MAX {
                break;
            }
            next = waiting.recv_deadline(until);
        }
        let count = batch.len() as u64;
        let failure = if batch.is_empty() {
            None
        } else {
            exporter.export(batch).await.err()
        };
        if let Some(done) = flushed {
            let _ = done.send(());
        }
        if failure.is_some() {
            lost.fetch_add(count, Ordering::Relaxed);
        }
        if lost.load(Ordering::Relaxed) > 0 && said.is_none_or(|at| at.elapsed() > SAY_EVERY) {
            said = Some(Instant::now());
            let lost = lost.swap(0, Ordering::Relaxed);
            match failure {
                Some(error) => tracing::warn!("{lost} spans were not sent: {error}"),
                None => tracing::warn!("{lost} spans were dropped: there are more than the collector takes"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_added_where_there_is_none() {
        for (given, wanted) in [
            ("http://localhost:4318", Ok("http://localhost:4318/v1/traces")),
            ("http://localhost:4318/", Ok("http://localhost:4318/v1/traces")),
            (
                "https://c.example/otlp/v1/traces",
                Ok("https://c.example/otlp/v1/traces"),
            ),
            ("localhost:4318", Err(())),
            ("collector", Err(())),
        ] {
            assert_eq!(traces_url(given).map_err(|_| ()), wanted.map(str::to_owned), "{given}");
        }
    }
}
