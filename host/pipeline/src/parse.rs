//! Text to tree: the pipeline file, `--set`, and what `--embedded` replaces.

use toml::de::DeTable;

use crate::code;
use crate::diagnostic::{Problem, nearest};
use crate::text::{Sources, Span};
use crate::value::{Entry, Kind, Table, Value, table};

/// A parsed pipeline file.
pub(crate) struct Document {
    /// The tree, `--set` applied.
    pub root: Value,
    /// Names and contents of the texts; 0 is the file.
    texts: Vec<(String, String)>,
    /// The lines of the file (as bytes) that are not TOML.
    broken: Vec<(usize, usize)>,
}

impl Document {
    /// Parses the file and then each `--set path=value`, which it puts into the tree.
    pub(crate) fn parse(name: String, text: String, set: &[(String, String)], problems: &mut Vec<Problem>) -> Self {
        let (parsed, errors) = DeTable::parse_recoverable(&text);
        let mut broken = Vec::new();
        let mut last_line_end = None;
        for error in errors {
            let range = error.span().unwrap_or(0..0);
            let span = Span {
                source: 0,
                start: range.start,
                end: range.end,
            };
            let (from, to) = lines_around(&text, span);
            broken.push((from, to));
            // What follows on the next line is most often the same mistake.
            let follows = last_line_end.is_some_and(|end: usize| {
                end >= from || text.get(end..from).is_some_and(|between| between.trim().is_empty())
            });
            last_line_end = last_line_end.max(Some(to));
            if !follows {
                problems.push(syntax_problem(error.message().trim(), &text, span));
            }
        }
        let root = Value {
            span: Span::START,
            kind: Kind::Table(table(parsed.get_ref(), 0, problems)),
        };
        let mut document = Self {
            root,
            texts: vec![(name, text)],
            broken,
        };
        for (path, value) in set {
            document.set(path, value, problems);
        }
        document
    }

    /// Whether there are syntax errors, so that much may look missing that is there.
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Whether the place is on a line with a syntax error.
    pub(crate) fn is_broken_at(&self, span: Span) -> bool {
        span.source == 0
            && self
                .broken
                .iter()
                .any(|(start, end)| *start <= span.start && span.start <= *end)
    }

    /// The texts as they may be shown.
    pub(crate) fn sources(self) -> Sources {
        let mut secret = Vec::new();
        if let Some(root) = self.root.as_table() {
            secret_places(root, &self.texts, &mut secret);
        }
        if !self.broken.is_empty()
            && let Some((_, text)) = self.texts.first()
        {
            suspicious_lines(text, &mut secret);
        }
        Sources::new(self.texts, &secret)
    }

    fn set(&mut self, path: &str, value: &str, problems: &mut Vec<Problem>) {
        let source = self.texts.len();
        let name = format!("--set {path}");
        let as_toml = format!("{path} = {value}");
        let as_text = || format!("{path} = {}", serde_json::Value::from(value));
        let depth = DeTable::parse(&format!("{path} = 0"))
            .ok()
            .and_then(|parsed| depth_of(&table(parsed.get_ref(), source, problems)));
        let parsed = depth.and_then(|depth| {
            [as_toml, as_text()].into_iter().find_map(|text| {
                let parsed = DeTable::parse(&text).ok()?;
                let mut ignored = Vec::new();
                let table = table(parsed.get_ref(), source, &mut ignored);
                is_single(&table, depth).then(|| (table, text.clone(), ignored))
            })
        });
        let span = Span {
            source,
            start: 0,
            end: path.len(),
        };
        let Some((change, text, found)) = parsed else {
            self.texts.push((name, path.to_owned()));
            problems.push(
                Problem::new(code::BAD_SET, span, format!("`{path}` is not the path of a value"))
                    .help("write `--set sinks.totals.table=words`: keys with dots between them, as in TOML"),
            );
            return;
        };
        problems.extend(found);
        self.texts.push((name, text));
        let Some(root) = self.root.as_table_mut() else { return };
        if let Err(key) = merge(root, change, depth.unwrap_or(1)) {
            problems.push(
                Problem::new(code::BAD_SET, span, format!("`{key}` is not a table in the pipeline"))
                    .help("`--set` can replace a value or add a key to a table"),
            );
        }
    }
}

/// How many keys lead to the one value of a table.
fn depth_of(table: &Table) -> Option<usize> {
    match table.entries.as_slice() {
        [entry] => match &entry.value.kind {
            Kind::Table(inner) => Some(1 + depth_of(inner)?),
            _ => Some(1),
        },
        _ => None,
    }
}

/// Whether the table holds nothing but one value `depth` keys down.
fn is_single(table: &Table, depth: usize) -> bool {
    match table.entries.as_slice() {
        [_] if depth <= 1 => true,
        [entry] => entry.value.as_table().is_some_and(|inner| is_single(inner, depth - 1)),
        _ => false,
    }
}

/// Puts the value that is `depth` keys down in `change` to the same place in `into`.
fn merge(into: &mut Table, change: Table, depth: usize) -> Result<(), String> {
    for entry in change.entries {
        let Some(at) = into.entry_mut(&entry.key) else {
            into.entries.push(entry);
            continue;
        };
        if depth <= 1 {
            at.value = entry.value;
            continue;
        }
        match (&mut at.value.kind, entry.value.kind) {
            (Kind::Table(old), Kind::Table(new)) => merge(old, new, depth - 1)?,
            _ => return Err(entry.key),
        }
    }
    Ok(())
}

/// Under `--embedded`: the nodes of `[embedded]` take the places of those they are named after.
/// Else they go, so that their secrets are not asked for. Either way the section is gone.
pub(crate) fn replace_embedded(root: &mut Table, embedded: bool, problems: &mut Vec<Problem>) {
    let Some(section) = root.remove("embedded") else { return };
    let Some(section) = section.value.as_table() else {
        return;
    };
    for kind in ["sources", "sinks"] {
        for replacement in &section.table(kind).entries {
            let names: Vec<&str> = root.table(kind).entries.iter().map(|e| e.key.as_str()).collect();
            let known = names.contains(&replacement.key.as_str());
            if !known {
                problems.push(
                    Problem::new(
                        code::NOTHING_TO_REPLACE,
                        replacement.key_span,
                        format!("there is no [{kind}.{}] to replace", replacement.key),
                    )
                    .maybe_help(nearest(&replacement.key, names, kind)),
                );
            }
            if embedded && let Some(nodes) = root.entry_mut(kind).and_then(|e| e.value.as_table_mut()) {
                match nodes.entry_mut(&replacement.key) {
                    Some(node) => take_over(node, replacement),
                    None => nodes.entries.push(replacement.clone()),
                }
            }
        }
    }
}

fn take_over(node: &mut Entry, replacement: &Entry) {
    let inputs = node.value.as_table().and_then(|old| old.entry("inputs")).cloned();
    node.key_span = replacement.key_span;
    node.value = replacement.value.clone();
    if let (Some(inputs), Some(new)) = (inputs, node.value.as_table_mut())
        && new.entry("inputs").is_none()
    {
        new.entries.push(inputs);
    }
}

fn syntax_problem(message: &str, text: &str, span: Span) -> Problem {
    let what = text.get(span.start..span.end).unwrap_or("");
    match message {
        "duplicate key" => Problem::new(code::SYNTAX, span, format!("`{what}` is there twice")),
        message => Problem::new(code::SYNTAX, span, message),
    }
}

fn lines_around(text: &str, span: Span) -> (usize, usize) {
    let start = span.start.min(text.len());
    let end = span.end.clamp(start, text.len());
    let bytes = text.as_bytes();
    let from = bytes[..start].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let to = bytes[end..]
        .iter()
        .position(|b| *b == b'\n')
        .map_or(text.len(), |at| end + at);
    (from, to)
}

/// Words in a key that mean its value is a secret.
const SECRET_WORDS: [&str; 7] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "api_key",
];

fn secret_places(table: &Table, texts: &[(String, String)], found: &mut Vec<Span>) {
    for entry in &table.entries {
        let key = entry.key.to_lowercase();
        if key == "properties" || SECRET_WORDS.iter().any(|word| key.contains(word)) {
            hide(&entry.value, texts, found);
        } else if key == "url" {
            hide_login(entry.value.span, texts, found);
        }
        visit_tables(&entry.value, &mut |inner| secret_places(inner, texts, found));
    }
}

fn visit_tables(value: &Value, visit: &mut dyn FnMut(&Table)) {
    match &value.kind {
        Kind::Table(table) => visit(table),
        Kind::Array(items) => items.iter().for_each(|item| visit_tables(item, visit)),
        _ => {}
    }
}

/// Hides what a value says, but for its placeholders, which say nothing.
fn hide(value: &Value, texts: &[(String, String)], found: &mut Vec<Span>) {
    match &value.kind {
        Kind::Table(table) => table.entries.iter().for_each(|entry| hide(&entry.value, texts, found)),
        Kind::Array(items) => items.iter().for_each(|item| hide(item, texts, found)),
        _ => {
            if let Some(text) = slice(value.span, texts) {
                hide_text(text, value.span, found);
            }
        }
    }
}

fn hide_text(text: &str, span: Span, found: &mut Vec<Span>) {
    let mut at = 0;
    while let Some(open) = text[at..].find("${").map(|i| at + i) {
        let Some(close) = text[open..].find('}').map(|i| open + i + 1) else {
            break;
        };
        found.push(part(span, at, open));
        at = close;
    }
    found.push(part(span, at, text.len()));
}

/// Hides user and password of a URL.
fn hide_login(span: Span, texts: &[(String, String)], found: &mut Vec<Span>) {
    let Some(text) = slice(span, texts) else { return };
    if let Some(end) = text.rfind('@') {
        let start = text[..end].find("://").map_or(0, |i| i + 3);
        hide_text(&text[start..end], part(span, start, end), found);
    }
}

fn slice(span: Span, texts: &[(String, String)]) -> Option<&str> {
    texts.get(span.source)?.1.get(span.start..span.end)
}

fn part(span: Span, start: usize, end: usize) -> Span {
    Span {
        source: span.source,
        start: span.start + start,
        end: span.start + end,
    }
}

/// Where there are syntax errors the tree is not to be trusted: values are hidden by what their
/// lines look like.
fn suspicious_lines(text: &str, found: &mut Vec<Span>) {
    let mut start = 0;
    let mut in_properties = false;
    for line in text.split_inclusive('\n') {
        let lower = line.to_lowercase();
        if lower.trim_start().starts_with('[') {
            in_properties = lower.contains("properties");
        }
        let hidden = in_properties
            || lower.contains("properties")
            || lower.contains("url")
            || SECRET_WORDS.iter().any(|word| lower.contains(word));
        if hidden && !lower.trim_start().starts_with('[') {
            let from = line
                .find("= ")
                .map(|at| at + 2)
                .or_else(|| Some(line.find('=')? + 1))
                .unwrap_or(0);
            found.push(Span {
                source: 0,
                start: start + from,
                end: start + line.len(),
            });
        }
        start += line.len();
    }
}
