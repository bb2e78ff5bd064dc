//! Connections: how many, for how long, and how they end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

use super::handle;
use super::{Answers, Current};

/// The head of a request, in bytes; a larger one is answered with 431.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Connections that are being told that there are too many; those beyond are closed at once.
const TURNED_AWAY_MAX: usize = 128;
const TURNED_AWAY_TIME: Duration = Duration::from_secs(1);
/// How long a client may take for the head of a request while the source is exchanged.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Takes connections until told to end, and then waits until all have their answers, or for the deadline.
pub(super) async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    (current, answers): (Arc<Current>, Arc<Answers>),
    mut end: watch::Receiver<Option<Instant>>,
) {
    // Each connection holds a clone: when all are gone, there is none.
    let (alive, mut all_gone) = mpsc::channel::<Infallible>(1);
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told_to_end(&mut end) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files, mostly: some become free.
                tracing::warn!("cannot take a connection on {address}: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        // Answers are small, and somebody waits for them.
        let _ = stream.set_nodelay(true);
        let app = current.read().clone();
        let (max, time) = app.map_or((usize::MAX, HEAD_TIME), |app| {
            (app.settings.max_connections, app.time())
        });
        if alive.strong_count() > max {
            answers.count(503);
            if let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned() {
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(TURNED_AWAY_TIME, turn_away(stream)).await;
                    drop(permit);
                });
            }
            continue;
        }
        tokio::spawn(connection(
            stream,
            address,
            (Arc::clone(&current), Arc::clone(&answers)),
            time,
            end.clone(),
            alive.clone(),
        ));
    }
    drop(listener);
    drop(alive);
    let deadline = end.borrow().unwrap_or_else(Instant::now);
    let _ = tokio::time::timeout_at(deadline.into(), all_gone.recv()).await;
}

/// Waits for that; whoever would tell it and is gone has told it too.
async fn told_to_end(end: &mut watch::Receiver<Option<Instant>>) {
    let _ = end.wait_for(Option::is_some).await;
}

/// Serves one connection. One that ends answers the request under way, and takes no other.
async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    (current, answers): (Arc<Current>, Arc<Answers>),
    head_time: Duration,
    mut end: watch::Receiver<Option<Instant>>,
    alive: mpsc::Sender<Infallible>,
) {
    let service = service_fn(move |request| {
        let (app, answers) = (current.read().clone(), Arc::clone(&answers));
        async move {
            let answer = match app {
                Some(app) => app.handle(request, address).await,
                None => handle::held(),
            };
            answers.count(answer.status().as_u16());
            Ok::<_, Infallible>(answer)
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_buf_size(HEAD_BYTES_MAX)
        // A client that has sent all may close its side and wait.
        .half_close(true);
    let mut served = pin!(server.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // Clients go away as they like.
        _ = served.as_mut() => {}
        () = told_to_end(&mut end) => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
    drop(alive);
}

/// Tells a client that there are too many, and reads what it sends meanwhile: an answer is lost when a
/// connection is closed on unread bytes.
async fn turn_away(mut stream: TcpStream) -> std::io::Result<()> {
    stream
        .write_all(
            b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
        )
        .await?;
    stream.shutdown().await?;
    let mut scrap = [0; 4096];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(())
}
