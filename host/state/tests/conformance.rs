//! What every backend does: the stores under a task's state, and the task's state itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests as well")]

mod common;

use common::{Kind, batch, checkpoint, numbered, position, spec};
use record::column::Column;
use record::offset::NextOffset;
use record::store::{Change, Store, StoreError, TaskState};
use wasmill_state::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

fn apply(store: &mut dyn Store, next: i64, changes: &[(&[u8], Option<&[u8]>)]) {
    let mut changes = changes
        .iter()
        .map(|(key, value)| -> Change { (key.to_vec(), value.map(<[u8]>::to_vec)) });
    store.apply(&mut changes, &checkpoint(next)).unwrap();
}

fn scanned(store: &dyn Store, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    store
        .scan(prefix, after, &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            found.len() < limit
        })
        .unwrap();
    found
}

fn keys(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<&[u8]> {
    entries.iter().map(|(key, _)| key.as_slice()).collect()
}

#[test]
fn a_store_keeps_what_is_applied() {
    for kind in Kind::all() {
        let mut store = kind.store("t", 0);
        assert_eq!(store.get(b"a").unwrap(), None);
        assert_eq!(store.checkpoint().unwrap(), None);
        apply(
            &mut *store,
            1,
            &[(b"a", Some(b"1")), (b"", Some(b"empty")), (b"b", Some(b""))],
        );
        assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(store.get(b"").unwrap(), Some(b"empty".to_vec()));
        assert_eq!(store.get(b"b").unwrap(), Some(Vec::new()));
        assert_eq!(store.checkpoint().unwrap(), Some(checkpoint(1)));
        apply(&mut *store, 2, &[(b"a", None), (b"b", Some(b"2")), (b"none", None)]);
        assert_eq!(store.get(b"a").unwrap(), None);
        assert_eq!(store.get(b"b").unwrap(), Some(b"2".to_vec()));
        assert_eq!(store.checkpoint().unwrap(), Some(checkpoint(2)));
        apply(&mut *store, 3, &[]);
        assert_eq!(store.checkpoint().unwrap(), Some(checkpoint(3)));
    }
}

#[test]
fn a_scan_goes_by_unsigned_bytes() {
    for kind in Kind::all() {
        let mut store = kind.store("t", 0);
        let all: [&[u8]; 9] = [
            b"",
            b"\x00",
            b"a",
            b"a\x00",
            b"a\x7f",
            b"a\x80",
            b"a\xff\xff",
            b"b",
            b"\xff\xff",
        ];
        let changes: Vec<(&[u8], Option<&[u8]>)> = all.iter().rev().map(|key| (*key, Some(*key))).collect();
        apply(&mut *store, 1, &changes);
        assert_eq!(keys(&scanned(&*store, b"", None, 100)), all);
        assert_eq!(keys(&scanned(&*store, b"a", None, 100)), all[2..7]);
        assert_eq!(keys(&scanned(&*store, b"a", Some(b"a\x00"), 100)), all[4..7]);
        assert_eq!(keys(&scanned(&*store, b"a", Some(b"a\x01"), 2)), all[4..6]);
        assert_eq!(keys(&scanned(&*store, b"a\xff", None, 100)), all[6..7]);
        assert_eq!(keys(&scanned(&*store, b"\xff", None, 100)), all[8..9]);
        // A place before the prefix, and one behind it.
        assert_eq!(keys(&scanned(&*store, b"a", Some(b"A"), 1)), all[2..3]);
        assert!(scanned(&*store, b"a", Some(b"b"), 100).is_empty());
        assert!(scanned(&*store, b"c", None, 100).is_empty());
        assert_eq!(scanned(&*store, b"b", None, 100)[0].1, b"b");
    }
}

#[test]
fn an_apply_that_fails_changes_nothing() {
    let [_, disk] = Kind::all();
    let mut store = disk.store("t", 0);
    apply(&mut *store, 1, &[(b"a", Some(b"1"))]);
    let mut changes = vec![(b"a".to_vec(), Some(b"2".to_vec())), (vec![b'k'; 70_000], None)].into_iter();
    let refused = store.apply(&mut changes, &checkpoint(2));
    assert!(matches!(refused, Err(StoreError::Misuse(_))), "{refused:?}");
    assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.checkpoint().unwrap(), Some(checkpoint(1)));
}

#[test]
fn a_store_is_wiped_and_found_again() {
    for mut kind in Kind::all() {
        let mut store = kind.store("t", 0);
        let mut other = kind.store("t", 1);
        apply(&mut *store, 1, &[(b"a", Some(b"1"))]);
        apply(&mut *other, 5, &[(b"a", Some(b"other"))]);
        store.wipe().unwrap();
        assert_eq!(store.get(b"a").unwrap(), None);
        assert_eq!(store.checkpoint().unwrap(), None);
        apply(&mut *store, 2, &[(b"b", Some(b"2"))]);
        drop(store);
        drop(other);
        kind.reopen();
        let store = kind.store("t", 0);
        assert_eq!(keys(&scanned(&*store, b"", None, 100)), [b"b"]);
        assert_eq!(store.checkpoint().unwrap(), Some(checkpoint(2)));
        assert_eq!(kind.store("t", 1).get(b"a").unwrap(), Some(b"other".to_vec()));
        assert_eq!(kind.store("t1", 0).checkpoint().unwrap(), None);
    }
}

#[test]
fn the_newest_owner_of_a_store_goes_on_alone() {
    for kind in Kind::all() {
        let mut old = kind.store("t", 0);
        apply(&mut *old, 1, &[(b"a", Some(b"1"))]);
        let mut new = kind.store("t", 0);
        assert!(matches!(old.get(b"a"), Err(StoreError::Io { .. })));
        assert!(old.apply(&mut std::iter::empty(), &checkpoint(9)).is_err());
        assert!(old.wipe().is_err());
        assert_eq!(new.get(b"a").unwrap(), Some(b"1".to_vec()));
        apply(&mut *new, 2, &[]);
        assert_eq!(new.checkpoint().unwrap(), Some(checkpoint(2)));
    }
}

fn open(kind: &Kind) -> Box<dyn TaskState> {
    let specs = [spec("counts", false), spec("rooms", true)];
    kind.backend().open("count", 3, &specs).unwrap()
}

/// Open, and with a restore that has ended.
fn ready(kind: &Kind) -> Box<dyn TaskState> {
    let mut state = open(kind);
    state.restored("changelog-id", NextOffset(0), 1).unwrap();
    state
}

#[test]
fn reading_many_stops_behind_the_limit() {
    for kind in Kind::all() {
        let mut state = ready(&kind);
        state.put(0, b"k", &[b'v'; 100]).unwrap();
        let keys: Column = std::iter::repeat_n(Some(b"k".as_slice()), 1_000).collect();
        assert_eq!(state.get_many(0, &keys, usize::MAX).unwrap().len(), 1_000);
        let found = state.get_many(0, &keys, 1_000).unwrap();
        assert_eq!((found.len(), found.data.len()), (11, 1_100));
    }
}

#[test]
fn misuse_is_told_and_changes_nothing() {
    for kind in Kind::all() {
        let mut state = ready(&kind);
        let key = vec![b'k'; KEY_BYTES_MAX + 1];
        let value = vec![b'v'; VALUE_BYTES_MAX + 1];
        let with_null: Column = [Some(b"k".as_slice()), None].into_iter().collect();
        let two: Column = [Some(b"k".as_slice()), Some(b"l")].into_iter().collect();
        let misuses = [
            state.get(2, b"k").map(drop),
            state.put(7, b"k", b"v"),
            state.put(1, b"k", b"v"),
            state.remove(1, b"k"),
            state.get(0, &key).map(drop),
            state.put(0, &key, b"v"),
            state.put(0, b"k", &value),
            state.scan(2, b"", None, 1).map(drop),
            state.get_many(0, &with_null, usize::MAX).map(drop),
            state.get_many(9, &two, usize::MAX).map(drop),
            state.put_many(0, &with_null, &with_null),
            state.put_many(1, &two, &two),
            state.put_many(0, &two, &Column::default()),
            state.rollback(77),
        ];
        for misuse in misuses {
            assert!(matches!(misuse, Err(StoreError::Misuse(_))), "{misuse:?}");
        }
        // A call that is refused half way is undone by the caller; here only the first key stands.
        assert_eq!(state.get(0, b"l").unwrap(), None);
        assert_eq!(state.get(1, b"k").unwrap(), None);
        state.put(0, &key[1..], &value[1..]).unwrap();
        state.commit(position(1), NextOffset(2), 1).unwrap();
        state.abort();
        assert_eq!(state.get(0, &key[1..]).unwrap(), Some(value[1..].to_vec()));
    }
}

#[test]
fn savepoints_nest_and_end_with_keep() {
    for kind in Kind::all() {
        let mut state = ready(&kind);
        state.put(0, b"a", b"0").unwrap();
        let one = state.savepoint();
        state.put(0, b"a", b"1").unwrap();
        state.put(0, b"a", b"11").unwrap();
        let two = state.savepoint();
        state.remove(0, b"a").unwrap();
        state.put(0, b"b", b"2").unwrap();
        state.rollback(two).unwrap();
        assert_eq!(state.get(0, b"a").unwrap(), Some(b"11".to_vec()));
        assert_eq!(state.get(0, b"b").unwrap(), None);
        state.put(0, b"b", b"3").unwrap();
        state.rollback(two).unwrap();
        assert_eq!(state.get(0, b"b").unwrap(), None);
        let three = state.savepoint();
        state.rollback(one).unwrap();
        assert_eq!(state.get(0, b"a").unwrap(), Some(b"0".to_vec()));
        for gone in [two, three] {
            assert!(matches!(state.rollback(gone), Err(StoreError::Misuse(_))));
        }
        state.put(0, b"a", b"9").unwrap();
        state.keep();
        assert!(matches!(state.rollback(one), Err(StoreError::Misuse(_))));
        assert_eq!(state.get(0, b"a").unwrap(), Some(b"9".to_vec()));
    }
}

#[test]
fn a_rollback_of_everything_leaves_nothing_dirty() {
    for kind in Kind::all() {
        let mut state = ready(&kind);
        let savepoint = state.savepoint();
        state.put(0, b"a", b"1").unwrap();
        assert!(state.is_dirty() && state.dirty_bytes() > 0);
        state.rollback(savepoint).unwrap();
        assert!(!state.is_dirty());
        assert_eq!(state.dirty_bytes(), 0);
        let mut records = batch();
        state.changes(&position(4), 7, &mut records);
        assert_eq!(records.len(), 1);
    }
}

#[test]
fn changes_come_in_the_order_of_the_first_write() {
    for kind in Kind::all() {
        let mut state = ready(&kind);
        for key in [b"c", b"a", b"b", b"a"] {
            state.put(0, key, b"1").unwrap();
        }
        state.remove(0, b"c").unwrap();
        let mut records = batch();
        state.changes(&position(4), 7, &mut records);
        let expected: [&[u8]; 4] = [
            b"\x01\x06countsc",
            b"\x01\x06countsa",
            b"\x01\x06countsb",
            b"\0position",
        ];
        assert_eq!(records.keys.iter().map(Option::unwrap).collect::<Vec<_>>(), expected);
        assert_eq!(records.values.get(0), None);
        assert_eq!(records.values.get(1), Some(b"1".as_slice()));
        assert_eq!(records.timestamps, [7; 4]);
        assert_eq!(
            std::str::from_utf8(records.values.get(3).unwrap()).unwrap(),
            r#"{"v":1,"topic":"input","partition":0,"topic_id":"input-id","next":4,"stream_time":40,"state_version":2}"#
        );
    }
}

#[test]
fn a_commit_is_found_after_a_restart_and_an_abort_is_not() {
    for mut kind in Kind::all() {
        let mut state = ready(&kind);
        state.put(0, b"a", b"1").unwrap();
        state.commit(position(1), NextOffset(10), 100).unwrap();
        assert!(!state.is_dirty());
        state.put(0, b"a", b"2").unwrap();
        state.put(0, b"b", b"2").unwrap();
        state.abort();
        assert!(!state.is_dirty());
        assert_eq!(state.get(0, b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(state.get(0, b"b").unwrap(), None);
        state.put(0, b"c", b"3").unwrap();
        drop(state);
        kind.reopen();
        let mut state = open(&kind);
        let found = state.checkpoint().unwrap().clone();
        assert_eq!((found.changelog_next, found.saved_at), (NextOffset(10), 100));
        assert_eq!(state.position(), Some(&position(1)));
        assert_eq!(state.get(0, b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(state.get(0, b"c").unwrap(), None);
    }
}

#[test]
fn a_scan_sees_dirty_keys_over_the_store() {
    for kind in Kind::all() {
        let mut state = ready(&kind);
        for key in [b"a", b"b", b"d", b"e"] {
            state.put(0, key, b"old").unwrap();
        }
        state.commit(position(1), NextOffset(1), 1).unwrap();
        state.put(0, b"b", b"new").unwrap();
        state.put(0, b"c", b"new").unwrap();
        state.remove(0, b"d").unwrap();
        state.put(0, b"f", b"new").unwrap();
        state.remove(0, b"g").unwrap();
        let page = state.scan(0, b"", None, 100).unwrap();
        let read: Vec<String> = page
            .keys
            .iter()
            .zip(page.values.iter())
            .map(|(k, v)| {
                [k.unwrap(), v.unwrap()]
                    .map(|b| String::from_utf8(b.to_vec()).unwrap())
                    .join("=")
            })
            .collect();
        assert_eq!(read, ["a=old", "b=new", "c=new", "e=old", "f=new"]);
        assert!(!page.more);
        let page = state.scan(0, b"", Some(b"a"), 2).unwrap();
        assert_eq!(page.keys.iter().flatten().collect::<Vec<_>>(), [b"b", b"c"]);
        assert!(page.more);
        let page = state.scan(0, b"", Some(b"c"), 2).unwrap();
        assert_eq!(page.keys.iter().flatten().collect::<Vec<_>>(), [b"e", b"f"]);
        assert!(!page.more);
        let none = state.scan(0, b"", None, 0).unwrap();
        assert!(none.keys.is_empty() && none.more);
        assert!(state.scan(0, b"x", None, 5).unwrap().keys.is_empty());
    }
}

#[test]
fn a_page_of_large_values_ends_early() {
    for kind in Kind::all() {
        let mut state = ready(&kind);
        for key in 0..6_u8 {
            state.put(0, &[key], &vec![key; 700_000]).unwrap();
            if key == 2 {
                state.commit(position(1), NextOffset(1), 1).unwrap();
            }
        }
        let mut after = None;
        let mut pages = 0;
        let mut seen = Vec::new();
        loop {
            let page = state.scan(0, b"", after.as_deref(), 100).unwrap();
            pages += 1;
            seen.extend(page.keys.iter().flatten().map(<[u8]>::to_vec));
            if !page.more {
                break;
            }
            after = seen.last().cloned();
        }
        assert_eq!(seen, (0..6).map(|key| vec![key]).collect::<Vec<_>>());
        assert_eq!(pages, 6);
    }
}

fn entry(key: &str, value: Option<&str>, into: &mut record::Batch) {
    let key = format!("\x01\x06counts{key}");
    into.push(Some(key.as_bytes()), value.map(str::as_bytes), 0);
}

#[test]
fn a_restore_that_is_cut_short_begins_anew() {
    for mut kind in Kind::all() {
        // Large enough that the local store has taken in a part before the restore is cut.
        let mut records = batch();
        let large = "x".repeat(5 << 20);
        entry("gone", Some(&large), &mut records);
        entry("a", Some("1"), &mut records);
        let mut state = open(&kind);
        assert_eq!(state.checkpoint(), None);
        state.restore(&numbered(records, 0)).unwrap();
        drop(state);
        kind.reopen();

        // The changelog was compacted meanwhile: `gone` and its tombstone are not there any more.
        let mut state = open(&kind);
        assert_eq!(state.checkpoint(), None);
        assert_eq!(state.get(0, b"gone").unwrap(), None);
        let mut records = batch();
        entry("a", Some("2"), &mut records);
        state.restore(&numbered(records, 1)).unwrap();
        state.restored("changelog-id", NextOffset(2), 5).unwrap();
        assert_eq!(state.get(0, b"gone").unwrap(), None);
        assert_eq!(state.get(0, b"a").unwrap(), Some(b"2".to_vec()));
        assert_eq!(state.position(), None);

        // The tail of an old store, cut short: what was taken in stays, and its place is known.
        let mut records = batch();
        entry("b", Some(&large), &mut records);
        entry("a", None, &mut records);
        state.restore(&numbered(records, 2)).unwrap();
        drop(state);
        kind.reopen();
        let mut state = open(&kind);
        let found = state.checkpoint().unwrap().clone();
        assert_eq!((found.changelog_next, found.saved_at), (NextOffset(4), 5));
        state.restored("changelog-id", NextOffset(4), 6).unwrap();
        assert_eq!(state.get(0, b"a").unwrap(), None);
        assert_eq!(state.get(0, b"b").unwrap().map(|v| v.len()), Some(5 << 20));
    }
}

#[test]
fn a_restore_replaces_what_was_dirty() {
    for kind in Kind::all() {
        let mut state = ready(&kind);
        state.put(0, b"a", b"lost").unwrap();
        assert_eq!(state.get(0, b"b").unwrap(), None);
        let mut records = batch();
        entry("b", Some("1"), &mut records);
        entry("b", Some("2"), &mut records);
        let mut tail = records;
        state.changes(&position(8), 0, &mut tail);
        state.restore(&numbered(tail, 0)).unwrap();
        state.restored("changelog-id", NextOffset(9), 2).unwrap();
        assert!(!state.is_dirty());
        assert_eq!(state.get(0, b"b").unwrap(), Some(b"2".to_vec()));
        assert_eq!(state.position(), Some(&position(8)));
        // `a` was written to the changelog by `changes`, so it is there as well.
        assert_eq!(state.get(0, b"a").unwrap(), Some(b"lost".to_vec()));
    }
}

#[test]
fn a_bad_record_is_refused_with_its_batch() {
    for kind in Kind::all() {
        let mut state = ready(&kind);
        let mut records = batch();
        entry("a", Some("1"), &mut records);
        records.push(Some(b"somebody else's"), Some(b"x"), 0);
        let refused = state.restore(&numbered(records, 40)).unwrap_err();
        assert!(matches!(refused, StoreError::BadChangelog { .. }));
        assert!(refused.to_string().contains("changelog:0:41"), "{refused}");
        state.restored("changelog-id", NextOffset(1), 1).unwrap();
        assert_eq!(state.get(0, b"a").unwrap(), None);
    }
}

#[test]
fn a_wiped_state_is_new() {
    for kind in Kind::all() {
        let mut state = ready(&kind);
        state.put(0, b"a", b"1").unwrap();
        state.commit(position(1), NextOffset(1), 1).unwrap();
        state.put(0, b"b", b"1").unwrap();
        state.wipe().unwrap();
        assert_eq!(state.checkpoint(), None);
        assert_eq!(state.position(), None);
        assert!(!state.is_dirty());
        assert_eq!(state.get(0, b"a").unwrap(), None);
        assert!(state.commit(position(2), NextOffset(2), 2).is_err());
    }
}
