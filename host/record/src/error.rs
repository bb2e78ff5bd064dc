//! What every error of Wasmill says of itself.

use std::fmt;

/// Whose fault an error is, and so who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The pipeline, the command line, the data, or a right that is missing.
    User,
    /// The plugin.
    Plugin,
    /// The broker, the database, the disk, the network, or Wasmill itself.
    System,
}

/// A stable code such as `E0203`, with a page under docs/errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why one record failed; it goes to the dead letters with the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The index of the record in the batch at hand.
    pub index: u32,
    /// A short stable word for metrics, such as `bad-json`.
    pub code: String,
    /// For people.
    pub message: String,
    /// A stack trace or the like; may be empty.
    pub detail: String,
}
