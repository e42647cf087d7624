//! The lock and the bell that the handles of a pool share; under `--cfg loom` loom's, so that every order of events is tried.

#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use tokio::sync::Notify;

#[cfg(loom)]
pub(crate) use self::model::Notify;
#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};

/// As much of tokio's bell as is used here, on loom's primitives.
#[cfg(loom)]
mod model {
    use std::future::poll_fn;
    use std::task::{Poll, Waker};

    use loom::sync::Mutex;

    /// At most one waiter; a ring that nobody heard is heard by the next.
    #[derive(Debug)]
    pub(crate) struct Notify(Mutex<(bool, Option<Waker>)>);

    impl Notify {
        pub(crate) fn new() -> Self {
            Self(Mutex::new((false, None)))
        }

        pub(crate) fn notify_one(&self) {
            let waker = {
                let mut state = self.0.lock().unwrap();
                state.0 = true;
                state.1.take()
            };
            waker.into_iter().for_each(Waker::wake);
        }

        pub(crate) fn notify_waiters(&self) {
            self.notify_one();
        }

        pub(crate) fn notified(&self) -> impl Future<Output = ()> {
            poll_fn(|cx| {
                let mut state = self.0.lock().unwrap();
                if std::mem::take(&mut state.0) {
                    return Poll::Ready(());
                }
                state.1 = Some(cx.waker().clone());
                Poll::Pending
            })
        }
    }
}

/// Run by `RUSTFLAGS="--cfg loom" cargo test --release -p tidemill-rate-limit --lib loom`.
#[cfg(all(test, loom))]
mod loom_tests {
    use std::future::Future;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Waker};

    use loom::future::block_on;
    use loom::thread;

    use crate::{Config, Cost, KeyPool, Outcome, Priority};

    /// One request at a time, so that who comes second waits for an answer and not for a time.
    fn pool() -> KeyPool {
        let config = Config { concurrency: Some(1), ..Config::default() };
        KeyPool::builder(config).build().unwrap()
    }

    fn send(pool: &KeyPool) {
        let flight = block_on(pool.send(Cost::ONE, Priority::Normal)).unwrap();
        flight.answered(Outcome::OK).unwrap();
    }

    /// All orders with at most three switches that nobody asked for: three threads have too many others.
    fn bounded() -> loom::model::Builder {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder
    }

    fn check(name: &str, model: impl Fn() + Sync + Send + 'static) {
        static ORDERS: AtomicUsize = AtomicUsize::new(0);
        ORDERS.store(0, Ordering::Relaxed);
        bounded().check(move || {
            ORDERS.fetch_add(1, Ordering::Relaxed);
            model();
        });
        // Read with `--nocapture --test-threads=1`.
        println!("{name}: {} orders of events", ORDERS.load(Ordering::Relaxed));
    }

    #[test]
    fn loom_who_waits_for_an_answer_is_woken_by_it() {
        check("two threads, one slot", || {
            let pool = pool();
            let other = pool.clone();
            let thread = thread::spawn(move || send(&other));
            send(&pool);
            thread.join().unwrap();
            let stats = pool.stats();
            assert_eq!((stats.sent, stats.answered, stats.in_flight, stats.waiters), (2, 2, 0, 0));
        });
    }

    #[test]
    fn loom_a_permit_given_back_goes_to_the_next() {
        check("a permit dropped unsent", || {
            let pool = pool();
            let permit = pool.try_acquire(Cost::ONE, Priority::Normal).unwrap().unwrap();
            let other = pool.clone();
            let thread = thread::spawn(move || send(&other));
            drop(permit);
            thread.join().unwrap();
            assert_eq!((pool.stats().refunded, pool.stats().sent), (1, 1));
        });
    }

    /// Polls once, then leaves the queue, or for the control never does.
    fn leave(pool: &KeyPool, leaves: bool) {
        let mut waiting = Box::pin(pool.acquire(Cost::ONE, Priority::Normal));
        let first = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(first);
        if !leaves {
            std::mem::forget(waiting);
        }
    }

    fn one_leaves(leaves: bool) {
        let pool = pool();
        let flight = pool.try_send(Cost::ONE, Priority::Normal).unwrap().unwrap();
        // It stands before the other one, and may have been woken for the slot that it does not take.
        let (first, second) = (pool.clone(), pool.clone());
        let leaver = thread::spawn(move || leave(&first, leaves));
        let thread = thread::spawn(move || send(&second));
        flight.answered(Outcome::OK).unwrap();
        leaver.join().unwrap();
        thread.join().unwrap();
        assert_eq!(pool.stats().waiters, 0);
    }

    #[test]
    fn loom_a_waiter_that_leaves_passes_its_turn_on() {
        check("one of two waiters leaves", || one_leaves(true));
    }

    /// The control: a place that nobody leaves keeps all others waiting, and loom says so.
    #[test]
    #[should_panic]
    fn loom_a_waiter_that_never_leaves_is_a_deadlock() {
        bounded().check(|| one_leaves(false));
    }

    #[test]
    fn loom_closing_turns_the_waiting_away() {
        check("close beside a waiter", || {
            let pool = pool();
            let flight = pool.try_send(Cost::ONE, Priority::Normal).unwrap().unwrap();
            let other = pool.clone();
            let thread = thread::spawn(move || block_on(other.send(Cost::ONE, Priority::Normal)).is_err());
            pool.shared.close();
            assert!(thread.join().unwrap(), "the slot is never free");
            flight.answered(Outcome::OK).unwrap();
        });
    }
}
