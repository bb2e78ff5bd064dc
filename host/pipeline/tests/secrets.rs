//! What placeholders hold, and what looks like a password, is shown nowhere.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

mod common;

use common::{load, options, tests_dir};
use wasmill_pipeline::{Format, Loaded, graph, load_text};

const PLANTED: [(&str, &str); 6] = [
    ("BROKERS", "planted-brokers:9092"),
    ("PASSWORD", "planted-password"),
    ("URL", "mysql://root:planted-url@db/words"),
    ("TABLE", "planted-table"),
    ("CONFIG", "planted \"config\" \\ text"),
    ("TEMPLATE", "planted-template"),
];

const PIPELINE: &str = r#"
name = "p"
[kafka]
brokers = "${env:BROKERS}"
[kafka.properties]
"security.protocol" = "SASL_SSL"
"sasl.username" = "planted-literal"
"sasl.password" = "${env:PASSWORD}"
"ssl.ca.location" = "${file:secret.txt}"
"fetch.wait.max.ms" = 77123
[sources.made]
type = "generator"
template = "${env:TEMPLATE}"
key = "/k"
[transforms.fussy]
type = "wasm"
plugin = "plugins/fussy.wasm"
inputs = ["made"]
config = { bound = 1, names = ["${env:CONFIG}"], window.size = 5 }
[sinks.rows]
type = "mysql"
inputs = ["fussy"]
url = "${env:URL}"
table = "${env:TABLE}"
key = ["k"]
"#;

fn texts(loaded: &Loaded) -> Vec<String> {
    let mut texts = vec![format!("{loaded:?}"), format!("{loaded:#?}"), loaded.plan_hash.clone()];
    for format in [Format::Text, Format::Mermaid, Format::Dot, Format::Json] {
        texts.push(graph(&loaded.topology, format));
    }
    texts.extend(loaded.warnings.iter().map(|warning| warning.render(true)));
    texts
}

fn load_with_file(text: &str) -> Result<Loaded, wasmill_pipeline::Diagnostics> {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("secret.txt"), "planted-file\n").expect("written");
    std::fs::create_dir(dir.path().join("plugins")).expect("made");
    std::fs::copy(
        tests_dir().join("plugins/fussy.wasm"),
        dir.path().join("plugins/fussy.wasm"),
    )
    .expect("copied");
    let mut options = options(&PLANTED);
    options.plugin_root = dir.path().to_path_buf();
    load_text(
        "p.toml".to_owned(),
        text.to_owned(),
        dir.path(),
        &options,
        &mut common::describe,
    )
}

#[test]
fn secrets_arrive_and_are_not_shown() {
    let loaded = load_with_file(PIPELINE).unwrap_or_else(|e| panic!("{e}"));
    for text in texts(&loaded) {
        assert!(!text.contains("planted"), "{text}");
        assert!(!text.contains("77123"), "{text}");
    }
    // They did arrive.
    assert_eq!(loaded.kafka.brokers.reveal(), "planted-brokers:9092");
    let property = |name: &str| {
        let found = loaded.kafka.properties.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.reveal().to_owned())
    };
    assert_eq!(property("sasl.password").as_deref(), Some("planted-password"));
    assert_eq!(property("ssl.ca.location").as_deref(), Some("planted-file"));
    assert_eq!(property("fetch.wait.max.ms").as_deref(), Some("77123"));
    let plan = &loaded.topology;
    assert!(plan.deliveries[0].connector.settings.contains("planted-url"));
    assert!(plan.deliveries[0].connector.settings.contains("planted-table"));
    assert!(plan.ingests[0].connector.settings.contains("planted-template"));
    let config: serde_json::Value = serde_json::from_str(&plan.processes[0].nodes[0].config).expect("JSON");
    assert_eq!(config["names"][0], PLANTED[4].1);
}

/// One mistake after the other beside, on and around the secrets.
#[test]
fn diagnostics_do_not_show_secrets() {
    let mut seen = std::collections::BTreeSet::new();
    for (from, to) in [
        ("url = \"${env:URL}\"", "url = \"postgres${env:URL}\""),
        ("url = \"${env:URL}\"", "url = \"postgres://me:planted-literal@db\""),
        (
            "table = \"${env:TABLE}\"",
            "table = \"${env:TABLE}\"\nmode = \"${env:TABLE}\"",
        ),
        ("name = \"p\"", "name = \"${env:PASSWORD}\""),
        ("bound = 1", "bound = \"${env:CONFIG}\""),
        ("\"planted-literal\"", "\"planted-literal"),
        ("\"planted-literal\"", "planted-literal"),
        ("\"planted-literal\"", "[\"planted-literal\"]"),
        ("\"planted-literal\"", "\"\"\"\nplanted-literal\n\"\"\"]"),
        ("\"sasl.username\" =", "\"client.id\" ="),
        ("\"fetch.wait.max.ms\" = 77123", "\"acks\" = 77123"),
        ("brokers = \"${env:BROKERS}\"", "brokers = \" ${env:BROKERS}\""),
        ("key = [\"k\"]", "key = [\"${env:TABLE}\", \"${env:TABLE}\"]"),
        ("secret.txt", "secret-planted.txt"),
    ] {
        assert!(PIPELINE.contains(from), "{from}");
        let text = PIPELINE.replacen(from, to, 1);
        let error = load_with_file(&text).expect_err(to);
        seen.extend(error.list.iter().map(|d| d.code.0));
        let json = serde_json::to_string(&error).expect("JSON");
        for shown in [error.render(false), error.render(true), format!("{error:?}"), json] {
            let shown = shown.replace("secret-planted.txt", "");
            assert!(!shown.contains("planted") && !shown.contains("77123"), "{to}\n{shown}");
        }
    }
    assert!(seen.len() >= 7, "different mistakes: {seen:?}");
}

#[test]
fn what_is_set_on_the_command_line_is_hidden_too() {
    let mut options = options(&PLANTED);
    options.set = vec![
        (
            "kafka.properties.\"sasl.password\"".to_owned(),
            "[\"planted-set\"]".to_owned(),
        ),
        ("sinks.rows.url".to_owned(), "other://me:planted-set@db".to_owned()),
    ];
    let error = load(PIPELINE, &options).expect_err("wrong types");
    assert!(error.list.len() >= 2, "{error}");
    for shown in [error.render(false), format!("{error:?}"), format!("{options:?}")] {
        assert!(!shown.contains("planted"), "{shown}");
    }
}

#[test]
fn replaced_nodes_are_not_asked_for_secrets() {
    let text = r#"
name = "p"
[kafka]
brokers = "${env:NOT_SET}"
[sources.lines]
type = "kafka"
topics = ["lines"]
[sinks.rows]
type = "mysql"
inputs = ["lines"]
url = "${env:NOT_SET_EITHER}"
table = "t"
key = ["k"]
[embedded.sinks.rows]
type = "stdout"
"#;
    let mut options = options(&[]);
    let error = load(text, &options).expect_err("two secrets are missing");
    assert_eq!(error.list.len(), 2, "{error}");
    options.embedded = true;
    let loaded = load(text, &options).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.topology.deliveries[0].connector.kind, "stdout");
}
