//! State that is read from outside its task, in every backend.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests as well")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{Kind, batch, numbered, position, spec};
use record::offset::NextOffset;
use record::store::{Held, StoreError, TaskState};
use record::timer::Clock;
use record::view::Views;

fn open(kind: &Kind, partition: u32) -> Box<dyn TaskState> {
    let specs = [spec("counts", false), spec("other", false)];
    kind.backend().open("count", partition, &specs).unwrap()
}

fn ready(kind: &Kind, partition: u32) -> Box<dyn TaskState> {
    let mut state = open(kind, partition);
    state.restored("changelog-id", NextOffset(0), 1).unwrap();
    state.show();
    state
}

fn commit(state: &mut dyn TaskState, next: i64) {
    state.commit(position(next), NextOffset(next), next).unwrap();
}

fn is_unreadable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> bool {
    match answer {
        Err(StoreError::Unreadable { .. }) => true,
        Err(error) => panic!("{error}"),
        Ok(_) => false,
    }
}

#[test]
fn what_is_committed_is_seen_and_nothing_else() {
    for kind in Kind::all() {
        let mut state = ready(&kind, 3);
        let view = kind.backend().view("count", 3).unwrap();
        state.put(0, b"a", b"1").unwrap();
        state.put(1, b"a", b"other").unwrap();
        state.set_timer(Clock::EventTime, b"a", "t", 5).unwrap();
        assert_eq!(view.get("counts", b"a").unwrap(), None);
        commit(&mut *state, 1);
        assert_eq!(view.get("counts", b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(view.get("other", b"a").unwrap(), Some(b"other".to_vec()));
        state.put(0, b"a", b"2").unwrap();
        state.put(0, b"b", b"2").unwrap();
        assert_eq!(view.get("counts", b"a").unwrap(), Some(b"1".to_vec()));
        state.abort();
        state.remove(0, b"a").unwrap();
        commit(&mut *state, 2);
        assert_eq!(view.get("counts", b"a").unwrap(), None);
        assert_eq!(view.get("counts", b"b").unwrap(), None);
        // Stores that do not exist, and timers, have nothing.
        for store in ["", "none", ".timers", &"x".repeat(300)] {
            assert_eq!(view.get(store, b"a").unwrap(), None);
            assert!(view.scan(store, b"", None, 9).unwrap().keys.is_empty(), "{store}");
        }
    }
}

#[test]
fn a_scan_has_pages() {
    for kind in Kind::all() {
        let mut state = ready(&kind, 0);
        for key in 0..10_u8 {
            state.put(0, &[b'k', key], &[key]).unwrap();
            state.put(1, &[b'k', key], b"x").unwrap();
        }
        state.put(0, b"l", b"x").unwrap();
        commit(&mut *state, 1);
        let view = kind.backend().view("count", 0).unwrap();
        let page = view.scan("counts", b"k", None, 4).unwrap();
        assert_eq!((page.keys.len(), page.more), (4, true));
        let page = view.scan("counts", b"k", Some(&[b'k', 3]), 100).unwrap();
        assert_eq!((page.keys.len(), page.more), (6, false));
        assert_eq!(page.keys.get(0), Some([b'k', 4].as_slice()));
        assert_eq!(page.values.get(0), Some([4].as_slice()));
        assert_eq!(view.scan("counts", b"", None, 100).unwrap().keys.len(), 11);
    }
}

#[test]
fn nobody_sees_what_is_not_whole() {
    for kind in Kind::all() {
        let backend = kind.backend();
        assert_eq!(backend.held("count"), []);
        assert!(backend.view("count", 0).is_none());
        let held = |is_whole| [Held { partition: 0, is_whole }];
        let mut state = open(&kind, 0);
        assert_eq!(backend.held("count"), held(false));
        let view = backend.view("count", 0).unwrap();
        assert!(is_unreadable(view.get("counts", b"a")));
        let mut changelog = batch();
        changelog.push(Some(b"\x01\x06countsa"), Some(&[b'v'; 100]), 1);
        // As much as is handed to the store at once.
        changelog.push(Some(b"\x01\x06countsb"), Some(&vec![b'v'; 5 << 20]), 1);
        state.restore(&numbered(changelog, 0)).unwrap();
        assert!(is_unreadable(view.get("counts", b"a")));
        assert!(is_unreadable(view.scan("counts", b"", None, 1)));
        assert!(is_unreadable(Views::open(backend, "count").get("counts", b"a")));
        assert_eq!(Views::open(backend, "count").missing(), [0]);
        state.restored("changelog-id", NextOffset(2), 1).unwrap();
        assert!(is_unreadable(view.get("counts", b"a")), "it may have to be migrated");
        state.show();
        assert_eq!(view.get("counts", b"a").unwrap(), Some(vec![b'v'; 100]));
        assert_eq!(backend.held("count"), held(true));
        // Restored again, as after a commit of which it is not known whether it happened.
        let mut changelog = batch();
        changelog.push(Some(b"\x01\x06countsa"), None, 1);
        state.restore(&numbered(changelog, 2)).unwrap();
        assert!(is_unreadable(view.get("counts", b"a")));
        state.restored("changelog-id", NextOffset(3), 1).unwrap();
        state.show();
        assert_eq!(view.get("counts", b"a").unwrap(), None);
        state.wipe().unwrap();
        assert!(is_unreadable(view.get("counts", b"b")));
        assert_eq!(backend.held("count"), held(false));
        // A partition that leaves.
        drop(state);
        assert_eq!(backend.held("count"), []);
        assert!(is_unreadable(view.get("counts", b"b")));
        assert!(backend.view("count", 0).is_none());
        // And comes back: what was asked for before sees what its new task has.
        let mut state = ready(&kind, 0);
        state.put(0, b"c", b"1").unwrap();
        commit(&mut *state, 4);
        let view = backend.view("count", 0).unwrap();
        assert_eq!(view.get("counts", b"c").unwrap(), Some(b"1".to_vec()));
    }
}

#[test]
fn looking_makes_no_stores() {
    for mut kind in Kind::all() {
        let mut state = ready(&kind, 1);
        state.put(0, b"a", b"1").unwrap();
        commit(&mut *state, 1);
        drop(state);
        kind.reopen();
        let backend = kind.backend();
        // It is there, but it is nobody's now.
        assert!(backend.view("count", 1).is_none());
        assert!(backend.view("count", 2).is_none());
        assert!(backend.view("none", 1).is_none());
        assert_eq!(backend.held("none"), []);
        if let Kind::Disk(_, dir) = &kind {
            let keyspaces = dir.path().join("stores/keyspaces");
            let before = std::fs::read_dir(&keyspaces).unwrap().count();
            let _ = Views::open(backend, "none");
            assert_eq!(std::fs::read_dir(&keyspaces).unwrap().count(), before);
        }
    }
}

#[test]
fn partitions_are_read_as_one() {
    for kind in Kind::all() {
        let mut states: Vec<_> = (0..3).map(|partition| ready(&kind, partition)).collect();
        for (number, state) in states.iter_mut().enumerate() {
            for key in 0..20_u8 {
                if usize::from(key) % 3 == number {
                    state.put(0, &[key], &[number as u8]).unwrap();
                }
            }
            state.put(0, b"\xff", &[number as u8]).unwrap();
            commit(&mut **state, 1);
        }
        let views = Views::open(kind.backend(), "count");
        assert_eq!(views.partitions(), [0, 1, 2]);
        assert_eq!(views.get("counts", &[7]).unwrap(), Some((1, vec![1])));
        assert_eq!(views.get("counts", b"\xff").unwrap(), Some((0, vec![0])));
        assert_eq!(views.get("counts", &[99]).unwrap(), None);
        let mut after: Option<Vec<u8>> = None;
        let mut found = Vec::new();
        loop {
            let entries = views.scan("counts", b"", after.as_deref(), 7).unwrap();
            let keys: Vec<Vec<u8>> = entries.page.keys.iter().map(|key| key.unwrap().to_vec()).collect();
            after = keys.last().cloned();
            found.extend(keys.into_iter().zip(entries.partitions));
            if !entries.page.more {
                break;
            }
        }
        let mut expected: Vec<_> = (0..20_u8).map(|key| (vec![key], u32::from(key) % 3)).collect();
        expected.extend((0..3).map(|partition| (vec![0xff], partition)));
        assert_eq!(found, expected);
        let one = Views::open(kind.backend(), "count").only(2);
        assert_eq!(one.partitions(), [2]);
        assert_eq!(one.get("counts", &[7]).unwrap(), None);
    }
}

/// Two keys are always set by one commit: whoever reads a page sees both, or neither, of the same one.
#[test]
fn a_page_is_of_one_commit_and_holds_nobody_up() {
    for kind in Kind::all() {
        let mut state = ready(&kind, 0);
        let view = kind.backend().view("count", 0).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut seen, mut last) = (0, 0);
                while seen < 50 {
                    let page = view.scan("counts", b"", None, 10).unwrap();
                    let values: Vec<_> = page.values.iter().map(Option::unwrap).collect();
                    if let [a, b] = values[..] {
                        assert_eq!(a, b);
                        let number = u32::from_le_bytes(a.try_into().unwrap());
                        assert!(number >= last, "{number} after {last}");
                        seen += u32::from(number > last);
                        last = number;
                    }
                }
                done.store(true, Ordering::Release);
            });
            let mut number = 0_u32;
            while !done.load(Ordering::Acquire) && !reader.is_finished() {
                number += 1;
                state.put(0, b"a", &number.to_le_bytes()).unwrap();
                state.put(0, b"b", &number.to_le_bytes()).unwrap();
                commit(&mut *state, i64::from(number));
            }
            reader.join().unwrap();
        });
    }
}
