//! One record, read from the batch without copying.

use serde::Deserialize;

use crate::bindings::wasmill::plugin::types::Inbound;
use crate::column;
use crate::error::{Error, Result};

/// A record. It borrows from its batch and copies nothing.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub(crate) batch: &'a Inbound,
    pub(crate) index: usize,
}

/// Where a record entered the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
}

impl<'a> Record<'a> {
    /// The key, if there is one.
    #[must_use]
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        column::entry(&self.batch.keys, self.index)
    }

    /// The value; `None` for a tombstone.
    #[must_use]
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        column::entry(&self.batch.values, self.index)
    }

    /// The key as text.
    ///
    /// # Errors
    /// `no-key`, or `bad-utf8`.
    #[inline]
    pub fn key_str(&self) -> Result<&'a str> {
        let key = self.key().ok_or_else(Error::no_key)?;
        Ok(std::str::from_utf8(key)?)
    }

    /// The value as text.
    ///
    /// # Errors
    /// `no-value`, or `bad-utf8`.
    #[inline]
    pub fn value_str(&self) -> Result<&'a str> {
        Ok(std::str::from_utf8(self.some_value()?)?)
    }

    /// The value, read as JSON. What it borrows is borrowed from the batch.
    ///
    /// # Errors
    /// `no-value`, or `bad-json`.
    #[inline]
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T> {
        Ok(serde_json::from_slice(self.some_value()?)?)
    }

    fn some_value(&self) -> Result<&'a [u8]> {
        self.value()
            .ok_or_else(|| Error::new("no-value", "the record has no value"))
    }

    /// Milliseconds since 1970 UTC; `None` for none.
    #[must_use]
    pub fn timestamp(&self) -> Option<i64> {
        self.batch.timestamps.get(self.index).copied().filter(|time| *time >= 0)
    }

    /// Which of the plugin's inputs this came by; 0 for the first.
    #[must_use]
    pub fn input(&self) -> u8 {
        self.batch.inputs.get(self.index).copied().unwrap_or(0)
    }

    /// The task's partition.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.batch.partition
    }

    /// The record's place in its batch: of use with functions of the host only.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index as u32
    }

    /// The headers in order, when the plugin `reads_headers`. Names may repeat; values may be null.
    pub fn headers(&self) -> impl DoubleEndedIterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let headers = &self.batch.headers;
        let end = headers.ends.get(self.index).copied().unwrap_or(0);
        let start = match self.index.checked_sub(1) {
            Some(before) => headers.ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        (start as usize..end as usize).map(|h| {
            let name = column::entry(&headers.names, h).unwrap_or_default();
            (
                std::str::from_utf8(name).unwrap_or_default(),
                column::entry(&headers.values, h),
            )
        })
    }

    /// The last header of a name; `Some(None)` when its value is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.headers().rev().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Where the record entered the pipeline, when the plugin `reads_origins`.
    #[must_use]
    pub fn origin(&self) -> Option<Origin<'a>> {
        let origins = &self.batch.origins;
        let topic = origins.topic_indexes.get(self.index).copied().unwrap_or(0);
        Some(Origin {
            topic: origins.topics.get(usize::from(topic))?,
            partition: origins
                .partitions
                .get(self.index)
                .copied()
                .unwrap_or(self.batch.partition),
            offset: *origins.offsets.get(self.index)?,
        })
    }
}
