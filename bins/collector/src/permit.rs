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
use tidemill_rate_limit::{Cost, Hints, KeyIndex, KeyPool, Outcome, Permit, Priority};
use tidemill_shell::signals::Shutdown;
use tower::{Layer, Service};

use crate::http::{Answer, Call, FetchError};
use crate::keys::ApiKey;
use crate::lease::{Spent, Tenancy};
use crate::pace::Pace;

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
    /// Another collector has the keys for longer than `collector.max_wait`.
    #[error("another collector has the keys since {} or longer", humantime::format_duration(whole(*.0)))]
    Taken(Duration),
    /// The run is ending; nothing was sent.
    #[error("asked to stop")]
    Stopping,
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

/// What permits are taken from, and who is told how they were used.
#[derive(Debug)]
pub struct Terms<J> {
    /// Whom to ask.
    pub pool: KeyPool,
    /// What one request weighs.
    pub cost: Cost,
    /// How fast, where that is slower than the quota allows.
    pub pace: Arc<Pace>,
    /// The right to spend the quota, when several collectors share it.
    pub tenancy: Option<Arc<Tenancy>>,
    /// The keys, in the pool's order.
    pub keys: Arc<Wallet>,
    /// Longest wait for a permit.
    pub max_wait: Duration,
    /// Ends the waiting for permits when the run ends.
    pub shutdown: Shutdown,
    /// Who judges answers.
    pub judge: Arc<J>,
}

/// Puts a permit in front of every attempt.
#[derive(Debug)]
pub struct PermitLayer<J>(pub Arc<Terms<J>>);

impl<S, J> Layer<S> for PermitLayer<J> {
    type Service = Paid<S, J>;

    fn layer(&self, inner: S) -> Paid<S, J> {
        Paid { inner, terms: Arc::clone(&self.0) }
    }
}

/// The service of [`PermitLayer`].
#[derive(Debug)]
pub struct Paid<S, J> {
    inner: S,
    terms: Arc<Terms<J>>,
}

impl<S: Clone, J> Clone for Paid<S, J> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), terms: Arc::clone(&self.terms) }
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
        let terms = &self.terms;
        let permit = terms.permit().await?;
        let key = permit.key();
        let paid = terms.keys.put(key, call);
        let seen = paid.clone();
        let flight = permit.send()?;
        terms.judge.sending(key);
        match self.inner.call(paid).await {
            Ok(mut answer) => {
                let (outcome, hints) = terms.judge.judge(&seen, key, &mut answer);
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

impl<J> Terms<J> {
    /// Waits until the quota is ours to spend and lets one request go, or says which of the two takes longer than
    /// `max_wait`, or that the run ends.
    async fn permit(&self) -> Result<Permit, PaidError> {
        loop {
            let paced = tokio::select! {
                biased;
                () = self.shutdown.draining() => return Err(PaidError::Stopping),
                paced = self.pace.turn() => paced,
            };
            let permit = self.leased().await?;
            // The pace may have been slowed down while this one waited; the permit is then given back.
            if paced || !self.pace.is_slower() {
                return Ok(permit);
            }
        }
    }

    async fn leased(&self) -> Result<Permit, PaidError> {
        let Some(tenancy) = &self.tenancy else { return self.slot().await };
        loop {
            match tenancy.ready(self.max_wait, &self.shutdown).await {
                Ok(()) => {}
                Err(Spent::ByAnother) => return Err(PaidError::Taken(self.max_wait)),
                Err(Spent::Stopping) => return Err(PaidError::Stopping),
            }
            let permit = self.slot().await?;
            // While it waited for a slot, the lease may have been lost; the permit is then given back.
            if tenancy.may_act() {
                return Ok(permit);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn slot(&self) -> Result<Permit, PaidError> {
        use tidemill_rate_limit::Poll as Wait;
        let Self { pool, cost, max_wait, shutdown, .. } = self;
        match pool.peek(*cost, Priority::Normal) {
            Wait::At(wait) if wait > *max_wait => return Err(PaidError::Drained(wait)),
            _ => {}
        }
        tokio::select! {
            biased;
            () = shutdown.draining() => Err(PaidError::Stopping),
            permit = pool.acquire(*cost, Priority::Normal) => Ok(permit?),
            () = tokio::time::sleep(*max_wait) => Err(PaidError::Drained(*max_wait)),
        }
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

#[cfg(test)]
mod tests;
