//! The records of a batch as sinks read them.

use record::batch::Batch;
use record::error::Failure;
use record::sink::SinkError;

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Its place in the batch.
    pub(crate) index: u32,
    /// Its offset in the topic; -1 when the batch was not read from one.
    pub(crate) offset: i64,
    pub(crate) key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
}

/// The records of `batch` in order, without those in `skip` (rising) and those before `from`.
pub(crate) fn wanted<'a>(batch: &'a Batch, skip: &'a [u32], from: Option<i64>) -> impl Iterator<Item = Record<'a>> {
    (0..batch.len())
        .map(|i| Record {
            index: u32::try_from(i).unwrap_or(u32::MAX),
            offset: batch.offsets.get(i).copied().unwrap_or(-1),
            key: batch.keys.get(i),
            value: batch.values.get(i),
        })
        .filter(move |record| skip.binary_search(&record.index).is_err())
        .filter(move |record| record.offset < 0 || from.is_none_or(|from| record.offset >= from))
}

/// Why a record cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The stable word of [`Failure::code`].
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// As the contract has it, for the record at `index`.
    pub(crate) fn of(self, index: u32) -> Failure {
        Failure {
            index,
            code: self.code.to_owned(),
            message: self.message,
            detail: String::new(),
        }
    }
}

/// The error that names all refused records, in the order of the batch.
pub(crate) fn rejected(mut failures: Vec<Failure>) -> SinkError {
    failures.sort_by_key(|failure| failure.index);
    failures.dedup_by_key(|failure| failure.index);
    SinkError::Rejected(failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_and_earlier_records_are_left_out() {
        let mut batch = Batch::new("t".into(), 0);
        for offset in 10..15 {
            batch.push(None, Some(b"v"), 0);
            batch.offsets.push(offset);
        }
        let left: Vec<i64> = wanted(&batch, &[3], Some(12)).map(|record| record.offset).collect();
        assert_eq!(left, [12, 14]);
    }
}
