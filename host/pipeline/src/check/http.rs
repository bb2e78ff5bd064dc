//! Checks `http` sources: their addresses, routes, and what is made of requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use record::origin::HEADER_PREFIX;
use record::template::{From, Template};

use super::names::{check_pointer, check_topic};
use super::nodes::connector;
use crate::checked::SourceKind;
use crate::code;
use crate::diagnostic::Problem;
use crate::fill::has_placeholder;
use crate::raw::OnError;
use crate::raw::http::{BodyFormat, HttpSource};
use crate::text::Span;
use crate::value::{Entry, Kind, Table, Value};

/// A token that can be guessed is none.
const TOKEN_BYTES_MIN: usize = 16;

pub(super) fn source(entry: &Entry, mut raw: HttpSource, partitions: u32, problems: &mut Vec<Problem>) -> SourceKind {
    const EMPTY: &Table = &Table { entries: Vec::new() };
    let table = entry.value.as_table().unwrap_or(EMPTY);
    let at = |key: &str| table.span(key, entry.key_span);
    check_address(&raw, at("listen"), problems);
    check_tokens(table, problems);
    if let Some(topic) = &raw.topic {
        check_topic(topic, "the name of a topic", at("topic"), problems);
        if raw.partitions.is_some() {
            problems.push(
                Problem::new(
                    code::CONTRADICTION,
                    at("partitions"),
                    "`partitions` is of the topic that is named after the source, and `topic` names another",
                )
                .help("leave one of them out"),
            );
        }
    }
    if matches!(raw.on_undecodable, OnError::Skip) {
        problems.push(
            Problem::new(
                code::CONTRADICTION,
                at("on_undecodable"),
                "an `http` source skips nothing: whoever gets an answer of success believes that the record is kept",
            )
            .help("`\"fail\"` answers 400, `\"dead_letter\"` keeps the record"),
        );
    }
    let routes = table.get("routes").and_then(Value::as_array).unwrap_or(&[]);
    check_paths(routes, problems);
    for (route, raw) in routes.iter().zip(&raw.routes) {
        if let Some(table) = route.as_table() {
            Route {
                table,
                span: route.span,
                parameters: parameters(&raw.path),
                has_body: raw.event == "body",
            }
            .check(raw.key.as_deref(), problems);
        }
    }
    let sets_keys = raw.routes.iter().all(|route| route.key.is_some());
    let (topic, own) = (raw.topic.take(), raw.partitions.take());
    // One key of a route asks for JSON: it is looked for in the body.
    if raw.format == BodyFormat::Bytes {
        check_bytes(routes, problems);
    }
    SourceKind::Listen {
        connector: connector(&entry.key, "http", serde_json::to_value(raw).unwrap_or_default()),
        topic,
        partitions: own.unwrap_or(partitions),
        sets_keys,
    }
}

/// Two sources of a pipeline cannot have one address.
pub(super) fn check_addresses(root: &Table, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<SocketAddr, (&str, Span)> = BTreeMap::new();
    for entry in &root.table("sources").entries {
        let Some(table) = entry.value.as_table() else { continue };
        let is_http = table.get("type").and_then(Value::as_str).map(|kind| kind.value()) == Some("http");
        let listen = table.get("listen").filter(|_| is_http);
        let Some((value, text)) = listen.and_then(|value| Some((value, value.as_str()?))) else {
            continue;
        };
        let Ok(address) = text.value().parse::<SocketAddr>() else {
            continue;
        };
        // The system chooses another port for each.
        if address.port() == 0 {
            continue;
        }
        if let Some((other, first)) = seen.insert(address, (&entry.key, value.span)) {
            problems.push(
                Problem::new(
                    code::BAD_ADDRESS,
                    value.span,
                    format!("the source `{other}` listens on {address} already"),
                )
                .also(first, "here")
                .help("give one of them another port, or make one source of both: a source has many routes"),
            );
        }
    }
}

fn check_address(raw: &HttpSource, span: Span, problems: &mut Vec<Problem>) {
    if has_placeholder(&raw.listen) {
        return;
    }
    let Ok(address) = raw.listen.parse::<SocketAddr>() else {
        problems.push(
            Problem::new(
                code::BAD_ADDRESS,
                span,
                format!("`{}` is no address with a port", raw.listen),
            )
            .help("such as `127.0.0.1:8080`, `[::1]:8080`, or `0.0.0.0:8080` for all interfaces"),
        );
        return;
    };
    if !address.ip().is_loopback() && raw.tokens.is_empty() && !raw.public {
        problems.push(
            Problem::new(
                code::BAD_ADDRESS,
                span,
                format!("other machines reach {address}, and anybody there could write records"),
            )
            .help("name `tokens`, say `public = true`, or listen on 127.0.0.1"),
        );
    }
}

fn check_tokens(table: &Table, problems: &mut Vec<Problem>) {
    for token in table.get("tokens").and_then(Value::as_array).unwrap_or(&[]) {
        let Some(text) = token.as_str().filter(|_| token.is_filled()) else {
            continue;
        };
        let value = text.value();
        if value.len() < TOKEN_BYTES_MIN {
            problems.push(
                Problem::new(
                    code::OUT_OF_RANGE,
                    token.span,
                    format!("this token has less than {TOKEN_BYTES_MIN} bytes"),
                )
                .help("make one with `openssl rand -hex 32`"),
            );
        } else if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            problems.push(
                Problem::new(
                    code::OUT_OF_RANGE,
                    token.span,
                    "this token has a byte in it that an HTTP header cannot have",
                )
                .help("a line break at the end of a secret is the usual cause"),
            );
        }
    }
}

/// The names between braces.
fn parameters(path: &str) -> Vec<String> {
    let inside = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    inside.map(|name| name.trim_start_matches('*').to_owned()).collect()
}

/// Paths as the router takes them, and each method of a path once.
fn check_paths(routes: &[Value], problems: &mut Vec<Problem>) {
    let mut router = matchit::Router::new();
    let mut first_of: BTreeMap<&str, (Span, Vec<&str>)> = BTreeMap::new();
    for route in routes {
        let Some(table) = route.as_table() else { continue };
        let Some((span, path)) = table
            .get("path")
            .and_then(|value| Some((value.span, value.as_str()?.value())))
        else {
            continue;
        };
        let methods = methods(table);
        if let Some((first, known)) = first_of.get_mut(path) {
            if let Some(method) = methods.iter().find(|method| known.contains(method)) {
                problems.push(
                    Problem::new(code::BAD_ROUTE, span, format!("there are two routes `{method} {path}`"))
                        .also(*first, "the first")
                        .help("give one of them another path or method"),
                );
            }
            known.extend(methods);
            continue;
        }
        if !path.starts_with('/') {
            problems.push(
                Problem::new(
                    code::BAD_ROUTE,
                    span,
                    format!("the path `{path}` does not start with `/`"),
                )
                .help(format!("write `/{path}`")),
            );
            continue;
        }
        if let Some(old) = path.split('/').find(|part| part.starts_with([':', '*'])) {
            let name = old.trim_start_matches([':', '*']);
            problems.push(
                Problem::new(code::BAD_ROUTE, span, format!("`{old}` is no parameter of a path")).help(format!(
                    "write `{{{}{name}}}`",
                    if old.starts_with('*') { "*" } else { "" }
                )),
            );
            continue;
        }
        match router.insert(path, ()) {
            Ok(()) => {
                first_of.insert(path, (span, methods));
            }
            Err(matchit::InsertError::Conflict { with }) => {
                let mut problem = Problem::new(
                    code::BAD_ROUTE,
                    span,
                    format!("the paths `{path}` and `{with}` fit the same requests"),
                )
                .help("give their parameters the same names, or make their fixed parts differ");
                if let Some((first, _)) = first_of.get(with.as_str()) {
                    problem = problem.also(*first, "the other");
                }
                problems.push(problem);
            }
            Err(error) => problems.push(
                Problem::new(
                    code::BAD_ROUTE,
                    span,
                    format!("the path `{path}` is malformed: {error}"),
                )
                .help("a parameter is a whole segment, such as `/rooms/{room}`; `{*rest}` stands at the end only"),
            ),
        }
    }
}

fn methods(route: &Table) -> Vec<&str> {
    match route.get("method") {
        None => vec!["POST"],
        Some(value) => match &value.kind {
            Kind::Array(items) => items
                .iter()
                .filter_map(Value::as_str)
                .map(|text| text.value())
                .collect(),
            _ => value.as_str().map(|text| text.value()).into_iter().collect(),
        },
    }
}

/// A route, and what its templates may name.
struct Route<'a> {
    table: &'a Table,
    span: Span,
    parameters: Vec<String>,
    has_body: bool,
}

impl Route<'_> {
    fn check(&self, key: Option<&str>, problems: &mut Vec<Problem>) {
        let at = |key: &str| self.table.span(key, self.span);
        if self.has_body && methods(self.table).contains(&"GET") {
            problems.push(
                Problem::new(
                    code::CONTRADICTION,
                    at("method"),
                    "a GET request has no body, and the event of this route is its body",
                )
                .help("write the event as a table, such as `event = { type = \"join_guild\" }`"),
            );
        }
        let mut seen: Vec<&str> = Vec::new();
        if let Some(method) = methods(self.table).into_iter().find(|method| {
            let twice = seen.contains(method);
            seen.push(method);
            twice
        }) {
            problems.push(Problem::new(
                code::BAD_ROUTE,
                at("method"),
                format!("`{method}` is named twice"),
            ));
        }
        if let Some(event) = self.table.get("event").filter(|event| event.as_table().is_some()) {
            let mut numbers = Vec::new();
            event.not_json(&mut numbers);
            for span in numbers {
                problems.push(
                    Problem::new(code::NOT_JSON, span, "JSON has no `nan` and no `inf`")
                        .help("write it as text, or leave it out"),
                );
            }
            self.check_event(event, problems);
        }
        match key {
            Some(key) if key.starts_with('/') => check_pointer(key, at("key"), problems),
            Some(key) => {
                let template = self.check_template(key, at("key"), problems);
                if template.is_some_and(|template| template.places().next().is_none()) {
                    problems.push(
                        Problem::new(
                            code::BAD_TEMPLATE,
                            at("key"),
                            "this would be the key of all records: they would all go to one partition",
                        )
                        .help("a JSON Pointer into the value such as `\"/room\"`, or `\"{path.room}\"`"),
                    );
                }
            }
            None => {}
        }
        for header in self.table.get("headers").and_then(Value::as_array).unwrap_or(&[]) {
            let Some(name) = header.as_str().map(|text| text.value()) else {
                continue;
            };
            if http::HeaderName::try_from(name).is_err() {
                problems.push(
                    Problem::new(
                        code::BAD_ROUTE,
                        header.span,
                        format!("`{name}` is no name of an HTTP header"),
                    )
                    .help("such as `User-Agent`"),
                );
            } else if name.to_ascii_lowercase().starts_with(HEADER_PREFIX) || secret(name) {
                problems.push(
                    Problem::new(
                        code::BAD_ROUTE,
                        header.span,
                        format!("`{name}` is not kept as a header of records"),
                    )
                    .help("headers that start with `wasmill-` are Wasmill's own, and those that hold credentials stay out of topics"),
                );
            }
        }
    }

    fn check_event(&self, value: &Value, problems: &mut Vec<Problem>) {
        match &value.kind {
            Kind::String(text) => {
                self.check_template(text.value(), value.span, problems);
            }
            Kind::Array(items) => items.iter().for_each(|item| self.check_event(item, problems)),
            Kind::Table(table) => table
                .entries
                .iter()
                .for_each(|entry| self.check_event(&entry.value, problems)),
            _ => {}
        }
    }

    fn check_template(&self, text: &str, span: Span, problems: &mut Vec<Problem>) -> Option<Template> {
        let template =
            match Template::parse(text) {
                Ok(template) => template,
                Err(why) => {
                    problems.push(Problem::new(code::BAD_TEMPLATE, span, why).help(
                        "`{path.NAME}`, `{query.NAME}`, `{header.NAME}` and `{now}` stand for parts of the request",
                    ));
                    return None;
                }
            };
        for place in template.places() {
            match &place.from {
                From::Path(name) if !self.parameters.contains(name) => {
                    let known: Vec<String> = self.parameters.iter().map(|name| format!("`{name}`")).collect();
                    problems.push(
                        Problem::new(
                            code::BAD_TEMPLATE,
                            span,
                            format!("the path of this route has no parameter `{name}`"),
                        )
                        .help(match known.as_slice() {
                            [] => "it has none; one is written as in `/rooms/{room}`".to_owned(),
                            _ => format!("it has {}", known.join(", ")),
                        }),
                    );
                }
                From::Header(name) if http::HeaderName::try_from(name.as_str()).is_err() || secret(name) => {
                    problems.push(Problem::new(
                        code::BAD_TEMPLATE,
                        span,
                        format!("`{name}` is no name of an HTTP header, or holds credentials"),
                    ));
                }
                _ => {}
            }
        }
        Some(template)
    }
}

/// Headers that hold credentials.
fn secret(name: &str) -> bool {
    ["authorization", "proxy-authorization", "cookie"].contains(&name.to_ascii_lowercase().as_str())
}

/// A pointer finds something in JSON alone.
fn check_bytes(routes: &[Value], problems: &mut Vec<Problem>) {
    for table in routes.iter().filter_map(Value::as_table) {
        let is_body = table.get("event").is_none_or(|event| event.as_str().is_some());
        if let Some(key) = table.get("key")
            && is_body
            && key.as_str().is_some_and(|text| text.value().starts_with('/'))
        {
            problems.push(
                Problem::new(
                    code::CONTRADICTION,
                    key.span,
                    "this key is looked for in JSON, and `format = \"bytes\"` takes any bytes",
                )
                .help("say `format = \"json\"`, or take the key from elsewhere, such as `\"{query.key}\"`"),
            );
        }
    }
}
