//! The dashboard and the alert rules name metrics that there are, and the rules do what their tests say.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Everything in a text that is named like a metric of ours.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices("wasmill_")
        .map(|(start, _)| text[start..].chars().take_while(|c| is_of_a_name(*c)).collect())
        .collect()
}

#[test]
fn the_dashboard_and_the_rules_name_metrics_that_there_are() {
    let known = metrics_in(&read("docs/metrics.md"));
    let histograms: BTreeSet<String> = read("docs/metrics.md")
        .lines()
        .filter(|line| line.contains("| histogram |"))
        .flat_map(metrics_in)
        .collect();
    for file in ["deploy/alerts.yml", "deploy/grafana.json"] {
        let text = read(file);
        let names = metrics_in(&text);
        assert!(names.len() > 5, "{file}: {names:?}");
        for name in names {
            let of_histogram = name
                .strip_suffix("_bucket")
                .is_some_and(|base| histograms.contains(base));
            assert!(
                known.contains(&name) || of_histogram,
                "{file} names `{name}`, which docs/metrics.md does not"
            );
        }
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read("deploy/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(
        panels
            .iter()
            .filter(|panel| panel["type"] != "row")
            .all(|panel| panel["targets"][0]["expr"].is_string())
    );
}

/// With Prometheus' own tool, where it is there; scripts/test.sh says how to get it.
#[test]
fn the_rules_do_what_their_tests_say() {
    let run = |args: &[&str]| {
        Command::new("promtool")
            .args(args)
            .current_dir(root().join("deploy"))
            .output()
    };
    let Ok(_) = run(&["--version"]) else {
        assert!(
            std::env::var_os("WASMILL_TEST_PROMTOOL").is_none_or(|value| value != "required"),
            "promtool is not there"
        );
        eprintln!("PASSED OVER: there is no promtool on the PATH; it is in the package `prometheus`");
        return;
    };
    for args in [
        &["check", "config", "prometheus.yml"][..],
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts.test.yml"],
    ] {
        let ran = run(args).expect("promtool");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{args:?}: {said}");
    }
}
