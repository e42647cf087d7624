//! A service behind a pool: priority from the request, errors told apart, cancelled with its caller.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tidemill_worker_pool::{Error, ErrorKind, Pool, PoolLayer, Priority};
use tokio::time::{sleep, timeout};
use tower_layer::Layer;
use tower_service::Service;

use crate::{MS, SECOND, pool, workers};

/// Writes down what it is asked, and takes its time.
#[derive(Clone, Default)]
struct Scribe(Arc<Mutex<Vec<&'static str>>>);

#[derive(Debug, thiserror::Error)]
#[error("refused {0}")]
struct Refused(&'static str);

impl Service<&'static str> for Scribe {
    type Response = usize;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<usize, Refused>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: &'static str) -> Self::Future {
        let log = Arc::clone(&self.0);
        Box::pin(async move {
            sleep(10 * MS).await;
            log.lock().unwrap().push(request);
            match request {
                "bad" => Err(Refused(request)),
                "panic" => std::panic::resume_unwind(Box::new("oh")),
                _ => Ok(request.len()),
            }
        })
    }
}

fn priority(request: &&'static str) -> Priority {
    if request.starts_with("urgent") { Priority::High } else { Priority::Low }
}

fn service(
    pool: &Pool,
) -> (impl Service<&'static str, Response = usize, Error = BoxError, Future: Send> + Clone + use<>, Scribe) {
    let scribe = Scribe::default();
    (PoolLayer::new(pool.clone(), priority).timeout(SECOND).group("scribe").layer(scribe.clone()), scribe)
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::test(start_paused = true)]
async fn urgent_requests_go_first() {
    let pool = pool(workers(1));
    let (mut service, scribe) = service(&pool);
    let mut calls = Vec::new();
    for request in ["first", "two", "three", "urgent"] {
        calls.push(tokio::spawn(service.call(request)));
        sleep(MS).await;
    }
    for (call, len) in calls.into_iter().zip([5, 3, 5, 6]) {
        assert_eq!(call.await.unwrap().unwrap(), len);
    }
    assert_eq!(*scribe.0.lock().unwrap(), ["first", "urgent", "two", "three"]);
    assert_eq!(pool.stats().groups["scribe"].priorities.high.done, 1);
}

#[tokio::test(start_paused = true)]
async fn the_services_error_and_the_pools_are_told_apart() {
    let pool = pool(workers(2));
    let (mut service, _) = service(&pool);
    let own = service.call("bad").await.unwrap_err();
    assert_eq!(own.downcast_ref::<Refused>().unwrap().0, "bad");
    let ours = service.call("panic").await.unwrap_err();
    assert_eq!(ours.downcast_ref::<Error>().unwrap().kind(), ErrorKind::Panicked);
    pool.close(SECOND).await;
    let closed = service.call("late").await.unwrap_err();
    assert_eq!(closed.downcast_ref::<Error>().unwrap().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_cancels_the_call() {
    let pool = pool(workers(1));
    let (mut service, scribe) = service(&pool);
    assert!(timeout(5 * MS, service.call("gone")).await.is_err());
    assert_eq!(service.call("next").await.unwrap(), 4);
    assert_eq!(*scribe.0.lock().unwrap(), ["next"]);
    assert_eq!(pool.stats().total().cancelled, 1);
}
