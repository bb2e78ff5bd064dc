//! Writing records one by one, with an answer for each.

use std::time::Duration;

use crate::batch::Batch;
use crate::log::LogError;

/// A producer outside any group and transaction. Owned by one thread.
pub trait Appender: Send {
    /// Writes a batch, record `i` to `partitions[i]`, waits until all are acknowledged by all replicas that
    /// the topic asks for, and answers for each record. One that is answered with an error may still be in
    /// the topic, unless the error is that of a record ([`LogError::is_of_a_record`]); its neighbours in the
    /// batch may get that error too, and can be tried alone.
    fn append(
        &mut self,
        topic: &str,
        batch: &Batch,
        partitions: &[u32],
        timeout: Duration,
    ) -> Vec<Result<(), LogError>>;
}
