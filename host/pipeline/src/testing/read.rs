//! From the tree of a test file to its types. The shape was checked before; where it is wrong, what is
//! wrong is left out here.

use std::collections::BTreeMap;
use std::path::Path;

use record::offset::Timestamp;
use record::topology::Start;
use serde_json::Value as Json;

use super::{
    Case, Data, Expected, ExpectedError, ExpectedLetter, ExpectedRecord, Form, Input, Override, Step, StoreContent,
    StoreEntry, TestFile, Written,
};
use crate::check::names::parse_start;
use crate::code;
use crate::diagnostic::Problem;
use crate::parse::Document;
use crate::text::{Sources, Span};
use crate::value::{Entry, Kind, Table, Value};

/// 2026-01-01T00:00:00Z.
const CLOCK: Timestamp = 1_767_225_600_000;

const EMPTY: &Table = &Table { entries: Vec::new() };

pub(super) fn read(path: &Path, document: &Document, problems: &mut Vec<Problem>) -> TestFile {
    let root = document.root.as_table().unwrap_or(EMPTY);
    let dir = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.strip_suffix(super::SUFFIX);
    let pipeline = match (text(root, "pipeline"), stem) {
        (Some(given), _) => given,
        (None, Some(stem)) => format!("{stem}.toml"),
        (None, None) => {
            problems.push(
                Problem::new(code::MISSING_KEY, Span::START, "which pipeline is tested is not said")
                    .help("name the file `NAME.test.toml` for the pipeline `NAME.toml`, or set `pipeline`"),
            );
            String::new()
        }
    };
    let cases: Vec<Case> = items(root, "cases")
        .iter()
        .filter_map(|value| Some(case(value, value.as_table()?, problems)))
        .collect();
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for case in &cases {
        if let Some(first) = seen.insert(&case.name, case.span) {
            problems.push(
                Problem::new(
                    code::CASE_TWICE,
                    case.span,
                    format!("two cases have the name `{}`", case.name),
                )
                .also(first, "the first"),
            );
        }
    }
    TestFile {
        path: path.to_owned(),
        pipeline: dir.join(pipeline),
        embedded: matches!(root.get("embedded").map(|value| &value.kind), Some(Kind::Boolean(true))),
        partitions: integer(root, "partitions").unwrap_or(1).clamp(1, 1024) as u32,
        clock: time(root, "clock", problems).unwrap_or(CLOCK),
        cases,
        sources: Sources::new(Vec::new(), &[]),
    }
}

fn case(value: &Value, table: &Table, problems: &mut Vec<Problem>) -> Case {
    let unordered: Vec<(String, Span)> = items(table, "unordered")
        .iter()
        .filter_map(|item| Some((item.as_str()?.written.clone(), item.span)))
        .collect();
    let expect: Vec<Expected> = table
        .table("expect")
        .entries
        .iter()
        .map(|entry| Expected {
            name: entry.key.clone(),
            unordered: unordered.iter().any(|(name, _)| *name == entry.key),
            records: tables(&entry.value).map(|(_, table)| record(table, problems)).collect(),
            span: entry.key_span,
        })
        .collect();
    for (name, span) in &unordered {
        if expect.iter().all(|expected| expected.name != *name) {
            problems.push(
                Problem::new(
                    code::UNKNOWN_NAME,
                    *span,
                    format!("`{name}` is not in the case's `expect`"),
                )
                .maybe_help(crate::diagnostic::nearest(
                    name,
                    expect.iter().map(|expected| expected.name.as_str()),
                    "what it expects",
                )),
            );
        }
    }
    Case {
        name: text(table, "name").unwrap_or_default(),
        config: overrides(table.table("config")),
        state: contents(table.table("state"), problems),
        steps: items(table, "steps")
            .iter()
            .filter_map(|value| step(value, value.as_table()?, problems))
            .collect(),
        expect,
        dead_letters: table
            .get("dead_letters")
            .map(|value| tables(value).map(|(_, table)| letter(table, problems)).collect()),
        final_state: contents(table.table("final_state"), problems),
        error: table.get("error").and_then(Value::as_table).map(|table| ExpectedError {
            code: text(table, "code").unwrap_or_default(),
            message: text(table, "message"),
        }),
        span: table.span("name", value.span),
    }
}

fn overrides(config: &Table) -> Vec<Override> {
    let mut list = Vec::new();
    for transform in &config.entries {
        for option in &transform.value.as_table().unwrap_or(EMPTY).entries {
            let path = format!(
                "transforms.{}.config.{}",
                toml_key(&transform.key),
                toml_key(&option.key)
            );
            list.push(Override {
                transform: transform.key.clone(),
                set: (path, toml(&option.value)),
                transform_span: transform.key_span,
                span: option.value.span,
            });
        }
    }
    list
}

fn step(value: &Value, table: &Table, problems: &mut Vec<Problem>) -> Option<Step> {
    let advance = integer(table, "advance_ms");
    match (table.entry("source"), advance) {
        (Some(source), None) => Some(Step::Record(Box::new(input(source, table, problems)))),
        (None, Some(ms)) if table.entries.len() == 1 => Some(Step::Advance(ms)),
        (None, None) => {
            // A misspelt key was named already.
            if table.entry("advance_ms").is_none() {
                problems.push(
                    Problem::new(code::MISSING_KEY, value.span, "a step needs `source` or `advance_ms`")
                        .help("`{ source = \"lines\", value = \"...\" }` is a record, `{ advance_ms = 1000 }` moves the wall clock"),
                );
            }
            None
        }
        (_, Some(_)) => {
            problems.push(
                Problem::new(
                    code::CONTRADICTION,
                    table.span("advance_ms", value.span),
                    "a step is a record or moves the wall clock, not both",
                )
                .help("make two steps of it"),
            );
            None
        }
    }
}

fn input(source: &Entry, table: &Table, problems: &mut Vec<Problem>) -> Input {
    let at = |key: &str| table.span(key, source.value.span);
    Input {
        source: text(table, "source").unwrap_or_default(),
        topic: text(table, "topic"),
        key: data(table, "key", problems),
        value: data(table, "value", problems),
        timestamp: time(table, "timestamp", problems),
        headers: headers(table).unwrap_or_default(),
        partition: integer(table, "partition").map(|n| n.max(0) as u32),
        source_span: source.value.span,
        topic_span: at("topic"),
        partition_span: at("partition"),
    }
}

fn record(table: &Table, problems: &mut Vec<Problem>) -> ExpectedRecord {
    ExpectedRecord {
        key: data(table, "key", problems),
        value: data(table, "value", problems),
        timestamp: time(table, "timestamp", problems),
        headers: headers(table),
        partition: integer(table, "partition").map(|n| n.max(0) as u32),
    }
}

fn letter(table: &Table, problems: &mut Vec<Problem>) -> ExpectedLetter {
    let mut given = |name: &str| {
        let is_given = FORMS.iter().any(|form| table.entry(&format!("{name}{form}")).is_some());
        is_given.then(|| data(table, name, problems))
    };
    ExpectedLetter {
        key: given("key"),
        value: given("value"),
        node: text(table, "node").unwrap_or_default(),
        code: text(table, "code").unwrap_or_default(),
        message: text(table, "message"),
    }
}

fn contents(table: &Table, problems: &mut Vec<Problem>) -> Vec<StoreContent> {
    let mut list = Vec::new();
    for transform in &table.entries {
        for store in &transform.value.as_table().unwrap_or(EMPTY).entries {
            list.push(StoreContent {
                transform: transform.key.clone(),
                store: store.key.clone(),
                entries: tables(&store.value)
                    .map(|(span, table)| StoreEntry {
                        key: written(table, "key", span, problems),
                        value: written(table, "value", span, problems),
                        span,
                    })
                    .collect(),
                transform_span: transform.key_span,
                store_span: store.key_span,
            });
        }
    }
    list
}

/// What a key or value may be called: `value`, `value_json`, `value_hex`.
const FORMS: [&str; 3] = ["", "_json", "_hex"];

/// A key or value in one of its forms.
fn written(table: &Table, name: &str, at: Span, problems: &mut Vec<Problem>) -> Written {
    let given: Vec<&Entry> = FORMS
        .iter()
        .filter_map(|form| table.entry(&format!("{name}{form}")))
        .collect();
    if let [first, second, ..] = given.as_slice() {
        problems.push(
            Problem::new(
                code::CONTRADICTION,
                second.key_span,
                format!("`{}` and `{}` are both given", first.key, second.key),
            )
            .help("leave one of them out"),
        );
    }
    let Some(entry) = given.first() else {
        return Written {
            span: at,
            what: Form::Missing,
        };
    };
    let what = match (entry.key.strip_prefix(name), entry.value.as_str()) {
        (Some("_json"), Some(text)) => match serde_json::from_str(&text.written) {
            Ok(json) => Form::Json(json),
            Err(error) => {
                problems.push(Problem::new(
                    code::BAD_TEST_VALUE,
                    entry.value.span,
                    format!("`{}` is not JSON: {error}", entry.key),
                ));
                Form::Missing
            }
        },
        (Some("_hex"), Some(text)) => match hex(&text.written) {
            Some(bytes) => Form::Bytes(bytes),
            None => {
                problems.push(
                    Problem::new(
                        code::BAD_TEST_VALUE,
                        entry.value.span,
                        format!("`{}` is not hexadecimal", entry.key),
                    )
                    .help("two digits a byte, `00ff`; spaces between them are ignored"),
                );
                Form::Missing
            }
        },
        (Some(""), _) => {
            let mut bad = Vec::new();
            entry.value.not_json(&mut bad);
            problems.extend(
                bad.into_iter()
                    .map(|span| Problem::new(code::NOT_JSON, span, "JSON has neither `nan` nor `inf`")),
            );
            Form::Toml(entry.value.clone())
        }
        // The shape is wrong.
        _ => Form::Missing,
    };
    Written {
        span: entry.value.span,
        what,
    }
}

fn data(table: &Table, name: &str, problems: &mut Vec<Problem>) -> Data {
    match written(table, name, Span::START, problems).what {
        Form::Missing => Data::Null,
        Form::Toml(value) => match value.as_str() {
            Some(text) => Data::Bytes(text.written.clone().into_bytes()),
            None => Data::Json(value.to_json(false)),
        },
        Form::Json(json) => Data::Json(json),
        Form::Bytes(bytes) => Data::Bytes(bytes),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ' ')
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn headers(table: &Table) -> Option<Vec<(String, String)>> {
    let mut list = Vec::new();
    for entry in &table.get("headers")?.as_table()?.entries {
        let texts = match &entry.value.kind {
            Kind::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.value),
        };
        let texts = texts.iter().filter_map(Value::as_str);
        list.extend(texts.map(|text| (entry.key.clone(), text.written.clone())));
    }
    Some(list)
}

fn time(table: &Table, key: &str, problems: &mut Vec<Problem>) -> Option<Timestamp> {
    let value = table.get(key)?;
    let text = match &value.kind {
        Kind::Integer(ms) => return Some(*ms),
        Kind::Date(text) => text,
        Kind::String(text) => &text.written,
        _ => return None,
    };
    match parse_start(text) {
        Ok(Start::Time(ms)) => Some(ms),
        _ => {
            problems.push(
                Problem::new(code::BAD_TIME, value.span, format!("`{text}` is not a time"))
                    .help("write `2026-01-01T00:00:00Z`, or milliseconds since 1970"),
            );
            None
        }
    }
}

fn text(table: &Table, key: &str) -> Option<String> {
    Some(table.get(key)?.as_str()?.written.clone())
}

fn integer(table: &Table, key: &str) -> Option<i64> {
    match table.get(key)?.kind {
        Kind::Integer(n) => Some(n),
        _ => None,
    }
}

fn items<'a>(table: &'a Table, key: &str) -> &'a [Value] {
    table.get(key).and_then(Value::as_array).unwrap_or(&[])
}

fn tables(value: &Value) -> impl Iterator<Item = (Span, &Table)> {
    let items = value.as_array().unwrap_or(&[]);
    items.iter().filter_map(|item| Some((item.span, item.as_table()?)))
}

/// A key as TOML has it.
fn toml_key(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare {
        key.to_owned()
    } else {
        Json::from(key).to_string()
    }
}

/// A value as TOML has it, on one line.
fn toml(value: &Value) -> String {
    match &value.kind {
        // Escapes of JSON strings are escapes of TOML, but for DEL, which TOML wants escaped.
        Kind::String(text) => Json::from(text.written.as_str())
            .to_string()
            .replace('\u{7f}', "\\u007f"),
        Kind::Integer(n) => n.to_string(),
        Kind::Float(x) if x.is_nan() => "nan".to_owned(),
        Kind::Float(x) => format!("{x:?}"),
        Kind::Boolean(b) => b.to_string(),
        Kind::Date(date) => date.clone(),
        Kind::Array(items) => {
            let items: Vec<String> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Table(table) => {
            let entries: Vec<String> = table
                .entries
                .iter()
                .map(|entry| format!("{} = {}", toml_key(&entry.key), toml(&entry.value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}
