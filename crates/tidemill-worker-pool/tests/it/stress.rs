//! Everything at once on several threads: resize, cancel, panic, timeouts and a drain in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidemill_worker_pool::{Config, ErrorKind, Job, JobContext, JobError, Pool, Priority, Retry};

use crate::{MS, SECOND, pool, workers};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn resize_1000_times_under_load_loses_no_job_and_leaks_no_worker() {
    let pool = pool(Config { max_workers: 64, queue: 64, recycle_after: 50, ..workers(4) });
    let ran = Arc::new(AtomicU64::new(0));
    let feeders: Vec<_> = (0..3)
        .map(|_| {
            let (pool, ran) = (pool.clone(), Arc::clone(&ran));
            tokio::spawn(async move {
                for i in 0..4000_u32 {
                    let ran = Arc::clone(&ran);
                    let job = Job::new(move |_| {
                        let ran = Arc::clone(&ran);
                        async move {
                            if i % 3 == 0 {
                                tokio::task::yield_now().await;
                            }
                            ran.fetch_add(1, Ordering::Relaxed);
                            Ok(())
                        }
                    });
                    pool.submit(job.priority(Priority::ALL[i as usize % 3])).await.unwrap().detach();
                }
            })
        })
        .collect();
    for _ in 0..1000 {
        pool.resize(64).unwrap();
        tokio::task::yield_now().await;
        pool.resize(4).unwrap();
        tokio::task::yield_now().await;
    }
    for feeder in feeders {
        feeder.await.unwrap();
    }
    while pool.stats().workers != 4 {
        tokio::task::yield_now().await;
    }
    let report = pool.close(60 * SECOND).await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(ran.load(Ordering::Relaxed), 12_000);
    assert_eq!(pool.stats().total().done, 12_000);
    assert_eq!(pool.stats().workers, 0);
}

/// One round: many submitters, random ends, a resize loop, then a close that comes in the middle.
async fn round(seed: u64) {
    let config = Config { max_workers: 16, queue: 32, seed, recycle_after: seed % 8, ..workers(3) };
    let pool = Pool::builder(config).build().unwrap();
    let submitters: Vec<_> = (0..4_u64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut counts = [0_u64; 6];
                let mut handles = Vec::new();
                for i in 0..300_u64 {
                    let dice = (i * 7 + n * 13 + seed * 31) % 10;
                    let job = Job::new(move |ctx: JobContext| async move {
                        match dice {
                            0 => std::panic::resume_unwind(Box::new("panic")),
                            1 if ctx.attempt() == 1 => Err(JobError::retriable("again")),
                            2 => {
                                tokio::time::sleep(3600 * SECOND).await;
                                Ok(i)
                            }
                            3 => {
                                tokio::task::yield_now().await;
                                Ok(i)
                            }
                            4 => Err(JobError::fatal("no")),
                            _ => Ok(i),
                        }
                    });
                    let job = job.retry(Retry { max: 1, base: MS, cap: MS }).group(format!("g{n}"));
                    let job = if dice == 2 && i % 2 == 0 { job.timeout(MS) } else { job };
                    let Ok(handle) = pool.submit(job).await else { break };
                    if i % 11 == 0 || dice == 2 {
                        handle.cancel();
                    }
                    handles.push(handle);
                }
                let accepted = handles.len() as u64;
                for handle in handles {
                    let i = match handle.await {
                        Ok(_) => 0,
                        Err(error) => match error.kind() {
                            ErrorKind::Failed => 1,
                            ErrorKind::TimedOut => 2,
                            ErrorKind::Panicked => 3,
                            ErrorKind::Cancelled => 4,
                            ErrorKind::Closed => 5,
                            other => panic!("{other:?}"),
                        },
                    };
                    counts[i] += 1;
                }
                (accepted, counts)
            })
        })
        .collect();
    for i in 0..50 {
        let _ = pool.resize(1 + (i * 5) % 16);
        tokio::task::yield_now().await;
    }
    let report = pool.close((seed as u32 % 5) * MS).await;
    assert_eq!(report.stuck, 0);
    let mut all = [0; 6];
    let mut accepted = 0;
    for submitter in submitters {
        let (some, counts) = submitter.await.unwrap();
        accepted += some;
        all.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
    }
    let total = pool.stats().total();
    assert_eq!(total.accepted, accepted);
    let counted =
        [total.done, total.failed, total.timed_out, total.panicked, total.cancelled, total.returned];
    assert_eq!(counted, all, "every handle agrees with the counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn resize_cancel_drain_and_panic_together() {
    for seed in 0..60 {
        round(seed).await;
    }
}
