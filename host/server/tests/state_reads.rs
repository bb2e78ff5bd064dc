//! State that is read through the API, and by `wasmill state`, while a pipeline runs.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::path::Path;

use common::served::Served;
use common::wasmill;
use serde_json::{Value, json};

const TOML: &str = r#"
name = "counts"
partitions = 3
[sources.lines]
type = "file"
path = "lines.txt"
FOLLOW
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
"#;

const WORDS: [&str; 6] = ["apple", "apricot", "banana", "cherry", "été", "fig"];

fn start(dir: &Path, follow: &str, args: &[&str]) -> Served {
    for plugin in ["word_split.wasm", "word_count.wasm"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../plugins/dist")
            .join(plugin);
        std::fs::copy(from, dir.join(plugin)).expect("`wasmill build plugins`");
    }
    // The word at place i comes i + 1 times.
    let lines: Vec<String> = (0..WORDS.len()).map(|from| WORDS[from..].join(" ") + "\n").collect();
    std::fs::write(dir.join("lines.txt"), lines.concat()).unwrap();
    std::fs::write(dir.join("counts.toml"), TOML.replace("FOLLOW", follow)).unwrap();
    let mut all = vec!["counts.toml"];
    if !args.iter().any(|arg| arg.starts_with("--embedded")) {
        all.push("--embedded");
    }
    all.extend(args);
    Served::run(dir, &all)
}

fn value(process: &Served, word: &str) -> u64 {
    let (status, body) = process.read(&format!(
        "/v1/pipelines/counts/state/count/count?encoding=utf8&key={word}"
    ));
    match status {
        200 => serde_json::from_str::<Value>(&body).unwrap()["value"].as_u64().unwrap(),
        404 | 503 => 0,
        _ => panic!("{status} {body}"),
    }
}

fn entries(page: &Value) -> Vec<(&str, u64)> {
    let entries = page["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| (entry["key"].as_str().unwrap(), entry["value"].as_u64().unwrap()))
        .collect()
}

#[test]
fn the_state_of_a_pipeline_that_runs_is_read() {
    for state in [&[][..], &["--state-dir", "state"]] {
        let dir = tempfile::tempdir().unwrap();
        let process = start(dir.path(), "", state);
        process.until("it comes to that", || value(&process, "fig") == 6);
        process.until("it comes to that", || value(&process, "apple") == 1);

        let stores = process.json("/v1/pipelines/counts/state/count");
        assert_eq!(stores["stores"][0]["name"], "count");
        assert_eq!(stores["stores"][0]["value_format"], "u64-le");
        assert_eq!(
            (&stores["partitions"], &stores["restoring"]),
            (&json!([0, 1, 2]), &json!([]))
        );
        // One that keeps nothing.
        let stores = process.json("/v1/pipelines/counts/state/split");
        assert_eq!((&stores["stores"], &stores["partitions"]), (&json!([]), &json!([])));

        let path = "/v1/pipelines/counts/state/count/count?encoding=utf8";
        let plain = "/v1/pipelines/counts/state/count/count";
        let one = process.json(&format!("{path}&key=%C3%A9t%C3%A9"));
        assert_eq!((&one["key"], &one["value"]), (&"été".into(), &5.into()));
        let all = process.json(path);
        let expected: Vec<(&str, u64)> = vec![
            ("apple", 1),
            ("apricot", 2),
            ("banana", 3),
            ("cherry", 4),
            ("fig", 6),
            ("été", 5),
        ];
        assert_eq!((entries(&all), &all["more"]), (expected.clone(), &false.into()));
        assert_eq!(entries(&process.json(&format!("{path}&prefix=ap"))), expected[..2]);
        let first = process.json(&format!("{path}&limit=4"));
        assert_eq!(
            (entries(&first), &first["more"]),
            (expected[..4].to_vec(), &true.into())
        );
        assert_eq!(first["after"], "cherry");
        assert_eq!(entries(&process.json(&format!("{path}&after=cherry"))), expected[4..]);
        let mut apart = 0;
        for partition in 0..3 {
            let page = process.json(&format!("{path}&partition={partition}"));
            apart += entries(&page).len();
            assert!(
                page["entries"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|one| one["partition"] == partition)
            );
        }
        assert_eq!(apart, 6);
        // In base64, whatever the format.
        let one = process.json(&format!("{plain}?encoding=base64&key=Zmln"));
        assert_eq!((&one["key"], &one["key_encoding"]), (&"Zmln".into(), &"base64".into()));
        assert_eq!(process.json(&format!("{plain}?key=Zmln")), one);
        assert_eq!(one["value"], 6);
        for (asked, status, says) in [
            ("count/count?encoding=utf8&key=none", 404, "no such key"),
            ("count/count?key=Zmln&partition=7", 404, "partition 7"),
            ("count/none?key=fig", 404, "/state/count lists"),
            ("count/.timers", 404, "/state/count lists"),
            ("none/count", 404, "has no transform `none`"),
            ("count/count?limit=0", 400, "1 to 1000"),
            ("count/count?limit=1001", 400, "1 to 1000"),
            ("count/count?limit=x", 400, "limit"),
            ("count/count?key=a&prefix=a", 400, "`key`"),
            ("count/count?encoding=hex", 400, "base64"),
            ("count/count?encoding=base64&key=a", 400, "base64"),
            ("count/count?key=a", 400, "base64"),
        ] {
            let (found, body) = process.read(&format!("/v1/pipelines/counts/state/{asked}"));
            assert_eq!(found, status, "{asked}: {body}");
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert!(body.contains(says) && problem["status"] == status, "{asked}: {body}");
        }
        let (status, body) = process.read("/v1/pipelines/none/state/count");
        assert_eq!(status, 404, "{body}");
    }
}

#[test]
fn wasmill_state_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    let process = start(dir.path(), "", &[]);
    process.until("it comes to that", || {
        value(&process, "fig") == 6 && value(&process, "apple") == 1
    });
    let api = format!("http://{}", process.api);
    let state = |args: &[&str]| {
        let mut all = vec!["state"];
        all.extend(args);
        all.extend(["--api", &api]);
        wasmill(dir.path(), &all)
    };
    let ran = state(&["list", "counts", "count"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("u64-le") && ran.stdout.contains("partitions here: 0, 1, 2"),
        "{}",
        ran.stdout
    );
    assert_eq!(state(&["get", "counts", "count", "count", "banana"]).stdout, "3\n");
    let ran = state(&["get", "counts", "count", "count", "nothing"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no such key"), "{}", ran.stderr);
    let ran = state(&["scan", "counts", "count", "count", "--prefix", "ap", "--json"]);
    let page: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(entries(&page), [("apple", 1), ("apricot", 2)]);
    let ran = state(&["scan", "counts", "count", "count", "-n", "2"]);
    assert!(
        ran.stdout.contains("apricot") && !ran.stdout.contains("banana") && ran.stdout.contains("there are more"),
        "{}",
        ran.stdout
    );
}

/// Counts only rise, whole commits are seen, and records are not held up.
#[test]
fn reading_goes_on_while_records_flow() {
    let dir = tempfile::tempdir().unwrap();
    let process = start(dir.path(), "loop = true\nrate = 2000", &["--state-dir", "state"]);
    let mut last = 0;
    let mut rises = 0;
    process.until("it comes to that", || value(&process, "fig") > 0);
    while rises < 10 {
        let now = value(&process, "fig");
        assert!(now >= last, "{now} after {last}");
        rises += u32::from(now > last);
        last = now;
        let all = process.json("/v1/pipelines/counts/state/count/count");
        assert_eq!(all["entries"].as_array().unwrap().len(), 6);
    }
    assert_eq!(process.json("/v1/pipelines/counts")["counters"]["aborts"], 0);
}
