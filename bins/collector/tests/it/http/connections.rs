//! Pooling, bounds on connections, h2c, headers, names and counters.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderValue, StatusCode, Version};
use tidemill_collector::http::{Attempt, Call, Config, Resolve};
use tokio::net::TcpListener;

use super::server::{Do, Raw, answer, attempt, config, h2_connection, send};

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Raw::start([("/", Do::Write(answer("200 OK", "", b"hello")))]).await;
    let attempt = attempt(Config::default());
    for _ in 0..20 {
        let got = send(&attempt, server.call("/")).await.unwrap();
        assert_eq!((got.status, &got.body[..], got.wire_bytes), (StatusCode::OK, &b"hello"[..], 5));
        assert_eq!((got.remote, got.version), (Some(server.addr), Version::HTTP_11));
        assert!(got.sent_at <= got.head_at && got.head_at <= got.received_at);
    }
    assert_eq!(server.connections(), 1);
    let stats = attempt.stats();
    assert_eq!((stats.sent, stats.answered, stats.failed, stats.body_bytes), (20, 20, 0, 100));
    assert_eq!(stats.since(&stats).sent, 0);
}

#[tokio::test]
async fn any_status_is_an_answer() {
    let server =
        Raw::start([("/429", Do::Write(answer("429 Too Many Requests", "retry-after: 3\r\n", b"")))]).await;
    let got = send(&attempt(Config::default()), server.call("/429")).await.unwrap();
    assert_eq!((got.status.as_u16(), got.headers["retry-after"].to_str().unwrap()), (429, "3"));
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced_without_an_error() {
    let server = Raw::start([("/", Do::WriteClose(answer("200 OK", "", b"bye")))]).await;
    let attempt = attempt(Config::default());
    for n in 1..=5 {
        assert_eq!(&send(&attempt, server.call("/")).await.unwrap().body[..], b"bye");
        assert_eq!(server.connections(), n);
        // Until the end of the connection has been seen here, a request could still be written to it.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_its_time_only() {
    let server = Raw::start([("/", Do::Write(answer("200 OK", "", b"x")))]).await;
    let attempt = attempt(config(|config| config.keep_alive = Duration::from_millis(100)));
    send(&attempt, server.call("/")).await.unwrap();
    send(&attempt, server.call("/")).await.unwrap();
    assert_eq!(server.connections(), 1);
    tokio::time::sleep(Duration::from_millis(300)).await;
    send(&attempt, server.call("/")).await.unwrap();
    assert_eq!(server.connections(), 2);
    assert_eq!(
        server.resets.load(Ordering::SeqCst),
        0,
        "a connection whose answers were read is closed in peace"
    );
}

/// A server that counts how many requests it holds at once, each for a moment.
async fn counting(most: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let now = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (now, most) = (now.clone(), most.clone());
            tokio::spawn(async move {
                while super::server::read_head(&mut stream).await.is_ok() {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    let bytes = answer("200 OK", "", b"x");
                    tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await.unwrap();
                }
            });
        }
    });
    addr
}

async fn storm(attempt: &Attempt, addrs: &[SocketAddr], calls: usize) {
    let sent: Vec<_> = (0..calls)
        .map(|n| {
            let uri = format!("http://{}/{n}", addrs[n % addrs.len()]).parse().unwrap();
            tokio::spawn(send(attempt, Call::get(uri)))
        })
        .collect();
    for one in sent {
        one.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn requests_in_flight_are_bounded_per_host_and_in_all() {
    let (a, b) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let addrs = [counting(a.clone()).await, counting(b.clone()).await];
    let bounded = attempt(config(|config| config.max_connections_per_host = 3));
    storm(&bounded, &addrs, 30).await;
    assert_eq!((a.load(Ordering::SeqCst), b.load(Ordering::SeqCst)), (3, 3));
    assert!(bounded.stats().waited_for_connection >= 24);

    let most = Arc::new(AtomicUsize::new(0));
    let addrs = [counting(most.clone()).await];
    let bounded = attempt(config(|config| config.max_connections = 4));
    storm(&bounded, &addrs, 30).await;
    assert_eq!(most.load(Ordering::SeqCst), 4);
    // The control: the default lets twenty through.
    most.store(0, Ordering::SeqCst);
    storm(&attempt(Config::default()), &addrs, 60).await;
    assert_eq!(most.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn h2c_is_spoken_when_the_configuration_says_so_and_shares_one_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(h2_connection(stream));
        }
    });
    let attempt = attempt(config(|config| config.http2_only = true));
    for _ in 0..5 {
        let got = send(&attempt, Call::get(format!("http://{addr}/p").parse().unwrap())).await.unwrap();
        assert_eq!((&got.body[..], got.version), (&b"HTTP/2.0 /p"[..], Version::HTTP_2));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn says_who_asks_and_what_it_reads() {
    let server = Raw::start([("/", Do::Write(answer("200 OK", "", b"")))]).await;
    let last = || server.requests.lock().unwrap().last().unwrap().to_ascii_lowercase();
    send(&attempt(Config::default()), server.call("/?symbol=AAPL")).await.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(last().starts_with("get /?symbol=aapl http/1.1\r\n"), "{}", last());
    assert!(last().contains(&format!("\r\nuser-agent: tidemill/{version}\r\n")), "{}", last());
    assert!(last().contains("\r\naccept-encoding: gzip, deflate\r\n") && last().contains("\r\nhost: "));

    let vendor = attempt(config(|config| config.user_agent = "me (me@h.test)".to_owned()));
    send(&vendor, server.call("/")).await.unwrap();
    assert!(last().contains("\r\nuser-agent: me (me@h.test)\r\n"), "{}", last());
    let own = server.call("/").with_header(http::header::USER_AGENT, HeaderValue::from_static("own"));
    send(&vendor, own).await.unwrap();
    assert!(last().contains("\r\nuser-agent: own\r\n") && !last().contains("me@h.test"), "{}", last());
}

struct Here(Arc<AtomicUsize>);

impl Resolve for Here {
    fn resolve(&self, _: &str) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]) })
    }
}

#[tokio::test]
async fn a_name_is_asked_once_for_many_connections() {
    let server = Raw::start([("/", Do::WriteClose(answer("200 OK", "", b"x")))]).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let attempt = Attempt::builder(Config::default()).resolver(Here(asked.clone())).build().unwrap();
    let uri: http::Uri = format!("http://vendor.test:{}/", server.addr.port()).parse().unwrap();
    for _ in 0..3 {
        send(&attempt, Call::get(uri.clone())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((server.connections(), asked.load(Ordering::SeqCst)), (3, 1));
}

#[test]
fn a_configuration_that_cannot_work_is_refused_by_field() {
    let field = |change: fn(&mut Config)| Attempt::builder(config(change)).build().unwrap_err().field();
    assert_eq!(field(|config| config.max_connections = 0), "max_connections");
    assert_eq!(field(|config| config.read_timeout = Duration::ZERO), "read_timeout");
    assert_eq!(field(|config| config.user_agent = "line\nbreak".to_owned()), "user_agent");
    assert_eq!(field(|config| config.ca_file = Some("/nowhere/ca.pem".into())), "ca_file");
}
