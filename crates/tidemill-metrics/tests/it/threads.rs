//! No count is lost or doubled: many threads, threads that end, destructors of thread locals, scrapes meanwhile.

use std::cell::RefCell;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tidemill_metrics::{Counter, Gauge, Histogram};

/// Fewer rounds under an interpreter.
const SCALE: u64 = if cfg!(miri) { 1 } else { 100 };

#[test]
fn more_threads_than_slots_lose_nothing() {
    let (counter, histogram) = (Counter::new(), Histogram::new());
    let rounds = 20 * SCALE * SCALE;
    let all = Barrier::new(20);
    thread::scope(|scope| {
        for t in 0..20_u64 {
            let (counter, histogram, all) = (counter.clone(), histogram.clone(), &all);
            scope.spawn(move || {
                // All of them live and have asked for a slot before any goes on.
                counter.add(t);
                all.wait();
                for i in 1..rounds {
                    counter.add(t);
                    if i % SCALE == 0 {
                        histogram.observe(0.5);
                    }
                }
            });
        }
    });
    assert_eq!(counter.get(), rounds * (0..20).sum::<u64>());
    let observed = 20 * ((rounds - 1) / SCALE);
    assert_eq!(histogram.snapshot().count, observed);
    assert_eq!(histogram.snapshot().sum, 0.5 * observed as f64);
}

#[test]
fn threads_that_come_and_go_pass_their_slots_on() {
    let (counter, histogram) = (Counter::new(), Histogram::new());
    for _ in 0..10 * SCALE {
        thread::scope(|scope| {
            for _ in 0..3 {
                let (counter, histogram) = (counter.clone(), histogram.clone());
                scope.spawn(move || {
                    for _ in 0..5 {
                        counter.inc();
                        histogram.observe(1.0);
                    }
                });
            }
        });
    }
    assert_eq!(counter.get(), 150 * SCALE);
    assert_eq!(histogram.snapshot().count, 150 * SCALE);
}

#[test]
fn a_reader_never_sees_a_counter_step_back() {
    let (counter, histogram) = (Counter::new(), Histogram::new());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (counter, histogram) = (counter.clone(), histogram.clone());
                scope.spawn(move || {
                    // Short threads inside, so that slots change hands while the reader reads.
                    for _ in 0..2 * SCALE {
                        let (counter, histogram) = (counter.clone(), histogram.clone());
                        thread::spawn(move || {
                            for _ in 0..50 {
                                counter.inc();
                                histogram.observe(0.5);
                            }
                        })
                        .join()
                        .unwrap();
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let (mut last, mut count) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let (now, seen) = (counter.get(), histogram.snapshot().count);
                assert!(now >= last && seen >= count, "{now} after {last}, {seen} after {count}");
                (last, count) = (now, seen);
                thread::yield_now();
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(counter.get(), 400 * SCALE);
    assert_eq!(histogram.snapshot().count, 400 * SCALE);
}

/// Counts while eight new threads do, who have taken the slot if its thread gave it back.
struct CountsAtItsEnd(Counter);

impl Drop for CountsAtItsEnd {
    fn drop(&mut self) {
        let all = Barrier::new(9);
        let count = || {
            self.0.inc();
            all.wait();
            for _ in 1..50 * SCALE {
                self.0.inc();
            }
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(count);
            }
            count();
        });
    }
}

thread_local! {
    static BEFORE: RefCell<Option<CountsAtItsEnd>> = const { RefCell::new(None) };
    static AFTER: RefCell<Option<CountsAtItsEnd>> = const { RefCell::new(None) };
}

#[test]
fn destructors_of_thread_locals_may_count() {
    let counter = Counter::new();
    let rounds = SCALE.min(40);
    for _ in 0..rounds {
        let counter = counter.clone();
        thread::spawn(move || {
            // One is made before this thread has a slot and one after: one of them is dropped after the slot.
            BEFORE.with(|cell| *cell.borrow_mut() = Some(CountsAtItsEnd(counter.clone())));
            counter.inc();
            AFTER.with(|cell| *cell.borrow_mut() = Some(CountsAtItsEnd(counter.clone())));
        })
        .join()
        .unwrap();
    }
    assert_eq!(counter.get(), rounds * (1 + 2 * 9 * 50 * SCALE));
}

#[test]
fn gauges_lose_no_addition() {
    let gauge = Gauge::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 * SCALE {
                    let guard = gauge.in_flight();
                    gauge.add(2.0);
                    drop(guard);
                    gauge.sub(1.0);
                }
            });
        }
    });
    assert_eq!(gauge.get(), 80.0 * SCALE as f64);
}

#[cfg(not(miri))]
#[test]
fn a_hundred_thousand_short_threads() {
    let counter = Counter::new();
    for _ in 0..1000 {
        thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| counter.inc());
            }
        });
    }
    assert_eq!(counter.get(), 100_000);
}
