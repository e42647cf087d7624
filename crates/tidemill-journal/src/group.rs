//! Group commit for threads: whoever comes first works for all who wait, no thread of its own.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Collects what several threads bring and hands it, together, to one of them.
///
/// While one thread is inside `work` (one write, one fsync), the others queue; when it comes back, the first of them takes
/// everything queued as the next batch. So the cost of a sync is shared by as many as wait for it, and nobody waits for a
/// timer. At most `limit` items form one batch; each thread brings one item and blocks, so the queue is bounded by the
/// number of threads.
#[derive(Debug)]
pub struct Group<T, R> {
    state: Mutex<State<T, R>>,
    changed: Condvar,
    limit: usize,
}

#[derive(Debug)]
struct State<T, R> {
    queue: Vec<(u64, T)>,
    done: Vec<(u64, Option<R>)>,
    next_ticket: u64,
    busy: bool,
}

impl<T, R> Group<T, R> {
    /// A group whose batches hold at most `limit` items (at least one).
    pub fn new(limit: usize) -> Self {
        let state = State { queue: Vec::new(), done: Vec::new(), next_ticket: 0, busy: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), limit: limit.max(1) }
    }

    /// Brings one item and returns its result. `work` takes a batch and returns one result for each item, in order; it may
    /// be another thread's closure that is run. `None` when the batch's `work` panicked or returned too few results.
    pub fn submit(&self, item: T, work: impl FnOnce(Vec<T>) -> Vec<R>) -> Option<R> {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push((ticket, item));
        loop {
            if let Some(at) = state.done.iter().position(|(done, _)| *done == ticket) {
                return state.done.swap_remove(at).1;
            }
            if !state.busy {
                break;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // This thread leads. Its own item is in the batch: tickets are served in order, and the queue holds at most one
        // item of each waiting thread, so a full batch may have to pass before it.
        let mut work = Some(work);
        let mut mine = None;
        state.busy = true;
        let take = state.queue.len().min(self.limit);
        let own = state.queue.iter().position(|(t, _)| *t == ticket).unwrap_or(0);
        let mut batch: Vec<(u64, T)> = state.queue.drain(..take).collect();
        if own >= take {
            // Never leave without the own item: it takes the last place, the displaced one is served next.
            let own = state.queue.remove(own - take);
            if let Some(last) = batch.pop() {
                state.queue.insert(0, last);
            }
            batch.push(own);
        }
        drop(state);
        let (tickets, items): (Vec<u64>, Vec<T>) = batch.into_iter().unzip();
        let mut finish = Finish { group: self, tickets, results: Vec::new(), own: ticket, mine: &mut mine };
        if let Some(work) = work.take() {
            finish.results = work(items);
        }
        drop(finish);
        mine
    }

    fn lock(&self) -> MutexGuard<'_, State<T, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out the results even when `work` unwinds, so that nobody waits for ever.
struct Finish<'a, T, R> {
    group: &'a Group<T, R>,
    tickets: Vec<u64>,
    results: Vec<R>,
    own: u64,
    mine: &'a mut Option<R>,
}

impl<T, R> Drop for Finish<'_, T, R> {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        let mut results = std::mem::take(&mut self.results).into_iter();
        for ticket in self.tickets.drain(..) {
            let result = results.next();
            if ticket == self.own {
                *self.mine = result;
            } else {
                state.done.push((ticket, result));
            }
        }
        state.busy = false;
        drop(state);
        self.group.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};

    #[test]
    fn those_who_wait_share_one_batch() {
        let group = Arc::new(Group::<u32, (u32, usize)>::new(64));
        let entered = Arc::new(Barrier::new(2));
        let first = std::thread::spawn({
            let (group, entered) = (group.clone(), entered.clone());
            move || {
                group.submit(0, |batch| {
                    entered.wait();
                    // Leave only when all others have queued.
                    while group.lock().queue.len() < 8 {
                        std::thread::yield_now();
                    }
                    batch.iter().map(|item| (*item, batch.len())).collect()
                })
            }
        });
        entered.wait();
        let others: Vec<_> = (1..=8)
            .map(|item| {
                let group = group.clone();
                std::thread::spawn(move || {
                    group.submit(item, |batch| batch.iter().map(|item| (*item, batch.len())).collect())
                })
            })
            .collect();
        assert_eq!(first.join().unwrap(), Some((0, 1)));
        for (item, other) in (1..=8).zip(others) {
            assert_eq!(other.join().unwrap(), Some((item, 8)));
        }
    }

    #[test]
    fn a_batch_has_its_bound_and_everyone_gets_an_own_answer() {
        let group = Arc::new(Group::<u32, u32>::new(2));
        let threads: Vec<_> = (0..32)
            .map(|item| {
                let group = group.clone();
                std::thread::spawn(move || {
                    for _ in 0..50 {
                        let answer = group.submit(item, |batch| {
                            assert!(batch.len() <= 2);
                            batch.iter().map(|item| item * 2).collect()
                        });
                        assert_eq!(answer, Some(item * 2));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn a_panic_of_the_leader_leaves_no_one_waiting() {
        let group = Group::<u32, u32>::new(2);
        let fell =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| group.submit(1, |_| panic!("leader"))));
        assert!(fell.is_err());
        assert_eq!(group.submit(2, |batch| batch), Some(2));
    }
}
