//! What `produce` and `consume` work on: a log, or the API of the process that has an embedded log open.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use embedded::{EmbeddedLog, Found};
use record::error::Code;
use record::log::{Edge, Isolation, Log, LogError, NewTopic, Reader};
use record::{Batch, NextOffset, TopicPartition};
use reqwest::Url;

use super::args::{LogArgs, TokenArgs};
use super::held::Held;
use crate::compose::{self, LogPlace};
use crate::failure::Failure;

/// How long one batch may take to be acknowledged.
const APPEND_TIMEOUT: Duration = Duration::from_secs(60);
/// Batches are large: each waits for its acknowledgements.
const BATCH_BYTES: usize = 4 << 20;
/// A process that has just taken the log says a moment later where its API is.
const ANNOUNCE_TIME: Duration = Duration::from_secs(5);

/// The topics of one log.
pub(super) trait Topics {
    /// How many partitions a topic has; none where there is no such topic.
    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError>;
    /// Creates a topic; one that exists is left as it is.
    fn create(&self, topic: &str, partitions: u32) -> Result<(), LogError>;
    /// The offsets at the start or the end of partitions of one topic.
    fn offsets(&self, partitions: &[TopicPartition], edge: Edge) -> Result<Vec<NextOffset>, LogError>;
    /// A reader outside any group.
    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader + '_>, LogError>;
    /// Writes a batch, record `i` to `to[i]`, and returns when it is acknowledged.
    fn append(&self, topic: &str, batch: &Batch, to: &[u32]) -> Result<(), LogError>;
    /// How large a batch for [`Self::append`] is best.
    fn batch_bytes(&self) -> usize;
}

impl Topics for Arc<dyn Log> {
    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        let found = self.topics(&[topic], compose::TIMEOUT)?;
        Ok(found.into_iter().next().flatten().map(|info| info.partitions))
    }

    fn create(&self, topic: &str, partitions: u32) -> Result<(), LogError> {
        let new = NewTopic {
            name: topic.to_owned(),
            partitions,
            replication: None,
            config: Vec::new(),
        };
        self.create_topics(&[new], compose::TIMEOUT)
    }

    fn offsets(&self, partitions: &[TopicPartition], edge: Edge) -> Result<Vec<NextOffset>, LogError> {
        Log::offsets(&**self, partitions, edge, compose::TIMEOUT)
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader + '_>, LogError> {
        Log::reader(&**self, isolation)
    }

    fn append(&self, topic: &str, batch: &Batch, to: &[u32]) -> Result<(), LogError> {
        Log::append(&**self, topic, batch, to, APPEND_TIMEOUT)
    }

    fn batch_bytes(&self) -> usize {
        BATCH_BYTES
    }
}

/// Opens the log that the arguments name. An embedded log that another process has open is worked on through that
/// process.
///
/// # Errors
/// What the log says, or a process that has it and no API.
pub(super) fn open(args: &LogArgs, token: &TokenArgs, client_id: &str) -> Result<Box<dyn Topics>, Failure> {
    match args.place()? {
        LogPlace::Embedded(Some(dir)) => open_embedded(&dir, token),
        place => Ok(Box::new(compose::open_log(&place, client_id)?)),
    }
}

fn open_embedded(dir: &Path, token: &TokenArgs) -> Result<Box<dyn Topics>, Failure> {
    let deadline = Instant::now() + ANNOUNCE_TIME;
    loop {
        let found = EmbeddedLog::open_or_find(&compose::embedded_log(dir));
        let (holder, api) = match found.map_err(Failure::log("cannot open the embedded log"))? {
            Found::Open(log) => {
                let log: Arc<dyn Log> = Arc::new(log);
                return Ok(Box::new(log));
            }
            Found::Held { holder, api } => (holder, api),
        };
        if let Some(api) = api {
            let api =
                address(&api).ok_or_else(|| no_api(dir, &format!("{holder}, whose API is not of this machine")))?;
            return Ok(Box::new(Held::new(api, token)?));
        }
        if Instant::now() >= deadline {
            return Err(no_api(dir, &format!("{holder}, which has no API")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn no_api(dir: &Path, holder: &str) -> Failure {
    Failure::Other {
        code: Code("E0731"),
        invalid: false,
        what: format!("the embedded log in {} is in use by {holder}", dir.display()),
        place: None,
        next: "stop that process; or start it with `--listen 127.0.0.1:0`, and this goes through it".to_owned(),
    }
}

/// What the holder of a directory has announced. A token goes to no other machine, whatever the file says: who has
/// the directory open is on this one.
fn address(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let ip: IpAddr = url.host_str()?.trim_matches(['[', ']']).parse().ok()?;
    // Nobody can listen at an address of another machine.
    let is_here = UdpSocket::bind((ip, 0)).is_ok();
    (url.scheme() == "http" && is_here).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked() {
        for good in ["http://127.0.0.1:7077", "http://127.0.0.1:7077/"] {
            assert!(address(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:7077",
            "https://127.0.0.1:7077",
            "http://localhost:7077",
            "http://example.com:7077",
            "http://192.0.2.1:7077",
        ] {
            assert!(address(bad).is_none(), "{bad}");
        }
    }
}
