//! Looks at records as they go by. Nobody who looks holds records up: what is too much is left out and
//! counted. What is seen may be rolled back afterwards, and is then seen again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use record::Batch;
use record::offset::Timestamp;
use tokio::sync::mpsc;

/// So many records wait for whoever looks.
const WAITING_MAX: usize = 64;
/// More of a key or a value is cut off.
const SHOWN_BYTES_MAX: usize = 16 << 10;
/// More headers are left out, and more of each is cut off.
const HEADERS_MAX: usize = 32;
const HEADER_BYTES_MAX: usize = 1 << 10;
/// Taps of one run at once.
const TAPS_MAX: usize = 32;

/// What is looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TapOptions {
    /// The source, transform, sink or topic.
    pub node: String,
    /// Records a second; others are left out and counted.
    pub rate: u32,
    /// Only records with this key.
    pub key: Option<Vec<u8>>,
    /// Only records whose value has these bytes in it.
    pub contains: Option<Vec<u8>>,
}

/// A record that has gone by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tapped {
    /// The port by which it left a transform.
    pub port: Option<String>,
    /// The topic from which it, or the record that it was made of, was read.
    pub topic: Arc<str>,
    /// The partition there.
    pub partition: u32,
    /// The offset there; `None` for what a timer has made.
    pub offset: Option<i64>,
    /// Its event time; -1 for none.
    pub timestamp: Timestamp,
    /// The first bytes of its key.
    pub key: Option<Vec<u8>>,
    /// The first bytes of its value.
    pub value: Option<Vec<u8>>,
    /// Names and values.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Something of it was cut off.
    pub is_cut: bool,
}

/// Those who look at the records of a pipeline. Clones are of the same pipeline.
#[derive(Clone, Default)]
pub struct Taps(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// For the record path to look at; a lock is taken only when somebody looks.
    open: AtomicUsize,
    taps: Mutex<Vec<Tap>>,
    next: AtomicU64,
}

struct Tap {
    id: u64,
    options: TapOptions,
    /// Records that may be shown at once, and when that was.
    budget: f64,
    since: Instant,
    sender: mpsc::Sender<Tapped>,
    left_out: Arc<AtomicU64>,
}

/// The end at which records come out. Dropped, nobody looks any more.
pub struct TapReader {
    id: u64,
    taps: Taps,
    /// The records.
    pub records: mpsc::Receiver<Tapped>,
    left_out: Arc<AtomicU64>,
}

impl TapReader {
    /// Records that were left out since this was last asked.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }
}

impl Drop for TapReader {
    fn drop(&mut self) {
        let mut taps = self.taps.0.taps.lock();
        taps.retain(|tap| tap.id != self.id);
        self.taps.0.open.store(taps.len(), Ordering::Release);
    }
}

impl std::fmt::Debug for Taps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taps").finish_non_exhaustive()
    }
}

impl Taps {
    /// Looks at a place. `None`: too many look already.
    #[must_use]
    pub fn open(&self, options: TapOptions) -> Option<TapReader> {
        let (sender, records) = mpsc::channel(WAITING_MAX);
        let left_out = Arc::new(AtomicU64::new(0));
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut taps = self.0.taps.lock();
        if taps.len() >= TAPS_MAX {
            return None;
        }
        taps.push(Tap {
            id,
            budget: f64::from(options.rate.max(1)),
            options,
            since: Instant::now(),
            sender,
            left_out: Arc::clone(&left_out),
        });
        self.0.open.store(taps.len(), Ordering::Release);
        Some(TapReader {
            id,
            taps: self.clone(),
            records,
            left_out,
        })
    }

    /// Whether anybody looks at anything.
    pub(crate) fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) > 0
    }

    /// Whether anybody looks at this place.
    pub(crate) fn looks_at(&self, node: &str) -> bool {
        self.is_open() && self.0.taps.lock().iter().any(|tap| tap.options.node == node)
    }

    /// Shows records that are at a place. `input`: what they were made of, by their roots; `None`: themselves.
    pub(crate) fn show(&self, node: &str, port: Option<&str>, batch: &Batch, input: Option<&Batch>) {
        if !self.is_open() {
            return;
        }
        for tap in self.0.taps.lock().iter_mut().filter(|tap| tap.options.node == node) {
            tap.show(port, batch, input);
        }
    }
}

impl Tap {
    fn show(&mut self, port: Option<&str>, batch: &Batch, input: Option<&Batch>) {
        let rate = f64::from(self.options.rate.max(1));
        self.budget = (self.budget + self.since.elapsed().as_secs_f64() * rate).min(rate);
        self.since = Instant::now();
        let mut left_out = 0;
        for i in 0..batch.len() {
            if !self.wants(batch, i) {
                continue;
            }
            let taken = self.budget >= 1.0 && self.sender.try_send(tapped(port, batch, i, input)).is_ok();
            if taken {
                self.budget -= 1.0;
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            self.left_out.fetch_add(left_out, Ordering::Relaxed);
        }
    }

    fn wants(&self, batch: &Batch, i: usize) -> bool {
        let key = self.options.key.as_deref();
        let contains = self.options.contains.as_deref().filter(|bytes| !bytes.is_empty());
        key.is_none_or(|key| batch.keys.get(i) == Some(key))
            && contains
                .is_none_or(|bytes| memchr::memmem::find(batch.values.get(i).unwrap_or_default(), bytes).is_some())
    }
}

fn tapped(port: Option<&str>, batch: &Batch, i: usize, input: Option<&Batch>) -> Tapped {
    let mut is_cut = false;
    let mut cut = |bytes: &[u8], max: usize| {
        is_cut |= bytes.len() > max;
        bytes[..bytes.len().min(max)].to_vec()
    };
    let (of, at) = match input {
        Some(input) => (input, batch.root(i)),
        None => (batch, i),
    };
    let mut headers = Vec::new();
    if !batch.headers.is_left_out() {
        for (name, value) in batch.headers.of(i).take(HEADERS_MAX) {
            let name = String::from_utf8_lossy(&cut(name, HEADER_BYTES_MAX)).into_owned();
            headers.push((name, value.map(|value| cut(value, HEADER_BYTES_MAX))));
        }
    }
    let key = batch.keys.get(i).map(|bytes| cut(bytes, SHOWN_BYTES_MAX));
    let value = batch.values.get(i).map(|bytes| cut(bytes, SHOWN_BYTES_MAX));
    Tapped {
        port: port.map(str::to_owned),
        topic: Arc::clone(&of.topic),
        partition: of.partition,
        offset: of.offsets.get(at).copied(),
        timestamp: batch.timestamps[i],
        key,
        value,
        headers,
        is_cut,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn batch(values: &[&str]) -> Batch {
        let mut batch = Batch::new("in".into(), 3);
        for (i, value) in values.iter().enumerate() {
            batch.push(Some(b"k"), Some(value.as_bytes()), 1);
            batch.offsets.push(10 + i as i64);
        }
        batch
    }

    #[test]
    fn what_is_too_much_is_left_out_and_counted() {
        let taps = Taps::default();
        taps.show("a", None, &batch(&["nobody looks"]), None);
        let options = TapOptions {
            node: "a".to_owned(),
            rate: 2,
            ..TapOptions::default()
        };
        let mut reader = taps.open(options).unwrap();
        taps.show("b", None, &batch(&["elsewhere"]), None);
        taps.show("a", Some("out"), &batch(&["1", "2", "3", "4"]), None);
        let first = reader.records.try_recv().unwrap();
        assert_eq!(
            (first.offset, first.partition, first.port.as_deref()),
            (Some(10), 3, Some("out"))
        );
        assert_eq!(reader.records.try_recv().unwrap().value.unwrap(), b"2");
        assert!(reader.records.try_recv().is_err());
        assert_eq!((reader.left_out(), reader.left_out()), (2, 0));
        drop(reader);
        assert!(!taps.is_open());
    }

    #[test]
    fn filters_go_by_key_and_by_what_is_in_the_value() {
        let taps = Taps::default();
        let options = |key: Option<&[u8]>| TapOptions {
            node: "a".to_owned(),
            rate: 10,
            key: key.map(<[u8]>::to_vec),
            contains: Some(b"bb".to_vec()),
        };
        let (mut by_key, mut by_value) = (
            taps.open(options(Some(b"x"))).unwrap(),
            taps.open(options(None)).unwrap(),
        );
        taps.show("a", None, &batch(&["aa", "abba", "b"]), None);
        assert!(by_key.records.try_recv().is_err());
        assert_eq!(by_value.records.try_recv().unwrap().value.unwrap(), b"abba");
        assert!(by_value.records.try_recv().is_err());
        assert_eq!(by_value.left_out(), 0, "what is not wanted is not left out");
    }

    #[test]
    fn large_values_are_cut() {
        let taps = Taps::default();
        let options = TapOptions {
            node: "a".to_owned(),
            rate: 1,
            ..TapOptions::default()
        };
        let mut reader = taps.open(options).unwrap();
        taps.show("a", None, &batch(&[&"x".repeat(SHOWN_BYTES_MAX + 1)]), None);
        let one = reader.records.try_recv().unwrap();
        assert!(one.is_cut);
        assert_eq!(one.value.unwrap().len(), SHOWN_BYTES_MAX);
    }
}
