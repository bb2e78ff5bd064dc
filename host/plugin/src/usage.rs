//! What a transform has used so far, over all its instances.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use record::transform::{CallError, CallErrorKind, Emitted};

use crate::clock::thread_cpu_time;

/// Asking for the processor time of a thread costs as much as a small call: calls with fewer
/// records are sampled.
const SAMPLED_BELOW: usize = 16;
/// One of so many.
const SAMPLED: u64 = 16;

/// Counters that only grow, shared by the instances of a transform. Each is right by itself; a
/// reader may see a call in one that is not in another yet.
#[derive(Default)]
pub(crate) struct Usage {
    calls: AtomicU64,
    records: AtomicU64,
    outputs: AtomicU64,
    output_bytes: AtomicU64,
    failed_records: AtomicU64,
    cpu_ns: AtomicU64,
    traps: AtomicU64,
    timed_out: AtomicU64,
    limit_exceeded: AtomicU64,
    refused: AtomicU64,
    misuse: AtomicU64,
    unavailable: AtomicU64,
    store: AtomicU64,
    instances: AtomicU64,
    recycled: AtomicU64,
    memory_peak_bytes: AtomicUsize,
}

/// What a transform has used so far, over all its instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageSnapshot {
    /// Calls, failed ones too.
    pub calls: u64,
    /// Records and timers of calls that succeeded.
    pub records: u64,
    /// What those calls handed out.
    pub outputs: u64,
    /// Keys, values and headers of it, in bytes.
    pub output_bytes: u64,
    /// Records of those calls that failed by themselves.
    pub failed_records: u64,
    /// Processor time in calls; estimated from samples where calls are small.
    pub cpu: Duration,
    /// Calls that trapped: panics, stack overflows and the like.
    pub traps: u64,
    /// Calls that ran too long.
    pub timed_out: u64,
    /// Calls that met a limit of memory, output and the like.
    pub limit_exceeded: u64,
    /// Calls that the plugin answered with an error.
    pub refused: u64,
    /// Calls that handed out something malformed or misused the host.
    pub misuse: u64,
    /// Calls for which no instance could be started, or all plugins together had no memory left.
    pub unavailable: u64,
    /// Calls in which state could not be read or written.
    pub store: u64,
    /// Instances that were started.
    pub instances: u64,
    /// Of them those that took the place of one that had failed, or had grown too large, or had to
    /// forget.
    pub recycled: u64,
    /// The most memory that one instance had.
    pub memory_peak_bytes: usize,
}

impl UsageSnapshot {
    /// Calls that failed for what the plugin did, not for what was away.
    #[must_use]
    pub fn convicting_calls(&self) -> u64 {
        self.traps + self.timed_out + self.limit_exceeded + self.refused + self.misuse
    }

    /// Calls that failed, whatever the reason.
    #[must_use]
    pub fn failed_calls(&self) -> u64 {
        self.convicting_calls() + self.unavailable + self.store
    }
}

/// A call that runs.
pub(crate) struct Meter {
    started: Option<Duration>,
    weight: u64,
}

fn add(counter: &AtomicU64, by: u64) {
    if by > 0 {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl Usage {
    /// A call of so many records starts on this thread.
    pub(crate) fn start(&self, records: usize) -> Meter {
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        let weight = if records >= SAMPLED_BELOW { 1 } else { SAMPLED };
        Meter {
            started: (weight == 1 || before.is_multiple_of(SAMPLED)).then(thread_cpu_time),
            weight,
        }
    }

    /// It has ended on the same thread.
    pub(crate) fn end(&self, meter: &Meter, records: usize, answer: &Result<Emitted, CallError>) {
        if let Some(started) = meter.started {
            let ran = thread_cpu_time().saturating_sub(started).as_nanos();
            let ran = u64::try_from(ran).unwrap_or(u64::MAX).saturating_mul(meter.weight);
            add(&self.cpu_ns, ran);
        }
        match answer {
            Ok(emitted) => {
                add(&self.records, records as u64);
                add(&self.outputs, u64::from(emitted.count));
                add(&self.failed_records, emitted.failures.len() as u64);
                let headers = emitted.headers.names.data.len() + emitted.headers.values.data.len();
                let bytes = emitted.keys.data.len() + emitted.values.data.len() + headers;
                add(&self.output_bytes, bytes as u64);
            }
            Err(error) => add(
                match error.kind {
                    CallErrorKind::Trap => &self.traps,
                    CallErrorKind::TimedOut => &self.timed_out,
                    CallErrorKind::LimitExceeded => &self.limit_exceeded,
                    CallErrorKind::Refused => &self.refused,
                    CallErrorKind::Misuse => &self.misuse,
                    CallErrorKind::Unavailable => &self.unavailable,
                    CallErrorKind::Store | CallErrorKind::StoreDamaged => &self.store,
                },
                1,
            ),
        }
    }

    /// An instance was started.
    pub(crate) fn instance(&self) {
        add(&self.instances, 1);
    }

    /// It took the place of another.
    pub(crate) fn recycled(&self) {
        add(&self.recycled, 1);
    }

    /// An instance has so much memory.
    pub(crate) fn memory_peak(&self, bytes: usize) {
        self.memory_peak_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> UsageSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        UsageSnapshot {
            calls: read(&self.calls),
            records: read(&self.records),
            outputs: read(&self.outputs),
            output_bytes: read(&self.output_bytes),
            failed_records: read(&self.failed_records),
            cpu: Duration::from_nanos(read(&self.cpu_ns)),
            traps: read(&self.traps),
            timed_out: read(&self.timed_out),
            limit_exceeded: read(&self.limit_exceeded),
            refused: read(&self.refused),
            misuse: read(&self.misuse),
            unavailable: read(&self.unavailable),
            store: read(&self.store),
            instances: read(&self.instances),
            recycled: read(&self.recycled),
            memory_peak_bytes: self.memory_peak_bytes.load(Ordering::Relaxed),
        }
    }
}
