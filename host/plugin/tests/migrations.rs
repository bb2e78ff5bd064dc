//! Plugins that change what an earlier version of them has stored.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use common::{Runner, batch};
use record::transform::CallErrorKind;

const MIGRATING: &str = "misbehaving/migrating";

/// With what version 0 has stored.
fn runner(config: &str) -> Runner {
    let mut runner = Runner::new(MIGRATING, config);
    let state = runner.state.0.as_mut().unwrap();
    for (key, seen) in [("room-1", 5_u64), ("room-2", 7), ("room-3", 0)] {
        state.put(0, key.as_bytes(), &seen.to_le_bytes()).unwrap();
    }
    state.keep();
    runner
}

fn stored(runner: &mut Runner, key: &str) -> Option<Vec<u8>> {
    runner.state.0.as_mut().unwrap().get(0, key.as_bytes()).unwrap()
}

#[test]
fn a_new_version_reads_what_it_has_migrated() {
    let mut runner = runner("{}");
    assert!(runner.linked.compiled().migrates());
    runner.transform.migrate(0, 1, &mut runner.state).unwrap();
    assert_eq!(stored(&mut runner, "room-1").unwrap(), br#"{"count":5}"#);
    assert_eq!(stored(&mut runner, "room-3"), None);
    runner.run_as_task(&mut batch(&[(Some("room-1"), None)])).unwrap();
    assert_eq!(stored(&mut runner, "room-1").unwrap(), br#"{"count":6}"#);
}

#[test]
fn one_that_fails_is_told_and_gives_the_state_back() {
    for (config, kind, says) in [
        (r#"{"refuse":true}"#, CallErrorKind::Refused, "no-mood: not today"),
        (r#"{"panic":true}"#, CallErrorKind::Trap, "configured to panic"),
    ] {
        let mut runner = runner(config);
        let point = runner.state.0.as_mut().unwrap().savepoint();
        let error = runner.transform.migrate(0, 1, &mut runner.state).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(says), "{error}");
        // Half of it was done; whoever called undoes it.
        assert_eq!(stored(&mut runner, "room-1").unwrap(), br#"{"count":5}"#);
        runner.state.0.as_mut().unwrap().rollback(point).unwrap();
        assert_eq!(stored(&mut runner, "room-1").unwrap(), 5_u64.to_le_bytes());
    }
    let mut runner = runner("{}");
    let error = runner.transform.migrate(4, 1, &mut runner.state).unwrap_err();
    assert!(error.message.contains("no-version"), "{error}");
}

#[test]
fn one_that_migrates_nothing_says_so() {
    let mut runner = Runner::new("word_count", "{}");
    assert!(!runner.linked.compiled().migrates());
    let error = runner.transform.migrate(0, 1, &mut runner.state).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Refused);
    assert!(error.message.contains("migration-handler"), "{error}");
    assert!(runner.state.0.is_some());
}
