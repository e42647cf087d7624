//! A way to a server that can be cut: nothing comes through any more, and nobody is told.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    port: u16,
    target: Arc<AtomicU16>,
    cut: watch::Sender<bool>,
    task: tokio::task::AbortHandle,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (target, (cut, state)) = (Arc::new(AtomicU16::new(0)), watch::channel(false));
        let to = Arc::clone(&target);
        let task = tokio::spawn(async move {
            let mut ways = tokio::task::JoinSet::new();
            loop {
                let Ok((here, _)) = listener.accept().await else { continue };
                let Ok(there) = TcpStream::connect((Ipv4Addr::LOCALHOST, to.load(Ordering::Relaxed))).await
                else {
                    continue;
                };
                here.set_nodelay(true).and(there.set_nodelay(true)).unwrap();
                let state = state.clone();
                ways.spawn(async move {
                    let ((from_here, to_here), (from_there, to_there)) =
                        (here.into_split(), there.into_split());
                    // One end is the end of both.
                    tokio::select! {
                        () = carry(from_here, to_there, state.clone()) => {}
                        () = carry(from_there, to_here, state) => {}
                    }
                });
                while ways.try_join_next().is_some() {}
            }
        });
        Self { port, target, cut, task: task.abort_handle() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut cut: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(len @ 1..) = from.read(&mut bytes).await {
        if cut.wait_for(|cut| !cut).await.is_err() || to.write_all(&bytes[..len]).await.is_err() {
            return;
        }
    }
}
