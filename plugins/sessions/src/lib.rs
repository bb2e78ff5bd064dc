//! Groups the records of a key into sessions: a session ends when there was no record for a gap.
//!
//! Several sessions of a key can be open when records come out of order, and a record can join two
//! of them. One timer per key stands where the first of them ends.

mod open;

use serde::{Deserialize, Serialize};
use wasmill_sdk::prelude::*;

use crate::open::{Session, add, take_ended};

const OPEN: Store<Vec<Session>> = Store::keyed(
    0,
    "open",
    "The open sessions by rising start: first time, last time, count",
);

/// The timer at the end of the first open session.
const CLOSE: &str = "close";

/// The config table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Records less than this apart belong to one session, in milliseconds.
    gap_ms: Option<u64>,
}

#[derive(Serialize)]
struct Ended<'a> {
    key: &'a str,
    start: i64,
    end: i64,
    count: u64,
}

struct Sessions {
    gap: i64,
}

impl Sessions {
    /// Stores what is open under the key at hand, with the timer at the first end.
    fn keep(&self, open: &Vec<Session>, ctx: &mut Context<'_>) -> Result<()> {
        match open.first() {
            Some(first) => {
                ctx.put(OPEN, open)?;
                ctx.set_timer(CLOSE, first.end(self.gap))
            }
            None => ctx.remove(OPEN),
        }
    }
}

impl Plugin for Sessions {
    type Config = Config;

    fn about() -> About {
        About::new("sessions", env!("CARGO_PKG_VERSION"))
            .doc("Groups the records of a key into sessions that end after a gap")
            .port(Port::new(
                "out",
                r#"{"key","start","end","count"} when a session ends, at the time of its last record"#,
            ))
            .store(OPEN)
            .sets_timers()
            .config_schema(include_str!("config.schema.json"))
    }

    fn new(config: Config) -> Result<Self, Problems> {
        let gap = config
            .gap_ms
            .ok_or_else(|| Problem::new("/gap_ms", "is missing: how long a session waits for the next record"))?;
        match i64::try_from(gap) {
            Ok(gap) if gap > 0 => Ok(Self { gap }),
            _ => Err(Problem::new("/gap_ms", format!("must be 1 to {}, in milliseconds", i64::MAX)).into()),
        }
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        // It is text in the output, so a key that is none fails here and not when the session ends.
        record.key_str()?;
        let time = record
            .timestamp()
            .ok_or_else(|| Error::new("no-timestamp", "the record has no timestamp"))?;
        let mut open = ctx.get(OPEN)?.unwrap_or_default();
        add(&mut open, time, self.gap);
        self.keep(&open, ctx)
    }

    fn on_timer(&mut self, timer: Timer<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let key = timer.key_str()?;
        let mut open = ctx.get(OPEN)?.unwrap_or_default();
        let now = ctx.watermark().max(timer.time());
        for Session(start, end, count) in take_ended(&mut open, now, self.gap) {
            ctx.send(Output::new(Json(Ended { key, start, end, count })).timestamp(end))?;
        }
        self.keep(&open, ctx)
    }
}

wasmill_sdk::export!(Sessions);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::Clock;
    use wasmill_sdk::testing::{Harness, Input};

    fn at(key: &str, time: i64) -> Input {
        Input::new("").key(key).timestamp(time)
    }

    #[test]
    fn a_session_ends_after_the_gap() {
        let mut plugin = Harness::<Sessions>::new(r#"{"gap_ms":10}"#).unwrap();
        let run = plugin.run(&[at("a", 0), at("a", 5), at("b", 9)]);
        assert_eq!(run.outputs, []);
        assert_eq!(
            plugin.timers(Clock::EventTime)[0],
            (b"a".to_vec(), "close".to_owned(), 15)
        );
        let run = plugin.run(&[at("b", 15)]);
        assert_eq!(run.values(), [r#"{"key":"a","start":0,"end":5,"count":2}"#]);
        assert_eq!(
            (run.outputs[0].timestamp, run.outputs[0].timer.as_deref()),
            (5, Some("close"))
        );
        let run = plugin.advance(Clock::EventTime, 25);
        assert_eq!(run.values(), [r#"{"key":"b","start":9,"end":15,"count":2}"#]);
        assert!(plugin.stored("open").is_empty() && plugin.timers(Clock::EventTime).is_empty());
    }

    #[test]
    fn passes_the_vectors() {
        vectors::check::<Sessions>(include_str!("../../vectors/sessions.json"));
    }
}
