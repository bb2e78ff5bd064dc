//! Runs a command that fills a topic, and measures it from its first output to its last: start-up,
//! compilation and joining the group are not part of the figures. Linux: CPU time is read from /proc.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use crate::client;

#[derive(clap::Args)]
pub struct MeasureArgs {
    /// The work, such as W1.
    #[arg(long)]
    work: String,
    /// `at_least_once` or `exactly_once`.
    #[arg(long)]
    delivery: String,
    /// Who does it.
    #[arg(long)]
    who: String,
    /// The topic that the command fills; created for it.
    #[arg(long)]
    output: String,
    /// Another topic to create for it.
    #[arg(long)]
    changelog: Option<String>,
    /// How many records the command writes.
    #[arg(long)]
    records: u64,
    /// Read the output afterwards, and sum it up in a figure that does not depend on the order.
    #[arg(long)]
    digest: bool,
    #[arg(long, default_value_t = 300)]
    timeout_s: u64,
    /// One line of JSON is appended here.
    #[arg(long)]
    results: PathBuf,
    /// Where the command's own output goes.
    #[arg(long)]
    log: PathBuf,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// One run.
#[derive(Serialize, Deserialize)]
pub struct Measured {
    pub work: String,
    pub delivery: String,
    pub who: String,
    /// User and system time per record, in microseconds.
    pub cpu_us_per_record: f64,
    pub records_per_s: f64,
    /// From the start to the first output, in seconds.
    pub startup_s: f64,
    pub peak_rss_mib: f64,
    /// Of the committed records: how many, and the sum of their hashes.
    pub digest: Option<String>,
}

struct Sample {
    at: Instant,
    appended: u64,
    cpu_s: f64,
}

pub fn run(brokers: &str, args: &MeasureArgs) -> Result<()> {
    client::create_topic(brokers, &args.output)?;
    if let Some(changelog) = &args.changelog {
        client::create_topic(brokers, changelog)?;
    }
    let consumer: BaseConsumer = client::config(brokers)
        .set("group.id", "wasmill-bench-measure")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()?;
    client::end_of(&consumer, &args.output)?;

    let log = OpenOptions::new().create(true).append(true).open(&args.log)?;
    let started = Instant::now();
    let mut child = Command::new(&args.command[0])
        .args(&args.command[1..])
        .stdin(std::process::Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", args.command[0]))?;
    let outcome = observe(&mut child, &consumer, args, started);
    stop(&mut child)?;
    let (first, last, rss) = outcome?;

    let records = last.appended - first.appended;
    let seconds = (last.at - first.at).as_secs_f64();
    if records == 0 || seconds <= 0.0 {
        bail!("all records came at once: give it more (--records)");
    }
    let measured = Measured {
        work: args.work.clone(),
        delivery: args.delivery.clone(),
        who: args.who.clone(),
        cpu_us_per_record: (last.cpu_s - first.cpu_s) * 1e6 / records as f64,
        records_per_s: records as f64 / seconds,
        startup_s: (first.at - started).as_secs_f64(),
        peak_rss_mib: rss,
        digest: if args.digest {
            Some(digest(&consumer, &args.output)?)
        } else {
            None
        },
    };
    println!(
        "{:<3} {:<14} {:<8} {:6.2} us/record {:>9.0} records/s",
        measured.work, measured.delivery, measured.who, measured.cpu_us_per_record, measured.records_per_s
    );
    let mut results = OpenOptions::new().create(true).append(true).open(&args.results)?;
    writeln!(results, "{}", serde_json::to_string(&measured)?)?;
    client::delete_topic(brokers, &args.output)?;
    if let Some(changelog) = &args.changelog {
        client::delete_topic(brokers, changelog)?;
    }
    Ok(())
}

/// The first sample with output, the first with all of it, and the peak memory in MiB.
fn observe(
    child: &mut Child,
    consumer: &BaseConsumer,
    args: &MeasureArgs,
    started: Instant,
) -> Result<(Sample, Sample, f64)> {
    let mut first: Option<Sample> = None;
    let (mut cpu_s, mut rss) = (0.0, 0.0);
    loop {
        let ended = child.try_wait()?;
        // A process that has ended has no figures any more: its last ones stand.
        if ended.is_none() {
            (cpu_s, rss) = figures(child.id()).unwrap_or((cpu_s, rss));
        }
        let sample = Sample {
            appended: client::end_of(consumer, &args.output)?,
            at: Instant::now(),
            cpu_s,
        };
        let complete = sample.appended >= args.records;
        if sample.appended > 0 {
            let first = first.get_or_insert(Sample { ..sample });
            if complete {
                return Ok((Sample { ..*first }, sample, rss));
            }
        }
        if let Some(status) = ended {
            bail!("the command ended early ({status}); see {}", args.log.display());
        }
        if started.elapsed() > Duration::from_secs(args.timeout_s) {
            bail!(
                "{} of {} records after {} s; see {}",
                sample.appended,
                args.records,
                args.timeout_s,
                args.log.display()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// CPU time in seconds, and peak memory in MiB.
fn figures(pid: u32) -> Option<(f64, f64)> {
    // User and system time are the 14th and 15th field, in hundredths of a second; the 2nd, the
    // name in parentheses, may hold spaces.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some((ticks as f64 / 100.0, kib / 1024.0))
}

/// Asks the command to end, so that it commits what it has, and ends it if it does not.
fn stop(child: &mut Child) -> Result<()> {
    for attempt in 0..200 {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        // The bare loop ends by itself.
        if attempt == 20 {
            Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Sums up the committed records of a topic.
fn digest(consumer: &BaseConsumer, topic: &str) -> Result<String> {
    let mut from = TopicPartitionList::new();
    for partition in 0..client::PARTITIONS {
        from.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&from)?;
    let (mut ended, mut records, mut sum) = (0, 0_u64, 0_u64);
    while ended < client::PARTITIONS {
        match consumer.poll(Duration::from_secs(10)) {
            Some(Ok(message)) => {
                let mut hash = Fnv::default();
                hash.add(message.key().unwrap_or_default());
                hash.add(&[0]);
                hash.add(message.payload().unwrap_or_default());
                sum = sum.wrapping_add(hash.0);
                records += 1;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(e)) => return Err(e.into()),
            None => bail!("topic {topic} does not end: is a transaction open?"),
        }
    }
    consumer.unassign()?;
    Ok(format!("{records}:{sum:016x}"))
}

/// FNV-1a.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
