//! `wasmill`: a stream processor for Apache Kafka whose transforms are WebAssembly components.
//!
//! The binary and its composition root. `cli` has one file per command; `compose` is the only
//! place that names the concrete log, store, plugin engine, sources and sinks.

mod api;
mod board;
mod cli;
mod compose;
mod control_topic;
mod dead_letters;
mod failure;
mod generation;
mod health;
mod incarnation;
mod logging;
mod output;
mod pipelines;
mod plugins;
mod progress;
mod records;
mod reset;
mod scaffold;
mod shadow;
mod signals;
mod supervisor;
mod testing;
mod time;
mod traces;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cli::main() as u8)
}
