//! The scrape service and the request layer behind a real HTTP server, by bytes on a socket.

use std::convert::Infallible;
use std::future::pending;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Path};
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use tidemill_metrics::{Config, ErrorKind, Format, Registry, RequestLayer, Scrape};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

fn registry() -> Registry {
    Registry::builder(Config { idle: Some(Duration::from_nanos(1)), ..Config::default() }).build().unwrap()
}

/// Serves until the test's runtime ends.
async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn ask(address: SocketAddr, method: &str, path: &str, accept: &str) -> (String, Vec<u8>) {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&answer[..end]).to_lowercase(), answer[end + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_gets_the_format_it_asks_for() {
    let registry = registry();
    let held = registry.counter("requests_total", "Requests.").get().unwrap();
    held.add(3);
    registry.gauge("idle", "Nobody holds it.").get().unwrap().set(1.0);
    let address = serve(Router::new().route_service("/metrics", Scrape::new(registry.clone()))).await;

    let (head, body) = ask(address, "GET", "/metrics", "*/*").await;
    assert!(head.starts_with("http/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains("requests_total 3\n") && text.contains("idle 1\n"), "{text}");
    let (head, body) = ask(address, "GET", "/metrics", "application/openmetrics-text;version=1.0.0").await;
    let text = String::from_utf8(body).unwrap();
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(
        text.contains("# TYPE requests counter\nrequests_total 3\n") && text.ends_with("# EOF\n"),
        "{text}"
    );
    assert!(!text.contains("idle"), "the second scrape takes it out: {text}");
    let (head, body) = ask(address, "GET", "/metrics", Format::Protobuf.content_type()).await;
    assert!(head.contains("application/vnd.google.protobuf"), "{head}");
    assert_eq!(body, registry.encode(Format::Protobuf));

    let (head, body) = ask(address, "HEAD", "/metrics", "*/*").await;
    assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{head}");
    let (head, _) = ask(address, "DELETE", "/metrics", "*/*").await;
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: get"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_matched_path() {
    let registry = Registry::new();
    let layer = RequestLayer::new(&registry, |_, extensions| {
        extensions.get::<MatchedPath>().map(MatchedPath::as_str)
    });
    let answer = |Path(status): Path<u16>| async move { StatusCode::from_u16(status).unwrap() };
    let router = Router::new().route("/status/{code}", get(answer)).layer(layer.unwrap());
    let address = serve(router).await;
    for status in [200, 200, 404, 429, 503, 504, 408] {
        ask(address, "GET", &format!("/status/{status}"), "*/*").await;
    }
    ask(address, "POST", "/status/1", "*/*").await;
    ask(address, "BREW", "/status/1", "*/*").await;
    for i in 0..20 {
        ask(address, "GET", &format!("/nowhere/{i}"), "*/*").await;
    }
    let text = registry.to_text();
    let line = |line: &str| assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    line(r#"requests_total{endpoint="/status/{code}",method="GET"} 7"#);
    line(r#"requests_total{endpoint="/status/{code}",method="POST"} 1"#);
    line(r#"requests_total{endpoint="/status/{code}",method="other"} 1"#);
    line(r#"requests_total{endpoint="unmatched",method="GET"} 20"#);
    line(r#"request_duration_seconds_count{endpoint="/status/{code}",method="GET"} 7"#);
    for (error_type, count) in [("throttled", 1), ("timeout", 2), ("client", 1), ("server", 1)] {
        line(&format!(
            r#"errors_total{{endpoint="/status/{{code}}",error_type="{error_type}",method="GET"}} {count}"#
        ));
    }
    line("requests_in_flight 0");
    assert!(!text.contains("/nowhere"), "a path as it came is no label: {text}");
}

#[tokio::test]
async fn failures_and_callers_that_go_away_are_counted() {
    let registry = Registry::new();
    let layer = RequestLayer::new(&registry, |_, _| Some("/")).unwrap();
    let mut fails =
        layer.layer(service_fn(|_: Request<()>| async { Err::<Response<()>, _>("no connection") }));
    fails.ready().await.unwrap().call(Request::new(())).await.unwrap_err();
    let mut hangs = layer.layer(service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>()));
    let call = hangs.ready().await.unwrap().call(Request::new(()));
    assert!(registry.to_text().contains("requests_in_flight 1\n"));
    drop(call);
    let text = registry.to_text();
    assert!(text.contains("requests_in_flight 0\n"), "{text}");
    assert!(text.contains(r#"requests_total{endpoint="/",method="GET"} 2"#), "{text}");
    assert!(text.contains(r#"errors_total{endpoint="/",error_type="failed",method="GET"} 1"#), "{text}");
    assert!(text.contains(r#"errors_total{endpoint="/",error_type="cancelled",method="GET"} 1"#), "{text}");
    assert!(text.contains(r#"request_duration_seconds_count{endpoint="/",method="GET"} 2"#), "{text}");
}

#[test]
fn a_layer_over_taken_names_is_an_error() {
    let registry = Registry::new();
    registry.gauge("errors_total", "").get().unwrap();
    assert_eq!(RequestLayer::new(&registry, |_, _| None).unwrap_err().kind(), ErrorKind::Clash);
    let registry = Registry::new();
    registry.counter("requests_total", "").with(&[("other", "label")]).unwrap();
    assert_eq!(RequestLayer::new(&registry, |_, _| None).unwrap_err().kind(), ErrorKind::Labels);
    // Two layers over one registry count into the same metrics.
    let registry = Registry::new();
    RequestLayer::new(&registry, |_, _| None).unwrap();
    RequestLayer::new(&registry, |_, _| None).unwrap();
}

/// As tokio's pool for blocking work is: up to 512 threads, most of them without a slot, coming and going.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blocking_pool_loses_nothing() {
    let registry = Registry::new();
    let counter = registry.counter("c_total", "C.").get().unwrap();
    let histogram = registry.histogram("h_seconds", "H.").get().unwrap();
    let all = std::sync::Arc::new(std::sync::Barrier::new(512));
    let tasks: Vec<_> = (0..512)
        .map(|_| {
            let (counter, histogram, all) = (counter.clone(), histogram.clone(), all.clone());
            tokio::task::spawn_blocking(move || {
                counter.inc();
                // Only when all 512 live at once does anybody go on.
                all.wait();
                for i in 0..100 {
                    counter.inc();
                    histogram.observe(f64::from(i));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(counter.get(), 512 * 101);
    assert_eq!(histogram.snapshot().count, 512 * 100);
    assert_eq!(histogram.snapshot().sum, 512.0 * 4950.0);
}
