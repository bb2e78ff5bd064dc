//! Checks sources and sinks beyond their shape, and makes connectors of them.

use std::path::Path;

use record::topology::{Connector, OnError, Start};
use serde_json::{Map, Value as Json};

use super::names::{check_pointer, check_topic, parse_start};
use crate::checked::{SinkKind, Source, SourceKind};
use crate::code;
use crate::diagnostic::Problem;
use crate::raw::sinks::{Batch, SqlMode};
use crate::raw::sources::{GeneratorKind, LineFormat};
use crate::raw::{self};
use crate::text::Span;
use crate::value::{Entry, Kind, Str, Table};

/// What every node needs to know of the pipeline around it.
pub(crate) struct Surroundings<'a> {
    /// Where the pipeline file is: absolute.
    pub dir: &'a Path,
    /// See [`raw::Pipeline::partitions`].
    pub partitions: u32,
    /// `--from`.
    pub start: Option<Start>,
}

/// Keys that are no business of a connector.
const NOT_SETTINGS: [&str; 6] = ["type", "inputs", "batch", "on_error", "on_undecodable", "partitions"];

pub(crate) fn source(
    entry: &Entry,
    raw: raw::Source,
    around: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) -> Source {
    const EMPTY: &Table = &Table { entries: Vec::new() };
    let table = entry.value.as_table().unwrap_or(EMPTY);
    let name = entry.key.clone();
    let at = |key: &str| table.span(key, entry.key_span);
    let (kind, key, on_undecodable) = match raw {
        raw::Source::Http(http) => {
            let policy = http.on_undecodable;
            (
                super::http::source(entry, http, around.partitions, problems),
                None,
                policy,
            )
        }
        raw::Source::Kafka(kafka) => {
            if let Some(items) = table.get("topics").and_then(|topics| topics.as_array()) {
                for item in items {
                    let name = item.as_str().map_or("", |text| text.value());
                    check_topic(name, "the name of a topic", item.span, problems);
                }
            }
            let start = start(table, at("start"), problems);
            let kind = SourceKind::Topics {
                topics: kafka.topics,
                start: around.start.unwrap_or(start),
            };
            (kind, kafka.key, kafka.on_undecodable)
        }
        raw::Source::File(mut file) => {
            file.path = absolute(around.dir, &file.path, at("path"), problems);
            check_delimiter(file.format, file.delimiter.as_deref(), at("delimiter"), problems);
            let (key, policy, partitions) = (file.key.clone(), file.on_undecodable, file.partitions);
            let settings = serde_json::to_value(file).unwrap_or_default();
            (ingest(table, &name, "file", settings, partitions, around), key, policy)
        }
        raw::Source::Stdin(stdin) => {
            check_delimiter(stdin.format, stdin.delimiter.as_deref(), at("delimiter"), problems);
            let (key, policy, partitions) = (stdin.key.clone(), stdin.on_undecodable, stdin.partitions);
            let settings = serde_json::to_value(stdin).unwrap_or_default();
            (ingest(table, &name, "stdin", settings, partitions, around), key, policy)
        }
        raw::Source::Generator(mut generator) => {
            let kind = *generator.kind.get_or_insert(match generator.template {
                Some(_) => GeneratorKind::Template,
                None => GeneratorKind::Numbers,
            });
            let contradiction = |key, message: &str| Problem::new(code::CONTRADICTION, at(key), message);
            match (kind, &generator.template) {
                (GeneratorKind::Template, None) => problems.push(
                    contradiction("kind", "`kind = \"template\"` needs `template`")
                        .help("for example `template = '{\"n\":{n}}'`"),
                ),
                (GeneratorKind::Numbers | GeneratorKind::Temperature, Some(_)) => problems.push(
                    contradiction("kind", "only `kind = \"template\"` uses `template`")
                        .help("leave `kind` out, or say `kind = \"template\"`"),
                ),
                (GeneratorKind::Numbers, None) if is_pointer(&generator.key) => problems.push(
                    contradiction("key", "numbers have no fields, so `key` finds nothing in them")
                        .help("make objects: `template = '{\"key\":\"a\",\"n\":{n}}'` with `key = \"/key\"`"),
                ),
                _ => {}
            }
            for (key, is_set) in [("rooms", generator.rooms.is_some()), ("seed", generator.seed.is_some())] {
                if is_set && kind != GeneratorKind::Temperature {
                    problems.push(
                        contradiction(key, &format!("only `kind = \"temperature\"` uses `{key}`"))
                            .help("leave it out, or say `kind = \"temperature\"`"),
                    );
                }
            }
            let (policy, partitions) = (generator.on_undecodable, generator.partitions);
            // Text that is no pointer is the key of every record: the source sets that itself.
            let key = generator
                .key
                .clone()
                .filter(|key| key.is_empty() || key.starts_with('/'));
            let sets_keys = generator.key.is_some() && key.is_none();
            let settings = serde_json::to_value(generator).unwrap_or_default();
            let mut kind = ingest(table, &name, "generator", settings, partitions, around);
            if let SourceKind::Ingest { sets_keys: sets, .. } = &mut kind {
                *sets = sets_keys;
            }
            (kind, key, policy)
        }
    };
    if let Some(key) = &key {
        check_pointer(key, at("key"), problems);
    }
    Source {
        name,
        kind,
        key,
        on_undecodable: on_undecodable.into(),
    }
}

fn ingest(
    table: &Table,
    name: &str,
    kind: &str,
    settings: Json,
    partitions: Option<u32>,
    around: &Surroundings<'_>,
) -> SourceKind {
    SourceKind::Ingest {
        connector: connector(name, kind, settings),
        partitions: partitions.unwrap_or(around.partitions),
        sets_keys: false,
        written: written(table),
    }
}

fn start(table: &Table, span: Span, problems: &mut Vec<Problem>) -> Start {
    let text = match table.get("start").map(|value| &value.kind) {
        Some(Kind::String(text)) => text.value().to_owned(),
        Some(Kind::Date(text)) => text.clone(),
        Some(Kind::Integer(ms)) => return Start::Time(*ms),
        _ => return Start::default(),
    };
    match parse_start(&text) {
        Ok(start) => start,
        Err(why) => {
            problems.push(Problem::new(code::BAD_TIME, span, why));
            Start::default()
        }
    }
}

pub(crate) fn sink(entry: &Entry, raw: raw::Sink, around: &Surroundings<'_>, problems: &mut Vec<Problem>) -> SinkKind {
    const EMPTY: &Table = &Table { entries: Vec::new() };
    let table = entry.value.as_table().unwrap_or(EMPTY);
    let at = |key: &str| table.span(key, entry.key_span);
    let (kind, settings, batch, on_error) = match raw {
        raw::Sink::Kafka(kafka) => {
            check_topic(&kafka.topic, "the name of a topic", at("topic"), problems);
            return SinkKind::Topic(kafka.topic);
        }
        raw::Sink::Mysql(mysql) => {
            check_url(table, &["mysql", "mariadb"], problems);
            check_sql(table, entry, mysql.mode, problems);
            let settings = serde_json::to_value(&mysql).unwrap_or_default();
            ("mysql", settings, mysql.batch, mysql.on_error)
        }
        raw::Sink::Sqlite(mut sqlite) => {
            sqlite.path = absolute(around.dir, &sqlite.path, at("path"), problems);
            check_sql(table, entry, sqlite.mode, problems);
            let settings = serde_json::to_value(&sqlite).unwrap_or_default();
            ("sqlite", settings, sqlite.batch, sqlite.on_error)
        }
        raw::Sink::Mongodb(mongodb) => {
            check_url(table, &["mongodb", "mongodb+srv"], problems);
            if let Some(id) = mongodb.id.as_ref().filter(|id| *id != "origin") {
                check_pointer(id, at("id"), problems);
            }
            let settings = serde_json::to_value(&mongodb).unwrap_or_default();
            ("mongodb", settings, mongodb.batch, mongodb.on_error)
        }
        raw::Sink::Stdout(stdout) => {
            let settings = serde_json::to_value(&stdout).unwrap_or_default();
            ("stdout", settings, stdout.batch, stdout.on_error)
        }
        raw::Sink::File(mut file) => {
            file.path = absolute(around.dir, &file.path, at("path"), problems);
            let settings = serde_json::to_value(&file).unwrap_or_default();
            ("file", settings, file.batch, file.on_error)
        }
        raw::Sink::Blackhole(blackhole) => {
            let settings = serde_json::to_value(&blackhole).unwrap_or_default();
            ("blackhole", settings, blackhole.batch, blackhole.on_error)
        }
    };
    external(entry, table, kind, settings, &batch, on_error.into())
}

fn external(entry: &Entry, table: &Table, kind: &str, settings: Json, batch: &Batch, on_error: OnError) -> SinkKind {
    SinkKind::External {
        connector: connector(&entry.key, kind, settings),
        written: written(table),
        on_error,
        batch: batch.into(),
    }
}

/// Shows nothing of the URL: it may hold a password.
fn check_url(table: &Table, schemes: &[&str], problems: &mut Vec<Problem>) {
    let Some(value) = table.get("url").filter(|value| value.is_filled()) else {
        return;
    };
    let Some(url) = value.as_str().map(Str::value) else {
        return;
    };
    let wanted: Vec<String> = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect();
    let rest = schemes
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme)?.strip_prefix("://"));
    let problem = |message: &str| Problem::new(code::BAD_URL, value.span, message);
    match rest {
        None => problems.push(problem(&format!("this URL must start with {}", wanted.join(" or ")))),
        Some("") => problems.push(problem("this URL names no host")),
        Some(_) if url.chars().any(|c| c.is_control() || c == ' ') => problems.push(
            problem("this URL has a space or a control character in it")
                .help("a line break at the end of a secret is the usual cause; others are written as `%20`"),
        ),
        Some(_) => {}
    }
}

fn check_sql(table: &Table, entry: &Entry, mode: SqlMode, problems: &mut Vec<Problem>) {
    let keys = table.get("key").and_then(|key| key.as_array()).unwrap_or(&[]);
    if mode == SqlMode::Upsert && keys.is_empty() {
        problems.push(
            Problem::new(
                code::CONTRADICTION,
                table.span("mode", entry.key_span),
                format!("[sinks.{}] writes by `upsert` and needs `key`", entry.key),
            )
            .help("name the columns that identify a row, `key = [\"word\"]`, or say `mode = \"insert\"`"),
        );
    }
    let columns = table.table("columns");
    let mut seen: Vec<&str> = Vec::new();
    for key in keys {
        let Some(text) = key.as_str() else { continue };
        if seen.contains(&text.value()) {
            problems.push(Problem::new(
                code::CONTRADICTION,
                key.span,
                format!("the column `{}` is named twice", text.written),
            ));
        }
        seen.push(text.value());
        if !columns.entries.is_empty() && columns.get(text.value()).is_none() {
            problems.push(
                Problem::new(
                    code::CONTRADICTION,
                    key.span,
                    format!("the key column `{}` is not among `columns`", text.written),
                )
                .help(format!(
                    "add `{} = \"varchar(255)\"` or the like to `columns`",
                    text.written
                )),
            );
        }
    }
}

/// Settings are the table's keys with defaults and secrets filled in and paths made absolute.
pub(crate) fn connector(name: &str, kind: &str, settings: Json) -> Connector {
    let mut settings = match settings {
        Json::Object(map) => map,
        _ => Map::new(),
    };
    settings.retain(|key, _| !NOT_SETTINGS.contains(&key.as_str()));
    Connector {
        name: name.into(),
        kind: kind.to_owned(),
        settings: Json::Object(settings).to_string(),
    }
}

/// The table as it is written: no secrets, no paths of this machine, and no wiring.
fn written(table: &Table) -> String {
    let mut map = table.to_json(false);
    map.retain(|key, _| key != "inputs" && key != "batch");
    map.sort_keys();
    Json::Object(map).to_string()
}

pub(crate) fn absolute(dir: &Path, path: &str, span: Span, problems: &mut Vec<Problem>) -> String {
    let absolute = dir.join(path);
    match absolute.to_str() {
        Some(text) => text.to_owned(),
        None => {
            problems.push(Problem::new(
                code::UNREADABLE,
                span,
                "the directory of the pipeline file has a name that is not UTF-8",
            ));
            String::new()
        }
    }
}

fn check_delimiter(format: LineFormat, delimiter: Option<&str>, span: Span, problems: &mut Vec<Problem>) {
    let Some(delimiter) = delimiter else { return };
    if format != LineFormat::Csv {
        problems.push(
            Problem::new(code::CONTRADICTION, span, "only `format = \"csv\"` uses `delimiter`")
                .help("leave it out, or say `format = \"csv\"`"),
        );
    } else if !delimiter.is_ascii() || delimiter.contains(['"', '\r', '\n']) {
        problems.push(
            Problem::new(
                code::CONTRADICTION,
                span,
                "`delimiter` is one ASCII character, and no quote or line feed",
            )
            .help("such as `;`, or `\\t` for a tab"),
        );
    }
}

fn is_pointer(key: &Option<String>) -> bool {
    key.as_ref().is_some_and(|key| key.starts_with('/'))
}
