//! Says who is asking: adds a `User-Agent` where the call has none.

use std::task::{Context, Poll};

use http::HeaderValue;
use http::header::USER_AGENT;
use tower_layer::Layer;
use tower_service::Service;

use super::call::Call;

/// Adds a `User-Agent` to every call that has none.
#[derive(Clone, Debug)]
pub struct UserAgentLayer(HeaderValue);

impl UserAgentLayer {
    /// With this value, for example `tidemill/0.1.0`.
    pub fn new(value: HeaderValue) -> Self {
        Self(value)
    }
}

impl<S> Layer<S> for UserAgentLayer {
    type Service = UserAgent<S>;

    fn layer(&self, inner: S) -> UserAgent<S> {
        UserAgent { inner, value: self.0.clone() }
    }
}

/// The service of [`UserAgentLayer`].
#[derive(Clone, Debug)]
pub struct UserAgent<S> {
    inner: S,
    value: HeaderValue,
}

impl<S> UserAgent<S> {
    /// What stands below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Service<Call>> Service<Call> for UserAgent<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Call) -> S::Future {
        if !call.headers.contains_key(USER_AGENT) {
            call.headers.insert(USER_AGENT, self.value.clone());
        }
        self.inner.call(call)
    }
}
