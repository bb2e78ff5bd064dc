//! The reset incarnation of a pipeline: a text that `wasmill reset` raises.
//!
//! Sinks keep it beside their guards (the offsets table, the `_wasmill` field): after a reset the
//! same offsets of the same topics come again and must be written again, so guards of an earlier
//! incarnation do not count. It lives in the pipeline's control topic (`<pipeline>-control`,
//! compacted, one partition) under the key `incarnation`, because committed offsets expire and a
//! reset deletes them. No topic or no record is incarnation `0`.
//!
//! A reset takes several steps, so it writes the new incarnation twice: as unfinished before the
//! first step, as finished after the last. A pipeline does not start in between.
//!
//! ```text
//!   finished n --reset--> unfinished n+1 --all steps done--> finished n+1
//!                             ^    | crash
//!                             +----+ reset again
//! ```

use std::time::Instant;

use record::Batch;
use record::log::{Edge, Isolation, Log, LogError, LogEvent, NewTopic, PollLimit, Polled};
use record::offset::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::compose::TIMEOUT;
use crate::time;

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
    if log.topics(&[topic], TIMEOUT)?.into_iter().next().flatten().is_none() {
        return Ok(found);
    }
    let at = TopicPartition::new(topic, 0);
    let start = log.offsets(std::slice::from_ref(&at), Edge::Start, TIMEOUT)?;
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    let from: Vec<_> = std::iter::once(at).zip(start).collect();
    reader.assign(&from)?;
    let deadline = Instant::now() + TIMEOUT;
    let mut polled = Polled::default();
    while Instant::now() < deadline {
        polled.clear();
        reader.poll(
            deadline.saturating_duration_since(Instant::now()),
            PollLimit::default(),
            &mut polled,
        )?;
        for batch in &polled.batches {
            for i in (0..batch.len()).filter(|i| batch.keys.get(*i) == Some(KEY)) {
                found = match batch.values.get(i) {
                    None => Incarnation::default(),
                    Some(value) => serde_json::from_slice(value).map_err(|e| LogError::Fatal {
                        what: format!(
                            "record {} of topic `{topic}` is not an incarnation: {e}; is the topic used by another program?",
                            batch.offsets.get(i).copied().unwrap_or(-1)
                        ),
                    })?,
                };
            }
        }
        if polled.events.iter().any(|event| matches!(event, LogEvent::End { .. })) {
            return Ok(found);
        }
    }
    Err(LogError::Retriable {
        what: format!(
            "topic `{topic}` could not be read to its end in {} s",
            TIMEOUT.as_secs()
        ),
    })
}

/// Creates a control topic when there is none.
///
/// # Errors
/// The log.
pub(crate) fn make_topic(log: &dyn Log, topic: &str, replication: Option<u16>) -> Result<(), LogError> {
    let topic = NewTopic {
        name: topic.to_owned(),
        partitions: 1,
        replication,
        config: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
    };
    log.create_topics(&[topic], TIMEOUT)
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
    make_topic(log, topic, replication)?;
    let value = serde_json::to_vec(incarnation).map_err(|e| LogError::Fatal { what: e.to_string() })?;
    let mut batch = Batch::new(topic.into(), 0);
    batch.push(Some(KEY), Some(&value), time::now());
    log.append(topic, &batch, &[0], TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{LogPlace, open_log};

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
