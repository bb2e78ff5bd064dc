//! The bytes of a component: refused, or loaded, linked and run within its limits.

#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use plugin::{Engine, EngineOptions, LinkOptions};
use record::Batch;
use record::topology::Limits;
use record::transform::{Call, StateSlot};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineOptions::default()).expect("an engine"));

fuzz_target!(|bytes: &[u8]| {
    let Ok(compiled) = ENGINE.load_bytes(bytes, Path::new("fuzz.wasm")) else {
        return;
    };
    let limits = Limits {
        memory_bytes: 64 << 20,
        time_ms_per_call: 50,
        ..Limits::default()
    };
    let Ok(linked) = compiled.link(LinkOptions {
        pipeline: Arc::from("fuzz"),
        transform: Arc::from("fuzz"),
        config_json: "{}".to_owned(),
        limits,
    }) else {
        return;
    };
    let Ok(mut instance) = linked.instance() else { return };
    let mut batch = Batch::new(Arc::from("in"), 0);
    for (i, (key, value)) in [(Some("a"), Some("1")), (None, Some("{\"x\":1}")), (Some("b"), None)]
        .iter()
        .enumerate()
    {
        batch.push(key.map(str::as_bytes), value.map(str::as_bytes), i as i64);
        batch.offsets.push(i as i64);
    }
    let times = batch.timestamps.clone();
    let answer = instance.process(Call {
        batch: &mut batch,
        input: None,
        stream_times: &times,
        siblings_before: 0,
        lateness: 0,
        now: 0,
        state: &mut StateSlot(None),
    });
    if let Ok(emitted) = answer {
        let mut out = Batch::new(Arc::from("out"), 0);
        for port in 0..compiled.description().ports.len().min(255) {
            out.extend_from_port(&emitted, port as u8, &batch);
        }
    }
});
