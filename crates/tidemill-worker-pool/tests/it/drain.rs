//! The end of a pool: what has ended, what is given back, what is stopped.

use std::pin::Pin;
use std::time::Duration;

use tidemill_worker_pool::{ErrorKind, Job, JobContext, JobError, Retry};
use tokio::time::{Instant, sleep};

use crate::{MS, SECOND, pool, workers};

type Boxed = Pin<Box<dyn Future<Output = Result<u32, JobError>> + Send>>;

fn takes(time: Duration) -> Job<impl FnMut(JobContext) -> Boxed> {
    Job::new(move |_| -> Boxed {
        Box::pin(async move {
            sleep(time).await;
            Ok(1)
        })
    })
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_when_the_last_job_does() {
    let pool = pool(workers(2));
    let mut handles = Vec::new();
    for _ in 0..10 {
        handles.push(pool.submit(takes(SECOND)).await.unwrap());
    }
    let start = Instant::now();
    let report = pool.close(60 * SECOND).await;
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(report.ran, 10);
    assert!(report.is_complete());
    for handle in handles {
        assert_eq!(handle.await.unwrap(), 1);
    }
    assert_eq!(pool.submit(takes(MS)).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(pool.try_submit(takes(MS)).unwrap_err().error().kind(), ErrorKind::Closed);
    assert_eq!(pool.resize(3).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(pool.stats().workers, 0);
    assert!(pool.close(SECOND).await.is_complete(), "again");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_returns_and_stops_what_is_left() {
    let pool = pool(workers(2));
    let mut handles = Vec::new();
    for i in 0..6 {
        handles.push(pool.submit(takes(3 * SECOND).label(format!("job {i}"))).await.unwrap());
    }
    let retry = Retry { max: 1, base: MS, cap: MS };
    let job = Job::new(|_| async { Err::<u32, _>(JobError::retriable("no").after(60 * SECOND)) });
    let delayed =
        pool.submit(job.retry(retry).label("delayed").priority(tidemill_worker_pool::Priority::High));
    let delayed = delayed.await.unwrap();
    let start = Instant::now();
    let report = pool.close(5 * SECOND).await;
    assert_eq!(start.elapsed().as_secs(), 5);
    let labels = |list: &[tidemill_worker_pool::JobInfo]| {
        let mut labels: Vec<_> = list.iter().map(|job| job.label.as_deref().unwrap().to_owned()).collect();
        labels.sort_unstable();
        labels
    };
    // The HIGH job went first and waits for its retry; two ended at 3 s; two were stopped; two never began.
    assert_eq!(report.ran, 2);
    assert_eq!(labels(&report.unfinished), ["job 2", "job 3"]);
    assert_eq!(labels(&report.returned), ["delayed", "job 4", "job 5"]);
    assert_eq!(report.stuck, 0);
    for (i, handle) in handles.into_iter().enumerate() {
        let result = handle.await;
        if i < 2 {
            assert_eq!(result.unwrap(), 1);
        } else {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed, "job {i}");
        }
    }
    assert_eq!(delayed.await.unwrap_err().kind(), ErrorKind::Closed);
    let total = pool.stats().total();
    assert_eq!((total.accepted, total.ended(), total.returned), (7, 7, 5));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_retries() {
    let pool = pool(workers(1));
    let job = Job::new(|ctx: JobContext| async move {
        if ctx.attempt() < 3 { Err(JobError::retriable("no").after(SECOND)) } else { Ok(ctx.attempt()) }
    });
    let handle = pool.submit(job.retry(Retry { max: 3, base: MS, cap: MS })).await.unwrap();
    assert!(pool.close(10 * SECOND).await.is_complete());
    assert_eq!(handle.await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_gives_everything_back() {
    let pool = pool(workers(1));
    let running = pool.submit(takes(SECOND)).await.unwrap();
    let waiting = pool.submit(takes(SECOND)).await.unwrap();
    sleep(MS).await;
    drop(pool);
    assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(running.await.unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_runtime_that_ends_leaves_no_handle_waiting() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (pool, handles) = runtime.block_on(async {
        let pool = pool(workers(2));
        let mut handles = Vec::new();
        for _ in 0..6 {
            handles.push(pool.submit(takes(3600 * SECOND)).await.unwrap());
        }
        (pool, handles)
    });
    drop(runtime);
    drop(pool);
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for handle in handles {
        assert_eq!(other.block_on(handle).unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_blocks_its_thread_is_reported() {
    let pool = pool(workers(1));
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let job = Job::new(move |_| {
        blocked.lock().unwrap().recv().unwrap();
        async { Ok(2) }
    });
    let handle = pool.submit(job).await.unwrap();
    while pool.stats().running == 0 {
        tokio::task::yield_now().await;
    }
    let report = pool.close(10 * MS).await;
    assert_eq!(report.stuck, 1);
    assert!(!report.is_complete());
    release.send(()).unwrap();
    assert_eq!(handle.await.unwrap(), 2, "it ends by itself after all");
}

/// Guards b44d907: a retry that was decided after the close had collected the delayed jobs was put among them, and its
/// handle waited for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_meets_the_end_of_a_close_ends_with_it() {
    let pool = pool(workers(1));
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let job = Job::new(move |_| {
        // The first poll: it cannot be stopped, and its verdict comes when the pool has ended.
        blocked.lock().unwrap().recv().unwrap();
        async { Err::<u32, _>(JobError::retriable("no")) }
    });
    let handle = pool.submit(job.retry(Retry { max: 3, base: MS, cap: MS })).await.unwrap();
    while pool.stats().running == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.close(Duration::ZERO).await.stuck, 1, "it has collected what there was");
    release.send(()).unwrap();
    let error =
        tokio::time::timeout(60 * SECOND, handle).await.expect("the handle hears of the end").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("closed"), "{error}");
}

/// A pool with one job that waits 60 s for its next attempt.
async fn with_delayed() -> (tidemill_worker_pool::Pool, tidemill_worker_pool::JobHandle<u32>) {
    let pool = pool(workers(2));
    let job = Job::new(|_| async { Err::<u32, _>(JobError::retriable("no").after(60 * SECOND)) });
    let handle = pool.submit(job.retry(Retry { max: 1, base: MS, cap: MS })).await.unwrap();
    sleep(MS).await;
    (pool, handle)
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_cancelled_retry() {
    let (pool, handle) = with_delayed().await;
    handle.cancel();
    let start = Instant::now();
    assert!(pool.close(600 * SECOND).await.is_complete());
    assert!(start.elapsed() < SECOND);
    assert_eq!(pool.stats().total().cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_cancelled_during_the_drain_ends_it_when_it_was_due() {
    let (pool, handle) = with_delayed().await;
    let start = Instant::now();
    let cancel = tokio::spawn(async move {
        sleep(SECOND).await;
        handle.cancel();
    });
    assert!(pool.close(600 * SECOND).await.is_complete());
    assert_eq!(start.elapsed().as_secs(), 60);
    cancel.await.unwrap();
}
