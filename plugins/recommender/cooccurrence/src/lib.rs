//! Counts which items are liked by the same users, and remembers who they were.

use recommender_model::{AUDIENCE, AUDIENCE_MAX, NEIGHBOURS, NEIGHBOURS_MAX, Pairs, check_name};
use wasmill_sdk::prelude::*;

struct Cooccurrence;

impl Plugin for Cooccurrence {
    type Config = NoConfig;

    fn about() -> About {
        About::new("cooccurrence", env!("CARGO_PKG_VERSION"))
            .doc("Counts which items are liked by the same users")
            .port(Port::new("out", "Nothing: it is read by queries of others"))
            .store(NEIGHBOURS)
            .store(AUDIENCE)
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        check_name(record.key_str()?)?;
        let pairs: Pairs = record.json()?;
        if !pairs.with.is_empty() {
            let mut neighbours = ctx.get(NEIGHBOURS)?.unwrap_or_default();
            for item in &pairs.with {
                check_name(item)?;
                neighbours.count(item, NEIGHBOURS_MAX);
            }
            ctx.put(NEIGHBOURS, &neighbours)?;
        }
        if let Some(user) = &pairs.user {
            check_name(user)?;
            let mut audience = ctx.get(AUDIENCE)?.unwrap_or_default();
            audience.append(user, 1, AUDIENCE_MAX);
            ctx.put(AUDIENCE, &audience)?;
        }
        Ok(())
    }
}

wasmill_sdk::export!(Cooccurrence);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Harness, Input};

    #[test]
    fn counts_neighbours() {
        let mut plugin = Harness::<Cooccurrence>::new("{}").unwrap();
        let run = plugin.run(&[
            Input::new(r#"{"user":"u","with":["b","c"]}"#).key("a"),
            Input::new(r#"{"with":["b"]}"#).key("a"),
            Input::new(r#"{"with":[""]}"#).key("a"),
            Input::new("{}").key("a"),
        ]);
        assert_eq!(run.codes(), ["bad-name", "bad-json"]);
        assert_eq!(
            plugin.stored("neighbours")[&b"a"[..]],
            b"\x01b\x02\0\0\0\x01c\x01\0\0\0"
        );
        assert_eq!(plugin.stored("audience")[&b"a"[..]], b"\x01u\x01\0\0\0");
    }
}
