//! Controllers on simulated plants, judged by the best fixed setting.

use std::time::Duration;

use tidemill_autotune::plant::{Observed, Plant, Shape, mean};
use tidemill_autotune::{Config, Gradient, Knob, Tuner};

/// Runs the gradient on a plant; the steps after `settle`.
fn run(plant: &mut Plant, steps: u64, settle: u64, mut each: impl FnMut(u64, &mut Plant)) -> Vec<Observed> {
    let config = Config { builtin: false, ..Config::default() };
    let knob = Knob::new("concurrency", 1.0, 400.0);
    let mut tuner = Tuner::builder(config).controlled(knob, 4.0, Gradient::new("latency")).build().unwrap();
    let mut seen = Vec::new();
    for step in 0..steps {
        each(step, plant);
        let observed = plant.step(tuner.value("concurrency").unwrap());
        let now = Duration::from_secs(step);
        tuner.read(now, "latency", observed.latency);
        tuner.step(now);
        if step >= settle {
            seen.push(observed);
        }
    }
    seen
}

fn judge(shape: Shape) -> (f64, f64) {
    let mut plant = Plant::new(shape, 3);
    let (_, best) = plant.best_fixed(2000);
    let ours = mean(&run(&mut plant, 2400, 400, |_, _| {}));
    let (throughput, tail) = (ours.throughput / best.throughput, ours.p99 / best.p99);
    (throughput, tail)
}

#[test]
fn knee_and_cliff_reach_the_best_fixed_setting() {
    let base = Shape::default();
    for (name, shape) in [
        ("knee", base),
        ("small knee", Shape { capacity: 6.0, ..base }),
        ("large knee", Shape { capacity: 200.0, ..base }),
        ("cliff", Shape { cliff: 1.3, ..base }),
        ("noisy knee", Shape { noise: 0.05, ..base }),
        ("noisy cliff", Shape { noise: 0.05, cliff: 1.5, ..base }),
        ("delayed knee", Shape { delay: 3, ..base }),
    ] {
        let (throughput, tail) = judge(shape);
        assert!(throughput >= 0.95, "{name}: {throughput}");
        assert!(tail <= 1.2, "{name}: {tail}");
    }
}

#[test]
fn under_drift_and_interference_it_stays_near() {
    for (name, shape) in [
        ("drifting", Shape { drift: 0.3, noise: 0.03, ..Shape::default() }),
        ("interfering", Shape { interference: 0.2, noise: 0.03, ..Shape::default() }),
    ] {
        let (throughput, tail) = judge(shape);
        assert!(throughput >= 0.9 && tail <= 1.3, "{name}: {throughput} {tail}");
    }
}

#[test]
fn a_server_three_times_slower_is_believed_and_forgotten() {
    let mut plant = Plant::new(Shape { noise: 0.02, ..Shape::default() }, 5);
    let slow = |step: u64, plant: &mut Plant| {
        plant.set_service_s(if (600..900).contains(&step) { 0.15 } else { 0.05 })
    };
    let seen = run(&mut plant, 1200, 0, slow);
    let rate = |from: usize, to: usize| mean(&seen[from..to]).throughput;
    let before = rate(400, 600);
    assert!(rate(660, 900) * 3.0 >= 0.9 * before, "settled within 60: {} {before}", rate(660, 900));
    assert!(rate(960, 1200) >= 0.98 * before, "back within 60: {} {before}", rate(960, 1200));
}

#[test]
fn a_limit_does_not_creep_over_a_day() {
    let mut plant = Plant::new(Shape { noise: 0.05, ..Shape::default() }, 9);
    let seen = run(&mut plant, 86_400, 0, |_, _| {});
    let (early, late) = (mean(&seen[1000..5000]), mean(&seen[82_000..]));
    assert!((late.p99 / early.p99 - 1.0).abs() < 0.03, "{early:?} {late:?}");
}
