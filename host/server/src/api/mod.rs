//! The HTTP API: what runs, how it does, and reloads. Served on a thread of its own, so that nothing that
//! happens here holds records up.

mod control;
pub(crate) mod dead_letters;
mod extract;
mod flow;
mod format;
mod guard;
mod metrics;
pub(crate) mod problem;
mod query;
pub(crate) mod routes;
pub(crate) mod state;
pub(crate) mod tap;
pub(crate) mod topics;
mod ui;
pub(crate) mod views;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use crossbeam_channel::Sender;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

pub(crate) use guard::Access;

use crate::board::{Board, Entry};
use crate::failure::Failure;
use crate::supervisor::receipt::Receipt;
use problem::Problem;

/// Requests that are worked on at once; others are told to come back.
const REQUESTS_MAX: usize = 64;
/// Those who read dead letters at once.
const LOOKING_MAX: usize = 4;
/// Those who read topics at once.
const READERS_MAX: usize = 16;
/// Those who ask about topics at once. The others wait: it does not take long.
const ASKING_MAX: usize = 4;
/// Those who write records at once; others wait for their turn.
const WRITERS_MAX: usize = 2;
/// Connections at once; others are closed. Each is a file of the process, of which the log needs some too.
const CONNECTIONS_MAX: usize = 256;
/// Names a request in its answer.
const REQUEST_ID: &str = "x-request-id";
/// Bodies may have so many bytes, but for those with records.
const BODY_MAX: usize = 1 << 20;
/// How long a client may take for the head of a request, the next one on a connection too.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a request may take, but for those that wait for a reload.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// As long as a reload may take, with what it waits for.
const RELOAD_TIME: Duration = Duration::from_secs(180);

/// What the supervisor is asked for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Reload a pipeline, or all.
    Reload {
        pipeline: Option<Arc<str>>,
        answer: oneshot::Sender<Vec<Receipt>>,
    },
}

/// What all requests share.
pub(crate) struct Api {
    pub(crate) board: Arc<Board>,
    pub(crate) asks: Sender<Ask>,
    pub(crate) access: Access,
    working: Semaphore,
    /// For those who read dead letters, which goes on when they do not wait for it.
    looking: Arc<Semaphore>,
    /// For whoever puts dead letters back, or discards some.
    changing: Arc<Semaphore>,
    /// For those who read topics, which may wait for records.
    reading: Arc<Semaphore>,
    /// For those who ask about topics, or create some.
    asking: Arc<Semaphore>,
    /// For those who write records.
    writing: Arc<Semaphore>,
    /// Records without a key go to each partition in turn.
    turn: AtomicU32,
}

impl Api {
    /// A pipeline of this process.
    fn entry(&self, name: &str) -> Result<Entry, Problem> {
        self.board.entry(name).ok_or_else(|| {
            Problem::not_found(
                format!("there is no pipeline `{name}` in this process"),
                "GET /v1/pipelines lists them",
            )
        })
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Wasmill",
    description = "What the pipelines of one process do, and reloads.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(routes::health))
        .routes(routes!(routes::ready))
        .routes(routes!(routes::metrics))
        .routes(routes!(routes::pipelines))
        .routes(routes!(routes::pipeline))
        .routes(routes!(routes::reload))
        .routes(routes!(routes::reload_all))
        .routes(routes!(routes::receipts))
        .routes(routes!(control::pause))
        .routes(routes!(control::resume))
        .routes(routes!(tap::tap))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::show))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::discard))
        .routes(routes!(state::list))
        .routes(routes!(state::read))
        .routes(routes!(topics::show, topics::create))
        .routes(routes!(topics::read, topics::write).layer(DefaultBodyLimit::max(topics::RECORDS_BODY_MAX)))
        .routes(routes!(query::ask))
        .routes(routes!(query::ask_plainly))
        .routes(routes!(routes::openapi))
}

/// The OpenAPI document of all routes.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes().split_for_parts().1;
    // The mark of a parameter that may hold slashes is the router's own.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths
        .into_iter()
        .map(|(path, item)| (path.replace("{*", "{"), item))
        .collect();
    document
}

fn router(api: Arc<Api>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .merge(ui::router())
        .fallback(async || Problem::not_found("there is no such path", "GET /openapi.json lists all paths"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), bounded))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::check))
        .layer(middleware::from_fn(named))
        .with_state(api)
}

/// Names each request, in its answer and in all that is logged while it is worked on.
async fn named(request: Request, next: Next) -> Response {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
    let began = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took_ms) = (response.status().as_u16(), began.elapsed().as_secs_f64() * 1_000.0);
    tracing::debug!(parent: &span, status, took_ms, "answered");
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// So many at once, and each for so long.
async fn bounded(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let max = body_max(request.uri().path());
    // Not one byte of it is waited for.
    if length.is_some_and(|length| length > max as u64) {
        return Problem::of_body(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {max} bytes"))
            .into_response();
    }
    let Ok(_working) = api.working.try_acquire() else {
        return Problem::busy().into_response();
    };
    let time = if takes_its_time(request.uri().path()) {
        RELOAD_TIME
    } else {
        REQUEST_TIME
    };
    tokio::time::timeout(time, next.run(request))
        .await
        .unwrap_or_else(|_| Problem::timed_out(time).into_response())
}

fn body_max(path: &str) -> usize {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["v1", "topics", _, "records"] => topics::RECORDS_BODY_MAX,
        _ => BODY_MAX,
    }
}

/// Reloads, and work on many dead letters.
fn takes_its_time(path: &str) -> bool {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    matches!(
        parts.as_slice(),
        ["v1", "reload"]
            | ["v1", "pipelines", _, "reload"]
            | ["v1", "pipelines", _, "dead-letters", "replay" | "discard"]
    )
}

/// Takes connections, for ever.
async fn accept(listener: TcpListener, router: Router) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files, mostly: some become free.
                tracing::warn!("the API cannot take a connection: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let Ok(connection) = Arc::clone(&connections).try_acquire_owned() else {
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let served = server.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // Clients go away as they like.
            let _ = served.await;
            drop(connection);
        });
    }
}

/// Serves until the process ends. Answers where: the port may have been left to the system.
///
/// # Errors
/// The address cannot be had.
pub(crate) fn serve(
    address: SocketAddr,
    board: Arc<Board>,
    asks: Sender<Ask>,
    access: Access,
) -> Result<SocketAddr, Failure> {
    let failed = |source: std::io::Error| Failure::Other {
        code: record::error::Code("E0730"),
        invalid: false,
        what: format!("the API cannot listen on {address}: {source}"),
        place: None,
        next: "name another address with `--listen`, or `--listen off`".to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let listener = runtime.block_on(TcpListener::bind(address)).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    board.serves_at(address);
    let api = Arc::new(Api {
        board,
        asks,
        access,
        working: Semaphore::new(REQUESTS_MAX),
        looking: Arc::new(Semaphore::new(LOOKING_MAX)),
        changing: Arc::new(Semaphore::new(1)),
        reading: Arc::new(Semaphore::new(READERS_MAX)),
        asking: Arc::new(Semaphore::new(ASKING_MAX)),
        writing: Arc::new(Semaphore::new(WRITERS_MAX)),
        turn: AtomicU32::new(0),
    });
    std::thread::Builder::new()
        .name("api".to_owned())
        .spawn(move || {
            runtime.block_on(accept(listener, router(api)));
        })
        .map_err(failed)?;
    Ok(address)
}
