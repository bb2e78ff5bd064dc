//! Records from outside any session.

use std::sync::Arc;
use std::time::Duration;

use record::Batch;
use record::appender::Appender;
use record::log::LogError;

use crate::core::Core;
use crate::session;

/// Writes each batch whole or not at all, and syncs the journal.
pub(crate) struct EmbeddedAppender(pub(crate) Arc<Core>);

impl Appender for EmbeddedAppender {
    fn append(
        &mut self,
        topic: &str,
        batch: &Batch,
        partitions: &[u32],
        timeout: Duration,
    ) -> Vec<Result<(), LogError>> {
        let outcome = session::append(&self.0, topic, batch, partitions, timeout);
        vec![outcome; partitions.len()]
    }
}
