//! Bytes before, at the peak and after; and workers that make room for new ones.

use std::sync::{Arc, Mutex};

use tidemill_worker_pool::{Config, EventKind, Job, MemoryMonitor, MemoryUse, Pool};
use tokio::time::sleep;

use crate::{MS, SECOND, pool, workers};

const MB: u64 = 1 << 20;

#[test]
fn a_function_is_told_its_peak_and_what_it_left() {
    let warned: Arc<Mutex<Vec<MemoryUse>>> = Arc::default();
    let monitor = MemoryMonitor::new(4 * MB).on_warning({
        let warned = Arc::clone(&warned);
        move |used| warned.lock().unwrap().push(*used)
    });
    let (kept, used) = monitor.run(|| {
        drop(vec![0_u8; 5 << 20]);
        vec![0_u8; 2 << 20]
    });
    assert!(used.is_counted && used.is_past);
    assert_eq!((used.peak - used.before) / MB, 5);
    assert_eq!((used.after - used.before) / MB, 2);
    let (_, small) = monitor.run(|| drop(kept));
    assert!(!small.is_past && small.after + 2 * MB <= small.before, "{small:?}");
    assert_eq!(*warned.lock().unwrap(), [used], "the small one warns nobody");
}

#[test]
fn what_happens_inside_counts_outside_too() {
    let monitor = MemoryMonitor::default();
    let ((inner, held), outer) = monitor.run(|| {
        let held = vec![0_u8; 1 << 20];
        let (_, inner) = monitor.run(|| drop(vec![0_u8; 3 << 20]));
        (inner, held)
    });
    assert_eq!((inner.peak - inner.before) / MB, 3);
    assert_eq!((outer.peak - outer.before) / MB, 4, "its own and the inner one's");
    assert_eq!((outer.after - outer.before) / MB, 1);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_task_is_charged_for_its_own_polls_only() {
    let monitor = MemoryMonitor::default();
    let task = async {
        let own = vec![0_u8; 1 << 20];
        sleep(10 * MS).await;
        own.len()
    };
    let other = async {
        sleep(5 * MS).await;
        vec![0_u8; 8 << 20]
    };
    let ((_, used), other) = tokio::join!(monitor.watch(task), other);
    assert_eq!((used.peak - used.before) / MB, 1, "not the neighbour's 8");
    assert!(used.after - used.before < MB / 2);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn a_worker_makes_room_after_its_jobs() {
    for (recycle_after, recycled) in [(0, 0), (10, 10)] {
        let pool = pool(Config { recycle_after, ..workers(1) });
        for _ in 0..105 {
            pool.submit(Job::new(|_| async { Ok(()) })).await.unwrap().await.unwrap();
        }
        let stats = pool.stats();
        assert_eq!((stats.recycled, stats.workers, stats.total().done), (recycled, 1, 105));
        assert!(pool.close(SECOND).await.is_complete());
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_makes_room_after_a_job_that_took_too_much() {
    let seen: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let pool = Pool::builder(Config { recycle_bytes: 4 * MB, recycle_after: 0, ..workers(2) })
        .on_event({
            let seen = Arc::clone(&seen);
            move |event| {
                if let EventKind::Memory { peak } = event.kind {
                    seen.lock().unwrap().push((event.job.id, peak / MB));
                }
            }
        })
        .build()
        .unwrap();
    for mb in [1, 3, 6, 1, 7] {
        let job = Job::new(move |_| async move {
            let first = vec![0_u8; (mb - 1) << 20];
            sleep(MS).await;
            let second = vec![0_u8; 1 << 20];
            Ok(first.len() + second.len())
        });
        pool.submit(job).await.unwrap().await.unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), [(3, 6), (5, 7)]);
    pool.submit(Job::new(|_| async { Ok(()) })).await.unwrap().await.unwrap();
    assert!(pool.close(SECOND).await.is_complete());
    assert_eq!(pool.stats().recycled, 2);
}
