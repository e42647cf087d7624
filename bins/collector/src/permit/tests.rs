//! Every attempt pays, with the key it is sent with; waiting ends when the run does.

use std::sync::Mutex;

use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use tidemill_rate_limit::{Config, Model};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use super::*;
use crate::http::RedirectLayer;
use crate::keys;

/// Counts what was sent with which key; every final answer counts.
#[derive(Debug, Default)]
struct Book(Mutex<Vec<usize>>);

impl Judge for Book {
    fn sending(&self, key: KeyIndex) {
        self.0.lock().unwrap().push(key.get());
    }

    fn judge(&self, _: &Call, _: KeyIndex, _: &mut Answer) -> (Outcome, Hints) {
        (Outcome::OK, Hints::default())
    }
}

fn terms(requests: u32, keys: &[&str], max_wait: Duration, shutdown: Shutdown) -> Arc<Terms<Book>> {
    let limits = Config::per_key(requests, Duration::from_secs(60), Model::SlidingLog);
    let provider = crate::config::Provider {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..crate::config::Provider::default()
    };
    let wallet = Wallet::new(keys::load(&provider, std::path::Path::new("."), &|_| None).unwrap());
    let pool = KeyPool::builder(limits).keys(keys.len()).build().unwrap();
    let (keys, judge, cost) = (Arc::new(wallet), Arc::default(), Cost::ONE);
    let pace = Arc::new(crate::pace::Pace::new(None));
    Arc::new(Terms { pool, cost, pace, tenancy: None, keys, max_wait, shutdown, judge })
}

fn call(uri: &str) -> Call {
    Call::get(uri.parse().unwrap())
}

/// Answers `/old` with a redirect that repeats the whole query, as servers do, and writes down what it was sent.
fn server(
    seen: &Arc<Mutex<Vec<String>>>,
) -> impl Service<Call, Response = Answer, Error = FetchError, Future: Send> + Clone + Send + 'static {
    let seen = Arc::clone(seen);
    service_fn(move |call: Call| {
        let seen = Arc::clone(&seen);
        async move {
            let sent = call.uri.path_and_query().unwrap().as_str().to_owned();
            seen.lock().unwrap().push(sent.clone());
            let mut headers = HeaderMap::new();
            if let Some(rest) = sent.strip_prefix("/old") {
                headers.insert(LOCATION, HeaderValue::from_str(&format!("/new{rest}")).unwrap());
                return Ok(Answer::new(StatusCode::FOUND, headers, bytes::Bytes::new()));
            }
            Ok(Answer::new(StatusCode::OK, headers, bytes::Bytes::new()))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_redirect_pays_again_and_carries_the_key_that_pays() {
    let terms = terms(1, &["one&1", "two"], Duration::from_secs(1), Shutdown::manual().0);
    let seen = Arc::default();
    let layers = ServiceBuilder::new()
        .layer(RedirectLayer::new(&crate::http::Config::default()))
        .layer(PermitLayer(Arc::clone(&terms)))
        .service(server(&seen));
    let answer = layers.oneshot(call(&format!("http://x/old?symbol=two&apikey={KEY_HERE}"))).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(*terms.judge.0.lock().unwrap(), [0, 1], "one permit a hop, each of another key");
    let seen = seen.lock().unwrap();
    assert_eq!(
        *seen,
        ["/old?symbol=two&apikey=one%261", "/new?symbol=two&apikey=two"],
        "and a symbol is no key"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_in_a_header_is_put_in_and_marked() {
    let terms = terms(1, &["hush"], Duration::from_secs(1), Shutdown::manual().0);
    let header = HeaderValue::from_str(&format!("Bearer {KEY_HERE}")).unwrap();
    let paid = terms.keys.put(
        terms.pool.acquire(Cost::ONE, Priority::Normal).await.unwrap().key(),
        call("http://x/").with_header(http::header::AUTHORIZATION, header),
    );
    let put = &paid.headers[http::header::AUTHORIZATION];
    assert_eq!(put.to_str().unwrap(), "Bearer hush");
    assert!(put.is_sensitive() && !format!("{paid:?} {:?}", terms.keys).contains("hush"));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_permit_ends_with_the_run_and_with_patience() {
    let (shutdown, trigger) = Shutdown::manual();
    let terms = terms(1, &["k"], Duration::from_secs(3600), shutdown);
    let seen = Arc::default();
    let ask = || PermitLayer(Arc::clone(&terms)).layer(server(&seen)).oneshot(call("http://x/"));
    ask().await.unwrap();
    let waiting = tokio::spawn(ask());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!waiting.is_finished());
    trigger.stop();
    assert!(matches!(waiting.await.unwrap(), Err(PaidError::Stopping)));
    assert_eq!(seen.lock().unwrap().len(), 1);

    let impatient = self::terms(1, &["k"], Duration::from_secs(10), Shutdown::manual().0);
    let ask = || PermitLayer(Arc::clone(&impatient)).layer(server(&seen)).oneshot(call("http://x/"));
    ask().await.unwrap();
    let Err(error @ PaidError::Drained(_)) = ask().await else { panic!("the next permit is a minute away") };
    assert!(error.to_string().contains("the next request is allowed in"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_left_costs_nothing() {
    let terms = terms(1, &["k"], Duration::from_secs(1), Shutdown::manual().0);
    let refused = service_fn(|_: Call| async {
        Err::<Answer, _>(FetchError::new(crate::http::FetchErrorKind::Connect, false, "http://x/"))
    });
    for _ in 0..3 {
        let error =
            PermitLayer(Arc::clone(&terms)).layer(refused).oneshot(call("http://x/")).await.unwrap_err();
        assert!(matches!(error, PaidError::Fetch(_)), "{error}");
    }
}
