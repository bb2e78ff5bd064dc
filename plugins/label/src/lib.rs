//! Writes key and value as one line of text, `A: 4`.

use wasmill_sdk::prelude::*;
use wasmill_sdk::{Inherit, Payload, Written};

struct Label;

/// `key: value`, byte for byte.
struct Line<'a>(&'a [u8], &'a [u8]);

impl Payload for Line<'_> {
    fn write(self, out: &mut Vec<u8>) -> Result<Written> {
        out.extend_from_slice(self.0);
        out.extend_from_slice(b": ");
        out.extend_from_slice(self.1);
        Ok(Written::Bytes)
    }
}

impl Plugin for Label {
    type Config = NoConfig;

    fn about() -> About {
        About::new("label", env!("CARGO_PKG_VERSION"))
            .doc("Writes key and value as one line of text")
            .port(Port::new("out", "`key: value`, for each record"))
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let key = record.key().ok_or_else(Error::no_key)?;
        match record.value() {
            Some(value) => ctx.emit(Line(key, value)),
            // A tombstone stays one.
            None => ctx.emit(Inherit),
        }
    }
}

wasmill_sdk::export!(Label);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Harness, Input};

    #[test]
    fn labels() {
        let mut plugin = Harness::<Label>::new("{}").unwrap();
        let run = plugin.run(&[Input::new("4").key("A"), Input::new("7"), Input::new("7").key("B")]);
        assert_eq!(run.values(), ["A: 4", "B: 7"]);
        assert_eq!(run.codes(), ["no-key"]);
    }
}
