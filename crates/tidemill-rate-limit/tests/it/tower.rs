//! The layer in its place: below a retry, so that every attempt is charged and its answer fed back.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use tidemill_rate_limit::tower::{QuotaLayer, read_http};
use tidemill_rate_limit::{Config, ErrorKind, KeyIndex, KeyPool, KeyState, Model, Outcome};
use tokio::time::Instant;
use tower::retry::{Policy, Retry};
use tower::{BoxError, Layer, ServiceExt, service_fn};

fn pool(keys: usize) -> KeyPool {
    let config = Config::per_key(1, Duration::from_secs(10), Model::SlidingLog);
    let config = Config { resolution: Duration::ZERO, drift_ppm: 0, max_waiters: 1, ..config };
    KeyPool::builder(config).keys(keys).build().unwrap()
}

type Read = fn(Result<&Response<()>, &BoxError>) -> (Outcome, tidemill_rate_limit::Hints);

fn layer(pool: &KeyPool) -> QuotaLayer<fn(&mut Request<()>, KeyIndex), Read> {
    let prepare = |request: &mut Request<()>, key: KeyIndex| {
        request.extensions_mut().insert(key);
    };
    QuotaLayer::new(pool.clone(), prepare, |result| read_http(result.ok(), SystemTime::UNIX_EPOCH))
}

/// Tries three times in all.
#[derive(Clone)]
struct Thrice(usize);

impl Policy<Request<()>, Response<()>, BoxError> for Thrice {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<()>,
        result: &mut Result<Response<()>, BoxError>,
    ) -> Option<Ready<()>> {
        let failed = result.as_ref().map_or(true, |response| !response.status().is_success());
        self.0 -= usize::from(failed);
        (failed && self.0 > 0).then(|| ready(()))
    }

    fn clone_request(&mut self, _: &Request<()>) -> Option<Request<()>> {
        Some(Request::new(()))
    }
}

#[tokio::test(start_paused = true)]
async fn below_a_retry_every_attempt_takes_its_own_permit() {
    let pool = pool(1);
    let attempts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&attempts);
    let server = service_fn(move |request: Request<()>| {
        assert_eq!(request.extensions().get::<KeyIndex>().map(|key| key.get()), Some(0));
        let answer = match seen.fetch_add(1, Ordering::Relaxed) {
            0 => Response::builder().status(429).header("retry-after", "15").body(()),
            1 => Response::builder().status(500).body(()),
            _ => Response::builder().body(()),
        };
        ready(answer.map_err(BoxError::from))
    });
    let start = Instant::now();
    let client = Retry::new(Thrice(3), layer(&pool).layer(server));
    assert_eq!(client.oneshot(Request::new(())).await.unwrap().status(), 200);
    // The first is refused for 15 s; the second takes the window of 10 s.
    assert_eq!((attempts.load(Ordering::Relaxed), start.elapsed()), (3, Duration::from_secs(25)));
    let stats = pool.stats();
    assert_eq!((stats.sent, stats.answered, stats.refused), (3, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn errors_hold_the_slot_and_what_the_pool_says_comes_through() {
    let pool = pool(1);
    let broken = service_fn(|_: Request<()>| ready(Err::<Response<()>, BoxError>("reset by peer".into())));
    let error = layer(&pool).layer(broken).oneshot(Request::new(())).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), pool.stats().unanswered), ("reset by peer", 1));
    let unauthorised =
        service_fn(|_: Request<()>| ready(Response::builder().status(401).body(()).map_err(BoxError::from)));
    assert_eq!(layer(&pool).layer(unauthorised).oneshot(Request::new(())).await.unwrap().status(), 401);
    assert_eq!(pool.stats().keys[0].state, KeyState::Quarantined);
    let error = layer(&pool).layer(unauthorised).oneshot(Request::new(())).await.unwrap_err();
    let error = error.downcast::<tidemill_rate_limit::Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::NoKeys);
}
