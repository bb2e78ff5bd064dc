//! What a plugin costs in each language: the figures of docs/languages.md.
//!
//! ```text
//! cargo test --release -p wasmill-plugin --test languages -- --ignored --nocapture
//! ```
//!
//! Measured are Rust and the languages that stand in `plugins/dist/LANGUAGE`. All times are CPU
//! time, so that they do not depend on what else the machine does; the languages and the native code
//! take turns, for what is left of that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::borrow::Cow;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use record::store::{StateAccess, StateBackend};
use record::topology::Limits;
use record::transform::{Call, StateSlot, StoreSpec, Transform};
use record::{Batch, Column};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use wasmill_plugin::{Compiled, Engine, EngineOptions, LinkOptions, Linked};

const LANGUAGES: [&str; 5] = ["rust", "go", "js", "python", "c"];
const RECORDS: usize = 1024;
const ROOMS: usize = 64;
const ROUNDS: usize = 5;
/// CPU time of one language in one round.
const ROUND_TIME: Duration = Duration::from_millis(300);
const INSTANCES: usize = 16;

/// The components of `temperature` that are there.
fn components() -> Vec<(&'static str, PathBuf)> {
    let path = |language| match language {
        "rust" => common::component("temperature"),
        _ => common::plugins().join("dist").join(language).join("temperature.wasm"),
    };
    let all = LANGUAGES.iter().map(|language| (*language, path(*language)));
    all.filter(|(_, path)| path.is_file()).collect()
}

fn engine(cache: Option<&Path>) -> Engine {
    let cache_dir = cache.map(Path::to_owned);
    Engine::new(EngineOptions {
        cache_dir,
        ..EngineOptions::default()
    })
    .unwrap()
}

fn link(compiled: &Compiled) -> Linked {
    let options = LinkOptions {
        pipeline: Arc::from("test"),
        transform: Arc::from("node"),
        config_json: "{}".to_owned(),
        limits: Limits::default(),
    };
    compiled.link(options).unwrap()
}

/// Name and inode of what a cache holds: a file that is written again is another one.
fn files(cache: &Path) -> Vec<(PathBuf, u64)> {
    let entries = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.path(), entry.metadata().unwrap().ino()))
        .collect();
    files.sort();
    files
}

#[test]
fn the_second_start_compiles_nothing() {
    for (language, path) in components() {
        let cache = tempfile::tempdir().unwrap();
        let dir = cache.path().join("code");
        link(&engine(Some(&dir)).load(&path).unwrap());
        let first = files(&dir);
        assert_eq!(first.len(), 1, "{language}");
        let linked = link(&engine(Some(&dir)).load(&path).unwrap());
        assert_eq!(
            files(&dir),
            first,
            "{language}: what is compiled is written, and it was"
        );
        let (mut transform, mut state) = (linked.instance().unwrap(), state(&linked));
        assert_eq!(run(&mut *transform, &mut state, &mut readings()), RECORDS, "{language}");
    }
}

fn readings() -> Batch {
    let mut batch = Batch::new(Arc::from("in"), 0);
    for i in 0..RECORDS {
        let room = format!("room-{}", i * 7 % ROOMS);
        let temp = 15.0 + (i * 31 % 1_000) as f64 / 100.0;
        let value = format!(
            r#"{{"room":"{room}","temp":{temp:.2},"ts":{},"site":"plant-7","unit":"celsius"}}"#,
            1_732_000_000_000 + i
        );
        batch.push(Some(room.as_bytes()), Some(value.as_bytes()), i as i64);
        batch.offsets.push(i as i64);
    }
    batch
}

fn state(linked: &Linked) -> StateSlot {
    open_state(&linked.compiled().description().stores)
}

fn open_state(stores: &[StoreSpec]) -> StateSlot {
    StateSlot(Some(state::MemoryBackend::default().open("node", 0, stores).unwrap()))
}

/// Runs a batch; answers how many outputs there were.
fn run(transform: &mut dyn Transform, state: &mut StateSlot, batch: &mut Batch) -> usize {
    let stream_times = batch.timestamps.clone();
    let call = Call {
        batch,
        input: None,
        stream_times: &stream_times,
        siblings_before: 0,
        lateness: 0,
        now: 0,
        state,
    };
    let emitted = transform.process(call).unwrap();
    state.0.as_mut().unwrap().keep();
    emitted.count as usize
}

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

/// What `temperature` does, in the host's own code: one read and one write of the state per batch.
fn native(state: &mut dyn StateAccess, batch: &Batch, out: &mut Column) {
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    let mut keys = Column::default();
    for key in batch.keys.iter().flatten() {
        places.entry(key).or_insert_with(|| {
            keys.push(Some(key));
            keys.len() - 1
        });
    }
    let stored = state.get_many(0, &keys, usize::MAX).unwrap();
    let read = |bytes: &[u8]| {
        let number = |i: usize| f64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().unwrap());
        [number(0), number(1), number(2)]
    };
    let mut rooms: Vec<Option<[f64; 3]>> = stored.iter().map(|bytes| bytes.map(read)).collect();
    for i in 0..batch.len() {
        let (key, value) = (batch.keys.get(i).unwrap(), batch.values.get(i).unwrap());
        let Reading { room, temp, ts } = serde_json::from_slice(value).unwrap();
        assert_eq!(key, room.as_bytes());
        let slot = &mut rooms[places[key]];
        let [last, sum, count] = slot.unwrap_or_default();
        let (sum, count) = (sum + temp, count + 1.0);
        let change = Change {
            room: &room,
            temp,
            delta: slot.map(|_| temp - last),
            avg: sum / count,
            count: count as u64,
            ts,
        };
        out.push_with(|bytes| serde_json::to_writer(bytes, &change).unwrap());
        *slot = Some([temp, sum, count]);
    }
    let mut values = Column::default();
    for room in rooms.iter().flatten() {
        values.push_with(|bytes| room.iter().for_each(|number| bytes.extend(number.to_le_bytes())));
    }
    state.put_many(0, &keys, &values).unwrap();
}

fn cpu_time(of: ClockId) -> Duration {
    let time = clock_gettime(of);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// CPU time of one record, in nanoseconds, over as many batches as fit.
fn nanoseconds(mut batch: impl FnMut()) -> f64 {
    let start = cpu_time(ClockId::ThreadCPUTime);
    let mut batches = 0;
    loop {
        batch();
        batches += 1;
        let spent = cpu_time(ClockId::ThreadCPUTime) - start;
        if spent >= ROUND_TIME {
            return spent.as_nanos() as f64 / (batches * RECORDS) as f64;
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Memory of this process that is in use, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

/// What was measured of one language.
struct Figures {
    language: &'static str,
    size: u64,
    first: Duration,
    second: Duration,
    start: Duration,
    memory: usize,
    transform: Box<dyn Transform>,
    state: StateSlot,
    nanoseconds: Vec<f64>,
}

fn measure(language: &'static str, path: &Path) -> Figures {
    let cache = tempfile::tempdir().unwrap();
    let dir = cache.path().join("code");
    let load = || {
        let engine = engine(Some(&dir));
        // Compiling has threads of its own.
        let start = cpu_time(ClockId::ProcessCPUTime);
        let compiled = engine.load(path).unwrap();
        (cpu_time(ClockId::ProcessCPUTime) - start, compiled)
    };
    let (first, _) = load();
    let (second, compiled) = load();
    let linked = link(&compiled);
    let mut batch = readings();
    let mut starts = Vec::new();
    let (mut kept, before) = (Vec::new(), resident());
    for _ in 0..INSTANCES {
        let start = cpu_time(ClockId::ThreadCPUTime);
        let mut transform = linked.instance().unwrap();
        starts.push(cpu_time(ClockId::ThreadCPUTime) - start);
        run(&mut *transform, &mut state(&linked), &mut batch);
        kept.push(transform);
    }
    let memory = resident().saturating_sub(before) / INSTANCES;
    starts.sort();
    Figures {
        language,
        size: std::fs::metadata(path).unwrap().len(),
        first,
        second,
        start: starts[INSTANCES / 2],
        memory,
        transform: kept.pop().unwrap(),
        state: state(&linked),
        nanoseconds: Vec::new(),
    }
}

#[test]
#[ignore = "it measures"]
fn figures_of_the_languages() {
    let mut all: Vec<_> = components()
        .iter()
        .map(|(language, path)| measure(language, path))
        .collect();
    let mut batch = readings();
    let spec = StoreSpec {
        name: "room".to_owned(),
        doc: String::new(),
        table: false,
        keyed: true,
        key_format: "bytes".to_owned(),
        value_format: "bytes".to_owned(),
    };
    let mut native_state = open_state(&[spec]);
    let mut native_nanoseconds = Vec::new();
    for _ in 0..ROUNDS {
        native_nanoseconds.push(nanoseconds(|| {
            let state = native_state.0.as_mut().unwrap();
            let mut out = Column::default();
            native(&mut **state, &batch, &mut out);
            state.keep();
            assert_eq!(out.len(), RECORDS);
        }));
        for figures in &mut all {
            let (transform, state) = (&mut figures.transform, &mut figures.state);
            figures.nanoseconds.push(nanoseconds(|| {
                run(&mut **transform, state, &mut batch);
            }));
        }
    }
    let native = median(native_nanoseconds);
    println!(
        "| language | component KiB | first start ms | second start ms | instance ms | memory KiB | us/record | native = 1 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!("| native Rust | | | | | | {:.3} | 1.0 |", native / 1e3);
    for figures in all {
        let nanoseconds = median(figures.nanoseconds);
        println!(
            "| {} | {} | {:.0} | {:.1} | {:.3} | {} | {:.3} | {:.1} |",
            figures.language,
            figures.size / 1024,
            figures.first.as_secs_f64() * 1e3,
            figures.second.as_secs_f64() * 1e3,
            figures.start.as_secs_f64() * 1e3,
            figures.memory / 1024,
            nanoseconds / 1e3,
            nanoseconds / native
        );
    }
}
