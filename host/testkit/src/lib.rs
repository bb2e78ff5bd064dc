//! Suites that every implementation of a contract is tested with.
//!
//! Everything here panics when the thing under test is wrong: it is called from tests only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "called from tests only: a panic is how a suite says that its subject is wrong"
)]

pub mod log_conformance;
