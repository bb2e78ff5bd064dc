//! One record as one line of JSON: what `consume --json` prints and `produce --format records` reads.
//!
//! ```json
//! {"topic":"t","partition":0,"offset":7,"timestamp":1700000000000,"key":"k","value":"v","headers":[["a","1"]]}
//! ```
//!
//! Keys and values are text where they are UTF-8, else `{"base64":"..."}`; null is null. Headers
//! keep their order and may repeat a name. Reading, `topic` and `offset` are ignored, everything
//! else may be left out, headers may be an object, and any other JSON value stands for its own text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use record::Batch;
use record::offset::Timestamp;
use serde_json::{Map, Value};

/// A name and a value, which may be null.
pub(crate) type Header = (String, Option<Vec<u8>>);

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The key; `None` for no key.
    pub(crate) key: Option<Vec<u8>>,
    /// The value; `None` for a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    /// In order.
    pub(crate) headers: Vec<Header>,
    /// Milliseconds since 1970; `None`: now.
    pub(crate) timestamp: Option<Timestamp>,
    /// `None`: by the key.
    pub(crate) partition: Option<u32>,
}

impl Draft {
    /// Appends it to a batch, whose headers are finished by the caller. `now`: its timestamp where it has none.
    pub(crate) fn push_to(&self, batch: &mut Batch, now: Timestamp) {
        let at = batch.len();
        batch.push(
            self.key.as_deref(),
            self.value.as_deref(),
            self.timestamp.unwrap_or(now),
        );
        if !self.headers.is_empty() {
            for (name, value) in &self.headers {
                batch.headers.push(name.as_bytes(), value.as_deref());
            }
            batch.headers.close(at);
        }
    }
}

/// Record `i` of a batch that was read from a topic.
pub(crate) fn encode(batch: &Batch, i: usize) -> Value {
    let mut line = Map::new();
    line.insert("topic".to_owned(), (*batch.topic).into());
    line.insert("partition".to_owned(), batch.partition.into());
    line.insert("offset".to_owned(), batch.offsets.get(i).copied().into());
    line.insert("timestamp".to_owned(), batch.timestamps.get(i).copied().into());
    line.insert("key".to_owned(), bytes_value(batch.keys.get(i)));
    line.insert("value".to_owned(), bytes_value(batch.values.get(i)));
    line.insert("headers".to_owned(), headers_value(batch.headers.of(i)));
    Value::Object(line)
}

/// Reads one line.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(crate) fn decode(line: &[u8]) -> Result<Draft, String> {
    let value: Value = serde_json::from_slice(line).map_err(|e| format!("is not JSON: {e}"))?;
    let Value::Object(members) = value else {
        return Err("is not a JSON object with `key`, `value`, `headers`, `timestamp` or `partition`".to_owned());
    };
    draft(members)
}

/// Reads the members of one line.
///
/// # Errors
/// As [`decode`].
pub(crate) fn draft(members: Map<String, Value>) -> Result<Draft, String> {
    let mut draft = Draft::default();
    for (name, member) in members {
        match name.as_str() {
            "key" => draft.key = value_bytes(member)?,
            "value" => draft.value = value_bytes(member)?,
            "headers" => draft.headers = headers(member)?,
            "timestamp" => draft.timestamp = timestamp(&member)?,
            "partition" => {
                draft.partition = match member {
                    Value::Null => None,
                    other => Some(
                        other
                            .as_u64()
                            .and_then(|n| u32::try_from(n).ok())
                            .ok_or_else(|| format!("has the partition {other}, which is not a whole number from 0"))?,
                    ),
                }
            }
            "topic" | "offset" => {}
            other => {
                return Err(format!(
                    "has the unknown member `{other}`; there are `key`, `value`, `headers`, `timestamp` and `partition`"
                ));
            }
        }
    }
    Ok(draft)
}

/// Pairs of a name and a value.
pub(crate) fn headers_value<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Value {
    let pair = |(name, value)| Value::Array(vec![String::from_utf8_lossy(name).into(), bytes_value(value)]);
    headers.map(pair).collect()
}

/// A key or a value, as text where it is UTF-8.
pub(crate) fn bytes_value(bytes: Option<&[u8]>) -> Value {
    match bytes {
        None => Value::Null,
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => {
                let mut object = Map::new();
                object.insert("base64".to_owned(), STANDARD.encode(bytes).into());
                Value::Object(object)
            }
        },
    }
}

/// A key or a value for people: text as it is.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn value_bytes(value: Value) -> Result<Option<Vec<u8>>, String> {
    Ok(match value {
        Value::Null => None,
        Value::String(text) => Some(text.into_bytes()),
        Value::Object(object) if object.len() == 1 && object.get("base64").is_some_and(Value::is_string) => {
            let text = object.get("base64").and_then(Value::as_str).unwrap_or_default();
            Some(
                STANDARD
                    .decode(text)
                    .map_err(|e| format!("has malformed base64: {e}"))?,
            )
        }
        other => Some(other.to_string().into_bytes()),
    })
}

fn headers(value: Value) -> Result<Vec<Header>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(object) => object
            .into_iter()
            .map(|(name, value)| Ok((name, value_bytes(value)?)))
            .collect(),
        Value::Array(pairs) => pairs.into_iter().map(header).collect(),
        other => Err(format!(
            "has the headers {other}, which are neither an object nor a list of pairs"
        )),
    }
}

fn header(pair: Value) -> Result<Header, String> {
    if let Value::Array(pair) = pair
        && let Ok([Value::String(name), value]) = <[Value; 2]>::try_from(pair)
    {
        return Ok((name, value_bytes(value)?));
    }
    Err("has a header that is not a pair [\"name\", value]".to_owned())
}

fn timestamp(value: &Value) -> Result<Option<Timestamp>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => crate::time::parse(text).map(Some),
        other => match other.as_i64() {
            // As `consume --json` shows a record without one.
            Some(record::offset::NO_TIMESTAMP) => Ok(None),
            Some(millis) if millis >= 0 => Ok(Some(millis)),
            _ => Err(format!(
                "has the timestamp {other}, which is not milliseconds since 1970"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_batch() -> Batch {
        let mut batch = Batch::new("t".into(), 3);
        batch.push(Some(b"k"), Some("w\u{f6}rt".as_bytes()), 5);
        batch.headers.push(b"a", Some(b"1"));
        batch.headers.push(b"a", None);
        batch.headers.close(0);
        batch.push(None, None, -1);
        batch.push(Some(b""), Some(b"\xff\x00"), 7);
        batch.headers.finish(3);
        batch.offsets = vec![1, 2, 3];
        batch
    }

    #[test]
    fn what_consume_prints_produce_reads_back() {
        let batch = read_batch();
        for i in 0..batch.len() {
            let draft = decode(encode(&batch, i).to_string().as_bytes()).expect("decodes");
            assert_eq!(draft.key.as_deref(), batch.keys.get(i));
            assert_eq!(draft.value.as_deref(), batch.values.get(i));
            assert_eq!(draft.timestamp, Some(batch.timestamps[i]).filter(|t| *t >= 0));
            assert_eq!(draft.partition, Some(3));
            let headers: Vec<_> = draft
                .headers
                .iter()
                .map(|(n, v)| (n.as_bytes(), v.as_deref()))
                .collect();
            assert_eq!(headers, batch.headers.of(i).collect::<Vec<_>>());
        }
    }

    #[test]
    fn hand_written_lines_may_be_short() {
        let draft = decode(br#"{"value":{"n":1},"headers":{"h":"x"},"timestamp":"2026-01-02T03:04:05Z"}"#).expect("ok");
        assert_eq!(draft.value.as_deref(), Some(br#"{"n":1}"#.as_slice()));
        assert_eq!(draft.headers, [("h".to_owned(), Some(b"x".to_vec()))]);
        assert_eq!(draft.timestamp, Some(1_767_323_045_000));
        assert_eq!(draft.key, None);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, want) in [
            ("[1]", "is not a JSON object"),
            ("{", "is not JSON"),
            (r#"{"vaule":1}"#, "unknown member `vaule`"),
            (r#"{"headers":[["a"]]}"#, "not a pair"),
            (r#"{"value":{"base64":"%"}}"#, "malformed base64"),
            (r#"{"timestamp":-5}"#, "not milliseconds"),
            (r#"{"partition":-1}"#, "not a whole number"),
        ] {
            let error = decode(line.as_bytes()).expect_err(line);
            assert!(error.contains(want), "{line}: {error}");
        }
    }
}
