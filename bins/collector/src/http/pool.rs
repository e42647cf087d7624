//! Pooled connections: so many requests in flight to all hosts, so many to one, idle connections kept for a while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::Config;
use super::connect::Connector;

/// Hosts with a semaphore of their own, at most; beyond it those that are idle are forgotten.
const MAX_HOSTS: usize = 1024;

/// The client under all attempts. It sends again only what was never written to a connection.
pub(super) struct Pool {
    client: Client<Connector, Full<Bytes>>,
    all: Arc<Semaphore>,
    hosts: Mutex<HashMap<Box<str>, Arc<Semaphore>>>,
    per_host: usize,
    waited: AtomicU64,
}

/// The right to have one request in flight; given back on drop.
pub(super) struct Room {
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(config: &Config, connector: Connector) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(config.keep_alive)
            .pool_max_idle_per_host(config.max_connections_per_host)
            .http2_only(config.http2_only)
            .retry_canceled_requests(true)
            .build(connector);
        Self {
            client,
            all: Arc::new(Semaphore::new(config.max_connections)),
            hosts: Mutex::default(),
            per_host: config.max_connections_per_host,
            waited: AtomicU64::new(0),
        }
    }

    pub(super) fn client(&self) -> &Client<Connector, Full<Bytes>> {
        &self.client
    }

    /// Requests that found no room at once.
    pub(super) fn waited(&self) -> u64 {
        self.waited.load(Ordering::Relaxed)
    }

    /// Waits for room, in the order of asking; first at the host, so that a busy host does not hold what others could use.
    pub(super) async fn room(&self, uri: &Uri) -> Room {
        let host = self.host(uri);
        if let Ok(of_host) = host.clone().try_acquire_owned()
            && let Ok(of_all) = self.all.clone().try_acquire_owned()
        {
            return Room { _host: of_host, _all: of_all };
        }
        self.waited.fetch_add(1, Ordering::Relaxed);
        let of_host = acquire(host).await;
        let of_all = acquire(self.all.clone()).await;
        Room { _host: of_host, _all: of_all }
    }

    fn host(&self, uri: &Uri) -> Arc<Semaphore> {
        let name = uri.authority().map_or("", http::uri::Authority::as_str);
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = hosts.get(name) {
            return found.clone();
        }
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        let semaphore = Arc::new(Semaphore::new(self.per_host));
        if hosts.len() < MAX_HOSTS {
            hosts.insert(name.into(), semaphore.clone());
        }
        semaphore
    }
}

async fn acquire(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore.acquire_owned().await.expect("a semaphore of the pool is never closed")
}
