//! Which of the few writer slots a thread owns: the owner of a slot counts by load and store, without a locked instruction.
//!
//! A slot belongs to at most one living thread of the process, so that each cell behind it has a single writer at any
//! time. When its thread ends the slot goes to the next one that asks, who continues from the values it finds: nothing
//! has to be folded or moved, and a reader that adds up the cells of all slots sees each count exactly once and never
//! steps back. Threads that find no free slot share one more cell by atomic addition. ADR 0014 has the reasons.

use std::cell::Cell;

use crate::counter::CHUNK;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// Slots with one writer; the cells of a series are these and the shared one.
pub(crate) const OWNED: usize = 8;

/// The index of the shared cell.
pub(crate) const SHARED: usize = OWNED;

/// Cells a series can have.
pub(crate) const LANES: usize = OWNED + 1;

const UNSET: usize = usize::MAX;

#[cfg(not(loom))]
static SLOTS: [Slot; OWNED] = [const { Slot(AtomicBool::new(false)) }; OWNED];

#[cfg(loom)]
loom::lazy_static! {
    static ref SLOTS: [Slot; OWNED] = std::array::from_fn(|_| Slot(AtomicBool::new(false)));
}

thread_local! {
    // Without a destructor, so that it can be read from destructors of other thread locals.
    static LANE: Cell<usize> = const { Cell::new(UNSET) };
    static OWN_CELLS: Cell<usize> = const { Cell::new(OWNED * CHUNK) };
    static LEASE: Lease = const { Lease };
}

/// The right to write the cells of one lane by load and store.
struct Slot(AtomicBool);

impl Slot {
    /// Takes the slot, if it is free. Acquire: the new owner continues from the values the last one stored.
    fn take(&self) -> bool {
        self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Leaves it, with all that was stored, to the next.
    fn give_back(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Gives the slot back when its thread ends.
struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        let lane = LANE.get();
        set_lane(SHARED);
        if lane < OWNED {
            SLOTS[lane].give_back();
        }
    }
}

/// The lane of this thread: below [`OWNED`] it alone writes there.
#[inline]
pub(crate) fn lane() -> usize {
    let lane = LANE.get();
    if lane == UNSET { claim() } else { lane }
}

/// The lane of this thread, without asking for one: not below [`OWNED`] when it has none of its own, or has not asked
/// yet.
#[inline]
pub(crate) fn own_lane() -> usize {
    LANE.get()
}

/// Where the cells of this thread begin in a chunk of counters, without asking for a lane: beyond those of all owned
/// lanes when it has none of its own, or has not asked yet.
#[inline]
pub(crate) fn own_cells() -> usize {
    OWN_CELLS.get()
}

fn set_lane(lane: usize) {
    LANE.set(lane);
    OWN_CELLS.set(lane * CHUNK);
}

/// Adds to a cell of `lane`, which must be this thread's.
#[inline]
pub(crate) fn add(cell: &AtomicU64, lane: usize, n: u64) {
    if lane == SHARED {
        cell.fetch_add(n, Ordering::Relaxed);
    } else {
        bump(cell, n);
    }
}

/// Adds to a cell of a lane that this thread owns.
#[inline]
pub(crate) fn bump(cell: &AtomicU64, n: u64) {
    // This thread is the only writer of the cell, so that nothing is lost between load and store.
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// Adds to a cell of `lane` that holds the bits of an `f64`.
pub(crate) fn add_f64(cell: &AtomicU64, lane: usize, value: f64) {
    if lane == SHARED {
        let sum = |bits| Some((f64::from_bits(bits) + value).to_bits());
        let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    } else {
        bump_f64(cell, value);
    }
}

/// Adds to a cell, of a lane that this thread owns, that holds the bits of an `f64`.
#[inline]
pub(crate) fn bump_f64(cell: &AtomicU64, value: f64) {
    let sum = f64::from_bits(cell.load(Ordering::Relaxed)) + value;
    cell.store(sum.to_bits(), Ordering::Relaxed);
}

#[cold]
fn claim() -> usize {
    // A thread that is already past the destructor of its lease, or whose lease cannot be made, shares.
    let lane = if LEASE.try_with(|_| ()).is_err() {
        SHARED
    } else {
        (0..OWNED).find(|&lane| SLOTS[lane].take()).unwrap_or(SHARED)
    };
    set_lane(lane);
    lane
}

/// Held by the unit tests that need to know who has the slots, which belong to the whole process.
#[cfg(all(test, not(loom)))]
pub(crate) static ALL_SLOTS: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn living_threads_own_different_slots_and_leave_them_to_the_next() {
        let _alone = ALL_SLOTS.lock().unwrap();
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

/// Every interleaving of a hand-over; run by `cargo xtask loom`.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::sync::every_interleaving;

    /// One owned slot and the shared one, for as many threads as a model can have.
    struct Model {
        slot: Slot,
        owned: AtomicU64,
        shared: AtomicU64,
    }

    impl Model {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                slot: Slot(AtomicBool::new(false)),
                owned: AtomicU64::new(0),
                shared: AtomicU64::new(0),
            })
        }

        /// The life of a thread: it asks once, counts, and ends.
        fn live(&self, give_back: impl Fn(&Slot)) {
            if self.slot.take() {
                add(&self.owned, 0, 1);
                add(&self.owned, 0, 1);
                give_back(&self.slot);
            } else {
                add(&self.shared, SHARED, 2);
            }
        }

        fn sum(&self) -> u64 {
            self.owned.load(Ordering::Relaxed) + self.shared.load(Ordering::Relaxed)
        }
    }

    fn three_threads(give_back: fn(&Slot)) {
        every_interleaving(move || {
            let model = Model::new();
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let model = Arc::clone(&model);
                    thread::spawn(move || model.live(give_back))
                })
                .collect();
            model.live(give_back);
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(model.sum(), 6);
        });
    }

    #[test]
    fn loom_no_hand_over_loses_a_count() {
        three_threads(Slot::give_back);
    }

    /// The control: without the release the next owner may continue from an old value.
    #[test]
    #[should_panic(expected = "assertion `left == right` failed")]
    fn loom_a_hand_over_without_release_loses_counts() {
        three_threads(|slot| slot.0.store(false, Ordering::Relaxed));
    }

    #[test]
    fn loom_a_reader_never_sees_a_step_back() {
        every_interleaving(|| {
            let model = Model::new();
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    let model = Arc::clone(&model);
                    thread::spawn(move || model.live(Slot::give_back))
                })
                .collect();
            let first = model.sum();
            let second = model.sum();
            assert!(first <= second && second <= 4, "{first} then {second}");
            for writer in writers {
                writer.join().unwrap();
            }
            assert_eq!(model.sum(), 4);
        });
    }
}
