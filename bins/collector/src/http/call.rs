//! What goes into one attempt and what comes back.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, StatusCode, Uri, Version};
use tokio::time::Instant;

use super::redact::{Redaction, redact_uri};

/// One request, to be sent once.
///
/// `Debug` masks the values of the query parameters that usually carry secrets and prints no header value.
#[derive(Clone)]
#[non_exhaustive]
pub struct Call {
    /// The method; `GET` unless set otherwise.
    pub method: Method,
    /// Absolute: scheme `http` or `https`, host, optional port, path and query.
    pub uri: Uri,
    /// Headers of this call. `user-agent` and `accept-encoding` are added when missing.
    pub headers: HeaderMap,
    /// The request body, empty for `GET`.
    pub body: Bytes,
    /// What layers tell each other; never sent, kept over redirects.
    pub extensions: Extensions,
}

impl Call {
    /// A `GET` of an absolute URI without further headers.
    pub fn get(uri: Uri) -> Self {
        Self {
            method: Method::GET,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            extensions: Extensions::new(),
        }
    }

    /// The same call with one header more.
    #[must_use]
    pub fn with_header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("uri", &format_args!("{}", redact_uri(&self.uri, &Redaction::default())))
            .field("headers", &self.headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The final answer of the server that was asked; any status, the body inflated.
#[derive(Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The status line's code.
    pub status: StatusCode,
    /// Headers of the answer. `content-encoding` and `content-length` are gone when the body was inflated.
    pub headers: HeaderMap,
    /// The whole body, inflated, at most `inflated_max` bytes.
    pub body: Bytes,
    /// Bytes of the body as they came over the wire.
    pub wire_bytes: u64,
    /// When the request was handed to a connection (or began to wait for a new one); never later than the first byte sent.
    pub sent_at: Instant,
    /// When the head of the answer stood here: the server had counted the request by then.
    pub head_at: Instant,
    /// When the last byte of the body stood here.
    pub received_at: Instant,
    /// The protocol version that the server spoke.
    pub version: Version,
    /// The address of the server, where the transport knows it.
    pub remote: Option<SocketAddr>,
    /// What layers tell those above them.
    pub extensions: Extensions,
}

impl Answer {
    /// An answer made by hand, for tests of what stands above an attempt. All three instants are now.
    pub fn new(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        let now = Instant::now();
        let wire_bytes = body.len() as u64;
        Self {
            status,
            headers,
            body,
            wire_bytes,
            sent_at: now,
            head_at: now,
            received_at: now,
            version: Version::HTTP_11,
            remote: None,
            extensions: Extensions::new(),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("headers", &self.headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .field("wire_bytes", &self.wire_bytes)
            .field("remote", &self.remote)
            .field("took", &self.received_at.saturating_duration_since(self.sent_at))
            .finish()
    }
}
