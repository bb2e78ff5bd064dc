//! What wasmtime makes of the contract in `wit/`, and the exports of one component.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

use wasmtime::component::{Instance, InstancePre};
use wasmtime::{AsContextMut, Store};

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package wasmill:host;
        /// All that a plugin may import, and may export.
        world everything {
            include wasmill:plugin/timed-transform@0.1.2;
            include wasmill:plugin/query@0.1.2;
            include wasmill:plugin/migrate@0.1.2;
        }
    ",
    world: "wasmill:host/everything",
    imports: { default: trappable },
});

use exports::wasmill::plugin::{lifecycle, migration_handler, processor, query_handler, timer_handler};

/// A component that is linked, and where its exports are. Worlds only bundle interfaces, so each is
/// looked for by itself.
pub struct PluginPre<T: 'static> {
    pre: InstancePre<T>,
    lifecycle: lifecycle::GuestIndices,
    processor: processor::GuestIndices,
    timer_handler: Option<timer_handler::GuestIndices>,
    query_handler: Option<query_handler::GuestIndices>,
    migration_handler: Option<migration_handler::GuestIndices>,
}

/// The interfaces that a component exports beside those that each has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handles {
    pub timers: bool,
    pub queries: bool,
    pub migrations: bool,
}

impl<T: Send + 'static> PluginPre<T> {
    pub fn new(pre: InstancePre<T>, handles: Handles) -> wasmtime::Result<Self> {
        Ok(Self {
            lifecycle: lifecycle::GuestIndices::new(&pre)?,
            processor: processor::GuestIndices::new(&pre)?,
            timer_handler: handles
                .timers
                .then(|| timer_handler::GuestIndices::new(&pre))
                .transpose()?,
            query_handler: handles
                .queries
                .then(|| query_handler::GuestIndices::new(&pre))
                .transpose()?,
            migration_handler: handles
                .migrations
                .then(|| migration_handler::GuestIndices::new(&pre))
                .transpose()?,
            pre,
        })
    }

    pub fn instantiate(&self, store: &mut Store<T>) -> wasmtime::Result<Instance> {
        self.pre.instantiate(store.as_context_mut())
    }

    /// The exports of an instance; their types are compared here.
    pub fn exports(&self, store: &mut Store<T>, instance: &Instance) -> wasmtime::Result<Plugin> {
        Ok(Plugin {
            lifecycle: self.lifecycle.load(store.as_context_mut(), instance)?,
            processor: self.processor.load(store.as_context_mut(), instance)?,
            timer_handler: self
                .timer_handler
                .as_ref()
                .map(|indices| indices.load(store.as_context_mut(), instance))
                .transpose()?,
            query_handler: self
                .query_handler
                .as_ref()
                .map(|indices| indices.load(store.as_context_mut(), instance))
                .transpose()?,
            migration_handler: self
                .migration_handler
                .as_ref()
                .map(|indices| indices.load(store.as_context_mut(), instance))
                .transpose()?,
        })
    }
}

/// The exports of one instance.
pub struct Plugin {
    pub lifecycle: lifecycle::Guest,
    pub processor: processor::Guest,
    pub timer_handler: Option<timer_handler::Guest>,
    pub query_handler: Option<query_handler::Guest>,
    pub migration_handler: Option<migration_handler::Guest>,
}
