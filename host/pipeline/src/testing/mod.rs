//! Tests of pipelines: `NAME.test.toml` beside `NAME.toml`. Read and checked here with the
//! diagnostics of pipelines; run elsewhere.
//!
//! ```text
//!   text -> tree (value) -> shape (raw) -> TestFile (read) -> names and formats (fit)
//!                                          by itself          with the pipeline's plan
//! ```

mod fit;
mod raw;
mod read;

use std::path::{Path, PathBuf};

pub use fit::{Outlet, Pair, decode, find_node, outlet};
use record::offset::Timestamp;
use serde_json::Value as Json;

use crate::diagnostic::{self, Diagnostic, Diagnostics, Problem};
use crate::parse::Document;
use crate::text::{Sources, Span};
use crate::{code, value};

/// What the names of test files end with.
pub const SUFFIX: &str = ".test.toml";

/// The tests of one pipeline.
pub struct TestFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// The pipeline that is tested.
    pub pipeline: PathBuf,
    /// What `--embedded` runs is tested.
    pub embedded: bool,
    /// The partitions of every topic.
    pub partitions: u32,
    /// The wall clock at the start of each case.
    pub clock: Timestamp,
    /// The cases, in order.
    pub cases: Vec<Case>,
    sources: Sources,
}

/// A case.
pub struct Case {
    /// Says what is shown.
    pub name: String,
    /// Options of transforms that differ from the pipeline's.
    pub config: Vec<Override>,
    /// What stores hold at the beginning.
    pub state: Vec<StoreContent>,
    /// What happens.
    pub steps: Vec<Step>,
    /// What comes out.
    pub expect: Vec<Expected>,
    /// The dead letters; `None`: there are none, and nothing is said of them.
    pub dead_letters: Option<Vec<ExpectedLetter>>,
    /// What stores hold at the end.
    pub final_state: Vec<StoreContent>,
    /// How the pipeline fails.
    pub error: Option<ExpectedError>,
    /// The table of the case.
    span: Span,
}

/// An option of a transform.
pub struct Override {
    /// The transform.
    pub transform: String,
    /// `--set` paths and values that set it.
    pub set: (String, String),
    transform_span: Span,
    span: Span,
}

/// Bytes, or null, as they are written.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// No key, a tombstone.
    Null,
    /// Text, and what else is compared byte by byte.
    Bytes(Vec<u8>),
    /// Compared as a parsed value.
    Json(Json),
}

impl Data {
    /// The bytes of a record.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Null => None,
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::Json(json) => Some(json.to_string().into_bytes()),
        }
    }
}

/// What happens.
pub enum Step {
    /// A record comes.
    Record(Box<Input>),
    /// The wall clock moves on by so many milliseconds.
    Advance(i64),
}

/// A record that comes.
pub struct Input {
    /// Its source.
    pub source: String,
    /// Its topic, where the source has several.
    pub topic: Option<String>,
    /// The key.
    pub key: Data,
    /// The value.
    pub value: Data,
    /// The event time; `None`: the wall clock.
    pub timestamp: Option<Timestamp>,
    /// Names and texts.
    pub headers: Vec<(String, String)>,
    /// Its partition; `None`: that of its key.
    pub partition: Option<u32>,
    source_span: Span,
    topic_span: Span,
    partition_span: Span,
}

/// What comes out at one place.
pub struct Expected {
    /// The name as it is written: a sink, a port, a transform.
    pub name: String,
    /// The order does not matter.
    pub unordered: bool,
    /// The records.
    pub records: Vec<ExpectedRecord>,
    span: Span,
}

/// A record that comes out.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedRecord {
    /// The key.
    pub key: Data,
    /// The value.
    pub value: Data,
    /// Compared when there is one.
    pub timestamp: Option<Timestamp>,
    /// Compared when there are some.
    pub headers: Option<Vec<(String, String)>>,
    /// Compared when there is one.
    pub partition: Option<u32>,
}

/// A record that is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedLetter {
    /// The transform or source that refuses it.
    pub node: String,
    /// The code of the failure.
    pub code: String,
    /// A part of the message.
    pub message: Option<String>,
    /// The key, where it is compared.
    pub key: Option<Data>,
    /// The value, where it is compared.
    pub value: Option<Data>,
}

/// How the pipeline fails.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedError {
    /// The code.
    pub code: String,
    /// A part of the message.
    pub message: Option<String>,
}

/// The entries of a store.
pub struct StoreContent {
    /// The transform.
    pub transform: String,
    /// Its store.
    pub store: String,
    /// Keys and values.
    pub entries: Vec<StoreEntry>,
    transform_span: Span,
    store_span: Span,
}

/// An entry of a store.
pub struct StoreEntry {
    key: Written,
    value: Written,
    span: Span,
}

/// A value that means something only with a store's format.
struct Written {
    span: Span,
    what: Form,
}

enum Form {
    Missing,
    Toml(value::Value),
    Json(Json),
    Bytes(Vec<u8>),
}

/// Reads a test file.
///
/// # Errors
/// Everything that is wrong with it by itself.
pub fn load(path: &Path) -> Result<TestFile, Diagnostics> {
    let name = path.display().to_string();
    let text = crate::read(path).map_err(|why| {
        let problem = Problem::new(
            code::UNREADABLE,
            Span::START,
            format!("cannot read the test file: {why}"),
        );
        let sources = Sources::new(vec![(name.clone(), String::new())], &[]);
        Diagnostics {
            list: diagnostic::finish(vec![problem], &sources),
        }
    })?;
    load_text(path, text)
}

/// As [`load`], for a text.
///
/// # Errors
/// As [`load`].
pub fn load_text(path: &Path, text: String) -> Result<TestFile, Diagnostics> {
    let mut problems = Vec::new();
    let name = path.display().to_string();
    let document = Document::parse(name.clone(), text.clone(), &[], &mut problems);
    // Nothing in a test file is a secret: it is shown as it is.
    let sources = Sources::new(vec![(name, text)], &[]);
    // Behind a syntax error much looks missing that is there.
    if !document.is_broken() {
        crate::shape::check(&document.root, raw::schema(), "", Span::START, &mut problems);
        let file = read::read(path, &document, &mut problems);
        if problems.is_empty() {
            return Ok(TestFile { sources, ..file });
        }
    }
    Err(Diagnostics {
        list: diagnostic::finish(problems, &sources),
    })
}

impl TestFile {
    /// What a diagnostic about a case's `config` is about in this file.
    #[must_use]
    pub fn relocate(&self, case: &Case, diagnostic: &Diagnostic) -> Diagnostic {
        let found = case
            .config
            .iter()
            .find(|option| diagnostic.file == format!("--set {}", option.set.0));
        match found {
            Some(option) => {
                let problem = Problem::new(diagnostic.code, option.span, diagnostic.message.clone())
                    .maybe_help(diagnostic.help.clone());
                Diagnostic::new(problem, &self.sources)
            }
            None => diagnostic.clone(),
        }
    }

    /// A diagnostic about the whole of a case.
    #[must_use]
    pub fn about(&self, case: &Case, code: record::error::Code, message: String, help: Option<String>) -> Diagnostic {
        Diagnostic::new(Problem::new(code, case.span, message).maybe_help(help), &self.sources)
    }

    /// From 1.
    #[must_use]
    pub fn line_of(&self, case: &Case) -> usize {
        self.sources.get(0).line_and_column(case.span.start).0
    }
}

impl Case {
    /// Whether it says what should come of it.
    #[must_use]
    pub fn expects_something(&self) -> bool {
        !self.expect.is_empty() || self.dead_letters.is_some() || !self.final_state.is_empty() || self.error.is_some()
    }
}
