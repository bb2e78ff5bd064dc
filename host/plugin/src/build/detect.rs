//! Which plugins a directory holds, and in which languages.

use std::path::{Path, PathBuf};

use super::component::Made;
use super::{Settings, c, go, js, not_a_plugin, python, rust};
use crate::error::PluginError;

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Rust, by cargo.
    Rust,
    /// Go, by its own compiler.
    Go,
    /// JavaScript or TypeScript, on QuickJS.
    JavaScript,
    /// Python, on CPython.
    Python,
    /// C, by clang.
    C,
    /// C++, by clang.
    Cpp,
}

impl Language {
    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
            Self::C => "C",
            Self::Cpp => "C++",
        }
    }

    /// Whether a backtrace through its code means something to the plugin's author: those of
    /// JavaScript and Python go through an interpreter.
    pub(super) fn keeps_names(self) -> bool {
        !matches!(self, Self::JavaScript | Self::Python)
    }
}

/// The files by which a language is known, in the order in which they are looked for.
const MANIFESTS: [(&str, Kind); 5] = [
    (c::MANIFEST, Kind::C),
    ("Cargo.toml", Kind::Rust),
    ("go.mod", Kind::Go),
    (js::MANIFEST, Kind::JavaScript),
    (python::MANIFEST, Kind::Python),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rust,
    Go,
    JavaScript,
    Python,
    C,
}

/// A directory with a manifest.
pub(super) struct Project {
    dir: PathBuf,
    what: What,
}

enum What {
    Rust(Vec<rust::PluginCrate>),
    Go(Vec<PathBuf>),
    JavaScript(Vec<PathBuf>),
    /// Whether it is one.
    Python(bool),
    C,
}

impl Project {
    /// How many plugins it makes.
    pub(super) fn plugins(&self) -> usize {
        match &self.what {
            What::Rust(crates) => crates.len(),
            What::Go(dirs) | What::JavaScript(dirs) => dirs.len(),
            What::Python(is_plugin) => usize::from(*is_plugin),
            What::C => 1,
        }
    }

    /// Checks its language's tools.
    pub(super) fn check(&self) -> Result<(), PluginError> {
        match &self.what {
            What::Rust(_) => rust::check(&self.dir),
            // Looking for the commands has asked already.
            What::Go(_) => Ok(()),
            What::JavaScript(_) => js::check(&self.dir),
            What::Python(_) => python::check(&self.dir),
            What::C => c::check(&self.dir),
        }
    }

    /// Compiles its plugins.
    pub(super) fn compile(&self, settings: Settings) -> Result<Vec<Made>, PluginError> {
        match &self.what {
            What::Rust(crates) => rust::compile(&self.dir, crates, settings),
            What::Go(dirs) => dirs.iter().map(|dir| go::compile(dir, settings)).collect(),
            What::JavaScript(dirs) => dirs.iter().map(|dir| js::compile(dir, settings)).collect(),
            What::Python(_) => Ok(vec![python::compile(&self.dir)?]),
            What::C => Ok(vec![c::compile(&self.dir, settings)?]),
        }
    }
}

/// The projects of a directory: its own, or those of its subdirectories, by name.
pub(super) fn projects(dir: &Path) -> Result<Vec<Project>, PluginError> {
    if !dir.is_dir() {
        let what = if dir.exists() {
            "it is no directory"
        } else {
            "it does not exist"
        };
        return Err(not_a_plugin(dir, what));
    }
    if let Some(kind) = kind(dir) {
        let project = open(dir, kind)?;
        return match project.plugins() {
            0 => Err(not_a_plugin(dir, no_plugin(kind))),
            _ => Ok(vec![project]),
        };
    }
    let entries = std::fs::read_dir(dir).map_err(|error| PluginError::io("read", dir, error))?;
    let mut dirs = Vec::new();
    for entry in entries {
        dirs.push(entry.map_err(|error| PluginError::io("read", dir, error))?.path());
    }
    dirs.sort();
    let mut found = Vec::new();
    for dir in dirs {
        if let Some(kind) = kind(&dir) {
            let project = open(&dir, kind)?;
            if project.plugins() > 0 {
                found.push(project);
            }
        }
    }
    if found.is_empty() {
        let names: Vec<_> = MANIFESTS.iter().map(|(name, _)| format!("`{name}`")).collect();
        return Err(not_a_plugin(
            dir,
            format!("neither it nor a directory in it has one of {}", names.join(", ")),
        ));
    }
    Ok(found)
}

fn kind(dir: &Path) -> Option<Kind> {
    MANIFESTS
        .iter()
        .find(|(name, _)| dir.join(name).is_file())
        .map(|(_, kind)| *kind)
}

/// Reads the manifest, and asks the language's tools where it takes them to find the plugins.
fn open(dir: &Path, kind: Kind) -> Result<Project, PluginError> {
    let what = match kind {
        Kind::Rust => What::Rust(rust::plugin_crates(dir)?),
        Kind::Go => {
            go::check(dir)?;
            What::Go(go::commands(dir)?)
        }
        Kind::JavaScript => What::JavaScript(js::packages(dir)?),
        Kind::Python => What::Python(python::is_plugin(dir)?),
        Kind::C => {
            c::read_manifest(dir)?;
            What::C
        }
    };
    Ok(Project {
        dir: dir.to_owned(),
        what,
    })
}

fn no_plugin(kind: Kind) -> &'static str {
    match kind {
        Kind::Rust => "no crate of its `Cargo.toml` is a plugin: it needs `[lib] crate-type = [\"cdylib\"]`",
        Kind::Go => "its module has no `package main`, which a plugin is",
        Kind::JavaScript => "none of its workspaces is a plugin: `main` of `package.json` names the plugin's module",
        Kind::Python => python::NO_PLUGIN,
        Kind::C => "it holds no plugin",
    }
}
