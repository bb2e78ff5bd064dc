//! `timers`: part of the task's state.

use record::Column;
use record::column::MARK_BYTES;
use record::store::TaskState;
use record::timer::Clock;

use super::state::{check, failed};
use super::{HostData, Phase, misuse};
use crate::bindings::wasmill::plugin::{timers, types};
use crate::convert::{clock_from_guest, from_guest};

impl HostData {
    fn timers(&mut self, function: &str) -> wasmtime::Result<&mut Box<dyn TaskState>> {
        self.allow(Phase::Process, function)?;
        if !self.description.sets_timers {
            return Err(misuse(format!(
                "`{function}` was called, but the plugin does not say `sets-timers`"
            )));
        }
        self.state
            .as_mut()
            .ok_or_else(|| misuse(format!("`{function}` was called without state")))
    }

    /// A timer for the time that is firing, or an earlier one, would fire again at once, for ever. On the
    /// wall that is the time of the call, which may be later than the one that the timer was set for.
    fn check_later(&self, clock: Clock, time: i64) -> wasmtime::Result<()> {
        let now = match self.call.firing {
            Some((Clock::EventTime, now)) if clock == Clock::EventTime => now,
            Some((Clock::WallClock, _)) if clock == Clock::WallClock => self.call.now,
            _ => return Ok(()),
        };
        if time > now {
            return Ok(());
        }
        Err(misuse(format!(
            "a timer that fires at {now} ({0}) sets one for {time}; in `on-timers`, timers of the same clock must be \
             set for later",
            clock.name()
        )))
    }
}

impl timers::Host for HostData {
    fn get(&mut self, clock: types::Clock, key: Vec<u8>, name: String) -> wasmtime::Result<Option<i64>> {
        self.timers("timers.get")?
            .timer(clock_from_guest(clock), &key, &name)
            .map_err(failed)
    }

    fn set(&mut self, clock: types::Clock, key: Vec<u8>, name: String, time: i64) -> wasmtime::Result<()> {
        let clock = clock_from_guest(clock);
        self.count_written(2, key.len() + name.len())?;
        self.check_later(clock, time)?;
        self.timers("timers.set")?
            .set_timer(clock, &key, &name, time)
            .map_err(failed)
    }

    fn cancel(&mut self, clock: types::Clock, key: Vec<u8>, name: String) -> wasmtime::Result<()> {
        self.count_written(2, key.len() + name.len())?;
        self.timers("timers.cancel")?
            .cancel_timer(clock_from_guest(clock), &key, &name)
            .map_err(failed)
    }

    fn set_many(
        &mut self,
        clock: types::Clock,
        keys: types::Column,
        names: types::Column,
        times: Vec<i64>,
    ) -> wasmtime::Result<()> {
        let clock = clock_from_guest(clock);
        let (keys, names): (Column, Column) = (from_guest(keys), from_guest(names));
        check(&keys, times.len(), MARK_BYTES, "keys")?;
        check(&names, times.len(), MARK_BYTES, "names")?;
        self.count_written(2 * times.len(), keys.data.len() + names.data.len())?;
        for (i, time) in times.into_iter().enumerate() {
            let key = keys.get(i).unwrap_or_default();
            let name = std::str::from_utf8(names.get(i).unwrap_or_default())
                .map_err(|_| misuse(format!("`timers.set-many`: the name at {i} is not UTF-8")))?;
            if time < 0 {
                self.timers("timers.set-many")?
                    .cancel_timer(clock, key, name)
                    .map_err(failed)?;
            } else {
                self.check_later(clock, time)?;
                self.timers("timers.set-many")?
                    .set_timer(clock, key, name, time)
                    .map_err(failed)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::host_data;

    #[test]
    fn a_timer_that_fires_sets_its_like_for_later_only() {
        let mut data = host_data();
        data.call.now = 20;
        for (firing, set, time, is_taken) in [
            (Clock::EventTime, Clock::EventTime, 10, false),
            (Clock::EventTime, Clock::EventTime, 11, true),
            (Clock::EventTime, Clock::WallClock, 0, true),
            // Due at 10, and it is 20 now.
            (Clock::WallClock, Clock::WallClock, 20, false),
            (Clock::WallClock, Clock::WallClock, 21, true),
            (Clock::WallClock, Clock::EventTime, 0, true),
        ] {
            data.call.firing = Some((firing, 10));
            assert_eq!(
                data.check_later(set, time).is_ok(),
                is_taken,
                "{firing:?} {set:?} {time}"
            );
        }
        data.call.firing = None;
        assert!(data.check_later(Clock::WallClock, 0).is_ok());
    }
}
