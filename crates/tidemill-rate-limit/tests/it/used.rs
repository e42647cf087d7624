//! What a server tells of its count: others on the same quota are seen, and nobody is seen where there is nobody.

use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use tidemill_rate_limit::{
    Calendar, Config, Core, Cost, Hints, Limit, Model, Outcome, Poll, Priority, Scope, Used,
};

use crate::servers::{Crowded, MS, S, SlidingLog};
use crate::sim::{Ours, Run, World, run};

fn config(n: usize, per: u64) -> Config {
    Config::per_key(n as u32, Duration::from_nanos(per), Model::SlidingLog)
}

/// A run beside somebody who takes one every `gap` ns, and how often that one was refused.
fn beside_another(gap: u64, tells_used: bool) -> (Run, u64) {
    let refused = Rc::default();
    let server = Crowded { server: SlidingLog::new(75, 60 * S), gap, next: 0, refused: Rc::clone(&refused) };
    let mut limiter = Ours::new(Core::new(&config(75, 60 * S), 1).unwrap());
    let world = World { tells_used, workers: 4, ..World::default() };
    (run(&mut limiter, &mut [Box::new(server)], world), refused.get())
}

#[test]
fn what_others_spend_is_left_to_them() {
    // Another one takes 20 of the 75 a minute, for an hour.
    let [(told, theirs), (control, pushed_out)] = [true, false].map(|tells| beside_another(3 * S, tells));
    println!("the other is refused {theirs} times of 1200 when we are told, {pushed_out} when we are not");
    assert!(pushed_out > 4 * theirs, "{theirs} and {pushed_out}");
    let used = |run: &Run| run.utilisation(55, 60 * S, 120 * S, 3600 * S);
    println!("we use {:.1} % of the 55 that are left, {:.1} % when not told", used(&told), used(&control));
    assert!(used(&told) > 88.0 && told.refused.len() < 40, "{} refusals", told.refused.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// All that a server can have counted of ours is known, however long an answer takes: being told changes nothing.
    #[test]
    fn where_nobody_else_is_nobody_is_seen(
        n in 1usize..30, per_ms in 500u64..20_000, delay_ms in (0u64..400, 1u64..2_000), workers in 1usize..64,
        lost in 0u64..60, seed: u64,
    ) {
        let per = per_ms * MS;
        let [told, control] = [true, false].map(|tells_used| {
            let delay = (delay_ms.0 * MS, (delay_ms.0 + delay_ms.1) * MS);
            let world = World { delay, workers, lost, tells_used, end: 60 * per, seed, ..World::default() };
            let mut limiter = Ours::new(Core::new(&config(n, per), 1).unwrap());
            run(&mut limiter, &mut [Box::new(SlidingLog::new(n, per))], world)
        });
        prop_assert_eq!(told.arrivals, control.arrivals);
    }
}

/// An account's minute by the calendar, a key's five minutes, and what the server says of each.
#[test]
fn a_weight_raises_the_count_of_the_window_it_names() {
    let minute = Limit {
        scope: Scope::Account,
        model: Model::Fixed,
        calendar: Some(Calendar::default()),
        ..Limit::new(100, Duration::from_secs(60))
    };
    let five = Limit { model: Model::Fixed, ..Limit::new(300, Duration::from_secs(300)) };
    let config = Config { limits: vec![minute, five], ..Config::default() };
    let mut core = Core::new(&config, 2).unwrap();
    let s = Duration::from_secs;
    // The origin is 20 s past a minute.
    core.set_wall(std::time::UNIX_EPOCH + s(1_200_000_020));
    let tell = |core: &mut Core, now: Duration, count: u64, per: Option<u64>| {
        let ticket = core.try_send(now, Cost::ONE, Priority::Normal).unwrap();
        let used = Some(Used { count, per: per.map(s) });
        let hints = Hints { used: [None, used, None, None], ..Hints::default() };
        core.answered_with(now, ticket, Outcome::OK, hints);
    };
    let heavy = |core: &mut Core, now: u64, cost: u32| core.poll(s(now), Cost::new(cost), Priority::Normal);
    tell(&mut core, s(1), 70, Some(60));
    assert!(matches!(heavy(&mut core, 1, 30), Poll::Ready(_)));
    // The minute of the calendar ends 40 s after the origin.
    let Poll::At(at) = heavy(&mut core, 1, 31) else { panic!("70 of 100 are spent") };
    assert!(at > s(40) && at <= s(43), "{at:?}");
    assert!(matches!(heavy(&mut core, 43, 100), Poll::Ready(_)));
    // Too low, of an unknown window, or of nobody knows which: nothing is changed.
    tell(&mut core, s(44), 0, Some(60));
    tell(&mut core, s(44), 99, Some(7));
    tell(&mut core, s(44), 99, None);
    assert!(matches!(heavy(&mut core, 44, 97), Poll::Ready(_)));
    // More than there is: the window is full, and no more.
    tell(&mut core, s(45), u64::MAX, Some(60));
    assert!(matches!(heavy(&mut core, 45, 1), Poll::At(at) if at > s(100) && at <= s(103)));
}
