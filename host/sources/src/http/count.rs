//! How requests were answered, for metrics.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// How many requests were answered with each status, since the source has listened.
#[derive(Debug, Default)]
pub struct Answers(Mutex<BTreeMap<u16, u64>>);

impl Answers {
    pub(super) fn count(&self, status: u16) {
        *self.0.lock().entry(status).or_default() += 1;
    }

    /// The statuses that there were, and how often.
    #[must_use]
    pub fn all(&self) -> Vec<(u16, u64)> {
        self.0.lock().iter().map(|(status, count)| (*status, *count)).collect()
    }
}
