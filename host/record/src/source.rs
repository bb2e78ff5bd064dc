//! What a source other than a topic is: its records are written to a topic first.

use crate::batch::Batch;
use crate::error::{Code, Domain};

/// What can go wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source cannot be read: a missing file, a right.
    #[error("cannot read {what}: {source}")]
    Io {
        /// The source's file, or standard input.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The source is not what it was when the position was committed.
    #[error("{what} has changed since it was last read: {why}; `wasmill reset` starts it anew")]
    Changed {
        /// The source's file.
        what: String,
        /// How one can tell.
        why: String,
    },
}

impl SourceError {
    /// Who can mend it.
    #[must_use]
    pub fn domain(&self) -> Domain {
        Domain::User
    }

    /// The code of its page in docs/errors.
    #[must_use]
    pub fn code(&self) -> Code {
        Code(match self {
            Self::Io { .. } => "E0301",
            Self::Changed { .. } => "E0302",
        })
    }
}

/// A piece of input that does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable {
    /// It as it stands in the source.
    pub raw: Vec<u8>,
    /// Where: a line number, say.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// There may be more at once.
    More,
    /// There is nothing at the moment.
    Idle,
    /// There will never be more. A looping file says this once per pass.
    End,
}

/// `file`, `stdin`, `generator`: read by the worker that owns partition 0 of the source's topic.
pub trait Source: Send {
    /// Called once, before the first read: goes to a position that [`Self::position`] gave and
    /// that was committed; `None` is the beginning. May block for a moment.
    ///
    /// # Errors
    /// The source cannot be read, or has changed.
    fn open(&mut self, position: Option<&str>) -> Result<(), SourceError>;

    /// Appends up to `records` records (keys, values, timestamps, headers) to `into`, and input
    /// that does not parse to `undecodable`. Called when the worker has nothing else to do; must
    /// not block for longer than a few milliseconds.
    ///
    /// # Errors
    /// The source cannot be read.
    fn read(
        &mut self,
        records: usize,
        into: &mut Batch,
        undecodable: &mut Vec<Undecodable>,
    ) -> Result<ReadEnd, SourceError>;

    /// Where the next read goes on, at most 1,000 bytes of ASCII. Committed with what was read.
    fn position(&self) -> String;

    /// How much is read and how much there is, in bytes, where that is known: for progress.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }
}
