//! The layer that pays: each attempt takes a permit, is sent with that permit's key, and feeds the answer back.
//!
//! It stands below redirects and retries and directly above the wire, so whatever reaches a server was paid for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use tidemill_rate_limit::{Cost, Hints, KeyIndex, KeyPool, Outcome, Priority};
use tower::{Layer, Service};

use crate::http::{Answer, Call, FetchError};
use crate::keys::ApiKey;

/// Stands in a call where the key belongs, until a permit says which one. No key and no symbol looks like it.
pub const KEY_HERE: &str = "TIDEMILL-KEY-HERE";

/// Why an attempt brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum PaidError {
    /// The wire.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The quota is used up for longer than `collector.max_wait`.
    #[error("the quota is used up; the next request is allowed in {}", humantime::format_duration(whole(*.0)))]
    Drained(Duration),
    /// The adapter's request is no valid one.
    #[error("the request cannot be built: {0}")]
    BadRequest(String),
    /// The limiter: no usable key is left, or its stamps cannot be written.
    #[error(transparent)]
    Limiter(#[from] tidemill_rate_limit::Error),
}

/// What the answer to a call means for the quota. Whatever else it found out goes into the answer's extensions.
pub trait Judge {
    /// Judges the answer that `key` received.
    fn judge(&self, call: &Call, key: KeyIndex, answer: &mut Answer) -> (Outcome, Hints);

    /// An attempt is about to be sent with `key`.
    fn sending(&self, key: KeyIndex);
}

/// Puts a permit in front of every attempt.
#[derive(Clone, Debug)]
pub struct PermitLayer<J> {
    /// Whom to ask.
    pub pool: KeyPool,
    /// The keys, in the pool's order.
    pub keys: Arc<Wallet>,
    /// Longest wait for a permit.
    pub max_wait: Duration,
    /// Who judges answers.
    pub judge: Arc<J>,
}

impl<S, J> Layer<S> for PermitLayer<J> {
    type Service = Paid<S, J>;

    fn layer(&self, inner: S) -> Paid<S, J> {
        let Self { pool, keys, max_wait, judge } = self;
        Paid {
            inner,
            pool: pool.clone(),
            keys: Arc::clone(keys),
            max_wait: *max_wait,
            judge: Arc::clone(judge),
        }
    }
}

/// The service of [`PermitLayer`].
#[derive(Debug)]
pub struct Paid<S, J> {
    inner: S,
    pool: KeyPool,
    keys: Arc<Wallet>,
    max_wait: Duration,
    judge: Arc<J>,
}

impl<S: Clone, J> Clone for Paid<S, J> {
    fn clone(&self) -> Self {
        let Self { inner, pool, keys, max_wait, judge } = self;
        Self {
            inner: inner.clone(),
            pool: pool.clone(),
            keys: Arc::clone(keys),
            max_wait: *max_wait,
            judge: Arc::clone(judge),
        }
    }
}

impl<S, J> Service<Call> for Paid<S, J>
where
    S: Service<Call, Response = Answer, Error = FetchError> + Clone + Send + 'static,
    S::Future: Send,
    J: Judge + Send + Sync + 'static,
{
    type Response = Answer;
    type Error = PaidError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, PaidError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PaidError>> {
        self.inner.poll_ready(cx).map_err(PaidError::Fetch)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let next = self.clone();
        let ready = std::mem::replace(self, next);
        Box::pin(ready.pay(call))
    }
}

impl<S, J> Paid<S, J>
where
    S: Service<Call, Response = Answer, Error = FetchError>,
    J: Judge,
{
    async fn pay(mut self, call: Call) -> Result<Answer, PaidError> {
        let permit = permit(&self.pool, self.max_wait).await?;
        let key = permit.key();
        let paid = self.keys.put(key, call);
        let seen = paid.clone();
        let flight = permit.send()?;
        self.judge.sending(key);
        match self.inner.call(paid).await {
            Ok(mut answer) => {
                let (outcome, hints) = self.judge.judge(&seen, key, &mut answer);
                flight.answered_with(outcome, hints)?;
                Ok(answer)
            }
            Err(error) => {
                let outcome = if error.maybe_sent() { Outcome::Unanswered } else { Outcome::Unsent };
                flight.answered(outcome)?;
                Err(error.into())
            }
        }
    }
}

/// Waits for a permit, or says that the quota is used up for longer than `max_wait`.
async fn permit(pool: &KeyPool, max_wait: Duration) -> Result<tidemill_rate_limit::Permit, PaidError> {
    use tidemill_rate_limit::Poll as Wait;
    match pool.peek(Cost::ONE, Priority::Normal) {
        Wait::At(wait) if wait > max_wait => return Err(PaidError::Drained(wait)),
        _ => {}
    }
    match tokio::time::timeout(max_wait, pool.acquire(Cost::ONE, Priority::Normal)).await {
        Ok(permit) => Ok(permit?),
        Err(_) => Err(PaidError::Drained(max_wait)),
    }
}

/// The keys with the text that stands for each in a query.
#[derive(Debug)]
pub struct Wallet {
    keys: Vec<ApiKey>,
    encoded: Vec<Encoded>,
}

impl Wallet {
    /// Keys in the pool's order.
    pub fn new(keys: Vec<ApiKey>) -> Self {
        let encoded = keys.iter().map(|key| Encoded(percent_encoded(key.expose()))).collect();
        Self { keys, encoded }
    }

    /// The text with `***` in place of every key.
    pub fn scrub(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (key, encoded) in self.keys.iter().zip(&self.encoded) {
            for secret in [key.expose(), &encoded.0] {
                if !secret.is_empty() && out.contains(secret) {
                    out = out.replace(secret, "***");
                }
            }
        }
        out
    }

    /// Puts the key's text where [`KEY_HERE`] stands. A redirect's target comes back with the key that was used before:
    /// it is replaced as well, so that the key that pays is the key that is sent.
    fn put(&self, index: KeyIndex, mut call: Call) -> Call {
        let (Some(key), Some(encoded)) = (self.keys.get(index.get()), self.encoded.get(index.get())) else {
            return call;
        };
        if let Some(uri) = self.in_uri(&call.uri, &encoded.0) {
            call.uri = uri;
        }
        for value in call.headers.values_mut() {
            let Some(text) = value.to_str().ok().filter(|text| text.contains(KEY_HERE)) else { continue };
            if let Ok(mut with) = HeaderValue::from_str(&text.replace(KEY_HERE, key.expose())) {
                with.set_sensitive(true);
                *value = with;
            }
        }
        call
    }

    fn in_uri(&self, uri: &Uri, key: &str) -> Option<Uri> {
        let whole = uri.path_and_query()?.as_str();
        let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
        let mut out = String::with_capacity(whole.len() + key.len());
        out.push_str(&path.replace(KEY_HERE, key));
        for (i, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            out.push(if i == 0 { '?' } else { '&' });
            match pair.split_once('=') {
                Some((name, value)) if self.is_key(name, value) => {
                    out.push_str(name);
                    out.push('=');
                    out.push_str(key);
                }
                _ => out.push_str(pair),
            }
        }
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(out.parse().ok()?);
        Uri::from_parts(parts).ok()
    }

    /// A whole parameter value or nothing: a short key must not change a symbol that happens to equal it.
    fn is_key(&self, name: &str, value: &str) -> bool {
        let known = || !value.is_empty() && self.encoded.iter().any(|key| key.0 == value);
        value == KEY_HERE || (!name.eq_ignore_ascii_case("symbol") && known())
    }
}

/// A key as it stands in a query; not to be printed either.
struct Encoded(String);

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn whole(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs().max(1))
}
