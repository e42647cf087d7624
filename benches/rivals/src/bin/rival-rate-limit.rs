//! What governor's check costs: direct, on a clock that costs nothing, keyed, by two threads, and refused.

use std::hint::black_box;
use std::num::NonZeroU32;

use governor::clock::{FakeRelativeClock, MonotonicClock};
use governor::{Quota, RateLimiter};
use tidemill_measure::{Better, Clock, Rounds, Row, Samples, UnitKind};

const CHECKS: u64 = 100_000;
const DIRECT: &str = "governor direct";
const STILL: &str = "governor direct, fake clock";
const KEYED: &str = "governor keyed";
const INSTANT: &str = "governor direct, Instant";

fn main() -> std::io::Result<()> {
    let rounds = Rounds::from_args(15);
    let granted = rounds.single(CHECKS, direct(NonZeroU32::MAX));
    let still = rounds.single(CHECKS, direct_still(NonZeroU32::MAX));
    let keyed = rounds.single(CHECKS, keyed(1));
    emit("acquire + done, core", STILL, &still)?;
    for case in [
        "acquire + done, core",
        "acquire + done, core, clock read",
        "acquire + done, pool",
        "acquire + done, pool, one step",
    ] {
        emit(case, DIRECT, &granted)?;
        emit(case, KEYED, &keyed)?;
    }
    let instant = rounds.single(CHECKS, direct_on_instant(NonZeroU32::MAX));
    emit("acquire + done, core, clock read", INSTANT, &instant)?;
    emit("acquire + done, pool, one step", INSTANT, &instant)?;
    for keys in [4, 10_000] {
        let keyed = rounds.single(CHECKS, self::keyed(keys));
        emit(&format!("acquire + done, given key, {keys} keys"), KEYED, &keyed)?;
        emit(&format!("acquire + done, best key, {keys} keys"), KEYED, &keyed)?;
    }
    emit("acquire + done, pool, 2 threads", DIRECT, &contended(rounds))?;
    let refused = rounds.single(CHECKS, direct(NonZeroU32::MIN));
    emit("denied, core", DIRECT, &refused)?;
    emit("denied, pool", DIRECT, &refused)?;
    emit("denied, core", STILL, &rounds.single(CHECKS, direct_still(NonZeroU32::MIN)))
}

fn emit(case: &str, rival: &str, theirs: &Samples) -> std::io::Result<()> {
    Row::new("rate-limit", case, "ns", UnitKind::Cpu, Better::Lower).rival(rival).theirs(theirs).emit()
}

/// `NonZeroU32::MAX` an hour grants every check; one an hour refuses all but the first.
fn direct(an_hour: NonZeroU32) -> impl FnMut() {
    let limiter = RateLimiter::direct(Quota::per_hour(an_hour));
    move || (0..CHECKS).for_each(|_| _ = black_box(limiter.check()))
}

/// The same without the cost of reading a clock.
fn direct_still(an_hour: NonZeroU32) -> impl FnMut() {
    let limiter = RateLimiter::direct_with_clock(Quota::per_hour(an_hour), FakeRelativeClock::default());
    move || (0..CHECKS).for_each(|_| _ = black_box(limiter.check()))
}

/// The same on `Instant`, as programs read it, in the place of the processor's counter.
fn direct_on_instant(an_hour: NonZeroU32) -> impl FnMut() {
    let limiter = RateLimiter::direct_with_clock(Quota::per_hour(an_hour), MonotonicClock);
    move || (0..CHECKS).for_each(|_| _ = black_box(limiter.check()))
}

fn keyed(count: u32) -> impl FnMut() {
    let limiter = RateLimiter::keyed(Quota::per_hour(NonZeroU32::MAX));
    let mut key = 0;
    move || {
        for _ in 0..CHECKS {
            key = if key + 1 == count { 0 } else { key + 1 };
            _ = black_box(limiter.check_key(&key));
        }
    }
}

/// CPU of the whole process a check, two threads on one limiter.
fn contended(rounds: Rounds) -> Samples {
    let limiter = RateLimiter::direct(Quota::per_hour(NonZeroU32::MAX));
    rounds.clock(Clock::ProcessCpu).single(2 * CHECKS, || {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..CHECKS).for_each(|_| _ = black_box(limiter.check())));
            }
        });
    })
}
