//! Many jobs handed in together: order, bounds, and what happens when it goes wrong on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidemill_worker_pool::{Config, ErrorKind, Job, JobContext, JobError, JobHandle, Pool, Priority};

use crate::{SECOND, pool, workers};

type Answer = std::future::Ready<Result<usize, JobError>>;

fn numbered(n: usize) -> Job<impl FnMut(JobContext) -> Answer> {
    Job::new(move |_: JobContext| std::future::ready(Ok(n)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_come_in_order_and_numbers_in_a_row() {
    let pool = pool(Config { queue: 7, ..workers(3) });
    let mut handles: Vec<JobHandle<usize>> = Vec::new();
    pool.submit_all((0..1000).map(numbered), &mut handles).await.unwrap();
    assert_eq!(handles.len(), 1000);
    let first = handles[0].id();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.id(), first + n as u64);
        assert_eq!(handle.await.unwrap(), n);
    }
    // A worker books what it ran when it looks for more, which may be after its handles were told.
    assert!(pool.close(60 * SECOND).await.is_complete());
    let stats = pool.stats();
    assert_eq!((stats.total().accepted, stats.total().done), (1000, 1000));
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_the_queue_holds() {
    let pool = pool(Config { queue: 5, ..workers(1) });
    let sleepy = |_| {
        Job::new(|_: JobContext| async {
            tokio::time::sleep(SECOND).await;
            Ok::<_, JobError>(())
        })
    };
    let (mut handles, all) = (Vec::new(), pool.clone());
    let submit = tokio::spawn(async move {
        all.submit_all((0..20).map(sleepy), &mut handles).await.unwrap();
        handles
    });
    for _ in 0..14 {
        tokio::time::sleep(SECOND).await;
        let stats = pool.stats();
        assert!(stats.waiting <= 5, "{}", stats.waiting);
        assert!(stats.waiting >= 4, "room is used at once: {}", stats.waiting);
    }
    for handle in submit.await.unwrap() {
        handle.await.unwrap();
    }
    // All places are free again.
    for n in 0..5 {
        pool.try_submit(numbered(n)).unwrap().detach();
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_takes_none_and_says_so() {
    let pool = pool(workers(1));
    pool.close(SECOND).await;
    let mut handles = Vec::new();
    let error = pool.submit_all((0..3).map(numbered), &mut handles).await.unwrap_err();
    assert_eq!((error.kind(), handles.len()), (ErrorKind::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn priorities_and_groups_are_kept() {
    let pool = pool(workers(1));
    let started = Arc::new(std::sync::Mutex::new(Vec::new()));
    let jobs = (0..6).map(|n| {
        let started = Arc::clone(&started);
        Job::new(move |_: JobContext| {
            started.lock().unwrap().push(n);
            async { Ok::<_, JobError>(()) }
        })
        .priority(Priority::ALL[n % 3])
        .group(["a", "b"][n % 2])
    });
    let mut handles = Vec::new();
    pool.submit_all(jobs, &mut handles).await.unwrap();
    for handle in handles {
        handle.await.unwrap();
    }
    let order: Vec<usize> = started.lock().unwrap().iter().map(|n| n % 3).collect();
    assert_eq!(order, [0, 0, 1, 1, 2, 2]);
    assert_eq!(pool.stats().groups["a"].priorities.total().done, 3);
}

/// The iterator is a caller's, and may panic.
#[tokio::test(start_paused = true)]
async fn an_iterator_that_panics_leaves_no_handle_waiting_and_no_place_taken() {
    let pool = pool(Config { queue: 8, ..workers(1) });
    let made = Arc::new(AtomicUsize::new(0));
    let handles = Arc::new(std::sync::Mutex::new(Vec::<JobHandle<usize>>::new()));
    let submit = |pool: Pool| {
        let (made, handles) = (Arc::clone(&made), Arc::clone(&handles));
        tokio::spawn(async move {
            let jobs = (0..8).map(|n| {
                assert!(n < 5, "the caller's own panic");
                made.fetch_add(1, Ordering::Relaxed);
                numbered(n)
            });
            pool.submit_all(jobs, &mut Keeps(&handles)).await
        })
    };
    assert!(submit(pool.clone()).await.unwrap_err().is_panic());
    assert_eq!(made.load(Ordering::Relaxed), 5);
    let handles = std::mem::take(&mut *handles.lock().unwrap());
    for handle in handles {
        let ended = tokio::time::timeout(Duration::from_secs(1), handle).await.expect("it has ended");
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Closed);
    }
    for n in 0..8 {
        pool.try_submit(numbered(n)).unwrap().detach();
    }
}

/// Handles that outlive a panic.
struct Keeps<'a>(&'a std::sync::Mutex<Vec<JobHandle<usize>>>);

impl Extend<JobHandle<usize>> for Keeps<'_> {
    fn extend<I: IntoIterator<Item = JobHandle<usize>>>(&mut self, handles: I) {
        handles.into_iter().for_each(|handle| self.0.lock().unwrap().push(handle));
    }
}
