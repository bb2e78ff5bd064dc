//! Lines on standard output. At least once.

use std::io::{ErrorKind, Write};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use record::batch::Batch;
use record::sink::{Sink, SinkError, SinkPartition};
use record::topology::Connector;
use record::{NextOffset, TopicPartition};
use serde::Deserialize;

use crate::records::wanted;
use crate::settings::parse;
use crate::text::{Format, write_line};

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    format: Format,
}

/// The sink `stdout`.
pub(crate) struct StdoutSink {
    name: Arc<str>,
    format: Format,
    lines: Vec<u8>,
}

impl StdoutSink {
    pub(crate) fn new(connector: &Connector) -> Result<Self, SinkError> {
        let Settings { format } = parse(connector)?;
        Ok(Self {
            name: Arc::clone(&connector.name),
            format,
            lines: Vec::new(),
        })
    }

    fn print(&mut self, batch: &Batch, skip: &[u32]) -> Result<(), SinkError> {
        self.lines.clear();
        for record in wanted(batch, skip, None) {
            write_line(&mut self.lines, self.format, batch, &record);
        }
        // One lock for the whole batch: the lines of other sinks come before or after it.
        let mut out = std::io::stdout().lock();
        out.write_all(&self.lines)
            .and_then(|()| out.flush())
            .map_err(|error| SinkError::Fatal {
                what: match error.kind() {
                    ErrorKind::BrokenPipe => format!("sink {}: who read standard output has closed it", self.name),
                    _ => format!("sink {}: standard output cannot be written: {error}", self.name),
                },
            })
    }
}

impl Sink for StdoutSink {
    fn open<'a>(&'a mut self, _: &'a SinkPartition) -> BoxFuture<'a, Result<Option<NextOffset>, SinkError>> {
        ready(Ok(None)).boxed()
    }

    fn write<'a>(
        &'a mut self,
        batch: &'a Batch,
        skip: &'a [u32],
        _: NextOffset,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        ready(self.print(batch, skip)).boxed()
    }

    fn close<'a>(&'a mut self, _: &'a TopicPartition) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }
}
