//! The HTTP side of an exposition, as a tower service: negotiates the format, expires what is idle, answers.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, VARY};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tower_service::Service;

use crate::exposition::Format;
use crate::registry::Registry;

/// Answers `GET` and `HEAD` with all metrics of a registry, in the format that the `Accept` header prefers.
///
/// ```
/// use tidemill_metrics::{Registry, Scrape};
/// use tower_service::Service as _;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let registry = Registry::new();
/// registry.gauge("up", "Whether it works.").get()?.set(1.0);
/// // With axum: Router::new().route_service("/metrics", Scrape::new(registry))
/// let answer = Scrape::new(registry).call(http::Request::new(())).await?;
/// assert_eq!(answer.status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scrape {
    registry: Registry,
    origin: Instant,
}

/// The bytes of an answer, in one frame.
#[derive(Clone, Debug, Default)]
pub struct ScrapeBody(Option<Bytes>);

impl Scrape {
    /// Serves this registry.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self { registry, origin: Instant::now() }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<ScrapeBody> {
        let head = request.method() == Method::HEAD;
        if !head && request.method() != Method::GET {
            let mut refusal = Response::new(ScrapeBody::default());
            *refusal.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        let accepts: Vec<&str> =
            request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let format = Format::negotiate(&accepts.join(","));
        let body = if head {
            ScrapeBody::default()
        } else {
            self.registry.expire(self.origin.elapsed());
            ScrapeBody(Some(Bytes::from(self.registry.encode(format))))
        };
        let mut answer = Response::new(body);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        answer
    }
}

impl<B> Service<Request<B>> for Scrape {
    type Response = Response<ScrapeBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

impl ScrapeBody {
    /// The bytes that are still to be sent.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.unwrap_or_default()
    }
}

impl Body for ScrapeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
