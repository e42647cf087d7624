//! A tower layer that charges every attempt and feeds its answer back; feature `tower`.
//!
//! # The right order
//! Every attempt must take its own permit, so the layer stands *below* whatever sends a request more than once:
//!
//! ```text
//! timeout of the whole call
//!   retry, hedge, follow redirects
//!     QuotaLayer          one permit an attempt
//!       timeout of one attempt (no longer than Config::deadline)
//!         the client
//! ```
//!
//! Above a retry it would count one permit for three requests, and the server would refuse. Layers of a
//! `ServiceBuilder` are named from the outside in, so `.layer(retry).layer(quota)` is right.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use http::{Request, Response};
//! use tidemill_rate_limit::tower::{QuotaLayer, read_http};
//! use tidemill_rate_limit::{Config, KeyIndex, KeyPool, Model};
//! use tower::{Layer, Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower::BoxError> {
//! let pool = KeyPool::builder(Config::per_key(75, Duration::from_secs(60), Model::SlidingLog)).build()?;
//! let keys = ["secret"];
//! let client = service_fn(async |request: Request<()>| {
//!     assert_eq!(request.headers()["x-api-key"], "secret");
//!     Ok::<_, std::io::Error>(Response::new(()))
//! });
//! let quota = QuotaLayer::new(
//!     pool.clone(),
//!     move |request: &mut Request<()>, key: KeyIndex| {
//!         if let Ok(value) = keys[key.get()].parse() {
//!             request.headers_mut().insert("x-api-key", value);
//!         }
//!     },
//!     |result: Result<&Response<()>, &std::io::Error>| read_http(result.ok(), SystemTime::now()),
//! );
//! quota.layer(client).oneshot(Request::new(())).await?;
//! assert_eq!(pool.stats().answered, 1);
//! # Ok(()) }
//! ```

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use http::{HeaderMap, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use crate::core::{Cost, Priority};
use crate::headers::Reader;
use crate::outcome::{Hints, Outcome};
use crate::pool::KeyPool;

/// Any error of the service below, or of this crate; [`downcast`](std::error::Error) tells which.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Puts a [`Quota`] around a service.
#[derive(Debug)]
pub struct QuotaLayer<P, R> {
    pool: KeyPool,
    cost: Cost,
    priority: Priority,
    rules: Arc<(P, R)>,
}

impl<P, R> QuotaLayer<P, R> {
    /// `prepare` puts the chosen key into a request; `read` says how it ended. An error after which the server may
    /// have counted the request is [`Outcome::Unanswered`].
    pub fn new(pool: KeyPool, prepare: P, read: R) -> Self {
        let rules = Arc::new((prepare, read));
        Self { pool, cost: Cost::ONE, priority: Priority::Normal, rules }
    }

    /// What each request costs; default one unit.
    #[must_use]
    pub fn cost(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }

    /// How urgent requests are; default normal.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }
}

impl<P, R> Clone for QuotaLayer<P, R> {
    fn clone(&self) -> Self {
        let Self { pool, cost, priority, rules } = self;
        Self { pool: pool.clone(), cost: *cost, priority: *priority, rules: Arc::clone(rules) }
    }
}

impl<S, P, R> Layer<S> for QuotaLayer<P, R> {
    type Service = Quota<S, P, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Quota { inner, layer: self.clone() }
    }
}

/// A service that waits for a permit before each request.
///
/// It is ready at once and waits in the call, where it holds nothing of the service below; the bound on waiting calls
/// is [`Config::max_waiters`](crate::Config::max_waiters). A dropped call gives its permit back, or, in flight, holds
/// the slot as [`InFlight`](crate::InFlight) does.
#[derive(Debug)]
pub struct Quota<S, P, R> {
    inner: S,
    layer: QuotaLayer<P, R>,
}

impl<S: Clone, P, R> Clone for Quota<S, P, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S, P, R, Request> Service<Request> for Quota<S, P, R>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Into<BoxError> + Send,
    Request: Send + 'static,
    P: Fn(&mut Request, crate::KeyIndex) + Send + Sync + 'static,
    R: Fn(Result<&S::Response, &S::Error>) -> (Outcome, Hints) + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let mut inner = self.inner.clone();
        let QuotaLayer { pool, cost, priority, rules } = self.layer.clone();
        Box::pin(async move {
            let permit = pool.acquire(cost, priority).await?;
            poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
            let (prepare, read) = &*rules;
            prepare(&mut request, permit.key());
            let flight = permit.send()?;
            let result = inner.call(request).await;
            let (outcome, hints) = read(result.as_ref());
            // The answer counts; that its stamp was not written only costs time after a restart.
            let _ = flight.answered_with(outcome, hints);
            result.map_err(Into::into)
        })
    }
}

/// The usual reading of an answer at `now`: its status, `Retry-After` and the quota headers; no answer is
/// [`Outcome::Unanswered`].
pub fn read_http<B>(response: Option<&Response<B>>, now: SystemTime) -> (Outcome, Hints) {
    match response {
        Some(response) => read_parts(response.status(), response.headers(), now),
        None => (Outcome::Unanswered, Hints::default()),
    }
}

/// [`read_http`] for clients with a response type of their own, such as reqwest.
pub fn read_parts(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> (Outcome, Hints) {
    let mut reader = Reader::new(now);
    for (name, value) in headers {
        if let Ok(value) = value.to_str() {
            reader.header(name.as_str(), value);
        }
    }
    (Outcome::from_status(status.as_u16(), reader.retry_after()), reader.hints())
}
