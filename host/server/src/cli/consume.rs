//! `wasmill consume`: the records of a topic on standard output.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::time::Duration;

use clap::{Args, ValueEnum};
use record::Batch;
use record::log::{Edge, Isolation, LogError, LogEvent, PollLimit, Polled, Reader};
use record::offset::{NextOffset, TopicPartition};

use super::args::{LogArgs, TokenArgs, separator};
use super::table::{self, Rows};
use super::topics::{self, Topics};
use crate::failure::Failure;
use crate::output::Output;
use crate::records;

const POLL: Duration = Duration::from_millis(200);

/// Read records from a topic
///
/// Prints one value per line (`null` for a tombstone), with `--table` tables in which the fields of JSON
/// objects are columns (on a terminal also without `--table`, when the reading has an end), or with `--json`
/// one JSON object per record with topic, partition, offset, timestamp, key, value and headers. Partitions
/// are read side by side: order holds within each. Joins no group and commits nothing. Where
/// `wasmill run --embedded=DIR` has the log open, it is read through its API.
#[derive(Args, Debug)]
pub(crate) struct ConsumeArgs {
    /// The topic
    topic: String,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    token: TokenArgs,
    /// Start at the first record there is, not at the end
    #[arg(long)]
    from_beginning: bool,
    /// Stop when every partition is read to its end
    #[arg(long)]
    until_end: bool,
    /// Stop after N records
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// Print tables, also where it is not a terminal that reads them
    #[arg(long, conflicts_with_all = ["lines", "key_separator"])]
    table: bool,
    /// Print lines, also on a terminal
    #[arg(long)]
    lines: bool,
    /// Print `key<SEPARATOR>value`; `\t` is a tab
    #[arg(long, value_name = "SEPARATOR", value_parser = separator)]
    key_separator: Option<String>,
    /// Whether records of open and aborted transactions are shown
    #[arg(long, value_enum, default_value_t = Level::ReadCommitted)]
    isolation: Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Level {
    /// Only records of committed transactions
    ReadCommitted,
    /// All records
    ReadUncommitted,
}

/// Runs the command.
pub(crate) fn run(args: &ConsumeArgs, output: Output) -> Result<(), Failure> {
    if output.is_json() && args.key_separator.is_some() {
        return Err(Failure::usage(
            "`--json` shows keys already",
            "leave `--key-separator` out",
        ));
    }
    if output.is_json() && (args.table || args.lines) {
        return Err(Failure::usage(
            "`--json` is another form than `--table` and `--lines`",
            "leave one of them out",
        ));
    }
    let has_end = args.until_end || args.max.is_some();
    let by_itself = has_end && output.is_terminal() && !args.lines && args.key_separator.is_none() && !output.is_json();
    let log = topics::open(&args.log, &args.token, "wasmill-consume")?;
    let topic = args.topic.as_str();
    let doing = || format!("cannot read topic `{topic}`");
    let count = log
        .partitions(topic)
        .map_err(Failure::log(doing()))?
        .ok_or_else(|| Failure::Log {
            doing: doing(),
            source: LogError::NoTopic {
                topic: topic.to_owned(),
            },
        })?;
    let partitions: Vec<TopicPartition> = (0..count).map(|p| TopicPartition::new(topic, p)).collect();
    let edge = if args.from_beginning { Edge::Start } else { Edge::End };
    let starts = log.offsets(&partitions, edge).map_err(Failure::log(doing()))?;
    let isolation = match args.isolation {
        Level::ReadCommitted => Isolation::ReadCommitted,
        Level::ReadUncommitted => Isolation::ReadUncommitted,
    };
    let mut consumer = Consumer {
        args,
        log: &*log,
        reader: log.reader(isolation).map_err(Failure::log(doing()))?,
        next: partitions.into_iter().zip(starts).collect(),
        ended: HashSet::new(),
        left: args.max.unwrap_or(u64::MAX),
        rows: (args.table || by_itself).then(Rows::default),
        output,
    };
    match consumer.read() {
        Err(failure) if failure.is_broken_pipe() => Ok(()),
        other => other,
    }
}

struct Consumer<'a> {
    args: &'a ConsumeArgs,
    log: &'a dyn Topics,
    reader: Box<dyn Reader + 'a>,
    next: HashMap<TopicPartition, NextOffset>,
    ended: HashSet<TopicPartition>,
    left: u64,
    /// Where tables are printed.
    rows: Option<Rows>,
    output: Output,
}

impl Consumer<'_> {
    fn read(&mut self) -> Result<(), Failure> {
        let doing = || format!("cannot read topic `{}`", self.args.topic);
        self.assign()?;
        let mut polled = Polled::default();
        while self.left > 0 && !(self.args.until_end && self.ended.len() == self.next.len()) {
            polled.clear();
            self.reader
                .poll(POLL, PollLimit::default(), &mut polled)
                .map_err(Failure::log(doing()))?;
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            for batch in &polled.batches {
                self.print(batch, &mut out).map_err(write_failed)?;
                if let Some(next) = batch.next_offset() {
                    self.next.insert(batch.place(), next);
                }
            }
            // A reading without an end is shown as it comes.
            if !self.args.until_end && self.args.max.is_none() {
                self.print_table(&mut out).map_err(write_failed)?;
            }
            out.flush().map_err(write_failed)?;
            drop(out);
            let mut expired = Vec::new();
            for event in polled.events.drain(..) {
                match event {
                    LogEvent::End { at, .. } => {
                        self.ended.insert(at);
                    }
                    LogEvent::OutOfRange { at } => expired.push(at),
                    LogEvent::Trouble { what } => self.output.note(&what),
                    LogEvent::Assigned(_) | LogEvent::Revoked(_) | LogEvent::Lost(_) => {}
                }
            }
            self.skip_expired(expired)?;
        }
        let mut out = std::io::stdout().lock();
        self.print_table(&mut out)
            .and_then(|()| out.flush())
            .map_err(write_failed)
    }

    fn print_table(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let table = self.rows.as_mut().and_then(|rows| rows.take(self.output));
        match table {
            Some(table) => writeln!(out, "{table}"),
            None => Ok(()),
        }
    }

    fn assign(&mut self) -> Result<(), Failure> {
        let from: Vec<_> = self.next.iter().map(|(at, next)| (at.clone(), *next)).collect();
        self.reader
            .assign(&from)
            .map_err(Failure::log(format!("cannot read topic `{}`", self.args.topic)))
    }

    /// Records went away (retention) before they were read: says so and goes on behind them.
    fn skip_expired(&mut self, expired: Vec<TopicPartition>) -> Result<(), Failure> {
        if expired.is_empty() {
            return Ok(());
        }
        let starts = self
            .log
            .offsets(&expired, Edge::Start)
            .map_err(Failure::log(format!("cannot read topic `{}`", self.args.topic)))?;
        for (at, start) in expired.into_iter().zip(starts) {
            let was = self.next.get(&at).copied().unwrap_or(NextOffset(0));
            tracing::warn!("records {was} to {start} of {at} expired before they were read");
            self.next.insert(at, start);
        }
        self.assign()
    }

    fn print(&mut self, batch: &Batch, out: &mut impl Write) -> std::io::Result<()> {
        for i in 0..batch.len() {
            if self.left == 0 {
                return Ok(());
            }
            self.left -= 1;
            if let Some(rows) = &mut self.rows {
                rows.push(batch, i);
                if rows.len() >= table::ROWS_MAX {
                    self.print_table(out)?;
                }
                continue;
            }
            if self.output.is_json() {
                serde_json::to_writer(&mut *out, &records::encode(batch, i))?;
            } else {
                if let Some(separator) = &self.args.key_separator {
                    out.write_all(batch.keys.get(i).unwrap_or(b"null"))?;
                    out.write_all(separator.as_bytes())?;
                }
                out.write_all(batch.values.get(i).unwrap_or(b"null"))?;
            }
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

fn write_failed(source: std::io::Error) -> Failure {
    Failure::Stdio {
        doing: "write to standard output",
        source,
    }
}
