//! The composition root: the only place that names the concrete log, state, plugin engine, sources
//! and sinks. Everything else works on contracts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use embedded::EmbeddedLog;
use kafka::{KafkaConfig, KafkaLog};
use record::Secret;
use record::log::Log;
use record::store::{StateBackend, StoreError};
use state::{DiskBackend, MemoryBackend};

use crate::failure::Failure;

/// How long a single question to the log may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);

/// Which log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogPlace {
    /// Kafka.
    Kafka {
        /// The brokers to ask first.
        brokers: Secret,
        /// Settings of librdkafka.
        properties: Vec<(String, Secret)>,
    },
    /// The embedded log: in memory, or in a directory.
    Embedded(Option<PathBuf>),
}

impl std::fmt::Display for LogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kafka { .. } => f.write_str("Kafka"),
            Self::Embedded(None) => f.write_str("embedded in memory"),
            Self::Embedded(Some(dir)) => write!(f, "embedded in {}", dir.display()),
        }
    }
}

/// The logs that this process has open. An embedded log has one owner, so all pipelines share it.
#[derive(Default)]
pub(crate) struct Logs {
    embedded: HashMap<Option<PathBuf>, Arc<EmbeddedLog>>,
}

impl Logs {
    /// Opens a log, or answers the one that is open.
    ///
    /// # Errors
    /// What the log says: a setting that it refuses, a directory that another process holds.
    pub(crate) fn open(&mut self, place: &LogPlace, client_id: &str) -> Result<Arc<dyn Log>, Failure> {
        match place {
            LogPlace::Kafka { brokers, properties } => {
                let log = KafkaLog::new(KafkaConfig {
                    brokers: brokers.reveal().to_owned(),
                    properties: properties.clone(),
                    client_id: client_id.to_owned(),
                });
                Ok(Arc::new(log.map_err(Failure::log("cannot use Kafka"))?))
            }
            LogPlace::Embedded(dir) => {
                if let Some(open) = self.embedded.get(dir) {
                    return Ok(Arc::clone(open) as Arc<dyn Log>);
                }
                let inside = dir.as_deref().map(embedded_log);
                let log = Arc::new(
                    EmbeddedLog::open(inside.as_deref()).map_err(Failure::log("cannot open the embedded log"))?,
                );
                self.embedded.insert(dir.clone(), Arc::clone(&log));
                Ok(log)
            }
        }
    }
}

/// Where the embedded log of `--embedded=DIR` is. Derived state lies beside it and may be deleted: see `state_dir`.
pub(crate) fn embedded_log(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// Opens a log for a command that needs one.
///
/// # Errors
/// As [`Logs::open`].
pub(crate) fn open_log(place: &LogPlace, client_id: &str) -> Result<Arc<dyn Log>, Failure> {
    Logs::default().open(place, client_id)
}

/// Opens local state, and answers the id of this process: kept with the state, so that a restart
/// is the same process to the log. Without a directory, state is in memory and the id new.
///
/// # Errors
/// Another process that holds the directory; the disk.
pub(crate) fn open_state(dir: Option<&Path>) -> Result<(Arc<dyn StateBackend>, String), StoreError> {
    match dir {
        None => Ok((
            Arc::new(MemoryBackend::default()),
            uuid::Uuid::new_v4().simple().to_string(),
        )),
        Some(dir) => {
            let backend = DiskBackend::open(dir)?;
            let process_id = backend.process_id().to_owned();
            Ok((Arc::new(backend), process_id))
        }
    }
}

/// Deletes the local stores in a directory; the process id stays.
///
/// # Errors
/// A process that holds the directory; the disk.
pub(crate) fn clear_state(dir: &Path) -> Result<(), StoreError> {
    DiskBackend::clear(dir)
}
