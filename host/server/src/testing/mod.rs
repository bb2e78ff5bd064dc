//! Runs pipeline tests: `*.test.toml`.
//!
//! ```text
//!   TestFile --run--> Outcome (whole batches) --compare--> differences --report--> people, JSON, JUnit
//!                     Outcome (other cuts)    --must be equal                     update--> the file
//! ```

pub(crate) mod compare;
pub(crate) mod junit;
pub(crate) mod outcome;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod update;
