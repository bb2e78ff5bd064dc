//! `wasmill produce`: lines or JSON into a topic.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use record::Batch;
use record::partitioner::partition_for_key;
use serde_json::{Value, json};

use super::args::{LogArgs, TokenArgs, separator};
use super::topics::{self, Topics};
use crate::compose;
use crate::failure::Failure;
use crate::output::Output;
use crate::records::{self, Draft};

/// Batches are large: each waits for its acknowledgements.
const BATCH_RECORDS: usize = 20_000;
/// No broker takes a record of this size; a longer line is a mistake.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// Write records to a topic
///
/// Records with a key go to the partition that Kafka's Java clients choose (murmur2), records
/// without one to each partition in turn. When it fails, it says how many lines are surely written.
/// Where `wasmill run --embedded=DIR` has the log open, they are written through its API.
#[derive(Args, Debug)]
pub(crate) struct ProduceArgs {
    /// The topic
    topic: String,
    /// What to read; standard input when left out
    file: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    token: TokenArgs,
    /// How the input is cut into records
    #[arg(long, value_enum, default_value_t = Format::Lines)]
    format: Format,
    /// The key of an NDJSON document: a JSON Pointer such as `/room`
    #[arg(long, value_name = "POINTER")]
    key: Option<String>,
    /// A line is `key<SEPARATOR>value`; `\t` is a tab
    #[arg(long, value_name = "SEPARATOR", value_parser = separator)]
    key_separator: Option<String>,
    /// Create the topic with N partitions when there is none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    create_topic: Option<u32>,
    /// Leave out the first N lines, to go on after a failure
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip_lines: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Each line is a value, without its line ending
    Lines,
    /// Each line is a JSON document, which is the value as it stands; empty lines are left out
    Ndjson,
    /// Each line is a JSON object with `key`, `value`, `headers`, `timestamp`, `partition`, as
    /// `consume --json` prints it
    Records,
}

/// Runs the command.
pub(crate) fn run(args: &ProduceArgs, output: Output) -> Result<(), Failure> {
    check(args)?;
    let log = topics::open(&args.log, &args.token, "wasmill-produce")?;
    let partitions = topic_partitions(&*log, args)?;
    let (input, name, size): (Box<dyn Read>, String, Option<u64>) = match &args.file {
        None => (Box::new(std::io::stdin().lock()), "standard input".to_owned(), None),
        Some(path) => {
            let file_error = |source| Failure::File {
                doing: "read",
                path: path.clone(),
                source,
            };
            let file = File::open(path).map_err(file_error)?;
            let size = file.metadata().map_err(file_error)?;
            let size = size.is_file().then_some(size.len());
            (Box::new(file), path.display().to_string(), size)
        }
    };
    let started = Instant::now();
    let mut producer = Producer {
        args,
        log: &*log,
        batch: Batch::new(args.topic.as_str().into(), 0),
        to: Vec::new(),
        partitions,
        turn: 0,
        now: crate::time::now(),
        name,
        line: 0,
        written: 0,
        written_lines: 0,
        bar: output.progress(size),
    };
    let done = producer.read_all(input);
    producer.bar.finish_and_clear();
    done?;
    let seconds = started.elapsed().as_secs_f64();
    let written = producer.written;
    output.note(&format!(
        "{written} records to `{}` ({partitions} partitions) in {seconds:.1} s",
        args.topic
    ));
    if output.is_json() {
        output.print(&json!({"topic": args.topic, "partitions": partitions, "records": written}).to_string())?;
    }
    Ok(())
}

fn check(args: &ProduceArgs) -> Result<(), Failure> {
    if args.key.is_some() && args.format != Format::Ndjson {
        return Err(Failure::usage(
            "`--key` needs JSON documents",
            "add `--format ndjson`, or use `--key-separator` with lines",
        ));
    }
    if args.key_separator.is_some() && args.format != Format::Lines {
        return Err(Failure::usage(
            "`--key-separator` is for `--format lines`",
            "use `--key POINTER` with `--format ndjson`, or a `key` member with `--format records`",
        ));
    }
    match &args.key {
        Some(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => Err(Failure::usage(
            format!("`{pointer}` is not a JSON Pointer"),
            format!("write `--key /{pointer}`"),
        )),
        _ => Ok(()),
    }
}

fn topic_partitions(log: &dyn Topics, args: &ProduceArgs) -> Result<u32, Failure> {
    let topic = args.topic.as_str();
    let look = || -> Result<Option<u32>, Failure> {
        log.partitions(topic)
            .map_err(Failure::log(format!("cannot look up topic `{topic}`")))
    };
    if let Some(partitions) = look()? {
        return Ok(partitions);
    }
    if let Some(partitions) = args.create_topic {
        log.create(topic, partitions)
            .map_err(Failure::log(format!("cannot create topic `{topic}`")))?;
        // A new topic takes a moment to be known everywhere.
        let deadline = Instant::now() + compose::TIMEOUT;
        while Instant::now() < deadline {
            if let Some(partitions) = look()? {
                return Ok(partitions);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Err(Failure::Log {
        doing: "cannot write".to_owned(),
        source: record::log::LogError::NoTopic {
            topic: topic.to_owned(),
        },
    })
}

struct Producer<'a> {
    args: &'a ProduceArgs,
    log: &'a dyn Topics,
    batch: Batch,
    /// The partition of each record of `batch`.
    to: Vec<u32>,
    partitions: u32,
    /// Records without a key so far.
    turn: u32,
    now: i64,
    name: String,
    line: u64,
    written: u64,
    written_lines: u64,
    bar: ProgressBar,
}

impl Producer<'_> {
    fn read_all(&mut self, input: Box<dyn Read + '_>) -> Result<(), Failure> {
        let mut input = BufReader::with_capacity(1 << 18, input);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            let read = read.map_err(|source| match &self.args.file {
                Some(path) => Failure::File {
                    doing: "read",
                    path: path.clone(),
                    source,
                },
                None => Failure::Stdio {
                    doing: "read standard input",
                    source,
                },
            })?;
            if read == 0 {
                return self.flush();
            }
            self.line += 1;
            self.bar.inc(read as u64);
            let ended = line.pop_if(|last| *last == b'\n').is_some();
            if !ended && read as u64 == LINE_BYTES_MAX {
                return Err(self.bad(format!("is longer than {LINE_BYTES_MAX} bytes")));
            }
            line.pop_if(|last| ended && *last == b'\r');
            if self.line <= self.args.skip_lines {
                continue;
            }
            // What came before a bad line is written, so that the message can say where to go on.
            let draft = match self.draft(&line) {
                Ok(draft) => draft,
                Err(what) => {
                    self.line -= 1;
                    self.flush()?;
                    self.line += 1;
                    return Err(self.bad(what));
                }
            };
            if let Some(draft) = draft {
                self.push(&draft)?;
            }
            let full = self.batch.len() >= BATCH_RECORDS || self.batch.bytes() >= self.log.batch_bytes();
            // Someone who types, or a slow pipe, wants each line to arrive.
            let waits = self.args.file.is_none() && input.buffer().is_empty();
            if full || waits {
                self.flush()?;
            }
        }
    }

    fn draft(&self, line: &[u8]) -> Result<Option<Draft>, String> {
        match self.args.format {
            Format::Lines => {
                let Some(separator) = &self.args.key_separator else {
                    return Ok(Some(Draft {
                        value: Some(line.to_vec()),
                        ..Draft::default()
                    }));
                };
                let separator = separator.as_bytes();
                let at = line
                    .windows(separator.len())
                    .position(|window| window == separator)
                    .ok_or("has no key separator")?;
                Ok(Some(Draft {
                    key: line.get(..at).map(<[u8]>::to_vec),
                    value: line.get(at + separator.len()..).map(<[u8]>::to_vec),
                    ..Draft::default()
                }))
            }
            Format::Ndjson if line.iter().all(u8::is_ascii_whitespace) => Ok(None),
            Format::Ndjson => {
                let document: Value = serde_json::from_slice(line).map_err(|e| format!("is not JSON: {e}"))?;
                let key = match &self.args.key {
                    None => None,
                    Some(pointer) => Some(json_key(&document, pointer)?),
                };
                Ok(Some(Draft {
                    key,
                    value: Some(line.to_vec()),
                    ..Draft::default()
                }))
            }
            Format::Records if line.iter().all(u8::is_ascii_whitespace) => Ok(None),
            Format::Records => records::decode(line).map(Some),
        }
    }

    fn push(&mut self, draft: &Draft) -> Result<(), Failure> {
        let to = match (draft.partition, &draft.key) {
            (Some(partition), _) if partition < self.partitions => partition,
            (Some(partition), _) => {
                return Err(self.bad(format!(
                    "names partition {partition}, but `{}` has {}",
                    self.args.topic, self.partitions
                )));
            }
            (None, Some(key)) => partition_for_key(key, self.partitions),
            (None, None) => {
                self.turn = self.turn.wrapping_add(1);
                self.turn.wrapping_sub(1) % self.partitions.max(1)
            }
        };
        draft.push_to(&mut self.batch, self.now);
        self.to.push(to);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if !self.batch.is_empty() {
            self.batch.headers.finish(self.batch.len());
            self.log
                .append(&self.args.topic, &self.batch, &self.to)
                .map_err(Failure::log(format!(
                    "cannot write the lines {} to {} of {} (those before are written; `--skip-lines {}` goes on there)",
                    self.written_lines + 1,
                    self.line,
                    self.name,
                    self.written_lines
                )))?;
            self.written += self.batch.len() as u64;
            self.bar.set_message(format!("{} records", self.written));
            self.batch.clear();
            self.to.clear();
        }
        self.written_lines = self.line;
        self.now = crate::time::now();
        Ok(())
    }

    fn bad(&self, what: String) -> Failure {
        Failure::Input {
            place: format!("line {} of {}", self.line, self.name),
            what,
            next: format!(
                "mend the line and go on with `--skip-lines {}`: the {} before it are written",
                self.written_lines, self.written_lines
            ),
        }
    }
}

/// The key that a JSON Pointer finds: a text as its bytes, anything else as its JSON.
fn json_key(document: &Value, pointer: &str) -> Result<Vec<u8>, String> {
    match document.pointer(pointer) {
        None | Some(Value::Null) => Err(format!("has nothing at `{pointer}` to be the key")),
        Some(Value::String(text)) => Ok(text.clone().into_bytes()),
        Some(other) => Ok(other.to_string().into_bytes()),
    }
}
