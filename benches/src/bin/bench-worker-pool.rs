//! What a job on the pool costs: CPU against spawn, throughput against a channel, wait at half load, bytes in the queue.

#[path = "worker-pool/arrivals.rs"]
mod arrivals;
#[path = "worker-pool/promises.rs"]
mod promises;

use std::error::Error;
use std::hint::black_box;
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrivals::{JOBS, Random, Tails, Waits, arrive, spinning};
use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tidemill_worker_pool::{Config, Job, JobError, JobHandle, Pool, Priority};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Jobs that are in flight at once, ours and the rivals'.
const WAVE: usize = 1024;
const WAVES: usize = 100;
const WORKERS: usize = 4;
const THREADS: usize = 2;

/// The argument that makes this program the process whose memory is read.
const QUEUED: &str = "--queued";

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|arg| arg == QUEUED) {
        writeln!(std::io::stdout(), "{}", queued(&runtime(1)?)?)?;
        return Ok(());
    }
    let rounds = Rounds::from_args(11);
    let wide = runtime(THREADS)?;
    let one = runtime(1)?;

    for (threads, runtime) in [(THREADS, &wide), (1, &one)] {
        let pool = pool(runtime, WORKERS, WAVE)?;
        let awaited = rounds
            .clock(Clock::ProcessCpu)
            .single((WAVE * WAVES) as u64, || runtime.block_on(awaited(&pool)));
        Row::new(
            "worker-pool",
            &format!("job with all its guards, {threads} threads"),
            "ns",
            UnitKind::Cpu,
            Better::Lower,
        )
        .rival("spawn + Semaphore")
        .goal(0.5)
        .ours(&awaited)
        .emit()?;
        let detached =
            rounds.clock(Clock::Wall).single((WAVE * WAVES) as u64, || runtime.block_on(detached(&pool)));
        Row::new(
            "worker-pool",
            &format!("trivial jobs, {threads} threads"),
            "jobs/s",
            UnitKind::Wall,
            Better::Higher,
        )
        .rival("async-channel pool")
        .goal(1.0)
        .ours(&per_second(&detached))
        .emit()?;
        let cpu = rounds
            .clock(Clock::ProcessCpu)
            .single((WAVE * WAVES) as u64, || runtime.block_on(self::detached(&pool)));
        Row::new(
            "worker-pool",
            &format!("trivial jobs, CPU, {threads} threads"),
            "ns",
            UnitKind::Cpu,
            Better::Lower,
        )
        .rival("async-channel pool")
        .ours(&cpu)
        .emit()?;
        Row::new(
            "worker-pool",
            &format!("trivial jobs with timeout, panic isolation and times, CPU, {threads} threads"),
            "ns",
            UnitKind::Cpu,
            Better::Lower,
        )
        .rival("async-channel pool, guarded")
        .goal(1.0)
        .ours(&cpu)
        .emit()?;
        let wall =
            rounds.clock(Clock::Wall).single((WAVE * WAVES) as u64, || runtime.block_on(together(&pool)));
        Row::new(
            "worker-pool",
            &format!("trivial jobs by submit_all, {threads} threads"),
            "jobs/s",
            UnitKind::Wall,
            Better::Higher,
        )
        .rival("async-channel pool")
        .goal(1.0)
        .ours(&per_second(&wall))
        .emit()?;
        let cpu = rounds
            .clock(Clock::ProcessCpu)
            .single((WAVE * WAVES) as u64, || runtime.block_on(together(&pool)));
        Row::new(
            "worker-pool",
            &format!("trivial jobs by submit_all, CPU, {threads} threads"),
            "ns",
            UnitKind::Cpu,
            Better::Lower,
        )
        .rival("async-channel pool")
        .ours(&cpu)
        .emit()?;
    }

    let waits = (0..rounds.count()).map(|round| half_load_cpu(u64::from(round)));
    let waits: Samples = waits.collect::<Result<Vec<f64>, _>>()?.into_iter().collect();
    Row::new(
        "worker-pool",
        "p99 wait at half load, on one thread's CPU clock",
        "us",
        UnitKind::Cpu,
        Better::Lower,
    )
    .goal(200.0)
    .ours(&waits)
    .emit()?;

    waits_at_half_load(&one, rounds.count())?;
    wide.block_on(promises::rows(rounds.count()))?;

    // Each in a process of its own, whose heap has held nothing before.
    let bytes = (0..3).map(|_| -> Result<f64, Box<dyn Error>> {
        let output = Command::new(std::env::current_exe()?).arg(QUEUED).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    });
    let bytes: Samples = bytes.collect::<Result<Vec<f64>, _>>()?.into_iter().collect();
    Row::new("worker-pool", "1M queued jobs, resident memory a job", "B", UnitKind::Count, Better::Lower)
        .goal(128.0)
        .ours(&bytes)
        .emit()?;
    Ok(())
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_time().build()
}

fn pool(runtime: &Runtime, workers: usize, queue: usize) -> Result<Pool, Box<dyn Error>> {
    let _inside = runtime.enter();
    Ok(Pool::builder(Config { workers, queue, ..Config::default() }).build()?)
}

/// Each job has a priority and a timeout, can be cancelled, and its result is awaited.
async fn awaited(pool: &Pool) {
    let pool = pool.clone();
    let waves = tokio::spawn(async move {
        let mut handles: Vec<JobHandle<usize>> = Vec::with_capacity(WAVE);
        for _ in 0..WAVES {
            for n in 0..WAVE {
                let job = Job::new(move |_| async move { Ok::<_, JobError>(black_box(n)) });
                let job = job.priority(Priority::ALL[n % 3]).timeout(Duration::from_secs(30));
                handles.extend(pool.submit(job).await);
            }
            for handle in handles.drain(..) {
                _ = black_box(handle.await);
            }
        }
    });
    _ = waves.await;
}

/// Nobody waits for a result; the last job says that all have run.
async fn detached(pool: &Pool) {
    LEFT.store(WAVE * WAVES, Ordering::Relaxed);
    let pool = pool.clone();
    let feeder = tokio::spawn(async move {
        for _ in 0..WAVE * WAVES {
            let job = Job::new(|_| async {
                one();
                Ok::<_, JobError>(())
            });
            if let Ok(handle) = pool.submit(job.timeout(Duration::from_secs(30))).await {
                handle.detach();
            }
        }
    });
    _ = feeder.await;
    DONE.notified().await;
}

/// As [`detached`], a thousand in one call.
async fn together(pool: &Pool) {
    LEFT.store(WAVE * WAVES, Ordering::Relaxed);
    let pool = pool.clone();
    let feeder = tokio::spawn(async move {
        let mut handles = Vec::with_capacity(WAVE);
        for _ in 0..WAVES {
            let job = |_| {
                let job = Job::new(|_| async {
                    one();
                    Ok::<_, JobError>(())
                });
                job.timeout(Duration::from_secs(30))
            };
            _ = pool.submit_all((0..WAVE).map(job), &mut handles).await;
            handles.clear();
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

/// The waits of jobs that come at random to one worker, beside those for a thread that spins, in turns.
fn waits_at_half_load(runtime: &Runtime, rounds: u32) -> Result<(), Box<dyn Error>> {
    let (mut ours, mut floor) = (Tails::default(), Tails::default());
    for seed in 0..3 * u64::from(rounds) {
        floor.push(&spinning(seed));
        ours.push(&half_load(runtime, seed)?);
    }
    let row = |case: &str| Row::new("worker-pool", case, "us", UnitKind::Wall, Better::Lower);
    let (each, all) =
        ("p99 wait at half load, jobs of 20 us", "p99 wait at half load, of all rounds together");
    row(each).goal(200.0).ours(&ours.rounds).emit()?;
    row(each).rival("async-channel pool").ours(&ours.rounds).emit()?;
    row(each).rival("a thread that spins").ours(&ours.rounds).theirs(&floor.rounds).emit()?;
    row(all).rival("async-channel pool").ours(&ours.all()).emit()?;
    row(all).rival("a thread that spins").ours(&ours.all()).theirs(&floor.all()).emit()?;
    Ok(())
}

/// One round with the pool: a submitter outside of the runtime and one worker, so that two cores are enough.
fn half_load(runtime: &Runtime, seed: u64) -> Result<Waits, Box<dyn Error>> {
    let (pool, waits) = (pool(runtime, 1, JOBS)?, Waits::new());
    let mut refused = None;
    arrive(seed, |due| {
        let waits = waits.clone();
        let job = Job::new(move |_| {
            let waits = waits.clone();
            async move {
                waits.job(due);
                Ok::<_, JobError>(())
            }
        });
        match pool.try_submit(job) {
            Ok(handle) => handle.detach(),
            Err(rejected) => refused = Some(tidemill_worker_pool::Error::from(rejected)),
        }
    });
    runtime.block_on(pool.close(Duration::from_secs(10)));
    match refused {
        Some(error) => Err(error.into()),
        None if waits.is_complete() => Ok(waits),
        None => Err("a job did not run".into()),
    }
}

/// The p99 on one thread and its CPU clock, where other programs of the machine do not count: a job is due at random,
/// every 40 us in the mean, and waits from then on, also while a job before it holds the thread.
fn half_load_cpu(seed: u64) -> Result<f64, Box<dyn Error>> {
    const JOBS: usize = 20_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let pool = pool(&runtime, 1, JOBS)?;
    let waits = Arc::new(Mutex::new(Vec::with_capacity(JOBS)));
    let mut random = Random::new(seed);
    runtime.block_on(async {
        let mut next = Clock::ThreadCpu.now();
        for _ in 0..JOBS {
            next += random.gap(Duration::from_micros(40));
            while Clock::ThreadCpu.now() < next {
                tokio::task::yield_now().await;
            }
            let (waits, due) = (Arc::clone(&waits), next);
            let job = Job::new(move |_| {
                let waits = Arc::clone(&waits);
                async move {
                    let begun = Clock::ThreadCpu.now();
                    if let Ok(mut waits) = waits.lock() {
                        waits.push((begun - due).as_nanos() as f64 / 1000.0);
                    }
                    while Clock::ThreadCpu.now() - begun < Duration::from_micros(20) {
                        std::hint::spin_loop();
                    }
                    Ok::<_, JobError>(())
                }
            });
            pool.submit(job).await?.detach();
        }
        pool.close(Duration::from_secs(10)).await;
        Ok::<_, Box<dyn Error>>(())
    })?;
    let waits: Samples = waits.lock().map_err(|_| "poisoned")?.iter().copied().collect();
    waits.quantile(0.99).ok_or_else(|| "no job ran".into())
}

/// Bytes of resident memory for each of a million jobs that wait, with nothing in their closures.
fn queued(runtime: &Runtime) -> Result<f64, Box<dyn Error>> {
    const JOBS: usize = 1_000_000;
    let pool = pool(runtime, 1, JOBS)?;
    let (free, held) = tokio::sync::oneshot::channel::<()>();
    let mut held = Some(held);
    let blocker = pool.try_submit(Job::new(move |_| {
        let held = held.take();
        async move {
            if let Some(held) = held {
                _ = held.await;
            }
            Ok::<_, JobError>(())
        }
    }))?;
    while pool.stats().running == 0 {
        std::thread::yield_now();
    }
    let before = resident()?;
    for _ in 0..JOBS {
        pool.try_submit(Job::new(|_| async { Ok::<_, JobError>(()) }).timeout(Duration::from_secs(30)))?
            .detach();
    }
    let bytes = (resident()? - before) as f64 / JOBS as f64;
    drop(free);
    runtime.block_on(async {
        _ = blocker.await;
        pool.close(Duration::from_secs(60)).await
    });
    Ok(bytes)
}

fn resident() -> Result<i64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: i64 = text.split(' ').nth(1).ok_or("no second field")?.parse()?;
    Ok(pages * 4096)
}

fn per_second(nanos: &Samples) -> Samples {
    let mut rates = Samples::new();
    for q in 0..nanos.len() {
        let at = q as f64 / (nanos.len().max(2) - 1) as f64;
        rates.push(1e9 / nanos.quantile(at).unwrap_or(f64::NAN));
    }
    rates
}
