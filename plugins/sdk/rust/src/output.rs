//! Outputs, gathered in the flat columns of the contract.

use serde::Serialize;

use crate::bindings::wasmill::plugin::types::{Failure, Headers, Outbound};
use crate::column::{self, Column, MARK_BYTES, MARK_INHERITED, MARK_NULL};
use crate::error::Result;
use crate::parents::Parents;

/// What a [`Payload`] has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Its bytes.
    Bytes,
    /// Nothing: the value is null.
    Null,
    /// Nothing: the value is the record's.
    Inherited,
}

/// The value of an output: bytes, text, [`Json`], [`Tombstone`], [`Inherit`]; `None` is null.
pub trait Payload {
    /// Appends the value's bytes, if it has any.
    ///
    /// # Errors
    /// The value cannot be written.
    fn write(self, out: &mut Vec<u8>) -> Result<Written>;
}

/// A value written as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

/// No value: the key is deleted.
#[derive(Clone, Copy, Debug)]
pub struct Tombstone;

/// The record's own value, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct Inherit;

impl<T: Serialize> Payload for Json<T> {
    #[inline]
    fn write(self, out: &mut Vec<u8>) -> Result<Written> {
        serde_json::to_writer(out, &self.0)?;
        Ok(Written::Bytes)
    }
}

impl Payload for Tombstone {
    fn write(self, _: &mut Vec<u8>) -> Result<Written> {
        Ok(Written::Null)
    }
}

impl Payload for Inherit {
    fn write(self, _: &mut Vec<u8>) -> Result<Written> {
        Ok(Written::Inherited)
    }
}

macro_rules! payload_of_bytes {
    ($($type:ty),*) => {$(
        impl Payload for $type {
            #[inline]
            fn write(self, out: &mut Vec<u8>) -> Result<Written> {
                out.extend_from_slice(self.as_ref());
                Ok(Written::Bytes)
            }
        }
    )*};
}
payload_of_bytes!(&[u8], &str, Vec<u8>, String, &Vec<u8>, &String);

impl<P: Payload> Payload for Option<P> {
    #[inline]
    fn write(self, out: &mut Vec<u8>) -> Result<Written> {
        match self {
            Some(payload) => payload.write(out),
            None => Ok(Written::Null),
        }
    }
}

/// An output with more than a value: `ctx.send(Output::new(word).key(word))`.
#[derive(Clone, Debug)]
pub struct Output<'a, P> {
    pub(crate) value: P,
    pub(crate) port: Option<&'a str>,
    pub(crate) key: Option<Option<&'a [u8]>>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(&'a str, Option<&'a [u8]>)>,
    pub(crate) replaces_headers: bool,
}

impl<'a, P: Payload> Output<'a, P> {
    /// An output by the default port that inherits all but its value.
    pub fn new(value: P) -> Self {
        Self {
            value,
            port: None,
            key: None,
            timestamp: None,
            headers: Vec::new(),
            replaces_headers: false,
        }
    }

    /// Leaves by this port.
    #[must_use]
    pub fn port(mut self, name: &'a str) -> Self {
        self.port = Some(name);
        self
    }

    /// Has this key; only a port that `rekeys` may change it.
    #[must_use]
    pub fn key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Self {
        self.key = Some(Some(key.as_ref()));
        self
    }

    /// Has no key; only a port that `rekeys` may take it away.
    #[must_use]
    pub fn no_key(mut self) -> Self {
        self.key = Some(None);
        self
    }

    /// Has this timestamp, in milliseconds since 1970 UTC.
    #[must_use]
    pub fn timestamp(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Adds a header; it takes the place of inherited ones of the same name.
    #[must_use]
    pub fn header<V: AsRef<[u8]> + ?Sized>(mut self, name: &'a str, value: &'a V) -> Self {
        self.headers.push((name, Some(value.as_ref())));
        self
    }

    /// Inherits no headers.
    #[must_use]
    pub fn without_inherited_headers(mut self) -> Self {
        self.replaces_headers = true;
        self
    }
}

/// The outputs of a call. Columns stay left out until something in them differs from the parent.
pub(crate) struct Outputs {
    parents: Vec<u32>,
    ports: Vec<u8>,
    keys: Column,
    values: Column,
    timestamps: Vec<i64>,
    headers: Headers,
}

impl Outputs {
    pub(crate) fn new(from: &Parents<'_>) -> Self {
        let count = from.count;
        Self {
            parents: Vec::with_capacity(count),
            ports: Vec::new(),
            keys: column::empty(),
            values: Column {
                data: Vec::with_capacity(from.value_bytes),
                ends: Vec::with_capacity(count),
                marks: Vec::new(),
            },
            timestamps: Vec::new(),
            headers: Headers {
                ends: Vec::new(),
                names: column::empty(),
                values: column::empty(),
                marks: Vec::new(),
            },
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.parents.len()
    }

    /// Appends an output. The fast path: only the value may differ from the parent.
    #[inline]
    pub(crate) fn push<P: Payload>(&mut self, parent: u32, port: u8, value: P) -> Result<()> {
        let count = self.len();
        let start = self.values.data.len();
        let written = match value.write(&mut self.values.data) {
            Ok(written) => written,
            Err(error) => {
                self.values.data.truncate(start);
                return Err(error);
            }
        };
        let mark = match written {
            Written::Bytes => MARK_BYTES,
            Written::Null => MARK_NULL,
            Written::Inherited => MARK_INHERITED,
        };
        if self.values.ends.len() < count && mark != MARK_INHERITED {
            // The values were left out so far: those entries have no bytes.
            column::materialise(&mut self.values, count, start);
        }
        if self.values.ends.len() == count && (mark != MARK_INHERITED || count > 0) {
            column::close(&mut self.values, mark);
        }
        self.parents.push(parent);
        if port != 0 || !self.ports.is_empty() {
            self.ports.resize(count, 0);
            self.ports.push(port);
        }
        if !self.keys.ends.is_empty() {
            column::close(&mut self.keys, MARK_INHERITED);
        }
        Ok(())
    }

    /// Gives the output appended last another key than its parent's.
    pub(crate) fn set_key(&mut self, key: Option<&[u8]>) {
        let last = self.len() - 1;
        column::truncate(&mut self.keys, last);
        let end = self.keys.data.len();
        column::materialise(&mut self.keys, last, end);
        column::push(&mut self.keys, key);
    }

    /// Gives the output appended last a timestamp.
    pub(crate) fn set_timestamp(&mut self, timestamp: i64, from: &Parents<'_>) {
        self.fill_timestamps(self.len() - 1, from);
        self.timestamps.push(timestamp);
    }

    fn fill_timestamps(&mut self, count: usize, from: &Parents<'_>) {
        for output in self.timestamps.len()..count {
            let parent = self.parents[output] as usize;
            self.timestamps.push(from.timestamp(parent));
        }
    }

    /// Gives the output appended last headers.
    pub(crate) fn set_headers(&mut self, headers: &[(&str, Option<&[u8]>)], replace: bool) {
        let last = self.len() - 1;
        self.fill_headers(last);
        for (name, value) in headers {
            column::push(&mut self.headers.names, Some(name.as_bytes()));
            column::push(&mut self.headers.values, *value);
        }
        self.headers.ends.push(self.headers.names.ends.len() as u32);
        if replace {
            self.headers.marks.resize(last, 0);
            self.headers.marks.push(1);
        }
    }

    fn fill_headers(&mut self, count: usize) {
        let end = self.headers.names.ends.len() as u32;
        self.headers.ends.resize(count, end);
    }

    /// Drops all outputs but the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.parents.truncate(count);
        self.ports.truncate(count);
        column::truncate(&mut self.keys, count);
        column::truncate(&mut self.values, count);
        self.timestamps.truncate(count);
        self.headers.ends.truncate(count);
        let headers = self.headers.ends.last().map_or(0, |end| *end as usize);
        column::truncate(&mut self.headers.names, headers);
        column::truncate(&mut self.headers.values, headers);
        self.headers.marks.truncate(count);
    }

    pub(crate) fn finish(mut self, from: &Parents<'_>, failures: Vec<Failure>) -> Outbound {
        let count = self.len();
        if !self.timestamps.is_empty() {
            self.fill_timestamps(count, from);
        }
        if !self.headers.ends.is_empty() {
            self.fill_headers(count);
        }
        if !self.headers.marks.is_empty() {
            self.headers.marks.resize(count, 0);
        }
        let one_each = count == from.count && self.parents.iter().enumerate().all(|(i, parent)| i == *parent as usize);
        if one_each {
            self.parents = Vec::new();
        }
        Outbound {
            count: count as u32,
            parents: self.parents,
            ports: self.ports,
            keys: self.keys,
            values: self.values,
            timestamps: self.timestamps,
            headers: self.headers,
            failures,
        }
    }
}
