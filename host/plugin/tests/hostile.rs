//! Guests that hand out what no SDK would: lists outside their memory, offsets out of range,
//! columns that overlap, sizes beyond everything; and bombs that no Rust source can be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::handmade::{Image, Outbound, answering, component, forever};
use common::{ENGINE, batch, resident, values};
use plugin::{LinkOptions, Linked};
use record::topology::Limits;
use record::transform::{Call, CallError, CallErrorKind, Emitted, StateSlot};
use wasm_encoder::{HeapType, Instruction};
use wasmill_plugin as plugin;

fn link(bytes: &[u8], limits: Limits) -> Linked {
    let compiled = ENGINE.load_bytes(bytes, Path::new("handmade.wasm")).unwrap();
    compiled
        .link(LinkOptions {
            pipeline: Arc::from("test"),
            transform: Arc::from("node"),
            config_json: "{}".to_owned(),
            limits,
        })
        .unwrap()
}

fn run(linked: &Linked) -> Result<Emitted, CallError> {
    let mut instance = linked.instance().unwrap();
    let mut input = batch(&[(Some("a"), Some("1")), (Some("b"), Some("2")), (None, None)]);
    let before = input.clone();
    let mut state = StateSlot(None);
    let answer = instance.process(Call {
        batch: &mut input,
        input: None,
        stream_times: &before.timestamps,
        siblings_before: 0,
        lateness: 0,
        now: 0,
        state: &mut state,
    });
    assert_eq!(input.values, before.values, "the batch is whole again");
    answer
}

fn answered(make: impl FnOnce(&mut Image) -> Outbound) -> Result<Emitted, CallError> {
    let mut image = Image::new();
    let outbound = make(&mut image);
    run(&link(&answering(image, &outbound), Limits::default()))
}

fn refused(what: &str, make: impl FnOnce(&mut Image) -> Outbound) {
    match answered(make) {
        Ok(emitted) => panic!("{what} was taken: {emitted:?}"),
        Err(error) => assert!(
            matches!(error.kind, CallErrorKind::Misuse | CallErrorKind::LimitExceeded),
            "{what}: {error}"
        ),
    }
}

#[test]
fn a_handmade_plugin_that_behaves_is_taken() {
    let emitted = answered(|image| Outbound {
        count: 2,
        parents: image.u32s(&[0, 2]),
        values: [image.bytes(b"xyz"), image.u32s(&[1, 3]), (0, 0)],
        ..Outbound::default()
    })
    .unwrap();
    let input = batch(&[(Some("a"), Some("1")), (Some("b"), Some("2")), (None, None)]);
    assert_eq!(values(&emitted, &input), ["x", "yz"]);
}

#[test]
fn columns_may_share_their_bytes() {
    // Each is copied out by itself, so what overlaps in the guest does not in the host.
    let emitted = answered(|image| {
        let (data, ends) = (image.bytes(b"abcdef"), image.u32s(&[2, 4, 6]));
        Outbound {
            count: 3,
            keys: [data, ends, (0, 0)],
            values: [(data.0 + 1, 5), ends, (0, 0)],
            ..Outbound::default()
        }
    });
    // The last end is beyond the shorter column.
    assert_eq!(emitted.unwrap_err().kind, CallErrorKind::Misuse);
    let emitted = answered(|image| {
        let (data, ends) = (image.bytes(b"abcdef"), image.u32s(&[2, 4, 6]));
        Outbound {
            count: 3,
            keys: [data, ends, (0, 0)],
            values: [data, ends, (0, 0)],
            ..Outbound::default()
        }
    })
    .unwrap();
    assert_eq!(emitted.keys, emitted.values);
}

#[test]
fn lists_outside_the_guests_memory_are_refused() {
    for at in [4 << 20, u32::MAX - 8, 0x8000_0000] {
        for len in [1, 1_000, u32::MAX] {
            refused("a column's bytes", |image| Outbound {
                count: 1,
                parents: image.u32s(&[0]),
                values: [(at, len), image.u32s(&[1]), (0, 0)],
                ..Outbound::default()
            });
            refused("ends", |_| Outbound {
                count: 1,
                values: [(0, 0), (at, len), (0, 0)],
                ..Outbound::default()
            });
            refused("times", |_| Outbound {
                count: 3,
                timestamps: (at, len),
                ..Outbound::default()
            });
            refused("failures", |_| Outbound {
                failures: (at, len),
                ..Outbound::default()
            });
        }
    }
    // The list is inside, its end is not.
    refused("a list that ends outside", |_| Outbound {
        count: 1,
        parents: (0, 1),
        values: [(1_024, 4 << 20), (1_024, 1), (0, 0)],
        ..Outbound::default()
    });
    refused("numbers at an odd place", |image| Outbound {
        count: 1,
        parents: (image.u32s(&[0, 0]).0 + 1, 1),
        ..Outbound::default()
    });
}

#[test]
fn offsets_that_do_not_fit_are_refused() {
    for ends in [
        vec![9],
        vec![u32::MAX],
        vec![2, 1, 3],
        vec![3, 3],
        vec![0, 0, 0],
        vec![1, 2, 4],
        vec![],
    ] {
        refused("ends of values", |image| Outbound {
            count: 3,
            values: [image.bytes(b"abc"), image.u32s(&ends), (0, 0)],
            ..Outbound::default()
        });
        refused("ends of keys", |image| Outbound {
            count: 3,
            keys: [image.bytes(b"abc"), image.u32s(&ends), (0, 0)],
            ..Outbound::default()
        });
        refused("ends of headers", |image| {
            let three = [image.bytes(b"abc"), image.u32s(&[1, 2, 3]), (0, 0)];
            Outbound {
                count: 3,
                header_ends: if ends.is_empty() {
                    image.u32s(&[9])
                } else {
                    image.u32s(&ends)
                },
                header_names: three,
                header_values: [image.bytes(b"abc"), image.u32s(&[1, 2, 9]), (0, 0)],
                ..Outbound::default()
            }
        });
    }
}

#[test]
fn marks_ports_parents_and_counts_that_do_not_fit_are_refused() {
    let values = |image: &mut Image| [image.bytes(b"abc"), image.u32s(&[1, 2, 3]), (0, 0)];
    for (what, marks) in [
        ("an unknown mark", vec![0, 3, 0]),
        ("too few", vec![0]),
        ("bytes under null", vec![1; 3]),
    ] {
        refused(what, |image| Outbound {
            count: 3,
            values: [image.bytes(b"abc"), image.u32s(&[1, 2, 3]), image.bytes(&marks)],
            ..Outbound::default()
        });
    }
    for parents in [vec![0, 1, 3], vec![2, 1, 0], vec![0], vec![0, 0, u32::MAX]] {
        refused("parents", |image| Outbound {
            count: 3,
            parents: image.u32s(&parents),
            values: values(image),
            ..Outbound::default()
        });
    }
    for ports in [vec![0, 0, 1], vec![255; 3], vec![0]] {
        refused("ports", |image| Outbound {
            count: 3,
            ports: image.bytes(&ports),
            values: values(image),
            ..Outbound::default()
        });
    }
    for count in [1, 2, 4, u32::MAX] {
        refused("a count without parents", |image| Outbound {
            count,
            values: values(image),
            ..Outbound::default()
        });
        refused("a count beside nothing", |_| Outbound {
            count,
            ..Outbound::default()
        });
    }
    refused("times that do not fit", |image| Outbound {
        count: 3,
        timestamps: image.s64s(&[1, 2]),
        ..Outbound::default()
    });
}

#[test]
fn failures_that_do_not_fit_are_refused() {
    let failure = |index: u32, text: (u32, u32)| {
        let mut bytes = index.to_le_bytes().to_vec();
        for (at, len) in [text, text, text] {
            bytes.extend(at.to_le_bytes());
            bytes.extend(len.to_le_bytes());
        }
        bytes
    };
    refused("a failure of no record", |image| {
        let text = image.bytes(b"x");
        Outbound {
            failures: (image.put(&failure(3, text)), 1),
            ..Outbound::default()
        }
    });
    refused("failures that fall", |image| {
        let text = image.bytes(b"x");
        let both = [failure(1, text), failure(1, text)].concat();
        Outbound {
            failures: (image.put(&both), 2),
            ..Outbound::default()
        }
    });
    refused("text that is no UTF-8", |image| {
        let text = image.bytes(b"\xff\xfe");
        Outbound {
            failures: (image.put(&failure(0, text)), 1),
            ..Outbound::default()
        }
    });
    refused("text outside the memory", |image| Outbound {
        failures: (image.put(&failure(0, (u32::MAX - 1, 9))), 1),
        ..Outbound::default()
    });
}

/// One megabyte of the guest's, named in every column and by many failures: what the host copies
/// is measured before it is copied.
#[test]
fn one_region_named_many_times_is_measured_as_often() {
    let before = resident();
    let error = answered(|image| {
        // Zeros, which are text.
        let text = (2 << 20, 1 << 20);
        let mut all = Vec::new();
        for index in 0..1_000_u32 {
            all.extend(index.to_le_bytes());
            for (at, len) in [text, text, text] {
                all.extend(u32::to_le_bytes(at));
                all.extend(u32::to_le_bytes(len));
            }
        }
        Outbound {
            failures: (image.put(&all), 1_000),
            ..Outbound::default()
        }
    })
    .unwrap_err();
    assert_eq!(error.kind, CallErrorKind::LimitExceeded, "{error}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
}

#[test]
fn a_table_bomb_meets_the_limit_of_memory() {
    let code = forever(&[
        Instruction::RefNull(HeapType::FUNC),
        Instruction::I32Const(1 << 16),
        Instruction::TableGrow(0),
        Instruction::I32Const(-1),
        Instruction::I32Eq,
    ]);
    let before = resident();
    let limits = Limits {
        memory_bytes: 32 << 20,
        ..Limits::default()
    };
    let linked = link(&component(Image::new(), &code, ""), limits);
    for _ in 0..3 {
        let error = run(&linked).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::LimitExceeded, "{error}");
        assert!(error.message.contains("32 MiB"), "{error}");
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
    assert_eq!(linked.usage().limit_exceeded, 3);
    assert!((16 << 20..=32 << 20).contains(&linked.usage().memory_peak_bytes));
}

#[test]
fn a_memory_bomb_of_whole_pages_meets_the_limit() {
    let code = forever(&[
        Instruction::I32Const(16),
        Instruction::MemoryGrow(0),
        Instruction::I32Const(-1),
        Instruction::I32Eq,
    ]);
    let before = resident();
    let error = run(&link(&component(Image::new(), &code, ""), Limits::default())).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::LimitExceeded, "{error}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 150 << 20, "{} MiB", grown >> 20);
}

/// Handles of the component's own resources live in the host.
#[test]
fn leaking_its_own_handles_meets_a_limit() {
    let code = forever(&[Instruction::I32Const(0), Instruction::Call(0), Instruction::I32Eqz]);
    let world = "  export things;\n}\ninterface things {\n  resource thing;\n";
    let linked = link(&component(Image::new(), &code, world), Limits::default());
    let before = resident();
    for _ in 0..10 {
        let error = run(&linked).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::LimitExceeded, "{error}");
        assert!(error.message.contains("`handles`"), "{error}");
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{} MiB", grown >> 20);
}

#[test]
fn an_endless_loop_without_a_call_ends() {
    let limits = Limits {
        time_ms_per_call: 50,
        ..Limits::default()
    };
    let linked = link(
        &component(Image::new(), &forever(&[Instruction::I32Const(0)]), ""),
        limits,
    );
    let error = run(&linked).unwrap_err();
    assert_eq!(error.kind, CallErrorKind::TimedOut, "{error}");
    let usage = linked.usage();
    assert_eq!((usage.calls, usage.timed_out, usage.records), (1, 1, 0));
    assert!(usage.cpu.as_millis() >= 50, "{:?}", usage.cpu);
}

/// What fuzzing of components starts from: small ones that run. See fuzz/README.md.
#[test]
#[ignore = "writes to fuzz/corpus"]
fn seeds_for_fuzzing() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/component");
    std::fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, make: &dyn Fn(&mut Image) -> Outbound| {
        let mut image = Image::new();
        let outbound = make(&mut image);
        std::fs::write(dir.join(name), answering(image, &outbound)).unwrap();
    };
    write("nothing", &|_| Outbound::default());
    write("inherits", &|_| Outbound {
        count: 3,
        ..Outbound::default()
    });
    write("values", &|image| Outbound {
        count: 2,
        parents: image.u32s(&[0, 2]),
        values: [image.bytes(b"xyz"), image.u32s(&[1, 3]), (0, 0)],
        timestamps: image.s64s(&[1, 2]),
        ports: image.bytes(&[0, 0]),
        ..Outbound::default()
    });
    write("headers", &|image| Outbound {
        count: 3,
        values: [image.bytes(b"abc"), image.u32s(&[1, 2, 3]), image.bytes(&[0, 0, 0])],
        header_ends: image.u32s(&[1, 1, 2]),
        header_names: [image.bytes(b"nm"), image.u32s(&[1, 2]), (0, 0)],
        header_values: [image.bytes(b"v"), image.u32s(&[1, 1]), image.bytes(&[0, 1])],
        header_marks: image.bytes(&[0, 1, 0]),
        ..Outbound::default()
    });
    write("failures", &|image| {
        let text = image.bytes(b"x");
        let mut failure = 1_u32.to_le_bytes().to_vec();
        for (at, len) in [text, text, text] {
            failure.extend(at.to_le_bytes());
            failure.extend(len.to_le_bytes());
        }
        Outbound {
            count: 0,
            parents: (0, 0),
            failures: (image.put(&failure), 1),
            ..Outbound::default()
        }
    });
}
