//! Several processes of one pipeline are brought to another plan: together, whoever dies meanwhile.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;
mod services;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{wasmill, write};
use serde_json::Value;
use services::*;
use tempfile::TempDir;

/// What a process says when it sees to a switch.
const LEADS: &str = "this process sees to the switch";
const PARTITIONS: usize = 4;

/// The pipeline of this test, and the topics that it reads and writes.
struct Case {
    name: String,
    dir: TempDir,
    watcher: Watcher,
    feeder: Option<Feeder>,
}

impl Case {
    fn new(prefix: &str) -> Self {
        let name = unique(prefix);
        create_topic(&format!("{name}-in"), PARTITIONS as i32);
        create_topic(&format!("{name}-out"), PARTITIONS as i32);
        Self {
            dir: tempfile::tempdir().unwrap(),
            watcher: Watcher::new(&format!("{name}-out"), PARTITIONS as i32),
            feeder: Some(Feeder::start(&format!("{name}-in"), 20, Duration::from_millis(20))),
            name,
        }
    }

    /// Words are counted into a topic. Beside that, what goes through is written to a file by a sink of this name,
    /// which has an internal topic of its own.
    fn plan(&self, sink: &str) -> String {
        let Self { name, .. } = self;
        format!(
            r#"
name = "{name}"
workers = 1
commit_interval_ms = 50
[kafka]
brokers = "{brokers}"
[sources.lines]
type = "kafka"
topics = ["{name}-in"]
start = "earliest"
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "{split}"
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "{count}"
[sinks.out]
inputs = ["count"]
type = "kafka"
topic = "{name}-out"
[sinks.{sink}]
inputs = ["count", "split"]
type = "file"
path = "${{env:WASMILL_TEST_DIR}}/{sink}.ndjson"
"#,
            brokers = brokers(),
            split = plugin("word_split"),
            count = plugin("word_count"),
        )
    }

    fn join(&self, process: &str) -> Joined {
        Joined::start(self.dir.path(), process, &self.plan("before"))
    }

    /// Waits until so many more words were counted.
    fn more(&self, words: usize, who: &[&Joined]) {
        let now = self.watcher.count();
        assert!(
            self.watcher.wait_for(now + words, Duration::from_secs(90)),
            "{}",
            tails(who)
        );
    }

    /// Ends the lines, and checks that each was counted once. Answers how many there were.
    fn check_counts(&mut self, who: &[&Joined]) -> usize {
        let sent = self.feeder.take().expect("it has lines").stop();
        assert!(
            self.watcher.wait_for(2 * sent, Duration::from_secs(90)),
            "{} of {}\n{}",
            self.watcher.count(),
            2 * sent,
            tails(who)
        );
        std::thread::sleep(Duration::from_millis(500));
        assert_counted_once(&self.watcher, sent);
        sent
    }

    /// Waits until the word of each line is in the files of these processes, once as it was split and once as it was
    /// counted; a process that is killed may write again what it has written.
    fn assert_written(&self, processes: &[&str], lines: usize) {
        let is_written = wait_until(Duration::from_secs(60), || {
            let written = self.written(processes);
            (0..lines).all(|n| written.get(&format!("w{n}")).is_some_and(|times| *times >= 2))
        });
        assert!(is_written, "records in the topic of the sink that went were lost");
    }

    /// How often each word of its own is in the files of these processes.
    fn written(&self, processes: &[&str]) -> HashMap<String, usize> {
        let mut written = HashMap::new();
        for process in processes {
            for sink in ["before", "after"] {
                let path = self.dir.path().join(process).join(format!("{sink}.ndjson"));
                for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
                    // A count, or the word as it was split.
                    let counted: Option<Value> = serde_json::from_str(line).ok();
                    let word = counted.as_ref().map_or(line, |count| count["word"].as_str().unwrap());
                    *written.entry(word.to_owned()).or_default() += 1;
                }
            }
        }
        written
    }
}

/// The ends of what processes said, for messages of failed assertions.
fn tails(who: &[&Joined]) -> String {
    let all: Vec<String> = who.iter().map(|one| one.process.tail()).collect();
    all.join("\n\n")
}

/// One process of a pipeline, with files of its own.
struct Joined {
    process: Process,
    file: PathBuf,
    api: String,
}

impl Joined {
    fn start(dir: &Path, name: &str, text: &str) -> Self {
        let own = dir.join(name);
        std::fs::create_dir_all(&own).unwrap();
        let file = own.join("pipeline.toml");
        write(&file, text.as_bytes());
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let listen = format!("127.0.0.1:{port}");
        let args = ["--no-watch", "--listen", &listen];
        let env = [("WASMILL_TEST_DIR", own.display().to_string())];
        Self {
            process: Process::run_with(dir, &file, name, &args, &env),
            file,
            api: format!("http://{listen}"),
        }
    }

    /// Gives it another plan, and answers the receipt.
    fn give(&self, text: &str) -> Value {
        write(&self.file, text.as_bytes());
        self.ask("reload")["receipts"][0].clone()
    }

    fn ask(&self, command: &str) -> Value {
        let ran = wasmill(Path::new("."), &[command, "--json", "--api", &self.api]);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.golden()))
    }

    /// Whether its log has this.
    fn has_said(&self, what: &str) -> bool {
        std::fs::read_to_string(&self.process.log)
            .unwrap_or_default()
            .contains(what)
    }

    /// How often it has told an outcome of a reload.
    fn outcomes(&self, outcome: &str) -> usize {
        let log = std::fs::read_to_string(&self.process.log).unwrap_or_default();
        let field = format!("outcome=\"{outcome}\"");
        log.lines().filter(|line| strip(line).contains(&field)).count()
    }

    fn has_restarted(&self) {
        let done = wait_until(Duration::from_secs(120), || self.outcomes("restarted") > 0);
        assert!(done, "{}", self.process.tail());
    }
}

/// Without the colours of a terminal.
fn strip(line: &str) -> String {
    let mut plain = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(|c| *c == 'm');
        } else {
            plain.push(c);
        }
    }
    plain
}

#[test]
fn a_new_plan_starts_when_all_processes_have_it() {
    let mut case = Case::new("switch");
    let mut all = ["a", "b", "c"].map(|name| case.join(name));
    case.more(2_000, &all.each_ref());
    let after = case.plan("after");
    for (i, one) in all.iter().enumerate() {
        let receipt = one.give(&after);
        assert_eq!(receipt["outcome"], "waiting", "{receipt}");
        let missing = receipt["problems"].as_array().unwrap().len();
        assert_eq!(missing, 2 - i, "{receipt}");
        if i == 1 {
            // One has not got it yet: all goes on by the old plan.
            case.more(1_000, &all.each_ref());
            assert!(all.iter().all(|one| one.outcomes("restarted") == 0));
        }
    }
    all.iter().for_each(Joined::has_restarted);
    assert_eq!(all.iter().filter(|one| one.has_said(LEADS)).count(), 1);
    case.more(2_000, &all.each_ref());
    // A change that is taken back before all have it is no change.
    let receipt = all[0].give(&case.plan("never"));
    assert_eq!(receipt["outcome"], "waiting", "{receipt}");
    assert_eq!(all[0].give(&after)["outcome"], "unchanged");
    let receipt = all[1].give(&case.plan("never"));
    assert_eq!(receipt["problems"].as_array().unwrap().len(), 2, "{receipt}");
    assert_eq!(all[1].give(&after)["outcome"], "unchanged");
    let sent = case.check_counts(&all.each_ref());
    case.assert_written(&["a", "b", "c"], sent);
    for one in &mut all {
        assert_eq!(one.process.terminate(), Some(0), "{}", one.process.tail());
    }
    let written = case.written(&["a", "b", "c"]);
    for n in 0..sent {
        assert_eq!(
            written.get(&format!("w{n}")),
            Some(&2),
            "w{n}: once split, once counted"
        );
    }
}

/// Two processes have the new plan, and the one that sees to the switch is killed while the old plan ends.
fn with_the_leader_killed(prefix: &str) -> (Case, Joined, &'static str, Joined) {
    let case = Case::new(prefix);
    let (a, b) = (case.join("a"), case.join("b"));
    case.more(2_000, &[&a, &b]);
    let after = case.plan("after");
    a.give(&after);
    b.give(&after);
    let told = wait_until(Duration::from_secs(60), || a.has_said(LEADS) || b.has_said(LEADS));
    assert!(told, "{}\n\n{}", a.process.tail(), b.process.tail());
    let (mut leader, name, other) = if a.has_said(LEADS) { (a, "a", b) } else { (b, "b", a) };
    leader.process.kill();
    (case, leader, name, other)
}

#[test]
fn a_leader_that_dies_is_replaced_and_nothing_is_lost() {
    let (mut case, _, name, other) = with_the_leader_killed("orphaned");
    other.has_restarted();
    assert!(other.has_said("going on in its place"), "{}", other.process.tail());
    // The old plan is not let in any more, the new one is.
    let mut late = case.join("late");
    assert_eq!(
        late.process.wait(Duration::from_secs(60)),
        Some(1),
        "{}",
        late.process.tail()
    );
    assert!(late.has_said("E0702"), "{}", late.process.tail());
    let again = Joined::start(case.dir.path(), name, &case.plan("after"));
    case.more(2_000, &[&other, &again]);
    let sent = case.check_counts(&[&other, &again]);
    case.assert_written(&["a", "b"], sent);
}

#[test]
fn a_leader_that_starts_again_finishes_what_it_began() {
    let (mut case, _, name, other) = with_the_leader_killed("resumed");
    let leader = Joined::start(case.dir.path(), name, &case.plan("after"));
    other.has_restarted();
    assert!(!other.has_said("going on in its place"), "{}", other.process.tail());
    case.more(2_000, &[&leader, &other]);
    let sent = case.check_counts(&[&leader, &other]);
    case.assert_written(&["a", "b"], sent);
}
