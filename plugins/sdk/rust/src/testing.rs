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

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::wasmill::plugin::types::{Headers, Inbound, Origins};
use crate::column;
use crate::error::{Problem, Problems};
use crate::output::{Payload, Written};
use crate::runtime::Runtime;
use crate::{Level, Plugin};

/// A record to give to a plugin.
#[derive(Clone, Debug, Default)]
pub struct Input {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: i64,
    input: u8,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Input {
    /// A record by its value: bytes, text, [`crate::Json`], [`crate::Tombstone`].
    pub fn new(value: impl Payload) -> Self {
        let mut bytes = Vec::new();
        let written = value.write(&mut bytes);
        Self {
            value: matches!(written, Ok(Written::Bytes)).then_some(bytes),
            ..Self::default()
        }
    }

    /// With this key.
    #[must_use]
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// With this timestamp.
    #[must_use]
    pub fn timestamp(mut self, timestamp: i64) -> Self {
        self.timestamp = timestamp;
        self
    }

    /// By this input of the plugin.
    #[must_use]
    pub fn input(mut self, input: u8) -> Self {
        self.input = input;
        self
    }

    /// With this header.
    #[must_use]
    pub fn header(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }
}

/// A record that a plugin has emitted, with what it inherits filled in; headers are its own only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// The index of the record that caused it.
    pub parent: usize,
    /// The port's name.
    pub port: String,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The timestamp.
    pub timestamp: i64,
    /// The headers that the plugin gave.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its index.
    pub index: usize,
    /// The stable word.
    pub code: String,
    /// For people.
    pub message: String,
}

/// What came of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// In order.
    pub outputs: Vec<Emitted>,
    /// By rising index.
    pub failures: Vec<Failed>,
}

impl Run {
    /// The values as text; null and what is no UTF-8 as "".
    #[must_use]
    pub fn values(&self) -> Vec<String> {
        self.outputs
            .iter()
            .map(|output| String::from_utf8(output.value.clone().unwrap_or_default()).unwrap_or_default())
            .collect()
    }

    /// The codes of the failures.
    #[must_use]
    pub fn codes(&self) -> Vec<&str> {
        self.failures.iter().map(|failure| failure.code.as_str()).collect()
    }
}

/// A configured plugin with its state, outside WebAssembly. The wall clock stands at 0.
pub struct Harness<P> {
    runtime: Runtime<P>,
    ports: Vec<String>,
    state: host::State,
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
        let ports = P::about().finished().ports.into_iter().map(|port| port.name).collect();
        Ok(Self {
            runtime,
            ports,
            state: host::State::new(),
            offset: 0,
        })
    }

    /// Runs records as one batch.
    pub fn run(&mut self, inputs: &[Input]) -> Run {
        let batch = self.batch(inputs);
        host::STATE.with(|cell| cell.replace(std::mem::take(&mut self.state)));
        let out = self.runtime.process(&batch);
        self.state = host::STATE.with(RefCell::take);
        let outputs = (0..out.count as usize).map(|i| {
            let parent = out.parents.get(i).map_or(i, |parent| *parent as usize);
            let inherited = |own: &column::Column, from: &column::Column| {
                let own_entry = own.ends.len() > i && own.marks.get(i) != Some(&column::MARK_INHERITED);
                let (column, index) = if own_entry { (own, i) } else { (from, parent) };
                column::entry(column, index).map(<[u8]>::to_vec)
            };
            let header_end = |i: usize| out.headers.ends.get(i).map_or(0, |end| *end as usize);
            let headers = if i == 0 { 0 } else { header_end(i - 1) }..header_end(i);
            Emitted {
                parent,
                port: self.ports[usize::from(out.ports.get(i).copied().unwrap_or(0))].clone(),
                key: inherited(&out.keys, &batch.keys),
                value: inherited(&out.values, &batch.values),
                timestamp: out.timestamps.get(i).copied().unwrap_or(batch.timestamps[parent]),
                headers: headers
                    .map(|h| {
                        let name = column::entry(&out.headers.names, h).unwrap_or_default();
                        (
                            String::from_utf8_lossy(name).into_owned(),
                            column::entry(&out.headers.values, h).map(<[u8]>::to_vec),
                        )
                    })
                    .collect(),
            }
        });
        Run {
            outputs: outputs.collect(),
            failures: out
                .failures
                .into_iter()
                .map(|failure| Failed {
                    index: failure.index as usize,
                    code: failure.code,
                    message: failure.message,
                })
                .collect(),
        }
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

/// The host's functions, played by a map.
pub(crate) mod host {
    use super::{BTreeMap, Level, RefCell};
    use crate::column::{self, Column};

    pub(crate) type State = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

    thread_local! {
        pub(crate) static STATE: RefCell<State> = const { RefCell::new(State::new()) };
    }

    pub(crate) fn get(store: u32, key: &[u8]) -> Option<Vec<u8>> {
        STATE.with_borrow(|state| state.get(&(store, key.to_vec())).cloned())
    }

    pub(crate) fn get_many(store: u32, keys: &Column) -> Column {
        let mut values = column::empty();
        for i in 0..keys.ends.len() {
            let value = column::entry(keys, i).and_then(|key| get(store, key));
            column::push(&mut values, value.as_deref());
        }
        values
    }

    pub(crate) fn put_many(store: u32, keys: &Column, values: &Column) {
        STATE.with_borrow_mut(|state| {
            for i in 0..keys.ends.len() {
                let key = (store, column::entry(keys, i).unwrap_or_default().to_vec());
                match column::entry(values, i) {
                    Some(value) => state.insert(key, value.to_vec()),
                    None => state.remove(&key),
                };
            }
        });
    }

    pub(crate) fn threshold() -> Level {
        Level::Trace
    }

    pub(crate) fn write(level: Level, index: Option<u32>, message: &str) {
        eprintln!("{level:?} {index:?} {message}");
    }

    pub(crate) fn define(_: &str, _: crate::metrics::Kind, _: &str, _: &[(&str, &str)], _: &[f64]) -> u32 {
        0
    }

    pub(crate) fn update(_: u32, _: f64) {}

    pub(crate) fn pipeline() -> String {
        "test".to_owned()
    }

    pub(crate) fn transform() -> String {
        "test".to_owned()
    }

    pub(crate) fn now() -> i64 {
        0
    }

    pub(crate) fn stream_time(_: u32) -> i64 {
        0
    }

    pub(crate) fn seed(index: u32) -> u64 {
        u64::from(index)
    }
}
