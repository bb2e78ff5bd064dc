//! How long a call may run.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::host::HostError;

/// What runs before the first record has this much: starting an instance, `describe`, `configure`.
pub(crate) const START_TIME: Duration = Duration::from_secs(10);
/// A migration has this much for all that is stored on a partition.
const MIGRATION_TIME: Duration = Duration::from_secs(60);
/// A call that gets no processor may take this many times its processor time by the clock on the wall.
const WALL_FACTOR: u32 = 10;
/// A call of many records takes no longer by the clock on the wall, unless it may compute for longer: it is
/// made within a transaction, and may be made again record by record.
const WALL_OF_MANY: Duration = Duration::from_secs(5);

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    cpu: Duration,
    wall: Duration,
}

impl Budget {
    /// Of a call of one record, and of what comes before the first.
    pub(crate) fn new(cpu: Duration) -> Self {
        Self {
            cpu,
            wall: cpu * WALL_FACTOR,
        }
    }

    /// Of a migration of all that is stored on a partition.
    pub(crate) fn of_migration() -> Self {
        Self {
            cpu: MIGRATION_TIME,
            wall: MIGRATION_TIME * 2,
        }
    }

    /// Of a call of many records.
    pub(crate) fn of_many(cpu: Duration) -> Self {
        Self {
            cpu,
            wall: (cpu * WALL_FACTOR).min(WALL_OF_MANY.max(cpu)),
        }
    }
}

/// Measures a call by the processor time of its thread, so that a busy machine convicts nobody,
/// with a cap by the clock on the wall.
///
/// Both clocks are read at the engine's ticks only, the first time at the first tick within the
/// call: a call is given up to a tick too much, and short ones read no clock at all.
pub(crate) struct CallClock {
    budget: Budget,
    started: Option<(Duration, Instant)>,
}

impl CallClock {
    pub(crate) fn new() -> Self {
        Self {
            budget: Budget::new(START_TIME),
            started: None,
        }
    }

    /// A call starts.
    pub(crate) fn start(&mut self, budget: Budget) {
        self.budget = budget;
        self.started = None;
    }

    /// The engine's clock has ticked while the plugin runs.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let cpu = thread_cpu_time();
        let (cpu_start, wall_start) = *self.started.get_or_insert_with(|| (cpu, Instant::now()));
        let ran = cpu.saturating_sub(cpu_start);
        if ran >= self.budget.cpu {
            return Err(wasmtime::Error::new(HostError::TimedOut(format!(
                "it ran for {ran:.1?} of processor time, its limit is {:.1?} for this call; \
                 raise `time_ms` or `call_time_ms` if the records need it",
                self.budget.cpu
            ))));
        }
        let waited = wall_start.elapsed();
        if waited >= self.budget.wall {
            return Err(wasmtime::Error::new(HostError::TimedOut(format!(
                "it did not end within {:.1?} by the clock on the wall, though it ran for {ran:.1?} only, of {:.1?} \
                 that it has for this call; the machine is overloaded",
                self.budget.wall, self.budget.cpu
            ))));
        }
        Ok(UpdateDeadline::Continue(1))
    }

    /// How long the call may still wait for something. The first to ask starts the clocks.
    pub(crate) fn wall_left(&mut self) -> Duration {
        let (_, start) = *self.started.get_or_insert_with(|| (thread_cpu_time(), Instant::now()));
        self.budget.wall.saturating_sub(start.elapsed())
    }

    /// The call has waited for longer.
    pub(crate) fn waited_too_long(&self) -> wasmtime::Error {
        wasmtime::Error::new(HostError::TimedOut(format!(
            "it waited for something outside for longer than {:.1?}, which this call may take; raise `time_ms` or \
             `call_time_ms` if it has to",
            self.budget.wall
        )))
    }
}

pub(crate) fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_running() {
        let mut clock = CallClock::new();
        clock.start(Budget::new(Duration::from_millis(30)));
        assert!(clock.tick().is_ok());
        std::thread::sleep(Duration::from_millis(60));
        assert!(clock.tick().is_ok());
        std::thread::sleep(Duration::from_millis(300));
        let error = clock.tick().err().unwrap();
        assert!(error.to_string().contains("overloaded"), "{error}");
    }

    #[test]
    fn running_ends() {
        let mut clock = CallClock::new();
        clock.start(Budget::new(Duration::from_millis(30)));
        let error = loop {
            if let Err(error) = clock.tick() {
                break error;
            }
        };
        assert!(error.to_string().contains("`time_ms`"), "{error}");
    }
}
