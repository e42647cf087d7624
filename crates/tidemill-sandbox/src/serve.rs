//! The sandbox as a server: sockets, time, and the way of a request through them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::answer::{Answer, Ask, Coding};
use crate::body::{Body, Cut};
use crate::books::{Books, Counted};
use crate::error::{Cause, Error};
use crate::faults::FaultKind;
use crate::latency::Spell;
use crate::query::Query;
use crate::sandbox::Sandbox;
use crate::stats::{Stats, SymbolStats};
use crate::wire::{Reset, Wire};

/// How long a connection may stand idle or take to send the head of a request; as long as nginx waits.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// A pause after the system refused to accept, as when it has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A sandbox that serves. Dropping it closes it at once.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    desk: Arc<Desk>,
    stop: watch::Sender<Option<Duration>>,
    task: JoinHandle<usize>,
}

/// How a sandbox ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What it counted in all.
    pub stats: Stats,
    /// Connections that were cut because their answers did not end before the deadline.
    pub cut: usize,
}

impl Running {
    pub(crate) fn start(sandbox: Sandbox, listener: TcpListener) -> Result<Self, Error> {
        let addr = listener.local_addr().map_err(Cause::Io)?;
        let books = Books::new(&sandbox.config, sandbox.symbols.places());
        let desk = Arc::new(Desk {
            sandbox,
            books: Mutex::new(books),
            arrivals: AtomicU64::new(0),
            origin: Instant::now(),
        });
        let (stop, stopped) = watch::channel(None);
        let task = tokio::spawn(accept(listener, Arc::clone(&desk), stopped));
        Ok(Self { addr, desk, stop, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as the base of a URL: `http://127.0.0.1:4711`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it has counted so far.
    pub fn stats(&self) -> Stats {
        self.desk.books().stats()
    }

    /// How often each symbol was asked for and served; those never asked for are left out.
    pub fn symbol_stats(&self) -> BTreeMap<String, SymbolStats> {
        self.desk.symbol_stats()
    }

    /// Stops accepting, lets answers that are under way end within `deadline`, and cuts the rest.
    pub async fn close(self, deadline: Duration) -> Report {
        let _ = self.stop.send(Some(deadline)); // without a receiver the task has ended already
        let cut = self.task.await.unwrap_or_default();
        let stats = self.desk.books().stats();
        Report { stats, cut }
    }
}

/// Accepts until told to stop; returns how many connections had to be cut.
async fn accept(
    listener: TcpListener,
    desk: Arc<Desk>,
    mut stopped: watch::Receiver<Option<Duration>>,
) -> usize {
    let mut connections = JoinSet::new();
    let most = desk.sandbox.config.max_connections;
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&desk), stopped.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    let deadline = stopped.borrow().unwrap_or_default();
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(deadline, drained).await;
    let cut = connections.len();
    connections.shutdown().await;
    cut
}

async fn connection(stream: TcpStream, desk: Arc<Desk>, mut stopped: watch::Receiver<Option<Duration>>) {
    let _open = Open::new(Arc::clone(&desk));
    let reset = Reset::default();
    let wire = TokioIo::new(Wire::new(stream, reset.clone()));
    let service = service_fn(move |request| Arc::clone(&desk).respond(request, reset.clone()));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(64 * 1024);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(100);
    let mut connection = pin!(builder.serve_connection(wire, service));
    // An error here is the client's, or a fault we were told to commit; the books have both.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Counts a connection as open while it lives.
struct Open(Arc<Desk>);

impl Open {
    fn new(desk: Arc<Desk>) -> Self {
        desk.books().connected();
        Self(desk)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.books().disconnected();
    }
}

/// Where requests are answered.
#[derive(Debug)]
struct Desk {
    sandbox: Sandbox,
    books: Mutex<Books>,
    arrivals: AtomicU64,
    origin: Instant,
}

impl Desk {
    async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        reset: Reset,
    ) -> Result<Response<Body>, Cut> {
        let coding = Coding::accepted(request.headers()).filter(|_| self.sandbox.config.compression);
        let query = Query(request.uri().query().unwrap_or(""));
        let plain = |answer: Answer| Ok(answer.into_response(coding, None, Duration::ZERO));
        if request.method() != Method::GET {
            return plain(Answer::text(StatusCode::METHOD_NOT_ALLOWED, "the sandbox answers GET only\n"));
        }
        match request.uri().path() {
            path @ ("/query" | "/time_series") => {
                let key = query.get("apikey").map(String::from).or_else(|| header_key(&request));
                let ask = Ask::parse(path, &query, &self.sandbox.symbols);
                self.data(key, ask, coding, reset).await
            }
            "/stats" => plain(Answer::json(self.stats_json(query.get("symbols").as_deref() == Some("1")))),
            "/symbols" => plain(Answer::text(StatusCode::OK, &self.listing())),
            "/" => {
                plain(Answer::text(StatusCode::OK, "tidemill-sandbox: /query /time_series /symbols /stats\n"))
            }
            _ => plain(Answer::text(
                StatusCode::NOT_FOUND,
                "no such path: /query /time_series /symbols /stats\n",
            )),
        }
    }

    /// Waits, counts, waits, answers.
    async fn data(
        &self,
        key: Option<String>,
        ask: Result<Ask, Answer>,
        coding: Option<Coding>,
        reset: Reset,
    ) -> Result<Response<Body>, Cut> {
        let config = &self.sandbox.config;
        let number = self.arrivals.fetch_add(1, Ordering::Relaxed) + 1;
        let delay = config.latency.draw(config.seed, number);
        let delay = delay.times(Spell::factor(&config.spells, self.origin.elapsed()));
        pause(delay.uplink).await;
        let ask = match ask {
            Ok(ask) => ask,
            Err(answer) => {
                self.books().bad_request();
                pause(delay.downlink).await;
                return Ok(answer.into_response(coding, None, Duration::ZERO));
            }
        };
        let positions = ask.positions();
        let (counted, fault) = {
            let mut books = self.books();
            // Read under the lock: the books see time go forward only.
            let counted = books.count(self.origin.elapsed(), key.as_deref(), &positions);
            let fault = match counted {
                Counted::Admitted => config.faults.draw(config.seed, number),
                Counted::Refused { .. } | Counted::InvalidKey => None,
            };
            if let Some(kind) = fault {
                books.fault(kind);
            }
            (counted, fault)
        };
        pause(delay.downlink).await;
        match fault {
            Some(FaultKind::Reset) => {
                reset.order();
                return Err(Cut);
            }
            Some(FaultKind::Slow) => pause(config.faults.slow).await,
            _ => {}
        }
        if counted == Counted::Admitted && matches!(fault, None | Some(FaultKind::Slow)) {
            self.books().served(&positions);
        }
        let answer = ask.answer(counted, fault, config, &self.sandbox.symbols);
        Ok(answer.into_response(coding, fault, config.faults.stall))
    }

    fn stats_json(&self, with_symbols: bool) -> Vec<u8> {
        #[derive(Serialize)]
        struct Shown {
            #[serde(flatten)]
            stats: Stats,
            #[serde(skip_serializing_if = "Option::is_none")]
            symbols: Option<BTreeMap<String, SymbolStats>>,
        }
        let stats = self.books().stats();
        let symbols = with_symbols.then(|| self.symbol_stats());
        serde_json::to_vec_pretty(&Shown { stats, symbols }).unwrap_or_default()
    }

    fn symbol_stats(&self) -> BTreeMap<String, SymbolStats> {
        let asked = self.books().symbols();
        asked.into_iter().map(|(position, stats)| (self.sandbox.symbols.name(position), stats)).collect()
    }

    /// One symbol a line.
    fn listing(&self) -> String {
        self.sandbox.symbols().flat_map(|name| [name, "\n".to_owned()]).collect()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // The books are whole between any two of their methods, so a panic elsewhere does not spoil them.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of an `Authorization: apikey K` header, as Twelve Data takes it too.
fn header_key(request: &Request<Incoming>) -> Option<String> {
    let value = request.headers().get(http::header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("apikey ").map(|key| key.trim().to_owned())
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}
