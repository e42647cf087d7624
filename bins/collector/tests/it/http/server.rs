//! Servers for the tests: one that writes bytes as they are given, and hyper for h2.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidemill_collector::http::{Answer, Attempt, Call, Config, FetchError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

/// What the server does after it has read a request.
#[derive(Clone)]
pub(super) enum Do {
    /// Writes these bytes and goes on with the connection.
    Write(Vec<u8>),
    /// Writes these bytes and closes.
    WriteClose(Vec<u8>),
    /// Writes these bytes and is silent ever after.
    WriteStall(Vec<u8>),
    /// Writes these bytes and resets the connection.
    WriteReset(Vec<u8>),
}

/// A server of raw bytes; ends with the test's runtime.
pub(super) struct Raw {
    pub(super) addr: SocketAddr,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) requests: Arc<std::sync::Mutex<Vec<String>>>,
    /// Connections that the client ended by a reset.
    pub(super) resets: Arc<AtomicUsize>,
}

impl Raw {
    /// Serves each path by its deed; others get 404.
    pub(super) async fn start(deeds: impl IntoIterator<Item = (&'static str, Do)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let deeds: Arc<HashMap<_, _>> = Arc::new(deeds.into_iter().collect());
        let raw =
            Self { addr, connections: Arc::default(), requests: Arc::default(), resets: Arc::default() };
        let (connections, requests) = (raw.connections.clone(), raw.requests.clone());
        let resets = raw.resets.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(raw_connection(stream, deeds.clone(), requests.clone(), resets.clone()));
            }
        });
        raw
    }

    pub(super) fn call(&self, path: &str) -> Call {
        Call::get(format!("http://{}{path}", self.addr).parse().unwrap())
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn raw_connection(
    mut stream: TcpStream,
    deeds: Arc<HashMap<&'static str, Do>>,
    requests: Arc<std::sync::Mutex<Vec<String>>>,
    resets: Arc<AtomicUsize>,
) {
    loop {
        let request = match read_head(&mut stream).await {
            Ok(request) => request,
            Err(error) => return count(&error, &resets),
        };
        let target = request.split(' ').nth(1).unwrap().to_owned();
        let path = target.split('?').next().unwrap().to_owned();
        requests.lock().unwrap().push(request);
        let deed = deeds.get(path.as_str()).cloned();
        match deed.unwrap_or_else(|| Do::Write(answer("404 Not Found", "", b"no"))) {
            Do::Write(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Do::WriteClose(bytes) => {
                stream.write_all(&bytes).await.ok();
                return;
            }
            Do::WriteStall(bytes) => {
                stream.write_all(&bytes).await.ok();
                // Reading notices that the client left.
                loop {
                    match stream.read(&mut [0; 64]).await {
                        Ok(0) => return,
                        Ok(_) => {}
                        Err(error) => return count(&error, &resets),
                    }
                }
            }
            Do::WriteReset(bytes) => {
                stream.write_all(&bytes).await.ok();
                stream.set_zero_linger().unwrap();
                return;
            }
        }
    }
}

fn count(error: &io::Error, resets: &AtomicUsize) {
    if error.kind() == io::ErrorKind::ConnectionReset {
        resets.fetch_add(1, Ordering::SeqCst);
    }
}

/// A request head; an error at the end of the connection.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// An HTTP/1.1 answer with its length.
pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Speaks h2 on one connection; answers with the version it saw and the path.
pub(super) async fn h2_connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(|request: hyper::Request<Incoming>| async move {
        let text = format!("{:?} {}", request.version(), request.uri().path());
        Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(Bytes::from(text))))
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}

pub(super) fn attempt(config: Config) -> Attempt {
    Attempt::builder(config).build().unwrap()
}

pub(super) fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

pub(super) fn send(
    attempt: &Attempt,
    call: Call,
) -> impl Future<Output = Result<Answer, FetchError>> + use<> {
    attempt.clone().oneshot(call)
}
