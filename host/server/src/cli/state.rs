//! `wasmill state`: what transforms have stored, from a process that runs.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::Value;

use super::remote::RemoteArgs;
use crate::api::state::{Page, Stored, Stores};
use crate::failure::Failure;
use crate::output::Output;

/// Entries that one request asks for.
const PAGE: usize = 1_000;

/// Show what transforms have stored, while they run
///
/// Shows what is committed, of the partitions that the process has.
#[derive(Args, Debug)]
pub(crate) struct StateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    List(ListArgs),
    Get(GetArgs),
    Scan(ScanArgs),
}

/// List the stores of a transform, and the partitions that the process has of them
#[derive(Args, Debug)]
struct ListArgs {
    /// The pipeline
    pipeline: String,
    /// The transform
    transform: String,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Show the value of a key
#[derive(Args, Debug)]
struct GetArgs {
    /// The pipeline
    pipeline: String,
    /// The transform
    transform: String,
    /// The store
    store: String,
    /// The key: text, JSON or a number
    key: String,
    /// How keys are given and shown [default: as the store says; text where it says bytes]
    #[arg(long)]
    encoding: Option<Encoding>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// List entries of a store, in the order of their keys' bytes
#[derive(Args, Debug)]
struct ScanArgs {
    /// The pipeline
    pipeline: String,
    /// The transform
    transform: String,
    /// The store
    store: String,
    /// Entries whose keys begin so
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Entries after this key
    #[arg(long)]
    after: Option<String>,
    /// How many at most
    #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Of this partition alone
    #[arg(long)]
    partition: Option<u32>,
    /// How keys are given and shown [default: as the store says; text where it says bytes]
    #[arg(long)]
    encoding: Option<Encoding>,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// How keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Encoding {
    /// As text
    Utf8,
    /// In base64
    Base64,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::Base64 => "base64",
        }
    }
}

/// How the keys of a store are written when nobody says: most that are declared as bytes are text.
fn usual(remote: &RemoteArgs, [pipeline, transform, store]: [&str; 3]) -> Result<Option<Encoding>, Failure> {
    let path = ["v1", "pipelines", pipeline, "state", transform];
    let found: Stores = remote.ask(Method::GET, &path)?;
    let is_bytes = found
        .stores
        .iter()
        .any(|one| one.name == store && one.key_format == "bytes");
    Ok(is_bytes.then_some(Encoding::Utf8))
}

/// Runs the command.
pub(crate) fn run(args: &StateArgs, output: Output) -> Result<(), Failure> {
    match &args.what {
        What::List(args) => list(args, output),
        What::Get(args) => get(args, output),
        What::Scan(args) => scan(args, output),
    }
}

fn list(args: &ListArgs, output: Output) -> Result<(), Failure> {
    let path = ["v1", "pipelines", &args.pipeline, "state", &args.transform];
    let found: Stores = args.remote.ask(Method::GET, &path)?;
    let rows = found.stores.iter().map(|store| {
        vec![
            store.name.clone(),
            store.key_format.clone(),
            store.value_format.clone(),
            store.doc.clone(),
        ]
    });
    let mut text = output.table(&["store", "keys", "values", "holds"], rows);
    let numbers = |all: &[u32]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    text.push_str(&format!("\n\npartitions here: {}", numbers(&found.partitions)));
    if !found.restoring.is_empty() {
        text.push_str(&format!("; brought back: {}", numbers(&found.restoring)));
    }
    output.result(&text, &serde_json::to_value(&found).unwrap_or_default())
}

fn get(args: &GetArgs, output: Output) -> Result<(), Failure> {
    let path = ["v1", "pipelines", &args.pipeline, "state", &args.transform, &args.store];
    let encoding = match args.encoding {
        Some(given) => Some(given),
        None => usual(&args.remote, [&args.pipeline, &args.transform, &args.store])?,
    };
    let mut parameters = vec![("key", args.key.as_str())];
    parameters.extend(encoding.map(|encoding| ("encoding", encoding.name())));
    let found: Stored = args.remote.ask_with(Method::GET, &path, &parameters, None)?;
    output.result(&shown(&found.value), &serde_json::to_value(&found).unwrap_or_default())
}

fn scan(args: &ScanArgs, output: Output) -> Result<(), Failure> {
    let path = ["v1", "pipelines", &args.pipeline, "state", &args.transform, &args.store];
    let wanted = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let partition = args.partition.map(|partition| partition.to_string());
    let mut encoding = match args.encoding {
        Some(given) => Some(given),
        None => usual(&args.remote, [&args.pipeline, &args.transform, &args.store])?,
    };
    let mut after = args.after.clone();
    let mut entries: Vec<Stored> = Vec::new();
    let mut more = true;
    while more && entries.len() < wanted {
        let limit = (wanted - entries.len()).min(PAGE).to_string();
        let mut parameters = vec![("limit", limit.as_str())];
        if !args.prefix.is_empty() {
            parameters.push(("prefix", &args.prefix));
        }
        parameters.extend(after.as_deref().map(|after| ("after", after)));
        parameters.extend(partition.as_deref().map(|partition| ("partition", partition)));
        parameters.extend(encoding.map(|encoding| ("encoding", encoding.name())));
        let page: Page = args.remote.ask_with(Method::GET, &path, &parameters, None)?;
        entries.extend(page.entries);
        more = page.more;
        after = page.after;
        if more && page.after_encoding.is_some() && encoding != Some(Encoding::Base64) {
            if !args.prefix.is_empty() {
                output.note("the next key cannot be shown so: go on with `--encoding base64`");
                break;
            }
            encoding = Some(Encoding::Base64);
        }
    }
    let rows = entries
        .iter()
        .map(|one| vec![one.partition.to_string(), shown(&one.key), shown(&one.value)]);
    let mut text = output.table(&["partition", "key", "value"], rows);
    if more {
        text.push_str("\n\nthere are more: `--limit` says how many are shown");
    }
    output.result(
        &text,
        &serde_json::json!({ "entries": entries, "more": more, "after": after }),
    )
}

/// Text as it is, all else as JSON.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
