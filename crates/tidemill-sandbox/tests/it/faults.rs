//! Each fault as a client meets it, and that a seed repeats a run.

use std::time::{Duration, Instant};

use tidemill_sandbox::{Config, FaultKind, Faults};

use crate::client::{Answer, daily, get, open, start};

/// The answers to three requests of which the second meets a fault.
async fn second_of_three(kind: FaultKind, faults: Faults) -> (Answer, Duration) {
    let running = start(Config { faults: faults.at(kind, [2]), ..open() }).await;
    assert!(get(running.addr(), &daily("IBM", "k1")).await.has_data());
    let begun = Instant::now();
    let answer = get(running.addr(), &daily("IBM", "k1")).await;
    let took = begun.elapsed();
    assert!(get(running.addr(), &daily("IBM", "k1")).await.has_data(), "{kind:?} is over");
    let stats = running.stats();
    assert_eq!((stats.admitted, stats.faults[&kind]), (3, 1), "a fault is counted by the quota too");
    let whole = if kind == FaultKind::Slow { 3 } else { 2 };
    assert_eq!((stats.served, running.symbol_stats()["IBM"].served), (whole, whole as u32));
    (answer, took)
}

#[tokio::test]
async fn statuses() {
    let (answer, _) = second_of_three(FaultKind::InternalError, Faults::none()).await;
    assert_eq!(answer.status, 500);
    let (answer, _) = second_of_three(FaultKind::Unavailable, Faults::none()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let (answer, _) = second_of_three(FaultKind::Refusal, Faults::none()).await;
    assert!(answer.is_refusal());
}

#[tokio::test]
async fn a_truncated_body_is_shorter_than_announced() {
    let (answer, _) = second_of_three(FaultKind::Truncated, Faults::none()).await;
    assert_eq!((answer.status, answer.reset), (200, false));
    assert_eq!(answer.body.len(), answer.announced() / 2);
    assert!(answer.text().starts_with("{\n    \"Meta Data\""));
}

#[tokio::test]
async fn malformed_json_is_a_whole_answer_that_does_not_parse() {
    let (answer, _) = second_of_three(FaultKind::Malformed, Faults::none()).await;
    assert_eq!((answer.status, answer.body.len()), (200, answer.announced()));
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
    assert!(answer.text().contains("Time Series (Daily)"), "it looks like data at first");
}

#[tokio::test]
async fn a_stalled_body_stands_still_and_never_ends() {
    let stall = Duration::from_millis(300);
    let (answer, took) = second_of_three(FaultKind::Stalled, Faults { stall, ..Faults::none() }).await;
    assert_eq!(answer.body.len(), answer.announced() / 2);
    assert!(took >= stall, "{took:?}");
}

#[tokio::test]
async fn a_stalled_body_has_sent_its_half_before_it_stalls() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let faults = Faults::none().at(FaultKind::Stalled, [1]);
    let running = start(Config { faults, ..open() }).await;
    let mut socket = tokio::net::TcpStream::connect(running.addr()).await.unwrap();
    socket
        .write_all(format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", daily("IBM", "k1")).as_bytes())
        .await
        .unwrap();
    let mut bytes = vec![0; 4096];
    let half = tokio::time::timeout(Duration::from_secs(10), socket.read_exact(&mut bytes)).await;
    assert!(half.is_ok(), "the half comes although the stall lasts 30 s");
    let cut = running.close(Duration::from_millis(50)).await.cut;
    assert_eq!(cut, 1, "a stalled answer does not outlive its server");
}

#[tokio::test]
async fn a_reset_is_a_reset_and_not_an_end() {
    let (answer, _) = second_of_three(FaultKind::Reset, Faults::none()).await;
    assert!(answer.reset);
    assert_eq!((answer.status, answer.head.as_str(), answer.body.len()), (0, "", 0));
}

#[tokio::test]
async fn slow_is_late_and_good() {
    let slow = Duration::from_millis(300);
    let (answer, took) = second_of_three(FaultKind::Slow, Faults { slow, ..Faults::none() }).await;
    assert!(answer.has_data() && took >= slow, "{took:?}");
}

#[tokio::test]
async fn a_key_is_revoked_after_its_requests() {
    let running = start(Config { faults: Faults::none().revoke("k2", 3), ..open() }).await;
    for request in 0..5 {
        let answer = get(running.addr(), &daily("IBM", "k2")).await;
        assert_eq!(answer.has_data(), request < 3);
        assert_eq!(answer.json().get("Error Message").is_some(), request >= 3);
    }
    assert!(get(running.addr(), &daily("IBM", "k1")).await.has_data(), "others stay valid");
    let stats = running.stats();
    assert_eq!((stats.keys[1].admitted, stats.keys[1].revoked, stats.invalid_key), (3, 2, 2));
}

#[tokio::test]
async fn the_same_seed_is_the_same_run() {
    async fn run(seed: u64) -> Vec<(u16, bool, Vec<u8>)> {
        let kinds =
            FaultKind::ALL.into_iter().filter(|kind| !matches!(kind, FaultKind::Slow | FaultKind::Stalled));
        let faults = kinds.fold(Faults::none(), |faults, kind| faults.with_probability(kind, 0.06));
        let running = start(Config { faults, seed, ..open() }).await;
        let mut answers = Vec::new();
        for request in 0..120 {
            let answer = get(running.addr(), &daily(&format!("SYM{:04}", 5 + request), "k1")).await;
            answers.push((answer.status, answer.reset, answer.body));
        }
        let hit: u64 = running.stats().faults.values().sum();
        assert!((15..80).contains(&hit), "{hit}");
        answers
    }
    let first = run(11).await;
    assert!(first == run(11).await);
    assert!(first != run(12).await);
}
