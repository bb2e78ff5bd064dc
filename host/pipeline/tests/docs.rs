//! What is written about pipelines cannot drift from what is read.
//! `UPDATE_GOLDENS=1 cargo test -p wasmill-pipeline` writes the generated parts anew.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use wasmill_pipeline::{code, reference, schema};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Compares a file with what it should be, or writes it.
fn same(path: &Path, wanted: &str) {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(path, wanted).expect("written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is out of date: UPDATE_GOLDENS=1 writes it anew",
        path.display()
    );
}

#[test]
fn the_schema_is_up_to_date() {
    same(&docs().join("pipeline.schema.json"), &format!("{:#}\n", schema()));
}

#[test]
fn the_reference_is_up_to_date() {
    let path = docs().join("configuration.md");
    let text = std::fs::read_to_string(&path).expect("configuration.md");
    let (written, _) = text.split_once("## Reference\n").expect("its last section");
    same(&path, &format!("{written}## Reference\n\n{}", reference()));
}

/// The text of every Rust file below a folder.
fn sources(folder: &Path, each: &mut impl FnMut(&str)) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, each);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            each(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// The codes that a source gives: `E` and four digits in a string.
fn codes_of(source: &str) -> impl Iterator<Item = String> {
    source.split("\"E").skip(1).filter_map(|rest| {
        let digits = rest.get(..4)?;
        let is_code = digits.bytes().all(|b| b.is_ascii_digit()) && rest[4..].starts_with('"');
        is_code.then(|| format!("E{digits}"))
    })
}

#[test]
fn every_code_has_its_page_and_every_page_a_code() {
    let mut pages = BTreeMap::new();
    for file in std::fs::read_dir(docs().join("errors")).expect("docs/errors") {
        let path = file.expect("a file").path();
        let code = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name")
            .to_owned();
        pages.insert(code, std::fs::read_to_string(&path).expect("a page"));
    }
    let mut codes = BTreeSet::new();
    for (code, title) in code::ALL {
        assert!(codes.insert(code.0), "{code} is there twice");
        let page = pages.get(code.0).unwrap_or_else(|| panic!("{code} has no page"));
        assert!(
            page.starts_with(&format!("# {code}: {title}\n")),
            "the page of {code} has another title"
        );
    }
    let mut given = BTreeSet::new();
    for entry in std::fs::read_dir(docs().join("../host")).expect("the crates") {
        let folder = entry.expect("a crate").path().join("src");
        sources(&folder, &mut |source| given.extend(codes_of(source)));
    }
    assert!(given.len() > code::ALL.len() && codes.iter().all(|code| given.contains(*code)));
    let without: Vec<_> = given.iter().filter(|code| !pages.contains_key(*code)).collect();
    assert!(without.is_empty(), "no page for {without:?}");
    for (code, page) in &pages {
        assert!(given.contains(code), "the page {code} has no code");
        assert!(
            page.starts_with(&format!("# {code}: ")) && page.contains("**What to do.**"),
            "{code}"
        );
    }
}

/// Names of all functions below host/.
fn functions() -> BTreeSet<String> {
    let mut functions = BTreeSet::new();
    sources(&docs().join("../host"), &mut |source| {
        functions.extend(
            source
                .split("fn ")
                .skip(1)
                .filter_map(|rest| rest.split(['(', '<']).next())
                .map(str::to_owned),
        );
    });
    functions
}

/// docs/records.md names a test for each cell.
#[test]
fn every_kind_of_record_names_tests_that_there_are() {
    let functions = functions();
    let text = std::fs::read_to_string(docs().join("records.md")).expect("records.md");
    let names: Vec<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.matches('_').count() > 2 && !name.contains('<'))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(functions.contains(name), "there is no test `{name}`");
    }
}

/// The last column of docs/INVARIANTS.md names tests by the names of their functions.
#[test]
fn every_invariant_names_tests_that_there_are() {
    let functions = functions();
    let text = std::fs::read_to_string(docs().join("INVARIANTS.md")).expect("INVARIANTS.md");
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| {
            line.strip_prefix("| ")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .collect();
    assert!(rows.len() >= 35, "{}", rows.len());
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().expect("a column");
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "without a test: {row}");
        for name in names {
            assert!(functions.contains(name), "there is no test `{name}`: {row}");
        }
    }
}

/// The codes that a user can meet are all met in the mistakes or here.
#[test]
fn every_code_is_used() {
    let mut met = BTreeSet::new();
    // Those of test files are met where these are run.
    let folders = [
        common::tests_dir().join("mistakes"),
        docs().join("../host/server/tests/testing"),
    ];
    for file in folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("goldens"))
    {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|e| e == "err" || e == "out") {
            let text = std::fs::read_to_string(&path).expect("a golden");
            met.extend(
                code::ALL
                    .iter()
                    .map(|(code, _)| code.0)
                    .filter(|code| text.contains(&format!("[{code}]"))),
            );
        }
    }
    let error = wasmill_pipeline::load(
        Path::new("no-such-file.toml"),
        &common::options(&[]),
        &mut common::describe,
    )
    .expect_err("no file");
    met.insert(error.list[0].code.0);
    let missing: Vec<_> = code::ALL
        .iter()
        .map(|(code, _)| code.0)
        .filter(|code| !met.contains(code))
        .collect();
    assert!(missing.is_empty(), "no test meets {missing:?}");
}

/// `shape` knows these keywords of JSON Schema and no others.
#[test]
fn the_schema_has_no_keyword_that_is_not_checked() {
    fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
        let Some(map) = schema.as_object() else { return };
        for (key, value) in map {
            found.insert(key.clone());
            match key.as_str() {
                "properties" => value
                    .as_object()
                    .into_iter()
                    .flat_map(|p| p.values())
                    .for_each(|p| keywords(p, found)),
                "items" | "additionalProperties" => keywords(value, found),
                "oneOf" | "anyOf" => value.as_array().into_iter().flatten().for_each(|o| keywords(o, found)),
                _ => {}
            }
        }
    }
    let mut found = BTreeSet::new();
    keywords(&schema(), &mut found);
    let known = [
        "$schema",
        "title",
        "description",
        "default",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "enum",
        "const",
        "oneOf",
        "anyOf",
        "x-wasmill-secret",
        "x-wasmill-date",
    ];
    let unknown: Vec<_> = found.iter().filter(|key| !known.contains(&key.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Every key of the schema is used in `whole.toml`, which loads: nothing is promised that is not read.
#[test]
fn every_key_is_read() {
    let text = std::fs::read_to_string(common::tests_dir().join("whole.toml")).expect("a pipeline");
    let loaded = common::load(
        &text,
        &common::options(&[("URL", "mysql://db"), ("SET", "x"), ("CONFIG", "y")]),
    );
    loaded.unwrap_or_else(|e| panic!("{e}"));
    fn keys(schema: &Value, found: &mut BTreeSet<String>) {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            match keyword.as_str() {
                "properties" => {
                    let properties = value.as_object().expect("properties");
                    found.extend(properties.keys().cloned());
                    properties.values().for_each(|schema| keys(schema, found));
                }
                "additionalProperties" | "items" => keys(value, found),
                "oneOf" | "anyOf" => value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .for_each(|option| keys(option, found)),
                _ => {}
            }
        }
    }
    let mut found = BTreeSet::new();
    keys(&schema(), &mut found);
    let missing: Vec<_> = found.iter().filter(|key| !text.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
