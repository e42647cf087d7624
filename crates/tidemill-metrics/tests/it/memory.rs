//! What a series takes of the heap, counted by the allocator: small where values are real, bounded where they are not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Barrier;
use std::thread;

use tidemill_metrics::{Counter, Histogram};

#[global_allocator]
static HEAP: Counting = Counting;

thread_local!(static TAKEN: Cell<usize> = const { Cell::new(0) });

/// What an allocator keeps beside each block.
const BESIDE: usize = 16;

/// Counts what each thread takes; what it gives back is of no interest here.
struct Counting;

// SAFETY: it forwards to the system's allocator and does nothing but count.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.set(TAKEN.get() + layout.size() + BESIDE);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Bytes taken by this thread while `work` ran.
fn taken(work: impl FnOnce()) -> usize {
    let before = TAKEN.get();
    work();
    TAKEN.get() - before
}

/// Bytes of a series into which so many living threads have counted all of `values`.
fn series(threads: usize, values: &[f64]) -> usize {
    let mut histogram = None;
    let made = taken(|| histogram = Some(Histogram::new()));
    let histogram = histogram.unwrap();
    let all = Barrier::new(threads);
    let counted: usize = thread::scope(|scope| {
        let count = || {
            // Asks for a slot; all live until each has counted.
            Counter::new().inc();
            all.wait();
            let bytes = taken(|| values.iter().for_each(|value| histogram.observe(*value)));
            all.wait();
            bytes
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(histogram.snapshot().count, (threads * values.len()) as u64);
    made + counted
}

/// Latencies around `median`, log-normal.
fn log_normal(median: f64, sigma: f64) -> Vec<f64> {
    let mut state = 42_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    let normal = |a: f64, b: f64| (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
    (0..10_000).map(|_| median * (sigma * normal(uniform(), uniform())).exp()).collect()
}

/// One value of every bucket there is, and what is beyond.
fn every_size() -> Vec<f64> {
    let inner = (-239..=272).map(|i| (f64::from(i) / 8.0).exp2());
    [0.0, f64::INFINITY].into_iter().chain(inner).collect()
}

#[test]
fn a_series_of_latencies_takes_at_most_4_kb_with_two_threads() {
    for (what, values) in [
        ("a service", log_normal(0.05, 1.0)),
        ("a cache", log_normal(2e-6, 0.7)),
        ("bytes of a response", log_normal(20_000.0, 1.2)),
        ("one size", vec![0.25]),
    ] {
        let bytes = series(2, &values);
        assert!(bytes <= 4096, "{what}: {bytes}");
    }
}

#[test]
fn the_worst_values_take_at_most_16_kb_with_any_number_of_threads() {
    let values = every_size();
    for threads in [1, 2, 4, 8, 20, 40] {
        let bytes = series(threads, &values);
        assert!(bytes <= 16 << 10, "{threads} threads: {bytes}");
    }
}

#[test]
fn counting_on_takes_nothing() {
    let (histogram, counter, values) = (Histogram::new(), Counter::new(), log_normal(0.05, 1.0));
    let count = || {
        values.iter().for_each(|value| histogram.observe(*value));
        counter.inc();
    };
    count();
    let rounds = if cfg!(miri) { 1 } else { 100 };
    assert_eq!(taken(|| (0..rounds).for_each(|_| count())), 0);
}
