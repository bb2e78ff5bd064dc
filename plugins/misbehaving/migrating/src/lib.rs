//! The oracle's next state version: what was a number is an object now. The configuration says whether it
//! fails while it changes that.

use serde::{Deserialize, Serialize};
use wasmill_sdk::prelude::*;
use wasmill_sdk::{Answer, Migrates, Migration, Queries, Query, Reader};

const SEEN: Store<Seen> = Store::keyed(0, "seen", "How many records of a key came through");
/// As version 0 had it.
const SEEN_0: Store<u64> = Store::keyed(0, "seen", "");

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    count: u64,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    refuse: bool,
    panic: bool,
}

struct Migrating(Config);

impl Plugin for Migrating {
    type Config = Config;

    fn about() -> About {
        About::new("migrating", env!("CARGO_PKG_VERSION"))
            .doc("The oracle with another way to store")
            .store(SEEN)
            .state_version(1)
    }

    fn new(config: Config) -> Result<Self, Problems> {
        Ok(Self(config))
    }

    fn process(&mut self, _: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let mut seen = ctx.get(SEEN)?.unwrap_or_default();
        seen.count += 1;
        ctx.put(SEEN, &seen)
    }
}

impl Migrates for Migrating {
    fn migrate(&mut self, from: u32, state: &mut Migration) -> Result<()> {
        if from != 0 {
            return Err(Error::new("no-version", format!("there was no version {from}")));
        }
        state.rewrite(SEEN_0, SEEN, |key, count| {
            // Half of it is done when it fails.
            if key.starts_with(b"room-2") {
                assert!(!self.0.panic, "configured to panic");
                if self.0.refuse {
                    return Err(Error::new("no-mood", "not today"));
                }
            }
            Ok((count > 0).then_some(Seen { count }))
        })
    }
}

impl Queries for Migrating {
    fn answer(&mut self, query: &Query, reader: &Reader<'_>) -> Result<Answer> {
        match query.path()[..] {
            ["seen", key] => match reader.get(SEEN, key)? {
                Some(seen) => Answer::json(&seen),
                None => Ok(Answer::not_found("never seen")),
            },
            _ => Ok(Answer::not_found("no such question")),
        }
    }
}

wasmill_sdk::export!(Migrating, queries, migrates);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::Harness;

    #[test]
    fn numbers_become_objects() {
        let mut plugin = Harness::<Migrating>::new("{}").unwrap();
        for i in 0..2_500_u64 {
            plugin.store("seen", format!("k{i}"), i.to_le_bytes());
        }
        plugin.migrate(0).unwrap();
        let stored = plugin.stored("seen");
        // Version 0 had an entry for 0, too.
        assert_eq!(stored.len(), 2_499);
        assert_eq!(stored[&b"k7"[..]], br#"{"count":7}"#);
        assert!(plugin.migrate(1).is_err());
    }
}
