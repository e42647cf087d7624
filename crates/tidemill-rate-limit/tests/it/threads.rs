//! Real threads on one pool: the blocking front, contention, and no slot lost or doubled.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tidemill_rate_limit::{Config, Cost, ErrorKind, KeyPool, Model, Outcome, Priority};

use crate::servers::{MS, Server, SlidingLog};

#[test]
fn threads_that_block_for_permits_are_never_refused() {
    let (n, per) = (5, 30 * MS);
    let config = Config::per_key(n as u32, Duration::from_nanos(per), Model::SlidingLog);
    let pool = KeyPool::builder(config).keys(2).build().unwrap();
    let servers = [(); 2].map(|()| Mutex::new(SlidingLog::new(n, per)));
    let origin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let permit = pool.acquire_blocking(Cost::ONE, Priority::Normal).unwrap();
                    let flight = permit.send().unwrap();
                    let mut server = servers[flight.key().get()].lock().unwrap();
                    let admitted = server.admit(origin.elapsed().as_nanos() as u64);
                    drop(server);
                    assert!(admitted, "refused");
                    flight.answered(Outcome::OK).unwrap();
                }
            });
        }
    });
    // 120 requests over two keys of five: eleven windows must have passed in between.
    assert!(origin.elapsed() >= Duration::from_nanos(11 * per), "{:?}", origin.elapsed());
    let stats = pool.stats();
    assert_eq!((stats.sent, stats.answered, stats.in_flight, stats.waiters), (120, 120, 0, 0));
}

#[test]
fn a_blocked_thread_learns_that_the_pool_was_closed() {
    let config = Config::per_key(1, Duration::from_secs(3600), Model::SlidingLog);
    let pool = KeyPool::builder(config).build().unwrap();
    let held = pool.acquire_blocking(Cost::ONE, Priority::Normal).unwrap();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| pool.acquire_blocking(Cost::ONE, Priority::Normal).map(drop));
        while pool.stats().waiters == 0 {
            std::thread::yield_now();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let report = runtime.block_on(pool.close(Duration::from_millis(1)));
        assert_eq!((report.turned_away, report.left), (1, 1));
        assert_eq!(blocked.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
    drop(held);
    assert_eq!(pool.acquire_blocking(Cost::ONE, Priority::Normal).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn under_contention_no_unit_is_lost_or_doubled() {
    const N: u32 = 16;
    let config = Config::per_key(N, Duration::from_secs(3600), Model::SlidingLog);
    let pool = KeyPool::builder(config).build().unwrap();
    let most = Mutex::new((0u32, 0u32));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..5_000 {
                    let Some(permit) = pool.try_acquire(Cost::ONE, Priority::Normal).unwrap() else {
                        continue;
                    };
                    {
                        let mut most = most.lock().unwrap();
                        most.0 += 1;
                        most.1 = most.1.max(most.0);
                    }
                    if turn % 3 == 0 {
                        std::thread::yield_now();
                    }
                    most.lock().unwrap().0 -= 1;
                    // Half are given back unsent, half never leave.
                    if turn % 2 == 0 {
                        drop(permit);
                    } else {
                        permit.send().unwrap().answered(Outcome::Unsent).unwrap();
                    }
                }
            });
        }
    });
    assert!(most.lock().unwrap().1 <= N);
    let all: Vec<_> =
        (0..N).map(|_| pool.try_acquire(Cost::ONE, Priority::Normal).unwrap().unwrap()).collect();
    assert!(pool.try_acquire(Cost::ONE, Priority::Normal).unwrap().is_none());
    drop(all);
    let stats = pool.stats();
    assert_eq!((stats.in_flight, stats.unsent, stats.keys[0].usage), (0, 0, 0.0));
}
