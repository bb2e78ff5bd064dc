//! Records made up. Each is made from its number alone, so that a restart goes on with the same
//! ones.

use std::io::Write;
use std::time::Instant;

use record::batch::Batch;
use record::source::{ReadEnd, Source, SourceError, Undecodable};

use crate::pace::Pace;
use crate::settings::{GeneratorKind, GeneratorSettings};

/// The event time of the first reading of `temperature`, 2024-01-01T00:00:00Z; one more each second.
const FIRST_READING_MS: u64 = 1_704_067_200_000;
/// A read ends when it has made so many bytes.
const READ_BYTES_MAX: usize = 1 << 20;

enum Value {
    Numbers,
    /// The texts between the places of the number.
    Template(Vec<String>),
    Temperature {
        rooms: u64,
        seed: u64,
    },
}

struct Generator {
    name: &'static str,
    value: Value,
    start: i64,
    step: i64,
    count: Option<u64>,
    key: Option<String>,
    pace: Pace,
    /// How many records were made.
    made: u64,
    /// Reused for values.
    text: Vec<u8>,
}

pub(crate) fn from_settings(settings: GeneratorSettings) -> Result<Box<dyn Source>, String> {
    let kind = settings.kind.unwrap_or(match settings.template {
        Some(_) => GeneratorKind::Template,
        None => GeneratorKind::Numbers,
    });
    let (name, value) = match kind {
        GeneratorKind::Numbers => ("numbers", Value::Numbers),
        GeneratorKind::Template => {
            let template = settings
                .template
                .ok_or("a generator of kind `template` needs `template`")?;
            let parts = template.split("{n}").map(str::to_owned).collect();
            ("template", Value::Template(parts))
        }
        GeneratorKind::Temperature if settings.rooms == 0 => {
            return Err("`rooms` is 0; there must be one at least".to_owned());
        }
        GeneratorKind::Temperature => {
            let (rooms, seed) = (settings.rooms, settings.seed);
            ("temperature", Value::Temperature { rooms, seed })
        }
    };
    Ok(Box::new(Generator {
        name,
        value,
        start: settings.start,
        step: settings.step,
        count: settings.count,
        key: settings.key.filter(|key| !key.is_empty() && !key.starts_with('/')),
        pace: Pace::new(settings.rate)?,
        made: 0,
        text: Vec::new(),
    }))
}

impl Generator {
    /// Writes the value of record `n` to `text`.
    fn write(&mut self, n: u64) -> std::io::Result<()> {
        // Wraps like a counter would, instead of an end that nobody asked for.
        let number = self.start.wrapping_add(self.step.wrapping_mul(n as i64));
        let text = &mut self.text;
        text.clear();
        match &self.value {
            Value::Numbers => write!(text, "{number}"),
            Value::Template(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    if i > 0 {
                        write!(text, "{number}")?;
                    }
                    text.extend_from_slice(part.as_bytes());
                }
                Ok(())
            }
            Value::Temperature { rooms, seed } => {
                let room = n % rooms + 1;
                let tenths = tenths_of_degrees(*seed, room, n / rooms);
                let ts = FIRST_READING_MS.wrapping_add(n.wrapping_mul(1_000));
                let (whole, tenth) = (tenths / 10, tenths % 10);
                write!(text, r#"{{"room":"room-{room}","temp":{whole}.{tenth},"ts":{ts}}}"#)
            }
        }
    }
}

/// A room's temperature: its own level, a slow rise and fall, and some noise; 15.5 to 24.4 degrees.
/// Whole numbers only, so that it is the same on every machine.
fn tenths_of_degrees(seed: u64, room: u64, reading: u64) -> u64 {
    const HALF_PERIOD: u64 = 60;
    let level = 180 + mixed(seed ^ mixed(room)) % 50;
    let phase = (reading + mixed(room) % 100) % (2 * HALF_PERIOD);
    let slope = if phase < HALF_PERIOD {
        phase
    } else {
        2 * HALF_PERIOD - phase
    };
    let noise = mixed(seed ^ mixed(room) ^ mixed(reading.wrapping_add(1) << 20)) % 11;
    level + slope / 2 + noise - 25
}

/// The finaliser of SplitMix64: spreads neighbouring numbers.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Source for Generator {
    fn open(&mut self, position: Option<&str>) -> Result<(), SourceError> {
        self.made = match position {
            None => 0,
            Some(position) => position
                .strip_prefix("g1:")
                .and_then(|made| made.parse().ok())
                .ok_or_else(|| SourceError::Changed {
                    what: format!("the generator `{}`", self.name),
                    why: format!("its position `{position}` is not one of a generator"),
                })?,
        };
        Ok(())
    }

    fn read(
        &mut self,
        records: usize,
        into: &mut Batch,
        _undecodable: &mut Vec<Undecodable>,
    ) -> Result<ReadEnd, SourceError> {
        let left = self.count.map_or(u64::MAX, |count| count.saturating_sub(self.made));
        if left == 0 {
            return Ok(ReadEnd::End);
        }
        let wanted = records.min(usize::try_from(left).unwrap_or(usize::MAX));
        let granted = self.pace.take(Instant::now(), wanted);
        let now = crate::now();
        let mut bytes = 0;
        let mut unused = granted;
        while unused > 0 && bytes < READ_BYTES_MAX {
            self.write(self.made).map_err(|source| SourceError::Io {
                what: format!("the generator `{}`", self.name),
                source,
            })?;
            into.push(self.key.as_deref().map(str::as_bytes), Some(&self.text), now);
            bytes += self.text.len() + 1;
            self.made += 1;
            unused -= 1;
        }
        self.pace.give_back(unused);
        if self.count.is_some_and(|count| self.made >= count) {
            Ok(ReadEnd::End)
        } else if granted == 0 && records > 0 {
            Ok(ReadEnd::Idle)
        } else {
            Ok(ReadEnd::More)
        }
    }

    fn position(&self) -> String {
        format!("g1:{}", self.made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_are_in_bounds_and_the_same_everywhere() {
        let mut all = Vec::new();
        for room in 1..50 {
            for reading in 0..300 {
                let tenths = tenths_of_degrees(7, room, reading);
                assert!((155..=244).contains(&tenths), "{tenths}");
                all.push(tenths);
            }
        }
        assert_eq!(all[..5], [203, 203, 198, 204, 206]);
        assert!(all.windows(2).any(|pair| pair[0] != pair[1]));
        assert_ne!(tenths_of_degrees(7, 1, 0), tenths_of_degrees(8, 1, 0));
    }
}
