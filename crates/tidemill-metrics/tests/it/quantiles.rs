//! Quantiles against exact ranks on ten distributions; windows and sums against counting again.

use proptest::prelude::*;
use tidemill_metrics::{Histogram, HistogramSnapshot, LARGEST, ZERO_THRESHOLD};

/// SplitMix64, uniform in (0, 1).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11).max(1) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

type Draw = fn(&mut Random) -> f64;

const DISTRIBUTIONS: [(&str, Draw); 10] = [
    ("uniform", |r| r.uniform()),
    ("exponential", |r| -0.1 * r.uniform().ln()),
    ("log-normal", |r| 0.05 * r.normal().exp()),
    ("wide log-normal", |r| 0.01 * (3.0 * r.normal()).exp()),
    ("pareto 1", |r| 0.001 / r.uniform()),
    ("pareto 1/2", |r| 0.001 / r.uniform().powi(2)),
    ("bimodal", |r| if r.uniform() < 0.97 { 0.002 + 0.0001 * r.uniform() } else { 2.0 + r.uniform() }),
    ("constant", |_| 0.123),
    ("powers of two", |r| (-(r.uniform() * 10.0).floor()).exp2()),
    ("nanoseconds to hours", |r| 1e-8 * (r.uniform() * 26.0).exp()),
];

#[test]
fn every_quantile_of_ten_distributions_is_within_4_4_percent() {
    for (name, draw) in DISTRIBUTIONS {
        let mut random = Random(42);
        let histogram = Histogram::new();
        let mut exact: Vec<f64> = (0..50_000).map(|_| draw(&mut random)).collect();
        exact.iter().for_each(|value| histogram.observe(*value));
        exact.sort_unstable_by(f64::total_cmp);
        let snapshot = histogram.snapshot();
        for q in [0.0, 0.001, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
            let rank = ((q * 50_000.0_f64).ceil() as usize).max(1);
            let (is, wanted) = (snapshot.quantile(q).unwrap(), exact[rank - 1]);
            assert!((is / wanted - 1.0).abs() <= 0.044, "{name} q {q}: {is} for {wanted}");
        }
        let mean = exact.iter().sum::<f64>() / 50_000.0;
        assert!((snapshot.mean().unwrap() / mean - 1.0).abs() < 1e-9, "{name}");
    }
}

#[test]
fn the_ends_are_counted() {
    let histogram = Histogram::new();
    assert_eq!(histogram.snapshot().quantile(0.5), None);
    assert_eq!(histogram.snapshot().mean(), None);
    for value in [0.0, -1.0, ZERO_THRESHOLD, f64::NAN, f64::INFINITY, LARGEST * 1.1, LARGEST] {
        histogram.observe(value);
    }
    let snapshot = histogram.snapshot();
    assert_eq!(snapshot.count, 6, "all but NaN");
    assert_eq!(snapshot.quantile(0.5), Some(0.0));
    assert_eq!(snapshot.quantile(1.0), Some(f64::INFINITY));
    assert_eq!(snapshot.at_most(LARGEST), 4);
    assert_eq!(snapshot.at_most(f64::INFINITY), 6);
    assert_eq!(snapshot.boundaries().map(|(_, count)| count).collect::<Vec<_>>(), [3, 1, 2]);
}

fn filled(values: &[f64]) -> HistogramSnapshot {
    let histogram = Histogram::new();
    values.iter().for_each(|value| histogram.observe(*value));
    histogram.snapshot()
}

/// Equal but for the rounding of the sum.
fn same(a: &HistogramSnapshot, b: &HistogramSnapshot) -> bool {
    a.count == b.count
        && a.boundaries().eq(b.boundaries())
        && (a.sum - b.sum).abs() <= 1e-6 * (1.0 + a.sum.abs().max(b.sum.abs()))
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(
        prop_oneof![1e-12..1e12_f64, (-40.0..40.0_f64).prop_map(f64::exp2), Just(0.0)],
        0..200,
    )
}

proptest! {
    #[test]
    fn a_window_is_what_was_counted_in_it(first in values(), second in values()) {
        let histogram = Histogram::new();
        first.iter().for_each(|value| histogram.observe(*value));
        let earlier = histogram.snapshot();
        second.iter().for_each(|value| histogram.observe(*value));
        let window = histogram.snapshot().since(&earlier);
        prop_assert_eq!(window.count, second.len() as u64);
        prop_assert!(window.boundaries().eq(filled(&second).boundaries()));
    }

    #[test]
    fn a_merge_is_what_one_histogram_would_hold(first in values(), second in values()) {
        let mut merged = filled(&first);
        merged.merge(&filled(&second));
        let both = filled(&[first, second].concat());
        prop_assert!(same(&merged, &both), "{merged:?} and {both:?}");
    }

    #[test]
    fn quantiles_ascend_and_stay_inside(all in values(), a in 0.0..=1.0_f64, b in 0.0..=1.0_f64) {
        prop_assume!(!all.is_empty());
        let snapshot = filled(&all);
        let (low, high) = (snapshot.quantile(a.min(b)).unwrap(), snapshot.quantile(a.max(b)).unwrap());
        prop_assert!(low <= high);
        prop_assert!(snapshot.min().unwrap() <= low && high <= snapshot.max().unwrap());
    }

    #[test]
    fn counts_below_a_power_of_two_are_exact(all in values(), power in -30..34_i32) {
        let bound = f64::from(power).exp2();
        let exact = all.iter().filter(|value| **value <= bound).count() as u64;
        prop_assert_eq!(filled(&all).at_most(bound), exact);
    }
}
