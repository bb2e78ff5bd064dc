//! Records a second, without sleeping: a read is granted as many as are due.

use std::time::Instant;

/// What is due but was not asked for is kept for half a second: a short delay is made up for, a
/// long pause does not end in a flood.
const KEPT_SECONDS: f64 = 0.5;

#[derive(Debug)]
pub(crate) struct Pace {
    /// `None`: no limit.
    rate: Option<f64>,
    due: f64,
    last: Option<Instant>,
}

impl Pace {
    pub(crate) fn unlimited() -> Self {
        Self {
            rate: None,
            due: 0.0,
            last: None,
        }
    }

    pub(crate) fn new(rate: Option<f64>) -> Result<Self, String> {
        match rate {
            Some(rate) if !(rate.is_finite() && rate > 0.0) => Err(format!("`rate` is {rate}, not a number above 0")),
            _ => Ok(Self {
                rate,
                due: 1.0,
                last: None,
            }),
        }
    }

    /// How many of `wanted` records may be made now.
    pub(crate) fn take(&mut self, now: Instant, wanted: usize) -> usize {
        let Some(rate) = self.rate else {
            return wanted;
        };
        if let Some(last) = self.last {
            let seconds = now.saturating_duration_since(last).as_secs_f64();
            self.due = (self.due + seconds * rate).min((rate * KEPT_SECONDS).max(1.0));
        }
        self.last = Some(now);
        // Saturates, and is never negative.
        let granted = wanted.min(self.due as usize);
        self.due -= granted as f64;
        granted
    }

    /// What was granted and not used.
    pub(crate) fn give_back(&mut self, unused: usize) {
        if self.rate.is_some() {
            self.due += unused as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_rate_holds_over_any_cut_of_time() {
        for millis in [1, 7, 100, 450] {
            let mut pace = Pace::new(Some(250.0)).unwrap();
            let start = Instant::now();
            let mut made = 0;
            let mut at = 0;
            while at <= 20_000 {
                let granted = pace.take(start + Duration::from_millis(at), 1_000);
                let unused = granted.min(1) * usize::from(at % 3 == 0);
                pace.give_back(unused);
                made += granted - unused;
                at += millis;
            }
            assert!((4_700..=5_001).contains(&made), "{made} with reads every {millis} ms");
        }
    }

    #[test]
    fn slow_rates_and_pauses() {
        let mut pace = Pace::new(Some(0.5)).unwrap();
        let start = Instant::now();
        let made: Vec<usize> = (0..7).map(|s| pace.take(start + Duration::from_secs(s), 10)).collect();
        assert_eq!(made, [1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(pace.take(start + Duration::from_secs(1_000), 10), 1);
        let mut fast = Pace::new(Some(100.0)).unwrap();
        fast.take(start, 10);
        assert_eq!(fast.take(start + Duration::from_secs(1_000), 1_000), 50);
        assert_eq!(Pace::new(None).unwrap().take(start, 7), 7);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Pace::new(Some(wrong)).is_err());
        }
    }
}
