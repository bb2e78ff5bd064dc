//! Python: componentize-py, which puts the interpreter and the sources into one component.

use std::path::{Path, PathBuf};

use super::tool::{is_program, which};

/// Pythons that may have what is needed: the project's own environment, the active one, and the
/// one of the `PATH`.
pub(super) fn interpreters(dir: &Path) -> Vec<PathBuf> {
    let own = environments(dir).into_iter().map(|env| env.join("bin/python"));
    own.chain(which("python3")).filter(|file| is_program(file)).collect()
}

/// `.venv` of the project and of the directories above it, then the active one.
fn environments(dir: &Path) -> Vec<PathBuf> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mut all: Vec<PathBuf> = dir.ancestors().map(|dir| dir.join(".venv")).collect();
    all.extend(std::env::var_os("VIRTUAL_ENV").map(PathBuf::from));
    all
}
