//! `log`: what a plugin tells people goes to the host's log, at a bounded rate.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tracing::Level;

use super::{HostData, Names};
use crate::bindings::wasmill::plugin::log;

/// So many seconds' messages may come at once.
const BURST_SECONDS: f64 = 2.0;
/// A longer message is cut.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Users filter by this.
const TARGET: &str = "wasmill::plugin";

/// The log of one instance.
pub(crate) struct Log {
    rate: Rate,
    last_error: Option<String>,
}

impl Log {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, last_error: None }
    }

    pub(crate) fn start_call(&mut self) {
        self.last_error = None;
    }

    /// The last error of the call: after a trap, its cause. A panic's message is one of these.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }
}

/// The rate of all messages of a transform, whatever instance they come from: one that traps with every
/// record is a fresh one with every record.
#[derive(Clone)]
pub(crate) struct Rate(Arc<Mutex<Bucket>>);

impl Rate {
    pub(crate) fn new(per_second: u32) -> Self {
        Self(Arc::new(Mutex::new(Bucket::new(per_second))))
    }

    /// Whether a message may be written, and how many were dropped before it; else it is counted.
    pub(crate) fn admit(&self) -> Option<u64> {
        self.0.lock().admit()
    }
}

struct Bucket {
    per_second: f64,
    tokens: f64,
    refilled: Instant,
    dropped: u64,
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self {
            per_second,
            tokens: per_second * BURST_SECONDS,
            refilled: Instant::now(),
            dropped: 0,
        }
    }

    fn admit(&mut self) -> Option<u64> {
        let now = Instant::now();
        let refill = now.duration_since(self.refilled).as_secs_f64() * self.per_second;
        self.refilled = now;
        self.tokens = (self.tokens + refill).min(self.per_second * BURST_SECONDS);
        if self.tokens < 1.0 {
            self.dropped += 1;
            return None;
        }
        self.tokens -= 1.0;
        Some(std::mem::take(&mut self.dropped))
    }
}

/// Writes a message of a transform, and how many before it were dropped.
pub(crate) fn tell(names: &Names, at: Level, index: Option<u32>, message: &str, dropped: u64) {
    let (pipeline, transform) = (&*names.pipeline, &*names.transform);
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(target: TARGET, $level, pipeline, transform, record = index, "{message}")
        };
    }
    match at {
        Level::TRACE => event!(Level::TRACE),
        Level::DEBUG => event!(Level::DEBUG),
        Level::INFO => event!(Level::INFO),
        Level::WARN => event!(Level::WARN),
        Level::ERROR => event!(Level::ERROR),
    }
    if dropped > 0 {
        tracing::warn!(target: TARGET, pipeline, transform, "{dropped} messages before this one exceeded the rate");
    }
}

fn level(level: log::Level) -> Level {
    match level {
        log::Level::Trace => Level::TRACE,
        log::Level::Debug => Level::DEBUG,
        log::Level::Info => Level::INFO,
        log::Level::Warn => Level::WARN,
        log::Level::Error => Level::ERROR,
    }
}

fn is_kept(level: log::Level) -> bool {
    match level {
        log::Level::Trace => tracing::enabled!(target: TARGET, Level::TRACE),
        log::Level::Debug => tracing::enabled!(target: TARGET, Level::DEBUG),
        log::Level::Info => tracing::enabled!(target: TARGET, Level::INFO),
        log::Level::Warn => tracing::enabled!(target: TARGET, Level::WARN),
        log::Level::Error => tracing::enabled!(target: TARGET, Level::ERROR),
    }
}

fn cut(message: &mut String) {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push_str(" ...");
    }
}

impl log::Host for HostData {
    fn threshold(&mut self) -> wasmtime::Result<log::Level> {
        let levels = [log::Level::Trace, log::Level::Debug, log::Level::Info, log::Level::Warn];
        let lowest = levels.into_iter().find(|level| is_kept(*level));
        Ok(lowest.unwrap_or(log::Level::Error))
    }

    fn write(&mut self, at: log::Level, index: Option<u32>, mut message: String) -> wasmtime::Result<()> {
        cut(&mut message);
        if is_kept(at)
            && let Some(dropped) = self.log.rate.admit()
        {
            tell(&self.names, level(at), index, &message, dropped);
        }
        if at == log::Level::Error {
            self.log.last_error = Some(message);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_burst() {
        let mut bucket = Bucket::new(100);
        let admitted = (0..10_000).filter(|_| bucket.admit().is_some()).count();
        assert!((200..400).contains(&admitted), "{admitted}");
        assert_eq!(bucket.dropped, 10_000 - admitted as u64);
        let mut none = Bucket::new(0);
        assert!(none.admit().is_none());
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let mut message = "\u{e9}".repeat(MESSAGE_BYTES_MAX);
        cut(&mut message);
        assert_eq!(message.len(), MESSAGE_BYTES_MAX + 4);
    }
}
