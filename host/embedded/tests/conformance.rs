//! The embedded log does what every log has to do: in memory and in a directory.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use testkit::log_conformance::Subject;
use wasmill_embedded::EmbeddedLog;

fn subject(log: EmbeddedLog) -> Subject {
    let mut subject = Subject::new(Arc::new(log));
    // Nothing here takes longer than a busy disk.
    subject.patience = Duration::from_secs(30);
    subject
}

mod memory {
    use super::*;

    fn fresh() -> Subject {
        subject(EmbeddedLog::open(None).unwrap())
    }

    testkit::log_conformance!(fresh);
}

mod directory {
    use super::*;
    use std::ops::Deref;

    /// The log is closed before its directory goes.
    struct InDirectory(Subject, #[allow(dead_code)] tempfile::TempDir);

    impl Deref for InDirectory {
        type Target = Subject;

        fn deref(&self) -> &Subject {
            &self.0
        }
    }

    fn fresh() -> InDirectory {
        let dir = tempfile::tempdir().unwrap();
        InDirectory(subject(EmbeddedLog::open(Some(dir.path())).unwrap()), dir)
    }

    testkit::log_conformance!(fresh);
}
