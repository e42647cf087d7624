//! A tower layer that keeps HTTP answers as their headers say; feature `tower`.
//!
//! Answers to `GET` are kept by `Cache-Control`, `Age` and `Vary` (RFC 9111, as a cache that many share), asked for again by
//! `ETag` or `Last-Modified` when they have become stale, and answered with 304 when the asker has them. A successful `POST`,
//! `PUT`, `PATCH` or `DELETE` forgets what is kept of its address. Bodies are [`Bytes`]: whoever reads them off the wire bounds
//! them, below this layer.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use tidemill_cache::{Config, tower::CacheLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = service_fn(async |_: Request<()>| {
//!     let answer = Response::builder().header("cache-control", "max-age=60");
//!     Ok::<_, std::io::Error>(answer.body(Bytes::from_static(b"189.5")).unwrap_or_default())
//! });
//! let layer = CacheLayer::new(Config::default())?;
//! let client = layer.layer(client);
//! for _ in 0..3 {
//!     let answer = client.clone().oneshot(Request::get("http://localhost/AAPL").body(())?).await?;
//!     assert_eq!(answer.body(), "189.5");
//! }
//! assert_eq!(layer.stats().hits, 2);
//! # Ok(()) }
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tower_layer::Layer;
use tower_service::Service;

use crate::clock::Clock;
use crate::config::Config;
use crate::entry::Found;
use crate::error::Error;
use crate::memory::Memory;
use crate::stats::Stats;

mod control;

use control::{Control, keep, matches, may_ask, varying};

/// How long an answer that has become stale is kept, to ask whether it has changed.
const KEEP_TO_ASK: Duration = Duration::from_secs(3600);

/// Puts a cache around a service. A clone shares it.
#[derive(Clone)]
pub struct CacheLayer(Arc<Shared>);

struct Shared {
    memory: Memory<String, Kept>,
    clock: Clock,
    default: Duration,
    stale_if_error: Duration,
}

/// What stands under an address, or under an address and the headers it varies by.
#[derive(Clone)]
enum Kept {
    /// Which request headers choose among several answers.
    Varies(Arc<[HeaderName]>),
    Answer(Arc<Answer>),
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    came: Duration,
    life: Duration,
}

impl CacheLayer {
    /// A `capacity` in bytes counts bodies, headers and addresses; `ttl` is the life of answers that say nothing of it, where 0 means
    /// that they are asked for again each time, or not kept when they have no validator; `stale_if_error` is how long a stale answer
    /// stands in for a failure or a 5xx.
    ///
    /// # Errors
    /// `Config` for a setting out of its bounds.
    pub fn new(config: Config) -> Result<Self, Error> {
        Self::with_clock(config, Clock::system())
    }

    /// With another clock than the machine's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(config: Config, clock: Clock) -> Result<Self, Error> {
        let (default, stale_if_error) = (config.ttl, config.stale_if_error);
        let memory = Memory::builder(config)
            .clock(clock.clone())
            .weigher(|key: &String, kept: &Kept| (key.len() + kept.weight()) as u64)
            .tags(|key, _, tags| tags.add(key.split('\n').next().unwrap_or(key)))
            .build()?;
        Ok(Self(Arc::new(Shared { memory, clock, default, stale_if_error })))
    }

    /// Hits, misses and bytes of the answers kept. An answer that was asked for again counts as a hit, for its body was not sent.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.memory.stats()
    }

    /// Forgets what is kept of this address, whatever it varies by.
    pub fn forget(&self, address: &Uri) {
        self.0.memory.invalidate_tag(address.to_string().as_str());
    }
}

impl Kept {
    fn weight(&self) -> usize {
        match self {
            Self::Varies(names) => names.iter().map(|name| name.as_str().len()).sum(),
            Self::Answer(answer) => {
                let headers =
                    answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
                answer.body.len() + headers.sum::<usize>()
            }
        }
    }
}

impl Shared {
    /// The key under which this request's answer stands, given the headers it varies by.
    fn key(address: &str, names: &[HeaderName], headers: &HeaderMap) -> String {
        let mut key = address.to_owned();
        for name in names {
            key.push('\n');
            key.push_str(name.as_str());
            for value in headers.get_all(name) {
                key.push(':');
                key.push_str(&String::from_utf8_lossy(value.as_bytes()));
            }
        }
        key
    }

    fn find(&self, address: &str, headers: &HeaderMap) -> Option<Arc<Answer>> {
        let kept = |key: &str| match self.memory.get_stale(key, Duration::MAX) {
            Found::Fresh(kept) | Found::Stale { value: kept, .. } => Some(kept),
            Found::Missing => None,
        };
        match kept(address)? {
            Kept::Answer(answer) => Some(answer),
            Kept::Varies(names) => match kept(&Self::key(address, &names, headers))? {
                Kept::Answer(answer) => Some(answer),
                Kept::Varies(_) => None,
            },
        }
    }

    /// Whether a stale answer may be given in place of a failure.
    fn may_stand_in(&self, kept: &Answer) -> bool {
        kept.age(self.clock.now()) < kept.life + self.stale_if_error
    }

    /// Keeps the answer when it may be; the address is without line breaks, as every `Uri` is.
    fn put(&self, address: &str, request: &HeaderMap, answer: &Response<Bytes>) {
        let Some(life) = keep(answer.status(), request, answer.headers(), self.default) else { return };
        let Some(names) = varying(answer.headers()) else { return };
        let kept = Kept::Answer(Arc::new(Answer {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.body().clone(),
            came: self.clock.now(),
            life,
        }));
        let stays = life + KEEP_TO_ASK;
        if !names.is_empty() {
            self.memory.insert_with_ttl(address.to_owned(), Kept::Varies(names.clone().into()), stays);
        }
        self.memory.insert_with_ttl(Self::key(address, &names, request), kept, stays);
    }
}

impl Answer {
    fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.came)
    }

    /// As it is given: with its age, and without its body when the asker has it.
    fn give(&self, request: &HeaderMap, now: Duration) -> Response<Bytes> {
        let asked = request.get(IF_NONE_MATCH).and_then(|asked| asked.to_str().ok());
        let etag = self.headers.get(ETAG).and_then(|etag| etag.to_str().ok());
        let has = asked.zip(etag).is_some_and(|(asked, etag)| matches(asked, etag));
        let mut response = Response::new(if has { Bytes::new() } else { self.body.clone() });
        *response.status_mut() = if has { StatusCode::NOT_MODIFIED } else { self.status };
        *response.headers_mut() = self.headers.clone();
        let said = self.headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse::<u64>().ok());
        let age = said.unwrap_or(0).saturating_add(self.age(now).as_secs());
        response.headers_mut().insert(AGE, HeaderValue::from(age));
        response
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cached<S>;

    fn layer(&self, inner: S) -> Cached<S> {
        Cached { inner, shared: Arc::clone(&self.0) }
    }
}

/// A service whose answers are kept.
#[derive(Clone)]
pub struct Cached<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for Cached<S>
where
    S: Service<Request<B>, Response = Response<Bytes>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
{
    type Response = Response<Bytes>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was made ready is the one to call.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(answer(inner, Arc::clone(&self.shared), request))
    }
}

async fn answer<S, B>(
    mut inner: S,
    shared: Arc<Shared>,
    mut request: Request<B>,
) -> Result<Response<Bytes>, S::Error>
where
    S: Service<Request<B>, Response = Response<Bytes>>,
{
    let address = request.uri().to_string();
    if !may_ask(request.method(), request.headers()) {
        let changes =
            matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
        let answer = inner.call(request).await?;
        if changes && (answer.status().is_success() || answer.status().is_redirection()) {
            shared.memory.invalidate_tag(address.as_str());
        }
        return Ok(answer);
    }
    let asked = request.headers().clone();
    let kept = shared.find(&address, &asked).filter(|kept| control::may_have(&asked, &kept.headers));
    if let Some(kept) = &kept {
        let now = shared.clock.now();
        if kept.age(now) < kept.life && !Control::of(&asked).no_cache {
            return Ok(kept.give(&asked, now));
        }
        // Asked on our own behalf: whether the asker has it is seen afterwards.
        for (from, to) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
            if let Some(validator) = kept.headers.get(from) {
                request.headers_mut().insert(to, validator.clone());
            }
        }
    }
    let answer = inner.call(request).await;
    match (kept, answer) {
        (Some(kept), Ok(same)) if same.status() == StatusCode::NOT_MODIFIED => {
            let mut response = Response::new(kept.body.clone());
            *response.status_mut() = kept.status;
            *response.headers_mut() = kept.headers.clone();
            response.headers_mut().remove(AGE);
            for name in [CACHE_CONTROL, ETAG, LAST_MODIFIED, AGE] {
                if let Some(value) = same.headers().get(&name) {
                    response.headers_mut().insert(name, value.clone());
                }
            }
            shared.put(&address, &asked, &response);
            let now = shared.clock.now();
            Ok(shared.find(&address, &asked).map_or(response, |kept| kept.give(&asked, now)))
        }
        (Some(kept), answer) if failed(&answer) && shared.may_stand_in(&kept) => {
            Ok(kept.give(&asked, shared.clock.now()))
        }
        (_, Ok(answer)) => {
            shared.put(&address, &asked, &answer);
            Ok(answer)
        }
        (_, Err(error)) => Err(error),
    }
}

fn failed<E>(answer: &Result<Response<Bytes>, E>) -> bool {
    answer.as_ref().map_or(true, |answer| answer.status().is_server_error())
}
