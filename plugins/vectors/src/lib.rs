//! Runs the table of test vectors (see `README.md`) on a plugin in Rust, as a plain function.
//!
//! The tests of `host/plugin` run the same table on components of every language; they read it with
//! the same `table.rs`.

// The harness is not there in WebAssembly.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::panic, clippy::expect_used, reason = "it is for tests")]

pub mod json;
pub mod table;

use wasmill_sdk::testing::{Emitted, Harness, Input, Run};
use wasmill_sdk::{Clock, Plugin, Tombstone};

use table::{Case, HeaderList, Record};

/// Runs all cases of a table, each with whole batches and one record at a time.
///
/// # Panics
/// An answer is not what the table says.
pub fn check<P: Plugin>(table: &str) {
    for case in table::read(table) {
        check_case::<P>(&case, usize::MAX);
        check_case::<P>(&case, 1);
    }
}

fn check_case<P: Plugin>(case: &Case, cut: usize) {
    let name = &case.name;
    let mut plugin = match (Harness::<P>::new(&case.config), &case.problems) {
        (Ok(plugin), None) => plugin.lateness(case.lateness),
        (Err(problems), Some(expected)) => {
            let mut pointers: Vec<_> = problems.0.into_iter().map(|problem| problem.pointer).collect();
            pointers.sort();
            assert_eq!(&pointers, expected, "{name}");
            return;
        }
        (Ok(_), Some(expected)) => panic!("{name}: the config has no problem at {expected:?}"),
        (Err(problems), None) => panic!("{name}: {problems:?}"),
    };
    for (store, entries) in &case.stored {
        for (key, value) in entries {
            plugin.store(store, key, value.exact().unwrap_or_default());
        }
    }
    for (number, step) in case.steps.iter().enumerate() {
        let inputs: Vec<_> = step.records.iter().map(input).collect();
        let mut run = Run::default();
        let mut first = 0;
        for part in inputs.chunks(cut.min(inputs.len())) {
            let mut of_part = plugin.run(part);
            of_part.outputs.iter_mut().for_each(|output| output.parent += first);
            of_part.failures.iter_mut().for_each(|failure| failure.index += first);
            run.outputs.append(&mut of_part.outputs);
            run.failures.append(&mut of_part.failures);
            first += part.len();
        }
        let place = format!("{name}, step {number}");
        let failures: Vec<_> = run
            .failures
            .into_iter()
            .map(|failure| (failure.index, failure.code))
            .collect();
        assert_eq!(failures, step.failures, "{place}");
        assert_eq!(run.outputs.len(), step.outputs.len(), "{place}: {:#?}", run.outputs);
        for (at, (output, expected)) in run.outputs.iter().zip(&step.outputs).enumerate() {
            assert!(
                is_as_expected(output, expected),
                "{place}, output {at}: {output:?} is not {expected:?}"
            );
        }
    }
    check_state(case, &plugin);
}

fn check_state<P: Plugin>(case: &Case, plugin: &Harness<P>) {
    let name = &case.name;
    for store in plugin.stores() {
        let stored = plugin.stored(&store);
        let expected = case.state.get(&store).cloned().unwrap_or_default();
        let keys = |keys: &mut dyn Iterator<Item = &Vec<u8>>| keys.cloned().collect::<Vec<_>>();
        assert_eq!(
            keys(&mut stored.keys()),
            keys(&mut expected.keys()),
            "{name}: the keys of `{store}`"
        );
        for (key, value) in &stored {
            assert!(
                expected[key].matches(Some(value)),
                "{name}: `{store}` holds {value:?} under {key:?}"
            );
        }
    }
    let of_clock = |clock, is_wall: bool| {
        let timers = plugin.timers(clock).into_iter();
        timers.map(move |(key, name, time)| (is_wall, key, name, time))
    };
    let mut timers: Vec<_> = of_clock(Clock::EventTime, false)
        .chain(of_clock(Clock::WallClock, true))
        .collect();
    timers.sort();
    assert_eq!(timers, case.timers, "{name}: timers");
}

fn input(record: &Record) -> Input {
    let mut input = match record.value.exact() {
        Some(value) => Input::new(value),
        None => Input::new(Tombstone),
    };
    if let Some(key) = record.key.exact() {
        input = input.key(key);
    }
    for (name, value) in &record.headers {
        input = input.header(name, value.exact());
    }
    input.timestamp(record.timestamp)
}

fn is_as_expected(output: &Emitted, expected: &table::Output) -> bool {
    let headers = |expected: &HeaderList| {
        expected.len() == output.headers.len()
            && expected
                .iter()
                .zip(&output.headers)
                .all(|((name, value), own)| *name == own.0 && value.matches(own.1.as_deref()))
    };
    output.timer == expected.timer
        && expected.parent.is_none_or(|parent| parent == output.parent)
        && output.port == expected.port
        && expected.key.matches(output.key.as_deref())
        && expected.value.matches(output.value.as_deref())
        && output.timestamp == expected.timestamp
        && headers(&expected.headers)
}
