//! Reloads of a running process: a hundred under load, and every way in which files change.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::served::Served;
use common::{built_anew, command, consumed, plugin, wasmill, write};
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(60);

/// A process that runs, and what it logs of reloads.
struct Process {
    process: common::Process,
    receipts: Receiver<Value>,
    log: Receiver<String>,
}

impl Process {
    fn run(dir: &Path, args: &[&str]) -> Self {
        let mut all = vec!["run", "--embedded=log", "--json", "--log", "info"];
        all.extend(args);
        let ((sender, receipts), (lines, log)) = (channel(), channel());
        let process = command(dir, &all).start(move |line| {
            if let Ok(value) = serde_json::from_str::<Value>(&line)
                && value["reload"].is_u64()
            {
                let _ = sender.send(value);
            }
            let _ = lines.send(line);
        });
        Self { process, receipts, log }
    }

    fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// The next reload's receipt.
    fn receipt(&self) -> Value {
        match self.receipts.recv_timeout(WAIT) {
            Ok(receipt) => receipt,
            Err(_) => panic!("no reload:\n{}", self.tail()),
        }
    }

    fn tail(&self) -> String {
        self.log.try_iter().collect::<Vec<_>>().join("\n")
    }

    /// Resident memory in KiB.
    fn resident(&self) -> usize {
        self.process.resident()
    }

    fn stop(mut self) {
        self.signal("-TERM");
        let Some(status) = self.process.wait(WAIT) else {
            panic!("it does not end:\n{}", self.tail());
        };
        assert_eq!(status.code(), Some(0), "{}", self.tail());
    }
}

/// Everything that was ever counted, by word.
fn counts(dir: &Path, topic: &str) -> BTreeMap<String, Vec<String>> {
    let mut counts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in consumed(dir, topic).lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let count = match &record["value"] {
            Value::String(text) => serde_json::from_str::<Value>(text).unwrap()["count"].to_string(),
            other => other["count"].to_string(),
        };
        let word = record["key"].as_str().unwrap().to_owned();
        counts.entry(word).or_default().push(count);
    }
    counts
}

const NUMBERS: &str = r#"
name = "numbers"
commit_interval_ms = COMMIT
partitions = 2
[sources.numbers]
type = "generator"
rate = 20000
[transforms.split]
inputs = ["numbers"]
type = "wasm"
plugin = "word_split.wasm"
limits = { memory_mib = MEMORY }
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "word_count.wasm"
[sinks.counts]
inputs = ["count"]
type = "kafka"
topic = "counts"
"#;

fn numbers(commit: usize, memory: usize) -> String {
    NUMBERS
        .replace("COMMIT", &commit.to_string())
        .replace("MEMORY", &memory.to_string())
}

#[test]
fn a_hundred_reloads_under_load_lose_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (split, count) = (plugin("word_split"), plugin("word_count"));
    let (toml, component) = (dir.path().join("numbers.toml"), dir.path().join("word_count.wasm"));
    write(&dir.path().join("word_split.wasm"), &split);
    write(&component, &count);
    write(&toml, numbers(50, 64).as_bytes());
    let process = Process::run(dir.path(), &["numbers.toml", "--no-watch"]);
    std::thread::sleep(Duration::from_secs(2));
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut pauses: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let (mut good_toml, mut good_plugin) = (numbers(50, 64), count.clone());
    for number in 1..=100 {
        let expected = match number % 10 {
            0 if number % 20 == 0 => {
                write(&component, &good_plugin[..good_plugin.len() / 2]);
                "refused"
            }
            0 => {
                write(&toml, good_toml.replace("[sinks.counts]", "[sinks.counts").as_bytes());
                "refused"
            }
            5 => {
                good_toml = numbers(50 + number, 64);
                "restarted"
            }
            odd if odd % 2 == 1 => {
                good_plugin = built_anew(&count, number);
                "applied"
            }
            _ => {
                let commit = good_toml.lines().find(|line| line.starts_with("commit")).unwrap();
                let commit: usize = commit.rsplit(' ').next().unwrap().parse().unwrap();
                good_toml = numbers(commit, 64 + number);
                "applied"
            }
        };
        if expected != "refused" {
            write(&component, &good_plugin);
            write(&toml, good_toml.as_bytes());
        }
        process.signal("-HUP");
        let receipt = process.receipt();
        assert_eq!(receipt["outcome"], expected, "reload {number}: {receipt}");
        assert_eq!(receipt["reload"], number, "{receipt}");
        *outcomes.entry(expected.to_owned()).or_default() += 1;
        if expected == "refused" {
            // Taken back.
            write(&component, &good_plugin);
            write(&toml, good_toml.as_bytes());
        } else {
            let pause = receipt["pause_ms"].as_f64().unwrap();
            pauses.entry(expected.to_owned()).or_default().push(pause);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    process.stop();
    for (outcome, mut pauses) in pauses {
        pauses.sort_by(f64::total_cmp);
        let at = |part: f64| pauses[((pauses.len() - 1) as f64 * part) as usize];
        println!(
            "{outcome}: {} times; pause {:.1} ms in the median, {:.1} at the 95th percentile, {:.1} at most",
            pauses.len(),
            at(0.5),
            at(0.95),
            at(1.0)
        );
    }
    let counts = counts(dir.path(), "counts");
    println!("{} numbers were counted", counts.len());
    assert_eq!(outcomes.values().sum::<usize>(), 100);
    assert!(counts.len() > 20_000, "{}", counts.len());
    for (word, counts) in &counts {
        assert_eq!(counts, &["1"], "{word}");
    }
    // What the generator has made and was read is all there: no number is missing before the last.
    let mut seen: Vec<u64> = counts.keys().map(|word| word.parse().unwrap()).collect();
    seen.sort_unstable();
    let missing = (0..seen.len() as u64).find(|n| seen.binary_search(n).is_err());
    let last = *seen.last().unwrap();
    assert!(
        last - (seen.len() as u64 - 1) < 200_000,
        "the last of {} is {last}, the first that is missing {missing:?}",
        seen.len()
    );
    // The rest is on its way: a bounded run with a counted source brings it.
    let ended = good_toml.replace("rate = 20000", &format!("count = {}", last + 1));
    write(&toml, ended.as_bytes());
    let ran = wasmill(dir.path(), &["run", "numbers.toml", "--embedded=log", "--until-end"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let counts = self::counts(dir.path(), "counts");
    for n in 0..=last {
        assert_eq!(
            counts.get(&n.to_string()).map(Vec::as_slice),
            Some(&["1".to_owned()][..]),
            "{n}"
        );
    }
}

const TRIAL: &str = r#"
name = "trial"
commit_interval_ms = 50
partitions = 2
[sources.numbers]
type = "generator"
rate = 2000
[transforms.split]
inputs = ["numbers"]
type = "wasm"
plugin = "word_split.wasm"
[transforms.pass]
inputs = ["split"]
type = "wasm"
plugin = "poison.wasm"
config = { poison_every = 0 }
on_error = "dead_letter"
rollback = { failed_share = 0.01, within_s = 30 }
[sinks.out]
inputs = ["pass"]
type = "kafka"
topic = "out"
"#;

/// The number in each record of a topic, in order.
fn numbers_in(dir: &Path, topic: &str) -> Vec<u64> {
    let value = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["value"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut all: Vec<u64> = consumed(dir, topic)
        .lines()
        .map(|line| value(line).parse().unwrap())
        .collect();
    all.sort_unstable();
    all
}

/// A new version that traps on one record in twenty is taken back by itself: what it has refused is in the dead
/// letters, and nothing else is missing.
#[test]
fn a_version_that_fails_too_often_is_taken_back() {
    for (policy, restarts) in [("dead_letter", false), ("fail", false), ("dead_letter", true)] {
        let dir = tempfile::tempdir().unwrap();
        let toml = TRIAL.replace("dead_letter", policy);
        write(&dir.path().join("poison.wasm"), &plugin("poison"));
        write(&dir.path().join("word_split.wasm"), &plugin("word_split"));
        let file = dir.path().join("trial.toml");
        write(&file, toml.as_bytes());
        let process = Process::run(dir.path(), &["trial.toml", "--no-watch"]);
        std::thread::sleep(Duration::from_millis(1_500));
        // One that is as good stands its trial.
        write(&dir.path().join("poison.wasm"), &built_anew(&plugin("poison"), 1));
        process.signal("-HUP");
        assert_eq!(process.receipt()["outcome"], "applied");
        let (also, outcome, changes) = if restarts {
            let also = toml.replace("partitions = 2", "partitions = 2\nworkers = 2");
            (also, "restarted", "pipeline `trial`: workers; transform `pass`: config")
        } else {
            (toml.clone(), "applied", "transform `pass`: config")
        };
        write(&file, also.replace("poison_every = 0", "poison_every = 20").as_bytes());
        process.signal("-HUP");
        assert_eq!(process.receipt()["outcome"], outcome);
        let back = process.receipt();
        assert_eq!(
            (&back["outcome"], &back["code"]),
            (&"rolled_back".into(), &"E0724".into()),
            "{back}"
        );
        assert_eq!(back["changes"], changes);
        std::thread::sleep(Duration::from_secs(2));
        // It stays as it is until somebody asks.
        assert!(process.receipts.try_recv().is_err());
        process.stop();
        let (out, letters) = (
            numbers_in(dir.path(), "out"),
            match policy {
                "fail" => Vec::new(),
                _ => numbers_in(dir.path(), "trial-dead-letters"),
            },
        );
        println!(
            "{policy}: {} numbers have passed, {} are dead letters",
            out.len(),
            letters.len()
        );
        assert!(letters.iter().all(|number| number % 20 == 0), "{letters:?}");
        assert_eq!(letters.is_empty(), policy == "fail");
        let mut all = [out, letters].concat();
        all.sort_unstable();
        let last = all.len() as u64;
        assert!(last > 3_000, "{last}");
        assert_eq!(all, (0..last).collect::<Vec<_>>(), "each number is there once");
    }
}

/// A candidate runs on the same records: what it does differently is told, and nothing of it is kept.
#[test]
fn a_shadow_is_compared_and_nothing_of_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(&dir.join("poison.wasm"), &plugin("poison"));
    write(&dir.join("word_split.wasm"), &plugin("word_split"));
    write(&dir.join("candidate.wasm"), &built_anew(&plugin("poison"), 7));
    let file = dir.join("trial.toml");
    let toml = TRIAL.replace("rate = 2000", "count = 3000");
    let with = |shadow: &str| toml.replace("config = {", &format!("shadow = {shadow}\nconfig = {{"));
    write(&file, with("{ plugin = \"candidate.wasm\" }").as_bytes());
    let process = Served::run(dir, &["trial.toml", "--embedded=log"]);
    process.until_ready();
    let report = || process.json("/v1/pipelines/trial")["transforms"][1]["shadow"].clone();
    process.until("records are compared", || report()["records"] == 3_000);
    assert_eq!(
        (&report()["differences"], &report()["plugin"]),
        (&0.into(), &"poison 0.1.0".into())
    );
    process.stop();

    // One that hands out other things, and one that traps: records of the version that counts are what they are.
    for (config, failed) in [("other_every = 100", false), ("poison_every = 100", true)] {
        std::fs::remove_dir_all(dir.join("log")).unwrap();
        write(&file, with(&format!("{{ config = {{ {config} }} }}")).as_bytes());
        let process = Served::run(dir, &["trial.toml", "--embedded=log"]);
        process.until_ready();
        let report = || process.json("/v1/pipelines/trial")["transforms"][1]["shadow"].clone();
        process.until("records are compared", || report()["records"] == 3_000);
        let report = report();
        let example = &report["examples"][0];
        let differences = report["differences"].as_u64().unwrap();
        if failed {
            // A call of many records fails as a whole.
            assert!(
                report["failed_calls"].as_u64() > Some(0) && differences >= 30,
                "{report}"
            );
            assert_eq!(example["candidate"]["error"], "trap");
        } else {
            assert_eq!((differences, &report["failed_calls"]), (30, &0.into()), "{report}");
            assert_eq!(example["candidate"][0]["value"], "other");
        }
        assert!(
            example["offset"].is_u64() && example["current"][0]["value"].is_string(),
            "{example}"
        );
        let (_, metrics) = process.ask("GET", "/metrics", "");
        let line = format!("wasmill_shadow_differences_total{{pipeline=\"trial\",transform=\"pass\"}} {differences}");
        assert!(metrics.contains(&line), "{metrics}");
        process.stop();
        assert_eq!(numbers_in(dir, "out"), (0..3_000).collect::<Vec<_>>());
    }
    // What cannot be compared is refused.
    write(&dir.join("word_count.wasm"), &plugin("word_count"));
    write(&file, with("{ plugin = \"word_count.wasm\" }").as_bytes());
    let ran = wasmill(dir, &["validate", "trial.toml", "--embedded"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("cannot run beside it"), "{}", ran.stderr);
}

/// A reload that does not fit the state begins anew, where the pipeline says so.
#[test]
fn state_that_does_not_fit_is_reset_where_the_pipeline_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for name in ["word_split", "word_count", "poison"] {
        write(&dir.join(format!("{name}.wasm")), &plugin(name));
    }
    write(&dir.join("lines.txt"), b"a b a\nb a\n");
    let toml = r#"
name = "words"
commit_interval_ms = 50
[sources.lines]
type = "file"
path = "lines.txt"
format = "lines"
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "word_split.wasm"
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "word_count.wasm"
[sinks.out]
inputs = ["count"]
type = "kafka"
topic = "out"
[sinks.gone]
inputs = ["split"]
type = "blackhole"
"#;
    let file = dir.join("words.toml");
    write(&file, toml.as_bytes());
    let process = Served::run(dir, &["words.toml", "--embedded=log", "--no-watch"]);
    process.until_ready();
    let counter = |name: &str| process.json("/v1/pipelines/words")["counters"][name].as_u64().unwrap();
    let is_done = || counter("records_delivered") == 5 && counter("records_written") == 15;
    process.until("all are counted and delivered", is_done);
    // Other stores: refused, unless the pipeline says otherwise.
    let other = toml.replace("word_count.wasm", "poison.wasm");
    write(&file, other.as_bytes());
    let ran = process.wasmill(dir, &["reload"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("E0721") && ran.stderr.contains("on_state_change"),
        "{}",
        ran.stderr
    );
    let other = format!("on_state_change = \"reset\"\n{}", other.trim_start());
    write(&file, other.as_bytes());
    let ran = process.wasmill(dir, &["reload", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let receipt: Value = serde_json::from_str(&ran.stdout).unwrap();
    let receipt = &receipt["receipts"][0];
    assert_eq!(receipt["outcome"], "restarted", "{receipt}");
    assert!(receipt["changes"].to_string().contains("reset: state"), "{receipt}");
    // All of it comes again, to state and sinks that know nothing of it.
    process.until("all have come again", is_done);
    let seen = || process.json("/v1/pipelines/words/state/count/seen?encoding=utf8&key=a")["value"].clone();
    process.until("it is committed", || seen() == 3);
    process.stop();
    let out = consumed(dir, "out");
    assert_eq!(
        out.lines().count(),
        10,
        "what was written stays, and comes again: {out}"
    );
    // It is as any other pipeline now.
    let ran = wasmill(dir, &["run", "words.toml", "--embedded=log", "--until-end"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn reloads_leave_no_memory_behind() {
    let dir = tempfile::tempdir().unwrap();
    let count = plugin("word_count");
    write(&dir.path().join("word_split.wasm"), &plugin("word_split"));
    let component = dir.path().join("word_count.wasm");
    write(&component, &count);
    // Little flows: state and log keep what they have.
    let text = numbers(50, 64).replace("rate = 20000", "rate = 10");
    write(&dir.path().join("numbers.toml"), text.as_bytes());
    let process = Process::run(dir.path(), &["numbers.toml", "--no-watch"]);
    std::thread::sleep(Duration::from_secs(1));
    let reload = |number: usize| {
        write(&component, &built_anew(&count, number));
        process.signal("-HUP");
        assert_eq!(process.receipt()["outcome"], "applied");
    };
    (0..30).for_each(reload);
    let before = process.resident();
    (30..130).for_each(reload);
    let after = process.resident();
    println!("resident: {before} KiB after 30 reloads, {after} after 130");
    assert!(after < before + (24 << 10), "{before} KiB, then {after}");
    process.stop();
}

fn words(name: &str, plugin: &Path) -> String {
    format!(
        r#"
name = "{name}"
[sources.numbers]
type = "generator"
rate = 100
[transforms.split]
inputs = ["numbers"]
type = "wasm"
plugin = "{}"
[sinks.words]
inputs = ["split"]
type = "kafka"
topic = "{name}-words"
"#,
        plugin.display()
    )
}

#[test]
fn files_that_change_are_reloaded_and_pipelines_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let pipelines = dir.path().join("pipelines");
    std::fs::create_dir(&pipelines).unwrap();
    let split = plugin("word_split");
    write(&dir.path().join("split.wasm"), &split);
    write(
        &pipelines.join("a.toml"),
        words("a", Path::new("../split.wasm")).as_bytes(),
    );
    // As Kubernetes mounts a ConfigMap: `mounted` leads to a directory that is swapped.
    for version in ["v1", "v2"] {
        std::fs::create_dir(dir.path().join(version)).unwrap();
    }
    let mounted = |version: &str, text: &str| write(&dir.path().join(version).join("c.toml"), text.as_bytes());
    let link = |version: &str| {
        std::os::unix::fs::symlink(version, dir.path().join("next")).unwrap();
        std::fs::rename(dir.path().join("next"), dir.path().join("mounted")).unwrap();
    };
    let c = words("c", &dir.path().join("split.wasm"));
    mounted("v1", &c);
    mounted("v2", &c.replace("rate = 100", "rate = 200"));
    link("v1");
    let process = Process::run(dir.path(), &["pipelines", "mounted/c.toml"]);
    let expect = |pipeline: &str, outcome: &str| {
        let receipt = process.receipt();
        assert_eq!(
            (receipt["pipeline"].as_str(), receipt["outcome"].as_str()),
            (Some(pipeline), Some(outcome)),
            "{receipt}"
        );
        receipt
    };
    std::thread::sleep(Duration::from_secs(1));

    // A plugin that is built anew.
    write(&dir.path().join("split.wasm"), &built_anew(&split, 1));
    let mut changed = [process.receipt(), process.receipt()];
    changed.sort_by_key(|receipt| receipt["pipeline"].to_string());
    for (receipt, pipeline) in changed.iter().zip(["a", "c"]) {
        assert_eq!(receipt["pipeline"], pipeline, "{receipt}");
        assert_eq!(receipt["outcome"], "applied", "{receipt}");
        let changes = receipt["changes"].as_str().unwrap();
        assert!(changes.contains("transform `split`: plugin (word_split"), "{changes}");
    }
    // A link that is swapped.
    link("v2");
    let receipt = expect("c", "restarted");
    assert_eq!(receipt["changes"], "source `numbers`: settings");
    // A comment is no change of the pipeline.
    let a = words("a", Path::new("../split.wasm"));
    write(
        &pipelines.join("a.toml"),
        format!("# {a}").replace("# \n", "# mine\n").as_bytes(),
    );
    expect("a", "unchanged");
    // A mistake is told once, with its place, and the pipeline runs on.
    write(
        &pipelines.join("a.toml"),
        a.replace("split.wasm", "none.wasm").as_bytes(),
    );
    let receipt = expect("a", "refused");
    assert!(receipt["place"].as_str().unwrap().contains("a.toml:9:"), "{receipt}");
    write(&pipelines.join("a.toml"), a.as_bytes());
    expect("a", "unchanged");
    // Pipelines come and go.
    write(
        &pipelines.join("b.toml"),
        words("a", Path::new("../split.wasm")).as_bytes(),
    );
    let receipt = process.receipt();
    assert_eq!(receipt["outcome"], "refused", "{receipt}");
    assert_eq!(receipt["code"], "E0720", "{receipt}");
    write(
        &pipelines.join("b.toml"),
        words("b", Path::new("../split.wasm")).as_bytes(),
    );
    expect("b", "added");
    std::thread::sleep(Duration::from_secs(1));
    std::fs::remove_file(pipelines.join("b.toml")).unwrap();
    expect("b", "removed");
    write(
        &pipelines.join("a.toml"),
        a.replace("name = \"a\"", "name = \"z\"").as_bytes(),
    );
    let receipt = expect("a", "refused");
    assert_eq!(receipt["code"], "E0720", "{receipt}");
    // The first of those that run: the others go on.
    std::fs::remove_file(pipelines.join("a.toml")).unwrap();
    expect("a", "removed");
    process.stop();
    let ran = consumed(dir.path(), "b-words");
    assert!(ran.lines().count() > 20, "{ran}");
}

#[test]
fn state_is_not_orphaned_and_topics_that_go_are_drained() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["word_split", "word_count"] {
        write(&dir.path().join(format!("{name}.wasm")), &plugin(name));
    }
    let toml: PathBuf = dir.path().join("numbers.toml");
    let whole = numbers(50, 64);
    write(&toml, whole.as_bytes());
    let process = Process::run(dir.path(), &["numbers.toml", "--no-watch"]);
    std::thread::sleep(Duration::from_secs(2));
    let reload = |text: &str| {
        write(&toml, text.as_bytes());
        process.signal("-HUP");
        process.receipt()
    };
    // Without the transform that counts, nobody owns the counts.
    let head = whole.split("[transforms.count]").next().unwrap();
    let without = format!("{head}[sinks.counts]\ninputs = [\"split\"]\ntype = \"kafka\"\ntopic = \"words\"\n");
    let receipt = reload(&without);
    assert_eq!(
        (&receipt["outcome"], &receipt["code"]),
        (&"refused".into(), &"E0721".into()),
        "{receipt}"
    );
    // A sink to a file has a topic of its own with more than one input: it is drained when it goes.
    let more =
        whole.clone() + "[sinks.file]\ninputs = [\"count\", \"split\"]\ntype = \"file\"\npath = \"out.ndjson\"\n";
    let receipt = reload(&more);
    assert_eq!(receipt["outcome"], "restarted", "{receipt}");
    std::thread::sleep(Duration::from_secs(2));
    let receipt = reload(&whole);
    assert_eq!(receipt["outcome"], "restarted", "{receipt}");
    process.stop();
    // All that was counted while there was a file is in it.
    let text = std::fs::read_to_string(dir.path().join("out.ndjson")).unwrap();
    assert!(text.lines().count() > 1_000, "{}", text.lines().count());
    let counts = counts(dir.path(), "counts");
    assert!(counts.len() > 1_000, "{}", counts.len());
    for (word, counts) in &counts {
        assert_eq!(counts, &["1"], "{word}");
    }
}
