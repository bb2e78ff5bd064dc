//! JSON values as the table compares them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value whose numbers are `f64` to the bit, and whose objects have each field once.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// The bits of a number.
    Number(u64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads a value.
    ///
    /// # Errors
    /// It is no JSON, or a field stands twice.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// A field of an object; `None` when it is missing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.get(name),
            _ => None,
        }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn whole(&self) -> Option<i64> {
        match self {
            Self::Number(bits) => Some(f64::from_bits(*bits) as i64),
            _ => None,
        }
    }

    /// The entries of a list; none when it is missing.
    #[must_use]
    pub fn list(value: Option<&Self>) -> &[Self] {
        match value {
            Some(Self::List(entries)) => entries,
            _ => &[],
        }
    }

    /// The fields of an object; none when it is missing.
    pub fn fields(value: Option<&Self>) -> impl Iterator<Item = (&String, &Self)> {
        let fields = match value {
            Some(Self::Object(fields)) => Some(fields),
            _ => None,
        };
        fields.into_iter().flatten()
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            #[allow(clippy::cast_precision_loss)]
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Number((value as f64).to_bits()))
            }
            #[allow(clippy::cast_precision_loss)]
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Number((value as f64).to_bits()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Number(value.to_bits()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = entries.next_element()? {
                    list.push(entry);
                }
                Ok(Json::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
                let mut object = BTreeMap::new();
                while let Some((name, value)) = entries.next_entry::<String, Json>()? {
                    if object.contains_key(&name) {
                        return Err(A::Error::custom(format!("the field `{name}` stands twice")));
                    }
                    object.insert(name, value);
                }
                Ok(Json::Object(object))
            }
        }
        deserializer.deserialize_any(Values)
    }
}
