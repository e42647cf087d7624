//! The judge itself: our stores pass, and stores with a fault do not.

use std::sync::Arc;
use std::time::Duration;

use tempfile::tempdir;
use tidemill_task_queue::store::{Batch, Control, End, Finish, Outcome, Pending, ScheduleRow, Store};
use tidemill_task_queue::{
    Filter, Memory, Overview, Postgres, PostgresConfig, Priority, Record, Sqlite, SqliteConfig, TaskId,
    Token, conformance,
};

use crate::cluster::Cluster;

#[tokio::test]
async fn memory_passes() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    conformance::run(|| std::future::ready(Ok(store.clone()))).await.unwrap();
}

#[tokio::test]
async fn sqlite_passes() {
    let dir = tempdir().unwrap();
    for _ in 0..2 {
        let open = || async {
            let path = dir.path().join("tasks.db");
            Ok(Arc::new(Sqlite::open(path, SqliteConfig::default())?) as Arc<dyn Store>)
        };
        conformance::run(open).await.unwrap();
    }
}

#[tokio::test]
async fn postgres_passes() {
    let Some(cluster) = Cluster::start() else { return };
    let address = cluster.address();
    let open = || async {
        Ok(Arc::new(Postgres::connect(&address, PostgresConfig::default()).await?) as Arc<dyn Store>)
    };
    conformance::run(open).await.unwrap();
}

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    GivesIdsTwice,
    ForgetsTime,
    ForgetsKeys,
    KeepsTwice,
    IgnoresPriority,
    GivesTwice,
    NoFence,
    NoHeartbeats,
    NoSweep,
    ForgetsHistory,
    CannotReplay,
    IgnoresPauses,
    IgnoresCaps,
    FiresTwice,
    ListsAll,
    PurgesNothing,
    IsSilent,
}

struct Faulty(Memory, Fault);

impl Store for Faulty {
    fn reserve(&self, count: u64) -> Pending<'_, u64> {
        match self.1 {
            Fault::GivesIdsTwice => self.0.reserve(1),
            _ => self.0.reserve(count),
        }
    }

    fn commit(&self, batch: Arc<Batch>) -> Pending<'_, Outcome> {
        Box::pin(async move {
            let mut worse = (*batch).clone();
            if self.1 == Fault::GivesTwice && !worse.enqueue.is_empty() && !worse.claim.is_empty() {
                // It gives what it keeps and forgets that it did.
                let claims = Batch { enqueue: Vec::new(), ..worse.clone() };
                let kept = self.0.commit(Arc::new(Batch { claim: Vec::new(), ..worse })).await?;
                let given = self.0.commit(Arc::new(claims)).await?;
                for task in given.claimed.iter().flatten() {
                    let end = End::Released(Duration::ZERO);
                    let owner = batch.claim[0].owner.clone();
                    let finish = vec![Finish { id: task.id, token: task.token, owner, end }];
                    let back = Batch { now: batch.now, aging: batch.aging, finish, ..Batch::default() };
                    self.0.commit(Arc::new(back)).await?;
                }
                return Ok(Outcome { enqueued: kept.enqueued, ..given });
            }
            for task in &mut worse.enqueue {
                match self.1 {
                    Fault::ForgetsTime => task.run_at = None,
                    Fault::ForgetsKeys => task.unique_key = None,
                    Fault::KeepsTwice if batch.again => task.id = TaskId(self.0.reserve(1).await?),
                    Fault::IgnoresPriority => task.priority = Priority::Normal,
                    _ => {}
                }
            }
            for finish in &mut worse.finish {
                let current = self.0.get(finish.id).await?;
                if let (Fault::NoFence, Some(current)) = (self.1, &current) {
                    finish.token = current.token;
                    finish.owner = tidemill_task_queue::Owner::try_new(current.owner.clone().unwrap())?;
                }
                if let (Fault::ForgetsHistory, End::Dead(text, _)) = (self.1, &mut finish.end) {
                    text.clear();
                }
            }
            match self.1 {
                Fault::NoHeartbeats => worse.beat.iter_mut().for_each(|beat| beat.token = Token(0)),
                Fault::NoSweep => worse.sweep = false,
                _ => {}
            }
            for control in &mut worse.control {
                let ignored = matches!(
                    (self.1, &*control),
                    (Fault::CannotReplay, Control::Replay(_))
                        | (Fault::IgnoresPauses, Control::Pause(..))
                        | (Fault::IgnoresCaps, Control::Limit(..))
                        | (Fault::PurgesNothing, Control::Purge { .. })
                );
                if ignored {
                    *control = Control::Pause("nothing".into(), false);
                }
                if let (Fault::FiresTwice, Control::Fire(fire)) = (self.1, control)
                    && let Some(row) = self.0.schedules().await?.into_iter().find(|row| row.name == fire.name)
                {
                    fire.due = row.next.unwrap();
                    fire.task.as_mut().unwrap().unique_key = None;
                }
            }
            self.0.commit(Arc::new(worse)).await
        })
    }

    fn get(&self, id: TaskId) -> Pending<'_, Option<Record>> {
        self.0.get(id)
    }

    fn list(&self, filter: Filter) -> Pending<'_, Vec<Record>> {
        match self.1 {
            Fault::ListsAll => self.0.list(Filter { state: None, ..filter }),
            _ => self.0.list(filter),
        }
    }

    fn overview(&self) -> Pending<'_, Overview> {
        self.0.overview()
    }

    fn schedules(&self) -> Pending<'_, Vec<ScheduleRow>> {
        self.0.schedules()
    }

    fn changed(&self, poll: Duration, seen: u64) -> Pending<'_, u64> {
        match self.1 {
            Fault::IsSilent => Box::pin(std::future::pending()),
            _ => self.0.changed(poll, seen),
        }
    }

    fn check(&self) -> Pending<'_, Vec<String>> {
        self.0.check()
    }
}

#[tokio::test]
async fn a_store_with_a_fault_does_not_pass() {
    use Fault::*;
    // Side by side, as each waits for leases to end.
    let mut judges = tokio::task::JoinSet::new();
    for (fault, case) in [
        (GivesIdsTwice, 0),
        (ForgetsTime, 1),
        (ForgetsKeys, 1),
        (KeepsTwice, 2),
        (IgnoresPriority, 1),
        (NoFence, 6),
        (NoHeartbeats, 7),
        (NoSweep, 4),
        (ForgetsHistory, 8),
        (CannotReplay, 9),
        (IgnoresPauses, 11),
        (IgnoresCaps, 12),
        (GivesTwice, 13),
        (FiresTwice, 14),
        (ListsAll, 15),
        (PurgesNothing, 16),
        (IsSilent, 17),
    ] {
        judges.spawn(async move {
            let store: Arc<dyn Store> = Arc::new(Faulty(Memory::default(), fault));
            let failure = conformance::run(|| std::future::ready(Ok(store.clone()))).await.unwrap_err();
            assert_eq!(failure.case, conformance::CASES[case], "{fault:?}: {failure}");
        });
    }
    while let Some(judged) = judges.join_next().await {
        judged.unwrap();
    }
}
