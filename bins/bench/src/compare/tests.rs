//! The judge on trial: nothing changed, something changed, and machines that drift.

use proptest::prelude::*;

use super::*;

/// A machine whose speed wanders: a level that forgets `1 - memory` of itself a turn, and noise of each turn.
struct Machine {
    random: Random,
    level: f64,
    memory: f64,
    wander: f64,
    noise: f64,
    trend: f64,
}

impl Machine {
    fn turn(&mut self) -> f64 {
        let push = self.wander * (1.0 - self.memory * self.memory).sqrt();
        self.level = self.memory * self.level + push * self.random.normal() + self.trend;
        10.0 * (self.level + self.noise * self.random.normal()).exp()
    }
}

fn trial(machine: &mut Machine, pairs: usize, factor: f64) -> Vec<Pair> {
    let mut found = vec![Pair { a: [0.0; 2], b: [0.0; 2] }; pairs];
    for turn in order(pairs) {
        let value = machine.turn();
        match turn.side {
            Side::A => found[turn.pair].a[turn.slot] = value,
            Side::B => found[turn.pair].b[turn.slot] = value * factor,
        }
    }
    found
}

fn machine(seed: u64) -> Machine {
    Machine { random: Random::new(seed), level: 0.0, memory: 0.97, wander: 0.1, noise: 0.02, trend: 0.0 }
}

fn share(trials: u64, factor: f64, make: impl Fn(u64) -> Machine, wanted: impl Fn(Verdict) -> bool) -> f64 {
    let hits = (0..trials)
        .filter(|seed| {
            let pairs = trial(&mut make(*seed), 10, factor);
            wanted(compare(&pairs, &Judge::new(Better::Lower)).unwrap().verdict)
        })
        .count();
    hits as f64 / trials as f64
}

#[test]
fn nothing_changed_is_seldom_called_a_change() {
    let alarms = share(400, 1.0, machine, |verdict| !matches!(verdict, Verdict::NoDifference { .. }));
    assert!(alarms <= 0.05, "{alarms}");
}

#[test]
fn five_percent_slower_is_found() {
    let found = share(400, 1.05, machine, |verdict| verdict == Verdict::Worse);
    assert!(found >= 0.9, "{found}");
}

#[test]
fn a_machine_that_gets_steadily_slower_is_no_change() {
    let slowing = |seed| Machine { wander: 0.0, trend: 0.02, ..machine(seed) };
    let alarms = share(400, 1.0, slowing, |verdict| !matches!(verdict, Verdict::NoDifference { .. }));
    assert!(alarms <= 0.05, "{alarms}");
    // The control: the same turns, A first and B after, are called a change every time.
    let naive = (0..100)
        .filter(|seed| {
            let mut machine = slowing(*seed);
            let turns: Vec<f64> = (0..40).map(|_| machine.turn()).collect();
            let at = |i: usize| Pair {
                a: [turns[2 * i], turns[2 * i + 1]],
                b: [turns[20 + 2 * i], turns[21 + 2 * i]],
            };
            let pairs: Vec<Pair> = (0..10).map(at).collect();
            compare(&pairs, &Judge::new(Better::Lower)).unwrap().verdict == Verdict::Worse
        })
        .count();
    assert_eq!(naive, 100);
}

#[test]
fn the_interval_covers_the_truth_about_as_often_as_it_says() {
    let covered = (0..400)
        .filter(|seed| {
            let pairs = trial(&mut machine(*seed), 10, 1.03);
            let found = compare(&pairs, &Judge::new(Better::Lower)).unwrap();
            (found.low..=found.high).contains(&0.03)
        })
        .count();
    assert!((372..=396).contains(&covered), "{covered} of 400");
}

#[test]
fn a_change_of_the_detectable_size_is_found_nine_times_in_ten() {
    let size = compare(&trial(&mut machine(1), 200, 1.0), &Judge::new(Better::Lower)).unwrap().detectable;
    // Of 200 pairs; ten pairs see sqrt(20) times less, and Student's t is wider there.
    let factor = 1.0 + size * 20_f64.sqrt() * 1.12;
    let found = share(300, factor, machine, |verdict| verdict == Verdict::Worse);
    assert!((0.8..=0.99).contains(&found), "{found} at {factor}");
}

#[test]
fn the_margin_forgives_what_is_smaller() {
    let pairs: Vec<Pair> =
        (0..10).map(|i| Pair { a: [10.0, 10.0 + 0.001 * f64::from(i)], b: [10.2, 10.2] }).collect();
    let judge = Judge::new(Better::Lower);
    assert_eq!(compare(&pairs, &judge).unwrap().verdict, Verdict::Worse);
    let forgiving = Judge { margin: 0.05, ..judge };
    assert!(
        matches!(compare(&pairs, &forgiving).unwrap().verdict, Verdict::NoDifference { within } if within < 0.03)
    );
    let rates = Judge::new(Better::Higher);
    assert_eq!(compare(&pairs, &rates).unwrap().verdict, Verdict::Better);
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let pair = Pair { a: [1.0, 1.0], b: [1.0, 1.0] };
    let judge = Judge::new(Better::Lower);
    assert_eq!(compare(&[pair; 3], &judge), Err(Unfit::Pairs(3)));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let pairs = [pair, pair, pair, pair, Pair { a: [1.0, bad], ..pair }];
        assert_eq!(compare(&pairs, &judge), Err(Unfit::Value(5)));
    }
}

proptest! {
    #[test]
    fn the_unit_does_not_matter_and_sides_mirror(
        values in prop::collection::vec((0.1_f64..10.0, 0.1_f64..10.0, 0.1_f64..10.0, 0.1_f64..10.0), 4..30),
        unit in 1e-6_f64..1e6,
    ) {
        let judge = Judge::new(Better::Lower);
        let pairs: Vec<Pair> = values.iter().map(|v| Pair { a: [v.0, v.1], b: [v.2, v.3] }).collect();
        let found = compare(&pairs, &judge).unwrap();
        prop_assert!(found.low <= found.change && found.change <= found.high, "{found:?}");
        let scaled: Vec<Pair> = pairs.iter().map(|p| Pair { a: p.a.map(|v| v * unit), b: p.b.map(|v| v * unit) }).collect();
        let scaled = compare(&scaled, &judge).unwrap();
        prop_assert!((scaled.change - found.change).abs() < 1e-6 * (1.0 + found.change.abs()));
        let mirrored: Vec<Pair> = pairs.iter().map(|p| Pair { a: p.b, b: p.a }).collect();
        let mirrored = compare(&mirrored, &judge).unwrap();
        prop_assert!(((1.0 + mirrored.change) * (1.0 + found.change) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_the_same_is_never_called_different(value in 0.001_f64..1e9, pairs in 4_usize..40) {
        let same = vec![Pair { a: [value; 2], b: [value; 2] }; pairs];
        prop_assert_eq!(compare(&same, &Judge::new(Better::Lower)).unwrap().verdict, Verdict::NoDifference { within: 0.0 });
    }
}
