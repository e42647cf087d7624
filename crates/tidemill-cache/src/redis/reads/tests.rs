//! Reads beside a server that says what a test tells it to.

use std::sync::atomic::{AtomicU64, Ordering};

use redis::IntoConnectionInfo as _;
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server of one connection: its greeting, then `answers`, one for each command, and the end.
async fn server(answers: Vec<&'static str>) -> (ConnectionInfo, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let greeting = ["%0\r\n", "$12\r\nrun_id:abc\r\n\r\n", "+OK\r\n"];
        let mut asked = BytesMut::new();
        for answer in greeting.into_iter().chain(answers) {
            let len = loop {
                if let Some(len) = resp::frame(&asked).unwrap() {
                    break len;
                }
                if socket.read_buf(&mut asked).await.unwrap() == 0 {
                    return;
                }
            };
            asked.advance(len);
            // In pieces, as a network may bring it.
            for piece in answer.as_bytes().chunks(3) {
                socket.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    (url.as_str().into_connection_info().unwrap(), served)
}

/// What each of the keys got, one after the other, and how many pushes came.
async fn get(
    answers: Vec<&'static str>,
    keys: &[&str],
    timeout: Duration,
) -> (Vec<Option<Result<Option<bytes::Bytes>, Failed>>>, u64) {
    let (info, served) = server(answers).await;
    let stream = Stream::open(&info, b"counter", "abc").await.unwrap().unwrap();
    let (queue, pushes) = (Arc::new(Queue::default()), Arc::new(AtomicU64::new(0)));
    let serving = tokio::spawn({
        let (queue, pushes) = (Arc::clone(&queue), Arc::clone(&pushes));
        async move { stream.serve(&queue, timeout, || _ = pushes.fetch_add(1, Ordering::Relaxed)).await }
    });
    while !queue.is_served() {
        tokio::task::yield_now().await;
    }
    let mut got = Vec::new();
    for key in keys {
        got.push(queue.get(key.as_bytes()).await);
    }
    serving.abort();
    served.abort();
    (got, pushes.load(Ordering::Relaxed))
}

fn value(text: &'static str) -> Option<Result<Option<bytes::Bytes>, Failed>> {
    Some(Ok(Some(bytes::Bytes::from_static(text.as_bytes()))))
}

#[tokio::test]
async fn values_come_beside_pushes_and_refusals() {
    let answers = vec![
        ">2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\ncounter\r\n*1\r\n$2\r\n\r\n\r\n",
        "-LOADING wait\r\n",
        "*1\r\n_\r\n",
    ];
    let (got, pushes) = get(answers, &["a", "b", "c"], PATIENCE).await;
    assert_eq!(got, [value("\r\n"), Some(Err(Failed::Refused)), Some(Ok(None))]);
    assert_eq!(pushes, 1);
}

/// Who asked hears of the loss and not another's value; whoever comes later takes another way.
#[tokio::test]
async fn an_answer_to_something_else_ends_the_connection() {
    for odd in [
        "*2\r\n$1\r\nx\r\n$1\r\ny\r\n",
        "$1\r\nx\r\n",
        "*1\r\n$1\r\nxy\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n$1\r\nx\r\n+OK\r\n*1\r\n$1\r\ny\r\n",
    ] {
        let (got, _) =
            get(vec!["*1\r\n$1\r\na\r\n", odd, "*1\r\n$1\r\nz\r\n"], &["a", "b", "c", "d"], PATIENCE).await;
        assert_eq!(got[0], value("a"));
        assert!(!got.contains(&value("z")) && !got.contains(&value("y")), "{odd:?} {got:?}");
        assert_eq!(got[3], None, "{odd:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_late() {
    let (got, _) = get(vec!["*1\r\n$5\r\nab"], &["a", "b"], Duration::from_millis(50)).await;
    assert!(matches!(got[0], Some(Err(Failed::Late | Failed::Lost))), "{got:?}");
    assert_eq!(got[1], None);
}

#[tokio::test]
async fn another_server_at_the_address_is_not_read() {
    let (info, _served) = server(Vec::new()).await;
    assert!(Stream::open(&info, b"counter", "another").await.is_err());
}

/// More than all turns hold wait, and are served or told of the end.
#[tokio::test]
async fn who_finds_no_place_waits() {
    let queue = Arc::new(Queue::default());
    assert_eq!(queue.get(b"a").await, None);
    queue.open();
    let many = KEYS * TURNS + 100;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..many {
        let queue = Arc::clone(&queue);
        tasks.spawn(async move { queue.get(b"a").await });
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut served = 0;
    while served < many - 50 {
        let Some(pending) = queue.take() else {
            tokio::task::yield_now().await;
            continue;
        };
        assert!(pending.count <= KEYS);
        served += pending.count;
        pending.turn.end(Ok(Answers { frame: bytes::Bytes::new(), found: vec![None; pending.count] }));
    }
    queue.close();
    assert!(tasks.join_all().await.into_iter().all(|got| got != Some(Err(Failed::Late))));
}
