//! Adds fields to a JSON object: fixed ones from the configuration, and the values of headers.
//!
//! What is there already stays as it was written, in its order; a field of the same name is
//! replaced where it stands.

mod fields;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use wasmill_sdk::prelude::*;
use wasmill_sdk::{Inherit, Json};

use crate::fields::Fields;

/// The config table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Fields to add, and their values.
    fields: BTreeMap<String, serde_json::Value>,
    /// Fields to add, and the headers whose values they get. Header names are compared without
    /// regard to ASCII case, as HTTP has them; a field whose header is missing is not added.
    headers: BTreeMap<String, String>,
}

struct Enrich {
    fields: Vec<(String, Box<RawValue>)>,
    headers: Vec<(String, String)>,
}

impl Plugin for Enrich {
    type Config = Config;

    fn about() -> About {
        About::new("enrich", env!("CARGO_PKG_VERSION"))
            .doc("Adds fields from headers and from the configuration to a JSON value")
            .port(Port::new("out", "The record with the fields added"))
            .reads_headers()
            .config_schema(include_str!("config.schema.json"))
    }

    fn new(config: Config) -> Result<Self, Problems> {
        let problems: Vec<_> = config
            .headers
            .keys()
            .filter(|field| config.fields.contains_key(*field))
            .map(|field| {
                let place = field.replace('~', "~0").replace('/', "~1");
                Problem::new(format!("/headers/{place}"), format!("`fields` sets `{field}` too"))
            })
            .collect();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let fields = config.fields.into_iter().map(|(name, value)| {
            to_raw_value(&value)
                .map(|value| (name, value))
                .map_err(|error| Problem::new("/fields", error.to_string()))
        });
        Ok(Self {
            fields: fields.collect::<Result<_, _>>()?,
            headers: config.headers.into_iter().collect(),
        })
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        // A tombstone stays one.
        if record.value().is_none() {
            return ctx.emit(Inherit);
        }
        let found: Vec<(&str, Box<RawValue>)> = self
            .headers
            .iter()
            .filter_map(|(field, header)| {
                let (_, value) = record
                    .headers()
                    .rev()
                    .find(|(name, _)| name.eq_ignore_ascii_case(header))?;
                Some(json_text(value).map(|value| (field.as_str(), value)))
            })
            .collect::<Result<_>>()?;
        let mut fields: Fields<'_> = record.json()?;
        for (name, value) in &self.fields {
            fields.set(name, value);
        }
        for (name, value) in &found {
            fields.set(name, value);
        }
        ctx.emit(Json(&fields))
    }
}

fn json_text(value: Option<&[u8]>) -> Result<Box<RawValue>> {
    Ok(to_raw_value(&value.map(std::str::from_utf8).transpose()?)?)
}

wasmill_sdk::export!(Enrich);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Harness, Input};

    const CONFIG: &str = r#"{"fields":{"site":"x","n":[1]},"headers":{"agent":"User-Agent","host":"Host"}}"#;

    #[test]
    fn fields_are_added_or_replaced_in_place() {
        let mut plugin = Harness::<Enrich>::new(CONFIG).unwrap();
        let run = plugin.run(&[
            Input::new(r#"{"big":123456789012345678901234567890,"site":1.10, "z":{}}"#)
                .header("user-agent", Some(b"old"))
                .header("User-Agent", Some(b"a\"b")),
            Input::new("{}").header("host", None),
            Input::new(wasmill_sdk::Tombstone).key("k"),
        ]);
        assert_eq!(
            run.values(),
            [
                r#"{"big":123456789012345678901234567890,"site":"x","z":{},"n":[1],"agent":"a\"b"}"#,
                r#"{"n":[1],"site":"x","host":null}"#,
                "",
            ]
        );
        assert_eq!(run.outputs[2].value, None);
    }

    #[test]
    fn what_is_no_object_fails() {
        let mut plugin = Harness::<Enrich>::new(CONFIG).unwrap();
        let run = plugin.run(&[
            Input::new("[1]"),
            Input::new(""),
            Input::new("{}").header("host", Some(&[0xff])),
        ]);
        assert_eq!(run.codes(), ["bad-json", "bad-json", "bad-utf8"]);
    }

    #[test]
    fn a_field_has_one_source() {
        let problems = Harness::<Enrich>::new(r#"{"fields":{"a":1},"headers":{"a":"A"}}"#)
            .err()
            .unwrap();
        assert_eq!(problems.0[0].pointer, "/headers/a");
    }
    #[test]
    fn passes_the_vectors() {
        vectors::check::<Enrich>(include_str!("../../vectors/enrich.json"));
    }
}
