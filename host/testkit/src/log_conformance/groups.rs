//! Members, assignment, committed positions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use record::log::{LogError, Position};
use record::{NextOffset, TopicPartition};

use super::member::Member;
use super::subject::{CALL, Subject};

pub(super) fn a_new_session_resumes_from_the_committed_positions(s: &Subject) {
    let topic = s.topic("t", 2);
    let group = s.name("g");
    s.append(&topic, 0, &["1", "2"]);
    let mut first = s.member(&group, &[&topic], &s.name("x"));
    first.until_read(2);
    first.commit(&[]).unwrap();
    // Read and not committed: comes again.
    s.append(&topic, 0, &["3"]);
    s.append(&topic, 1, &["4"]);
    first.until_read(4);
    first.close();
    let mut second = s.member(&group, &[&topic], &s.name("x"));
    second.until_read(2);
    let mut texts = second.texts();
    texts.sort();
    assert_eq!(texts, ["3", "4"]);
    second.close();
}

fn step_both(
    s: &Subject,
    what: &str,
    a: &mut Member<'_>,
    b: &mut Member<'_>,
    is_so: impl Fn(&Member<'_>, &Member<'_>) -> bool,
) {
    let deadline = Instant::now() + s.patience;
    while !is_so(a, b) {
        assert!(
            Instant::now() < deadline,
            "not in time: {what}; {:?} and {:?}, {} and {} records",
            a.owned,
            b.owned,
            a.records.len(),
            b.records.len()
        );
        // At no moment do both own a partition, whoever moves first.
        b.step();
        one_owner(a, b);
        a.step();
        one_owner(a, b);
    }
}

fn one_owner(a: &Member<'_>, b: &Member<'_>) {
    let both: Vec<_> = a.owned.keys().filter(|at| b.owned.contains_key(*at)).collect();
    assert!(both.is_empty(), "two members own {both:?}");
}

fn write_round(s: &Subject, topic: &str, round: usize, written: &mut BTreeSet<String>) {
    for partition in 0..4 {
        let values: Vec<_> = (0..25).map(|i| format!("{round}-{partition}-{i}")).collect();
        s.append(topic, partition, &values.iter().map(String::as_str).collect::<Vec<_>>());
        written.extend(values);
    }
}

fn read_by_both(a: &Member<'_>, b: &Member<'_>) -> Vec<String> {
    let mut all: Vec<_> = a.texts().into_iter().chain(b.texts()).collect();
    all.sort();
    all
}

pub(super) fn two_sessions_share_the_partitions_and_hand_over_without_loss_or_repeat(s: &Subject) {
    let topic = s.topic("t", 4);
    let group = s.name("g");
    let mut written = BTreeSet::new();
    write_round(s, &topic, 0, &mut written);
    let mut a = s.member(&group, &[&topic], &s.name("a"));
    a.until_read(100);
    assert_eq!(a.owned.len(), 4, "one member has everything");
    write_round(s, &topic, 1, &mut written);
    // `a` has not committed anything: giving two partitions up commits them, so that `b` goes on.
    let mut b = s.member(&group, &[&topic], &s.name("b"));
    step_both(s, "two each", &mut a, &mut b, |a, b| {
        a.owned.len() == 2 && b.owned.len() == 2
    });
    write_round(s, &topic, 2, &mut written);
    let all = written.len();
    step_both(s, "everything is read", &mut a, &mut b, |a, b| {
        a.records.len() + b.records.len() >= all
    });
    let read = read_by_both(&a, &b);
    assert_eq!(read, written.iter().cloned().collect::<Vec<_>>(), "each record once");
    assert!(!b.records.is_empty(), "the second member read some");
    a.close();
    b.close();
}

pub(super) fn a_member_that_closes_gives_its_partitions_back(s: &Subject) {
    let topic = s.topic("t", 4);
    let group = s.name("g");
    let mut a = s.member(&group, &[&topic], &s.name("a"));
    a.until_owns(4);
    let mut b = s.member(&group, &[&topic], &s.name("b"));
    step_both(s, "two each", &mut a, &mut b, |a, b| {
        a.owned.len() == 2 && b.owned.len() == 2
    });
    let mut written = BTreeSet::new();
    write_round(s, &topic, 0, &mut written);
    step_both(s, "everything is read", &mut a, &mut b, |a, b| {
        a.records.len() + b.records.len() >= 100
    });
    a.commit(&[]).unwrap();
    b.commit(&[]).unwrap();
    let read_by_b = b.texts();
    b.close();
    write_round(s, &topic, 1, &mut written);
    a.until_owns(4);
    let all = written.len();
    a.until("the rest is read", |a| a.records.len() + read_by_b.len() >= all);
    let mut read: Vec<_> = a.texts().into_iter().chain(read_by_b).collect();
    read.sort();
    assert_eq!(read, written.into_iter().collect::<Vec<_>>(), "each record once");
    a.close();
}

pub(super) fn a_partition_that_was_paused_is_read_when_it_comes_back(s: &Subject) {
    let topic = s.topic("t", 2);
    let group = s.name("g");
    let mut a = s.member(&group, &[&topic], &s.name("a"));
    a.until_owns(2);
    let places: Vec<_> = a.owned.keys().cloned().collect();
    a.session.pause(&places).unwrap();
    let mut b = s.member(&group, &[&topic], &s.name("b"));
    step_both(s, "one each", &mut a, &mut b, |a, b| {
        a.owned.len() == 1 && b.owned.len() == 1
    });
    let moved: Vec<_> = b.owned.keys().cloned().collect();
    b.close();
    a.until_owns(2);
    for at in &moved {
        s.append(&topic, at.partition, &["after"]);
    }
    a.until_read(1);
    a.close();
}

pub(super) fn two_groups_do_not_meet(s: &Subject) {
    let topic = s.topic("t", 1);
    s.append(&topic, 0, &["1", "2"]);
    let (g, h) = (s.name("g"), s.name("h"));
    let mut a = s.member(&g, &[&topic], &s.name("a"));
    let mut b = s.member(&h, &[&topic], &s.name("b"));
    a.until_read(2);
    b.until_read(2);
    a.commit(&[]).unwrap();
    let at = TopicPartition::new(Arc::clone(&topic), 0);
    assert_eq!(s.committed(&g, &at).unwrap().0, a.owned[&at]);
    assert_eq!(s.committed(&h, &at), None);
    a.close();
    b.close();
}

pub(super) fn positions_can_be_set_only_without_members(s: &Subject) {
    let topic = s.topic("t", 1);
    let group = s.name("g");
    let at = TopicPartition::new(Arc::clone(&topic), 0);
    let set = |next: i64| {
        s.log.set_committed(
            &group,
            &[Position {
                at: at.clone(),
                next: NextOffset(next),
                note: format!("set {next}"),
            }],
            CALL,
        )
    };
    s.append(&topic, 0, &["0", "1", "2", "3"]);
    s.retry("set positions of a new group", || set(2));
    assert_eq!(s.committed(&group, &at), Some((NextOffset(2), "set 2".to_owned())));
    let mut member = s.member(&group, &[&topic], &s.name("x"));
    member.until_read(2);
    assert_eq!(member.texts(), ["2", "3"], "a member starts there");
    let refused = set(0);
    assert!(matches!(refused, Err(LogError::Fatal { .. })), "{refused:?}");
    assert_eq!(s.committed(&group, &at).unwrap().0, NextOffset(2));
    member.commit(&[]).unwrap();
    member.close();
    s.until("the member is gone", || set(1).is_ok());
    assert_eq!(s.committed(&group, &at), Some((NextOffset(1), "set 1".to_owned())));
}

pub(super) fn a_deleted_group_is_forgotten(s: &Subject) {
    let topic = s.topic("t", 1);
    let group = s.name("g");
    let at = TopicPartition::new(Arc::clone(&topic), 0);
    s.append(&topic, 0, &["0", "1"]);
    s.retry("delete a group that never was", || s.log.delete_group(&group, CALL));
    let mut member = s.member(&group, &[&topic], &s.name("x"));
    member.until_read(2);
    member.commit(&[]).unwrap();
    let refused = s.log.delete_group(&group, CALL);
    assert!(matches!(refused, Err(LogError::Fatal { .. })), "{refused:?}");
    member.close();
    s.until("the member is gone", || s.log.delete_group(&group, CALL).is_ok());
    assert_eq!(s.committed(&group, &at), None);
}

pub(super) fn members_show_their_client_ids(s: &Subject) {
    let topic = s.topic("t", 2);
    let group = s.name("g");
    let none = s.retry("members", || s.log.group_members(&group, CALL));
    assert_eq!(none, [], "a group that is not there has no members");
    let (x, y) = (s.name("x"), s.name("y"));
    let mut a = s.member(&group, &[&topic], &x);
    a.until_owns(2);
    let mut b = s.member(&group, &[&topic], &y);
    step_both(s, "one each", &mut a, &mut b, |a, b| {
        a.owned.len() == 1 && b.owned.len() == 1
    });
    let mut expected = [format!("client-{x}"), format!("client-{y}")];
    expected.sort();
    let clients = || {
        let mut found: Vec<_> = s
            .retry("members", || s.log.group_members(&group, CALL))
            .into_iter()
            .map(|m| m.client_id)
            .collect();
        found.sort();
        found
    };
    assert_eq!(clients(), expected);
    a.close();
    b.close();
    s.until("both are gone", || clients().is_empty());
}
