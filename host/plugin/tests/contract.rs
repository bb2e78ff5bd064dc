//! The contract in `wit/`: valid, every item says what it is, and plugins built against a released
//! version still fit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests fails the test"
)]

use std::path::{Path, PathBuf};

use wit_parser::{Docs, Resolve, TypeDefKind, WorldId, WorldItem};

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
}

/// The contract at a path, and its worlds by name.
fn contract(resolve: &mut Resolve, text: &str, name: &str) -> Vec<(String, WorldId)> {
    let package = resolve.push_str(name, text).unwrap();
    let worlds = &resolve.packages[package].worlds;
    worlds.iter().map(|(name, id)| (name.clone(), *id)).collect()
}

/// Why a plugin that was built against `old` does not fit a host that serves `new`.
fn misfit(old: &str, new: &str) -> Option<String> {
    let names: Vec<String> = contract(&mut Resolve::default(), old, "old.wit")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    names.iter().find_map(|name| {
        let mut resolve = Resolve::default();
        // Two packages of one name need two versions; one that is older than what it marks `@since` is refused.
        let old = contract(
            &mut resolve,
            &old.replacen("package wasmill:plugin@", "package wasmill:plugin@9.9.9-", 1),
            "old.wit",
        );
        let new = contract(&mut resolve, new, "new.wit");
        let find = |worlds: &[(String, WorldId)]| worlds.iter().find(|(of, _)| of == name).map(|(_, id)| *id);
        let Some(new) = find(&new) else {
            return Some(format!("the world `{name}` is gone"));
        };
        let old = find(&old).expect("a world of the old contract");
        wit_component::semver_check(resolve, old, new)
            .err()
            .map(|error| format!("{name}: {error:#}"))
    })
}

fn released() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = std::fs::read_dir(wit().join("released"))
        .unwrap()
        .map(|entry| {
            let dir = entry.unwrap().path();
            let version = dir.file_name().unwrap().to_string_lossy().into_owned();
            (version, std::fs::read_to_string(dir.join("plugin.wit")).unwrap())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn plugins_of_a_released_contract_still_fit() {
    let now = std::fs::read_to_string(wit().join("plugin.wit")).unwrap();
    let released = released();
    for (version, text) in &released {
        assert_eq!(misfit(text, &now), None, "contract {version}");
    }
    let (newest, text) = released.last().expect("a released contract");
    if *newest == wasmill_plugin::CONTRACT_VERSION {
        assert_eq!(
            *text, now,
            "contract {newest} is released: a change needs a new version, and its file in wit/released"
        );
    }
}

#[test]
fn what_would_break_plugins_is_found() {
    let now = std::fs::read_to_string(wit().join("plugin.wit")).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(now.contains(from), "{from}");
        now.replacen("plugin@0.1.2", "plugin@0.1.3", 1).replacen(from, to, 1)
    };
    for (what, next) in [
        (
            "a field of a record",
            changed("    count: u32,\n", "    count: u32,\n    more: u32,\n"),
        ),
        (
            "a case of an enum",
            changed("    wall-clock,\n", "    wall-clock,\n    other,\n"),
        ),
        (
            "a parameter",
            changed("now: func() -> s64", "now: func(index: u32) -> s64"),
        ),
        (
            "an export that plugins lack",
            changed(
                "  export processor;\n",
                "  export processor;\n  export timer-handler;\n",
            ),
        ),
        ("a function taken away", changed("  pipeline: func() -> string;\n", "")),
    ] {
        assert!(misfit(&now, &next).is_some(), "{what} is not found");
    }
    let more = changed(
        "  /// Wall clock, standing still",
        "  /// More.\n  more: func(index: u32) -> s64;\n  /// Wall clock, standing still",
    );
    assert_eq!(
        misfit(&now, &more),
        None,
        "a function may be added to an interface that plugins import"
    );
}

#[test]
fn every_item_is_documented() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit()).unwrap();
    let mut missing = Vec::new();
    let mut check = |docs: &Docs, place: String| {
        if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
            missing.push(place);
        }
    };
    let package = &resolve.packages[package];
    check(&package.docs, package.name.to_string());
    assert_eq!(
        package.name.to_string(),
        format!("wasmill:plugin@{}", wasmill_plugin::CONTRACT_VERSION)
    );
    for (interface_name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        check(&interface.docs, interface_name.clone());
        for (name, id) in &interface.types {
            let ty = &resolve.types[*id];
            let place = format!("{interface_name}.{name}");
            match &ty.kind {
                TypeDefKind::Record(record) => {
                    for field in &record.fields {
                        check(&field.docs, format!("{place}.{}", field.name));
                    }
                }
                TypeDefKind::Enum(cases) => {
                    for case in &cases.cases {
                        check(&case.docs, format!("{place}.{}", case.name));
                    }
                }
                // A name brought in by `use` is documented where it is defined.
                TypeDefKind::Type(_) => continue,
                _ => {}
            }
            check(&ty.docs, place);
        }
        for (name, function) in &interface.functions {
            check(&function.docs, format!("{interface_name}.{name}"));
        }
    }
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        check(&world.docs, name.clone());
        // Everything in interfaces: nothing else would carry a version.
        let items = world.imports.values().chain(world.exports.values());
        for item in items {
            assert!(matches!(item, WorldItem::Interface { .. }), "world {name}");
        }
    }
    assert_eq!(missing, Vec::<String>::new(), "not documented");
}
