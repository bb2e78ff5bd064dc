//! A million words through `word-count` into MySQL and a topic, while the process is killed with
//! kill -9 again and again, each time at a random moment after it has committed something.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;
mod services;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use services::*;

const PARTITIONS: i32 = 4;
const LINES: u64 = 100_000;
const WORDS_PER_LINE: u64 = 10;
const KILLS: usize = 10;

#[test]
fn every_count_goes_up_by_one_whatever_is_killed() {
    let mut random = Random::seeded("word_count_killed");
    let name = unique("wck");
    let (input, output, table) = (
        format!("{name}-lines"),
        format!("{name}-counts"),
        name.replace('-', "_"),
    );
    create_topic(&input, PARTITIONS);
    create_topic(&output, PARTITIONS);
    let dir = tempfile::tempdir().unwrap();
    let file = pipeline(
        dir.path(),
        &format!(
            r#"
name = "{name}"
[kafka]
brokers = "{brokers}"
[sources.lines]
type = "kafka"
topics = ["{input}"]
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "{split}"
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "{count}"
[sinks.totals]
inputs = ["count"]
type = "mysql"
url = "{mysql}"
table = "{table}"
key = ["word"]
create_table = true
[sinks.counts]
inputs = ["count"]
type = "kafka"
topic = "{output}"
"#,
            brokers = brokers(),
            split = plugin("word_split"),
            count = plugin("word_count"),
            mysql = mysql_url(),
        ),
    );

    // The input comes slowly enough to last over all kills.
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let mut lines = Vec::new();
    for _ in 0..LINES {
        let words: Vec<String> = (0..WORDS_PER_LINE)
            .map(|_| {
                let n = random.below(3_000);
                format!("w{}", n * n / 3_000)
            })
            .collect();
        for word in &words {
            *expected.entry(word.clone()).or_default() += 1;
        }
        lines.push(words.join(" "));
    }
    let total: u64 = expected.values().sum();
    assert_eq!(total, LINES * WORDS_PER_LINE);
    let to = input;
    let producer = std::thread::spawn(move || {
        let producer = Producer::new();
        let began = Instant::now();
        for (i, line) in lines.iter().enumerate() {
            producer.send(&to, Some(i as i32 % PARTITIONS), None, line.as_bytes());
            if i % 100 == 99 {
                let due = Duration::from_micros(400 * i as u64);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
        }
        producer.flush();
    });

    let watcher = Watcher::new(&output, PARTITIONS);
    let mut process = Process::run(dir.path(), &file, "p", &[]);
    let mut recoveries = Vec::new();
    for kill in 0..KILLS {
        let before = watcher.count();
        let started = Instant::now();
        let committed = wait_until(Duration::from_secs(60), || watcher.count() > before);
        assert!(
            committed,
            "no commit within 60 s after kill {kill}:\n{}",
            process.tail()
        );
        recoveries.push(started.elapsed());
        std::thread::sleep(Duration::from_millis(random.below(3_000)));
        assert!(process.is_running(), "{}", process.tail());
        process.kill();
        process = Process::run(dir.path(), &file, "p", &[]);
    }
    producer.join().unwrap();
    let done = watcher.wait_for(total as usize, Duration::from_secs(300));
    println!("time from start to first commit: {recoveries:?}");
    assert!(done, "{} of {total} counts:\n{}", watcher.count(), process.tail());

    // Every word: 1, 2, 3, ... in order, no gap, no repeat.
    let mut counts: HashMap<String, u64> = HashMap::new();
    for seen in watcher.seen.lock().iter() {
        let value: serde_json::Value = serde_json::from_str(seen.value.as_deref().unwrap()).unwrap();
        let word = value["word"].as_str().unwrap();
        assert_eq!(seen.key.as_deref(), Some(word));
        let count = counts.entry(word.to_owned()).or_default();
        *count += 1;
        assert_eq!(
            value["count"].as_u64(),
            Some(*count),
            "{word} at {}:{}",
            seen.partition,
            seen.offset
        );
    }
    let counts: BTreeMap<String, u64> = counts.into_iter().collect();
    assert_eq!(counts, expected);

    // The table: the same totals, once the sink has caught up.
    let runtime = runtime();
    let mut rows = BTreeMap::new();
    let equal = wait_until(Duration::from_secs(120), || {
        rows = runtime.block_on(read_table(&table));
        rows == expected
    });
    assert!(equal, "{} rows of {}:\n{}", rows.len(), expected.len(), process.tail());
    assert_eq!(process.terminate(), Some(0), "{}", process.tail());
    assert_eq!(watcher.count(), total as usize, "nothing came after the end");
}

async fn read_table(table: &str) -> BTreeMap<String, u64> {
    use sqlx::{Connection as _, Row as _};
    let mut connection = sqlx::MySqlConnection::connect(&mysql_url()).await.unwrap();
    let query = sqlx::AssertSqlSafe(format!("SELECT word, CAST(`count` AS SIGNED) AS n FROM `{table}`"));
    match sqlx::query(query).fetch_all(&mut connection).await {
        Ok(rows) => rows
            .iter()
            .map(|row| (row.get::<String, _>("word"), row.get::<i64, _>("n") as u64))
            .collect(),
        Err(_) => BTreeMap::new(),
    }
}
