//! Guards routes that change state: a bearer token, compared in constant time.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::server::ServeError;

/// Puts the token before routes that change state. On loopback they may stand without one; elsewhere they may not.
///
/// # Errors
/// [`ServeError::Unprotected`] when `addr` is not loopback and there is no token.
pub fn protect(routes: Router, addr: SocketAddr, token: Option<&str>) -> Result<Router, ServeError> {
    match token.filter(|token| !token.is_empty()) {
        Some(token) => Ok(routes.layer(BearerLayer::new(token))),
        None if addr.ip().is_loopback() => Ok(routes),
        None => Err(ServeError::Unprotected { addr }),
    }
}

/// Lets pass only requests with `Authorization: Bearer TOKEN`; others are answered 401.
#[derive(Clone)]
pub struct BearerLayer {
    token: Arc<[u8]>,
}

impl BearerLayer {
    /// With this token.
    pub fn new(token: &str) -> Self {
        Self { token: token.as_bytes().into() }
    }
}

impl<S> Layer<S> for BearerLayer {
    type Service = Bearer<S>;

    fn layer(&self, inner: S) -> Bearer<S> {
        Bearer { inner, token: self.token.clone() }
    }
}

/// The service of [`BearerLayer`].
#[derive(Clone)]
pub struct Bearer<S> {
    inner: S,
    token: Arc<[u8]>,
}

impl<S: Service<Request<Body>, Response = Response<Body>>> Service<Request<Body>> for Bearer<S> {
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Guarded<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let given = request.headers().get(AUTHORIZATION).and_then(bearer);
        let passes = given.is_some_and(|given| same(given, &self.token));
        Guarded { answer: passes.then(|| self.inner.call(request)) }
    }
}

pin_project! {
    /// The future of [`Bearer`].
    pub struct Guarded<F> {
        // None when the token was wrong or missing.
        #[pin]
        answer: Option<F>,
    }
}

impl<F: Future<Output = Result<Response<Body>, E>>, E> Future for Guarded<F> {
    type Output = Result<Response<Body>, E>;

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().answer.as_pin_mut() {
            Some(answer) => answer.poll(cx),
            None => {
                let mut response = Response::new(Body::from("a bearer token is needed\n"));
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                Poll::Ready(Ok(response))
            }
        }
    }
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// Compares without telling by its time where the first difference is. The length of the token is no secret.
fn same(given: &[u8], token: &[u8]) -> bool {
    let difference = given.iter().zip(token).fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
    given.len() == token.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        assert!(same(b"abc", b"abc"));
        for wrong in [&b""[..], b"ab", b"abcd", b"abd", b"xbc"] {
            assert!(!same(wrong, b"abc"));
        }
        assert_eq!(bearer(&HeaderValue::from_static("bEaReR x y")), Some(&b"x y"[..]));
        assert_eq!(bearer(&HeaderValue::from_static("Basic abc")), None);
        assert_eq!(bearer(&HeaderValue::from_static("Bearer")), None);
    }

    #[test]
    fn beyond_loopback_a_token_is_a_must() {
        let (here, all) = ("[::1]:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
        assert!(protect(Router::new(), here, None).is_ok() && protect(Router::new(), all, Some("t")).is_ok());
        for token in [None, Some("")] {
            let error = protect(Router::new(), all, token).unwrap_err().to_string();
            assert!(error.contains("0.0.0.0:0") && error.contains("bearer token"), "{error}");
        }
    }
}
