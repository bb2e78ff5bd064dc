//! What a record's method may do: emit, keep state, log.

use std::fmt;

use crate::about::About;
use crate::bindings::wasmill::plugin::types::Inbound;
use crate::cache::{Cache, Slot};
use crate::error::{Error, Result};
use crate::host::{self, Level};
use crate::output::{Output, Outputs, Payload};
use crate::store::{Format, Store};

/// What a record's method may do: emit, keep state, log.
pub struct Context<'a> {
    pub(crate) batch: &'a Inbound,
    pub(crate) about: &'a About,
    pub(crate) outputs: &'a mut Outputs,
    pub(crate) cache: &'a mut Cache,
    pub(crate) threshold: &'a mut Option<Level>,
    pub(crate) index: usize,
}

impl Context<'_> {
    /// Emits a value by the default port. Key, timestamp and headers are the record's.
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
            let own = crate::column::entry(&self.batch.keys, self.index);
            let spec = self.about.ports.get(usize::from(port));
            if key != own && !spec.is_some_and(|port| port.rekeys) {
                return Err(Error::new(
                    "key-changed",
                    format!(
                        "port `{}` does not say `rekeys`, so its outputs keep their record's key",
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
            self.outputs.set_timestamp(timestamp, self.batch);
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

    /// What is stored under the record's key.
    ///
    /// # Errors
    /// `no-key`, or `bad-state` when it cannot be read.
    #[inline]
    pub fn get<T, F: Format<T>>(&mut self, store: Store<T, F>) -> Result<Option<T>> {
        let slot = self.slot()?;
        self.cache.get(store.id, slot, true).map(F::read).transpose()
    }

    /// Stores a value under the record's key.
    ///
    /// # Errors
    /// `no-key`, or the value cannot be written.
    #[inline]
    pub fn put<T, F: Format<T>>(&mut self, store: Store<T, F>, value: &T) -> Result<()> {
        let slot = self.slot()?;
        self.cache.put(store.id, slot, |out| F::write(value, out))
    }

    /// Removes what is stored under the record's key.
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
            .slot_of_record(self.batch, self.index)
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
