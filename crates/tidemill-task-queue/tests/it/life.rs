//! The life of a task: enqueued, run, retried, cancelled, replayed, waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::tempdir;
use tidemill_task_queue::store::{End, Store};
use tidemill_task_queue::{
    Config, Context, Draft, ErrorKind, Filter, Limit, Priority, Rate, State, TaskError, TaskQueue, Timestamp,
};

use crate::stage::{Add, LONG, queue, sqlite, worker};

const LEASE: Duration = Duration::from_secs(20);

/// Each case on each store that needs no server, and all of them on one that does.
macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        mod on_each {
            $(#[tokio::test]
            async fn $case() {
                let dir = tempfile::tempdir().unwrap();
                for (name, store) in crate::stage::stores(&dir) {
                    super::$case(name, store).await;
                }
            })*
        }

        /// With a fresh store for each case.
        pub(crate) async fn all(name: &str, fresh: impl AsyncFn() -> Arc<dyn Store>) {
            $($case(name, fresh().await).await;)*
        }
    };
}

cases! {
    a_task_runs_and_its_result_is_kept,
    a_failure_is_retried_with_its_history_and_ends_as_a_dead_letter_that_can_be_replayed,
    a_late_end_is_refused_and_says_so,
    many_end_at_once_and_each_by_itself,
    urgent_ones_first_but_who_waits_long_gains,
    a_task_waits_for_its_time_and_a_unique_one_is_not_doubled,
    what_waits_is_cancelled_at_once_and_what_runs_is_asked,
    a_group_keeps_to_its_caps_and_others_pass_by,
    a_paused_queue_gives_nothing,
    a_close_gives_back_what_does_not_end,
}

async fn take(queue: &TaskQueue, limit: usize) -> Vec<tidemill_task_queue::store::Claimed> {
    queue.take(&["default"], limit, LEASE, LONG).await.unwrap()
}

async fn nothing(queue: &TaskQueue) {
    let taken = queue.take(&["default"], 1, LEASE, Duration::from_millis(60)).await.unwrap();
    assert!(taken.is_empty(), "{taken:?}");
}

async fn a_task_runs_and_its_result_is_kept(name: &str, store: Arc<dyn Store>) {
    let queue = queue(store, "one");
    let work = queue.worker(worker()).register(|Add(a, b), _| async move { Ok(a + b) }).start().unwrap();
    let handle = queue.enqueue(&Add(2, 3)).await.unwrap();
    assert_eq!(handle.result(LONG).await.unwrap(), 5, "{name}");
    let record = handle.record().await.unwrap();
    assert_eq!((record.state, record.attempt, record.payload.as_str()), (State::Done, 1, "[2,3]"));
    assert!(work.close(LONG).await.is_complete());
    assert!(queue.close(LONG).await);
    assert_eq!(queue.enqueue(&Add(1, 1)).await.unwrap_err().kind(), ErrorKind::Closed);
    let total = queue.stats().total();
    assert_eq!((total.enqueued, total.started, total.done), (1, 1, 1), "{name}");
}

async fn a_failure_is_retried_with_its_history_and_ends_as_a_dead_letter_that_can_be_replayed(
    name: &str,
    store: Arc<dyn Store>,
) {
    let queue = queue(store, "one");
    let tries = Arc::new(AtomicU32::new(0));
    let seen = tries.clone();
    let work = queue
        .worker(worker())
        .register(move |Add(a, b), context: Context| {
            let seen = seen.clone();
            async move {
                let tries = seen.fetch_add(1, Ordering::SeqCst) + 1;
                match (tries, context.attempt()) {
                    (5, 1) => Ok(a + b),
                    (2, _) => panic!("as planned"),
                    _ => Err(TaskError::retriable(format!("try {tries}"))),
                }
            }
        })
        .start()
        .unwrap();
    let handle = queue.enqueue(&Add(2, 3)).await.unwrap();
    let error = handle.result(LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{name}: {error}");
    let record = handle.record().await.unwrap();
    let said: Vec<_> = record.failures.iter().map(|f| (f.attempt, f.error.as_str())).collect();
    assert_eq!(said, [(1, "try 1"), (2, "panicked: as planned"), (3, "try 3"), (4, "try 4")], "{name}");
    assert_eq!((record.state, record.reason.as_deref()), (State::Dead, Some("failed 4 times")));
    let dead = queue.list(Filter { state: Some(State::Dead), ..Filter::default() }).await.unwrap();
    assert_eq!(dead.len(), 1);
    queue.replay(handle.id()).await.unwrap();
    assert_eq!(handle.result(LONG).await.unwrap(), 5);
    assert_eq!(queue.replay(handle.id()).await.unwrap_err().kind(), ErrorKind::State);
    work.close(LONG).await;
}

async fn a_late_end_is_refused_and_says_so(name: &str, store: Arc<dyn Store>) {
    let one = queue(store.clone(), "one");
    let two = queue(store, "two");
    let handle = one.enqueue(&Add(1, 1)).await.unwrap();
    let short = one.take(&["default"], 1, Duration::from_millis(30), LONG).await.unwrap();
    let next = take(&two, 1).await;
    assert!(next[0].token > short[0].token && next[0].attempt == 2, "{name}");
    let late = one.settle(&short[0], End::Done("7".into())).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Stale);
    assert!(late.to_string().contains("claimed anew"), "{late}");
    two.settle(&next[0], End::Done("2".into())).await.unwrap();
    two.settle(&next[0], End::Done("2".into())).await.expect("the same end again is the same");
    let late = one.settle(&short[0], End::Done("7".into())).await.unwrap_err();
    assert!(late.to_string().contains("has ended"), "{late}");
    assert_eq!(handle.result(LONG).await.unwrap(), 2);
    assert_eq!(handle.record().await.unwrap().failures.len(), 1, "the lost lease stands in the history");
    assert_eq!(one.stats().refused, 2);
}

async fn many_end_at_once_and_each_by_itself(name: &str, store: Arc<dyn Store>) {
    let queue = queue(store, "one");
    let drafts = (0..150).map(|n| Draft::of(&Add(n, 0)).unwrap()).collect();
    let placed = queue.submit_all(drafts).await.unwrap();
    let short = queue.take(&["default"], 1, Duration::from_millis(30), LONG).await.unwrap();
    let mut tasks = Vec::new();
    while tasks.len() < 150 {
        tasks.append(&mut take(&queue, 150).await);
    }
    assert!(queue.settle_all(Vec::new()).await.unwrap().is_empty());
    let many = vec![(tasks[0].clone(), End::Cancelled); 513];
    assert_eq!(queue.settle_all(many).await.unwrap_err().kind(), ErrorKind::Input);
    // The run before, and the run that is current, of one task in one list.
    let ends = short.into_iter().chain(tasks).map(|task| {
        let result = task.id.to_string();
        (task, End::Done(result))
    });
    let answers = queue.settle_all(ends.collect()).await.unwrap();
    let refused: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().err().map(|error| error.kind())).collect();
    assert!(
        refused[0] == Some(ErrorKind::Stale) && refused[1..].iter().all(Option::is_none),
        "{name}: {refused:?}"
    );
    for place in placed {
        let record = queue.get(place.id).await.unwrap().unwrap();
        assert_eq!((record.state, record.result), (State::Done, Some(place.id.to_string())), "{name}");
    }
    assert_eq!((queue.stats().refused, queue.stats().total().done), (1, 150), "{name}");
    assert!(queue.check().await.unwrap().is_empty());
}

async fn urgent_ones_first_but_who_waits_long_gains(name: &str, store: Arc<dyn Store>) {
    let queue = queue(store, "one");
    let aging = Config::default().aging;
    let now = Timestamp::now();
    let ago = |aged: f64| Timestamp(now.0 - (aging.as_micros() as f64 * aged) as i64);
    let mut drafts = Vec::new();
    for (payload, priority, at) in [
        ("1", Priority::Low, ago(0.0)),
        ("2", Priority::Normal, ago(0.0)),
        ("3", Priority::High, ago(0.0)),
        ("4", Priority::Low, ago(2.5)),
        ("5", Priority::Normal, ago(0.5)),
    ] {
        drafts.push(Draft::raw("add", 1, payload).priority(priority).run_at(at));
    }
    queue.submit_all(drafts).await.unwrap();
    let order: Vec<_> = take(&queue, 9).await.into_iter().map(|task| task.payload).collect();
    assert_eq!(order, ["4", "3", "5", "2", "1"], "{name}");
}

async fn a_task_waits_for_its_time_and_a_unique_one_is_not_doubled(name: &str, store: Arc<dyn Store>) {
    let queue = queue(store, "one");
    let begun = std::time::Instant::now();
    let at = Timestamp::now().after(Duration::from_millis(1500));
    let draft = Draft::of(&Add(1, 1)).unwrap().unique_key("k").run_at(at);
    let first = queue.submit(draft.clone()).await.unwrap();
    let second = queue.submit(draft.clone()).await.unwrap();
    assert!(first.fresh && !second.fresh && first.id == second.id, "{name}");
    nothing(&queue).await;
    let task = take(&queue, 1).await.remove(0);
    assert!(begun.elapsed() >= Duration::from_millis(1500));
    assert!(!queue.submit(draft.clone()).await.unwrap().fresh, "{name}: also while it runs");
    queue.settle(&task, End::Done("1".into())).await.unwrap();
    assert!(queue.submit(draft).await.unwrap().fresh, "{name}: free again when it is done");
}

async fn what_waits_is_cancelled_at_once_and_what_runs_is_asked(name: &str, store: Arc<dyn Store>) {
    let queue = queue(store, "one");
    let waits = queue.enqueue(&Add(1, 1)).await.unwrap();
    assert!(waits.cancel().await.unwrap(), "{name}");
    assert!(waits.cancel().await.unwrap(), "again");
    assert_eq!(waits.record().await.unwrap().state, State::Cancelled);
    let stubborn = queue.enqueue(&Add(9, 9)).await.unwrap();
    let work = queue
        .worker(tidemill_task_queue::WorkerConfig {
            lease: Duration::from_millis(300),
            cancel_grace: Duration::from_millis(50),
            ..worker()
        })
        .register(|Add(a, _), context: Context| async move {
            context.progress(0.5, "half");
            if a == 9 {
                std::future::pending::<()>().await;
            }
            context.cancelled().await;
            Err(TaskError::retriable("stopped"))
        })
        .start()
        .unwrap();
    let polite = queue.enqueue(&Add(1, 1)).await.unwrap();
    while polite.record().await.unwrap().progress.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for handle in [polite, stubborn] {
        assert!(!handle.cancel().await.unwrap(), "{name}");
        assert_eq!(queue.wait(handle.id(), LONG).await.unwrap().state, State::Cancelled, "{name}");
    }
    work.close(LONG).await;
    let unknown = tidemill_task_queue::TaskId(u64::MAX >> 1);
    assert_eq!(queue.cancel(unknown).await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn a_group_keeps_to_its_caps_and_others_pass_by(name: &str, store: Arc<dyn Store>) {
    let queue = queue(store, "one");
    let draft = |n: u32, group: &str| Draft::raw("add", 1, n.to_string()).group(group);
    queue.submit_all((0..5).map(|n| draft(n, "slow")).collect()).await.unwrap();
    queue.set_limit("slow", Some(Limit { max_running: Some(2), rate: None })).await.unwrap();
    let rate = Rate { count: 3, per: Duration::from_secs(3600) };
    queue.set_limit("dear", Some(Limit { max_running: None, rate: Some(rate) })).await.unwrap();
    queue.submit_all((5..10).map(|n| draft(n, "dear")).collect()).await.unwrap();
    queue.submit(Draft::raw("add", 1, "10")).await.unwrap();
    let tasks = take(&queue, 20).await;
    let numbers: Vec<_> = tasks.iter().map(|task| task.payload.as_str()).collect();
    assert_eq!(numbers, ["0", "1", "5", "6", "7", "10"], "{name}");
    nothing(&queue).await;
    queue.settle(&tasks[0], End::Done("1".into())).await.unwrap();
    assert_eq!(take(&queue, 20).await[0].payload, "2", "{name}: a slot is free");
    queue.set_limit("dear", None).await.unwrap();
    assert_eq!(take(&queue, 20).await.len(), 2, "{name}: no cap any more");
    assert_eq!(queue.overview().await.unwrap().limits.len(), 1);
    assert!(queue.set_limit("dear", Some(Limit { max_running: Some(0), rate: None })).await.is_err());
}

async fn a_paused_queue_gives_nothing(name: &str, store: Arc<dyn Store>) {
    let queue = queue(store, "one");
    queue.pause("default").await.unwrap();
    queue.enqueue(&Add(1, 1)).await.unwrap();
    nothing(&queue).await;
    let overview = queue.overview().await.unwrap();
    assert!(overview.queues["default"].paused && overview.queues["default"].ready == [0, 1, 0], "{name}");
    queue.resume("default").await.unwrap();
    assert_eq!(take(&queue, 1).await.len(), 1, "{name}");
}

async fn a_close_gives_back_what_does_not_end(name: &str, store: Arc<dyn Store>) {
    let queue = queue(store, "one");
    let started = Arc::new(AtomicU32::new(0));
    let count = started.clone();
    let work = queue
        .worker(worker())
        .register(move |Add(a, _), _| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(if a == 0 { Duration::from_millis(50) } else { LONG * 10 }).await;
                Ok(a)
            }
        })
        .start()
        .unwrap();
    let quick = queue.enqueue(&Add(0, 0)).await.unwrap();
    let slow = queue.enqueue(&Add(1, 0)).await.unwrap();
    while started.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let report = work.close(Duration::from_millis(500)).await;
    assert_eq!((report.finished, report.released), (1, 1), "{name}");
    assert_eq!(quick.record().await.unwrap().state, State::Done);
    let record = slow.record().await.unwrap();
    assert_eq!((record.state, record.attempt), (State::Ready, 0), "{name}: the attempt does not count");
    // Of a worker that is dropped, too.
    drop(queue.worker(worker()).register(|Add(a, _), _| async move { Ok(a) }).start().unwrap());
}

#[tokio::test]
async fn a_second_process_joins_the_file() {
    let dir = tempdir().unwrap();
    let one = queue(sqlite(&dir), "one");
    let two = queue(sqlite(&dir), "two");
    let work = two.worker(worker()).register(|Add(a, b), _| async move { Ok(a + b) }).start().unwrap();
    for n in 0..20 {
        let handle = one.enqueue(&Add(n, n)).await.unwrap();
        assert_eq!(handle.result(LONG).await.unwrap(), 2 * n);
    }
    let third = sqlite(&dir);
    assert!(third.check().await.unwrap().is_empty());
    work.close(LONG).await;
}

#[tokio::test]
async fn what_is_out_of_bounds_is_named() {
    let dir = tempdir().unwrap();
    let queue = queue(sqlite(&dir), "one");
    let long = "x".repeat(200_000);
    for (draft, what) in [
        (Draft::raw("", 1, "1"), "task name"),
        (Draft::raw("a", 1, "1").queue("\n"), "queue"),
        (Draft::raw("a", 1, long.clone()), "payload"),
        (Draft::raw("a", 1, "\0"), "payload"),
        (Draft::raw("a", 1, "1").unique_key(long.clone()), "unique key"),
        (Draft::raw("a", 1, "1").group(""), "group"),
        (Draft::raw("a", 1, "1").timeout(Duration::MAX), "timeout"),
        (Draft::raw("a", 1, "1").max_retries(u32::MAX), "max_retries"),
    ] {
        let error = queue.submit(draft).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(what), "{error}");
    }
    let many = vec![Draft::raw("a", 1, "1"); 10_000];
    assert_eq!(queue.submit_all(many).await.unwrap_err().kind(), ErrorKind::Input);
}
