//! Why a run ends before its time.

use record::error::{Code, Domain};
use record::log::LogError;
use record::sink::SinkError;
use record::source::SourceError;
use record::store::StoreError;

use crate::control::NotStarted;

/// Why a run could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log.
    #[error("{doing}: {source}")]
    Log {
        /// What was being done.
        doing: String,
        /// What the log said.
        source: LogError,
    },
    /// A local store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A sink.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A transform could not be made.
    #[error("transform `{node}`: {what}")]
    Transform {
        /// Its name in the pipeline.
        node: String,
        /// What is wrong.
        what: String,
    },
    /// Another process runs a pipeline of the same name and another plan.
    #[error(
        "pipeline `{pipeline}` already runs with another plan (client `{client_id}` on {host}); stop that one first, or give this one another `name`"
    )]
    OtherPlan {
        /// The pipeline.
        pipeline: String,
        /// The other member.
        client_id: String,
        /// Where it runs.
        host: String,
    },
    /// Another plan is in force by now.
    #[error("pipeline `{pipeline}` is brought to another plan: {what}")]
    NotInForce {
        /// The pipeline.
        pipeline: String,
        /// What is in force, or who sees to it.
        what: String,
    },
    /// Internal topics are not as the plan needs them.
    #[error("{what}")]
    Topics {
        /// Which, and what to do.
        what: String,
    },
    /// `--from` for a group that has positions.
    #[error(
        "pipeline `{pipeline}` has committed positions, so `--from` would be ignored; `wasmill reset` forgets them first"
    )]
    FromIgnored {
        /// The pipeline.
        pipeline: String,
    },
    /// Two processes with one transactional id end each other.
    #[error("fenced again and again: {what}; another process runs with the same process id (a copied `state_dir`?)")]
    Fenced {
        /// What the log said.
        what: String,
    },
    /// A thread of the run died: a bug.
    #[error("the thread {thread} ended unexpectedly; please report this with the log above")]
    Thread {
        /// Its name.
        thread: String,
    },
}

impl From<NotStarted> for RunError {
    fn from(NotStarted { node, what }: NotStarted) -> Self {
        Self::Transform { node, what }
    }
}

impl RunError {
    pub(crate) fn log(doing: impl Into<String>) -> impl FnOnce(LogError) -> Self {
        let doing = doing.into();
        move |source| Self::Log { doing, source }
    }

    /// Who can mend it.
    #[must_use]
    pub fn domain(&self) -> Domain {
        match self {
            Self::Log { source, .. } => source.domain(),
            Self::Store(error) => error.domain(),
            Self::Source(error) => error.domain(),
            Self::Sink(error) => error.domain(),
            Self::Transform { .. } => Domain::Plugin,
            Self::OtherPlan { .. }
            | Self::NotInForce { .. }
            | Self::Topics { .. }
            | Self::FromIgnored { .. }
            | Self::Fenced { .. } => Domain::User,
            Self::Thread { .. } => Domain::System,
        }
    }

    /// The code of its page in docs/errors.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Log { source, .. } => source.code(),
            Self::Store(error) => error.code(),
            Self::Source(error) => error.code(),
            Self::Sink(error) => error.code(),
            Self::Transform { .. } => Code("E0701"),
            Self::OtherPlan { .. } | Self::NotInForce { .. } => Code("E0702"),
            Self::Topics { .. } => Code("E0703"),
            Self::FromIgnored { .. } => Code("E0704"),
            Self::Fenced { .. } => Code("E0705"),
            Self::Thread { .. } => Code("E0706"),
        }
    }
}
