//! One request: the body's bound, the handler's time, and an answer compressed where that is wanted and worth it.

use std::io::Write;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::DefaultBodyLimit;
use axum::http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Limited};
use tower::ServiceExt;

use super::limits::Limits;

/// The router's answer within the limits.
pub(super) async fn answer(router: Router, request: Request<Body>, limits: &Limits) -> Response<Body> {
    let announced = request.body().size_hint().lower();
    if announced > limits.body_max as u64 {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n");
    }
    let wants_gzip = accepts_gzip(request.headers());
    let mut request = request.map(|body| Body::new(Limited::new(body, limits.body_max)));
    // Our own bound holds for every handler; axum's smaller one for extractors would only contradict it.
    DefaultBodyLimit::disable().apply(&mut request);
    let answered = tokio::time::timeout(limits.timeout, router.oneshot(request)).await;
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => return refusal(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long\n"),
    };
    if wants_gzip { compressed(response, limits).await } else { response }
}

fn refusal(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// `gzip` or `*` stands in `Accept-Encoding` with a weight that is not zero; `gzip` decides when both do.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let mut fields = part.split(';').map(str::trim);
            let name = fields.next().unwrap_or_default();
            let weight = fields.find_map(|field| field.strip_prefix("q=")).unwrap_or("1");
            let wanted = weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
            if name.eq_ignore_ascii_case("gzip") {
                return wanted;
            }
            any |= name == "*" && wanted;
        }
    }
    any
}

async fn compressed(response: Response<Body>, limits: &Limits) -> Response<Body> {
    let range = limits.gzip_from as u64..=limits.gzip_up_to as u64;
    let fits = response.body().size_hint().exact().is_some_and(|bytes| range.contains(&bytes));
    if !fits || response.headers().contains_key(CONTENT_ENCODING) || !response.status().is_success() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(plain) = body.collect().await.map(|body| body.to_bytes()) else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the answer broke off\n");
    };
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    let packed = encoder.write_all(&plain).and_then(|()| encoder.finish());
    let Ok(packed) = packed else { return Response::from_parts(parts, Body::from(plain)) };
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(packed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_only_where_it_is_accepted() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        assert!(
            accepts("gzip") && accepts("br, GZIP;q=0.5") && accepts("*") && accepts("identity;q=0, *;q=0.1")
        );
        assert!(
            !accepts("br")
                && !accepts("gzip;q=0")
                && !accepts("gzip; q=0.0, *")
                && !accepts("")
                && !accepts("*;q=0")
        );
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
