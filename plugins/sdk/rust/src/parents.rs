//! What the outputs of a call come from.

use crate::bindings::wasmill::plugin::types::{Clock, DueTimers, Inbound};
use crate::column::Column;

/// What outputs come from and inherit from: the records of a batch, or timers that are due.
#[derive(Clone, Copy)]
pub(crate) struct Parents<'a> {
    pub(crate) count: usize,
    pub(crate) keys: &'a Column,
    /// Of timers their times.
    pub(crate) timestamps: &'a [i64],
    /// How many bytes the values have: a guess at those of the outputs.
    pub(crate) value_bytes: usize,
    /// The clock of timers; `None` for records.
    pub(crate) firing: Option<Clock>,
}

impl<'a> Parents<'a> {
    pub(crate) fn records(batch: &'a Inbound) -> Self {
        Self {
            count: batch.count as usize,
            keys: &batch.keys,
            timestamps: &batch.timestamps,
            value_bytes: batch.values.data.len(),
            firing: None,
        }
    }

    pub(crate) fn timers(due: &'a DueTimers) -> Self {
        Self {
            count: due.count as usize,
            keys: &due.keys,
            timestamps: &due.times,
            value_bytes: 0,
            firing: Some(due.clock),
        }
    }

    /// Of a timer its time; -1 for a record without one.
    pub(crate) fn timestamp(&self, index: usize) -> i64 {
        self.timestamps.get(index).copied().unwrap_or(-1)
    }
}
