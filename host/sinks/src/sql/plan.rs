//! From records to statements: what each record asks for, folded by key, in an order that is right
//! and keeps writers of other partitions from deadlocking.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::dialect::Dialect;
use super::settings::Mode;
use super::table::Table;
use super::value::{Kind, Value, of_json, of_key};
use crate::json::{Elements, Fields};
use crate::records::{Record, Refusal};

/// What one record asks for.
#[derive(Clone, Debug)]
pub(super) struct Op<'a> {
    /// The record's place in the batch.
    pub(super) index: u32,
    /// Whether the row goes; then `values` are those of the key columns, else of all columns.
    pub(super) is_delete: bool,
    pub(super) values: Vec<Value<'a>>,
}

impl Op<'_> {
    /// About how many bytes it takes on the way to the database.
    pub(super) fn bytes(&self) -> usize {
        self.values.iter().map(Value::bytes).sum()
    }
}

/// The row of a record's value.
pub(super) fn put<'a>(
    index: u32,
    fields: &Fields<'a>,
    table: &Table,
    mode: Mode,
    dialect: Dialect,
) -> Result<Op<'a>, Refusal> {
    let mut values = vec![Value::Default; table.columns.len()];
    for (name, raw) in &fields.0 {
        let Some(at) = table.by_name.get(name.as_ref()).copied() else {
            return Err(Refusal::new(
                "unknown-field",
                format!("the field {name:?} has no column in the table"),
            ));
        };
        if let (Some(value), Some(column)) = (values.get_mut(at), table.columns.get(at)) {
            *value = of_json(raw, column.kind, dialect)
                .map_err(|refusal| Refusal::new(refusal.code, format!("{name}: {}", refusal.message)))?;
        }
    }
    // An insert may leave the key to the database.
    let needed: &[usize] = if mode == Mode::Upsert { &table.key } else { &[] };
    for at in needed {
        if let (Some(Value::Default | Value::Null), Some(column)) = (values.get(*at), table.columns.get(*at)) {
            return Err(Refusal::new(
                "missing-key",
                format!("the key column {} is missing or null in the value", column.name),
            ));
        }
    }
    Ok(Op {
        index,
        is_delete: false,
        values,
    })
}

/// The row that a tombstone deletes, by the record's key.
pub(super) fn delete<'a>(record: Record<'a>, table: &Table, dialect: Dialect) -> Result<Op<'a>, Refusal> {
    let key = record
        .key
        .ok_or_else(|| Refusal::new("bad-key", "a tombstone without a key names no row to delete"))?;
    let kinds: Vec<(&str, Kind)> = table
        .key
        .iter()
        .filter_map(|at| table.columns.get(*at))
        .map(|column| (column.name.as_str(), column.kind))
        .collect();
    let values = match kinds.as_slice() {
        [] => {
            return Err(Refusal::new(
                "bad-key",
                "a tombstone cannot be applied: the sink has no `key`, the columns that tell rows apart",
            ));
        }
        [(_, kind)] => vec![of_key(key, *kind, dialect)?],
        kinds => of_composite_key(key, kinds, dialect)?,
    };
    Ok(Op {
        index: record.index,
        is_delete: true,
        values,
    })
}

fn of_composite_key<'a>(key: &'a [u8], kinds: &[(&str, Kind)], dialect: Dialect) -> Result<Vec<Value<'a>>, Refusal> {
    let bad = || {
        let names: Vec<_> = kinds.iter().map(|(name, _)| *name).collect();
        Refusal::new(
            "bad-key",
            format!(
                "the record's key is no JSON array or object with the key columns {}",
                names.join(", ")
            ),
        )
    };
    let text = std::str::from_utf8(key).map_err(|_| bad())?;
    let parts: Vec<&RawValue> = if let Ok(Elements(elements)) = serde_json::from_str(text) {
        elements
    } else {
        let Fields(fields) = serde_json::from_str(text).map_err(|_| bad())?;
        let find = |name: &str| fields.iter().rev().find(|(n, _)| n == name).map(|(_, raw)| *raw);
        kinds
            .iter()
            .map(|(name, _)| find(name).ok_or_else(bad))
            .collect::<Result<_, _>>()?
    };
    if parts.len() != kinds.len() {
        return Err(bad());
    }
    let values = parts
        .iter()
        .zip(kinds)
        .map(|(raw, (_, kind))| of_json(raw, *kind, dialect));
    let values: Vec<Value<'_>> = values.collect::<Result<_, _>>()?;
    if values.contains(&Value::Null) {
        return Err(bad());
    }
    Ok(values)
}

/// Operations of one kind that one statement can hold.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) is_delete: bool,
    pub(super) ops: Vec<Op<'a>>,
}

/// The statements for `ops`, which are in the order of the batch.
pub(super) fn plan<'a>(ops: Vec<Op<'a>>, mode: Mode, table: &Table) -> Vec<Run<'a>> {
    if mode == Mode::Insert {
        return runs(ops);
    }
    // Sorting puts a key's delete and a later row of what the database takes for the same key in
    // the wrong order, so only keys that are surely different may be sorted.
    let sortable = table.exact_key && ops.iter().all(|op| key_of(op, table).all(|value| is_exact(value)));
    let mut folded: HashMap<Vec<u8>, usize> = HashMap::with_capacity(ops.len());
    let mut kept: Vec<(Vec<u8>, Option<Op<'a>>, Option<Op<'a>>)> = Vec::with_capacity(ops.len());
    for op in ops {
        let key = encode(key_of(&op, table));
        let at = *folded.entry(key).or_insert_with_key(|key| {
            kept.push((key.clone(), None, None));
            kept.len() - 1
        });
        let Some((_, delete, put)) = kept.get_mut(at) else {
            continue;
        };
        // A row after a tombstone is a new row: columns that are not the record's do not stay.
        if op.is_delete {
            *delete = Some(op);
            *put = None;
        } else {
            *put = Some(op);
        }
    }
    if sortable {
        kept.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let (deletes, puts): (Vec<_>, Vec<_>) = kept.into_iter().map(|(_, delete, put)| (delete, put)).unzip();
        let of = |is_delete, ops: Vec<Option<Op<'a>>>| Run {
            is_delete,
            ops: ops.into_iter().flatten().collect(),
        };
        return [of(true, deletes), of(false, puts)]
            .into_iter()
            .filter(|run| !run.ops.is_empty())
            .collect();
    }
    let mut ops: Vec<Op<'a>> = kept
        .into_iter()
        .flat_map(|(_, delete, put)| [delete, put])
        .flatten()
        .collect();
    ops.sort_by_key(|op| op.index);
    runs(ops)
}

fn runs(ops: Vec<Op<'_>>) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for op in ops {
        match runs.last_mut() {
            Some(run) if run.is_delete == op.is_delete => run.ops.push(op),
            _ => runs.push(Run {
                is_delete: op.is_delete,
                ops: vec![op],
            }),
        }
    }
    runs
}

fn key_of<'s, 'a>(op: &'s Op<'a>, table: &'s Table) -> impl Iterator<Item = &'s Value<'a>> {
    let whole = op.is_delete.then_some(&op.values);
    let parts = (!op.is_delete).then(|| table.key.iter().filter_map(|at| op.values.get(*at)));
    whole.into_iter().flatten().chain(parts.into_iter().flatten())
}

/// Whether only the same value is equal to this one, in a column of [`Table::exact_key`]. Some
/// collations ignore spaces at the end.
fn is_exact(value: &Value<'_>) -> bool {
    match value {
        Value::Integer(_) | Value::Unsigned(_) => true,
        Value::Text(text) => !text.ends_with(' '),
        _ => false,
    }
}

/// A key as bytes that sort as the values do, near enough.
fn encode<'s, 'a: 's>(values: impl Iterator<Item = &'s Value<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        match value {
            Value::Default | Value::Null => bytes.push(0),
            Value::Integer(value) => {
                bytes.push(1);
                bytes.extend((*value as u64 ^ (1 << 63)).to_be_bytes());
            }
            Value::Unsigned(value) => {
                bytes.push(2);
                bytes.extend(value.to_be_bytes());
            }
            Value::Float(value) => {
                bytes.push(3);
                bytes.extend(value.to_bits().to_be_bytes());
            }
            Value::Text(text) => part(&mut bytes, 4, text.as_bytes()),
            Value::Bytes(value) => part(&mut bytes, 5, value),
        }
    }
    bytes
}

/// Zero bytes are escaped and two end the value: no two keys are encoded the same, and they sort as
/// their bytes do.
fn part(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    bytes.push(tag);
    for byte in value {
        bytes.push(*byte);
        if *byte == 0 {
            bytes.push(0xff);
        }
    }
    bytes.extend([0, 0]);
}

/// How many of `left` operations the next statement takes. A handful of sizes, so that few
/// different statements are prepared; a short rest is one statement.
pub(super) fn rows_of_next(left: usize, rows_max: usize) -> usize {
    const LARGEST: usize = 512;
    const SHORT: usize = 32;
    let most = left.min(rows_max).clamp(1, LARGEST);
    if most <= SHORT {
        return most;
    }
    match most.cmp(&LARGEST) {
        Ordering::Equal => LARGEST,
        _ => most.next_power_of_two() / if most.is_power_of_two() { 1 } else { 2 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::table::Column;

    fn table(exact_key: bool) -> Table {
        let column = |name: &str, kind| Column {
            name: name.to_owned(),
            kind,
            default: "DEFAULT".to_owned(),
        };
        Table {
            columns: vec![column("word", Kind::Text), column("count", Kind::Integer)],
            by_name: HashMap::from([("word".to_owned(), 0), ("count".to_owned(), 1)]),
            key: vec![0],
            exact_key,
        }
    }

    fn ops(records: &[(&'static str, Option<i64>)]) -> Vec<Op<'static>> {
        let op = |(index, (word, count)): (usize, &(&'static str, Option<i64>))| Op {
            index: index as u32,
            is_delete: count.is_none(),
            values: std::iter::once(Value::Text((*word).into()))
                .chain(count.map(Value::Integer))
                .collect(),
        };
        records.iter().enumerate().map(op).collect()
    }

    fn shape(runs: &[Run<'_>]) -> Vec<(bool, Vec<u32>)> {
        runs.iter()
            .map(|run| (run.is_delete, run.ops.iter().map(|op| op.index).collect()))
            .collect()
    }

    const RECORDS: [(&str, Option<i64>); 5] =
        [("b", Some(1)), ("a", Some(1)), ("b", Some(2)), ("c", None), ("a", None)];

    #[test]
    fn keys_are_folded_and_sorted() {
        let runs = plan(ops(&RECORDS), Mode::Upsert, &table(true));
        assert_eq!(shape(&runs), [(true, vec![4, 3]), (false, vec![2])]);
    }

    #[test]
    fn a_row_after_a_tombstone_is_written_anew() {
        let runs = plan(
            ops(&[("a", Some(1)), ("a", None), ("a", Some(2))]),
            Mode::Upsert,
            &table(true),
        );
        assert_eq!(shape(&runs), [(true, vec![1]), (false, vec![2])]);
    }

    #[test]
    fn keys_that_may_be_equal_to_the_database_keep_their_order() {
        let expected = [(false, vec![2]), (true, vec![3, 4])];
        assert_eq!(shape(&plan(ops(&RECORDS), Mode::Upsert, &table(false))), expected);
        let spaces = [("b ", Some(1)), ("b", None), ("a", Some(2))];
        let runs = plan(ops(&spaces), Mode::Upsert, &table(true));
        assert_eq!(shape(&runs), [(false, vec![0]), (true, vec![1]), (false, vec![2])]);
    }

    #[test]
    fn inserts_are_not_folded() {
        let runs = plan(ops(&RECORDS), Mode::Insert, &table(true));
        assert_eq!(shape(&runs), [(false, vec![0, 1, 2]), (true, vec![3, 4])]);
    }

    #[test]
    fn statements_come_in_few_sizes() {
        let mut left = 873;
        let mut sizes = Vec::new();
        while left > 0 {
            let rows = rows_of_next(left, 10_000);
            sizes.push(rows);
            left -= rows;
        }
        assert_eq!(sizes, [512, 256, 64, 32, 9]);
        assert_eq!(rows_of_next(100, 40), 32);
        assert_eq!(rows_of_next(64, 10_000), 64);
        assert_eq!(rows_of_next(5, 0), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_two_keys_are_encoded_the_same(a: (Vec<u8>, Vec<u8>), b: (Vec<u8>, Vec<u8>)) {
            let of = |key: &(Vec<u8>, Vec<u8>)| {
                encode([Value::Bytes(key.0.clone().into()), Value::Bytes(key.1.clone().into())].iter())
            };
            proptest::prop_assert_eq!(of(&a) == of(&b), a == b);
        }
    }
}
