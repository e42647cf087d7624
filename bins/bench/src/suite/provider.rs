//! The sandbox that the suite asks, and one plain request to it, without any client library between.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tidemill_sandbox::{Config, Faults, Latency, Running, Sandbox};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// An answer is at most so long.
const MAX_ANSWER: u64 = 4 << 20;

/// A sandbox without quotas.
pub(super) async fn start(latency: Latency, faults: Faults) -> Result<Running> {
    let config =
        Config { symbols: 100, keys: Vec::new(), quota: Vec::new(), latency, faults, ..Config::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the sandbox")?;
    Ok(Sandbox::builder(config).build()?.serve(listener).await?)
}

/// Ends it.
pub(super) async fn end(running: Running) {
    running.close(Duration::from_secs(1)).await;
}

/// Daily bars of one symbol: connect, ask, read to the end.
pub(super) async fn ask(address: SocketAddr, symbol: &str) -> Result<Vec<u8>> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let request = format!(
        "GET /query?function=TIME_SERIES_DAILY&symbol={symbol}&apikey=k1 HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(32 << 10);
    socket.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.1 200") || !answer.ends_with(b"}") {
        bail!("the sandbox answered {}", String::from_utf8_lossy(&answer[..answer.len().min(60)]));
    }
    Ok(answer)
}

/// A runtime of this thread alone.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

/// The names of so many symbols.
pub(super) fn symbols(count: usize) -> impl Iterator<Item = &'static str> {
    ["AAPL", "FB", "GOOG", "IBM", "MSFT"].into_iter().cycle().take(count)
}
