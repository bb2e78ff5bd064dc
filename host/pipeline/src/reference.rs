//! The reference of all keys, as docs/configuration.md has it: made from the schema.

use std::fmt::Write;

use serde_json::Value;

use crate::schema;

/// All keys of a pipeline file with their types, defaults and meanings, as Markdown.
#[must_use]
pub fn reference() -> String {
    let schema = schema();
    let mut out = String::new();
    let _ = writeln!(out, "### The pipeline\n");
    rows(
        &schema,
        "",
        &["sources", "transforms", "sinks", "embedded", "kafka"],
        &mut out,
    );
    if let Some(kafka) = schema.pointer("/properties/kafka") {
        let _ = writeln!(out, "\n### `[kafka]`\n");
        rows(kafka, "", &[], &mut out);
    }
    for (section, title) in [
        ("sources", "Sources: `[sources.NAME]`"),
        ("transforms", "Transforms: `[transforms.NAME]`"),
        ("sinks", "Sinks: `[sinks.NAME]`"),
    ] {
        let _ = writeln!(out, "\n### {title}");
        let kinds = schema.pointer(&format!("/properties/{section}/additionalProperties/oneOf"));
        for kind in kinds.and_then(Value::as_array).into_iter().flatten() {
            let name = kind
                .pointer("/properties/type/const")
                .and_then(Value::as_str)
                .unwrap_or("");
            let _ = writeln!(out, "\n#### `type = \"{name}\"`\n\n{}\n", description(kind));
            rows(kind, "", &["type"], &mut out);
        }
    }
    out
}

fn rows(table: &Value, prefix: &str, without: &[&str], out: &mut String) {
    if prefix.is_empty() {
        out.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
    }
    let required: Vec<&str> = table
        .get("required")
        .and_then(Value::as_array)
        .map(|keys| keys.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    for (key, schema) in table.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if without.contains(&key.as_str()) {
            continue;
        }
        let full = format!("{prefix}{key}");
        if schema.get("properties").is_some() {
            rows(schema, &format!("{full}."), &[], out);
            continue;
        }
        let default = match schema.get("default") {
            _ if required.contains(&key.as_str()) => "required".to_owned(),
            Some(Value::Object(_) | Value::Array(_)) | None => String::new(),
            Some(default) => format!("`{default}`"),
        };
        let _ = writeln!(
            out,
            "| `{full}` | {} | {default} | {} |",
            type_of(schema),
            description(schema)
        );
    }
}

fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or("");
    text.replace('\n', " ").replace('|', "\\|")
}

fn type_of(schema: &Value) -> String {
    let choices = |list: &[Value]| -> Option<Vec<String>> {
        list.iter()
            .map(|choice| choice.as_str().or_else(|| choice.get("const")?.as_str()))
            .map(|choice| Some(format!("`\"{}\"`", choice?)))
            .collect()
    };
    for keyword in ["enum", "oneOf"] {
        if let Some(list) = schema.get(keyword).and_then(Value::as_array)
            && let Some(choices) = choices(list)
        {
            return choices.join(", ");
        }
    }
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        let mut types: Vec<String> = options.iter().map(type_of).collect();
        types.dedup();
        return types.join(" or ");
    }
    let range = match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!(" {least} to {most}"),
        (Some(least), None) => format!(" from {least}"),
        (None, Some(most)) => format!(" up to {most}"),
        (None, None) => String::new(),
    };
    let secret = if schema.get("x-wasmill-secret").is_some() {
        ", *secret*"
    } else {
        ""
    };
    let name = match schema.get("type").and_then(Value::as_str) {
        Some("array") => {
            let items = schema.get("items").map_or(String::new(), type_of);
            return format!("array of {items}");
        }
        Some("object") => match schema.get("additionalProperties") {
            Some(values) if values.is_object() => return format!("table of {}", type_of(values)),
            _ => "table",
        },
        Some(name) => name,
        None => "any",
    };
    format!("{name}{range}{secret}")
}
