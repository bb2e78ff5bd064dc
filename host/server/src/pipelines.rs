//! Pipelines with their plugins: loaded, and given what they run with.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline::{ConfigProblem, Diagnostics, Loaded, PluginProblem, PluginUse};
use plugin::{Compiled, Engine, EngineOptions, LinkOptions, Linked, LoadOptions, PluginError};
use record::grant::Grant;
use record::log::Log;
use record::sink::{Sink, SinkError};
use record::source::{Source, SourceError};
use record::store::StateBackend;
use record::topology::{DeliverPlan, Ingest, Limits, Node, Topology};
use record::trace::Spans;
use record::transform::{Description, Transform};

use crate::cli::args::PipelineArgs;
use crate::compose::{self, LogPlace, Logs};
use crate::failure::Failure;
use crate::output::Output;
use crate::plugins::{self, LoadError};
use crate::shadow::Shadow;
use crate::supervisor::watch::Files;

/// A checked pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    /// Where it was read from.
    pub(crate) file: PathBuf,
    /// The plan.
    pub(crate) topology: Arc<Topology>,
    /// Tells plans apart.
    pub(crate) plan_hash: String,
    /// Holds the reset incarnation.
    pub(crate) control_topic: String,
    /// A reload that does not fit the state resets the pipeline; else it is refused.
    pub(crate) resets_state: bool,
    /// The log that it runs on.
    pub(crate) place: LogPlace,
    /// What is perhaps not as meant.
    pub(crate) warnings: Vec<pipeline::Diagnostic>,
}

/// What the pipelines of this process share: open logs, and plugins, compiled once each.
#[derive(Default)]
pub(crate) struct Host {
    logs: Logs,
    engine: Option<Engine>,
    /// By file and what it is granted, since that is what it is linked with.
    compiled: HashMap<(PathBuf, Grant), Compiled>,
    spans: Option<Arc<dyn Spans>>,
}

/// What a pipeline runs with.
#[derive(Clone)]
pub(crate) struct Made {
    /// Makes its transforms, sources and sinks.
    pub(crate) parts: Arc<dyn task::Parts>,
    /// Its transforms, in the order of the plan.
    pub(crate) linked: Vec<Linked>,
    /// Other versions that run beside some of them, by their names.
    pub(crate) shadows: HashMap<Arc<str>, Shadow>,
}

impl Pipeline {
    /// The files that it was made of.
    pub(crate) fn files(&self) -> Files {
        let nodes = self.topology.processes.iter().flat_map(|sub| &sub.nodes);
        // What a reference to a registry names never changes.
        let plugins = nodes
            .flat_map(|node| {
                let shadow = node.shadow.as_ref().map(|shadow| &shadow.plugin);
                std::iter::once(&node.plugin).chain(shadow)
            })
            .filter(|path| !path.to_str().is_some_and(registry::is_reference));
        Files::of(std::iter::once(&self.file).chain(plugins).cloned())
    }
}

impl Host {
    /// One whose pipelines tell spans, if anybody wants to have them.
    pub(crate) fn tracing(spans: Option<Arc<dyn Spans>>) -> Self {
        Self {
            spans,
            ..Self::default()
        }
    }

    /// Reads, checks and plans a pipeline, its plugins included.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn check(
        &mut self,
        file: &Path,
        args: &PipelineArgs,
        workers: Option<usize>,
    ) -> Result<Pipeline, Diagnostics> {
        let options = pipeline::LoadOptions {
            embedded: args.embedded.is_some(),
            set: args.set.clone(),
            plugin_root: args.plugin_root.clone().unwrap_or_else(|| PathBuf::from(".")),
            workers,
            ..pipeline::LoadOptions::default()
        };
        let loaded = self.plan(file, &options)?;
        let place = match &args.embedded {
            Some(dir) => LogPlace::Embedded(dir.clone()),
            None => LogPlace::Kafka {
                brokers: loaded.kafka.brokers,
                properties: loaded.kafka.properties,
            },
        };
        Ok(Pipeline {
            file: file.to_owned(),
            topology: Arc::new(loaded.topology),
            plan_hash: loaded.plan_hash,
            control_topic: loaded.control_topic,
            resets_state: loaded.resets_state,
            place,
            warnings: loaded.warnings,
        })
    }

    /// Reads, checks and plans a pipeline as the options say.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn plan(&mut self, file: &Path, options: &pipeline::LoadOptions) -> Result<Loaded, Diagnostics> {
        pipeline::load(file, options, &mut |used| self.describe(used))
    }

    /// As [`Self::check`], and shows errors and warnings.
    ///
    /// # Errors
    /// [`Failure::Invalid`] when there are errors.
    pub(crate) fn load(
        &mut self,
        file: &Path,
        args: &PipelineArgs,
        workers: Option<usize>,
        output: Output,
    ) -> Result<Pipeline, Failure> {
        match self.check(file, args, workers) {
            Ok(pipeline) => {
                output.diagnostics(&pipeline.warnings);
                Ok(pipeline)
            }
            Err(diagnostics) => {
                output.diagnostics(&diagnostics.list);
                Err(Failure::Invalid { file: file.to_owned() })
            }
        }
    }

    /// The log that a pipeline runs on.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn log(&mut self, pipeline: &Pipeline) -> Result<Arc<dyn Log>, Failure> {
        let client_id = format!("wasmill-{}", pipeline.topology.pipeline);
        self.logs.open(&pipeline.place, &client_id)
    }

    /// Forgets plugins whose files hold something else by now.
    pub(crate) fn refresh(&mut self) {
        self.compiled.retain(|_, compiled| compiled.is_current());
    }

    /// What the plan of the pipeline in `file` runs with. `reuse`: transforms that run already, which are
    /// taken where nothing differs, so that what they count goes on.
    ///
    /// # Errors
    /// A plugin that cannot be linked.
    pub(crate) fn make(
        &mut self,
        topology: &Topology,
        file: &Path,
        incarnation: &str,
        reuse: &[Linked],
    ) -> Result<Made, Failure> {
        let mut linked = HashMap::new();
        let mut shadows = HashMap::new();
        let mut in_order = Vec::new();
        for node in topology.processes.iter().flat_map(|sub| &sub.nodes) {
            let options = LinkOptions {
                pipeline: Arc::clone(&topology.pipeline),
                transform: Arc::clone(&node.name),
                config_json: node.config.clone(),
                limits: node.limits,
            };
            let failed = |error: LoadError, path: &Path| Failure::Other {
                code: error.code(),
                invalid: false,
                what: format!("transform `{}`: {error}", node.name),
                place: Some(file.display().to_string()),
                next: match error {
                    LoadError::Plugin(_) => format!("`wasmill inspect {}` shows what it is", path.display()),
                    LoadError::Registry(error) => error.next(),
                },
            };
            if let Some(shadow) = &node.shadow {
                let options = LinkOptions {
                    config_json: shadow.config.clone(),
                    ..options.clone()
                };
                let link = self
                    .compiled(&shadow.plugin, &node.grant, &node.limits)
                    .and_then(|compiled| Ok(compiled.link(options)?));
                let link = link.map_err(|error| failed(error, &shadow.plugin))?;
                shadows.insert(Arc::clone(&node.name), Shadow::new(link));
            }
            let link = self
                .compiled(&node.plugin, &node.grant, &node.limits)
                .and_then(|compiled| {
                    let same = reuse.iter().find(|linked| linked.is_of(compiled, &options));
                    match same {
                        Some(linked) => Ok(linked.clone()),
                        None => Ok(compiled.link(options)?),
                    }
                });
            let link = link.map_err(|error| failed(error, &node.plugin))?;
            let idle = link.compiled().idle_grants();
            if !idle.is_empty() {
                tracing::warn!(
                    transform = &*node.name,
                    "its grant `{}` opens nothing that the plugin imports; `wasmill build` leaves WASI out, \
                     docs/plugins.md says how to build with it",
                    idle.join("`, `")
                );
            }
            in_order.push(link.clone());
            linked.insert(Arc::clone(&node.name), link);
        }
        let parts = Parts {
            linked,
            shadows: shadows.clone(),
            pipeline: Arc::clone(&topology.pipeline),
            incarnation: incarnation.to_owned(),
            spans: self.spans.clone(),
        };
        Ok(Made {
            parts: Arc::new(parts),
            linked: in_order,
            shadows,
        })
    }

    /// The plugin engine, made at the first use.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn engine(&mut self) -> Result<&Engine, PluginError> {
        let engine = match self.engine.take() {
            Some(engine) => engine,
            None => Engine::new(EngineOptions {
                cache_dir: plugins::cache_dir(),
                ..EngineOptions::default()
            })?,
        };
        Ok(self.engine.insert(engine))
    }

    /// `path`: as the plan has it, a file or a reference to a registry.
    fn compiled(&mut self, path: &Path, grant: &Grant, limits: &Limits) -> Result<&Compiled, LoadError> {
        let options = LoadOptions {
            grant: grant.clone(),
            component_bytes_max: limits.component_bytes,
        };
        let key = (path.to_owned(), grant.clone());
        if !self.compiled.contains_key(&key) {
            let file = plugins::file_of(path)?;
            let compiled = self.engine()?.load_with(&file, &options)?;
            self.compiled.insert(key.clone(), compiled);
        }
        let compiled = self
            .compiled
            .get(&key)
            .ok_or_else(|| PluginError::Engine("a plugin was lost".to_owned()))?;
        // One that another transform has loaded may be too large for this one.
        compiled.check_size(&options)?;
        Ok(compiled)
    }

    fn describe(&mut self, used: PluginUse<'_>) -> Result<Description, PluginProblem> {
        let compiled = self
            .compiled(used.path, used.grant, &used.limits)
            .map_err(|error| match error {
                LoadError::Plugin(error) => problem(&error),
                LoadError::Registry(error) => PluginProblem::Remote {
                    code: error.code(),
                    message: error.to_string(),
                    help: error.next(),
                },
            })?;
        let description = compiled.description().clone();
        // Linking tries the config, which is all that is wanted here.
        let options = LinkOptions {
            pipeline: "".into(),
            transform: description.name.as_str().into(),
            config_json: used.config.to_owned(),
            limits: used.limits,
        };
        compiled.link(options).map_err(|e| problem(&e))?;
        Ok(description)
    }
}

fn problem(error: &PluginError) -> PluginProblem {
    match error {
        PluginError::Config { problems, .. } => PluginProblem::Config(
            problems
                .iter()
                .map(|problem| ConfigProblem {
                    pointer: problem.pointer.clone(),
                    message: problem.message.clone(),
                })
                .collect(),
        ),
        other => PluginProblem::Unusable(other.to_string()),
    }
}

/// Tries the settings of external sinks, which is all that making one does: what does not fit is found before
/// anything runs.
///
/// # Errors
/// Settings that a sink refuses.
pub(crate) fn try_sinks(topology: &Topology, file: &Path) -> Result<(), Failure> {
    for delivery in &topology.deliveries {
        sinks::open(&delivery.connector, &topology.pipeline, "").map_err(|error| Failure::Other {
            code: error.code(),
            invalid: true,
            what: error.to_string(),
            place: Some(file.display().to_string()),
            next: format!("mend the settings of sink `{}`", delivery.connector.name),
        })?;
    }
    Ok(())
}

/// Where local state lies; `None`: in memory, as the log.
pub(crate) fn state_dir(pipeline: &Pipeline, given: Option<&Path>) -> Option<PathBuf> {
    let topology = &pipeline.topology;
    let name = &*topology.pipeline;
    match (&pipeline.place, given, &topology.state_dir) {
        (LogPlace::Embedded(None), _, _) => None,
        (_, Some(given), _) => Some(given.join(name)),
        // Beside the log that it is derived from, apart from what the pipeline keeps for Kafka.
        (LogPlace::Embedded(Some(dir)), None, _) => Some(dir.join("state").join(name)),
        (LogPlace::Kafka { .. }, None, Some(dir)) => Some(dir.clone()),
        (LogPlace::Kafka { .. }, None, None) => Some(Path::new(".wasmill").join(name)),
    }
}

/// Opens the local state of a pipeline, and answers the id of this process.
///
/// # Errors
/// Another process holds the directory; the disk.
pub(crate) fn open_state(
    pipeline: &Pipeline,
    given: Option<&Path>,
) -> Result<(Arc<dyn StateBackend>, String), Failure> {
    Ok(compose::open_state(state_dir(pipeline, given).as_deref())?)
}

/// Makes the concrete parts of one pipeline.
struct Parts {
    linked: HashMap<Arc<str>, Linked>,
    shadows: HashMap<Arc<str>, Shadow>,
    pipeline: Arc<str>,
    incarnation: String,
    spans: Option<Arc<dyn Spans>>,
}

impl task::Parts for Parts {
    fn transform(&self, node: &Node) -> Result<Box<dyn Transform>, String> {
        let linked = self.linked.get(&node.name).ok_or("the plan has no such transform")?;
        let current = linked.instance().map_err(|error| error.to_string())?;
        match self.shadows.get(&node.name) {
            None => Ok(current),
            Some(shadow) => shadow.beside(current),
        }
    }

    fn source(&self, ingest: &Ingest) -> Result<Box<dyn Source>, SourceError> {
        sources::open(&ingest.connector)
    }

    fn sink(&self, plan: &DeliverPlan) -> Result<Box<dyn Sink>, SinkError> {
        sinks::open(&plan.connector, &self.pipeline, &self.incarnation)
    }

    fn spans(&self) -> Option<Arc<dyn Spans>> {
        self.spans.clone()
    }
}
