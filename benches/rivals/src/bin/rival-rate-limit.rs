//! What governor's check costs: one limiter, and one limiter over a thousand keys.

use std::hint::black_box;
use std::num::NonZeroU32;

use governor::{Quota, RateLimiter};
use tidemill_measure::{Better, Rounds, Row, Samples, UnitKind};

const CHECKS: u64 = 100_000;

fn main() -> std::io::Result<()> {
    let rounds = Rounds::from_args(15);
    emit("direct check, granted", rounds.single(CHECKS, direct(NonZeroU32::MAX)))?;
    emit("direct check, refused", rounds.single(CHECKS, direct(NonZeroU32::MIN)))?;
    emit("keyed check, 1000 keys", rounds.single(CHECKS, keyed()))
}

fn emit(case: &str, theirs: Samples) -> std::io::Result<()> {
    Row::new("rate-limit", case, "ns", UnitKind::Cpu, Better::Lower).rival("governor").theirs(&theirs).emit()
}

/// `NonZeroU32::MAX` an hour grants every check; one an hour refuses all but the first.
fn direct(an_hour: NonZeroU32) -> impl FnMut() {
    let limiter = RateLimiter::direct(Quota::per_hour(an_hour));
    move || (0..CHECKS).for_each(|_| _ = black_box(limiter.check()))
}

fn keyed() -> impl FnMut() {
    let limiter = RateLimiter::keyed(Quota::per_hour(NonZeroU32::MAX));
    let keys: Vec<String> = (0..1000).map(|n| format!("key-{n:04}")).collect();
    move || {
        for n in 0..CHECKS {
            _ = black_box(limiter.check_key(&keys[(n % 1000) as usize]));
        }
    }
}
