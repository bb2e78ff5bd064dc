//! Plugins that trap, loop, hoard and flood: the call fails, the host does not, and state is back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::time::{Duration, Instant};

use common::{Entry, Runner, batch, codes, values};
use plugin::MetricValue;
use record::topology::Limits;
use record::transform::{CallError, CallErrorKind};
use wasmill_plugin as plugin;

const POISON: &str = "misbehaving/poison";

fn limits() -> Limits {
    Limits {
        memory_bytes: 160 << 20,
        ..Limits::default()
    }
}

/// What one record does to a call of three.
fn fails(value: &str) -> (CallError, Runner) {
    let mut runner = Runner::with_limits(POISON, "{}", limits());
    let mut good = batch(&[(Some("k"), Some("fine"))]);
    runner.run_as_task(&mut good).unwrap();
    let records: [Entry<'_>; 3] = [
        (Some("k"), Some("fine")),
        (Some("k"), Some(value)),
        (Some("k"), Some("fine")),
    ];
    let mut input = batch(&records);
    let before = input.clone();
    let error = runner.run_as_task(&mut input).unwrap_err();
    assert_eq!(input.values, before.values, "the batch is whole again");
    assert_eq!(input.timestamps, before.timestamps);
    let state = runner.state.0.as_mut().expect("the state is back in its slot");
    assert_eq!(state.get(0, b"k").unwrap(), Some(1u64.to_le_bytes().to_vec()));
    let seen = &runner.linked.metrics()[0];
    assert_eq!(
        (seen.name.as_str(), &seen.value),
        ("seen_total", &MetricValue::Number(1.0))
    );
    // The others go on, on a fresh instance.
    for record in [records[0], records[2]] {
        runner.run_as_task(&mut batch(&[record])).unwrap();
    }
    let state = runner.state.0.as_mut().unwrap();
    assert_eq!(state.get(0, b"k").unwrap(), Some(3u64.to_le_bytes().to_vec()));
    assert_eq!(runner.linked.metrics()[0].value, MetricValue::Number(3.0));
    (error, runner)
}

#[test]
fn a_panic_is_told_with_its_message() {
    let (error, _) = fails("poison");
    assert_eq!(error.kind, CallErrorKind::Trap);
    assert!(error.message.starts_with("panicked at "), "{}", error.message);
    assert!(error.message.contains("poisoned by record 1"), "{}", error.message);
    assert!(error.detail.contains("wasm backtrace"), "{}", error.detail);
}

#[test]
fn an_endless_loop_ends_in_time() {
    let start = Instant::now();
    let (error, _) = fails("loop");
    assert_eq!(error.kind, CallErrorKind::TimedOut);
    assert!(error.message.contains("time_ms_per_record"), "{}", error.message);
    assert!(start.elapsed() > Duration::from_secs(1));
}

#[test]
fn a_flood_of_host_calls_ends_in_time() {
    assert_eq!(fails("calls").0.kind, CallErrorKind::TimedOut);
}

#[test]
fn a_memory_bomb_meets_its_limit() {
    let (error, _) = fails("memory");
    assert_eq!(error.kind, CallErrorKind::LimitExceeded);
    assert!(error.message.contains("160 MiB"), "{}", error.message);
}

#[test]
fn a_giant_output_is_refused() {
    let (error, _) = fails("flood");
    assert_eq!(error.kind, CallErrorKind::LimitExceeded);
    assert!(error.message.contains("output_bytes"), "{}", error.message);
}

#[test]
fn millions_of_outputs_are_refused() {
    assert_eq!(fails("million").0.kind, CallErrorKind::LimitExceeded);
}

#[test]
fn deep_recursion_is_a_trap() {
    let (error, _) = fails("recurse");
    assert_eq!(error.kind, CallErrorKind::Trap);
    assert!(error.message.contains("stack"), "{}", error.message);
}

#[test]
fn a_record_that_fails_fails_alone() {
    let mut runner = Runner::new(POISON, "{}");
    let mut input = batch(&[(Some("k"), Some("a")), (Some("k"), Some("bad")), (Some("k"), Some("b"))]);
    let emitted = runner.run(&mut input).unwrap();
    assert_eq!(values(&emitted, &input), ["a", "b"]);
    assert_eq!(codes(&emitted), [(1, "bad-record")]);
    let state = runner.state.0.as_mut().unwrap();
    assert_eq!(state.get(0, b"k").unwrap(), Some(2u64.to_le_bytes().to_vec()));
}

#[test]
fn a_chatterbox_is_cut_short() {
    let mut runner = Runner::new(POISON, "{}");
    let mut input = batch(&[(None, Some("chatter"))]);
    runner.run(&mut input).unwrap();
}

#[test]
fn memory_stays_bounded_over_many_calls() {
    // Each call leaks 70 MiB: two would exceed the limit, but the instance is replaced before.
    let mut runner = Runner::with_limits(POISON, "{}", Limits::default());
    for _ in 0..5 {
        runner.run(&mut batch(&[(None, Some("grow"))])).unwrap();
    }
}

#[test]
fn a_plugin_that_fails_in_configure_is_not_linked() {
    for (config, cause) in [
        (r#"{"panic":true}"#, "configured to panic"),
        (r#"{"panics":true}"#, "/panics"),
    ] {
        let compiled = common::ENGINE.load(&common::component(POISON)).unwrap();
        let error = compiled
            .link(plugin::LinkOptions {
                pipeline: "p".into(),
                transform: "t".into(),
                config_json: config.to_owned(),
                limits: Limits::default(),
            })
            .unwrap_err();
        assert!(error.to_string().contains(cause), "{error}");
    }
}
