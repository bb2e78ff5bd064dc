//! Queries: a plugin answers questions about its state, on instances of their own, beside the record path.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use record::offset::Timestamp;
use record::transform::{CallError, CallErrorKind};
use record::view::PipelineViews;

use crate::bindings::exports::wasmill::plugin::query_handler;
use crate::host::Phase;
use crate::host::context::CallFacts;
use crate::instance::{Live, call_error};
use crate::linked::{Linked, StartError};

/// Instances that answer queries of one transform at once. They are kept for the next query.
const INSTANCES_MAX: usize = 4;
/// How long a query waits for one of them.
const WAIT: Duration = Duration::from_secs(2);
/// The longest media type.
const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The segments of the path.
    pub path: Vec<String>,
    /// Names and values of the parameters.
    pub parameters: Vec<(String, String)>,
}

/// What a plugin has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status, 200 to 599.
    pub status: u16,
    /// The media type: visible ASCII and spaces.
    pub content_type: String,
    /// Any bytes.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The plugin exports no `query-handler`.
    #[error("the plugin answers no queries")]
    NotAnswered,
    /// All instances are busy with other queries.
    #[error("the plugin answers {INSTANCES_MAX} other queries")]
    Busy,
    /// The plugin failed, or its state cannot be read.
    #[error(transparent)]
    Failed(#[from] CallError),
}

/// Instances for queries.
#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Live>,
    running: usize,
}

/// The right to run one query.
struct Permit<'a> {
    pool: &'a Pool,
    live: Option<Live>,
}

impl Pool {
    fn take(&self) -> Option<Permit<'_>> {
        let deadline = Instant::now() + WAIT;
        let mut state = self.state.lock();
        while state.running >= INSTANCES_MAX {
            if self.freed.wait_until(&mut state, deadline).timed_out() {
                return None;
            }
        }
        state.running += 1;
        let live = state.idle.pop();
        Some(Permit { pool: self, live })
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.running -= 1;
        state.idle.extend(self.live.take());
        drop(state);
        self.pool.freed.notify_one();
    }
}

impl Linked {
    /// Lets the plugin answer. Takes as long as the limits of a call allow, on the caller's thread.
    ///
    /// # Errors
    /// [`QueryError`]; whatever it is, records are processed as before.
    pub fn answer(&self, query: Query, state: PipelineViews, now: Timestamp) -> Result<Answer, QueryError> {
        if !self.compiled().answers_queries() {
            return Err(QueryError::NotAnswered);
        }
        let mut permit = self.inner.queries.take().ok_or(QueryError::Busy)?;
        let mut live = match permit.live.take() {
            Some(live) => live,
            None => self.start().map_err(not_started)?,
        };
        live.begin(self.call_time(1));
        let data = live.store.data_mut();
        data.phase = Phase::Query;
        data.call = CallFacts {
            now,
            ..CallFacts::default()
        };
        data.queried = Some(state);
        let request = query_handler::Request {
            path: query.path,
            parameters: query.parameters,
        };
        live.store.set_epoch_deadline(1);
        let answered = match &live.exports.query_handler {
            Some(handler) => handler.call_answer(&mut live.store, &request),
            None => return Err(QueryError::NotAnswered),
        };
        live.store.data_mut().queried = None;
        let response = match answered {
            Ok(Ok(response)) => response,
            // As after records: what has failed is not used again.
            Ok(Err(message)) => return Err(QueryError::Failed(failed(CallErrorKind::Refused, message))),
            Err(error) => return Err(QueryError::Failed(call_error(&error, live.store.data()))),
        };
        let mut updates = Vec::new();
        live.store.data_mut().metrics.drain_into(&mut updates);
        self.inner.metrics.apply(&updates);
        // An answer that is refused is no reason to start another instance.
        permit.live = live.is_kept().then_some(live);
        checked(response).map_err(QueryError::Failed)
    }
}

fn failed(kind: CallErrorKind, message: String) -> CallError {
    CallError {
        kind,
        message,
        detail: String::new(),
    }
}

fn not_started(error: StartError) -> CallError {
    let message = match error {
        StartError::Failed { during, error } => format!("a new instance cannot be started, in `{during}`: {error}"),
        StartError::Refused(_) => "a new instance refuses the configuration that an earlier one accepted".to_owned(),
    };
    failed(CallErrorKind::Unavailable, message)
}

fn checked(response: query_handler::Response) -> Result<Answer, CallError> {
    let misuse = |message: String| failed(CallErrorKind::Misuse, message);
    if !(200..=599).contains(&response.status) {
        return Err(misuse(format!(
            "it answers with status {}, not 200 to 599",
            response.status
        )));
    }
    let kind = &response.content_type;
    let is_plain = kind.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if kind.is_empty() || kind.len() > CONTENT_TYPE_BYTES_MAX || !is_plain {
        return Err(misuse("it answers with a content type that is none".to_owned()));
    }
    Ok(Answer {
        status: response.status,
        content_type: response.content_type,
        body: response.body,
    })
}
