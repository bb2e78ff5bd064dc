//! Figures of a run that say more than a counter: how times are distributed, what flows where, how far
//! behind groups are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of a [`Histogram`], in seconds; what is above the last has a bucket of its own.
pub const TIME_BOUNDS: [f64; 20] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 600.0, 3_600.0,
];

/// How times are distributed. Only grows; shared by threads.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; TIME_BOUNDS.len() + 1],
    /// Nanoseconds.
    sum: AtomicU64,
}

/// A [`Histogram`] at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// One per bound of [`TIME_BOUNDS`], and one for what is above all.
    pub counts: [u64; TIME_BOUNDS.len() + 1],
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// `records` have taken this long, each.
    pub(crate) fn observe(&self, time: Duration, records: u64) {
        let bucket = TIME_BOUNDS.partition_point(|bound| *bound < time.as_secs_f64());
        self.counts[bucket].fetch_add(records, Ordering::Relaxed);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.sum.fetch_add(nanos.saturating_mul(records), Ordering::Relaxed);
    }

    /// How old records with these event times are at `now`. Those without a time, or one that is yet to come,
    /// do not count.
    pub(crate) fn observe_ages(&self, timestamps: &[i64], now: i64) {
        // Neighbours have the same age, mostly.
        let mut run: Option<(i64, u64)> = None;
        for timestamp in timestamps.iter().copied().filter(|at| (0..=now).contains(at)) {
            match &mut run {
                Some((same, count)) if *same == timestamp => *count += 1,
                _ => {
                    if let Some((at, count)) = run.replace((timestamp, 1)) {
                        self.observe(Duration::from_millis((now - at) as u64), count);
                    }
                }
            }
        }
        if let Some((at, count)) = run {
            self.observe(Duration::from_millis((now - at) as u64), count);
        }
    }

    /// As it is now.
    #[must_use]
    pub fn times(&self) -> Times {
        let mut times = Times {
            sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)).as_secs_f64(),
            ..Times::default()
        };
        for (into, from) in times.counts.iter_mut().zip(&self.counts) {
            *into = from.load(Ordering::Relaxed);
        }
        times
    }
}

impl Times {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The time that a share of all stays below (0.99: all but one in a hundred), in seconds, as a straight line
    /// through its bucket has it. `None` when there are none. What is above the last bound counts as that bound.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = share.clamp(0.0, 1.0) * count as f64;
        let (mut below, mut floor) = (0.0, 0.0);
        for (bound, in_bucket) in TIME_BOUNDS.iter().zip(self.counts) {
            let in_bucket = in_bucket as f64;
            if in_bucket > 0.0 && below + in_bucket >= wanted {
                return Some(floor + (bound - floor) * ((wanted - below) / in_bucket).clamp(0.0, 1.0));
            }
            below += in_bucket;
            floor = *bound;
        }
        Some(floor)
    }
}

/// What goes through a place of the plan: a transform, a topic, a sink.
#[derive(Debug, Default)]
pub struct Flow {
    read: AtomicU64,
    written: AtomicU64,
    /// Of a transform: how long the call that a record was in has taken. Of a sink: how old a record was, by its
    /// event time, when the sink had it.
    pub time: Histogram,
}

impl Flow {
    pub(crate) fn read(&self, records: usize) {
        self.read.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, records: usize) {
        self.written.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// Records that were read: from a topic, by a transform.
    #[must_use]
    pub fn records_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Records that were written: to a topic, by a transform, by a sink.
    #[must_use]
    pub fn records_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// How far a group is behind in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The pipeline's group, or that of a sink.
    pub group: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The group has committed what is before this offset.
    pub committed: i64,
    /// Where the committed records of the partition end.
    pub end: i64,
}

impl Lag {
    /// Offsets that are yet to be processed; markers of transactions are among them.
    #[must_use]
    pub fn records(&self) -> i64 {
        (self.end - self.committed).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_in_the_bucket_of_their_time() {
        let histogram = Histogram::default();
        assert_eq!(histogram.times().quantile(0.5), None);
        histogram.observe(Duration::from_millis(3), 98);
        histogram.observe(Duration::from_millis(700), 2);
        let times = histogram.times();
        assert_eq!(times.count(), 100);
        assert!((times.sum - (98.0 * 0.003 + 2.0 * 0.7)).abs() < 1e-9);
        let at = |share| times.quantile(share).unwrap_or(-1.0);
        assert!(at(0.5) > 0.002_5 && at(0.5) <= 0.005, "{}", at(0.5));
        assert!(at(0.99) > 0.5 && at(0.99) <= 1.0, "{}", at(0.99));
        histogram.observe(Duration::from_secs(1_000_000), 1_000);
        assert_eq!(histogram.times().quantile(0.99), Some(3_600.0));
    }

    #[test]
    fn ages_of_records_without_a_time_do_not_count() {
        let histogram = Histogram::default();
        histogram.observe_ages(&[990, 990, -1, 995, 2_000, 990], 1_000);
        let times = histogram.times();
        assert_eq!(times.count(), 4);
        assert!((times.sum - 0.035).abs() < 1e-9);
    }
}
