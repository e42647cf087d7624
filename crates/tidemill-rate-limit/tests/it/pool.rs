//! The async front on a paused clock: waits to the millisecond, order, refunds, shutdown, and restarts.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use tidemill_rate_limit::{
    Config, Cost, ErrorKind, FileStamps, Hints, KeyPool, KeyState, Limit, Model, Outcome, Poll, Priority,
    Scope,
};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use crate::servers::{Counter, Leaky, MS, S, Server, SlidingLog};
use crate::sim::Random;

const ONE: Cost = Cost::ONE;
const NORMAL: Priority = Priority::Normal;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// `requests` in any second on each key, with the margin set to nothing so that waits are round.
fn exact(requests: u32) -> Config {
    let config = Config::per_key(requests, ms(1000), Model::SlidingLog);
    Config { resolution: Duration::ZERO, drift_ppm: 0, ..config }
}

fn pool(config: Config, keys: usize) -> KeyPool {
    KeyPool::builder(config).keys(keys).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_slot_comes_back_one_window_after_its_answer_and_not_a_millisecond_earlier() {
    let pool = pool(exact(1), 1);
    let start = Instant::now();
    let flight = pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap();
    sleep(ms(300)).await;
    assert_eq!(pool.peek(ONE, NORMAL), Poll::OnResponse);
    flight.answered(Outcome::OK).unwrap();
    assert_eq!(pool.peek(ONE, NORMAL), Poll::At(ms(1000)));
    let permit = pool.acquire(ONE, NORMAL).await.unwrap();
    assert_eq!(start.elapsed(), ms(1300));
    drop(permit);
    drop(pool.acquire(ONE, NORMAL).await.unwrap());
    assert_eq!(start.elapsed(), ms(1300), "dropped unsent, it is given back at once");
    assert_eq!(pool.stats().refunded, 2);
}

#[tokio::test(start_paused = true)]
async fn sending_in_one_step_waits_stamps_and_queues_like_both_steps() {
    let dir = tempfile::tempdir().unwrap();
    let stamped = FileStamps::open(dir.path().join("stamps")).unwrap();
    let remembers = KeyPool::builder(exact(1)).stamps(stamped).build().unwrap();
    for pool in [pool(exact(1), 1), remembers] {
        let start = Instant::now();
        let flight = pool.send(ONE, NORMAL).await.unwrap();
        assert!(pool.try_send(ONE, NORMAL).unwrap().is_none());
        let waiting = pool.acquire(ONE, Priority::High);
        tokio::pin!(waiting);
        assert!(polled(&mut waiting).await.is_none());
        flight.answered(Outcome::OK).unwrap();
        sleep(ms(1000)).await;
        assert!(pool.try_send(ONE, NORMAL).unwrap().is_none(), "another stands before it");
        drop(waiting.await.unwrap());
        let flight = pool.send(ONE, NORMAL).await.unwrap();
        assert_eq!(start.elapsed(), ms(1000));
        drop(flight);
        assert_eq!((pool.stats().sent, pool.stats().unanswered), (2, 1));
        assert_eq!(pool.try_send(Cost::new(2), NORMAL).unwrap_err().kind(), ErrorKind::TooLarge);
    }
    let bytes = std::fs::metadata(dir.path().join("stamps")).unwrap().len();
    assert!(bytes >= 32 + 3 * 16, "both sends and an answer are stamped: {bytes}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_handed_on_come_with_their_past() {
    use tidemill_rate_limit::{History, Record};
    let pool = pool(exact(2), 1);
    sleep(ms(5000)).await;
    let now = UNIX_EPOCH + ms(1_000_000);
    let sent = Record::Sent { at: now - ms(700), key: 0, units: 1, ticket: 1 };
    let answered = Record::Answered { at: now - ms(600), key: 0, units: 1, ticket: 1 };
    let history = History { records: vec![sent, answered], unknown_until: None };
    pool.restore(&History::from_bytes(&history.to_bytes()).unwrap(), now);
    let _flight = pool.send(ONE, NORMAL).await.unwrap();
    assert_eq!(pool.peek(ONE, NORMAL), Poll::At(ms(400)), "one of the two slots is theirs until then");
    // Sent until a second ago, nobody knows what: deadline, straggler and window from there.
    pool.restore(&History { records: Vec::new(), unknown_until: Some(now - ms(1000)) }, now);
    assert_eq!(pool.peek(ONE, NORMAL), Poll::At(ms(35_000)));
}

/// What a future has to say now.
async fn polled<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn dropped_in_flight_a_slot_is_held_for_deadline_straggler_and_window() {
    let config = Config { deadline: ms(2000), straggler: ms(500), ..exact(1) };
    for gateway in [false, true] {
        let pool = pool(config.clone(), 1);
        let start = Instant::now();
        let flight = pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap();
        sleep(ms(100)).await;
        if gateway {
            flight.answered(Outcome::Gateway).unwrap()
        } else {
            drop(flight)
        }
        let _permit = pool.acquire(ONE, NORMAL).await.unwrap();
        assert_eq!(start.elapsed(), ms(3500));
        assert_eq!(pool.stats().unanswered, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_left_is_given_back_at_once_and_to_a_later_process_too() {
    let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let dir = tempfile::tempdir().unwrap();
    for (outcome, free_at) in [(Outcome::Unsent, None), (Outcome::Unanswered, Some(ms(36_000)))] {
        let path = dir.path().join(format!("{outcome:?}"));
        let open = || {
            let stamps = FileStamps::open(&path).unwrap();
            KeyPool::builder(exact(1)).stamps(stamps).wall_clock(wall).build().unwrap()
        };
        let expected = |poll: Poll| match free_at {
            None => matches!(poll, Poll::Ready(_)),
            Some(at) => poll == Poll::At(at),
        };
        let pool = open();
        let flight = pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap();
        assert_eq!(pool.peek(ONE, NORMAL), Poll::OnResponse);
        flight.answered(outcome).unwrap();
        assert!(expected(pool.peek(ONE, NORMAL)), "{outcome:?}: {:?}", pool.peek(ONE, NORMAL));
        let stats = pool.stats();
        let left = u64::from(free_at.is_some());
        assert_eq!((stats.sent, stats.never_left, stats.in_flight), (1, 1 - left, 0));
        drop(pool);
        let next = open();
        assert!(expected(next.peek(ONE, NORMAL)), "{outcome:?} restarted: {:?}", next.peek(ONE, NORMAL));
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_go_by_priority_then_in_order_and_age_lifts_the_low() {
    let config = Config { aging: ms(10_000), ..exact(1) };
    let pool = pool(config, 1);
    pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap().answered(Outcome::OK).unwrap();
    let order = Rc::new(RefCell::new(Vec::new()));
    let local = LocalSet::new();
    let wait = |name: &'static str, priority: Priority, after: Duration| {
        let (pool, order) = (pool.clone(), Rc::clone(&order));
        local.spawn_local(async move {
            sleep(after).await;
            let permit = pool.acquire(ONE, priority).await.unwrap();
            order.borrow_mut().push(name);
            permit.send().unwrap().answered(Outcome::OK).unwrap();
        });
    };
    wait("low", Priority::Low, ms(0));
    wait("normal 1", Priority::Normal, ms(1));
    wait("normal 2", Priority::Normal, ms(2));
    wait("high", Priority::High, ms(3));
    // Eight more urgent ones every second would starve the low one without aging.
    for i in 0..40 {
        wait("flood", Priority::High, ms(1000 + i * 900));
    }
    local.await;
    let order = order.borrow();
    let place = |name| order.iter().position(|other| *other == name).unwrap();
    assert_eq!(order[0], "high");
    assert!(place("normal 1") < place("normal 2") && place("normal 2") < place("low"));
    assert!((12..=36).contains(&place("low")), "place {}", place("low"));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_costs_nothing_and_lets_the_next_one_on() {
    let pool = pool(Config { max_waiters: 2, ..exact(1) }, 1);
    let start = Instant::now();
    let flight = pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap();
    let mut tasks = JoinSet::new();
    let first = {
        let pool = pool.clone();
        tasks.spawn(async move { pool.acquire(ONE, NORMAL).await.map(drop) })
    };
    let second = pool.clone();
    let second =
        tokio::spawn(async move { second.acquire(ONE, NORMAL).await.map(|permit| permit.send().unwrap()) });
    sleep(ms(10)).await;
    assert_eq!(pool.stats().waiters, 2);
    let full = pool.acquire(ONE, NORMAL).await.unwrap_err();
    assert_eq!((full.kind(), full.is_retryable()), (ErrorKind::QueueFull, true));
    assert_eq!(pool.stats().turned_away, 1);
    first.abort();
    sleep(ms(10)).await;
    assert_eq!(pool.stats().waiters, 1);
    flight.answered(Outcome::OK).unwrap();
    let flight = second.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), ms(1020));
    flight.answered(Outcome::OK).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_reserved_serves_the_urgent_only() {
    let mut config = exact(3);
    config.limits[0].reserve = 1;
    let pool = pool(config, 1);
    let _normal = [pool.acquire(ONE, NORMAL).await.unwrap(), pool.acquire(ONE, NORMAL).await.unwrap()];
    assert!(pool.try_acquire(ONE, NORMAL).unwrap().is_none());
    let waiting = pool.clone();
    let waiting = tokio::spawn(async move { waiting.acquire(ONE, Priority::Low).await.map(drop) });
    sleep(ms(100_000)).await;
    let urgent = pool.acquire(ONE, Priority::High).await.unwrap();
    assert!(pool.try_acquire(ONE, Priority::High).unwrap().is_none());
    drop((urgent, _normal));
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_scopes_are_taken_or_none() {
    let mut config = exact(2);
    config.limits.push(Limit { scope: Scope::Account, model: Model::Fixed, ..Limit::new(3, ms(5000)) });
    let pool = pool(config, 2);
    let mut flights = Vec::new();
    for _ in 0..3 {
        flights.push(pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap());
    }
    assert!(pool.try_acquire(ONE, NORMAL).unwrap().is_none(), "the account is full though a key has room");
    let keys: Vec<_> = pool.stats().keys.iter().map(|key| key.usage).collect();
    assert_eq!(keys, [1.0, 0.5], "what was not granted took nothing");
    let start = Instant::now();
    for flight in flights {
        flight.answered(Outcome::OK).unwrap();
    }
    let _permit = pool.acquire(ONE, NORMAL).await.unwrap();
    assert_eq!(start.elapsed(), ms(5000));
}

#[tokio::test(start_paused = true)]
async fn heavy_requests_pay_their_cost_and_are_not_starved_by_light_ones() {
    let pool = pool(exact(4), 1);
    let light = pool.acquire(Cost::new(2), NORMAL).await.unwrap().send().unwrap();
    let heavy = pool.clone();
    let heavy = tokio::spawn(async move { heavy.acquire(Cost::new(4), NORMAL).await.map(drop) });
    sleep(ms(1)).await;
    assert!(pool.try_acquire(ONE, NORMAL).unwrap().is_none(), "a light one may not overtake");
    light.answered(Outcome::OK).unwrap();
    heavy.await.unwrap().unwrap();
    let error = pool.acquire(Cost::new(5), NORMAL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_free_key_is_taken_and_of_two_the_better() {
    let pool = pool(exact(2), 3);
    for (latency, status) in [(50, 200), (10, 500), (10, 200)] {
        let permit = pool.acquire(ONE, NORMAL).await.unwrap();
        let flight = permit.send().unwrap();
        sleep(ms(latency)).await;
        flight.answered(Outcome::Counted { status }).unwrap();
    }
    // usage 0.5 each; latency 50, 10, 10 ms; the second has an error.
    assert_eq!(pool.acquire(ONE, NORMAL).await.unwrap().key().get(), 2);
    pool.remove_key(pool.acquire(ONE, NORMAL).await.unwrap().key());
    assert_eq!(pool.acquire(ONE, NORMAL).await.unwrap().key().get(), 0);
    let added = pool.add_key();
    assert_eq!(pool.acquire(ONE, NORMAL).await.unwrap().key(), added, "an unused key scores best");
}

#[tokio::test(start_paused = true)]
async fn revoked_keys_are_never_used_again_and_drained_ones_only_after_their_reset() {
    let pool = pool(exact(10), 2);
    pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap().answered(Outcome::Revoked).unwrap();
    let hints = Hints { remaining: Some(0), reset: Some(ms(60_000)), ..Hints::default() };
    let permit = pool.acquire(ONE, NORMAL).await.unwrap();
    assert_eq!(permit.key().get(), 1);
    permit.send().unwrap().answered_with(Outcome::OK, hints).unwrap();
    let states: Vec<_> = pool.stats().keys.iter().map(|key| key.state).collect();
    assert_eq!(states, [KeyState::Quarantined, KeyState::Parked]);
    let start = Instant::now();
    let permit = pool.acquire(ONE, NORMAL).await.unwrap();
    assert_eq!((permit.key().get(), start.elapsed()), (1, ms(60_000)));
    permit.send().unwrap().answered(Outcome::Revoked).unwrap();
    assert_eq!(pool.acquire(ONE, NORMAL).await.unwrap_err().kind(), ErrorKind::NoKeys);
    let added = pool.add_key();
    assert_eq!(pool.acquire(ONE, NORMAL).await.unwrap().key(), added);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_holds_the_key_and_a_second_one_silences_it_for_a_window() {
    let config = Config {
        resolution: Duration::ZERO,
        drift_ppm: 0,
        ..Config::per_key(9, ms(60_000), Model::SlidingLog)
    };
    let pool = pool(config, 1);
    pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap().answered(Outcome::OK).unwrap();
    let refused = Outcome::Refused { retry_after: Some(ms(7000)), limit: None };
    let start = Instant::now();
    pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap().answered(refused).unwrap();
    let permit = pool.acquire(ONE, NORMAL).await.unwrap();
    assert_eq!(start.elapsed(), ms(7000));
    permit.send().unwrap().answered(refused).unwrap();
    let _permit = pool.acquire(ONE, NORMAL).await.unwrap();
    assert_eq!(start.elapsed(), ms(67_000));
    assert_eq!(pool.stats().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn closing_turns_waiters_away_and_waits_for_what_is_out() {
    let pool = pool(exact(1), 1);
    let flight = pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap();
    let waiting = pool.clone();
    let waiting = tokio::spawn(async move { waiting.acquire(ONE, NORMAL).await.map(drop) });
    sleep(ms(1)).await;
    let late = pool.close(ms(100)).await;
    assert_eq!((late.turned_away, late.left), (1, 1));
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    let closing = pool.clone();
    let closing = tokio::spawn(async move { closing.close(ms(10_000)).await });
    sleep(ms(1)).await;
    flight.answered(Outcome::OK).unwrap();
    let start = Instant::now();
    assert_eq!(closing.await.unwrap().left, 0);
    assert_eq!(start.elapsed(), ms(0));
    assert_eq!(pool.acquire(ONE, NORMAL).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_forecast_is_when_the_work_is_done() {
    for model in [Model::SlidingLog, Model::Unknown] {
        let pool = pool(Config::per_key(75, ms(10_000), model), 4);
        let server = work(&pool, 4, |_| Box::new(SlidingLog::new(75, 10 * S)), 400, 1).await;
        assert_eq!(server.refused, 0);
        let forecast = pool.forecast(600);
        let start = Instant::now();
        work(&pool, 4, |_| Box::new(SlidingLog::new(75, 10 * S)), 600, 2).await;
        let (forecast, truth) = (forecast.as_secs_f64(), start.elapsed().as_secs_f64());
        assert!((forecast / truth - 1.0).abs() < 0.1, "{model:?}: forecast {forecast}, took {truth}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_limits_nothing_is_held_back() {
    let pool = pool(Config::default(), 4);
    let server = work(&pool, 4, |_| Box::new(SlidingLog::new(75, 10 * S)), 1000, 1).await;
    assert!(server.refused > 100, "the control: {}", server.refused);
    assert!(matches!(pool.peek(ONE, NORMAL), Poll::Ready(_)));
}

#[tokio::test(start_paused = true)]
async fn run_hands_the_key_out_and_the_result_back() {
    let pool = pool(exact(1), 1);
    let permit = pool.acquire(ONE, NORMAL).await.unwrap();
    let body = permit.run(async |key| (Outcome::OK, format!("key {}", key.get()))).await.unwrap();
    assert_eq!(body, "key 0");
    assert_eq!(pool.stats().answered, 1);
}

struct Seen {
    refused: usize,
    servers: Vec<Box<dyn Server>>,
}

/// Gets `count` answers over `pool` with 16 workers from one server a key, 20 to 80 ms away; a refused request is
/// asked again.
async fn work(
    pool: &KeyPool,
    keys: usize,
    make: impl Fn(usize) -> Box<dyn Server>,
    count: usize,
    seed: u64,
) -> Seen {
    go_on(pool, Seen { refused: 0, servers: (0..keys).map(make).collect() }, count, seed, Instant::now())
        .await
}

async fn go_on(pool: &KeyPool, seen: Seen, count: usize, seed: u64, origin: Instant) -> Seen {
    let (seen, left) = (Rc::new(RefCell::new(seen)), Rc::new(RefCell::new(count)));
    let random = Rc::new(RefCell::new(Random(seed)));
    let local = LocalSet::new();
    for _ in 0..16 {
        let (pool, seen, left, random) =
            (pool.clone(), Rc::clone(&seen), Rc::clone(&left), Rc::clone(&random));
        local.spawn_local(async move {
            loop {
                let Some(rest) = left.borrow().checked_sub(1) else { return };
                *left.borrow_mut() = rest;
                let flight = pool.acquire(ONE, NORMAL).await.unwrap().send().unwrap();
                let there = Duration::from_nanos(random.borrow_mut().between(10 * MS, 40 * MS));
                sleep(there).await;
                let at = origin.elapsed().as_nanos() as u64;
                let admitted = seen.borrow_mut().servers[flight.key().get()].admit(at);
                let back = Duration::from_nanos(random.borrow_mut().between(10 * MS, 40 * MS));
                sleep(back).await;
                if admitted {
                    flight.answered(Outcome::OK).unwrap();
                } else {
                    seen.borrow_mut().refused += 1;
                    *left.borrow_mut() += 1;
                    flight.answered(Outcome::Refused { retry_after: Some(ms(1000)), limit: None }).unwrap();
                }
            }
        });
    }
    local.await;
    Rc::into_inner(seen).unwrap().into_inner()
}

/// One process after another on the same keys and servers; each is killed without notice after `count` answers.
async fn restarts(stamps: Option<&Path>, model: Model, make: fn(usize) -> Box<dyn Server>) -> Vec<usize> {
    let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let origin = Instant::now();
    let mut seen = Seen { refused: 0, servers: (0..4).map(make).collect() };
    let mut refusals = Vec::new();
    for process in 0..4 {
        let mut builder = KeyPool::builder(Config::per_key(75, ms(10_000), model));
        builder = builder.key_names(["a", "b", "c", "d"]).wall_clock(wall + origin.elapsed());
        if let Some(path) = stamps {
            // The forgotten flights keep the pool of the killed process and its lock, so the next one gets a copy.
            let (old, own) =
                (path.with_extension(process.to_string()), path.with_extension((process + 1).to_string()));
            if process > 0 {
                std::fs::copy(old, &own).unwrap();
            }
            builder = builder.stamps(FileStamps::open(own).unwrap());
        }
        let pool = builder.build().unwrap();
        seen.refused = 0;
        seen = go_on(&pool, seen, 330, process, origin).await;
        // Killed with requests in flight, which the server may still count.
        for key in 0..3 {
            if let Some(permit) = pool.try_acquire(ONE, NORMAL).unwrap() {
                let flight = permit.send().unwrap();
                seen.servers[flight.key().get()].admit(origin.elapsed().as_nanos() as u64 + key);
                std::mem::forget(flight);
            }
        }
        refusals.push(seen.refused);
        sleep(ms(300)).await;
    }
    refusals
}

#[tokio::test(start_paused = true)]
async fn a_restart_on_the_same_keys_is_never_refused() {
    let dir = tempfile::tempdir().unwrap();
    let makes: [fn(usize) -> Box<dyn Server>; 2] =
        [|_| Box::new(SlidingLog::new(75, 10 * S)), |_| Box::new(SlidingLog::penalising(75, 10 * S))];
    for (i, make) in makes.into_iter().enumerate() {
        for model in [Model::SlidingLog, Model::Unknown] {
            let path = dir.path().join(format!("{i}{model:?}"));
            assert_eq!(restarts(Some(&path), model, make).await, [0, 0, 0, 0], "{model:?}");
        }
        let without = restarts(None, Model::SlidingLog, make).await;
        assert!(
            without[0] == 0 && without[1..].iter().all(|refused| *refused > 0),
            "the control: {without:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_is_not_paid_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let makes: [fn(usize) -> Box<dyn Server>; 2] =
        [|_| Box::new(Counter::new(75, 10 * S)), |_| Box::new(Leaky::new(75, 10 * S, 0))];
    for (i, make) in makes.into_iter().enumerate() {
        let path = dir.path().join(i.to_string());
        let refusals = restarts(Some(&path), Model::Unknown, make).await;
        assert!(refusals[0] <= 3 && refusals.iter().sum::<usize>() <= 3, "{refusals:?}");
    }
}
