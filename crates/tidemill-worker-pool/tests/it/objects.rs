//! Lent objects: never more than the bound, reset between users, and none lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidemill_worker_pool::{ErrorKind, JobError, Objects};
use tokio::time::{sleep, timeout};

use crate::MS;

#[tokio::test(start_paused = true)]
async fn never_more_exist_than_the_bound() {
    let exist = Arc::new(AtomicUsize::new(0));
    struct Counted(Arc<AtomicUsize>, u32);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let objects = Objects::new(
        3,
        {
            let exist = Arc::clone(&exist);
            move || {
                let exist = Arc::clone(&exist);
                async move {
                    sleep(MS).await;
                    assert!(exist.fetch_add(1, Ordering::Relaxed) < 3, "at most three");
                    Ok(Counted(exist, 0))
                }
            }
        },
        |object| {
            object.1 += 1;
            // Each is used five times.
            object.1 < 5
        },
    )
    .unwrap();
    let users: Vec<_> = (0..30)
        .map(|n| {
            let objects = objects.clone();
            tokio::spawn(async move {
                let object = objects.get().await.unwrap();
                sleep(n % 4 * MS).await;
                assert!(object.1 < 5);
            })
        })
        .collect();
    for user in users {
        user.await.unwrap();
    }
    let stats = objects.stats();
    assert_eq!((stats.lent, stats.made + stats.reused), (0, 30));
    assert_eq!(stats.made - stats.discarded, stats.idle as u64);
    assert!(stats.idle <= 3 && stats.discarded >= 4, "{stats:?}");
    assert_eq!(exist.load(Ordering::Relaxed), stats.idle);
}

#[tokio::test(start_paused = true)]
async fn an_object_is_clean_and_the_last_returned_comes_first() {
    let objects = Objects::new(
        2,
        || async { Ok(Vec::new()) },
        |object| {
            object.clear();
            true
        },
    )
    .unwrap();
    let (mut one, mut two) = (objects.get().await.unwrap(), objects.get().await.unwrap());
    one.reserve(100);
    one.push(1);
    two.push(2);
    assert!(timeout(MS, objects.get()).await.is_err(), "all are lent");
    assert!(objects.try_get().is_none());
    drop(two);
    drop(one);
    let again = objects.try_get().unwrap();
    assert!(again.is_empty() && again.capacity() >= 100);
}

#[tokio::test]
async fn a_reset_that_panics_and_a_make_that_fails_cost_no_place() {
    let made = Arc::new(AtomicUsize::new(0));
    let objects = Objects::new(
        1,
        {
            let made = Arc::clone(&made);
            move || {
                let n = made.fetch_add(1, Ordering::Relaxed);
                async move { if n == 1 { Err(JobError::retriable("refused")) } else { Ok(n) } }
            }
        },
        |n: &mut usize| {
            assert_ne!(*n, 0, "zero");
            true
        },
    )
    .unwrap();
    assert_eq!(*objects.get().await.unwrap(), 0);
    let error = objects.get().await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Failed, true));
    assert_eq!(*objects.get().await.unwrap(), 2);
    assert_eq!(*objects.get().await.unwrap(), 2, "lent again");
    assert_eq!(objects.get().await.unwrap().into_inner(), 2);
    assert_eq!(*objects.get().await.unwrap(), 3, "what was kept is replaced");
    let stats = objects.stats();
    assert_eq!((stats.made, stats.discarded, stats.idle, stats.lent), (3, 1, 1, 0));
}
