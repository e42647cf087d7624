//! One new connection: name, TCP and, for https, TLS, all within the connect timeout.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::dns::{CachedDns, DnsFailure};
use super::error::{FetchErrorKind, TimeoutPhase};

/// Why there is no connection. Nothing of a request has been sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectFailure {
    #[error("name lookup failed")]
    Dns(#[source] Box<dyn StdError + Send + Sync>),
    #[error("tcp connect failed")]
    Tcp(#[source] Box<dyn StdError + Send + Sync>),
    #[error("tls handshake failed")]
    Tls(#[source] Box<dyn StdError + Send + Sync>),
    #[error("no connection within {0:?}")]
    Timeout(Duration),
}

impl ConnectFailure {
    pub(super) fn kind(&self) -> FetchErrorKind {
        match self {
            Self::Dns(_) => FetchErrorKind::Dns,
            Self::Tcp(_) => FetchErrorKind::Connect,
            Self::Tls(_) => FetchErrorKind::Tls,
            Self::Timeout(_) => FetchErrorKind::Timeout(TimeoutPhase::Connect),
        }
    }
}

#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<CachedDns>,
    tls: TlsConnector,
    timeout: Duration,
    http2_only: bool,
}

impl Connector {
    pub(super) fn new(dns: CachedDns, tls: TlsConnector, timeout: Duration, http2_only: bool) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(dns);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Self { tcp, tls, timeout, http2_only }
    }

    async fn connect(mut self, uri: Uri) -> Result<Stream, ConnectFailure> {
        let tls_name = match uri.scheme_str() {
            Some("https") => Some(server_name(&uri)?),
            _ => None,
        };
        let tcp = self.tcp.call(uri).await.map_err(tcp_failure)?;
        let Some(name) = tls_name else { return Ok(Stream::new(Io::Plain(tcp), self.http2_only)) };
        match self.tls.connect(name, tcp.into_inner()).await {
            Ok(stream) => Ok(Stream::new(Io::Tls(TokioIo::new(Box::new(stream))), self.http2_only)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(ConnectFailure::Tls(error.into()))
            }
            Err(error) => Err(ConnectFailure::Tcp(error.into())),
        }
    }
}

fn server_name(uri: &Uri) -> Result<ServerName<'static>, ConnectFailure> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|error| ConnectFailure::Tls(error.into()))
}

fn tcp_failure(error: impl StdError + Send + Sync + 'static) -> ConnectFailure {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if inner.is::<DnsFailure>() {
            return ConnectFailure::Dns(error.into());
        }
        cause = inner.source();
    }
    ConnectFailure::Tcp(error.into())
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let limit = this.timeout;
            match tokio::time::timeout(limit, this.connect(uri)).await {
                Ok(done) => done,
                Err(_) => Err(ConnectFailure::Timeout(limit)),
            }
        })
    }
}

/// A connection, plain or within TLS.
pub(super) struct Stream {
    io: Io,
    /// Absent where several requests share the connection: there a stream is reset, not all of them.
    abandon: Option<Abandon>,
}

enum Io {
    Plain(TokioIo<TcpStream>),
    Tls(TokioIo<Box<TlsStream<TcpStream>>>),
}

/// Says that nobody waits for the answer any more. The connection is then closed by a reset, so that a server that has not
/// read the request yet never will.
#[derive(Clone, Debug, Default)]
pub(super) struct Abandon(Arc<AtomicBool>);

impl Abandon {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Stream {
    fn new(io: Io, http2_only: bool) -> Self {
        let shared = http2_only || io.negotiated_h2();
        Self { io, abandon: (!shared).then(Abandon::default) }
    }

    fn abandoned(&self) -> bool {
        self.abandon.as_ref().is_some_and(|abandon| abandon.0.load(Ordering::Acquire))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.abandoned() {
            // A socket that is gone already needs no reset.
            self.io.tcp().set_zero_linger().ok();
        }
    }
}

impl Io {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp.inner(),
            Self::Tls(tls) => tls.inner().get_ref().0,
        }
    }

    fn negotiated_h2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.inner().get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let mut connected = match &self.io {
            Io::Plain(tcp) => tcp.connected(),
            Io::Tls(tls) => tls.inner().get_ref().0.connected(),
        };
        if let Some(abandon) = &self.abandon {
            connected = connected.extra(abandon.clone());
        }
        if self.io.negotiated_h2() { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(inner) => Pin::new(inner).poll_read(cx, to),
            Io::Tls(inner) => Pin::new(inner).poll_read(cx, to),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(inner) => Pin::new(inner).poll_write(cx, bytes),
            Io::Tls(inner) => Pin::new(inner).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(inner) => Pin::new(inner).poll_flush(cx),
            Io::Tls(inner) => Pin::new(inner).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.abandoned() {
            // A shutdown would announce an orderly end before the reset.
            return Poll::Ready(Ok(()));
        }
        match &mut self.get_mut().io {
            Io::Plain(inner) => Pin::new(inner).poll_shutdown(cx),
            Io::Tls(inner) => Pin::new(inner).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(inner) => inner.is_write_vectored(),
            Io::Tls(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(inner) => Pin::new(inner).poll_write_vectored(cx, slices),
            Io::Tls(inner) => Pin::new(inner).poll_write_vectored(cx, slices),
        }
    }
}
