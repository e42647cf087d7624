//! One request, sent once: room in the pool, the head, the body within its bounds, and a verdict on whether it was sent.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Request, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, HttpInfo, capture_connection};
use rustls::RootCertStore;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{Plain, Sink};
use super::call::{Answer, Call};
use super::config::Config;
use super::connect::{Abandon, Connector};
use super::dns::{CachedDns, Resolve, System};
use super::error::{self, BuildError, FetchError, FetchErrorKind, TimeoutPhase};
use super::inflate::{Encoding, InflaterPool, Refusal};
use super::pool::Pool;
use super::redact::{Redaction, redact_uri};
use super::stats::Stats;
use super::timeout::Watch;
use super::tls;
use super::user_agent::{UserAgent, UserAgentLayer};

/// Sends one [`Call`] once. Clones share connections, names, buffers and counters.
#[derive(Clone)]
pub struct Attempt {
    inner: UserAgent<Exchange>,
}

impl Attempt {
    /// Collects what an attempt needs besides its configuration.
    pub fn builder(config: Config) -> AttemptBuilder {
        AttemptBuilder { config, roots: None, resolver: None }
    }

    /// What was sent and what came back so far.
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.get_ref().shared;
        Stats {
            sent: shared.sent.load(Ordering::Relaxed),
            answered: shared.answered.load(Ordering::Relaxed),
            failed: shared.failed.load(Ordering::Relaxed),
            waited_for_connection: shared.pool.waited(),
            wire_bytes: shared.wire_bytes.load(Ordering::Relaxed),
            body_bytes: shared.body_bytes.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Service<Call> for Attempt {
    type Response = Answer;
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, FetchError>> + Send>>;

    /// Always ready: room in the pool is awaited within the attempt, under its deadline.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.inner.call(call)
    }
}

/// Builds an [`Attempt`].
pub struct AttemptBuilder {
    config: Config,
    roots: Option<RootCertStore>,
    resolver: Option<Arc<dyn Resolve>>,
}

impl AttemptBuilder {
    /// Trusts these authorities (and `ca_file`) in place of what `roots` of the configuration names.
    #[must_use]
    pub fn root_store(mut self, roots: RootCertStore) -> Self {
        self.roots = Some(roots);
        self
    }

    /// Asks this resolver in place of the system's. Its answers are kept as the configuration says.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// The attempt, without a connection yet.
    ///
    /// # Errors
    /// Names the field whose bound makes no sense or whose file cannot be read.
    pub fn build(self) -> Result<Attempt, BuildError> {
        let config = self.config;
        config.check()?;
        let agent = HeaderValue::from_str(&config.user_agent)
            .map_err(|error| BuildError::new("user_agent", "must be visible ASCII").because(error))?;
        let resolver = self.resolver.unwrap_or_else(|| Arc::new(System));
        let dns = CachedDns::new(resolver, config.dns_ttl, config.dns_max_names);
        let tls = tls::connector(&config, self.roots)?;
        let connector = Connector::new(dns, tls, config.connect_timeout, config.http2_only);
        let shared = Shared {
            pool: Pool::new(&config, connector),
            inflaters: InflaterPool::default(),
            redaction: Redaction::new(config.secret_params.iter().cloned()),
            total_timeout: config.total_timeout,
            read_timeout: config.read_timeout,
            body_max: config.body_max,
            inflated_max: config.inflated_max,
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            wire_bytes: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
        };
        let exchange = Exchange { shared: Arc::new(shared) };
        Ok(Attempt { inner: UserAgentLayer::new(agent).layer(exchange) })
    }
}

/// The innermost service: one exchange with a server.
#[derive(Clone)]
struct Exchange {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    inflaters: InflaterPool,
    redaction: Redaction,
    total_timeout: Duration,
    read_timeout: Duration,
    body_max: usize,
    inflated_max: usize,
    sent: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    wire_bytes: AtomicU64,
    body_bytes: AtomicU64,
}

impl Service<Call> for Exchange {
    type Response = Answer;
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, FetchError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move {
            let uri = call.uri.clone();
            let done = shared.exchange(call).await;
            let counter = if done.is_ok() { &shared.answered } else { &shared.failed };
            counter.fetch_add(1, Ordering::Relaxed);
            done.map_err(|failure| failure.at(&uri, &shared.redaction))
        })
    }
}

/// A failure that does not know its target yet.
struct Failure {
    kind: FetchErrorKind,
    maybe_sent: bool,
    note: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    fn new(kind: FetchErrorKind, maybe_sent: bool) -> Self {
        Self { kind, maybe_sent, note: String::new(), source: None }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    fn at(self, uri: &Uri, redaction: &Redaction) -> FetchError {
        let error =
            FetchError::new(self.kind, self.maybe_sent, redact_uri(uri, redaction)).with_note(self.note);
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}

impl Shared {
    async fn exchange(&self, call: Call) -> Result<Answer, Failure> {
        if !matches!(call.uri.scheme_str(), Some("http" | "https"))
            || call.uri.host().is_none_or(str::is_empty)
        {
            let note = "the uri needs http:// or https:// and a host";
            return Err(Failure::new(FetchErrorKind::BadCall, false).note(note));
        }
        let started = Instant::now();
        let timer = pin!(Watch::timer(started, self.total_timeout, self.read_timeout));
        let mut watch = Watch::new(timer, started, self.total_timeout, self.read_timeout);

        let _room = tokio::select! {
            biased;
            room = self.pool.room(&call.uri) => room,
            phase = watch.late() => {
                let note = "no free connection; raise http.max_connections or http.max_connections_per_host";
                return Err(Failure::new(FetchErrorKind::Timeout(phase), false).note(note));
            }
        };

        let (sent_at, head) = self.head(request(call), &mut watch).await?;
        let head_at = Instant::now();
        let (parts, body) = head.into_parts();
        let mut headers = parts.headers;
        let encoding = Encoding::of(&headers).map_err(|name| {
            Failure::new(FetchErrorKind::BadEncoding, true).note(format!("content-encoding {name}"))
        })?;
        let abandon = parts.extensions.get::<Abandon>().cloned();
        let (body, wire_bytes) = self.body(body, abandon, encoding, &mut watch).await?;
        if encoding.is_some() {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        self.wire_bytes.fetch_add(wire_bytes, Ordering::Relaxed);
        self.body_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(Answer {
            status: parts.status,
            headers,
            body,
            wire_bytes,
            sent_at,
            head_at,
            received_at: Instant::now(),
            version: parts.version,
            remote: parts.extensions.get::<HttpInfo>().map(HttpInfo::remote_addr) as Option<SocketAddr>,
            extensions: http::Extensions::new(),
        })
    }

    /// Sends the request and waits for the head; knows all the while whether a connection has been handed out.
    async fn head(
        &self,
        mut request: Request<Full<Bytes>>,
        watch: &mut Watch<'_>,
    ) -> Result<(Instant, http::Response<Incoming>), Failure> {
        let captured = capture_connection(&mut request);
        let sent_at = Instant::now();
        self.sent.fetch_add(1, Ordering::Relaxed);
        let mut answer = pin!(self.pool.client().request(request));
        // Declared after the request, so that it is dropped before it.
        let mut unanswered = Unanswered { captured, done: false };
        let mut connected = false;
        let done = loop {
            tokio::select! {
                biased;
                head = &mut answer => break Ok(head),
                _ = unanswered.captured.wait_for_connection_metadata(), if !connected => {
                    connected = true;
                    watch.listen();
                }
                phase = watch.late() => break Err(phase),
            }
        };
        let connected = unanswered.captured.connection_metadata().is_some();
        match done {
            Ok(Ok(head)) => {
                unanswered.done = true;
                watch.heard();
                Ok((sent_at, head))
            }
            Ok(Err(error)) => {
                let (kind, maybe_sent) = error::before_head(&error, error.is_connect() || !connected);
                Err(Failure::new(kind, maybe_sent).because(error))
            }
            Err(phase) => Err(self.timed_out(phase, connected)),
        }
    }

    fn timed_out(&self, phase: TimeoutPhase, maybe_sent: bool) -> Failure {
        let limit = match phase {
            TimeoutPhase::Read => self.read_timeout,
            _ => self.total_timeout,
        };
        Failure::new(FetchErrorKind::Timeout(phase), maybe_sent).note(format!("after {limit:?}"))
    }

    /// Reads the body to its end. A plain body of one frame is handed on without a copy.
    async fn body(
        &self,
        mut body: Incoming,
        abandon: Option<Abandon>,
        encoding: Option<Encoding>,
        watch: &mut Watch<'_>,
    ) -> Result<(Bytes, u64), Failure> {
        // Dropped before the body, which is an argument.
        let mut unread = Unread(abandon);
        let too_large =
            || Failure::new(FetchErrorKind::BodyTooLarge, true).note(format!("{} bytes", self.body_max));
        let announced = body.size_hint().exact();
        if announced.is_some_and(|bytes| bytes > self.body_max as u64) {
            return Err(too_large());
        }
        let mut sink = match encoding {
            None => Sink::Plain(Plain::Empty),
            Some(encoding) => Sink::Inflated(self.inflaters.take(encoding, self.inflated_max)),
        };
        let mut wire_bytes = 0;
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                phase = watch.late() => return Err(self.timed_out(phase, true)),
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| {
                let kind = error::within_body(&error);
                Failure::new(kind, true).note(format!("after {wire_bytes} bytes")).because(error)
            })?;
            watch.heard();
            let Ok(data) = frame.into_data() else { continue };
            wire_bytes += data.len() as u64;
            if wire_bytes > self.body_max as u64 {
                return Err(too_large());
            }
            match &mut sink {
                Sink::Plain(plain) => plain.push(data, announced),
                Sink::Inflated(inflater) => inflater.push(&data).map_err(|why| self.refused(why))?,
            }
        }
        unread.0 = None;
        let whole = match sink {
            Sink::Plain(plain) => plain.finish(),
            Sink::Inflated(inflater) => inflater.finish().map_err(|why| self.refused(why))?,
        };
        Ok((whole, wire_bytes))
    }

    fn refused(&self, why: Refusal) -> Failure {
        match why {
            Refusal::Bomb => {
                Failure::new(FetchErrorKind::InflateBomb, true).note(format!("{} bytes", self.inflated_max))
            }
            Refusal::Corrupt => Failure::new(FetchErrorKind::BadEncoding, true).because(why),
            Refusal::Truncated => Failure::new(FetchErrorKind::Truncated, true).because(why),
        }
    }
}

/// A request whose answer has not begun. Dropped so, its connection is abandoned.
struct Unanswered {
    captured: CaptureConnection,
    done: bool,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if !self.done
            && let Some(connected) = &*self.captured.connection_metadata()
        {
            let mut extras = http::Extensions::new();
            connected.get_extras(&mut extras);
            drop(Unread(extras.remove()));
        }
    }
}

/// A body that was not read to its end. Dropped so, its connection is abandoned.
struct Unread(Option<Abandon>);

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(abandon) = &self.0 {
            abandon.set();
        }
    }
}

fn request(call: Call) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(call.body));
    *request.method_mut() = call.method;
    *request.uri_mut() = call.uri;
    *request.headers_mut() = call.headers;
    accept(request.headers_mut());
    request
}

fn accept(headers: &mut HeaderMap) {
    if !headers.contains_key(ACCEPT_ENCODING) {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_for_room_is_within_the_whole_and_was_not_sent() {
        let config = Config { max_connections_per_host: 1, ..Config::default() };
        let mut attempt = Attempt::builder(config).build().unwrap();
        let call = Call::get("http://h.test/".parse().unwrap());
        let shared = attempt.inner.get_ref().shared.clone();
        let _taken = shared.pool.room(&call.uri).await;
        let begun = Instant::now();
        let error = attempt.call(call).await.unwrap_err();
        assert_eq!((error.kind(), error.maybe_sent()), (FetchErrorKind::Timeout(TimeoutPhase::Total), false));
        assert_eq!(begun.elapsed().as_secs(), 30);
        assert!(error.to_string().contains("http.max_connections"), "{error}");
        assert_eq!((attempt.stats().sent, attempt.stats().waited_for_connection), (0, 1));
    }
}
