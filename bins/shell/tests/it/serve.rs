//! The server within its limits, spoken to over real sockets, byte by byte.

use std::future::pending;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use tidemill_shell::serve::{Limits, Server, protect, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const LOCAL: &str = "127.0.0.1:0";
/// Long enough for any machine; only a broken test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

async fn start(router: Router, limits: Limits) -> Server {
    serve(LOCAL.parse().unwrap(), router, limits, pending()).await.unwrap()
}

/// Sends a request and reads to the end of the connection.
async fn exchange(addr: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    read_all(&mut stream).await
}

async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let read = async {
        let mut piece = [0; 4096];
        // A reset after the answer ends the answer too.
        while let Ok(n @ 1..) = stream.read(&mut piece).await {
            all.extend_from_slice(&piece[..n]);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the server closes the connection");
    all
}

fn head(answer: &[u8]) -> String {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
    String::from_utf8(answer[..end].to_vec()).unwrap().to_ascii_lowercase()
}

fn body(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
    &answer[end + 4..]
}

fn metrics() -> String {
    (0..400).map(|n| format!("tidemill_requests_total{{key=\"{n}\"}} {n}\n")).collect()
}

fn ask(path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{more}\r\n").into_bytes()
}

#[tokio::test]
async fn answers_are_compressed_where_that_is_accepted_and_worth_it() {
    let router =
        Router::new().route("/metrics", get(|| async { metrics() })).route("/health", get(|| async { "ok" }));
    let server = start(router, Limits::default()).await;

    let packed = exchange(server.addr(), &ask("/metrics", "accept-encoding: gzip\r\n")).await;
    assert!(
        head(&packed).contains("content-encoding: gzip") && head(&packed).contains("vary: accept-encoding")
    );
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(body(&packed)).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, metrics());
    assert!(head(&packed).contains(&format!("content-length: {}", body(&packed).len())));

    for (path, more) in
        [("/metrics", ""), ("/metrics", "accept-encoding: br\r\n"), ("/health", "accept-encoding: gzip\r\n")]
    {
        let plain = exchange(server.addr(), &ask(path, more)).await;
        assert!(!head(&plain).contains("content-encoding"), "{path} {more}");
    }
    assert_eq!(server.close(PATIENCE).await.cut, 0);
}

#[tokio::test]
async fn a_connection_serves_several_requests() {
    let server = start(Router::new().route("/", get(|| async { "ok" })), Limits::default()).await;
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            let mut piece = [0; 512];
            let n = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap();
            assert_ne!(n, 0, "the connection stays open");
            answer.extend_from_slice(&piece[..n]);
        }
    }
    let report = server.close(PATIENCE).await;
    assert_eq!((report.connections, report.cut), (1, 0));
}

#[tokio::test]
async fn too_large_a_body_is_refused_announced_or_not() {
    let router = Router::new().route("/", post(|body: Bytes| async move { body.len().to_string() }));
    let server = start(router, limits(|limits| limits.body_max = 1000)).await;
    let announced = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1001\r\n\r\n";
    assert!(head(&exchange(server.addr(), announced).await).starts_with("http/1.1 413"));

    let chunked = |bytes: usize| {
        let body = "x".repeat(bytes);
        format!(
            "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{bytes:x}\r\n{body}\r\n0\r\n\r\n"
        )
    };
    assert!(head(&exchange(server.addr(), chunked(1001).as_bytes()).await).starts_with("http/1.1 413"));
    let fits = exchange(server.addr(), chunked(1000).as_bytes()).await;
    assert_eq!(
        body(&fits),
        b"4\r\n1000\r\n0\r\n\r\n".get(3..7).unwrap(),
        "{}",
        String::from_utf8_lossy(&fits)
    );
}

#[tokio::test]
async fn too_large_a_head_is_refused() {
    let server =
        start(Router::new().route("/", get(|| async { "ok" })), limits(|limits| limits.head_max = 8192))
            .await;
    let large = ask("/", &format!("x: {}\r\n", "y".repeat(20_000)));
    assert!(head(&exchange(server.addr(), &large).await).starts_with("http/1.1 431"));
    let many = ask("/", &(0..150).map(|n| format!("x{n}: 1\r\n")).collect::<String>());
    assert!(head(&exchange(server.addr(), &many).await).starts_with("http/1.1 431"));
    let fine = ask("/", &(0..50).map(|n| format!("x{n}: 1\r\n")).collect::<String>());
    assert!(head(&exchange(server.addr(), &fine).await).starts_with("http/1.1 200"));
}

#[tokio::test]
async fn time_is_bounded_for_the_head_the_handler_and_an_idle_connection() {
    let router = Router::new().route("/", get(|| async { "ok" })).route("/never", get(pending::<&str>));
    let server = start(router, limits(|limits| limits.timeout = Duration::from_millis(200))).await;
    let stuck = exchange(server.addr(), &ask("/never", "")).await;
    assert!(head(&stuck).starts_with("http/1.1 503"));
    // The head never ends; the connection does.
    exchange(server.addr(), b"GET / HTTP/1.1\r\nhost: h\r\n").await;
    // Keep-alive without a further request ends as well.
    let idle = exchange(server.addr(), b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(head(&idle).starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let large = || async { vec![b'x'; 64 << 20] };
    let server = start(
        Router::new().route("/", get(large)),
        limits(|limits| limits.timeout = Duration::from_millis(200)),
    )
    .await;
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    stream.write_all(&ask("/", "")).await.unwrap();
    let freed = async {
        while server.open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // First it must have been accepted.
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap();
    tokio::time::timeout(PATIENCE, freed).await.expect("the stalled connection is cut");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let server =
        start(Router::new().route("/", get(|| async { "ok" })), limits(|limits| limits.max_connections = 1))
            .await;
    let mut first = TcpStream::connect(server.addr()).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut piece = [0; 512];
    assert_ne!(first.read(&mut piece).await.unwrap(), 0);

    let mut second = TcpStream::connect(server.addr()).await.unwrap();
    second.write_all(&ask("/", "")).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut piece)).await;
    assert!(early.is_err(), "the second connection is served while the first is open");
    drop(first);
    assert!(head(&read_all(&mut second).await).starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_port_in_use_is_a_clear_error() {
    let server = start(Router::new(), Limits::default()).await;
    let taken = server.addr();
    let error = serve(taken, Router::new(), Limits::default(), pending()).await.unwrap_err().to_string();
    assert!(error.contains(&format!("port {} on 127.0.0.1 is in use", taken.port())), "{error}");
    assert!(error.contains("--listen"), "{error}");
}

/// A handler that tells when it runs and waits to be let go.
fn gated() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (entered, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (entered.clone(), gate.clone());
    let handler = move || {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.notify_one();
            wait.notified().await;
            "done"
        }
    };
    (Router::new().route("/", get(handler)), entered, gate)
}

#[tokio::test]
async fn an_open_request_is_answered_after_the_shutdown_began() {
    let (router, entered, gate) = gated();
    let (ask_stop, stop) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move { stop.await.unwrap_or(()) };
    let server = serve(LOCAL.parse().unwrap(), router, Limits::default(), shutdown).await.unwrap();
    let addr = server.addr();
    // Without `connection: close`: that the connection ends is the server's doing.
    let asking = tokio::spawn(async move { exchange(addr, b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await });
    entered.notified().await;
    ask_stop.send(()).unwrap();
    let closing = tokio::spawn(server.close(PATIENCE));
    while TcpStream::connect(addr).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    gate.notify_one();
    assert_eq!(body(&asking.await.unwrap()), b"done");
    assert_eq!(closing.await.unwrap().cut, 0);
}

#[tokio::test]
async fn what_is_open_at_the_deadline_is_cut_and_counted() {
    let (router, entered, _gate) = gated();
    let server = start(router, Limits::default()).await;
    let addr = server.addr();
    let asking = tokio::spawn(async move { exchange(addr, &ask("/", "")).await });
    entered.notified().await;
    assert_eq!(server.close(Duration::from_millis(50)).await.cut, 1);
    assert!(asking.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_token_stands_before_routes_that_change_state() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let routes = Router::new().route("/stop", get(|| async { "stopped" }));
    let server = start(protect(routes, everywhere, Some("t0ken")).unwrap(), Limits::default()).await;
    for (header, status) in
        [("", 401), ("authorization: Bearer t0keN\r\n", 401), ("authorization: Bearer t0ken\r\n", 200)]
    {
        let answer = exchange(server.addr(), &ask("/stop", header)).await;
        assert!(head(&answer).starts_with(&format!("http/1.1 {status}")), "{header}");
    }
}

#[tokio::test]
async fn limits_that_make_no_sense_are_named() {
    for (change, field) in [
        ((|limits: &mut Limits| limits.max_connections = 0) as fn(&mut Limits), "max_connections"),
        (|limits| limits.head_max = 100, "head_max"),
        (|limits| limits.timeout = Duration::ZERO, "timeout"),
    ] {
        let refused = serve(LOCAL.parse().unwrap(), Router::new(), limits(change), pending()).await;
        assert!(refused.unwrap_err().to_string().starts_with(field));
    }
}
