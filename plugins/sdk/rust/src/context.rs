//! What a record's or timer's method may do: emit, keep state, set timers, log.

use std::fmt;

use crate::about::About;
use crate::bindings::wasmill::plugin::types::Clock;
use crate::cache::{Cache, Slot};
use crate::error::{Error, Result};
use crate::host::{self, Level};
use crate::output::{Output, Outputs, Payload};
use crate::parents::Parents;
use crate::store::{Format, Store};
use crate::timer::Timers;

/// What a record's or timer's method may do: emit, keep state, set timers, log. It is all done under
/// the key of the record or timer at hand, its *parent*.
pub struct Context<'a> {
    pub(crate) parents: &'a Parents<'a>,
    pub(crate) about: &'a About,
    pub(crate) outputs: &'a mut Outputs,
    pub(crate) cache: &'a mut Cache,
    pub(crate) timers: &'a mut Timers,
    pub(crate) threshold: &'a mut Option<Level>,
    pub(crate) index: usize,
}

impl Context<'_> {
    /// Emits a value by the default port. Key, timestamp and headers are the record's; a timer has
    /// its key, its time and no headers.
    ///
    /// # Errors
    /// The value cannot be written.
    #[inline]
    pub fn emit<P: Payload>(&mut self, value: P) -> Result<()> {
        self.outputs.push(self.index as u32, 0, value)
    }

    /// Emits a value by the port of this name.
    ///
    /// # Errors
    /// `no-port`, or the value cannot be written.
    pub fn emit_to<P: Payload>(&mut self, port: &str, value: P) -> Result<()> {
        let port = self.port(port)?;
        self.outputs.push(self.index as u32, port, value)
    }

    /// Emits an output with a key, timestamp or headers of its own.
    ///
    /// # Errors
    /// `no-port`, `key-changed` where the port does not say `rekeys`, or the value cannot be written.
    pub fn send<P: Payload>(&mut self, output: Output<'_, P>) -> Result<()> {
        let port = match output.port {
            Some(name) => self.port(name)?,
            None => 0,
        };
        if let Some(key) = output.key {
            let own = crate::column::entry(self.parents.keys, self.index);
            let spec = self.about.ports.get(usize::from(port));
            if key != own && !spec.is_some_and(|port| port.rekeys) {
                return Err(Error::new(
                    "key-changed",
                    format!(
                        "port `{}` does not say `rekeys`, so its outputs keep the key of what they come from",
                        spec.map_or("?", |port| port.name.as_str())
                    ),
                ));
            }
        }
        self.outputs.push(self.index as u32, port, output.value)?;
        if let Some(key) = output.key {
            self.outputs.set_key(key);
        }
        if let Some(timestamp) = output.timestamp {
            self.outputs.set_timestamp(timestamp, self.parents);
        }
        if !output.headers.is_empty() || output.replaces_headers {
            self.outputs.set_headers(&output.headers, output.replaces_headers);
        }
        Ok(())
    }

    fn port(&self, name: &str) -> Result<u8> {
        match self.about.ports.iter().position(|port| port.name == name) {
            Some(port) => Ok(port as u8),
            None => Err(Error::new("no-port", format!("the plugin declares no port `{name}`"))),
        }
    }

    /// What is stored under the key at hand.
    ///
    /// # Errors
    /// `no-key`, or `bad-state` when it cannot be read.
    #[inline]
    pub fn get<T, F: Format<T>>(&mut self, store: Store<T, F>) -> Result<Option<T>> {
        let slot = self.slot()?;
        self.cache.get(store.id, slot, true).map(F::read).transpose()
    }

    /// Stores a value under the key at hand.
    ///
    /// # Errors
    /// `no-key`, or the value cannot be written.
    #[inline]
    pub fn put<T, F: Format<T>>(&mut self, store: Store<T, F>, value: &T) -> Result<()> {
        let slot = self.slot()?;
        self.cache.put(store.id, slot, |out| F::write(value, out))
    }

    /// Removes what is stored under the key at hand.
    ///
    /// # Errors
    /// `no-key`.
    pub fn remove<T, F>(&mut self, store: Store<T, F>) -> Result<()> {
        let slot = self.slot()?;
        self.cache.remove(store.id, slot);
        Ok(())
    }

    /// What a shared store holds under any key.
    ///
    /// # Errors
    /// `keyed-store`, or `bad-state` when it cannot be read.
    pub fn get_at<T, F: Format<T>>(&mut self, store: Store<T, F>, key: &[u8]) -> Result<Option<T>> {
        let slot = self.shared_slot(store, key)?;
        self.cache.get(store.id, slot, false).map(F::read).transpose()
    }

    /// Stores a value in a shared store.
    ///
    /// # Errors
    /// `keyed-store`, or the value cannot be written.
    pub fn put_at<T, F: Format<T>>(&mut self, store: Store<T, F>, key: &[u8], value: &T) -> Result<()> {
        let slot = self.shared_slot(store, key)?;
        self.cache.put(store.id, slot, |out| F::write(value, out))
    }

    /// Removes a key from a shared store.
    ///
    /// # Errors
    /// `keyed-store`.
    pub fn remove_at<T, F>(&mut self, store: Store<T, F>, key: &[u8]) -> Result<()> {
        let slot = self.shared_slot(store, key)?;
        self.cache.remove(store.id, slot);
        Ok(())
    }

    #[inline]
    fn slot(&mut self) -> Result<Slot> {
        self.cache
            .slot_of_parent(self.parents, self.index)
            .ok_or_else(Error::no_key)
    }

    fn shared_slot<T, F>(&mut self, store: Store<T, F>, key: &[u8]) -> Result<Slot> {
        if store.keyed {
            return Err(Error::new(
                "keyed-store",
                format!(
                    "the store `{}` is keyed by the record; make it `Store::shared`",
                    store.name
                ),
            ));
        }
        Ok(self.cache.slot_of_key(key))
    }

    /// Sets an event-time timer under the key at hand, in place of the one of the same name: it
    /// fires before the record that brings the watermark to `time`, or at once when the watermark
    /// is there already.
    ///
    /// # Errors
    /// `no-key`; `no-timer-name` when the name is empty or longer than 255 bytes; `error` when the
    /// plugin does not say [`About::sets_timers`], the time is negative, or an event-time timer
    /// that is firing sets one that is not later.
    pub fn set_timer(&mut self, name: &str, time: i64) -> Result<()> {
        let own = self.parents.timestamp(self.index);
        if self.parents.firing == Some(Clock::EventTime) && time <= own {
            return Err(Error::new(
                "error",
                format!(
                    "the timer `{name}` was set for {time} by one that fires at {own}; it must be set for a later time"
                ),
            ));
        }
        let slot = self.timer_slot()?;
        self.timers.set(Clock::EventTime, slot, name, time)
    }

    /// Sets a timer as [`Self::set_timer`], to fire when the wall clock comes to `time`. Not the same
    /// when records are run again.
    ///
    /// # Errors
    /// `no-key`, `no-timer-name`, `error`.
    pub fn set_wall_timer(&mut self, name: &str, time: i64) -> Result<()> {
        let slot = self.timer_slot()?;
        self.timers.set(Clock::WallClock, slot, name, time)
    }

    /// Takes back the event-time timer of this name, if it is set.
    ///
    /// # Errors
    /// `no-key`, `no-timer-name`, `error`.
    pub fn cancel_timer(&mut self, name: &str) -> Result<()> {
        let slot = self.timer_slot()?;
        self.timers.cancel(Clock::EventTime, slot, name)
    }

    /// Takes back the wall-clock timer of this name, if it is set.
    ///
    /// # Errors
    /// `no-key`, `no-timer-name`, `error`.
    pub fn cancel_wall_timer(&mut self, name: &str) -> Result<()> {
        let slot = self.timer_slot()?;
        self.timers.cancel(Clock::WallClock, slot, name)
    }

    /// The time for which the event-time timer of this name is set.
    ///
    /// # Errors
    /// `no-key`, `no-timer-name`, `error`.
    pub fn timer(&mut self, name: &str) -> Result<Option<i64>> {
        let slot = self.timer_slot()?;
        self.timers.get(Clock::EventTime, slot, name, self.cache)
    }

    /// The time for which the wall-clock timer of this name is set.
    ///
    /// # Errors
    /// `no-key`, `no-timer-name`, `error`.
    pub fn wall_timer(&mut self, name: &str) -> Result<Option<i64>> {
        let slot = self.timer_slot()?;
        self.timers.get(Clock::WallClock, slot, name, self.cache)
    }

    fn timer_slot(&mut self) -> Result<Slot> {
        if !self.about.description.sets_timers {
            return Err(Error::new(
                "error",
                "the plugin uses timers, but does not say `sets_timers` in its `About`",
            ));
        }
        self.slot()
    }

    /// Writes to the pipeline's log, where the level is kept there.
    pub fn log(&mut self, level: Level, message: impl fmt::Display) {
        if level >= *self.threshold.get_or_insert_with(host::threshold) {
            host::write(level, Some(self.index as u32), &message.to_string());
        }
    }

    /// The wall clock in milliseconds since 1970 UTC, standing still during a call. Not the same
    /// when the record is run again.
    #[must_use]
    pub fn now(&self) -> i64 {
        host::now()
    }

    /// The largest event time that the task has seen up to this record, it included. The same when
    /// the record is run again.
    #[must_use]
    pub fn stream_time(&self) -> i64 {
        host::stream_time(self.index as u32)
    }

    /// The stream time less the lateness that the pipeline allows, at least -1. Event-time timers up
    /// to it have fired. The same when the record is run again.
    #[must_use]
    pub fn watermark(&self) -> i64 {
        host::watermark(self.index as u32)
    }

    /// A seed for random numbers. The same when the record is run again.
    #[must_use]
    pub fn seed(&self) -> u64 {
        host::seed(self.index as u32)
    }

    /// The pipeline's name.
    #[must_use]
    pub fn pipeline(&self) -> String {
        host::pipeline()
    }

    /// The transform's name in the pipeline.
    #[must_use]
    pub fn transform(&self) -> String {
        host::transform()
    }
}
