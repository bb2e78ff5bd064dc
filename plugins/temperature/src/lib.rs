//! For each reading of a room: the change since the last one, and the running average.
//!
//! Input `{"room","temp","ts"}`, keyed by the room. The average is the sum of all readings in the
//! order of their offsets, divided by their count.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wasmill_sdk::Packed;
use wasmill_sdk::prelude::*;

/// The last reading, the sum and the count. A count below 2^53 is exact as `f64`.
const ROOM: Store<[f64; 3], Packed> = Store::keyed(0, "room", "Last reading, sum and count, each as f64");

#[derive(Deserialize)]
struct Reading<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    temp: f64,
    ts: i64,
}

#[derive(Serialize)]
struct Change<'a> {
    room: &'a str,
    temp: f64,
    delta: Option<f64>,
    avg: f64,
    count: u64,
    ts: i64,
}

struct Temperature;

impl Plugin for Temperature {
    type Config = NoConfig;

    fn about() -> About {
        About::new("temperature", env!("CARGO_PKG_VERSION"))
            .doc("Change and running average of each room's temperature")
            .port(Port::new(
                "out",
                r#"{"room","temp","delta","avg","count","ts"} for each reading, keyed by the room"#,
            ))
            .store(ROOM)
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let key = record.key().ok_or_else(Error::no_key)?;
        let Reading { room, temp, ts } = record.json()?;
        if key != room.as_bytes() {
            return Err(Error::new(
                "wrong-key",
                format!(
                    "the record's key is `{}`, but the reading is of room `{room}`; give the source `key = \"/room\"`",
                    String::from_utf8_lossy(key)
                ),
            ));
        }
        let before = ctx.get(ROOM)?;
        let [last, sum, count] = before.unwrap_or_default();
        let (sum, count) = (sum + temp, count + 1.0);
        if !sum.is_finite() {
            return Err(Error::new(
                "out-of-range",
                "the sum of the readings is beyond what f64 holds",
            ));
        }
        ctx.put(ROOM, &[temp, sum, count])?;
        ctx.emit(Json(Change {
            room: &room,
            temp,
            delta: before.map(|_| temp - last),
            avg: sum / count,
            count: count as u64,
            ts,
        }))
    }
}

wasmill_sdk::export!(Temperature);

#[cfg(test)]
mod tests {
    use super::*;
    use wasmill_sdk::testing::{Harness, Input};

    #[test]
    fn change_and_average() {
        let mut plugin = Harness::<Temperature>::new("{}").unwrap();
        let reading = |room: &str, temp: f64| {
            Input::new(format!(r#"{{"room":"{room}","temp":{temp},"ts":7,"more":[]}}"#)).key(room)
        };
        let run = plugin.run(&[
            reading("a", 20.0),
            reading("b", 1.5),
            reading("a", 21.0).key("b"),
            reading("a", 22.0),
        ]);
        assert_eq!(
            run.values(),
            [
                r#"{"room":"a","temp":20.0,"delta":null,"avg":20.0,"count":1,"ts":7}"#,
                r#"{"room":"b","temp":1.5,"delta":null,"avg":1.5,"count":1,"ts":7}"#,
                r#"{"room":"a","temp":22.0,"delta":2.0,"avg":21.0,"count":2,"ts":7}"#
            ]
        );
        assert_eq!(run.codes(), ["wrong-key"]);
        let run = plugin.run(&[Input::new("{}").key("a"), Input::new("{}"), reading("a", 0.0)]);
        assert_eq!(run.codes(), ["bad-json", "no-key"]);
        assert_eq!(
            run.values(),
            [r#"{"room":"a","temp":0.0,"delta":-22.0,"avg":14.0,"count":3,"ts":7}"#]
        );
    }

    #[test]
    fn a_room_may_be_written_with_escapes() {
        let mut plugin = Harness::<Temperature>::new("{}").unwrap();
        let run = plugin.run(&[Input::new(r#"{"room":"a\u0062","temp":1,"ts":0}"#).key("ab")]);
        assert_eq!(
            run.values(),
            [r#"{"room":"ab","temp":1.0,"delta":null,"avg":1.0,"count":1,"ts":0}"#]
        );
    }
    #[test]
    fn passes_the_vectors() {
        vectors::check::<Temperature>(include_str!("../../vectors/temperature.json"));
    }
}
