//! Panics and cancels, wherever they come, touch one job only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tidemill_worker_pool::{Config, ErrorKind, Job, JobContext, JobError, Pool, Retry, Status};
use tokio::time::{Instant, sleep};

use crate::{MS, SECOND, pool, workers};

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "boom in drop");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_anywhere_is_its_own_error() {
    let pool = pool(workers(1));
    let handles = [
        pool.submit(Job::new(|_| -> std::future::Ready<Result<(), JobError>> { panic!("in the closure") }))
            .await,
        pool.submit(Job::new(|_| async { panic!("before an {}", "await") })).await,
        pool.submit(Job::new(|_| async {
            sleep(MS).await;
            std::panic::panic_any(7_u8)
        }))
        .await,
    ];
    let texts = ["in the closure", "before an await", "a value that is no text"];
    for (handle, text) in handles.into_iter().zip(texts) {
        let error = handle.unwrap().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);
        assert_eq!(error.to_string(), format!("job panicked at attempt 1: {text}"));
    }
    // Dropped at a timeout, and as part of the closure.
    let job = Job::new(|_| async {
        let _bomb = Bomb;
        sleep(SECOND).await;
        Ok(())
    });
    let error = pool.submit(job.timeout(MS)).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let bomb = Bomb;
    let job = Job::new(move |_| {
        let _held = &bomb;
        async { Ok(5) }
    });
    assert_eq!(pool.submit(job.retry(Retry::STANDARD)).await.unwrap().await.unwrap(), 5);
    assert_eq!(pool.submit(Job::new(|_| async { Ok(6) })).await.unwrap().await.unwrap(), 6);
    let stats = pool.stats();
    assert_eq!((stats.workers, stats.total().panicked, stats.total().done), (1, 3, 2));
    assert!(pool.close(SECOND).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_harms_nobody() {
    let pool = Pool::builder(workers(1)).on_event(|_| panic!("listener")).build().unwrap();
    assert_eq!(pool.submit(Job::new(|_| async { Ok(1) })).await.unwrap().await.unwrap(), 1);
    assert!(pool.close(SECOND).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn cancel_while_waiting_running_and_delayed() {
    let pool = pool(workers(1));
    let running = pool
        .submit(Job::new(|_| async {
            sleep(60 * SECOND).await;
            Ok(())
        }))
        .await
        .unwrap();
    let ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ran);
    let waiting = pool
        .submit(Job::new(move |_| {
            flag.store(true, Ordering::Relaxed);
            async { Ok(()) }
        }))
        .await
        .unwrap();
    sleep(MS).await;
    assert_eq!((running.status(), waiting.status()), (Status::Running, Status::Waiting));
    waiting.cancel();
    assert_eq!(waiting.status(), Status::Ended);
    assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::Cancelled);
    running.cancel();
    let start = Instant::now();
    assert_eq!(running.await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(start.elapsed() < MS);
    let job = Job::new(|_| async { Err::<(), _>(JobError::retriable("no").after(100 * SECOND)) });
    let delayed = pool.submit(job.retry(Retry::STANDARD)).await.unwrap();
    sleep(MS).await;
    assert_eq!(delayed.status(), Status::Delayed);
    delayed.cancel();
    assert_eq!(delayed.await.unwrap_err().kind(), ErrorKind::Cancelled);
    let report = pool.close(200 * SECOND).await;
    assert!(report.is_complete());
    assert!(!ran.load(Ordering::Relaxed), "a cancelled job never begins");
    assert_eq!(pool.stats().total().cancelled, 3);
}

#[tokio::test(start_paused = true)]
async fn a_job_may_clean_up_within_its_grace() {
    for (grace, cleaned) in [(SECOND, true), (100 * MS, false)] {
        let pool = pool(Config { cancel_grace: grace, ..workers(1) });
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        let job = Job::new(move |ctx: JobContext| {
            let flag = Arc::clone(&flag);
            async move {
                ctx.cancelled().await;
                sleep(500 * MS).await;
                flag.store(true, Ordering::Relaxed);
                Err::<(), _>(JobError::fatal("stopped"))
            }
        });
        let handle = pool.submit(job).await.unwrap();
        sleep(MS).await;
        handle.cancel();
        let error = handle.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(done.load(Ordering::Relaxed), cleaned);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_handle_detaches_or_cancels() {
    let pool = pool(workers(2));
    let count = Arc::new(AtomicU32::new(0));
    let job = || {
        let count = Arc::clone(&count);
        Job::new(move |_| {
            let count = Arc::clone(&count);
            async move {
                sleep(MS).await;
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        })
    };
    drop(pool.submit(job()).await.unwrap());
    drop(pool.submit(job()).await.unwrap().cancel_on_drop());
    pool.close(SECOND).await;
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert_eq!(pool.stats().total().cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn progress_is_seen() {
    let pool = pool(workers(1));
    let job = Job::new(|ctx: JobContext| async move {
        for step in 1..=4 {
            sleep(SECOND).await;
            ctx.progress(f64::from(step) / 4.0, format!("page {step}"));
        }
        Ok(())
    });
    let handle = pool.submit(job.label("pages")).await.unwrap();
    let mut watch = handle.watch();
    let mut seen = Vec::new();
    while let Some(progress) = watch.next().await {
        seen.push((progress.fraction, progress.message));
        if seen.len() == 4 {
            break;
        }
    }
    assert_eq!(seen[1], (0.5, "page 2".to_owned()));
    assert_eq!(handle.progress().fraction, 1.0);
    handle.await.unwrap();
}

#[tokio::test]
async fn blocking_work_is_bounded_and_isolated() {
    let pool = pool(Config { blocking: 2, ..workers(1) });
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let tasks: Vec<_> = (0..8)
        .map(|i| {
            let (now, most, blocking) = (Arc::clone(&now), Arc::clone(&most), pool.blocking());
            tokio::spawn(async move {
                blocking
                    .run(move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(5 * MS);
                        now.fetch_sub(1, Ordering::SeqCst);
                        i
                    })
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    assert_eq!(sum, 28);
    assert_eq!(most.load(Ordering::SeqCst), 2);
    let error = pool.blocking().run(|| panic!("cpu")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
}

#[test]
fn outside_of_a_runtime_there_is_an_error() {
    assert_eq!(Pool::builder(Config::default()).build().unwrap_err().kind(), ErrorKind::NoRuntime);
}

/// Remembers whether somebody was woken.
struct Bell(std::sync::atomic::AtomicBool);

impl std::task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Asks at its drop whether the bell has rung.
struct Asks(Arc<Bell>, Arc<std::sync::Mutex<Vec<bool>>>);

impl Drop for Asks {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0.0.load(std::sync::atomic::Ordering::SeqCst));
    }
}

/// Guards an order: a handle that is ready means that the job holds nothing any more.
#[tokio::test(start_paused = true)]
async fn a_job_has_let_go_of_everything_before_its_handle_hears_of_the_end() {
    use std::future::Future;
    let pool = pool(workers(1));
    for cancel in [true, false] {
        let bell = Arc::new(Bell(false.into()));
        let answers: Arc<std::sync::Mutex<Vec<bool>>> = Arc::default();
        let (rings, seen) = (Arc::clone(&bell), Arc::clone(&answers));
        let job = Job::new(move |_| {
            let asks = Asks(Arc::clone(&rings), Arc::clone(&seen));
            async move {
                sleep(10 * MS).await;
                drop(asks);
                Ok::<_, JobError>(())
            }
        });
        let mut handle = Box::pin(pool.submit(job.timeout(5 * MS)).await.unwrap());
        let waker = std::task::Waker::from(Arc::clone(&bell));
        assert!(handle.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        sleep(MS).await;
        if cancel {
            handle.cancel();
        }
        sleep(20 * MS).await;
        assert!(bell.0.load(std::sync::atomic::Ordering::SeqCst), "it has ended");
        assert_eq!(*answers.lock().unwrap(), [false], "and was silent while the job was dropped");
    }
}
