//! The contract in `wit/`: valid, and every item says what it is.

use std::path::Path;

use wit_parser::{Docs, Resolve, TypeDefKind, WorldItem};

#[test]
fn every_item_is_documented() {
    let mut resolve = Resolve::default();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(&dir).unwrap();
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
