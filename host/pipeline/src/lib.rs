//! TOML in, plan out: pipeline files, their diagnostics, their schema and their picture.
//!
//! ```text
//!   text -> tree (value) -> shape (raw) -> checked -> plan (record::topology::Topology)
//!           --set, ${..}    all diagnostics at once   cannot fail
//! ```
//!
//! [`load`] does all of it. Nothing here opens a connection; plugins are described by the caller.

mod check;
mod checked;
pub mod code;
mod diagnostic;
mod fill;
mod graph;
mod hash;
mod parse;
mod plan;
mod raw;
mod reference;
mod schema;
mod shape;
pub mod testing;
mod text;
mod topic_names;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::Secret;
use record::error::Code;
use record::topology::{Start, Topology};

pub use check::names::parse_start;
pub use check::{Describe, PluginUse};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use graph::{Format, graph};
pub use plan::{End, Ends};
pub use reference::reference;
pub use schema::schema;

use diagnostic::Problem;
use parse::Document;
use text::{Sources, Span};
use topic_names::TopicNames;

/// The largest pipeline file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Where `${env:X}` looks.
#[derive(Clone)]
pub struct Env(Arc<Lookup>);

impl Env {
    /// The environment of this process.
    #[must_use]
    pub fn process() -> Self {
        Self(Arc::new(|name| std::env::var(name).ok()))
    }

    /// Whatever `lookup` answers.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// These variables and no others.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let map: BTreeMap<String, String> = pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self(Arc::new(move |name| map.get(name).cloned()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

/// What the command line says of a pipeline.
#[derive(Clone)]
pub struct LoadOptions {
    /// `--embedded`: the nodes of `[embedded]` take the places of those they are named after, and
    /// `[kafka]` is not looked at.
    pub embedded: bool,
    /// `--set path=value`: a dotted path, and a TOML value or text.
    pub set: Vec<(String, String)>,
    /// Where plugins may be; links are followed before it is compared.
    pub plugin_root: PathBuf,
    /// `--from`, for all `kafka` sources.
    pub start: Option<Start>,
    /// `--workers`.
    pub workers: Option<usize>,
    /// Where `${env:X}` looks.
    pub env: Env,
    /// The pipeline is to be tested, its sources and sinks replaced: placeholders are not filled in,
    /// and no broker is needed.
    pub testing: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            embedded: false,
            set: Vec::new(),
            plugin_root: PathBuf::from("."),
            start: None,
            workers: None,
            env: Env::process(),
            testing: false,
        }
    }
}

/// Without the values of `--set`, which may be secrets.
impl fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<&str> = self.set.iter().map(|(path, _)| path.as_str()).collect();
        f.debug_struct("LoadOptions")
            .field("embedded", &self.embedded)
            .field("set", &paths)
            .field("plugin_root", &self.plugin_root)
            .field("start", &self.start)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// How to reach the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas. Empty under `--embedded`.
    pub brokers: Secret,
    /// Settings of librdkafka, none of them one that Wasmill sets itself.
    pub properties: Vec<(String, Secret)>,
}

/// A pipeline that is ready to run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The plan.
    pub topology: Topology,
    /// Its sources and sinks by name.
    pub ends: Ends,
    /// How to reach the broker.
    pub kafka: KafkaSettings,
    /// The topic that holds what all processes must know; not part of the plan, because it is there
    /// only after a reset.
    pub control_topic: String,
    /// Whether a reload that does not fit the state resets the pipeline; else it is refused.
    pub resets_state: bool,
    /// What is perhaps not as meant.
    pub warnings: Vec<Diagnostic>,
    /// Tells plans apart: processes of one pipeline must have the same. No secret goes into it.
    pub plan_hash: String,
}

/// What is wrong with a plugin, or with the config it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginProblem {
    /// It cannot be read, is no component, lacks a right, and so on: a sentence for people.
    Unusable(String),
    /// It cannot be had from its registry.
    Remote {
        /// The code of its page in docs/errors.
        code: Code,
        /// A sentence for people.
        message: String,
        /// What to do.
        help: String,
    },
    /// It refuses its config.
    Config(Vec<ConfigProblem>),
}

/// What a plugin says of a part of its config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// A JSON Pointer into the config; empty for the whole.
    pub pointer: String,
    /// A sentence for people.
    pub message: String,
}

/// Reads, checks and plans the pipeline at `path`. `describe` is called once per transform whose
/// plugin file is found, and with each `oci://` reference as it is written.
///
/// # Errors
/// Everything that is wrong, as far as it can be known at once.
pub fn load(path: &Path, options: &LoadOptions, describe: &mut Describe<'_>) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    let text = match read(path) {
        Ok(text) => text,
        Err(why) => {
            let problem = Problem::new(
                code::UNREADABLE,
                Span::START,
                format!("cannot read the pipeline file: {why}"),
            );
            let sources = Sources::new(vec![(name, String::new())], &[]);
            return Err(Diagnostics {
                list: diagnostic::finish(vec![problem], &sources),
            });
        }
    };
    let dir = std::path::absolute(path)
        .ok()
        .and_then(|path| path.parent().map(Path::to_path_buf))
        .unwrap_or_default();
    load_text(name, text, &dir, options, describe)
}

/// As [`load`], for a text: `name` stands in diagnostics, paths are relative to `dir`, which is
/// absolute.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    name: String,
    text: String,
    dir: &Path,
    options: &LoadOptions,
    describe: &mut Describe<'_>,
) -> Result<Loaded, Diagnostics> {
    let mut problems = Vec::new();
    let mut document = Document::parse(name, text, &options.set, &mut problems);
    let syntax = problems.len();
    let original = document.root.clone();
    let mut outcome = None;
    if let Some(root) = document.root.as_table_mut() {
        let broken = check::check_shapes(root, options.embedded, &mut problems);
        let mut secrets = Vec::new();
        if options.testing {
            fill::leave(&mut document.root);
        } else {
            fill::fill(&mut document.root, dir, &options.env, &mut secrets, &mut problems);
        }
        if let Some(root) = document.root.as_table() {
            outcome = check::check(root, &broken, dir, &secrets, options, describe, &mut problems);
        }
    }
    if document.is_broken() {
        drop_consequences(&mut problems, syntax, &document);
    }
    document.root = original;
    let list = diagnostic::finish(problems, &document.sources());
    match outcome {
        Some(check::Outcome { checked, kafka }) => {
            let (topology, ends) = plan::plan(&checked);
            Ok(Loaded {
                plan_hash: hash::hash(&checked, &topology),
                control_topic: TopicNames {
                    prefix: &checked.topic_prefix,
                    pipeline: &checked.name,
                }
                .control(),
                resets_state: checked.resets_state,
                topology,
                ends,
                kafka: kafka.map(kafka_settings).unwrap_or_default(),
                warnings: list,
            })
        }
        None => Err(Diagnostics { list }),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = read_up_to(path, FILE_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|e| format!("it is not UTF-8 from byte {} on", e.utf8_error().valid_up_to()))
}

/// What a file holds. A device has no size, and perhaps no end.
fn read_up_to(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > max {
        return Err(format!("it has more than {max} bytes"));
    }
    Ok(bytes)
}

/// Behind a syntax error much may look wrong that is not: of what was found after the first
/// `syntax` problems, only mistakes on other lines are kept that stand by themselves.
fn drop_consequences(problems: &mut Vec<Problem>, syntax: usize, document: &Document) {
    let by_themselves = [
        code::UNKNOWN_KEY,
        code::WRONG_TYPE,
        code::OUT_OF_RANGE,
        code::UNKNOWN_CHOICE,
        code::BAD_POINTER,
        code::BAD_TIME,
        code::BAD_PLACEHOLDER,
        code::SECRET_SHOWN,
        code::RESERVED_PROPERTY,
    ];
    let mut index = 0;
    problems.retain(|problem| {
        index += 1;
        index <= syntax || (by_themselves.contains(&problem.code()) && !document.is_broken_at(problem.span()))
    });
}

fn kafka_settings(raw: raw::Kafka) -> KafkaSettings {
    let properties = raw.properties.into_iter().map(|(key, value)| {
        let value = match value {
            raw::Property::Text(text) => text,
            raw::Property::Integer(n) => n.to_string(),
            raw::Property::Boolean(b) => b.to_string(),
        };
        (key, Secret::new(value))
    });
    KafkaSettings {
        brokers: Secret::new(raw.brokers),
        properties: properties.collect(),
    }
}
