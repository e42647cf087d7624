//! A small HTTP client: one request within a time and a size, connections kept for the next round.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;

/// Connections kept of one server.
const KEPT: usize = 2;
/// Bytes of an answer that need no room.
const FREE: usize = 256 << 10;

/// Sends requests. Clones share connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    tls: TlsConnector,
    idle: Mutex<HashMap<String, Vec<SendRequest<Full<Bytes>>>>>,
    /// In KiB, for what answers take beyond [`FREE`].
    room: Arc<Semaphore>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, `PUT`.
    pub method: Method,
    /// With scheme and host.
    pub url: Uri,
    /// Beside host, user agent and encoding.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Empty for none.
    pub body: Bytes,
    /// For all of it: names, connection, answer.
    pub timeout: Duration,
    /// Bytes of the answer, before and after it is inflated.
    pub max_bytes: usize,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, inflated.
    pub body: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Request {
    /// `GET`, within 10 s and 1 MiB.
    #[must_use]
    pub fn get(url: Uri) -> Self {
        let (headers, body) = (Vec::new(), Bytes::new());
        Self { method: Method::GET, url, headers, body, timeout: Duration::from_secs(10), max_bytes: 1 << 20 }
    }
}

impl Client {
    /// Trusts the authorities of this machine, or Mozilla's where it has none. Answers share `room` bytes beyond 256 KiB of
    /// each.
    ///
    /// # Errors
    /// When no TLS version is available.
    pub fn new(room: usize) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        if roots.add_parsable_certificates(found.certs).0 == 0 {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no TLS version is available")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let inner = Inner {
            tls: TlsConnector::from(Arc::new(tls)),
            idle: Mutex::default(),
            room: Arc::new(Semaphore::new((room >> 10).max(1))),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The answer, whatever its status; redirects are answers.
    ///
    /// # Errors
    /// No answer within the time, or a larger one than allowed.
    pub async fn send(&self, request: &Request) -> Result<Answer> {
        match tokio::time::timeout(request.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(anyhow!("no answer within {:?}", request.timeout)),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Answer> {
        let key = key_of(&request.url)?;
        // What was kept may have been closed by the server since: then once more, on a new connection.
        while let Some(mut kept) = self.kept(&key) {
            if kept.ready().await.is_err() {
                continue;
            }
            match kept.send_request(message(request)?).await {
                Ok(response) => return self.receive(request, response, kept, key).await,
                Err(error) if request.method == Method::GET || error.is_canceled() => continue,
                Err(error) => return Err(error).context("the connection broke"),
            }
        }
        let mut sender = self.connect(&request.url).await?;
        let response = sender.send_request(message(request)?).await.context("no HTTP answer")?;
        self.receive(request, response, sender, key).await
    }

    fn kept(&self, key: &str) -> Option<SendRequest<Full<Bytes>>> {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(key)?.pop()
    }

    async fn connect(&self, url: &Uri) -> Result<SendRequest<Full<Bytes>>> {
        let host = url.host().context("the address names no host")?;
        let tls = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((bare, port))
            .await
            .with_context(|| format!("cannot connect to {host}:{port}"))?;
        stream.set_nodelay(true).ok();
        if !tls {
            return shake(stream).await;
        }
        let name = ServerName::try_from(bare.to_owned()).context("the host is no name for TLS")?;
        let stream = self.inner.tls.connect(name, stream).await.context("TLS failed")?;
        shake(stream).await
    }

    async fn receive(
        &self,
        request: &Request,
        response: hyper::Response<Incoming>,
        sender: SendRequest<Full<Bytes>>,
        key: String,
    ) -> Result<Answer> {
        let (head, mut body) = response.into_parts();
        let told = usize::try_from(http_body::Body::size_hint(&body).lower()).unwrap_or(0);
        let (mut read, mut room) = (BytesMut::with_capacity(told.min(FREE)), None);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.context("the answer broke off")?.into_data() else { continue };
            let size = read.len() + data.len();
            ensure!(size <= request.max_bytes, "the answer is longer than {} bytes", request.max_bytes);
            self.reserve(size, &mut room)?;
            read.extend_from_slice(&data);
        }
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(key).or_default();
        if kept.len() < KEPT {
            kept.push(sender);
        }
        drop(idle);
        let mut body = read.freeze();
        if head.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip") {
            body = inflated(&body, request.max_bytes)?;
            self.reserve(body.len(), &mut room)?;
        }
        Ok(Answer { status: head.status, headers: head.headers, body, _room: room })
    }

    fn reserve(&self, size: usize, room: &mut Option<OwnedSemaphorePermit>) -> Result<()> {
        let have = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let want = size.saturating_sub(FREE).div_ceil(1 << 10);
        if want > have {
            // In steps of 64 KiB, so that a long answer does not ask for every piece.
            let more = u32::try_from((want - have).max(64)).unwrap_or(u32::MAX);
            let Ok(permit) = Arc::clone(&self.inner.room).try_acquire_many_owned(more) else {
                bail!(
                    "there is no room for another {size} bytes now; answers are large: see answers_max_bytes"
                )
            };
            match room {
                Some(room) => room.merge(permit),
                None => *room = Some(permit),
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

async fn shake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 << 10)
        .handshake(TokioIo::new(stream))
        .await
        .context("no HTTP is spoken there")?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
    Ok(sender)
}

fn key_of(url: &Uri) -> Result<String> {
    let scheme = url.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
    let scheme = scheme.context("the address must begin with http:// or https://")?;
    Ok(format!("{scheme}://{}", url.authority().context("the address names no host")?))
}

fn message(request: &Request) -> Result<http::Request<Full<Bytes>>> {
    let path = request.url.path_and_query().map_or("/", |path| path.as_str());
    let host = request.url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let mut message = http::Request::builder()
        .method(request.method.clone())
        .uri(path)
        .body(Full::new(request.body.clone()))?;
    let headers = message.headers_mut();
    // Without a name and password that may stand before the host.
    headers.insert(HOST, HeaderValue::from_str(host.rsplit('@').next().unwrap_or(host))?);
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("tidemill-monitor/", env!("CARGO_PKG_VERSION"))),
    );
    // Within one machine nothing is saved by it: both ends would only spend time.
    let encoding = if is_here(&request.url) { "identity" } else { "gzip" };
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    for (name, value) in &request.headers {
        headers.insert(name, value.clone());
    }
    Ok(message)
}

/// Whether this machine itself is asked.
fn is_here(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn inflated(body: &[u8], most: usize) -> Result<Bytes> {
    let mut out = Vec::new();
    let decoder = flate2::read::MultiGzDecoder::new(body);
    decoder
        .take(most as u64 + 1)
        .read_to_end(&mut out)
        .context("the answer is no gzip, though it says so")?;
    ensure!(out.len() <= most, "the answer is longer than {most} bytes once inflated");
    Ok(out.into())
}
