//! How both sides are measured: two threads that really run at the same time, instructions of eight threads, resident bytes.
//!
//! The rival's binary includes this file, so that both are measured by the same code.

use std::hint::spin_loop;
use std::io::{Write as _, stderr};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use tidemill_measure::{Clock, Rounds, Samples};

/// Operations between two looks at the clock.
pub(crate) const OPERATIONS: u64 = 200_000;

/// Operations of a contended round: few enough to fit between two ticks of the scheduler, and so many that reading the
/// clocks, tens of microseconds on a virtual machine, is lost among them.
const CONTENDED: u64 = 100_000;

/// Operations before a contended round, so that what is allocated on the first touch is not measured.
const TOUCHED: u64 = CONTENDED / 10;

/// How often a round is tried again because a thread was preempted.
const ATTEMPTS: u32 = 100;

/// Nanoseconds of CPU time per operation of the slower of two threads, which run on two cores at the same time.
///
/// A round counts only if neither thread was preempted and they overlapped by 85 %: on a loaded machine two threads
/// otherwise take turns and meet no contention at all. A thread that waits for a lock leaves its core of its own will;
/// the time it sleeps is not counted, which favours who locks.
pub(crate) fn contended<W: FnMut() + Send>(rounds: u32, make: impl Fn() -> W + Sync) -> Samples {
    contended_and_read(rounds, make, || ())[0].clone()
}

/// As [`contended`], with `read` after each round, as a scrape would: an operation alone, and with its share of `read`.
pub(crate) fn contended_and_read<W: FnMut() + Send>(
    rounds: u32,
    make: impl Fn() -> W + Sync,
    read: impl Fn(),
) -> [Samples; 2] {
    let (mut alone, mut with_read) = (Samples::new(), Samples::new());
    for _ in 0..rounds {
        for _ in 0..ATTEMPTS {
            let ns = together(&make);
            let took = Clock::ThreadCpu.time(&read).as_nanos() as f64;
            if let Some(ns) = ns {
                alone.push(ns);
                with_read.push(ns + took / (2 * (CONTENDED + TOUCHED)) as f64);
                break;
            }
        }
    }
    [alone, with_read]
}

/// What one of the two threads saw.
struct Turn {
    start: Duration,
    end: Duration,
    cpu: Duration,
    preempted: i64,
    slept: i64,
}

fn together<W: FnMut() + Send>(make: &(impl Fn() -> W + Sync)) -> Option<f64> {
    let (ready, go) = (Barrier::new(2), AtomicU32::new(0));
    let run = |core: usize| {
        pin(core);
        let mut work = make();
        (0..TOUCHED).for_each(|_| work());
        ready.wait();
        go.fetch_add(1, Ordering::SeqCst);
        while go.load(Ordering::SeqCst) < 2 {
            spin_loop();
        }
        let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
        let (start, cpu) = (Clock::Wall.now(), Clock::ThreadCpu.now());
        (0..CONTENDED).for_each(|_| work());
        let (cpu_end, end) = (Clock::ThreadCpu.now(), Clock::Wall.now());
        let after = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
        Some(Turn {
            start,
            end,
            cpu: cpu_end.saturating_sub(cpu),
            preempted: after.involuntary_context_switches() - usage.involuntary_context_switches(),
            slept: after.voluntary_context_switches() - usage.voluntary_context_switches(),
        })
    };
    let (a, b) = thread::scope(|scope| {
        // A thread of its own each: the main thread must stay where it is.
        let (one, other) = (scope.spawn(|| run(0)), scope.spawn(|| run(1)));
        (one.join().ok().flatten(), other.join().ok().flatten())
    });
    let (a, b) = (a?, b?);
    let wall = |turn: &Turn| turn.end.saturating_sub(turn.start);
    let undisturbed =
        |turn: &Turn| turn.preempted == 0 && (turn.slept > 0 || turn.cpu >= wall(turn).mul_f64(0.97));
    let overlap = a.end.min(b.end).saturating_sub(a.start.max(b.start));
    let counts = undisturbed(&a) && undisturbed(&b) && overlap >= wall(&a).min(wall(&b)).mul_f64(0.85);
    counts.then(|| a.cpu.max(b.cpu).as_nanos() as f64 / CONTENDED as f64)
}

/// Nanoseconds of CPU time per operation of eight threads, however many cores there are; `read` between the rounds is
/// not measured.
pub(crate) fn crowded<W: FnMut() + Send>(
    rounds: Rounds,
    make: impl Fn() -> W + Sync,
    mut read: impl FnMut(),
) -> Samples {
    let mut work = || eight_threads(OPERATIONS, &make);
    rounds.clock(Clock::ProcessCpu).interleave(8 * OPERATIONS, &mut [&mut work, &mut read]).swap_remove(0)
}

/// Puts this thread on one core, where the machine has so many.
fn pin(core: usize) {
    let mut set = nix::sched::CpuSet::new();
    if set.set(core).is_ok() {
        // Refused in a container with fewer cores: then the round is not accepted either.
        let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set);
    }
}

/// Resident bytes of this process.
pub(crate) fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|word| word.parse::<f64>().ok());
    pages.unwrap_or(f64::NAN) * 4096.0
}

/// Instructions per operation of eight threads, by running this program again as `--work CASE N` under callgrind with
/// two sizes and taking the difference, which leaves out everything that is done once. None, said aloud, without
/// valgrind.
pub(crate) fn instructions(case: &str) -> Samples {
    let (few, many) = (2_000_u64, 22_000_u64);
    match (counted(case, few), counted(case, many)) {
        (Some(a), Some(b)) => [(b - a) / (8 * (many - few)) as f64].into_iter().collect(),
        _ => {
            let _ = writeln!(stderr(), "SKIPPED instruction count of `{case}`: valgrind did not run");
            Samples::new()
        }
    }
}

fn counted(case: &str, operations: u64) -> Option<f64> {
    let this = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--work", case, &operations.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

/// The case and the number of operations when this process was started by [`instructions`].
pub(crate) fn asked_to_work() -> Option<(String, u64)> {
    let mut args = std::env::args().skip_while(|arg| arg != "--work").skip(1);
    Some((args.next()?, args.next()?.parse().ok()?))
}

/// Runs `work` that often on each of eight threads.
pub(crate) fn eight_threads<W: FnMut() + Send>(operations: u64, make: impl Fn() -> W + Sync) {
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut work = make();
                (0..operations).for_each(|_| work());
            });
        }
    });
}

/// Latencies around 50 ms, log-normal with a sigma of 1, as a table to walk through: the draw is not measured, and a step
/// is an addition and a mask. (A remainder by a length that is not known is a division: 12 cycles a step, half of what
/// these rows once said a record costs.)
pub(crate) struct Latencies([f64; 1024]);

impl Latencies {
    pub(crate) fn new() -> Self {
        let mut state = 42_u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        };
        Self(std::array::from_fn(|_| {
            0.05 * ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()).exp()
        }))
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[f64] {
        &self.0
    }

    /// Hands the next one to `observe` at each call, in a circle.
    pub(crate) fn each(&self, observe: impl Fn(f64)) -> impl FnMut() {
        let mut next = 0;
        move || {
            next = (next + 1) % self.0.len();
            observe(self.0[next]);
        }
    }
}
