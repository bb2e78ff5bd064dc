//! The columns that a guest hands out: what passes the check breaks no reader.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use record::error::Failure;
use record::transform::{Emitted, Port};
use record::{Batch, Column, Headers};

/// Numbers that are mostly small and rising, since others are refused at once.
fn ends(u: &mut Unstructured<'_>) -> Result<Vec<u32>> {
    let mut end = 0_u32;
    let count = u.int_in_range(0..=6)?;
    (0..count)
        .map(|_| {
            end = if u.ratio(1, 12)? {
                u.arbitrary()?
            } else {
                end.wrapping_add(u.int_in_range(0..=3)?)
            };
            Ok(end)
        })
        .collect()
}

fn small(u: &mut Unstructured<'_>, max: u8) -> Result<Vec<u8>> {
    let count = u.int_in_range(0..=6)?;
    (0..count)
        .map(|_| {
            if u.ratio(1, 20)? {
                u.arbitrary()
            } else {
                u.int_in_range(0..=max)
            }
        })
        .collect()
}

fn column(u: &mut Unstructured<'_>) -> Result<Column> {
    let ends = ends(u)?;
    let len = match ends.last() {
        Some(end) if *end < 64 && !u.ratio(1, 12)? => *end as usize,
        _ => u.int_in_range(0..=16)?,
    };
    Ok(Column {
        data: u.bytes(len.min(u.len()))?.to_vec(),
        ends,
        marks: if u.ratio(1, 2)? { Vec::new() } else { small(u, 2)? },
    })
}

fn emitted(u: &mut Unstructured<'_>) -> Result<Emitted> {
    let parents = ends(u)?;
    let failures = (0..u.int_in_range(0..=2)?)
        .map(|_| {
            Ok(Failure {
                index: u.int_in_range(0..=4)?,
                code: "c".to_owned(),
                message: String::new(),
                detail: String::new(),
            })
        })
        .collect::<Result<_>>()?;
    Ok(Emitted {
        count: if u.ratio(1, 12)? {
            u.arbitrary()?
        } else {
            u.int_in_range(0..=6)?
        },
        parents,
        ports: small(u, 2)?,
        keys: column(u)?,
        values: column(u)?,
        timestamps: (0..u.int_in_range(0..=6)?)
            .map(|_| u.arbitrary())
            .collect::<Result<_>>()?,
        headers: if u.ratio(1, 2)? {
            Headers::default()
        } else {
            Headers {
                ends: ends(u)?,
                names: column(u)?,
                values: column(u)?,
                marks: small(u, 1)?,
            }
        },
        failures,
    })
}

fn batch(u: &mut Unstructured<'_>) -> Result<Batch> {
    let mut batch = Batch::new(Arc::from("in"), 0);
    for i in 0..u.int_in_range(1..=4)? {
        let key = if u.arbitrary()? { Some(&b"key"[..]) } else { None };
        let value = if u.arbitrary()? { Some(&b"value"[..]) } else { None };
        batch.push(key, value, i);
        batch.offsets.push(i);
    }
    Ok(batch)
}

fuzz_target!(|bytes: &[u8]| {
    let mut u = Unstructured::new(bytes);
    let (Ok(batch), Ok(emitted)) = (batch(&mut u), emitted(&mut u)) else {
        return;
    };
    let ports: Vec<Port> = (0..3)
        .map(|n| Port {
            name: n.to_string(),
            doc: String::new(),
            rekeys: n == 1,
        })
        .collect();
    if emitted.check(&batch, &ports).is_err() {
        return;
    }
    #[cfg(feature = "host")]
    let emitted = plugin::fuzzing::without_failed(emitted);
    emitted
        .check(&batch, &ports)
        .expect("what is left without failed records still fits");
    let own = emitted.keys.data.len()
        + emitted.values.data.len()
        + emitted.headers.names.data.len()
        + emitted.headers.values.data.len();
    let announced = emitted.inherited_bytes(&batch) + own as u64;
    let (mut total, mut bytes) = (0, 0);
    for port in 0..3 {
        let mut out = Batch::new(Arc::from("out"), 0);
        out.extend_from_port(&emitted, port, &batch);
        total += out.len();
        bytes += out.bytes() as u64;
        for i in 0..out.len() {
            let _ = (
                out.keys.get(i),
                out.values.get(i),
                out.timestamps.get(i),
                out.headers.of(i).count(),
            );
        }
        assert_eq!(out.keys.len(), out.len());
        assert_eq!(out.values.len(), out.len());
    }
    assert_eq!(total, emitted.count as usize, "each output leaves by one port");
    assert!(bytes <= announced, "{bytes} bytes are copied, {announced} were counted");
});
