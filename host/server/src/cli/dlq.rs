//! `wasmill dlq`: the dead letters of a pipeline.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::remote::RemoteArgs;
use crate::dead_letters::{At, Done, Fate, Letter, Letters, at_of};
use crate::failure::Failure;
use crate::output::Output;
use crate::records::shown;

/// Look at records that failed, put them back, or discard them
#[derive(Args, Debug)]
pub(crate) struct DlqArgs {
    #[command(subcommand)]
    command: Command,
    /// Of this pipeline [default: the only one of the process]
    #[arg(long, global = true, value_name = "NAME")]
    pipeline: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The newest letters
    List {
        /// So many at most
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
        /// Older ones, as the last line of an earlier call says
        #[arg(long, value_name = "PLACES")]
        before: Option<String>,
    },
    /// One letter, whole
    Show {
        /// PARTITION:OFFSET, as `list` has it
        #[arg(value_parser = place)]
        letter: At,
    },
    /// Write letters again to the topics that their records came from
    ///
    /// Where others read such a topic, they see the records twice.
    Replay(Chosen),
    /// Say that nobody wants letters: they stay in their topic, and are not replayed with all others
    Discard(Chosen),
}

#[derive(Args, Debug)]
struct Chosen {
    /// PARTITION:OFFSET, as `list` has it
    #[arg(value_parser = place, required_unless_present = "all", conflicts_with = "all")]
    letters: Vec<At>,
    /// All with which nothing was done yet
    #[arg(long)]
    all: bool,
}

fn place(text: &str) -> Result<At, String> {
    at_of(text).ok_or_else(|| "write PARTITION:OFFSET, such as 0:17".to_owned())
}

/// Runs the command.
pub(crate) fn run(args: &DlqArgs, output: Output) -> Result<(), Failure> {
    let name = args.remote.pipeline(args.pipeline.as_deref())?;
    let path = ["v1", "pipelines", &name, "dead-letters"];
    match &args.command {
        Command::List { limit, before } => {
            let limit = limit.to_string();
            let mut params = vec![("limit", limit.as_str())];
            params.extend(before.as_deref().map(|before| ("before", before)));
            let letters: Letters = args.remote.ask_with(Method::GET, &path, &params, None)?;
            list(&letters, output)
        }
        Command::Show { letter } => {
            let (partition, offset) = (letter.partition.to_string(), letter.offset.to_string());
            let path = [path.as_slice(), &[&partition, &offset]].concat();
            let letter: Letter = args.remote.ask(Method::GET, &path)?;
            show(&letter, output)
        }
        Command::Replay(chosen) => act(args, &path, chosen, ("replay", "put back"), output),
        Command::Discard(chosen) => act(args, &path, chosen, ("discard", "discarded"), output),
    }
}

fn name_of(fate: Fate) -> &'static str {
    match fate {
        Fate::Open => "open",
        Fate::Replayed => "replayed",
        Fate::Discarded => "discarded",
    }
}

fn list(letters: &Letters, output: Output) -> Result<(), Failure> {
    let rows = letters.dead_letters.iter().map(|one| {
        vec![
            format!("{}:{}", one.partition, one.offset),
            name_of(one.state).to_owned(),
            one.node.clone(),
            one.code.clone(),
            cut(&one.message, 60),
            cut(&shown(&one.key), 30),
            cut(&shown(&one.value), 60),
        ]
    });
    let mut text = output.table(&["letter", "is", "node", "code", "message", "key", "value"], rows);
    if letters.dead_letters.is_empty() {
        "there are no dead letters".clone_into(&mut text);
    }
    if let Some(next) = &letters.next {
        text.push_str(&format!("\n\nolder ones: wasmill dlq list --before {next}"));
    }
    output.result(&text, &serde_json::to_value(letters).unwrap_or_default())
}

/// The first line, and no more than so many characters.
fn cut(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(most).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn show(one: &Letter, output: Output) -> Result<(), Failure> {
    let origin = |origin: &Option<crate::dead_letters::Origin>| {
        origin
            .as_ref()
            .map(|at| format!("{}:{}:{}", at.topic, at.partition, at.offset))
            .unwrap_or_default()
    };
    let rows = [
        ("letter", format!("{}:{}", one.partition, one.offset)),
        ("is", name_of(one.state).to_owned()),
        ("node", one.node.clone()),
        ("plugin", one.plugin.clone().unwrap_or_default()),
        ("code", one.code.clone()),
        ("message", one.message.clone()),
        ("detail", one.detail.clone().unwrap_or_default()),
        ("input", origin(&one.input)),
        ("origin", origin(&one.origin)),
        ("timer", one.timer.clone().unwrap_or_default()),
        ("key", shown(&one.key)),
        ("value", shown(&one.value)),
        ("headers", one.headers.to_string()),
    ];
    let rows = rows.into_iter().filter(|(_, value)| !value.is_empty());
    let text = output.table(&["", ""], rows.map(|(name, value)| vec![name.to_owned(), value]));
    output.result(&text, &serde_json::to_value(one).unwrap_or_default())
}

fn act(
    args: &DlqArgs,
    path: &[&str],
    chosen: &Chosen,
    (what, outcome): (&str, &str),
    output: Output,
) -> Result<(), Failure> {
    let body = if chosen.all {
        json!({ "all": true })
    } else {
        json!({ "letters": chosen.letters })
    };
    let path = [path, &[what]].concat();
    let done: Done = args.remote.ask_with(Method::POST, &path, &[], Some(&body))?;
    let text = format!("{} letters were {outcome}", done.done);
    output.result(&text, &serde_json::to_value(&done).unwrap_or_default())?;
    match done.problems.first() {
        None => Ok(()),
        Some(first) => Err(args.remote.failed(
            &format!("{} letters were not {outcome}: {first}", done.problems.len()),
            "`wasmill dlq list` shows those that are there",
        )),
    }
}
