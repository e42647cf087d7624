//! A network between us and a server that can swallow everything: connections stay open, and no byte passes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};

pub(crate) struct Proxy {
    address: SocketAddr,
    /// Odd while it swallows. A connection lives for one number only: what was made before or during a partition stays dead
    /// after it, as behind a router that has lost its table.
    era: Arc<AtomicU64>,
}

impl Proxy {
    /// To the server's socket.
    pub(crate) async fn start(to: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, era) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let now = era.clone();
        drop(tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (to, now) = (to.clone(), now.clone());
                drop(tokio::spawn(async move {
                    let Ok(server) = UnixStream::connect(&to).await else { return };
                    let born = now.load(Ordering::Relaxed);
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(
                        pump(from_client, to_server, born, now.clone()),
                        pump(from_server, to_client, born, now.clone())
                    );
                }));
            }
        }));
        Self { address, era }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Begins to swallow, or stops.
    pub(crate) fn turn(&self) {
        self.era.fetch_add(1, Ordering::Relaxed);
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    born: u64,
    now: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let era = now.load(Ordering::Relaxed);
        if era == born && era.is_multiple_of(2) && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
