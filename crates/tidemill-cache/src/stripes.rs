//! Counters that cost a hit one unshared store: a stripe a thread, summed when somebody asks.

use std::cell::Cell;
use std::sync::{Mutex as StdMutex, PoisonError};

use crate::sync::{AtomicU64, Ordering};

/// Threads that have a stripe of their own; later ones share the last.
const OWNED: usize = 15;
/// Counters of one stripe; with the alignment a stripe has a cache line and its neighbour to itself.
pub(crate) const WIDTH: usize = 8;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; WIDTH]);

/// [`WIDTH`] monotone counters.
#[derive(Debug)]
pub(crate) struct Stripes(Box<[Stripe]>);

impl Stripes {
    pub(crate) fn new() -> Self {
        Self((0..=OWNED).map(|_| Stripe::default()).collect())
    }

    /// Adds to two counters at once, for that is what a hit does.
    #[inline]
    pub(crate) fn add2(&self, first: (usize, u64), second: (usize, u64)) {
        let place = place();
        self.add_at(place, first.0, first.1);
        self.add_at(place, second.0, second.1);
    }

    #[inline]
    pub(crate) fn add(&self, counter: usize, by: u64) {
        self.add_at(place(), counter, by);
    }

    #[inline]
    fn add_at(&self, place: usize, counter: usize, by: u64) {
        let cell = &self.0[place].0[counter];
        if place < OWNED {
            // Nobody else writes here: a place changes hands under PLACES' lock, which orders the two writers.
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        } else {
            cell.fetch_add(by, Ordering::Relaxed);
        }
    }

    pub(crate) fn sum(&self, counter: usize) -> u64 {
        self.0.iter().map(|stripe| stripe.0[counter].load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

/// Which places are free; taken at a thread's first count, given back at its end.
static PLACES: StdMutex<u32> = StdMutex::new((1 << OWNED) - 1);

const UNSET: usize = usize::MAX;

thread_local! {
    // Apart from the guard, so that reading it asks for no destructor.
    static PLACE: Cell<usize> = const { Cell::new(UNSET) };
    static GUARD: Guard = const { Guard(Cell::new(OWNED)) };
}

#[inline]
fn place() -> usize {
    let place = PLACE.get();
    if place == UNSET { take() } else { place }
}

#[cold]
fn take() -> usize {
    // Fails when the thread's locals are being destroyed: then it shares.
    let place = GUARD.try_with(|guard| {
        let mut free = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let first = free.trailing_zeros() as usize;
        if first < OWNED {
            *free &= !(1 << first);
            guard.0.set(first);
        }
        first.min(OWNED)
    });
    let place = place.unwrap_or(OWNED);
    PLACE.set(place);
    place
}

struct Guard(Cell<usize>);

impl Drop for Guard {
    fn drop(&mut self) {
        // What this thread still counts goes to the shared stripe.
        PLACE.set(OWNED);
        if self.0.get() < OWNED {
            *PLACES.lock().unwrap_or_else(PoisonError::into_inner) |= 1 << self.0.get();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// More threads than places, in waves, so that places change hands: nothing is lost or doubled.
    #[test]
    fn every_count_arrives() {
        let stripes = Arc::new(Stripes::new());
        for _ in 0..4 {
            let threads: Vec<_> = (0..OWNED + 8)
                .map(|_| {
                    let stripes = Arc::clone(&stripes);
                    std::thread::spawn(move || (0..1000).for_each(|_| stripes.add2((0, 1), (3, 2))))
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        }
        let waves = 4 * 1000 * (OWNED as u64 + 8);
        assert_eq!((stripes.sum(0), stripes.sum(3), stripes.sum(1)), (waves, 2 * waves, 0));
    }
}
