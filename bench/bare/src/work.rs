//! The works, as plain Rust on one record. The plugins bench_json and bench_temperature write the
//! same bytes: `measure --digest` compares.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Work {
    /// Pass the record on.
    W1,
    /// Parse JSON, change a field and add one, write JSON.
    W2,
    /// Change and average per key, state kept in a changelog.
    W3,
}

#[derive(Deserialize)]
struct Reading<'a> {
    room: &'a str,
    temp: f64,
    ts: i64,
    site: &'a str,
    seq: u64,
    unit: &'a str,
}

#[derive(Serialize)]
struct Changed<'a> {
    origin: &'static str,
    room: String,
    seq: u64,
    site: &'a str,
    temp: f64,
    ts: i64,
    unit: &'a str,
}

#[derive(Deserialize)]
struct Temperature<'a> {
    room: &'a str,
    temp: f64,
}

#[derive(Serialize)]
struct Average<'a> {
    room: &'a str,
    delta: f64,
    avg: f64,
}

struct Room {
    last: f64,
    sum: f64,
    count: u64,
    dirty: bool,
}

/// The state of W3, and which keys have changed since the last commit.
#[derive(Default)]
pub struct State {
    rooms: HashMap<Box<[u8]>, Room>,
    dirty: Vec<Box<[u8]>>,
}

impl State {
    /// Writes each changed key once.
    pub fn changes(&mut self, mut write: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        for key in self.dirty.drain(..) {
            let Some(room) = self.rooms.get_mut(&key) else { continue };
            room.dirty = false;
            let mut value = [0; 24];
            value[..8].copy_from_slice(&room.last.to_le_bytes());
            value[8..16].copy_from_slice(&room.sum.to_le_bytes());
            value[16..].copy_from_slice(&room.count.to_le_bytes());
            write(&key, &value)?;
        }
        Ok(())
    }
}

/// The output for a record, in `buffer` unless it is the record's own value.
pub fn output<'a>(
    work: Work,
    key: Option<&[u8]>,
    value: &'a [u8],
    state: &mut State,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8]> {
    buffer.clear();
    match work {
        Work::W1 => return Ok(value),
        Work::W2 => {
            let reading: Reading = serde_json::from_slice(value)?;
            let changed = Changed {
                origin: "bench",
                room: reading.room.to_uppercase(),
                seq: reading.seq,
                site: reading.site,
                temp: reading.temp,
                ts: reading.ts,
                unit: reading.unit,
            };
            serde_json::to_writer(&mut *buffer, &changed)?;
        }
        Work::W3 => {
            let Temperature { room, temp } = serde_json::from_slice(value)?;
            let key = key.context("a record without a key")?;
            let (delta, avg) = match state.rooms.get_mut(key) {
                Some(known) => {
                    let delta = temp - known.last;
                    known.last = temp;
                    known.sum += temp;
                    known.count += 1;
                    if !known.dirty {
                        known.dirty = true;
                        state.dirty.push(key.into());
                    }
                    (delta, known.sum / known.count as f64)
                }
                None => {
                    let new = Room {
                        last: temp,
                        sum: temp,
                        count: 1,
                        dirty: true,
                    };
                    state.rooms.insert(key.into(), new);
                    state.dirty.push(key.into());
                    (0.0, temp)
                }
            };
            serde_json::to_writer(&mut *buffer, &Average { room, delta, avg })?;
        }
    }
    Ok(buffer)
}
