//! Questions that a plugin answers about its state, while records flow.

use serde::Serialize;

use crate::bindings::wasmill::plugin::state::Page;
use crate::column;
use crate::error::Result;
use crate::query_bindings::exports::wasmill::plugin::query_handler::{Request, Response};
use crate::store::{Format, Store};
use crate::{Plugin, host};

/// A plugin that answers questions: `GET /v1/pipelines/PIPELINE/query/TRANSFORM/...`. Export it by
/// `export!(MyPlugin, queries)`.
pub trait Queries: Plugin {
    /// Answers one question, in an instance that gets no records. What the one who asks did wrong is an
    /// answer, such as [`Answer::not_found`].
    ///
    /// # Errors
    /// Whoever asks is told that the plugin failed (502).
    fn answer(&mut self, query: &Query, reader: &Reader<'_>) -> Result<Answer>;
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    path: Vec<String>,
    parameters: Vec<(String, String)>,
}

impl Query {
    /// A question by its path after the transform's name, and its parameters.
    #[must_use]
    pub fn new(path: Vec<String>, parameters: Vec<(String, String)>) -> Self {
        Self { path, parameters }
    }

    /// The segments of the path after the transform's name: of `items/7` they are `items` and `7`.
    #[must_use]
    pub fn path(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The first parameter of this name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(of, _)| of == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer: an HTTP status and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// The media type of the body.
    pub content_type: String,
    /// Any bytes.
    pub body: Vec<u8>,
}

impl Answer {
    /// JSON.
    ///
    /// # Errors
    /// The value cannot be written.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        Ok(Self::bytes("application/json", serde_json::to_vec(value)?))
    }

    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::bytes("text/plain; charset=utf-8", text.into().into_bytes())
    }

    /// Bytes of a media type.
    pub fn bytes(content_type: impl Into<String>, body: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type: content_type.into(),
            body,
        }
    }

    /// There is no such thing (404), with a sentence for people.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::text(what).status(404)
    }

    /// The question is wrong (400), with a sentence for people.
    pub fn bad_request(what: impl Into<String>) -> Self {
        Self::text(what).status(400)
    }

    /// With another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// Entries of a scan.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries<T> {
    /// Keys and values, by the bytes of the keys. A key that several partitions have comes once for each.
    pub entries: Vec<(Vec<u8>, T)>,
    /// There are entries after the last key.
    pub more: bool,
}

/// Reads stores in a query: what is committed, over all partitions that the process has.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    transform: Option<&'a str>,
}

impl Reader<'_> {
    /// Of the plugin's own stores.
    pub(crate) fn own() -> Self {
        Self { transform: None }
    }

    /// The stores of another transform of the pipeline. A [`Store`] names one there by its name, so its
    /// number does not matter. One that does not exist traps.
    #[must_use]
    pub fn of<'b>(&self, transform: &'b str) -> Reader<'b> {
        Reader {
            transform: Some(transform),
        }
    }

    /// What a store holds under a key.
    ///
    /// # Errors
    /// `bad-state` when it cannot be read.
    pub fn get<T, F: Format<T>>(&self, store: Store<T, F>, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        let found = match self.transform {
            None => host::get(store.id, key.as_ref()),
            Some(transform) => host::peer_get(transform, store.name, key.as_ref()),
        };
        found.map(|bytes| F::read(&bytes)).transpose()
    }

    /// What a store holds under many keys, by one call: one entry per key.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_many<T, F: Format<T>>(
        &self,
        store: Store<T, F>,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Option<T>>> {
        let mut asked = column::empty();
        for key in keys {
            column::push(&mut asked, Some(key.as_ref()));
        }
        let found = match self.transform {
            None => host::get_many(store.id, &asked),
            Some(transform) => host::peer_get_many(transform, store.name, &asked),
        };
        let values = (0..asked.ends.len()).map(|i| column::entry(&found, i).map(F::read).transpose());
        values.collect()
    }

    /// Up to `limit` entries whose key starts with `prefix` and comes after `after`; the host gives at
    /// most 1000 and about 1 MiB, so go by [`Entries::more`].
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn scan<T, F: Format<T>>(
        &self,
        store: Store<T, F>,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<Entries<T>> {
        let Page { keys, values, more } = match self.transform {
            None => host::scan(store.id, prefix, after, limit),
            Some(transform) => host::peer_scan(transform, store.name, prefix, after, limit),
        };
        let entries = (0..keys.ends.len()).map(|i| {
            let key = column::entry(&keys, i).unwrap_or_default().to_vec();
            F::read(column::entry(&values, i).unwrap_or_default()).map(|value| (key, value))
        });
        Ok(Entries {
            entries: entries.collect::<Result<_>>()?,
            more,
        })
    }

    /// The clock on the wall, in milliseconds since 1970 UTC.
    #[must_use]
    pub fn now(&self) -> i64 {
        host::now()
    }
}

/// Lets a plugin answer a request of the contract.
pub(crate) fn answer<P: Queries>(plugin: &mut P, request: Request) -> Result<Response, String> {
    let query = Query::new(request.path, request.parameters);
    let answer = plugin.answer(&query, &Reader::own());
    let answer = answer.map_err(|error| format!("{}: {}", error.code, error.message))?;
    Ok(Response {
        status: answer.status,
        content_type: answer.content_type,
        body: answer.body,
    })
}
