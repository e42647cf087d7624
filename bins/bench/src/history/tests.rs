//! Planted changes are found where they are, and quiet series stay quiet.

use proptest::prelude::*;

use super::*;

fn series(seed: u64, levels: &[(usize, f64)], noise: f64) -> Vec<f64> {
    let mut random = Random::new(seed);
    levels
        .iter()
        .flat_map(|(runs, level)| std::iter::repeat_n(*level, *runs))
        .map(|level| level * (noise * random.normal()).exp())
        .collect()
}

fn quick(seed: u64) -> Search {
    Search { shuffles: 99, seed, ..Search::default() }
}

#[test]
fn a_quiet_history_is_seldom_called_a_change() {
    let alarms = (0..200)
        .filter(|seed| !change_points(&series(*seed, &[(30, 10.0)], 0.03), &quick(*seed)).is_empty())
        .count();
    // 5 % of 200 are 10; three standard deviations of chance on top.
    assert!(alarms <= 19, "{alarms} of 200");
}

#[test]
fn a_planted_change_is_found_where_it_is() {
    let found = (0..200)
        .filter(|seed| {
            let points = change_points(&series(*seed, &[(25, 10.0), (15, 10.5)], 0.03), &quick(*seed));
            points.iter().any(|point| point.at.abs_diff(25) <= 3 && point.change > 0.02)
        })
        .count();
    assert!(found >= 170, "{found} of 200");
}

#[test]
fn each_of_several_changes_has_its_place_and_size() {
    let points = change_points(&series(5, &[(20, 10.0), (20, 14.0), (20, 9.0)], 0.02), &Search::default());
    assert_eq!(points.iter().map(|point| point.at).collect::<Vec<_>>(), [20, 40]);
    assert!((points[0].change - 0.4).abs() < 0.03 && (points[1].change + 0.357).abs() < 0.03, "{points:?}");
}

#[test]
fn one_wild_run_is_no_change() {
    let mut values = series(3, &[(40, 10.0)], 0.02);
    values[17] = 90.0;
    assert_eq!(change_points(&values, &Search::default()), []);
}

#[test]
fn a_change_among_many_runs_keeps_its_number() {
    let values = series(4, &[(MAX_RUNS, 10.0), (30, 20.0)], 0.02);
    let points = change_points(&values, &Search { shuffles: 19, ..Search::default() });
    assert_eq!(points.last().map(|point| point.at), Some(MAX_RUNS));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn moving_values_along_counts_as_the_definition_does(values in prop::collection::vec(-5.0_f64..5.0, 8..40)) {
        let naive = (4..=values.len() - 4).map(|at| {
            let (left, right) = values.split_at(at);
            let (n, m) = (left.len() as f64, right.len() as f64);
            let mean_of = |a: &[f64], b: &[f64]| a.iter().flat_map(|x| b.iter().map(move |y| (x - y).abs())).sum::<f64>();
            let energy = 2.0 * mean_of(left, right) / (n * m) - mean_of(left, left) / (n * (n - 1.0)) - mean_of(right, right) / (m * (m - 1.0));
            n * m / (n + m) * energy
        }).fold(f64::MIN, f64::max);
        match best_split(&values, 4) {
            Some((_, score)) => prop_assert!((score - naive).abs() < 1e-9 * (1.0 + naive.abs())),
            None => prop_assert!(naive <= 1e-9),
        }
    }

    #[test]
    fn no_history_breaks_it(values in prop::collection::vec(prop_oneof![Just(0.0), Just(f64::MAX), 0.0_f64..1e3], 0..30)) {
        for point in change_points(&values, &quick(1)) {
            prop_assert!(point.at < values.len());
        }
    }
}
