//! The table: what a file of vectors says, and how an answer is compared with it.

use std::collections::BTreeMap;

use super::json::Json;

/// Bytes that are given or expected.
#[derive(Clone, Debug, PartialEq)]
pub enum Bytes {
    /// Exactly these; `None` is null.
    Exact(Option<Vec<u8>>),
    /// A JSON value, however it is written.
    Value(Json),
}

impl Bytes {
    fn read(value: Option<&Json>) -> Self {
        match value {
            None | Some(Json::Null) => Self::Exact(None),
            Some(Json::Text(text)) => Self::Exact(Some(text.clone().into_bytes())),
            Some(other) => match (other.get("hex").and_then(Json::text), other.get("json")) {
                (Some(hex), None) => Self::Exact(Some(from_hex(hex))),
                (None, Some(value)) => Self::Value(value.clone()),
                _ => panic!("{other:?} are no bytes"),
            },
        }
    }

    /// What is given, which is always exact.
    #[must_use]
    pub fn exact(&self) -> Option<&[u8]> {
        match self {
            Self::Exact(bytes) => bytes.as_deref(),
            Self::Value(value) => panic!("{value:?} is given, so it must be text or hex"),
        }
    }

    /// Whether an answer is what is expected.
    #[must_use]
    pub fn matches(&self, answer: Option<&[u8]>) -> bool {
        match self {
            Self::Exact(bytes) => bytes.as_deref() == answer,
            Self::Value(value) => answer.is_some_and(|bytes| Json::read(bytes).as_ref() == Ok(value)),
        }
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "`{text}` is no hex");
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap_or_else(|_| panic!("`{text}` is no hex")))
        .collect()
}

/// Headers in order: name and value.
pub type HeaderList = Vec<(String, Bytes)>;

/// A record that is given.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// -1 for none.
    pub timestamp: i64,
    /// Its headers.
    pub headers: HeaderList,
}

/// An output that is expected.
#[derive(Clone, Debug)]
pub struct Output {
    /// The index of the record in the step; `None` for a timer's.
    pub parent: Option<usize>,
    /// The name of the timer.
    pub timer: Option<String>,
    /// The port's name.
    pub port: String,
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// -1 for none.
    pub timestamp: i64,
    /// The headers that the plugin gave.
    pub headers: HeaderList,
}

/// Records, and what comes of them.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is given.
    pub records: Vec<Record>,
    /// What is expected, in order.
    pub outputs: Vec<Output>,
    /// The index of the record and the code.
    pub failures: Vec<(usize, String)>,
}

/// The entries of stores, by store and key.
pub type Stores = BTreeMap<String, BTreeMap<Vec<u8>, Bytes>>;

/// One case of a table.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The config table, as JSON.
    pub config: String,
    /// How far the watermark is behind the stream time.
    pub lateness: i64,
    /// The pointers of the problems, sorted; `None` for a good config.
    pub problems: Option<Vec<String>>,
    /// What stores hold before.
    pub stored: Stores,
    /// What is run.
    pub steps: Vec<Step>,
    /// What stores hold in the end.
    pub state: Stores,
    /// The timers that are set in the end, sorted: wall clock or not, key, name, time.
    pub timers: Vec<(bool, Vec<u8>, String, i64)>,
}

/// Reads a table.
///
/// # Panics
/// It is none.
#[must_use]
pub fn read(table: &str) -> Vec<Case> {
    let cases = Json::read(table.as_bytes()).unwrap_or_else(|error| panic!("the table cannot be read: {error}"));
    // The config is handed over as it was written.
    let configs: Vec<serde_json::Value> = serde_json::from_str(table).unwrap_or_default();
    let cases = Json::list(Some(&cases));
    assert!(!cases.is_empty(), "the table is empty");
    cases
        .iter()
        .zip(&configs)
        .map(|(case, raw)| read_case(case, &raw["config"]))
        .collect()
}

fn read_case(case: &Json, config: &serde_json::Value) -> Case {
    const KNOWN: [&str; 8] = [
        "name",
        "config",
        "lateness_ms",
        "problems",
        "stored",
        "steps",
        "state",
        "timers",
    ];
    for (name, _) in Json::fields(Some(case)) {
        assert!(KNOWN.contains(&name.as_str()), "a case says `{name}`");
    }
    let mut timers: Vec<_> = Json::list(case.get("timers")).iter().map(read_timer).collect();
    timers.sort();
    Case {
        name: text(case.get("name")),
        config: if config.is_null() {
            "{}".to_owned()
        } else {
            config.to_string()
        },
        lateness: case.get("lateness_ms").and_then(Json::whole).unwrap_or(0),
        problems: case.get("problems").map(|problems| {
            let mut pointers: Vec<_> = Json::list(Some(problems)).iter().map(|p| text(Some(p))).collect();
            pointers.sort();
            pointers
        }),
        stored: read_stores(case.get("stored")),
        steps: Json::list(case.get("steps")).iter().map(read_step).collect(),
        state: read_stores(case.get("state")),
        timers,
    }
}

fn read_timer(timer: &Json) -> (bool, Vec<u8>, String, i64) {
    let is_wall = timer.get("clock").and_then(Json::text) == Some("wall-clock");
    let key = Bytes::read(timer.get("key")).exact().unwrap_or_default().to_vec();
    let time = timer.get("time").and_then(Json::whole);
    (is_wall, key, text(timer.get("name")), time.expect("a timer has a time"))
}

fn read_stores(value: Option<&Json>) -> Stores {
    let entries = |store: &Json| {
        Json::fields(Some(store))
            .map(|(key, value)| (key.clone().into_bytes(), Bytes::read(Some(value))))
            .collect()
    };
    Json::fields(value)
        .map(|(name, store)| (name.clone(), entries(store)))
        .collect()
}

fn read_step(step: &Json) -> Step {
    let failure = |failure: &Json| {
        let index = failure
            .get("index")
            .and_then(Json::whole)
            .expect("a failure has an index");
        (index as usize, text(failure.get("code")))
    };
    Step {
        records: Json::list(step.get("records")).iter().map(read_record).collect(),
        outputs: Json::list(step.get("outputs")).iter().map(read_output).collect(),
        failures: Json::list(step.get("failures")).iter().map(failure).collect(),
    }
}

fn read_record(record: &Json) -> Record {
    Record {
        key: Bytes::read(record.get("key")),
        value: Bytes::read(record.get("value")),
        timestamp: timestamp(record),
        headers: read_headers(record),
    }
}

fn read_output(output: &Json) -> Output {
    let parent = output.get("parent").and_then(Json::whole).map(|parent| parent as usize);
    let timer = output.get("timer").map(|name| text(Some(name)));
    assert!(parent.is_some() != timer.is_some(), "an output has a parent or a timer");
    Output {
        parent,
        timer,
        port: text(output.get("port")),
        key: Bytes::read(output.get("key")),
        value: Bytes::read(output.get("value")),
        timestamp: timestamp(output),
        headers: read_headers(output),
    }
}

fn read_headers(of: &Json) -> HeaderList {
    let header = |header: &Json| {
        let pair = Json::list(Some(header));
        (text(pair.first()), Bytes::read(pair.get(1)))
    };
    Json::list(of.get("headers")).iter().map(header).collect()
}

fn timestamp(of: &Json) -> i64 {
    match of.get("timestamp") {
        None => 0,
        Some(Json::Null) => -1,
        Some(time) => time.whole().expect("a timestamp is a number"),
    }
}

fn text(value: Option<&Json>) -> String {
    match value.and_then(Json::text) {
        Some(text) => text.to_owned(),
        None => panic!("{value:?} is no text"),
    }
}
