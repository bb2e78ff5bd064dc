//! What Wasmill writes beside records: the headers of internal records and of dead letters, and
//! the note kept with a committed position. All names start with `wasmill-`; they are not shown
//! to plugins and not written to the user's topics.

use std::sync::Arc;

use crate::batch::Batch;
use crate::headers::Headers;
use crate::offset::{NO_TIMESTAMP, Timestamp};

/// All of Wasmill's own headers start with this.
pub const HEADER_PREFIX: &str = "wasmill-";
/// `topic:partition:offset` of the source record.
pub const HEADER_ORIGIN: &str = "wasmill-origin";
/// `input:sub-topology:partition:stream time` of the task that wrote an internal record.
pub const HEADER_TASK: &str = "wasmill-task";
/// Dead letters: `topic:partition:offset` of the task's input record.
pub const HEADER_INPUT: &str = "wasmill-input";
/// Dead letters: the input of the transform behind a repartition topic that the record was for, unless it is the first.
pub const HEADER_INPUT_NUMBER: &str = "wasmill-input-number";
/// Dead letters of timers: which one. The record has the timer's key and its time, and no value.
pub const HEADER_TIMER: &str = "wasmill-timer";
/// Dead letters: the pipeline.
pub const HEADER_PIPELINE: &str = "wasmill-pipeline";
/// Dead letters: the node that failed.
pub const HEADER_NODE: &str = "wasmill-node";
/// Dead letters: the plugin's name and version, `name@version`.
pub const HEADER_PLUGIN: &str = "wasmill-plugin";
/// Dead letters: the stable word of the error.
pub const HEADER_ERROR_CODE: &str = "wasmill-error-code";
/// Dead letters: the error for people.
pub const HEADER_ERROR: &str = "wasmill-error";
/// Dead letters: a stack trace or the like.
pub const HEADER_ERROR_DETAIL: &str = "wasmill-error-detail";

/// What an internal record says of the task that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskMark {
    /// The input of the transform that the record is for.
    pub input: u8,
    /// The writing sub-topology.
    pub sub_topology: u32,
    /// The writing task's partition.
    pub partition: u32,
    /// The writing task's stream time.
    pub stream_time: Timestamp,
}

impl TaskMark {
    /// As the header has it.
    #[must_use]
    pub fn encode(&self) -> String {
        format!(
            "{}:{}:{}:{}",
            self.input, self.sub_topology, self.partition, self.stream_time
        )
    }

    /// `None` when the text is not a mark.
    #[must_use]
    pub fn decode(text: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(text).ok()?.split(':');
        let mark = Self {
            input: parts.next()?.parse().ok()?,
            sub_topology: parts.next()?.parse().ok()?,
            partition: parts.next()?.parse().ok()?,
            stream_time: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(mark)
    }
}

/// `topic:partition:offset`, as headers and messages have it.
#[must_use]
pub fn encode_origin(topic: &str, partition: u32, offset: i64) -> String {
    format!("{topic}:{partition}:{offset}")
}

/// The parts of [`encode_origin`]; `None` when the text is not one. Topic names have no colon.
#[must_use]
pub fn decode_origin(text: &[u8]) -> Option<(&str, u32, i64)> {
    let (topic, rest) = std::str::from_utf8(text).ok()?.split_once(':')?;
    let (partition, offset) = rest.split_once(':')?;
    Some((topic, partition.parse().ok()?, offset.parse().ok()?))
}

/// Takes Wasmill's own headers out of a batch read from an internal topic: they become its
/// `inputs` and `origins`. Answers the largest upstream stream time, if there is any.
pub fn absorb(batch: &mut Batch) -> Option<Timestamp> {
    if batch.headers.is_left_out() {
        return None;
    }
    let mut kept = Headers::default();
    let mut inputs = Vec::with_capacity(batch.len());
    let mut origins = std::mem::take(&mut batch.origins);
    let mut upstream = None;
    for i in 0..batch.len() {
        let mut origin = None;
        let mut input = 0;
        for (name, value) in batch.headers.of(i) {
            if name == HEADER_ORIGIN.as_bytes() {
                origin = value.and_then(decode_origin);
            } else if name == HEADER_TASK.as_bytes() {
                if let Some(mark) = value.and_then(TaskMark::decode) {
                    input = mark.input;
                    upstream = upstream.max(Some(mark.stream_time));
                }
            } else if !name.starts_with(HEADER_PREFIX.as_bytes()) {
                kept.push(name, value);
            }
        }
        if !kept.names.is_empty() {
            kept.close(i);
        }
        inputs.push(input);
        match origin {
            Some((topic, partition, offset)) => origins.push(topic, partition, offset),
            None => origins.push(&batch.topic, batch.partition, batch.offsets[i]),
        }
    }
    kept.finish(batch.len());
    batch.headers = kept;
    batch.inputs = if inputs.iter().all(|i| *i == 0) {
        Vec::new()
    } else {
        inputs
    };
    batch.origins = origins;
    upstream
}

/// Takes headers that are named like Wasmill's own out of a batch read from a user's topic: they are
/// another pipeline's (a dead letter that was sent back, say) and mean nothing here.
pub fn drop_foreign(batch: &mut Batch) {
    let ours = |name: &[u8]| name.starts_with(HEADER_PREFIX.as_bytes());
    if batch.headers.is_left_out() || !(0..batch.len()).any(|i| batch.headers.of(i).any(|(name, _)| ours(name))) {
        return;
    }
    let mut kept = Headers::default();
    for i in 0..batch.len() {
        for (name, value) in batch.headers.of(i).filter(|(name, _)| !ours(name)) {
            kept.push(name, value);
        }
        kept.close(i);
    }
    batch.headers = kept;
}

/// Gives the records of an outgoing batch the headers of an internal record. `input_batch` is the
/// task's input batch, which `outgoing.roots` point into.
pub fn attach(outgoing: &mut Batch, input_batch: &Batch, mark: TaskMark) {
    let mark = mark.encode();
    let mut headers = Headers::default();
    for i in 0..outgoing.len() {
        let (topic, partition, offset) = input_batch.origin(outgoing.root(i));
        for (name, value) in outgoing.headers.of(i) {
            headers.push(name, value);
        }
        headers.push(
            HEADER_ORIGIN.as_bytes(),
            Some(encode_origin(topic, partition, offset).as_bytes()),
        );
        headers.push(HEADER_TASK.as_bytes(), Some(mark.as_bytes()));
        headers.close(i);
    }
    outgoing.headers = headers;
}

/// What is kept with the committed position of an input: the task's stream time there, and the
/// position of the source that fills the topic, for partition 0 of a source's own topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionNote {
    /// The task's stream time; -1 for none.
    pub stream_time: Timestamp,
    /// See [`crate::source::Source::position`].
    pub source: Option<String>,
}

impl Default for PositionNote {
    fn default() -> Self {
        Self {
            stream_time: NO_TIMESTAMP,
            source: None,
        }
    }
}

impl PositionNote {
    /// One line of ASCII: `w1 <stream time>[ <source position>]`.
    #[must_use]
    pub fn encode(&self) -> String {
        match &self.source {
            Some(source) => format!("w1 {} {source}", self.stream_time),
            None => format!("w1 {}", self.stream_time),
        }
    }

    /// Reads what [`Self::encode`] wrote; anything else (another program's note) is none.
    #[must_use]
    pub fn decode(text: &str) -> Self {
        let mut parts = text.splitn(3, ' ');
        let (Some("w1"), Some(time)) = (parts.next(), parts.next()) else {
            return Self::default();
        };
        Self {
            stream_time: time.parse().unwrap_or(NO_TIMESTAMP),
            source: parts.next().map(str::to_owned),
        }
    }
}

/// What a dead letter says of its record's failure.
#[derive(Clone, Debug)]
pub struct DeadLetter<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The node that failed.
    pub node: &'a str,
    /// `name@version`; empty where no plugin is concerned.
    pub plugin: &'a str,
    /// The stable word of the error.
    pub code: &'a str,
    /// For people.
    pub message: &'a str,
    /// A stack trace or the like.
    pub detail: &'a str,
}

impl DeadLetter<'_> {
    /// Appends record `i` of `input` to `letters`, with the headers that say what happened.
    pub fn push(&self, input: &Batch, i: usize, letters: &mut Batch) {
        let at = letters.len();
        letters.push(input.keys.get(i), input.values.get(i), input.timestamps[i]);
        for (name, value) in input.headers.of(i) {
            letters.headers.push(name, value);
        }
        let place = encode_origin(
            &input.topic,
            input.partition,
            input.offsets.get(i).copied().unwrap_or(-1),
        );
        if let Some(number) = input.inputs.get(i).filter(|number| **number != 0) {
            let number = number.to_string();
            letters
                .headers
                .push(HEADER_INPUT_NUMBER.as_bytes(), Some(number.as_bytes()));
        }
        self.push_headers(input.origin(i), (HEADER_INPUT, &place), letters);
        letters.headers.close(at);
    }

    /// Appends a timer that failed: record `i` of `timers` is its key and time.
    pub fn push_timer(&self, timers: &Batch, i: usize, timer: &str, letters: &mut Batch) {
        let at = letters.len();
        letters.push(timers.keys.get(i), None, timers.timestamps[i]);
        self.push_headers(timers.origin(i), (HEADER_TIMER, timer), letters);
        letters.headers.close(at);
    }

    fn push_headers(&self, origin: (&Arc<str>, u32, i64), failed: (&str, &str), letters: &mut Batch) {
        let origin = encode_origin(origin.0, origin.1, origin.2);
        for (name, value) in [
            (HEADER_ORIGIN, origin.as_str()),
            failed,
            (HEADER_PIPELINE, self.pipeline),
            (HEADER_NODE, self.node),
            (HEADER_PLUGIN, self.plugin),
            (HEADER_ERROR_CODE, self.code),
            (HEADER_ERROR, self.message),
            (HEADER_ERROR_DETAIL, self.detail),
        ] {
            if !value.is_empty() {
                letters.headers.push(name.as_bytes(), Some(value.as_bytes()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_headers_survive_the_way_through_a_topic() {
        let mut read = Batch::new("lines".into(), 2);
        read.push(Some(b"k"), Some(b"v"), 5);
        read.offsets.push(7);
        let mut out = Batch::new("".into(), 0);
        out.push(Some(b"w"), Some(b"x"), 5);
        out.push(Some(b"w"), Some(b"y"), 5);
        out.headers.push(b"mine", Some(b"1"));
        out.headers.close(1);
        out.roots = vec![0, 0];
        let mark = TaskMark {
            input: 3,
            sub_topology: 0,
            partition: 2,
            stream_time: 9,
        };
        attach(&mut out, &read, mark);

        let mut again = Batch::new("p-count-repartition".into(), 1);
        again.timestamps = vec![5, 5];
        again.offsets = vec![100, 101];
        again.headers = out.headers;
        assert_eq!(absorb(&mut again), Some(9));
        assert_eq!(again.inputs, [3, 3]);
        assert_eq!(again.origin(1), (&"lines".into(), 2, 7));
        assert_eq!(again.headers.of(0).count(), 0);
        assert_eq!(again.headers.last(1, "mine"), Some(Some(b"1".as_slice())));
    }

    #[test]
    fn headers_named_like_ours_are_dropped_from_a_users_records() {
        let mut batch = Batch::new("lines".into(), 0);
        for i in 0..3 {
            batch.push(None, None, i);
        }
        batch.headers.push(b"a", Some(b"1"));
        batch.headers.push(b"wasmill-origin", Some(b"x:0:1"));
        batch.headers.close(0);
        batch.headers.push(b"wasmill-error", None);
        batch.headers.close(1);
        batch.headers.push(b"b", None);
        batch.headers.close(2);
        drop_foreign(&mut batch);
        let names = |i: usize| batch.headers.of(i).map(|(name, _)| name.to_vec()).collect::<Vec<_>>();
        assert_eq!(
            (names(0), names(1), names(2)),
            (vec![b"a".to_vec()], vec![], vec![b"b".to_vec()])
        );
    }

    #[test]
    fn notes_are_read_back_and_foreign_ones_ignored() {
        let note = PositionNote {
            stream_time: 12,
            source: Some("3:77 x".to_owned()),
        };
        assert_eq!(PositionNote::decode(&note.encode()), note);
        assert_eq!(PositionNote::decode("somebody's"), PositionNote::default());
        assert_eq!(PositionNote::decode(""), PositionNote::default());
    }

    #[test]
    fn a_malformed_mark_is_none() {
        for text in ["", "1:2:3", "1:2:3:4:5", "256:1:1:1", "a:1:1:1"] {
            assert_eq!(TaskMark::decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(decode_origin(b"t:1:x"), None);
        assert_eq!(decode_origin(b"t:1:4"), Some(("t", 1, 4)));
    }
}
