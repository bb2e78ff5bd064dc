//! The layout of a plugin in a registry: a manifest that names a config and one layer.
//!
//! Written is the layout of the CNCF (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>);
//! read is also the older one, whose layer has another media type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::digest::Digest;

/// The media type of manifests.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
const OLD_CONFIG: &str = "application/vnd.wasm.config.v1+json";
const OLD_LAYER: &str = "application/vnd.wasm.content.layer.v1+wasm";

/// What a component starts with. A core module has another version there.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
const MODULE: [u8; 4] = *b"\0asm";

/// What a manifest names.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// The layer that holds the component.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Reads a manifest.
///
/// # Errors
/// What it is instead of a plugin's.
pub(crate) fn read(bytes: &[u8]) -> Result<Layer, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        #[serde(default)]
        media_type: Option<String>,
    }
    let not_read = |error: serde_json::Error| format!("its manifest cannot be read: {error}");
    let kind: Kind = serde_json::from_slice(bytes).map_err(not_read)?;
    if let Some(kind) = kind.media_type.filter(|kind| kind != MANIFEST) {
        return Err(format!("it is `{kind}`, not a manifest `{MANIFEST}`"));
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(not_read)?;
    if manifest.schema_version != 2 {
        return Err(format!(
            "its manifest has the version {}, not 2",
            manifest.schema_version
        ));
    }
    let config = &manifest.config.media_type;
    if config != CONFIG && config != OLD_CONFIG {
        return Err(format!("its config is `{config}`, not `{CONFIG}`"));
    }
    let [layer] = manifest.layers.as_slice() else {
        return Err(format!(
            "it has {} layers, and a plugin has one `{LAYER}`",
            manifest.layers.len()
        ));
    };
    if layer.media_type != LAYER && layer.media_type != OLD_LAYER {
        return Err(format!("its layer is `{}`, not `{LAYER}`", layer.media_type));
    }
    let digest = Digest::parse(&layer.digest).map_err(|what| format!("its layer cannot be verified: {what}"))?;
    Ok(Layer {
        digest,
        size: layer.size,
    })
}

/// What is said of a component beside its bytes.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The plugin's name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

/// What is pushed with a component.
pub(crate) struct Artifact {
    pub(crate) config: Vec<u8>,
    pub(crate) config_digest: Digest,
    pub(crate) layer: Layer,
    pub(crate) manifest: Vec<u8>,
    pub(crate) manifest_digest: Digest,
}

/// Makes manifest and config. The same component always gives the same digests: the time in the
/// config, which the layout asks for, is fixed.
///
/// # Errors
/// Writing JSON, which does not happen.
pub(crate) fn make(component: &[u8], about: &About) -> Result<Artifact, serde_json::Error> {
    let layer = Layer {
        digest: Digest::of(component),
        size: component.len() as u64,
    };
    let config = serde_json::to_vec(&json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer.digest.as_str()],
        "component": { "exports": about.exports, "imports": about.imports },
    }))?;
    let config_digest = Digest::of(&config);
    let named = [
        ("org.opencontainers.image.title", &about.name),
        ("org.opencontainers.image.version", &about.version),
    ];
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.to_owned()),
        config: Descriptor {
            media_type: CONFIG.to_owned(),
            digest: config_digest.to_string(),
            size: config.len() as u64,
        },
        layers: vec![Descriptor {
            media_type: LAYER.to_owned(),
            digest: layer.digest.to_string(),
            size: layer.size,
        }],
        annotations: named
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect(),
    })?;
    Ok(Artifact {
        manifest_digest: Digest::of(&manifest),
        config,
        config_digest,
        layer,
        manifest,
    })
}

/// Whether these bytes begin as a component does.
///
/// # Errors
/// What they are instead.
pub(crate) fn check_component(start: &[u8]) -> Result<(), &'static str> {
    if start.starts_with(&COMPONENT) {
        Ok(())
    } else if start.starts_with(&MODULE) {
        Err("it is a core module; `wasmill build` makes a component of one")
    } else {
        Err("it does not begin as one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(config: &str, layers: &[&str]) -> Vec<u8> {
        let descriptor = |kind: &str| Descriptor {
            media_type: kind.to_owned(),
            digest: Digest::of(b"x").to_string(),
            size: 1,
        };
        serde_json::to_vec(&Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: descriptor(config),
            layers: layers.iter().map(|kind| descriptor(kind)).collect(),
            annotations: BTreeMap::new(),
        })
        .expect("JSON")
    }

    #[test]
    fn both_layouts_are_read_and_the_newer_is_written() {
        for (config, layer) in [(CONFIG, LAYER), (OLD_CONFIG, OLD_LAYER), (CONFIG, OLD_LAYER)] {
            let layer = read(&manifest(config, &[layer])).expect("a plugin");
            assert_eq!((layer.digest, layer.size), (Digest::of(b"x"), 1));
        }
        let about = About {
            name: "split".to_owned(),
            ..About::default()
        };
        let made = make(b"abc", &about).expect("made");
        let layer = read(&made.manifest).expect("a plugin");
        assert_eq!((layer.digest, layer.size), (Digest::of(b"abc"), 3));
        let text = String::from_utf8(made.manifest.clone()).expect("text");
        assert!(
            text.contains(CONFIG) && text.contains(r#""mediaType":"application/wasm""#),
            "{text}"
        );
        assert!(text.contains(r#""org.opencontainers.image.title":"split""#), "{text}");
        let again = make(b"abc", &about).expect("made");
        assert_eq!(again.manifest_digest, made.manifest_digest);
    }

    #[test]
    fn anything_else_is_named_by_its_media_type() {
        let image = "application/vnd.oci.image.config.v1+json";
        assert!(read(&manifest(image, &[LAYER])).expect_err("an image").contains(image));
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        assert!(read(&manifest(CONFIG, &[tar])).expect_err("a tar").contains(tar));
        assert!(read(&manifest(CONFIG, &[])).expect_err("none").contains("0 layers"));
        assert!(
            read(&manifest(CONFIG, &[LAYER, LAYER]))
                .expect_err("two")
                .contains("2 layers")
        );
        let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        assert!(read(index).expect_err("an index").contains("image.index"));
        assert!(read(b"<html>").expect_err("a page").contains("cannot be read"));
    }

    #[test]
    fn a_component_begins_as_one() {
        check_component(b"\0asm\x0d\0\x01\0rest").expect("a component");
        assert!(
            check_component(b"\0asm\x01\0\0\0")
                .expect_err("a module")
                .contains("core module")
        );
        check_component(b"").expect_err("nothing");
    }
}
