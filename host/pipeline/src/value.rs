//! A TOML document as a tree in which every key and value knows its place and every string
//! remembers how it was written. Nothing here has `Debug`: it may hold secrets.

use toml::de::{DeTable, DeValue};

use crate::code;
use crate::diagnostic::Problem;
use crate::text::Span;

/// A value and its place.
#[derive(Clone)]
pub(crate) struct Value {
    pub span: Span,
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone)]
pub(crate) enum Kind {
    String(Str),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A TOML date or time, as RFC 3339 has it.
    Date(String),
    Array(Vec<Value>),
    Table(Table),
}

/// A string.
#[derive(Clone)]
pub(crate) struct Str {
    /// As it is written, placeholders and all.
    pub written: String,
    /// With the placeholders filled in; `None`: there are none.
    pub filled: Option<String>,
    /// A placeholder could not be filled in.
    pub failed: bool,
}

impl Str {
    /// What the pipeline works with.
    pub(crate) fn value(&self) -> &str {
        self.filled.as_deref().unwrap_or(&self.written)
    }
}

/// A table in the order of the file.
#[derive(Clone, Default)]
pub(crate) struct Table {
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone)]
pub(crate) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Value,
}

impl Table {
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(crate) fn entry_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The table under `key`, empty when there is none.
    pub(crate) fn table(&self, key: &str) -> &Table {
        const EMPTY: &Table = &Table { entries: Vec::new() };
        self.get(key).and_then(Value::as_table).unwrap_or(EMPTY)
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at))
    }

    /// The place of the value under `key`, else `or`.
    pub(crate) fn span(&self, key: &str, or: Span) -> Span {
        self.get(key).map_or(or, |value| value.span)
    }
}

impl Value {
    pub(crate) fn as_table(&self) -> Option<&Table> {
        match &self.kind {
            Kind::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn as_table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.kind {
            Kind::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Value]> {
        match &self.kind {
            Kind::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&Str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// As messages name it, article included.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::String(_) => "a string",
            Kind::Integer(_) => "an integer",
            Kind::Float(_) => "a float",
            Kind::Boolean(_) => "a boolean",
            Kind::Date(_) => "a date",
            Kind::Array(_) => "an array",
            Kind::Table(_) => "a table",
        }
    }

    /// The value that a JSON Pointer names, as deep as it leads, and the last key on the way.
    pub(crate) fn at_pointer(&self, pointer: &str) -> (&Value, Option<Span>) {
        let mut at = self;
        let mut key = None;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            match &at.kind {
                Kind::Table(table) => match table.entry(&part) {
                    Some(entry) => {
                        key = Some(entry.key_span);
                        at = &entry.value;
                    }
                    None => break,
                },
                Kind::Array(items) => match part.parse::<usize>().ok().and_then(|i| items.get(i)) {
                    Some(item) => at = item,
                    None => break,
                },
                _ => break,
            }
        }
        (at, key)
    }

    /// Visits every string, depth first.
    pub(crate) fn strings_mut(&mut self, visit: &mut dyn FnMut(Span, &mut Str)) {
        match &mut self.kind {
            Kind::String(text) => visit(self.span, text),
            Kind::Array(items) => items.iter_mut().for_each(|item| item.strings_mut(visit)),
            Kind::Table(table) => table
                .entries
                .iter_mut()
                .for_each(|entry| entry.value.strings_mut(visit)),
            _ => {}
        }
    }

    /// Whether all placeholders below could be filled in.
    pub(crate) fn is_filled(&self) -> bool {
        match &self.kind {
            Kind::String(text) => !text.failed,
            Kind::Array(items) => items.iter().all(Self::is_filled),
            Kind::Table(table) => table.entries.iter().all(|entry| entry.value.is_filled()),
            _ => true,
        }
    }

    /// As JSON: dates as RFC 3339; with `filled` the placeholders filled in. Numbers that JSON
    /// does not have become null: [`Self::not_json`] finds them.
    pub(crate) fn to_json(&self, filled: bool) -> serde_json::Value {
        match &self.kind {
            Kind::String(text) if filled => text.value().into(),
            Kind::String(text) => text.written.as_str().into(),
            Kind::Integer(n) => (*n).into(),
            Kind::Float(x) => (*x).into(),
            Kind::Boolean(b) => (*b).into(),
            Kind::Date(date) => date.as_str().into(),
            Kind::Array(items) => items.iter().map(|item| item.to_json(filled)).collect(),
            Kind::Table(table) => table.to_json(filled).into(),
        }
    }

    /// The places of numbers that JSON does not have.
    pub(crate) fn not_json(&self, found: &mut Vec<Span>) {
        match &self.kind {
            Kind::Float(x) if !x.is_finite() => found.push(self.span),
            Kind::Array(items) => items.iter().for_each(|item| item.not_json(found)),
            Kind::Table(table) => table.entries.iter().for_each(|entry| entry.value.not_json(found)),
            _ => {}
        }
    }
}

impl Table {
    /// See [`Value::to_json`].
    pub(crate) fn to_json(&self, filled: bool) -> serde_json::Map<String, serde_json::Value> {
        self.entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.to_json(filled)))
            .collect()
    }
}

/// Takes a parsed table over; numbers that fit nowhere are problems.
pub(crate) fn table(parsed: &DeTable<'_>, source: usize, problems: &mut Vec<Problem>) -> Table {
    let span = |range: std::ops::Range<usize>| Span {
        source,
        start: range.start,
        end: range.end,
    };
    let mut entries: Vec<Entry> = parsed
        .iter()
        .map(|(key, item)| Entry {
            key: key.get_ref().to_string(),
            key_span: span(key.span()),
            value: Value {
                span: span(item.span()),
                kind: kind(item.get_ref(), span(item.span()), problems),
            },
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    Table { entries }
}

fn kind(parsed: &DeValue<'_>, span: Span, problems: &mut Vec<Problem>) -> Kind {
    match parsed {
        DeValue::String(text) => Kind::String(Str {
            written: text.to_string(),
            filled: None,
            failed: false,
        }),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => Kind::Integer(n),
            Err(_) => {
                problems.push(
                    Problem::new(code::OUT_OF_RANGE, span, "this integer is too large")
                        .help("integers have 64 bits and a sign"),
                );
                Kind::Integer(0)
            }
        },
        DeValue::Float(x) => match x.as_str().parse() {
            Ok(x) => Kind::Float(x),
            Err(_) => {
                problems.push(Problem::new(code::OUT_OF_RANGE, span, "this is not a number"));
                Kind::Float(0.0)
            }
        },
        DeValue::Boolean(b) => Kind::Boolean(*b),
        DeValue::Datetime(date) => Kind::Date(date.to_string()),
        DeValue::Array(items) => Kind::Array(
            items
                .iter()
                .map(|item| {
                    let range = item.span();
                    let span = Span {
                        source: span.source,
                        start: range.start,
                        end: range.end,
                    };
                    Value {
                        span,
                        kind: kind(item.get_ref(), span, problems),
                    }
                })
                .collect(),
        ),
        DeValue::Table(inner) => Kind::Table(table(inner, span.source, problems)),
    }
}
