//! Counts how many users have liked each item, and keeps the most popular ones of its partition.

use recommender_model::{LIKES, TOP, TOP_KEY, TOP_MAX, check_name};
use serde::Serialize;
use wasmill_sdk::prelude::*;
use wasmill_sdk::{Answer, Queries, Query, Reader};

#[derive(Serialize)]
struct Liked<'a> {
    item: &'a str,
    likes: u64,
}

struct Popularity;

impl Plugin for Popularity {
    type Config = NoConfig;

    fn about() -> About {
        About::new("popularity", env!("CARGO_PKG_VERSION"))
            .doc("Counts how many users have liked each item")
            .port(Port::new("out", r#"{"item","likes"} for each like, keyed by the item"#))
            .store(LIKES)
            .store(TOP)
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let item = record.key_str()?;
        check_name(item)?;
        let likes = ctx.get(LIKES)?.unwrap_or(0) + 1;
        ctx.put(LIKES, &likes)?;
        let mut top = ctx.get_at(TOP, TOP_KEY)?.unwrap_or_default();
        top.rank(item, u32::try_from(likes).unwrap_or(u32::MAX), TOP_MAX);
        ctx.put_at(TOP, TOP_KEY, &top)?;
        ctx.emit(Json(Liked { item, likes }))
    }
}

impl Queries for Popularity {
    /// `likes/ITEM`: how many users have liked it.
    fn answer(&mut self, query: &Query, reader: &Reader<'_>) -> Result<Answer> {
        match query.path()[..] {
            ["likes", item] => Answer::json(&reader.get(LIKES, item)?.unwrap_or(0)),
            _ => Ok(Answer::not_found("ask for likes/ITEM")),
        }
    }
}

wasmill_sdk::export!(Popularity, queries);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Harness, Input};

    #[test]
    fn counts_and_ranks() {
        let mut plugin = Harness::<Popularity>::new("{}").unwrap();
        let run = plugin.run(&[
            Input::new("").key("a"),
            Input::new("").key("b"),
            Input::new("").key("a"),
        ]);
        assert_eq!(
            run.values(),
            [
                r#"{"item":"a","likes":1}"#,
                r#"{"item":"b","likes":1}"#,
                r#"{"item":"a","likes":2}"#
            ]
        );
        assert_eq!(plugin.ask("likes/a").unwrap().body, b"2");
        assert_eq!(plugin.ask("likes/c").unwrap().body, b"0");
        assert_eq!(plugin.ask("a").unwrap().status, 404);
        assert_eq!(plugin.stored("top")[TOP_KEY], b"\x01a\x02\0\0\0\x01b\x01\0\0\0");
        assert_eq!(plugin.run(&[Input::new("").key("x".repeat(256))]).codes(), ["bad-name"]);
    }
}
