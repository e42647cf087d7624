//! How both sides are measured: two threads that really run at the same time, instructions of eight threads, resident bytes.
//!
//! The rival's binary includes this file, so that both are measured by the same code.

use std::hint::spin_loop;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use tidemill_measure::{Clock, Samples};

/// Operations between two looks at the clock.
pub(crate) const OPERATIONS: u64 = 200_000;

/// How often a round is tried again because a thread was preempted.
const ATTEMPTS: u32 = 40;

/// Nanoseconds per operation of the slower of two threads, which run on two cores at the same time.
///
/// A round counts only if neither thread was preempted (its CPU time is 97 % of its wall time) and they overlapped by
/// 85 %: on a loaded machine two threads otherwise take turns and meet no contention at all.
pub(crate) fn contended<W: FnMut() + Send>(rounds: u32, make: impl Fn() -> W + Sync) -> Samples {
    let mut samples = Samples::new();
    for _ in 0..rounds {
        for _ in 0..ATTEMPTS {
            if let Some(ns) = together(&make) {
                samples.push(ns);
                break;
            }
        }
    }
    samples
}

fn together<W: FnMut() + Send>(make: &(impl Fn() -> W + Sync)) -> Option<f64> {
    let (ready, go) = (Barrier::new(2), AtomicU32::new(0));
    let run = |core: usize| {
        pin(core);
        let mut work = make();
        // Touched once, so that what is allocated on the first touch is not measured.
        work();
        ready.wait();
        go.fetch_add(1, Ordering::SeqCst);
        while go.load(Ordering::SeqCst) < 2 {
            spin_loop();
        }
        let (wall, cpu) = (Clock::Wall.now(), Clock::ThreadCpu.now());
        for _ in 0..OPERATIONS {
            work();
        }
        let (cpu_end, wall_end) = (Clock::ThreadCpu.now(), Clock::Wall.now());
        (wall, wall_end, (cpu_end - cpu).as_nanos() as f64)
    };
    let (a, b) = thread::scope(|scope| {
        let other = scope.spawn(|| run(1));
        // A thread of its own each: the main thread must stay where it is.
        let one = scope.spawn(|| run(0));
        (one.join().ok(), other.join().ok())
    });
    let ((a_start, a_end, a_cpu), (b_start, b_end, b_cpu)) = (a?, b?);
    let wall = |start, end: std::time::Duration| end.saturating_sub(start).as_nanos() as f64;
    let (a_wall, b_wall) = (wall(a_start, a_end), wall(b_start, b_end));
    let overlap = wall(a_start.max(b_start), a_end.min(b_end));
    let undisturbed = a_cpu >= 0.97 * a_wall && b_cpu >= 0.97 * b_wall;
    (undisturbed && overlap >= 0.85 * a_wall.min(b_wall)).then(|| a_cpu.max(b_cpu) / OPERATIONS as f64)
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
            eprintln!("SKIPPED instruction count of `{case}`: valgrind did not run");
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

/// Latencies around 50 ms, log-normal with a sigma of 1, as a table to walk through: the draw is not measured.
pub(crate) fn latencies() -> Vec<f64> {
    let mut state = 42_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    (0..1024)
        .map(|_| 0.05 * ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()).exp())
        .collect()
}
