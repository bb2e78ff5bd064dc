//! Sessions by a native transform with timers, and the same by a model.

use std::collections::BTreeMap;
use std::time::Duration;

use record::error::Failure;
use record::partitioner::partition_for_key;
use record::store::{StateAccess, StoreError};
use record::timer::Clock;
use record::topology::{Delivery, OnError, PartitionCount, Topology};
use record::transform::{Call, CallError, CallErrorKind, Description, Emitted, TimerCall, Transform};

use super::*;

/// Records of a key less apart than this are one session.
pub const GAP: i64 = 30;
const CLOSE: &str = "close";

/// Start, end, count.
type Session = (i64, i64, u64);

/// Emits `start-end:count` when a session of a key has ended. What keys are named decides more: the
/// timers of `bad` fail, those of `poison` trap, those of `huge` emit too much; `tick` sets a timer
/// that sets itself again every millisecond up to 5,000, and `wall` one on the wall clock.
pub struct Sessions(pub Description);

pub fn sessions_description() -> Description {
    Description {
        name: "sessions".into(),
        sets_timers: true,
        ..count_description()
    }
}

fn read(state: &mut dyn StateAccess, key: &[u8]) -> Result<Vec<Session>, StoreError> {
    let bytes = state.get(0, key)?.unwrap_or_default();
    let number = |chunk: &[u8]| i64::from_le_bytes(chunk.try_into().unwrap());
    let numbers: Vec<i64> = bytes.chunks(8).map(number).collect();
    Ok(numbers.chunks(3).map(|n| (n[0], n[1], n[2] as u64)).collect())
}

fn write(state: &mut dyn StateAccess, key: &[u8], sessions: &[Session]) -> Result<(), StoreError> {
    if sessions.is_empty() {
        return state.remove(0, key);
    }
    let numbers = sessions.iter().flat_map(|(a, b, n)| [*a, *b, *n as i64]);
    let bytes: Vec<u8> = numbers.flat_map(i64::to_le_bytes).collect();
    state.put(0, key, &bytes)?;
    let close = sessions.iter().map(|session| session.1).min().unwrap() + GAP;
    state.set_timer(Clock::EventTime, key, CLOSE, close)
}

/// Adds a record's time to the sessions of its key, which may join some.
fn join(sessions: &mut Vec<Session>, time: i64) {
    let mut joined = (time, time, 1);
    sessions.retain(|other| {
        let near = time - other.1 < GAP && other.0 - time < GAP;
        if near {
            joined = (joined.0.min(other.0), joined.1.max(other.1), joined.2 + other.2);
        }
        !near
    });
    sessions.push(joined);
    sessions.sort_unstable();
}

/// Takes out what has ended, by rising end.
fn ended(sessions: &mut Vec<Session>, at: i64) -> Vec<Session> {
    let mut ended: Vec<Session> = sessions.extract_if(.., |session| session.1 + GAP <= at).collect();
    ended.sort_unstable_by_key(|session| (session.1, session.0));
    ended
}

fn text(session: Session) -> String {
    format!("{}-{}:{}", session.0, session.1, session.2)
}

#[allow(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn failed(error: StoreError) -> CallError {
    CallError {
        kind: CallErrorKind::of_store(&error),
        message: error.to_string(),
        detail: String::new(),
    }
}

impl Transform for Sessions {
    fn description(&self) -> &Description {
        &self.0
    }

    fn process(&mut self, call: Call<'_>) -> Result<Emitted, CallError> {
        let state = call.state.0.as_mut().unwrap();
        for i in 0..call.batch.len() {
            let key = call.batch.keys.get(i).unwrap();
            let time = call.batch.timestamps[i];
            match key {
                b"tick" => state.set_timer(Clock::EventTime, key, "tick", time).map_err(failed)?,
                b"wall" => {
                    let due = call.now + 30;
                    state.set_timer(Clock::WallClock, key, "wall", due).map_err(failed)?;
                }
                _ => {
                    let mut sessions = read(&mut **state, key).map_err(failed)?;
                    join(&mut sessions, time);
                    write(&mut **state, key, &sessions).map_err(failed)?;
                }
            }
        }
        Ok(Emitted {
            parents: Vec::new(),
            ..Emitted::default()
        })
    }

    fn on_timers(&mut self, call: TimerCall<'_>) -> Result<Emitted, CallError> {
        let state = call.state.0.as_mut().unwrap();
        let mut out = Emitted::default();
        let emit = |parent: usize, value: &[u8], out: &mut Emitted| {
            out.parents.push(parent as u32);
            out.values.push(Some(value));
            out.count += 1;
        };
        for i in 0..call.timers.len() {
            let key = call.timers.keys.get(i).unwrap();
            let time = call.timers.timestamps[i];
            match (key, call.names.get(i).unwrap()) {
                (b"tick", _) if time < 5_000 => {
                    emit(i, time.to_string().as_bytes(), &mut out);
                    state.set_timer(call.clock, key, "tick", time + 1).map_err(failed)?;
                    continue;
                }
                (b"tick", _) => continue,
                (b"wall", name) => {
                    emit(i, name, &mut out);
                    continue;
                }
                (b"bad", _) => {
                    out.failures.push(Failure {
                        index: i as u32,
                        code: "bad-timer".into(),
                        message: "it was bad".into(),
                        detail: String::new(),
                    });
                    continue;
                }
                (b"poison", _) => {
                    return Err(CallError {
                        kind: CallErrorKind::Trap,
                        message: "it was poison".into(),
                        detail: String::new(),
                    });
                }
                _ => {}
            }
            let mut sessions = read(&mut **state, key).map_err(failed)?;
            for session in ended(&mut sessions, time) {
                let mut value = text(session).into_bytes();
                if key == b"huge" {
                    value.resize(200_000, b'.');
                }
                emit(i, &value, &mut out);
            }
            write(&mut **state, key, &sessions).map_err(failed)?;
        }
        Ok(out)
    }

    fn recycle(&mut self) -> Result<(), CallError> {
        Ok(())
    }
}

/// lines -> sessions -> totals.
pub fn sessions(on_error: OnError, lateness: i64) -> Topology {
    let mut topology = word_count(on_error, Delivery::ExactlyOnce);
    let mut node = topology.processes.pop().unwrap();
    node.id = 0;
    node.inputs[0].topic = TopicId(0);
    node.nodes[0].description = sessions_description();
    node.nodes[0].lateness = Duration::from_millis(lateness as u64);
    topology.processes = vec![node];
    topology.topics[2].partitions = PartitionCount::SameAs(TopicId(0));
    topology
}

/// A record: its key and its time.
pub type Event = (&'static str, i64);

/// Writes records to the partitions of their keys.
pub fn append_events(log: &dyn Log, events: &[Event]) {
    let mut batch = Batch::new(LINES.into(), 0);
    let mut partitions = Vec::new();
    for (key, time) in events {
        batch.push(Some(key.as_bytes()), Some(b""), *time);
        partitions.push(partition_for_key(key.as_bytes(), 4));
    }
    log.append(LINES, &batch, &partitions, T).unwrap();
}

/// What must leave each partition, in order: key and text. One record after another, each timer when
/// its time has come: before the record that brings it, or at once.
pub fn model(events: &[Event], lateness: i64) -> Vec<Vec<(String, String)>> {
    let mut out = Vec::new();
    for partition in 0..4 {
        let mut open: BTreeMap<&str, Vec<Session>> = BTreeMap::new();
        let mut left = Vec::new();
        let mut stream_time = -1;
        for (key, time) in events {
            if partition_for_key(key.as_bytes(), 4) != partition {
                continue;
            }
            stream_time = stream_time.max(*time);
            close(&mut open, stream_time - lateness, &mut left);
            join(open.entry(key).or_default(), *time);
            close(&mut open, stream_time - lateness, &mut left);
        }
        out.push(left);
    }
    out
}

fn close(open: &mut BTreeMap<&str, Vec<Session>>, watermark: i64, left: &mut Vec<(String, String)>) {
    let first = |sessions: &[Session]| sessions.iter().map(|session| session.1 + GAP).min();
    // The next timer of all keys, the first key of those at one time.
    while let Some((time, key)) = open
        .iter()
        .filter_map(|(key, sessions)| Some((first(sessions)?, *key)))
        .min()
        .filter(|(time, _)| *time <= watermark)
    {
        let sessions = open.get_mut(key).unwrap();
        left.extend(ended(sessions, time).into_iter().map(|s| (key.to_owned(), text(s))));
    }
}

/// What has left each partition of the totals.
pub fn left(log: &dyn Log) -> Vec<Vec<(String, String)>> {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    read_all(log, TOTALS)
        .iter()
        .map(|batch| {
            (0..batch.len())
                .map(|i| (text(batch.keys.get(i)), text(batch.values.get(i))))
                .collect()
        })
        .collect()
}
