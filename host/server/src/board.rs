//! What the pipelines of this process are doing, for whoever asks: the API, metrics.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use parking_lot::RwLock;
use plugin::Linked;
use record::log::Log;
use record::store::StateBackend;
use record::topology::Topology;
use sources::http::Answers;
use task::{Control, Observer, Taps};

use crate::shadow::Shadow;
use crate::supervisor::receipt::Receipt;

/// So many receipts are kept.
const RECEIPTS_MAX: usize = 200;

/// A pipeline, as it runs or has ended.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) file: PathBuf,
    pub(crate) plan: String,
    pub(crate) topology: Arc<Topology>,
    pub(crate) started: Timestamp,
    pub(crate) observer: Arc<Observer>,
    pub(crate) control: Control,
    pub(crate) taps: Taps,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) control_topic: String,
    /// The transforms, in the order of the plan.
    pub(crate) linked: Vec<Linked>,
    /// Other versions that run beside transforms, by their names.
    pub(crate) shadows: HashMap<Arc<str>, Shadow>,
    /// Where its state is.
    pub(crate) state: Arc<dyn StateBackend>,
    /// How it has ended, if it has: an error, or `None` when it was asked to.
    pub(crate) ended: Option<Option<String>>,
}

impl Entry {
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.topology.pipeline
    }
}

/// A source that is sent its records.
#[derive(Clone)]
pub(crate) struct Heard {
    pub(crate) pipeline: Arc<str>,
    pub(crate) source: Arc<str>,
    pub(crate) answers: Arc<Answers>,
}

/// Where to ask whoever listens at an address: one that stands for all interfaces is asked on this machine's own.
fn to_ask(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// All of them. Written by the supervisor, read by anybody.
#[derive(Default)]
pub(crate) struct Board {
    entries: RwLock<Vec<Entry>>,
    receipts: RwLock<VecDeque<Receipt>>,
    heard: RwLock<Vec<Heard>>,
    /// All pipelines of the start are among the entries.
    is_complete: AtomicBool,
    /// Where the API of the process listens.
    api: OnceLock<SocketAddr>,
}

impl Board {
    /// The API listens there; before any entry is set.
    pub(crate) fn serves_at(&self, address: SocketAddr) {
        let _ = self.api.set(address);
    }

    /// Puts an entry in the place of one of the same name. Its log is told where the API is: whoever finds the log
    /// held asks there.
    pub(crate) fn set(&self, entry: Entry) {
        if let Some(address) = self.api.get()
            && let Err(error) = entry.log.announce(&format!("http://{}", to_ask(*address)))
        {
            tracing::warn!("commands on the embedded log do not find the API of this process: {error}");
        }
        let mut entries = self.entries.write();
        match entries.iter_mut().find(|other| other.name() == entry.name()) {
            Some(place) => *place = entry,
            None => {
                entries.push(entry);
                entries.sort_by(|a, b| a.name().cmp(b.name()));
            }
        }
    }

    /// All pipelines of the start are there.
    pub(crate) fn complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// Changes an entry, if it is there.
    pub(crate) fn update(&self, pipeline: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self
            .entries
            .write()
            .iter_mut()
            .find(|entry| **entry.name() == *pipeline)
        {
            change(entry);
        }
    }

    /// Takes a pipeline away.
    pub(crate) fn remove(&self, pipeline: &str) {
        self.entries.write().retain(|entry| **entry.name() != *pipeline);
    }

    /// All pipelines, by name.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.read().clone()
    }

    /// One pipeline.
    pub(crate) fn entry(&self, pipeline: &str) -> Option<Entry> {
        let entries = self.entries.read();
        entries.iter().find(|entry| **entry.name() == *pipeline).cloned()
    }

    /// These sources listen now.
    pub(crate) fn hear(&self, all: Vec<Heard>) {
        *self.heard.write() = all;
    }

    /// The sources that listen.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.read().clone()
    }

    /// Keeps a receipt.
    pub(crate) fn keep(&self, receipt: Receipt) {
        let mut receipts = self.receipts.write();
        if receipts.len() == RECEIPTS_MAX {
            receipts.pop_front();
        }
        receipts.push_back(receipt);
    }

    /// The receipts that are kept, oldest first.
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.receipts.read().iter().cloned().collect()
    }
}
