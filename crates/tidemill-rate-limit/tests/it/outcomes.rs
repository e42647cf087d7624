//! What an outcome does beyond its own slot: bans, lessons of shared scopes, what a restart keeps, live settings.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use tidemill_rate_limit::{
    Config, Core, Cost, FileStamps, Hints, KeyPool, KeyState, Limit, Model, Outcome, Poll, Priority, Scope,
};

use crate::servers::{Counter, Fixed, MS, S, Server, SlidingLog};
use crate::sim::{Ours, World, run};

const ONE: Cost = Cost::ONE;
const NORMAL: Priority = Priority::Normal;

fn s(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn one_limit(limit: Limit) -> Config {
    Config { limits: vec![limit], resolution: Duration::ZERO, drift_ppm: 0, ..Config::default() }
}

#[tokio::test(start_paused = true)]
async fn a_ban_locks_the_key_out_and_where_the_address_is_counted_all_of_them() {
    for (scope, others) in [(Scope::Key, KeyState::Active), (Scope::Ip, KeyState::Parked)] {
        let limit = Limit { scope, model: Model::SlidingLog, ..Limit::new(10, s(1)) };
        let pool = KeyPool::builder(one_limit(limit)).keys(2).build().unwrap();
        let flight = pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap();
        let banned = flight.key().get();
        flight.answered(Outcome::from_status(418, Some(s(120)))).unwrap();
        let stats = pool.stats();
        assert_eq!((stats.keys[banned].state, stats.keys[1 - banned].state), (KeyState::Parked, others));
        assert_eq!((stats.refused, stats.keys[banned].parked_for), (1, s(120)), "{scope:?}");
        if scope == Scope::Ip {
            assert_eq!(pool.peek(ONE, NORMAL), Poll::At(s(120)));
        }
    }
}

/// All keys arrive at one counter.
struct Shared(Rc<RefCell<Box<dyn Server>>>);

impl Server for Shared {
    fn admit(&mut self, at: u64) -> bool {
        self.0.borrow_mut().admit(at)
    }
}

#[test]
fn an_account_or_an_address_is_learned_as_a_key_is() {
    type Make = fn() -> Box<dyn Server>;
    let makes: [(Make, f64); 2] =
        [(|| Box::new(Counter::new(75, 10 * S)), 94.0), (|| Box::new(SlidingLog::new(75, 10 * S)), 98.0)];
    for scope in [Scope::Account, Scope::Ip] {
        for (make, least) in makes {
            let config =
                Config { limits: vec![Limit { scope, ..Limit::new(75, s(10)) }], ..Config::default() };
            let world = World { delay: (10 * MS, 40 * MS), workers: 16, end: 1200 * S, ..World::default() };
            let one = Rc::new(RefCell::new(make()));
            let mut servers: [Box<dyn Server>; 3] =
                [(); 3].map(|()| -> Box<dyn Server> { Box::new(Shared(Rc::clone(&one))) });
            let run = run(&mut Ours::new(Core::new(&config, 3).unwrap()), &mut servers, world);
            // Of one quota, not of three.
            let used = 3.0 * run.utilisation(75, 10 * S, 120 * S, 1200 * S);
            assert!(run.refused.len() <= 3 && used > least, "{scope:?}: {used} % {:?}", run.refused);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let wall = UNIX_EPOCH + s(1_800_000_000);
    let limit = Limit { model: Model::SlidingLog, ..Limit::new(10, s(1)) };
    for (name, outcome, hints) in [
        ("refused", Outcome::Refused { retry_after: Some(s(40)), limit: None }, Hints::default()),
        ("banned", Outcome::Banned { until: s(40) }, Hints::default()),
        ("drained", Outcome::OK, Hints { remaining: Some(0), reset: Some(s(40)), ..Hints::default() }),
    ] {
        let open = |after: u64| {
            let stamps = FileStamps::open(dir.path().join(name)).unwrap();
            let builder = KeyPool::builder(one_limit(limit.clone())).stamps(stamps);
            builder.wall_clock(wall + s(after)).build().unwrap()
        };
        let pool = open(0);
        let flight = pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap();
        flight.answered_with(outcome, hints).unwrap();
        drop(pool);
        let next = open(15);
        assert_eq!(next.peek(ONE, NORMAL), Poll::At(s(25)), "{name}");
        assert_eq!(next.stats().keys[0].state, KeyState::Parked);
        drop(next);
        assert!(matches!(open(41).peek(ONE, NORMAL), Poll::Ready(_)), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn settings_change_while_it_runs() {
    let limit = Limit { model: Model::SlidingLog, ..Limit::new(1, s(60)) };
    let pool = KeyPool::builder(one_limit(limit)).build().unwrap();
    let first = pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap();
    let waiting = pool.clone();
    let waiting = tokio::spawn(async move { waiting.acquire(ONE, NORMAL).await.unwrap().send().unwrap() });
    tokio::time::sleep(s(1)).await;
    assert_eq!(pool.stats().waiters, 1);
    // A larger limit lets the waiter go at once.
    pool.set_requests(0, 5000);
    let second = waiting.await.unwrap();
    assert_eq!((pool.stats().limits[0].declared, pool.stats().in_flight), (5000, 2));
    pool.set_concurrency(Some(2));
    assert_eq!(pool.peek(ONE, NORMAL), Poll::OnResponse);
    pool.set_concurrency(None);
    assert!(matches!(pool.peek(ONE, NORMAL), Poll::Ready(_)));
    // A smaller one counts what is out.
    pool.set_requests(0, 2);
    assert_eq!(pool.peek(ONE, NORMAL), Poll::OnResponse);
    first.answered(Outcome::OK).unwrap();
    assert_eq!(pool.peek(ONE, NORMAL), Poll::At(s(60)));
    pool.set_max_waiters(0);
    assert!(pool.acquire(ONE, NORMAL).await.is_err());
    second.answered(Outcome::OK).unwrap();
}

/// Allows less than it is said to, for good.
#[test]
fn a_probe_a_day_costs_no_more_than_its_doubling_allows() {
    let config = Config::per_key(10, s(60), Model::SlidingLog);
    let world = World { workers: 16, end: 31 * 86_400 * S, timer_late: 0, ..World::default() };
    let mut server: [Box<dyn Server>; 1] = [Box::new(SlidingLog::new(9, 60 * S))];
    let run = run(&mut Ours::new(Core::new(&config, 1).unwrap()), &mut server, world);
    // Refused once at the start, and after each probe: on days 1, 3, 7, 15 and 31.
    let days: Vec<u64> = run.refused.iter().map(|at| at / (86_400 * S)).collect();
    assert!((2..=6).contains(&days.len()), "refused on days {days:?}");
    assert!(days.windows(2).skip(1).all(|pair| pair[1] - pair[0] > pair[0] / 2), "{days:?}");
}

#[test]
fn a_limit_that_was_raised_on_the_server_is_found_again() {
    struct Rises(Fixed, Fixed);
    impl Server for Rises {
        fn admit(&mut self, at: u64) -> bool {
            if at < 3600 * S { self.0.admit(at) } else { self.1.admit(at) }
        }
    }
    let mut core = Core::new(&Config::per_key(10, s(60), Model::SlidingLog), 1).unwrap();
    assert_eq!(core.stats(s(0)).limits[0].learned, 10);
    let world = World { workers: 16, end: 20 * 86_400 * S, ..World::default() };
    let rises = Rises(Fixed::new(8, 60 * S, 0), Fixed::new(10, 60 * S, 0));
    let mut server: [Box<dyn Server>; 1] = [Box::new(rises)];
    let mut ours = Ours::new(core);
    let run = run(&mut ours, &mut server, world);
    core = ours.core;
    assert_eq!(core.stats(s(21 * 86_400)).limits[0].learned, 10);
    assert!(run.refused.iter().all(|at| *at < 3600 * S), "{:?}", run.refused);
    let used = run.utilisation(10, 60 * S, 10 * 86_400 * S, 20 * 86_400 * S);
    assert!(used > 99.3, "{used}");
}
