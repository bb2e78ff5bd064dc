//! The headers of the records of a batch.

use crate::column::{Column, MARK_BYTES, MARK_NULL};

/// The marked record's headers join the inherited ones, in place of those of the same name.
pub const HEADERS_JOIN: u8 = 0;
/// The marked record's headers replace all inherited ones.
pub const HEADERS_REPLACE: u8 = 1;

/// What a header takes up beside its name and value: where they end.
const HEADER_OVERHEAD_BYTES: usize = 2 * size_of::<u32>();

/// The headers of `n` records, in flat columns. Left out (all lists empty): no record has any, or,
/// in the outputs of a transform, all are inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Where each record's headers end in `names` and `values`; never falling.
    pub ends: Vec<u32>,
    /// UTF-8, never null. A record may have the same name more than once.
    pub names: Column,
    /// Any bytes, or null.
    pub values: Column,
    /// Outputs of a transform only; empty: all [`HEADERS_JOIN`].
    pub marks: Vec<u8>,
}

impl Headers {
    /// Whether no record's headers are stored here.
    #[must_use]
    pub fn is_left_out(&self) -> bool {
        self.ends.is_empty()
    }

    /// Where the headers of record `i` stand in `names` and `values`.
    fn range(&self, i: usize) -> std::ops::Range<usize> {
        let end = self.ends.get(i).copied().unwrap_or(0);
        let start = if i == 0 || self.ends.is_empty() {
            0
        } else {
            self.ends.get(i - 1).copied().unwrap_or(0)
        };
        start as usize..end as usize
    }

    /// What the headers of record `i` take up, in bytes, with what is kept beside each.
    #[must_use]
    pub fn bytes_of(&self, i: usize) -> usize {
        let bytes = |column: &Column, range: &std::ops::Range<usize>| {
            let end = |count: usize| {
                count
                    .checked_sub(1)
                    .and_then(|last| column.ends.get(last))
                    .copied()
                    .unwrap_or(0)
            };
            end(range.end).saturating_sub(end(range.start)) as usize
        };
        let range = self.range(i);
        bytes(&self.names, &range) + bytes(&self.values, &range) + range.len() * HEADER_OVERHEAD_BYTES
    }

    /// The headers of record `i`, in order.
    pub fn of(&self, i: usize) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.range(i)
            .map(|h| (self.names.get(h).unwrap_or_default(), self.values.get(h)))
    }

    /// The last value of the header `name` of record `i`: `Some(None)` when it is null.
    #[must_use]
    pub fn last(&self, i: usize, name: &str) -> Option<Option<&[u8]>> {
        self.of(i)
            .filter(|(n, _)| *n == name.as_bytes())
            .last()
            .map(|(_, value)| value)
    }

    /// Appends a header to the record that is being written; [`Self::close`] ends that record.
    pub fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.names.push(Some(name));
        self.values.push(value);
    }

    /// Ends record `i`. Records before it that were not ended get no headers.
    pub fn close(&mut self, i: usize) {
        let end = self.names.len() as u32;
        let before = self.ends.last().copied().unwrap_or(0);
        self.ends.resize(i, before);
        self.ends.push(end);
    }

    /// Makes the columns cover `n` records: those that were not ended have no headers. Headers
    /// that no record has stay left out.
    pub fn finish(&mut self, n: usize) {
        if !self.ends.is_empty() {
            let end = self.names.len() as u32;
            self.ends.resize(n, end);
        }
    }

    /// Removes everything and keeps the memory.
    pub fn clear(&mut self) {
        self.ends.clear();
        self.names.clear();
        self.values.clear();
        self.marks.clear();
    }

    /// Why these are not the headers of `n` records, or nothing.
    ///
    /// # Errors
    /// A sentence for people that names the fault.
    pub fn check(&self, n: usize) -> Result<(), String> {
        if self.ends.len() != n {
            return Err(format!("have {} entries, not {n}", self.ends.len()));
        }
        if !self.marks.is_empty() && self.marks.len() != n {
            return Err(format!("have {} marks for {n} records", self.marks.len()));
        }
        if let Some(mark) = self.marks.iter().find(|m| **m > HEADERS_REPLACE) {
            return Err(format!("have the unknown mark {mark}"));
        }
        let count = self.ends.last().copied().unwrap_or(0) as usize;
        let mut start = 0;
        for &end in &self.ends {
            if end < start {
                return Err(format!("have ends that fall from {start} to {end}"));
            }
            start = end;
        }
        self.names
            .check(count, MARK_BYTES)
            .map_err(|e| format!("have names whose column {e}"))?;
        self.values
            .check(count, MARK_NULL)
            .map_err(|e| format!("have values whose column {e}"))?;
        match self
            .names
            .iter()
            .flatten()
            .find(|name| std::str::from_utf8(name).is_err())
        {
            Some(name) => Err(format!(
                "have the name {:?}, which is not UTF-8",
                String::from_utf8_lossy(name)
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_without_headers_are_filled_in() {
        let mut headers = Headers::default();
        headers.push(b"a", Some(b"1"));
        headers.push(b"a", None);
        headers.close(2);
        headers.finish(4);
        assert_eq!(headers.check(4), Ok(()));
        assert_eq!(headers.of(0).count(), 0);
        assert_eq!(headers.of(2).count(), 2);
        assert_eq!(headers.of(3).count(), 0);
        assert_eq!(headers.last(2, "a"), Some(None));
        assert_eq!(headers.last(1, "a"), None);
    }
}
