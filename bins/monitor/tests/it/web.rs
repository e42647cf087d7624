//! The page's files, its headers, its prefix and its live socket, by real clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tidemill_monitor::event::{Event, Events};
use tidemill_monitor::series::{Kind, Reading, Round, Series};
use tidemill_monitor::web::{self, Config, Hub, Web};
use tidemill_shell::serve::{Limits, Server, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

pub(crate) fn router(hub: &Hub, events: &Events) -> axum::Router {
    web::router(Web {
        hub: hub.clone(),
        views: web::defaults(),
        events: events.clone(),
        metrics: Box::new(|| ["system_cpu_percent".to_owned()].into()),
        past: Box::new(|_| None),
    })
}

async fn start(prefix: &str) -> (Hub, Events, Server) {
    let hub = Hub::new(&Config::default(), Duration::from_secs(1), prefix);
    let events = Events::new(100);
    let routes = web::within(prefix, router(&hub, &events));
    let limits = Limits::default();
    let server = serve("127.0.0.1:0".parse().unwrap(), routes, limits, std::future::pending()).await.unwrap();
    (hub, events, server)
}

pub(crate) fn round(at_ms: i64, series: &[Arc<Series>], value: f64) -> Round {
    let readings =
        series.iter().map(|series| Reading { series: Arc::clone(series), value: value + 0.123 }).collect();
    Round { target: Arc::clone(&series[0].target), at_ms, took: Duration::ZERO, error: None, readings }
}

pub(crate) fn gauges(count: usize) -> Vec<Arc<Series>> {
    let target: Arc<str> = Arc::from("host");
    (0..count)
        .map(|i| {
            Arc::new(Series::new(&target, "some_gauge_of_the_test", &[("of", &i.to_string())], Kind::Gauge))
        })
        .collect()
}

/// Status, head and body of a GET.
async fn ask(server: &Server, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\r\n", server.addr());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    (head[9..12].parse().unwrap(), head, answer[end..].to_vec())
}

#[tokio::test]
async fn the_page_stands_below_its_prefix_with_its_headers() {
    for prefix in ["", "/ops/mill"] {
        let (_hub, _events, server) = start(prefix).await;
        let (status, head, body) = ask(&server, &format!("{prefix}/"), "").await;
        assert_eq!(status, 200, "{head}");
        for header in [
            "content-security-policy: default-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "etag: w/\"",
        ] {
            assert!(head.contains(header), "{prefix}: {header} is not in {head}");
        }
        assert!(!head.contains("unsafe-"), "{head}");
        // Every file that the page names is there.
        let page = String::from_utf8(body).unwrap();
        for part in page.split("\"assets/").skip(1) {
            let name = part.split('"').next().unwrap();
            let (status, head, _) =
                ask(&server, &format!("{prefix}/assets/{name}"), "accept-encoding: gzip\r\n").await;
            assert!(status == 200 && head.contains("content-encoding: gzip"), "{name}: {head}");
        }
        let (_, head, _) = ask(&server, &format!("{prefix}/assets/app.css"), "").await;
        let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let known = format!("if-none-match: {}\r\n", tag.replace("w/", "W/"));
        assert_eq!(ask(&server, &format!("{prefix}/assets/app.css"), &known).await.0, 304);
        assert_eq!(ask(&server, &format!("{prefix}/assets/../Cargo.toml"), "").await.0, 404);
        if !prefix.is_empty() {
            let (status, head, _) = ask(&server, prefix, "").await;
            assert!(status == 308 && head.contains(&format!("location: {prefix}/")), "{head}");
            assert_eq!(ask(&server, "/", "").await.0, 404);
        }
    }
}

#[tokio::test]
async fn views_events_and_the_document_are_json() {
    let (_hub, events, server) = start("").await;
    let now_ms =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    for (ago_ms, title) in [(7_200_000, "long ago"), (1000, "just now")] {
        events.publish(Event {
            at_ms: now_ms - ago_ms,
            kind: "change",
            title: title.into(),
            severity: None,
            detail: None,
        });
    }
    let json = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
    let (_, head, body) = ask(&server, "/api/views", "").await;
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(json(&body)["views"][0]["charts"][0]["lines"][0]["metric"], "system_cpu_percent");
    assert_eq!(json(&body)["known"], serde_json::json!(["system_cpu_percent"]));
    let recent = json(&ask(&server, "/api/events?hours=1", "").await.2);
    assert_eq!(
        (recent["events"].as_array().unwrap().len(), &recent["events"][0]["title"]),
        (1, &"just now".into())
    );
    assert_eq!(json(&ask(&server, "/api/events", "").await.2)["events"].as_array().unwrap().len(), 2);
    for wrong in ["0", "-1", "nan", "1e9"] {
        let (status, _, body) = ask(&server, &format!("/api/events?hours={wrong}"), "").await;
        assert!(status == 400 && json(&body)["do"].is_string(), "{wrong}");
    }
    assert_eq!(json(&ask(&server, "/api/openapi.json", "").await.2)["openapi"], "3.1.0");
}

/// Paths and methods of every `.route("…", get(…).post(…))` in the sources.
fn routes_in_the_sources() -> Vec<(String, Vec<&'static str>)> {
    fn visit(folder: &std::path::Path, routes: &mut Vec<(String, Vec<&'static str>)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, routes);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split(".route(").skip(1) {
                let part = part.trim_start();
                let Some(quoted) = part.strip_prefix('"') else { continue };
                let Some((path, rest)) = quoted.split_once('"') else { continue };
                let end = rest.find(".route(").or_else(|| rest.find(".with_state")).unwrap_or(rest.len());
                let handlers = &rest[..end];
                let methods = ["get", "post", "put", "delete"]
                    .into_iter()
                    .filter(|method| handlers.contains(&format!("{method}(")))
                    .collect();
                routes.push((path.replace("{*name}", "{name}"), methods));
            }
        }
    }
    let mut routes = Vec::new();
    visit(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut routes);
    routes
}

#[test]
fn every_route_is_in_the_document() {
    let document: Value = serde_json::from_str(web::OPENAPI).unwrap();
    let routes = routes_in_the_sources();
    assert!(routes.len() >= 6, "{routes:?}");
    for (path, methods) in routes {
        assert!(!methods.is_empty(), "{path} has no method");
        for method in methods {
            assert!(
                document["paths"][&path][method].is_object(),
                "{method} {path} is not in assets/openapi.json"
            );
        }
    }
}

async fn next(
    socket: &mut (
             impl futures_util::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin
         ),
) -> Value {
    let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap();
    serde_json::from_str(message.unwrap().unwrap().to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn a_real_websocket_client_sees_values_and_the_end() {
    let (hub, _events, server) = start("/p").await;
    let stream = TcpStream::connect(server.addr()).await.unwrap();
    let url = format!("ws://{}/p/ws", server.addr());
    let (mut socket, _) = tokio_tungstenite::client_async(&url, stream).await.unwrap();
    assert_eq!(next(&mut socket).await["prefix"], "/p");
    let series = gauges(1500);
    hub.round(&round(1000, &series, 1.0));
    let mut added = 0;
    let mut values = 0;
    while values < 1500 {
        let frame = next(&mut socket).await;
        match frame["type"].as_str().unwrap() {
            "series" => added += frame["add"].as_array().unwrap().len(),
            _ => values += frame["v"].as_array().unwrap().len(),
        }
    }
    assert_eq!((added, values), (1500, 1500));
    socket.send(Message::Ping(vec![1, 2, 3].into())).await.unwrap();
    // What a client says is read past, however long.
    socket.send(Message::text("x".repeat(100_000))).await.unwrap();
    let pong = socket.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong(vec![1, 2, 3].into()));
    assert_eq!(hub.close(Duration::from_secs(20)).await.cut, 0);
    assert!(
        matches!(socket.next().await.unwrap().unwrap(), Message::Close(Some(frame)) if u16::from(frame.code) == 1001)
    );
    assert_eq!(hub.stats().open, 0);
}

#[tokio::test]
async fn what_is_no_handshake_is_told_so() {
    let (_hub, _events, server) = start("").await;
    let handshake =
        "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(ask(&server, "/ws", "").await.0, 426);
    let foreign = format!("{handshake}connection: upgrade\r\norigin: http://evil.example\r\n");
    assert_eq!(ask(&server, "/ws", &foreign).await.0, 403);
}

/// One client that reads, as the bytes come: when each round's frame had arrived.
async fn reader(server: std::net::SocketAddr, rounds: i64) -> Vec<Instant> {
    let stream = TcpStream::connect(server).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{server}/ws"), stream).await.unwrap();
    let mut seen = Vec::new();
    while (seen.len() as i64) < rounds {
        let frame = next(&mut socket).await;
        if frame["type"] == "round" && frame["v"].as_array().is_some_and(|values| !values.is_empty()) {
            seen.push(Instant::now());
        }
    }
    seen
}

/// The control: with one thread for all, a hub that waited for each client would stand still behind those that do not
/// read.
#[tokio::test]
async fn clients_that_never_read_delay_nobody() {
    let (hub, _events, server) = start("").await;
    let addr = server.addr();
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let stream = TcpStream::connect(addr).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(format!("ws://{addr}/ws"), stream).await.unwrap();
        deaf.push(socket);
    }
    let readers: Vec<_> = (0..50).map(|_| tokio::spawn(reader(addr, 40))).collect();
    while hub.stats().open < 70 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // 100 KB a round: what fits into the kernel's buffers is full after a few dozen.
    let series = gauges(5000);
    let interval = Duration::from_millis(100);
    let mut sent = Vec::new();
    for at in 0..200 {
        if readers.iter().all(tokio::task::JoinHandle::is_finished) {
            break;
        }
        hub.round(&round(at, &series, at as f64));
        sent.push(Instant::now());
        tokio::time::sleep(interval).await;
    }
    for reader in readers {
        let seen = reader.await.unwrap();
        assert_eq!(seen.len(), 40);
    }
    assert_eq!(hub.stats().open, 20, "those who never read are still held, by one frame each");
    drop(deaf);
}
