//! `log`: what a plugin tells people goes to the host's log, at a bounded rate.

use std::time::Instant;

use tracing::Level;

use super::HostData;
use crate::bindings::wasmill::plugin::log;

/// Messages a second that an instance may write, and how many at once.
const RATE: f64 = 100.0;
const BURST: f64 = 200.0;
/// A longer message is cut.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Users filter by this.
const TARGET: &str = "wasmill::plugin";

/// The log of one instance.
pub(crate) struct Log {
    tokens: f64,
    refilled: Instant,
    dropped: u64,
    last_error: Option<String>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            tokens: BURST,
            refilled: Instant::now(),
            dropped: 0,
            last_error: None,
        }
    }

    pub(crate) fn start_call(&mut self) {
        self.last_error = None;
    }

    /// The last error of the call: after a trap, its cause. A panic's message is one of these.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Whether a message may be written; else it is counted.
    fn admit(&mut self) -> bool {
        let now = Instant::now();
        let refill = now.duration_since(self.refilled).as_secs_f64() * RATE;
        self.refilled = now;
        self.tokens = (self.tokens + refill).min(BURST);
        if self.tokens < 1.0 {
            self.dropped += 1;
            return false;
        }
        self.tokens -= 1.0;
        true
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
        let kept = is_kept(at) && self.log.admit();
        if kept {
            let dropped = std::mem::take(&mut self.log.dropped);
            let (pipeline, transform) = (&*self.names.pipeline, &*self.names.transform);
            macro_rules! event {
                ($level:expr) => {
                    tracing::event!(target: TARGET, $level, pipeline, transform, record = index, "{message}")
                };
            }
            match level(at) {
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
        let mut log = Log::new();
        let admitted = (0..10_000).filter(|_| log.admit()).count();
        assert!((200..400).contains(&admitted), "{admitted}");
        assert_eq!(log.dropped, 10_000 - admitted as u64);
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let mut message = "\u{e9}".repeat(MESSAGE_BYTES_MAX);
        cut(&mut message);
        assert_eq!(message.len(), MESSAGE_BYTES_MAX + 4);
    }
}
