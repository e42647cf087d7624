//! Waits, exact on a paused clock.

use std::sync::Arc;
use std::time::Duration;

use tidemill_task_queue::store::End;
use tidemill_task_queue::{
    Clock, Config, ErrorKind, Memory, Owner, State, Task, TaskQueue, Timestamp, WorkerConfig,
};
use tokio::time::Instant;

use crate::stage::Add;

fn queue(store: &Arc<Memory>, owner: &str, clock: &Clock) -> TaskQueue {
    let owner = Owner::try_new(owner).unwrap();
    TaskQueue::builder(Config::default(), store.clone(), owner).clock(clock.clone()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_dead_workers_task_runs_elsewhere_within_its_lease_and_a_second() {
    let (store, clock) = (Arc::new(Memory::default()), Clock::tokio(Timestamp(1)));
    let (one, two) = (queue(&store, "one", &clock), queue(&store, "two", &clock));
    let handle = one.enqueue(&Add(1, 1)).await.unwrap();
    let lease = Duration::from_secs(30);
    let dead = one.take(&["default"], 1, lease, lease).await.unwrap();
    let begun = Instant::now();
    let _work = two
        .worker(WorkerConfig::default())
        .register(|Add(a, b), _| async move { Ok(a + b) })
        .start()
        .unwrap();
    assert_eq!(handle.result(3 * lease).await.unwrap(), 2);
    let took = begun.elapsed();
    assert!(took > lease - Duration::from_secs(1) && took < lease + Duration::from_secs(1), "{took:?}");
    let late = one.settle(&dead[0], End::Done("3".into())).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Stale);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_a_long_task_and_a_timeout_ends_it() {
    let (store, clock) = (Arc::new(Memory::default()), Clock::tokio(Timestamp(1)));
    let queue = queue(&store, "one", &clock);
    let _work = queue
        .worker(WorkerConfig { lease: Duration::from_secs(3), ..WorkerConfig::default() })
        .register(|Add(a, b), _| async move {
            tokio::time::sleep(Duration::from_secs(u64::from(a))).await;
            Ok(a + b)
        })
        .start()
        .unwrap();
    let long = queue.enqueue(&Add(60, 1)).await.unwrap();
    let endless = tidemill_task_queue::Draft::of(&Add(1000, 1)).unwrap().max_retries(1);
    let endless = queue.submit(endless.timeout(Duration::from_secs(20))).await.unwrap().id;
    assert_eq!(long.result(Duration::from_secs(90)).await.unwrap(), 61);
    assert_eq!(long.record().await.unwrap().attempt, 1, "its lease was kept twenty times over");
    let record = queue.wait(endless, Duration::from_secs(90)).await.unwrap();
    assert_eq!((record.state, record.attempt), (State::Dead, 2));
    assert_eq!(record.reason.as_deref(), Some("timed out in the last of 2 attempts"));
    assert_eq!(Add::options().max_retries, 3);
    let slow = queue.enqueue(&Add(100, 1)).await.unwrap();
    assert_eq!(slow.result(Duration::from_secs(5)).await.unwrap_err().kind(), ErrorKind::Timeout);
}
