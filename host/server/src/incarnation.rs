//! The reset incarnation of a pipeline: a text that `wasmill reset` raises.
//!
//! Sinks keep it beside their guards (the offsets table, the `_wasmill` field): after a reset the
//! same offsets of the same topics come again and must be written again, so guards of an earlier
//! incarnation do not count. It lives in the pipeline's [control topic](crate::control_topic) under the key
//! `incarnation`, because committed offsets expire and a reset deletes them. No topic or no record is
//! incarnation `0`.
//!
//! A reset takes several steps, so it writes the new incarnation twice: as unfinished before the
//! first step, as finished after the last. A pipeline does not start in between.
//!
//! ```text
//!   finished n --reset--> unfinished n+1 --all steps done--> finished n+1
//!                             ^    | crash
//!                             +----+ reset again
//! ```

use record::log::{Log, LogError};
use serde::{Deserialize, Serialize};

use crate::control_topic;

const KEY: &[u8] = b"incarnation";

/// What the control topic says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incarnation {
    /// How many resets there were.
    pub(crate) number: u64,
    /// Whether the last reset has done all its steps.
    pub(crate) finished: bool,
}

impl Incarnation {
    /// The text that sinks keep.
    pub(crate) fn text(&self) -> String {
        self.number.to_string()
    }

    /// What a reset makes of it. One that was not finished is taken up again.
    pub(crate) fn raised(&self) -> Self {
        Self {
            number: if self.finished { self.number + 1 } else { self.number },
            finished: false,
        }
    }
}

impl Default for Incarnation {
    fn default() -> Self {
        Self {
            number: 0,
            finished: true,
        }
    }
}

/// Reads the incarnation from a control topic.
///
/// # Errors
/// The log; `Fatal` when the record is none of ours.
pub(crate) fn read(log: &dyn Log, topic: &str) -> Result<Incarnation, LogError> {
    let mut found = Incarnation::default();
    control_topic::read(log, topic, &mut |noted| {
        if noted.key == KEY {
            found = noted.json("an incarnation")?.unwrap_or_default();
        }
        Ok(())
    })?;
    Ok(found)
}

/// Writes the incarnation to a control topic, and creates it when there is none.
///
/// # Errors
/// The log.
pub(crate) fn write(
    log: &dyn Log,
    topic: &str,
    replication: Option<u16>,
    incarnation: &Incarnation,
) -> Result<(), LogError> {
    control_topic::make(log, topic, replication)?;
    control_topic::write(log, topic, &[(KEY, Some(control_topic::encoded(incarnation)?))])
}

#[cfg(test)]
mod tests {
    use record::Batch;

    use super::*;
    use crate::compose::{LogPlace, TIMEOUT, open_log};

    #[test]
    fn it_rises_with_every_reset_and_a_broken_one_is_taken_up() {
        let log = open_log(&LogPlace::Embedded(None), "test").expect("opens");
        let topic = "p-control";
        let first = read(&*log, topic).expect("reads");
        assert_eq!((first.text().as_str(), first.finished), ("0", true));
        assert_eq!(
            log.topics(&[topic], TIMEOUT).expect("looks"),
            [None],
            "reading creates nothing"
        );

        let begun = first.raised();
        write(&*log, topic, None, &begun).expect("writes");
        let crashed = read(&*log, topic).expect("reads");
        assert_eq!((crashed.text().as_str(), crashed.finished), ("1", false));
        assert_eq!(crashed.raised(), begun, "the same reset goes on");

        let done = Incarnation {
            finished: true,
            ..begun
        };
        write(&*log, topic, None, &done).expect("writes");
        assert_eq!(read(&*log, topic).expect("reads").raised().text(), "2");
    }

    #[test]
    fn a_topic_of_another_program_is_not_taken_for_ours() {
        let log = open_log(&LogPlace::Embedded(None), "test").expect("opens");
        write(&*log, "t", None, &Incarnation::default()).expect("writes");
        let mut batch = Batch::new("t".into(), 0);
        batch.push(Some(b"else"), Some(b"x"), 1);
        log.append("t", &batch, &[0], TIMEOUT).expect("appends");
        assert_eq!(
            read(&*log, "t").expect("other keys do not matter"),
            Incarnation::default()
        );
        let mut batch = Batch::new("t".into(), 0);
        batch.push(Some(KEY), Some(b"seven"), 1);
        log.append("t", &batch, &[0], TIMEOUT).expect("appends");
        assert!(matches!(read(&*log, "t"), Err(LogError::Fatal { .. })));
    }
}
