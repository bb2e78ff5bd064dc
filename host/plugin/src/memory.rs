//! How much memory an instance may have.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use record::topology::Limits;
use wasmtime::ResourceLimiter;

use crate::engine::MemoryTotal;
use crate::usage::Usage;

/// An element of a table is a pointer.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();
/// Counts linear memories and tables of one instance against its own limit and the engine's.
/// Growth beyond a limit is refused, as by a machine that has no more; the guest then traps or
/// makes do.
pub(crate) struct Memory {
    limit: usize,
    /// Core instances, memories and tables.
    parts: usize,
    used: usize,
    total: Arc<MemoryTotal>,
    usage: Arc<Usage>,
    refused: Option<Refusal>,
}

/// Why growth was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// By the instance's own limit, in bytes.
    Own(usize),
    /// By the limit of all plugins together, in bytes: others may be the cause.
    Total(usize),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own(limit) => write!(
                f,
                "it asked for more memory than its limit of {} MiB; raise `memory_mib` if it needs more",
                limit >> 20
            ),
            Self::Total(limit) => write!(
                f,
                "all plugins of the process together have reached their limit of {} MiB; lower the `memory_mib` of \
                 those that grow, or run fewer pipelines in one process",
                limit >> 20
            ),
        }
    }
}

impl Memory {
    pub(crate) fn new(limits: &Limits, total: Arc<MemoryTotal>, usage: Arc<Usage>) -> Self {
        Self {
            limit: limits.memory_bytes,
            parts: limits.parts,
            used: 0,
            total,
            usage,
            refused: None,
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Forgets refusals of earlier calls.
    pub(crate) fn start_call(&mut self) {
        self.refused = None;
    }

    /// Why growth was refused in this call, if it was.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    fn grow(&mut self, by: usize) -> bool {
        if self.used.saturating_add(by) > self.limit {
            self.refused = Some(Refusal::Own(self.limit));
            return false;
        }
        let before = self.total.used.fetch_add(by, Ordering::Relaxed);
        if before.saturating_add(by) > self.total.limit {
            self.total.used.fetch_sub(by, Ordering::Relaxed);
            self.refused = Some(Refusal::Total(self.total.limit));
            return false;
        }
        self.used += by;
        self.usage.memory_peak(self.used);
        true
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.total.used.fetch_sub(self.used, Ordering::Relaxed);
    }
}

/// Growth beyond the maximum that a guest has declared itself fails after it was asked for here: it must not
/// be counted.
fn fits(desired: usize, declared_max: Option<usize>) -> bool {
    declared_max.is_none_or(|max| desired <= max)
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, max: Option<usize>) -> wasmtime::Result<bool> {
        Ok(fits(desired, max) && self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, max: Option<usize>) -> wasmtime::Result<bool> {
        let elements = desired.saturating_sub(current);
        Ok(fits(desired, max) && self.grow(elements.saturating_mul(TABLE_ELEMENT_BYTES)))
    }

    fn instances(&self) -> usize {
        self.parts
    }

    fn tables(&self) -> usize {
        self.parts
    }

    fn memories(&self) -> usize {
        self.parts
    }
}
