//! Redirects against a service made by hand: what is followed, what is refused, and that every hop is a call.

use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tower::ServiceExt;

use super::*;

type Asked = Arc<Mutex<Vec<String>>>;

/// Answers `/hop/N` with a redirect to `/hop/N-1`, `/to?URI` with a redirect there, all else with 200.
fn site(asked: Asked) -> impl Service<Call, Response = Answer, Error = FetchError, Future: Send> + Clone {
    tower::service_fn(move |call: Call| {
        let auth = if call.headers.contains_key(AUTHORIZATION) { "+auth" } else { "" };
        asked.lock().unwrap().push(format!("{}{auth}", call.uri));
        let path = call.uri.path();
        let to = match path.strip_prefix("/hop/").map(|n| n.parse::<u32>().unwrap()) {
            Some(0) => None,
            Some(n) => Some(format!("/hop/{}", n - 1)),
            None if path == "/to" => call.uri.query().map(str::to_owned),
            None => None,
        };
        let mut headers = HeaderMap::new();
        let status = match to {
            Some(to) => {
                headers.insert(LOCATION, HeaderValue::from_str(&to).unwrap());
                StatusCode::FOUND
            }
            None => StatusCode::OK,
        };
        std::future::ready(Ok(Answer::new(status, headers, Bytes::new())))
    })
}

async fn fetch(config: &Config, call: Call) -> (Vec<String>, Result<Answer, FetchError>) {
    let asked = Asked::default();
    let service = RedirectLayer::new(config).layer(site(asked.clone()));
    let answer = service.oneshot(call).await;
    let asked = asked.lock().unwrap().clone();
    (asked, answer)
}

fn get(uri: &str) -> Call {
    Call::get(uri.parse().unwrap())
}

#[tokio::test]
async fn five_hops_are_followed_and_six_are_too_many() {
    let (asked, answer) = fetch(&Config::default(), get("http://h.test/hop/5")).await;
    assert_eq!((asked.len(), answer.unwrap().status), (6, StatusCode::OK));

    let (asked, answer) = fetch(&Config::default(), get("http://h.test/hop/6")).await;
    let error = answer.unwrap_err();
    assert_eq!((asked.len(), error.kind()), (6, FetchErrorKind::TooManyRedirects));
    assert!(error.maybe_sent());
}

#[tokio::test]
async fn another_host_is_refused_unless_named() {
    let call = || {
        get("http://h.test/to?http://other.test/x?apikey=S3CRET")
            .with_header(AUTHORIZATION, HeaderValue::from_static("Bearer S3CRET"))
    };
    let (asked, answer) = fetch(&Config::default(), call()).await;
    let error = answer.unwrap_err();
    assert_eq!((asked.len(), error.kind()), (1, FetchErrorKind::RedirectRefused));
    assert!(error.to_string().contains("other.test"), "{error}");

    let config = Config { redirect_hosts: vec!["Other.test".to_owned()], ..Config::default() };
    let (asked, answer) = fetch(&config, call()).await;
    answer.unwrap();
    assert!(asked[0].ends_with("+auth") && !asked[1].ends_with("+auth"), "{asked:?}");
}

#[tokio::test]
async fn no_secret_of_a_location_is_shown() {
    let (_, answer) =
        fetch(&Config::default(), get("http://h.test/to?http://other.test/?apikey=S3CRET")).await;
    let error = answer.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("S3CRET"), "{error:?}");
}

#[tokio::test]
async fn https_never_becomes_http() {
    let (asked, answer) = fetch(&Config::default(), get("https://h.test/to?http://h.test/")).await;
    assert_eq!((asked.len(), answer.unwrap_err().kind()), (1, FetchErrorKind::RedirectRefused));
    let (asked, answer) = fetch(&Config::default(), get("http://h.test/to?https://h.test/")).await;
    assert_eq!((asked.len(), answer.unwrap().status), (2, StatusCode::OK));
}

#[tokio::test]
async fn other_methods_and_a_limit_of_zero_get_the_redirect_itself() {
    let mut call = get("http://h.test/hop/1");
    call.method = Method::POST;
    let (asked, answer) = fetch(&Config::default(), call).await;
    assert_eq!((asked.len(), answer.unwrap().status), (1, StatusCode::FOUND));
    let config = Config { max_redirects: 0, ..Config::default() };
    let (asked, answer) = fetch(&config, get("http://h.test/hop/1")).await;
    assert_eq!((asked.len(), answer.unwrap().status), (1, StatusCode::FOUND));
}

#[test]
fn references_resolve_as_the_standard_says() {
    // The examples of RFC 3986, 5.4, as far as they apply to http; fragments are dropped.
    let base: Uri = "http://a/b/c/d;p?q".parse().unwrap();
    for (reference, target) in [
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("g#s", "http://a/b/c/g"),
        (";x", "http://a/b/c/;x"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../g", "http://a/g"),
        ("../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("https://x/y", "https://x/y"),
    ] {
        assert_eq!(resolve(&base, reference).unwrap().to_string(), target, "{reference}");
    }
    for reference in ["ftp://x/y", "mailto:me", "http://", "javascript:1"] {
        assert!(resolve(&base, reference).is_none(), "{reference}");
    }
}

#[expect(dead_code, reason = "compiles only if an error of the lead's own layer fits")]
fn an_own_error_type_fits<S>(inner: S) -> impl Service<Call, Response = Answer>
where
    S: Service<Call, Response = Answer> + Clone,
    S::Error: From<FetchError> + From<Infallible>,
{
    RedirectLayer::new(&Config::default()).layer(inner)
}
