//! Splits text into lower-case words; each leaves with itself as key and value.
//!
//! A word is a maximal run of Unicode letters, marks and numbers; an apostrophe (`'` or `’`)
//! between letters belongs to it. Lower-casing is Unicode's default.

mod words;

use serde::Deserialize;
use wasmill_sdk::prelude::*;

/// The config table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Where the text is in a JSON value: a JSON Pointer, or the name of a field. None: the value is the text.
    field: Option<String>,
}

struct WordSplit {
    pointer: Option<String>,
    word: String,
}

impl Plugin for WordSplit {
    type Config = Config;

    fn about() -> About {
        About::new("word_split", env!("CARGO_PKG_VERSION"))
            .doc("Splits text into lower-case words")
            .port(Port::new("out", "One record per word, the word as key and value").rekeys())
            .config_schema(include_str!("config.schema.json"))
    }

    fn new(config: Config) -> Result<Self, Problems> {
        let pointer = match config.field {
            Some(field) if field.is_empty() => return Err(Problem::new("/field", "must not be empty").into()),
            Some(field) if field.starts_with('/') => Some(field),
            Some(field) => Some(format!("/{}", field.replace('~', "~0").replace('/', "~1"))),
            None => None,
        };
        Ok(Self {
            pointer,
            word: String::new(),
        })
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        // A tombstone holds no words.
        if record.value().is_none() {
            return Ok(());
        }
        match &self.pointer {
            None => split(record.value_str()?, &mut self.word, ctx),
            Some(pointer) => {
                let json: serde_json::Value = record.json()?;
                let text = json
                    .pointer(pointer)
                    .ok_or_else(|| Error::new("no-field", format!("the value has nothing at `{pointer}`")))?;
                let text = text
                    .as_str()
                    .ok_or_else(|| Error::new("not-text", format!("what is at `{pointer}` is no text")))?;
                split(text, &mut self.word, ctx)
            }
        }
    }
}

fn split(text: &str, lower: &mut String, ctx: &mut Context<'_>) -> Result<()> {
    for word in words::words(text) {
        lower.clear();
        if word.is_ascii() {
            lower.push_str(word);
            lower.make_ascii_lowercase();
        } else {
            lower.push_str(&word.to_lowercase());
        }
        ctx.send(Output::new(lower.as_str()).key(lower.as_str()))?;
    }
    Ok(())
}

wasmill_sdk::export!(WordSplit);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Harness, Input};

    #[test]
    fn the_text_may_be_a_field() {
        for config in [r#"{"field":"text"}"#, r#"{"field":"/text"}"#] {
            let mut plugin = Harness::<WordSplit>::new(config).unwrap();
            let run = plugin.run(&[
                Input::new(r#"{"text":"One TWO"}"#).key("k"),
                Input::new(r#"{"txt":"x"}"#),
                Input::new(r#"{"text":1}"#),
                Input::new("no json"),
            ]);
            assert_eq!(run.values(), ["one", "two"]);
            assert_eq!(run.outputs[1].key.as_deref(), Some(&b"two"[..]));
            assert_eq!(run.codes(), ["no-field", "not-text", "bad-json"]);
        }
    }

    #[test]
    fn a_misspelt_option_is_found() {
        let problems = Harness::<WordSplit>::new(r#"{"feild":"text"}"#).err().unwrap();
        assert_eq!(problems.0[0].pointer, "/feild");
    }
    #[test]
    fn passes_the_vectors() {
        vectors::check::<WordSplit>(include_str!("../../vectors/word_split.json"));
    }
}
