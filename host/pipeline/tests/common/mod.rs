//! What the tests share: plugins that are described without being run.

#![allow(unreachable_pub, dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};

use record::error::Code;
use record::topology::{InputRoute, PartitionCount, SubTopology, Target, Topology};
use record::transform::{Description, Port, StoreSpec};
use wasmill_pipeline::{ConfigProblem, Diagnostics, Env, LoadOptions, Loaded, PluginProblem, PluginUse, load_text};

/// `tests/`: holds `plugins/`, and is the plugin root.
pub fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn plugin(name: &str, inputs: &[&str], ports: &[(&str, bool)], stores: &[(&str, bool)]) -> Description {
    Description {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
        ports: ports
            .iter()
            .map(|(name, rekeys)| Port {
                name: (*name).to_owned(),
                doc: String::new(),
                rekeys: *rekeys,
            })
            .collect(),
        stores: stores
            .iter()
            .map(|(name, table)| StoreSpec {
                name: (*name).to_owned(),
                doc: String::new(),
                table: *table,
                keyed: !*table,
                key_format: "utf8".to_owned(),
                value_format: "json".to_owned(),
            })
            .collect(),
        ..Description::default()
    }
}

/// Stands in for the plugin engine.
pub fn describe(used: PluginUse<'_>) -> Result<Description, PluginProblem> {
    let PluginUse { path, config, .. } = used;
    if let Some(reference) = path.to_str().filter(|path| path.starts_with("oci://")) {
        return match reference.split_once('@') {
            Some(_) => Ok(plugin("word_split", &[], &[("words", true), ("errors", false)], &[])),
            None => Err(PluginProblem::Remote {
                code: Code("E0231"),
                message: format!("`{reference}` is not pinned"),
                help: "append `@sha256:DIGEST`".to_owned(),
            }),
        };
    }
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    Ok(match name {
        "word_split" => plugin(name, &[], &[("words", true), ("errors", false)], &[]),
        "word_count" => plugin(name, &[], &[("counts", false)], &[("counts", false)]),
        "temperature" => plugin(name, &[], &[("changes", false), ("rooms", false)], &[("rooms", false)]),
        "enrich" => plugin(name, &[], &[("out", false)], &[]),
        "label" => plugin(name, &[], &[("lines", false)], &[]),
        "join" => plugin(name, &["orders", "prices"], &[("out", false)], &[("orders", false)]),
        "sideways" => plugin(name, &[], &[], &[]),
        "tables" => plugin(name, &[], &[("out", false)], &[("players", true)]),
        "broken" => return Err(PluginProblem::Unusable("it imports `wasi:cli/environment`".to_owned())),
        "fussy" => {
            let config: serde_json::Value = serde_json::from_str(config).expect("config is JSON");
            let mut problems = Vec::new();
            for (pointer, wanted) in [("/bound", "number"), ("/names/0", "string"), ("/window/size", "number")] {
                let found = config.pointer(pointer);
                let fits = match wanted {
                    "number" => found.is_some_and(serde_json::Value::is_number),
                    _ => found.is_some_and(serde_json::Value::is_string),
                };
                if !fits {
                    problems.push(ConfigProblem {
                        pointer: pointer.to_owned(),
                        message: match found {
                            Some(value) => format!("{value} is not a {wanted}"),
                            None => format!("a {wanted} is missing"),
                        },
                    });
                }
            }
            if !problems.is_empty() {
                return Err(PluginProblem::Config(problems));
            }
            plugin(name, &[], &[("out", false)], &[])
        }
        other => return Err(PluginProblem::Unusable(format!("the tests have no plugin {other}"))),
    })
}

/// Options with the plugin root of the tests and these variables.
pub fn options(env: &[(&'static str, &'static str)]) -> LoadOptions {
    LoadOptions {
        plugin_root: tests_dir(),
        env: Env::from_pairs(env.iter().copied()),
        ..LoadOptions::default()
    }
}

/// Loads a text as if it were a file of `tests/`.
pub fn load(text: &str, options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    load_text(
        "p.toml".to_owned(),
        text.to_owned(),
        &tests_dir(),
        options,
        &mut describe,
    )
}

/// What must hold for every plan, whatever it looks like.
pub fn check_plan(plan: &Topology) {
    let mut read = Vec::new();
    for (place, sub) in plan.processes.iter().enumerate() {
        assert_eq!(sub.id as usize, place);
        if sub.is_stateful() {
            assert_eq!(sub.inputs.len(), 1, "a stateful task reads one topic");
        }
        for route in &sub.inputs {
            assert!(!read.contains(&route.topic), "a topic is read by one sub-topology");
            read.push(route.topic);
        }
        let ports = sub.nodes.iter().flat_map(|node| node.ports.iter().flatten());
        for target in ports.chain(sub.inputs.iter().flat_map(|route| &route.targets)) {
            match target {
                Target::Node { node, .. } => assert!((node.0 as usize) < sub.nodes.len()),
                Target::Topic { topic, .. } => {
                    assert!(!read.contains(topic), "what is written is read further down only");
                }
            }
        }
        for (place, node) in sub.nodes.iter().enumerate() {
            assert_eq!(node.ports.len(), node.description.ports.len());
            assert_eq!(node.changelog.is_some(), node.description.is_stateful());
            if node.description.is_stateful() {
                assert!(
                    !rekeyed(sub, place),
                    "records reach state by the key they are partitioned by"
                );
            }
            for target in node.ports.iter().flatten() {
                assert!(!matches!(target, Target::Node { node, .. } if node.0 as usize <= place));
            }
        }
    }
    for ingest in &plan.ingests {
        assert!(read.contains(&ingest.topic), "some worker owns the source's topic");
    }
    for topic in &plan.topics {
        if let PartitionCount::SameAs(other) = topic.partitions {
            assert_ne!(plan.topic(other).name, topic.name);
        }
    }
    let mut names: Vec<_> = plan.topics.iter().map(|topic| &topic.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), plan.topics.len(), "each topic once");
}

/// Whether a key may have changed between the topic that a sub-topology reads and one of its nodes.
fn rekeyed(sub: &SubTopology, place: usize) -> bool {
    let leads_here = |target: &Target| matches!(target, Target::Node { node, .. } if node.0 as usize == place);
    let by_route = |route: &InputRoute| route.key.is_some() && route.targets.iter().any(leads_here);
    sub.inputs.iter().any(by_route)
        || sub.nodes.iter().enumerate().any(|(from, node)| {
            node.ports
                .iter()
                .zip(&node.description.ports)
                .any(|(targets, port)| targets.iter().any(leads_here) && (port.rekeys || rekeyed(sub, from)))
        })
}
