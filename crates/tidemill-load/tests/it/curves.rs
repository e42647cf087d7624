//! Any shape: arrivals never go back, are as many as the area says, and stand where the level says.

use std::time::Duration;

use proptest::prelude::*;
use tidemill_load::{Shape, Stage};

fn time() -> impl Strategy<Value = Duration> {
    (1u64..20_000).prop_map(Duration::from_millis)
}

fn shape() -> impl Strategy<Value = Shape> {
    let level = || 0.0..500.0f64;
    prop_oneof![
        (level(), time()).prop_map(|(level, duration)| Shape::Constant { level, duration }),
        (level(), level(), time(), 0u32..20, time()).prop_map(|(from, to, over, steps, hold)| Shape::Ramp {
            from,
            to,
            over,
            steps,
            hold
        }),
        (level(), 1.0..100.0f64, time(), level()).prop_map(|(start, step, each, more)| Shape::Stairs {
            start,
            step,
            each,
            until: start + more
        }),
        (level(), 0.0..5.0f64, time(), time(), time()).prop_map(|(level, factor, before, during, after)| {
            Shape::Spike { level, factor, before, during, after }
        }),
        (level(), 0.0..1.0f64, time(), time()).prop_map(|(mean, part, period, duration)| Shape::Sine {
            mean,
            amplitude: mean * part,
            period,
            duration
        }),
        proptest::collection::vec((proptest::option::of(level()), level(), time()), 1..8).prop_map(
            |stages| {
                Shape::Stages {
                    stages: stages.into_iter().map(|(from, to, over)| Stage { from, to, over }).collect(),
                }
            }
        ),
    ]
}

/// The level by its definition, piece for piece: the naive model.
fn naive(shape: &Shape, t: f64) -> f64 {
    let line = |from: f64, to: f64, at: f64, length: f64| from + (to - from) * at / length;
    match shape {
        Shape::Constant { level, .. } => *level,
        Shape::Ramp { from, to, over, steps, .. } => {
            let over = over.as_secs_f64();
            if t >= over {
                *to
            } else if *steps == 0 {
                line(*from, *to, t, over)
            } else {
                line(*from, *to, (t / over * f64::from(*steps)).floor() + 1.0, f64::from(*steps))
            }
        }
        Shape::Stairs { start, step, each, until } => {
            (start + step * (t / each.as_secs_f64()).floor()).min(*until)
        }
        Shape::Spike { level, factor, before, during, .. } => {
            let begins = before.as_secs_f64();
            let inside = t >= begins && t < begins + during.as_secs_f64();
            if inside { level * factor } else { *level }
        }
        Shape::Sine { mean, amplitude, period, .. } => {
            mean + amplitude * (std::f64::consts::TAU * t / period.as_secs_f64()).sin()
        }
        Shape::Stages { stages } => {
            let (mut start, mut level) = (0.0, 0.0);
            for stage in stages {
                let length = stage.over.as_secs_f64();
                if t < start + length {
                    return line(stage.from.unwrap_or(level), stage.to, t - start, length);
                }
                (start, level) = (start + length, stage.to);
            }
            0.0
        }
        Shape::Replay { .. } => 0.0,
    }
}

proptest! {
    #[test]
    fn due_is_the_inverse_of_the_area(shape in shape()) {
        let curve = shape.curve().unwrap();
        let end = curve.duration();
        let area = curve.arrivals(end);
        let mut before = Duration::ZERO;
        let count = (area * (1.0 - 1e-6)).floor() as u64;
        for k in (0..count).step_by((count / 200).max(1) as usize) {
            let due = curve.due(k).unwrap();
            prop_assert!(due >= before && due <= end, "{k} is due at {due:?} after {before:?}");
            before = due;
            let back = curve.arrivals(due);
            prop_assert!((back - k as f64).abs() <= 1e-6 * area.max(1.0) + 1e-6 * curve.peak(), "{k} comes back as {back}");
        }
        prop_assert_eq!(curve.due(area.ceil() as u64 + 1), None);
    }

    #[test]
    fn the_level_and_its_sum_are_those_of_the_definition(shape in shape()) {
        let curve = shape.curve().unwrap();
        let end = curve.duration().as_secs_f64();
        const STEPS: usize = 4000;
        let mut sum = 0.0;
        let mut far = 0;
        for n in 0..STEPS {
            let t = (n as f64 + 0.5) / STEPS as f64 * end;
            let (level, expected) = (curve.level(Duration::from_secs_f64(t)), naive(&shape, t));
            sum += expected * end / STEPS as f64;
            // Next to a step the two may fall on different sides.
            far += usize::from((level - expected).abs() > 1e-3 * curve.peak().max(1.0));
        }
        prop_assert!(far <= 64, "{far} of {STEPS} levels differ");
        let area = curve.arrivals(curve.duration());
        prop_assert!((area - sum).abs() <= 0.02 * area + 0.02 * curve.peak() * end + 1e-6, "{area} is not {sum}");
    }
}

#[test]
fn arrivals_of_known_curves() {
    let seconds = Duration::from_secs;
    let due = |shape: &Shape, k| shape.curve().unwrap().due(k);
    let constant = Shape::constant(10.0, seconds(1));
    assert_eq!(
        (due(&constant, 0), due(&constant, 9)),
        (Some(Duration::ZERO), Some(Duration::from_millis(900)))
    );
    assert_eq!(due(&constant, 10), None, "what is due at the end is not part of it");
    let ramp = Shape::Ramp { from: 0.0, to: 10.0, over: seconds(10), steps: 0, hold: seconds(0) };
    assert_eq!(due(&ramp, 8), Some(seconds(4)), "t^2 / 2");
    let stairs = Shape::Stairs { start: 5.0, step: 5.0, each: seconds(30), until: 20.0 };
    assert_eq!(stairs.duration(), seconds(120));
    assert_eq!(stairs.curve().unwrap().level(seconds(95)), 20.0);
    for bad in [
        Shape::constant(-1.0, seconds(1)),
        Shape::constant(f64::NAN, seconds(1)),
        Shape::Stairs { start: 0.0, step: 0.0, each: seconds(1), until: 1.0 },
        Shape::Sine { mean: 1.0, amplitude: 2.0, period: seconds(1), duration: seconds(1) },
    ] {
        assert!(bad.curve().is_err(), "{bad:?}");
    }
}
