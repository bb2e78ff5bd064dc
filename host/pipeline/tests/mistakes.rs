//! Each mistake in `mistakes/*.toml` gives exactly the diagnostics in the `.err` beside it.
//! `UPDATE_GOLDENS=1 cargo test -p wasmill-pipeline` writes them anew.
//!
//! Lines that start with `#: ` are options: `#: --embedded`, `#: --set path=value`.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]

mod common;

use std::path::Path;

use wasmill_pipeline::{LoadOptions, load_text};

fn options(text: &str) -> LoadOptions {
    let mut options = common::options(&[("SET", "set"), ("URL", "mysql://root:hunter2@db/words")]);
    for line in text.lines().filter_map(|line| line.strip_prefix("#: ")) {
        match line.split_once(' ') {
            Some(("--set", assignment)) => {
                let (path, value) = assignment.split_once('=').expect("--set path=value");
                options.set.push((path.to_owned(), value.to_owned()));
            }
            _ if line == "--embedded" => options.embedded = true,
            _ => panic!("unknown option {line}"),
        }
    }
    options
}

fn diagnostics(path: &Path, text: &str) -> String {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name")
        .to_owned();
    let dir = path.parent().expect("a directory");
    let options = options(text);
    match load_text(name, text.to_owned(), dir, &options, &mut common::describe) {
        Err(diagnostics) => diagnostics.render(false),
        Ok(loaded) => loaded.warnings.iter().map(|warning| format!("{warning}\n\n")).collect(),
    }
    .replace(common::tests_dir().to_str().expect("UTF-8"), "TESTS")
}

#[test]
fn every_mistake_is_found() {
    let dir = common::tests_dir().join("mistakes");
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut count = 0;
    let mut wrong = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .expect("mistakes")
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    for path in files {
        count += 1;
        let text = std::fs::read_to_string(&path).expect("a pipeline");
        let found = diagnostics(&path, &text);
        let golden = path.with_extension("err");
        if update {
            std::fs::write(&golden, &found).expect("written");
            continue;
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if found != expected {
            wrong.push(format!(
                "--- {}\nexpected:\n{expected}\nfound:\n{found}",
                path.display()
            ));
        }
        assert!(
            !found.contains("hunter2"),
            "{} shows a secret:\n{found}",
            path.display()
        );
        assert!(
            // Of references to registries the caller says what is wrong.
            found.contains('^') && (found.contains("[E01") || found.contains("[E0231]")),
            "{} finds nothing:\n{found}",
            path.display()
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 40, "only {count} mistakes");
}

#[test]
fn five_mistakes_give_five_diagnostics() {
    let path = common::tests_dir().join("mistakes/five-at-once.toml");
    let text = std::fs::read_to_string(&path).expect("a pipeline");
    let error = load_text(
        "five.toml".to_owned(),
        text,
        path.parent().expect("dir"),
        &common::options(&[]),
        &mut common::describe,
    )
    .expect_err("five mistakes");
    assert_eq!(error.list.len(), 5, "{error}");
    let mut codes: Vec<_> = error.list.iter().map(|d| d.code.0).collect();
    codes.dedup();
    assert_eq!(codes.len(), 5, "{error}");
    // The same as JSON, for scripts.
    let json = serde_json::to_value(&error).expect("JSON");
    let first = &json[0];
    assert_eq!(first["code"], error.list[0].code.0);
    assert_eq!(first["line"], error.list[0].line);
    assert_eq!(first["severity"], "error");
    assert_eq!(first["page"], format!("docs/errors/{}.md", error.list[0].code));
    assert!(error.render(true).contains("\u{1b}["), "colour when asked for");
    assert!(!error.render(false).contains("\u{1b}["), "and only then");
}
