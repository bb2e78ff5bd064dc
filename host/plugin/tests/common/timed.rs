//! A transform on a manual clock, with a state of the real kind: batches are cut where timers fire,
//! by the rules that a task has.

use std::collections::BTreeMap;
use std::sync::Arc;

use record::offset::Timestamp;
use record::store::{StateBackend, TaskState};
use record::timer::Clock;
use record::topology::Limits;
use record::transform::{Call, Emitted, StateSlot, TimerCall, Transform, watermark};
use record::{Batch, Column};
use wasmill_plugin::{Compiled, LinkOptions, PluginError};

use crate::table::Record;

/// A header's name and value.
type Header = (Vec<u8>, Option<Vec<u8>>);

/// A store's name and all that it holds.
type Whole = (String, BTreeMap<Vec<u8>, Vec<u8>>);
/// A timer: wall clock or not, key, name, time.
type Set = (bool, Vec<u8>, String, Timestamp);

/// How the records of a step are cut into batches.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Not at all.
    Whole,
    /// By this seed.
    Random(u64),
    /// Each record for itself.
    Single,
}

/// An output with all that it inherits.
#[derive(Debug)]
pub(crate) struct Output {
    /// Of a timer: the record at which it fired.
    pub(crate) parent: usize,
    pub(crate) timer: Option<String>,
    pub(crate) port: String,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Timestamp,
    /// Its own only.
    pub(crate) headers: Vec<Header>,
}

/// What came of a step.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) outputs: Vec<Output>,
    pub(crate) failures: Vec<(usize, String)>,
}

/// A transform, its state and its time.
pub(crate) struct Timed {
    transform: Box<dyn Transform>,
    state: StateSlot,
    lateness: Timestamp,
    stream_time: Timestamp,
    offset: i64,
}

impl Timed {
    pub(crate) fn new(compiled: &Compiled, config: &str, lateness: Timestamp) -> Result<Self, PluginError> {
        let linked = compiled.link(LinkOptions {
            pipeline: Arc::from("test"),
            transform: Arc::from("node"),
            config_json: config.to_owned(),
            limits: Limits::default(),
        })?;
        let transform = linked.instance()?;
        let description = transform.description();
        let state = description.is_stateful().then(|| {
            let backend = state::MemoryBackend::default();
            backend.open("node", 0, &description.stores).unwrap()
        });
        Ok(Self {
            transform,
            state: StateSlot(state),
            lateness,
            stream_time: -1,
            offset: 0,
        })
    }

    fn state(&mut self) -> Option<&mut Box<dyn TaskState>> {
        self.state.0.as_mut()
    }

    /// Puts an entry into a store.
    pub(crate) fn store(&mut self, store: &str, key: &[u8], value: &[u8]) {
        let stores = &self.transform.description().stores;
        let number = stores.iter().position(|spec| spec.name == store);
        let number = number.unwrap_or_else(|| panic!("there is no store `{store}`")) as u32;
        self.state().unwrap().put(number, key, value).unwrap();
    }

    /// All stores, whole.
    pub(crate) fn stores(&mut self) -> Vec<Whole> {
        let names: Vec<_> = self
            .transform
            .description()
            .stores
            .iter()
            .map(|spec| spec.name.clone())
            .collect();
        let state = self.state();
        let Some(state) = state else { return Vec::new() };
        let mut whole = |number: usize| {
            let (mut entries, mut after) = (BTreeMap::new(), None::<Vec<u8>>);
            loop {
                let page = state.scan(number as u32, b"", after.as_deref(), 1_000).unwrap();
                for (key, value) in page.keys.iter().zip(page.values.iter()) {
                    entries.insert(key.unwrap().to_vec(), value.unwrap().to_vec());
                    after = key.map(<[u8]>::to_vec);
                }
                if !page.more {
                    return entries;
                }
            }
        };
        names
            .into_iter()
            .enumerate()
            .map(|(number, name)| (name, whole(number)))
            .collect()
    }

    /// All timers that are set. They are taken out.
    pub(crate) fn timers(&mut self) -> Result<Vec<Set>, String> {
        let mut timers = Vec::new();
        let Some(state) = self.state() else { return Ok(timers) };
        for clock in Clock::ALL {
            while let Some(time) = state.next_timer(clock).map_err(|e| e.to_string())? {
                let taken = state.take_timers(clock, time, usize::MAX).map_err(|e| e.to_string())?;
                timers.extend(
                    taken
                        .into_iter()
                        .map(|timer| (clock == Clock::WallClock, timer.key, timer.name, timer.time)),
                );
            }
        }
        Ok(timers)
    }

    /// Runs the records of a step.
    pub(crate) fn run(&mut self, records: &[Record], cut: Cut) -> Result<Answer, String> {
        let mut answer = Answer::default();
        let mut first = 0;
        let mut random = match cut {
            Cut::Random(seed) => seed | 1,
            Cut::Whole | Cut::Single => 0,
        };
        while first < records.len() {
            let left = records.len() - first;
            let count = match cut {
                Cut::Whole => left,
                Cut::Single => 1,
                Cut::Random(_) => {
                    // Xorshift: good enough to cut anywhere.
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    (random % 7 + 1).min(left as u64) as usize
                }
            };
            self.run_batch(&records[first..first + count], first, &mut answer)?;
            first += count;
        }
        Ok(answer)
    }

    /// Runs records as one batch, or as several when timers fire between them.
    fn run_batch(&mut self, records: &[Record], first: usize, answer: &mut Answer) -> Result<(), String> {
        let mut stream_time = self.stream_time;
        let times: Vec<_> = records
            .iter()
            .map(|record| {
                stream_time = stream_time.max(record.timestamp);
                stream_time
            })
            .collect();
        let lateness = self.lateness;
        // The first record from which on a timer of this time is due.
        let due_at = |time: Timestamp| times.partition_point(|stream| watermark(*stream, lateness) < time);
        let mut at = 0;
        while at < records.len() {
            self.stream_time = times[at];
            self.fire(first + at, answer)?;
            let next = match self.state() {
                Some(state) => state.next_timer(Clock::EventTime).map_err(|e| e.to_string())?,
                None => None,
            };
            let mut end = next.map_or(records.len(), |time| due_at(time).max(at + 1));
            loop {
                let savepoint = self.state().map(|state| {
                    state.earliest_set(Clock::EventTime);
                    state.savepoint()
                });
                let emitted = self.call(&records[at..end], &times[at..end])?;
                let set = self.state().and_then(|state| state.earliest_set(Clock::EventTime));
                // One that was set within the batch fires within it: once more, with fewer records.
                let cut = set.map_or(end, |time| due_at(time).max(at + 1)).min(end);
                if cut < end {
                    let state = self.state().unwrap();
                    state.rollback(savepoint.unwrap()).map_err(|e| e.to_string())?;
                    end = cut;
                    continue;
                }
                self.gather(
                    &emitted,
                    &batch(&records[at..end], self.offset),
                    first + at,
                    None,
                    answer,
                );
                break;
            }
            if let Some(state) = self.state() {
                state.keep();
            }
            self.offset += (end - at) as i64;
            self.stream_time = times[end - 1];
            self.fire(first + end - 1, answer)?;
            at = end;
        }
        Ok(())
    }

    fn call(&mut self, records: &[Record], times: &[Timestamp]) -> Result<Emitted, String> {
        let mut input = batch(records, self.offset);
        let call = Call {
            batch: &mut input,
            input: None,
            stream_times: times,
            siblings_before: 0,
            lateness: self.lateness,
            now: 1_000,
            state: &mut self.state,
        };
        self.transform.process(call).map_err(|error| error.to_string())
    }

    /// Runs the event-time timers that are due, those of one time with one call.
    fn fire(&mut self, at: usize, answer: &mut Answer) -> Result<(), String> {
        let until = watermark(self.stream_time, self.lateness);
        loop {
            let Some(state) = self.state() else { return Ok(()) };
            let next = state.next_timer(Clock::EventTime).map_err(|e| e.to_string())?;
            let Some(time) = next.filter(|time| *time <= until) else {
                return Ok(());
            };
            let timers = state
                .take_timers(Clock::EventTime, time, usize::MAX)
                .map_err(|e| e.to_string())?;
            let mut due = Batch::new(Arc::from("in"), 0);
            for timer in &timers {
                due.push(Some(&timer.key), None, timer.time);
                due.offsets.push(self.offset);
            }
            let mut names: Column = timers.iter().map(|timer| Some(timer.name.as_bytes())).collect();
            let call = TimerCall {
                clock: Clock::EventTime,
                timers: &mut due,
                names: &mut names,
                stream_time: self.stream_time,
                lateness: self.lateness,
                now: 1_000,
                state: &mut self.state,
            };
            let emitted = self.transform.on_timers(call).map_err(|error| error.to_string())?;
            if let Some(failure) = emitted.failures.first() {
                return Err(format!("a timer failed: {failure:?}"));
            }
            let names: Vec<_> = timers.into_iter().map(|timer| timer.name).collect();
            self.gather(&emitted, &due, at, Some(&names), answer);
            if let Some(state) = self.state() {
                state.keep();
            }
        }
    }

    fn gather(&self, emitted: &Emitted, parents: &Batch, first: usize, timers: Option<&[String]>, answer: &mut Answer) {
        let ports = &self.transform.description().ports;
        for (port, spec) in ports.iter().enumerate() {
            // Headers of their own are looked at below; the rest is filled in as the task does.
            let mut filled = Batch::new(Arc::from("out"), 0);
            filled.extend_from_port(emitted, port as u8, parents);
            let own = (0..emitted.count as usize).filter(|output| usize::from(emitted.port(*output)) == port);
            for (place, output) in own.enumerate() {
                let parent = emitted.parent(output);
                let headers = match emitted.headers.is_left_out() {
                    true => Vec::new(),
                    false => {
                        let headers = emitted.headers.of(output);
                        headers
                            .map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
                            .collect()
                    }
                };
                answer.outputs.push(Output {
                    parent: if timers.is_some() { first } else { first + parent },
                    timer: timers.map(|names| names[parent].clone()),
                    port: spec.name.clone(),
                    key: filled.keys.get(place).map(<[u8]>::to_vec),
                    value: filled.values.get(place).map(<[u8]>::to_vec),
                    timestamp: filled.timestamps[place],
                    headers,
                });
            }
        }
        let failures = emitted.failures.iter();
        answer
            .failures
            .extend(failures.map(|failure| (first + failure.index as usize, failure.code.clone())));
    }
}

fn batch(records: &[Record], offset: i64) -> Batch {
    let mut batch = Batch::new(Arc::from("in"), 0);
    for (i, record) in records.iter().enumerate() {
        batch.push(record.key.exact(), record.value.exact(), record.timestamp);
        batch.offsets.push(offset + i as i64);
        for (name, value) in &record.headers {
            batch.headers.push(name.as_bytes(), value.exact());
        }
        if !record.headers.is_empty() {
            batch.headers.close(i);
        }
    }
    batch.headers.finish(records.len());
    batch
}
