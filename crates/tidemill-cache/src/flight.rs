//! One load a key: who leads it, who waits for it, and what an invalidation does to it.
//!
//! A board has at most one flight a key. Its leader loads; everybody else waits for what it brings. A leader that is dropped
//! before it lands hands over to one of those who wait. Publishing and forgetting happen under the same lock, so a flight
//! that was forgotten (its key was written or invalidated meanwhile) still tells those who waited, and publishes nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::{Mutex, lock};

/// Locks that the keys share.
#[cfg(not(loom))]
const SHARDS: usize = 64;
#[cfg(loom)]
const SHARDS: usize = 1;

type Slots<K, T> = HashMap<K, Arc<Flight<T>>, foldhash::fast::RandomState>;

/// The flights of all keys. `T` is what a flight brings.
pub(crate) struct Board<K, T> {
    hasher: foldhash::fast::RandomState,
    shards: Box<[Mutex<Slots<K, T>>]>,
}

/// One load that runs.
pub(crate) struct Flight<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    phase: Phase<T>,
    /// Who waits, by number; a waker is taken when it is woken.
    waiting: Vec<(u64, Option<Waker>)>,
    next: u64,
}

enum Phase<T> {
    Led,
    /// The leader was dropped: who comes or wakes next leads.
    Vacant,
    Landed(T),
}

/// What somebody who wants a key becomes.
pub(crate) enum Seat<K: Hash + Eq + Clone, T: Clone> {
    Lead(Lead<K, T>),
    Wait(Wait<K, T>),
}

impl<K: Hash + Eq + Clone, T: Clone> Board<K, T> {
    pub(crate) fn new() -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::default())).collect();
        Arc::new(Self { hasher: foldhash::fast::RandomState::default(), shards })
    }

    fn shard(&self, key: &K) -> &Mutex<Slots<K, T>> {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits choose")]
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        &self.shards[at]
    }

    /// Leads the key's flight, or waits for who does.
    pub(crate) fn join(self: &Arc<Self>, key: &K) -> Seat<K, T> {
        let mut slots = lock(self.shard(key));
        let flight = match slots.get(key) {
            Some(flight) if flight.take_lead() => Arc::clone(flight),
            Some(flight) => {
                let (board, key, flight) = (Arc::clone(self), key.clone(), Arc::clone(flight));
                let number = flight.queue();
                return Seat::Wait(Wait { board, key, flight, number });
            }
            None => {
                let state = State { phase: Phase::Led, waiting: Vec::new(), next: 0 };
                let flight = Arc::new(Flight { state: Mutex::new(state) });
                slots.insert(key.clone(), Arc::clone(&flight));
                flight
            }
        };
        Seat::Lead(Lead { board: Arc::clone(self), key: key.clone(), flight, landed: false })
    }

    /// Leads the key's flight, unless somebody does.
    pub(crate) fn try_lead(self: &Arc<Self>, key: &K) -> Option<Lead<K, T>> {
        match self.join(key) {
            Seat::Lead(lead) => Some(lead),
            Seat::Wait(_) => None,
        }
    }

    /// Whatever runs for the key publishes nothing any more; `then` happens before anybody can begin anew.
    pub(crate) fn forget<R>(&self, key: &K, then: impl FnOnce() -> R) -> R {
        let mut slots = lock(self.shard(key));
        slots.remove(key);
        then()
    }

    /// The keys whose flights run.
    pub(crate) fn keys(&self) -> Vec<K> {
        self.shards.iter().flat_map(|shard| lock(shard).keys().cloned().collect::<Vec<K>>()).collect()
    }

    /// Flights that run (a gauge).
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

impl<T> Flight<T> {
    fn take_lead(&self) -> bool {
        let mut state = lock(&self.state);
        let vacant = matches!(state.phase, Phase::Vacant);
        if vacant {
            state.phase = Phase::Led;
        }
        vacant
    }

    /// A place among those who wait, taken before the board's lock is let go.
    fn queue(&self) -> Option<u64> {
        let mut state = lock(&self.state);
        state.next += 1;
        let number = state.next;
        state.waiting.push((number, None));
        Some(number)
    }

    /// The first of those who wait and were not woken yet.
    fn next_waker(state: &mut State<T>) -> Option<Waker> {
        state.waiting.iter_mut().find_map(|(_, waker)| waker.take())
    }
}

/// The right to load a key, and the duty to land: dropped before, it is handed over.
pub(crate) struct Lead<K: Hash + Eq + Clone, T: Clone> {
    board: Arc<Board<K, T>>,
    key: K,
    flight: Arc<Flight<T>>,
    landed: bool,
}

impl<K: Hash + Eq + Clone, T: Clone> Lead<K, T> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// Tells everybody who waits. `publish` runs before, unless the flight was forgotten; returns whether it did.
    pub(crate) fn land(mut self, value: T, publish: impl FnOnce()) -> bool {
        let mine = {
            let mut slots = lock(self.board.shard(&self.key));
            let mine = slots.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
            if mine {
                publish();
                slots.remove(&self.key);
            }
            mine
        };
        self.landed = true;
        let waiting = {
            let mut state = lock(&self.flight.state);
            state.phase = Phase::Landed(value);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().filter_map(|(_, waker)| waker).for_each(Waker::wake);
        mine
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Drop for Lead<K, T> {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        // Under the board's lock, so that nobody joins a flight that is just being taken off it.
        let mut slots = lock(self.board.shard(&self.key));
        let waker = {
            let mut state = lock(&self.flight.state);
            state.phase = Phase::Vacant;
            if state.waiting.is_empty()
                && slots.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
            {
                slots.remove(&self.key);
            }
            Flight::next_waker(&mut state)
        };
        drop(slots);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Ends with what the flight brought, or with its lead when its leader was dropped.
pub(crate) struct Wait<K: Hash + Eq + Clone, T: Clone> {
    board: Arc<Board<K, T>>,
    key: K,
    flight: Arc<Flight<T>>,
    /// Its place in the queue, until it has ended.
    number: Option<u64>,
}

/// How waiting ends.
pub(crate) enum Arrival<K: Hash + Eq + Clone, T: Clone> {
    Landed(T),
    Lead(Lead<K, T>),
}

// Nothing of it is ever pinned.
impl<K: Hash + Eq + Clone, T: Clone> Unpin for Wait<K, T> {}

impl<K: Hash + Eq + Clone, T: Clone> Future for Wait<K, T> {
    type Output = Arrival<K, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = lock(&this.flight.state);
        match &state.phase {
            Phase::Landed(value) => {
                let value = value.clone();
                drop(state);
                this.number = None;
                Poll::Ready(Arrival::Landed(value))
            }
            Phase::Vacant => {
                state.phase = Phase::Led;
                let number = this.number.take();
                state.waiting.retain(|(waiter, _)| Some(*waiter) != number);
                drop(state);
                let (board, key, flight) =
                    (Arc::clone(&this.board), this.key.clone(), Arc::clone(&this.flight));
                Poll::Ready(Arrival::Lead(Lead { board, key, flight, landed: false }))
            }
            Phase::Led => {
                // In the order of their numbers.
                let mine = state.waiting.binary_search_by_key(&this.number, |(waiter, _)| Some(*waiter));
                if let Ok(at) = mine {
                    state.waiting[at].1 = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl<K: Hash + Eq + Clone, T: Clone> Drop for Wait<K, T> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut slots = lock(self.board.shard(&self.key));
        let waker = {
            let mut state = lock(&self.flight.state);
            state.waiting.retain(|(waiter, _)| *waiter != number);
            let vacant = matches!(state.phase, Phase::Vacant);
            if vacant
                && state.waiting.is_empty()
                && slots.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
            {
                slots.remove(&self.key);
            }
            // Perhaps it was this one that had been woken to lead.
            if vacant { Flight::next_waker(&mut state) } else { None }
        };
        drop(slots);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
