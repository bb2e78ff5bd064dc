//! Timers: what a transform asks to be called back for.

use crate::offset::Timestamp;

/// Which time a timer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clock {
    /// The watermark: the largest event time that the task has seen, less the allowed lateness.
    EventTime,
    /// The clock on the wall.
    WallClock,
}

impl Clock {
    /// Both, in the order of [`Self::index`].
    pub const ALL: [Self; 2] = [Self::EventTime, Self::WallClock];

    /// 0 or 1.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::EventTime => 0,
            Self::WallClock => 1,
        }
    }

    /// As the contract and dead letters have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EventTime => "event-time",
            Self::WallClock => "wall-clock",
        }
    }
}

/// The longest name of a timer, in bytes.
pub const TIMER_NAME_BYTES_MAX: usize = 255;

/// A timer of a task: there is at most one per clock, key and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// When it is due, in milliseconds since 1970; not negative.
    pub time: Timestamp,
    /// The key for which it was set.
    pub key: Vec<u8>,
    /// 1 to [`TIMER_NAME_BYTES_MAX`] bytes.
    pub name: String,
}
