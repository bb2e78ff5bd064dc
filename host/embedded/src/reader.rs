//! A reader outside any group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use record::log::{LogError, PollLimit, Polled, Reader};
use record::{NextOffset, TopicPartition};

use crate::core::Core;
use crate::cursor::Cursors;

/// Reads what it is told to. Both isolations see the same: open transactions are not in the log.
pub(crate) struct EmbeddedReader {
    pub(crate) core: Arc<Core>,
    pub(crate) cursors: Cursors,
}

impl Reader for EmbeddedReader {
    fn assign(&mut self, from: &[(TopicPartition, NextOffset)]) -> Result<(), LogError> {
        self.cursors.clear();
        let state = self.core.shared.state();
        for (at, next) in from {
            let (topic, _) = state.partition(at)?;
            self.cursors.start(at, topic.number, *next);
        }
        Ok(())
    }

    fn poll(&mut self, timeout: Duration, limit: PollLimit, polled: &mut Polled) -> Result<(), LogError> {
        let deadline = Instant::now().checked_add(timeout);
        self.cursors
            .poll(&self.core.shared, deadline, limit, polled, |_, _| Ok(Vec::new()))
    }
}
