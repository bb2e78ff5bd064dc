//! `wasmill inspect`: what a component is.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::HumanBytes;
use plugin::Inspection;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;
use crate::plugins;

/// Show what a plugin is: its ports, stores, config, imports and origin
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The component: a file, or `oci://registry/name@sha256:...`
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
}

/// Runs the command.
pub(crate) fn run(args: &InspectArgs, output: Output) -> Result<(), Failure> {
    let file = plugins::file_of(&args.file).map_err(|error| plugins::failure(&error))?;
    let inspection = inspect(&file)?;
    output.result(&text(&inspection, output), &value(&inspection))
}

/// What the component in a file is.
///
/// # Errors
/// It is no plugin.
pub(crate) fn inspect(file: &Path) -> Result<Inspection, Failure> {
    plugin::inspect(file).map_err(|error| Failure::Other {
        code: error.code(),
        invalid: false,
        what: error.to_string(),
        place: None,
        next: "give a component that `wasmill build` has made, or that another language's tools made for this contract"
            .to_owned(),
    })
}

fn text(inspection: &Inspection, output: Output) -> String {
    let description = &inspection.description;
    let mut rows: Vec<(&str, String)> = vec![
        ("plugin", format!("{} {}", description.name, description.version)),
        ("what it does", description.doc.clone()),
        ("contract", inspection.contract.clone()),
        ("size", HumanBytes(inspection.size).to_string()),
        ("sha256", inspection.sha256.clone()),
        ("inputs", or_none(&description.inputs.join("\n"), "one")),
    ];
    let ports = description.ports.iter().map(|port| {
        let rekeys = if port.rekeys { " (rekeys)" } else { "" };
        format!("{}{rekeys}: {}", port.name, port.doc)
    });
    rows.push(("ports", lines(ports)));
    let stores = description.stores.iter().map(|store| {
        let kind = match (store.table, store.keyed) {
            (true, _) => "table",
            (false, true) => "by key",
            (false, false) => "free",
        };
        format!(
            "{} ({kind}, {} -> {}): {}",
            store.name, store.key_format, store.value_format, store.doc
        )
    });
    rows.push(("stores", or_none(&lines(stores), "none")));
    if !description.stores.is_empty() {
        rows.push(("state version", description.state_version.to_string()));
    }
    let mut reads = Vec::new();
    if description.reads_headers {
        reads.push("headers");
    }
    if description.reads_origins {
        reads.push("origins");
    }
    rows.push(("reads", or_none(&reads.join(", "), "keys, values, timestamps only")));
    rows.push((
        "config",
        if description.config_schema.is_empty() {
            "not described"
        } else {
            "has a JSON Schema: `--json` shows it"
        }
        .to_owned(),
    ));
    rows.push(("imports", or_none(&inspection.imports.join("\n"), "nothing")));
    rows.push(("exports", inspection.exports.join("\n")));
    rows.push(("made with", or_none(&inspection.producers.join("\n"), "not said")));
    rows.push((
        "describes itself",
        if inspection.keeps_description {
            "in the file, and compared at load"
        } else {
            "at load only"
        }
        .to_owned(),
    ));
    output.table(&[], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}

fn lines(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join("\n")
}

fn or_none(text: &str, none: &str) -> String {
    if text.is_empty() { none } else { text }.to_owned()
}

fn value(inspection: &Inspection) -> Value {
    let description = &inspection.description;
    json!({
        "plugin": description.name,
        "version": description.version,
        "doc": description.doc,
        "contract": inspection.contract,
        "size": inspection.size,
        "sha256": inspection.sha256,
        "state_version": description.state_version,
        "inputs": description.inputs,
        "ports": description.ports.iter().map(|port| json!({
            "name": port.name, "doc": port.doc, "rekeys": port.rekeys,
        })).collect::<Vec<_>>(),
        "stores": description.stores.iter().map(|store| json!({
            "name": store.name, "doc": store.doc, "table": store.table, "keyed": store.keyed,
            "key_format": store.key_format, "value_format": store.value_format,
        })).collect::<Vec<_>>(),
        "sets_timers": description.sets_timers,
        "reads_headers": description.reads_headers,
        "reads_origins": description.reads_origins,
        // A schema that is no JSON is shown as it stands.
        "config_schema": serde_json::from_str::<Value>(&description.config_schema)
            .unwrap_or_else(|_| description.config_schema.as_str().into()),
        "imports": inspection.imports,
        "exports": inspection.exports,
        "producers": inspection.producers,
        "keeps_description": inspection.keeps_description,
    })
}
