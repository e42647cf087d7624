//! What a core asks of the allocator, in bytes a slot and in bytes a window.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use tidemill_benches::{Better, Row, Samples, UnitKind};
use tidemill_rate_limit::{Config, Core, Model};

/// Counts what the calling thread asks for. No timed case allocates, so none pays for it.
struct Counting;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends may allocate when its counter is gone.
        let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size()));
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

/// Emits the rows: whatever a core has, divided by its slots, and a window of a million a day.
pub(super) fn rows() -> Result<(), Box<dyn std::error::Error>> {
    for (keys, requests) in [(1, 1200), (4, 75), (10_000, 75)] {
        let slots = bytes(keys, requests, 60)? - bytes(keys, 2, 60)?;
        let per_slot = slots as f64 / (keys as f64 * f64::from(requests - 2));
        emit(&format!("memory a slot, {requests} a minute, {keys} keys"), "B", per_slot, 16.0)?;
    }
    let day = bytes(1, 1_000_000, 86_400)?;
    emit("memory of a core with one key of a million a day", "B", day as f64, 65_536.0)
}

fn bytes(keys: usize, requests: u32, per_s: u64) -> Result<usize, tidemill_rate_limit::Error> {
    let config = Config::per_key(requests, Duration::from_secs(per_s), Model::SlidingLog);
    let before = BYTES.get();
    let core = Core::new(&config, keys)?;
    let asked = BYTES.get() - before;
    drop(core);
    Ok(asked)
}

fn emit(case: &str, unit: &str, value: f64, goal: f64) -> Result<(), Box<dyn std::error::Error>> {
    let ours: Samples = [value].into_iter().collect();
    Row::new("rate-limit", case, unit, UnitKind::Count, Better::Lower).ours(&ours).goal(goal).emit()?;
    Ok(())
}
