//! Who runs first: priorities, aging, groups and the bound of the queue.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_worker_pool::{Config, ErrorKind, Job, JobError, Pool, Priority};
use tokio::time::{Instant, sleep, timeout};

use crate::{MS, SECOND, pool, workers};

/// Submits a job that takes `time` and then writes `name` down.
async fn note(
    pool: &Pool,
    log: &Arc<Mutex<Vec<String>>>,
    name: &str,
    priority: Priority,
    group: &str,
    time: Duration,
) {
    let log = Arc::clone(log);
    let text = name.to_owned();
    let job = Job::new(move |_| {
        let (log, text) = (Arc::clone(&log), text.clone());
        async move {
            sleep(time).await;
            log.lock().unwrap().push(text);
            Ok(())
        }
    });
    pool.submit(job.priority(priority).group(group)).await.unwrap().detach();
}

#[tokio::test(start_paused = true)]
async fn higher_priorities_go_first_and_equals_in_order() {
    let pool = pool(workers(1));
    let log = Arc::default();
    note(&pool, &log, "first", Priority::Low, "g", 10 * MS).await;
    sleep(MS).await;
    for (name, priority) in [
        ("l1", Priority::Low),
        ("n1", Priority::Normal),
        ("h1", Priority::High),
        ("l2", Priority::Low),
        ("h2", Priority::High),
        ("n2", Priority::Normal),
    ] {
        note(&pool, &log, name, priority, "g", MS).await;
    }
    assert!(pool.close(SECOND).await.is_complete());
    assert_eq!(*log.lock().unwrap(), ["first", "h1", "h2", "n1", "n2", "l1", "l2"]);
}

#[tokio::test(start_paused = true)]
async fn low_starts_within_its_aging_bound_under_endless_high() {
    for (aging, starves) in [(SECOND, false), (1000 * SECOND, true)] {
        let pool = pool(Config { aging, ..workers(1) });
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flood = tokio::spawn({
            let (pool, log, stop) = (pool.clone(), Arc::clone(&log), Arc::clone(&stop));
            async move {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    note(&pool, &log, "high", Priority::High, "g", 10 * MS).await;
                }
            }
        });
        sleep(5 * SECOND).await;
        let started = Instant::now();
        let low = pool.submit(
            Job::new(move |_| async move { Ok(started.elapsed()) }).priority(Priority::Low).group("g"),
        );
        let handle = low.await.unwrap();
        // After two steps it is HIGH; those HIGH jobs that wait longer than it stand before it: a full queue.
        let bound = 2 * SECOND + 101 * 10 * MS;
        let result = timeout(20 * SECOND, handle).await;
        if starves {
            assert!(result.is_err(), "the control: without aging LOW starves");
        } else {
            let waited = result.unwrap().unwrap();
            assert!(waited <= bound, "{waited:?}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        flood.abort();
        pool.close(Duration::ZERO).await;
    }
}

/// The mean wait of the fast group's jobs beside a slow group with endless work, and without.
async fn fast_wait(slow: bool, share: f64) -> Duration {
    let pool = pool(Config { group_share: share, queue: 500, ..workers(4) });
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    if slow {
        for _ in 0..400 {
            note(&pool, &log, "slow", Priority::Normal, "slow", SECOND).await;
        }
    }
    let mut waits = Vec::new();
    for _ in 0..200 {
        let submitted = Instant::now();
        let job = Job::new(move |_| async move {
            let waited = submitted.elapsed();
            sleep(10 * MS).await;
            Ok(waited)
        });
        let handle = pool.submit(job.group("fast")).await.unwrap();
        sleep(20 * MS).await;
        waits.push(handle.await.unwrap());
    }
    pool.close(Duration::ZERO).await;
    // The first may find all workers taken: until it came, the slow group was alone.
    waits.drain(..1);
    waits.sort_unstable();
    waits[waits.len() * 99 / 100]
}

#[tokio::test(start_paused = true)]
async fn a_group_with_jobs_100_times_longer_delays_nobody() {
    let alone = fast_wait(false, 0.75).await;
    let beside = fast_wait(true, 0.75).await;
    assert!(beside <= alone + alone / 2, "p99 wait {beside:?} beside, {alone:?} alone");
    let control = fast_wait(true, 1.0).await;
    assert!(control > 100 * MS, "the control: with a share of 1 the slow group takes all, {control:?}");
}

#[tokio::test(start_paused = true)]
async fn groups_take_turns() {
    let pool = pool(workers(1));
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    note(&pool, &log, "first", Priority::Normal, "x", 10 * MS).await;
    sleep(MS).await;
    for i in 0..4 {
        note(&pool, &log, &format!("a{i}"), Priority::Normal, "a", MS).await;
    }
    for i in 0..3 {
        note(&pool, &log, &format!("b{i}"), Priority::Normal, "b", MS).await;
    }
    pool.close(SECOND).await;
    assert_eq!(*log.lock().unwrap(), ["first", "a0", "b0", "a1", "b1", "a2", "b2", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn group_names_are_capped() {
    let pool = pool(Config { max_groups: 3, ..workers(1) });
    for i in 0..10 {
        pool.submit(Job::new(|_| async { Ok(()) }).group(format!("g{i}"))).await.unwrap().await.unwrap();
    }
    let stats = pool.stats();
    let names: Vec<_> = stats.groups.keys().map(String::as_str).collect();
    assert_eq!(names, ["default", "g0", "g1", "g2", "other"]);
    assert_eq!(stats.groups["other"].priorities.total().done, 7);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_so_and_submit_waits() {
    let pool = pool(Config { queue: 2, ..workers(1) });
    let busy = || {
        Job::new(|_| async {
            sleep(SECOND).await;
            Ok(1)
        })
    };
    let first = pool.submit(busy()).await.unwrap();
    sleep(MS).await;
    let waiting = [pool.try_submit(busy()).unwrap(), pool.try_submit(busy()).unwrap()];
    let rejected = pool.try_submit(busy()).unwrap_err();
    assert_eq!(rejected.error().kind(), ErrorKind::Full);
    assert!(rejected.error().is_retryable());
    assert_eq!(
        rejected.to_string(),
        "the queue is full: 2 jobs wait; use submit().await or a larger `queue`"
    );
    let start = Instant::now();
    let last = pool.submit(rejected.into_job()).await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 999, "until the first has ended");
    for handle in [first].into_iter().chain(waiting).chain([last]) {
        assert_eq!(handle.await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_is_dropped_takes_no_place() {
    let pool = pool(Config { queue: 1, ..workers(1) });
    let busy = || {
        Job::new(|_| async {
            sleep(SECOND).await;
            Ok::<_, JobError>(())
        })
    };
    pool.submit(busy()).await.unwrap().detach();
    sleep(MS).await;
    pool.submit(busy()).await.unwrap().detach();
    for _ in 0..10 {
        assert!(timeout(MS, pool.submit(busy())).await.is_err());
    }
    assert_eq!(pool.close(10 * SECOND).await.ran, 2);
}
