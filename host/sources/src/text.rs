//! `file` and `stdin`: bytes in, records out, and the position between them.

use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use record::batch::Batch;
use record::offset::Timestamp;
use record::source::{ReadEnd, Source, SourceError, Undecodable};

use crate::buffer::Buffer;
use crate::cut::{Cut, Cutter, What};
use crate::file::FileFeed;
use crate::mark::{HEAD_BYTES, Mark, Print};
use crate::pace::Pace;
use crate::pipe::{self, Pipe, PipeFeed};
use crate::settings::{FileSettings, StdinSettings};

/// A longer line or row is input that does not parse.
pub(crate) const RECORD_BYTES_MAX: usize = 16 << 20;
/// So much of it is kept for the dead letters.
const RAW_BYTES_MAX: usize = 64 << 10;
/// A read ends when it has so many bytes of records, or has read so many bytes on the way to one.
const READ_BYTES_MAX: usize = 1 << 20;
const FILL_BYTES_MIN: usize = 64 << 10;
const FILL_BYTES_MAX: usize = 1 << 20;
const FILE_INPUT: &str = "file";

/// Where bytes come from: read from any offset, as far as they are kept.
pub(crate) trait Feed: Send {
    /// For people.
    fn what(&self) -> String;
    /// Begins a pass over the input.
    fn restart(&mut self) -> Result<(), SourceError>;
    /// Appends 1 to `max` bytes from offset `at` on, without waiting for them.
    fn fill(&mut self, at: u64, into: &mut Vec<u8>, max: usize) -> Result<Fill, SourceError>;
    /// How much there is, where that is known.
    fn length(&self) -> Option<u64>;
}

/// What a fill found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Bytes.
    Bytes,
    /// Nothing yet.
    Wait,
    /// There are no more bytes. `settled`: nobody seems to be in the middle of a line.
    End { settled: bool },
}

enum Input {
    File {
        path: PathBuf,
        /// For people. Without the path, which may have secrets in it.
        what: String,
    },
    /// Standard input; something like it in tests.
    Pipe(Box<dyn Fn() -> io::Result<Arc<Mutex<Pipe>>> + Send>),
}

pub(crate) fn from_file(settings: FileSettings, name: &str) -> Result<Box<dyn Source>, String> {
    let mut source = TextSource::new(
        Input::File {
            path: settings.path,
            what: format!("the file of source `{name}`"),
        },
        Cutter::new(settings.format, settings.delimiter)?,
    );
    source.repeat = settings.repeat;
    source.pace = Pace::new(settings.rate)?;
    Ok(Box::new(source))
}

pub(crate) fn from_stdin(settings: StdinSettings) -> Result<Box<dyn Source>, String> {
    let cutter = Cutter::new(settings.format, settings.delimiter)?;
    Ok(Box::new(TextSource::new(Input::Pipe(Box::new(Pipe::stdin)), cutter)))
}

struct TextSource {
    input: Input,
    cutter: Cutter,
    repeat: bool,
    pace: Pace,
    /// `None` before `open`.
    feed: Option<Box<dyn Feed>>,
    /// As in [`Mark`].
    input_id: String,
    pass: u64,
    pieces: u64,
    open: bool,
    /// The first bytes of the input.
    head: Vec<u8>,
    buffer: Buffer,
    /// The end was told; a looping file begins again at the next read.
    at_end: bool,
    skipping: Option<Skipping>,
}

/// A line that is too long to be kept. Its position is where it begins until its end is found.
#[derive(Default)]
struct Skipping {
    raw: Vec<u8>,
    length: u64,
    position: String,
    place: String,
}

/// What one read may still do.
struct Round {
    records_left: usize,
    bytes_left: usize,
    fill_left: usize,
    /// The end of the input is final, as far as this read goes.
    ended: bool,
    now: Timestamp,
}

impl TextSource {
    fn new(input: Input, cutter: Cutter) -> Self {
        Self {
            input,
            cutter,
            repeat: false,
            pace: Pace::unlimited(),
            feed: None,
            input_id: String::new(),
            pass: 0,
            pieces: 0,
            open: false,
            head: Vec::new(),
            buffer: Buffer::default(),
            at_end: false,
            skipping: None,
        }
    }

    fn what(&self) -> String {
        match &self.input {
            Input::File { what, .. } => what.clone(),
            Input::Pipe(_) => pipe::WHAT.to_owned(),
        }
    }

    fn changed(&self, why: &str) -> SourceError {
        SourceError::Changed {
            what: self.what(),
            why: why.to_owned(),
        }
    }

    fn connect(&mut self) -> Result<(), SourceError> {
        let (feed, id): (Box<dyn Feed>, String) = match &self.input {
            Input::File { path, what } => {
                let feed = FileFeed::new(path.clone(), what.clone());
                (Box::new(feed), FILE_INPUT.to_owned())
            }
            Input::Pipe(pipe) => {
                let pipe = pipe().map_err(|source| SourceError::Io {
                    what: pipe::WHAT.to_owned(),
                    source,
                })?;
                let feed = PipeFeed(pipe);
                let id = feed.id();
                (Box::new(feed), id)
            }
        };
        self.feed = Some(feed);
        self.input_id = id;
        Ok(())
    }

    /// Begins to read the input from its beginning.
    fn restart(&mut self) -> Result<(), SourceError> {
        if let Some(feed) = &mut self.feed {
            feed.restart()?;
        }
        self.cutter.restart();
        self.pieces = 0;
        self.open = false;
        self.head.clear();
        self.buffer = Buffer::default();
        self.at_end = false;
        self.skipping = None;
        Ok(())
    }

    /// Goes to a position, after a look at whether the input is still the same up to there.
    fn resume(&mut self, mark: &Mark) -> Result<(), SourceError> {
        self.head = self.bytes_at(0, mark.head.bytes)?;
        if Print::of(&self.head) != mark.head {
            return Err(self.changed("it begins with other bytes"));
        }
        let tail_start = mark.offset - mark.tail.bytes;
        let tail = self.bytes_at(tail_start, mark.tail.bytes)?;
        if Print::of(&tail) != mark.tail {
            return Err(self.changed(&format!("other bytes stand before byte {}", mark.offset)));
        }
        if mark.offset > 0 && self.cutter.needs_head() {
            self.read_head_line()?;
        }
        self.buffer = Buffer {
            start: tail.len(),
            bytes: tail,
            offset: tail_start,
        };
        self.pass = mark.pass;
        self.pieces = mark.pieces;
        self.open = mark.open;
        Ok(())
    }

    /// Exactly `length` bytes that were read before, from `start` on.
    fn bytes_at(&mut self, start: u64, length: u64) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let missing = (length - bytes.len() as u64) as usize;
            let at = start + bytes.len() as u64;
            let fill = match &mut self.feed {
                Some(feed) => feed.fill(at, &mut bytes, missing)?,
                None => Fill::Wait,
            };
            if fill != Fill::Bytes {
                return Err(self.changed("it has become shorter"));
            }
        }
        Ok(bytes)
    }

    fn read_head_line(&mut self) -> Result<(), SourceError> {
        let mut bytes = Vec::new();
        while bytes.len() <= RECORD_BYTES_MAX {
            match self.cutter.cut(&bytes, false) {
                Cut::Piece { .. } => return Ok(()),
                Cut::Hopeless(why) => return Err(self.hopeless(why)),
                Cut::NeedMore => {}
            }
            let at = bytes.len() as u64;
            let fill = match &mut self.feed {
                Some(feed) => feed.fill(at, &mut bytes, FILL_BYTES_MIN)?,
                None => Fill::Wait,
            };
            if fill != Fill::Bytes {
                break;
            }
        }
        Err(self.changed("its head line has no end any more"))
    }

    fn hopeless(&self, why: String) -> SourceError {
        SourceError::Io {
            what: self.what(),
            source: io::Error::new(io::ErrorKind::InvalidData, why),
        }
    }

    /// Reads on behind the buffer.
    fn fill(&mut self, round: &mut Round) -> Result<Fill, SourceError> {
        let Some(feed) = &mut self.feed else {
            return Ok(Fill::Wait);
        };
        self.buffer.compact();
        let at = self.buffer.end();
        let before = self.buffer.bytes.len();
        let max = self.buffer.pending().len().clamp(FILL_BYTES_MIN, FILL_BYTES_MAX);
        let fill = feed.fill(at, &mut self.buffer.bytes, max)?;
        let new = &self.buffer.bytes[before..];
        if at == self.head.len() as u64 && self.head.len() < HEAD_BYTES {
            let room = HEAD_BYTES - self.head.len();
            self.head.extend_from_slice(&new[..room.min(new.len())]);
        }
        round.fill_left = round.fill_left.saturating_sub(new.len());
        round.ended = fill == Fill::End { settled: true };
        Ok(fill)
    }

    /// Passes over the end of a line that was taken without one. `false`: not known yet.
    fn pass_line_end(&mut self, ended: bool) -> bool {
        if !self.open {
            return true;
        }
        let used = match self.buffer.pending() {
            [] => return true,
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            [b'\r'] if ended => 1,
            [b'\r'] => return false,
            _ => 0,
        };
        self.open = used == 0 && self.buffer.pending().is_empty();
        self.buffer.start += used;
        true
    }

    fn read_round(
        &mut self,
        round: &mut Round,
        into: &mut Batch,
        undecodable: &mut Vec<Undecodable>,
    ) -> Result<ReadEnd, SourceError> {
        loop {
            let needs_more = if self.skipping.is_some() {
                !self.skip(round, undecodable)
            } else if !self.pass_line_end(round.ended) || self.buffer.pending().is_empty() {
                true
            } else if round.records_left == 0 || round.bytes_left == 0 {
                return Ok(ReadEnd::More);
            } else {
                !self.cut(round, into, undecodable)?
            };
            if !needs_more {
                continue;
            }
            if round.fill_left == 0 {
                return Ok(ReadEnd::More);
            }
            match self.fill(round)? {
                Fill::Bytes => {}
                Fill::Wait => return Ok(ReadEnd::Idle),
                Fill::End { settled: false } if self.has_unfinished() => return Ok(ReadEnd::Idle),
                Fill::End { .. } if self.has_unfinished() => {}
                Fill::End { .. } => {
                    self.at_end = true;
                    return Ok(ReadEnd::End);
                }
            }
        }
    }

    fn has_unfinished(&self) -> bool {
        self.skipping.is_some() || !self.buffer.pending().is_empty()
    }

    /// Takes one piece; `false` when it has no end yet.
    fn cut(
        &mut self,
        round: &mut Round,
        into: &mut Batch,
        undecodable: &mut Vec<Undecodable>,
    ) -> Result<bool, SourceError> {
        let place = self.buffer.position();
        let pending = self.buffer.bytes.get(self.buffer.start..).unwrap_or_default();
        let (used, what) = match self.cutter.cut(pending, round.ended) {
            Cut::Piece { used, what } => (used, what),
            Cut::Hopeless(why) => return Err(self.hopeless(why)),
            Cut::NeedMore if pending.len() > RECORD_BYTES_MAX => {
                self.begin_skip();
                return Ok(true);
            }
            Cut::NeedMore => return Ok(false),
        };
        self.pieces += 1;
        if what != What::Nothing {
            round.records_left = round.records_left.saturating_sub(1);
        }
        match what {
            What::Value(range) => into.push(None, pending.get(range), round.now),
            What::Built => into.push(None, Some(self.cutter.built()), round.now),
            What::Nothing => {}
            What::Bad(message) => undecodable.push(Undecodable {
                raw: pending.get(..used).unwrap_or_default().to_vec(),
                place: self.place(place),
                message,
            }),
        }
        round.bytes_left = round.bytes_left.saturating_sub(used);
        self.open = self.cutter.ends_lines() && pending.get(..used).is_some_and(|piece| !piece.ends_with(b"\n"));
        self.buffer.start += used;
        Ok(true)
    }

    fn place(&self, offset: u64) -> String {
        format!(
            "{}, {} {} (byte {offset})",
            self.what(),
            self.cutter.unit(),
            self.pieces
        )
    }

    fn begin_skip(&mut self) {
        let position = self.position();
        self.pieces += 1;
        let pending = self.buffer.pending();
        self.skipping = Some(Skipping {
            raw: pending[..RAW_BYTES_MAX.min(pending.len())].to_vec(),
            length: 0,
            position,
            place: self.place(self.buffer.position()),
        });
        self.cutter.pass_over();
    }

    /// Looks for the end of a line that is too long; `false` when more bytes are needed.
    fn skip(&mut self, round: &mut Round, undecodable: &mut Vec<Undecodable>) -> bool {
        let pending = self.buffer.pending();
        let found = memchr::memchr(b'\n', pending);
        let passed = found.map_or(pending.len(), |at| at + 1);
        let Some(skipping) = &mut self.skipping else {
            return true;
        };
        skipping.length += passed as u64;
        if found.is_none() && !round.ended {
            self.buffer.discard_pending();
            return false;
        }
        let Skipping { raw, length, place, .. } = mem::take(skipping);
        self.skipping = None;
        self.buffer.start += passed;
        self.open = found.is_none() && self.cutter.ends_lines();
        undecodable.push(Undecodable {
            raw,
            place,
            message: format!(
                "it has {length} bytes, more than {RECORD_BYTES_MAX}; only the first {RAW_BYTES_MAX} are kept here"
            ),
        });
        round.records_left = round.records_left.saturating_sub(1);
        true
    }
}

impl Source for TextSource {
    fn open(&mut self, position: Option<&str>) -> Result<(), SourceError> {
        self.connect()?;
        self.restart()?;
        self.pass = 0;
        let Some(position) = position else {
            return Ok(());
        };
        match Mark::read(position) {
            Some(mark) if mark.input == self.input_id => self.resume(&mark),
            // What another process has read of its standard input is gone.
            Some(mark) if mark.input != FILE_INPUT && self.input_id != FILE_INPUT => {
                tracing::info!(
                    pieces = mark.pieces,
                    "standard input was read by an earlier process; going on with what comes now"
                );
                Ok(())
            }
            _ => Err(self.changed(&format!("its position `{position}` is not one of this kind of source"))),
        }
    }

    fn read(
        &mut self,
        records: usize,
        into: &mut Batch,
        undecodable: &mut Vec<Undecodable>,
    ) -> Result<ReadEnd, SourceError> {
        if self.at_end && self.repeat {
            self.restart()?;
            self.pass += 1;
        }
        let granted = self.pace.take(Instant::now(), records);
        let mut round = Round {
            records_left: granted,
            bytes_left: READ_BYTES_MAX,
            fill_left: FILL_BYTES_MAX * 4,
            ended: false,
            now: crate::now(),
        };
        let end = self.read_round(&mut round, into, undecodable);
        self.pace.give_back(round.records_left);
        match end? {
            ReadEnd::More if granted == 0 && records > 0 => Ok(ReadEnd::Idle),
            end => Ok(end),
        }
    }

    fn position(&self) -> String {
        if let Some(skipping) = &self.skipping {
            return skipping.position.clone();
        }
        let offset = self.buffer.position();
        let head = self.head.len().min(usize::try_from(offset).unwrap_or(HEAD_BYTES));
        Mark {
            input: self.input_id.clone(),
            pass: self.pass,
            offset,
            pieces: self.pieces,
            open: self.open,
            head: Print::of(&self.head[..head]),
            tail: Print::of(self.buffer.tail()),
        }
        .to_string()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let length = self.feed.as_ref()?.length()?;
        Some((self.buffer.position(), length))
    }
}

#[cfg(test)]
mod tests;
