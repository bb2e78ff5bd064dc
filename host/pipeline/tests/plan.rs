//! What plans look like. `INSTA_UPDATE=always cargo test -p wasmill-pipeline` writes them anew.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

mod common;

use common::{check_plan as check, load, options};
use record::topology::{PartitionCount, Start, TopicRole};
use wasmill_pipeline::{Format, Loaded, code, graph, load_text};

fn loaded(text: &str) -> Loaded {
    load(text, &options(&[("MYSQL_URL", "mysql://root:hunter2@db/words")])).unwrap_or_else(|e| panic!("{e}"))
}

fn tree(text: &str) -> String {
    let loaded = loaded(text);
    check(&loaded.topology);
    let topics: String = loaded
        .topology
        .topics
        .iter()
        .map(|topic| {
            let partitions = match topic.partitions {
                PartitionCount::SameAs(other) => format!("as {}", loaded.topology.topic(other).name),
                other => format!("{other:?}"),
            };
            format!("{} {partitions} create={}\n", topic.name, topic.create)
        })
        .collect();
    format!("{}\n{topics}", graph(&loaded.topology, Format::Text))
}

const KAFKA: &str = "name = \"p\"\n[kafka]\nbrokers = \"localhost:9092\"\n";

const WORD_COUNT: &str = r#"
name = "word-count"
[kafka]
brokers = "localhost:9092"
[sources.lines]
type = "kafka"
topics = ["lines"]
[transforms.split]
inputs = ["lines"]
type = "wasm"
plugin = "plugins/word_split.wasm"
[transforms.count]
inputs = ["split"]
type = "wasm"
plugin = "plugins/word_count.wasm"
on_error = "dead_letter"
[sinks.totals]
inputs = ["count"]
type = "mysql"
url = "${env:MYSQL_URL}"
table = "wordCount"
key = ["word"]
[embedded.sources.lines]
type = "file"
path = "lines.txt"
[embedded.sinks.totals]
type = "sqlite"
path = "words.db"
table = "wordCount"
key = ["word"]
"#;

const TEMPERATURE: &str = r#"
name = "temperature"
topic_prefix = "dev."
dead_letter_topic = "trouble"
[kafka]
brokers = "localhost:9092"
[sources.readings]
type = "kafka"
topics = ["readings"]
key = "/room"
start = 2026-11-21T08:00:00Z
[transforms.delta]
inputs = ["readings"]
type = "wasm"
plugin = "plugins/temperature.wasm"
[transforms.named]
inputs = ["delta"]
type = "wasm"
plugin = "plugins/enrich.wasm"
[sinks.alpha]
inputs = ["named"]
type = "kafka"
topic = "alpha"
[sinks.rooms]
inputs = ["delta.rooms"]
type = "mongodb"
url = "mongodb://db"
database = "home"
collection = "rooms"
[sinks.changes]
inputs = ["named"]
type = "mongodb"
url = "mongodb://db"
database = "home"
collection = "changes"
mode = "insert"
[sinks.raw]
inputs = ["readings"]
type = "mongodb"
url = "mongodb://db"
database = "home"
collection = "readings"
"#;

const NUMBERS: &str = r#"
name = "numbers"
[kafka]
brokers = "localhost:9092"
[sources.even]
type = "generator"
template = '{"origin":"A","value":{n}}'
step = 2
rate = 1
key = "/origin"
[sources.odd]
type = "generator"
template = '{"origin":"B","value":{n}}'
start = 1
step = 2
rate = 0.5
key = "/origin"
partitions = 2
[transforms.label]
inputs = ["even", "odd"]
type = "wasm"
plugin = "plugins/label.wasm"
[sinks.numbers]
inputs = ["even", "odd"]
type = "kafka"
topic = "numbers"
[sinks.print]
inputs = ["label"]
type = "stdout"
"#;

#[test]
fn word_count() {
    insta::assert_snapshot!(tree(WORD_COUNT));
    let plan = loaded(WORD_COUNT).topology;
    for (name, format) in [
        ("mermaid", Format::Mermaid),
        ("dot", Format::Dot),
        ("json", Format::Json),
    ] {
        insta::assert_snapshot!(format!("word_count_{name}"), graph(&plan, format));
    }
}

#[test]
fn temperature() {
    insta::assert_snapshot!(tree(TEMPERATURE));
    let loaded = loaded(TEMPERATURE);
    let route = &loaded.topology.processes[0].inputs[0];
    assert_eq!(route.start, Start::Time(1_795_248_000_000));
    assert_eq!(loaded.topology.deliveries[0].start, Start::Earliest);
}

#[test]
fn numbers() {
    insta::assert_snapshot!(tree(NUMBERS));
}

#[test]
fn two_topics_merged_into_state() {
    insta::assert_snapshot!(tree(&format!(
        "{KAFKA}{}",
        r#"
[sources.orders]
type = "kafka"
topics = ["orders"]
[sources.prices]
type = "kafka"
topics = ["prices", "old-prices"]
[transforms.join]
inputs = { prices = ["prices"], orders = ["orders"] }
type = "wasm"
plugin = "plugins/join.wasm"
[transforms.more]
inputs = ["join"]
type = "wasm"
plugin = "plugins/word_count.wasm"
[sinks.out]
inputs = ["more"]
type = "stdout"
"#
    )));
}

/// No key changes on the way: everything stays in one task, without a repartition.
#[test]
fn state_by_the_topics_own_key() {
    insta::assert_snapshot!(tree(&format!(
        "{KAFKA}{}",
        r#"
[sources.words]
type = "kafka"
topics = ["words"]
[transforms.enrich]
inputs = ["words"]
type = "wasm"
plugin = "plugins/enrich.wasm"
[transforms.count]
inputs = ["enrich"]
type = "wasm"
plugin = "plugins/word_count.wasm"
[transforms.temperature]
inputs = ["words"]
type = "wasm"
plugin = "plugins/temperature.wasm"
[sinks.out]
inputs = ["count", "temperature", "temperature.rooms"]
type = "blackhole"
"#
    )));
}

/// State must not be tied to the partitions of another topic, on whichever side the other is.
#[test]
fn state_beside_other_topics() {
    insta::assert_snapshot!(tree(&format!(
        "{KAFKA}{}",
        r#"
[sources.a]
type = "kafka"
topics = ["a"]
[sources.b]
type = "kafka"
topics = ["b"]
[transforms.count]
inputs = ["b"]
type = "wasm"
plugin = "plugins/word_count.wasm"
[transforms.both]
inputs = ["a", "b"]
type = "wasm"
plugin = "plugins/enrich.wasm"
[transforms.after]
inputs = ["count", "both"]
type = "wasm"
plugin = "plugins/label.wasm"
[sinks.out]
inputs = ["after"]
type = "kafka"
topic = "out"
"#
    )));
}

/// Without transforms: a copy, a delivery from the source's topic, and sources that fill one.
#[test]
fn no_transforms() {
    insta::assert_snapshot!(tree(&format!(
        "{KAFKA}{}",
        r#"
[sources.a]
type = "kafka"
topics = ["a"]
start = "latest"
[sources.keyed]
type = "kafka"
topics = ["keyed"]
key = "/id"
[sources.many]
type = "kafka"
topics = ["m1", "m2"]
[sources.typed]
type = "stdin"
[sinks.copy]
type = "kafka"
topic = "copy"
inputs = ["a", "many"]
[sinks.direct]
type = "stdout"
inputs = ["a"]
[sinks.by-key]
type = "blackhole"
inputs = ["keyed"]
[sinks.several]
type = "blackhole"
inputs = ["many"]
[sinks.shown]
type = "stdout"
inputs = ["typed"]
"#
    )));
}

#[test]
fn a_topic_that_is_written_and_read_comes_in_order() {
    let text = format!(
        "{KAFKA}{}",
        r#"
[sources.second]
type = "kafka"
topics = ["middle"]
[sources.first]
type = "kafka"
topics = ["first"]
[transforms.both]
inputs = ["first", "second"]
type = "wasm"
plugin = "plugins/enrich.wasm"
[sinks.middle]
inputs = ["first"]
type = "kafka"
topic = "middle"
[sinks.out]
inputs = ["both"]
type = "kafka"
topic = "out"
"#
    );
    insta::assert_snapshot!(tree(&text));
}

#[test]
fn what_the_command_line_says_wins() {
    let mut options = options(&[]);
    options.embedded = true;
    options.start = Some(Start::Latest);
    options.workers = Some(3);
    options.set = vec![
        ("commit_interval_ms".to_owned(), "250".to_owned()),
        ("sinks.totals.table".to_owned(), "ignored when replaced".to_owned()),
        ("embedded.sinks.totals.table".to_owned(), "words".to_owned()),
        (
            "sources.more".to_owned(),
            "{ type = \"kafka\", topics = [\"more\"] }".to_owned(),
        ),
        ("transforms.split.inputs".to_owned(), "['lines', 'more']".to_owned()),
        ("topic_prefix".to_owned(), "t-".to_owned()),
    ];
    let loaded = load(WORD_COUNT, &options).unwrap_or_else(|e| panic!("{e}"));
    let plan = &loaded.topology;
    check(plan);
    assert_eq!(plan.workers, 3);
    assert_eq!(plan.commit_interval.as_millis(), 250);
    assert_eq!(&*plan.topic(plan.ingests[0].topic).name, "t-word-count-lines");
    let more = plan.processes[0]
        .inputs
        .iter()
        .find(|route| &*route.name == "more")
        .expect("more");
    assert_eq!(more.start, Start::Latest);
    let topic = plan.topic(more.topic);
    assert_eq!(
        (topic.role, topic.partitions, topic.create),
        (TopicRole::Input, PartitionCount::Fixed(4), true)
    );
    let settings: serde_json::Value = serde_json::from_str(&plan.deliveries[0].connector.settings).expect("JSON");
    assert_eq!(plan.deliveries[0].connector.kind, "sqlite");
    assert_eq!(settings["table"], "words");
    assert_eq!(
        settings["path"],
        common::tests_dir().join("words.db").to_str().expect("UTF-8")
    );
    assert_eq!(loaded.kafka.brokers.reveal(), "");
}

/// Text that is no pointer is the key of every record that a generator makes.
#[test]
fn a_generator_with_a_fixed_key_feeds_state_by_key() {
    let text = |key: &str| {
        format!(
            "name = \"n\"\n[kafka]\nbrokers = \"b:9092\"\n[sources.s]\ntype = \"generator\"\n{key}\n[transforms.count]\ninputs = [\"s\"]\n\
             type = \"wasm\"\nplugin = \"plugins/word_count.wasm\"\n[sinks.out]\ninputs = [\"count\"]\ntype = \"blackhole\"\n"
        )
    };
    loaded(&text("key = \"all\""));
    let error = load(&text(""), &options(&[])).expect_err("no key");
    assert_eq!(error.list[0].code.0, "E0126");
}

/// The keys that connectors find in their settings are those of the TOML, defaults filled in.
#[test]
fn settings_are_complete() {
    let plan = loaded(WORD_COUNT).topology;
    insta::assert_snapshot!(plan.deliveries[0].connector.settings);
    let plan = loaded(NUMBERS).topology;
    insta::assert_snapshot!("settings_of_a_generator", plan.ingests[0].connector.settings);
}

#[test]
fn the_hash_tells_plans_apart() {
    let hash = |text: &str| loaded(text).plan_hash;
    let base = hash(WORD_COUNT);
    assert_eq!(base.len(), 16);
    // It does not change between versions of the same plan.
    assert_eq!(base, "1367363086463f5e");
    for (from, to) in [
        ("[\"lines\"]\n[transforms", "[\"other\"]\n[transforms"),
        ("plugins/word_count", "plugins/temperature"),
        ("key = [\"word\"]\n[embedded", "key = [\"word\", \"day\"]\n[embedded"),
        ("name = \"word-count\"", "name = \"word-counts\""),
        (
            "name = \"word-count\"",
            "name = \"word-count\"\ndelivery = \"at_least_once\"",
        ),
    ] {
        assert!(WORD_COUNT.contains(from), "{from}");
        assert_ne!(hash(&WORD_COUNT.replacen(from, to, 1)), base, "{from} -> {to}");
    }
    for (from, to) in [
        (
            "name = \"word-count\"",
            "# a comment\nname = \"word-count\"\nworkers = 7\ncommit_interval_ms = 20",
        ),
        (
            "on_error = \"dead_letter\"",
            "on_error = \"dead_letter\"\nlimits.memory_mib = 64",
        ),
        (
            "table = \"wordCount\"\nkey = [\"word\"]\n[embedded",
            "key = [\"word\"]\ntable = \"wordCount\"\nbatch.max_records = 5\n[embedded",
        ),
    ] {
        assert!(WORD_COUNT.contains(from), "{from}");
        assert_eq!(hash(&WORD_COUNT.replacen(from, to, 1)), base, "{from} -> {to}");
    }
    // Nor with what a reload brings to one process after another.
    for (from, to) in [
        ("on_error = \"dead_letter\"", "on_error = \"skip\""),
        (
            "on_error = \"dead_letter\"",
            "on_error = \"dead_letter\"\nlateness_ms = 5",
        ),
        (
            "plugin = \"plugins/word_split.wasm\"",
            "plugin = \"plugins/word_split.wasm\"\nconfig = { field = \"text\" }",
        ),
    ] {
        assert!(WORD_COUNT.contains(from), "{from}");
        assert_eq!(hash(&WORD_COUNT.replacen(from, to, 1)), base, "{from} -> {to}");
    }
    // Nor with the secrets, which may be changed one process at a time.
    let other = load(WORD_COUNT, &options(&[("MYSQL_URL", "mysql://other")])).expect("loads");
    assert_eq!(other.plan_hash, base);
}

/// Links are followed before a plugin's path is compared with the root.
#[cfg(unix)]
#[test]
fn a_reference_to_a_registry_is_planned_as_it_is_written() {
    let reference = "oci://registry.example/word_split:v1@sha256:0123";
    let text = WORD_COUNT.replace("plugins/word_split.wasm", reference);
    assert!(text.contains(reference));
    let remote = loaded(&text);
    let plugin = &remote.topology.processes[0].nodes[0].plugin;
    assert_eq!(plugin.to_str(), Some(reference));
    // Where a plugin comes from does not tell plans apart, as the path of a file does not.
    assert_eq!(remote.plan_hash, loaded(WORD_COUNT).plan_hash);
}

#[test]
fn links_out_of_the_plugin_root_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("plugins")).expect("made");
    std::fs::write(dir.path().join("label.wasm"), "").expect("written");
    std::fs::write(root.join("label.wasm"), "").expect("written");
    let mut options = options(&[]);
    options.plugin_root = root.clone();
    let text = NUMBERS;
    for (target, fine) in [("../label.wasm", true), ("../../label.wasm", false)] {
        let link = root.join("plugins/label.wasm");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(target, &link).expect("linked");
        let loaded = load_text("p.toml".into(), text.into(), &root, &options, &mut common::describe);
        match loaded {
            Ok(loaded) => {
                assert!(fine, "{target} leads out");
                let plugin = &loaded.topology.processes[0].nodes[0].plugin;
                assert_eq!(plugin, &root.join("label.wasm").canonicalize().expect("there"));
            }
            Err(error) => {
                assert!(!fine, "{error}");
                assert_eq!(error.list[0].code, code::PLUGIN_OUTSIDE);
            }
        }
    }
}
