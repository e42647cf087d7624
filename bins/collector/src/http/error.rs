//! Why an attempt brought no answer, and whether the server may have counted it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use super::connect::ConnectFailure;

/// Why an attempt failed. An answer with a bad status is not a failure of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchErrorKind {
    /// No connection: refused, unreachable, or closed while it was set up.
    Connect,
    /// The name did not resolve.
    Dns,
    /// The TLS handshake failed: certificate, version or protocol.
    Tls,
    /// A deadline passed.
    Timeout(TimeoutPhase),
    /// The connection was closed or reset before the head of an answer stood here, or reset within the body.
    Reset,
    /// The body, as sent, is larger than `body_max`.
    BodyTooLarge,
    /// The body inflates to more than `inflated_max`.
    InflateBomb,
    /// An encoding that was not asked for, or bytes that are not what the encoding promises.
    BadEncoding,
    /// The body ended before its length, its last chunk or its trailer.
    Truncated,
    /// More redirects than `max_redirects`.
    TooManyRedirects,
    /// A redirect to a place we do not follow: another host, from https to http, or not a URI.
    RedirectRefused,
    /// The call itself cannot be sent: no host, unknown scheme.
    BadCall,
    /// Anything else: the server did not speak HTTP, or the library met something new.
    Other,
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutPhase {
    /// Name, TCP and TLS took longer than `connect_timeout`.
    Connect,
    /// No byte of the answer came for `read_timeout`.
    Read,
    /// The attempt as a whole took longer than `total_timeout`.
    Total,
}

/// A failed attempt. It never shows a secret of the URI.
pub struct FetchError(Box<Inner>);

struct Inner {
    kind: FetchErrorKind,
    maybe_sent: bool,
    target: String,
    note: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl FetchError {
    /// An error by hand; `target` must already be redacted. For layers above the attempt and for tests.
    pub fn new(kind: FetchErrorKind, maybe_sent: bool, target: impl fmt::Display) -> Self {
        let (target, note) = (target.to_string(), String::new());
        Self(Box::new(Inner { kind, maybe_sent, target, note, source: None }))
    }

    pub(super) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.0.note = note.into();
        self
    }

    pub(super) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> FetchErrorKind {
        self.0.kind
    }

    /// Whether the request may have reached the server, so that its quota may be spent. False is certain, true is not.
    pub fn maybe_sent(&self) -> bool {
        self.0.maybe_sent
    }

    /// Whether the same call may succeed later without a change of call or configuration.
    pub fn is_retryable(&self) -> bool {
        use FetchErrorKind as K;
        match self.0.kind {
            K::Connect | K::Dns | K::Timeout(_) | K::Reset | K::Truncated | K::Other => true,
            K::Tls | K::BodyTooLarge | K::InflateBomb | K::BadEncoding => false,
            K::TooManyRedirects | K::RedirectRefused | K::BadCall => false,
        }
    }

    /// How long the error asks to wait: never known without an answer.
    pub fn retry_after(&self) -> Option<Duration> {
        None
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use FetchErrorKind as K;
        let what = match self.0.kind {
            K::Connect => "could not connect",
            K::Dns => "could not resolve the host",
            K::Tls => "the TLS handshake failed",
            K::Timeout(TimeoutPhase::Connect) => "connecting took too long",
            K::Timeout(TimeoutPhase::Read) => "the server fell silent",
            K::Timeout(TimeoutPhase::Total) => "the attempt took too long",
            K::Reset => "the connection was closed before the answer was complete",
            K::BodyTooLarge => "the body is larger than http.body_max",
            K::InflateBomb => "the body inflates to more than http.inflated_max",
            K::BadEncoding => "the body is not encoded as it says",
            K::Truncated => "the body is cut off",
            K::TooManyRedirects => "more redirects than http.max_redirects",
            K::RedirectRefused => "the server redirects to a place that is not followed",
            K::BadCall => "the request cannot be sent",
            K::Other => "the exchange failed",
        };
        write!(f, "{what}: {}", self.0.target)?;
        if !self.0.note.is_empty() {
            write!(f, " ({})", self.0.note)?;
        }
        Ok(())
    }
}

impl fmt::Debug for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchError")
            .field("kind", &self.0.kind)
            .field("maybe_sent", &self.0.maybe_sent)
            .field("target", &self.0.target)
            .field("note", &self.0.note)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for FetchError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Why an attempt could not be built: a bound that makes no sense, or a certificate file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("http.{field}: {problem}")]
pub struct BuildError {
    field: &'static str,
    problem: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl BuildError {
    pub(super) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into(), source: None }
    }

    pub(super) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The field of [`super::Config`] that is at fault.
    pub fn field(&self) -> &'static str {
        self.field
    }
}

/// Kind of a failure before the head of the answer, and whether anything may have been sent.
pub(super) fn before_head(error: &(dyn StdError + 'static), connecting: bool) -> (FetchErrorKind, bool) {
    if let Some(failure) = find::<ConnectFailure>(error) {
        return (failure.kind(), false);
    }
    if let Some(error) = find::<h2::Error>(error) {
        // A refused stream was not processed: the protocol promises it (RFC 9113, 8.7).
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        return (FetchErrorKind::Reset, !refused);
    }
    let lost = find::<hyper::Error>(error)
        .is_some_and(|error| error.is_incomplete_message() || error.is_closed() || error.is_canceled())
        || find::<io::Error>(error).is_some_and(is_loss);
    match (lost, connecting) {
        (_, true) => (FetchErrorKind::Connect, false),
        (true, false) => (FetchErrorKind::Reset, true),
        (false, false) => (FetchErrorKind::Other, true),
    }
}

/// Kind of a failure within the body.
pub(super) fn within_body(error: &(dyn StdError + 'static)) -> FetchErrorKind {
    if find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message) {
        return FetchErrorKind::Truncated;
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => FetchErrorKind::Truncated,
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => FetchErrorKind::Other,
        Some(_) => FetchErrorKind::Reset,
        None if find::<h2::Error>(error).is_some() => FetchErrorKind::Reset,
        None => FetchErrorKind::Other,
    }
}

fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof)
}

/// The first error of this type in the chain of causes. `io::Error` hides the error it wraps from `source`, so look inside.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
