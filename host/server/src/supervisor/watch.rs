//! Which files of a pipeline have changed, by looking at them now and then.
//!
//! Looking finds what events of the system do not: a `ConfigMap` whose directory is swapped by a link, a
//! file on a network, a directory that was not there. It costs a few calls for each file.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a file is now, links followed; `None`: it cannot be looked at.
type Seen = Option<(u64, u64, i64, i64, u64)>;

/// The files that a pipeline was made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    seen: BTreeMap<PathBuf, Seen>,
    /// What was seen the last time, if that differs: a file may be half written.
    unsettled: Option<BTreeMap<PathBuf, Seen>>,
}

impl Files {
    /// Files as they are now.
    pub(crate) fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            seen: paths.into_iter().map(|path| (path.clone(), look(&path))).collect(),
            unsettled: None,
        }
    }

    /// A file that has not been looked at: it has changed as soon as it stays as it is.
    pub(crate) fn unseen(path: &Path) -> Self {
        Self {
            seen: BTreeMap::from([(path.to_owned(), None)]),
            unsettled: None,
        }
    }

    /// What was known of these files at an earlier look counts: what was written since is another change.
    pub(crate) fn seen_at(mut self, earlier: &Self) -> Self {
        for (path, seen) in &mut self.seen {
            if let Some(before) = earlier.seen.get(path) {
                *seen = *before;
            }
        }
        self
    }

    /// Others are looked at too, as of when they were looked at last.
    pub(crate) fn add(&mut self, others: Self) {
        self.seen.extend(others.seen);
    }

    /// From now on, what is there now is what is known.
    pub(crate) fn look_again(&mut self) {
        for (path, seen) in &mut self.seen {
            *seen = look(path);
        }
        self.unsettled = None;
    }

    /// Whether any has changed since, and they have been the same for two looks. A change is told once.
    pub(crate) fn have_changed(&mut self) -> bool {
        let now: BTreeMap<PathBuf, Seen> = self.seen.keys().map(|path| (path.clone(), look(path))).collect();
        if now == self.seen {
            self.unsettled = None;
            return false;
        }
        let is_settled = self.unsettled.as_ref() == Some(&now);
        self.unsettled = Some(now);
        if is_settled && let Some(now) = self.unsettled.take() {
            self.seen = now;
        }
        is_settled
    }
}

fn look(path: &Path) -> Seen {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_when_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, "1").unwrap();
        let mut files = Files::of([a.clone(), b.clone()]);
        assert!(!files.have_changed());
        std::fs::write(&a, "22").unwrap();
        assert!(!files.have_changed());
        std::fs::write(&a, "333").unwrap();
        assert!(!files.have_changed(), "it is still written to");
        assert!(files.have_changed());
        assert!(!files.have_changed());
        std::fs::write(&b, "").unwrap();
        assert!(!files.have_changed());
        assert!(files.have_changed(), "one that was not there");
        std::fs::remove_file(&b).unwrap();
        assert!(!files.have_changed());
        assert!(files.have_changed());
    }

    #[test]
    fn an_atomic_save_and_a_swapped_link_are_changes() {
        let dir = tempfile::tempdir().unwrap();
        for (version, text) in [("v1", "1"), ("v2", "2")] {
            std::fs::create_dir(dir.path().join(version)).unwrap();
            std::fs::write(dir.path().join(version).join("p.toml"), text).unwrap();
        }
        let link = dir.path().join("data");
        std::os::unix::fs::symlink("v1", &link).unwrap();
        let mut files = Files::of([link.join("p.toml")]);
        // As Kubernetes does it.
        std::os::unix::fs::symlink("v2", dir.path().join("new")).unwrap();
        std::fs::rename(dir.path().join("new"), &link).unwrap();
        files.have_changed();
        assert!(files.have_changed());
        // As editors do it.
        std::fs::write(dir.path().join("v2/p.tmp"), "2").unwrap();
        std::fs::rename(dir.path().join("v2/p.tmp"), dir.path().join("v2/p.toml")).unwrap();
        files.have_changed();
        assert!(files.have_changed());
    }
}
