//! The input of all works: readings of rooms as JSON, about 94 bytes each, from a fixed seed.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rdkafka::consumer::BaseConsumer;

use crate::client;

#[derive(clap::Args)]
pub struct InputArgs {
    #[arg(long)]
    topic: String,
    #[arg(long, default_value_t = 2_000_000)]
    records: u64,
    #[arg(long, default_value_t = 1_000)]
    rooms: u64,
}

/// Fills the topic, unless it holds as many records already.
pub fn run(brokers: &str, args: &InputArgs) -> Result<()> {
    let consumer: BaseConsumer = client::config(brokers).create()?;
    match client::appended(&consumer, &args.topic)? {
        Some(there) if there == args.records => {
            println!("{there} records are in {} already", args.topic);
            return Ok(());
        }
        Some(_) => {
            client::delete_topic(brokers, &args.topic)?;
            let started = Instant::now();
            while client::appended(&consumer, &args.topic)?.is_some() {
                if started.elapsed() > Duration::from_secs(30) {
                    bail!("topic {} does not go away", args.topic);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        None => {}
    }
    client::create_topic(brokers, &args.topic)?;

    let producer: client::Producer = client::config(brokers)
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "500000")
        .create()?;
    let mut random = Random(0x5DEE_CE66_D153_1A2B);
    let (mut key, mut value, mut bytes) = (String::new(), String::new(), 0);
    for seq in 0..args.records {
        let room = random.below(args.rooms);
        let (degrees, hundredths) = (15 + random.below(12), random.below(100));
        key.clear();
        write!(key, "r{room}")?;
        value.clear();
        write!(
            value,
            "{{\"room\":\"r{room}\",\"temp\":{degrees}.{hundredths:02},\"ts\":{},\"site\":\"plant-7\",\"seq\":{seq},\"unit\":\"celsius\"}}",
            1_732_000_000_123 + seq
        )?;
        bytes += value.len() as u64;
        client::send(&producer, &args.topic, Some(key.as_bytes()), value.as_bytes())?;
    }
    client::flush(&producer)?;
    println!(
        "{} records, {} bytes each on average",
        args.records,
        bytes / args.records.max(1)
    );
    Ok(())
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
