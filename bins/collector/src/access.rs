//! Who may change something over HTTP: whoever shows the token, or sits at this machine.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tidemill_shell::serve::BearerLayer;

/// Where it is served, and what changes ask for.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The address listened on.
    pub addr: SocketAddr,
    /// The token, if there is one.
    pub token: Option<&'a str>,
}

impl Access<'_> {
    /// Guards routes that change something. Without a token they are open on loopback alone, and there only to requests that
    /// name this machine.
    pub fn guard<S: Clone + Send + Sync + 'static>(&self, change: Router<S>) -> Router<S> {
        match self.token.filter(|token| !token.is_empty()) {
            Some(token) => change.layer(BearerLayer::new(token)),
            None if self.addr.ip().is_loopback() => change.layer(from_fn(only_this_machine)),
            None => change.layer(from_fn(nobody)),
        }
    }
}

/// A page in a browser can call this machine by any name of its own, and then reach what listens on loopback.
async fn only_this_machine(request: Request, next: Next) -> Response {
    if names_this_machine(request.headers()) {
        return next.run(request).await;
    }
    refused(StatusCode::FORBIDDEN, "without collector.token_env changes are for localhost alone")
}

async fn nobody(_: Request, _: Next) -> Response {
    refused(StatusCode::FORBIDDEN, "changes beyond loopback need a token: set collector.token_env")
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An answer as JSON.
pub fn answer(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// `{"error": "…"}`.
pub fn refused(status: StatusCode, why: &str) -> Response {
    answer(status, &json!({ "error": why }))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn without_a_token_a_request_must_name_this_machine() {
        let named = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            names_this_machine(&headers)
        };
        for host in ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "[::1]"] {
            assert!(named(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "10.0.0.1:8000",
            "127.0.0.1:x",
        ] {
            assert!(!named(host), "{host}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
    }
}
