//! Random operations against a map: the state, and what is rebuilt from its changelog.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests as well")]

mod common;

use std::collections::BTreeMap;

use common::{Kind, batch, numbered, position, spec};
use proptest::prelude::*;
use record::batch::Batch;
use record::column::Column;
use record::offset::NextOffset;
use record::store::TaskState;

type Map = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

#[derive(Clone, Debug)]
enum Op {
    Get(u32, Vec<u8>),
    Put(u32, Vec<u8>, Vec<u8>),
    Remove(u32, Vec<u8>),
    PutMany(u32, Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Scan(u32, Vec<u8>, Option<Vec<u8>>, u32),
    Savepoint,
    /// To one of the savepoints there are.
    Rollback(prop::sample::Index),
    Keep,
    Commit,
    Abort,
    Reopen,
}

/// Few and short keys, so that operations meet; prefixes of each other; the largest byte too.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, b'a', b'b', 255]), 0..4)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

fn op() -> impl Strategy<Value = Op> {
    let store = 0..2_u32;
    prop_oneof![
        6 => (store.clone(), key()).prop_map(|(s, k)| Op::Get(s, k)),
        12 => (store.clone(), key(), value()).prop_map(|(s, k, v)| Op::Put(s, k, v)),
        4 => (store.clone(), key()).prop_map(|(s, k)| Op::Remove(s, k)),
        2 => (store.clone(), prop::collection::vec((key(), prop::option::of(value())), 0..6))
            .prop_map(|(s, entries)| Op::PutMany(s, entries)),
        4 => (store, key(), prop::option::of(key()), 0..8_u32).prop_map(|(s, p, a, l)| Op::Scan(s, p, a, l)),
        5 => Just(Op::Savepoint),
        4 => any::<prop::sample::Index>().prop_map(Op::Rollback),
        2 => Just(Op::Keep),
        2 => Just(Op::Commit),
        1 => Just(Op::Abort),
        1 => Just(Op::Reopen),
    ]
}

fn open(kind: &Kind, transform: &str) -> Box<dyn TaskState> {
    let specs = [spec("first", false), spec("second-store", false)];
    kind.backend().open(transform, 0, &specs).unwrap()
}

fn check_scan(state: &mut dyn TaskState, model: &Map, scan: (u32, &[u8], Option<&[u8]>, u32)) {
    let (store, prefix, after, limit) = scan;
    let all: Vec<_> = model
        .iter()
        .filter(|((s, key), _)| *s == store && key.starts_with(prefix) && after.is_none_or(|a| key.as_slice() > a))
        .collect();
    let page = state.scan(store, prefix, after, limit).unwrap();
    let expected_keys: Column = all
        .iter()
        .take(limit as usize)
        .map(|((_, k), _)| Some(k.as_slice()))
        .collect();
    let expected_values: Column = all
        .iter()
        .take(limit as usize)
        .map(|(_, v)| Some(v.as_slice()))
        .collect();
    assert_eq!(page.keys, expected_keys);
    assert_eq!(page.values, expected_values);
    assert_eq!(page.more, all.len() > limit as usize);
}

fn check_all(state: &mut dyn TaskState, model: &Map) {
    for store in 0..2 {
        check_scan(state, model, (store, b"", None, 1_000));
        let keys: Vec<Vec<u8>> = model
            .keys()
            .filter(|(s, _)| *s == store)
            .map(|(_, k)| k.clone())
            .collect();
        let column: Column = keys.iter().map(|k| Some(k.as_slice())).collect();
        let values = state.get_many(store, &column, usize::MAX).unwrap();
        for (key, value) in keys.into_iter().zip(values.iter()) {
            assert_eq!(model.get(&(store, key)).map(Vec::as_slice), value);
        }
    }
}

struct Run {
    kind: Kind,
    state: Box<dyn TaskState>,
    current: Map,
    committed: Map,
    savepoints: Vec<(u64, Map)>,
    changelog: Batch,
    commits: i64,
}

impl Run {
    fn new(kind: Kind) -> Self {
        let mut state = open(&kind, "t");
        state.restored("id", NextOffset(0), 0).unwrap();
        Self {
            kind,
            state,
            current: Map::new(),
            committed: Map::new(),
            savepoints: Vec::new(),
            changelog: batch(),
            commits: 0,
        }
    }

    fn set(&mut self, store: u32, key: Vec<u8>, value: Option<Vec<u8>>) {
        match value {
            Some(value) => self.current.insert((store, key), value),
            None => self.current.remove(&(store, key)),
        };
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Get(store, key) => {
                let found = self.state.get(store, &key).unwrap();
                assert_eq!(found.as_ref(), self.current.get(&(store, key)));
            }
            Op::Put(store, key, value) => {
                self.state.put(store, &key, &value).unwrap();
                self.set(store, key, Some(value));
            }
            Op::Remove(store, key) => {
                self.state.remove(store, &key).unwrap();
                self.set(store, key, None);
            }
            Op::PutMany(store, entries) => {
                let keys: Column = entries.iter().map(|(k, _)| Some(k.as_slice())).collect();
                let values: Column = entries.iter().map(|(_, v)| v.as_deref()).collect();
                self.state.put_many(store, &keys, &values).unwrap();
                for (key, value) in entries {
                    self.set(store, key, value);
                }
            }
            Op::Scan(store, prefix, after, limit) => {
                check_scan(
                    &mut *self.state,
                    &self.current,
                    (store, &prefix, after.as_deref(), limit),
                );
            }
            Op::Savepoint => self.savepoints.push((self.state.savepoint(), self.current.clone())),
            Op::Rollback(index) => {
                if self.savepoints.is_empty() {
                    return;
                }
                self.savepoints.truncate(index.index(self.savepoints.len()) + 1);
                let (id, map) = self.savepoints.last().cloned().unwrap();
                self.state.rollback(id).unwrap();
                self.current = map;
            }
            Op::Keep => {
                self.state.keep();
                self.savepoints.clear();
            }
            Op::Commit => {
                self.commits += 1;
                let is_dirty = self.state.is_dirty();
                let before = self.changelog.len();
                self.state.changes(&position(self.commits), 0, &mut self.changelog);
                assert_eq!(is_dirty, self.changelog.len() > before + 1);
                let next = NextOffset(self.changelog.len() as i64);
                self.state.commit(position(self.commits), next, self.commits).unwrap();
                assert!(!self.state.is_dirty());
                assert_eq!(self.state.dirty_bytes(), 0);
                self.savepoints.clear();
                self.committed = self.current.clone();
            }
            Op::Abort => {
                self.state.abort();
                self.savepoints.clear();
                self.current = self.committed.clone();
            }
            Op::Reopen => {
                self.state = open(&self.kind, "t");
                self.savepoints.clear();
                self.current = self.committed.clone();
                let next = self.state.checkpoint().unwrap().changelog_next;
                assert_eq!(next, NextOffset(self.changelog.len() as i64));
            }
        }
    }

    /// The changelog alone, cut into batches anyhow, gives the committed state.
    fn rebuild(&self, batch_size: usize) {
        let mut rebuilt = open(&self.kind, "rebuilt");
        let all = numbered(self.changelog.clone(), 0);
        for start in (0..all.len()).step_by(batch_size) {
            let part = all.filtered(|i| (start..start + batch_size).contains(&i));
            rebuilt.restore(&part).unwrap();
        }
        rebuilt.restored("id", NextOffset(all.len() as i64), 0).unwrap();
        check_all(&mut *rebuilt, &self.committed);
        let expected = (self.commits > 0).then(|| position(self.commits));
        assert_eq!(rebuilt.position(), expected.as_ref());
    }
}

fn run(kind: Kind, ops: Vec<Op>, batch_size: usize) {
    let mut run = Run::new(kind);
    for op in ops {
        run.step(op);
    }
    check_all(&mut *run.state, &run.current);
    run.rebuild(batch_size);
    run.step(Op::Abort);
    check_all(&mut *run.state, &run.committed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_state_in_memory_is_a_map(ops in prop::collection::vec(op(), 0..120), batch_size in 1..20_usize) {
        let [memory, _] = Kind::all();
        run(memory, ops, batch_size);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, ..ProptestConfig::default() })]
    #[test]
    fn a_state_on_disk_is_a_map(ops in prop::collection::vec(op(), 0..120), batch_size in 1..20_usize) {
        let [_, disk] = Kind::all();
        run(disk, ops, batch_size);
    }

    #[test]
    fn no_changelog_record_makes_a_restore_panic(
        records in prop::collection::vec(
            (
                prop::option::of(prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..12),
                    Just(b"\0position".to_vec()),
                    prop::collection::vec(0..4_u8, 0..6),
                ]),
                prop::option::of(prop_oneof![prop::collection::vec(any::<u8>(), 0..12), Just(b"{\"v\":1}".to_vec())]),
            ),
            0..10,
        )
    ) {
        let [_, disk] = Kind::all();
        let mut state = open(&disk, "t");
        let mut changelog = batch();
        for (key, value) in &records {
            changelog.push(key.as_deref(), value.as_deref(), 0);
        }
        let changelog = numbered(changelog, 0);
        if state.restore(&changelog).is_ok() {
            for i in 0..changelog.len() {
                let key = changelog.keys.get(i).unwrap();
                prop_assert!(key.first() == Some(&1) && key.len() > usize::from(key[1]) + 1);
            }
            state.restored("id", NextOffset(10), 0).unwrap();
        }
    }
}
