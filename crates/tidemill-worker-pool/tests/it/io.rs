//! The scheduler's slots: bounded by kind, urgent first, never lost; and small writes in groups.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tidemill_worker_pool::{ErrorKind, IoKind, IoLimits, IoScheduler, Priority};
use tokio::time::{sleep, timeout};

use crate::{MS, SECOND};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kind_exceeds_its_limit_and_each_reaches_it() {
    let io = IoScheduler::new(IoLimits::default()).unwrap();
    for (kind, limit) in [(IoKind::Write, 10), (IoKind::Operation, 5), (IoKind::Analysis, 10)] {
        let running = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(std::sync::Barrier::new(limit));
        let calls: Vec<_> = (0..limit * 4)
            .map(|_| {
                let (io, running, gate) = (io.clone(), Arc::clone(&running), Arc::clone(&gate));
                tokio::spawn(async move {
                    io.run(kind, Priority::Normal, move || {
                        assert!(running.fetch_add(1, Ordering::SeqCst) < limit);
                        // All slots are in use at once, or this never ends.
                        gate.wait();
                        running.fetch_sub(1, Ordering::SeqCst);
                        gate.wait();
                    })
                    .await
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        // The closure's slot is dropped on its thread, after its result is there.
        while io.load(kind) != (0, 0) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn urgent_callers_go_first_and_low_ones_age() {
    let limits = IoLimits { operations: 1, aging: SECOND, ..IoLimits::default() };
    let io = IoScheduler::new(limits).unwrap();
    let log: Arc<Mutex<Vec<&str>>> = Arc::default();
    let held = io.slot(IoKind::Operation, Priority::Normal).await.unwrap();
    let call = |name: &'static str, priority: Priority| {
        let (io, log) = (io.clone(), Arc::clone(&log));
        tokio::spawn(async move {
            let _slot = io.slot(IoKind::Operation, priority).await.unwrap();
            log.lock().unwrap().push(name);
        })
    };
    let mut calls = vec![call("aged", Priority::Low)];
    sleep(2 * SECOND).await;
    for (name, priority) in [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)] {
        calls.push(call(name, priority));
        sleep(MS).await;
    }
    drop(held);
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(*log.lock().unwrap(), ["aged", "high", "normal", "low"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_costs_no_slot() {
    let io = IoScheduler::new(IoLimits { operations: 1, queue: 3, ..IoLimits::default() }).unwrap();
    let held = io.slot(IoKind::Operation, Priority::Normal).await.unwrap();
    for _ in 0..3 {
        assert!(timeout(MS, io.slot(IoKind::Operation, Priority::High)).await.is_err());
    }
    let full = io.slot(IoKind::Operation, Priority::High).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Full, "those who left are forgotten with the next slot");
    drop(held);
    assert_eq!(io.load(IoKind::Operation), (0, 0));
    drop(io.slot(IoKind::Operation, Priority::Low).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_writes_go_in_groups_of_ten_with_a_result_each() {
    let limits = IoLimits { writes: 1, group_every: 20 * MS, ..IoLimits::default() };
    let io = IoScheduler::new(limits).unwrap();
    // While the one slot is held, the groups fill up.
    let held = io.slot(IoKind::Write, Priority::Normal).await.unwrap();
    let threads: Arc<Mutex<Vec<std::thread::ThreadId>>> = Arc::default();
    let calls: Vec<_> = (0..10)
        .map(|n| {
            let (io, threads) = (io.clone(), Arc::clone(&threads));
            tokio::spawn(async move {
                io.small_write(move || {
                    assert_ne!(n, 5, "five");
                    threads.lock().unwrap().push(std::thread::current().id());
                    n * n
                })
                .await
            })
        })
        .collect();
    while io.load(IoKind::Write).1 == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(io.load(IoKind::Write), (1, 1), "ten writes want one slot");
    drop(held);
    for (n, call) in calls.into_iter().enumerate() {
        match call.await.unwrap() {
            Ok(square) => assert_eq!(square, n * n),
            Err(error) => assert_eq!((n, error.kind()), (5, ErrorKind::Panicked)),
        }
    }
    let threads = threads.lock().unwrap();
    assert_eq!(threads.len(), 9);
    assert!(threads.iter().all(|id| *id == threads[0]), "one after the other");
}
