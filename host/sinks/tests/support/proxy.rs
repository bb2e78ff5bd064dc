//! A TCP proxy that lets a request through and loses the answer to it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Stands between a sink and its service.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    armed: Arc<AtomicU32>,
}

impl Proxy {
    /// Passes everything on to `upstream`, on the runtime of the test.
    pub(crate) async fn start(upstream: String, needle: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let armed = Arc::new(AtomicU32::new(0));
        let state = Arc::clone(&armed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = upstream.clone();
                let state = Arc::clone(&state);
                tokio::spawn(async move { pass(client, upstream, needle, state).await });
            }
        });
        Self { port, armed }
    }

    /// The answers to the next `times` requests with the needle in them are lost, and the
    /// connection with each.
    pub(crate) fn lose_answers(&self, times: u32) {
        self.armed.store(times, Ordering::SeqCst);
    }

    /// How many answers are still to be lost.
    pub(crate) fn left(&self) -> u32 {
        self.armed.load(Ordering::SeqCst)
    }
}

async fn pass(mut client: TcpStream, upstream: String, needle: &[u8], armed: Arc<AtomicU32>) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                server.write_all(&up[..read]).await?;
                let hit = up[..read].windows(needle.len()).any(|part| part == needle);
                if hit && armed.load(Ordering::SeqCst) > 0 {
                    armed.fetch_sub(1, Ordering::SeqCst);
                    // The server has carried it out when it answers; nobody hears it.
                    let _ = server.read(&mut down).await?;
                    return Ok(());
                }
            }
            read = server.read(&mut down) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                client.write_all(&down[..read]).await?;
            }
        }
    }
}
