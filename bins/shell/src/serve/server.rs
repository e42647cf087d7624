//! Accepts connections within the bound and ends them gracefully.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

use super::connection::Guarded;
use super::gzip;
use super::limits::Limits;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody listens there already.
    #[error(
        "port {port} on {host} is in use; stop the process that listens there or give another one with --listen {host}:0 (0 takes a free port)"
    )]
    InUse {
        /// The address that was asked for.
        host: std::net::IpAddr,
        /// The port that was asked for.
        port: u16,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; give another address with --listen")]
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Routes that change state would be open to the network.
    #[error(
        "{addr} is not loopback and these routes change state; set a bearer token or listen on 127.0.0.1"
    )]
    Unprotected {
        /// The address that was asked for.
        addr: SocketAddr,
    },
    /// A bound that makes no sense.
    #[error("{field} {problem}")]
    Limit {
        /// The field of [`Limits`].
        field: &'static str,
        /// What to write instead.
        problem: &'static str,
    },
}

/// A running server. Dropping it stops accepting and lets open requests finish.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stop: watch::Sender<Stop>,
    accepting: JoinHandle<()>,
    shared: Arc<Shared>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections served since the start.
    pub connections: u64,
    /// Connections that were cut because the deadline passed.
    pub cut: u64,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    room: Arc<Semaphore>,
    connections: AtomicU64,
    open: AtomicUsize,
}

/// A connection that is open: counted, and in its room, until it is dropped.
struct Open {
    shared: Arc<Shared>,
    _room: OwnedSemaphorePermit,
}

impl Open {
    fn new(shared: &Arc<Shared>, room: OwnedSemaphorePermit) -> Self {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self { shared: shared.clone(), _room: room }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    Gracefully,
    Now,
}

/// Serves `router` on `addr` until `shutdown` ends or [`Server::close`] is called. Port 0 takes a free one.
///
/// # Errors
/// A port in use names the port and the flag.
pub async fn serve(
    addr: SocketAddr,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Server, ServeError> {
    check(&limits)?;
    let listener = TcpListener::bind(addr).await.map_err(|source| bind_error(addr, source))?;
    let addr = listener.local_addr().map_err(|source| ServeError::Bind { addr, source })?;
    let (stop, stopped) = watch::channel(Stop::No);
    let room = Arc::new(Semaphore::new(limits.max_connections));
    let shared = Arc::new(Shared { limits, room, connections: AtomicU64::new(0), open: AtomicUsize::new(0) });
    let accepting = tokio::spawn(accept(listener, router, shared.clone(), stopped, shutdown, stop.clone()));
    Ok(Server { addr, stop, accepting, shared })
}

impl Server {
    /// Where it listens, with the port that was taken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Accepts nothing more, lets open requests finish until the deadline, then cuts them.
    pub async fn close(mut self, deadline: Duration) -> Report {
        drain(&self.stop);
        let all = u32::try_from(self.shared.limits.max_connections).unwrap_or(u32::MAX);
        let idle = async {
            (&mut self.accepting).await.ok();
            self.shared.room.acquire_many(all).await.map(drop).ok();
        };
        let mut cut = 0;
        if tokio::time::timeout(deadline, idle).await.is_err() {
            cut = self.open() as u64;
            self.stop.send_replace(Stop::Now);
            self.shared.room.acquire_many(all).await.map(drop).ok();
        }
        Report { connections: self.shared.connections.load(Ordering::Relaxed), cut }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drain(&self.stop);
    }
}

fn check(limits: &Limits) -> Result<(), ServeError> {
    let wrong = |field, problem| Err(ServeError::Limit { field, problem });
    if limits.max_connections == 0 || limits.max_connections > 1_000_000 {
        return wrong("max_connections", "must be from 1 to 1000000");
    }
    if limits.head_max < 8192 {
        return wrong("head_max", "must be at least 8192 bytes");
    }
    if limits.timeout.is_zero() {
        return wrong("timeout", "must be longer than zero");
    }
    Ok(())
}

fn bind_error(addr: SocketAddr, source: io::Error) -> ServeError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse { host: addr.ip(), port: addr.port() },
        _ => ServeError::Bind { addr, source },
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<Stop>,
    shutdown: impl Future<Output = ()>,
    stop: watch::Sender<Stop>,
) {
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            // The room is taken before the connection: what finds none waits in the kernel's queue.
            let Ok(room) = shared.room.clone().acquire_owned().await else { return None };
            let stream = loop {
                match listener.accept().await {
                    Ok((stream, _)) => break stream,
                    // Out of descriptors, or a client that left again: neither ends the server.
                    Err(error) => {
                        tracing::debug!(%error, "accept failed");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            };
            Some((stream, room))
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = reached(&mut stopped, Stop::Gracefully) => break,
            accepted = accepted => {
                let Some((stream, room)) = accepted else { break };
                let open = Open::new(&shared, room);
                let (router, limits, stopped) = (router.clone(), shared.limits.clone(), stop.subscribe());
                tokio::spawn(async move {
                    connection(stream, router, limits, stopped).await;
                    drop(open);
                });
            }
        }
    }
    drain(&stop);
}

/// Asks for a graceful end, unless one is asked for already.
fn drain(stop: &watch::Sender<Stop>) {
    stop.send_if_modified(|stop| {
        let runs = *stop == Stop::No;
        *stop = (*stop).max(Stop::Gracefully);
        runs
    });
}

/// Ends when the server has come to this stage; never when nobody is left who could ask for it.
async fn reached(stopped: &mut watch::Receiver<Stop>, stage: Stop) {
    if stopped.wait_for(|stop| *stop >= stage).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn connection(stream: TcpStream, router: Router, limits: Limits, mut stopped: watch::Receiver<Stop>) {
    stream.set_nodelay(true).ok();
    let timeout = limits.timeout;
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .keep_alive(limits.keep_alive)
        .max_buf_size(limits.head_max)
        .max_headers(limits.max_headers)
        .half_close(false);
    let limits = Arc::new(limits);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (router, limits) = (router.clone(), limits.clone());
        async move { Ok::<_, Infallible>(gzip::answer(router, request.map(Body::new), &limits).await) }
    });
    let mut serving = std::pin::pin!(
        builder.serve_connection(TokioIo::new(Guarded::new(stream, timeout)), service).with_upgrades()
    );
    let mut next = Stop::Gracefully;
    loop {
        tokio::select! {
            biased;
            done = serving.as_mut() => {
                if let Err(error) = done {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = reached(&mut stopped, next) => match next {
                Stop::No | Stop::Gracefully => {
                    next = Stop::Now;
                    serving.as_mut().graceful_shutdown();
                }
                Stop::Now => return,
            },
        }
    }
}
