//! A check allocates nothing after the start, and a slot takes no more than 16 bytes: counted, not believed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use tidemill_rate_limit::{Config, Core, Cost, Hints, KeyPool, Limit, Model, Outcome, Poll, Priority};

struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

fn count(size: usize) {
    // A thread that ends may allocate when its counters are gone.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + size as u64));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `alloc` above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and bytes of `act` on this thread.
fn counted<T>(act: impl FnOnce() -> T) -> (u64, u64, T) {
    let before = (CALLS.get(), BYTES.get());
    let result = act();
    (CALLS.get() - before.0, BYTES.get() - before.1, result)
}

#[test]
fn a_request_allocates_nothing() {
    let limits = vec![
        Limit { model: Model::SlidingLog, ..Limit::new(75, Duration::from_secs(60)) },
        Limit { model: Model::Unknown, ..Limit::new(40, Duration::from_secs(10)) },
        Limit { model: Model::Leaky, ..Limit::new(1_000_000, Duration::from_secs(86_400)) },
    ];
    let config = Config { limits, ..Config::default() };
    let mut core = Core::new(&config, 4).unwrap();
    let (calls, _, sent) = counted(|| {
        let mut sent = 0;
        for ms in 0..600_000u64 {
            let now = Duration::from_millis(ms);
            let Poll::Ready(key) = core.poll(now, Cost::ONE, Priority::Normal) else { continue };
            let mut ticket = core.take(now, key, Cost::ONE);
            core.sent(now, &mut ticket);
            let outcome = if ms % 97 == 0 { Outcome::Unanswered } else { Outcome::OK };
            core.answered_with(now, ticket, outcome, Hints::default());
            sent += 1;
        }
        sent
    });
    assert!(sent > 1000, "{sent}");
    assert_eq!(calls, 0);
    let (calls, _, text) = counted(|| black_box(String::from("the control")));
    assert_eq!((calls, text.len()), (1, 11));
}

#[test]
fn a_permit_through_the_pool_allocates_nothing() {
    let config = Config::per_key(u32::MAX, Duration::from_secs(3600), Model::SlidingLog);
    let pool = KeyPool::builder(config).keys(4).build().unwrap();
    let (calls, _, ()) = counted(|| {
        for _ in 0..10_000 {
            let permit = pool.try_acquire(Cost::ONE, Priority::Normal).unwrap().unwrap();
            permit.send().unwrap().answered(Outcome::OK).unwrap();
        }
    });
    assert_eq!(calls, 0);
}

#[test]
fn a_slot_takes_sixteen_bytes_at_most_and_a_million_a_day_a_fixed_room() {
    let bytes = |requests: u32, per_s: u64| {
        let config = Config::per_key(requests, Duration::from_secs(per_s), Model::SlidingLog);
        counted(|| Core::new(&config, 1).unwrap()).1
    };
    let fixed = bytes(2, 60) - 2 * 12;
    assert!(fixed < 2048, "{fixed} bytes a core of one key");
    for requests in [75, 1200, 4096] {
        let slots = bytes(requests, 60) - fixed;
        assert!(slots <= 16 * u64::from(requests), "{slots} bytes for {requests}");
    }
    // Its name for the stamps is a few letters longer.
    assert!(bytes(1_000_000, 86_400) <= fixed + 4098 * 12 + 64);
}
