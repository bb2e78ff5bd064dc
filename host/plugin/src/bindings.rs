//! What wasmtime makes of the contract in `wit/`, and the exports of one component.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

use wasmtime::component::{Instance, InstancePre};
use wasmtime::{AsContextMut, Store};

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "timed-transform",
    imports: { default: trappable },
});

use exports::wasmill::plugin::{lifecycle, processor, timer_handler};

/// A component that is linked, and where its exports are. Worlds only bundle interfaces, so each is
/// looked for by itself.
pub struct PluginPre<T: 'static> {
    pre: InstancePre<T>,
    lifecycle: lifecycle::GuestIndices,
    processor: processor::GuestIndices,
    timer_handler: Option<timer_handler::GuestIndices>,
}

impl<T: Send + 'static> PluginPre<T> {
    /// `handles_timers`: the component exports `timer-handler`.
    pub fn new(pre: InstancePre<T>, handles_timers: bool) -> wasmtime::Result<Self> {
        Ok(Self {
            lifecycle: lifecycle::GuestIndices::new(&pre)?,
            processor: processor::GuestIndices::new(&pre)?,
            timer_handler: handles_timers
                .then(|| timer_handler::GuestIndices::new(&pre))
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
        })
    }
}

/// The exports of one instance.
pub struct Plugin {
    pub lifecycle: lifecycle::Guest,
    pub processor: processor::Guest,
    pub timer_handler: Option<timer_handler::Guest>,
}
