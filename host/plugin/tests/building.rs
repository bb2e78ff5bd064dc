//! Building plugins from source.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::path::Path;

use plugin::{BuildOptions, PluginError, build, build_all};
use wasmill_plugin as plugin;

fn options(dir: &Path, out: &Path) -> BuildOptions {
    BuildOptions {
        dir: dir.to_owned(),
        out: Some(out.to_owned()),
        debug: false,
    }
}

#[test]
fn all_shipped_plugins_are_built_and_described() {
    let out = tempfile::tempdir().unwrap();
    let reports = build_all(&options(&common::plugins(), out.path())).unwrap();
    let names: Vec<_> = reports.iter().map(|report| report.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "cooccurrence",
            "enrich",
            "game_stats",
            "label",
            "popularity",
            "recommend",
            "sessions",
            "temperature",
            "word_count",
            "word_split"
        ]
    );
    for report in &reports {
        assert_eq!(report.path, out.path().join(format!("{}.wasm", report.name)));
        assert_eq!(report.size, std::fs::metadata(&report.path).unwrap().len());
        assert!(
            report
                .imports
                .iter()
                .all(|import| import.starts_with("wasmill:plugin/"))
        );
    }
    let word_count = &reports[8];
    assert_eq!(word_count.stores[0].name, "count");
    assert_eq!(word_count.stores[0].value_format, "u64-le");
}

#[test]
fn what_cannot_be_built_says_why() {
    let home = tempfile::tempdir().unwrap();
    let message = |dir: &Path| match build(&options(dir, home.path())).unwrap_err() {
        PluginError::Build { message, .. } | PluginError::NoProject { message, .. } => message,
        other => panic!("{other}"),
    };
    assert!(message(home.path()).contains("has one of `plugin.toml`, `Cargo.toml`"));
    assert!(message(&common::plugins()).contains("10 plugins"));
    assert!(message(&common::plugins().join("sdk/rust")).contains("cdylib"));
    let broken = home.path().join("broken");
    std::fs::create_dir_all(broken.join("src")).unwrap();
    let manifest = "[package]\nname = \"broken\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    std::fs::write(broken.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(broken.join("src/lib.rs"), "pub fn f() -> u8 { \"no number\" }").unwrap();
    assert!(message(&broken).contains("mismatched types"));
    std::fs::write(broken.join("src/lib.rs"), "").unwrap();
    let error = build(&options(&broken, home.path())).unwrap_err();
    assert!(error.to_string().contains("lifecycle"), "{error}");
}

#[test]
fn the_sdk_carries_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(
        read("plugins/sdk/rust/wit/plugin.wit"),
        read("wit/plugin.wit"),
        "copy wit/plugin.wit there: projects of `wasmill new` have the SDK alone"
    );
}

/// Whether the tool of a language answers; says so when it does not. With `WASMILL_TEST_LANGUAGES=all` a
/// missing tool is a failure.
fn has(tool: &[&str]) -> bool {
    let answers = std::process::Command::new(tool[0])
        .args(&tool[1..])
        .output()
        .is_ok_and(|output| output.status.success());
    let all = std::env::var_os("WASMILL_TEST_LANGUAGES").is_some_and(|which| which == "all");
    assert!(answers || !all, "{tool:?} does not answer");
    if !answers {
        eprintln!("passed over: {tool:?} does not answer");
    }
    answers
}

/// Builds a plugin of a language when its tool answers.
fn built(language: &str, tool: &[&str], name: &str) {
    if !has(tool) {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("named.wasm");
    let dir = common::plugins().join(language).join(name);
    let report = build(&options(&dir, &file)).unwrap();
    assert_eq!(report.path, file, "a file is taken as it is named");
    assert_eq!(report.name, name);
    assert_eq!(report.size, std::fs::metadata(&file).unwrap().len());
    for import in &report.imports {
        assert!(import.starts_with("wasmill:plugin/"), "{import}");
    }
    let inspection = plugin::inspect(&file, None).unwrap();
    assert!(inspection.keeps_description);
    assert_eq!(inspection.refusal, None);
}

#[test]
fn go_is_built_without_wasi() {
    built("go", &["go", "version"], "word_count");
}

#[test]
fn c_is_built_without_wasi() {
    built("c", &["python3", "-m", "ziglang", "version"], "word_count");
}

#[test]
fn typescript_is_built_without_wasi() {
    let esbuild = common::plugins().join("js/node_modules/.bin/esbuild");
    built("js", &[esbuild.to_str().unwrap(), "--version"], "word_count");
}

#[test]
fn python_is_built_without_wasi() {
    built("python", &["componentize-py", "--version"], "word_count");
}

/// Builds the project of a directory, and says what of the handlers the component exports.
fn handlers(dir: &Path) -> Result<Vec<String>, PluginError> {
    let out = tempfile::tempdir().unwrap();
    let report = build(&options(dir, out.path()))?;
    let mut handlers = plugin::inspect(&report.path, None).unwrap().exports;
    handlers.retain(|name| name.contains("query") || name.contains("migration"));
    handlers.sort();
    Ok(handlers)
}

/// What the build says of a plugin that has something else than its manifest.
fn mismatch(dir: &Path) -> String {
    match handlers(dir).unwrap_err() {
        PluginError::Build { message, .. } => message,
        other => panic!("{other}"),
    }
}

const QUERY_HANDLER: &str = "wasmill:plugin/query-handler@0.1.2";
const MIGRATION_HANDLER: &str = "wasmill:plugin/migration-handler@0.1.2";

#[test]
fn the_imports_say_what_go_exports() {
    if !has(&["go", "version"]) {
        return;
    }
    let go = common::plugins().join("go").canonicalize().unwrap();
    assert_eq!(handlers(&go.join("sessions")).unwrap(), [""; 0]);
    assert_eq!(handlers(&go.join("word_count")).unwrap(), [QUERY_HANDLER]);
    assert_eq!(
        handlers(&go.join("migrating")).unwrap(),
        [MIGRATION_HANDLER, QUERY_HANDLER]
    );

    // A plugin that imports what it has no method for.
    let home = tempfile::tempdir().unwrap();
    let sdk = go.join("../sdk/go").canonicalize().unwrap();
    let manifest = std::fs::read_to_string(go.join("word_count/go.mod")).unwrap();
    let manifest = manifest.replace("../../sdk/go", sdk.to_str().unwrap());
    std::fs::write(home.path().join("go.mod"), manifest).unwrap();
    std::fs::copy(go.join("word_count/go.sum"), home.path().join("go.sum")).unwrap();
    let source = std::fs::read_to_string(go.join("word_count/queries.go")).unwrap();
    std::fs::write(
        home.path().join("queries.go"),
        source.replace(") Answer(query", ") Answers(query"),
    )
    .unwrap();
    std::fs::copy(go.join("word_count/main.go"), home.path().join("main.go")).unwrap();
    let said = handlers(home.path()).unwrap_err().to_string();
    assert!(
        said.contains(
            "`word_count` imports wasmill/queries, but *main.WordCount has no method \
             `Answer(queries.Query, queries.Reader) (queries.Answer, error)`"
        ),
        "{said}"
    );
}

#[test]
fn the_macros_say_what_c_exports() {
    if !has(&["python3", "-m", "ziglang", "version"]) {
        return;
    }
    let c = common::plugins().join("c").canonicalize().unwrap();
    assert_eq!(handlers(&c.join("sessions")).unwrap(), [""; 0]);
    assert_eq!(handlers(&c.join("word_count")).unwrap(), [QUERY_HANDLER]);
    assert_eq!(
        handlers(&c.join("migrating")).unwrap(),
        [MIGRATION_HANDLER, QUERY_HANDLER]
    );
}

#[test]
fn the_manifest_says_what_typescript_exports() {
    let js = common::plugins().join("js");
    if !has(&[js.join("node_modules/.bin/esbuild").to_str().unwrap(), "--version"]) {
        return;
    }
    assert_eq!(handlers(&js.join("sessions")).unwrap(), [""; 0]);
    assert_eq!(handlers(&js.join("word_count")).unwrap(), [QUERY_HANDLER]);
    assert_eq!(
        handlers(&js.join("migrating")).unwrap(),
        [MIGRATION_HANDLER, QUERY_HANDLER]
    );

    // The shipped sources with another manifest.
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(js.join("node_modules"), home.path().join("node_modules")).unwrap();
    let project = |plugin: &str, handlers: &str| {
        let main = js.canonicalize().unwrap().join(plugin).join("src/index.ts");
        let manifest = format!(r#"{{ "main": {main:?}, "type": "module", "wasmill": {handlers} }}"#);
        std::fs::write(home.path().join("package.json"), manifest).unwrap();
        home.path()
    };
    let said = mismatch(project("migrating", r#"{ "queries": true }"#));
    assert!(
        said.contains(r#"the plugin has `migrate`: say `"wasmill": { "migrates": true }` in package.json"#),
        "{said}"
    );
    let said = mismatch(project("sessions", r#"{ "queries": true }"#));
    assert!(said.contains("but the plugin has no `answer`"), "{said}");
    let error = handlers(project("sessions", r#"{ "query": true }"#))
        .unwrap_err()
        .to_string();
    assert!(error.contains("unknown field `query`"), "{error}");
}

#[test]
fn the_manifest_says_what_python_exports() {
    if !has(&["componentize-py", "--version"]) {
        return;
    }
    let python = common::plugins().join("python").canonicalize().unwrap();
    assert_eq!(
        handlers(&python.join("migrating")).unwrap(),
        [MIGRATION_HANDLER, QUERY_HANDLER]
    );
    // The shipped sources with another manifest.
    let home = tempfile::tempdir().unwrap();
    let project = |plugin: &str, handlers: &str| {
        let path = [python.join(plugin), python.join("../sdk/python")];
        let manifest = format!("[tool.wasmill]\nmodule = {plugin:?}\npath = {path:?}\n{handlers}");
        std::fs::write(home.path().join("pyproject.toml"), manifest).unwrap();
        home.path()
    };
    let said = mismatch(project("word_count", ""));
    assert!(
        said.contains("WordCount defines `answer`: say `queries = true` in `[tool.wasmill]` of pyproject.toml"),
        "{said}"
    );
    let said = mismatch(project("sessions", "migrates = true"));
    assert!(said.contains("but Sessions does not define `migrate`"), "{said}");
    let error = handlers(project("sessions", "query = true")).unwrap_err().to_string();
    assert!(error.contains("unknown field `query`"), "{error}");
}
