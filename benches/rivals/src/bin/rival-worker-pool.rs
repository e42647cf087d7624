//! What others' ways of bounding work cost: `tokio::spawn` with a semaphore, and a channel with workers behind it.

#[path = "../../../src/bin/worker-pool/arrivals.rs"]
mod arrivals;

use std::error::Error;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use arrivals::{JOBS, Tails, Waits, arrive, spinning};
use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

/// Jobs that are in flight at once, ours and the rivals'.
const WAVE: usize = 1024;
const WAVES: usize = 100;
const WORKERS: usize = 4;
const THREADS: usize = 2;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = Rounds::from_args(11);
    let wide = runtime(THREADS)?;
    let one = runtime(1)?;

    for (threads, runtime) in [(THREADS, &wide), (1, &one)] {
        let awaited =
            rounds.clock(Clock::ProcessCpu).single((WAVE * WAVES) as u64, || runtime.block_on(spawned()));
        Row::new(
            "worker-pool",
            &format!("job with all its guards, {threads} threads"),
            "ns",
            UnitKind::Cpu,
            Better::Lower,
        )
        .rival("spawn + Semaphore")
        .theirs(&awaited)
        .emit()?;
        let jobs = channel(runtime, WORKERS, WAVE);
        let wall =
            rounds.clock(Clock::Wall).single((WAVE * WAVES) as u64, || runtime.block_on(detached(&jobs)));
        Row::new(
            "worker-pool",
            &format!("trivial jobs, {threads} threads"),
            "jobs/s",
            UnitKind::Wall,
            Better::Higher,
        )
        .rival("async-channel pool")
        .theirs(&per_second(&wall))
        .emit()?;
        let cpu = rounds
            .clock(Clock::ProcessCpu)
            .single((WAVE * WAVES) as u64, || runtime.block_on(detached(&jobs)));
        Row::new(
            "worker-pool",
            &format!("trivial jobs, CPU, {threads} threads"),
            "ns",
            UnitKind::Cpu,
            Better::Lower,
        )
        .rival("async-channel pool")
        .theirs(&cpu)
        .emit()?;
        let case = format!("trivial jobs by submit_all, {threads} threads");
        Row::new("worker-pool", &case, "jobs/s", UnitKind::Wall, Better::Higher)
            .rival("async-channel pool")
            .theirs(&per_second(&wall))
            .emit()?;
        let case = format!("trivial jobs by submit_all, CPU, {threads} threads");
        Row::new("worker-pool", &case, "ns", UnitKind::Cpu, Better::Lower)
            .rival("async-channel pool")
            .theirs(&cpu)
            .emit()?;
        let jobs = guarded(runtime, WORKERS, WAVE);
        let cpu = rounds
            .clock(Clock::ProcessCpu)
            .single((WAVE * WAVES) as u64, || runtime.block_on(detached_guarded(&jobs)));
        let case = format!("trivial jobs with timeout, panic isolation and times, CPU, {threads} threads");
        Row::new("worker-pool", &case, "ns", UnitKind::Cpu, Better::Lower)
            .rival("async-channel pool, guarded")
            .theirs(&cpu)
            .emit()?;
    }

    let mut waits = Tails::default();
    for seed in 0..3 * u64::from(rounds.count()) {
        // As in our program, where it is measured in turns with ours.
        black_box(spinning(seed));
        waits.push(&half_load(&one, seed)?);
    }
    let row = |case: &str| Row::new("worker-pool", case, "us", UnitKind::Wall, Better::Lower);
    row("p99 wait at half load, jobs of 20 us").rival("async-channel pool").theirs(&waits.rounds).emit()?;
    row("p99 wait at half load, of all rounds together")
        .rival("async-channel pool")
        .theirs(&waits.all())
        .emit()?;
    Ok(())
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_time().build()
}

/// The usual idiom: a task a job, at most `WORKERS` of them past the semaphore; no timeout, priority or statistics.
async fn spawned() {
    let permits = Arc::new(Semaphore::new(WORKERS));
    let waves = tokio::spawn(async move {
        let mut handles = Vec::with_capacity(WAVE);
        for _ in 0..WAVES {
            for n in 0..WAVE {
                let permits = Arc::clone(&permits);
                handles.push(tokio::spawn(async move {
                    let _permit = permits.acquire_owned().await;
                    black_box(n)
                }));
            }
            for handle in handles.drain(..) {
                _ = black_box(handle.await);
            }
        }
    });
    _ = waves.await;
}

/// The other idiom: workers that take boxed futures from a bounded channel.
fn channel(runtime: &Runtime, workers: usize, queue: usize) -> async_channel::Sender<Boxed> {
    let (sender, receiver) = async_channel::bounded::<Boxed>(queue);
    for _ in 0..workers {
        let receiver = receiver.clone();
        drop(runtime.spawn(async move {
            while let Ok(job) = receiver.recv().await {
                job.await;
                tokio::task::consume_budget().await;
            }
        }));
    }
    sender
}

async fn detached(jobs: &async_channel::Sender<Boxed>) {
    LEFT.store(WAVE * WAVES, Ordering::Relaxed);
    let jobs = jobs.clone();
    let feeder = tokio::spawn(async move {
        for _ in 0..WAVE * WAVES {
            _ = jobs.send(Box::pin(async { one() })).await;
        }
    });
    _ = feeder.await;
    DONE.notified().await;
}

/// The same workers with what a job of ours has: a timeout, a panic that does not end the worker, times of waiting and
/// running. No priority, no handle, no cancel.
fn guarded(runtime: &Runtime, workers: usize, queue: usize) -> async_channel::Sender<(Instant, Boxed)> {
    let (sender, receiver) = async_channel::bounded::<(Instant, Boxed)>(queue);
    for _ in 0..workers {
        let receiver = receiver.clone();
        drop(runtime.spawn(async move {
            let (mut waited, mut ran) = (Duration::ZERO, Duration::ZERO);
            while let Ok((submitted, mut job)) = receiver.recv().await {
                let begun = Instant::now();
                let safe = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| job.as_mut().poll(cx))) {
                    Ok(polled) => polled.map(|()| true),
                    Err(_) => Poll::Ready(false),
                });
                _ = black_box(timeout(Duration::from_secs(30), safe).await);
                waited += begun - submitted;
                ran += begun.elapsed();
                tokio::task::consume_budget().await;
            }
            black_box((waited, ran));
        }));
    }
    sender
}

async fn detached_guarded(jobs: &async_channel::Sender<(Instant, Boxed)>) {
    LEFT.store(WAVE * WAVES, Ordering::Relaxed);
    let jobs = jobs.clone();
    let feeder = tokio::spawn(async move {
        for _ in 0..WAVE * WAVES {
            _ = jobs.send((Instant::now(), Box::pin(async { one() }))).await;
        }
    });
    _ = feeder.await;
    DONE.notified().await;
}

static LEFT: AtomicUsize = AtomicUsize::new(0);
static DONE: Notify = Notify::const_new();

fn one() {
    if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        DONE.notify_one();
    }
}

/// The same arrivals as ours, to one worker behind a channel.
fn half_load(runtime: &Runtime, seed: u64) -> Result<Waits, Box<dyn Error>> {
    let (channel, waits) = (channel(runtime, 1, JOBS), Waits::new());
    let mut refused = false;
    arrive(seed, |due| {
        let waits = waits.clone();
        refused |= channel.try_send(Box::pin(async move { waits.job(due) })).is_err();
    });
    while !refused && !waits.is_complete() {
        std::thread::sleep(Duration::from_millis(1));
    }
    if refused { Err("the channel is full".into()) } else { Ok(waits) }
}

fn per_second(nanos: &Samples) -> Samples {
    let mut rates = Samples::new();
    for q in 0..nanos.len() {
        let at = q as f64 / (nanos.len().max(2) - 1) as f64;
        rates.push(1e9 / nanos.quantile(at).unwrap_or(f64::NAN));
    }
    rates
}
