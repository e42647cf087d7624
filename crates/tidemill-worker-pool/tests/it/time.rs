//! What the clock decides: timeouts, deadlines, backoff, the budget. The clock is paused, so waits are exact.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_worker_pool::{
    Budget, Config, ErrorKind, Event, EventKind, Job, JobContext, JobError, Pool, Retry,
};
use tokio::time::{Instant, sleep};

use crate::{MS, SECOND, pool, workers};

const RETRY: Retry = Retry { max: 3, base: Duration::from_millis(100), cap: Duration::from_millis(300) };

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_an_attempt_to_the_millisecond() {
    let pool = pool(workers(1));
    let start = Instant::now();
    let job = Job::new(|_| async {
        sleep(60 * SECOND).await;
        Ok(())
    });
    let error = pool.submit(job.timeout(250 * MS)).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "job took longer than 250ms at attempt 1");
    assert_eq!(start.elapsed().as_millis(), 250);
    assert_eq!(pool.stats().total().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_timed_out_is_tried_again() {
    let pool = pool(workers(1));
    let job = Job::new(|ctx: JobContext| async move {
        if ctx.attempt() < 3 {
            sleep(60 * SECOND).await;
        }
        Ok(ctx.attempt())
    });
    assert_eq!(pool.submit(job.timeout(250 * MS).retry(RETRY)).await.unwrap().await.unwrap(), 3);
    assert_eq!(pool.stats().total().retried, 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_covers_waiting_and_retries() {
    let pool = pool(workers(1));
    pool.submit(Job::new(|_| async {
        sleep(SECOND).await;
        Ok(())
    }))
    .await
    .unwrap()
    .detach();
    let waited = pool.submit(Job::new(|_| async { Ok(()) }).deadline(500 * MS)).await.unwrap();
    assert_eq!(waited.await.unwrap_err().kind(), ErrorKind::TimedOut);
    let start = Instant::now();
    let job = Job::new(|_| async {
        sleep(400 * MS).await;
        Err::<(), _>(JobError::retriable("no"))
    });
    let retry = Retry { max: 100, base: MS, cap: MS };
    let error = pool.submit(job.deadline(SECOND).retry(retry)).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_millis(), 1000);
}

/// The delays before each retry of a job that always fails.
async fn delays(seed: u64, after: Option<Duration>) -> Vec<Duration> {
    let delays: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let log = Arc::clone(&delays);
    let pool = Pool::builder(Config { seed, ..workers(1) })
        .on_event(move |event: &Event| {
            if let EventKind::Retrying { delay } = event.kind {
                log.lock().unwrap().push(delay);
            }
        })
        .build()
        .unwrap();
    let job = Job::new(move |_| async move {
        let error = JobError::retriable("no");
        Err::<(), _>(match after {
            Some(after) => error.after(after),
            None => error,
        })
    });
    let start = Instant::now();
    let error = pool.submit(job.retry(RETRY)).await.unwrap().await.unwrap_err();
    assert_eq!(error.to_string(), "job failed at attempt 4, its last");
    assert!(error.is_retryable());
    assert_eq!(error.retry_after(), after);
    let all = delays.lock().unwrap().clone();
    // A timer fires up to a millisecond late.
    let slept = start.elapsed();
    let planned: Duration = all.iter().sum();
    assert!(slept >= planned && slept <= planned + 3 * MS, "{slept:?} for {planned:?}");
    all
}

#[tokio::test(start_paused = true)]
async fn backoff_has_full_jitter_below_its_ceiling_and_repeats_with_its_seed() {
    let mut first = Vec::new();
    for seed in 0..40 {
        let all = delays(seed, None).await;
        assert_eq!(all.len(), 3);
        for (delay, ceiling) in all.iter().zip([100, 200, 300]) {
            assert!(*delay < ceiling * MS, "{delay:?} of {ceiling} ms");
        }
        first.push(all[0]);
    }
    assert!(first.iter().any(|d| *d < 25 * MS) && first.iter().any(|d| *d > 75 * MS), "{first:?}");
    assert_eq!(delays(7, None).await, delays(7, None).await);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_in_full_and_bounded() {
    for delay in delays(1, Some(2 * SECOND)).await {
        assert!(delay >= 2 * SECOND && delay < 2 * SECOND + 100 * MS, "{delay:?}");
    }
    let pool = pool(workers(1));
    let job = Job::new(|_| async { Err::<(), _>(JobError::retriable("quota").after(3600 * SECOND)) });
    let error = pool.submit(job.retry(RETRY)).await.unwrap().await.unwrap_err();
    assert_eq!(error.to_string(), "job failed at attempt 1, asked to wait longer than `max_retry_after`");
    assert_eq!(error.retry_after(), Some(3600 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_job_holds_no_worker() {
    let pool = pool(workers(1));
    let slow = Job::new(|ctx: JobContext| async move {
        if ctx.attempt() == 1 { Err(JobError::retriable("later").after(10 * SECOND)) } else { Ok(()) }
    });
    let delayed = pool.submit(slow.retry(RETRY)).await.unwrap();
    let start = Instant::now();
    pool.submit(Job::new(|_| async { Ok(()) })).await.unwrap().await.unwrap();
    assert!(start.elapsed() < MS);
    assert_eq!(pool.stats().delayed, 1);
    delayed.await.unwrap();
    assert!(start.elapsed() >= 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_retry_budget_bounds_a_storm() {
    for (budget, wanted) in
        [(Budget { ratio: 0.1, per_second: 0.0, reserve: 10.0 }, 19..=20), (Budget::UNLIMITED, 300..=300)]
    {
        let pool = pool(Config { retry_budget: budget, ..workers(4) });
        for _ in 0..100 {
            let job = Job::new(|_| async { Err::<(), _>(JobError::retriable("down")) });
            let handle = pool.submit(job.retry(Retry { base: MS, ..RETRY })).await.unwrap();
            assert_eq!(handle.await.unwrap_err().kind(), ErrorKind::Failed);
        }
        let retried = pool.stats().total().retried;
        assert!(wanted.contains(&retried), "{retried} retries, expected {wanted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_is_not_tried_again() {
    let pool = pool(workers(1));
    let job = Job::new(|_| async { Err::<(), _>(JobError::fatal(std::io::Error::other("bad key"))) });
    let error = pool.submit(job.retry(RETRY)).await.unwrap().await.unwrap_err();
    assert_eq!(error.to_string(), "job failed at attempt 1");
    assert!(!error.is_retryable());
    assert_eq!(error.into_source().unwrap().downcast_ref::<std::io::Error>().unwrap().to_string(), "bad key");
}
