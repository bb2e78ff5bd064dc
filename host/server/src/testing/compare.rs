//! What is expected beside what came.

use std::collections::BTreeMap;

use pipeline::Loaded;
use pipeline::testing::{Case, Data, Expected, ExpectedLetter, ExpectedRecord, decode};
use serde_json::{Value as Json, json};
use task::{Produced, Refused};

use super::outcome::{Entries, Outcome};

/// Something that is not as expected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// `expect.alpha`, `dead_letters`, `final_state.count.counts`, `error`.
    pub(crate) place: String,
    /// One sentence: the first difference, by record and field.
    pub(crate) what: String,
    /// Both sides as lists that can be laid beside each other; `None`: there is no more to show.
    pub(crate) sides: Option<(Vec<Json>, Vec<Json>)>,
}

/// A key or value, to be shown.
fn shown(data: &Data) -> Json {
    match data {
        Data::Null => Json::Null,
        Data::Json(json) => json.clone(),
        Data::Bytes(bytes) => text_or_hex(bytes),
    }
}

fn text_or_hex(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": hex(bytes) }),
    }
}

/// Two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What came, read as what is expected (`like`) is written; without a like, objects and lists are JSON.
pub(crate) fn read_like(bytes: Option<&[u8]>, like: Option<&Data>) -> Data {
    let Some(bytes) = bytes else { return Data::Null };
    let parsed = || serde_json::from_slice::<Json>(bytes).ok();
    let json = match like {
        Some(Data::Json(_)) => parsed(),
        Some(Data::Bytes(_)) => None,
        Some(Data::Null) | None => parsed().filter(|json| json.is_object() || json.is_array()),
    };
    json.map_or_else(|| Data::Bytes(bytes.to_vec()), Data::Json)
}

/// Whether two JSON values are equal: the order of fields is none, and 21 is 21.0.
pub(crate) fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => {
            if a.is_f64() || b.is_f64() {
                a.as_f64() == b.as_f64()
            } else {
                a == b
            }
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Where two values differ first: a JSON Pointer, and both there.
fn first_difference<'a>(a: &'a Json, b: &'a Json, at: String) -> Option<(String, Option<&'a Json>, Option<&'a Json>)> {
    if equal(a, b) {
        return None;
    }
    match (a, b) {
        (Json::Object(x), Json::Object(y)) => {
            for (key, a) in x {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                match y.get(key) {
                    None => return Some((at, Some(a), None)),
                    Some(b) => {
                        if let Some(found) = first_difference(a, b, at) {
                            return Some(found);
                        }
                    }
                }
            }
            let more = y.iter().find(|(key, _)| !x.contains_key(*key))?;
            Some((format!("{at}/{}", more.0), None, Some(more.1)))
        }
        (Json::Array(x), Json::Array(y)) => {
            for i in 0..x.len().max(y.len()) {
                let at = format!("{at}/{i}");
                match (x.get(i), y.get(i)) {
                    (Some(a), Some(b)) => {
                        if let Some(found) = first_difference(a, b, at) {
                            return Some(found);
                        }
                    }
                    (a, b) => return Some((at, a, b)),
                }
            }
            None
        }
        _ => Some((at, Some(a), Some(b))),
    }
}

/// What is expected, with its fields in the order of what came, and equal where it is equal.
fn aligned(expected: &Json, got: &Json) -> Json {
    if equal(expected, got) {
        return got.clone();
    }
    match (expected, got) {
        (Json::Object(x), Json::Object(y)) => {
            let known = y.iter().filter_map(|(key, got)| Some((key, aligned(x.get(key)?, got))));
            let missing = x.iter().filter(|(key, _)| !y.contains_key(*key));
            let missing = missing.map(|(key, value)| (key, value.clone()));
            known
                .chain(missing)
                .map(|(key, value)| (key.clone(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        (Json::Array(x), Json::Array(y)) => {
            let both = x
                .iter()
                .enumerate()
                .map(|(i, x)| y.get(i).map_or_else(|| x.clone(), |y| aligned(x, y)));
            both.collect()
        }
        _ => expected.clone(),
    }
}

/// An expected record, to be compared and shown.
fn of_expected(record: &ExpectedRecord) -> Json {
    let mut map = serde_json::Map::new();
    map.insert("key".to_owned(), shown(&record.key));
    map.insert("value".to_owned(), shown(&record.value));
    if let Some(timestamp) = record.timestamp {
        map.insert("timestamp".to_owned(), timestamp.into());
    }
    if let Some(headers) = &record.headers {
        let headers = headers.iter().map(|(name, text)| json!([name, text]));
        map.insert("headers".to_owned(), headers.collect());
    }
    if let Some(partition) = record.partition {
        map.insert("partition".to_owned(), partition.into());
    }
    map.into()
}

/// What came, with what the expected record looks at.
fn of_produced(record: &Produced, like: Option<&ExpectedRecord>) -> Json {
    let mut map = serde_json::Map::new();
    let key = read_like(record.key.as_deref(), like.map(|like| &like.key));
    let value = read_like(record.value.as_deref(), like.map(|like| &like.value));
    map.insert("key".to_owned(), shown(&key));
    map.insert("value".to_owned(), shown(&value));
    if like.is_some_and(|like| like.timestamp.is_some()) {
        map.insert("timestamp".to_owned(), record.timestamp.into());
    }
    if like.is_some_and(|like| like.headers.is_some()) {
        map.insert("headers".to_owned(), headers(record));
    }
    if like.is_some_and(|like| like.partition.is_some()) {
        map.insert("partition".to_owned(), record.partition.into());
    }
    map.into()
}

fn headers(record: &Produced) -> Json {
    let headers = record.headers.iter();
    headers
        .map(|(name, value)| json!([name, value.as_deref().map(text_or_hex)]))
        .collect()
}

/// Text and the JSON string of it are not the same.
fn is_kind_of(expected: &Data, got: &Data) -> bool {
    matches!(
        (expected, got),
        (Data::Json(_), Data::Json(_)) | (Data::Bytes(_), Data::Bytes(_)) | (Data::Null, Data::Null)
    )
}

fn matches(expected: &ExpectedRecord, got: &Produced) -> bool {
    let key = read_like(got.key.as_deref(), Some(&expected.key));
    let value = read_like(got.value.as_deref(), Some(&expected.value));
    is_kind_of(&expected.key, &key)
        && is_kind_of(&expected.value, &value)
        && equal(&of_expected(expected), &of_produced(got, Some(expected)))
}

/// Everything in which a case's outcome differs.
pub(crate) fn compare(case: &Case, loaded: &Loaded, outcome: &Outcome) -> Vec<Difference> {
    let mut differences = Vec::new();
    differences.extend(compare_error(case, &outcome.failures));
    for expected in &case.expect {
        if let Some((_, got)) = outcome.outputs.iter().find(|(name, _)| *name == expected.name) {
            differences.extend(compare_records(expected, got));
        }
    }
    differences.extend(compare_letters(
        case.dead_letters.as_deref().unwrap_or(&[]),
        &outcome.refused,
    ));
    for content in &case.final_state {
        let name = format!("{}.{}", content.transform, content.store);
        let got = outcome.stores.iter().find(|(store, _)| *store == name);
        if let Some((_, got)) = got
            && let Some((_, spec, entries)) = content.resolve(loaded)
        {
            let expected: Entries = entries.into_iter().collect();
            let (a, b) = (entries_json(&expected, spec), entries_json(got, spec));
            let place = format!("final_state.{name}");
            // Bytes first: two numbers that JSON shows alike may not be the same.
            if expected != *got && !(a.iter().eq(&b) || lists_equal(&a, &b)) {
                differences.push(of_lists(place, "entry", &a, &b));
            }
        }
    }
    differences
}

fn lists_equal(a: &[Json], b: &[Json]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
}

/// A store as a list of keys and values.
fn entries_json(entries: &Entries, spec: &record::transform::StoreSpec) -> Vec<Json> {
    let entry = |(key, value): (&Vec<u8>, &Vec<u8>)| {
        json!({
            "key": shown(&decode(key, &spec.key_format)),
            "value": shown(&decode(value, &spec.value_format)),
        })
    };
    entries.iter().map(entry).collect()
}

fn compare_error(case: &Case, failures: &[(String, String)]) -> Option<Difference> {
    let place = "error".to_owned();
    let shown = |(code, message): &(String, String)| format!("{code}: {message}");
    let what = match (&case.error, failures) {
        (None, []) => return None,
        (None, [first, ..]) => format!("the pipeline failed with {}", shown(first)),
        (Some(expected), []) => format!("the pipeline did not fail, and {} was expected", expected.code),
        (Some(expected), failures) => {
            let is_it = |(code, message): &(String, String)| {
                *code == expected.code && expected.message.as_ref().is_none_or(|part| message.contains(part))
            };
            if failures.iter().any(is_it) {
                return None;
            }
            let part = expected
                .message
                .as_ref()
                .map_or_else(String::new, |part| format!(" with `{part}`"));
            format!("expected {}{part}, got {}", expected.code, shown(&failures[0]))
        }
    };
    Some(Difference {
        place,
        what,
        sides: None,
    })
}

/// The order in which what came is laid beside what is expected: as it came, or, where the order does
/// not matter, each beside the first expected record that it matches.
pub(crate) fn order(expected: &Expected, got: &[Produced]) -> Vec<usize> {
    if !expected.unordered {
        return (0..got.len()).collect();
    }
    let mut free: Vec<usize> = (0..got.len()).collect();
    let mut taken = vec![None; expected.records.len()];
    for (i, record) in expected.records.iter().enumerate() {
        if let Some(at) = free.iter().position(|g| matches(record, &got[*g])) {
            taken[i] = Some(free.remove(at));
        }
    }
    let mut rest = free.into_iter();
    let beside = taken.into_iter().filter_map(|taken| taken.or_else(|| rest.next()));
    let mut order: Vec<usize> = beside.collect();
    order.extend(rest);
    order
}

fn compare_records(expected: &Expected, got: &[Produced]) -> Option<Difference> {
    let records = &expected.records;
    let order = order(expected, got);
    let same = records.len() == order.len() && records.iter().zip(&order).all(|(record, g)| matches(record, &got[*g]));
    if same {
        return None;
    }
    // What has no counterpart is shown like the last that has one.
    let like = |i: usize| records.get(i).or(records.last());
    let b: Vec<Json> = order
        .iter()
        .enumerate()
        .map(|(i, g)| of_produced(&got[*g], like(i)))
        .collect();
    let a: Vec<Json> = records.iter().map(of_expected).collect();
    Some(of_lists(format!("expect.{}", expected.name), "record", &a, &b))
}

/// The difference of two lists that are not equal.
fn of_lists(place: String, noun: &str, a: &[Json], b: &[Json]) -> Difference {
    let first = a.iter().zip(b).position(|(a, b)| !equal(a, b));
    let what = match first {
        Some(i) => {
            let number = i + 1;
            match first_difference(&a[i], &b[i], String::new()) {
                Some((pointer, expected, got)) => {
                    let field = pointer.trim_start_matches('/').to_owned();
                    format!(
                        "{noun} {number}, {field}: expected {}, got {}",
                        side(expected),
                        side(got)
                    )
                }
                None => format!("{noun} {number} differs"),
            }
        }
        None if a.len() == b.len() => "text is not the JSON of the same look".to_owned(),
        None => format!(
            "{noun} {}: {}; expected {}, got {}",
            a.len().min(b.len()) + 1,
            if a.len() < b.len() {
                "nothing more was expected"
            } else {
                "missing"
            },
            counted(a.len(), noun),
            counted(b.len(), noun)
        ),
    };
    let a = a
        .iter()
        .enumerate()
        .map(|(i, a)| b.get(i).map_or_else(|| a.clone(), |b| aligned(a, b)))
        .collect();
    Difference {
        place,
        what,
        sides: Some((a, b.to_vec())),
    }
}

fn counted(n: usize, noun: &str) -> String {
    match (n, noun) {
        (1, noun) => format!("1 {noun}"),
        (n, "entry") => format!("{n} entries"),
        (n, noun) => format!("{n} {noun}s"),
    }
}

fn side(value: Option<&Json>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Json::to_string)
}

fn letter_matches(expected: &ExpectedLetter, got: &Refused) -> bool {
    let data = |expected: &Option<Data>, got: Option<&[u8]>| {
        expected.as_ref().is_none_or(|expected| {
            let got = read_like(got, Some(expected));
            is_kind_of(expected, &got) && equal(&shown(expected), &shown(&got))
        })
    };
    expected.node == got.node
        && expected.code == got.code
        && expected.message.as_ref().is_none_or(|part| got.message.contains(part))
        && data(&expected.key, got.key.as_deref())
        && data(&expected.value, got.value.as_deref())
}

fn compare_letters(expected: &[ExpectedLetter], got: &[Refused]) -> Option<Difference> {
    let same = expected.len() == got.len() && expected.iter().zip(got).all(|(a, b)| letter_matches(a, b));
    if same {
        return None;
    }
    let a = expected.iter().zip(0..).map(|(letter, i)| {
        let mut map = serde_json::Map::new();
        map.insert("node".to_owned(), letter.node.as_str().into());
        map.insert("code".to_owned(), letter.code.as_str().into());
        // A part that is there is no difference.
        let got = got.get(i).map_or("", |got| got.message.as_str());
        match &letter.message {
            Some(part) if !got.contains(part) => map.insert("message".to_owned(), part.as_str().into()),
            Some(_) => map.insert("message".to_owned(), got.into()),
            None => None,
        };
        for (name, data) in [("key", &letter.key), ("value", &letter.value)] {
            if let Some(data) = data {
                map.insert(name.to_owned(), shown(data));
            }
        }
        Json::from(map)
    });
    let a: Vec<Json> = a.collect();
    let b = got.iter().zip(0..).map(|(letter, i)| {
        let like = expected.get(i);
        let mut map = serde_json::Map::new();
        map.insert("node".to_owned(), letter.node.as_str().into());
        map.insert("code".to_owned(), letter.code.as_str().into());
        if like.is_none_or(|like| like.message.is_some()) {
            map.insert("message".to_owned(), letter.message.as_str().into());
        }
        if like.is_none_or(|like| like.key.is_some()) {
            let key = read_like(letter.key.as_deref(), like.and_then(|like| like.key.as_ref()));
            map.insert("key".to_owned(), shown(&key));
        }
        if like.is_none_or(|like| like.value.is_some()) {
            let value = read_like(letter.value.as_deref(), like.and_then(|like| like.value.as_ref()));
            map.insert("value".to_owned(), shown(&value));
        }
        Json::from(map)
    });
    let b: Vec<Json> = b.collect();
    Some(of_lists("dead_letters".to_owned(), "dead letter", &a, &b))
}

/// How two outcomes of one case differ, the second got with other cuts.
pub(crate) fn compare_cuts(whole: &Outcome, other: &Outcome, cuts: &str) -> Option<Difference> {
    if whole == other {
        return None;
    }
    let everything = |outcome: &Outcome| -> BTreeMap<String, Vec<Json>> {
        let mut lists = BTreeMap::new();
        for (name, records) in &outcome.outputs {
            let records = records.iter().map(|record| {
                let mut map = serde_json::Map::new();
                map.insert("key".to_owned(), shown(&read_like(record.key.as_deref(), None)));
                map.insert("value".to_owned(), shown(&read_like(record.value.as_deref(), None)));
                map.insert("timestamp".to_owned(), record.timestamp.into());
                map.insert("headers".to_owned(), headers(record));
                map.insert("partition".to_owned(), record.partition.into());
                map.into()
            });
            lists.insert(format!("expect.{name}"), records.collect());
        }
        for (name, entries) in &outcome.stores {
            let entries = entries
                .iter()
                .map(|(key, value)| json!({ "key": text_or_hex(key), "value": text_or_hex(value) }));
            lists.insert(format!("final_state.{name}"), entries.collect());
        }
        let letters = outcome.refused.iter().map(
            |letter| json!({ "node": letter.node, "code": letter.code, "message": letter.message, "key": letter.key.as_deref().map(text_or_hex) }),
        );
        lists.insert("dead_letters".to_owned(), letters.collect());
        let failures = outcome.failures.iter();
        let failures = failures.map(|(code, message)| json!({ "code": code, "message": message }));
        lists.insert("error".to_owned(), failures.collect());
        lists
    };
    let mut others = everything(other);
    let found = everything(whole).into_iter().find_map(|(place, a)| {
        let b = others.remove(&place).unwrap_or_default();
        (a != b).then(|| of_lists(place, "record", &a, &b))
    });
    let mut difference = found.unwrap_or_else(|| Difference {
        place: "cuts".to_owned(),
        what: "bytes differ that look alike".to_owned(),
        sides: None,
    });
    difference.what = format!(
        "the outcome depends on how records are cut into batches: {cuts} (below as `got`) it differs from \
         whole batches at {}. A plugin keeps in its memory what belongs in a store, or looks at the batch",
        difference.what
    );
    Some(difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn produced(value: &str) -> Produced {
        Produced {
            key: None,
            value: Some(value.as_bytes().to_vec()),
            timestamp: 5,
            headers: vec![],
            partition: 0,
        }
    }

    #[test]
    fn json_is_compared_as_parsed_values() {
        for (a, b, same) in [
            (json!(21), json!(21.0), true),
            (json!({"a": 1, "b": [null]}), json!({"b": [null], "a": 1}), true),
            (json!({"a": 1}), json!({"a": 1, "b": null}), false),
            (json!([1, 2]), json!([2, 1]), false),
            (
                json!(9_007_199_254_740_993_u64),
                json!(9_007_199_254_740_992_u64),
                false,
            ),
            (json!("1"), json!(1), false),
        ] {
            assert_eq!(equal(&a, &b), same, "{a} {b}");
            assert_eq!(first_difference(&a, &b, String::new()).is_none(), same, "{a} {b}");
            if same {
                assert_eq!(aligned(&a, &b), b);
            }
        }
    }

    #[test]
    fn text_is_compared_byte_by_byte_and_json_by_value() {
        let record = |value| ExpectedRecord {
            key: Data::Null,
            value,
            timestamp: None,
            headers: None,
            partition: None,
        };
        let text = record(Data::Bytes(b"{\"a\": 1}".to_vec()));
        let value = record(Data::Json(json!({"a": 1})));
        assert!(matches(&text, &produced("{\"a\": 1}")));
        assert!(!matches(&text, &produced("{\"a\":1}")));
        assert!(matches(&value, &produced("{\"a\":1.0}")));
        assert!(!matches(&value, &produced("a")));
        assert!(!matches(&record(Data::Null), &produced("")));
    }

    #[test]
    fn other_cuts_must_give_the_same() {
        let outcome = |values: &[&str]| Outcome {
            outputs: vec![("out".to_owned(), values.iter().map(|value| produced(value)).collect())],
            ..Outcome::default()
        };
        assert_eq!(compare_cuts(&outcome(&["1", "2"]), &outcome(&["1", "2"]), "x"), None);
        let difference = compare_cuts(&outcome(&["1", "2"]), &outcome(&["1", "1"]), "one record at a time");
        let difference = difference.expect("they differ");
        assert_eq!(difference.place, "expect.out");
        assert!(
            difference.what.contains("cut into batches: one record at a time"),
            "{}",
            difference.what
        );
        assert!(difference.what.contains("record 2, value"), "{}", difference.what);
    }
}
