//! From the tree to [`Checked`]: everything that can be wrong is found here, as much of it at once
//! as there is. A node with a mistake stays known by name, so that others are not blamed for it.

mod grants;
mod http;
mod kafka;
pub(crate) mod names;
mod nodes;
mod plugins;
mod shapes;
mod topics;
mod wiring;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use record::transform::Description;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

pub use plugins::{Describe, PluginUse};
pub(crate) use shapes::check_shapes;

use crate::LoadOptions;
use crate::checked::{Checked, Feed, Sink, SinkKind, Source, SourceKind, Transform};
use crate::code;
use crate::diagnostic::{Problem, Severity};
use crate::raw::transforms::WasmTransform;
use crate::raw::{self};
use crate::text::Span;
use crate::value::{Entry, Table};
use nodes::Surroundings;
use plugins::{Plugin, Root};
use wiring::{Known, Role};

/// The sections that hold nodes.
const SECTIONS: [&str; 3] = ["sources", "transforms", "sinks"];

/// Names of nodes (section and name) whose shape is wrong.
pub(crate) type Broken = BTreeSet<(String, String)>;

/// A pipeline without mistakes, and its broker.
pub(crate) struct Outcome {
    pub checked: Checked,
    pub kafka: Option<raw::Kafka>,
}

/// Checks everything beyond shapes. `None`: there are errors.
pub(crate) fn check(
    root: &Table,
    broken: &Broken,
    dir: &Path,
    secrets: &[String],
    options: &LoadOptions,
    describe: &mut Describe<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Outcome> {
    let settings = settings(root, broken, problems);
    let around = Surroundings {
        dir,
        partitions: settings.partitions,
        start: options.start,
    };
    let plugin_root = Root {
        dir,
        root: &options.plugin_root,
        resolved: options.plugin_root.canonicalize().ok(),
        secrets,
    };
    check_names(root, problems);

    let nodes = Nodes::read(root, broken, &around, &plugin_root, describe, problems);
    let known = nodes.known(root);
    let edges = wiring::resolve(&known, problems);
    if root.table("sources").entries.is_empty() || root.table("sinks").entries.is_empty() {
        nothing_to_do(root, problems);
    } else {
        wiring::check_unused(&known, &edges, problems);
    }
    if !wiring::check_circles(&known, &edges, problems) {
        wiring::check_keys(&known, &edges, problems);
    }
    topics::check_topics(root, &settings, &nodes, problems);
    kafka::check_kafka(root, options.embedded || options.testing, problems);
    check_delivery(root, &settings, &nodes, problems);
    if problems.iter().any(|problem| problem.severity() == Severity::Error) {
        return None;
    }

    // The feeds of each node, in the order of `known`: sources, transforms, sinks.
    let mut places = Vec::with_capacity(known.len());
    for section in SECTIONS {
        places.extend(0..root.table(section).entries.len());
    }
    let mut feeds = vec![Vec::new(); known.len()];
    for edge in &edges {
        feeds[edge.to].push((edge.feed(&known, &places), edge.input));
    }
    drop(known);
    Some(assemble(root, settings, nodes, feeds, dir, options))
}

/// The nodes that are right by themselves, by name.
struct Nodes<'a> {
    sources: BTreeMap<&'a str, Source>,
    transforms: BTreeMap<&'a str, (WasmTransform, Plugin)>,
    sinks: BTreeMap<&'a str, SinkKind>,
}

impl<'a> Nodes<'a> {
    fn read(
        root: &'a Table,
        broken: &'a Broken,
        around: &Surroundings<'_>,
        plugin_root: &Root<'_>,
        describe: &mut Describe<'_>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut nodes = Self {
            sources: BTreeMap::new(),
            transforms: BTreeMap::new(),
            sinks: BTreeMap::new(),
        };
        for entry in good(root, "sources", broken) {
            if let Some(raw) = read(entry, problems) {
                let source = nodes::source(entry, raw, around, problems);
                nodes.sources.insert(&entry.key, source);
            }
        }
        http::check_addresses(root, problems);
        for entry in good(root, "transforms", broken) {
            if let Some(raw::Transform::Wasm(raw)) = read(entry, problems)
                && let Some(plugin) = plugins::plugin(entry, &raw, plugin_root, describe, problems)
            {
                nodes.transforms.insert(&entry.key, (raw, plugin));
            }
        }
        for entry in good(root, "sinks", broken) {
            if let Some(raw) = read(entry, problems) {
                let sink = nodes::sink(entry, raw, around, problems);
                nodes.sinks.insert(&entry.key, sink);
            }
        }
        nodes
    }

    /// All nodes of the file as far as they are known.
    fn known<'b>(&'b self, root: &'b Table) -> Vec<Known<'b>> {
        let mut known = Vec::new();
        for section in SECTIONS {
            for entry in &root.table(section).entries {
                let inputs = entry.value.as_table().and_then(|table| table.get("inputs"));
                known.push(Known {
                    name: &entry.key,
                    span: entry.key_span,
                    role: self.role(section, &entry.key),
                    inputs: inputs.filter(|_| section != "sources"),
                });
            }
        }
        known
    }

    fn role(&self, section: &str, name: &str) -> Role<'_> {
        match section {
            "sources" => {
                let source = self.sources.get(name);
                match source.map(|source| &source.kind) {
                    Some(SourceKind::Topics { topics, .. }) => Role::Source {
                        topics: topics.iter().map(String::as_str).collect(),
                        keyless: false,
                    },
                    Some(SourceKind::Ingest { sets_keys, .. }) => Role::Source {
                        topics: Vec::new(),
                        keyless: !sets_keys && source.is_some_and(|source| source.key.is_none()),
                    },
                    Some(SourceKind::Listen { topic, sets_keys, .. }) => Role::Source {
                        topics: topic.iter().map(String::as_str).collect(),
                        keyless: !sets_keys,
                    },
                    None => Role::Source {
                        topics: Vec::new(),
                        keyless: false,
                    },
                }
            }
            "transforms" => Role::Transform(self.transforms.get(name).map(|(_, plugin)| &plugin.description)),
            _ => Role::Sink {
                topic: match self.sinks.get(name) {
                    Some(SinkKind::Topic(topic)) => Some(topic),
                    _ => None,
                },
            },
        }
    }
}

/// Puts together what has been found right. `feeds` are those of sources (none), transforms and
/// sinks, in the order of the file.
fn assemble(
    root: &Table,
    settings: raw::Pipeline,
    mut nodes: Nodes<'_>,
    feeds: Vec<Vec<(Feed, u8)>>,
    dir: &Path,
    options: &LoadOptions,
) -> Outcome {
    let entries = |section| root.table(section).entries.iter();
    let sources = entries("sources")
        .filter_map(|entry| nodes.sources.remove(entry.key.as_str()))
        .collect();
    let mut feeds = feeds.into_iter().skip(entries("sources").len());
    let mut transforms = Vec::new();
    for entry in entries("transforms") {
        let feeds = feeds.next().unwrap_or_default();
        if let Some((raw, plugin)) = nodes.transforms.remove(entry.key.as_str()) {
            transforms.push(Transform {
                name: entry.key.clone(),
                plugin: plugin.path,
                config: plugin.config,
                description: plugin.description,
                on_error: raw.on_error.into(),
                limits: (&raw.limits).into(),
                grant: plugin.grant,
                lateness: Duration::from_millis(raw.lateness_ms),
                rollback: raw.rollback.as_ref().map(Into::into),
                shadow: plugin.shadow,
                feeds,
            });
        }
    }
    let mut sinks = Vec::new();
    for entry in entries("sinks") {
        let feeds = feeds.next().unwrap_or_default();
        if let Some(kind) = nodes.sinks.remove(entry.key.as_str()) {
            sinks.push(Sink {
                name: entry.key.clone(),
                kind,
                feeds: feeds.into_iter().map(|(feed, _)| feed).collect(),
            });
        }
    }
    let checked = Checked {
        name: settings.name,
        delivery: settings.delivery.into(),
        workers: options.workers.unwrap_or(settings.workers).max(1),
        state_dir: settings.state_dir.map(|path| dir.join(path)),
        commit_interval: Duration::from_millis(settings.commit_interval_ms),
        dead_letter_topic: settings.dead_letter_topic,
        topic_prefix: settings.topic_prefix,
        internal_topics: settings.internal_topics.into(),
        replication: settings.replication,
        resets_state: matches!(settings.on_state_change, raw::OnStateChange::Reset),
        create_topics: settings.create_topics || options.embedded,
        embedded: options.embedded,
        partitions: settings.partitions,
        sources,
        transforms,
        sinks,
    };
    Outcome {
        checked,
        kafka: settings.kafka,
    }
}

/// The settings of the pipeline; where they are broken, the defaults, to go on with.
fn settings(root: &Table, broken: &Broken, problems: &mut Vec<Problem>) -> raw::Pipeline {
    let mut rest = root.clone();
    for section in SECTIONS {
        rest.remove(section);
    }
    let json = Json::Object(rest.to_json(true));
    let broken = broken.contains(&(String::new(), String::new()));
    match serde_json::from_value(json) {
        Ok(settings) if !broken => return settings,
        Err(_) if !broken => problems.push(unfit(Span::START, "the pipeline")),
        _ => {}
    }
    let name = root
        .get("name")
        .and_then(|name| name.as_str())
        .map_or("pipeline", |name| name.value());
    raw::Pipeline::named(name)
}

/// The nodes of a section whose shape is right.
fn good<'a>(root: &'a Table, section: &'a str, broken: &'a Broken) -> impl Iterator<Item = &'a Entry> {
    let nodes = root.table(section).entries.iter();
    nodes.filter(move |entry| !broken.contains(&(section.to_owned(), entry.key.clone())))
}

fn read<T: DeserializeOwned>(entry: &Entry, problems: &mut Vec<Problem>) -> Option<T> {
    match serde_json::from_value(entry.value.to_json(true)) {
        Ok(raw) => Some(raw),
        Err(_) => {
            problems.push(unfit(entry.key_span, &entry.key));
            None
        }
    }
}

/// What the shape check should have found; serde's own words could show a secret.
fn unfit(span: Span, what: &str) -> Problem {
    Problem::new(
        code::WRONG_TYPE,
        span,
        format!("the settings of `{what}` cannot be read"),
    )
    .help("`wasmill schema` prints what is possible")
}

fn check_names(root: &Table, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, (&str, Span)> = BTreeMap::new();
    for section in SECTIONS {
        for entry in &root.table(section).entries {
            names::check_node(&entry.key, entry.key_span, problems);
            if let Some((other, first)) = seen.insert(&entry.key, (section, entry.key_span)) {
                problems.push(
                    Problem::new(
                        code::NAME_TWICE,
                        entry.key_span,
                        format!("`{}` is the name of two nodes", entry.key),
                    )
                    .also(first, format!("the first is in [{other}]"))
                    .help("sources, transforms and sinks share their names: `inputs` and topics are named after them"),
                );
            }
        }
    }
}

fn nothing_to_do(root: &Table, problems: &mut Vec<Problem>) {
    for (section, example) in [
        (
            "sources",
            "add one, such as `[sources.lines]` with `type = \"kafka\"` and `topics = [\"lines\"]`",
        ),
        (
            "sinks",
            "add one, such as `[sinks.out]` with `type = \"stdout\"` and `inputs = [\"lines\"]`",
        ),
    ] {
        if root.table(section).entries.is_empty() {
            let span = root.entry(section).map_or(Span::START, |entry| entry.key_span);
            problems
                .push(Problem::new(code::NOTHING_TO_DO, span, format!("the pipeline has no {section}")).help(example));
        }
    }
}

fn check_delivery(root: &Table, settings: &raw::Pipeline, nodes: &Nodes<'_>, problems: &mut Vec<Problem>) {
    let mut plugins = nodes.transforms.values().map(|(_, plugin)| &plugin.description);
    if matches!(settings.delivery, raw::Delivery::AtLeastOnce) && plugins.any(Description::is_stateful) {
        problems.push(
            Problem::warning(
                code::STATE_TWICE,
                root.span("delivery", Span::START),
                "with `at_least_once` state counts records twice that are processed again after a crash",
            )
            .help("`delivery = \"exactly_once\"` is the default"),
        );
    }
}
