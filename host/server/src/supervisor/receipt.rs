//! What a reload did, for people and for scripts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::supervisor::diff::Change;

/// Why a reload was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// A file has changed.
    Watch,
    /// SIGHUP.
    Signal,
    /// Somebody asked for it through the API.
    Api,
    /// The new version has failed too often.
    Rollback,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Nothing differs from what runs.
    Unchanged,
    /// Transforms were replaced between two batches.
    Applied,
    /// The pipeline was stopped behind a commit, and started again as it is now.
    Restarted,
    /// Other processes of the pipeline do not have the new version yet: the old one runs until they do.
    Waiting,
    /// The new version is not taken; the old one runs on.
    Refused,
    /// The version before the last reload runs again, because the new one has failed too often.
    RolledBack,
    /// A pipeline that was not there before.
    Added,
    /// A pipeline whose file is gone: it was stopped behind a commit.
    Removed,
}

impl Outcome {
    /// As in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Applied => "applied",
            Self::Restarted => "restarted",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

/// Something that is wrong with the new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Mistake)]
pub(crate) struct Problem {
    /// The code of its page in docs/errors.
    pub(crate) code: String,
    /// In words.
    pub(crate) message: String,
    /// File, line and column, where it has a place.
    pub(crate) place: Option<String>,
}

/// One reload of one pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Receipt {
    /// Counts the reloads of this process.
    pub(crate) id: u64,
    /// When it was begun.
    pub(crate) at: Timestamp,
    /// The pipeline; its file where it has no name yet.
    pub(crate) pipeline: Arc<str>,
    /// Its file.
    #[schema(value_type = String)]
    pub(crate) file: PathBuf,
    /// Why it was tried.
    pub(crate) cause: Cause,
    /// What came of it.
    pub(crate) outcome: Outcome,
    /// What differs from what ran before.
    pub(crate) changes: Vec<Change>,
    /// Why it was refused.
    pub(crate) problems: Vec<Problem>,
    /// How long the records of a worker stood still at most, in milliseconds.
    pub(crate) pause_ms: f64,
    /// How long all of it took, in milliseconds.
    pub(crate) took_ms: f64,
}

pub(crate) fn millis(time: Duration) -> f64 {
    // Three digits are plenty.
    (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

impl Receipt {
    /// Writes it to the log.
    pub(crate) fn log(&self) {
        let changes: Vec<String> = self.changes.iter().map(ToString::to_string).collect();
        let (id, pipeline, outcome) = (self.id, &*self.pipeline, self.outcome.name());
        match self.problems.first() {
            None => tracing::info!(
                reload = id,
                pipeline,
                outcome,
                changes = changes.join("; "),
                pause_ms = self.pause_ms,
                took_ms = self.took_ms,
                "reload"
            ),
            Some(problem) if self.outcome == Outcome::Waiting => tracing::info!(
                reload = id,
                pipeline,
                outcome,
                changes = changes.join("; "),
                processes = self.problems.len(),
                "reload waits for other processes: {}",
                problem.message
            ),
            Some(problem) if self.outcome == Outcome::RolledBack => tracing::error!(
                reload = id,
                pipeline,
                outcome,
                code = problem.code,
                changes = changes.join("; "),
                pause_ms = self.pause_ms,
                "reload taken back: {}; the version before it runs again",
                problem.message
            ),
            Some(problem) => tracing::error!(
                reload = id,
                pipeline,
                outcome,
                code = problem.code,
                place = problem.place,
                problems = self.problems.len(),
                "reload: {}; the version that runs goes on",
                problem.message
            ),
        }
    }
}
