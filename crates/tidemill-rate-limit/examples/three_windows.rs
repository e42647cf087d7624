//! A hyper client that is never refused: two keys, three windows on each, and a retry that stands above the quota.
//!
//! The server is as strict as one can be: it logs every arrival, and a refused one counts too.

#![expect(clippy::print_stdout, reason = "an example says what it did")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidemill_rate_limit::tower::{BoxError, QuotaLayer, read_http};
use tidemill_rate_limit::{Config, Hints, KeyIndex, KeyPool, Limit, Model, Outcome};
use tokio::net::TcpListener;
use tower::retry::{Policy, RetryLayer};
use tower::{ServiceBuilder, ServiceExt};

const KEYS: [&str; 2] = ["alpha", "beta"];
/// What each key may do: 5 in a quarter of a second, 12 in a second, 40 in a day.
const WINDOWS: [(u32, Duration); 3] =
    [(5, Duration::from_millis(250)), (12, Duration::from_secs(1)), (40, Duration::from_secs(86_400))];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let server = Server::start().await?;

    // All three windows hold at once, on each key.
    let limits =
        WINDOWS.map(|(requests, per)| Limit { model: Model::SlidingLog, ..Limit::new(requests, per) });
    let config = Config { limits: limits.to_vec(), deadline: Duration::from_secs(5), ..Config::default() };
    let pool = KeyPool::builder(config).key_names(KEYS).build()?;
    let quota = QuotaLayer::new(
        pool.clone(),
        |request: &mut Request<Empty<Bytes>>, key: KeyIndex| {
            request.headers_mut().insert("x-api-key", HeaderValue::from_static(KEYS[key.get()]));
        },
        |result: Result<&Response<Incoming>, &hyper_util::client::legacy::Error>| match result {
            // Nothing was sent: the permit is given back.
            Err(error) if error.is_connect() => (Outcome::Unsent, Hints::default()),
            other => read_http(other.ok(), SystemTime::now()),
        },
    );
    // From the outside in: retry, quota, client. So every attempt takes a permit of its own.
    let client = ServiceBuilder::new()
        .layer(RetryLayer::new(Attempts(3)))
        .layer(quota)
        .service(Client::builder(TokioExecutor::new()).build_http());

    let begun = Instant::now();
    let calls = (0..60).map(|_| {
        let request = Request::get(&server.url).body(Empty::new());
        let client = client.clone();
        tokio::spawn(async move { client.oneshot(request?).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let status = call.await??.status();
        if status != StatusCode::OK {
            return Err(format!("the server said {status}").into());
        }
    }

    let (stats, (counted, refused)) = (pool.stats(), server.counted());
    println!("60 calls in {:.1} s over {} keys", begun.elapsed().as_secs_f64(), stats.keys.len());
    println!("{} attempts, as many as the server counted: {counted}, of which {refused} refused", stats.sent);
    if (refused, counted) != (0, stats.sent) {
        return Err("the limiter promises that nothing is refused".into());
    }
    Ok(())
}

/// Tries so often in all, where the server fails. A refusal needs no pause here: the pool holds its key back.
#[derive(Clone)]
struct Attempts(u32);

impl Policy<Request<Empty<Bytes>>, Response<Incoming>, BoxError> for Attempts {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Empty<Bytes>>,
        result: &mut Result<Response<Incoming>, BoxError>,
    ) -> Option<Ready<()>> {
        let again = |status: StatusCode| status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        self.0 -= 1;
        (self.0 > 0 && result.as_ref().is_ok_and(|response| again(response.status()))).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Empty<Bytes>>) -> Option<Request<Empty<Bytes>>> {
        Some(request.clone())
    }
}

/// Counts for itself, fails each tenth time, and is 20 ms away.
struct Server {
    url: String,
    log: Log,
}

/// When each key arrived; and how often anything was refused.
type Log = Arc<Mutex<(HashMap<String, Vec<Instant>>, u64)>>;

impl Server {
    async fn start() -> Result<Self, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let log = Log::default();
        let seen = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let status = admit(&seen, &request);
                    async move {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        let mut response = Response::new(Empty::<Bytes>::new());
                        *response.status_mut() = status;
                        Ok::<_, Infallible>(response)
                    }
                });
                let serving = hyper::server::conn::http1::Builder::new();
                tokio::spawn(serving.serve_connection(TokioIo::new(socket), answer));
            }
        });
        Ok(Self { url, log })
    }

    /// Arrivals, and refusals among them.
    fn counted(&self) -> (u64, u64) {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        (log.0.values().map(|arrivals| arrivals.len() as u64).sum(), log.1)
    }
}

fn admit(log: &Log, request: &Request<Incoming>) -> StatusCode {
    let key = request.headers().get("x-api-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    let arrivals = log.0.entry(key.to_owned()).or_default();
    let full = WINDOWS.iter().any(|(requests, per)| {
        arrivals.iter().filter(|at| at.elapsed() < *per).count() >= *requests as usize
    });
    arrivals.push(Instant::now());
    let tenth = arrivals.len().is_multiple_of(10);
    log.1 += u64::from(full);
    match (full, tenth) {
        (true, _) => StatusCode::TOO_MANY_REQUESTS,
        (false, true) => StatusCode::INTERNAL_SERVER_ERROR,
        (false, false) => StatusCode::OK,
    }
}
