//! From JSON to BSON, and which `_id` a record has.

use mongodb::bson::{Binary, Bson, Document, spec::BinarySubtype};
use serde_json::value::RawValue;

use super::settings::{Id, Settings};
use crate::json::{self, Elements, Fields, Json, classify, nested};
use crate::records::{Record, Refusal};

/// Where the origin is kept.
pub(super) const ORIGIN: &str = "_wasmill";
/// The deepest nesting that MongoDB takes, less what commands add.
const DEPTH_MAX: u32 = 95;

/// The `_id` and the document, without `_id` and origin, of a record with a value.
pub(super) fn of_record(
    record: &Record<'_>,
    settings: &Settings,
    place: (&str, u32),
) -> Result<(Bson, Document), Refusal> {
    let fields = json::object(record.value.unwrap_or_default())?;
    let id = match &settings.id {
        Id::Key => of_key(record, place),
        Id::Origin => of_place(record, place),
        Id::Pointer(pointer) => match json::pointed(&fields, pointer)? {
            None => {
                return Err(Refusal::new(
                    "bad-id",
                    format!("the value has nothing at {pointer} for `_id`"),
                ));
            }
            Some(raw) => match value(raw, 1)? {
                id @ (Bson::Null | Bson::Array(_)) => {
                    return Err(Refusal::new(
                        "bad-id",
                        format!("{pointer} holds {id}, which cannot be an `_id`"),
                    ));
                }
                id => id,
            },
        },
    };
    let mut document = object(&fields, 1)?;
    if document.contains_key(ORIGIN) {
        return Err(Refusal::new(
            "bad-field",
            format!("the field {ORIGIN} is kept for the record's origin"),
        ));
    }
    if document.remove("_id").is_some_and(|own| own != id) {
        return Err(Refusal::new(
            "bad-field",
            "the value has a field _id that is not the document's; set id = \"/_id\" to use it",
        ));
    }
    Ok((id, document))
}

/// The `_id` of the document that a tombstone deletes.
pub(super) fn of_tombstone(record: &Record<'_>, settings: &Settings, place: (&str, u32)) -> Result<Bson, Refusal> {
    match record.key {
        _ if settings.id == Id::Origin => Err(Refusal::new(
            "bad-key",
            "with id = \"origin\" every record has a document of its own, so a tombstone names none to delete",
        )),
        Some(_) => Ok(of_key(record, place)),
        None => Err(Refusal::new(
            "bad-key",
            "a tombstone without a key names no document to delete",
        )),
    }
}

/// The key as text, as binary when it is not UTF-8, or the record's place when there is none.
fn of_key(record: &Record<'_>, place: (&str, u32)) -> Bson {
    match record.key.map(|key| (key, std::str::from_utf8(key))) {
        Some((_, Ok(text))) => Bson::String(text.to_owned()),
        Some((bytes, Err(_))) => Bson::Binary(Binary {
            subtype: BinarySubtype::Generic,
            bytes: bytes.to_vec(),
        }),
        None => of_place(record, place),
    }
}

fn of_place(record: &Record<'_>, (topic, partition): (&str, u32)) -> Bson {
    Bson::String(record::origin::encode_origin(topic, partition, record.offset))
}

fn object(fields: &Fields<'_>, depth: u32) -> Result<Document, Refusal> {
    if depth > DEPTH_MAX {
        return Err(Refusal::new(
            "too-deep",
            format!("the value is nested more than {DEPTH_MAX} levels deep"),
        ));
    }
    let mut document = Document::new();
    for (name, raw) in &fields.0 {
        if name.starts_with('$') || name.contains(['.', '\0']) || name.is_empty() {
            return Err(Refusal::new(
                "bad-field",
                format!("the field name {name:?} is empty, starts with $ or holds a dot or zero byte"),
            ));
        }
        document.insert(name.as_ref(), value(raw, depth)?);
    }
    Ok(document)
}

fn value(raw: &RawValue, depth: u32) -> Result<Bson, Refusal> {
    Ok(match classify(raw)? {
        Json::Null => Bson::Null,
        Json::Bool(value) => Bson::Boolean(value),
        Json::String(text) => Bson::String(text.into_owned()),
        Json::Number(text) => number(text)?,
        Json::Object(raw) => Bson::Document(object(&nested(raw)?, depth + 1)?),
        Json::Array(raw) => {
            if depth >= DEPTH_MAX {
                return Err(Refusal::new(
                    "too-deep",
                    format!("the value is nested more than {DEPTH_MAX} levels deep"),
                ));
            }
            let Elements(elements) = nested(raw)?;
            Bson::Array(
                elements
                    .into_iter()
                    .map(|raw| value(raw, depth + 1))
                    .collect::<Result<_, _>>()?,
            )
        }
    })
}

/// Whole numbers as the smallest integer type that holds them, as text when none does: a double
/// would lose digits. Numbers with a fraction or exponent as doubles.
fn number(text: &str) -> Result<Bson, Refusal> {
    if !text.contains(['.', 'e', 'E']) {
        return Ok(match (text.parse::<i32>(), text.parse::<i64>()) {
            (Ok(value), _) => Bson::Int32(value),
            (_, Ok(value)) => Bson::Int64(value),
            _ => Bson::String(text.to_owned()),
        });
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Bson::Double(value)),
        _ => Err(Refusal::new(
            "out-of-range",
            format!("the number {text} does not fit a double"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    fn settings(id: Option<&str>) -> Settings {
        let connector = record::topology::Connector {
            name: "s".into(),
            kind: "mongodb".to_owned(),
            settings: serde_json::json!({"url": "mongodb://h", "database": "d", "collection": "c", "id": id})
                .to_string(),
        };
        super::super::settings::read(&connector).expect("settings")
    }

    fn convert(key: Option<&[u8]>, value: &str, id: Option<&str>) -> Result<(Bson, Document), &'static str> {
        let record = Record {
            index: 0,
            offset: 9,
            key,
            value: Some(value.as_bytes()),
        };
        of_record(&record, &settings(id), ("t", 2)).map_err(|refusal| refusal.code)
    }

    #[test]
    fn numbers_become_the_smallest_type_that_holds_them() {
        let json = r#"{"a":1,"b":2147483648,"c":9223372036854775808,"d":1.0,"e":1e2,"f":[{"g":null}],"a":2}"#;
        let (id, document) = convert(None, json, None).expect("a document");
        assert_eq!(id, Bson::String("t:2:9".to_owned()));
        let expected = doc! {
            "a": 2_i32, "b": 2_147_483_648_i64, "c": "9223372036854775808", "d": 1.0, "e": 100.0,
            "f": [{ "g": null }],
        };
        assert_eq!(document, expected);
        assert_eq!(convert(None, r#"{"a":1e400}"#, None), Err("out-of-range"));
    }

    #[test]
    fn the_id_is_the_key_or_what_the_pointer_finds() {
        let id = |key, value, pointer| convert(key, value, pointer).map(|(id, _)| id);
        assert_eq!(id(Some(b"k"), "{}", None), Ok(Bson::String("k".to_owned())));
        assert!(matches!(id(Some(b"\xff"), "{}", None), Ok(Bson::Binary(_))));
        assert_eq!(id(Some(b"k"), r#"{"a":{"b":7}}"#, Some("/a/b")), Ok(Bson::Int32(7)));
        assert_eq!(id(None, r#"{"_id":7}"#, Some("/_id")), Ok(Bson::Int32(7)));
        let place = Bson::String("t:2:9".to_owned());
        assert_eq!(id(Some(b"k"), "{}", Some("origin")), Ok(place));
        assert_eq!(id(Some(b"k"), r#"{"_id":"k"}"#, None), Ok(Bson::String("k".to_owned())));
        assert_eq!(id(Some(b"k"), r#"{"_id":7}"#, None), Err("bad-field"));
        assert_eq!(id(None, r#"{"a":null}"#, Some("/a")), Err("bad-id"));
        assert_eq!(id(None, r#"{"a":[1]}"#, Some("/a")), Err("bad-id"));
        assert_eq!(id(None, "{}", Some("/a")), Err("bad-id"));
    }

    #[test]
    fn names_that_commands_read_otherwise_are_refused() {
        for value in [
            r#"{"a.b":1}"#,
            r#"{"$set":1}"#,
            r#"{"a":{"$b":1}}"#,
            r#"{"":1}"#,
            r#"{"_wasmill":1}"#,
        ] {
            assert_eq!(convert(None, value, None), Err("bad-field"), "{value}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(convert(None, &deep, None), Err("too-deep"));
    }
}
