//! Sources that are not topics. Their records are written to a topic first; everything after that
//! has the log's guarantees.
//!
//! | file | what it holds |
//! |---|---|
//! | `settings.rs` | the settings of each kind, as the pipeline has them |
//! | `text.rs`, `buffer.rs` | `file` and `stdin`: bytes in, records out, and the position |
//! | `cut.rs`, `csv.rs` | how bytes are cut into lines, NDJSON and CSV |
//! | `file.rs`, `pipe.rs` | where the bytes come from |
//! | `mark.rs` | the position, and how a changed file is found |
//! | `generator.rs` | records made up |
//! | `pace.rs` | records a second |
//! | `http/` | records that are sent by HTTP; not a [`Source`], as every process listens |
//!
//! docs/sources.md has the settings and what each promises.

mod buffer;
mod csv;
mod cut;
mod file;
mod generator;
pub mod http;
mod mark;
mod pace;
mod pipe;
mod settings;
mod text;

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use record::offset::Timestamp;
use record::source::{Source, SourceError};
use record::topology::Connector;

/// Makes a source of a connector of kind `file`, `stdin` or `generator`. Nothing is read before
/// [`Source::open`].
///
/// # Errors
/// [`SourceError::Io`] when the settings are not those of the kind; the pipeline's own check finds
/// that earlier, with its place.
pub fn open(connector: &Connector) -> Result<Box<dyn Source>, SourceError> {
    let wrong = |why: String| SourceError::Io {
        what: format!("source `{}`", connector.name),
        source: io::Error::new(io::ErrorKind::InvalidInput, why),
    };
    let parsed = match connector.kind.as_str() {
        "file" => settings::parse(&connector.settings).and_then(|settings| text::from_file(settings, &connector.name)),
        "stdin" => settings::parse(&connector.settings).and_then(text::from_stdin),
        "generator" => settings::parse(&connector.settings).and_then(generator::from_settings),
        kind => Err(format!("its type is `{kind}`, not `file`, `stdin` or `generator`")),
    };
    parsed.map_err(wrong)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
