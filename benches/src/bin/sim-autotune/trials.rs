//! How often nothing is called a change, and how soon a loss is found and undone.

use std::time::Duration;

use tidemill_autotune::plant::{Load, LoadShape};
use tidemill_autotune::{Config, Decision, Knob, Outcome, Rule, Side, TrialBy, Tuner};
use tidemill_benches::{Better, Row, Samples, UnitKind};

use crate::naive;

const TRIALS: u64 = 4000;
const BLOCK: u32 = 4;
const WASHOUT: u32 = 1;

struct Ended {
    outcome: Outcome,
    pairs: usize,
    /// Steps from the verdict to the old value being back.
    undone_after: u64,
}

/// One trial of a knob that adds `effect` to each reading of a latency.
fn trial(shape: LoadShape, by: TrialBy, seed: u64) -> Result<Ended, Box<dyn std::error::Error>> {
    let mut rule = Rule::new("try", "go > 0", &["knob + 1"])?;
    (rule.objective, rule.cooldown) = (Some("ms lower".parse()?), Duration::from_secs(1_000_000));
    let config = Config {
        rule: vec![rule],
        builtin: false,
        block_steps: BLOCK,
        washout_steps: WASHOUT,
        max_readings: 64,
        seed,
        ..Config::default()
    };
    let mut tuner = Tuner::builder(config).knob(Knob::new("knob", 0.0, 1.0).trial(by), 0.0).build()?;
    let mut load = Load::new(shape, seed ^ 0x5bd1_e995);
    for step in 0_u64.. {
        let now = Duration::from_secs(step);
        if by == TrialBy::Split {
            let (old, new) = load.step_split();
            tuner.observe("knob", Side::Old, old);
            tuner.observe("knob", Side::New, new);
        } else {
            tuner.read(now, "ms", load.step(tuner.value("knob") == Some(1.0)));
        }
        if step == 40 {
            tuner.read(now, "go", 1.0);
        }
        tuner.step(now);
        for record in tuner.take_records() {
            if let Decision::TrialEnded { outcome, effect, .. } = record.decision {
                let back = u64::from(outcome != Outcome::Kept && tuner.value("knob") != Some(0.0));
                return Ok(Ended { outcome, pairs: effect.pairs, undone_after: back });
            }
        }
    }
    Err("a trial that never ends".into())
}

/// Upper end of the 95 % interval of a share (Wilson 1927).
fn upper(wrong: u64, of: u64) -> f64 {
    let (z, n) = (1.959_964, of as f64);
    let share = wrong as f64 / n;
    let middle = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    100.0 * (middle + half) / (1.0 + z * z / n)
}

pub(crate) fn run_all() -> Result<(), Box<dyn std::error::Error>> {
    let none = LoadShape::default();
    let loads = [
        ("quiet", none),
        ("drift", LoadShape { drift: 0.05, ..none }),
        ("memory 0.9", LoadShape { memory: 0.9, ..none }),
        ("neighbour", LoadShape { interference: 5.0, ..none }),
        ("all of it", LoadShape { drift: 0.03, memory: 0.8, interference: 3.0, season: 10.0, effect: 0.0 }),
    ];
    for (name, shape) in loads {
        for (how, by) in [("switchback", TrialBy::Switchback), ("split", TrialBy::Split)] {
            let mut wrong = 0;
            for seed in 0..TRIALS {
                wrong += u64::from(trial(shape, by, seed)?.outcome != Outcome::Inconclusive);
            }
            let case = format!("nothing changed, {name}, {how}: false changes, upper 95 %");
            row(&case, "%", Better::Lower, upper(wrong, TRIALS), Some(6.0))?;
        }
        let share = |control: fn(LoadShape, u64) -> bool| {
            100.0 * (0..TRIALS).filter(|seed| control(shape, *seed)).count() as f64 / TRIALS as f64
        };
        row(
            &format!("nothing changed, {name}: control, before and after"),
            "%",
            Better::Lower,
            share(naive::before_after),
            None,
        )?;
        row(
            &format!("nothing changed, {name}: control, z-test that peeks"),
            "%",
            Better::Lower,
            share(naive::peeking_z),
            None,
        )?;
    }
    // A reading has a standard deviation of 1; an arm of a pair is the mean of what a block leaves.
    let arm = 1.0 / f64::from(BLOCK - WASHOUT).sqrt();
    for (how, by) in [("switchback", TrialBy::Switchback), ("split", TrialBy::Split)] {
        let (mut found, mut late) = (0_u64, 0);
        let mut pairs = Samples::new();
        for seed in 0..TRIALS {
            let ended = trial(LoadShape { effect: 2.0 * arm, ..none }, by, seed)?;
            found += u64::from(ended.outcome == Outcome::Undone && ended.pairs <= 12);
            late = late.max(ended.undone_after);
            pairs.push(ended.pairs as f64);
        }
        let share = 100.0 * found as f64 / TRIALS as f64;
        row(
            &format!("a loss of twice an arm's noise, {how}: found within 12 pairs"),
            "%",
            Better::Higher,
            share,
            Some(90.0),
        )?;
        row(
            &format!("the same, {how}: pairs until it is found, median"),
            "pairs",
            Better::Lower,
            pairs.median().unwrap_or(0.0),
            None,
        )?;
        row(
            &format!("the same, {how}: intervals until it is undone, most"),
            "intervals",
            Better::Lower,
            late as f64,
            Some(1.0),
        )?;
    }
    Ok(())
}

pub(crate) fn row(
    case: &str,
    unit: &str,
    better: Better,
    value: f64,
    goal: Option<f64>,
) -> std::io::Result<()> {
    let mut samples = Samples::new();
    samples.push(value);
    let row = Row::new("autotune", case, unit, UnitKind::Count, better).ours(&samples);
    goal.map_or(row.clone(), |goal| row.goal(goal)).emit()
}
