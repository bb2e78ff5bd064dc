//! Counts records and drops them: to measure everything before a sink.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use record::batch::Batch;
use record::sink::{Sink, SinkError, SinkPartition};
use record::topology::Connector;
use record::{NextOffset, TopicPartition};

use crate::records::wanted;

/// The sink `blackhole`.
pub(crate) struct BlackholeSink {
    name: Arc<str>,
    records: u64,
    bytes: u64,
}

impl BlackholeSink {
    pub(crate) fn new(connector: &Connector) -> Self {
        Self {
            name: Arc::clone(&connector.name),
            records: 0,
            bytes: 0,
        }
    }
}

impl Sink for BlackholeSink {
    fn open<'a>(&'a mut self, _: &'a SinkPartition) -> BoxFuture<'a, Result<Option<NextOffset>, SinkError>> {
        ready(Ok(None)).boxed()
    }

    fn write<'a>(
        &'a mut self,
        batch: &'a Batch,
        skip: &'a [u32],
        _: NextOffset,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        for record in wanted(batch, skip, None) {
            self.records += 1;
            self.bytes += record.value.map_or(0, |value| value.len() as u64);
        }
        ready(Ok(())).boxed()
    }

    fn close<'a>(&'a mut self, at: &'a TopicPartition) -> BoxFuture<'a, ()> {
        tracing::info!(sink = %self.name, partition = %at, records = self.records, bytes = self.bytes, "dropped so far");
        ready(()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/records.md: every kind of record.
    #[test]
    fn records_are_counted() {
        let connector = Connector {
            name: "hole".into(),
            kind: "blackhole".to_owned(),
            settings: "{}".to_owned(),
        };
        let mut sink = BlackholeSink::new(&connector);
        let large = vec![b'x'; 1 << 20];
        let mut batch = Batch::new("t".into(), 0);
        for (key, value) in [
            (Some(&b"k"[..]), None),
            (Some(b"k"), Some(&b""[..])),
            (Some(b"k"), Some(&large)),
            (Some(b"k"), Some(b"\xff\xfe")),
            (None, Some(b"abc")),
            (Some(b"k"), Some(b"abc")),
            (Some(b"skipped"), Some(b"d")),
        ] {
            batch.push(key, value, 0);
        }
        for i in 0..100 {
            batch.headers.push(format!("h{i}").as_bytes(), Some(b"v"));
        }
        batch.headers.close(5);
        batch.headers.finish(7);
        let result = sink.write(&batch, &[6], NextOffset(7)).now_or_never();
        assert!(matches!(result, Some(Ok(()))));
        assert_eq!((sink.records, sink.bytes), (6, (1 << 20) + 8));
    }
}
