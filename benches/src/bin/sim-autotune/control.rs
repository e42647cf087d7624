//! What the gradient reaches on plants whose best fixed setting is known.

use std::time::Duration;

use tidemill_autotune::plant::{Observed, Plant, Shape, mean};
use tidemill_autotune::{Config, Gradient, Knob, Tuner};
use tidemill_benches::Better;

use crate::trials::row;

fn run(
    plant: &mut Plant,
    steps: u64,
    mut each: impl FnMut(u64, &mut Plant),
) -> Result<Vec<Observed>, Box<dyn std::error::Error>> {
    let config = Config { builtin: false, ..Config::default() };
    let knob = Knob::new("concurrency", 1.0, 400.0);
    let mut tuner = Tuner::builder(config).controlled(knob, 4.0, Gradient::new("latency")).build()?;
    let mut seen = Vec::new();
    for step in 0..steps {
        each(step, plant);
        let observed = plant.step(tuner.value("concurrency").unwrap_or(1.0));
        tuner.read(Duration::from_secs(step), "latency", observed.latency);
        tuner.step(Duration::from_secs(step));
        tuner.take_records();
        seen.push(observed);
    }
    Ok(seen)
}

pub(crate) fn run_all() -> Result<(), Box<dyn std::error::Error>> {
    let base = Shape::default();
    for (name, shape) in [
        ("knee", base),
        ("knee of 200", Shape { capacity: 200.0, ..base }),
        ("cliff", Shape { cliff: 1.3, ..base }),
        ("noisy cliff", Shape { noise: 0.05, cliff: 1.5, ..base }),
        ("knee felt three steps late", Shape { delay: 3, ..base }),
        ("drifting knee", Shape { drift: 0.3, noise: 0.03, ..base }),
        ("knee with a neighbour", Shape { interference: 0.2, noise: 0.03, ..base }),
    ] {
        let mut plant = Plant::new(shape, 3);
        let (_, best) = plant.best_fixed(4000);
        let ours = mean(&run(&mut plant, 4400, |_, _| {})?[400..]);
        let known = !matches!(name, "drifting knee" | "knee with a neighbour");
        let goal = |goal| known.then_some(goal);
        let throughput = 100.0 * ours.throughput / best.throughput;
        row(
            &format!("{name}: throughput of the best fixed setting"),
            "%",
            Better::Higher,
            throughput,
            goal(95.0),
        )?;
        row(
            &format!("{name}: p99 to that of the best fixed setting"),
            "ratio",
            Better::Lower,
            ours.p99 / best.p99,
            goal(1.2),
        )?;
    }
    let mut plant = Plant::new(Shape { noise: 0.02, ..base }, 5);
    let slow = |step: u64, plant: &mut Plant| {
        plant.set_service_s(if (600..900).contains(&step) { 0.15 } else { 0.05 })
    };
    let seen = run(&mut plant, 1200, slow)?;
    let rate = |from: usize, to: usize| mean(&seen[from..to]).throughput;
    let before = rate(400, 600);
    row(
        "three times slower for 5 minutes: rate from 60 s on",
        "%",
        Better::Higher,
        300.0 * rate(660, 900) / before,
        Some(95.0),
    )?;
    row(
        "the same: rate from 60 s after its end",
        "%",
        Better::Higher,
        100.0 * rate(960, 1200) / before,
        Some(98.0),
    )?;
    Ok(())
}
