//! Outputs and positions become visible together, or not at all.

use std::sync::Arc;

use record::NextOffset;
use record::TopicPartition;
use record::log::{CommitError, Edge, Isolation, LogError, Position};

use super::member::Member;
use super::subject::{CALL, Subject, batch};

/// Makes sure that an open transaction's records have reached the log, where they do so early.
fn let_it_arrive(s: &Subject, topic: &Arc<str>, count: usize) {
    if s.open_transactions_in_log {
        s.until("an open transaction is seen by read_uncommitted", || {
            s.read(topic, Isolation::ReadUncommitted).len() >= count
        });
    }
}

pub(super) fn nothing_is_visible_before_the_commit_and_all_is_after(s: &Subject) {
    let topic = s.topic("out", 2);
    let mut writer = s.member(&s.name("w"), &[&s.topic("in", 1)], &s.name("x"));
    let mut other = s.member(&s.name("o"), &[&topic], &s.name("y"));
    other.until("the empty topic's ends", |m| m.ends.len() == 2);
    writer.produce(&topic, 0, &["a", "b"]);
    writer.produce(&topic, 1, &["c"]);
    let_it_arrive(s, &topic, 3);
    let at = TopicPartition::new(Arc::clone(&topic), 0);
    assert_eq!(s.offset(&at, Edge::StableEnd), NextOffset(0));
    assert_eq!(s.visible_texts(&topic), Vec::<String>::new());
    for _ in 0..5 {
        other.step();
    }
    assert_eq!(other.texts(), Vec::<String>::new(), "nothing reaches another session");
    writer.commit(&[]).unwrap();
    assert_eq!(s.visible_texts(&topic), ["a", "b", "c"]);
    assert_eq!(s.read(&topic, Isolation::ReadUncommitted).len(), 3);
    other.until_read(3);
    other.close();
    writer.close();
}

pub(super) fn an_abort_leaves_nothing_visible(s: &Subject) {
    let (input, topic) = (s.topic("in", 1), s.topic("out", 1));
    let group = s.name("g");
    s.append(&input, 0, &["1"]);
    let mut member = s.member(&group, &[&input], &s.name("x"));
    member.until_read(1);
    for round in ["a", "b"] {
        member.produce(&topic, 0, &[round]);
        let_it_arrive(s, &topic, 1);
        member.abort();
        assert_eq!(s.visible_texts(&topic), Vec::<String>::new());
    }
    // Nothing open: nothing to do.
    member.abort();
    let at = TopicPartition::new(input, 0);
    assert_eq!(s.committed(&group, &at), None);
    member.produce(&topic, 0, &["kept"]);
    member.commit(&[]).unwrap();
    assert_eq!(s.visible_texts(&topic), ["kept"]);
    member.close();
}

pub(super) fn positions_and_notes_commit_with_the_outputs(s: &Subject) {
    let (input, output) = (s.topic("in", 2), s.topic("out", 1));
    let group = s.name("g");
    s.append(&input, 0, &["1", "2", "3"]);
    s.append(&input, 1, &["4"]);
    let mut member = s.member(&group, &[&input], &s.name("x"));
    member.until_read(4);
    let at = |p| TopicPartition::new(Arc::clone(&input), p);
    let long = format!("w1 5 {}", "n".repeat(3_900));
    let position = |p, next, note: &str| Position {
        at: at(p),
        next: NextOffset(next),
        note: note.to_owned(),
    };
    member.produce(&output, 0, &["x"]);
    member
        .commit_only(&[position(0, 2, &long), position(1, 1, "")])
        .unwrap();
    assert_eq!(s.visible_texts(&output), ["x"]);
    assert_eq!(s.committed(&group, &at(0)), Some((NextOffset(2), long)));
    assert_eq!(s.committed(&group, &at(1)), Some((NextOffset(1), String::new())));
    // Only what is named changes.
    member.commit_only(&[position(0, 3, "n2")]).unwrap();
    let all = member.session.committed(&[at(1), at(0)], CALL).unwrap();
    let all: Vec<_> = all.into_iter().flatten().map(|c| (c.next.0, c.note)).collect();
    assert_eq!(all, [(1, String::new()), (3, "n2".to_owned())]);
    member.close();
    assert_eq!(s.committed(&group, &at(0)), Some((NextOffset(3), "n2".to_owned())));
}

pub(super) fn a_commit_of_positions_alone_is_kept(s: &Subject) {
    let input = s.topic("in", 1);
    let group = s.name("g");
    s.append(&input, 0, &["1", "2"]);
    let mut member = s.member(&group, &[&input], &s.name("x"));
    member.until_read(2);
    let at = TopicPartition::new(input, 0);
    member.commit(&[]).unwrap();
    assert_eq!(s.committed(&group, &at).unwrap().0, member.owned[&at]);
    // Nothing at all is fine too.
    member.commit_only(&[]).unwrap();
    assert_eq!(s.committed(&group, &at).unwrap().0, member.owned[&at]);
    member.close();
}

pub(super) fn a_second_session_with_the_same_transactional_id_fences_the_first(s: &Subject) {
    let (a, b, output) = (s.topic("a", 1), s.topic("b", 1), s.topic("out", 1));
    let group = s.name("ga");
    s.append(&a, 0, &["1"]);
    let mut first = s.member(&group, &[&a], &s.name("same"));
    first.until_read(1);
    first.produce(&output, 0, &["zombie"]);
    let mut second = s.member(&s.name("gb"), &[&b], &s.name("same"));
    second.until_owns(1);
    second.produce(&output, 0, &["new"]);
    second.commit(&[]).unwrap();
    let outcome = first.commit(&[]);
    assert!(matches!(outcome, Err(CommitError::Fenced { .. })), "{outcome:?}");
    // It stays fenced, whatever it tries.
    let more = first.session.produce(&output, &batch(&["again"]), &[0]);
    if more.is_ok() {
        let outcome = first.commit(&[]);
        assert!(matches!(outcome, Err(CommitError::Fenced { .. })), "{outcome:?}");
    } else {
        assert!(matches!(more, Err(LogError::Fenced { .. })), "{more:?}");
    }
    let at = TopicPartition::new(a, 0);
    assert_eq!(s.committed(&group, &at), None, "its positions are not committed either");
    assert_eq!(s.visible_texts(&output), ["new"]);
    second.produce(&output, 0, &["newer"]);
    second.commit(&[]).unwrap();
    assert_eq!(s.visible_texts(&output), ["new", "newer"]);
    first.close();
    second.close();
}

pub(super) fn a_dropped_session_leaves_nothing_of_its_transaction(s: &Subject) {
    let (input, output) = (s.topic("in", 1), s.topic("out", 1));
    let group = s.name("g");
    s.append(&input, 0, &["1"]);
    let id = s.name("x");
    let mut member = s.member(&group, &[&input], &id);
    member.until_read(1);
    member.produce(&output, 0, &["lost"]);
    let_it_arrive(s, &output, 1);
    let Member { session, .. } = member;
    drop(session);
    // The next one of the same name goes on where the last commit left off.
    let mut next = s.member(&group, &[&input], &id);
    next.until_read(1);
    next.produce(&output, 0, &["kept"]);
    next.commit(&[]).unwrap();
    assert_eq!(s.visible_texts(&output), ["kept"]);
    next.close();
}

pub(super) fn renew_drops_what_was_open_and_goes_on(s: &Subject) {
    let (input, output) = (s.topic("in", 1), s.topic("out", 1));
    let group = s.name("g");
    s.append(&input, 0, &["1"]);
    let mut member = s.member(&group, &[&input], &s.name("x"));
    member.until_read(1);
    for round in ["a", "b"] {
        member.produce(&output, 0, &["dropped"]);
        let_it_arrive(s, &output, 1);
        s.retry("renew", || member.session.renew(CALL));
        let at = TopicPartition::new(Arc::clone(&input), 0);
        let committed = member.committed(std::slice::from_ref(&at));
        assert_eq!(committed[0], (round == "b").then(|| member.owned[&at]));
        member.produce(&output, 0, &[round]);
        member.commit(&[]).unwrap();
    }
    assert_eq!(s.visible_texts(&output), ["a", "b"]);
    member.close();
}
