//! Records that are sent by HTTP: each process of the pipeline listens, and a request is answered with
//! success once the log has acknowledged its record.
//!
//! ```text
//!   connection --hyper--> App::handle: may it? route? body -> record --> Writer --Appender--> topic
//!   (a runtime on one thread)                                            (one thread)         |
//!             <--------------------------- answer <--------------------------- acknowledged --+
//! ```
//!
//! The App is exchanged when settings change; the socket stays open.

mod answer;
mod count;
mod handle;
mod route;
mod serve;
mod settings;
mod trace;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use record::error::Code;
use record::log::Log;
use record::topology::Connector;
use record::trace::Spans;
use tokio::sync::watch;

pub use count::Answers;
use handle::App;
use settings::Settings;

/// Why a source cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be had.
    #[error("source `{name}` cannot listen on {address}: {error}")]
    Address {
        /// The source.
        name: Arc<str>,
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The settings are not those of the kind; the pipeline's own check finds that earlier.
    #[error("source `{name}`: {why}")]
    Settings {
        /// The source.
        name: Arc<str>,
        /// What is wrong.
        why: String,
    },
}

impl HttpError {
    /// The code of its page in docs/errors.
    #[must_use]
    pub fn code(&self) -> Code {
        Code("E0303")
    }
}

/// Where records go.
#[derive(Clone)]
pub struct Target {
    /// The pipeline.
    pub pipeline: Arc<str>,
    /// The source.
    pub source: Arc<str>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// The topic of the source.
    pub topic: Arc<str>,
    /// The topic of what cannot be decoded.
    pub dead_letters: Arc<str>,
    /// Whether that is kept there; else it is refused.
    pub keeps_undecodable: bool,
    /// Where spans are told, if anybody wants to have them.
    pub spans: Option<Arc<dyn Spans>>,
}

/// What connections are served by: `None` while it is exchanged.
type Current = RwLock<Option<Arc<App>>>;

/// A source that listens. Dropped, it stops taking connections, and waits for the answers under way.
pub struct Listening {
    address: SocketAddr,
    current: Arc<Current>,
    answers: Arc<Answers>,
    ending: watch::Sender<Option<Instant>>,
    thread: Option<JoinHandle<()>>,
}

/// How long answers under way are waited for when nobody says so.
const END_TIME: Duration = Duration::from_secs(15);

impl Listening {
    /// Begins to listen.
    ///
    /// # Errors
    /// The address, or the settings.
    pub fn open(connector: &Connector, target: Target) -> Result<Self, HttpError> {
        let name = Arc::clone(&target.source);
        let app = app(connector, target)?;
        let wanted = app.settings.listen;
        let failed = |error| HttpError::Address {
            name: Arc::clone(&name),
            address: wanted,
            error,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(wanted))
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let current = Arc::new(RwLock::new(Some(Arc::new(app))));
        let (ending, end) = watch::channel(None);
        let (serving, answers) = (Arc::clone(&current), Arc::new(Answers::default()));
        let counted = Arc::clone(&answers);
        let thread = std::thread::Builder::new()
            .name(format!("listen-{name}"))
            .spawn(move || runtime.block_on(serve::serve(listener, address, (serving, counted), end)))
            .map_err(failed)?;
        tracing::info!(source = &*name, "listens on http://{address}");
        Ok(Self {
            address,
            current,
            answers,
            ending,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How its requests were answered.
    #[must_use]
    pub fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }

    /// Answers 503 from here on, until [`Self::exchange`]. Requests under way go on.
    pub fn hold(&self) {
        *self.current.write() = None;
    }

    /// Goes on with other settings, or with the same ones after [`Self::hold`]. The address stays.
    ///
    /// # Errors
    /// The settings.
    pub fn exchange(&self, connector: &Connector, target: Target) -> Result<(), HttpError> {
        let app = app(connector, target)?;
        *self.current.write() = Some(Arc::new(app));
        Ok(())
    }

    /// Takes no more connections, and gives those under way this long. Does not wait.
    pub fn end(&self, deadline: Instant) {
        self.ending.send_replace(Some(deadline));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let now = Instant::now();
        self.ending.send_if_modified(|end| {
            let is_new = end.is_none();
            end.get_or_insert(now + END_TIME);
            is_new
        });
        if let Some(thread) = self.thread.take() {
            // It has told what there was to tell.
            let _ = thread.join();
        }
    }
}

fn app(connector: &Connector, target: Target) -> Result<App, HttpError> {
    let name = Arc::clone(&target.source);
    let failed = |why: String| HttpError::Settings {
        name: Arc::clone(&name),
        why,
    };
    // What the parser says may hold what it has found: a token.
    let settings: Settings = serde_json::from_str(&connector.settings)
        .map_err(|error| failed(format!("its settings cannot be read (column {})", error.column())))?;
    App::new(settings, target).map_err(failed)
}
