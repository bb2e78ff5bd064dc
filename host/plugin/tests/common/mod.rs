//! What the tests share: the components, built once, and state in a map.

#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod handmade;
pub(crate) mod memory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use plugin::{BuildOptions, Engine, EngineOptions, LinkOptions, Linked};
use record::Batch;
use record::topology::Limits;
use record::transform::{Call, CallError, Emitted, StateSlot, Transform};
use wasmill_plugin as plugin;

use memory::MapState;

/// One for all tests: compiling is what takes time.
pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let cache_dir = Some(dist().join("test-cache"));
    Engine::new(EngineOptions {
        cache_dir,
        ..EngineOptions::default()
    })
    .unwrap()
});

pub(crate) fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")
}

fn dist() -> PathBuf {
    plugins().join("dist")
}

/// The memory of this process that is there, in bytes.
pub(crate) fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

/// The component of a plugin that uses WASI: `wasmill build` would not leave it in.
pub(crate) fn with_wasi(dir: &str) -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap();
    let dir = plugins().join(dir);
    let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
    let output = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--release",
            "--lib",
            "--target",
            "wasm32-unknown-unknown",
            "-p",
            &name,
        ])
        .arg("--message-format=json")
        .current_dir(&dir)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let module = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.ends_with(format!("{name}.wasm")))
        .unwrap();
    let module = std::fs::read(module).unwrap();
    let component = wit_component::ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode()
        .unwrap();
    let path = dist().join(format!("test-{name}.wasm"));
    let mut file = tempfile::NamedTempFile::new_in(dist()).unwrap();
    std::io::Write::write_all(&mut file, &component).unwrap();
    file.persist(&path).unwrap();
    path
}

/// The component of a plugin's directory under `plugins`, built when its sources have changed.
pub(crate) fn component(dir: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap();
    if let Some(path) = built.get(dir) {
        return path.clone();
    }
    let mut sources = Vec::new();
    for part in [dir, "sdk/rust", "Cargo.toml", "Cargo.lock", "../wit"] {
        gather(&plugins().join(part), &mut sources);
    }
    sources.sort();
    let mut all = Vec::new();
    for source in &sources {
        all.extend(source.to_string_lossy().as_bytes());
        all.extend(std::fs::read(source).unwrap());
    }
    let out_dir = dist().join(format!("test-{:016x}", xxhash_rust::xxh3::xxh3_64(&all)));
    let path = out_dir.join(format!("{}.wasm", dir.rsplit('/').next().unwrap()));
    if !path.is_file() {
        let report = plugin::build(&BuildOptions {
            dir: plugins().join(dir),
            out: Some(out_dir),
            debug: false,
        })
        .unwrap();
        assert_eq!(report.path, path);
    }
    built.insert(dir.to_owned(), path.clone());
    path
}

fn gather(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_file() {
        into.push(path.to_owned());
    } else {
        for entry in std::fs::read_dir(path).unwrap() {
            gather(&entry.unwrap().path(), into);
        }
    }
}

pub(crate) fn link(dir: &str, config: &str, limits: Limits) -> Linked {
    link_on(&ENGINE, dir, config, limits)
}

fn link_on(engine: &Engine, dir: &str, config: &str, limits: Limits) -> Linked {
    let compiled = engine.load(&component(dir)).unwrap();
    compiled
        .link(LinkOptions {
            pipeline: Arc::from("test"),
            transform: Arc::from("node"),
            config_json: config.to_owned(),
            limits,
        })
        .unwrap()
}

/// A transform with its state.
pub(crate) struct Runner {
    pub(crate) linked: Linked,
    pub(crate) transform: Box<dyn Transform>,
    pub(crate) state: StateSlot,
}

impl Runner {
    pub(crate) fn new(dir: &str, config: &str) -> Self {
        Self::with_limits(dir, config, Limits::default())
    }

    pub(crate) fn with_limits(dir: &str, config: &str, limits: Limits) -> Self {
        Self::of(link(dir, config, limits))
    }

    /// On an engine of its own.
    pub(crate) fn on(engine: &Engine, dir: &str, limits: Limits) -> Self {
        Self::of(link_on(engine, dir, "{}", limits))
    }

    fn of(linked: Linked) -> Self {
        let transform = linked.instance().unwrap();
        let state = StateSlot(transform.description().is_stateful().then(|| {
            let stores = transform.description().stores.len();
            Box::new(MapState::new(stores)) as _
        }));
        Self {
            linked,
            transform,
            state,
        }
    }

    pub(crate) fn run(&mut self, batch: &mut Batch) -> Result<Emitted, CallError> {
        let stream_times = batch.timestamps.clone();
        self.transform.process(Call {
            batch,
            input: None,
            stream_times: &stream_times,
            siblings_before: 0,
            lateness: 0,
            now: 1_000,
            state: &mut self.state,
        })
    }

    /// As a task does: after an error, state goes back.
    pub(crate) fn run_as_task(&mut self, batch: &mut Batch) -> Result<Emitted, CallError> {
        let savepoint = self.state.0.as_mut().map(|state| state.savepoint());
        let answer = self.run(batch);
        if let (Some(state), Some(savepoint)) = (&mut self.state.0, savepoint) {
            if answer.is_err() {
                state.rollback(savepoint).unwrap();
                self.transform.recycle().unwrap();
            }
            state.keep();
        }
        if answer.is_ok() {
            self.transform.keep();
        }
        answer
    }
}

pub(crate) type Entry<'a> = (Option<&'a str>, Option<&'a str>);

pub(crate) fn batch(records: &[Entry<'_>]) -> Batch {
    let mut batch = Batch::new(Arc::from("in"), 3);
    for (i, (key, value)) in records.iter().enumerate() {
        batch.push(key.map(str::as_bytes), value.map(str::as_bytes), i as i64);
        batch.offsets.push(100 + i as i64);
    }
    batch
}

/// Key and value of each output, as text, with what is inherited.
pub(crate) fn outputs(emitted: &Emitted, parents: &Batch) -> Vec<(Option<String>, Option<String>)> {
    let mut out = Batch::new(Arc::from("out"), 0);
    for port in 0..4 {
        out.extend_from_port(emitted, port, parents);
    }
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (0..out.len())
        .map(|i| (text(out.keys.get(i)), text(out.values.get(i))))
        .collect()
}

pub(crate) fn values(emitted: &Emitted, parents: &Batch) -> Vec<String> {
    outputs(emitted, parents)
        .into_iter()
        .map(|(_, value)| value.unwrap_or_else(|| "null".to_owned()))
        .collect()
}

pub(crate) fn codes(emitted: &Emitted) -> Vec<(u32, &str)> {
    emitted
        .failures
        .iter()
        .map(|failure| (failure.index, failure.code.as_str()))
        .collect()
}
