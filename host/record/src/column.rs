//! Byte strings laid end to end.

use std::fmt;

/// The entry is its bytes.
pub const MARK_BYTES: u8 = 0;
/// The entry is null: no key, a tombstone, nothing found.
pub const MARK_NULL: u8 = 1;
/// The entry is inherited from the parent record (outputs of a transform only).
pub const MARK_INHERITED: u8 = 2;

/// `n` byte strings laid end to end, as the plugin contract has them.
///
/// A column whose three lists are empty while its batch holds records is *left out*: all entries
/// are null (in a [`crate::Batch`]) or inherited (in [`crate::transform::Emitted`]).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// The bytes of all entries.
    pub data: Vec<u8>,
    /// Where each entry ends in `data`; never falling, the last equal to `data.len()`.
    pub ends: Vec<u32>,
    /// Empty: all [`MARK_BYTES`]. Else one mark per entry; marked entries have no bytes.
    pub marks: Vec<u8>,
}

impl Column {
    /// How many entries there are; 0 for a column that is left out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The mark of entry `i`.
    #[must_use]
    pub fn mark(&self, i: usize) -> u8 {
        self.marks.get(i).copied().unwrap_or(MARK_BYTES)
    }

    /// Entry `i`; `None` when it is null, inherited or beyond the end.
    #[must_use]
    #[inline]
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        let end = *self.ends.get(i)? as usize;
        if !self.marks.is_empty() && self.marks[i] != MARK_BYTES {
            return None;
        }
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        self.data.get(start..end)
    }

    /// Appends an entry; `None` is null.
    ///
    /// # Panics
    /// When the column would exceed 4 GiB; callers cut batches far below that.
    #[inline]
    pub fn push(&mut self, entry: Option<&[u8]>) {
        match entry {
            Some(bytes) => {
                self.data.extend_from_slice(bytes);
                self.close(MARK_BYTES);
            }
            None => self.close(MARK_NULL),
        }
    }

    /// Appends an entry that is inherited from the parent.
    pub fn push_inherited(&mut self) {
        self.close(MARK_INHERITED);
    }

    /// Appends an entry whose bytes `write` puts at the end of the buffer it is given.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.data);
        self.close(MARK_BYTES);
    }

    #[inline]
    fn close(&mut self, mark: u8) {
        debug_assert!(self.data.len() <= u32::MAX as usize);
        self.ends.push(self.data.len() as u32);
        if mark != MARK_BYTES || !self.marks.is_empty() {
            self.marks.resize(self.ends.len() - 1, MARK_BYTES);
            self.marks.push(mark);
        }
    }

    /// Removes all entries and keeps the memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
        self.marks.clear();
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Why this is not a column of `n` entries, or nothing. `highest_mark` is the largest mark that
    /// may occur here. What a guest hands out is checked with this before anything else reads it.
    ///
    /// # Errors
    /// A sentence for people that names the fault.
    pub fn check(&self, n: usize, highest_mark: u8) -> Result<(), String> {
        if self.ends.len() != n {
            return Err(format!("has {} entries, not {n}", self.ends.len()));
        }
        if !self.marks.is_empty() && self.marks.len() != n {
            return Err(format!("has {} marks for {n} entries", self.marks.len()));
        }
        let mut start = 0;
        for (i, &end) in self.ends.iter().enumerate() {
            if end < start {
                return Err(format!("ends fall from {start} to {end} at entry {i}"));
            }
            let mark = self.mark(i);
            if mark > highest_mark {
                return Err(format!("entry {i} has the unknown mark {mark}"));
            }
            if mark != MARK_BYTES && end != start {
                return Err(format!("entry {i} is marked {mark} and still has bytes"));
            }
            start = end;
        }
        if start as usize != self.data.len() {
            return Err(format!("ends at {start} of {} bytes", self.data.len()));
        }
        Ok(())
    }
}

impl<'a> FromIterator<Option<&'a [u8]>> for Column {
    fn from_iter<I: IntoIterator<Item = Option<&'a [u8]>>>(entries: I) -> Self {
        let mut column = Self::default();
        for entry in entries {
            column.push(entry);
        }
        column
    }
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries((0..self.len()).map(|i| match self.mark(i) {
                MARK_INHERITED => "<inherited>".to_owned(),
                _ => match self.get(i) {
                    Some(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
                    None => "null".to_owned(),
                },
            }))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_pushed_is_read_back(entries: Vec<Option<Vec<u8>>>) {
            let column: Column = entries.iter().map(|e| e.as_deref()).collect();
            prop_assert_eq!(column.check(entries.len(), MARK_NULL), Ok(()));
            let back: Vec<_> = column.iter().map(|e| e.map(<[u8]>::to_vec)).collect();
            prop_assert_eq!(back, entries);
        }

        #[test]
        fn no_column_of_a_guest_makes_a_reader_panic(data: Vec<u8>, ends: Vec<u32>, marks: Vec<u8>) {
            let n = ends.len();
            let column = Column { data, ends, marks };
            if column.check(n, MARK_INHERITED).is_ok() {
                for i in 0..n {
                    let _ = column.get(i);
                }
            }
        }
    }

    #[test]
    fn a_left_out_column_reads_as_null() {
        assert_eq!(Column::default().get(3), None);
    }
}
