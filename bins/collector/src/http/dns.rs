//! Remembers the addresses of names: a bounded map, one question at a time per name, answers kept for a fixed time.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::time::Instant;
use tower_service::Service;

type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks for the addresses of a host name. The system's resolver is the default; tests bring their own.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`, in the order in which they are to be tried; ports are ignored.
    fn resolve(&self, host: &str) -> Answering<io::Result<Vec<SocketAddr>>>;
}

/// The resolver of the operating system, asked on tokio's blocking threads.
pub(super) struct System;

impl Resolve for System {
    fn resolve(&self, host: &str) -> Answering<io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    }
}

/// The name did not resolve, or resolved to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{host} does not resolve")]
pub(super) struct DnsFailure {
    host: String,
    source: Option<io::Error>,
}

/// A resolver with memory. Clones share it.
#[derive(Clone)]
pub(super) struct CachedDns {
    resolver: Arc<dyn Resolve>,
    names: Arc<Mutex<HashMap<Name, Slot>>>,
    ttl: Duration,
    max_names: usize,
}

/// One name: whoever holds the lock asks, the others wait for what it learns.
type Slot = Arc<tokio::sync::Mutex<Option<Known>>>;

struct Known {
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl CachedDns {
    pub(super) fn new(resolver: Arc<dyn Resolve>, ttl: Duration, max_names: usize) -> Self {
        Self { resolver, names: Arc::default(), ttl, max_names }
    }

    async fn lookup(self, name: Name) -> Result<Vec<SocketAddr>, DnsFailure> {
        let slot = self.slot(&name);
        let mut known = slot.lock().await;
        if let Some(known) = known.as_ref().filter(|known| Instant::now() < known.until) {
            return Ok(known.addresses.clone());
        }
        *known = None;
        let failure = |source| DnsFailure { host: name.as_str().to_owned(), source };
        let addresses = self.resolver.resolve(name.as_str()).await.map_err(|error| failure(Some(error)))?;
        if addresses.is_empty() {
            return Err(failure(None));
        }
        *known = Some(Known { addresses: addresses.clone(), until: Instant::now() + self.ttl });
        Ok(addresses)
    }

    /// The place of a name. A full map drops what has expired, then any other that nobody is asking for.
    fn slot(&self, name: &Name) -> Slot {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = names.get(name) {
            return slot.clone();
        }
        if names.len() >= self.max_names {
            let now = Instant::now();
            names.retain(|_, slot| match slot.try_lock() {
                Ok(known) => known.as_ref().is_some_and(|known| now < known.until),
                Err(_) => true,
            });
        }
        if names.len() >= self.max_names {
            let idle = names.iter().find(|(_, slot)| slot.try_lock().is_ok()).map(|(name, _)| name.clone());
            if let Some(idle) = idle {
                names.remove(&idle);
            }
        }
        let slot = Slot::default();
        if names.len() < self.max_names {
            names.insert(name.clone(), slot.clone());
        }
        slot
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Service<Name> for CachedDns {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = DnsFailure;
    type Future = Answering<Result<Self::Response, DnsFailure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DnsFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.lookup(name).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counting {
        asked: AtomicUsize,
    }

    impl Resolve for Counting {
        fn resolve(&self, host: &str) -> Answering<io::Result<Vec<SocketAddr>>> {
            let nth = self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = match host {
                "nowhere.test" => Err(io::Error::other("no such name")),
                "empty.test" => Ok(Vec::new()),
                _ => Ok(vec![SocketAddr::from(([127, 0, 0, 1], u16::try_from(nth).unwrap()))]),
            };
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                answer
            })
        }
    }

    fn cache(max_names: usize) -> (Arc<Counting>, CachedDns) {
        let resolver = Arc::new(Counting::default());
        (resolver.clone(), CachedDns::new(resolver, Duration::from_secs(300), max_names))
    }

    async fn ask(dns: &CachedDns, host: &str) -> Result<Vec<SocketAddr>, DnsFailure> {
        dns.clone().lookup(host.parse().unwrap()).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_its_time_and_no_longer() {
        let (resolver, dns) = cache(8);
        ask(&dns, "a.test").await.unwrap();
        tokio::time::advance(Duration::from_secs(299)).await;
        ask(&dns, "a.test").await.unwrap();
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        ask(&dns, "a.test").await.unwrap();
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn many_askers_make_one_question() {
        let (resolver, dns) = cache(8);
        let asking: Vec<_> = (0..20)
            .map(|_| {
                let dns = dns.clone();
                tokio::spawn(async move { ask(&dns, "a.test").await.unwrap() })
            })
            .collect();
        for asked in asking {
            assert_eq!(asked.await.unwrap()[0].port(), 0);
        }
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_and_empty_answers_are_not_kept() {
        let (resolver, dns) = cache(8);
        for _ in 0..2 {
            assert!(ask(&dns, "nowhere.test").await.is_err());
            assert!(ask(&dns, "empty.test").await.is_err());
        }
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_map_is_bounded() {
        let (_, dns) = cache(3);
        for n in 0..50 {
            ask(&dns, &format!("h{n}.test")).await.unwrap();
            assert!(dns.len() <= 3);
        }
    }
}
