//! `wasmill inspect`: what a component is.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::HumanBytes;
use plugin::{Access, Import, Inspection};
use record::transform::Description;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;
use crate::plugins;

/// Show what a component is: its world, imports, ports, stores, config and origin
///
/// Also of a component that a pipeline would refuse: why, and what to do. Exit code 1 then.
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The component: a file, or `oci://registry/name@sha256:...`
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
}

/// What to do about what is no plugin.
const NEXT: &str =
    "give a component that `wasmill build` has made, or that another language's tools made for this contract";

/// Runs the command.
pub(crate) fn run(args: &InspectArgs, output: Output) -> Result<(), Failure> {
    let file = plugins::file_of(&args.file).map_err(|error| plugins::failure(&error))?;
    let inspection = inspect(&file)?;
    output.result(&text(&inspection, output), &value(&inspection))?;
    match refusal(&inspection, &args.file) {
        None => Ok(()),
        Some(failure) => Err(failure),
    }
}

/// What the component in a file is.
///
/// # Errors
/// It is no component.
pub(crate) fn inspect(file: &Path) -> Result<Inspection, Failure> {
    plugin::inspect(file, plugins::cache_dir()).map_err(|error| Failure::Other {
        code: error.code(),
        invalid: false,
        what: error.to_string(),
        place: None,
        next: NEXT.to_owned(),
    })
}

/// Why a pipeline without grants refuses the component.
fn refusal(inspection: &Inspection, file: &Path) -> Option<Failure> {
    let refusal = inspection.refusal.as_ref()?;
    Some(Failure::Other {
        code: refusal.code,
        invalid: false,
        what: refusal.message.clone(),
        place: Some(file.display().to_string()),
        next: grants(inspection).map_or_else(
            || NEXT.to_owned(),
            |keys| {
                format!(
                    "build it with `wasmill build`, which leaves WASI out; or, if it must have what it imports, \
                     open it with {keys} in `[transforms.NAME.grant]`"
                )
            },
        ),
    })
}

/// The keys of a grant that open all that is imported; `None` when none are needed, or none would do.
fn grants(inspection: &Inspection) -> Option<String> {
    let mut keys: Vec<&str> = Vec::new();
    for import in &inspection.imports {
        match import.access {
            Access::Grant(key) if !keys.contains(&key) => keys.push(key),
            Access::Grant(_) | Access::Always | Access::AnyGrant => {}
            Access::Never => return None,
        }
    }
    let any = inspection
        .imports
        .iter()
        .any(|import| import.access == Access::AnyGrant);
    if keys.is_empty() && any {
        keys.push("env");
    }
    let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
    (!keys.is_empty()).then(|| keys.join(", "))
}

fn text(inspection: &Inspection, output: Output) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    match &inspection.description {
        Some(about) => {
            rows.push(("plugin", format!("{} {}", about.name, about.version)));
            rows.push(("what it does", about.doc.clone()));
        }
        None => rows.push(("plugin", "does not say what it is".to_owned())),
    }
    rows.push(("world", inspection.world.unwrap_or("none of Wasmill's").to_owned()));
    rows.push((
        "contract",
        inspection
            .contract
            .clone()
            .unwrap_or_else(|| "nothing of it is exported".to_owned()),
    ));
    rows.push(("size", HumanBytes(inspection.size).to_string()));
    rows.push(("sha256", inspection.sha256.clone()));
    rows.push(("compiled code", compiled(inspection)));
    if let Some(about) = &inspection.description {
        describe(about, &mut rows);
    }
    rows.push((
        "imports",
        or_none(&lines(inspection.imports.iter().map(import)), "nothing"),
    ));
    rows.push((
        "must be granted",
        grants(inspection).unwrap_or_else(|| {
            let refused = inspection.imports.iter().any(|import| import.access == Access::Never);
            if refused {
                "no grant opens all that it imports"
            } else {
                "nothing"
            }
            .to_owned()
        }),
    ));
    rows.push(("exports", or_none(&inspection.exports.join("\n"), "nothing")));
    rows.push(("made with", or_none(&inspection.producers.join("\n"), "not said")));
    rows.push((
        "describes itself",
        match (inspection.keeps_description, &inspection.refusal) {
            (true, None) => "in the file, and compared at load",
            (true, Some(_)) => "in the file; it was not asked",
            (false, _) => "at load only",
        }
        .to_owned(),
    ));
    rows.push((
        "a pipeline",
        match &inspection.refusal {
            None => "takes it".to_owned(),
            Some(refusal) => format!("refuses it ({}): {}", refusal.code, refusal.message),
        },
    ));
    output.table(&[], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
}

fn compiled(inspection: &Inspection) -> String {
    let seconds = inspection.load_seconds;
    match (inspection.is_cached, &inspection.refusal) {
        (Some(true), _) => format!("was in the cache; loaded in {seconds:.2} s"),
        (Some(false), None) => format!("is in the cache now; compiled and loaded in {seconds:.2} s"),
        (_, None) => format!("is not kept; compiled and loaded in {seconds:.2} s"),
        (_, Some(_)) => "not in the cache".to_owned(),
    }
}

/// What a plugin says of itself.
fn describe(about: &Description, rows: &mut Vec<(&str, String)>) {
    rows.push(("inputs", or_none(&about.inputs.join("\n"), "one")));
    let ports = about.ports.iter().map(|port| {
        let rekeys = if port.rekeys { " (rekeys)" } else { "" };
        format!("{}{rekeys}: {}", port.name, port.doc)
    });
    rows.push(("ports", lines(ports)));
    let stores = about.stores.iter().map(|store| {
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
    if !about.stores.is_empty() {
        rows.push(("state version", about.state_version.to_string()));
    }
    rows.push((
        "timers",
        if about.sets_timers { "sets them" } else { "none" }.to_owned(),
    ));
    let mut reads = Vec::new();
    if about.reads_headers {
        reads.push("headers");
    }
    if about.reads_origins {
        reads.push("origins");
    }
    rows.push(("reads", or_none(&reads.join(", "), "keys, values, timestamps only")));
    rows.push((
        "config",
        if about.config_schema.is_empty() {
            "not described"
        } else {
            "has a JSON Schema: `--json` shows it"
        }
        .to_owned(),
    ));
}

fn import(import: &Import) -> String {
    match import.access {
        Access::Always => import.name.clone(),
        Access::AnyGrant => format!("{} (open with any grant)", import.name),
        Access::Grant(key) => format!("{} (grant `{key}`)", import.name),
        Access::Never => format!("{} (never open)", import.name),
    }
}

fn lines(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join("\n")
}

fn or_none(text: &str, none: &str) -> String {
    if text.is_empty() { none } else { text }.to_owned()
}

fn value(inspection: &Inspection) -> Value {
    let about = inspection.description.as_ref();
    let imports = inspection.imports.iter().map(|import| {
        let grant = match import.access {
            Access::Grant(key) => Some(key),
            Access::AnyGrant => Some("any"),
            Access::Always | Access::Never => None,
        };
        json!({
            "name": import.name,
            "always_linked": import.access == Access::Always,
            "grant": grant,
        })
    });
    json!({
        "plugin": about.map(|about| &about.name),
        "version": about.map(|about| &about.version),
        "doc": about.map(|about| &about.doc),
        "world": inspection.world,
        "contract": inspection.contract,
        "size": inspection.size,
        "sha256": inspection.sha256,
        "was_cached": inspection.is_cached,
        "load_seconds": inspection.load_seconds,
        "state_version": about.map(|about| about.state_version),
        "inputs": about.map(|about| &about.inputs),
        "ports": about.map(|about| about.ports.iter().map(|port| json!({
            "name": port.name, "doc": port.doc, "rekeys": port.rekeys,
        })).collect::<Vec<_>>()),
        "stores": about.map(|about| about.stores.iter().map(|store| json!({
            "name": store.name, "doc": store.doc, "table": store.table, "keyed": store.keyed,
            "key_format": store.key_format, "value_format": store.value_format,
        })).collect::<Vec<_>>()),
        "sets_timers": about.map(|about| about.sets_timers),
        "reads_headers": about.map(|about| about.reads_headers),
        "reads_origins": about.map(|about| about.reads_origins),
        // A schema that is no JSON is shown as it stands.
        "config_schema": about.map(|about| serde_json::from_str::<Value>(&about.config_schema)
            .unwrap_or_else(|_| about.config_schema.as_str().into())),
        "imports": imports.collect::<Vec<_>>(),
        "exports": inspection.exports,
        "producers": inspection.producers,
        "keeps_description": inspection.keeps_description,
        "refused": inspection.refusal.as_ref().map(|refusal| json!({
            "code": refusal.code.0, "message": refusal.message,
        })),
    })
}
