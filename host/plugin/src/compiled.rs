//! A component that is compiled and checked, but not configured.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::grant::Grant;
use record::transform::Description;
use wasmtime::Store;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::bindings::{Handles, PluginPre};
use crate::clock::{Budget, START_TIME};
use crate::engine::{Engine, LoadOptions};
use crate::error::PluginError;
use crate::grants::{self, Need};
use crate::host::log::Rate;
use crate::host::metrics::Registry;
use crate::host::{HostData, Names, Phase};
use crate::instance::{call_error, new_store};
use crate::linked::{LinkOptions, Linked};
use crate::usage::Usage;
use crate::{
    CONTRACT_VERSION, MIGRATION_HANDLER, PACKAGE, QUERY_HANDLER, TIMER_HANDLER, code, convert, description, section,
    wasi,
};

/// The memory of the instance in which a plugin describes itself.
const DESCRIBE_MEMORY_BYTES: usize = 256 << 20;
/// What it may hand out.
const DESCRIBE_OUTPUT_BYTES: usize = 16 << 20;
const EXPORTS: [&str; 2] = ["lifecycle", "processor"];

/// A component that is compiled and checked, and has described itself. Cheap to clone.
#[derive(Clone)]
pub struct Compiled {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) pre: PluginPre<HostData>,
    pub(crate) description: Arc<Description>,
    pub(crate) handles: Handles,
    pub(crate) uses: Uses,
    pub(crate) grant: Grant,
    needs: Vec<String>,
    imports: Vec<String>,
    exports: Vec<String>,
    digest: String,
    bytes: u64,
    path: PathBuf,
}

/// Functions that cost something per record, and whether the component imports them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Uses {
    pub(crate) stream_time: bool,
    pub(crate) seed: bool,
}

impl Compiled {
    pub(crate) fn new(engine: &Engine, bytes: &[u8], path: &Path, options: &LoadOptions) -> Result<Self, PluginError> {
        check_size(bytes.len() as u64, path, options)?;
        check_kind(bytes, path)?;
        let digest = code::digest(bytes);
        let component = compile(engine, bytes, &digest, path)?;
        let Surface {
            imports,
            exports,
            needs,
            uses,
        } = surface(engine, &component, path, &options.grant)?;
        let wrong = |error: &wasmtime::Error| PluginError::WrongWorld {
            path: path.to_owned(),
            message: format!(
                "{error:#}; it may have been built against another version of the contract: build it again with \
                 `wasmill build`"
            ),
        };
        let mut linker = engine.linker().clone();
        wasi::add_to_linker(&mut linker, &options.grant).map_err(|e| PluginError::Engine(format!("{e:#}")))?;
        let pre = linker.instantiate_pre(&component).map_err(|e| wrong(&e))?;
        let has = |interface: &str| exports.iter().any(|name| name.starts_with(interface));
        let handles = Handles {
            timers: has(TIMER_HANDLER),
            queries: has(QUERY_HANDLER),
            migrations: has(MIGRATION_HANDLER),
        };
        let pre = PluginPre::new(pre, handles).map_err(|e| wrong(&e))?;
        let description = describe(engine, &pre, path)?;
        if description.sets_timers && !handles.timers {
            return Err(PluginError::BadDescription {
                path: path.to_owned(),
                message: format!(
                    "it says `sets-timers`, but does not export `{TIMER_HANDLER}{CONTRACT_VERSION}`; build it for the \
                     world `timed-transform`"
                ),
            });
        }
        let now = description::to_json(&description);
        let kept = section::read(bytes).map_err(|message| PluginError::BadDescription {
            path: path.to_owned(),
            message,
        })?;
        if let Some(message) = kept.and_then(|then| description::difference(&then, &now)) {
            return Err(PluginError::DescriptionChanged {
                path: path.to_owned(),
                message,
            });
        }
        Ok(Self {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                pre,
                description: Arc::new(description),
                handles,
                uses,
                grant: options.grant.clone(),
                needs,
                imports,
                exports,
                digest,
                bytes: bytes.len() as u64,
                path: path.to_owned(),
            }),
        })
    }

    /// What the plugin says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.inner.description
    }

    /// Whether the plugin answers queries.
    #[must_use]
    pub fn answers_queries(&self) -> bool {
        self.inner.handles.queries
    }

    /// Whether the plugin migrates what earlier versions of it have stored.
    #[must_use]
    pub fn migrates(&self) -> bool {
        self.inner.handles.migrations
    }

    /// The interfaces that the component imports, with their versions.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.inner.imports
    }

    /// The keys of a `[transforms.NAME.grant]` that the component cannot do without, as `env` or
    /// `http`: its imports need them.
    #[must_use]
    pub fn needs(&self) -> &[String] {
        &self.inner.needs
    }

    /// The interfaces that the component exports, with their versions.
    #[must_use]
    pub fn exports(&self) -> &[String] {
        &self.inner.exports
    }

    /// The SHA-256 of the component, in hexadecimal: whether two are the same.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// Where the component was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Whether the component is as small as these options say.
    ///
    /// # Errors
    /// [`PluginError::TooLarge`].
    pub fn check_size(&self, options: &LoadOptions) -> Result<(), PluginError> {
        check_size(self.inner.bytes, &self.inner.path, options)
    }

    /// The keys of its grant that open nothing that it imports: `wasmill build` leaves WASI out.
    #[must_use]
    pub fn idle_grants(&self) -> Vec<&'static str> {
        grants::idle(&self.inner.grant, &self.inner.imports)
    }

    /// Whether its file still holds what was loaded.
    #[must_use]
    pub fn is_current(&self) -> bool {
        std::fs::read(&self.inner.path).is_ok_and(|bytes| code::digest(&bytes) == self.inner.digest)
    }

    /// Gives the plugin a configuration, and tries it once.
    ///
    /// # Errors
    /// [`PluginError::Config`] with everything that is wrong in it, or the plugin fails.
    pub fn link(&self, options: LinkOptions) -> Result<Linked, PluginError> {
        Linked::new(self.clone(), options)
    }
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled")
            .field("path", &self.inner.path)
            .field("digest", &self.inner.digest)
            .finish_non_exhaustive()
    }
}

/// A component that is too large is not compiled, which would take its time.
pub(crate) fn check_size(bytes: u64, path: &Path, options: &LoadOptions) -> Result<(), PluginError> {
    if bytes > options.component_bytes_max {
        return Err(PluginError::TooLarge {
            path: path.to_owned(),
            bytes,
            max: options.component_bytes_max,
        });
    }
    Ok(())
}

/// Only a component in WebAssembly's binary format: precompiled code would run unchecked.
pub(crate) fn check_kind(bytes: &[u8], path: &Path) -> Result<(), PluginError> {
    let message = match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => return Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => {
            "it is a core module; `wasmill build` makes a component of a plugin's source"
        }
        Some([0, b'a', b's', b'm', ..]) => "it has a version of the format that is not known",
        Some([0x7f, b'E', b'L', b'F', ..]) => "it is native code, perhaps precompiled; give the .wasm itself",
        _ => "it does not start as WebAssembly does",
    };
    Err(PluginError::NotAComponent {
        path: path.to_owned(),
        message: message.to_owned(),
    })
}

fn compile(engine: &Engine, bytes: &[u8], digest: &str, path: &Path) -> Result<Component, PluginError> {
    if let Some(component) = engine.cache().and_then(|cache| cache.read(digest, engine.wasm())) {
        return Ok(component);
    }
    // The compiler has been seen to panic on a component that uses what is switched off: whatever a
    // file holds, it is refused.
    let compiled = engine.pool().install(|| {
        let compile = || Component::from_binary(engine.wasm(), bytes);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(compile))
    });
    let component = match compiled {
        Ok(compiled) => compiled.map_err(|error| format!("{error:#}")),
        Err(_) => Err("the compiler gave up on it, as its message above says; please report it".to_owned()),
    }
    .map_err(|message| PluginError::NotAComponent {
        path: path.to_owned(),
        message,
    })?;
    if let Some(cache) = engine.cache() {
        cache.write(digest, &component);
    }
    Ok(component)
}

/// What a component asks for and offers.
struct Surface {
    imports: Vec<String>,
    exports: Vec<String>,
    needs: Vec<String>,
    uses: Uses,
}

/// The names of imports and exports. An import from elsewhere, and a missing export, are told here
/// in clear words; their types are checked when the component is linked.
fn surface(engine: &Engine, component: &Component, path: &Path, grant: &Grant) -> Result<Surface, PluginError> {
    let wasm = engine.wasm();
    let types = component.component_type();
    let mut uses = Uses::default();
    let mut imports = Vec::new();
    let mut needs = BTreeSet::new();
    for (name, item) in types.imports(wasm) {
        if !name.starts_with(PACKAGE) {
            let need = Need::of(name, &item.ty, wasm);
            if !need.is_some_and(|need| need.is_met(grant)) {
                return Err(PluginError::ImportRefused {
                    path: path.to_owned(),
                    import: name.to_owned(),
                    remedy: need.map_or_else(|| format!("only `{PACKAGE}*` may be imported"), Need::remedy),
                });
            }
            needs.extend(need);
        }
        if let (ComponentItem::ComponentInstance(instance), true) = (&item.ty, name.contains("/context@")) {
            for (function, _) in instance.exports(wasm) {
                uses.stream_time |= function == "stream-time" || function == "watermark";
                uses.seed |= function == "seed";
            }
        }
        imports.push(name.to_owned());
    }
    let exports: Vec<String> = types.exports(wasm).map(|(name, _)| name.to_owned()).collect();
    for export in EXPORTS {
        let wanted = format!("{PACKAGE}{export}@");
        if !exports.iter().any(|name| name.starts_with(&wanted)) {
            let has = if exports.is_empty() {
                "nothing".to_owned()
            } else {
                exports.join(", ")
            };
            return Err(PluginError::WrongWorld {
                path: path.to_owned(),
                message: format!("it does not export `{wanted}{CONTRACT_VERSION}`; it exports {has}"),
            });
        }
    }
    // Any grant opens what needs just one.
    if needs.len() > 1 {
        needs.remove(&Need::Any);
    }
    let key = |need: Need| need.key().map(|key| key.split(' ').next().unwrap_or(key).to_owned());
    Ok(Surface {
        imports,
        exports,
        needs: needs.into_iter().filter_map(key).collect(),
        uses,
    })
}

/// Lets the plugin describe itself, in an instance that is thrown away.
fn describe(engine: &Engine, pre: &PluginPre<HostData>, path: &Path) -> Result<Description, PluginError> {
    let none: Arc<str> = Arc::from("");
    let names = Names {
        pipeline: Arc::clone(&none),
        transform: none,
    };
    let limits = record::topology::Limits {
        memory_bytes: DESCRIBE_MEMORY_BYTES,
        output_bytes: DESCRIBE_OUTPUT_BYTES,
        ..Default::default()
    };
    let mut store: Store<HostData> = new_store(
        engine,
        names,
        Arc::default(),
        limits,
        Arc::new(Registry::new(0)),
        Arc::new(Usage::default()),
        Rate::new(limits.log_per_second),
    );
    store.data_mut().phase = Phase::Describe;
    store.data_mut().clock.start(Budget::new(START_TIME));
    let failed = |error: &wasmtime::Error, data: &HostData, during| PluginError::Failed {
        name: path.display().to_string(),
        during,
        message: call_error(error, data).to_string(),
    };
    let instance = pre
        .instantiate(&mut store)
        .map_err(|error| failed(&error, store.data(), "start"))?;
    // The types of the exported functions are compared here.
    let exports = pre
        .exports(&mut store, &instance)
        .map_err(|error| PluginError::WrongWorld {
            path: path.to_owned(),
            message: format!("{error:#}"),
        })?;
    store.data_mut().clock.start(Budget::new(START_TIME));
    store.set_epoch_deadline(1);
    let answer = exports
        .lifecycle
        .call_describe(&mut store)
        .map_err(|error| failed(&error, store.data(), "describe"))?;
    let extra = answer.extra.clone();
    let description = convert::description(answer);
    description::check(&description, &extra).map_err(|message| PluginError::BadDescription {
        path: path.to_owned(),
        message,
    })?;
    Ok(description)
}
