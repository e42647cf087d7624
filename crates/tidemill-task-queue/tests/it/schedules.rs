//! Schedules over several processes: each time fires once, none overlaps, what was missed is treated as it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tempfile::tempdir;
use tidemill_task_queue::store::{End, Store};
use tidemill_task_queue::{Clock, Draft, ErrorKind, Missed, Owner, Schedule, TaskQueue, Timestamp, When};

use crate::stage::{LONG, config, sqlite, stores};

fn hourly(missed: Missed, overlap: bool) -> Schedule {
    let when = When::Cron { pattern: "0 * * * *".into(), zone: "UTC".into() };
    Schedule { when, missed, overlap, task: Draft::raw("report", 1, "null") }
}

const HOUR: i64 = 3_600_000_000;

struct Hours(Arc<AtomicI64>);

impl Hours {
    fn queue(&self, store: Arc<dyn Store>, owner: &str) -> TaskQueue {
        let now = self.0.clone();
        let clock = Clock::from_fn(move || Timestamp(now.load(Ordering::SeqCst)));
        TaskQueue::builder(config(), store, Owner::try_new(owner).unwrap()).clock(clock).build().unwrap()
    }

    fn set(&self, hours: i64) {
        self.0.store(hours * HOUR + 1_000_000, Ordering::SeqCst);
    }
}

async fn drain(queue: &TaskQueue) -> Vec<i64> {
    let mut due = Vec::new();
    loop {
        let tasks =
            queue.take(&["default"], 100, Duration::from_secs(60), Duration::from_millis(400)).await.unwrap();
        if tasks.is_empty() {
            return due;
        }
        for task in tasks {
            due.push(task.run_at.0 / HOUR);
            queue.settle(&task, End::Done("\"ok\"".into())).await.unwrap();
        }
    }
}

#[tokio::test]
async fn each_time_fires_once_over_several_processes() {
    let dir = tempdir().unwrap();
    let hours = Hours(Arc::new(AtomicI64::new(0)));
    hours.set(0);
    let queues: Vec<_> = (0..3).map(|n| hours.queue(sqlite(&dir), &n.to_string())).collect();
    for queue in &queues {
        queue.schedules().put("report", &hourly(Missed::All, true)).await.unwrap();
    }
    let schedulers: Vec<_> = queues.iter().map(|queue| queue.schedules().start()).collect();
    let mut seen = Vec::new();
    for hour in 1..=8 {
        hours.set(hour);
        seen.extend(drain(&queues[0]).await);
    }
    assert_eq!(seen, (1..=8).collect::<Vec<_>>());
    for scheduler in schedulers {
        assert!(scheduler.close(LONG).await);
    }
}

#[tokio::test]
async fn what_was_missed_is_treated_as_the_schedule_says() {
    let dir = tempdir().unwrap();
    for (name, store) in stores(&dir) {
        for (missed, overlap, expected) in [
            (Missed::Skip, false, vec![]),
            (Missed::Once, false, vec![1]),
            (Missed::All, true, vec![1, 2, 3, 4, 5]),
            (Missed::All, false, vec![1, 2, 3, 4, 5]),
        ] {
            let hours = Hours(Arc::new(AtomicI64::new(0)));
            hours.set(0);
            let queue = hours.queue(store.clone(), "one");
            let schedules = queue.schedules();
            schedules.put("report", &hourly(missed, overlap)).await.unwrap();
            // Nobody was there for five hours and a half.
            hours.0.store(5 * HOUR + HOUR / 2, Ordering::SeqCst);
            let scheduler = schedules.start();
            assert_eq!(drain(&queue).await, expected, "{name} {missed:?} {overlap}");
            assert_eq!(
                schedules.next_runs("report", 2).await.unwrap(),
                [Timestamp(6 * HOUR), Timestamp(7 * HOUR)]
            );
            scheduler.close(LONG).await;
            schedules.remove("report").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_run_that_goes_on_is_not_overlapped_and_a_pause_holds() {
    let dir = tempdir().unwrap();
    for (name, store) in stores(&dir) {
        let hours = Hours(Arc::new(AtomicI64::new(0)));
        hours.set(0);
        let queue = hours.queue(store, "one");
        let schedules = queue.schedules();
        schedules.put("report", &hourly(Missed::Once, false)).await.unwrap();
        let scheduler = schedules.start();
        let first = schedules.run_now("report").await.unwrap();
        assert!(first.fresh && !schedules.run_now("report").await.unwrap().fresh, "{name}");
        hours.set(1);
        while schedules.get("report").await.unwrap().next != Some(Timestamp(2 * HOUR)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(drain(&queue).await.len(), 1, "{name}: the one that was asked for");
        assert_eq!(schedules.last_run("report").await.unwrap().unwrap().result.as_deref(), Some("\"ok\""));
        schedules.pause("report").await.unwrap();
        hours.set(3);
        assert!(drain(&queue).await.is_empty(), "{name}");
        schedules.put("report", &hourly(Missed::Once, false)).await.unwrap();
        assert!(schedules.get("report").await.unwrap().paused, "put again unchanged, it stays paused");
        schedules.resume("report").await.unwrap();
        assert_eq!(drain(&queue).await, [2], "{name}: what was missed in the pause, once");
        scheduler.close(LONG).await;
        assert_eq!(schedules.get("other").await.unwrap_err().kind(), ErrorKind::NotFound);
        let wrong = Schedule {
            when: When::Cron { pattern: "61 * * * *".into(), zone: "UTC".into() },
            ..hourly(Missed::Once, false)
        };
        assert_eq!(schedules.put("x", &wrong).await.unwrap_err().kind(), ErrorKind::Input);
    }
}
