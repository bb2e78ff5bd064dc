//! What the tests of this crate share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;

use record::batch::Batch;
use record::offset::{NextOffset, TopicPartition};
use record::store::{Checkpoint, InputPosition, StateBackend, Store};
use record::transform::StoreSpec;
use tempfile::TempDir;
use wasmill_state::{DiskBackend, MemoryBackend};

/// A kind of backend under test.
pub(crate) enum Kind {
    Memory(MemoryBackend),
    Disk(Option<DiskBackend>, TempDir),
}

impl Kind {
    pub(crate) fn all() -> [Kind; 2] {
        let dir = TempDir::new().unwrap();
        let disk = DiskBackend::open(dir.path()).unwrap();
        [Kind::Memory(MemoryBackend::default()), Kind::Disk(Some(disk), dir)]
    }

    pub(crate) fn backend(&self) -> &dyn StateBackend {
        match self {
            Kind::Memory(backend) => backend,
            Kind::Disk(backend, _) => backend.as_ref().unwrap(),
        }
    }

    pub(crate) fn store(&self, transform: &str, partition: u32) -> Box<dyn Store> {
        match self {
            Kind::Memory(backend) => backend.store(transform, partition),
            Kind::Disk(backend, _) => backend.as_ref().unwrap().store(transform, partition).unwrap(),
        }
    }

    /// As after a restart of the process, as far as the kind has that.
    pub(crate) fn reopen(&mut self) {
        if let Kind::Disk(backend, dir) = self {
            backend.take();
            *backend = Some(DiskBackend::open(dir.path()).unwrap());
        }
    }
}

pub(crate) fn spec(name: &str, table: bool) -> StoreSpec {
    StoreSpec {
        name: name.to_owned(),
        doc: String::new(),
        table,
        keyed: false,
        key_format: "bytes".to_owned(),
        value_format: "bytes".to_owned(),
    }
}

pub(crate) fn position(next: i64) -> InputPosition {
    InputPosition {
        input: TopicPartition::new("input", 0),
        topic_id: "input-id".to_owned(),
        next: NextOffset(next),
        stream_time: next * 10,
        state_version: 2,
    }
}

pub(crate) fn checkpoint(next: i64) -> Checkpoint {
    Checkpoint {
        changelog_id: "changelog-id".to_owned(),
        changelog_next: NextOffset(next),
        position: Some(position(next)),
        saved_at: next,
    }
}

pub(crate) fn batch() -> Batch {
    Batch::new("changelog".into(), 0)
}

/// Gives records the offsets that a log gives them, from `first` on.
pub(crate) fn numbered(mut records: Batch, first: i64) -> Batch {
    records.offsets = (first..first + records.len() as i64).collect();
    records
}

/// All files under a directory.
pub(crate) fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
