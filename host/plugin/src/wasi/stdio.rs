//! Standard output of a plugin: lines for the transform's log.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::host::Names;
use crate::host::log::{MESSAGE_BYTES_MAX, Rate, tell};

/// Bytes that one write takes.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Gathers lines. Its clones are one stream.
#[derive(Clone)]
pub(super) struct Lines(Arc<Mutex<Inner>>);

struct Inner {
    names: Names,
    level: Level,
    rate: Rate,
    /// The line that has not ended yet.
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn new(names: &Names, rate: &Rate, level: Level) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            names: names.clone(),
            level,
            rate: rate.clone(),
            line: Vec::new(),
        })))
    }

    fn take(&self, bytes: &[u8]) {
        let mut inner = self.0.lock();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.ends_with(b"\n");
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            // What a line has too much is not kept: it is never shown.
            let room = MESSAGE_BYTES_MAX.saturating_sub(inner.line.len());
            inner.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                inner.end_line();
            }
        }
    }
}

impl Inner {
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if let Some(dropped) = self.rate.admit() {
            tell(&self.names, self.level, None, line.trim_end_matches('\r'), dropped);
        }
    }
}

/// What was written last may lack its line end.
impl Drop for Inner {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
