//! The benchmark W3: parse, change and average per key, write. Writes what the bare loop writes:
//! `{"room","delta","avg"}`, the first change 0.

use serde::{Deserialize, Serialize};
use wasmill_sdk::Packed;
use wasmill_sdk::prelude::*;

const ROOM: Store<[f64; 3], Packed> = Store::keyed(0, "room", "Last reading, sum and count, each as f64");

#[derive(Deserialize)]
struct Reading<'a> {
    #[serde(borrow)]
    room: &'a str,
    temp: f64,
}

#[derive(Serialize)]
struct Change<'a> {
    room: &'a str,
    delta: f64,
    avg: f64,
}

struct BenchTemperature;

impl Plugin for BenchTemperature {
    type Config = NoConfig;

    fn about() -> About {
        About::new("bench_temperature", env!("CARGO_PKG_VERSION"))
            .doc("The benchmark W3")
            .port(Port::new("out", r#"{"room","delta","avg"}"#))
            .store(ROOM)
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let Reading { room, temp } = record.json()?;
        let [last, sum, count] = ctx.get(ROOM)?.unwrap_or([temp, 0.0, 0.0]);
        let (sum, count) = (sum + temp, count + 1.0);
        ctx.put(ROOM, &[temp, sum, count])?;
        ctx.emit(Json(Change {
            room,
            delta: temp - last,
            avg: sum / count,
        }))
    }
}

wasmill_sdk::export!(BenchTemperature);
