//! The bytes of changelog records and checkpoints.
//!
//! ```text
//!   changelog key    0 "position"                              value: Position as JSON
//!                    1 <length of name: u8> <name> <user key>  value: the user's bytes, null removes
//! ```
//!
//! The same keys are used in the local store, so that a restore copies records as they are. JSON
//! for positions: there is one per commit, and people look at it with `kcat`.

use record::offset::{NextOffset, TopicPartition};
use record::store::{Checkpoint, InputPosition};
use serde::{Deserialize, Serialize};

use crate::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// The key of the record that holds the task's position.
pub(crate) const POSITION_KEY: &[u8] = b"\0position";
const KIND_ENTRY: u8 = 1;
/// Raised when what stands in positions and checkpoints changes its meaning.
const VERSION: u32 = 1;

/// What the keys of a store start with.
///
/// `name` has at most 255 bytes; longer ones are refused when the state is opened.
pub(crate) fn entry_prefix(name: &str) -> Vec<u8> {
    let mut prefix = vec![KIND_ENTRY, name.len() as u8];
    prefix.extend_from_slice(name.as_bytes());
    prefix
}

/// What a changelog record is.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    /// The position of the task in its input.
    Position(InputPosition),
    /// An entry of a store, set or removed.
    Entry,
}

/// Reads a changelog record, and refuses what was not written by [`entry_prefix`] and
/// [`encode_position`]: a local store takes in only what it can hold.
pub(crate) fn read_change(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Change, String> {
    let key = key.ok_or("it has no key")?;
    if key == POSITION_KEY {
        let value = value.ok_or("the position is null")?;
        return decode_position(value).map(Change::Position);
    }
    let (name, user_key) = match key {
        [KIND_ENTRY, length, rest @ ..] => rest
            .split_at_checked(usize::from(*length))
            .ok_or("the store's name is cut short")?,
        _ => return Err(format!("its key starts with {:?}", &key[..key.len().min(2)])),
    };
    if name.is_empty() || std::str::from_utf8(name).is_err() {
        return Err("the store's name is not a name".to_owned());
    }
    if user_key.len() > KEY_BYTES_MAX {
        return Err(format!("a key has {} bytes", user_key.len()));
    }
    if value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
        return Err(format!("a value has more than {VALUE_BYTES_MAX} bytes"));
    }
    Ok(Change::Entry)
}

#[derive(Serialize, Deserialize)]
struct PositionJson {
    v: u32,
    topic: String,
    partition: u32,
    topic_id: String,
    next: i64,
    stream_time: i64,
    /// Left out by the first versions: 0.
    #[serde(default)]
    state_version: u32,
}

#[derive(Serialize, Deserialize)]
struct CheckpointJson {
    v: u32,
    changelog_id: String,
    changelog_next: i64,
    position: Option<PositionJson>,
    saved_at: i64,
}

impl From<&InputPosition> for PositionJson {
    fn from(position: &InputPosition) -> Self {
        Self {
            v: VERSION,
            topic: position.input.topic.to_string(),
            partition: position.input.partition,
            topic_id: position.topic_id.clone(),
            next: position.next.0,
            stream_time: position.stream_time,
            state_version: position.state_version,
        }
    }
}

impl PositionJson {
    fn into_position(self) -> Result<InputPosition, String> {
        check_version(self.v)?;
        Ok(InputPosition {
            input: TopicPartition::new(self.topic, self.partition),
            topic_id: self.topic_id,
            next: NextOffset(self.next),
            stream_time: self.stream_time,
            state_version: self.state_version,
        })
    }
}

fn check_version(version: u32) -> Result<(), String> {
    if version == VERSION {
        Ok(())
    } else {
        Err(format!("its format is {version}, this version reads {VERSION}"))
    }
}

/// Appends the value of the position record.
pub(crate) fn encode_position(position: &InputPosition, into: &mut Vec<u8>) {
    to_json(&PositionJson::from(position), into);
}

fn decode_position(value: &[u8]) -> Result<InputPosition, String> {
    serde_json::from_slice::<PositionJson>(value)
        .map_err(|e| format!("the position is not one: {e}"))?
        .into_position()
}

/// A checkpoint as the local store keeps it.
pub(crate) fn encode_checkpoint(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    let json = CheckpointJson {
        v: VERSION,
        changelog_id: checkpoint.changelog_id.clone(),
        changelog_next: checkpoint.changelog_next.0,
        position: checkpoint.position.as_ref().map(PositionJson::from),
        saved_at: checkpoint.saved_at,
    };
    to_json(&json, &mut bytes);
    bytes
}

/// Reads what [`encode_checkpoint`] wrote.
pub(crate) fn decode_checkpoint(bytes: &[u8]) -> Result<Checkpoint, String> {
    let json: CheckpointJson = serde_json::from_slice(bytes).map_err(|e| format!("the checkpoint is not one: {e}"))?;
    check_version(json.v)?;
    Ok(Checkpoint {
        changelog_id: json.changelog_id,
        changelog_next: NextOffset(json.changelog_next),
        position: json.position.map(PositionJson::into_position).transpose()?,
        saved_at: json.saved_at,
    })
}

/// Numbers and strings into memory: serde_json has no error to give here, and were there one, the
/// value would be found unreadable by its reader.
fn to_json(value: &impl Serialize, into: &mut Vec<u8>) {
    if let Err(error) = serde_json::to_writer(into, value) {
        tracing::error!(%error, "a position could not be written as JSON");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position() -> InputPosition {
        InputPosition {
            input: TopicPartition::new("orders", 3),
            topic_id: "abc".to_owned(),
            next: NextOffset(17),
            stream_time: -1,
            state_version: 3,
        }
    }

    #[test]
    fn a_position_and_a_checkpoint_are_read_back() {
        let mut value = Vec::new();
        encode_position(&position(), &mut value);
        assert_eq!(
            read_change(Some(POSITION_KEY), Some(&value)),
            Ok(Change::Position(position()))
        );
        for position in [None, Some(position())] {
            let checkpoint = Checkpoint {
                changelog_id: "x\"y".to_owned(),
                changelog_next: NextOffset(i64::MAX),
                position,
                saved_at: 5,
            };
            assert_eq!(decode_checkpoint(&encode_checkpoint(&checkpoint)), Ok(checkpoint));
        }
    }

    #[test]
    fn a_position_without_a_state_version_is_of_version_0() {
        let mut value = Vec::new();
        encode_position(&position(), &mut value);
        let text = String::from_utf8(value).unwrap();
        let older = text.replace(",\"state_version\":3", "");
        assert_ne!(older, text);
        let Ok(Change::Position(found)) = read_change(Some(POSITION_KEY), Some(older.as_bytes())) else {
            panic!("{older}");
        };
        assert_eq!(found.state_version, 0);
    }

    #[test]
    fn what_a_newer_version_wrote_is_refused() {
        let mut value = Vec::new();
        encode_position(&position(), &mut value);
        let newer = String::from_utf8(value).unwrap().replace("\"v\":1", "\"v\":2");
        let error = read_change(Some(POSITION_KEY), Some(newer.as_bytes())).unwrap_err();
        assert!(error.contains("format is 2"), "{error}");
    }

    #[test]
    fn keys_that_no_store_can_hold_are_refused() {
        let mut long = entry_prefix("s");
        long.extend(vec![b'k'; KEY_BYTES_MAX]);
        assert_eq!(read_change(Some(&long), None), Ok(Change::Entry));
        long.push(b'k');
        assert!(read_change(Some(&long), None).is_err());
        for key in [
            &b""[..],
            b"\0",
            b"\0positions",
            b"\x01",
            b"\x01\x00k",
            b"\x01\x05abcd",
            b"\x01\x01\xffk",
            b"\x02",
        ] {
            assert!(read_change(Some(key), Some(b"v")).is_err(), "{key:?}");
        }
        assert!(read_change(None, Some(b"v")).is_err());
        assert!(read_change(Some(POSITION_KEY), None).is_err());
        assert!(read_change(Some(POSITION_KEY), Some(b"{}")).is_err());
    }

    proptest! {
        #[test]
        fn no_record_makes_the_reader_panic(key: Option<Vec<u8>>, value: Option<Vec<u8>>) {
            let _ = read_change(key.as_deref(), value.as_deref());
            let _ = decode_checkpoint(&value.unwrap_or_default());
        }
    }
}
