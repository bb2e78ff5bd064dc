//! Timers, through the harness.

#![allow(clippy::unwrap_used)]

use super::{Harness, Input, Run};
use crate::prelude::*;
use crate::{Clock, Output};

const LAST: Store<u64> = Store::keyed(0, "last", "The last value");

/// Does what the value says, word by word.
struct Obeys;

impl Obeys {
    fn obey(&self, words: &str, ctx: &mut Context<'_>) -> Result<()> {
        for word in words.split(' ') {
            let (what, number) = word.split_once('=').unwrap_or((word, "0"));
            let (name, time) = number.split_once('@').unwrap_or(("t", number));
            let time: i64 = time.parse()?;
            match what {
                "set" => ctx.set_timer(name, time)?,
                "wall" => ctx.set_wall_timer(name, time)?,
                "cancel" => ctx.cancel_timer("t")?,
                "unwall" => ctx.cancel_wall_timer("t")?,
                "put" => ctx.put(LAST, &(time as u64))?,
                "ask" => {
                    let times = (ctx.timer("t")?, ctx.wall_timer("t")?);
                    ctx.emit(format!("{times:?}"))?;
                }
                "times" => ctx.emit(format!("{} {} {}", ctx.stream_time(), ctx.watermark(), ctx.now()))?,
                "nameless" => ctx.set_timer("", 1)?,
                "long" => ctx.set_timer(&"n".repeat(256), 1)?,
                _ => return Err(Error::new("unknown", what)),
            }
        }
        Ok(())
    }
}

impl Plugin for Obeys {
    type Config = NoConfig;

    fn about() -> About {
        About::new("obeys", "1.0.0").store(LAST).sets_timers()
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        self.obey(record.value_str()?, ctx)
    }

    fn on_timer(&mut self, timer: Timer<'_>, ctx: &mut Context<'_>) -> Result<()> {
        let key = timer.key_str()?;
        let last = ctx.get(LAST)?;
        ctx.emit(format!(
            "{key} {} {} {last:?} {} {}",
            timer.name(),
            timer.time(),
            ctx.stream_time(),
            ctx.watermark()
        ))?;
        // What the timer's name says is done when it fires.
        match timer.name().split_once('/') {
            Some((_, words)) => self.obey(&words.replace('_', " ").replace(':', "="), ctx),
            None => Ok(()),
        }
    }
}

fn harness() -> Harness<Obeys> {
    Harness::new("{}").unwrap()
}

fn at(key: &str, time: i64, words: &str) -> Input {
    Input::new(words).key(key).timestamp(time)
}

/// Each output as the timer that caused it, or "-", and its value.
fn said(run: &Run) -> Vec<String> {
    let outputs = run.outputs.iter().zip(run.values());
    outputs
        .map(|(output, value)| format!("{}: {value}", output.timer.as_deref().unwrap_or("-")))
        .collect()
}

#[test]
fn timers_fire_before_the_record_that_brings_the_watermark() {
    let mut plugin = harness().lateness(5);
    let run = plugin.run(&[at("a", 0, "set=10 put=7"), at("b", 14, "ask"), at("b", 15, "times")]);
    assert_eq!(said(&run), ["-: (None, None)", "t: a t 10 Some(7) 15 10", "-: 15 10 0"]);
    let fired = &run.outputs[1];
    assert_eq!((fired.key.as_deref(), fired.timestamp), (Some(&b"a"[..]), 10));
    assert_eq!((fired.parent, fired.value.is_some(), run.failures.len()), (2, true, 0));
    assert!(plugin.timers(Clock::EventTime).is_empty());
}

#[test]
fn they_fire_by_time_then_key_then_name() {
    let mut plugin = harness();
    let run = plugin.run(&[
        at("b", 0, "set=y@10 set=x@10 set=z@9"),
        at("a", 0, "set=z@10 set=early@30"),
        at("c", 100, "times"),
    ]);
    let fired: Vec<_> = run.outputs.iter().filter_map(|output| output.timer.clone()).collect();
    assert_eq!(fired, ["z", "z", "x", "y", "early"]);
    assert_eq!(run.outputs[1].key.as_deref(), Some(&b"a"[..]));
}

#[test]
fn one_that_is_due_fires_at_once() {
    let mut plugin = harness();
    let run = plugin.run(&[at("a", 50, "set=50"), at("a", 50, "ask"), at("b", 50, "set=3 ask")]);
    assert_eq!(
        said(&run),
        [
            "t: a t 50 None 50 50",
            "-: (None, None)",
            "-: (Some(3), None)",
            "t: b t 3 None 50 50"
        ]
    );
}

#[test]
fn reads_see_changes_and_the_last_one_counts() {
    let mut plugin = harness();
    let run = plugin.run(&[
        at("a", 0, "ask set=10 set=20 ask cancel ask set=30 wall=5 ask"),
        at("a", 1, "ask unwall ask cancel"),
        at("b", 2, "ask"),
    ]);
    assert_eq!(
        run.values(),
        [
            "(None, None)",
            "(Some(20), None)",
            "(None, None)",
            "(Some(30), Some(5))",
            "(Some(30), Some(5))",
            "(Some(30), None)",
            "(None, None)"
        ]
    );
    assert!(plugin.timers(Clock::EventTime).is_empty() && plugin.timers(Clock::WallClock).is_empty());
}

#[test]
fn changes_of_a_record_that_fails_are_dropped() {
    let mut plugin = harness();
    let run = plugin.run(&[at("a", 0, "set=10 put=1"), at("a", 1, "set=20 wall=9 put=2 fail")]);
    assert_eq!(run.codes(), ["unknown"]);
    assert_eq!(plugin.timers(Clock::EventTime), [(b"a".to_vec(), "t".to_owned(), 10)]);
    assert!(plugin.timers(Clock::WallClock).is_empty());
    let run = plugin.advance(Clock::EventTime, 10);
    assert_eq!(said(&run), ["t: a t 10 Some(1) 10 10"]);
}

#[test]
fn in_one_batch_too() {
    // The harness runs timed plugins record by record; a host does not.
    let mut plugin = harness();
    let inputs = [
        at("a", 0, "set=10 put=1"),
        at("b", 0, "set=11"),
        at("a", 1, "set=20 put=2 fail"),
        at("a", 2, "ask"),
        at("b", 3, "cancel ask"),
    ];
    let mut run = Run::default();
    plugin.run_batch(&inputs, 0, &mut run);
    assert_eq!(run.values(), ["(Some(10), None)", "(None, None)"]);
    assert_eq!((run.failures[0].index, run.failures.len()), (2, 1));
    assert_eq!(plugin.timers(Clock::EventTime), [(b"a".to_vec(), "t".to_owned(), 10)]);
    assert_eq!(plugin.stored("last")[&b"a"[..]], 1u64.to_le_bytes());
}

#[test]
fn the_host_gets_every_change_in_order() {
    let mut plugin = harness();
    let inputs = [
        at("a", 0, "set=10 wall=5"),
        at("b", 0, "set=11"),
        at("a", 1, "ask cancel set=20 unwall set=x@30 ask fail"),
        at("a", 2, "ask set=40 cancel ask"),
        at("a", 3, "wall=6 set=50 ask"),
    ];
    let mut run = Run::default();
    plugin.run_batch(&inputs, 0, &mut run);
    assert_eq!(
        run.values(),
        ["(Some(10), Some(5))", "(None, Some(5))", "(Some(50), Some(6))"]
    );
    let changes: Vec<_> = plugin.world.changes.drain(..).collect();
    let change = |clock, key: &str, time| ((clock, key.as_bytes().to_vec(), "t".to_owned()), time);
    assert_eq!(
        changes,
        [
            change(0, "a", 10),
            change(0, "b", 11),
            change(0, "a", 40),
            change(0, "a", -1),
            change(0, "a", 50),
            change(1, "a", 5),
            change(1, "a", 6),
        ]
    );
    // Nothing of it is left for the next call, and a record that fails first of all leaves nothing.
    plugin.run_batch(&[at("a", 4, "cancel fail"), at("a", 5, "ask")], 0, &mut run);
    assert_eq!(run.values().last().map(String::as_str), Some("(Some(50), Some(6))"));
    assert_eq!(plugin.world.changes, []);
}

#[test]
fn a_timer_sets_itself_again_but_not_for_a_time_that_has_come() {
    let mut plugin = harness();
    plugin.run(&[at("a", 0, "put=3")]);
    let set = |plugin: &mut Harness<Obeys>, name: &str, time| {
        plugin.world.timers.insert((0, b"a".to_vec(), name.to_owned()), time);
    };
    set(&mut plugin, "x/set:25", 10);
    set(&mut plugin, "y/put:9_set:10", 10);
    set(&mut plugin, "z/wall:1", 10);
    let run = plugin.advance(Clock::EventTime, 30);
    assert_eq!(
        said(&run),
        [
            "x/set:25: a x/set:25 10 Some(3) 30 30",
            "z/wall:1: a z/wall:1 10 Some(3) 30 30",
            "t: a t 25 Some(3) 30 30"
        ]
    );
    let failed = &run.failures[0];
    assert_eq!(
        (failed.timer.as_deref(), failed.code.as_str()),
        (Some("y/put:9_set:10"), "error")
    );
    assert!(failed.message.contains("later"), "{}", failed.message);
    assert_eq!(plugin.timers(Clock::WallClock).len(), 1);
}

#[test]
fn the_wall_clock_moves_by_hand() {
    let mut plugin = harness();
    let run = plugin.run(&[at("a", 1_000, "wall=100 set=5000 times")]);
    assert_eq!(run.values(), ["1000 1000 0"]);
    assert!(plugin.advance(Clock::WallClock, 99).outputs.is_empty());
    let run = plugin.advance(Clock::WallClock, 100);
    assert_eq!((run.outputs.len(), run.outputs[0].timestamp), (1, 100));
    // A clock does not go back, and a timer fires once.
    assert!(plugin.advance(Clock::WallClock, 50).outputs.is_empty());
    assert_eq!(plugin.run(&[at("a", 1_001, "times")]).values(), ["1001 1001 100"]);
    // One that sets itself for now waits for the next time: nothing runs for ever.
    plugin
        .world
        .timers
        .insert((1, b"a".to_vec(), "again/wall:1".to_owned()), 100);
    assert_eq!(plugin.advance(Clock::WallClock, 100).outputs.len(), 1);
    assert_eq!(plugin.timers(Clock::WallClock).len(), 1);
}

#[test]
fn misuse_is_told() {
    let mut plugin = harness();
    let run = plugin.run(&[
        at("a", 0, "nameless"),
        at("a", 0, "long"),
        at("a", 0, "set=-1"),
        Input::new("set=1"),
    ]);
    assert_eq!(run.codes(), ["no-timer-name", "no-timer-name", "error", "no-key"]);
    assert!(plugin.timers(Clock::EventTime).is_empty());
}

/// Says too little: no `sets_timers`, no `on_timer`.
struct Forgets;

impl Plugin for Forgets {
    type Config = NoConfig;

    fn about() -> About {
        About::new("forgets", "1.0.0")
    }

    fn new(_: NoConfig) -> Result<Self, Problems> {
        Ok(Self)
    }

    fn process(&mut self, _: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        ctx.send(Output::new("x"))?;
        ctx.set_timer("t", 5)
    }
}

#[test]
fn what_was_forgotten_is_told() {
    let mut plugin = Harness::<Forgets>::new("{}").unwrap();
    let run = plugin.run(&[at("a", 0, "")]);
    assert_eq!((run.codes(), run.outputs.len()), (vec!["error"], 0));
    assert!(run.failures[0].message.contains("sets_timers"));
    plugin.world.timers.insert((0, b"a".to_vec(), "t".to_owned()), 5);
    let run = plugin.advance(Clock::EventTime, 5);
    assert!(run.failures[0].message.contains("on_timer"), "{:?}", run.failures);
}
