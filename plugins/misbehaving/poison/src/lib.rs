//! Misbehaves in every way, to test the host. A value says how; others pass through.

use wasmill_sdk::prelude::*;
use wasmill_sdk::{Inherit, Level};

const SEEN: Store<u64> = Store::keyed(0, "seen", "How many records of a key came through");

struct Poison {
    config: Config,
    seen: wasmill_sdk::metrics::Metric,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    panic: bool,
    loop_forever: bool,
    /// Numbers that are multiples of this are poison.
    poison_every: u64,
    /// Numbers that are multiples of this pass through with another value.
    other_every: u64,
}

impl Plugin for Poison {
    type Config = Config;

    fn about() -> About {
        About::new("poison", env!("CARGO_PKG_VERSION"))
            .doc("Misbehaves in every way")
            .port(Port::new("out", "What passes through"))
            .store(SEEN)
    }

    fn new(config: Config) -> Result<Self, Problems> {
        assert!(!config.panic, "configured to panic");
        if config.loop_forever {
            spin();
        }
        Ok(Self {
            config,
            seen: wasmill_sdk::metrics::Metric::counter("seen_total", "Records seen", &[]),
        })
    }

    fn process(&mut self, record: Record<'_>, ctx: &mut Context<'_>) -> Result<()> {
        if record.key().is_some() {
            let seen = ctx.get(SEEN)?.unwrap_or(0) + 1;
            ctx.put(SEEN, &seen)?;
        }
        self.seen.update(1.0);
        let value = record.value().unwrap_or_default();
        let says = |word: &str| value.windows(word.len()).any(|part| part == word.as_bytes());
        let number = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<u64>().ok());
        let is_multiple = |of: u64| of > 0 && number.is_some_and(|number| number % of == 0);
        if is_multiple(self.config.other_every) {
            return ctx.emit("other");
        }
        if says("poison") || is_multiple(self.config.poison_every) {
            panic!("poisoned by record {}", record.index());
        } else if says("bad") {
            ctx.emit("dropped with its record")?;
            return Err(Error::new("bad-record", "the record is bad"));
        } else if says("loop") {
            spin();
        } else if says("memory") {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1u8; 1 << 20]);
                std::hint::black_box(&hoard);
            }
        } else if says("flood") {
            return ctx.emit(vec![b'x'; 64 << 20]);
        } else if says("million") {
            for _ in 0..20_000_000 {
                ctx.emit("")?;
            }
            return Ok(());
        } else if says("copies") {
            for _ in 0..1_000_000 {
                ctx.emit(Inherit)?;
            }
            return Ok(());
        } else if says("recurse") {
            std::hint::black_box(recurse(1));
        } else if says("calls") {
            loop {
                std::hint::black_box(ctx.now());
            }
        } else if says("chatter") {
            for i in 0..100_000 {
                ctx.log(Level::Info, i);
            }
        } else if says("leak") {
            std::mem::forget(std::hint::black_box(vec![1u8; 1 << 10]));
        } else if says("grow") {
            // Within the limit, but more than half of it, and never given back.
            std::mem::forget(std::hint::black_box(vec![1u8; 70 << 20]));
        }
        ctx.emit(Inherit)
    }
}

fn spin() {
    loop {
        std::hint::black_box(());
    }
}

/// Little of the plugin's own stack per call, so that the host's limit is met first.
#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    recurse(std::hint::black_box(depth + 1)) + depth
}

wasmill_sdk::export!(Poison);
