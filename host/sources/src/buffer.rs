//! The part of an input that is in memory.

use crate::mark::TAIL_BYTES;

/// What is done with is given up when it is so much.
const DONE_BYTES_MAX: usize = 1 << 20;

/// A part of the input. What lies before `start` is done with and kept for the position's tail.
#[derive(Default)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: usize,
    /// Where `bytes` begins in the input.
    pub(crate) offset: u64,
}

impl Buffer {
    pub(crate) fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Where the next piece begins in the input.
    pub(crate) fn position(&self) -> u64 {
        self.offset + self.start as u64
    }

    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    pub(crate) fn tail(&self) -> &[u8] {
        &self.bytes[self.start.saturating_sub(TAIL_BYTES)..self.start]
    }

    /// Gives up what is done with, but for the tail. Moves bytes once per `DONE_BYTES_MAX` at most,
    /// or when what is left is small.
    pub(crate) fn compact(&mut self) {
        let done = self.start.saturating_sub(TAIL_BYTES);
        if done >= DONE_BYTES_MAX || done > self.bytes.len() - done {
            self.bytes.drain(..done);
            self.start -= done;
            self.offset += done as u64;
        }
    }

    pub(crate) fn discard_pending(&mut self) {
        self.offset = self.end();
        self.bytes.clear();
        self.start = 0;
    }
}
