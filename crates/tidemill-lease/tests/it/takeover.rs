//! The rules of a takeover, model-checked: owners that are paused, killed and cut off, and a naive server that counts.

mod process;
mod world;

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, RngAlgorithm, TestError, TestRng, TestRunner};

use world::{Break, Fault, Outcome, Script, World};

const SEEDS: u32 = 1000;

fn scripts() -> impl Strategy<Value = Script> {
    let seconds = |from: u64, to: u64| (from * 1000..to * 1000).prop_map(Duration::from_millis);
    let fault = prop_oneof![
        3 => prop_oneof![Just(Duration::from_secs(60)), seconds(0, 8)].prop_map(Fault::Pause),
        2 => (seconds(1, 6), any::<bool>()).prop_map(|(after, same_name)| Fault::Kill { after, same_name }),
        2 => seconds(1, 12).prop_map(Fault::CutOff),
        1 => seconds(1, 6).prop_map(Fault::LoseReplies),
        2 => Just(Fault::Release),
    ];
    let faults = prop::collection::vec((seconds(0, 90), 0..3usize, fault), 0..10);
    (any::<u64>(), 2..4usize, faults, prop::array::uniform4(-100..=100i64))
        .prop_map(|(seed, owners, faults, drift_ppm)| Script { seed, owners, faults, drift_ppm })
}

fn check(breaks: Break, arrivals: &Cell<usize>) -> Result<(), TestError<Script>> {
    // The same thousand on every run; a failure is shrunk to the fewest faults.
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(
        Cases { cases: SEEDS, failure_persistence: None, max_shrink_iters: 300, ..Cases::default() },
        rng,
    );
    runner.run(&scripts(), |script| {
        let Outcome { counted, takeovers, violation } = World::new(&script, breaks).run();
        arrivals.set(arrivals.get() + counted + takeovers);
        prop_assert!(violation.is_none(), "{}", violation.unwrap_or_default());
        Ok(())
    })
}

#[test]
fn no_window_holds_more_than_the_quota_and_the_reserve() {
    let arrivals = Cell::new(0);
    if let Err(error) = check(Break::Nothing, &arrivals) {
        panic!("{error}");
    }
    println!("{} requests and takeovers", arrivals.get());
    // The quota allows 80 in each of the thousand runs; far less would mean that the model holds by doing nothing.
    assert!(arrivals.get() > 40_000, "only {} requests were counted", arrivals.get());
}

#[test]
fn the_quota_is_used_where_nothing_happens() {
    let script = Script { seed: 1, owners: 2, faults: Vec::new(), drift_ppm: [0; 4] };
    let outcome = World::new(&script, Break::Nothing).run();
    assert!(outcome.counted >= 70, "{outcome:?}");
    assert_eq!((outcome.takeovers, outcome.violation), (0, None));
}

#[test]
fn every_rule_is_needed() {
    for rule in [
        Break::GuardAtTakeover,
        Break::MayAct,
        Break::Slack,
        Break::GuardInPayload,
        Break::GuardAgainstFormerLife,
        Break::ReserveUntilConfirmed,
    ] {
        let found = check(rule, &Cell::new(0));
        println!("without {rule:?}: {found:?}");
        assert!(
            matches!(found, Err(TestError::Fail(..))),
            "without {rule:?} nothing is found in {SEEDS} seeds"
        );
    }
}
