//! Runs the binary as a user does.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests fail the test"
)]
#![allow(dead_code, reason = "each test file uses its part")]

pub mod process;
pub mod secrets;
pub mod served;

use std::path::Path;
use std::process::Output;

pub use process::{Command, Process};
pub use secrets::said;

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// For goldens: exit code, standard output and standard error.
    pub fn golden(&self) -> String {
        format!(
            "exit code {}\n--- stdout\n{}--- stderr\n{}",
            self.code.map_or("none".to_owned(), |code| code.to_string()),
            self.stdout,
            self.stderr
        )
    }
}

/// The command; see [`Command::new`].
pub fn command(dir: &Path, args: &[&str]) -> Command {
    Command::new(dir, args)
}

/// Runs it in `dir`.
pub fn wasmill(dir: &Path, args: &[&str]) -> Ran {
    ran(command(dir, args).output().expect("wasmill starts"))
}

/// Runs it in `dir` with something on standard input.
pub fn wasmill_with_input(dir: &Path, args: &[&str], input: &[u8]) -> Ran {
    ran(command(dir, args).output_of(input).expect("wasmill starts"))
}

pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// The same component with other bytes: a custom section that says so.
pub fn built_anew(component: &[u8], number: usize) -> Vec<u8> {
    let text = format!("{number:05}");
    let mut bytes = component.to_vec();
    bytes.extend([0, 1 + 4 + 5, 4]);
    bytes.extend(b"test");
    bytes.extend(text.as_bytes());
    bytes
}

/// A shipped plugin, or one of those that misbehave.
pub fn plugin(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../plugins/dist/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `wasmill build plugins`", path.display()))
}

/// Whether the shipped plugins of a language are built, as `plugins/dist/LANGUAGE`: they are where
/// `WASMILL_TEST_LANGUAGES` is `all`. Elsewhere the language is passed over, and says so.
pub fn is_built(language: &str) -> bool {
    let all = std::env::var_os("WASMILL_TEST_LANGUAGES").is_some_and(|which| which == "all");
    if !all {
        eprintln!("passed over: plugins in {language}, as WASMILL_TEST_LANGUAGES is not `all`");
    }
    all
}

/// All records of a topic of the embedded log in `log`, one JSON object on each line.
pub fn consumed(dir: &Path, topic: &str) -> String {
    let args = [
        "consume",
        topic,
        "--embedded=log",
        "--from-beginning",
        "--until-end",
        "--json",
    ];
    let ran = wasmill(dir, &args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stdout
}

/// As editors write: beside it, then renamed.
pub fn write(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(&beside, path).unwrap();
}
