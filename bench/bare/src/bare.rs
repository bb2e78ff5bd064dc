//! The bare loop: poll, work, send; commit every so often.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{self, Producer};
use crate::work::{self, State, Work};

const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct BareArgs {
    #[arg(long)]
    work: Work,
    #[arg(long)]
    input: String,
    #[arg(long)]
    output: String,
    /// Where W3 writes its state.
    #[arg(long)]
    changelog: Option<String>,
    #[arg(long)]
    group: String,
    /// Outputs, state and positions in one transaction.
    #[arg(long)]
    exactly_once: bool,
    #[arg(long, default_value_t = 100)]
    commit_ms: u64,
    /// Ends after so many records.
    #[arg(long)]
    records: u64,
}

pub fn run(brokers: &str, args: &BareArgs) -> Result<()> {
    let mut config = client::config(brokers);
    config.set("queue.buffering.max.messages", "500000");
    if args.exactly_once {
        config.set("transactional.id", &args.group);
    }
    let producer: Producer = config.create()?;
    let consumer: BaseConsumer = client::config(brokers)
        .set("group.id", &args.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        // 1000 by default, which leaves the consumer idle most of the time.
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    consumer.subscribe(&[&args.input])?;
    if args.exactly_once {
        producer.init_transactions(TIMEOUT)?;
        producer.begin_transaction()?;
    }

    let interval = Duration::from_millis(args.commit_ms);
    let (mut state, mut buffer) = (State::default(), Vec::with_capacity(256));
    let (mut done, mut committed, mut last) = (0, 0, Instant::now());
    while committed < args.records {
        let left = interval.saturating_sub(last.elapsed()).min(Duration::from_millis(100));
        if done < args.records
            && let Some(message) = consumer.poll(left)
        {
            let message = message.context("cannot consume")?;
            let value = message.payload().unwrap_or_default();
            let output = work::output(args.work, message.key(), value, &mut state, &mut buffer)?;
            client::send(&producer, &args.output, message.key(), output)?;
            done += 1;
        }
        if last.elapsed() >= interval || done >= args.records {
            if done > committed {
                if let Some(changelog) = &args.changelog {
                    state.changes(|key, value| client::send(&producer, changelog, Some(key), value))?;
                }
                commit(&producer, &consumer, args.exactly_once)?;
                committed = done;
            }
            last = Instant::now();
        }
    }
    Ok(())
}

fn commit(producer: &Producer, consumer: &BaseConsumer, exactly_once: bool) -> Result<()> {
    let mut positions = TopicPartitionList::new();
    for each in consumer.position()?.elements() {
        if let Offset::Offset(_) = each.offset() {
            positions.add_partition_offset(each.topic(), each.partition(), each.offset())?;
        }
    }
    client::flush(producer)?;
    if exactly_once {
        let group = consumer.group_metadata().context("no group yet")?;
        producer.send_offsets_to_transaction(&positions, &group, TIMEOUT)?;
        producer.commit_transaction(TIMEOUT)?;
        producer.begin_transaction()?;
    } else {
        consumer.commit(&positions, CommitMode::Sync)?;
    }
    Ok(())
}
