//! Checks the shape of a pipeline file against its schema: unknown and missing keys, wrong types,
//! numbers out of range. It knows the part of JSON Schema that [`crate::schema`] uses.

use serde_json::Value as Json;

use crate::code;
use crate::diagnostic::{Problem, closest, nearest};
use crate::fill::has_placeholder;
use crate::text::Span;
use crate::value::{Entry, Kind, Table, Value};

/// Checks `value` under `schema`. `place` names it in messages, `at` is where what is missing in
/// it is reported.
pub(crate) fn check(value: &Value, schema: &Json, place: &str, at: Span, problems: &mut Vec<Problem>) {
    if let Some(options) = schema.get("oneOf").and_then(Json::as_array) {
        match tag_of(options) {
            true => check_tagged(value, options, place, at, problems),
            false => check_choice(value, options.iter(), place, problems),
        }
        return;
    }
    if let Some(options) = schema.get("anyOf").and_then(Json::as_array) {
        match options.iter().find(|option| fits_type(value, option)) {
            Some(option) => check(value, option, place, at, problems),
            None => wrong_type(value, options.iter(), place, problems),
        }
        return;
    }
    if !fits_type(value, schema) {
        wrong_type(value, std::iter::once(schema), place, problems);
        return;
    }
    if let Some(choices) = schema.get("enum").and_then(Json::as_array) {
        check_choice(value, choices.iter(), place, problems);
        return;
    }
    match &value.kind {
        Kind::Table(table) => check_table(table, schema, place, at, problems),
        Kind::Array(items) => check_array(value, items, schema, place, problems),
        Kind::Integer(n) => check_range(value.span, *n as f64, schema, place, problems),
        Kind::Float(x) => check_range(value.span, *x, schema, place, problems),
        Kind::String(text) => {
            if schema.get("type").is_some()
                && schema.get("x-wasmill-secret").is_none()
                && has_placeholder(&text.written)
            {
                problems.push(
                    Problem::new(
                        code::SECRET_SHOWN,
                        value.span,
                        format!(
                            "`{place}` cannot hold a placeholder: it is shown in the plan, in logs and in messages"
                        ),
                    )
                    .help("what `${...}` holds is never shown; to vary this value, use `--set`"),
                );
            }
            let shortest = schema.get("minLength").and_then(Json::as_u64).unwrap_or(0);
            if (text.written.chars().count() as u64) < shortest {
                problems.push(Problem::new(
                    code::OUT_OF_RANGE,
                    value.span,
                    format!("`{place}` must not be empty"),
                ));
            }
            if let Some(longest) = schema.get("maxLength").and_then(Json::as_u64)
                && text.written.chars().count() as u64 > longest
            {
                problems.push(Problem::new(
                    code::OUT_OF_RANGE,
                    value.span,
                    format!("`{place}` must not be longer than {longest} characters"),
                ));
            }
        }
        Kind::Boolean(_) | Kind::Date(_) => {}
    }
}

/// Whether the options are tables told apart by `type`.
fn tag_of(options: &[Json]) -> bool {
    options
        .iter()
        .all(|option| option.pointer("/properties/type/const").is_some())
}

fn check_tagged(value: &Value, options: &[Json], place: &str, at: Span, problems: &mut Vec<Problem>) {
    let Some(table) = value.as_table() else {
        wrong_type(value, options.iter(), place, problems);
        return;
    };
    let tag = |option: &Json| {
        option
            .pointer("/properties/type/const")
            .and_then(Json::as_str)
            .map(str::to_owned)
    };
    let names: Vec<String> = options.iter().filter_map(tag).collect();
    let names = || names.iter().map(String::as_str);
    let Some(entry) = table.entry("type") else {
        let known = names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        problems.push(
            Problem::new(code::MISSING_KEY, at, format!("[{place}] needs `type`")).help(format!("one of {known}")),
        );
        return;
    };
    let Some(kind) = entry.value.as_str() else {
        wrong_type(
            &entry.value,
            std::iter::once(&serde_json::json!({"type": "string"})),
            "type",
            problems,
        );
        return;
    };
    match options
        .iter()
        .find(|option| tag(option).as_deref() == Some(kind.written.as_str()))
    {
        Some(option) => check_table(table, option, place, at, problems),
        None => problems.push(
            Problem::new(
                code::UNKNOWN_CHOICE,
                entry.value.span,
                format!("there is no type `{}` for [{place}]", kind.written),
            )
            .maybe_help(nearest(&kind.written, names(), "types")),
        ),
    }
}

fn check_table(table: &Table, schema: &Json, place: &str, at: Span, problems: &mut Vec<Problem>) {
    let known = schema.get("properties").and_then(Json::as_object);
    let additional = schema.get("additionalProperties");
    let mut meant = Vec::new();
    for Entry { key, key_span, value } in &table.entries {
        let inner = if place.is_empty() {
            key.clone()
        } else {
            format!("{place}.{key}")
        };
        if let Some(schema) = known.and_then(|known| known.get(key)) {
            check(value, schema, &inner, *key_span, problems);
        } else if additional == Some(&Json::Bool(false)) {
            let names = known.into_iter().flat_map(|known| known.keys()).map(String::as_str);
            let unset: Vec<&str> = names.filter(|name| table.entry(name).is_none()).collect();
            meant.extend(closest(key, unset.iter().copied()));
            let whole = whole(place, schema);
            problems.push(
                Problem::new(code::UNKNOWN_KEY, *key_span, format!("{whole} has no key `{key}`")).maybe_help(nearest(
                    key,
                    unset,
                    "the other keys are",
                )),
            );
        } else if let Some(schema) = additional {
            check(value, schema, &inner, *key_span, problems);
        }
    }
    for key in schema.get("required").and_then(Json::as_array).into_iter().flatten() {
        let Some(key) = key.as_str() else { continue };
        // A key that is only misspelt is one mistake, not two.
        if table.entry(key).is_none() && !meant.contains(&key) {
            let whole = whole(place, schema);
            let doc = known.and_then(|known| known.get(key)?.get("description")?.as_str());
            problems.push(
                Problem::new(code::MISSING_KEY, at, format!("{whole} needs `{key}`"))
                    .maybe_help(doc.map(|doc| format!("`{key}`: {}", doc.replace('\n', " ")))),
            );
        }
    }
}

/// What messages call the table that lacks something.
fn whole(place: &str, schema: &Json) -> String {
    if !place.is_empty() {
        return format!("[{place}]");
    }
    let noun = schema.get("x-wasmill-whole").and_then(Json::as_str);
    noun.unwrap_or("a pipeline").to_owned()
}

fn check_array(value: &Value, items: &[Value], schema: &Json, place: &str, problems: &mut Vec<Problem>) {
    if (items.len() as u64) < schema.get("minItems").and_then(Json::as_u64).unwrap_or(0) {
        problems.push(Problem::new(
            code::OUT_OF_RANGE,
            value.span,
            format!("`{place}` must not be empty"),
        ));
    }
    if let Some(schema) = schema.get("items") {
        for item in items {
            check(item, schema, place, item.span, problems);
        }
    }
}

fn check_choice<'a>(value: &Value, choices: impl Iterator<Item = &'a Json>, place: &str, problems: &mut Vec<Problem>) {
    let mut names = Vec::new();
    for choice in choices {
        names.extend(choice.as_str().or_else(|| choice.get("const")?.as_str()));
        names.extend(
            choice
                .get("enum")
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .filter_map(Json::as_str),
        );
    }
    let Some(text) = value.as_str() else {
        wrong_type(
            value,
            std::iter::once(&serde_json::json!({"type": "string"})),
            place,
            problems,
        );
        return;
    };
    if !names.contains(&text.written.as_str()) {
        let shown = names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let help = nearest(&text.written, names.iter().copied(), "choices").filter(|help| help.starts_with("did"));
        problems.push(
            Problem::new(
                code::UNKNOWN_CHOICE,
                value.span,
                format!("`{place}` is one of {shown}, not `{}`", text.written),
            )
            .maybe_help(help),
        );
    }
}

fn check_range(span: Span, x: f64, schema: &Json, place: &str, problems: &mut Vec<Problem>) {
    let least = schema.get("minimum").and_then(Json::as_f64);
    let most = schema.get("maximum").and_then(Json::as_f64);
    if least.is_none_or(|least| x >= least) && most.is_none_or(|most| x <= most) {
        return;
    }
    let range = match (least, most) {
        (Some(least), Some(most)) => format!("between {least} and {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => return,
    };
    problems.push(Problem::new(
        code::OUT_OF_RANGE,
        span,
        format!("`{place}` must be {range}, not {x}"),
    ));
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name.as_str()],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn fits_type(value: &Value, schema: &Json) -> bool {
    let types = types(schema);
    let date = schema.get("x-wasmill-date").is_some();
    types.is_empty()
        || types.iter().any(|name| match value.kind {
            Kind::String(_) => *name == "string",
            Kind::Integer(_) => *name == "integer" || *name == "number",
            Kind::Float(_) => *name == "number",
            Kind::Boolean(_) => *name == "boolean",
            Kind::Date(_) => *name == "string" && date,
            Kind::Array(_) => *name == "array",
            Kind::Table(_) => *name == "object",
        })
}

fn wrong_type<'a>(value: &Value, schemas: impl Iterator<Item = &'a Json>, place: &str, problems: &mut Vec<Problem>) {
    let mut wanted: Vec<&str> = Vec::new();
    for schema in schemas {
        for name in types(schema) {
            let name = match name {
                "string" => "a string",
                "integer" => "an integer",
                "number" => "a number",
                "boolean" => "`true` or `false`",
                "array" => "an array",
                _ => "a table",
            };
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
    }
    let wanted = wanted.join(" or ");
    let mut problem = Problem::new(
        code::WRONG_TYPE,
        value.span,
        format!("`{place}` must be {wanted}, not {}", value.type_name()),
    );
    if wanted.contains("an array") && matches!(value.kind, Kind::String(_)) {
        problem = problem.help("put it in brackets: `[\"...\"]`");
    }
    problems.push(problem);
}
