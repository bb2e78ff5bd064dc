//! Pushing to and pulling from a real registry.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::Registry;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as Image};
use serde_json::{Value, json};
use wasmill_registry::{About, Digest, Limits, Pushed, Reference, RegistryError, Target, pull, push};

const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";

/// Something that begins as a component does, of some length.
fn component(length: usize) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend((0..length).map(|i| (i * 7 % 251) as u8));
    bytes
}

/// A registry, and a directory for files and the cache.
struct Place {
    registry: Registry,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            registry: Registry::start(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn push(&self, bytes: &[u8]) -> Pushed {
        let file = self.dir.path().join("plugin.wasm");
        std::fs::write(&file, bytes).unwrap();
        let target = self.target();
        push(&file, &target, &About::default(), &Limits::default()).unwrap()
    }

    fn target(&self) -> Target {
        format!("oci://{}/team/split:v1", self.registry.host()).parse().unwrap()
    }

    fn pull(&self, reference: &Reference) -> Result<PathBuf, RegistryError> {
        pull(reference, &self.cache(), &Limits::default())
    }

    /// Pushes a manifest with one layer, made by hand, as other tools might.
    fn push_manifest(&self, config: &str, layer: &str, bytes: &[u8], size: u64) -> Reference {
        let host = self.registry.host();
        let image = Image::with_tag(host.clone(), "team/split".to_owned(), "other".to_owned());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": config, "digest": Digest::of(b"{}").as_str(), "size": 2},
            "layers": [{"mediaType": layer, "digest": Digest::of(bytes).as_str(), "size": size}],
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let digest = Digest::of(&manifest);
        // As the library does; here it may not have been called yet.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_from(ClientConfig {
            protocol: ClientProtocol::HttpsExcept(vec![host.clone()]),
            ..ClientConfig::default()
        })
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            client.store_auth_if_needed(&host, &RegistryAuth::Anonymous).await;
            for bytes in [&b"{}"[..], bytes] {
                let digest = Digest::of(bytes);
                client.push_blob(&image, bytes.to_vec(), digest.as_str()).await.unwrap();
            }
            let kind = "application/vnd.oci.image.manifest.v1+json".parse().unwrap();
            client.push_manifest_raw(&image, manifest, kind).await.unwrap();
        });
        format!("oci://{host}/team/split@{digest}").parse().unwrap()
    }
}

/// Files in the cache that are not manifests.
fn kept(cache: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(cache.join("sha256"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".json"))
        .collect();
    names.sort();
    names
}

/// Changes a byte in the middle of a file and nothing else.
fn tamper(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_pushed_is_pulled_by_its_digest() {
    let place = Place::new();
    // More than one chunk of an upload.
    let bytes = component(5 << 20);
    let pushed = place.push(&bytes);
    assert_eq!(pushed.component, Digest::of(&bytes));
    assert_eq!(pushed.size, bytes.len() as u64);
    assert_eq!(pushed.reference.repository, place.target().repository);
    assert_eq!(pushed.reference.tag.as_deref(), Some("v1"));

    let path = place.pull(&pushed.reference).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(
        path.ends_with(format!("sha256/{}.wasm", Digest::of(&bytes).hex())),
        "{path:?}"
    );
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.cache()), 0o700);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(kept(&place.cache()).len(), 1, "no temporary files");

    let again = place.push(&bytes);
    assert_eq!(
        again.reference, pushed.reference,
        "the same component, the same reference"
    );
    let untagged = Reference {
        tag: None,
        ..pushed.reference
    };
    assert_eq!(place.pull(&untagged).unwrap(), path);
}

#[test]
fn a_tag_that_was_moved_changes_nothing() {
    let place = Place::new();
    let first = place.push(&component(10));
    let second = place.push(&component(20));
    assert_ne!(first.reference.digest, second.reference.digest);
    let path = place.pull(&first.reference).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), component(10));
}

#[test]
fn a_digest_that_the_registry_does_not_have_is_said() {
    let place = Place::new();
    let pushed = place.push(&component(10));
    let absent = Reference {
        digest: Digest::of(b"nothing"),
        ..pushed.reference.clone()
    };
    let error = place.pull(&absent).unwrap_err();
    assert_eq!(error.code().0, "E0234", "{error}");
    assert!(error.to_string().contains(absent.digest.as_str()), "{error}");

    // The likely mistake. This registry fails on it; others say that there is no such manifest.
    let layer = Reference {
        digest: pushed.component,
        ..pushed.reference
    };
    let error = place.pull(&layer).unwrap_err();
    assert_eq!(error.code().0, "E0232", "{error}");
    assert!(error.to_string().contains("not that of a manifest"), "{error}");
}

#[test]
fn a_component_that_was_tampered_with_is_refused_and_not_kept() {
    let place = Place::new();
    let pushed = place.push(&component(1000));
    tamper(&place.registry.blob(pushed.component.hex()));
    let error = place.pull(&pushed.reference).unwrap_err();
    assert_eq!(error.code().0, "E0235", "{error}");
    assert!(error.to_string().contains("the component has the digest"), "{error}");
    assert_eq!(kept(&place.cache()), Vec::<String>::new());
}

#[test]
fn a_manifest_that_was_tampered_with_is_refused_and_not_kept() {
    let place = Place::new();
    let pushed = place.push(&component(1000));
    let other = place.push(&component(2000));
    let manifest = |pushed: &Pushed| place.registry.blob(pushed.reference.digest.hex());
    // Another manifest, good in itself, under the pinned digest.
    std::fs::copy(manifest(&other), manifest(&pushed)).unwrap();
    let error = place.pull(&pushed.reference).unwrap_err();
    assert_eq!(error.code().0, "E0235", "{error}");
    assert!(error.to_string().contains("the manifest has the digest"), "{error}");
    assert_eq!(std::fs::read_dir(place.cache().join("sha256")).unwrap().count(), 0);
}

#[test]
fn a_component_that_is_too_large_is_not_pulled_whatever_its_manifest_says() {
    let place = Place::new();
    let bytes = component(100_000);
    let limits = Limits {
        component_bytes: 50_000,
        ..Limits::default()
    };
    let honest = place.push(&bytes).reference;
    let lying = place.push_manifest(CONFIG, LAYER, &bytes, 8);
    for reference in [honest, lying] {
        let error = pull(&reference, &place.cache(), &limits).unwrap_err();
        assert_eq!(error.code().0, "E0237", "{error}");
        assert!(error.to_string().contains("50000 bytes"), "{error}");
        assert_eq!(kept(&place.cache()), Vec::<String>::new());
    }
    let file = place.dir.path().join("plugin.wasm");
    let error = push(&file, &place.target(), &About::default(), &limits).unwrap_err();
    assert_eq!(error.code().0, "E0237", "{error}");
}

#[test]
fn what_was_pulled_once_needs_no_registry() {
    let mut place = Place::new();
    let bytes = component(1000);
    let pushed = place.push(&bytes);
    let path = place.pull(&pushed.reference).unwrap();
    place.registry.stop();
    assert_eq!(place.pull(&pushed.reference).unwrap(), path);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);

    let other = Reference {
        digest: Digest::of(b"other"),
        ..pushed.reference
    };
    let error = place.pull(&other).unwrap_err();
    assert_eq!(error.code().0, "E0232", "{error}");
    assert!(error.to_string().contains(&other.to_string()), "{error}");
}

#[test]
fn a_cache_that_was_tampered_with_is_pulled_anew() {
    let mut place = Place::new();
    let bytes = component(1000);
    let pushed = place.push(&bytes);
    let path = place.pull(&pushed.reference).unwrap();
    let manifest = path.with_file_name(format!("{}.json", pushed.reference.digest.hex()));
    tamper(&path);
    tamper(&manifest);
    assert_eq!(place.pull(&pushed.reference).unwrap(), path);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);

    tamper(&path);
    place.registry.stop();
    let error = place.pull(&pushed.reference).unwrap_err();
    assert_eq!(error.code().0, "E0232", "what is damaged is not used: {error}");
}

#[test]
fn something_else_than_a_plugin_is_named_by_its_media_type() {
    let place = Place::new();
    let bytes = component(10);
    let image = "application/vnd.oci.image.config.v1+json";
    let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
    for (config, layer, named) in [(image, LAYER, image), (CONFIG, tar, tar)] {
        let reference = place.push_manifest(config, layer, &bytes, bytes.len() as u64);
        let error = place.pull(&reference).unwrap_err();
        assert_eq!(error.code().0, "E0236", "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    let module = b"\0asm\x01\0\0\0".to_vec();
    let reference = place.push_manifest(CONFIG, LAYER, &module, module.len() as u64);
    let error = place.pull(&reference).unwrap_err();
    assert_eq!(error.code().0, "E0236", "{error}");
    assert!(error.to_string().contains("core module"), "{error}");
    assert_eq!(kept(&place.cache()), Vec::<String>::new());
}

#[test]
fn the_older_layout_is_pulled_too() {
    let place = Place::new();
    let bytes = component(10);
    let (config, layer) = (
        "application/vnd.wasm.config.v1+json",
        "application/vnd.wasm.content.layer.v1+wasm",
    );
    let reference = place.push_manifest(config, layer, &bytes, bytes.len() as u64);
    let path = place.pull(&reference).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), bytes);
}

#[test]
fn what_is_pushed_has_the_layout_of_wasm_artifacts() {
    let place = Place::new();
    let pushed = place.push(&component(10));
    let read =
        |hex: &str| -> Value { serde_json::from_slice(&std::fs::read(place.registry.blob(hex)).unwrap()).unwrap() };
    let manifest = read(pushed.reference.digest.hex());
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(manifest["config"]["mediaType"], CONFIG);
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], LAYER);
    assert_eq!(manifest["layers"][0]["digest"], pushed.component.as_str());
    let config = read(
        manifest["config"]["digest"]
            .as_str()
            .unwrap()
            .trim_start_matches("sha256:"),
    );
    assert_eq!(config["architecture"], "wasm");
    assert_eq!(config["layerDigests"][0], pushed.component.as_str());
    assert!(
        config["component"].is_object() && config["created"].is_string(),
        "{config}"
    );
}

#[test]
fn a_registry_that_wants_a_password_is_said_to_refuse() {
    let registry = Registry::start_with_password();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plugin.wasm");
    std::fs::write(&file, component(10)).unwrap();
    let place = format!("oci://{}/split", registry.host());
    let target = format!("{place}:v1").parse().unwrap();
    let pushed = push(&file, &target, &About::default(), &Limits::default()).unwrap_err();
    let reference = format!("{place}@{}", Digest::of(b"x")).parse().unwrap();
    let pulled = pull(&reference, dir.path(), &Limits::default()).unwrap_err();
    for error in [pushed, pulled] {
        assert_eq!(error.code().0, "E0233", "{error}");
        assert!(error.to_string().contains("asked without credentials"), "{error}");
        assert!(error.next().contains("docker login"), "{}", error.next());
    }
}
