//! From records to operations: one for each `_id`.

use std::collections::{HashMap, HashSet};

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use record::batch::Batch;
use record::error::Failure;

use super::document::{of_record, of_tombstone};
use super::settings::{Mode, Settings};
use crate::records::{Record, Refusal};

/// What is done to one document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Replace(Document),
    /// The fields are set, others stay.
    Set(Document),
    Insert(Document),
    Delete,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Op {
    pub(super) id: Bson,
    pub(super) action: Action,
    /// The record that it stands for, the last one of several.
    pub(super) index: u32,
    pub(super) offset: i64,
    /// The single operations that were merged into this one; empty when it is one record's.
    pub(super) parts: Vec<Op>,
}

/// Operations of which no two concern the same document: their order does not matter.
pub(super) type Wave = Vec<Op>;

/// What `records` ask for. Waves come one after the other.
pub(super) fn plan<'a>(
    records: impl Iterator<Item = Record<'a>>,
    batch: &Batch,
    settings: &Settings,
) -> Result<Vec<Wave>, Vec<Failure>> {
    let place = (&*batch.topic, batch.partition);
    let mut failures = Vec::new();
    let mut ops = Vec::new();
    for record in records {
        match single(&record, settings, place) {
            Ok(op) => ops.push(op),
            Err(refusal) => failures.push(refusal.of(record.index)),
        }
    }
    if !failures.is_empty() {
        return Err(failures);
    }
    Ok(match settings.mode {
        Mode::Insert => in_waves(ops),
        Mode::Replace | Mode::Update => vec![folded(ops)],
    })
}

fn single(record: &Record<'_>, settings: &Settings, place: (&str, u32)) -> Result<Op, Refusal> {
    let (id, action) = match record.value {
        None => (of_tombstone(record, settings, place)?, Action::Delete),
        Some(_) => {
            let (id, document) = of_record(record, settings, place)?;
            let action = match settings.mode {
                Mode::Replace => Action::Replace(document),
                Mode::Update => Action::Set(document),
                Mode::Insert => Action::Insert(document),
            };
            (id, action)
        }
    };
    Ok(Op {
        id,
        action,
        index: record.index,
        offset: record.offset,
        parts: Vec::new(),
    })
}

/// What MongoDB takes for the same `_id` has the same bytes here: numbers of any type are equal.
fn identity(id: &Bson) -> Vec<u8> {
    let id = match id {
        Bson::Int32(value) => Bson::Int64((*value).into()),
        Bson::Double(value) if value.fract() == 0.0 && value.abs() < 9e15 => Bson::Int64(*value as i64),
        other => other.clone(),
    };
    RawDocumentBuf::try_from(&doc! { "": id }).map_or_else(|_| Vec::new(), RawDocumentBuf::into_bytes)
}

fn folded(ops: Vec<Op>) -> Wave {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::with_capacity(ops.len());
    let mut wave: Wave = Vec::with_capacity(ops.len());
    for op in ops {
        let at = *places.entry(identity(&op.id)).or_insert(wave.len());
        match wave.get_mut(at) {
            Some(before) => merge(before, op),
            None => wave.push(op),
        }
    }
    wave
}

fn merge(before: &mut Op, mut op: Op) {
    let old = std::mem::replace(before, op.clone());
    let single = |op: Op| if op.parts.is_empty() { vec![op] } else { op.parts };
    before.action = match (&old.action, &mut op.action) {
        // After a tombstone the document starts anew.
        (Action::Delete, Action::Set(document)) => Action::Replace(std::mem::take(document)),
        (Action::Set(merged), Action::Set(document)) | (Action::Replace(merged), Action::Set(document)) => {
            let mut merged = merged.clone();
            merged.extend(std::mem::take(document));
            let replaces = matches!(old.action, Action::Replace(_));
            before.parts = single(old).into_iter().chain([before.clone()]).collect();
            if replaces {
                Action::Replace(merged)
            } else {
                Action::Set(merged)
            }
        }
        _ => op.action,
    };
}

fn in_waves(ops: Vec<Op>) -> Vec<Wave> {
    let mut waves: Vec<Wave> = Vec::new();
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for op in ops {
        if !seen.insert(identity(&op.id)) {
            seen.clear();
            seen.insert(identity(&op.id));
            waves.push(Vec::new());
        }
        match waves.last_mut() {
            Some(wave) => wave.push(op),
            None => waves.push(vec![op]),
        }
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(list: &[(&str, Action)]) -> Vec<Op> {
        let op = |(i, (id, action)): (usize, &(&str, Action))| Op {
            id: Bson::String((*id).to_owned()),
            action: action.clone(),
            index: i as u32,
            offset: 100 + i as i64,
            parts: Vec::new(),
        };
        list.iter().enumerate().map(op).collect()
    }

    #[test]
    fn the_last_replace_or_delete_counts() {
        let wave = folded(ops(&[
            ("a", Action::Replace(doc! {"x": 1})),
            ("b", Action::Replace(doc! {"x": 2})),
            ("a", Action::Replace(doc! {"y": 3})),
            ("b", Action::Delete),
        ]));
        let shape: Vec<_> = wave.iter().map(|op| (op.offset, op.action.clone())).collect();
        assert_eq!(shape, [(102, Action::Replace(doc! {"y": 3})), (103, Action::Delete)]);
    }

    #[test]
    fn updates_are_merged_and_keep_their_parts() {
        let wave = folded(ops(&[
            ("a", Action::Set(doc! {"x": 1, "y": 1})),
            ("a", Action::Set(doc! {"y": 2})),
            ("b", Action::Set(doc! {"x": 1})),
            ("b", Action::Delete),
            ("b", Action::Set(doc! {"z": 1})),
        ]));
        assert_eq!(wave[0].action, Action::Set(doc! {"x": 1, "y": 2}));
        assert_eq!(wave[0].parts.iter().map(|part| part.index).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(wave[1].action, Action::Replace(doc! {"z": 1}));
        assert!(wave[1].parts.is_empty());
    }

    #[test]
    fn equal_ids_of_inserts_come_in_separate_waves() {
        let insert = || Action::Insert(doc! {});
        let waves = in_waves(ops(&[
            ("a", insert()),
            ("b", insert()),
            ("a", Action::Delete),
            ("b", insert()),
        ]));
        let shape: Vec<Vec<u32>> = waves
            .iter()
            .map(|wave| wave.iter().map(|op| op.index).collect())
            .collect();
        assert_eq!(shape, [vec![0, 1], vec![2, 3]]);
    }

    #[test]
    fn numbers_of_any_type_are_one_id() {
        assert_eq!(identity(&Bson::Int32(5)), identity(&Bson::Double(5.0)));
        assert_ne!(identity(&Bson::Int32(5)), identity(&Bson::String("5".to_owned())));
    }
}
