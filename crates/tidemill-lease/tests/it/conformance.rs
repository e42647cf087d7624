//! The judge itself: our stores pass, and stores with a fault do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidemill_lease::{Clock, Loaded, Memory, Moment, Name, Page, Pending, Record, Store, conformance};

#[tokio::test]
async fn memory_passes() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    for _ in 0..2 {
        conformance::run(|| std::future::ready(Ok(store.clone()))).await.unwrap();
    }
}

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    IgnoresWhatIsExpected,
    ReadsThenWrites,
    CutsPayloads,
    ForgetsEpochOnRelease,
    ForgetsFormerOwners,
    IgnoresCase,
    ListsTwice,
    ListsTooMuch,
    ClockStands,
    ClockGoesBack,
}

struct Faulty {
    good: Memory,
    fault: Fault,
    loads: AtomicU64,
}

impl Faulty {
    fn name(&self, name: &Name) -> Name {
        match self.fault {
            Fault::IgnoresCase => Name::try_new(name.as_str().to_lowercase()).unwrap(),
            _ => name.clone(),
        }
    }

    fn now(&self, now: Moment) -> Moment {
        let count = self.loads.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::ClockStands => Moment { since: Duration::from_secs(1000), ..now },
            Fault::ClockGoesBack if count % 7 == 3 => Moment { since: now.since / 2, ..now },
            _ => now,
        }
    }
}

impl Store for Faulty {
    fn load<'a>(&'a self, name: &'a Name) -> Pending<'a, Loaded> {
        Box::pin(async move {
            let found = self.good.load(&self.name(name)).await?;
            Ok(Loaded { now: self.now(found.now), ..found })
        })
    }

    fn swap<'a>(
        &'a self,
        name: &'a Name,
        expected: Option<&'a Record>,
        next: &'a Record,
    ) -> Pending<'a, bool> {
        Box::pin(async move {
            let name = self.name(name);
            let mut next = next.clone();
            match self.fault {
                Fault::CutsPayloads => next.payload.truncate(60_000),
                Fault::ForgetsFormerOwners => next.unconfirmed.clear(),
                Fault::ForgetsEpochOnRelease if next.released && next.payload.len() == 1 => next.epoch.0 = 0,
                _ => {}
            }
            let current = self.good.load(&name).await?.record;
            match self.fault {
                Fault::IgnoresWhatIsExpected => self.good.swap(&name, current.as_ref(), &next).await,
                Fault::ReadsThenWrites => {
                    let key = |record: &Record| (record.epoch, record.version);
                    if current.as_ref().map(key) != expected.map(key) {
                        return Ok(false);
                    }
                    tokio::task::yield_now().await;
                    let current = self.good.load(&name).await?.record;
                    self.good.swap(&name, current.as_ref(), &next).await
                }
                _ => self.good.swap(&name, expected, &next).await,
            }
        })
    }

    fn page<'a>(&'a self, after: Option<&'a Name>, limit: usize) -> Pending<'a, Page> {
        Box::pin(async move {
            let more = usize::from(self.fault == Fault::ListsTooMuch);
            let mut page = self.good.page(after, limit + more).await?;
            if self.fault == Fault::ListsTwice && limit > 1 && page.records.len() > 1 {
                page.records[1] = page.records[0].clone();
            }
            Ok(page)
        })
    }
}

#[tokio::test]
async fn a_store_with_a_fault_does_not_pass() {
    use Fault::*;
    for (fault, case) in [
        (IgnoresWhatIsExpected, 1),
        (ReadsThenWrites, 2),
        (CutsPayloads, 0),
        (ForgetsEpochOnRelease, 5),
        (ForgetsFormerOwners, 0),
        (IgnoresCase, 3),
        (ListsTwice, 3),
        (ListsTooMuch, 3),
        (ClockStands, 4),
        (ClockGoesBack, 4),
    ] {
        let good = Memory::new(Clock::boottime());
        let store: Arc<dyn Store> = Arc::new(Faulty { good, fault, loads: AtomicU64::new(0) });
        let failure = conformance::run(|| std::future::ready(Ok(store.clone()))).await.unwrap_err();
        assert_eq!(failure.case, conformance::CASES[case], "{fault:?}: {failure}");
    }
}
