//! The keeper under a paused clock: it renews, tells what it lost, gives back; and two of them take turns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_lease::{
    Clock, Config, Epoch, Error, ErrorKind, Event, Handover, Keeper, Leases, Loaded, Memory, Name, Owner,
    Page, Pending, Record, Stats, Store,
};
use tokio::time::{Instant, advance, sleep};

const TERM: Duration = Duration::from_secs(30);

/// A store that can be unplugged, and that can keep an answer to itself.
struct Plug {
    memory: Memory,
    out: AtomicBool,
    hangs: AtomicBool,
    writes: AtomicU64,
}

impl Plug {
    fn new(clock: Clock) -> Arc<Self> {
        let memory = Memory::new(clock);
        Arc::new(Self {
            memory,
            out: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            writes: AtomicU64::new(0),
        })
    }

    async fn pass(&self) -> Result<(), Error> {
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        match self.out.load(Ordering::Relaxed) {
            true => Err(Error::unavailable("be reached", "unplugged")),
            false => Ok(()),
        }
    }
}

impl Store for Plug {
    fn load<'a>(&'a self, name: &'a Name) -> Pending<'a, Loaded> {
        Box::pin(async move {
            self.pass().await?;
            self.memory.load(name).await
        })
    }

    fn swap<'a>(
        &'a self,
        name: &'a Name,
        expected: Option<&'a Record>,
        next: &'a Record,
    ) -> Pending<'a, bool> {
        Box::pin(async move {
            self.pass().await?;
            self.writes.fetch_add(1, Ordering::Relaxed);
            self.memory.swap(name, expected, next).await
        })
    }

    fn page<'a>(&'a self, after: Option<&'a Name>, limit: usize) -> Pending<'a, Page> {
        self.memory.page(after, limit)
    }
}

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(Duration, String)>>>);

impl Diary {
    fn keep(&self, leases: &Leases, seed: u64) -> Keeper {
        let (diary, clock) = (self.clone(), leases.clone());
        leases.keep(name(), seed, move |event| {
            let text = match event {
                Event::Gained(held) => format!("gained {}", held.epoch()),
                Event::Lost(epoch) => format!("lost {epoch}"),
                Event::Missed(_) => "missed".into(),
                _ => "other".into(),
            };
            diary.0.lock().unwrap().push((clock.now(), text));
        })
    }

    fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, text)| text.clone()).filter(|text| text != "missed").collect()
    }

    fn when(&self, wanted: &str) -> Duration {
        self.0.lock().unwrap().iter().find(|(_, text)| text == wanted).unwrap().0
    }
}

fn name() -> Name {
    Name::try_new("key").unwrap()
}

fn leases(store: &Arc<Plug>, clock: &Clock, owner: &str) -> Leases {
    let config = Config { reserve: 2, ..Config::with_term(TERM) };
    Leases::builder(config, store.clone(), Owner::try_new(owner).unwrap())
        .clock(clock.clone())
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_renews_for_hours_and_gives_back() {
    let clock = Clock::tokio();
    let store = Plug::new(clock.clone());
    let leases = leases(&store, &clock, "a");
    let diary = Diary::default();
    let keeper = diary.keep(&leases, 1);
    for _ in 0..3600 {
        sleep(Duration::from_secs(1)).await;
        assert!(keeper.may_act());
    }
    assert_eq!(diary.texts(), ["gained 1"]);
    let renewed = leases.stats().renewed;
    assert!((360..=400).contains(&renewed), "a third of the term each: {renewed}");
    keeper.set_payload(b"stamps".to_vec());
    let guard = keeper.held().unwrap();
    let report = keeper.close(Duration::from_secs(1)).await;
    assert!(report.released && report.error.is_none() && report.epoch == Some(Epoch(1)), "{report:?}");
    assert!(!guard.may_act(leases.now()));
    let next = leases.acquire(&name()).await.unwrap();
    assert_eq!((next.epoch(), next.inherited()), (Epoch(2), &b"stamps"[..]));
    assert_eq!(*next.handover(), Handover::Clean { since: Duration::ZERO });
    let stats = leases.stats();
    let expected = Stats { acquired: 2, released: 1, renewed, ..Stats::default() };
    assert_eq!(stats, expected);
}

#[tokio::test(start_paused = true)]
async fn it_stops_before_the_end_of_the_term_when_the_store_fails_or_hangs() {
    for hangs in [false, true] {
        let clock = Clock::tokio();
        let store = Plug::new(clock.clone());
        let leases = leases(&store, &clock, "a");
        let diary = Diary::default();
        let keeper = diary.keep(&leases, 2);
        sleep(Duration::from_secs(1)).await;
        let until = keeper.held().unwrap().until();
        let switch = if hangs { &store.hangs } else { &store.out };
        switch.store(true, Ordering::Relaxed);
        while keeper.may_act() {
            assert!(leases.now() < until, "hangs: {hangs}");
            sleep(Duration::from_millis(7)).await;
        }
        // The last renewal may have come between.
        sleep(Duration::from_secs(1)).await;
        assert_eq!(diary.texts(), ["gained 1", "lost 1"], "hangs: {hangs}");
        assert!(diary.when("lost 1") <= until + Duration::from_millis(1), "hangs: {hangs}");
        assert!(leases.stats().failed >= 2 && leases.stats().lost == 1 && leases.stats().held == 0);
        switch.store(false, Ordering::Relaxed);
        sleep(TERM / 3).await;
        // Nobody took it meanwhile; our former life is on record until we say that it stopped.
        assert_eq!(diary.texts(), ["gained 1", "lost 1", "gained 2"], "hangs: {hangs}");
        let held = keeper.held().unwrap();
        assert_eq!(held.unconfirmed().len(), 1);
        assert!(leases.confirm(&name(), Epoch(1)).await.unwrap());
        drop(keeper);
        assert!(!held.may_act(leases.now()), "a dropped keeper stops at once");
    }
}

#[tokio::test(start_paused = true)]
async fn another_takes_over_a_dead_one_and_gets_a_released_one_sooner() {
    let clock = Clock::tokio();
    let store = Plug::new(clock.clone());
    let (a, b) = (leases(&store, &clock, "a"), leases(&store, &clock, "b"));
    let (mine, other) = (Diary::default(), Diary::default());
    let first = mine.keep(&a, 1);
    sleep(Duration::from_secs(1)).await;
    let second = other.keep(&b, 2);
    sleep(10 * TERM).await;
    assert!(first.may_act() && !second.may_act() && other.texts().is_empty());
    assert!(b.stats().refused_held >= 10);
    // Dead: its term runs out. A renewal was at most a third of a term ago.
    let died = clock.now();
    drop(first);
    sleep(2 * TERM).await;
    let after = other.when("gained 2") - died;
    assert!(after > TERM * 6 / 10 && after < TERM + TERM / 3 + Duration::from_secs(1), "{after:?}");
    let held = second.held().unwrap();
    assert!(
        matches!(held.handover(), Handover::Expired { since } if *since <= TERM / 3 + Duration::from_secs(1))
    );
    assert!(held.clear_at(Duration::from_secs(60)) > other.when("gained 2") + Duration::from_secs(40));
    assert_eq!(b.stats().taken_over, 1);
    // Given back: had within a third of a term.
    let third = mine.keep(&a, 3);
    sleep(TERM).await;
    let given = clock.now();
    assert!(second.close(Duration::from_secs(1)).await.released);
    sleep(TERM).await;
    assert!(mine.when("gained 3") - given < TERM / 3 + Duration::from_secs(1));
    assert!(third.held().unwrap().handover().is_clean());
}

/// The whole process stands still for 60 s: its timers too. When it goes on, the first question is answered by the
/// clock, before any renewal.
#[tokio::test(start_paused = true)]
async fn a_paused_owner_sees_it_before_it_acts() {
    let clock = Clock::tokio();
    let store = Plug::new(clock.clone());
    let (a, b) = (leases(&store, &clock, "a"), leases(&store, &clock, "b"));
    let held = a.acquire(&name()).await.unwrap();
    assert!(held.may_act(a.now()));
    assert_eq!(b.acquire(&name()).await.unwrap_err().retry_after(), Some(TERM));
    let begun = Instant::now();
    advance(Duration::from_secs(60)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
    assert!(!held.may_act(a.now()));
    let new = b.acquire(&name()).await.unwrap();
    let writes = store.writes.load(Ordering::Relaxed);
    for result in [a.renew(&held, Some(b"old")).await, a.release(&held, Some(b"old")).await] {
        let error = result.unwrap_err();
        assert!(error.kind() == ErrorKind::Stale && !error.is_retryable());
        assert_eq!(error.to_string(), "epoch 1 of key is stale: it stands at epoch 2 (b); stop acting");
    }
    assert_eq!(store.writes.load(Ordering::Relaxed), writes, "a stale epoch does not even try to write");
    assert_eq!(a.stats().refused_stale, 2);
    assert!(new.may_act(b.now()) && new.unconfirmed()[0].epoch == Epoch(1));
}

#[tokio::test(start_paused = true)]
async fn a_close_without_a_store_ends_in_time() {
    let clock = Clock::tokio();
    let store = Plug::new(clock.clone());
    let leases = leases(&store, &clock, "a");
    let keeper = Diary::default().keep(&leases, 1);
    sleep(Duration::from_secs(1)).await;
    store.hangs.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    let report = keeper.close(Duration::from_millis(200)).await;
    assert_eq!(begun.elapsed().as_millis(), 200);
    assert_eq!((report.epoch, report.released), (Some(Epoch(1)), false));
    assert_eq!(report.error.unwrap().kind(), ErrorKind::Unavailable);
    // One that never had it has nothing to give back.
    let keeper = Diary::default().keep(&leases, 1);
    sleep(Duration::from_secs(1)).await;
    let report = keeper.close(Duration::from_secs(1)).await;
    assert_eq!((report.epoch, report.released, report.error.is_none()), (None, false, true));
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused() {
    let store: Arc<dyn Store> = Arc::new(Memory::default().max_names(1));
    let owner = Owner::try_new("a").unwrap();
    let leases = Leases::builder(Config::default(), store.clone(), owner.clone()).build().unwrap();
    let held = leases.acquire(&name()).await.unwrap();
    let long = vec![0; tidemill_lease::MAX_PAYLOAD + 1];
    assert_eq!(leases.renew(&held, Some(&long)).await.unwrap_err().kind(), ErrorKind::Input);
    assert!(held.may_act(leases.now()), "a wrong argument costs no lease");
    leases.renew(&held, Some(&long[1..])).await.unwrap();
    let second = leases.acquire(&Name::try_new("second").unwrap()).await.unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Full);
    assert_eq!(leases.list(None, usize::MAX).await.unwrap().len(), 1);
    let nobody = leases.read(&Name::try_new("second").unwrap()).await.unwrap();
    assert!(nobody.is_none());
    let config = Config { timeout: TERM, ..Config::default() };
    assert_eq!(Leases::builder(config, store, owner).build().unwrap_err().kind(), ErrorKind::Config);
}
