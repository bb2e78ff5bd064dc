//! The table of test vectors (`plugins/vectors`) through the host, on the plugins of every language.
//!
//! Rust's components are built by the test. Those of other languages are taken from
//! `plugins/dist/LANGUAGE`, where they are. Which languages must be there is said by
//! `WASMILL_VECTOR_LANGUAGES`, such as `rust,go,js,python,c`; by default `rust`.
//! Batches are cut at random places too, by the seed in `WASMILL_VECTOR_SEED`, or a new one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;
#[path = "../../../plugins/vectors/src/json.rs"]
#[allow(unreachable_pub, reason = "a file of another crate")]
mod json;
#[path = "../../../plugins/vectors/src/table.rs"]
#[allow(unreachable_pub, reason = "a file of another crate")]
mod table;
#[path = "common/timed.rs"]
mod timed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use table::{Bytes, Case, HeaderList};
use timed::{Cut, Timed};
use wasmill_plugin::{Compiled, PluginError};

const LANGUAGES: [&str; 5] = ["rust", "go", "js", "python", "c"];

static SEED: LazyLock<u64> = LazyLock::new(|| {
    let seed = std::env::var("WASMILL_VECTOR_SEED").map_or_else(
        |_| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
        |seed| seed.parse().expect("WASMILL_VECTOR_SEED is a number"),
    );
    println!("WASMILL_VECTOR_SEED={seed}");
    seed
});

fn required() -> Vec<String> {
    let required = std::env::var("WASMILL_VECTOR_LANGUAGES").unwrap_or_else(|_| "rust".to_owned());
    let required: Vec<_> = required.split(',').map(|language| language.trim().to_owned()).collect();
    for language in &required {
        assert!(
            LANGUAGES.contains(&language.as_str()),
            "WASMILL_VECTOR_LANGUAGES says `{language}`; it knows {LANGUAGES:?}"
        );
    }
    required
}

fn component(language: &str, plugin: &str) -> PathBuf {
    match language {
        "rust" => common::component(plugin),
        _ => common::plugins()
            .join("dist")
            .join(language)
            .join(format!("{plugin}.wasm")),
    }
}

/// Runs the table of a plugin in every language; tells all differences before it fails.
fn check(plugin: &str) {
    let path = common::plugins().join("vectors").join(format!("{plugin}.json"));
    let cases = table::read(&std::fs::read_to_string(path).unwrap());
    let required = required();
    let mut differences = Vec::new();
    for language in LANGUAGES {
        let path = component(language, plugin);
        if !path.is_file() {
            if required.iter().any(|one| one == language) {
                differences.push(format!("{language}: {} is not there", path.display()));
            }
            continue;
        }
        let compiled = common::ENGINE.load(&path).unwrap();
        let before = differences.len();
        for case in &cases {
            for cut in [Cut::Whole, Cut::Random(*SEED), Cut::Single] {
                if let Err(what) = check_case(&compiled, case, cut) {
                    differences.push(format!("{language}, `{}`, {cut:?}: {what}", case.name));
                    break;
                }
            }
        }
        let failed = differences.len() - before;
        println!(
            "{plugin} in {language}: {} of {} cases as expected",
            cases.len() - failed,
            cases.len()
        );
    }
    assert!(
        differences.is_empty(),
        "{plugin}: {} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn check_case(compiled: &Compiled, case: &Case, cut: Cut) -> Result<(), String> {
    let mut run = match (Timed::new(compiled, &case.config, case.lateness), &case.problems) {
        (Ok(run), None) => run,
        (Err(PluginError::Config { problems, .. }), Some(expected)) => {
            let mut pointers: Vec<_> = problems.into_iter().map(|problem| problem.pointer).collect();
            pointers.sort();
            return equal("problems", &pointers, expected);
        }
        (Ok(_), Some(expected)) => return Err(format!("the config has no problem, but {expected:?} are expected")),
        (Err(error), _) => return Err(error.to_string()),
    };
    for (store, entries) in &case.stored {
        for (key, value) in entries {
            run.store(store, key, value.exact().unwrap_or_default());
        }
    }
    for (number, step) in case.steps.iter().enumerate() {
        let answer = run.run(&step.records, cut)?;
        let place = format!("step {number}");
        equal(&format!("{place}, failures"), &answer.failures, &step.failures)?;
        for (at, (output, expected)) in answer.outputs.iter().zip(&step.outputs).enumerate() {
            let is_equal = output.timer == expected.timer
                && expected.parent.is_none_or(|parent| parent == output.parent)
                && output.port == expected.port
                && expected.key.matches(output.key.as_deref())
                && expected.value.matches(output.value.as_deref())
                && output.timestamp == expected.timestamp
                && are_equal_headers(&output.headers, &expected.headers);
            if !is_equal {
                return Err(format!("{place}, output {at} is {output:?}, expected {expected:?}"));
            }
        }
        equal(&format!("{place}, outputs"), &answer.outputs.len(), &step.outputs.len())
            .map_err(|what| format!("{what}: {:?}", answer.outputs))?;
    }
    check_state(&mut run, case)
}

fn are_equal_headers(own: &[(Vec<u8>, Option<Vec<u8>>)], expected: &HeaderList) -> bool {
    own.len() == expected.len()
        && own
            .iter()
            .zip(expected)
            .all(|(own, (name, value))| own.0 == name.as_bytes() && value.matches(own.1.as_deref()))
}

fn check_state(run: &mut Timed, case: &Case) -> Result<(), String> {
    let stores = run.stores();
    for name in case.state.keys() {
        if !stores.iter().any(|(store, _)| store == name) {
            return Err(format!("there is no store `{name}`"));
        }
    }
    let nothing: BTreeMap<Vec<u8>, Bytes> = BTreeMap::new();
    for (name, entries) in &stores {
        let expected = case.state.get(name).unwrap_or(&nothing);
        let keys: Vec<_> = entries.keys().collect();
        equal(&format!("keys of `{name}`"), &keys, &expected.keys().collect())?;
        for (key, value) in entries {
            if !expected[key].matches(Some(value)) {
                let key = String::from_utf8_lossy(key);
                return Err(format!(
                    "`{name}` holds {value:02x?} under `{key}`, expected {expected:?}"
                ));
            }
        }
    }
    let mut timers = run.timers()?;
    timers.sort();
    equal("timers", &timers, &case.timers)
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, own: &T, expected: &T) -> Result<(), String> {
    if own == expected {
        return Ok(());
    }
    Err(format!("{what}: {own:?}, expected {expected:?}"))
}

#[test]
fn word_split_is_the_same_in_every_language() {
    check("word_split");
}

#[test]
fn word_count_is_the_same_in_every_language() {
    check("word_count");
}

#[test]
fn temperature_is_the_same_in_every_language() {
    check("temperature");
}

#[test]
fn enrich_is_the_same_in_every_language() {
    check("enrich");
}

#[test]
fn sessions_is_the_same_in_every_language() {
    check("sessions");
}
