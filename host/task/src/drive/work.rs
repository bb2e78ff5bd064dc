//! What the driver's tasks do: as a worker, without its log.

use std::sync::Arc;

use record::error::Code;
use record::origin::{self, TaskMark};
use record::partitioner::partition_for;
use record::store::StoreError;
use record::timer::Clock;
use record::topology::{TopicId, TopicRole};
use record::{Batch, NextOffset};

use super::{Cause, Cuts, Driver, Place, Refused};
use crate::chain::StepError;
use crate::error::RunError;
use crate::observer::PartitionFailure;
use crate::process::Verdict;
use crate::step::{StepEnd, Written};

impl Driver {
    /// Runs all tasks until none has anything to read.
    pub(super) fn settle(&mut self) -> Result<(), RunError> {
        let topology = Arc::clone(&self.topology);
        let places: Vec<Place> = self.tasks.keys().copied().collect();
        loop {
            let mut is_idle = true;
            for &place in &places {
                let (s, r, _) = place;
                let topic = topology.processes[s].inputs[r].topic;
                while let Some(mut batch) = self.next_batch(place, topic) {
                    is_idle = false;
                    let role = topology.topic(topic).role;
                    if role.is_internal() {
                        origin::absorb(&mut batch);
                    } else {
                        origin::drop_foreign(&mut batch);
                    }
                    self.step(place, batch)?;
                }
                self.commit(place)?;
            }
            if is_idle {
                return Ok(());
            }
        }
    }

    /// What a task reads next.
    fn next_batch(&mut self, place: Place, topic: TopicId) -> Option<Batch> {
        let task = self.tasks.get(&place)?;
        if self.failures.iter().any(|failure| failure.at == task.at) {
            return None;
        }
        let next = task.next.0 as usize;
        let available = self.topics[topic.0 as usize][place.2 as usize]
            .batch
            .len()
            .checked_sub(next)
            .filter(|available| *available > 0)?;
        let count = self.cut(available);
        let held = &self.topics[topic.0 as usize][place.2 as usize].batch;
        Some(held.filtered(|i| (next..next + count).contains(&i)))
    }

    fn step(&mut self, place: Place, batch: Batch) -> Result<(), RunError> {
        let (s, ..) = place;
        let renew = match self.cuts {
            Cuts::Whole => false,
            Cuts::Single => true,
            Cuts::Random(_) => self.random().is_multiple_of(4),
        };
        if renew {
            self.chains[s].recycle().map_err(|error| trouble(&error))?;
        }
        let Some(task) = self.tasks.get_mut(&place) else {
            return Ok(());
        };
        task.queue.push_back(batch);
        while let Some(task) = self.tasks.get_mut(&place)
            && let Some(mut batch) = task.queue.pop_front()
        {
            let mut written = Written::default();
            let end = task.step(&mut self.chains[s], &mut batch, self.now, &mut written);
            match &end {
                StepEnd::More | StepEnd::IsolateTimers { .. } => task.put_back(&batch),
                StepEnd::Isolate { .. } => task.isolate(&batch),
                StepEnd::Stopped { .. } => task.queue.clear(),
                StepEnd::Done | StepEnd::Trouble { .. } => {}
            }
            self.write(place, &batch, written, None);
            match end {
                StepEnd::Done | StepEnd::More | StepEnd::Isolate { .. } => {}
                StepEnd::IsolateTimers { .. } => self.commit(place)?,
                StepEnd::Stopped { at, verdict } => {
                    self.stop(place, at, &verdict);
                    return Ok(());
                }
                StepEnd::Trouble { why, .. } => return Err(RunError::Store(StoreError::Misuse(why))),
            }
        }
        // What the last record has made due, where there was too much of it.
        self.fire(place, Clock::EventTime)
    }

    /// Fires the timers of a clock that are due where a task stands.
    pub(super) fn fire(&mut self, place: Place, clock: Clock) -> Result<(), RunError> {
        let (s, ..) = place;
        if self.chains[s].timed().is_empty() || self.is_stopped(place) {
            return Ok(());
        }
        let none = Batch::new("".into(), 0);
        loop {
            let Some(task) = self.tasks.get_mut(&place) else {
                return Ok(());
            };
            let mut written = Written::default();
            let end = task.fire_now(&mut self.chains[s], &[clock], self.now, &mut written);
            let put = (clock == Clock::WallClock).then_some(self.puts);
            self.write(place, &none, written, put);
            match end {
                StepEnd::Done => return Ok(()),
                StepEnd::More | StepEnd::Isolate { .. } | StepEnd::IsolateTimers { .. } => self.commit(place)?,
                StepEnd::Stopped { at, verdict } => {
                    self.stop(place, at, &verdict);
                    return Ok(());
                }
                StepEnd::Trouble { why, .. } => return Err(RunError::Store(StoreError::Misuse(why))),
            }
        }
    }

    fn is_stopped(&self, place: Place) -> bool {
        let at = self.tasks.get(&place).map(|task| &task.at);
        self.failures.iter().any(|failure| Some(&failure.at) == at)
    }

    fn stop(&mut self, place: Place, offset: i64, verdict: &Verdict) {
        let Some(task) = self.tasks.get(&place) else { return };
        let at = task.at.clone();
        let node = task.names(&self.chains[place.0], verdict.culprit).0;
        let (code, message) = (&verdict.failure.code, &verdict.failure.message);
        self.failures.push(PartitionFailure {
            code: Code("E0710"),
            message: match &verdict.timer {
                None => format!("record {at}:{offset} failed in `{node}` ({code}): {message}"),
                Some(timer) => format!("a timer failed in `{node}` ({code}): {message}; it is {timer}"),
            },
            remedy: "mend the plugin, or set `on_error`".to_owned(),
            at,
            node,
        });
    }

    /// Keeps what a step has made of `batch`. `put` has caused it, else the records' origins tell.
    fn write(&mut self, place: Place, batch: &Batch, written: Written, put: Option<u64>) {
        let (s, _, partition) = place;
        self.skipped += written.skipped;
        let stream_time = self.tasks.get(&place).map_or(-1, |task| task.stream_time);
        for part in written.parts {
            let input = part.input.as_ref().unwrap_or(batch);
            let causes: Vec<Cause> = (0..input.len())
                .map(|i| Cause {
                    put: put.unwrap_or_else(|| self.put_of(input.origin(i))),
                    sub: Some(s),
                    partition,
                })
                .collect();
            for mut out in part.outgoing {
                if self.topology.topic(out.topic).role == TopicRole::Repartition {
                    let mark = TaskMark {
                        input: out.input,
                        sub_topology: s as u32,
                        partition,
                        stream_time,
                    };
                    origin::attach(out.own(input), input, mark);
                }
                let batch = out.batch.as_ref().unwrap_or(input);
                for i in 0..batch.len() {
                    let to = partition_for(batch.keys.get(i), partition, self.partitions);
                    self.hold(out.topic, to, batch, i, causes[batch.root(i)]);
                }
            }
        }
        if let Some(letters) = written.dead_letters {
            let causes: Vec<Cause> = (0..letters.len())
                .map(|i| {
                    let origin = letters.headers.last(i, origin::HEADER_ORIGIN).flatten();
                    let origin = origin.and_then(origin::decode_origin);
                    let put_of = |(topic, partition, offset)| self.put_of((&Arc::from(topic), partition, offset));
                    Cause {
                        put: put.or_else(|| origin.map(put_of)).unwrap_or(0),
                        sub: Some(s),
                        partition,
                    }
                })
                .collect();
            self.refuse(&letters, |i| causes[i]);
        }
    }

    /// What has caused the record that stands there.
    fn put_of(&self, (topic, partition, offset): (&Arc<str>, u32, i64)) -> u64 {
        let topics = &self.topology.topics;
        let found = topics.iter().position(|known| known.name == *topic);
        let held = found.and_then(|topic| self.topics[topic].get(partition as usize));
        held.and_then(|held| held.causes.get(usize::try_from(offset).ok()?))
            .map_or(0, |cause| cause.put)
    }

    pub(super) fn refuse(&mut self, letters: &Batch, cause: impl Fn(usize) -> Cause) {
        for i in 0..letters.len() {
            let header = |name| {
                let value = letters.headers.last(i, name).flatten().unwrap_or_default();
                String::from_utf8_lossy(value).into_owned()
            };
            let refused = Refused {
                node: header(origin::HEADER_NODE),
                code: header(origin::HEADER_ERROR_CODE),
                message: header(origin::HEADER_ERROR),
                key: letters.keys.get(i).map(<[u8]>::to_vec),
                value: letters.values.get(i).map(<[u8]>::to_vec),
            };
            self.refused.push((cause(i), refused));
        }
    }

    /// What a worker does at the commit interval, with a log that takes everything.
    fn commit(&mut self, place: Place) -> Result<(), RunError> {
        let Some(task) = self.tasks.get_mut(&place) else {
            return Ok(());
        };
        if !task.is_advanced() && !task.has_worked {
            return Ok(());
        }
        let position = task.input_position();
        let mut changes = Batch::new(Arc::clone(&task.at.topic), task.at.partition);
        // Nothing outlives a test: of which version it is nobody asks.
        for state in task.states.iter_mut().filter_map(|slot| slot.0.as_mut()) {
            changes.clear();
            state.changes(&position, self.now, &mut changes);
            state.commit(position.clone(), NextOffset(0), self.now)?;
        }
        let (next, stream_time) = (task.next, task.stream_time);
        task.committed(next, stream_time);
        Ok(())
    }
}

fn trouble(error: &StepError) -> RunError {
    RunError::Transform {
        node: match error {
            StepError::Call(node, _) => node.0.to_string(),
            StepError::Records(_) | StepError::Cut(_) => String::new(),
        },
        what: format!("cannot be made anew: {error:?}"),
    }
}
