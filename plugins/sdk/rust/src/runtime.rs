//! What `export!` calls: a plugin's life in its instance.

use crate::about::About;
use crate::bindings::exports::wasmill::plugin::lifecycle;
use crate::bindings::wasmill::plugin::types::{DueTimers, Failure, Inbound, Outbound};
use crate::cache::Cache;
use crate::context::Context;
use crate::error::{Problems, Result, read_config};
use crate::migration::{Migrates, Migration};
use crate::output::Outputs;
use crate::parents::Parents;
use crate::query::Queries;
#[cfg(not(target_arch = "wasm32"))]
use crate::query::{Answer, Query, Reader};
use crate::query_bindings::exports::wasmill::plugin::query_handler::{Request, Response};
use crate::record::Record;
use crate::timer::{Timer, Timers};
use crate::{Plugin, host};

/// A configured plugin.
pub struct Runtime<P> {
    plugin: P,
    about: About,
    cache: Cache,
    timers: Timers,
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
        Ok(Self {
            plugin,
            about,
            cache,
            timers: Timers::default(),
        })
    }

    /// Runs a batch, record by record.
    pub fn process(&mut self, batch: &Inbound) -> Outbound {
        self.run(&Parents::records(batch), |plugin, index, context| {
            plugin.process(Record { batch, index }, context)
        })
    }

    /// Runs timers that are due, one by one.
    pub fn on_timers(&mut self, due: &DueTimers) -> Outbound {
        self.run(&Parents::timers(due), |plugin, index, context| {
            plugin.on_timer(Timer { due, index }, context)
        })
    }

    /// Answers a question.
    ///
    /// # Errors
    /// What the plugin says.
    pub fn answer(&mut self, request: Request) -> Result<Response, String>
    where
        P: Queries,
    {
        crate::query::answer(&mut self.plugin, request)
    }

    /// Changes what an earlier state version has stored.
    ///
    /// # Errors
    /// What the plugin says.
    pub fn migrate(&mut self, from: u32) -> Result<(), String>
    where
        P: Migrates,
    {
        let migrated = self.plugin.migrate(from, &mut Migration::new());
        migrated.map_err(|error| format!("{}: {}", error.code, error.message))
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn ask(&mut self, query: &Query) -> Result<Answer>
    where
        P: Queries,
    {
        self.plugin.answer(query, &Reader::own())
    }

    #[inline]
    fn run(
        &mut self,
        parents: &Parents<'_>,
        mut method: impl FnMut(&mut P, usize, &mut Context<'_>) -> Result<()>,
    ) -> Outbound {
        let mut outputs = Outputs::new(parents);
        let mut failures = Vec::new();
        let mut threshold = None;
        for index in 0..parents.count {
            let emitted = outputs.len();
            let mut context = Context {
                parents,
                about: &self.about,
                outputs: &mut outputs,
                cache: &mut self.cache,
                timers: &mut self.timers,
                threshold: &mut threshold,
                index,
            };
            match method(&mut self.plugin, index, &mut context) {
                Ok(()) => {
                    self.cache.keep();
                    self.timers.keep();
                }
                Err(error) => {
                    outputs.truncate(emitted);
                    self.cache.rollback();
                    self.timers.rollback();
                    failures.push(Failure {
                        index: index as u32,
                        code: error.code.into_owned(),
                        message: error.message,
                        detail: error.detail,
                    });
                }
            }
        }
        // Timers know their keys by the slots that the cache forgets.
        self.timers.flush(&self.cache);
        self.cache.flush();
        outputs.finish(parents, failures)
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
