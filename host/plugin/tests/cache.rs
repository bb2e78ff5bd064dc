//! How large a component may be, and how much compiled code is kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::path::{Path, PathBuf};

use common::{ENGINE, component};
use plugin::{Engine, EngineOptions, LoadOptions, PluginError};
use wasmill_plugin as plugin;

/// A component of about this size whose `describe` is never reached: it is compiled, which is what
/// the cache is about.
fn filler(seed: u8) -> Vec<u8> {
    let mut image = common::handmade::Image::new();
    image.put(&[seed; 1 << 16]);
    common::handmade::answering(image, &common::handmade::Outbound::default())
}

#[test]
fn what_was_not_used_for_longest_leaves_the_cache_first() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("cache");
    let load = |seed: u8, bytes_max: u64| {
        let engine = Engine::new(EngineOptions {
            cache_dir: Some(dir.clone()),
            cache_bytes_max: bytes_max,
            ..EngineOptions::default()
        })
        .unwrap();
        engine.load_bytes(&filler(seed), Path::new("filler.wasm")).unwrap();
        // Times of files are compared.
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let names = || {
        let entries = std::fs::read_dir(&dir).unwrap();
        let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    load(1, u64::MAX);
    let [one] = names().try_into().unwrap();
    let bytes = std::fs::metadata(&one).unwrap().len();
    load(2, u64::MAX);
    let two = names().into_iter().find(|name| *name != one).unwrap();
    // A stranger in the directory is left alone.
    std::fs::write(dir.join("README"), "mine").unwrap();
    // The first is used again, so the second goes when a third comes and there is room for two.
    load(1, u64::MAX);
    load(3, bytes * 5 / 2);
    assert!(one.is_file() && !two.exists(), "{:?}", names());
    assert_eq!(names().len(), 3);
    // What was just compiled is kept, however large it is.
    load(4, 1);
    assert!(!one.exists() && names().len() == 2, "{:?}", names());
}

#[test]
fn a_component_that_is_too_large_is_not_read() {
    let path = component("label");
    let bytes = std::fs::metadata(&path).unwrap().len();
    let options = |component_bytes_max| LoadOptions {
        component_bytes_max,
        ..LoadOptions::default()
    };
    let error = ENGINE.load_with(&path, &options(bytes - 1)).unwrap_err();
    assert!(matches!(error, PluginError::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("component_mib"), "{error}");
    let compiled = ENGINE.load_with(&path, &options(bytes)).unwrap();
    assert!(compiled.check_size(&options(bytes - 1)).is_err());
    // A file without a length: there is no end to it.
    let error = ENGINE.load_with(Path::new("/dev/zero"), &options(1 << 20)).unwrap_err();
    assert!(matches!(error, PluginError::TooLarge { .. }), "{error}");
}
