//! Plugins built against contract 0.1.0, kept as they were built, on a host that serves 0.1.1.
//!
//! `tests/fixtures/0.1.0` holds `word_count` in every language, compressed; `tests/fixtures/0.1.1.wit`
//! is a contract with what a patch may add. The host of 0.1.1 is made here from its text: each function
//! of each interface that plugins import, with answers for those that `word_count` calls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::path::{Path, PathBuf};

use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Config, Engine, Store};
use wit_parser::{Resolve, WorldItem};

const LANGUAGES: [&str; 5] = ["rust", "go", "js", "python", "c"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn component(engine: &Engine, language: &str) -> Component {
    let path = fixtures().join("0.1.0").join(format!("word_count.{language}.wasm.zst"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let bytes = zstd::decode_all(&*packed).unwrap();
    Component::from_binary(engine, &bytes).unwrap()
}

fn column(entries: &[&[u8]]) -> Val {
    let data: Vec<Val> = entries.concat().into_iter().map(Val::U8).collect();
    let ends = entries.iter().scan(0, |end, entry| {
        *end += entry.len() as u32;
        Some(Val::U32(*end))
    });
    Val::Record(vec![
        ("data".into(), Val::List(data)),
        ("ends".into(), Val::List(ends.collect())),
        ("marks".into(), Val::List(Vec::new())),
    ])
}

fn nothing() -> Val {
    column(&[])
}

fn field<'a>(record: &'a Val, name: &str) -> &'a Val {
    let Val::Record(fields) = record else {
        panic!("{record:?}")
    };
    &fields.iter().find(|(of, _)| of == name).unwrap().1
}

/// How many entries a column has.
fn count(column: &Val) -> usize {
    match field(column, "ends") {
        Val::List(ends) => ends.len(),
        other => panic!("{other:?}"),
    }
}

/// The functions of the contract that plugins import, as a host of its version offers them.
fn linker(engine: &Engine) -> Linker<()> {
    let mut resolve = Resolve::default();
    let path = fixtures().join("0.1.1.wit");
    let package = resolve
        .push_str(&path, &std::fs::read_to_string(&path).unwrap())
        .unwrap();
    let name = resolve.packages[package].name.clone();
    assert_eq!(name.version.as_ref().unwrap().to_string(), "0.1.1");
    let world = resolve.packages[package].worlds["timed-transform"];
    let mut linker = Linker::new(engine);
    for item in resolve.worlds[world].imports.values() {
        let WorldItem::Interface { id, .. } = item else {
            continue;
        };
        let interface = &resolve.interfaces[*id];
        let mut instance = linker
            .instance(&name.interface_id(interface.name.as_deref().unwrap()))
            .unwrap();
        for function in interface.functions.keys() {
            let of = function.clone();
            instance
                .func_new(function, move |_, _, arguments, results| {
                    answer(&of, arguments, results)
                })
                .unwrap();
        }
    }
    linker
}

fn answer(function: &str, arguments: &[Val], results: &mut [Val]) -> wasmtime::Result<()> {
    match (function, results) {
        ("threshold", [result]) => *result = Val::Enum("info".into()),
        ("write" | "put-many", []) => {}
        // Nothing is stored: every entry is null.
        ("get-many", [result]) => {
            let keys = count(&arguments[1]);
            *result = Val::Record(vec![
                ("data".into(), Val::List(Vec::new())),
                ("ends".into(), Val::List(vec![Val::U32(0); keys])),
                ("marks".into(), Val::List(vec![Val::U8(1); keys])),
            ]);
        }
        ("get", [result]) => *result = Val::Option(None),
        _ => return Err(wasmtime::Error::msg(format!("`{function}` is not expected"))),
    }
    Ok(())
}

/// The value of a `result` that must be ok.
fn ok(result: Val) -> Option<Box<Val>> {
    match result {
        Val::Result(Ok(value)) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn plugins_of_0_1_0_run_on_a_host_of_0_1_1() {
    let mut config = Config::new();
    config.wasm_component_model(true);
    let engine = Engine::new(&config).unwrap();
    let linker = linker(&engine);
    for language in LANGUAGES {
        let component = component(&engine, language);
        let mut store = Store::new(&engine, ());
        let instance = linker
            .instantiate(&mut store, &component)
            .unwrap_or_else(|error| panic!("{language}: {error:?}"));
        let mut call = |interface: &str, function: &str, arguments: &[Val]| {
            let of = instance
                .get_export_index(&mut store, None, &format!("wasmill:plugin/{interface}@0.1.1"))
                .unwrap_or_else(|| panic!("{language}: {interface}"));
            let index = instance.get_export_index(&mut store, Some(&of), function).unwrap();
            let mut results = [Val::Bool(false)];
            let function = instance.get_func(&mut store, index).unwrap();
            function.call(&mut store, arguments, &mut results).unwrap();
            let [result] = results;
            result
        };
        let description = call("lifecycle", "describe", &[]);
        assert_eq!(
            field(&description, "name"),
            &Val::String("word_count".into()),
            "{language}"
        );
        ok(call("lifecycle", "configure", &[Val::String("{}".into())]));
        let batch = Val::Record(vec![
            ("count".into(), Val::U32(2)),
            ("partition".into(), Val::U32(0)),
            ("keys".into(), column(&[b"a", b"a"])),
            ("values".into(), nothing()),
            ("timestamps".into(), Val::List(vec![Val::S64(5), Val::S64(6)])),
            ("inputs".into(), Val::List(Vec::new())),
            (
                "headers".into(),
                Val::Record(vec![
                    ("ends".into(), Val::List(Vec::new())),
                    ("names".into(), nothing()),
                    ("values".into(), nothing()),
                    ("marks".into(), Val::List(Vec::new())),
                ]),
            ),
            (
                "origins".into(),
                Val::Record(vec![
                    ("topics".into(), Val::List(Vec::new())),
                    ("topic-indexes".into(), Val::List(Vec::new())),
                    ("partitions".into(), Val::List(Vec::new())),
                    ("offsets".into(), Val::List(Vec::new())),
                ]),
            ),
        ]);
        let outbound = ok(call("processor", "process", &[batch])).unwrap();
        assert_eq!(field(&outbound, "count"), &Val::U32(2), "{language}");
        let Val::List(data) = field(field(&outbound, "values"), "data") else {
            panic!("{language}")
        };
        let bytes: Vec<u8> = data
            .iter()
            .map(|byte| match byte {
                Val::U8(byte) => *byte,
                other => panic!("{other:?}"),
            })
            .collect();
        let values: Vec<serde_json::Value> = serde_json::Deserializer::from_slice(&bytes)
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap();
        let expected = [1, 2].map(|count| serde_json::json!({ "word": "a", "count": count }));
        assert_eq!(values, expected, "{language}");
    }
}
