//! Trials under a load that does what it likes.

use std::time::Duration;

use tidemill_autotune::plant::{Load, LoadShape};
use tidemill_autotune::{Config, Decision, Guard, Knob, Outcome, Record, Rule, Side, TrialBy, Tuner};

/// One trial to its end; the objective is latency, so a positive effect is harm.
pub(crate) fn trial(shape: LoadShape, by: TrialBy, seed: u64, config: Config) -> (Outcome, Vec<Record>, u64) {
    let mut rule = Rule::new("try", "go > 0", &["knob + 1"]).unwrap();
    (rule.objective, rule.cooldown) = (Some("ms lower".parse().unwrap()), Duration::from_secs(1_000_000));
    let config = Config { rule: vec![rule], builtin: false, seed, ..config };
    let knob = Knob::new("knob", 0.0, 10.0).trial(by);
    let mut tuner = Tuner::builder(config).knob(knob, 0.0).build().unwrap();
    let mut load = Load::new(shape, seed ^ 0xabcd);
    for step in 0..200_000 {
        let now = Duration::from_secs(step);
        if by == TrialBy::Split {
            let (old, new) = load.step_split();
            tuner.observe("knob", Side::Old, old);
            tuner.observe("knob", Side::New, new);
        } else {
            tuner.read(now, "ms", load.step(tuner.value("knob") == Some(1.0)));
        }
        if step == 60 {
            tuner.read(now, "go", 1.0);
        }
        tuner.step(now);
        if step > 60 && tuner.stats().trials_running == 0 {
            let records = tuner.take_records();
            let outcome = records.iter().find_map(|record| match &record.decision {
                Decision::TrialEnded { outcome, .. } => Some(*outcome),
                _ => None,
            });
            let expected = if outcome == Some(Outcome::Kept) { 1.0 } else { 0.0 };
            assert_eq!(
                tuner.value("knob"),
                Some(expected),
                "an ended trial leaves the value its outcome says"
            );
            return (outcome.unwrap(), records, step - 60);
        }
    }
    panic!("a trial that never ends");
}

fn quick() -> Config {
    Config { block_steps: 4, washout_steps: 1, max_pairs: 30, ..Config::default() }
}

#[test]
fn a_gain_is_kept_a_loss_undone_and_nothing_goes_back() {
    for by in [TrialBy::Switchback, TrialBy::Split] {
        let of = |effect| trial(LoadShape { effect, ..LoadShape::default() }, by, 1, quick()).0;
        assert_eq!(of(-3.0), Outcome::Kept, "{by:?}");
        assert_eq!(of(3.0), Outcome::Undone, "{by:?}");
        assert_eq!(of(0.0), Outcome::Inconclusive, "{by:?}");
    }
}

#[test]
fn nothing_changed_is_seldom_called_a_change_whatever_the_load_does() {
    let shapes = [
        LoadShape { drift: 0.2, ..LoadShape::default() },
        LoadShape { memory: 0.9, ..LoadShape::default() },
        LoadShape { interference: 5.0, ..LoadShape::default() },
        LoadShape { season: 10.0, drift: -0.1, memory: 0.7, interference: 3.0, ..LoadShape::default() },
    ];
    let mut wrong = 0;
    for seed in 0..400_u64 {
        let by = if seed % 2 == 0 { TrialBy::Switchback } else { TrialBy::Split };
        let (outcome, ..) = trial(shapes[(seed / 2 % 4) as usize], by, seed, quick());
        wrong += u32::from(outcome != Outcome::Inconclusive);
    }
    assert!(wrong <= 20, "{wrong} of 400");
}

#[test]
fn a_block_outlives_what_the_objective_remembers() {
    let (_, _, plain) = trial(LoadShape::default(), TrialBy::Switchback, 2, quick());
    let (_, _, long) =
        trial(LoadShape { memory: 0.95, ..LoadShape::default() }, TrialBy::Switchback, 2, quick());
    assert!(long > 2 * plain, "{long} steps beside {plain}");
}

#[test]
fn a_guard_ends_a_trial_within_a_step_and_names_what_it_saw() {
    let guard = Guard { signal: "ms".into(), above: None, ratio: Some(1.5), steps: 1 };
    let config = Config { guard: vec![guard], ..quick() };
    let (outcome, records, steps) =
        trial(LoadShape { effect: 100.0, ..LoadShape::default() }, TrialBy::Switchback, 3, config);
    assert_eq!(outcome, Outcome::Undone);
    assert!(steps <= 6, "{steps}");
    assert!(records.last().unwrap().words().contains("ms = 19"), "{}", records.last().unwrap().words());
}

#[test]
fn the_budget_of_a_day_is_kept() {
    let mut rule = Rule::new("try", "go > 0", &["knob + 1"]).unwrap();
    (rule.objective, rule.cooldown) = (Some("ms lower".parse().unwrap()), Duration::from_secs(60));
    let config = Config { rule: vec![rule], builtin: false, false_changes_a_day: 0.2, ..quick() };
    let mut tuner = Tuner::builder(config).knob(Knob::new("knob", 0.0, 10.0), 0.0).build().unwrap();
    let mut load = Load::new(LoadShape::default(), 1);
    let (mut began, mut refused) = (0, 0);
    for step in 0..172_800 {
        let now = Duration::from_secs(step);
        tuner.read(now, "ms", load.step(false));
        tuner.read(now, "go", 1.0);
        tuner.step(now);
        for record in tuner.take_records() {
            began += u32::from(matches!(record.decision, Decision::TrialBegan { .. }));
            refused += u32::from(matches!(record.decision, Decision::OverBudget { .. }));
        }
    }
    assert_eq!(began, 8, "four a day of 0.05 each");
    assert!(refused > 100, "{refused}");
}
