//! What goes into a plugin and what comes out.

use crate::output::{Payload, Written};

/// A record to give to a plugin.
#[derive(Clone, Debug, Default)]
pub struct Input {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp: i64,
    pub(super) input: u8,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
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

    /// With this timestamp, in milliseconds since 1970 UTC; -1 for none. Without it, 0.
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

/// An output, with what it inherits filled in; headers are its own only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// The index of the record that caused it, or at which the timer fired that did.
    pub parent: usize,
    /// The name of the timer that caused it; `None` for a record.
    pub timer: Option<String>,
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

/// A record or timer that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The record's index, or that of the record at which the timer fired.
    pub index: usize,
    /// The timer's name; `None` for a record.
    pub timer: Option<String>,
    /// The stable word.
    pub code: String,
    /// For people.
    pub message: String,
}

/// What came of records and timers.
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
