//! The bytes of standard input. A thread reads ahead a little; what was handed out lately is kept,
//! so that a task of this process can go back to its committed position after an abort.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{io, thread};

use record::source::SourceError;

use crate::text::{Feed, Fill};

const CHUNK_BYTES: usize = 64 << 10;
/// So many chunks wait to be taken; then the writer waits.
const CHUNKS_AHEAD: usize = 16;
/// So much can be read again.
const WINDOW_BYTES: u64 = 8 << 20;
/// The beginning is kept for good: it has the head line of CSV.
const HEAD_BYTES: usize = 64 << 10;

pub(crate) const WHAT: &str = "standard input";

/// One per process and input; tasks come and go.
pub(crate) struct Pipe {
    /// Tells positions in this input from those in another process's.
    id: String,
    chunks: Receiver<io::Result<Vec<u8>>>,
    head: Vec<u8>,
    window: Vec<u8>,
    /// Where the window starts in the input.
    window_start: u64,
    /// Reading has failed; it is said again to whoever asks.
    failed: Option<String>,
}

impl Pipe {
    /// Standard input. The first call starts to read it.
    pub(crate) fn stdin() -> io::Result<Arc<Mutex<Self>>> {
        static STDIN: Mutex<Option<Arc<Mutex<Pipe>>>> = Mutex::new(None);
        let mut stdin = STDIN.lock().unwrap_or_else(PoisonError::into_inner);
        match &*stdin {
            Some(pipe) => Ok(Arc::clone(pipe)),
            None => Ok(Arc::clone(stdin.insert(Self::start(io::stdin())?))),
        }
    }

    /// Reads an input on a thread of its own, which ends with the input.
    pub(crate) fn start(input: impl Read + Send + 'static) -> io::Result<Arc<Mutex<Self>>> {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || read_all(input, &sender))?;
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Arc::new(Mutex::new(Self {
            id: format!("{}-{}", std::process::id(), started.as_nanos()),
            chunks,
            head: Vec::new(),
            window: Vec::new(),
            window_start: 0,
            failed: None,
        })))
    }

    fn end(&self) -> u64 {
        self.window_start + self.window.len() as u64
    }

    fn take_in(&mut self, chunk: &[u8]) {
        let room = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&chunk[..room.min(chunk.len())]);
        self.window.extend_from_slice(chunk);
        let excess = (self.window.len() as u64).saturating_sub(WINDOW_BYTES);
        // Moved rarely: once per half window.
        if excess > WINDOW_BYTES / 2 {
            self.window.drain(..excess as usize);
            self.window_start += excess;
        }
    }

    fn fill(&mut self, at: u64, into: &mut Vec<u8>, max: usize) -> Result<Fill, SourceError> {
        while at >= self.end() {
            if let Some(why) = &self.failed {
                return Err(SourceError::Io {
                    what: WHAT.to_owned(),
                    source: io::Error::other(why.clone()),
                });
            }
            match self.chunks.try_recv() {
                Ok(Ok(chunk)) => self.take_in(&chunk),
                Ok(Err(error)) => self.failed = Some(error.to_string()),
                Err(TryRecvError::Empty) => return Ok(Fill::Wait),
                Err(TryRecvError::Disconnected) => return Ok(Fill::End { settled: true }),
            }
        }
        let (bytes, start) = if at >= self.window_start {
            (&self.window, at - self.window_start)
        } else if at < self.head.len() as u64 {
            (&self.head, at)
        } else {
            return Err(SourceError::Changed {
                what: WHAT.to_owned(),
                why: format!("only the last {} MiB of it can be read again", WINDOW_BYTES >> 20),
            });
        };
        let rest = &bytes[start as usize..];
        into.extend_from_slice(&rest[..rest.len().min(max)]);
        Ok(Fill::Bytes)
    }
}

fn read_all(mut input: impl Read, chunks: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match input.read(&mut chunk) {
            Ok(0) => return,
            Ok(read) => {
                chunk.truncate(read);
                Ok(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = read.is_err();
        if chunks.send(read).is_err() || is_last {
            return;
        }
    }
}

/// A task's view of an input that the process shares.
pub(crate) struct PipeFeed(pub(crate) Arc<Mutex<Pipe>>);

impl PipeFeed {
    /// See [`Pipe`]'s field.
    pub(crate) fn id(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).id.clone()
    }
}

impl Feed for PipeFeed {
    fn what(&self) -> String {
        WHAT.to_owned()
    }

    fn restart(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    fn fill(&mut self, at: u64, into: &mut Vec<u8>, max: usize) -> Result<Fill, SourceError> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill(at, into, max)
    }

    fn length(&self) -> Option<u64> {
        None
    }
}
