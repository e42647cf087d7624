//! Batches: filled by number or time, each caller its own answer, and who leaves is left out.

use std::sync::{Arc, Mutex};

use tidemill_worker_pool::{Batcher, Batching, ErrorKind, JobError};
use tokio::time::{Instant, sleep, timeout};

use crate::{MS, SECOND};

type Log = Arc<Mutex<Vec<Vec<i32>>>>;

/// Squares; a negative number is an error of its own, 99 a panic of all.
fn squares(config: Batching) -> (Batcher<i32, i32>, Log) {
    let log = Log::default();
    let seen = Arc::clone(&log);
    let batcher = Batcher::new(config, move |items: Vec<i32>| {
        seen.lock().unwrap().push(items.clone());
        async move {
            sleep(10 * MS).await;
            assert!(!items.contains(&99), "ninety-nine");
            items
                .into_iter()
                .map(|n| if n < 0 { Err(JobError::retriable("negative")) } else { Ok(n * n) })
                .collect()
        }
    });
    (batcher.unwrap(), log)
}

fn config(items: usize) -> Batching {
    Batching { items, every: SECOND, ..Batching::default() }
}

#[tokio::test(start_paused = true)]
async fn a_batch_begins_when_it_is_full_or_its_time_is_up() {
    let (batcher, log) = squares(config(3));
    let start = Instant::now();
    let calls: Vec<_> = (1..=4)
        .map(|n| {
            let batcher = batcher.clone();
            tokio::spawn(async move { (batcher.call(n).await.unwrap(), Instant::now()) })
        })
        .collect();
    let mut ends = Vec::new();
    for (n, call) in (1..).zip(calls) {
        let (square, at) = call.await.unwrap();
        assert_eq!(square, n * n);
        ends.push((at - start).as_millis());
    }
    assert_eq!(ends, [10, 10, 10, 1010], "three at once, the fourth after its second");
    assert_eq!(*log.lock().unwrap(), [vec![1, 2, 3], vec![4]]);
}

#[tokio::test(start_paused = true)]
async fn each_caller_gets_its_own_answer_or_its_own_error() {
    let (batcher, _) = squares(config(3));
    let (one, two, three) = tokio::join!(batcher.call(2), batcher.call(-1), batcher.call(3));
    assert_eq!((one.unwrap(), three.unwrap()), (4, 9));
    let error = two.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Failed, true));
    assert_eq!(error.into_source().unwrap().to_string(), "negative");
}

#[tokio::test(start_paused = true)]
async fn a_panic_reaches_those_in_the_batch_and_nobody_else() {
    let (batcher, _) = squares(config(2));
    let (one, two) = tokio::join!(batcher.call(1), batcher.call(99));
    for result in [one, two] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);
        assert!(error.to_string().contains("ninety-nine"), "{error}");
    }
    assert_eq!(batcher.call(5).await.unwrap(), 25);
}

#[tokio::test(start_paused = true)]
async fn too_few_answers_are_an_error_of_those_who_got_none() {
    let batcher = Batcher::new(config(2), |items: Vec<i32>| async move { vec![Ok(items[0])] }).unwrap();
    let (one, two) = tokio::join!(batcher.call(1), batcher.call(2));
    assert_eq!(one.unwrap(), 1);
    assert_eq!(two.unwrap_err().kind(), ErrorKind::Failed);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_no_place_in_the_batch() {
    let (batcher, log) = squares(config(2));
    assert!(timeout(500 * MS, batcher.call(1)).await.is_err());
    let start = Instant::now();
    let (two, three) = tokio::join!(batcher.call(2), batcher.call(3));
    assert_eq!((two.unwrap(), three.unwrap()), (4, 9));
    assert_eq!(*log.lock().unwrap(), [vec![2, 3]], "the first is not among them");
    assert_eq!(start.elapsed(), 10 * MS);
    assert!(timeout(500 * MS, batcher.call(4)).await.is_err());
    sleep(5 * SECOND).await;
    assert_eq!(log.lock().unwrap().len(), 1, "a batch of nobody does not run");
}

#[tokio::test(start_paused = true)]
async fn batches_run_side_by_side_up_to_their_bound() {
    for (parallel, took) in [(1, 40), (2, 20), (4, 10)] {
        let (batcher, _) = squares(Batching { parallel, ..config(1) });
        let start = Instant::now();
        let calls = tokio::join!(batcher.call(1), batcher.call(2), batcher.call(3), batcher.call(4));
        assert_eq!(calls.3.unwrap(), 16);
        assert_eq!(start.elapsed().as_millis(), took);
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_runs_what_it_has_at_once_and_takes_no_more() {
    let (batcher, log) = squares(config(10));
    let call = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.call(7).await }
    });
    sleep(MS).await;
    let start = Instant::now();
    assert!(batcher.close(SECOND).await);
    assert_eq!(start.elapsed(), 10 * MS, "it does not wait for others");
    assert_eq!(call.await.unwrap().unwrap(), 49);
    assert_eq!(log.lock().unwrap().len(), 1);
    assert_eq!(batcher.call(1).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_runs_out_of_time_says_so() {
    let (batcher, _) = squares(config(1));
    let call = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.call(7).await }
    });
    sleep(MS).await;
    assert!(!batcher.close(MS).await);
    assert_eq!(call.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
}
