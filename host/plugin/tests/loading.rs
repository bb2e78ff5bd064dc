//! What is loaded, what is refused, and the cache of compiled code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use common::component;
use common::handmade::contract;
use plugin::{Engine, EngineOptions, PluginError};
use wasmill_plugin as plugin;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// Without a cache: what is loaded here is of no use to anybody.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());

fn load(bytes: &[u8]) -> Result<plugin::Compiled, PluginError> {
    ENGINE.load_bytes(bytes, Path::new("test.wasm"))
}

/// A component of a world of the last of these packages, whose functions all trap.
fn dummy(wit: &[(&str, &str)], world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let mut ids = Vec::new();
    for (path, text) in wit {
        ids.push(resolve.push_str(path, text).unwrap());
    }
    let world = resolve.select_world(&[*ids.last().unwrap()], Some(world)).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

#[test]
fn what_is_no_component_is_refused() {
    let core = wasm_encoder::Module::new().finish();
    let mut cut = std::fs::read(component("label")).unwrap();
    cut.truncate(cut.len() / 2);
    for (bytes, message) in [
        (b"".as_slice(), "does not start"),
        (b"hello, world", "does not start"),
        (b"\x7fELF\x02\x01\x01\0", "native code"),
        (&core, "core module"),
        (b"\0asm\x0d\0\x01\0\xff\xff", ""),
        (&cut, ""),
    ] {
        let error = load(bytes).unwrap_err();
        assert!(matches!(error, PluginError::NotAComponent { .. }), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn damaged_components_are_errors_not_panics() {
    let good = std::fs::read(component("label")).unwrap();
    let mut random = 88_172_645_463_325_252_u64;
    for _ in 0..100 {
        let mut bytes = good.clone();
        for _ in 0..4 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = (random >> 8) as usize % bytes.len();
            bytes[at] = random as u8;
        }
        // A changed byte may be harmless; what counts is that this returns.
        let _ = load(&bytes);
    }
}

#[test]
fn another_world_is_refused() {
    let bytes = dummy(
        &[(
            "x.wit",
            "package a:b@0.1.0; interface i { f: func(); } world w { export i; }",
        )],
        "w",
    );
    let error = load(&bytes).unwrap_err();
    assert!(matches!(error, PluginError::WrongWorld { .. }), "{error}");
    assert!(error.to_string().contains("wasmill:plugin/lifecycle@0.1.2"), "{error}");
}

#[test]
fn imports_from_elsewhere_are_refused_by_name() {
    let world = "package a:b@0.1.0; interface i { f: func(); } \
                 world w { import i; include wasmill:plugin/transform@0.1.2; }";
    let error = load(&dummy(&[("plugin.wit", &contract()), ("x.wit", world)], "w")).unwrap_err();
    assert!(
        matches!(&error, PluginError::ImportRefused { import, .. } if import == "a:b/i@0.1.0"),
        "{error}"
    );
}

#[test]
fn imports_of_a_later_contract_are_refused_by_name() {
    let later = contract().replace(
        "world transform {",
        "interface oracle { ask: func(at: s64); }\nworld transform {\n  import oracle;",
    );
    let error = load(&dummy(&[("plugin.wit", &later)], "transform")).unwrap_err();
    assert!(error.to_string().contains("oracle"), "{error}");
}

#[test]
fn a_function_of_another_type_is_refused() {
    let other = contract().replace(
        "process: func(batch: inbound)",
        "process: func(batch: inbound, more: u8)",
    );
    let error = load(&dummy(&[("plugin.wit", &other)], "transform")).unwrap_err();
    assert!(matches!(error, PluginError::WrongWorld { .. }), "{error}");
}

#[test]
fn a_plugin_that_traps_in_describe_is_refused() {
    let error = load(&dummy(&[("plugin.wit", &contract())], "transform")).unwrap_err();
    assert!(
        matches!(&error, PluginError::Failed { during: "describe", .. }),
        "{error}"
    );
}

#[test]
fn a_description_other_than_the_one_kept_is_refused() {
    let good = std::fs::read(component("label")).unwrap();
    let compiled = load(&good).unwrap();
    assert_eq!(compiled.description().name, "label");
    // The text is in the section once more than in the code; change it in the section, which is last.
    let doc = b"Writes key and value as one line of text";
    let at = good.windows(doc.len()).rposition(|part| part == doc).unwrap();
    let mut changed = good;
    changed[at] = b'w';
    let error = load(&changed).unwrap_err();
    assert!(matches!(error, PluginError::DescriptionChanged { .. }), "{error}");
    assert!(error.to_string().contains("`doc`"), "{error}");
}

/// wasmtime makes a module with the memories of both, as for components of JavaScript.
#[test]
fn components_within_a_component_may_call_each_other() {
    let component = wat::parse_str(
        r#"(component
            (component $a
                (core module $m (memory (export "memory") 1)
                    (func (export "f") (param i32 i32))
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0))
                (core instance $i (instantiate $m))
                (func (export "f") (param "x" string)
                    (canon lift (core func $i "f") (memory (core memory $i "memory"))
                        (realloc (core func $i "realloc")))))
            (component $b
                (import "f" (func $f (param "x" string)))
                (core module $libc (memory (export "memory") 1))
                (core instance $libc (instantiate $libc))
                (core func $lowered (canon lower (func $f) (memory (core memory $libc "memory"))))
                (core module $m (import "" "f" (func (param i32 i32))))
                (core instance (instantiate $m (with "" (instance (export "f" (func $lowered)))))))
            (instance $a (instantiate $a))
            (instance (instantiate $b (with "f" (func $a "f")))))"#,
    )
    .unwrap();
    let error = load(&component).unwrap_err();
    assert!(matches!(error, PluginError::WrongWorld { .. }), "{error}");
}

#[test]
fn a_label_imports_next_to_nothing() {
    let inspection = plugin::inspect(&component("label"), None).unwrap();
    assert_eq!(inspection.contract.as_deref(), Some("wasmill:plugin@0.1.2"));
    assert_eq!(inspection.refusal, None);
    assert_eq!(inspection.is_cached, None);
    assert!(inspection.keeps_description);
    assert!(
        inspection
            .imports
            .iter()
            .all(|import| import.name.starts_with("wasmill:plugin/") && import.access == plugin::Access::Always)
    );
    assert!(
        !inspection.imports.iter().any(|import| import.name.contains("context")),
        "{:?}",
        inspection.imports
    );
    assert!(
        inspection.producers.iter().any(|p| p.contains("Rust")),
        "{:?}",
        inspection.producers
    );
    assert_eq!(inspection.description.unwrap().ports[0].name, "out");
}

fn cache_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn compiled_code_is_kept_checked_and_private() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("cache");
    let engine = |dir: &Path| {
        Engine::new(EngineOptions {
            cache_dir: Some(dir.to_owned()),
            ..EngineOptions::default()
        })
        .unwrap()
    };
    let path = component("label");
    engine(&dir).load(&path).unwrap();
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let [file] = cache_files(&dir).try_into().unwrap();
    let good = std::fs::read(&file).unwrap();

    // A hit: nothing is written again, the time of its use apart. A new file would be another inode.
    let written = std::fs::metadata(&file).unwrap().ino();
    engine(&dir).load(&path).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().ino(), written);

    // Damage of every kind is found, and mended.
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for damaged in [flipped.as_slice(), &good[..good.len() / 2], &good[..7], b""] {
        std::fs::write(&file, damaged).unwrap();
        engine(&dir).load(&path).unwrap();
        assert_eq!(std::fs::read(&file).unwrap().len(), good.len());
    }

    // Code that passes as a component is not taken for one.
    let error = engine(&dir).load(&file).unwrap_err();
    assert!(matches!(error, PluginError::NotAComponent { .. }), "{error}");

    // A directory that others may write to is made private.
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    engine(&dir);
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn features_that_are_off_are_refused() {
    let memory = wasm_encoder::MemoryType {
        minimum: 1,
        maximum: Some(1),
        memory64: false,
        shared: false,
        page_size_log2: None,
    };
    let with = |memory| {
        let mut module = wasm_encoder::Module::new();
        let mut memories = wasm_encoder::MemorySection::new();
        memories.memory(memory);
        module.section(&memories);
        let mut component = wasm_encoder::Component::new();
        component.section(&wasm_encoder::ModuleSection(&module));
        load(&component.finish()).unwrap_err().to_string()
    };
    let wide = wasm_encoder::MemoryType {
        memory64: true,
        ..memory
    };
    assert!(with(wide).contains("memory64"), "{}", with(wide));
    let shared = wasm_encoder::MemoryType { shared: true, ..memory };
    assert!(with(shared).contains("threads"), "{}", with(shared));
    // What is on gets as far as the check of its exports.
    assert!(with(memory).contains("does not export"), "{}", with(memory));
}
