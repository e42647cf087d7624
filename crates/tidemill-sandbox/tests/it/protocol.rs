//! HTTP itself: codings, keep-alive, HTTP/2 by prior knowledge, bounds, closing.

use std::io::Read;
use std::time::{Duration, Instant};

use flate2::read::{GzDecoder, ZlibDecoder};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidemill_sandbox::{Config, FaultKind, Faults, Latency};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{daily, get, get_with, open, start};

#[tokio::test]
async fn codings_are_given_when_asked_for() {
    let running = start(open()).await;
    let target = daily("MSFT", "k1");
    let plain = get(running.addr(), &target).await;
    assert_eq!(plain.header("content-encoding"), None);

    let gzip = get_with(running.addr(), &target, "accept-encoding: br, deflate, gzip\r\n").await;
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    assert!(gzip.body.len() * 3 < plain.body.len());
    let mut inflated = Vec::new();
    GzDecoder::new(&gzip.body[..]).read_to_end(&mut inflated).unwrap();
    assert_eq!(inflated, plain.body);

    let deflate = get_with(running.addr(), &target, "accept-encoding: gzip;q=0, deflate\r\n").await;
    assert_eq!(deflate.header("content-encoding"), Some("deflate"));
    let mut inflated = Vec::new();
    ZlibDecoder::new(&deflate.body[..]).read_to_end(&mut inflated).unwrap();
    assert_eq!(inflated, plain.body);

    let quiet = start(Config { compression: false, ..open() }).await;
    let answer = get_with(quiet.addr(), &target, "accept-encoding: gzip\r\n").await;
    assert_eq!((answer.header("content-encoding"), &answer.body), (None, &plain.body));
}

#[tokio::test]
async fn a_connection_is_kept_alive() {
    let running = start(open()).await;
    let stream = TokioIo::new(TcpStream::connect(running.addr()).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..20 {
        let request =
            hyper::Request::get(daily("IBM", "k1")).header("host", "x").body(Empty::<bytes::Bytes>::new());
        let response = sender.send_request(request.unwrap()).await.unwrap();
        assert!(response.into_body().collect().await.unwrap().to_bytes().len() > 10_000);
    }
    let stats = running.stats();
    assert_eq!((stats.requests, stats.connections, stats.open_connections), (20, 1, 1));
}

#[tokio::test]
async fn http_2_by_prior_knowledge_with_its_faults() {
    let faults = Faults::none().at(FaultKind::Truncated, [3]).at(FaultKind::Reset, [4]);
    let running = start(Config { faults, ..open() }).await;
    let stream = TokioIo::new(TcpStream::connect(running.addr()).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let mut ask = || {
        let uri = format!("{}{}", running.base_url(), daily("IBM", "k1"));
        sender.send_request(hyper::Request::get(uri).body(Empty::<bytes::Bytes>::new()).unwrap())
    };
    for _ in 0..2 {
        let response = ask().await.unwrap();
        assert_eq!(response.version(), hyper::Version::HTTP_2);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }
    let truncated = match ask().await {
        Ok(response) => response.into_body().collect().await.is_err(),
        Err(_) => true,
    };
    assert!(truncated, "a stream cut short is an error, not an end");
    assert!(ask().await.is_err(), "the reset takes the connection with it");
    assert!(ask().await.is_err());
    assert_eq!((running.stats().admitted, running.stats().connections), (4, 1));
}

#[tokio::test]
async fn only_get_and_only_well_formed() {
    let running = start(open()).await;
    for (request, said) in [
        ("POST /query HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "405"),
        ("\x01\x02 nonsense\r\n\r\n", "400"),
    ] {
        let mut socket = TcpStream::connect(running.addr()).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {said}")), "{answer}");
    }
    assert_eq!(running.stats().requests, 0);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let running = start(Config { max_connections: 2, ..open() }).await;
    let held = [
        TcpStream::connect(running.addr()).await.unwrap(),
        TcpStream::connect(running.addr()).await.unwrap(),
    ];
    while running.stats().open_connections < 2 {
        tokio::task::yield_now().await;
    }
    let (addr, target) = (running.addr(), daily("IBM", "k1"));
    let third = tokio::spawn(async move { get(addr, &target).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((running.stats().open_connections, running.stats().requests), (2, 0));
    drop(held);
    assert!(third.await.unwrap().has_data());
}

#[tokio::test]
async fn closing_lets_answers_end_and_then_nobody_listens() {
    let delay = Duration::from_millis(300);
    let running = start(Config { latency: Latency::Fixed { delay }, ..open() }).await;
    let idle = TcpStream::connect(running.addr()).await.unwrap();
    let (addr, target) = (running.addr(), daily("IBM", "k1"));
    let answer = tokio::spawn(async move { get(addr, &target).await });
    while running.stats().open_connections < 2 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    let report = running.close(Duration::from_secs(10)).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "idle connections hold nobody up");
    assert_eq!((report.cut, report.stats.requests, report.stats.open_connections), (0, 1, 0));
    assert!(answer.await.unwrap().has_data());
    assert!(TcpStream::connect(addr).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn dropping_the_handle_closes_at_once() {
    let running = start(open()).await;
    let addr = running.addr();
    let mut idle = TcpStream::connect(addr).await.unwrap();
    while running.stats().open_connections < 1 {
        tokio::task::yield_now().await;
    }
    drop(running);
    let ended = tokio::time::timeout(Duration::from_secs(10), idle.read(&mut [0])).await;
    assert!(matches!(ended.unwrap(), Ok(0) | Err(_)));
    assert!(TcpStream::connect(addr).await.is_err());
}
