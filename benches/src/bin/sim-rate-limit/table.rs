//! A day of every kind of server in a minute: how much of the quota is used, and how often we are refused.
//!
//! Servers are the sandbox's own quota models. Utilisation is what the server let in after the first window, in percent
//! of N per W; at a mean round trip of RTT the proof of ADR 0005 allows W / (W + RTT) of it: 99.54 at 275 ms. `cargo
//! xtask sim rate-limit` prints the table. The rivals are models of their published algorithms, not their code.

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use tidemill_benches::{Better, Row, Samples, UnitKind};
use tidemill_rate_limit::{Adaptive, Config, Limit, Model};
use tidemill_sandbox::quota::{
    Daily, FixedWindow, Leaky, PenalisingLog, Quota, SlidingCounter, SlidingLog, TokenBucket,
};

use crate::limiters::{Deque, Gcra, Limiter, Ours, Tower};
use crate::world::{self, Delay, MS, Random, Run, S, World, run};

const DAY: u64 = 86_400 * S;
const FAR: Delay = Delay::Uniform(25 * MS, 250 * MS);
const NEAR: Delay = Delay::Uniform(10 * MS, 20 * MS);
/// A server on the same machine or in the same rack.
const HERE: Delay = Delay::Uniform(MS / 5, 2 * MS);
const TAIL: Delay = Delay::HeavyTail(60 * MS);

/// A server, and how a user would declare it.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    model: Model,
    burst: Option<u32>,
    make: fn(u32, Duration, u64) -> Box<dyn Quota>,
}

const fn kind(
    name: &'static str,
    model: Model,
    burst: Option<u32>,
    make: fn(u32, Duration, u64) -> Box<dyn Quota>,
) -> Kind {
    Kind { name, model, burst, make }
}

const LOG: Kind = kind("sliding log", Model::SlidingLog, None, |n, per, _| Box::new(SlidingLog::new(n, per)));
const PENALISING: Kind =
    kind("penalising log", Model::SlidingLog, None, |n, per, _| Box::new(PenalisingLog::new(n, per)));
const FIXED: Kind = kind("fixed", Model::Fixed, None, |n, per, phase| {
    Box::new(FixedWindow::new(n, per, Duration::from_nanos(phase)))
});
const BUCKET: Kind = kind("bucket", Model::Bucket, None, |n, per, _| Box::new(TokenBucket::new(n, per, n)));
const LEAKY_5: Kind = kind("leaky(5)", Model::Leaky, Some(6), |n, per, _| Box::new(Leaky::new(n, per, 5)));
const LEAKY_1: Kind = kind("leaky(1)", Model::Leaky, Some(2), |n, per, _| Box::new(Leaky::new(n, per, 1)));
const STRICT: Kind = kind("leaky(0)", Model::Leaky, None, |n, per, _| Box::new(Leaky::new(n, per, 0)));
const BUCKET_20: Kind =
    kind("bucket of 20", Model::Bucket, Some(20), |n, per, _| Box::new(TokenBucket::new(n, per, 20)));
const BORN_EMPTY: Kind = kind("bucket born empty", Model::Bucket, Some(0), |n, per, _| {
    let mut bucket = TokenBucket::new(n, per, n);
    _ = bucket.admit(Duration::ZERO, n);
    Box::new(bucket)
});
const COUNTER: Kind =
    kind("sliding counter", Model::Unknown, None, |n, per, _| Box::new(SlidingCounter::new(n, per)));

/// The five of the proof.
const PROVEN: [Kind; 5] = [LOG, PENALISING, FIXED, BUCKET, LEAKY_5];

pub(crate) fn run_all() -> Result<(), Box<dyn Error>> {
    proven()?;
    robust()?;
    small_buckets()?;
    counter()?;
    unknown()?;
    restarts()?;
    daily()?;
    adaptive()?;
    rivals()?;
    Ok(())
}

fn world(delay: Delay, workers: usize) -> World {
    World { delay, workers, lost: 0, drift_ppm: 0, restart: None, reset: None, end: DAY, seed: 1 }
}

fn config(kind: Kind, n: u32) -> Config {
    let limit = Limit { model: kind.model, burst: kind.burst, ..Limit::new(n, Duration::from_secs(60)) };
    Config { limits: vec![limit], deadline: Duration::from_nanos(world::TIMEOUT), ..Config::default() }
}

fn ours(kind: Kind, model: Model, n: u32, keys: usize, world: World) -> Result<Run, Box<dyn Error>> {
    let mut config = config(kind, n);
    config.limits[0].model = model;
    if model == Model::Unknown {
        config.limits[0].burst = None;
    }
    let mut limiter = Ours::new(config, keys, world.restart.is_some())?;
    Ok(run(&mut limiter, &mut servers(kind, n, keys, world.seed), world))
}

fn servers(kind: Kind, n: u32, keys: usize, seed: u64) -> Vec<Box<dyn Quota>> {
    let mut random = Random(seed ^ 0xfeed);
    (0..keys).map(|_| (kind.make)(n, Duration::from_secs(60), random.between(0, 60 * S - 1))).collect()
}

fn proven() -> Result<(), Box<dyn Error>> {
    for kind in PROVEN {
        for (delay, called, goal) in
            [(FAR, "50-500 ms", 99.4), (NEAR, "20-40 ms", 99.9), (TAIL, "heavy tail", 99.4)]
        {
            for workers in [4, 64] {
                let world = world(delay, workers);
                let run = ours(kind, kind.model, 75, 1, world)?;
                let case = format!("{}, {called}, {workers} workers", kind.name);
                used(&case, run.used((75, 60 * S), 1, 60 * S, world.end), Some(goal))?;
                refusals(&case, run.refused.len(), 0.0)?;
            }
        }
    }
    for workers in [4, 64] {
        let mut world = world(FAR, workers);
        let phase = 17 * S + 123 * MS;
        world.reset = Some((phase, 60 * S));
        let mut server: [Box<dyn Quota>; 1] =
            [Box::new(FixedWindow::new(75, Duration::from_secs(60), Duration::from_nanos(phase)))];
        let run = run(&mut Ours::new(config(FIXED, 75), 1, false)?, &mut server, world);
        let case = format!("fixed, reset told, 50-500 ms, {workers} workers");
        // Whole windows of the server.
        used(&case, run.used((75, 60 * S), 1, phase + 60 * S, phase + DAY - 60 * S), Some(99.99))?;
        refusals(&case, run.refused.len(), 0.0)?;
    }
    Ok(())
}

fn robust() -> Result<(), Box<dyn Error>> {
    for kind in PROVEN {
        for (called, lost, drift_ppm, goal) in
            [("drift +100 ppm", 0, 100, 99.4), ("drift -100 ppm", 0, -100, 99.4), ("1 % lost", 10, 0, 98.9)]
        {
            let world = World { lost, drift_ppm, ..world(FAR, 64) };
            let run = ours(kind, kind.model, 75, 1, world)?;
            let case = format!("{}, 50-500 ms, {called}", kind.name);
            used(&case, run.used((75, 60 * S), 1, 60 * S, world.end), Some(goal))?;
            refusals(&case, run.refused.len(), 0.0)?;
        }
    }
    Ok(())
}

fn small_buckets() -> Result<(), Box<dyn Error>> {
    for kind in [LEAKY_5, LEAKY_1, STRICT, BUCKET_20, BORN_EMPTY] {
        for n in [75, 300, 1200] {
            let world = World { end: DAY / 4, ..world(FAR, 64) };
            let run = ours(kind, kind.model, n, 1, world)?;
            let case = format!("{} at {n}/min, 50-500 ms", kind.name);
            used(&case, run.used((u64::from(n), 60 * S), 1, 60 * S, world.end), None)?;
            refusals(&case, run.refused.len(), 0.0)?;
        }
    }
    Ok(())
}

fn counter() -> Result<(), Box<dyn Error>> {
    for (delay, called) in [(FAR, "50-500 ms"), (NEAR, "20-40 ms")] {
        let world = world(delay, 64);
        let run = ours(COUNTER, Model::Unknown, 75, 1, world)?;
        let case = format!("sliding counter, {called}");
        used(&case, run.used((75, 60 * S), 1, 60 * S, world.end), Some(96.8))?;
        let early = run.refused.iter().filter(|at| **at < 60 * S).count();
        refusals(&format!("{case}, first minute"), early, 1.0)?;
        let late = (run.refused.len() - early) as f64 / 24.0;
        row(&format!("{case}, after the first minute"), "refusals/h", Better::Lower)
            .ours(&one(late))
            .goal(0.2)
            .emit()?;
    }
    Ok(())
}

fn unknown() -> Result<(), Box<dyn Error>> {
    for kind in [LOG, PENALISING, FIXED, BUCKET, LEAKY_5, LEAKY_1, STRICT, BUCKET_20, BORN_EMPTY, COUNTER] {
        for (delay, called) in [(FAR, "50-500 ms"), (NEAR, "20-40 ms")] {
            unknown_at(kind, delay, called, None)?;
        }
        // So near, no server costs a round trip worth naming, not even one that takes one request at a time.
        unknown_at(kind, HERE, "0.4-4 ms", Some(96.0))?;
    }
    Ok(())
}

fn unknown_at(kind: Kind, delay: Delay, called: &str, goal: Option<f64>) -> Result<(), Box<dyn Error>> {
    let world = world(delay, 64);
    let run = ours(kind, Model::Unknown, 75, 4, world)?;
    let case = format!("unknown {}, {called}, 4 keys", kind.name);
    used(&case, run.used((75, 60 * S), 4, 600 * S, world.end), goal)?;
    refusals(&case, run.refused.len(), 3.0)?;
    // It may take long until a rare refusal teaches; the bound is the three above.
    let late = run.refused.iter().filter(|at| **at > run.refused[0] + 120 * S).count();
    row(&format!("{case}, more than two minutes after the first"), "refusals", Better::Lower)
        .ours(&one(late as f64))
        .emit()?;
    Ok(())
}

fn restarts() -> Result<(), Box<dyn Error>> {
    for kind in [LOG, PENALISING] {
        let world = World { end: 3600 * S, restart: Some(1800 * S + 77 * MS), ..world(FAR, 64) };
        let with = ours(kind, kind.model, 75, 1, world)?;
        refusals(&format!("{}, killed and restarted with stamps", kind.name), with.refused.len(), 0.0)?;
        let mut forgetful = Ours::new(config(kind, 75), 1, false)?;
        let without = run(&mut forgetful, &mut servers(kind, 75, 1, 1), world);
        let case = format!("{}, restarted without stamps (the control)", kind.name);
        row(&case, "refusals", Better::Lower).ours(&one(without.refused.len() as f64)).emit()?;
    }
    Ok(())
}

fn daily() -> Result<(), Box<dyn Error>> {
    let world = World { end: 10 * DAY, ..world(FAR, 4) };
    let limit = Limit { model: Model::Fixed, ..Limit::new(500, Duration::from_secs(86_400)) };
    let config = Config { limits: vec![limit], ..Config::default() };
    let mut server: [Box<dyn Quota>; 1] = [Box::new(Daily::new(500, Duration::from_secs(5 * 3600)))];
    let run = run(&mut Ours::new(config, 1, false)?, &mut server, world);
    used("daily, 10 days", run.used((500, DAY), 1, DAY, world.end), Some(99.4))?;
    refusals("daily, 10 days", run.refused.len(), 0.0)?;
    Ok(())
}

/// The strategy of a floor and a ceiling beside the quota as it is, an hour and a day.
fn adaptive() -> Result<(), Box<dyn Error>> {
    for kind in [LOG, PENALISING, FIXED, BUCKET, LEAKY_5, STRICT, COUNTER] {
        for (called, end) in [("an hour", 3600 * S), ("a day", DAY)] {
            let world = World { end, ..world(FAR, 64) };
            let mine = ours(kind, kind.model, 75, 1, world)?;
            let mut config = config(kind, 75);
            config.limits[0].adaptive = Some(Adaptive::default());
            let theirs = run(&mut Ours::new(config, 1, false)?, &mut servers(kind, 75, 1, world.seed), world);
            let share = |run: &Run| one(run.used((75, 60 * S), 1, 0, end));
            let count = |run: &Run| one(run.refused.len() as f64);
            let case = format!("{}, {called}", kind.name);
            row(&case, "% used", Better::Higher)
                .rival("our adaptive")
                .ours(&share(&mine))
                .theirs(&share(&theirs))
                .emit()?;
            let refused = row(&format!("{case}, refusals"), "refusals", Better::Lower).rival("our adaptive");
            refused.ours(&count(&mine)).theirs(&count(&theirs)).emit()?;
        }
    }
    Ok(())
}

fn rivals() -> Result<(), Box<dyn Error>> {
    type Make = fn() -> Box<dyn Limiter>;
    let all: [(&str, Make); 5] = [
        ("governor 73, burst 1", || Box::new(Gcra { n: 73, per: 60 * S, burst: 1, next: 0 })),
        ("governor 73", || Box::new(Gcra { n: 73, per: 60 * S, burst: 73, next: 0 })),
        ("governor 75", || Box::new(Gcra { n: 75, per: 60 * S, burst: 75, next: 0 })),
        ("tower", || Box::new(Tower { n: 75, per: 60 * S, until: 0, left: 0 })),
        ("guide's deque", || Box::new(Deque { n: 75, per: 60 * S, sends: VecDeque::new() })),
    ];
    for kind in [LOG, PENALISING, FIXED, BUCKET, LEAKY_5, COUNTER] {
        let world = World { end: DAY / 2, ..world(FAR, 16) };
        let mine = ours(kind, kind.model, 75, 1, world)?;
        for (name, make) in all {
            let theirs = run(&mut *make(), &mut servers(kind, 75, 1, world.seed), world);
            let share = |run: &Run| one(run.used((75, 60 * S), 1, 60 * S, world.end));
            let hourly = |run: &Run| one(run.refused.len() as f64 / 12.0);
            row(kind.name, "% used", Better::Higher)
                .rival(name)
                .ours(&share(&mine))
                .theirs(&share(&theirs))
                .emit()?;
            let refused = row(&format!("{}, refusals", kind.name), "refusals/h", Better::Lower).rival(name);
            refused.ours(&hourly(&mine)).theirs(&hourly(&theirs)).emit()?;
        }
    }
    Ok(())
}

fn used(case: &str, percent: f64, goal: Option<f64>) -> std::io::Result<()> {
    let row = row(case, "% used", Better::Higher).ours(&one(percent));
    goal.map_or(row.clone(), |goal| row.goal(goal)).emit()
}

fn refusals(case: &str, count: usize, goal: f64) -> Result<(), Box<dyn Error>> {
    row(&format!("{case}, refusals"), "refusals", Better::Lower)
        .ours(&one(count as f64))
        .goal(goal)
        .emit()?;
    Ok(())
}

fn row(case: &str, unit: &str, better: Better) -> Row {
    Row::new("rate-limit", case, unit, UnitKind::Count, better)
}

fn one(value: f64) -> Samples {
    [value].into_iter().collect()
}
