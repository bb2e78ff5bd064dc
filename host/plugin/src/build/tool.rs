//! Running the tools of other languages, and saying how to install them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::error::PluginError;

/// A program that a build needs.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    /// What messages call it.
    pub(super) name: &'static str,
    /// The program, and what always comes before its arguments: `python3 -m ziglang`.
    pub(super) command: Vec<OsString>,
    /// How to install it.
    pub(super) install: String,
}

impl Tool {
    /// A program of the `PATH`.
    pub(super) fn of_path(name: &'static str, program: impl Into<OsString>, install: impl Into<String>) -> Self {
        Self {
            name,
            command: vec![program.into()],
            install: install.into(),
        }
    }

    /// A command that runs in a directory.
    pub(super) fn command(&self, dir: &Path) -> Command {
        let mut words = self.command.iter();
        let mut command = Command::new(words.next().map_or(OsStr::new(self.name), OsString::as_os_str));
        command.args(words).current_dir(dir);
        command
    }

    /// Runs a command of this tool to its end.
    ///
    /// # Errors
    /// It is not there, or it fails: with all that it said.
    pub(super) fn run(&self, dir: &Path, command: &mut Command) -> Result<Output, PluginError> {
        self.run_with(dir, command, said)
    }

    /// As [`Self::run`]; `said` picks what is shown when it fails.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) fn run_with(
        &self,
        dir: &Path,
        command: &mut Command,
        said: impl Fn(&Output) -> String,
    ) -> Result<Output, PluginError> {
        let output = command.output().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => self.missing(dir, format!("{} is not installed", self.name)),
            _ => super::fail(dir, format!("{} does not start: {error}", self.name)),
        })?;
        if output.status.success() {
            return Ok(output);
        }
        let end = match output.status.code() {
            Some(code) => format!("exit code {code}"),
            None => "ended by a signal".to_owned(),
        };
        Err(super::fail(
            dir,
            format!("{} failed ({end})\n{}", self.name, said(&output)),
        ))
    }

    /// What the tool answers when asked for its version.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) fn version(&self, dir: &Path, arguments: &[&str]) -> Result<Version, PluginError> {
        let output = self.run(dir, self.command(dir).args(arguments))?;
        let text = format!("{} {}", text(&output.stdout), text(&output.stderr));
        Version::find(&text).ok_or_else(|| {
            super::fail(
                dir,
                format!("{} does not say its version but `{}`", self.name, text.trim()),
            )
        })
    }

    /// Checks that the version is at least this one.
    pub(super) fn need(&self, dir: &Path, has: Version, least: Version) -> Result<(), PluginError> {
        if has >= least {
            return Ok(());
        }
        Err(self.missing(dir, format!("{} is {has}, and {least} or newer is needed", self.name)))
    }

    /// The error that says how to install it.
    pub(super) fn missing(&self, dir: &Path, what: impl Into<String>) -> PluginError {
        PluginError::ToolMissing {
            dir: dir.to_owned(),
            what: what.into(),
            remedy: self.install.clone(),
        }
    }
}

/// What a tool has said, both streams: some write their errors to standard output.
fn said(output: &Output) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let both: Vec<_> = [err.trim_end(), out.trim_end()]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    if both.is_empty() {
        "it said nothing".to_owned()
    } else {
        both.join("\n")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program of the `PATH`, when it is there.
pub(super) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| is_program(file))
}

/// Whether a file can be run.
pub(super) fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The numbers of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32, pub(super) u32);

impl Version {
    /// The first version in a text: `go version go1.26.8 linux/amd64` has 1.26.8.
    pub(super) fn find(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
            let mut numbers = word.split('.').filter(|part| !part.is_empty());
            let major = numbers.next()?.parse().ok()?;
            let minor = numbers.next()?.parse().ok()?;
            let patch = numbers.next().and_then(|part| part.parse().ok()).unwrap_or(0);
            Some(Self(major, minor, patch))
        })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(major, minor, patch) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_say() {
        let find = |text| Version::find(text).map(|version| version.to_string());
        assert_eq!(find("go version go1.26.8 linux/amd64").as_deref(), Some("1.26.8"));
        assert_eq!(find("componentize-py 0.25.1").as_deref(), Some("0.25.1"));
        assert_eq!(find("v20.20.2\n").as_deref(), Some("20.20.2"));
        assert_eq!(find("Debian clang version 19.1.7 (3)").as_deref(), Some("19.1.7"));
        assert_eq!(find("go version devel").as_deref(), None);
        assert!(Version(1, 9, 9) < Version(1, 24, 0));
    }

    #[test]
    fn a_tool_that_fails_shows_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let tool = Tool::of_path("the shell", "sh", "install a shell");
        let mut command = tool.command(dir.path());
        let error = tool.run(dir.path(), command.args(["-c", "echo out; echo err >&2; exit 3"]));
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains("the shell failed (exit code 3)\nerr\nout"),
            "{message}"
        );
        let none = Tool::of_path("nothing", "no-such-program-here", "look elsewhere");
        let error = none.run(dir.path(), &mut none.command(dir.path())).unwrap_err();
        assert_eq!(error.code().0, "E0221");
        assert!(error.to_string().contains("look elsewhere"), "{error}");
    }
}
