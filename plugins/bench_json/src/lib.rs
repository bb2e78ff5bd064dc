//! The benchmark W2: parse JSON, change it, write it. Writes what the bare loop writes: the fields
//! by name, the room in capitals, and `"origin":"bench"`.

use serde::{Deserialize, Serialize};
use wasmill_sdk::prelude::*;

#[derive(Deserialize)]
struct Reading<'a> {
    #[serde(borrow)]
    room: &'a str,
    temp: f64,
    ts: i64,
    #[serde(borrow)]
    site: &'a str,
    seq: u64,
    #[serde(borrow)]
    unit: &'a str,
}

#[derive(Serialize)]
struct Changed<'a> {
    origin: &'a str,
    room: &'a str,
    seq: u64,
    site: &'a str,
    temp: f64,
    ts: i64,
    unit: &'a str,
}

struct BenchJson {
    room: String,
}

impl Plugin for BenchJson {
    type Config = NoConfig;

    fn about() -> About {
        About::new("bench_json", env!("CARGO_PKG_VERSION"))
            .doc("The benchmark W2")
            .port(Port::new("out", "The changed record"))
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self { room: String::new() })
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let Reading {
            room,
            temp,
            ts,
            site,
            seq,
            unit,
        } = record.json()?;
        self.room.clear();
        self.room.extend(room.chars().flat_map(char::to_uppercase));
        ctx.emit(Json(Changed {
            origin: "bench",
            room: &self.room,
            seq,
            site,
            temp,
            ts,
            unit,
        }))
    }
}

wasmill_sdk::export!(BenchJson);
