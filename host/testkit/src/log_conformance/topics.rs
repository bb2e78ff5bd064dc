//! Topics as things.

use record::log::{LogError, NewTopic, TopicInfo};

use super::subject::{CALL, Subject};

fn find(s: &Subject, name: &str) -> Option<TopicInfo> {
    s.retry("topics", || s.log.topics(&[name], CALL)).pop().flatten()
}

fn new(name: &str, partitions: u32) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions,
        replication: None,
        config: Vec::new(),
    }
}

pub(super) fn creating_is_idempotent_and_missing_topics_are_none(s: &Subject) {
    let (a, b) = (s.name("a"), s.name("b"));
    s.retry("create", || s.log.create_topics(&[new(&a, 3)], CALL));
    s.until("it is there", || find(s, &a).is_some());
    let before = find(s, &a).unwrap();
    assert_eq!(before.partitions, 3);
    // Another count does not change one that exists; the other one is created all the same.
    s.retry("create", || s.log.create_topics(&[new(&a, 5), new(&b, 2)], CALL));
    s.until("the other is there", || find(s, &b).is_some());
    let found = s.retry("topics", || s.log.topics(&[&b, &s.name("none"), &a], CALL));
    assert_eq!(found.len(), 3, "one entry per name");
    assert_eq!(found[0].as_ref().map(|t| t.partitions), Some(2));
    assert_eq!(found[1], None);
    assert_eq!(found[2].as_ref(), Some(&before));
    s.retry("delete", || s.log.delete_topics(&[&a, &s.name("none")], CALL));
    s.until("it is gone", || find(s, &a).is_none());
    assert!(find(s, &b).is_some());
}

pub(super) fn a_topic_created_again_has_another_id(s: &Subject) {
    let topic = s.topic("t", 1);
    s.append(&topic, 0, &["old"]);
    let before = find(s, &topic).unwrap();
    assert!(!before.id.is_empty());
    assert_eq!(find(s, &topic).unwrap(), before, "the id stays");
    s.retry("delete", || s.log.delete_topics(&[&topic], CALL));
    s.until("it is gone", || find(s, &topic).is_none());
    s.until("it is there again", || {
        s.retry("create", || s.log.create_topics(&[new(&topic, 2)], CALL));
        find(s, &topic).is_some_and(|t| t.partitions == 2)
    });
    assert_ne!(find(s, &topic).unwrap().id, before.id);
    assert_eq!(s.visible_texts(&topic), Vec::<String>::new(), "nothing of the old one");
    s.append(&topic, 0, &["new"]);
    let read = s.visible(&topic);
    assert_eq!((read.len(), read[0].offset), (1, 0));
}

pub(super) fn partitions_of_a_topic_are_counted(s: &Subject) {
    let topic = s.topic("t", 5);
    let mut member = s.member(&s.name("g"), &[&topic], &s.name("x"));
    assert_eq!(s.retry("partitions", || member.session.partitions(&topic)), 5);
    let missing = member.session.partitions(&s.name("none"));
    assert!(
        matches!(missing, Err(LogError::NoTopic { .. } | LogError::Retriable { .. })),
        "{missing:?}"
    );
    member.close();
}
