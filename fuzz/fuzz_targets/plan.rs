//! The text of a pipeline: a plan or diagnostics, whatever it is.

#![no_main]

use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use pipeline::{Env, LoadOptions, PluginUse, load_text};
use record::transform::{Description, Port, StoreSpec};

/// Plugins by name, as the pipeline crate's own tests have them; their files are there.
fn describe(used: PluginUse<'_>) -> Description {
    let name = used.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    let port = |name: &str, rekeys| Port {
        name: name.to_owned(),
        doc: String::new(),
        rekeys,
    };
    Description {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        inputs: if name == "join" {
            vec!["orders".to_owned(), "prices".to_owned()]
        } else {
            Vec::new()
        },
        ports: vec![port("out", name == "word_split"), port("errors", false)],
        stores: if matches!(name, "word_count" | "temperature" | "join") {
            vec![StoreSpec {
                name: "s".to_owned(),
                doc: String::new(),
                table: false,
                keyed: true,
                key_format: "utf8".to_owned(),
                value_format: "json".to_owned(),
            }]
        } else {
            Vec::new()
        },
        ..Description::default()
    }
}

fuzz_target!(|text: &str| {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/pipeline/tests");
    for embedded in [false, true] {
        let options = LoadOptions {
            embedded,
            plugin_root: PathBuf::from(&dir),
            env: Env::from_pairs([("URL", "mysql://db"), ("SET", "x"), ("CONFIG", "y")]),
            ..LoadOptions::default()
        };
        let load = || {
            load_text("p.toml".into(), text.into(), &dir, &options, &mut |used| {
                Ok(describe(used))
            })
        };
        match load() {
            Ok(loaded) => {
                let again = load().expect("what was a plan is a plan");
                assert_eq!(loaded.plan_hash, again.plan_hash);
            }
            Err(diagnostics) => {
                assert!(!diagnostics.list.is_empty());
                let _ = diagnostics.to_string();
            }
        }
    }
});
