//! Waiting for a change of source files.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use record::error::Code;

use crate::failure::Failure;

/// An editor writes a file in several steps, and a tool several files: quiet for so long, and it is done.
const QUIET: Duration = Duration::from_millis(200);
/// What tools write, and nobody edits.
const IGNORED: [&str; 7] = [
    "target",
    "dist",
    "build",
    "node_modules",
    "__pycache__",
    "Cargo.lock",
    "package-lock.json",
];

/// A directory that is watched.
pub(crate) struct Watch {
    dir: PathBuf,
    ignored: PathBuf,
    events: Receiver<notify::Result<Event>>,
    /// Watches as long as it lives.
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches a directory and what is in it, but for what tools write and for `ignored`.
    ///
    /// # Errors
    /// The system does not watch.
    pub(crate) fn start(dir: &Path, ignored: &Path) -> Result<Self, Failure> {
        let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (dir, ignored) = (absolute(dir), absolute(ignored));
        let (sender, events) = channel();
        let mut watcher = notify::recommended_watcher(sender).map_err(|error| failed(&dir, &error))?;
        watcher
            .watch(&dir, RecursiveMode::Recursive)
            .map_err(|error| failed(&dir, &error))?;
        Ok(Self {
            dir,
            ignored,
            events,
            _watcher: watcher,
        })
    }

    /// Returns when something has changed since the last call, and all is quiet again.
    ///
    /// # Errors
    /// The system has stopped watching.
    pub(crate) fn wait(&self) -> Result<(), Failure> {
        loop {
            let event = self.events.recv().map_err(|error| failed(&self.dir, &error))?;
            if self.is_change(&event) {
                break;
            }
        }
        loop {
            match self.events.recv_timeout(QUIET) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(error @ RecvTimeoutError::Disconnected) => return Err(failed(&self.dir, &error)),
            }
        }
    }

    /// An event that could not be read may have been any.
    fn is_change(&self, event: &notify::Result<Event>) -> bool {
        let Ok(event) = event else { return true };
        !event.kind.is_access() && event.paths.iter().any(|path| self.is_source(path))
    }

    fn is_source(&self, path: &Path) -> bool {
        if path.starts_with(&self.ignored) {
            return false;
        }
        let inner = path.strip_prefix(&self.dir).unwrap_or(path);
        !inner.components().any(|component| {
            let name = component.as_os_str().to_string_lossy();
            // Hidden files are those of editors and version control, and environments of Python.
            name.starts_with('.') || name.ends_with('~') || IGNORED.contains(&&*name)
        })
    }
}

fn failed(dir: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Other {
        code: Code("E0832"),
        invalid: false,
        what: format!("cannot watch {}: {error}", dir.display()),
        place: None,
        next: "raise the limit that the message names (on Linux `fs.inotify.max_user_watches`), or build without `--watch`"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_watched_and_what_tools_write_is_not() {
        let home = tempfile::tempdir().expect("tempdir");
        let dir = home.path().join("p");
        std::fs::create_dir_all(dir.join("src")).expect("dirs");
        std::fs::create_dir_all(dir.join("out")).expect("dirs");
        let watch = Watch::start(&dir, &dir.join("out")).expect("watches");
        for (path, is_source) in [
            ("src/lib.rs", true),
            ("Cargo.toml", true),
            ("wasmill-sdk/src/lib.rs", true),
            ("out/p.wasm", false),
            ("target/release/p.wasm", false),
            ("node_modules/x/index.js", false),
            (".venv/bin/python", false),
            (".git/index", false),
            ("src/lib.rs~", false),
        ] {
            assert_eq!(watch.is_source(&watch.dir.join(path)), is_source, "{path}");
        }
    }

    #[test]
    fn a_change_ends_the_waiting() {
        let home = tempfile::tempdir().expect("tempdir");
        let watch = Watch::start(home.path(), &home.path().join("dist")).expect("watches");
        std::fs::create_dir(home.path().join("dist")).expect("dir");
        std::fs::write(home.path().join("dist/p.wasm"), "x").expect("write");
        let file = home.path().join("main.go");
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            std::fs::write(file, "package main").expect("write");
        });
        watch.wait().expect("waits");
        // What is waited for is there: the write to `dist` alone has not ended it.
        assert!(home.path().join("main.go").is_file());
        writer.join().expect("writes");
    }
}
