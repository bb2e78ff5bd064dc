//! Stores and how their values are written.

use std::any::{Any, TypeId};
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// A store of the plugin: values of type `T`, written in format `F`.
///
/// The number is the store's place in [`crate::About`]. A *keyed* store has one value per record
/// key, and is what [`crate::Context::get`] and its like use; a *shared* one is used under any key,
/// and belongs to the task's partition.
pub struct Store<T, F = Serde> {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keyed: bool,
    types: PhantomData<fn() -> (T, F)>,
}

impl<T, F> Clone for Store<T, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, F> Copy for Store<T, F> {}

impl<T, F> Store<T, F> {
    /// A store with one value per record key. The name is kebab-case.
    #[must_use]
    pub const fn keyed(id: u32, name: &'static str, doc: &'static str) -> Self {
        Self {
            id,
            name,
            doc,
            keyed: true,
            types: PhantomData,
        }
    }

    /// A store used under any key. The name is kebab-case.
    #[must_use]
    pub const fn shared(id: u32, name: &'static str, doc: &'static str) -> Self {
        Self {
            id,
            name,
            doc,
            keyed: false,
            types: PhantomData,
        }
    }
}

/// How values of type `T` are written.
pub trait Format<T> {
    /// `bytes`, `utf8`, `json`, `s64-le`, `u64-le` or `f64-le`: for people and other languages.
    fn name() -> &'static str;
    /// Appends a value.
    ///
    /// # Errors
    /// The value cannot be written.
    fn write(value: &T, out: &mut Vec<u8>) -> Result<()>;
    /// Reads a value.
    ///
    /// # Errors
    /// The bytes are no such value.
    fn read(bytes: &[u8]) -> Result<T>;
}

/// The default: `i64`, `u64` and `f64` as eight little-endian bytes, all else as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Serde;

impl<T: Serialize + DeserializeOwned + 'static> Format<T> for Serde {
    fn name() -> &'static str {
        let id = TypeId::of::<T>();
        if id == TypeId::of::<i64>() {
            "s64-le"
        } else if id == TypeId::of::<u64>() {
            "u64-le"
        } else if id == TypeId::of::<f64>() {
            "f64-le"
        } else {
            "json"
        }
    }

    #[inline]
    fn write(value: &T, out: &mut Vec<u8>) -> Result<()> {
        // The type is known when this is compiled, so only one of the branches is left.
        let any: &dyn Any = value;
        if let Some(number) = any.downcast_ref::<i64>() {
            out.extend_from_slice(&number.to_le_bytes());
        } else if let Some(number) = any.downcast_ref::<u64>() {
            out.extend_from_slice(&number.to_le_bytes());
        } else if let Some(number) = any.downcast_ref::<f64>() {
            out.extend_from_slice(&number.to_le_bytes());
        } else {
            serde_json::to_writer(out, value)?;
        }
        Ok(())
    }

    #[inline]
    fn read(bytes: &[u8]) -> Result<T> {
        let mut value: Option<T> = None;
        let any: &mut dyn Any = &mut value;
        if let Some(number) = any.downcast_mut::<Option<i64>>() {
            *number = Some(i64::from_le_bytes(eight(bytes)?));
        } else if let Some(number) = any.downcast_mut::<Option<u64>>() {
            *number = Some(u64::from_le_bytes(eight(bytes)?));
        } else if let Some(number) = any.downcast_mut::<Option<f64>>() {
            *number = Some(f64::from_le_bytes(eight(bytes)?));
        }
        match value {
            Some(value) => Ok(value),
            None => serde_json::from_slice(bytes).map_err(|error| bad_state(&error.to_string())),
        }
    }
}

/// A fixed number of `f64`, little-endian, end to end; or bytes as they are. The fastest.
#[derive(Clone, Copy, Debug)]
pub struct Packed;

impl<const N: usize> Format<[f64; N]> for Packed {
    fn name() -> &'static str {
        "bytes"
    }

    #[inline]
    fn write(value: &[f64; N], out: &mut Vec<u8>) -> Result<()> {
        for number in value {
            out.extend_from_slice(&number.to_le_bytes());
        }
        Ok(())
    }

    #[inline]
    fn read(bytes: &[u8]) -> Result<[f64; N]> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        if numbers.len() != N || !rest.is_empty() {
            return Err(bad_state(&format!("{} bytes, not {}", bytes.len(), N * 8)));
        }
        Ok(std::array::from_fn(|i| f64::from_le_bytes(numbers[i])))
    }
}

impl Format<Vec<u8>> for Packed {
    fn name() -> &'static str {
        "bytes"
    }

    fn write(value: &Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(bytes.to_vec())
    }
}

fn eight(bytes: &[u8]) -> Result<[u8; 8]> {
    bytes
        .try_into()
        .map_err(|_| bad_state(&format!("{} bytes, not 8", bytes.len())))
}

fn bad_state(what: &str) -> Error {
    Error::new(
        "bad-state",
        format!("what is stored cannot be read: {what}; has the plugin changed its format?"),
    )
}
