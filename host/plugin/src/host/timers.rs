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

    /// A timer for the time that is firing, or an earlier one, would fire again at once, for ever.
    fn check_later(&self, clock: Clock, time: i64) -> wasmtime::Result<()> {
        match self.call.firing {
            Some((Clock::EventTime, now)) if clock == Clock::EventTime && time <= now => Err(misuse(format!(
                "a timer that fires at {now} sets one for {time}; in `on-timers` event-time timers must be set for later"
            ))),
            _ => Ok(()),
        }
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
        self.count_written(key.len() + name.len())?;
        self.check_later(clock, time)?;
        self.timers("timers.set")?
            .set_timer(clock, &key, &name, time)
            .map_err(failed)
    }

    fn cancel(&mut self, clock: types::Clock, key: Vec<u8>, name: String) -> wasmtime::Result<()> {
        self.count_written(key.len() + name.len())?;
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
        self.count_written(keys.data.len() + names.data.len())?;
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
