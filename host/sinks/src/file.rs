//! Lines at the end of a file. At least once.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
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
    path: PathBuf,
    #[serde(default)]
    format: Format,
}

/// The sink `file`.
pub(crate) struct FileSink {
    name: Arc<str>,
    settings: Settings,
    file: Option<File>,
    lines: Vec<u8>,
}

impl FileSink {
    pub(crate) fn new(connector: &Connector) -> Result<Self, SinkError> {
        Ok(Self {
            name: Arc::clone(&connector.name),
            settings: parse(connector)?,
            file: None,
            lines: Vec::new(),
        })
    }

    fn open_file(&mut self) -> Result<(), SinkError> {
        if self.file.is_none() {
            // Read too, to find out how the last line ends.
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(&self.settings.path);
            self.file = Some(file.map_err(|error| self.error(&error))?);
        }
        Ok(())
    }

    fn append(&mut self, batch: &Batch, skip: &[u32]) -> Result<(), SinkError> {
        self.open_file()?;
        self.lines.clear();
        for record in wanted(batch, skip, None) {
            write_line(&mut self.lines, self.settings.format, batch, &record);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let result = append_locked(file, &self.lines);
        result.map_err(|error| self.error(&error))
    }

    fn error(&self, error: &io::Error) -> SinkError {
        // Without the path, which may have secrets in it.
        let what = format!("sink {}: its file cannot be written: {error}", self.name);
        match error.kind() {
            ErrorKind::NotFound => SinkError::Fatal {
                what: format!("{what}; create the directory, or correct `path`"),
            },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => SinkError::Fatal {
                what: format!("{what}; give the process the right to write it"),
            },
            ErrorKind::IsADirectory | ErrorKind::NotADirectory | ErrorKind::InvalidInput => SinkError::Fatal { what },
            _ => SinkError::Retriable { what },
        }
    }
}

/// Appends all of `lines` or nothing, and waits until they are on the disk. Locked, because the
/// partitions' sinks of several workers may share the file.
fn append_locked(file: &mut File, lines: &[u8]) -> io::Result<()> {
    file.lock()?;
    let result = append_all(file, lines);
    file.unlock().and(result)
}

fn append_all(file: &mut File, lines: &[u8]) -> io::Result<()> {
    if !file.metadata()?.is_file() {
        // A pipe or terminal: nothing to look at, take back or sync.
        return file.write_all(lines);
    }
    let before = file.seek(SeekFrom::End(0))?;
    // A process that was killed may have left half a line: ours begins on its own.
    let mut last = [b'\n'];
    if before > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let newline: &[u8] = if last == *b"\n" { b"" } else { b"\n" };
    let written = file
        .write_all(newline)
        .and_then(|()| file.write_all(lines))
        .and_then(|()| file.sync_data());
    if written.is_err() {
        // The same records come again.
        file.set_len(before)?;
    }
    written
}

impl Sink for FileSink {
    fn open<'a>(&'a mut self, _: &'a SinkPartition) -> BoxFuture<'a, Result<Option<NextOffset>, SinkError>> {
        ready(self.open_file().map(|()| None)).boxed()
    }

    fn write<'a>(
        &'a mut self,
        batch: &'a Batch,
        skip: &'a [u32],
        _: NextOffset,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        ready(self.append(batch, skip)).boxed()
    }

    fn close<'a>(&'a mut self, _: &'a TopicPartition) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }
}
