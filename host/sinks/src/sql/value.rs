//! What a column is given, and which JSON becomes it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::dialect::Dialect;
use crate::json::{Json, classify};
use crate::records::Refusal;

/// What is bound to one placeholder, or stands in its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// The record has no such field.
    Default,
    Null,
    Integer(i64),
    /// Above the largest `i64`.
    Unsigned(u64),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

impl Value<'_> {
    /// About how many bytes it takes on the way to the database.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Default | Self::Null => 1,
            Self::Integer(_) | Self::Unsigned(_) | Self::Float(_) => 9,
            Self::Text(text) => text.len() + 9,
            Self::Bytes(bytes) => bytes.len() + 9,
        }
    }
}

/// What a column holds, as far as JSON is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Decimal,
    Float,
    Text,
    Binary,
    Json,
    /// Dates and times.
    Time,
    /// The database decides what it takes.
    Other,
}

/// The value that `raw` is in a column of this kind.
pub(super) fn of_json<'a>(raw: &'a RawValue, kind: Kind, dialect: Dialect) -> Result<Value<'a>, Refusal> {
    let json = classify(raw)?;
    if matches!(json, Json::Null) {
        return Ok(Value::Null);
    }
    if kind == Kind::Json {
        return Ok(Value::Text(Cow::Borrowed(raw.get())));
    }
    match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(value) => match kind {
            Kind::Integer | Kind::Other => Ok(Value::Integer(value.into())),
            Kind::Text => Ok(Value::Text(Cow::Borrowed(raw.get()))),
            _ => Err(wrong_type("true or false", kind)),
        },
        Json::Number(text) => number(text, kind, dialect),
        Json::String(text) => string(text, kind, dialect),
        Json::Array(_) | Json::Object(_) => match kind {
            Kind::Text | Kind::Other => Ok(Value::Text(Cow::Borrowed(raw.get()))),
            _ => Err(wrong_type("an object or array", kind)),
        },
    }
}

/// The value that a record's key is in a key column: tombstones name their row this way.
pub(super) fn of_key<'a>(key: &'a [u8], kind: Kind, dialect: Dialect) -> Result<Value<'a>, Refusal> {
    if kind == Kind::Binary {
        return Ok(Value::Bytes(Cow::Borrowed(key)));
    }
    let text = std::str::from_utf8(key).map_err(|_| {
        Refusal::new(
            "bad-key",
            "the record's key is not UTF-8, and the key column is no binary one",
        )
    })?;
    match kind {
        Kind::Integer | Kind::Float | Kind::Decimal => number(text, kind, dialect).map_err(|_| {
            Refusal::new(
                "bad-key",
                format!("the record's key {text:?} is not a number as the key column holds"),
            )
        }),
        _ => string(Cow::Borrowed(text), kind, dialect),
    }
}

fn string(text: Cow<'_, str>, kind: Kind, dialect: Dialect) -> Result<Value<'_>, Refusal> {
    match kind {
        Kind::Text | Kind::Other | Kind::Json => Ok(Value::Text(text)),
        Kind::Binary => Ok(Value::Bytes(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })),
        Kind::Time => Ok(Value::Text(match dialect {
            Dialect::MySql => in_utc(text),
            Dialect::Sqlite => text,
        })),
        Kind::Decimal if is_number(&text) => Ok(Value::Text(text)),
        Kind::Decimal | Kind::Integer | Kind::Float => Err(wrong_type("a string", kind)),
    }
}

/// RFC 3339 in UTC ends with `Z`, which MySQL does not read; the session's time zone is UTC.
fn in_utc(text: Cow<'_, str>) -> Cow<'_, str> {
    let utc = text.len() > 11 && text.as_bytes().get(10) == Some(&b'T') && text.ends_with('Z');
    match (utc, text) {
        (false, text) => text,
        (true, Cow::Borrowed(text)) => Cow::Borrowed(text.trim_end_matches('Z')),
        (true, Cow::Owned(text)) => Cow::Owned(text.trim_end_matches('Z').to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn number(text: &str, kind: Kind, dialect: Dialect) -> Result<Value<'_>, Refusal> {
    match kind {
        Kind::Text => Ok(Value::Text(Cow::Borrowed(text))),
        // As text: a DECIMAL takes every digit.
        Kind::Decimal if is_number(text) => Ok(Value::Text(Cow::Borrowed(text))),
        Kind::Float => float(text),
        Kind::Integer => match integer(text, dialect) {
            Some(value) => Ok(value),
            None if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => Err(Refusal::new(
                "out-of-range",
                format!("the number {text} does not fit an integer column"),
            )),
            None => whole(text).ok_or_else(|| {
                Refusal::new(
                    "wrong-type",
                    format!("the number {text} is not whole, and the column is an integer"),
                )
            }),
        },
        Kind::Other => match integer(text, dialect) {
            Some(value) => Ok(value),
            None => float(text),
        },
        _ => Err(wrong_type("a number", kind)),
    }
}

fn integer(text: &str, dialect: Dialect) -> Option<Value<'static>> {
    if let Ok(value) = text.parse::<i64>() {
        return Some(Value::Integer(value));
    }
    match (text.parse::<u64>(), dialect) {
        (Ok(value), Dialect::MySql) => Some(Value::Unsigned(value)),
        _ => None,
    }
}

/// `3.0` and `1e3` are whole numbers too, as long as a double holds them exactly.
fn whole(text: &str) -> Option<Value<'static>> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value = text.parse::<f64>().ok()?;
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(Value::Integer(value as i64))
}

fn float(text: &str) -> Result<Value<'static>, Refusal> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Value::Float(value)),
        _ => Err(Refusal::new(
            "out-of-range",
            format!("the number {text} does not fit a double"),
        )),
    }
}

fn wrong_type(what: &str, kind: Kind) -> Refusal {
    let column = match kind {
        Kind::Integer => "an integer",
        Kind::Decimal => "a decimal",
        Kind::Float => "a floating-point",
        Kind::Text => "a text",
        Kind::Binary => "a binary",
        Kind::Json => "a JSON",
        Kind::Time => "a date or time",
        Kind::Other => "such a",
    };
    Refusal::new("wrong-type", format!("{what} does not go into {column} column"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(json: &str, kind: Kind) -> Result<String, &'static str> {
        let raw = serde_json::from_str::<&RawValue>(json).expect("JSON");
        of_json(raw, kind, Dialect::MySql)
            .map(|value| format!("{value:?}"))
            .map_err(|refusal| refusal.code)
    }

    #[test]
    fn integers_keep_their_value_or_are_refused() {
        for (json, expected) in [
            ("9223372036854775807", Ok("Integer(9223372036854775807)")),
            ("18446744073709551615", Ok("Unsigned(18446744073709551615)")),
            ("18446744073709551616", Err("out-of-range")),
            ("-0", Ok("Integer(0)")),
            ("3.0", Ok("Integer(3)")),
            ("1e3", Ok("Integer(1000)")),
            ("1.5", Err("wrong-type")),
            ("1e300", Err("wrong-type")),
            ("\"1\"", Err("wrong-type")),
            ("true", Ok("Integer(1)")),
            ("null", Ok("Null")),
            ("[]", Err("wrong-type")),
        ] {
            assert_eq!(convert(json, Kind::Integer), expected.map(str::to_owned), "{json}");
        }
        let raw = serde_json::from_str::<&RawValue>("18446744073709551615").expect("JSON");
        assert!(of_json(raw, Kind::Integer, Dialect::Sqlite).is_err());
    }

    #[test]
    fn every_kind_has_its_json() {
        for (json, kind, expected) in [
            ("0.1", Kind::Float, Ok("Float(0.1)")),
            ("1e400", Kind::Float, Err("out-of-range")),
            ("1.10", Kind::Decimal, Ok("Text(\"1.10\")")),
            ("\"1.10\"", Kind::Decimal, Ok("Text(\"1.10\")")),
            ("\"x\"", Kind::Decimal, Err("wrong-type")),
            ("1.10", Kind::Text, Ok("Text(\"1.10\")")),
            ("{\"a\": [1]}", Kind::Text, Ok("Text(\"{\\\"a\\\": [1]}\")")),
            ("\"a\"", Kind::Json, Ok("Text(\"\\\"a\\\"\")")),
            ("\"a\"", Kind::Binary, Ok("Bytes([97])")),
            (
                "\"2026-01-02T03:04:05Z\"",
                Kind::Time,
                Ok("Text(\"2026-01-02T03:04:05\")"),
            ),
            ("5", Kind::Time, Err("wrong-type")),
        ] {
            assert_eq!(convert(json, kind), expected.map(str::to_owned), "{json} {kind:?}");
        }
    }
}
