//! The engine: settings that all plugins share, and the clock that interrupts them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, OptLevel, Strategy, WasmFeatures};

use crate::bindings::TimedTransform;
use crate::code::CodeCache;
use crate::compiled::Compiled;
use crate::error::PluginError;
use crate::host::HostData;

/// How often running plugins are looked at.
const TICK: Duration = Duration::from_millis(10);

/// The stack of a plugin. Threads that run plugins need as much again for the host: Rust's
/// default of 2 MiB is enough.
const STACK_BYTES: usize = 1 << 20;

/// The memory of all instances of an engine together.
const MEMORY_TOTAL_BYTES: usize = 4 << 30;

/// How an [`Engine`] is made.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Where compiled code is kept; it is created with mode 0700. `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
}

/// Compiles and checks plugins. Cheap to clone; its clones share everything.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    wasm: wasmtime::Engine,
    linker: Linker<HostData>,
    cache: Option<CodeCache>,
    pool: rayon::ThreadPool,
    memory: Arc<MemoryTotal>,
}

/// The memory of all instances together.
pub(crate) struct MemoryTotal {
    pub(crate) used: AtomicUsize,
    pub(crate) limit: usize,
}

impl Engine {
    /// An engine. Starts its clock's thread, which ends with the last clone.
    ///
    /// # Errors
    /// The processor is not supported, or the cache directory cannot be used.
    pub fn new(options: EngineOptions) -> Result<Self, PluginError> {
        let failed = |error: wasmtime::Error| PluginError::Engine(format!("{error:#}"));
        let wasm = wasmtime::Engine::new(&config()).map_err(failed)?;
        let mut linker = Linker::new(&wasm);
        TimedTransform::add_to_linker::<_, HasSelf<HostData>>(&mut linker, |data| data).map_err(failed)?;
        let cache = options.cache_dir.map(|dir| CodeCache::open(dir, &wasm)).transpose()?;
        start_clock(&wasm)?;
        Ok(Self {
            inner: Arc::new(Inner {
                wasm,
                linker,
                cache,
                pool: compile_pool()?,
                memory: Arc::new(MemoryTotal {
                    used: AtomicUsize::new(0),
                    limit: MEMORY_TOTAL_BYTES,
                }),
            }),
        })
    }

    /// Reads, compiles and checks a component, and lets it describe itself in an instance of its
    /// own. Takes up to seconds when it is not in the cache: not for the record path.
    ///
    /// # Errors
    /// The file cannot be read, is no component, imports what it must not, or is no plugin.
    pub fn load(&self, path: &Path) -> Result<Compiled, PluginError> {
        let bytes = std::fs::read(path).map_err(|error| PluginError::io("read", path, error))?;
        self.load_bytes(&bytes, path)
    }

    /// As [`Self::load`], with the bytes at hand; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_bytes(&self, bytes: &[u8], path: &Path) -> Result<Compiled, PluginError> {
        Compiled::new(self, bytes, path)
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.inner.wasm
    }

    pub(crate) fn linker(&self) -> &Linker<HostData> {
        &self.inner.linker
    }

    pub(crate) fn cache(&self) -> Option<&CodeCache> {
        self.inner.cache.as_ref()
    }

    pub(crate) fn pool(&self) -> &rayon::ThreadPool {
        &self.inner.pool
    }

    pub(crate) fn memory(&self) -> &Arc<MemoryTotal> {
        &self.inner.memory
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// What plugins may use is fixed here, whatever later versions of wasmtime switch on.
/// Instances are allocated on demand: there are few, they live long, and any memory limit fits.
fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        // The same results on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    let on = WasmFeatures::SIMD
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        // wasmtime joins components within a component (JavaScript's are such) by modules with the
        // memories of both, and panics when those are off.
        | WasmFeatures::MULTI_MEMORY;
    let off = WasmFeatures::THREADS
        | WasmFeatures::SHARED_EVERYTHING_THREADS
        | WasmFeatures::MEMORY64
        | WasmFeatures::GC
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::STACK_SWITCHING
        | WasmFeatures::CUSTOM_PAGE_SIZES
        | WasmFeatures::WIDE_ARITHMETIC;
    config.wasm_features(on, true).wasm_features(off, false);
    config
}

/// Few threads of low priority: compiling must not take the processor from the record path.
fn compile_pool() -> Result<rayon::ThreadPool, PluginError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    rayon::ThreadPoolBuilder::new()
        .num_threads(cores.div_ceil(2))
        .thread_name(|i| format!("compile-{i}"))
        .start_handler(|_| {
            // Where the system does not allow it, compiling just runs at normal priority.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
        })
        .build()
        .map_err(|error| PluginError::Engine(error.to_string()))
}

fn start_clock(wasm: &wasmtime::Engine) -> Result<(), PluginError> {
    let engine = wasm.weak();
    std::thread::Builder::new()
        .name("plugin-clock".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .map(drop)
        .map_err(|error| PluginError::Engine(format!("its clock does not start: {error}")))
}
