//! Counts the requests of any tower service: how many, how long, how many at once, and what went wrong.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Extensions, Method, Request, Response, StatusCode, Uri};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::counter::Counter;
use crate::error::Error;
use crate::family::Family;
use crate::gauge::{Gauge, InFlight};
use crate::histogram::Histogram;
use crate::registry::Registry;

/// Names the endpoint of a request: the path it matched, never the path as it came, which anybody can choose.
/// `None` is counted as `unmatched`.
pub type Endpoint = for<'a> fn(&'a Uri, &'a Extensions) -> Option<&'a str>;

/// Endpoints whose handles are kept; beyond that a request costs a look-up, and the registry's cap holds.
const KEPT: usize = 1000;

/// Counts requests and answers of the service it wraps:
///
/// | metric | labels |
/// |---|---|
/// | `requests_total` | `method`, `endpoint` |
/// | `request_duration_seconds`, until the head of the answer | `method`, `endpoint` |
/// | `errors_total` | `method`, `endpoint`, `error_type` |
/// | `requests_in_flight` | |
///
/// `error_type` is `throttled` (429), `timeout` (408, 504), `client` (other 4xx), `server` (other 5xx), `failed` (the
/// service returned an error) or `cancelled` (the caller went away). Methods beyond those of HTTP count as `other`.
///
/// ```
/// use tidemill_metrics::{Registry, RequestLayer};
///
/// let registry = Registry::new();
/// // With axum: |_, extensions| extensions.get::<MatchedPath>().map(MatchedPath::as_str)
/// let layer = RequestLayer::new(&registry, |uri, _| (uri.path() == "/").then_some("/"))?;
/// # Ok::<(), tidemill_metrics::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestLayer {
    meters: Arc<Meters>,
}

/// A service whose requests are counted; see [`RequestLayer`].
#[derive(Clone, Debug)]
pub struct RequestService<S> {
    inner: S,
    meters: Arc<Meters>,
}

pin_project! {
    /// The answer of a counted request.
    #[derive(Debug)]
    pub struct RequestFuture<F> {
        #[pin]
        inner: F,
        watch: Option<Watch>,
    }
}

#[derive(Debug)]
struct Meters {
    endpoint: Endpoint,
    requests: Family<Counter>,
    seconds: Family<Histogram>,
    errors: Family<Counter>,
    in_flight: Gauge,
    kept: RwLock<HashMap<String, HashMap<&'static str, Arc<Series>>>>,
}

/// The handles of one method and endpoint.
#[derive(Debug)]
struct Series {
    requests: Counter,
    seconds: Histogram,
    method: &'static str,
    endpoint: String,
}

/// A request under way; dropped before its end it was cancelled.
#[derive(Debug)]
struct Watch {
    series: Arc<Series>,
    meters: Arc<Meters>,
    start: Instant,
    outcome: Option<&'static str>,
    _in_flight: InFlight,
}

impl RequestLayer {
    /// Registers the metrics.
    ///
    /// # Errors
    /// A name is taken by another kind of metric.
    pub fn new(registry: &Registry, endpoint: Endpoint) -> Result<Self, Error> {
        let meters = Meters {
            endpoint,
            requests: registry.counter("requests_total", "Requests begun."),
            seconds: registry.histogram("request_duration_seconds", "Time to the head of the answer."),
            errors: registry.counter("errors_total", "Requests that went wrong, by what went wrong."),
            in_flight: registry.gauge("requests_in_flight", "Requests under way.").get()?,
            kept: RwLock::default(),
        };
        for name in [meters.requests.name(), meters.seconds.name(), meters.errors.name()] {
            name?;
        }
        // A first look-up finds out whether the labels fit those that somebody else gave.
        meters.series("GET", "unmatched")?;
        Ok(Self { meters: Arc::new(meters) })
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestService { inner, meters: Arc::clone(&self.meters) }
    }
}

impl<S, B, R> Service<Request<B>> for RequestService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RequestFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let watch = self.meters.watch(request.method(), request.uri(), request.extensions());
        RequestFuture { inner: self.inner.call(request), watch }
    }
}

impl<F, R, E> Future for RequestFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(context));
        if let Some(mut watch) = this.watch.take() {
            watch.outcome = Some(match &answer {
                Ok(response) => error_type(response.status()),
                Err(_) => "failed",
            });
        }
        Poll::Ready(answer)
    }
}

impl Meters {
    fn watch(self: &Arc<Self>, method: &Method, uri: &Uri, extensions: &Extensions) -> Option<Watch> {
        let endpoint = (self.endpoint)(uri, extensions).unwrap_or("unmatched");
        // The registration has shown that the labels fit, so that this is always some.
        let series = self.series(method_name(method), endpoint).ok()?;
        series.requests.inc();
        Some(Watch {
            series,
            meters: Arc::clone(self),
            start: Instant::now(),
            outcome: None,
            _in_flight: self.in_flight.in_flight(),
        })
    }

    fn series(&self, method: &'static str, endpoint: &str) -> Result<Arc<Series>, Error> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = kept.get(endpoint).and_then(|methods| methods.get(method)) {
            return Ok(Arc::clone(series));
        }
        drop(kept);
        let labels = [("method", method), ("endpoint", endpoint)];
        let series = Arc::new(Series {
            requests: self.requests.with(&labels)?,
            seconds: self.seconds.with(&labels)?,
            method,
            endpoint: endpoint.to_owned(),
        });
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT || kept.contains_key(endpoint) {
            kept.entry(endpoint.to_owned()).or_default().insert(method, Arc::clone(&series));
        }
        Ok(series)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.series.seconds.record(self.start.elapsed());
        let error_type = self.outcome.unwrap_or("cancelled");
        if !error_type.is_empty() {
            let Series { method, endpoint, .. } = &*self.series;
            let labels = [("method", *method), ("endpoint", endpoint.as_str()), ("error_type", error_type)];
            if let Ok(errors) = self.meters.errors.with(&labels) {
                errors.inc();
            }
        }
    }
}

/// Empty when it is none.
fn error_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "throttled",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "timeout",
        _ if status.is_client_error() => "client",
        _ if status.is_server_error() => "server",
        _ => "",
    }
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
