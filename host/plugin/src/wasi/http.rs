//! `wasi:http`: requests to servers that are granted by name, and to nothing else.
//!
//! Every request is checked, redirects are handed to the plugin and not followed, and a name that
//! resolves to the machine itself or to its link (where clouds keep their credentials) is refused
//! unless that address was granted as such.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use record::grant::Origin;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiHttpHooks};

/// Requests of one instance that are under way at once.
const REQUESTS_MAX: usize = 16;
/// What a body buffers at a time, in bytes; it holds two of these. A request that is never sent keeps them.
const BODY_CHUNK_BYTES: usize = 16 << 10;
/// When the plugin sets none. The call's own limit is met first, unless it is raised.
const TIMEOUT: Duration = Duration::from_secs(30);

type WasiBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Error>;
type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = (http::Response<WasiBody>, Done);

/// Where requests may go.
pub(super) struct Outgoing {
    granted: Arc<[Origin]>,
    under_way: Arc<Semaphore>,
}

impl Outgoing {
    pub(super) fn new(granted: Vec<Origin>) -> Self {
        Self {
            granted: granted.into(),
            under_way: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }
    }
}

impl WasiHttpHooks for Outgoing {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer, Error>> + Send> {
        let origin = origin(request.uri()).filter(|origin| self.granted.contains(origin));
        let permit = Arc::clone(&self.under_way).try_acquire_owned();
        Box::new(async move {
            let origin = origin.ok_or(Error::HttpRequestDenied)?;
            let permit = permit.map_err(|_| Error::ConnectionLimitReached)?;
            send(request, &origin, options, permit).await
        })
    }
}

/// Scheme, host and port of a URI; `None` when it is none that could be granted.
fn origin(uri: &http::Uri) -> Option<Origin> {
    let tls = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    Origin::of_authority(tls, uri.authority()?.as_str()).ok()
}

/// Whether an address is of this machine or its link, or of no machine at all.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast()
                // 0.0.0.0/8 reaches this machine too.
                || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local()
                // IPv4 addresses written in other ways: compatible, and translated by NAT64.
                || matches!(v6.segments(), [0, 0, 0, 0, 0, 0, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b]
                    if is_near(IpAddr::V4(u32::from(a).wrapping_shl(16).wrapping_add(u32::from(b)).into())))
        }
    }
}

/// Whether the grant names this machine or an address by itself, so that it is meant.
fn names_an_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || host == "localhost" || host.ends_with(".localhost")
}

/// Where to connect to: resolved once, so that what is checked is what is used.
async fn addresses(origin: &Origin) -> Result<Vec<SocketAddr>, Error> {
    let found = tokio::net::lookup_host((origin.host.as_str(), origin.port))
        .await
        .map_err(|error| Error::DnsError {
            rcode: Some(error.to_string()),
            info_code: None,
        })?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    if !names_an_address(&origin.host) {
        let before = addresses.len();
        addresses.retain(|address| !is_near(address.ip()));
        if before > 0 && addresses.is_empty() {
            return Err(Error::DestinationIpProhibited);
        }
    }
    Ok(addresses)
}

/// Sends a request to a granted origin over a connection of its own.
async fn send(
    mut request: http::Request<WasiBody>,
    origin: &Origin,
    options: Option<RequestOptions>,
    permit: OwnedSemaphorePermit,
) -> Result<Answer, Error> {
    let options = options.unwrap_or_default();
    let connect_timeout = options.connect_timeout.unwrap_or(TIMEOUT);
    let connect = async {
        let addresses = addresses(origin).await?;
        let tcp = TcpStream::connect(addresses.as_slice()).await.map_err(Error::Connect)?;
        let stream: Box<dyn Stream> = if origin.tls {
            let name = ServerName::try_from(origin.host.clone()).map_err(|_| Error::TlsCertificateError)?;
            let config = TLS.clone().ok_or(Error::ConfigurationError)?;
            let connector = tokio_rustls::TlsConnector::from(config);
            Box::new(connector.connect(name, tcp).await.map_err(Error::Tls)?)
        } else {
            Box::new(tcp)
        };
        let connection = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        Ok::<_, Error>(connection)
    };
    let (mut sender, connection) = tokio::time::timeout(connect_timeout, connect)
        .await
        .map_err(|_| Error::ConnectionTimeout)??;
    // What is sent to a server names the path only.
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| http::Uri::from_static("/"), http::Uri::from);
    // The connection moves on by being polled, here until there is an answer, then by whoever
    // keeps the second half of ours.
    let mut connection = Box::pin(connection);
    let mut answer = Box::pin(sender.send_request(request));
    let first_byte = options.first_byte_timeout.unwrap_or(TIMEOUT);
    let mut is_done = false;
    let answered = std::future::poll_fn(|cx| {
        if let Poll::Ready(answered) = answer.as_mut().poll(cx) {
            return Poll::Ready(answered);
        }
        if !is_done && connection.as_mut().poll(cx).is_ready() {
            is_done = true;
            // An answer may have come with the end.
            return answer.as_mut().poll(cx);
        }
        Poll::Pending
    });
    let response = tokio::time::timeout(first_byte, answered)
        .await
        .map_err(|_| Error::ConnectionReadTimeout)??;
    let between = options.between_bytes_timeout.unwrap_or(TIMEOUT);
    let response = response.map(|incoming| {
        TimedBody {
            incoming,
            between,
            sleep: Box::pin(tokio::time::sleep(between)),
        }
        .boxed_unsync()
    });
    let done = async move {
        let _permit = permit;
        if is_done {
            Ok(())
        } else {
            connection.await.map_err(Error::from)
        }
    };
    Ok((response, Box::new(done)))
}

/// The answer's body; a server that falls silent ends it.
struct TimedBody {
    incoming: Incoming,
    between: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                let next = tokio::time::Instant::now() + self.between;
                self.sleep.as_mut().reset(next);
                Poll::Ready(frame.map(|frame| frame.map_err(Error::from)))
            }
            Poll::Pending => self
                .sleep
                .as_mut()
                .poll(cx)
                .map(|()| Some(Err(Error::ConnectionReadTimeout))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// With the provider named: a process may have several.
static TLS: LazyLock<Option<Arc<rustls::ClientConfig>>> = LazyLock::new(|| {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.into(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    // `None` when the provider lacks the versions of TLS, which ring does not.
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_machine_and_its_link_are_near() {
        for near in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(is_near(near.parse().unwrap()), "{near}");
        }
        for far in [
            "10.0.0.1",
            "192.168.1.1",
            "93.184.216.34",
            "2606:2800::1",
            "64:ff9b::0a00:1",
        ] {
            assert!(!is_near(far.parse().unwrap()), "{far}");
        }
    }

    #[test]
    fn a_request_goes_where_it_says() {
        let shown = |uri: &str| origin(&uri.parse().unwrap()).map(|origin| origin.to_string());
        assert_eq!(shown("https://A.example/x?y").as_deref(), Some("https://a.example:443"));
        assert_eq!(
            shown("http://a.example:8080/").as_deref(),
            Some("http://a.example:8080")
        );
        assert_eq!(shown("https://granted@evil.example/"), None);
        assert_eq!(shown("/path"), None);
    }
}
