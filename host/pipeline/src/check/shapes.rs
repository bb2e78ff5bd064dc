//! Checks the shape of a whole file, node by node, and applies `--embedded`.

use std::sync::LazyLock;

use serde_json::Value as Json;

use super::{Broken, SECTIONS};
use crate::diagnostic::Problem;
use crate::text::Span;
use crate::value::{Kind, Table, Value};
use crate::{parse, shape};

/// Checks shapes, and leaves the tree ready to be filled: `--embedded` applied, and what is not
/// needed gone. Answers the nodes that are broken.
pub(crate) fn check_shapes(root: &mut Table, embedded: bool, problems: &mut Vec<Problem>) -> Broken {
    static SCHEMA: LazyLock<Json> = LazyLock::new(crate::schema);
    let schema = &*SCHEMA;
    let mut broken = Broken::new();
    let mut rest = root.clone();
    check_nodes(&mut rest, "", schema.get("properties"), &mut broken, problems);
    let mut replacing = Broken::new();
    let inner = schema.pointer("/properties/embedded/properties");
    if let Some(table) = rest.entry_mut("embedded").and_then(|e| e.value.as_table_mut()) {
        check_nodes(table, "embedded.", inner, &mut replacing, problems);
    }
    let rest = Value {
        span: Span::START,
        kind: Kind::Table(rest),
    };
    let before = problems.len();
    shape::check(&rest, schema, "", Span::START, problems);
    if problems.len() > before {
        broken.insert((String::new(), String::new()));
    }
    let replaced: Vec<(String, String)> = ["sources", "sinks"]
        .iter()
        .flat_map(|kind| {
            let nodes = root.table("embedded").table(kind);
            nodes.entries.iter().map(|e| ((*kind).to_owned(), e.key.clone()))
        })
        .collect();
    parse::replace_embedded(root, embedded, problems);
    if embedded {
        root.remove("kafka");
        for name in replaced {
            if replacing.contains(&name) {
                broken.insert(name);
            } else {
                broken.remove(&name);
            }
        }
    }
    broken
}

/// Checks each node by itself and empties the sections.
fn check_nodes(
    table: &mut Table,
    prefix: &str,
    schema: Option<&Json>,
    broken: &mut Broken,
    problems: &mut Vec<Problem>,
) {
    for section in SECTIONS {
        let node_schema = schema.and_then(|s| s.get(section)?.get("additionalProperties"));
        let Some(node_schema) = node_schema else { continue };
        let Some(nodes) = table.entry_mut(section).and_then(|e| e.value.as_table_mut()) else {
            continue;
        };
        for entry in std::mem::take(&mut nodes.entries) {
            let before = problems.len();
            let place = format!("{prefix}{section}.{}", entry.key);
            shape::check(&entry.value, node_schema, &place, entry.key_span, problems);
            if problems.len() > before {
                broken.insert((section.to_owned(), entry.key));
            }
        }
    }
}
