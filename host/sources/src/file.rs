//! The bytes of a regular file, which may grow while it is read.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use record::source::SourceError;

use crate::text::{Feed, Fill};

/// A last line without an end is taken as whole when the file has not grown for so long.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

pub(crate) struct FileFeed {
    path: PathBuf,
    /// For people.
    what: String,
    /// `None` before the first read.
    file: Option<File>,
    /// Where the end was seen, and since when.
    end_seen: Option<(u64, Instant)>,
}

impl FileFeed {
    pub(crate) fn new(path: PathBuf, what: String) -> Self {
        Self {
            path,
            what,
            file: None,
            end_seen: None,
        }
    }

    fn error(&self, source: io::Error) -> SourceError {
        SourceError::Io {
            what: self.what(),
            source,
        }
    }

    fn changed(&self, why: &str) -> SourceError {
        SourceError::Changed {
            what: self.what(),
            why: why.to_owned(),
        }
    }

    /// At the end of what there is: whether this is still the file that was opened.
    fn check_end(&self, metadata: &Metadata, at: u64) -> Result<(), SourceError> {
        if metadata.len() < at {
            return Err(self.changed("it has become shorter"));
        }
        // A file that is not there any more has been read to its end.
        match self.path.metadata() {
            Ok(other) if (other.dev(), other.ino()) != (metadata.dev(), metadata.ino()) => {
                Err(self.changed("another file has taken its place"))
            }
            _ => Ok(()),
        }
    }
}

fn open_regular(path: &Path) -> io::Result<File> {
    // Opening a pipe would wait for its writer, so it is looked at first.
    if !path.metadata()?.is_file() {
        let why = "it is not a regular file; a pipe can be read by a source of type `stdin`";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    File::open(path)
}

impl Feed for FileFeed {
    fn what(&self) -> String {
        self.what.clone()
    }

    fn restart(&mut self) -> Result<(), SourceError> {
        self.end_seen = None;
        self.file = Some(open_regular(&self.path).map_err(|e| self.error(e))?);
        Ok(())
    }

    fn fill(&mut self, at: u64, into: &mut Vec<u8>, max: usize) -> Result<Fill, SourceError> {
        let Some(file) = &self.file else {
            return Ok(Fill::Wait);
        };
        let start = into.len();
        into.resize(start + max, 0);
        let read = loop {
            match file.read_at(&mut into[start..], at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        into.truncate(start + read.as_ref().copied().unwrap_or(0));
        if read.map_err(|e| self.error(e))? > 0 {
            self.end_seen = None;
            return Ok(Fill::Bytes);
        }
        let metadata = file.metadata().map_err(|e| self.error(e))?;
        self.check_end(&metadata, at)?;
        let (_, since) = *self.end_seen.get_or_insert_with(|| (at, Instant::now()));
        let is_old = metadata
            .modified()
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= SETTLED_AFTER));
        Ok(Fill::End {
            settled: is_old || since.elapsed() >= SETTLED_AFTER,
        })
    }

    fn length(&self) -> Option<u64> {
        self.file.as_ref()?.metadata().ok().map(|metadata| metadata.len())
    }
}
