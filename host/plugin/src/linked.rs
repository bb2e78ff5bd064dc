//! A component with a configuration that it has accepted.

use std::sync::Arc;
use std::time::Duration;

use record::grant::Grant;
use record::topology::Limits;
use record::transform::{CallError, CallErrorKind, Transform};

use crate::clock::{Budget, START_TIME};
use crate::compiled::Compiled;
use crate::error::{PluginError, Problem};
use crate::host::log::Rate;
use crate::host::metrics::{MetricSnapshot, Registry};
use crate::host::{Names, Phase};
use crate::instance::{Instance, Live, call_error, new_store};
use crate::query;
use crate::usage::{Usage, UsageSnapshot};
use crate::wasi::Wasi;

/// What a plugin is linked with.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// The transform's name in the pipeline.
    pub transform: Arc<str>,
    /// The transform's config table as a JSON object.
    pub config_json: String,
    /// The limits of each instance.
    pub limits: Limits,
}

/// A plugin with a configuration that it has accepted. Cheap to clone; its instances share metrics.
#[derive(Clone)]
pub struct Linked {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) compiled: Compiled,
    pub(crate) names: Names,
    pub(crate) limits: Limits,
    config_json: String,
    pub(crate) metrics: Arc<Registry>,
    log_rate: Rate,
    pub(crate) usage: Arc<Usage>,
    /// Instances that answer queries.
    pub(crate) queries: query::Pool,
}

/// Why an instance does not start.
pub(crate) enum StartError {
    Failed { during: &'static str, error: CallError },
    Refused(Vec<Problem>),
}

impl Linked {
    pub(crate) fn new(compiled: Compiled, options: LinkOptions) -> Result<Self, PluginError> {
        let linked = Self {
            inner: Arc::new(Inner {
                compiled,
                names: Names {
                    pipeline: options.pipeline,
                    transform: options.transform,
                },
                metrics: Arc::new(Registry::new(options.limits.metrics)),
                log_rate: Rate::new(options.limits.log_per_second),
                limits: options.limits,
                config_json: options.config_json,
                usage: Arc::new(Usage::default()),
                queries: query::Pool::default(),
            }),
        };
        linked.start().map_err(|error| linked.plugin_error(error))?;
        Ok(linked)
    }

    /// Makes an instance for one worker. It is configured, and again whenever it is recycled.
    ///
    /// # Errors
    /// The instance does not start.
    pub fn instance(&self) -> Result<Box<dyn Transform>, PluginError> {
        let live = self.start().map_err(|error| self.plugin_error(error))?;
        Ok(Box::new(Instance::new(self.clone(), live)))
    }

    /// Whether it is this component, linked in this way.
    #[must_use]
    pub fn is_of(&self, compiled: &Compiled, options: &LinkOptions) -> bool {
        let inner = &*self.inner;
        inner.compiled.digest() == compiled.digest()
            && inner.compiled.inner.grant == compiled.inner.grant
            && inner.names.pipeline == options.pipeline
            && inner.names.transform == options.transform
            && inner.config_json == options.config_json
            && inner.limits == options.limits
    }

    /// Whether both are of one link, and count together.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The component.
    #[must_use]
    pub fn compiled(&self) -> &Compiled {
        &self.inner.compiled
    }

    /// The plugin's own metrics, summed over its instances.
    #[must_use]
    pub fn metrics(&self) -> Vec<MetricSnapshot> {
        self.inner.metrics.snapshot()
    }

    /// What the transform has used so far, over all its instances.
    #[must_use]
    pub fn usage(&self) -> UsageSnapshot {
        self.inner.usage.snapshot()
    }

    /// What the transform is called.
    #[must_use]
    pub fn transform(&self) -> &Arc<str> {
        &self.inner.names.transform
    }

    /// What it may use beyond the contract.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.inner.compiled.inner.grant
    }

    /// Starts and configures an instance.
    pub(crate) fn start(&self) -> Result<Live, StartError> {
        let inner = &*self.inner;
        let plugin = &*inner.compiled.inner;
        let mut store = new_store(
            &plugin.engine,
            inner.names.clone(),
            Arc::clone(&plugin.description),
            inner.limits,
            Arc::clone(&inner.metrics),
            Arc::clone(&inner.usage),
            inner.log_rate.clone(),
        );
        inner.usage.instance();
        if !plugin.grant.is_empty() {
            let wasi = Wasi::new(&plugin.grant, &inner.names, &inner.limits, &inner.log_rate).map_err(|error| {
                StartError::Failed {
                    during: "start",
                    error: CallError {
                        kind: CallErrorKind::Refused,
                        message: format!("{error:#}"),
                        detail: String::new(),
                    },
                }
            })?;
            store.data_mut().wasi = Some(Box::new(wasi));
        }
        store.data_mut().phase = Phase::Describe;
        store.data_mut().clock.start(Budget::new(START_TIME));
        let started = plugin
            .pre
            .instantiate(&mut store)
            .and_then(|instance| plugin.pre.exports(&mut store, &instance));
        let exports = match started {
            Ok(exports) => exports,
            Err(error) => {
                return Err(StartError::Failed {
                    during: "start",
                    error: call_error(&error, store.data()),
                });
            }
        };
        store.data_mut().phase = Phase::Configure;
        store.data_mut().clock.start(Budget::new(START_TIME));
        store.set_epoch_deadline(1);
        match exports.lifecycle.call_configure(&mut store, &inner.config_json) {
            Ok(Ok(())) => {}
            Ok(Err(problems)) => {
                let problems = problems.into_iter().map(|problem| Problem {
                    pointer: problem.pointer,
                    message: problem.message,
                });
                return Err(StartError::Refused(problems.collect()));
            }
            Err(error) => {
                return Err(StartError::Failed {
                    during: "configure",
                    error: call_error(&error, store.data()),
                });
            }
        }
        let mut updates = Vec::new();
        store.data_mut().metrics.drain_into(&mut updates);
        inner.metrics.apply(&updates);
        store.data_mut().phase = Phase::Process;
        Ok(Live::new(store, exports, inner.limits.memory_bytes))
    }

    /// How long a call of so many records may take.
    pub(crate) fn call_time(&self, records: usize) -> Budget {
        let limits = &self.inner.limits;
        let ms = (records as u64).saturating_mul(limits.time_ms_per_record);
        let cpu = Duration::from_millis(ms.max(limits.time_ms_per_call));
        match records {
            1 => Budget::new(cpu),
            _ => Budget::of_many(cpu),
        }
    }

    fn plugin_error(&self, error: StartError) -> PluginError {
        let name = self.inner.names.transform.to_string();
        match error {
            StartError::Failed { during, error } => PluginError::Failed {
                name,
                during,
                message: error.to_string(),
            },
            StartError::Refused(problems) => PluginError::Config { name, problems },
        }
    }
}

impl std::fmt::Debug for Linked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linked")
            .field("compiled", &self.inner.compiled)
            .field("names", &self.inner.names)
            .finish_non_exhaustive()
    }
}
