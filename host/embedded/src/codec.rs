//! Chunks and small facts as bytes. Little-endian, columns as they are in memory.
//!
//! The layout is that of format version 1 (see `directory`): a change needs a new version.

use record::column::MARK_NULL;
use record::{Column, Headers};

use crate::chunk::Chunk;
use crate::error::EmbeddedError;

/// Appends values.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.number(value.len() as i64);
        self.0.extend_from_slice(value);
    }

    fn ends(&mut self, values: &[u32]) {
        self.number(values.len() as i64);
        for value in values {
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn numbers(&mut self, values: &[i64]) {
        self.number(values.len() as i64);
        for value in values {
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn column(&mut self, column: &Column) {
        self.bytes(&column.data);
        self.ends(&column.ends);
        self.bytes(&column.marks);
    }
}

/// Takes values in the order they were appended.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

const SHORT: EmbeddedError = EmbeddedError::Damaged("an entry is cut off");

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], EmbeddedError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn number(&mut self) -> Result<i64, EmbeddedError> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(i64::from_le_bytes(*bytes))
    }

    /// A length of things of `size` bytes each.
    fn length(&mut self, size: usize) -> Result<usize, EmbeddedError> {
        let bytes = usize::try_from(self.number()?).ok().and_then(|n| n.checked_mul(size));
        bytes.filter(|n| *n <= self.0.len()).ok_or(SHORT)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], EmbeddedError> {
        let length = self.length(1)?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, EmbeddedError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| EmbeddedError::Damaged("a text is not UTF-8"))
    }

    fn ends(&mut self) -> Result<Vec<u32>, EmbeddedError> {
        let length = self.length(4)?;
        let (words, _) = self.take(length)?.as_chunks::<4>();
        Ok(words.iter().map(|w| u32::from_le_bytes(*w)).collect())
    }

    fn numbers(&mut self) -> Result<Vec<i64>, EmbeddedError> {
        let length = self.length(8)?;
        let (words, _) = self.take(length)?.as_chunks::<8>();
        Ok(words.iter().map(|w| i64::from_le_bytes(*w)).collect())
    }

    fn column(&mut self) -> Result<Column, EmbeddedError> {
        Ok(Column {
            data: self.bytes()?.to_vec(),
            ends: self.ends()?,
            marks: self.bytes()?.to_vec(),
        })
    }
}

/// A chunk as it is stored.
pub(crate) fn encode_chunk(chunk: &Chunk) -> Vec<u8> {
    let mut writer = Writer(Vec::with_capacity(chunk.bytes() + chunk.len() * 24 + 128));
    writer.number(chunk.written_ms);
    // Offsets without gaps, which is all of them before compaction, are their first one.
    let first = chunk.offsets.first().copied().unwrap_or(0);
    writer.number(first);
    let dense = chunk.last() - first + 1 == chunk.len() as i64;
    writer.numbers(if dense { &[] } else { &chunk.offsets });
    writer.numbers(&chunk.timestamps);
    writer.column(&chunk.keys);
    writer.column(&chunk.values);
    writer.ends(&chunk.headers.ends);
    if !chunk.headers.is_left_out() {
        writer.column(&chunk.headers.names);
        writer.column(&chunk.headers.values);
    }
    writer.0
}

/// Reads what [`encode_chunk`] wrote. Nothing that this lets through makes a reader panic.
pub(crate) fn decode_chunk(bytes: &[u8]) -> Result<Chunk, EmbeddedError> {
    let mut reader = Reader(bytes);
    let written_ms = reader.number()?;
    let first = reader.number()?;
    let mut offsets = reader.numbers()?;
    let timestamps = reader.numbers()?;
    let count = timestamps.len();
    if offsets.is_empty() {
        let end = first.checked_add(count as i64).ok_or(SHORT)?;
        offsets = (first..end).collect();
    }
    let keys = reader.column()?;
    let values = reader.column()?;
    let mut headers = Headers {
        ends: reader.ends()?,
        ..Headers::default()
    };
    if !headers.is_left_out() {
        headers.names = reader.column()?;
        headers.values = reader.column()?;
    }
    let sound = keys.check(count, MARK_NULL).is_ok()
        && values.check(count, MARK_NULL).is_ok()
        && (headers.is_left_out() || headers_fit(&headers, count))
        && offsets.len() == count
        && offsets.first().is_none_or(|o| *o >= 0)
        && offsets.is_sorted_by(|a, b| a < b);
    if !sound {
        return Err(EmbeddedError::Damaged("a chunk of records does not hold together"));
    }
    Ok(Chunk {
        offsets,
        keys,
        values,
        timestamps,
        headers,
        written_ms,
    })
}

/// As [`Headers::check`], without asking that names are UTF-8: producers may write any bytes.
fn headers_fit(headers: &Headers, count: usize) -> bool {
    let inner = headers.ends.last().copied().unwrap_or(0) as usize;
    headers.ends.len() == count
        && headers.ends.is_sorted()
        && headers.names.check(inner, MARK_NULL).is_ok()
        && headers.values.check(inner, MARK_NULL).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use record::Batch;
    use std::sync::Arc;

    fn chunk(gap: i64) -> Chunk {
        let mut batch = Batch::new(Arc::from("t"), 0);
        batch.push(Some(b"k"), None, 1);
        batch.push(None, Some(b"value"), 2);
        batch.headers.push(b"h", None);
        batch.headers.close(1);
        let mut chunk = Chunk::default();
        chunk.push(&batch, 0, 1);
        chunk.push(&batch, 1, 2);
        chunk.headers.finish(2);
        chunk.offsets = vec![4, 5 + gap];
        chunk.written_ms = 77;
        chunk
    }

    #[test]
    fn chunks_come_back_dense_and_with_gaps() {
        for gap in [0, 3] {
            let chunk = chunk(gap);
            assert_eq!(decode_chunk(&encode_chunk(&chunk)).unwrap(), chunk);
        }
    }

    proptest! {
        #[test]
        fn damaged_chunks_are_errors_and_never_panics(at in 0..200_usize, byte: u8, cut in 0..200_usize) {
            let mut bytes = encode_chunk(&chunk(1));
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - cut % length);
            if let Ok(chunk) = decode_chunk(&bytes) {
                let mut batch = Batch::new(Arc::from("t"), 0);
                chunk.read_into(0..chunk.len(), &mut batch);
                for i in 0..batch.len() {
                    let _ = (batch.keys.get(i), batch.headers.of(i).count());
                }
            }
        }
    }
}
