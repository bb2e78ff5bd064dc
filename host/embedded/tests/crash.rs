//! Killed with kill -9 at random moments, the log holds outputs and positions that agree exactly.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use record::log::{Log, LogEvent, NewTopic, PollLimit, Polled, Position, SessionConfig, Writes};
use record::{Batch, NextOffset, TopicPartition};
use testkit::log_conformance::Subject;
use wasmill_embedded::EmbeddedLog;

const CALL: Duration = Duration::from_secs(10);
const DIRECTORY: &str = "WASMILL_TEST_CRASH_DIRECTORY";
const PARTITIONS: u32 = 2;
const ROUNDS: u32 = 20;
/// So many rounds are killed at any moment from the start on, while the log is made for the first
/// time too; the others after they have committed something.
const EARLY_ROUNDS: u32 = 5;
/// What the child says after a commit.
const COMMITTED: &str = "committed";

fn create(log: &EmbeddedLog) {
    let topic = |name: &str, policy: &str| NewTopic {
        name: name.to_owned(),
        partitions: PARTITIONS,
        replication: None,
        config: vec![("cleanup.policy".to_owned(), policy.to_owned())],
    };
    let topics = [topic("in", "delete"), topic("out", "delete"), topic("last", "compact")];
    log.create_topics(&topics, CALL).unwrap();
}

/// Copies `in` to `out` and to the compacted `last` for ever, and keeps filling `in`.
fn copy_for_ever(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let log = EmbeddedLog::open(Some(directory))?;
    create(&log);
    let mut session = log.session(SessionConfig {
        group: "copy".to_owned(),
        instance_id: None,
        client_id: "child".to_owned(),
        topics: vec!["in".into()],
        writes: Writes::Transactional {
            transactional_id: "copy".to_owned(),
            timeout: CALL,
        },
    })?;
    let mut polled = Polled::default();
    let limit = PollLimit {
        records: 64,
        ..PollLimit::default()
    };
    // Should nobody kill it, it ends by itself.
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        polled.clear();
        session.poll(CALL, limit, &mut polled)?;
        let mut positions = Vec::new();
        for batch in polled.batches.iter().filter(|b| !b.is_empty()) {
            let partitions = vec![batch.partition; batch.len()];
            session.produce("out", batch, &partitions)?;
            session.produce("last", batch, &partitions)?;
            let next = batch.next_offset().unwrap();
            positions.push(Position {
                at: batch.place(),
                next,
                note: next.to_string(),
            });
        }
        session.commit(&positions, CALL)?;
        if !positions.is_empty() {
            println!("{COMMITTED}");
        }
        for event in polled.events.drain(..) {
            match event {
                LogEvent::Assigned(partitions) => {
                    let committed = session.committed(&partitions, CALL)?;
                    let from: Vec<_> = partitions
                        .into_iter()
                        .zip(committed)
                        .map(|(at, c)| (at, c.map_or(NextOffset(0), |c| c.next)))
                        .collect();
                    session.assign(&from)?;
                }
                LogEvent::End { at, next } => {
                    let mut more = Batch::new(Arc::from(""), 0);
                    for n in next.0..next.0 + 200 {
                        more.push(
                            Some(format!("k{}", n % 7).as_bytes()),
                            Some(n.to_string().as_bytes()),
                            n,
                        );
                    }
                    log.append("in", &more, &vec![at.partition; more.len()], CALL)?;
                }
                other => return Err(format!("{other:?}").into()),
            }
        }
    }
    Ok(())
}

/// Not a test of its own: the process that the test below starts and kills.
#[test]
fn child() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        copy_for_ever(Path::new(&directory)).unwrap();
    }
}

/// Checks that what is in the log hangs together; answers how many outputs there are.
fn check(directory: &Path) -> i64 {
    let subject = Subject::new(Arc::new(EmbeddedLog::open(Some(directory)).unwrap()));
    if subject.log.topics(&["last"], CALL).unwrap()[0].is_none() {
        return 0;
    }
    let (input, output) = (Arc::from("in"), Arc::from("out"));
    let read = subject.visible(&input);
    let written = subject.visible(&output);
    let last = subject.visible(&Arc::from("last"));
    let mut outputs = 0;
    for partition in 0..PARTITIONS {
        let of = |records: &[testkit::log_conformance::Record]| -> Vec<String> {
            let here = records.iter().filter(|r| r.partition == partition);
            here.map(|r| r.text()).collect()
        };
        let (read, written, last) = (of(&read), of(&written), of(&last));
        let at = TopicPartition::new(Arc::clone(&input), partition);
        let (position, note) = subject
            .committed("copy", &at)
            .unwrap_or((NextOffset(0), "0".to_owned()));
        assert_eq!(position.0, written.len() as i64, "as many outputs as the position says");
        assert_eq!(note, position.to_string(), "the note is of the same commit");
        assert_eq!(written, read[..written.len()], "each input once, in order");
        let newest: Vec<_> = (0..7)
            .filter_map(|key| written.iter().rfind(|v| v.parse::<i64>().unwrap() % 7 == key))
            .collect();
        for value in &newest {
            assert!(last.contains(value), "compaction keeps the last value of each key");
        }
        assert_eq!(last.last(), written.last());
        outputs += position.0;
    }
    outputs
}

#[test]
fn outputs_and_positions_agree_after_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut seed = now.as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut progressed = 0;
    let mut before = 0;
    for round in 0..ROUNDS {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        if round >= EARLY_ROUNDS {
            let committed = lines.any(|line| line.unwrap().ends_with(COMMITTED));
            assert!(committed, "the child ended by itself: {:?}", child.wait());
        }
        // Somebody has to read what it says, or it stands still.
        let drain = std::thread::spawn(move || lines.count());
        std::thread::sleep(Duration::from_millis(
            seed % if round < EARLY_ROUNDS { 40 } else { 200 },
        ));
        child.kill().unwrap();
        child.wait().unwrap();
        drain.join().unwrap();
        let outputs = check(directory.path());
        println!("round {round}: {outputs} outputs");
        assert!(outputs >= before, "what was committed stays");
        progressed += u32::from(outputs > before);
        before = outputs;
    }
    assert!(progressed >= ROUNDS - EARLY_ROUNDS, "{progressed} rounds committed");
}
