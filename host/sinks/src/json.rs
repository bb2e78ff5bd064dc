//! Reads JSON field by field. Numbers keep their text, so that none loses a digit on its way to a
//! column that can hold it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::records::Refusal;

/// A JSON value, one level deep.
#[derive(Clone, Debug)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// As written.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(&'a RawValue),
    Object(&'a RawValue),
}

/// The fields of a JSON object, in order. A name that occurs twice is here twice: the last counts.
#[derive(Debug)]
pub(crate) struct Fields<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

/// The elements of a JSON array.
#[derive(Debug)]
pub(crate) struct Elements<'a>(pub(crate) Vec<&'a RawValue>);

/// Text that borrows from the input where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element::<&'de RawValue>()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

/// The fields of a record's value, which must be a JSON object.
pub(crate) fn object(value: &[u8]) -> Result<Fields<'_>, Refusal> {
    let text = std::str::from_utf8(value)
        .map_err(|error| Refusal::new("bad-json", format!("the value is not JSON: not UTF-8 ({error})")))?;
    serde_json::from_str(text).map_err(|error| {
        if serde_json::from_str::<&RawValue>(text).is_ok() {
            Refusal::new("not-an-object", "the value is JSON, but not an object with fields")
        } else {
            Refusal::new("bad-json", format!("the value is not JSON: {error}"))
        }
    })
}

/// What `raw` is. It fails only for a string with half a surrogate pair.
pub(crate) fn classify(raw: &RawValue) -> Result<Json<'_>, Refusal> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => Json::Null,
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'[') => Json::Array(raw),
        Some(b'{') => Json::Object(raw),
        Some(b'"') => Json::String(nested::<Text<'_>>(raw)?.0),
        _ => Json::Number(text),
    })
}

/// The fields of a nested object, or the elements of a nested array.
pub(crate) fn nested<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|error| Refusal::new("bad-json", format!("the value is not JSON: {error}")))
}

/// What a JSON Pointer (RFC 6901) finds; of a name that occurs twice, the last.
pub(crate) fn pointed<'a>(fields: &Fields<'a>, pointer: &str) -> Result<Option<&'a RawValue>, Refusal> {
    let mut steps = pointer
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"));
    let Some(first) = steps.next() else {
        return Ok(None);
    };
    let mut at = field(fields, &first);
    for step in steps {
        let Some(raw) = at else { return Ok(None) };
        at = match classify(raw)? {
            Json::Object(raw) => field(&nested(raw)?, &step),
            Json::Array(raw) => {
                let index = step.parse::<usize>().ok().filter(|index| index.to_string() == step);
                index.and_then(|index| nested::<Elements<'_>>(raw).ok()?.0.get(index).copied())
            }
            _ => None,
        };
    }
    Ok(at)
}

fn field<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let fields = object(br#"{"a": 123456789012345678901234567890, "b": 1e400, "c": "\u00e9"}"#).expect("an object");
        let texts: Vec<_> = fields.0.iter().map(|(name, raw)| (name.as_ref(), raw.get())).collect();
        assert_eq!(
            texts,
            [
                ("a", "123456789012345678901234567890"),
                ("b", "1e400"),
                ("c", r#""\u00e9""#)
            ]
        );
        assert!(matches!(classify(fields.0[2].1), Ok(Json::String(text)) if text == "é"));
    }

    #[test]
    fn what_is_no_object_is_told_apart() {
        for (value, code) in [
            (&b"[1]"[..], "not-an-object"),
            (b"7", "not-an-object"),
            (b"", "bad-json"),
            (b"{\"a\":}", "bad-json"),
            (b"{} x", "bad-json"),
            (b"\xff\xfe", "bad-json"),
        ] {
            assert_eq!(object(value).expect_err("refused").code, code, "{value:?}");
        }
    }

    #[test]
    fn pointers_follow_objects_and_arrays() {
        let fields = object(br#"{"a":{"b/c":[10,{"d":null}]},"a~":1,"x":1,"x":2}"#).expect("an object");
        let find = |pointer| pointed(&fields, pointer).expect("reads").map(RawValue::get);
        assert_eq!(find("/a/b~1c/0"), Some("10"));
        assert_eq!(find("/a/b~1c/1/d"), Some("null"));
        assert_eq!(find("/a/b~1c/01"), None);
        assert_eq!(find("/a~0"), Some("1"));
        assert_eq!(find("/x"), Some("2"));
        assert_eq!(find("/a/none/deeper"), None);
    }

    #[test]
    fn deep_nesting_does_not_overflow() {
        let mut deep = b"{\"a\":".to_vec();
        deep.extend(std::iter::repeat_n(b'[', 1_000_000));
        deep.extend(std::iter::repeat_n(b']', 1_000_000));
        deep.push(b'}');
        let fields = object(&deep).expect("an object");
        assert!(matches!(classify(fields.0[0].1), Ok(Json::Array(_))));
    }
}
