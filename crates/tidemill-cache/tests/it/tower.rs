//! HTTP answers behind the layer: fresh ones are not asked for, stale ones are asked again, and nobody gets another's.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tidemill_cache::tower::{CacheLayer, Cached};
use tidemill_cache::{Clock, Config, ManualClock};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

use crate::SECOND;

type Pairs = &'static [(&'static str, &'static str)];
type Inner = BoxCloneSyncService<Request<()>, Response<Bytes>, io::Error>;

/// A server that answers what it is told to, in turn, and remembers what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Option<Response<Bytes>>>>>,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Script {
    fn will(&self, status: u16, headers: Pairs, body: &'static str) {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        self.answers
            .lock()
            .unwrap()
            .push_back(Some(answer.body(Bytes::from_static(body.as_bytes())).unwrap()));
    }

    fn will_fail(&self) {
        self.answers.lock().unwrap().push_back(None);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn asked_last(&self, name: &str) -> Option<String> {
        let asked = self.asked.lock().unwrap();
        Some(asked.last()?.get(name)?.to_str().unwrap().to_owned())
    }
}

fn world() -> (Cached<Inner>, Script, ManualClock) {
    let (script, (clock, hand)) = (Script::default(), Clock::manual());
    let config = Config { ttl: Duration::ZERO, stale_if_error: 100 * SECOND, ..Config::default() };
    let serve = {
        let script = script.clone();
        tower::service_fn(move |request: Request<()>| {
            script.asked.lock().unwrap().push(request.headers().clone());
            let answer = script.answers.lock().unwrap().pop_front().expect("it was asked once too often");
            async move { answer.ok_or_else(|| io::Error::other("planted")) }
        })
    };
    let layer = CacheLayer::with_clock(config, clock).unwrap();
    (layer.layer(BoxCloneSyncService::new(serve)), script, hand)
}

async fn send(
    service: &mut Cached<Inner>,
    method: Method,
    headers: Pairs,
) -> Result<Response<Bytes>, io::Error> {
    let mut request = Request::builder().method(method).uri("http://localhost/AAPL");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    service.ready().await?.call(request.body(()).unwrap()).await
}

async fn get(service: &mut Cached<Inner>, headers: Pairs) -> Response<Bytes> {
    send(service, Method::GET, headers).await.unwrap()
}

#[tokio::test]
async fn what_is_fresh_is_not_asked_for() {
    let (mut service, script, hand) = world();
    script.will(200, &[("cache-control", "max-age=60"), ("age", "10")], "one");
    assert_eq!(get(&mut service, &[]).await.body(), "one");
    hand.advance(20 * SECOND);
    let again = get(&mut service, &[]).await;
    assert_eq!((again.body().as_ref(), &again.headers()["age"]), (&b"one"[..], &http::HeaderValue::from(30)));
    hand.advance(30 * SECOND);
    script.will(200, &[("cache-control", "no-store")], "two");
    assert_eq!(get(&mut service, &[]).await.body(), "two", "50 s and the 10 it came with");
    assert_eq!(script.asked(), 2);
}

#[tokio::test]
async fn what_is_stale_is_asked_again_by_its_validator() {
    let (mut service, script, hand) = world();
    script.will(200, &[("cache-control", "max-age=60"), ("etag", "\"v1\"")], "one");
    get(&mut service, &[]).await;
    hand.advance(61 * SECOND);
    script.will(304, &[("cache-control", "max-age=60")], "");
    let same = get(&mut service, &[]).await;
    assert_eq!((same.status(), same.body().as_ref()), (StatusCode::OK, &b"one"[..]));
    assert_eq!(script.asked_last("if-none-match").as_deref(), Some("\"v1\""));
    assert_eq!(get(&mut service, &[]).await.body(), "one", "fresh again");
    let has_it = get(&mut service, &[("if-none-match", "W/\"v1\"")]).await;
    assert_eq!((has_it.status(), has_it.body().len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(script.asked(), 2);
    script.will(200, &[("etag", "\"v2\"")], "two");
    assert_eq!(get(&mut service, &[("cache-control", "no-cache")]).await.body(), "two");
}

#[tokio::test]
async fn answers_that_vary_are_kept_apart() {
    let (mut service, script, _hand) = world();
    for (language, text) in [("de", "eins"), ("en", "one")] {
        script.will(200, &[("cache-control", "max-age=60"), ("vary", "Accept-Language")], text);
        let headers: Pairs =
            if language == "de" { &[("accept-language", "de")] } else { &[("accept-language", "en")] };
        assert_eq!(get(&mut service, headers).await.body(), text);
    }
    assert_eq!(get(&mut service, &[("accept-language", "de")]).await.body(), "eins");
    assert_eq!(get(&mut service, &[("accept-language", "en")]).await.body(), "one");
    assert_eq!(script.asked(), 2);
    script.will(200, &[], "none");
    assert_eq!(get(&mut service, &[]).await.body(), "none");
}

#[tokio::test]
async fn a_change_forgets_what_is_kept_of_its_address() {
    let (mut service, script, _hand) = world();
    let keep: Pairs = &[("cache-control", "max-age=60"), ("vary", "accept")];
    script.will(200, keep, "one");
    get(&mut service, &[]).await;
    script.will(500, &[], "");
    send(&mut service, Method::PUT, &[]).await.unwrap();
    assert_eq!(get(&mut service, &[]).await.body(), "one", "a change that failed");
    script.will(204, &[], "");
    send(&mut service, Method::DELETE, &[]).await.unwrap();
    script.will(404, &[], "gone");
    assert_eq!(get(&mut service, &[]).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_a_failure() {
    let (mut service, script, hand) = world();
    script.will(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "one");
    get(&mut service, &[]).await;
    hand.advance(100 * SECOND);
    script.will(503, &[], "");
    assert_eq!(get(&mut service, &[]).await.body(), "one");
    script.will_fail();
    assert_eq!(get(&mut service, &[]).await.body(), "one");
    hand.advance(61 * SECOND);
    script.will_fail();
    assert_eq!(send(&mut service, Method::GET, &[]).await.unwrap_err().to_string(), "planted");
}

#[tokio::test]
async fn secrets_and_parts_are_not_kept() {
    let (mut service, script, _hand) = world();
    for headers in
        [&[("authorization", "Bearer x")], &[("range", "bytes=0-1")], &[("cache-control", "no-store")]]
    {
        for _ in 0..2 {
            script.will(200, &[("cache-control", "max-age=60")], "x");
            get(&mut service, headers).await;
        }
    }
    assert_eq!(script.asked(), 6);
}
