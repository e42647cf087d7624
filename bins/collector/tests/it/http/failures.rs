//! Failures of the network: what they are called, whether the request may have been sent, and what they show.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidemill_collector::http::{Attempt, Call, Config, FetchErrorKind as K, Resolve, TimeoutPhase};
use tokio::net::{TcpListener, TcpSocket};

use super::server::{Do, Raw, answer, attempt, config, read_head, send};

#[tokio::test]
async fn a_refused_connection_was_certainly_not_sent() {
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let call = Call::get(format!("http://{addr}/q?symbol=AAPL&apikey=S3CRET").parse().unwrap());
    let error = send(&attempt(Config::default()), call).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_sent(), error.is_retryable()), (K::Connect, false, true));
    let mut shown = format!("{error} {error:?} ");
    let mut cause: Option<&dyn Error> = error.source();
    while let Some(inner) = cause {
        shown.push_str(&inner.to_string());
        cause = inner.source();
    }
    assert!(!shown.contains("S3CRET") && shown.contains("symbol=AAPL&apikey=***"), "{shown}");
    assert!(shown.contains("refused"), "the cause is kept: {shown}");
}

#[tokio::test]
async fn silence_of_every_kind_ends_in_time() {
    let server = Raw::start([
        ("/head", Do::WriteStall(Vec::new())),
        ("/half-head", Do::WriteStall(b"HTTP/1.1 200 OK\r\ncontent-".to_vec())),
        ("/body", Do::WriteStall(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf".to_vec())),
    ])
    .await;
    let attempt = attempt(config(|config| config.read_timeout = Duration::from_millis(150)));
    for path in ["/head", "/half-head", "/body"] {
        let begun = Instant::now();
        let error = send(&attempt, server.call(path)).await.unwrap_err();
        assert_eq!((error.kind(), error.maybe_sent()), (K::Timeout(TimeoutPhase::Read), true), "{path}");
        assert!(begun.elapsed() >= Duration::from_millis(150) && begun.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(attempt.stats().failed, 3);
    // A server that has not read the request yet must never count it: the connections end by a reset.
    let reset = async {
        while server.resets.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reset).await.expect("three resets");
}

#[tokio::test]
async fn a_server_that_drips_is_ended_by_the_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await.unwrap();
        let mut bytes: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
        while tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await.is_ok() {
            bytes = b"x";
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let attempt = attempt(config(|config| {
        config.read_timeout = Duration::from_millis(400);
        config.total_timeout = Duration::from_millis(900);
    }));
    let error = send(&attempt, Call::get(format!("http://{addr}/").parse().unwrap())).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_sent()), (K::Timeout(TimeoutPhase::Total), true));
}

#[tokio::test]
async fn a_reset_is_told_apart_by_where_it_strikes() {
    let server = Raw::start([
        ("/before", Do::WriteReset(Vec::new())),
        ("/close", Do::WriteClose(Vec::new())),
        ("/within", Do::WriteReset(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf".to_vec())),
        ("/junk", Do::WriteClose(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec())),
        ("/ok", Do::Write(answer("200 OK", "", b"ok"))),
    ])
    .await;
    let attempt = attempt(Config::default());
    for (path, kind) in
        [("/before", K::Reset), ("/close", K::Reset), ("/within", K::Reset), ("/junk", K::Other)]
    {
        let error = send(&attempt, server.call(path)).await.unwrap_err();
        assert_eq!((error.kind(), error.maybe_sent()), (kind, true), "{path}: {error:?}");
    }
    assert_eq!(server.requests.lock().unwrap().len(), 4, "nothing that may have been sent is sent again");
    assert_eq!(&send(&attempt, server.call("/ok")).await.unwrap().body[..], b"ok");
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_ends_in_the_connect_time() {
    // A listener that accepts nothing: once its queue is full, the kernel drops further handshakes.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(addr)).await
    {
        queued.push(stream);
        assert!(queued.len() < 64, "the queue of the listener never fills");
    }
    let attempt = attempt(config(|config| config.connect_timeout = Duration::from_millis(150)));
    let error = send(&attempt, Call::get(format!("http://{addr}/").parse().unwrap())).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_sent()), (K::Timeout(TimeoutPhase::Connect), false), "{error:?}");
    drop(listener);
}

struct Nowhere;

impl Resolve for Nowhere {
    fn resolve(&self, _: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        Box::pin(async { Err(io::Error::other("no such name")) })
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_said_so() {
    let attempt = Attempt::builder(Config::default()).resolver(Nowhere).build().unwrap();
    let error =
        send(&attempt, Call::get("http://vendor.test/?token=S3CRET".parse().unwrap())).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_sent(), error.is_retryable()), (K::Dns, false, true));
    assert!(!format!("{error:?}").contains("S3CRET"));
}

#[tokio::test]
async fn a_call_without_a_place_to_go_is_refused_before_anything() {
    let attempt = attempt(Config::default());
    for uri in ["/only/a/path", "ftp://h.test/x"] {
        let error = send(&attempt, Call::get(uri.parse().unwrap())).await.unwrap_err();
        assert_eq!((error.kind(), error.maybe_sent(), error.is_retryable()), (K::BadCall, false, false));
    }
    assert_eq!(attempt.stats().sent, 0);
}

#[test]
fn a_call_and_its_answer_show_no_secret() {
    let call = Call::get("http://u:S3CRET@h.test/?access_key=S3CRET&a=1".parse().unwrap())
        .with_header(http::header::AUTHORIZATION, http::HeaderValue::from_static("Bearer S3CRET"));
    let shown = format!("{call:?}");
    assert!(!shown.contains("S3CRET") && shown.contains("access_key=***&a=1"), "{shown}");
}
