//! What `export!` calls: a plugin's life in its instance.

use crate::about::About;
use crate::bindings::exports::wasmill::plugin::lifecycle;
use crate::bindings::wasmill::plugin::types::{Failure, Inbound, Outbound};
use crate::cache::Cache;
use crate::context::Context;
use crate::error::{Problems, read_config};
use crate::output::Outputs;
use crate::record::Record;
use crate::{Plugin, host};

/// A configured plugin.
pub struct Runtime<P> {
    plugin: P,
    about: About,
    cache: Cache,
}

/// The plugin's description.
#[must_use]
pub fn describe<P: Plugin>() -> lifecycle::Description {
    report_panics();
    P::about().finished().description
}

impl<P: Plugin> Runtime<P> {
    /// Reads the config table and makes the plugin.
    ///
    /// # Errors
    /// What is wrong in the table.
    pub fn configure(config: &str) -> Result<Self, Vec<lifecycle::Problem>> {
        report_panics();
        let plugin = read_config(config).and_then(P::new).map_err(|Problems(problems)| {
            problems
                .into_iter()
                .map(|problem| lifecycle::Problem {
                    pointer: problem.pointer,
                    message: problem.message,
                })
                .collect::<Vec<_>>()
        })?;
        let about = P::about().finished();
        let cache = Cache::new(about.description.stores.len());
        Ok(Self { plugin, about, cache })
    }

    /// Runs a batch, record by record.
    pub fn process(&mut self, batch: &Inbound) -> Outbound {
        let mut outputs = Outputs::new(batch);
        let mut failures = Vec::new();
        let mut threshold = None;
        for index in 0..batch.count as usize {
            let emitted = outputs.len();
            let mut context = Context {
                batch,
                about: &self.about,
                outputs: &mut outputs,
                cache: &mut self.cache,
                threshold: &mut threshold,
                index,
            };
            match self.plugin.process(Record { batch, index }, &mut context) {
                Ok(()) => self.cache.keep(),
                Err(error) => {
                    outputs.truncate(emitted);
                    self.cache.rollback();
                    failures.push(Failure {
                        index: index as u32,
                        code: error.code.into_owned(),
                        message: error.message,
                        detail: error.detail,
                    });
                }
            }
        }
        self.cache.flush();
        outputs.finish(batch, failures)
    }
}

/// A panic's message goes to the host's log, which shows it as the cause of the trap that follows.
fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|info| {
        host::write(host::Level::Error, None, &info.to_string());
    }));
    #[cfg(not(target_arch = "wasm32"))]
    let _ = host::threshold;
}
