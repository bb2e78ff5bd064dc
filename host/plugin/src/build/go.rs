//! Go: the standard compiler for `wasip1`, as a reactor.

use std::path::{Path, PathBuf};

use super::tool::{Tool, Version};
use super::{Language, Settings, component::Made};
use crate::error::PluginError;

/// The first with `//go:wasmexport` and `-buildmode=c-shared` for WebAssembly.
const GO_MIN: Version = Version(1, 24, 0);

fn go() -> Tool {
    Tool::of_path(
        "go",
        "go",
        format!("install Go {GO_MIN} or newer from https://go.dev/dl, and put its `bin` on the PATH"),
    )
}

/// Checks the tools, before anything is built.
pub(super) fn check(dir: &Path) -> Result<(), PluginError> {
    let go = go();
    let has = go.version(dir, &["env", "GOVERSION"])?;
    go.need(dir, has, GO_MIN)
}

/// The commands of a module: each is a plugin.
pub(super) fn commands(dir: &Path) -> Result<Vec<PathBuf>, PluginError> {
    let go = go();
    let mut command = go.command(dir);
    command.env("GOOS", "wasip1").env("GOARCH", "wasm").args([
        "list",
        "-f",
        "{{if eq .Name \"main\"}}{{.Dir}}{{end}}",
        "./...",
    ]);
    let output = go.run(dir, &mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut dirs: Vec<_> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(PathBuf::from)
        .collect();
    dirs.sort();
    Ok(dirs)
}

/// Compiles the command of one directory to a core module.
pub(super) fn compile(dir: &Path, settings: Settings) -> Result<Made, PluginError> {
    let start = std::time::Instant::now();
    let go = go();
    let work = super::work_dir()?;
    let module = work.path().join("plugin.wasm");
    let mut command = go.command(dir);
    command
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        // Without it a `CC` of the environment is asked for.
        .env("CGO_ENABLED", "0")
        .args(["build", "-buildmode=c-shared", "-trimpath"])
        // The runtime under the bindings reaches into Go's own by linkname.
        .arg(if settings.debug {
            "-ldflags=-checklinkname=0"
        } else {
            "-ldflags=-checklinkname=0 -s -w"
        })
        .arg("-o")
        .arg(&module)
        .arg(".");
    go.run(dir, &mut command)?;
    Made::read(&module, dir, Language::Go, start)
}
