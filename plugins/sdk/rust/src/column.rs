//! Reading and writing the flat columns of the contract.

pub(crate) use crate::bindings::wasmill::plugin::types::Column;

pub(crate) const MARK_BYTES: u8 = 0;
pub(crate) const MARK_NULL: u8 = 1;
pub(crate) const MARK_INHERITED: u8 = 2;

/// A column without entries.
pub(crate) const fn empty() -> Column {
    Column {
        data: Vec::new(),
        ends: Vec::new(),
        marks: Vec::new(),
    }
}

/// Entry `i`; `None` when it is null or the column is left out.
#[inline]
pub(crate) fn entry(column: &Column, i: usize) -> Option<&[u8]> {
    let end = *column.ends.get(i)? as usize;
    if column.marks.get(i).is_some_and(|mark| *mark != MARK_BYTES) {
        return None;
    }
    let start = if i == 0 { 0 } else { column.ends[i - 1] as usize };
    column.data.get(start..end)
}

/// Ends the entry whose bytes were appended to `data`.
#[inline]
pub(crate) fn close(column: &mut Column, mark: u8) {
    column.ends.push(column.data.len() as u32);
    if mark != MARK_BYTES || !column.marks.is_empty() {
        column.marks.resize(column.ends.len() - 1, MARK_BYTES);
        column.marks.push(mark);
    }
}

/// Appends an entry.
#[inline]
pub(crate) fn push(column: &mut Column, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            column.data.extend_from_slice(bytes);
            close(column, MARK_BYTES);
        }
        None => close(column, MARK_NULL),
    }
}

/// Makes a column that is left out hold `count` inherited entries, which end at `end`.
pub(crate) fn materialise(column: &mut Column, count: usize, end: usize) {
    if column.ends.len() < count {
        column.ends.resize(count, end as u32);
        column.marks.resize(count, MARK_INHERITED);
    }
}

/// Keeps the first `count` entries.
pub(crate) fn truncate(column: &mut Column, count: usize) {
    column.ends.truncate(count);
    column.marks.truncate(count);
    column.data.truncate(column.ends.last().map_or(0, |end| *end as usize));
}

/// Removes all entries and keeps the memory.
pub(crate) fn clear(column: &mut Column) {
    column.data.clear();
    column.ends.clear();
    column.marks.clear();
}
