//! Which of the few writer slots a thread owns: the owner of a slot counts by load and store, without a locked instruction.
//!
//! A slot belongs to at most one living thread of the process, so that each cell behind it has a single writer at any
//! time. When its thread ends the slot goes to the next one that asks, who continues from the values it finds: nothing
//! has to be folded or moved, and a reader that adds up the cells of all slots sees each count exactly once and never
//! steps back. Threads that find no free slot share one more cell by atomic addition.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

/// Slots with one writer; the cells of a series are these and the shared one.
pub(crate) const OWNED: usize = 8;

/// The index of the shared cell.
pub(crate) const SHARED: usize = OWNED;

/// Cells a series can have.
pub(crate) const LANES: usize = OWNED + 1;

const UNSET: usize = usize::MAX;

static TAKEN: [AtomicBool; OWNED] = [const { AtomicBool::new(false) }; OWNED];

thread_local! {
    // Without a destructor, so that it can be read from destructors of other thread locals.
    static LANE: Cell<usize> = const { Cell::new(UNSET) };
    static LEASE: Lease = const { Lease };
}

/// Gives the slot back when its thread ends.
struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        let lane = LANE.replace(SHARED);
        if lane < OWNED {
            // Release: the next owner continues from the values this thread stored.
            TAKEN[lane].store(false, Ordering::Release);
        }
    }
}

/// The lane of this thread: below [`OWNED`] it alone writes there.
#[inline]
pub(crate) fn lane() -> usize {
    let lane = LANE.get();
    if lane == UNSET { claim() } else { lane }
}

#[cold]
fn claim() -> usize {
    // A thread that is already past the destructor of its lease, or whose lease cannot be made, shares.
    let lane = if LEASE.try_with(|_| ()).is_err() {
        SHARED
    } else {
        (0..OWNED)
            .find(|&lane| {
                TAKEN[lane].compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
            })
            .unwrap_or(SHARED)
    };
    LANE.set(lane);
    lane
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    // One test, as the slots belong to the whole process.
    #[test]
    fn living_threads_own_different_slots_and_leave_them_to_the_next() {
        for _ in 0..10 * OWNED {
            assert!(thread::spawn(lane).join().unwrap() < OWNED, "the threads before gave theirs back");
        }
        let all = Barrier::new(OWNED + 4);
        let mut lanes: Vec<usize> = thread::scope(|scope| {
            let ask = || {
                let mine = lane();
                all.wait();
                assert_eq!(lane(), mine, "for life");
                mine
            };
            let threads: Vec<_> = (0..OWNED + 4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        lanes.sort_unstable();
        assert_eq!(lanes[..OWNED], [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(lanes[OWNED..].iter().all(|lane| *lane == SHARED));
    }
}
