//! What a pool promises beside speed, as rows: a group is not delayed by another's long jobs, LOW starts, no resize loses a job.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidemill_measure::{Better, Row, Samples, UnitKind};
use tidemill_worker_pool::{Config, Job, JobError, Pool, Priority};
use tokio::time::{sleep, sleep_until};

use crate::arrivals::Random;

type Failure = Box<dyn Error>;

/// All of them, on a runtime of two threads.
pub(crate) async fn rows(rounds: u32) -> Result<(), Failure> {
    groups(rounds).await?;
    low_under_high(rounds).await?;
    resized(rounds).await
}

/// The p99 wait of a group alone and beside one whose jobs take a hundred times as long and never end. All of them
/// await a timer, as jobs await a provider: no processor is short. The group needs half a worker of the four that no
/// other group may hold.
async fn groups(rounds: u32) -> Result<(), Failure> {
    let (mut alone, mut beside, mut unfair) = (Samples::new(), Samples::new(), Samples::new());
    for round in 0..rounds {
        // Each in turn, so that a slow second of the machine hits all.
        alone.push(short_waits(u64::from(round), false, 0.75).await?);
        beside.push(short_waits(u64::from(round), true, 0.75).await?);
        unfair.push(short_waits(u64::from(round), true, 1.0).await?);
    }
    let row = |case: &str| Row::new("worker-pool", case, "us", UnitKind::Wall, Better::Lower);
    let case = "p99 wait of a group beside one with jobs 100 times as long";
    row(case).rival("the group alone").ours(&beside).theirs(&alone).goal(1.5).emit()?;
    row(case).rival("control: a group may hold all workers").ours(&beside).theirs(&unfair).emit()?;
    Ok(())
}

async fn short_waits(seed: u64, beside: bool, share: f64) -> Result<f64, Failure> {
    const SHORT: Duration = Duration::from_millis(2);
    const JOBS: usize = 500;
    let config = Config { workers: 16, queue: 2 * JOBS, group_share: share, ..Config::default() };
    let pool = Pool::builder(config).build()?;
    // The group is known before the other comes, as one that asks its provider all day.
    pool.submit(Job::new(|_| async { Ok::<_, JobError>(()) }).group("short")).await?.await?;
    let stop = Arc::new(AtomicBool::new(false));
    let flood = beside.then(|| {
        let (pool, stop) = (pool.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // A few more than it may hold, always.
                if pool.stats().groups.get("long").is_none_or(|long| long.waiting < 16) {
                    let job = Job::new(|_| async {
                        sleep(100 * SHORT).await;
                        Ok::<_, JobError>(())
                    });
                    if let Ok(handle) = pool.try_submit(job.group("long")) {
                        handle.detach();
                    }
                } else {
                    sleep(SHORT).await;
                }
            }
        })
    });
    sleep(100 * SHORT).await;
    let waits = Arc::new(Mutex::new(Vec::with_capacity(JOBS)));
    let (mut random, mut next) = (Random::new(seed), Instant::now());
    for _ in 0..JOBS {
        next += random.gap(2 * SHORT);
        sleep_until(next.into()).await;
        let (waits, submitted) = (Arc::clone(&waits), Instant::now());
        let job = Job::new(move |_| {
            let waits = Arc::clone(&waits);
            async move {
                let waited = submitted.elapsed();
                waits
                    .lock()
                    .map_err(|_| JobError::fatal("poisoned"))?
                    .push(waited.as_nanos() as f64 / 1000.0);
                sleep(SHORT).await;
                Ok(())
            }
        });
        pool.submit(job.group("short")).await?.detach();
    }
    while pool.stats().groups["short"].priorities.total().done <= JOBS as u64 {
        sleep(SHORT).await;
    }
    stop.store(true, Ordering::Relaxed);
    if let Some(flood) = flood {
        flood.await?;
    }
    pool.close(Duration::ZERO).await;
    let waits: Samples = waits.lock().map_err(|_| "poisoned")?.iter().copied().collect();
    waits.quantile(0.99).ok_or_else(|| "no job ran".into())
}

/// The longest that a LOW job waits for its start while HIGH ones always wait, and what bounds it: two steps of aging, and
/// those HIGH jobs that have waited longer, a full queue of them.
async fn low_under_high(rounds: u32) -> Result<(), Failure> {
    const AGING: Duration = Duration::from_millis(100);
    const JOB: Duration = Duration::from_millis(1);
    const QUEUE: usize = 64;
    let mut longest = Samples::new();
    for _ in 0..rounds {
        let config = Config { workers: 1, queue: QUEUE, aging: AGING, ..Config::default() };
        let pool = Pool::builder(config).build()?;
        let flood = tokio::spawn({
            let pool = pool.clone();
            async move {
                let high = || {
                    Job::new(|_| async {
                        sleep(JOB).await;
                        Ok::<_, JobError>(())
                    })
                };
                while let Ok(handle) = pool.submit(high().priority(Priority::High)).await {
                    handle.detach();
                }
            }
        });
        sleep(10 * JOB).await;
        let submitted = Instant::now();
        let low = Job::new(move |_| async move { Ok(submitted.elapsed()) });
        let waited = pool.submit(low.priority(Priority::Low)).await?.await?;
        longest.push(waited.as_secs_f64() * 1000.0);
        pool.close(Duration::ZERO).await;
        flood.await?;
    }
    // A timer of tokio is late by up to one of its own milliseconds.
    let bound = 2 * AGING + QUEUE as u32 * (2 * JOB);
    let case = "LOW under endless HIGH, aging 100 ms, a full queue of 64: wait for its start";
    Row::new("worker-pool", case, "ms", UnitKind::Wall, Better::Lower)
        .goal(bound.as_secs_f64() * 1000.0)
        .ours(&longest)
        .emit()?;
    Ok(())
}

/// Resizes from 4 to 64 workers and back, a thousand times, under load.
async fn resized(rounds: u32) -> Result<(), Failure> {
    const JOBS: u64 = 100_000;
    let (mut lost, mut leaked) = (Samples::new(), Samples::new());
    for _ in 0..rounds.min(3) {
        let config = Config { workers: 4, max_workers: 64, queue: 256, ..Config::default() };
        let pool = Pool::builder(config).build()?;
        let ran = Arc::new(AtomicU64::new(0));
        let feeder = tokio::spawn({
            let (pool, ran) = (pool.clone(), Arc::clone(&ran));
            async move {
                for n in 0..JOBS {
                    let ran = Arc::clone(&ran);
                    let job = Job::new(move |_| {
                        let ran = Arc::clone(&ran);
                        async move {
                            if n % 3 == 0 {
                                tokio::task::yield_now().await;
                            }
                            ran.fetch_add(1, Ordering::Relaxed);
                            Ok::<_, JobError>(())
                        }
                    });
                    pool.submit(job).await?.detach();
                }
                Ok::<_, tidemill_worker_pool::Error>(())
            }
        });
        for _ in 0..1000 {
            pool.resize(64)?;
            tokio::task::yield_now().await;
            pool.resize(4)?;
            tokio::task::yield_now().await;
        }
        feeder.await??;
        let settled = Instant::now() + Duration::from_secs(10);
        while pool.stats().workers != 4 && Instant::now() < settled {
            tokio::task::yield_now().await;
        }
        leaked.push(pool.stats().workers as f64 - 4.0);
        pool.close(Duration::from_secs(60)).await;
        lost.push((JOBS - ran.load(Ordering::Relaxed)) as f64);
    }
    let row = |case: &str| Row::new("worker-pool", case, "count", UnitKind::Count, Better::Lower).goal(0.0);
    row("4 to 64 workers and back 1000 times under load: jobs lost of 100 000").ours(&lost).emit()?;
    row("4 to 64 workers and back 1000 times under load: workers too many").ours(&leaked).emit()?;
    Ok(())
}
