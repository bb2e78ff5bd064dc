//! Runs a plugin as a plain function, for unit tests with `cargo test`.
//!
//! ```
//! use wasmill_sdk::prelude::*;
//! use wasmill_sdk::testing::{Harness, Input};
//!
//! struct Shout;
//!
//! impl Plugin for Shout {
//!     type Config = NoConfig;
//!     fn about() -> About {
//!         About::new("shout", "1.0.0")
//!     }
//!     fn new(_: NoConfig) -> Result<Self, Problems> {
//!         Ok(Self)
//!     }
//!     fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
//!         ctx.emit(record.value_str()?.to_uppercase())
//!     }
//! }
//!
//! let run = Harness::<Shout>::new("{}").unwrap().run(&[Input::new("hello")]);
//! assert_eq!(run.values(), ["HELLO"]);
//! ```
//!
//! Time is virtual: the timestamps of records move the stream time, [`Harness::advance`] moves either
//! clock, and timers fire as they would in a pipeline.

pub(crate) mod host;
mod records;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use records::{Emitted, Failed, Input, Run};

use crate::Plugin;
use crate::about::About;
use crate::bindings::wasmill::plugin::types::{Clock, DueTimers, Headers, Inbound, Origins, Outbound};
use crate::column;
use crate::error::{Problem, Problems};
use crate::migration::Migrates;
use crate::parents::Parents;
use crate::query::{Answer, Queries, Query};
use crate::runtime::Runtime;

/// A configured plugin with its state, outside WebAssembly. The wall clock stands at 0, and there
/// is no event time yet.
pub struct Harness<P> {
    runtime: Runtime<P>,
    about: About,
    world: host::World,
    stream_time: i64,
    offset: i64,
}

impl<P: Plugin> Harness<P> {
    /// A plugin with this config table, as JSON.
    ///
    /// # Errors
    /// What is wrong in the table.
    pub fn new(config: &str) -> Result<Self, Problems> {
        let runtime = Runtime::configure(config).map_err(|problems| {
            let problems = problems.into_iter();
            Problems(problems.map(|p| Problem::new(p.pointer, p.message)).collect())
        })?;
        Ok(Self {
            runtime,
            about: P::about().finished(),
            world: host::World::default(),
            stream_time: -1,
            offset: 0,
        })
    }

    /// With a watermark that is so many milliseconds behind the stream time.
    #[must_use]
    pub fn lateness(mut self, milliseconds: i64) -> Self {
        self.world.lateness = milliseconds;
        self
    }

    /// Runs records: as one batch, or one by one when the plugin sets timers. A timer fires before
    /// the record that brings the watermark to its time.
    pub fn run(&mut self, inputs: &[Input]) -> Run {
        let mut run = Run::default();
        if !self.about.description.sets_timers {
            self.run_batch(inputs, 0, &mut run);
            return run;
        }
        for (index, input) in inputs.iter().enumerate() {
            self.stream_time = self.stream_time.max(input.timestamp);
            self.fire(index, &mut run);
            self.run_batch(std::slice::from_ref(input), index, &mut run);
            // What was set for a time that has come already.
            self.fire(index, &mut run);
        }
        run
    }

    /// Moves a clock forward to `time`, in milliseconds since 1970 UTC, and runs the timers that
    /// are due by then. Event time is the stream time, as a record with this timestamp would move
    /// it: the watermark is behind it by the lateness.
    pub fn advance(&mut self, clock: Clock, time: i64) -> Run {
        match clock {
            Clock::EventTime => self.stream_time = self.stream_time.max(time),
            Clock::WallClock => self.world.now = self.world.now.max(time),
        }
        let mut run = Run::default();
        self.fire(0, &mut run);
        run
    }

    /// The names of the plugin's stores.
    #[must_use]
    pub fn stores(&self) -> Vec<String> {
        let stores = self.about.description.stores.iter();
        stores.map(|store| store.name.clone()).collect()
    }

    /// What a store holds, by key.
    ///
    /// # Panics
    /// The plugin declares no such store.
    #[must_use]
    pub fn stored(&self, store: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let number = self.number(store);
        let entries = self.world.state.iter().filter(|((of, _), _)| *of == number);
        entries.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }

    /// Puts bytes into a store, as an earlier version of the plugin might have.
    ///
    /// # Panics
    /// The plugin declares no such store.
    pub fn store(&mut self, store: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let key = (self.number(store), key.as_ref().to_vec());
        self.world.state.insert(key, value.as_ref().to_vec());
    }

    /// Puts bytes into a store of another transform of the pipeline, for queries.
    pub fn store_of(&mut self, transform: &str, store: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let key = (transform.to_owned(), store.to_owned(), key.as_ref().to_vec());
        self.world.peers.insert(key, value.as_ref().to_vec());
    }

    /// Asks the plugin, as `GET .../query/TRANSFORM/` with this path, such as `items/7?n=3`. Nothing is decoded.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn ask(&mut self, path: &str) -> Result<Answer, crate::Error>
    where
        P: Queries,
    {
        let (path, parameters) = path.split_once('?').unwrap_or((path, ""));
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let pairs = parameters.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let query = Query::new(
            segments.map(str::to_owned).collect(),
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        );
        host::within(&mut self.world, || self.runtime.ask(&query))
    }

    /// Lets the plugin change what is stored, as an earlier state version has put it there with [`Self::store`].
    ///
    /// # Errors
    /// The plugin's own, in words.
    pub fn migrate(&mut self, from: u32) -> Result<(), String>
    where
        P: Migrates,
    {
        let before = self.world.state.clone();
        let migrated = host::within(&mut self.world, || self.runtime.migrate(from));
        if migrated.is_err() {
            self.world.state = before;
        }
        migrated
    }

    #[allow(clippy::panic)]
    fn number(&self, store: &str) -> u32 {
        let stores = &self.about.description.stores;
        match stores.iter().position(|spec| spec.name == store) {
            Some(number) => number as u32,
            None => panic!("the plugin declares no store `{store}`"),
        }
    }

    /// The timers of a clock that are set: key, name and time, in the order in which they fire.
    #[must_use]
    pub fn timers(&self, clock: Clock) -> Vec<(Vec<u8>, String, i64)> {
        let own = self.world.timers.iter().filter(|((of, ..), _)| *of == clock as u8);
        let mut timers: Vec<_> = own
            .map(|((_, key, name), time)| (key.clone(), name.clone(), *time))
            .collect();
        timers.sort_by_key(|timer| timer.2);
        timers
    }

    /// Runs all timers that are due, those of one time with one call, as the host does.
    fn fire(&mut self, index: usize, run: &mut Run) {
        let watermark = self.stream_time.saturating_sub(self.world.lateness).max(-1);
        for (clock, until) in [(Clock::EventTime, watermark), (Clock::WallClock, self.world.now)] {
            // A wall-clock timer may set one for now: that fires the next time.
            let mut after = -1;
            while let Some((time, timers)) = self.world.take_due(clock, after, until) {
                after = time;
                let mut due = DueTimers {
                    count: timers.len() as u32,
                    partition: 0,
                    clock,
                    keys: column::empty(),
                    names: column::empty(),
                    times: vec![time; timers.len()],
                };
                for (key, name) in &timers {
                    column::push(&mut due.keys, Some(key));
                    column::push(&mut due.names, Some(name.as_bytes()));
                }
                self.world.stream_times = vec![self.stream_time; timers.len()];
                let out = host::within(&mut self.world, || self.runtime.on_timers(&due));
                let name = |timer: usize| timers.get(timer).map(|(_, name)| name.clone());
                let parents = Parents::timers(&due);
                self.gather(out, &parents, &column::empty(), run, &|timer| (index, name(timer)));
            }
        }
    }

    fn run_batch(&mut self, inputs: &[Input], first: usize, run: &mut Run) {
        let batch = self.batch(inputs);
        self.world.stream_times.clear();
        for input in inputs {
            self.stream_time = self.stream_time.max(input.timestamp);
            self.world.stream_times.push(self.stream_time);
        }
        let out = host::within(&mut self.world, || self.runtime.process(&batch));
        let parents = Parents::records(&batch);
        self.gather(out, &parents, &batch.values, run, &|record| (first + record, None));
    }

    /// Appends what came of a call. `place` tells of a parent its record's index and its timer's name.
    fn gather(
        &self,
        out: Outbound,
        parents: &Parents<'_>,
        values: &column::Column,
        run: &mut Run,
        place: &dyn Fn(usize) -> (usize, Option<String>),
    ) {
        let header_end = |i: usize| out.headers.ends.get(i).map_or(0, |end| *end as usize);
        for i in 0..out.count as usize {
            let from = out.parents.get(i).map_or(i, |parent| *parent as usize);
            let inherited = |own: &column::Column, of_parents: &column::Column| {
                let own_entry = own.ends.len() > i && own.marks.get(i) != Some(&column::MARK_INHERITED);
                let (column, index) = if own_entry { (own, i) } else { (of_parents, from) };
                column::entry(column, index).map(<[u8]>::to_vec)
            };
            let headers = if i == 0 { 0 } else { header_end(i - 1) }..header_end(i);
            let (parent, timer) = place(from);
            run.outputs.push(Emitted {
                parent,
                timer,
                port: self.about.ports[usize::from(out.ports.get(i).copied().unwrap_or(0))]
                    .name
                    .clone(),
                key: inherited(&out.keys, parents.keys),
                value: inherited(&out.values, values),
                timestamp: out.timestamps.get(i).copied().unwrap_or(parents.timestamp(from)),
                headers: headers
                    .map(|h| {
                        let name = column::entry(&out.headers.names, h).unwrap_or_default();
                        let value = column::entry(&out.headers.values, h);
                        (String::from_utf8_lossy(name).into_owned(), value.map(<[u8]>::to_vec))
                    })
                    .collect(),
            });
        }
        run.failures.extend(out.failures.into_iter().map(|failure| {
            let (index, timer) = place(failure.index as usize);
            Failed {
                index,
                timer,
                code: failure.code,
                message: failure.message,
            }
        }));
    }

    fn batch(&mut self, inputs: &[Input]) -> Inbound {
        let mut batch = Inbound {
            count: inputs.len() as u32,
            partition: 0,
            keys: column::empty(),
            values: column::empty(),
            timestamps: Vec::new(),
            inputs: Vec::new(),
            headers: Headers {
                ends: Vec::new(),
                names: column::empty(),
                values: column::empty(),
                marks: Vec::new(),
            },
            origins: Origins {
                topics: vec!["test".to_owned()],
                topic_indexes: Vec::new(),
                partitions: Vec::new(),
                offsets: Vec::new(),
            },
        };
        for input in inputs {
            column::push(&mut batch.keys, input.key.as_deref());
            column::push(&mut batch.values, input.value.as_deref());
            batch.timestamps.push(input.timestamp);
            batch.inputs.push(input.input);
            for (name, value) in &input.headers {
                column::push(&mut batch.headers.names, Some(name.as_bytes()));
                column::push(&mut batch.headers.values, value.as_deref());
            }
            batch.headers.ends.push(batch.headers.names.ends.len() as u32);
            batch.origins.offsets.push(self.offset);
            self.offset += 1;
        }
        batch
    }
}
