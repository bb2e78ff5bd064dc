//! From a core module to a component that describes itself.

use std::path::{Path, PathBuf};
use std::time::Instant;

use wasmparser::{ExternalKind, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{BuildReport, Language, Out, Settings, fail, strip};
use crate::bindings::Handles;
use crate::engine::Engine;
use crate::error::PluginError;
use crate::{CONTRACT_VERSION, MIGRATION_HANDLER, PACKAGE, QUERY_HANDLER, TIMER_HANDLER, description, section};

/// The contract: what a plugin is built against is what this host serves.
pub(super) const CONTRACT: &str = include_str!("../../../../wit/plugin.wit");
/// The world of plugins that SDKs build.
pub(super) const WORLD: &str = "timed-transform";
/// The world of what all plugins have.
const WORLD_OF_ALL: &str = "transform";
/// The worlds of what some have.
const WORLD_OF_QUERIES: &str = "query";
const WORLD_OF_MIGRATIONS: &str = "migrate";

/// What Go's and C's runtimes import.
const PREVIEW_1: &str = "wasi_snapshot_preview1";
/// What answers it.
const STUB_ADAPTER: &str = include_str!("stub_adapter.wat");

/// What a language's tools have made.
pub(super) struct Made {
    /// A core module, or a component.
    pub(super) bytes: Vec<u8>,
    /// The directory of its source.
    pub(super) dir: PathBuf,
    /// The language, for the report.
    pub(super) language: Language,
    /// How long it took.
    pub(super) seconds: f64,
}

impl Made {
    /// Reads what a tool has written.
    pub(super) fn read(file: &Path, dir: &Path, language: Language, start: Instant) -> Result<Self, PluginError> {
        Ok(Self {
            bytes: std::fs::read(file).map_err(|error| PluginError::io("read", file, error))?,
            dir: dir.to_owned(),
            language,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// Makes a component of a core module that was built for the contract.
pub(super) fn of_module(core: &[u8]) -> Result<Vec<u8>, String> {
    let facts = Facts::read(core).map_err(|error| format!("{error:#}"))?;
    let said = |error| format!("{error:#}");
    let mut core = core.to_vec();
    if !facts.has_metadata {
        let mut resolve = Resolve::default();
        resolve.push_str("plugin.wit", CONTRACT).map_err(said)?;
        let package = resolve.push_str("built.wit", &facts.world()).map_err(said)?;
        let world = resolve.select_world(&[package], Some("built")).map_err(said)?;
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8, false).map_err(said)?;
    }
    let mut encoder = ComponentEncoder::default();
    encoder.module(&core).map_err(said)?;
    if facts.needs_wasi {
        encoder.adapter(PREVIEW_1, &stub_adapter()?).map_err(said)?;
    }
    encoder.validate(true).encode().map_err(said)
}

/// The adapter as a core module.
fn stub_adapter() -> Result<Vec<u8>, String> {
    wat::parse_str(STUB_ADAPTER).map_err(|error| error.to_string())
}

/// What a core module says of itself.
#[derive(Debug, Default, PartialEq)]
struct Facts {
    /// It carries the types of its world already: Rust's and C's bindings put them there.
    has_metadata: bool,
    /// What it exports beside what each plugin does.
    handles: Handles,
    /// It imports WASI preview 1.
    needs_wasi: bool,
}

impl Facts {
    fn read(core: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut facts = Self::default();
        for payload in Parser::new(0).parse_all(core) {
            match payload? {
                Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                    facts.has_metadata = true;
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        facts.needs_wasi |= import?.module == PREVIEW_1;
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        let is = |handler: &str| export.kind == ExternalKind::Func && export.name.starts_with(handler);
                        facts.handles.timers |= is(TIMER_HANDLER);
                        facts.handles.queries |= is(QUERY_HANDLER);
                        facts.handles.migrations |= is(MIGRATION_HANDLER);
                    }
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    /// The world of what it exports, `built`, as a package of its own.
    fn world(&self) -> String {
        let includes: String = [
            (true, WORLD_OF_ALL),
            (self.handles.timers, WORLD),
            (self.handles.queries, WORLD_OF_QUERIES),
            (self.handles.migrations, WORLD_OF_MIGRATIONS),
        ]
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, world)| format!("include {PACKAGE}{world}@{CONTRACT_VERSION}; "))
        .collect();
        format!("package wasmill:build; world built {{ {includes}}}")
    }
}

/// Makes a component of what was made, lets it describe itself, and writes both.
pub(super) fn finish(engine: &Engine, made: &Made, out: &Out, settings: Settings) -> Result<BuildReport, PluginError> {
    let start = Instant::now();
    let dir = &made.dir;
    let mut component = if Parser::is_core_wasm(&made.bytes) {
        of_module(&made.bytes).map_err(|message| fail(dir, format!("it does not become a component: {message}")))?
    } else {
        made.bytes.clone()
    };
    if !settings.debug {
        component = strip::strip(&component, made.language.keeps_names())
            .map_err(|error| fail(dir, format!("the component cannot be read: {error}")))?;
    }
    let load = Instant::now();
    let compiled = engine.load_bytes(&component, dir)?;
    let load_seconds = load.elapsed().as_secs_f64();
    let about = compiled.description();
    section::append(&mut component, &description::to_json(about));
    let path = out.path(&about.name);
    super::write(&path, &component)?;
    Ok(BuildReport {
        name: about.name.clone(),
        version: about.version.clone(),
        language: made.language,
        dir: dir.clone(),
        path,
        size: component.len() as u64,
        imports: compiled.imports().to_vec(),
        ports: about.ports.clone(),
        stores: about.stores.clone(),
        sets_timers: about.sets_timers,
        seconds: made.seconds + start.elapsed().as_secs_f64(),
        load_seconds,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All functions of WASI preview 1.
    const FUNCTIONS: &str = "args_get args_sizes_get clock_res_get clock_time_get environ_get environ_sizes_get \
        fd_advise fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights \
        fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_dir_name fd_prestat_get \
        fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write path_create_directory \
        path_filestat_get path_filestat_set_times path_link path_open path_readlink path_remove_directory \
        path_rename path_symlink path_unlink_file poll_oneoff proc_exit proc_raise random_get sched_yield \
        sock_accept sock_recv sock_send sock_shutdown";

    #[test]
    fn the_stub_adapter_answers_all_of_preview_1_and_calls_nothing() {
        let module = stub_adapter().unwrap();
        wasmparser::Validator::new().validate_all(&module).unwrap();
        let (mut imports, mut exports) = (Vec::new(), BTreeSet::new());
        for payload in Parser::new(0).parse_all(&module) {
            match payload.unwrap() {
                Payload::ImportSection(section) => {
                    imports.extend(section.into_imports().map(|import| import.unwrap().name.to_owned()));
                }
                Payload::ExportSection(section) => {
                    exports.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
                }
                _ => {}
            }
        }
        assert_eq!(imports, ["memory"]);
        for name in FUNCTIONS.split_whitespace() {
            assert!(exports.remove(name), "{name} is not answered");
        }
        assert_eq!(
            exports.into_iter().collect::<Vec<_>>(),
            ["adapter_monotonic_clock_set_paused"]
        );
    }

    #[test]
    fn the_stub_adapter_has_a_fixed_clock_and_a_fixed_seed() {
        // The memory is a guest's: the adapter writes where it is told to.
        let engine = wasmtime::Engine::default();
        let adapter = wasmtime::Module::new(&engine, stub_adapter().unwrap()).unwrap();
        let run = || {
            let mut store = wasmtime::Store::new(&engine, ());
            let memory = wasmtime::Memory::new(&mut store, wasmtime::MemoryType::new(1, None)).unwrap();
            let instance = wasmtime::Instance::new(&mut store, &adapter, &[memory.into()]).unwrap();
            let clock = instance
                .get_typed_func::<(i32, i64, i32), i32>(&mut store, "clock_time_get")
                .unwrap();
            let random = instance
                .get_typed_func::<(i32, i32), i32>(&mut store, "random_get")
                .unwrap();
            let poll = instance
                .get_typed_func::<(i32, i32, i32, i32), i32>(&mut store, "poll_oneoff")
                .unwrap();
            let write = instance
                .get_typed_func::<(i32, i32, i32, i32), i32>(&mut store, "fd_write")
                .unwrap();
            let exit = instance.get_typed_func::<i32, ()>(&mut store, "proc_exit").unwrap();
            let u64_at = |store: &wasmtime::Store<()>, at: usize| {
                u64::from_le_bytes(memory.data(store)[at..at + 8].try_into().unwrap())
            };
            assert_eq!(clock.call(&mut store, (0, 0, 8)).unwrap(), 0);
            let first = u64_at(&store, 8);
            assert_eq!(clock.call(&mut store, (1, 0, 8)).unwrap(), 0);
            assert_eq!(u64_at(&store, 8), first + 1000, "it moves");
            assert_eq!(random.call(&mut store, (16, 9)).unwrap(), 0);
            let bytes = memory.data(&store)[16..32].to_vec();
            assert_eq!(bytes[9..], [0; 7], "no more than it was asked for");
            // Waiting for an hour takes no time and moves the clock by it.
            let subscription = 64;
            memory.data_mut(&mut store)[subscription + 24..subscription + 32]
                .copy_from_slice(&3_600_000_000_000_u64.to_le_bytes());
            assert_eq!(poll.call(&mut store, (64, 128, 1, 192)).unwrap(), 0);
            assert_eq!(memory.data(&store)[192], 1, "one event");
            assert_eq!(clock.call(&mut store, (0, 0, 8)).unwrap(), 0);
            assert!(u64_at(&store, 8) >= first + 3_600_000_000_000);
            // Two parts of three and four bytes are written, to nowhere.
            memory.data_mut(&mut store)[260] = 3;
            memory.data_mut(&mut store)[268] = 4;
            assert_eq!(write.call(&mut store, (2, 256, 2, 300)).unwrap(), 0);
            assert_eq!(memory.data(&store)[300], 7);
            assert_eq!(write.call(&mut store, (3, 256, 2, 300)).unwrap(), 8, "no such file");
            assert!(exit.call(&mut store, 2).is_err());
            (first, bytes)
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn the_world_follows_from_what_a_module_exports() {
        let facts = |wat: &str| Facts::read(&wat::parse_str(wat).unwrap()).unwrap();
        assert_eq!(facts("(module)"), Facts::default());
        let go = facts(
            "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32)))
               (func (export \"wasmill:plugin/timer-handler@0.1.2#on-timers\")))",
        );
        assert!(go.handles.timers && go.needs_wasi && !go.has_metadata);
        let both = facts(
            "(module (func (export \"wasmill:plugin/query-handler@0.1.2#answer\"))
               (func (export \"wasmill:plugin/migration-handler@0.1.2#migrate\")))",
        );
        for (facts, exports) in [
            (Facts::default(), &["lifecycle", "processor"][..]),
            (go, &["lifecycle", "processor", "timer-handler"]),
            (both, &["lifecycle", "processor", "query-handler", "migration-handler"]),
        ] {
            let mut resolve = Resolve::default();
            resolve.push_str("plugin.wit", CONTRACT).unwrap();
            let package = resolve.push_str("built.wit", &facts.world()).unwrap();
            let world = resolve.select_world(&[package], Some("built")).unwrap();
            let keys = resolve.worlds[world].exports.keys();
            let names: Vec<_> = keys.map(|key| resolve.name_world_key(key)).collect();
            let expected: Vec<_> = exports
                .iter()
                .map(|name| format!("{PACKAGE}{name}@{CONTRACT_VERSION}"))
                .collect();
            assert_eq!(names, expected);
        }
        let error = of_module(&wat::parse_str("(module)").unwrap()).unwrap_err();
        assert!(error.contains("wasmill:plugin/lifecycle@0.1.2"), "{error}");
    }
}
