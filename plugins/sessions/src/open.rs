//! The open sessions of one key.

use serde::{Deserialize, Serialize};

/// The time of the first record, of the last, and how many there are. Written as a list of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session(pub(crate) i64, pub(crate) i64, pub(crate) u64);

impl Session {
    /// When it ends, if no record joins it.
    pub(crate) fn end(self, gap: i64) -> i64 {
        self.1.saturating_add(gap)
    }

    /// Whether a record is less than `gap` away from it.
    fn takes(self, time: i64, gap: i64) -> bool {
        self.0.saturating_sub(time) < gap && time.saturating_sub(self.1) < gap
    }

    fn joined(self, other: Self) -> Self {
        Self(self.0.min(other.0), self.1.max(other.1), self.2 + other.2)
    }
}

/// Adds a record to sessions that stand by rising start: it joins those that take it, at most one
/// before and one after it, or is one of its own.
pub(crate) fn add(open: &mut Vec<Session>, time: i64, gap: i64) {
    let mut own = Session(time, time, 1);
    open.retain(|session| {
        let takes = session.takes(time, gap);
        if takes {
            own = own.joined(*session);
        }
        !takes
    });
    let place = open.partition_point(|session| session.0 < own.0);
    open.insert(place, own);
}

/// Takes out the sessions that have ended, by rising end. They never overlap, so that is the order
/// in which they stand.
pub(crate) fn take_ended(open: &mut Vec<Session>, watermark: i64, gap: i64) -> Vec<Session> {
    let ended = open.partition_point(|session| session.end(gap) <= watermark);
    open.drain(..ended).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(times: &[i64]) -> Vec<Session> {
        let mut open = Vec::new();
        for time in times {
            add(&mut open, *time, 10);
        }
        open
    }

    #[test]
    fn records_less_than_the_gap_apart_are_one_session() {
        assert_eq!(sessions(&[0, 9, 18]), [Session(0, 18, 3)]);
        assert_eq!(sessions(&[0, 10]), [Session(0, 0, 1), Session(10, 10, 1)]);
        assert_eq!(sessions(&[10, 0]), [Session(0, 0, 1), Session(10, 10, 1)]);
        // One record joins two sessions.
        assert_eq!(sessions(&[0, 18, 9]), [Session(0, 18, 3)]);
        assert_eq!(sessions(&[0, 20, 10]).len(), 3);
    }

    #[test]
    fn the_order_of_records_does_not_matter() {
        let times = [3, 50, 12, 30, 41, 0, 70];
        let whole = sessions(&times);
        assert_eq!(
            whole,
            [
                Session(0, 12, 3),
                Session(30, 30, 1),
                Session(41, 50, 2),
                Session(70, 70, 1)
            ]
        );
        for turn in 1..times.len() {
            let mut turned = times;
            turned.rotate_left(turn);
            assert_eq!(sessions(&turned), whole);
            turned.reverse();
            assert_eq!(sessions(&turned), whole);
        }
    }

    #[test]
    fn times_at_the_ends_of_the_range_do_not_overflow() {
        let mut open = vec![Session(i64::MAX, i64::MAX, 1)];
        add(&mut open, 0, i64::MAX);
        assert_eq!(open, [Session(0, 0, 1), Session(i64::MAX, i64::MAX, 1)]);
        assert_eq!(take_ended(&mut open, i64::MAX, i64::MAX).len(), 2);
    }
}
