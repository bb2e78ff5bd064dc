//! `context`: where and when a call happens.

use record::timer::Clock;
use record::transform::watermark;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{HostData, Phase, misuse};
use crate::bindings::wasmill::plugin::context;

/// What is known of the records of the call at hand.
#[derive(Default)]
pub(crate) struct CallFacts {
    pub(crate) now: i64,
    /// How far behind the stream time the watermark is.
    pub(crate) lateness: i64,
    /// In `on-timers` the clock and the time that fires.
    pub(crate) firing: Option<(Clock, i64)>,
    /// Empty unless the plugin imports `stream-time` or `watermark`.
    pub(crate) stream_times: Vec<i64>,
    /// Empty unless the plugin imports `seed`.
    pub(crate) seeds: Vec<u64>,
}

/// Makes the seeds of one task's records.
pub(crate) struct Seeds {
    transform: u64,
}

impl Seeds {
    pub(crate) fn new(transform: &str) -> Self {
        Self {
            transform: xxh3_64_with_seed(transform.as_bytes(), 0),
        }
    }

    /// The seed of a record: the same whenever and in whatever batch it is run.
    pub(crate) fn of(&self, topic: &str, partition: u32, offset: i64, sibling: u32) -> u64 {
        let place = xxh3_64_with_seed(topic.as_bytes(), self.transform);
        let mut numbers = [0; 16];
        numbers[..4].copy_from_slice(&partition.to_le_bytes());
        numbers[4..12].copy_from_slice(&offset.to_le_bytes());
        numbers[12..].copy_from_slice(&sibling.to_le_bytes());
        xxh3_64_with_seed(&numbers, place)
    }

    /// The seed of a timer.
    pub(crate) fn of_timer(&self, clock: Clock, key: &[u8], name: &[u8], time: i64) -> u64 {
        let named = xxh3_64_with_seed(name, self.transform);
        let keyed = xxh3_64_with_seed(key, named);
        let mut numbers = [0; 9];
        numbers[0] = clock.index() as u8;
        numbers[1..].copy_from_slice(&time.to_le_bytes());
        xxh3_64_with_seed(&numbers, keyed)
    }
}

fn of_record<T: Copy>(facts: &[T], index: u32) -> wasmtime::Result<T> {
    facts
        .get(index as usize)
        .copied()
        .ok_or_else(|| misuse(format!("there is no record {index} in the batch")))
}

impl context::Host for HostData {
    fn pipeline(&mut self) -> wasmtime::Result<String> {
        self.allow(Phase::Configure, "context.pipeline")?;
        Ok(self.names.pipeline.to_string())
    }

    fn transform(&mut self) -> wasmtime::Result<String> {
        self.allow(Phase::Configure, "context.transform")?;
        Ok(self.names.transform.to_string())
    }

    fn now(&mut self) -> wasmtime::Result<i64> {
        if self.phase != Phase::Query {
            self.allow(Phase::Migrate, "context.now")?;
        }
        Ok(self.call.now)
    }

    fn stream_time(&mut self, index: u32) -> wasmtime::Result<i64> {
        self.allow(Phase::Process, "context.stream-time")?;
        of_record(&self.call.stream_times, index)
    }

    fn watermark(&mut self, index: u32) -> wasmtime::Result<i64> {
        self.allow(Phase::Process, "context.watermark")?;
        let stream_time = of_record(&self.call.stream_times, index)?;
        Ok(watermark(stream_time, self.call.lateness))
    }

    fn seed(&mut self, index: u32) -> wasmtime::Result<u64> {
        self.allow(Phase::Process, "context.seed")?;
        of_record(&self.call.seeds, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_depend_on_everything_they_name() {
        let seeds = Seeds::new("t");
        let all = [
            seeds.of("a", 0, 0, 0),
            seeds.of("b", 0, 0, 0),
            seeds.of("a", 1, 0, 0),
            seeds.of("a", 0, 1, 0),
            seeds.of("a", 0, 0, 1),
            Seeds::new("u").of("a", 0, 0, 0),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(all[0], Seeds::new("t").of("a", 0, 0, 0));
    }
}
