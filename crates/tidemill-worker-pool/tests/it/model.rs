//! Any sequence of operations: each accepted job ends exactly once, as the counts say, and within the bounds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tidemill_worker_pool::{
    Budget, Config, Error, ErrorKind, Job, JobContext, JobError, JobHandle, Pool, Priority, Retry,
};
use tokio::time::sleep;

use crate::{MS, SECOND};

#[derive(Clone, Debug)]
enum Op {
    Submit { priority: usize, group: u8, time: u8, fate: Fate, retries: u32, timeout: Option<u8> },
    Cancel(u8),
    Resize(usize),
    Wait(u8),
    Drop(u8),
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    /// Retriable errors before it succeeds.
    After(u32),
    Fatal,
    Panic,
}

fn op() -> impl Strategy<Value = Op> {
    let fate = prop_oneof![
        4 => Just(Fate::Done),
        2 => (1..4_u32).prop_map(Fate::After),
        1 => Just(Fate::Fatal),
        1 => Just(Fate::Panic),
    ];
    prop_oneof![
        6 => (0..3_usize, 0..4_u8, 0..5_u8, fate, 0..3_u32, prop::option::of(1..4_u8)).prop_map(
            |(priority, group, time, fate, retries, timeout)| Op::Submit { priority, group, time, fate, retries, timeout }
        ),
        1 => any::<u8>().prop_map(Op::Cancel),
        1 => (1..6_usize).prop_map(Op::Resize),
        2 => (0..6_u8).prop_map(Op::Wait),
        1 => any::<u8>().prop_map(Op::Drop),
    ]
}

/// What the jobs saw.
#[derive(Default)]
struct Seen {
    attempts: Mutex<HashMap<u64, u32>>,
    running: AtomicU32,
    most: AtomicU32,
}

impl Seen {
    fn begin(&self, ctx: &JobContext) {
        let mut attempts = self.attempts.lock().unwrap();
        let attempt = attempts.entry(ctx.id()).or_default();
        *attempt += 1;
        assert_eq!(*attempt, ctx.attempt(), "no attempt twice");
    }
}

struct Inside(Arc<Seen>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn submit(
    pool: &Pool,
    seen: &Arc<Seen>,
    op: &Op,
) -> Option<(JobHandle<u64>, Fate, u32, Option<std::cmp::Ordering>)> {
    let Op::Submit { priority, group, time, fate, retries, timeout } = op.clone() else { return None };
    let seen = Arc::clone(seen);
    let job = Job::new(move |ctx: JobContext| {
        let seen = Arc::clone(&seen);
        async move {
            seen.begin(&ctx);
            seen.most.fetch_max(seen.running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let _inside = Inside(Arc::clone(&seen));
            if time > 0 {
                sleep(u32::from(time) * MS).await;
            }
            match fate {
                Fate::After(failures) if ctx.attempt() <= failures => Err(JobError::retriable("again")),
                Fate::Done | Fate::After(_) => Ok(ctx.id()),
                Fate::Fatal => Err(JobError::fatal("no")),
                Fate::Panic => std::panic::resume_unwind(Box::new("panic")),
            }
        }
    });
    let mut job = job.priority(Priority::ALL[priority]).group(format!("g{group}")).retry(Retry {
        max: retries,
        base: 2 * MS,
        cap: 4 * MS,
    });
    if let Some(timeout) = timeout {
        job = job.timeout(u32::from(timeout) * MS);
    }
    // At equality either may come first.
    let slow = timeout.map(|timeout| time.cmp(&timeout));
    pool.try_submit(job).ok().map(|handle| (handle, fate, retries, slow))
}

async fn run(ops: Vec<Op>, deadline: Duration, seed: u64) {
    let config = Config {
        workers: 2,
        max_workers: 5,
        queue: 8,
        batch: 4,
        aging: 5 * MS,
        max_groups: 2,
        retry_budget: Budget::UNLIMITED,
        recycle_after: seed % 5,
        seed,
        ..Config::default()
    };
    let pool = Pool::builder(config).build().unwrap();
    let seen = Arc::new(Seen::default());
    let mut handles = Vec::new();
    let (mut accepted, mut dropped) = (0, 0);
    for op in &ops {
        match op {
            Op::Submit { .. } => {
                if let Some(handle) = submit(&pool, &seen, op).await {
                    accepted += 1;
                    handles.push((handle, false));
                }
                let stats = pool.stats();
                assert!(stats.waiting + stats.delayed <= 8 + 5, "{stats:?}");
            }
            Op::Cancel(i) if !handles.is_empty() => {
                let i = usize::from(*i) % handles.len();
                handles[i].0.0.cancel();
                handles[i].1 = true;
            }
            Op::Drop(i) if !handles.is_empty() => {
                drop(handles.swap_remove(usize::from(*i) % handles.len()));
                dropped += 1;
            }
            Op::Resize(n) => pool.resize(*n).unwrap(),
            Op::Wait(n) => sleep(u32::from(*n) * MS).await,
            Op::Cancel(_) | Op::Drop(_) => {}
        }
    }
    let report = pool.close(deadline).await;
    assert_eq!(report.stuck, 0);
    let total = pool.stats().total();
    assert_eq!(total.accepted, accepted);
    assert_eq!(total.ended(), accepted, "each ends once: {total:?}");
    assert_eq!(total.returned, (report.returned.len() + report.unfinished.len()) as u64);
    assert_eq!(seen.running.load(Ordering::Relaxed), 0, "nothing runs on");
    assert!(seen.most.load(Ordering::Relaxed) <= 5);
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.delayed, stats.running, stats.workers), (0, 0, 0, 0));
    let mut kinds: HashMap<Option<ErrorKind>, u64> = HashMap::new();
    for ((handle, fate, retries, slow), cancelled) in handles {
        let id = handle.id();
        // Never waits: it has ended.
        let result = tokio::time::timeout(SECOND, handle).await.expect("the result is there");
        let kind = result.as_ref().err().map(Error::kind);
        *kinds.entry(kind).or_default() += 1;
        match kind {
            None => {
                assert_eq!(result.unwrap(), id);
                assert!(matches!(fate, Fate::Done) || matches!(fate, Fate::After(n) if n <= retries));
                assert!(slow.is_none_or(|order| order.is_le()));
            }
            Some(ErrorKind::Failed) => assert!(matches!(fate, Fate::Fatal | Fate::After(_))),
            Some(ErrorKind::Panicked) => assert!(matches!(fate, Fate::Panic)),
            Some(ErrorKind::Cancelled) => assert!(cancelled),
            Some(ErrorKind::TimedOut) => assert!(slow.is_some_and(|order| order.is_ge())),
            Some(ErrorKind::Closed) => {
                assert!(report.returned.iter().chain(&report.unfinished).any(|job| job.id == id));
            }
            other => panic!("{other:?}"),
        }
        let attempts = seen.attempts.lock().unwrap().get(&id).copied().unwrap_or(0);
        assert!(attempts <= retries + 1);
    }
    if dropped == 0 {
        let count = |kind| kinds.get(&kind).copied().unwrap_or(0);
        assert_eq!(count(None), total.done);
        assert_eq!(count(Some(ErrorKind::Failed)), total.failed);
        assert_eq!(count(Some(ErrorKind::Panicked)), total.panicked);
        assert_eq!(count(Some(ErrorKind::Cancelled)), total.cancelled);
        assert_eq!(count(Some(ErrorKind::TimedOut)), total.timed_out);
        assert_eq!(count(Some(ErrorKind::Closed)), total.returned);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_job_ends_exactly_once(
        ops in prop::collection::vec(op(), 1..60),
        deadline in prop_oneof![Just(Duration::ZERO), (1..20_u32).prop_map(|n| n * MS), Just(60 * SECOND)],
        seed in any::<u64>(),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(ops, deadline, seed));
    }
}
