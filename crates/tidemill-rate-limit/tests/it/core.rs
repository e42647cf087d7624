//! The core against every server model: never refused, never idle, and the control that is refused.

use std::collections::VecDeque;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use tidemill_rate_limit::{
    Calendar, Config, Core, Cost, Hints, KeyIndex, Limit, Model, Outcome, Poll, Priority, Zone,
};

use crate::servers::{Bucket, Counter, Fixed, Leaky, MS, S, Server, SlidingLog, with_past};
use crate::sim::{AnchoredOnSend, Ours, Random, Run, World, run};

fn config(n: u64, per: u64, model: Model, burst: Option<u32>) -> Config {
    let mut config = Config::per_key(n as u32, Duration::from_nanos(per), model);
    config.limits[0].burst = burst;
    config
}

fn ours(config: &Config, servers: &mut [Box<dyn Server>], world: World) -> Run {
    run(&mut Ours::new(Core::new(config, servers.len()).unwrap()), servers, world)
}

/// The five servers that the proof covers, chosen by `kind`.
fn proven(kind: u8, n: u64, per: u64, phase: u64) -> (Model, Box<dyn Server>) {
    match kind {
        0 => (Model::SlidingLog, Box::new(SlidingLog::new(n as usize, per))),
        1 => (Model::SlidingLog, Box::new(SlidingLog::penalising(n as usize, per))),
        2 => (Model::Fixed, Box::new(Fixed::new(n as usize, per, phase))),
        3 => (Model::Bucket, Box::new(Bucket::full(n, per, n))),
        _ => (Model::Leaky, Box::new(Leaky::new(n, per, phase % n))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_server_whose_model_is_known_ever_refuses(
        kind in 0u8..5, n in 1u64..30, per_ms in 500u64..20_000, phase in 0u64..20_000_000_000,
        delay_ms in (0u64..400, 1u64..2_000), workers in 1usize..64, lost in 0u64..60, keys in 1usize..4, seed: u64,
    ) {
        let per = per_ms * MS;
        let model = proven(kind, n, per, phase).0;
        let mut servers: Vec<_> = (0..keys).map(|_| proven(kind, n, per, phase).1).collect();
        let delay = (delay_ms.0 * MS, (delay_ms.0 + delay_ms.1) * MS);
        let world = World { delay, workers, lost, end: 60 * per, seed, ..World::default() };
        let burst = (model == Model::Leaky).then_some((phase % n) as u32 + 1);
        // What the limiter is told of the way must be true: a delay of two seconds was met once, where one was promised.
        let config = Config { jitter: Duration::from_nanos(delay.1 - delay.0), ..config(n, per, model, burst) };
        let run = ours(&config, &mut servers, world);
        prop_assert_eq!(&run.refused, &[] as &[u64]);
        prop_assert!(run.fullest(per) <= n as usize);
        prop_assert!(run.sent > 0);
    }

    /// The naive model: a slot is out from its send until its response is one span and the margin old.
    #[test]
    fn a_slot_is_never_idle_once_it_is_provably_free(
        n in 1u32..12, per_ms in 1u64..5_000, steps in prop::collection::vec((0u8..4, 0u64..2_000), 1..200),
    ) {
        let per = per_ms * MS;
        let mut core = Core::new(&config(u64::from(n), per, Model::SlidingLog, None), 1).unwrap();
        let margin = 5 * MS + per / 5_000;
        let (mut now, mut flights, mut cooling) = (0u64, VecDeque::new(), Vec::<u64>::new());
        for (step, wait) in steps {
            now += wait * MS;
            cooling.retain(|answered| answered + per + margin > now);
            let expected = if flights.len() + cooling.len() < n as usize {
                None
            } else {
                Some(cooling.iter().min().map(|answered| answered + per + margin))
            };
            let at = Duration::from_nanos(now);
            let seen = core.poll(at, Cost::ONE, Priority::Normal);
            match (expected, seen) {
                (None, Poll::Ready(key)) => {
                    let mut ticket = core.take(at, key, Cost::ONE);
                    if step == 0 {
                        core.refund(ticket);
                    } else {
                        core.sent(at, &mut ticket);
                        flights.push_back(ticket);
                    }
                }
                (Some(Some(free)), Poll::At(at)) => prop_assert_eq!(u128::from(free), at.as_nanos()),
                (Some(None), Poll::OnResponse) => {}
                (expected, seen) => prop_assert!(false, "expected {:?}, saw {:?}", expected, seen),
            }
            if step >= 2 && let Some(ticket) = flights.pop_front() {
                core.answered(at, ticket, Outcome::OK);
                cooling.push(now);
            }
        }
    }

    /// One plain limit a key is decided by a short cut. A cap on what is in flight, too high to matter, takes the long way.
    #[test]
    fn the_short_way_and_the_long_way_agree(
        n in 1u32..12, reserve in 0u32..4, keys in 1usize..4,
        steps in prop::collection::vec((0u8..16, 0u64..700, 1u32..3), 1..400),
    ) {
        let mut short = config(u64::from(n), S, Model::SlidingLog, None);
        short.limits[0].reserve = reserve.min(n - 1);
        let long = Config { concurrency: Some(1_000_000), ..short.clone() };
        let [mut short, mut long] = [short, long].map(|config| Core::new(&config, keys).unwrap());
        let (mut now, mut flights) = (Duration::ZERO, VecDeque::new());
        for (step, wait, cost) in steps {
            now += Duration::from_millis(wait / 10);
            let (cost, key) = (Cost::new(cost), KeyIndex::new(step as usize % keys));
            let priority = if wait % 3 == 0 { Priority::High } else { Priority::Normal };
            prop_assert_eq!(short.poll(now, cost, priority), long.poll(now, cost, priority));
            let sent = if step % 2 == 0 {
                (short.try_send(now, cost, priority), long.try_send(now, cost, priority))
            } else {
                let [one, two] = [&mut short, &mut long];
                (one.try_send_with(now, key, cost, priority), two.try_send_with(now, key, cost, priority))
            };
            match sent {
                (Ok(one), Ok(two)) => {
                    prop_assert_eq!(one.key(), two.key());
                    flights.push_back((one, two));
                }
                (one, two) => prop_assert_eq!(one.err(), two.err()),
            }
            if step >= 4 && let Some((one, two)) = flights.pop_front() {
                let outcome = match (step, wait) {
                    (4, 0..40) => Outcome::Refused { retry_after: None, limit: None },
                    (4, 40..80) => Outcome::Unanswered,
                    (4, 80..100) => Outcome::Unsent,
                    (4, _) => Outcome::Counted { status: 500 },
                    _ => Outcome::OK,
                };
                short.answered(now, one, outcome);
                long.answered(now, two, outcome);
            }
            let [mut one, mut two] = [short.stats(now), long.stats(now)];
            // Equal but for the order of the sums.
            for key in one.keys.iter_mut().chain(&mut two.keys) {
                key.score = (key.score * 1e9).round();
            }
            prop_assert_eq!(one, two);
        }
    }
}

#[test]
fn the_control_that_anchors_on_the_send_is_refused() {
    let mut core = Core::new(&config(75, 60 * S, Model::SlidingLog, None), 1).unwrap();
    let Poll::Ready(key) = core.poll(Duration::ZERO, Cost::ONE, Priority::Normal) else {
        panic!("not ready")
    };
    for penalising in [false, true] {
        let server = SlidingLog { penalising, ..SlidingLog::new(75, 60 * S) };
        let mut naive = AnchoredOnSend { n: 75, per: 60 * S, key, sends: VecDeque::new() };
        let refused = run(&mut naive, &mut [Box::new(server)], World::default()).refused.len();
        assert!(refused > 100, "{refused} refusals");
    }
}

#[test]
fn utilisation_is_what_the_proof_allows() {
    for kind in 0..4 {
        let (model, server) = proven(kind, 75, 60 * S, 17 * S);
        let run = ours(&config(75, 60 * S, model, None), &mut [server], World::default());
        let used = run.utilisation(75, 60 * S, 60 * S, 3600 * S);
        assert_eq!(run.refused.len(), 0, "kind {kind}");
        assert!(used >= 99.4, "kind {kind}: {used}");
    }
    let mut leaky: [Box<dyn Server>; 1] = [Box::new(Leaky::new(75, 60 * S, 5))];
    let run = ours(&config(75, 60 * S, Model::Leaky, Some(5)), &mut leaky, World::default());
    let used = run.utilisation(75, 60 * S, 60 * S, 3600 * S);
    assert!(run.refused.is_empty() && used >= 99.4, "{used}");
    let near = World { delay: (10 * MS, 20 * MS), timer_late: 0, ..World::default() };
    let mut log: [Box<dyn Server>; 1] = [Box::new(SlidingLog::new(75, 60 * S))];
    let used = ours(&config(75, 60 * S, Model::SlidingLog, None), &mut log, near).utilisation(
        75,
        60 * S,
        60 * S,
        3600 * S,
    );
    assert!(used >= 99.9, "{used}");
}

type Make = fn(&mut Random) -> Box<dyn Server>;

/// Servers that must be survived without being told what they are: name, 75 of what, and the least use in percent of
/// what each would allow, at the far and at the near delay.
const UNKNOWN: [(&str, u64, Make, f64, f64); 9] = [
    ("sliding log", 60 * S, |_| Box::new(SlidingLog::new(75, 60 * S)), 99.0, 99.0),
    ("penalising log", 60 * S, |_| Box::new(SlidingLog::penalising(75, 60 * S)), 99.0, 99.0),
    ("penalising log, 10 s", 10 * S, |_| Box::new(SlidingLog::penalising(75, 10 * S)), 96.0, 98.5),
    ("fixed", 60 * S, |random| Box::new(Fixed::new(75, 60 * S, random.between(0, 60 * S))), 99.0, 99.0),
    ("bucket", 60 * S, |_| Box::new(Leaky::new(75, 60 * S, 74)), 99.0, 99.0),
    ("bucket of 20", 60 * S, |_| Box::new(Bucket::full(75, 60 * S, 20)), 99.0, 99.0),
    ("leaky, burst 5", 60 * S, |_| Box::new(Leaky::new(75, 60 * S, 5)), 99.0, 99.0),
    ("leaky, no burst", 60 * S, |_| Box::new(Leaky::new(75, 60 * S, 0)), 70.0, 96.0),
    ("sliding counter", 60 * S, |_| Box::new(Counter::new(75, 60 * S)), 96.0, 96.0),
];

#[test]
fn an_unknown_server_refuses_three_times_at_most_and_is_used_to_the_full() {
    for (name, per, make, far_least, near_least) in UNKNOWN {
        for (delay, least) in
            [((25 * MS, 250 * MS), far_least), ((MS / 5, 2 * MS), near_least), ((10 * MS, 40 * MS), 60.0)]
        {
            for seed in 0..3 {
                let mut random = Random(seed);
                let mut servers: Vec<_> = (0..4).map(|_| make(&mut random)).collect();
                let end = 60 * per;
                let world = World { delay, workers: 32, end, seed, ..World::default() };
                let run = ours(&config(75, per, Model::Unknown, None), &mut servers, world);
                let used = run.utilisation(75, per, 10 * per, end);
                // It may take long until a rare refusal teaches; what counts is that none follows the lesson.
                let late = run.refused.iter().filter(|at| **at > run.refused[0] + 2 * per).count();
                let said = format!("{name} {delay:?} seed {seed}: {used:.2} %, refused {:?}", run.refused);
                assert!(run.refused.len() <= 3 && late == 0, "{said}");
                assert!(used >= least, "{said}");
            }
        }
    }
}

#[test]
fn an_unknown_past_costs_three_refusals_at_most() {
    for penalising in [false, true] {
        for seed in 0..8 {
            let past = |_| -> Box<dyn Server> {
                let server = SlidingLog { penalising, ..SlidingLog::new(75, 10 * S) };
                Box::new(with_past(server, 75, 75 * MS))
            };
            let mut servers: Vec<_> = (0..4).map(past).collect();
            let world =
                World { delay: (10 * MS, 40 * MS), workers: 8, end: 300 * S, seed, ..World::default() };
            let run = ours(&config(75, 10 * S, Model::Unknown, None), &mut servers, world);
            let used = run.utilisation(75, 10 * S, 60 * S, 300 * S);
            assert!(run.refused.len() <= 3, "penalising {penalising}: refused at {:?}", run.refused);
            assert!(used > 95.0, "penalising {penalising}: {used}");
        }
    }
}

/// Counts by the day of a zone, as a server does that asks its clock for the date.
struct ByDate {
    n: usize,
    zone: Zone,
    wall_s: i64,
    day: (i64, usize),
}

impl Server for ByDate {
    fn admit(&mut self, at: u64) -> bool {
        let now = self.wall_s + (at / S) as i64;
        let day = (now + i64::from(self.zone.offset_s(now))).div_euclid(86_400);
        if day != self.day.0 {
            self.day = (day, 0);
        }
        self.day.1 += 1;
        self.day.1 <= self.n
    }
}

#[test]
fn a_day_of_23_24_or_25_hours_is_used_whole_and_never_exceeded() {
    let zone = Zone { offset_s: -18_000, changes: vec![(1_772_953_200, -14_400), (1_793_512_800, -18_000)] };
    let ignorant = Zone { offset_s: -14_400, changes: vec![] };
    // Five days around each change, begun at noon.
    for start in [1_772_780_400, 1_793_376_000u64] {
        for (told, right) in [(&zone, true), (&ignorant, false)] {
            let calendar = Calendar { zone: told.clone(), ..Calendar::default() };
            let limit = Limit { calendar: Some(calendar), ..Limit::new(500, Duration::from_secs(86_400)) };
            let config = Config { limits: vec![limit], ..Config::default() };
            let mut core = Core::new(&config, 1).unwrap();
            core.set_wall(UNIX_EPOCH + Duration::from_secs(start));
            let by_date = ByDate { n: 500, zone: zone.clone(), wall_s: start as i64, day: (0, 0) };
            let world = World { workers: 8, end: 5 * 86_400 * S, ..World::default() };
            let run = run(&mut Ours::new(core), &mut [Box::new(by_date)], world);
            if right {
                // The rest of the first day, four whole ones, and the first hours of the last.
                assert_eq!((run.refused.len(), run.admitted), (0, 6 * 500), "{start}");
            } else {
                assert!(!run.refused.is_empty(), "the control that knows no summer time: {start}");
            }
        }
    }
}

#[test]
fn a_reset_that_is_told_frees_the_slots_of_a_fixed_window_and_no_other() {
    for (model, free_at_ms) in [(Model::Fixed, 13_012 + 5), (Model::SlidingLog, 62_000 + 17)] {
        let mut core = Core::new(&config(1, 60 * S, model, None), 1).unwrap();
        let at = Duration::from_millis;
        let ticket = core.try_send(at(0), Cost::ONE, Priority::Normal).unwrap();
        let hints = Hints { reset: Some(at(10_000)), ..Hints::default() };
        core.answered_with(at(2_000), ticket, Outcome::OK, hints);
        assert_eq!(core.poll(at(2_000), Cost::ONE, Priority::Normal), Poll::At(at(free_at_ms)), "{model:?}");
        let key = core.poll_key(at(2_000), KeyIndex::new(0), Cost::ONE, Priority::Normal);
        assert_eq!(key, Poll::At(at(free_at_ms)));
        assert_eq!(core.poll_key(at(2_000), KeyIndex::new(1), Cost::ONE, Priority::Normal), Poll::NoKeys);
    }
}
