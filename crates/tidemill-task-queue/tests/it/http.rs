//! The task API as a client sees it, byte by byte.

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::tempdir;
use tidemill_task_queue::{Context, TaskError, TaskQueue, http};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{Add, LONG, queue, sqlite, worker};

async fn serve(queue: TaskQueue) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move { axum::serve(listener, http::router(queue, ["add"])).await }));
    address
}

/// Status and body.
async fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses a long body closes before it has read it.
    _ = stream.write_all(body.as_bytes()).await;
    let mut said = Vec::new();
    _ = stream.read_to_end(&mut said).await;
    let said = String::from_utf8(said).unwrap();
    let status = said.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, said.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

#[tokio::test]
async fn a_task_is_submitted_watched_and_answered() {
    let dir = tempdir().unwrap();
    let queue = queue(sqlite(&dir), "one");
    let to = serve(queue.clone()).await;
    let (status, body) =
        ask(to, "POST", "/tasks", r#"{"name":"add","payload":[2, 3],"priority":"high"}"#).await;
    assert_eq!((status, body.as_str()), (202, r#"{"fresh":true,"id":1}"#));
    assert_eq!(ask(to, "GET", "/tasks/1/result", "").await, (202, r#"{"state":"ready"}"#.to_owned()));
    let events = tokio::spawn(async move { ask(to, "GET", "/tasks/1/progress", "").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let work = queue
        .worker(worker())
        .register(|Add(a, b), context: Context| async move {
            context.progress(0.5, "half");
            tokio::time::sleep(Duration::from_millis(1500)).await;
            if a == 9 { Err(TaskError::fatal("nine")) } else { Ok(a + b) }
        })
        .start()
        .unwrap();
    let (status, said) = events.await.unwrap();
    assert_eq!(status, 200);
    let order = ["event: progress", r#""state":"ready""#, "half", "event: end", r#""state":"done""#];
    let mut at = 0;
    for part in order {
        at += said[at..].find(part).unwrap_or_else(|| panic!("{part} is missing or early: {said}"));
    }
    assert_eq!(ask(to, "GET", "/tasks/1/result", "").await, (200, "5".to_owned()));
    let (_, record) = ask(to, "GET", "/tasks/1", "").await;
    assert!(record.contains(r#""payload":[2,3]"#) && record.contains(r#""state":"done""#), "{record}");
    ask(to, "POST", "/tasks", r#"{"name":"add","payload":[9,9]}"#).await;
    queue.wait(tidemill_task_queue::TaskId(2), LONG).await.unwrap();
    let (status, body) = ask(to, "GET", "/tasks/2/result", "").await;
    assert!(status == 409 && body.contains("nine"), "{status} {body}");
    assert_eq!(ask(to, "POST", "/tasks/2/replay", "").await.0, 202);
    let (_, page) = ask(to, "GET", "/tasks?state=done&limit=5", "").await;
    assert!(page.starts_with(r#"[{"attempt":1"#), "{page}");
    work.close(LONG).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let dir = tempdir().unwrap();
    let to = serve(queue(sqlite(&dir), "one")).await;
    let late = r#"{"name":"add","payload":[1,1],"run_at":"2099-01-01T00:00:00Z"}"#;
    assert_eq!(ask(to, "POST", "/tasks", late).await.0, 202);
    assert_eq!(ask(to, "DELETE", "/tasks/1", "").await, (200, r#"{"ended":true}"#.to_owned()));
    let long = format!(r#"{{"name":"add","payload":"{}"}}"#, "x".repeat(80_000));
    let fairly = format!(r#"{{"name":"add","payload":"{}"}}"#, "x".repeat(65_600));
    for (method, path, body, expected) in [
        ("POST", "/tasks", "{", 400),
        ("POST", "/tasks", r#"{"name":"add"}"#, 400),
        ("POST", "/tasks", r#"{"name":"add","payload":1,"more":1}"#, 400),
        ("POST", "/tasks", r#"{"name":"rm","payload":1}"#, 404),
        ("POST", "/tasks", long.as_str(), 413),
        ("POST", "/tasks", fairly.as_str(), 400),
        ("GET", "/tasks/77", "", 404),
        ("GET", "/tasks/x", "", 400),
        ("GET", "/tasks/-1/result", "", 400),
        ("GET", "/tasks/77/progress", "", 404),
        ("DELETE", "/tasks/77", "", 404),
        ("POST", "/tasks/77/replay", "", 404),
        ("GET", "/tasks?state=odd", "", 400),
        ("GET", "/tasks?colour=red", "", 400),
    ] {
        assert_eq!(ask(to, method, path, body).await.0, expected, "{method} {path}");
    }
}
