//! One HTTP request to a server that was configured: bounded in time and bytes, never redirected, its address never in an error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Sends requests, each over a connection of its own.
#[derive(Clone)]
pub struct Client {
    tls: Arc<rustls::ClientConfig>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Beside `Host` and `User-Agent`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What is sent along.
    pub body: Bytes,
    /// All of it, from the name's look-up to the last byte.
    pub timeout: Duration,
    /// Bytes of the answer at most.
    pub body_max: usize,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// An address that is shown as scheme and host only: what follows may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    host: String,
    port: u16,
}

/// Why there is no answer. Says neither path nor header.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {why}")]
pub struct Failure {
    place: String,
    why: String,
}

impl Client {
    /// Trusts what this system and Mozilla trust, and `roots` beside them.
    ///
    /// # Errors
    /// A root that is no certificate.
    pub fn new(roots: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let mut store = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for root in roots {
            store.add(root)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Self { tls: Arc::new(config.with_root_certificates(store).with_no_client_auth()) })
    }

    /// Sends it and reads the answer, whatever its status.
    ///
    /// # Errors
    /// No connection, no answer in time, or one that is too large.
    pub async fn send(&self, call: Call) -> Result<Answer, Failure> {
        let (place, timeout) = (call.url.to_string(), call.timeout);
        let failure = |why: String| Failure { place: place.clone(), why };
        match tokio::time::timeout(timeout, self.exchange(call)).await {
            Ok(answer) => answer.map_err(failure),
            Err(_) => Err(failure(format!("no answer within {} ms", timeout.as_millis()))),
        }
    }

    async fn exchange(&self, call: Call) -> Result<Answer, String> {
        let Url { uri, host, port } = &call.url;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        if uri.scheme_str() == Some("https") {
            let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls));
            let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
            exchange(stream, call).await
        } else {
            exchange(stream, call).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    call: Call,
) -> Result<Answer, String> {
    let words = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    let mut tasks = tokio::task::JoinSet::new();
    // Dropped with this call, so that no connection outlives its timeout.
    tasks.spawn(connection);
    let path = call.url.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Full::new(call.body));
    *request.method_mut() = call.method;
    *request.uri_mut() = path.parse().map_err(|_| "its path is no path".to_owned())?;
    let headers = request.headers_mut();
    let authority = call.url.uri.authority().map_or("", |authority| authority.as_str());
    headers.insert(HOST, HeaderValue::from_str(authority).map_err(|error| error.to_string())?);
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("tidemill-monitor/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, mut value) in call.headers {
        value.set_sensitive(name == AUTHORIZATION);
        headers.append(name, value);
    }
    let (head, mut body) = sender.send_request(request).await.map_err(words)?.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(words)?.into_data() else { continue };
        if bytes.len() + data.len() > call.body_max {
            return Err(format!("its answer is larger than {} bytes", call.body_max));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Answer { status: head.status, headers: head.headers, body: bytes.freeze() })
}

impl Url {
    /// Reads `http://host:port/path` or `https://…`.
    ///
    /// # Errors
    /// What it lacks; without the address, which may hold a secret.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is no address: write http://HOST:PORT/PATH")?;
        let usual = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err("wants to begin with http:// or https://"),
        };
        let authority = uri.authority().ok_or("wants a host")?;
        if authority.as_str().contains('@') {
            return Err("must not hold a password: name a variable with a token instead");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(usual);
        Ok(Self { uri, host, port })
    }

    /// The same host with another path and query.
    ///
    /// # Errors
    /// The path is none.
    pub fn with_path(&self, path: &str) -> Result<Self, &'static str> {
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(path.parse().map_err(|_| "is no path")?);
        let uri = Uri::from_parts(parts).map_err(|_| "is no address")?;
        Ok(Self { uri, host: self.host.clone(), port: self.port })
    }

    /// Its path, without what stands after `?`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.uri.scheme_str().unwrap_or("http"), self.host, self.port)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self}/***)")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_never_shown_whole() {
        let url = Url::parse("https://hooks.example:8443/services/SECRET?token=SECRET").unwrap();
        assert!(!format!("{url} {url:?}").contains("SECRET"));
        assert_eq!(url.to_string(), "https://hooks.example:8443");
        assert_eq!(url.with_path("/a?b=1").unwrap().path(), "/a");
        for wrong in ["", "hooks.example", "ftp://x/", "http://user:pass@x/", "/path"] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Url::parse("http://[::1]:9/").unwrap().host, "::1");
    }
}
