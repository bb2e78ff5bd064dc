//! Whether a test file fits its pipeline: names of nodes, ports and stores, and values that a store's
//! format can hold.

use record::transform::StoreSpec;
use serde_json::Value as Json;

use super::{Case, Data, Form, Step, StoreContent, StoreEntry, TestFile, Written};
use crate::Loaded;
use crate::code;
use crate::diagnostic::{self, Diagnostic, Problem, nearest};
use crate::text::Span;
use crate::value::Kind;

/// A key and a value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Where the records that a case names come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlet {
    /// The place in [`crate::Ends::sinks`].
    Sink(usize),
    /// A port of a transform: the sub-topology, the node in it, the port.
    Port(usize, usize, u8),
}

impl TestFile {
    /// Everything in a case that does not fit the pipeline.
    #[must_use]
    pub fn check(&self, case: &Case, loaded: &Loaded) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        self.check_steps(case, loaded, &mut problems);
        for option in &case.config {
            if find_node(loaded, &option.transform).is_none() {
                problems.push(unknown_transform(loaded, &option.transform, option.transform_span));
            }
        }
        for expected in &case.expect {
            if outlet(loaded, &expected.name).is_none() {
                problems.push(unknown_outlet(loaded, &expected.name, expected.span));
            }
        }
        for content in case.state.iter().chain(&case.final_state) {
            if let Err(problem) = content.spec(loaded) {
                problems.push(*problem);
                continue;
            }
            let entries = content.entries.iter();
            problems.extend(entries.filter_map(|entry| content.entry(loaded, entry).err().map(|problem| *problem)));
        }
        diagnostic::finish(problems, &self.sources)
    }

    fn check_steps(&self, case: &Case, loaded: &Loaded, problems: &mut Vec<Problem>) {
        let inputs = case.steps.iter().filter_map(|step| match step {
            Step::Record(input) => Some(input),
            Step::Advance(_) => None,
        });
        for input in inputs {
            let Some(source) = loaded.ends.sources.iter().find(|source| source.name == input.source) else {
                let names = loaded.ends.sources.iter().map(|source| source.name.as_str());
                problems.push(
                    Problem::new(
                        code::UNKNOWN_NAME,
                        input.source_span,
                        format!("the pipeline has no source `{}`", input.source),
                    )
                    .maybe_help(nearest(&input.source, names, "sources")),
                );
                continue;
            };
            let topics = || source.topics.iter().map(|id| &*loaded.topology.topic(*id).name);
            if let Some(topic) = &input.topic
                && topics().all(|name| name != topic)
            {
                problems.push(
                    Problem::new(
                        code::UNKNOWN_NAME,
                        input.topic_span,
                        format!("the source `{}` has no topic `{topic}`", source.name),
                    )
                    .maybe_help(nearest(topic, topics(), "its topics")),
                );
            }
            if input.partition.is_some_and(|partition| partition >= self.partitions) {
                problems.push(
                    Problem::new(
                        code::OUT_OF_RANGE,
                        input.partition_span,
                        format!("topics have {} partition(s) in this test", self.partitions),
                    )
                    .help("partitions count from 0; `partitions` at the top of the file says how many there are"),
                );
            }
        }
    }
}

/// What a name in `expect` names.
#[must_use]
pub fn outlet(loaded: &Loaded, name: &str) -> Option<Outlet> {
    if let Some(sink) = loaded.ends.sinks.iter().position(|sink| sink.name == name) {
        return Some(Outlet::Sink(sink));
    }
    if let Some((sub, node)) = find_node(loaded, name) {
        return Some(Outlet::Port(sub, node, 0));
    }
    let (transform, port) = name.rsplit_once('.')?;
    let (sub, node) = find_node(loaded, transform)?;
    let ports = &loaded.topology.processes[sub].nodes[node].description.ports;
    let port = ports.iter().position(|known| known.name == port)?;
    Some(Outlet::Port(sub, node, port as u8))
}

/// The sub-topology of a transform, and its place in it.
#[must_use]
pub fn find_node(loaded: &Loaded, name: &str) -> Option<(usize, usize)> {
    let subs = loaded.topology.processes.iter().enumerate();
    subs.flat_map(|(s, sub)| sub.nodes.iter().enumerate().map(move |(n, node)| (s, n, node)))
        .find_map(|(s, n, node)| (*node.name == *name).then_some((s, n)))
}

fn unknown_outlet(loaded: &Loaded, name: &str, span: Span) -> Problem {
    let mut names: Vec<String> = loaded.ends.sinks.iter().map(|sink| sink.name.clone()).collect();
    for node in loaded.topology.processes.iter().flat_map(|sub| &sub.nodes) {
        let ports = node.description.ports.iter();
        names.extend(ports.map(|port| format!("{}.{}", node.name, port.name)));
    }
    Problem::new(
        code::UNKNOWN_NAME,
        span,
        format!("the pipeline has no sink and no port `{name}`"),
    )
    .maybe_help(nearest(name, names.iter().map(String::as_str), "there are"))
}

fn unknown_transform(loaded: &Loaded, name: &str, span: Span) -> Problem {
    let nodes = loaded.topology.processes.iter().flat_map(|sub| &sub.nodes);
    Problem::new(
        code::UNKNOWN_NAME,
        span,
        format!("the pipeline has no transform `{name}`"),
    )
    .maybe_help(nearest(name, nodes.map(|node| &*node.name), "transforms"))
}

impl StoreContent {
    /// The store that is meant, and its number.
    fn spec<'a>(&self, loaded: &'a Loaded) -> Result<(usize, &'a StoreSpec), Box<Problem>> {
        let Some((sub, node)) = find_node(loaded, &self.transform) else {
            return Err(Box::new(unknown_transform(
                loaded,
                &self.transform,
                self.transform_span,
            )));
        };
        let stores = &loaded.topology.processes[sub].nodes[node].description.stores;
        let found = stores.iter().enumerate().find(|(_, spec)| spec.name == self.store);
        found.ok_or_else(|| {
            let names = stores.iter().map(|spec| spec.name.as_str());
            Box::new(
                Problem::new(
                    code::UNKNOWN_NAME,
                    self.store_span,
                    format!("the transform `{}` has no store `{}`", self.transform, self.store),
                )
                .maybe_help(nearest(&self.store, names, "its stores")),
            )
        })
    }

    /// The number of the store, its formats, and the entries; `None` where [`TestFile::check`] finds
    /// mistakes.
    #[must_use]
    pub fn resolve<'a>(&self, loaded: &'a Loaded) -> Option<(u32, &'a StoreSpec, Vec<Pair>)> {
        let (number, spec) = self.spec(loaded).ok()?;
        let entries = self.entries.iter().map(|entry| self.entry(loaded, entry).ok());
        Some((number as u32, spec, entries.collect::<Option<_>>()?))
    }

    fn entry(&self, loaded: &Loaded, entry: &StoreEntry) -> Result<Pair, Box<Problem>> {
        let (_, spec) = self.spec(loaded)?;
        Ok((
            entry.key.encode("key", &spec.key_format, entry.span)?,
            entry.value.encode("value", &spec.value_format, entry.span)?,
        ))
    }
}

impl Written {
    fn encode(&self, name: &str, format: &str, at: Span) -> Result<Vec<u8>, Box<Problem>> {
        let misfit = |wanted: &str| {
            Box::new(
                Problem::new(
                    code::BAD_TEST_VALUE,
                    self.span,
                    format!("`{name}` must be {wanted}: the store's format is `{format}`"),
                )
                .help(format!("`{name}_hex` takes any bytes")),
            )
        };
        let value = match &self.what {
            Form::Missing => {
                return Err(Box::new(
                    Problem::new(code::MISSING_KEY, at, format!("an entry of a store needs `{name}`"))
                        .help("an entry without a value does not exist: leave it out"),
                ));
            }
            Form::Bytes(bytes) => return Ok(bytes.clone()),
            Form::Json(json) => return Ok(json.to_string().into_bytes()),
            Form::Toml(value) => value,
        };
        match (format, &value.kind) {
            ("json", _) => Ok(value.to_json(false).to_string().into_bytes()),
            ("s64-le", Kind::Integer(n)) => Ok(n.to_le_bytes().to_vec()),
            ("u64-le", Kind::Integer(n)) => u64::try_from(*n)
                .map(|n| n.to_le_bytes().to_vec())
                .map_err(|_| misfit("at least 0")),
            ("f64-le", Kind::Integer(n)) => Ok((*n as f64).to_le_bytes().to_vec()),
            ("f64-le", Kind::Float(x)) => Ok(x.to_le_bytes().to_vec()),
            ("s64-le" | "u64-le", _) => Err(misfit("an integer")),
            ("f64-le", _) => Err(misfit("a number")),
            (_, Kind::String(text)) => Ok(text.written.clone().into_bytes()),
            ("utf8", _) => Err(misfit("text")),
            _ => Ok(value.to_json(false).to_string().into_bytes()),
        }
    }
}

/// Bytes of a store as its format reads them, as far as they can be.
#[must_use]
pub fn decode(bytes: &[u8], format: &str) -> Data {
    let eight = || <[u8; 8]>::try_from(bytes).ok();
    let json = match format {
        "json" => serde_json::from_slice(bytes).ok(),
        "s64-le" => eight().map(|bytes| Json::from(i64::from_le_bytes(bytes))),
        "u64-le" => eight().map(|bytes| Json::from(u64::from_le_bytes(bytes))),
        "f64-le" => eight()
            .map(f64::from_le_bytes)
            .and_then(serde_json::Number::from_f64)
            .map(Json::Number),
        _ => None,
    };
    json.map_or_else(|| Data::Bytes(bytes.to_vec()), Data::Json)
}
