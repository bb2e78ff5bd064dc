//! Who may not commit any more, beyond what every log is asked for.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use record::log::{CommitError, LogError, LogEvent, PollLimit, Polled, Position, SessionConfig};
use record::{NextOffset, TopicPartition};
use testkit::log_conformance::Subject;
use wasmill_embedded::EmbeddedLog;

const CALL: Duration = Duration::from_secs(10);

fn subject() -> Subject {
    Subject::new(Arc::new(EmbeddedLog::open(None).unwrap()))
}

#[test]
fn the_same_instance_takes_over_and_the_old_session_is_fenced() {
    let s = subject();
    let (input, output) = (s.topic("in", 2), s.topic("out", 1));
    s.append(&input, 0, &["1"]);
    let config = |id: &str| SessionConfig {
        instance_id: Some("instance".to_owned()),
        ..s.config("g", &[&input], id)
    };
    let mut old = s.join(&config("x"));
    old.until_read(1);
    old.produce(&output, 0, &["old"]);
    let mut new = s.join(&config("y"));
    let outcome = old.commit(&[]);
    assert!(matches!(outcome, Err(CommitError::Fenced { .. })), "{outcome:?}");
    assert!(matches!(old.try_step(), Err(LogError::Fenced { .. })));
    let renewed = old.session.renew(CALL);
    assert!(matches!(renewed, Err(LogError::Fenced { .. })), "{renewed:?}");
    // It takes over at once, without waiting for anything of the old one.
    new.until_read(1);
    new.produce(&output, 0, &["new"]);
    new.commit(&[]).unwrap();
    old.close();
    assert_eq!(s.visible_texts(&output), ["new"]);
    assert_eq!(new.owned.len(), 2);
    new.step();
    assert_eq!(new.owned.len(), 2, "the end of the old session takes nothing away");
}

#[test]
fn positions_of_a_partition_that_another_member_has_are_refused() {
    let s = subject();
    let input = s.topic("in", 2);
    let mut a = s.member("g", &[&input], "a");
    a.until_owns(2);
    let mut b = s.member("g", &[&input], "b");
    while b.owned.is_empty() {
        a.step();
        b.step();
    }
    let at = b.owned.keys().next().unwrap().clone();
    let stale = Position {
        at: at.clone(),
        next: NextOffset(0),
        note: "stale".to_owned(),
    };
    let outcome = a.commit_only(&[stale]);
    assert!(matches!(outcome, Err(CommitError::Fenced { .. })), "{outcome:?}");
    // What it has it may commit.
    a.commit(&[]).unwrap();
    b.commit(&[]).unwrap();
    assert_ne!(s.committed("g", &at).unwrap().1, "stale");
}

#[test]
fn a_fenced_transactional_id_is_not_taken_back_by_renewing() {
    let s = subject();
    let input = s.topic("in", 1);
    let mut old = s.member("g", &[&input], "same");
    let mut new = s.member("h", &[&input], "same");
    assert!(matches!(old.session.renew(CALL), Err(LogError::Fenced { .. })));
    new.until_owns(1);
    new.commit(&[]).unwrap();
}

#[test]
fn the_partitions_of_a_deleted_topic_are_lost() {
    let s = subject();
    let (input, output) = (s.topic("in", 2), s.topic("out", 1));
    let mut member = s.member("g", &[&input], "x");
    member.until_owns(2);
    s.log.delete_topics(&[&input], CALL).unwrap();
    let outcome = member.commit(&[]);
    assert!(matches!(outcome, Err(CommitError::Aborted { .. })), "{outcome:?}");
    let mut polled = Polled::default();
    member.session.poll(CALL, PollLimit::default(), &mut polled).unwrap();
    let both: Vec<_> = (0..2).map(|p| TopicPartition::new(Arc::clone(&input), p)).collect();
    assert!(polled.events.contains(&LogEvent::Lost(both)), "{:?}", polled.events);
    // Outputs for a deleted topic are not committed somewhere else.
    member.produce(&output, 0, &["x"]);
    s.log.delete_topics(&[&output], CALL).unwrap();
    let outcome = member.commit_only(&[]);
    assert!(matches!(outcome, Err(CommitError::Aborted { .. })), "{outcome:?}");
}
