//! What the whole life of a request costs in the limiter: permit, send, answer; and what a refused one costs.
//!
//! governor's check reads a clock and needs no answer. `core` is the state machine, given the time as an argument, so
//! its fair rival is governor on a clock that costs nothing; `core, clock read` reads `Instant` at the send and at the
//! answer, `pool` adds the lock, the queue and the shared handle; `one step` takes the lock once before the request instead
//! of twice. What the memory of a slot is stands below. `cargo xtask bench rate-limit --rivals` shows all.

mod memory;

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidemill_benches::{Better, Clock, Rounds, Row, Samples, UnitKind};
use tidemill_rate_limit::{Config, Core, Cost, KeyIndex, KeyPool, Limit, Model, Outcome, Priority};

const REQUESTS: u64 = 100_000;

/// governor and its clock, against whom every case stands.
const DIRECT: &str = "governor direct";
const STILL: &str = "governor direct, fake clock";
const KEYED: &str = "governor keyed";
/// governor on the clock that tokio's is made of.
const INSTANT: &str = "governor direct, Instant";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = Rounds::from_args(15);
    let one = rounds.single(REQUESTS, core(1));
    emit("acquire + done, core", &one, &[(DIRECT, Some(1.25)), (KEYED, Some(0.7)), (STILL, None)])?;
    let clocked = rounds.single(REQUESTS, core_with_clock(1));
    let rivals = [(DIRECT, Some(1.25)), (KEYED, Some(0.7)), (INSTANT, None)];
    emit("acquire + done, core, clock read", &clocked, &rivals)?;
    let pool = rounds.single(REQUESTS, through_pool(&pool(1)?));
    emit("acquire + done, pool", &pool, &[(DIRECT, Some(1.25)), (KEYED, Some(0.7))])?;
    let step = rounds.single(REQUESTS, in_one_step(&self::pool(1)?));
    emit("acquire + done, pool, one step", &step, &rivals)?;
    for keys in [4, 10_000] {
        let given = rounds.single(REQUESTS, core_by_key(keys));
        emit(&format!("acquire + done, given key, {keys} keys"), &given, &[(KEYED, Some(0.7))])?;
        let chosen = rounds.single(REQUESTS, core(keys));
        emit(&format!("acquire + done, best key, {keys} keys"), &chosen, &[(KEYED, None)])?;
    }
    let contended = contended(rounds)?;
    emit("acquire + done, pool, 2 threads", &contended, &[(DIRECT, Some(1.25))])?;
    let denied = rounds.single(REQUESTS, denied());
    emit("denied, core", &denied, &[(DIRECT, Some(1.25)), (STILL, None)])?;
    let denied = rounds.single(REQUESTS, denied_by_pool()?);
    emit("denied, pool", &denied, &[(DIRECT, Some(1.25))])?;
    memory::rows()
}

fn emit(case: &str, ours: &Samples, rivals: &[(&str, Option<f64>)]) -> std::io::Result<()> {
    for (rival, goal) in rivals {
        let row = Row::new("rate-limit", case, "ns", UnitKind::Cpu, Better::Lower).rival(rival).ours(ours);
        match goal {
            Some(goal) => row.goal(*goal).emit()?,
            None => row.emit()?,
        }
    }
    Ok(())
}

/// 75 in 3 s: the life below takes 40 ms of simulated time, so that slots are freed and taken again all the time.
fn config() -> Config {
    Config::per_key(75, Duration::from_millis(2_900), Model::SlidingLog)
}

const STEP: Duration = Duration::from_millis(40);

fn core(keys: usize) -> impl FnMut() {
    let mut core = Core::new(&config(), keys).expect("the configuration is right");
    let mut now = Duration::ZERO;
    move || {
        for _ in 0..REQUESTS {
            now += STEP;
            let ticket = core.try_send(now, Cost::ONE, Priority::Normal).expect("a slot is free");
            core.answered(now, ticket, Outcome::OK);
        }
    }
}

fn core_by_key(keys: usize) -> impl FnMut() {
    let mut core = Core::new(&config(), keys).expect("the configuration is right");
    let all: Vec<KeyIndex> = (0..keys).map(KeyIndex::new).collect();
    let (mut now, mut next) = (Duration::ZERO, 0);
    move || {
        for _ in 0..REQUESTS {
            now += STEP;
            next = if next + 1 == keys { 0 } else { next + 1 };
            let ticket =
                core.try_send_with(now, all[next], Cost::ONE, Priority::Normal).expect("a slot is free");
            core.answered(now, ticket, Outcome::OK);
        }
    }
}

/// So many that real time never fills it, as governor is asked.
fn wide() -> Config {
    Config::per_key(u32::MAX, Duration::from_secs(3600), Model::SlidingLog)
}

fn core_with_clock(keys: usize) -> impl FnMut() {
    let mut core = Core::new(&wide(), keys).expect("the configuration is right");
    let origin = Instant::now();
    move || {
        for _ in 0..REQUESTS {
            let now = origin.elapsed();
            let ticket = core.try_send(now, Cost::ONE, Priority::Normal).expect("a slot is free");
            core.answered(origin.elapsed(), ticket, Outcome::OK);
        }
    }
}

fn pool(keys: usize) -> Result<KeyPool, tidemill_rate_limit::Error> {
    KeyPool::builder(wide()).keys(keys).build()
}

fn through_pool(pool: &KeyPool) -> impl FnMut() {
    let pool = pool.clone();
    move || {
        for _ in 0..REQUESTS {
            let permit = pool.try_acquire(Cost::ONE, Priority::Normal);
            let Ok(Some(permit)) = permit else { panic!("not ready") };
            let flight = permit.send().expect("nothing is stamped");
            flight.answered(Outcome::OK).expect("nothing is stamped");
        }
    }
}

fn in_one_step(pool: &KeyPool) -> impl FnMut() {
    let pool = pool.clone();
    move || {
        for _ in 0..REQUESTS {
            let Ok(Some(flight)) = pool.try_send(Cost::ONE, Priority::Normal) else { panic!("not ready") };
            flight.answered(Outcome::OK).expect("nothing is stamped");
        }
    }
}

/// CPU of the whole process a request, two threads on one pool.
fn contended(rounds: Rounds) -> Result<Samples, tidemill_rate_limit::Error> {
    let pool = pool(1)?;
    Ok(rounds.clock(Clock::ProcessCpu).single(2 * REQUESTS, || {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| through_pool(&pool)());
            }
        });
    }))
}

fn denied() -> impl FnMut() {
    let config = Config::per_key(75, Duration::from_secs(60), Model::SlidingLog);
    let mut core = Core::new(&config, 1).expect("the configuration is right");
    let mut now = Duration::from_secs(1);
    while let Ok(ticket) = core.try_send(now, Cost::ONE, Priority::Normal) {
        core.answered(now, ticket, Outcome::OK);
    }
    move || {
        for _ in 0..REQUESTS {
            now += Duration::from_nanos(1);
            black_box(core.poll(now, Cost::ONE, Priority::Normal));
        }
    }
}

fn denied_by_pool() -> Result<impl FnMut(), tidemill_rate_limit::Error> {
    let config = Config {
        limits: vec![Limit { model: Model::SlidingLog, ..Limit::new(1, Duration::from_secs(3600)) }],
        ..Config::default()
    };
    let pool = KeyPool::builder(config).build()?;
    pool.try_acquire(Cost::ONE, Priority::Normal)?
        .map(|permit| permit.send()?.answered(Outcome::OK))
        .transpose()?;
    Ok(move || {
        for _ in 0..REQUESTS {
            let permit = pool.try_acquire(Cost::ONE, Priority::Normal);
            assert!(matches!(permit, Ok(None)));
        }
    })
}
