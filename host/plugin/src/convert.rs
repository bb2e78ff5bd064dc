//! Between the nouns of Wasmill and those of the contract. Columns move, they are not copied.

use record::timer::Clock;
use record::transform::{Description, Emitted, Port, StoreSpec};
use record::{Batch, Column, Headers};

use crate::bindings::exports::wasmill::plugin::lifecycle;
use crate::bindings::wasmill::plugin::types;

pub(crate) fn to_guest(column: Column) -> types::Column {
    let Column { data, ends, marks } = column;
    types::Column { data, ends, marks }
}

pub(crate) fn from_guest(column: types::Column) -> Column {
    let types::Column { data, ends, marks } = column;
    Column { data, ends, marks }
}

pub(crate) fn clock_to_guest(clock: Clock) -> types::Clock {
    match clock {
        Clock::EventTime => types::Clock::EventTime,
        Clock::WallClock => types::Clock::WallClock,
    }
}

pub(crate) fn clock_from_guest(clock: types::Clock) -> Clock {
    match clock {
        types::Clock::EventTime => Clock::EventTime,
        types::Clock::WallClock => Clock::WallClock,
    }
}

fn headers_to_guest(headers: Headers) -> types::Headers {
    types::Headers {
        ends: headers.ends,
        names: to_guest(headers.names),
        values: to_guest(headers.values),
        marks: headers.marks,
    }
}

fn headers_from_guest(headers: types::Headers) -> Headers {
    Headers {
        ends: headers.ends,
        names: from_guest(headers.names),
        values: from_guest(headers.values),
        marks: headers.marks,
    }
}

/// Moves what the plugin is given out of the batch.
pub(crate) fn take_inbound(batch: &mut Batch, headers: bool, origins: types::Origins) -> types::Inbound {
    types::Inbound {
        count: batch.len() as u32,
        partition: batch.partition,
        keys: to_guest(std::mem::take(&mut batch.keys)),
        values: to_guest(std::mem::take(&mut batch.values)),
        timestamps: std::mem::take(&mut batch.timestamps),
        inputs: std::mem::take(&mut batch.inputs),
        headers: headers_to_guest(if headers {
            std::mem::take(&mut batch.headers)
        } else {
            Headers::default()
        }),
        origins,
    }
}

/// Moves it back.
pub(crate) fn put_back(batch: &mut Batch, headers: bool, inbound: types::Inbound) {
    batch.keys = from_guest(inbound.keys);
    batch.values = from_guest(inbound.values);
    batch.timestamps = inbound.timestamps;
    batch.inputs = inbound.inputs;
    if headers {
        batch.headers = headers_from_guest(inbound.headers);
    }
}

/// Moves timers that are due out of their batch.
pub(crate) fn take_due(clock: Clock, timers: &mut Batch, names: &mut Column) -> types::DueTimers {
    types::DueTimers {
        count: timers.len() as u32,
        partition: timers.partition,
        clock: clock_to_guest(clock),
        keys: to_guest(std::mem::take(&mut timers.keys)),
        names: to_guest(std::mem::take(names)),
        times: std::mem::take(&mut timers.timestamps),
    }
}

/// Moves them back.
pub(crate) fn put_back_due(timers: &mut Batch, names: &mut Column, due: types::DueTimers) {
    timers.keys = from_guest(due.keys);
    timers.timestamps = due.times;
    *names = from_guest(due.names);
}

/// The origins of a batch's records, as the plugin is given them. `input` is what the task read.
pub(crate) fn origins(batch: &Batch, input: Option<&Batch>) -> types::Origins {
    let mut origins = record::batch::Origins::default();
    for i in 0..batch.len() {
        let (topic, partition, offset) = match input {
            Some(input) => input.origin(batch.root(i)),
            None => batch.origin(i),
        };
        origins.push(topic, partition, offset);
    }
    types::Origins {
        topics: origins.topics.iter().map(ToString::to_string).collect(),
        topic_indexes: origins.topic_indexes,
        partitions: origins.partitions,
        offsets: origins.offsets,
    }
}

/// No origins.
pub(crate) fn no_origins() -> types::Origins {
    types::Origins {
        topics: Vec::new(),
        topic_indexes: Vec::new(),
        partitions: Vec::new(),
        offsets: Vec::new(),
    }
}

/// Outputs as the plugin handed them out, not yet checked.
pub(crate) fn emitted(outbound: types::Outbound) -> Emitted {
    Emitted {
        count: outbound.count,
        parents: outbound.parents,
        ports: outbound.ports,
        keys: from_guest(outbound.keys),
        values: from_guest(outbound.values),
        timestamps: outbound.timestamps,
        headers: headers_from_guest(outbound.headers),
        failures: outbound
            .failures
            .into_iter()
            .map(|failure| record::error::Failure {
                index: failure.index,
                code: failure.code,
                message: failure.message,
                detail: failure.detail,
            })
            .collect(),
    }
}

/// Drops the outputs of records that failed, which a plugin may have left in. `emitted` has passed
/// its check.
pub(crate) fn without_failed(emitted: Emitted) -> Emitted {
    let failed = |output: usize| {
        let parent = emitted.parent(output) as u32;
        emitted
            .failures
            .binary_search_by_key(&parent, |failure| failure.index)
            .is_ok()
    };
    let count = emitted.count as usize;
    if emitted.failures.is_empty() || !(0..count).any(failed) {
        return emitted;
    }
    let mut kept = Emitted {
        failures: emitted.failures.clone(),
        ..Emitted::default()
    };
    for output in (0..count).filter(|output| !failed(*output)) {
        let at = kept.count as usize;
        kept.count += 1;
        kept.parents.push(emitted.parent(output) as u32);
        kept.ports.push(emitted.port(output));
        for (from, to) in [(&emitted.keys, &mut kept.keys), (&emitted.values, &mut kept.values)] {
            if from.is_empty() || from.mark(output) == record::column::MARK_INHERITED {
                to.push_inherited();
            } else {
                to.push(from.get(output));
            }
        }
        kept.timestamps.extend(emitted.timestamps.get(output));
        if !emitted.headers.is_left_out() {
            for (name, value) in emitted.headers.of(output) {
                kept.headers.push(name, value);
            }
            kept.headers.close(at);
            kept.headers.marks.extend(emitted.headers.marks.get(output));
        }
    }
    kept
}

/// What a plugin says of itself; `extra` is checked elsewhere.
pub(crate) fn description(from: lifecycle::Description) -> Description {
    Description {
        name: from.name,
        version: from.version,
        doc: from.doc,
        state_version: from.state_version,
        inputs: from.inputs,
        ports: from
            .ports
            .into_iter()
            .map(|port| Port {
                name: port.name,
                doc: port.doc,
                rekeys: port.rekeys,
            })
            .collect(),
        stores: from
            .stores
            .into_iter()
            .map(|store| StoreSpec {
                name: store.name,
                doc: store.doc,
                table: store.table,
                keyed: store.keyed,
                key_format: store.key_format,
                value_format: store.value_format,
            })
            .collect(),
        sets_timers: from.sets_timers,
        reads_headers: from.reads_headers,
        reads_origins: from.reads_origins,
        config_schema: from.config_schema,
    }
}
