//! Counts what each player buys, and who has joined the guild. The key is the player.
//!
//! Input `{"event_type"}`: `purchase_ITEM`, `join_guild`, or anything else, which changes nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasmill_sdk::prelude::*;

const PURCHASES: Store<BTreeMap<String, u64>> =
    Store::keyed(0, "purchases", "How many of each item a player has bought");
const GUILD: Store<Member> = Store::keyed(
    1,
    "guild-members",
    "Since when a player is in the guild, and how often it was asked for",
);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Member {
    /// Milliseconds since 1970; absent when the event had no time.
    since: Option<i64>,
    requests: u64,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
}

/// A player as the stores have it now.
#[derive(Serialize)]
struct Player<'a> {
    player: &'a str,
    purchases: &'a BTreeMap<String, u64>,
    in_guild: bool,
}

struct GameStats;

impl Plugin for GameStats {
    type Config = NoConfig;

    fn about() -> About {
        About::new("game_stats", env!("CARGO_PKG_VERSION"))
            .doc("Counts what players buy, and who is in the guild")
            .port(Port::new(
                "out",
                r#"{"player","purchases","in_guild"} for each event that changes a player, keyed by the player"#,
            ))
            .store(PURCHASES)
            .store(GUILD)
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let player = record.key_str()?;
        let event: Event<'_> = record.json()?;
        let mut purchases = ctx.get(PURCHASES)?.unwrap_or_default();
        let mut member = ctx.get(GUILD)?;
        if let Some(item) = event.event_type.strip_prefix("purchase_") {
            *purchases.entry(item.to_owned()).or_default() += 1;
            ctx.put(PURCHASES, &purchases)?;
        } else if event.event_type == "join_guild" {
            let joined = member.get_or_insert(Member {
                since: record.timestamp(),
                requests: 0,
            });
            joined.requests += 1;
            ctx.put(GUILD, joined)?;
        } else {
            return Ok(());
        }
        ctx.emit(Json(Player {
            player,
            purchases: &purchases,
            in_guild: member.is_some(),
        }))
    }
}

wasmill_sdk::export!(GameStats);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Harness, Input};

    #[test]
    fn purchases_and_members_are_counted_by_player() {
        let mut plugin = Harness::<GameStats>::new("{}").unwrap();
        let event = |player: &'static str, kind: &str| Input::new(format!(r#"{{"event_type":"{kind}"}}"#)).key(player);
        let run = plugin.run(&[
            event("a", "purchase_sword"),
            event("b", "purchase_knife"),
            event("a", "default"),
            event("a", "purchase_sword"),
            event("a", "join_guild"),
            event("a", "join_guild"),
            event("a", "purchase_knife"),
        ]);
        assert_eq!(
            run.values(),
            [
                r#"{"player":"a","purchases":{"sword":1},"in_guild":false}"#,
                r#"{"player":"b","purchases":{"knife":1},"in_guild":false}"#,
                r#"{"player":"a","purchases":{"sword":2},"in_guild":false}"#,
                r#"{"player":"a","purchases":{"sword":2},"in_guild":true}"#,
                r#"{"player":"a","purchases":{"sword":2},"in_guild":true}"#,
                r#"{"player":"a","purchases":{"knife":1,"sword":2},"in_guild":true}"#,
            ]
        );
    }

    #[test]
    fn what_is_no_event_fails() {
        let mut plugin = Harness::<GameStats>::new("{}").unwrap();
        let run = plugin.run(&[Input::new("{}").key("a"), Input::new(r#"{"event_type":"x"}"#)]);
        assert_eq!(run.codes(), ["bad-json", "no-key"]);
    }
}
