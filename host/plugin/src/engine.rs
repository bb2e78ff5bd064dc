//! The engine: settings that all plugins share, and the clock that interrupts them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use record::grant::Grant;
use record::topology::Limits;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, OptLevel, Strategy, WasmFeatures};

use crate::bindings::Everything;
use crate::code::CodeCache;
use crate::compiled::{self, Compiled};
use crate::error::PluginError;
use crate::host::HostData;

/// How often running plugins are looked at.
const TICK: Duration = Duration::from_millis(10);

/// How an [`Engine`] is made: what holds for the whole process.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where compiled code is kept; it is created with mode 0700. `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// How much is kept there, in bytes. What has not been used for longest goes first.
    pub cache_bytes_max: u64,
    /// The memory of all instances together, in bytes.
    pub memory_bytes_max: usize,
    /// The stack of a plugin, in bytes. wasmtime has one setting for an engine, so this is no
    /// limit of a transform. Threads that run plugins need as much again for the host: Rust's
    /// default of 2 MiB is enough for 1 MiB here, and wasmtime takes no more than its `async_stack_size`,
    /// 2 MiB.
    pub stack_bytes: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            cache_bytes_max: 1 << 30,
            memory_bytes_max: 4 << 30,
            stack_bytes: 1 << 20,
        }
    }
}

/// How a component is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// What it may import beyond the contract.
    pub grant: Grant,
    /// The size that it may have, in bytes.
    pub component_bytes_max: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            grant: Grant::default(),
            component_bytes_max: Limits::default().component_bytes,
        }
    }
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
        let wasm = wasmtime::Engine::new(&config(options.stack_bytes)).map_err(failed)?;
        let mut linker = Linker::new(&wasm);
        Everything::add_to_linker::<_, HasSelf<HostData>>(&mut linker, |data| data).map_err(failed)?;
        let cache = options
            .cache_dir
            .map(|dir| CodeCache::open(dir, options.cache_bytes_max, &wasm))
            .transpose()?;
        start_clock(&wasm)?;
        Ok(Self {
            inner: Arc::new(Inner {
                wasm,
                linker,
                cache,
                pool: compile_pool()?,
                memory: Arc::new(MemoryTotal {
                    used: AtomicUsize::new(0),
                    limit: options.memory_bytes_max,
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
        self.load_with(path, &LoadOptions::default())
    }

    /// As [`Self::load`], with what is granted.
    ///
    /// # Errors
    /// As [`Self::load`], or the file is too large.
    pub fn load_with(&self, path: &Path, options: &LoadOptions) -> Result<Compiled, PluginError> {
        let io = |error| PluginError::io("read", path, error);
        let file = std::fs::File::open(path).map_err(io)?;
        compiled::check_size(file.metadata().map_err(io)?.len(), path, options)?;
        let mut bytes = Vec::new();
        // The file may grow meanwhile, and what is no regular file has no length.
        file.take(options.component_bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(io)?;
        self.load_bytes_with(&bytes, path, options)
    }

    /// As [`Self::load`], with the bytes at hand; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_bytes(&self, bytes: &[u8], path: &Path) -> Result<Compiled, PluginError> {
        self.load_bytes_with(bytes, path, &LoadOptions::default())
    }

    /// As [`Self::load_with`], with the bytes at hand; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::load_with`].
    pub fn load_bytes_with(&self, bytes: &[u8], path: &Path, options: &LoadOptions) -> Result<Compiled, PluginError> {
        Compiled::new(self, bytes, path, options)
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
fn config(stack_bytes: usize) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(stack_bytes)
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
    // Not only for determinism: wasmtime 48.0.8 is built without its features `gc` and `threads`, and code
    // that needs them then aborts the process (GHSA-rc4p-x33f-vpr2, GHSA-2674-w29h-wqvj).
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
