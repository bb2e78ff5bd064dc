//! Why a command ends without having done what it was asked for.
//!
//! Each failure prints its code, what happened, where, and what to do next. Codes have a page under
//! docs/errors and never change their meaning.

use std::path::PathBuf;

use record::error::Code;
use record::log::LogError;
use record::store::StoreError;

/// The exit codes of `wasmill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Tried and failed.
    Failed = 1,
    /// The command line or a pipeline is wrong; nothing was tried.
    Invalid = 2,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line asks for something that there is not.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to write instead.
        next: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// `read`, `write`, ...
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Standard input or output.
    #[error("cannot {doing}: {source}")]
    Stdio {
        /// `read standard input`, ...
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The pipeline has mistakes; they have been shown.
    #[error("{file} is not valid")]
    Invalid {
        /// The pipeline's file.
        file: PathBuf,
    },
    /// A reset while the pipeline runs.
    #[error("group `{group}` has members: {members}")]
    Running {
        /// The group.
        group: String,
        /// Who is in it.
        members: String,
    },
    /// A reset that was not finished.
    #[error("a reset of pipeline `{pipeline}` was begun and not finished")]
    HalfReset {
        /// The pipeline.
        pipeline: String,
        /// The pipeline's file.
        file: PathBuf,
    },
    /// Changelogs that a reset may not delete.
    #[error("pipeline `{pipeline}` says `internal_topics = \"require\"` and these changelogs hold records: {topics}")]
    NotOurs {
        /// The pipeline.
        pipeline: String,
        /// The topics.
        topics: String,
    },
    /// Input of `produce` that is no record.
    #[error("{place}: {what}")]
    Input {
        /// The file and the line.
        place: String,
        /// What is wrong.
        what: String,
        /// How to go on.
        next: String,
    },
    /// The log.
    #[error("{doing}: {source}")]
    Log {
        /// What was being done.
        doing: String,
        /// What the log said.
        source: LogError,
    },
    /// The state directory.
    #[error(transparent)]
    State(#[from] StoreError),
    /// A pipeline ended with an error, or stands still at records that failed.
    #[error("pipeline `{pipeline}` failed: {what}")]
    Pipeline {
        /// The pipeline.
        pipeline: String,
        /// The code of what happened.
        code: Code,
        /// What happened.
        what: String,
        /// What to do.
        next: String,
    },
    /// Shutdown took too long.
    #[error("{what} did not stop within {seconds} s")]
    Deadline {
        /// The pipelines that still ran.
        what: String,
        /// The deadline.
        seconds: u64,
    },
    /// A check of `doctor` failed; the table says which.
    #[error("{failed} of {all} checks failed")]
    Unwell {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
    },
    /// Something is in the place that was to be written to.
    #[error("{what}")]
    Taken {
        /// What is there.
        what: String,
        /// What to do instead.
        next: String,
    },
    /// Cases of pipeline tests failed; each was shown.
    #[error("{failed} of {all} test cases failed")]
    Tests {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
    },
    /// Something of another part that carries its own code.
    #[error("{what}")]
    Other {
        /// Its code.
        code: Code,
        /// Whether it is the user's to mend before anything is tried.
        invalid: bool,
        /// What happened.
        what: String,
        /// Where.
        place: Option<String>,
        /// What to do.
        next: String,
    },
}

impl Failure {
    /// A mistake on the command line.
    pub(crate) fn usage(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Usage {
            what: what.into(),
            next: next.into(),
        }
    }

    /// Trouble with the log while `doing`.
    pub(crate) fn log(doing: impl Into<String>) -> impl FnOnce(LogError) -> Self {
        let doing = doing.into();
        move |source| Self::Log { doing, source }
    }

    /// The stable code.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Usage { .. } => Code("E0801"),
            Self::File { .. } | Self::Stdio { .. } => Code("E0802"),
            Self::Running { .. } => Code("E0803"),
            Self::HalfReset { .. } => Code("E0804"),
            Self::NotOurs { .. } => Code("E0805"),
            Self::Input { .. } => Code("E0806"),
            Self::Deadline { .. } => Code("E0807"),
            Self::Unwell { .. } => Code("E0808"),
            Self::Invalid { .. } => Code("E0809"),
            Self::Taken { .. } => Code("E0831"),
            Self::Tests { .. } => Code("E0820"),
            Self::Log { source, .. } => source.code(),
            Self::State(source) => source.code(),
            Self::Pipeline { code, .. } | Self::Other { code, .. } => *code,
        }
    }

    /// Where it happened, when the message does not say so.
    pub(crate) fn place(&self) -> Option<String> {
        match self {
            Self::HalfReset { file, .. } => Some(file.display().to_string()),
            Self::Other { place, .. } => place.clone(),
            _ => None,
        }
    }

    /// What to do next.
    pub(crate) fn next(&self) -> String {
        match self {
            Self::Usage { next, .. }
            | Self::Input { next, .. }
            | Self::Pipeline { next, .. }
            | Self::Taken { next, .. }
            | Self::Other { next, .. } => next.clone(),
            Self::File { .. } => "check the path and the rights on it".to_owned(),
            Self::Stdio { .. } => "check what is connected to it".to_owned(),
            Self::Invalid { file } => format!("mend the places above, then `wasmill validate {}`", file.display()),
            Self::Running { .. } => {
                "stop these processes (or wait until the broker has noticed that they are gone), then run it again"
                    .to_owned()
            }
            Self::HalfReset { file, .. } => {
                format!("finish it with `wasmill reset {} --yes`", file.display())
            }
            Self::NotOurs { .. } => {
                "delete these topics and create them anew with your own tools, then run this again".to_owned()
            }
            Self::Deadline { .. } => {
                "nothing is lost: what was not committed is read again at the next start; `--shutdown-timeout` gives more time"
                    .to_owned()
            }
            Self::Tests { .. } => {
                "mend the plugin or the pipeline; where what came is right, `wasmill test --update` writes it into the test"
                    .to_owned()
            }
            Self::Unwell { .. } => "each line above says what to do".to_owned(),
            Self::Log { source, .. } => log_next(source),
            Self::State(source) => match source {
                StoreError::Locked { .. } => "give each process its own `--state-dir`".to_owned(),
                StoreError::Unreadable { .. } => "try again in a moment".to_owned(),
                StoreError::Io { .. } => "check the disk and the rights on the directory".to_owned(),
                StoreError::BadChangelog { .. } => {
                    "`wasmill reset` makes the changelog anew; nothing else can mend it".to_owned()
                }
                StoreError::Corrupt { .. } | StoreError::Misuse(_) => {
                    "remove the directory; the state is restored from its changelog".to_owned()
                }
            },
        }
    }

    /// The exit code of a command that ends with this.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } | Self::Taken { .. } | Self::Invalid { .. } | Self::Other { invalid: true, .. } => {
                Exit::Invalid
            }
            _ => Exit::Failed,
        }
    }

    /// Whether the reader of standard output has gone away (`wasmill consume ... | head`).
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdio { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// What to do after trouble with the log.
pub(crate) fn log_next(error: &LogError) -> String {
    match error {
        LogError::Retriable { .. } => "check that the broker is up and that its address is right (`wasmill doctor`)",
        LogError::Fenced { .. } => "stop the other process, or give this one its own `--state-dir`",
        LogError::OutOfRange { .. } => "read from the beginning, or reset the pipeline",
        LogError::NoTopic { .. } => {
            "check the name; `wasmill produce --create-topic N` creates it with N partitions, `create_topics = true` lets a pipeline do so"
        }
        LogError::TooLarge { .. } => "raise `max.message.bytes` of the topic, or leave the record out",
        LogError::Rejected { .. } => "mend the record, or the settings of its topic",
        LogError::Fatal { .. } => "check rights and settings (`wasmill doctor`)",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_input_of_the_user_exits_with_2_and_failed_work_with_1() {
        assert_eq!(Failure::usage("a", "b").exit(), Exit::Invalid);
        let away = LogError::Retriable {
            what: "no broker".to_owned(),
        };
        assert_eq!(Failure::log("read")(away).exit(), Exit::Failed);
    }
}
