//! Resolves what nodes read, and checks the whole: ports, circles, nodes that nothing reads,
//! state without keys.

use std::collections::{BTreeMap, BTreeSet};

use record::transform::Description;

use super::names::is_node;
use crate::checked::Feed;
use crate::code;
use crate::diagnostic::{Problem, closest, nearest};
use crate::text::Span;
use crate::value::{Kind, Value};

/// A node as far as it is known: a node with a mistake of its own is still one to read from.
pub(crate) struct Known<'a> {
    pub name: &'a str,
    pub span: Span,
    pub role: Role<'a>,
    /// Its `inputs`, if there are any.
    pub inputs: Option<&'a Value>,
}

pub(crate) enum Role<'a> {
    /// The source's topics of the broker, and whether all its records are without a key.
    Source { topics: Vec<&'a str>, keyless: bool },
    /// `None`: the plugin is not known because of another mistake.
    Transform(Option<&'a Description>),
    /// The topic that it writes.
    Sink { topic: Option<&'a str> },
}

/// One resolved input: who reads, from where, into which input, and where that is written.
#[derive(Clone, Copy)]
pub(crate) struct Edge {
    pub to: usize,
    /// A node's index and its port.
    pub from: (usize, usize),
    pub input: u8,
    pub span: Span,
}

/// Resolves all inputs, with indexes into `nodes`.
pub(crate) fn resolve(nodes: &[Known<'_>], problems: &mut Vec<Problem>) -> Vec<Edge> {
    let mut names = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        names.entry(node.name).or_insert(i);
    }
    let mut edges = Vec::new();
    for (to, node) in nodes.iter().enumerate() {
        let Some(inputs) = node.inputs else { continue };
        for (input, list) in lists(node, inputs, problems) {
            let mut seen: Vec<(usize, usize)> = Vec::new();
            for item in list {
                let Some(text) = item.as_str() else { continue };
                let Some(from) = resolve_one(text.value(), item.span, nodes, &names, problems) else {
                    continue;
                };
                let known = !matches!(nodes[from.0].role, Role::Transform(None));
                if known && seen.contains(&from) {
                    problems.push(
                        Problem::new(
                            code::INPUT_TWICE,
                            item.span,
                            format!("`{}` reads `{}` twice", node.name, text.written),
                        )
                        .help("every record would come twice; name it once"),
                    );
                    continue;
                }
                seen.push(from);
                edges.push(Edge {
                    to,
                    from,
                    input,
                    span: item.span,
                });
            }
        }
    }
    edges
}

/// The lists of a node, each with the number of the plugin's input that it feeds.
fn lists<'v>(node: &Known<'_>, inputs: &'v Value, problems: &mut Vec<Problem>) -> Vec<(u8, &'v [Value])> {
    let named: &[String] = match &node.role {
        Role::Transform(Some(description)) => &description.inputs,
        _ => &[],
    };
    let known = matches!(node.role, Role::Transform(Some(_)));
    match &inputs.kind {
        Kind::Array(items) => {
            if named.len() > 1 {
                let example: Vec<String> = named.iter().map(|name| format!("{name} = [\"...\"]")).collect();
                problems.push(
                    Problem::new(
                        code::INPUTS_MISMATCH,
                        inputs.span,
                        format!(
                            "the plugin of `{}` has {} inputs: say which node goes to which",
                            node.name,
                            named.len()
                        ),
                    )
                    .help(format!("write `inputs = {{ {} }}`", example.join(", "))),
                );
            }
            vec![(0, items.as_slice())]
        }
        Kind::Table(table) => {
            let mut lists = Vec::new();
            for entry in &table.entries {
                let Some(items) = entry.value.as_array() else { continue };
                let input = named.iter().position(|name| *name == entry.key);
                if known && named.is_empty() {
                    problems.push(
                        Problem::new(
                            code::INPUTS_MISMATCH,
                            entry.key_span,
                            format!("the plugin of `{}` has one input without a name", node.name),
                        )
                        .help("write a list: `inputs = [\"...\"]`; it may name several nodes"),
                    );
                } else if known && input.is_none() {
                    problems.push(
                        Problem::new(
                            code::INPUTS_MISMATCH,
                            entry.key_span,
                            format!("the plugin of `{}` has no input `{}`", node.name, entry.key),
                        )
                        .maybe_help(nearest(
                            &entry.key,
                            named.iter().map(String::as_str),
                            "its inputs",
                        )),
                    );
                }
                let number = input.and_then(|i| u8::try_from(i).ok()).unwrap_or(0);
                lists.push((number, items));
            }
            for name in named.iter().filter(|name| table.get(name).is_none()) {
                problems.push(Problem::new(
                    code::INPUTS_MISMATCH,
                    inputs.span,
                    format!("the input `{name}` of the plugin of `{}` gets nothing", node.name),
                ));
            }
            lists
        }
        _ => Vec::new(),
    }
}

fn resolve_one(
    reference: &str,
    span: Span,
    nodes: &[Known<'_>],
    names: &BTreeMap<&str, usize>,
    problems: &mut Vec<Problem>,
) -> Option<(usize, usize)> {
    let (name, port) = match reference.split_once('.') {
        Some((name, port)) => (name, Some(port)),
        None => (reference, None),
    };
    let Some(&index) = names.get(name) else {
        let readable = nodes
            .iter()
            .filter(|node| !matches!(node.role, Role::Sink { .. }))
            .map(|node| node.name);
        problems.push(
            Problem::new(
                code::UNKNOWN_INPUT,
                span,
                format!("there is no source or transform `{name}`"),
            )
            .maybe_help(nearest(name, readable, "there are")),
        );
        return None;
    };
    match (&nodes[index].role, port) {
        (Role::Sink { .. }, _) => {
            problems.push(
                Problem::new(
                    code::UNKNOWN_INPUT,
                    span,
                    format!("`{name}` is a sink, and nothing comes out of a sink"),
                )
                .help("read what the sink reads"),
            );
            None
        }
        (Role::Source { .. }, Some(port)) => {
            problems.push(
                Problem::new(
                    code::UNKNOWN_PORT,
                    span,
                    format!("`{name}` is a source, and has no port `{port}`"),
                )
                .help(format!("write `\"{name}\"`")),
            );
            None
        }
        (Role::Transform(Some(description)), port) => {
            let ports = || description.ports.iter().map(|port| port.name.as_str());
            let number = match port {
                Some(port) => ports().position(|name| name == port),
                None => (!description.ports.is_empty()).then_some(0),
            };
            if number.is_none() {
                let message = match port {
                    Some(port) => format!("the plugin of `{name}` has no port `{port}`"),
                    None => format!("nothing comes out of the plugin of `{name}`: it has no ports"),
                };
                problems.push(Problem::new(code::UNKNOWN_PORT, span, message).maybe_help(nearest(
                    port.unwrap_or(""),
                    ports(),
                    "its ports",
                )));
            }
            Some((index, number?))
        }
        (Role::Source { .. } | Role::Transform(None), _) => Some((index, 0)),
    }
}

/// Finds circles, through transforms and through topics that the pipeline both writes and reads.
pub(crate) fn check_circles(nodes: &[Known<'_>], edges: &[Edge], problems: &mut Vec<Problem>) -> bool {
    let mut next: Vec<Vec<(usize, Span)>> = vec![Vec::new(); nodes.len()];
    for edge in edges {
        next[edge.from.0].push((edge.to, edge.span));
    }
    for (sink, node) in nodes.iter().enumerate() {
        let Role::Sink { topic: Some(written) } = node.role else {
            continue;
        };
        for (source, other) in nodes.iter().enumerate() {
            if matches!(&other.role, Role::Source { topics, .. } if topics.contains(&written)) {
                next[sink].push((source, other.span));
            }
        }
    }
    let mut state = vec![0_u8; nodes.len()];
    let mut found = false;
    for start in 0..nodes.len() {
        // Depth first, by hand: the chain is what a message shows.
        let mut chain = vec![(start, 0)];
        while let Some((node, taken)) = chain.last_mut() {
            let node = *node;
            if *taken == 0 {
                if state[node] == 2 {
                    chain.pop();
                    continue;
                }
                state[node] = 1;
            }
            let Some(&(to, span)) = next[node].get(*taken) else {
                state[node] = 2;
                chain.pop();
                continue;
            };
            *taken += 1;
            match state[to] {
                0 => chain.push((to, 0)),
                1 => {
                    found = true;
                    let circle: Vec<&str> = chain
                        .iter()
                        .skip_while(|(node, _)| *node != to)
                        .map(|(node, _)| nodes[*node].name)
                        .chain([nodes[to].name])
                        .collect();
                    problems.push(
                        Problem::new(
                            code::CYCLE,
                            span,
                            format!("records would go round in a circle: {}", circle.join(" -> ")),
                        )
                        .help("take one of these inputs away; what comes back has to leave through a topic that another pipeline reads"),
                    );
                }
                _ => {}
            }
        }
    }
    found
}

/// The names that nodes try to read, right or wrong; `None`: a node does not say what it reads.
fn wanted<'a>(nodes: &[Known<'a>]) -> Option<Vec<&'a str>> {
    let mut wanted = Vec::new();
    for node in nodes.iter().filter(|node| !matches!(node.role, Role::Source { .. })) {
        let mut names = Vec::new();
        let lists = match node.inputs.map(|inputs| &inputs.kind) {
            Some(Kind::Table(table)) => table.entries.iter().map(|entry| &entry.value).collect(),
            Some(_) => node.inputs.into_iter().collect(),
            None => Vec::new(),
        };
        for list in lists {
            let items = list.as_array().unwrap_or(std::slice::from_ref(list));
            names.extend(items.iter().filter_map(Value::as_str).map(|text| text.value()));
        }
        if names.is_empty() {
            return None;
        }
        wanted.extend(names.iter().map(|name| name.split('.').next().unwrap_or(name)));
    }
    Some(wanted)
}

/// Finds nodes and ports that nothing reads. Where another mistake is the likely reason, nothing is
/// said.
pub(crate) fn check_unused(nodes: &[Known<'_>], edges: &[Edge], problems: &mut Vec<Problem>) {
    let Some(wanted) = wanted(nodes) else { return };
    let readable = || nodes.iter().map(|node| node.name);
    let meant: BTreeSet<&str> = wanted.iter().filter_map(|name| closest(name, readable())).collect();
    let read: BTreeSet<(usize, usize)> = edges.iter().map(|edge| edge.from).collect();
    for (index, node) in nodes.iter().enumerate() {
        let is_read = read.iter().any(|(from, _)| *from == index);
        let kind = match &node.role {
            Role::Source { .. } => "source",
            Role::Transform(Some(description)) => {
                if description.ports.is_empty() {
                    continue;
                }
                if is_read {
                    for (number, port) in description.ports.iter().enumerate() {
                        if !read.contains(&(index, number)) {
                            problems.push(
                                Problem::warning(
                                    code::PORT_UNREAD,
                                    node.span,
                                    format!(
                                        "nothing reads the port `{}` of `{}`: its records are dropped",
                                        port.name, node.name
                                    ),
                                )
                                .help(format!(
                                    "name `\"{}.{}\"` in the `inputs` of another node",
                                    node.name, port.name
                                )),
                            );
                        }
                    }
                }
                "transform"
            }
            Role::Transform(None) => "transform",
            Role::Sink { .. } => continue,
        };
        if !is_read && !meant.contains(node.name) && is_node(node.name) {
            problems.push(
                Problem::new(
                    code::UNUSED_NODE,
                    node.span,
                    format!("nothing reads the {kind} `{}`", node.name),
                )
                .help(format!(
                    "name it in the `inputs` of another node (`inputs = [\"{}\"]`), or take it out",
                    node.name
                )),
            );
        }
    }
}

/// Finds state by key over records that certainly have none. Only for pipelines without circles.
pub(crate) fn check_keys(nodes: &[Known<'_>], edges: &[Edge], problems: &mut Vec<Problem>) {
    for edge in edges {
        let Role::Transform(Some(description)) = &nodes[edge.to].role else {
            continue;
        };
        let keyed = description.stores.iter().any(|store| store.keyed && !store.table);
        if keyed && let Some(source) = keyless_source(nodes, edges, edge.from) {
            problems.push(
                Problem::new(
                    code::NO_KEY,
                    edge.span,
                    format!(
                        "`{}` keeps state by key, but the records of `{}` have no key",
                        nodes[edge.to].name, nodes[source].name
                    ),
                )
                .also(nodes[source].span, "this source sets no key")
                .help(format!(
                    "say `key = \"/field\"` in [sources.{}] (of an `http` source in each route), or put a transform between that sets \
                     the key",
                    nodes[source].name
                )),
            );
        }
    }
}

/// The source whose records come out of the port without ever having had a key.
fn keyless_source(nodes: &[Known<'_>], edges: &[Edge], from: (usize, usize)) -> Option<usize> {
    match &nodes[from.0].role {
        Role::Source { keyless, .. } => keyless.then_some(from.0),
        Role::Transform(Some(description)) => {
            let rekeys = description.ports.get(from.1).is_some_and(|port| port.rekeys);
            let mut feeds = edges.iter().filter(|edge| edge.to == from.0);
            (!rekeys).then(|| feeds.find_map(|edge| keyless_source(nodes, edges, edge.from)))?
        }
        Role::Transform(None) | Role::Sink { .. } => None,
    }
}

impl Edge {
    /// As the plan has it; `places` are the indexes within sources and transforms.
    pub(crate) fn feed(&self, nodes: &[Known<'_>], places: &[usize]) -> Feed {
        let (node, port) = self.from;
        match nodes[node].role {
            Role::Source { .. } => Feed::Source(places[node]),
            Role::Transform(_) | Role::Sink { .. } => Feed::Port {
                transform: places[node],
                port,
            },
        }
    }
}
