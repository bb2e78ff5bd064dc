//! Plugins from a registry as a user has them: push, and the reference in inspect, validate, run and
//! test.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod common;
#[path = "../../registry/tests/common/mod.rs"]
mod registry_server;
mod services;

use std::path::Path;

use common::{Ran, command, ran};
use registry_server::Registry;
use serde_json::Value;
use services::plugin;

/// A user with a cache and Docker settings of their own.
struct User {
    registry: Registry,
    dir: tempfile::TempDir,
}

impl User {
    fn new(registry: Registry) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("docker")).unwrap();
        std::fs::write(dir.path().join("lines.txt"), "to be or not to be\n").unwrap();
        Self { registry, dir }
    }

    fn wasmill(&self, args: &[&str]) -> Ran {
        let dir = self.dir.path();
        let output = command(dir, args)
            .env("XDG_CACHE_HOME", dir.join("cache"))
            .env("DOCKER_CONFIG", dir.join("docker"))
            .output()
            .unwrap();
        ran(output)
    }

    /// As [`Self::wasmill`], and it has to do what it was asked.
    fn done(&self, args: &[&str]) -> Ran {
        let ran = self.wasmill(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.golden());
        ran
    }

    fn place(&self) -> String {
        format!("oci://{}/team/word_split", self.registry.host())
    }

    fn push(&self) -> String {
        let target = format!("{}:v1", self.place());
        let ran = self.done(&["push", &plugin("word_split"), &target, "--json"]);
        let value: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(value["plugin"], "word_split");
        value["reference"].as_str().unwrap().to_owned()
    }

    /// Words out of lines, by the plugin in the registry; and a test of it.
    fn pipeline(&self, plugin: &str) {
        let text = format!(
            "name = \"words\"\ncreate_topics = true\n\n[sources.lines]\ntype = \"file\"\npath = \"lines.txt\"\n\n\
             [transforms.split]\ninputs = [\"lines\"]\ntype = \"wasm\"\nplugin = \"{plugin}\"\n\n\
             [sinks.words]\ninputs = [\"split\"]\ntype = \"file\"\npath = \"words.txt\"\n"
        );
        std::fs::write(self.dir.path().join("words.toml"), text).unwrap();
        let test = "pipeline = \"words.toml\"\n\n[[cases]]\nname = \"two words\"\n\
             steps = [{ source = \"lines\", value = \"to be\" }]\n\
             expect.words = [{ key = \"to\", value = \"to\" }, { key = \"be\", value = \"be\" }]\n";
        std::fs::write(self.dir.path().join("words.test.toml"), test).unwrap();
    }
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn a_plugin_from_a_registry_runs_as_one_from_a_file_and_then_without_the_registry() {
    let mut user = User::new(Registry::start());
    let reference = user.push();
    let printed = user.done(&["push", &plugin("word_split"), &format!("{}:v1", user.place())]);
    assert_eq!(
        printed.stdout,
        format!("plugin = \"{reference}\"\n"),
        "to paste, and always the same"
    );
    user.pipeline(&reference);

    user.done(&["validate", "words.toml", "--embedded"]);
    assert_eq!(
        files(&user.dir.path().join("cache/wasmill/registry/sha256")),
        2,
        "a manifest and a component"
    );
    // From now on the cache has to do.
    user.registry.stop();

    let ran = user.done(&["validate", "words.toml", "--embedded", "--json"]);
    assert!(ran.stdout.contains(&reference), "{}", ran.stdout);
    let local = user.done(&["inspect", &plugin("word_split"), "--json"]);
    let remote = user.done(&["inspect", &reference, "--json"]);
    let without_times = |text: &str| -> serde_json::Value {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        value.as_object_mut().unwrap().remove("load_seconds");
        value
    };
    assert_eq!(without_times(&remote.stdout), without_times(&local.stdout));
    user.done(&["test", "words.test.toml"]);
    user.done(&["run", "words.toml", "--embedded", "--until-end"]);
    let words = std::fs::read_to_string(user.dir.path().join("words.txt")).unwrap();
    let mut words: Vec<&str> = words.lines().collect();
    words.sort_unstable();
    assert_eq!(words, ["be", "be", "not", "or", "to", "to"]);
}

#[test]
fn a_tag_alone_is_refused_at_its_place() {
    let user = User::new(Registry::start());
    user.push();
    let tag = format!("{}:v1", user.place());
    user.pipeline(&tag);
    let ran = user.wasmill(&["validate", "words.toml", "--embedded"]);
    assert_eq!(ran.code, Some(2), "{}", ran.golden());
    for part in [
        "error[E0231]",
        "words.toml:11:10",
        "is not pinned",
        "^^^^^",
        "oras resolve 127.0.0.1:",
    ] {
        assert!(ran.stderr.contains(part), "{part} is missing: {}", ran.stderr);
    }
    let ran = user.wasmill(&["inspect", &tag]);
    assert_eq!(ran.code, Some(2), "{}", ran.golden());
    assert!(ran.stderr.contains("error[E0231]"), "{}", ran.stderr);
}

#[test]
fn a_plugin_that_was_tampered_with_does_not_run() {
    let user = User::new(Registry::start());
    let reference = user.push();
    user.pipeline(&reference);
    let inspected = user.done(&["inspect", &plugin("word_split"), "--json"]);
    let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap();
    let blob = user.registry.blob(inspected["sha256"].as_str().unwrap());
    let mut bytes = std::fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let ran = user.wasmill(&["run", "words.toml", "--embedded", "--until-end"]);
    assert_eq!(ran.code, Some(2), "{}", ran.golden());
    for part in ["error[E0235]", "words.toml:11:10", "it is not what was pinned"] {
        assert!(ran.stderr.contains(part), "{part} is missing: {}", ran.stderr);
    }
    assert!(!user.dir.path().join("words.txt").exists());
}

#[test]
fn credentials_are_those_of_dockers_config_file() {
    let user = User::new(Registry::start_with_password());
    let target = format!("{}:v1", user.place());
    let config = user.dir.path().join("docker/config.json");
    let log_in = |auth: &str| {
        let text = format!(
            "{{\"auths\": {{\"{}\": {{\"auth\": \"{auth}\"}}}}}}",
            user.registry.host()
        );
        std::fs::write(&config, text).unwrap();
    };
    let refused = user.wasmill(&["push", &plugin("word_split"), &target]);
    assert_eq!(refused.code, Some(1), "{}", refused.golden());
    assert!(refused.stderr.contains("error[E0233]"), "{}", refused.stderr);
    // me:sesame-wrong
    log_in("bWU6c2VzYW1lLXdyb25n");
    let refused = user.wasmill(&["push", &plugin("word_split"), &target]);
    assert!(
        refused.stderr.contains("asked with the credentials of 127.0.0.1"),
        "{}",
        refused.stderr
    );
    // me:sesame-registry
    log_in("bWU6c2VzYW1lLXJlZ2lzdHJ5");
    let reference = user.push();
    user.done(&["inspect", &reference]);
}

#[test]
fn only_plugins_are_pushed_and_only_to_tags() {
    let user = User::new(Registry::start());
    let place = user.place();
    std::fs::write(user.dir.path().join("text.wasm"), "text").unwrap();
    let ran = user.wasmill(&["push", "text.wasm", &format!("{place}:v1")]);
    assert_eq!(ran.code, Some(1), "{}", ran.golden());
    assert!(ran.stderr.contains("error[E0202]"), "{}", ran.stderr);
    for target in [place.as_str(), "registry.example/split:v1"] {
        let ran = user.wasmill(&["push", &plugin("word_split"), target]);
        assert_eq!(ran.code, Some(2), "{}", ran.golden());
        assert!(ran.stderr.contains("error[E0230]"), "{}", ran.stderr);
    }
}
