//! How long a task waits between the call of `enqueue` and its begin, and how long the machine itself let anybody wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidemill_measure::{Better, Row, Samples, UnitKind};
use tidemill_task_queue::{TaskQueue, WorkerConfig};

use crate::Outcome;
use crate::load::Nothing;

/// The p99 in milliseconds: of all tasks, of those that met no stall of the machine, and of a thread that only slept.
pub(crate) struct Latency {
    pub(crate) all: f64,
    pub(crate) undisturbed: f64,
    pub(crate) machine: f64,
}

/// One round after the other.
#[derive(Default)]
pub(crate) struct HalfLoad {
    all: Samples,
    undisturbed: Samples,
    machine: Samples,
}

impl HalfLoad {
    pub(crate) fn push(&mut self, figures: &Latency) {
        self.all.push(figures.all);
        self.undisturbed.push(figures.undisturbed);
        self.machine.push(figures.machine);
    }

    pub(crate) fn emit(&self, store: &str, goal: f64) -> Outcome<()> {
        let row = |what: &str| {
            let case = format!("{store}, half load, {what}");
            Row::new("task-queue", &case, "ms", UnitKind::Wall, Better::Lower)
        };
        row("p99 of the queue latency").goal(goal).ours(&self.all).emit()?;
        row("the same of tasks that met no stall of the machine")
            .goal(goal)
            .ours(&self.undisturbed)
            .emit()?;
        row("p99 of a sleeping thread meanwhile").ours(&self.machine).emit()?;
        Ok(())
    }
}

/// A task's wait, since the begin of the run.
struct Wait {
    from: Duration,
    until: Duration,
}

/// Tasks arrive at random at this mean rate, for two seconds; who works hears of them as it would in another process.
pub(crate) async fn at_rate(submit: &TaskQueue, work: &TaskQueue, per_second: f64) -> Outcome<Latency> {
    let (origin, waits) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let machine = Machine::watch(origin)?;
    let seen = waits.clone();
    let worker = work
        .worker(WorkerConfig { concurrency: 256, ..WorkerConfig::default() })
        .register(move |task: Nothing, _| {
            let wait = Wait { from: Duration::from_micros(task.n as u64), until: origin.elapsed() };
            if let Ok(mut seen) = seen.lock() {
                seen.push(wait);
            }
            std::future::ready(Ok(task.n))
        })
        .start()?;
    let count = (per_second * 2.0) as u64;
    let (mut random, mut next) = (0x9E37_79B9_7F4A_7C15_u64, tokio::time::Instant::now());
    let mut submitters = tokio::task::JoinSet::new();
    for _ in 0..count {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = ((random >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        next += Duration::from_nanos((-uniform.ln() * 1e9 / per_second) as u64);
        if next > tokio::time::Instant::now() {
            tokio::time::sleep_until(next).await;
        }
        let (queue, n) = (submit.clone(), origin.elapsed().as_micros() as usize);
        submitters.spawn(async move { queue.enqueue(&Nothing { n, text: "x".repeat(180) }).await.map(drop) });
    }
    while let Some(submitted) = submitters.join_next().await {
        submitted??;
    }
    while work.stats().total().done < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    worker.close(Duration::from_secs(60)).await;
    let naps = machine.stop()?;
    let waits = std::mem::take(&mut *waits.lock().map_err(|_| "poisoned")?);
    let p99 = |waits: &mut dyn Iterator<Item = &Wait>| {
        let all: Samples =
            waits.map(|wait| (wait.until.saturating_sub(wait.from)).as_secs_f64() * 1e3).collect();
        all.quantile(0.99)
    };
    let stalls: Vec<&Wait> = naps.iter().filter(|nap| nap.until > nap.from + STALL).collect();
    let calm = |wait: &&Wait| !stalls.iter().any(|stall| stall.from < wait.until && wait.from < stall.until);
    Ok(Latency {
        all: p99(&mut waits.iter()).ok_or("no task ran")?,
        undisturbed: p99(&mut waits.iter().filter(calm)).ok_or("the machine stalled all the time")?,
        machine: p99(&mut naps.iter()).ok_or("nobody watched the machine")? - NAP.as_secs_f64() * 1e3,
    })
}

/// What the watching thread sleeps.
const NAP: Duration = Duration::from_millis(1);
/// A nap that took so long was a stall of the machine.
const STALL: Duration = Duration::from_millis(3);

/// A thread that naps again and again, and notes when.
struct Machine {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Wait>>,
}

impl Machine {
    fn watch(origin: Instant) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::Builder::new().name("machine".into()).spawn(move || {
            let mut naps = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let from = origin.elapsed();
                std::thread::sleep(NAP);
                naps.push(Wait { from, until: origin.elapsed() });
            }
            naps
        })?;
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Outcome<Vec<Wait>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the watching thread panicked".into())
    }
}
