//! The progress of running pipelines: one line each on a terminal, a log line now and then elsewhere.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use task::{Observer, Snapshot};

use crate::output::Output;

/// The lines at the bottom of the terminal. Logs are written above them: see [`Above`].
fn lines() -> &'static MultiProgress {
    static LINES: OnceLock<MultiProgress> = OnceLock::new();
    LINES.get_or_init(MultiProgress::new)
}

/// Standard error for logs: what is written appears above the progress lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Above;

impl Write for Above {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        lines().suspend(|| io::stderr().write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// How often a log line tells the progress where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The progress of one pipeline.
#[derive(Debug)]
pub(crate) struct Progress {
    pipeline: Arc<str>,
    observer: Arc<Observer>,
    bar: Option<ProgressBar>,
    seen: Snapshot,
    seen_at: Instant,
}

impl Progress {
    /// Starts to show a pipeline. On a terminal there is a line, unless `shares_terminal`: records
    /// are printed there too.
    pub(crate) fn start(pipeline: Arc<str>, observer: Arc<Observer>, output: Output, shares_terminal: bool) -> Self {
        let bar = (output.shows_progress() && !shares_terminal).then(|| {
            let bar = lines().add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(pipeline.to_string());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            pipeline,
            seen: observer.snapshot(),
            observer,
            bar,
            seen_at: Instant::now(),
        }
    }

    /// Looks again; called every second or so.
    pub(crate) fn tick(&mut self) {
        let elapsed = self.seen_at.elapsed();
        let wait = if self.bar.is_some() {
            Duration::from_secs(1)
        } else {
            LOG_EVERY
        };
        if elapsed < wait {
            return;
        }
        let now = self.observer.snapshot();
        let rate = now.records_in.saturating_sub(self.seen.records_in) as f64 / elapsed.as_secs_f64();
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} ({} in/s)", in_words(&now), HumanCount(rate as u64)));
        } else if now.records_in != self.seen.records_in {
            tracing::info!(
                pipeline = &*self.pipeline,
                records_in = now.records_in,
                records_out = now.records_out,
                delivered = now.delivered,
                dead_letters = now.dead_letters,
                skipped = now.skipped,
                failed = now.failed,
                "progress"
            );
        }
        self.seen = now;
        self.seen_at = Instant::now();
    }

    /// Takes the line away.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// The counts for people; what is zero is left out, except for the first two.
pub(crate) fn in_words(counts: &Snapshot) -> String {
    let mut text = format!(
        "{} in, {} out",
        HumanCount(counts.records_in),
        HumanCount(counts.records_out)
    );
    for (count, word) in [
        (counts.delivered, "delivered"),
        (counts.dead_letters, "dead letters"),
        (counts.skipped, "skipped"),
        (counts.failed, "failed"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {} {word}", HumanCount(count)));
        }
    }
    text
}
