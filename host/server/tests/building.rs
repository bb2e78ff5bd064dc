//! `wasmill new`, `build` and `inspect` as a user runs them: projects of every language from an empty
//! folder, and what is said when something is missing.
//!
//! A language whose tools are not there is passed over, and says so; with `WASMILL_TEST_LANGUAGES` set
//! to `all` it is a failure instead.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ran, command, ran, wasmill};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn done(ran: Ran) -> Ran {
    assert_eq!(ran.code, Some(0), "{}", ran.golden());
    ran
}

fn refused(ran: &Ran, code: i32, parts: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}", ran.golden());
    for part in parts {
        assert!(ran.stderr.contains(part), "{part} is not in\n{}", ran.golden());
    }
}

/// Runs a command line of a project in its directory.
fn shell(dir: &Path, line: &str) {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(dir)
        // Projects share their dependencies' builds.
        .env("CARGO_TARGET_DIR", root().join("target/test-new"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn has(tool: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {tool}")])
        .output()
        .is_ok_and(|output| output.status.success());
    let all = std::env::var_os("WASMILL_TEST_LANGUAGES").is_some_and(|which| which == "all");
    assert!(found || !all, "{tool} is not there");
    if !found {
        eprintln!("passed over: {tool} is not there");
    }
    found
}

/// From an empty folder to a pipeline's output, by the commands that `wasmill new` prints.
fn a_new_project(lang: &str, prepare: bool) {
    let home = tempfile::tempdir().unwrap();
    let told = done(wasmill(
        home.path(),
        &["new", "plugin", "clicks", "--lang", lang, "--json"],
    ));
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    let commands: Vec<&str> = told["next"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(commands[0], "cd clicks");
    let project = home.path().join("clicks");
    let mut ran = Vec::new();
    for line in &commands[1..] {
        match line.strip_prefix("wasmill ") {
            Some(line) => {
                let arguments: Vec<&str> = line.split(' ').collect();
                let mut command = command(&project, &arguments);
                command.env("CARGO_TARGET_DIR", root().join("target/test-new"));
                let output = command.output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(
                    output.status.success(),
                    "{line}\n{text}{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                ran.push(text);
            }
            // An environment with the tools is on the PATH already.
            None if line.contains(".venv") && !prepare => {}
            None => shell(&project, line),
        }
    }
    assert!(project.join("dist/clicks.wasm").is_file());
    // Building and testing come before.
    let last = ran.last().unwrap();
    let values: Vec<Value> = last.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counts: Vec<_> = values
        .iter()
        .map(|value| (value["key"].as_str().unwrap(), &value["count"]))
        .collect();
    assert_eq!(
        format!("{counts:?}"),
        r#"[("ann", Number(1)), ("bob", Number(1)), ("ann", Number(2))]"#
    );

    let inspected = done(wasmill(&project, &["inspect", "dist/clicks.wasm", "--json"]));
    let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(inspected["plugin"], "clicks");
    assert_eq!(inspected["world"], "timed-transform");
    assert_eq!(inspected["contract"], "wasmill:plugin@0.1.2");
    assert_eq!(inspected["refused"], Value::Null);
    for import in inspected["imports"].as_array().unwrap() {
        assert_eq!(import["always_linked"], true, "{import}");
    }
}

#[test]
fn a_new_plugin_in_rust() {
    a_new_project("rust", true);
}

#[test]
fn a_new_plugin_in_go() {
    if has("go") {
        a_new_project("go", true);
    }
}

#[test]
fn a_new_plugin_in_typescript() {
    if has("npm") {
        a_new_project("js", true);
    }
}

#[test]
fn a_new_plugin_in_python() {
    if has("componentize-py") {
        a_new_project("python", false);
    }
}

#[test]
fn a_new_plugin_in_c() {
    let zig = Command::new("python3")
        .args(["-c", "import ziglang"])
        .output()
        .is_ok_and(|output| output.status.success());
    if zig || has("clang-19") {
        a_new_project("c", true);
    }
}

#[test]
fn a_new_pipeline_runs() {
    let home = tempfile::tempdir().unwrap();
    done(wasmill(home.path(), &["new", "pipeline", "first-lines"]));
    let dir = home.path().join("first-lines");
    let ran = done(wasmill(&dir, &["run", "--embedded", "first-lines.toml", "--until-end"]));
    assert_eq!(ran.stdout, "the first line\nthe second\n");
}

#[test]
fn names_have_a_rule_and_nothing_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let new = |name: &str| wasmill(home.path(), &["new", "plugin", name, "--lang", "rust"]);
    refused(
        &new("Word-Count"),
        2,
        &["E0801", "lower-case letters and digits", "word_count"],
    );
    refused(&new("../x"), 2, &["E0801", "is no name"]);
    refused(&new("import"), 2, &["E0801", "means something else"]);
    std::fs::write(home.path().join("mine"), "precious").unwrap();
    refused(&new("mine"), 2, &["E0831", "`mine` is there already"]);
    assert_eq!(std::fs::read_to_string(home.path().join("mine")).unwrap(), "precious");
    let unknown = wasmill(home.path(), &["new", "plugin", "x", "--lang", "cobol"]);
    refused(&unknown, 2, &["rust, go, js, python, c"]);
}

#[test]
fn an_sdk_is_replaced_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let sdk = |dir: &str, lang: &str| wasmill(home.path(), &["new", "sdk", dir, "--lang", lang]);
    done(sdk("wasmill-sdk", "python"));
    let there = home.path().join("wasmill-sdk");
    let file = there.join("wasmill_sdk/__init__.py");
    let fresh = std::fs::read(&file).unwrap();
    assert!(!there.join("template").exists());
    std::fs::write(&file, "changed").unwrap();
    std::fs::write(there.join("left-over.py"), "").unwrap();
    done(sdk("wasmill-sdk", "python"));
    assert_eq!(std::fs::read(&file).unwrap(), fresh);
    assert!(!there.join("left-over.py").exists(), "a file of an older SDK goes");
    refused(&sdk("wasmill-sdk", "go"), 2, &["E0831", "holds the SDK of `python`"]);
    std::fs::create_dir(home.path().join("photos")).unwrap();
    std::fs::write(home.path().join("photos/1.jpg"), "x").unwrap();
    refused(&sdk("photos", "go"), 2, &["E0831", "no SDK that wasmill has written"]);
    assert!(home.path().join("photos/1.jpg").is_file());
    assert_eq!(
        std::fs::read_dir(home.path()).unwrap().count(),
        2,
        "nothing is left beside"
    );
}

/// A project of a language, in a directory where none of its tools is.
fn without_tools(files: &[(&str, &str)]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let mut command = command(home.path(), &["build"]);
    for variable in ["CARGO", "RUSTC", "VIRTUAL_ENV", "WASI_SDK_PATH"] {
        command.env_remove(variable);
    }
    let output = command.env("PATH", &empty).output().unwrap();
    ran(output)
}

#[test]
fn missing_tools_are_named_with_how_to_install_them() {
    let rust = without_tools(&[("Cargo.toml", "[package]\nname = \"p\"\n"), ("src/lib.rs", "")]);
    refused(
        &rust,
        1,
        &[
            "E0221",
            "cargo is not installed",
            "rustup target add wasm32-unknown-unknown",
        ],
    );
    let go = without_tools(&[("go.mod", "module p\n")]);
    refused(&go, 1, &["E0221", "go is not installed", "install Go 1.24.0 or newer"]);
    let js = without_tools(&[("package.json", "{}"), ("index.js", "")]);
    refused(&js, 1, &["E0221", "node is not installed", "install Node.js 20.0.0"]);
    let python = without_tools(&[("pyproject.toml", "[tool.wasmill]\nmodule = \"p\"\n"), ("p.py", "")]);
    refused(
        &python,
        1,
        &[
            "E0221",
            "componentize-py is not installed",
            "pip install componentize-py",
        ],
    );
    let c = without_tools(&[("plugin.toml", "language = \"c\"\nsources = [\"*.c\"]\n"), ("p.c", "")]);
    refused(
        &c,
        1,
        &[
            "E0221",
            "no C compiler for WebAssembly",
            "pip install ziglang",
            "clang-19 lld-19 wasi-libc",
        ],
    );
}

#[test]
fn a_project_without_its_packages_says_npm_install() {
    if !has("node") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("package.json"), "{\"main\":\"p.js\"}").unwrap();
    std::fs::write(home.path().join("p.js"), "").unwrap();
    refused(
        &wasmill(home.path(), &["build"]),
        1,
        &["E0221", "`esbuild` is not installed", "npm install"],
    );
}

#[test]
fn manifests_with_mistakes_are_refused_at_their_place() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    refused(
        &wasmill(dir, &["build"]),
        2,
        &["E0220", "`plugin.toml`, `Cargo.toml`, `go.mod`"],
    );
    refused(&wasmill(dir, &["build", "none"]), 2, &["E0220", "it does not exist"]);
    let toml = |text: &str| {
        std::fs::write(dir.join("plugin.toml"), text).unwrap();
        wasmill(dir, &["build"])
    };
    refused(
        &toml("language = \"pascal\"\nsources = []\n"),
        2,
        &["E0220", "pascal", "`c`"],
    );
    refused(
        &toml("language = \"c\"\nsource = [\"*.c\"]\n"),
        2,
        &["E0220", "line 2", "source", "`sources`"],
    );
    std::fs::remove_file(dir.join("plugin.toml")).unwrap();
    std::fs::write(dir.join("pyproject.toml"), "[project]\nname = \"x\"\n").unwrap();
    refused(&wasmill(dir, &["build"]), 2, &["E0220", "no `[tool.wasmill]`"]);
    std::fs::remove_file(dir.join("pyproject.toml")).unwrap();
    std::fs::write(dir.join("package.json"), "{\"main\":\"src/gone.ts\"}").unwrap();
    refused(
        &wasmill(dir, &["build"]),
        2,
        &["E0220", "`src/gone.ts`, which is not there"],
    );
}

#[test]
fn a_component_that_is_refused_is_inspected_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    // An empty component: it imports nothing and exports nothing.
    std::fs::write(home.path().join("c.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    let ran = wasmill(home.path(), &["inspect", "c.wasm", "--json"]);
    refused(&ran, 1, &["E0204"]);
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value["world"], Value::Null);
    assert_eq!(value["refused"]["code"], "E0204");
    std::fs::write(home.path().join("m.wasm"), b"\0asm\x01\0\0\0").unwrap();
    refused(
        &wasmill(home.path(), &["inspect", "m.wasm"]),
        1,
        &["E0202", "core module"],
    );
}
