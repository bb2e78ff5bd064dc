//! A run of records of one partition, in flat columns: the unit that is stored, kept and read.

use std::ops::Range;

use record::column::MARK_BYTES;
use record::{Batch, Column, Headers};

/// A chunk is closed at this many records.
pub(crate) const CHUNK_RECORDS: usize = 4_096;
/// A chunk is closed before it exceeds this many bytes; a larger record is a chunk of its own.
pub(crate) const CHUNK_BYTES: usize = 512 * 1024;

/// Records of one partition with their offsets, which rise and may have gaps after compaction.
///
/// Keys and values always have an entry per record; headers may be left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chunk {
    /// Empty until the chunk is written.
    pub(crate) offsets: Vec<i64>,
    pub(crate) keys: Column,
    pub(crate) values: Column,
    pub(crate) timestamps: Vec<i64>,
    pub(crate) headers: Headers,
    /// When it was written, by the wall clock: decides when tombstones may go.
    pub(crate) written_ms: i64,
}

/// The bytes of record `i` of a batch: key, value and headers.
pub(crate) fn record_bytes(batch: &Batch, i: usize) -> usize {
    let length = |column: &Column| column.get(i).map_or(0, <[u8]>::len);
    let mut bytes = length(&batch.keys) + length(&batch.values);
    if !batch.headers.is_left_out() {
        for (name, value) in batch.headers.of(i) {
            bytes += name.len() + value.map_or(0, <[u8]>::len);
        }
    }
    bytes
}

impl Chunk {
    pub(crate) fn len(&self) -> usize {
        self.timestamps.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.keys.data.len() + self.values.data.len() + self.headers.names.data.len() + self.headers.values.data.len()
    }

    /// The offset of the last record; -1 when it is empty.
    pub(crate) fn last(&self) -> i64 {
        self.offsets.last().copied().unwrap_or(-1)
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        self.timestamps.iter().copied().max().unwrap_or(-1)
    }

    /// Whether a record of this many bytes still belongs here.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.is_empty() || (self.len() < CHUNK_RECORDS && self.bytes() + bytes <= CHUNK_BYTES)
    }

    /// Appends record `i` of a batch that is produced.
    pub(crate) fn push(&mut self, batch: &Batch, i: usize, timestamp: i64) {
        self.keys.push(batch.keys.get(i));
        self.values.push(batch.values.get(i));
        self.timestamps.push(timestamp);
        if !batch.headers.is_left_out() {
            let mut any = false;
            for (name, value) in batch.headers.of(i) {
                self.headers.push(name, value);
                any = true;
            }
            if any || !self.headers.is_left_out() {
                self.headers.close(self.len() - 1);
            }
        } else if !self.headers.is_left_out() {
            self.headers.close(self.len() - 1);
        }
    }

    /// Appends records of another chunk, offsets and all.
    pub(crate) fn extend(&mut self, from: &Self, range: Range<usize>) {
        let have = self.len();
        extend_column(&mut self.keys, have, &from.keys, range.clone());
        extend_column(&mut self.values, have, &from.values, range.clone());
        extend_headers(&mut self.headers, have, &from.headers, range.clone());
        self.timestamps.extend_from_slice(&from.timestamps[range.clone()]);
        self.offsets.extend_from_slice(&from.offsets[range]);
    }

    /// Appends records to a batch that is read.
    pub(crate) fn read_into(&self, range: Range<usize>, batch: &mut Batch) {
        let have = batch.len();
        extend_column(&mut batch.keys, have, &self.keys, range.clone());
        extend_column(&mut batch.values, have, &self.values, range.clone());
        extend_headers(&mut batch.headers, have, &self.headers, range.clone());
        batch.timestamps.extend_from_slice(&self.timestamps[range.clone()]);
        batch.offsets.extend_from_slice(&self.offsets[range]);
    }

    /// The index of the first record at or after an offset.
    pub(crate) fn index_of(&self, offset: i64) -> usize {
        self.offsets.partition_point(|o| *o < offset)
    }

    /// The bytes of a range of records.
    pub(crate) fn bytes_of(&self, range: &Range<usize>) -> usize {
        let headers = header_range(&self.headers, range);
        span(&self.keys, range)
            + span(&self.values, range)
            + span(&self.headers.names, &headers)
            + span(&self.headers.values, &headers)
    }

    /// Where a run from `start` ends that has at most so many records and bytes.
    pub(crate) fn cut(&self, start: usize, records: usize, bytes: usize) -> usize {
        let (mut low, mut high) = (start, self.len().min(start.saturating_add(records)));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.bytes_of(&(start..middle)) <= bytes {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }
}

/// Where entry `i` of a list of ends starts.
fn start_of(ends: &[u32], i: usize) -> u32 {
    if i == 0 {
        0
    } else {
        ends.get(i - 1).copied().unwrap_or(0)
    }
}

/// The bytes of a range of entries.
fn span(column: &Column, range: &Range<usize>) -> usize {
    (start_of(&column.ends, range.end) - start_of(&column.ends, range.start)) as usize
}

fn header_range(headers: &Headers, records: &Range<usize>) -> Range<usize> {
    start_of(&headers.ends, records.start) as usize..start_of(&headers.ends, records.end) as usize
}

/// Appends entries `range` of `from` to a column of a batch that has `have` records.
fn extend_column(to: &mut Column, have: usize, from: &Column, range: Range<usize>) {
    while to.len() < have {
        to.push(None);
    }
    let (start, end) = (start_of(&from.ends, range.start), start_of(&from.ends, range.end));
    let base = to.data.len() as u32;
    to.data.extend_from_slice(&from.data[start as usize..end as usize]);
    if !from.marks.is_empty() || !to.marks.is_empty() {
        to.marks.resize(to.ends.len(), MARK_BYTES);
        match from.marks.get(range.clone()) {
            Some(marks) if !from.marks.is_empty() => to.marks.extend_from_slice(marks),
            _ => to.marks.resize(to.ends.len() + range.len(), MARK_BYTES),
        }
    }
    to.ends.extend(from.ends[range].iter().map(|end| end - start + base));
}

fn extend_headers(to: &mut Headers, have: usize, from: &Headers, range: Range<usize>) {
    if from.is_left_out() && to.is_left_out() {
        return;
    }
    let before = to.names.len() as u32;
    to.ends.resize(have, before);
    if from.is_left_out() {
        to.ends.resize(have + range.len(), before);
        return;
    }
    let inner = header_range(from, &range);
    extend_column(&mut to.names, before as usize, &from.names, inner.clone());
    extend_column(&mut to.values, before as usize, &from.values, inner.clone());
    let start = inner.start as u32;
    to.ends.extend(from.ends[range].iter().map(|end| end - start + before));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use record::column::MARK_NULL;
    use std::sync::Arc;

    type Entry = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

    fn fill(entries: &[Entry]) -> Batch {
        let mut batch = Batch::new(Arc::from("t"), 0);
        for (i, (key, value, headers)) in entries.iter().enumerate() {
            batch.push(key.as_deref(), value.as_deref(), i as i64);
            for (name, value) in headers {
                batch.headers.push(name.as_bytes(), value.as_deref());
            }
            if !headers.is_empty() {
                batch.headers.close(i);
            }
        }
        batch.headers.finish(batch.len());
        batch
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6));
        (
            bytes(),
            bytes(),
            proptest::collection::vec(("[a-c]{0,3}", bytes()), 0..3),
        )
    }

    proptest! {
        #[test]
        fn records_survive_every_cut(
            entries in proptest::collection::vec(entry(), 1..20),
            records in 1..7_usize,
            bytes in 0..30_usize,
        ) {
            let batch = fill(&entries);
            let mut chunk = Chunk::default();
            for i in 0..batch.len() {
                chunk.push(&batch, i, batch.timestamps[i]);
                prop_assert_eq!(chunk.bytes_of(&(i..i + 1)), record_bytes(&batch, i));
            }
            chunk.headers.finish(chunk.len());
            chunk.offsets = (10..10 + batch.len() as i64).collect();
            let (mut read, mut again) = (Batch::new(Arc::from("t"), 0), Chunk::default());
            let mut at = 0;
            while at < chunk.len() {
                let end = chunk.cut(at, records, bytes).max(at + 1);
                prop_assert!(end - at <= records);
                prop_assert!(end - at == 1 || chunk.bytes_of(&(at..end)) <= bytes);
                chunk.read_into(at..end, &mut read);
                again.extend(&chunk, at..end);
                at = end;
            }
            prop_assert_eq!(read.keys.check(batch.len(), MARK_NULL), Ok(()));
            prop_assert_eq!(&read.offsets, &chunk.offsets);
            prop_assert_eq!(&again.offsets, &chunk.offsets);
            for i in 0..batch.len() {
                prop_assert_eq!(read.keys.get(i), batch.keys.get(i));
                prop_assert_eq!(read.values.get(i), batch.values.get(i));
                prop_assert_eq!(again.values.get(i), batch.values.get(i));
                prop_assert_eq!(read.timestamps[i], batch.timestamps[i]);
                prop_assert!(read.headers.of(i).eq(batch.headers.of(i)));
                prop_assert!(again.headers.of(i).eq(batch.headers.of(i)));
            }
        }
    }
}
