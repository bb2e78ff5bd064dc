//! Which route a request takes, and the record that it becomes.

use http::{HeaderMap, HeaderName, Method};
use record::template::{From, Part, Place, Template};
use record::trace::{self, TraceParent};
use serde_json::{Map, Number, Value};

use super::settings::{Format, RouteSettings};

/// All routes of a source.
pub(super) struct Routes {
    router: matchit::Router<Vec<Route>>,
}

/// What is made of the requests of a path and some methods.
pub(super) struct Route {
    /// As the pipeline has it.
    pub(super) path: String,
    methods: Vec<Method>,
    event: Event,
    /// The name as it is looked for, and as the record has it.
    headers: Vec<(HeaderName, String)>,
    key: Key,
    pub(super) answer: Option<String>,
}

/// The value.
enum Event {
    Body,
    Made(Shape),
}

/// A JSON value with places for parts of the request.
enum Shape {
    Fixed(Value),
    Text(Template),
    List(Vec<Shape>),
    Table(Vec<(String, Shape)>),
}

enum Key {
    None,
    /// A JSON Pointer into the value.
    Pointer(String),
    Text(Template),
}

/// Where a request leads.
pub(super) enum Found<'a> {
    Route(&'a Route, Vec<(String, String)>),
    NoPath,
    /// With the methods that there are.
    NoMethod(String),
    /// The path is not text.
    Malformed,
}

/// A request without its body.
pub(super) struct Given<'a> {
    pub(super) parameters: Vec<(String, String)>,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// Milliseconds since 1970.
    pub(super) now: i64,
}

/// A record to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) timestamp: i64,
}

/// Why a request becomes no record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Its path, query or headers; for people.
    Request(String),
    /// Its body, and the word that dead letters have for that.
    Body(&'static str, String),
}

impl Routes {
    pub(super) fn new(settings: Vec<RouteSettings>) -> Result<Self, String> {
        let mut by_path: Vec<(String, Vec<Route>)> = Vec::new();
        for one in settings {
            let path = one.path.clone();
            let route = Route::new(one)?;
            match by_path.iter_mut().find(|(known, _)| *known == path) {
                Some((_, routes)) => routes.push(route),
                None => by_path.push((path, vec![route])),
            }
        }
        let mut router = matchit::Router::new();
        for (path, routes) in by_path {
            router
                .insert(path.as_str(), routes)
                .map_err(|error| format!("route `{path}`: {error}"))?;
        }
        Ok(Self { router })
    }

    pub(super) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let Ok(matched) = self.router.at(path) else {
            return Found::NoPath;
        };
        let Some(route) = matched.value.iter().find(|route| route.methods.contains(method)) else {
            let all = matched.value.iter().flat_map(|route| &route.methods);
            return Found::NoMethod(all.map(Method::as_str).collect::<Vec<_>>().join(", "));
        };
        let mut parameters = Vec::new();
        for (name, value) in matched.params.iter() {
            let Ok(value) = percent_encoding::percent_decode_str(value).decode_utf8() else {
                return Found::Malformed;
            };
            parameters.push((name.to_owned(), value.into_owned()));
        }
        Found::Route(route, parameters)
    }
}

impl Route {
    fn new(settings: RouteSettings) -> Result<Self, String> {
        let methods = settings.method.into_vec();
        let headers = settings.headers.into_iter().map(|written| {
            let name = HeaderName::try_from(written.as_str()).map_err(|_| format!("`{written}` is no header"))?;
            Ok::<_, String>((name, written))
        });
        Ok(Self {
            path: settings.path,
            methods: methods
                .iter()
                .map(|method| Method::try_from(method.as_str()).map_err(|_| format!("`{method}` is no method")))
                .collect::<Result<_, _>>()?,
            event: match settings.event {
                Value::Object(table) => Event::Made(Shape::new(Value::Object(table))?),
                _ => Event::Body,
            },
            headers: headers.collect::<Result<_, _>>()?,
            key: match settings.key {
                None => Key::None,
                Some(pointer) if pointer.starts_with('/') => Key::Pointer(pointer),
                Some(text) => Key::Text(Template::parse(&text)?),
            },
            answer: settings.answer,
        })
    }

    /// Whether the body is the value; else it is not read.
    pub(super) fn takes_body(&self) -> bool {
        matches!(self.event, Event::Body)
    }

    /// The record of a request. `body` is empty where it is not taken.
    pub(super) fn record(&self, given: &Given<'_>, body: Vec<u8>, format: Format) -> Result<Draft, (Unfit, Draft)> {
        let mut draft = Draft {
            key: None,
            value: body,
            headers: self.captured(given.headers),
            timestamp: given.now,
        };
        match self.fill(given, format, &mut draft) {
            Ok(()) => Ok(draft),
            Err(unfit) => Err((unfit, draft)),
        }
    }

    fn fill(&self, given: &Given<'_>, format: Format, draft: &mut Draft) -> Result<(), Unfit> {
        if let Key::Text(template) = &self.key {
            draft.key = Some(given.text(template).map_err(Unfit::Request)?.into_bytes());
        }
        let made = match &self.event {
            Event::Made(shape) => {
                let value = shape.fill(given).map_err(Unfit::Request)?;
                draft.value = value.to_string().into_bytes();
                Some(value)
            }
            Event::Body if matches!(self.key, Key::Pointer(_)) => Some(
                serde_json::from_slice(&draft.value)
                    .map_err(|error| Unfit::Body("bad-json", format!("the body is not JSON: {error}")))?,
            ),
            Event::Body if format == Format::Json => {
                serde_json::from_slice::<serde::de::IgnoredAny>(&draft.value)
                    .map_err(|error| Unfit::Body("bad-json", format!("the body is not JSON: {error}")))?;
                None
            }
            Event::Body => None,
        };
        if let Key::Pointer(pointer) = &self.key {
            draft.key = match made.as_ref().and_then(|value| value.pointer(pointer)) {
                Some(Value::String(text)) => Some(text.clone().into_bytes()),
                Some(Value::Null) | None => {
                    return Err(Unfit::Body("no-key", format!("`{pointer}` finds nothing in the event")));
                }
                Some(other) => Some(other.to_string().into_bytes()),
            };
        }
        Ok(())
    }

    /// The headers that the record keeps.
    fn captured(&self, headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
        let mut kept = Vec::new();
        for (name, written) in &self.headers {
            for value in headers.get_all(name) {
                kept.push((written.clone(), value.as_bytes().to_vec()));
            }
        }
        let traced = headers.get(trace::HEADER).map(http::HeaderValue::as_bytes);
        if let Some(traced) = traced.filter(|text| TraceParent::parse(text).is_some())
            && !self.headers.iter().any(|(name, _)| name == trace::HEADER)
        {
            kept.push((trace::HEADER.to_owned(), traced.to_vec()));
        }
        kept
    }
}

impl Shape {
    fn new(value: Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(&text)?),
            Value::Array(items) => Self::List(items.into_iter().map(Self::new).collect::<Result<_, _>>()?),
            Value::Object(table) => Self::Table(
                table
                    .into_iter()
                    .map(|(name, value)| Ok::<_, String>((name, Self::new(value)?)))
                    .collect::<Result<_, _>>()?,
            ),
            other => Self::Fixed(other),
        })
    }

    fn fill(&self, given: &Given<'_>) -> Result<Value, String> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => match template.as_place() {
                Some(place) => given.value(place)?,
                None => Value::String(given.text(template)?),
            },
            Self::List(items) => Value::Array(items.iter().map(|item| item.fill(given)).collect::<Result<_, _>>()?),
            Self::Table(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, shape)| Ok::<_, String>((name.clone(), shape.fill(given)?)))
                    .collect::<Result<Map<_, _>, _>>()?,
            ),
        })
    }
}

impl Given<'_> {
    /// What stands at a place. `None`: a header that the request does not have, which is nobody's mistake.
    fn look_up(&self, place: &Place) -> Result<Option<String>, String> {
        let found = match &place.from {
            From::Now => Some(self.now.to_string()),
            From::Path(name) => Some(
                self.parameters
                    .iter()
                    .find(|(own, _)| own == name)
                    .map(|(_, value)| value.clone())
                    .ok_or_else(|| format!("the path has no `{name}`"))?,
            ),
            From::Query(name) => Some(
                form_urlencoded::parse(self.query.as_bytes())
                    .find(|(own, _)| own == name)
                    .map(|(_, value)| value.into_owned())
                    .ok_or_else(|| format!("the query has no `{name}`"))?,
            ),
            From::Header(name) => self
                .headers
                .get_all(name.as_str())
                .iter()
                .next_back()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        };
        if place.is_number
            && let Some(text) = &found
            && serde_json::from_str::<Number>(text).is_err()
        {
            return Err(format!("{} is no number", place_name(&place.from)));
        }
        Ok(found)
    }

    fn value(&self, place: &Place) -> Result<Value, String> {
        let is_number = place.is_number || place.from == From::Now;
        Ok(match self.look_up(place)? {
            None => Value::Null,
            Some(text) if is_number => serde_json::from_str(&text).map_err(|error| error.to_string())?,
            Some(text) => Value::String(text),
        })
    }

    fn text(&self, template: &Template) -> Result<String, String> {
        let mut text = String::new();
        for part in &template.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Place(place) => text.push_str(&self.look_up(place)?.unwrap_or_default()),
            }
        }
        Ok(text)
    }
}

fn place_name(from: &From) -> String {
    match from {
        From::Path(name) => format!("`{name}` in the path"),
        From::Query(name) => format!("`{name}` in the query"),
        From::Header(name) => format!("the header `{name}`"),
        From::Now => "the time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(text: &str) -> Routes {
        Routes::new(serde_json::from_str(text).unwrap()).unwrap()
    }

    fn made(routes: &Routes, method: &Method, uri: &str, headers: &HeaderMap, body: &str) -> Result<Draft, Unfit> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let Found::Route(route, parameters) = routes.find(method, path) else {
            panic!("no route for {uri}");
        };
        let given = Given {
            parameters,
            query,
            headers,
            now: 7,
        };
        route
            .record(&given, body.as_bytes().to_vec(), Format::Json)
            .map_err(|(unfit, _)| unfit)
    }

    #[test]
    fn events_are_made_of_the_parts_of_a_request() {
        let routes = routes(
            r#"[{"path":"/rooms/{room}","method":["GET","POST"],"key":"{path.room}","headers":["User-Agent"],
                 "event":{"room":"{path.room}","temp":"{query.temp:number}","at":"{now}","from":"a {header.Host}",
                          "agent":"{header.X-None}","fixed":[1,true,{"b":"{{"}]}}]"#,
        );
        let mut headers = HeaderMap::new();
        headers.append("host", "h".parse().unwrap());
        headers.append("user-agent", "curl".parse().unwrap());
        headers.append("traceparent", "not one".parse().unwrap());
        let draft = made(&routes, &Method::GET, "/rooms/r%201?temp=20.5", &headers, "").unwrap();
        assert_eq!(
            String::from_utf8(draft.value).unwrap(),
            r#"{"room":"r 1","temp":20.5,"at":7,"from":"a h","agent":null,"fixed":[1,true,{"b":"{"}]}"#
        );
        assert_eq!(draft.key.unwrap(), b"r 1");
        assert_eq!(draft.headers, [("User-Agent".to_owned(), b"curl".to_vec())]);
        for (uri, wanted) in [
            ("/rooms/a", "the query has no `temp`"),
            ("/rooms/a?temp=warm", "`temp` in the query is no number"),
        ] {
            let unfit = made(&routes, &Method::GET, uri, &headers, "").unwrap_err();
            assert_eq!(unfit, Unfit::Request(wanted.to_owned()), "{uri}");
        }
        assert!(matches!(routes.find(&Method::PUT, "/rooms/a"), Found::NoMethod(all) if all == "GET, POST"));
        assert!(matches!(routes.find(&Method::GET, "/rooms"), Found::NoPath));
        assert!(matches!(routes.find(&Method::GET, "/rooms/%ff"), Found::Malformed));
    }

    #[test]
    fn bodies_are_json_and_have_the_key() {
        let routes = routes(
            r#"[{"path":"/","method":"POST","event":"body","key":"/id"},
                {"path":"/any","method":"POST","event":"body"}]"#,
        );
        let mut headers = HeaderMap::new();
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.append("traceparent", parent.parse().unwrap());
        let draft = made(&routes, &Method::POST, "/", &headers, r#"{"id": 5}"#).unwrap();
        assert_eq!(
            (draft.key.unwrap(), draft.value),
            (b"5".to_vec(), br#"{"id": 5}"#.to_vec())
        );
        assert_eq!(draft.headers, [("traceparent".to_owned(), parent.as_bytes().to_vec())]);
        for (path, body, code) in [
            ("/", "{", "bad-json"),
            ("/", "{} x", "bad-json"),
            ("/", "{}", "no-key"),
            ("/any", "", "bad-json"),
        ] {
            match made(&routes, &Method::POST, path, &headers, body) {
                Err(Unfit::Body(found, _)) => assert_eq!(found, code, "{body}"),
                other => panic!("{path} {body}: {other:?}"),
            }
        }
    }
}
