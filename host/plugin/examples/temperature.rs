//! Nanoseconds per record of a stateful plugin, by batch size, in thread CPU time:
//! `cargo run --release -p wasmill-plugin --example temperature -- [PLUGIN.wasm]`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "it may fail")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::Duration;

use record::Batch;
use record::transform::Call;
use rustix::time::{ClockId, clock_gettime};

const ROOMS: usize = 1_000;
const ROUNDS: usize = 200;

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() {
    for dir in ["label", "bench_json", "bench_temperature", "temperature"] {
        for size in [1, 16, 256, 1_024] {
            println!("{dir:<18} batch {size:>5}: {:>7.1} ns/record", measure(dir, size));
        }
    }
}

/// The best of several rounds.
fn measure(dir: &str, size: usize) -> f64 {
    let mut runner = common::Runner::new(dir, "{}");
    let mut best = f64::MAX;
    let mut next = 0_usize;
    for _ in 0..ROUNDS {
        let batches = 4_096_usize.div_ceil(size);
        let mut inputs: Vec<_> = (0..batches)
            .map(|_| {
                let mut batch = Batch::new(Arc::from("in"), 0);
                for _ in 0..size {
                    let room = next * 7_919 % ROOMS;
                    let value = format!(
                        r#"{{"room":"r{room}","temp":{:.2},"ts":{},"site":"plant-7","seq":{next},"unit":"celsius"}}"#,
                        15.0 + (next % 1_200) as f64 / 100.0,
                        1_732_000_000_123_u64 + next as u64
                    );
                    batch.push(Some(format!("r{room}").as_bytes()), Some(value.as_bytes()), next as i64);
                    batch.offsets.push(next as i64);
                    next += 1;
                }
                batch
            })
            .collect();
        let start = cpu();
        for batch in &mut inputs {
            let emitted = runner.transform.process(Call {
                batch,
                input: None,
                stream_times: &[],
                siblings_before: 0,
                lateness: 0,
                now: 0,
                state: &mut runner.state,
            });
            assert_eq!(emitted.unwrap().count as usize, size);
        }
        let ns = (cpu() - start).as_nanos() as f64 / (batches * size) as f64;
        best = best.min(ns);
    }
    best
}
