//! Answers queries well and badly, to test the host. The path says how.

use wasmill_sdk::prelude::*;
use wasmill_sdk::{Answer, Queries, Query, Reader};

const SEEN: Store<u64> = Store::keyed(0, "seen", "How many records of a key came through");

#[derive(Default)]
struct Oracle {
    answers: u32,
}

impl Plugin for Oracle {
    type Config = NoConfig;

    fn about() -> About {
        About::new("oracle", env!("CARGO_PKG_VERSION"))
            .doc("Answers queries well and badly")
            .store(SEEN)
            .sets_timers()
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self::default())
    }

    fn process(&mut self, _: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let seen = ctx.get(SEEN)?.unwrap_or(0) + 1;
        ctx.put(SEEN, &seen)
    }

    fn on_timer(&mut self, _: Timer<'_>, _: &mut Context<'_>) -> Result<()> {
        Ok(())
    }
}

/// `key=value`, by the bytes of the keys; `+` at the end when there are more.
fn scanned(reader: &Reader<'_>, query: &Query) -> Result<Answer> {
    let limit = query.parameter("limit").map_or(Ok(100), str::parse::<u32>)?;
    let prefix = query.parameter("prefix").unwrap_or_default();
    let after = query.parameter("after").map(str::as_bytes);
    let found = reader.scan(SEEN, prefix.as_bytes(), after, limit)?;
    let mut text: Vec<String> = found
        .entries
        .iter()
        .map(|(key, seen)| format!("{}={seen}", String::from_utf8_lossy(key)))
        .collect();
    if found.more {
        text.push("+".to_owned());
    }
    Ok(Answer::text(text.join(" ")))
}

fn shown(seen: Option<u64>) -> Answer {
    match seen {
        Some(seen) => Answer::text(seen.to_string()),
        None => Answer::not_found("never seen"),
    }
}

impl Queries for Oracle {
    fn answer(&mut self, query: &Query, reader: &Reader<'_>) -> Result<Answer> {
        use wasmill_sdk::bindings::wasmill::plugin::{context, state, timers};
        self.answers += 1;
        let path = query.path();
        match path[..] {
            [] => Ok(Answer::text("hello")),
            ["seen", key] => Ok(shown(reader.get(SEEN, key)?)),
            ["seen-of", transform, key] => Ok(shown(reader.of(transform).get(SEEN, key)?)),
            ["all"] => scanned(reader, query),
            ["all-of", transform] => scanned(&reader.of(transform), query),
            ["many", a, b, c] => {
                let found = reader.get_many(SEEN, [a, b, c])?;
                Ok(Answer::text(format!("{found:?}")))
            }
            ["store-of", transform] => {
                let none: Store<u64> = Store::keyed(0, "none", "");
                Ok(shown(reader.of(transform).get(none, "a")?))
            }
            ["answers"] => Ok(Answer::text(self.answers.to_string())),
            ["echo"] => Ok(Answer::text(format!("{query:?}"))),
            ["html"] => Ok(Answer::bytes("text/html", b"<script>alert(1)</script>".to_vec())),
            ["status", status] => Ok(Answer::text("so be it").status(status.parse()?)),
            ["kind"] => Ok(Answer::bytes(query.parameter("type").unwrap_or_default(), Vec::new())),
            ["now"] => Ok(Answer::text(reader.now().to_string())),
            ["refuse"] => Err(Error::new("no-mood", "not today")),
            ["panic"] => panic!("asked for it"),
            ["loop"] => loop {
                std::hint::black_box(());
            },
            ["memory"] => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1u8; 1 << 20]);
                    std::hint::black_box(&hoard);
                }
            }
            ["flood"] => Ok(Answer::bytes("text/plain", vec![b'x'; 64 << 20])),
            ["put"] => {
                state::put(0, b"a", b"12345678");
                Ok(Answer::text("written"))
            }
            ["put-many"] => {
                let none = || state::Column {
                    data: Vec::new(),
                    ends: Vec::new(),
                    marks: Vec::new(),
                };
                state::put_many(0, &none(), &none());
                Ok(Answer::text("written"))
            }
            ["remove"] => {
                state::remove(0, b"a");
                Ok(Answer::text("removed"))
            }
            ["savepoint"] => Ok(Answer::text(state::savepoint().to_string())),
            ["rollback"] => {
                state::rollback(0);
                Ok(Answer::text("undone"))
            }
            ["timer"] => {
                timers::set(timers::Clock::WallClock, b"a", "t", 5);
                Ok(Answer::text("set"))
            }
            ["stream-time"] => Ok(Answer::text(context::stream_time(0).to_string())),
            _ => Ok(Answer::not_found("no such question")),
        }
    }
}

wasmill_sdk::export!(Oracle, queries);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Harness, Input};

    #[test]
    fn queries_read_what_records_have_stored() {
        let mut plugin = Harness::<Oracle>::new("{}").unwrap();
        plugin.run(&[
            Input::new("").key("a"),
            Input::new("").key("b"),
            Input::new("").key("a"),
        ]);
        plugin.store_of("other", "seen", "a", 7_u64.to_le_bytes());
        let mut text = |path: &str| {
            let answer = plugin.ask(path).unwrap();
            (answer.status, String::from_utf8(answer.body).unwrap())
        };
        assert_eq!(text("seen/a"), (200, "2".to_owned()));
        assert_eq!(text("seen/c"), (404, "never seen".to_owned()));
        assert_eq!(text("seen-of/other/a"), (200, "7".to_owned()));
        assert_eq!(text("all?limit=1"), (200, "a=2 +".to_owned()));
        assert_eq!(text("all?after=a"), (200, "b=1".to_owned()));
        assert_eq!(text("all-of/other"), (200, "a=7".to_owned()));
        assert_eq!(text("many/a/x/b"), (200, "[Some(2), None, Some(1)]".to_owned()));
        assert_eq!(plugin.ask("refuse").unwrap_err().code, "no-mood");
    }
}
