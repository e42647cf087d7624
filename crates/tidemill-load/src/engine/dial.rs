//! How connections are opened: the target's addresses in turn, with TLS where the URL asks for it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;

#[cfg(any(feature = "tls", feature = "http2", feature = "websocket"))]
use crate::engine::Stream;
#[cfg(feature = "tls")]
use crate::engine::tls::Tls;
use crate::engine::{Engine, Link};
use crate::failure::Failure;

/// Where connections lead.
pub(crate) struct Dialer {
    addresses: Vec<SocketAddr>,
    next: AtomicUsize,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Dialer {
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Self {
        Self {
            addresses,
            next: AtomicUsize::new(0),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// With TLS on every connection that is [opened](Self::open).
    #[cfg(feature = "tls")]
    pub(crate) fn with(mut self, tls: Option<Tls>) -> Self {
        self.tls = tls;
        self
    }

    /// A plain connection.
    pub(crate) async fn dial(&self) -> Result<TcpStream, Failure> {
        let n = self.next.fetch_add(1, Ordering::Relaxed) % self.addresses.len().max(1);
        let address = self.addresses.get(n).ok_or(Failure::Connect)?;
        let stream = TcpStream::connect(address).await.map_err(|error| Failure::connecting(&error))?;
        stream.set_nodelay(true).map_err(|error| Failure::connecting(&error))?;
        Ok(stream)
    }

    /// A connection as the URL asks for it.
    #[cfg(any(feature = "tls", feature = "http2", feature = "websocket"))]
    pub(crate) async fn open(&self) -> Result<Box<dyn Stream>, Failure> {
        let stream = self.dial().await?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return Ok(Box::new(tls.handshake(stream).await?));
        }
        Ok(Box::new(stream))
    }
}

/// Plain connections with a protocol on each.
pub(crate) struct Plain<L> {
    pub(crate) dialer: Dialer,
    pub(crate) wrap: Box<dyn Fn(TcpStream) -> L + Send + Sync>,
}

impl<L: Link> Engine for Plain<L> {
    type Link = L;

    async fn connect(&self) -> Result<L, Failure> {
        Ok((self.wrap)(self.dialer.dial().await?))
    }
}

/// Connections as the URL asks for them, with a protocol on each.
#[cfg(feature = "tls")]
pub(crate) struct Opened<L> {
    pub(crate) dialer: Dialer,
    pub(crate) wrap: Box<dyn Fn(Box<dyn Stream>) -> L + Send + Sync>,
}

#[cfg(feature = "tls")]
impl<L: Link> Engine for Opened<L> {
    type Link = L;

    async fn connect(&self) -> Result<L, Failure> {
        Ok((self.wrap)(self.dialer.open().await?))
    }
}
