//! Counts the records of each key.

use serde::{Deserialize, Serialize};
use wasmill_sdk::prelude::*;

/// One value per record key, kept by the host.
const COUNT: Store<u64> = Store::keyed(0, "count", "How many records the key has had");

/// The `config` table of the transform. An unknown or mistyped option is refused with its place.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// The first count that is emitted.
    least: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { least: 1 }
    }
}

#[derive(Serialize)]
struct Count<'a> {
    key: &'a str,
    count: u64,
}

/// What comes from the config; what is to last belongs into a store.
struct CountRecords {
    least: u64,
}

impl Plugin for CountRecords {
    type Config = Config;

    fn about() -> About {
        About::new("{{name}}", env!("CARGO_PKG_VERSION"))
            .doc("Counts the records of each key")
            .port(Port::new("out", r#"{"key","count"} for each record from the least count on"#))
            .store(COUNT)
    }

    fn new(config: Config) -> Result<Self, Problems> {
        Ok(Self { least: config.least })
    }

    /// Runs one record. `?` fails it alone, and drops what it has stored and emitted.
    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let key = record.key_str()?;
        let count = ctx.get(COUNT)?.unwrap_or(0) + 1;
        ctx.put(COUNT, &count)?;
        if count < self.least {
            return Ok(());
        }
        ctx.emit(Json(Count { key, count }))
    }
}

wasmill_sdk::export!(CountRecords);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Harness, Input};

    #[test]
    fn records_are_counted_by_key() {
        let mut plugin = Harness::<CountRecords>::new("{}").unwrap();
        let run = plugin.run(&["a", "b", "a"].map(|key| Input::new("x").key(key)));
        assert_eq!(
            run.values(),
            [r#"{"key":"a","count":1}"#, r#"{"key":"b","count":1}"#, r#"{"key":"a","count":2}"#]
        );
    }

    #[test]
    fn the_first_counts_can_be_left_out() {
        let mut plugin = Harness::<CountRecords>::new(r#"{"least":2}"#).unwrap();
        let run = plugin.run(&["a", "b", "a"].map(|key| Input::new("x").key(key)));
        assert_eq!(run.values(), [r#"{"key":"a","count":2}"#]);
    }
}
