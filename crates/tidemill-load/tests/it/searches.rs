//! The capacity search on simulated servers: knees, cliffs, latency without overload, noise.

use proptest::prelude::*;
use tidemill_load::{Capacity, ErrorKind, Probe, Search, SearchConfig, SearchEnd};

fn search(plant: impl Fn(f64, usize) -> Probe) -> Capacity {
    let mut search = Search::new(SearchConfig::default()).unwrap();
    for n in 0.. {
        let Some(rate) = search.rate() else { break };
        search.record(plant(rate, n));
    }
    search.capacity()
}

fn probe(rate: f64, knee: f64, achieved: f64) -> Probe {
    Probe { rate, kept: rate <= knee, achieved, conclusive: true }
}

proptest! {
    /// Whatever the overloaded server still achieves, even nothing or a lie, the promise holds.
    #[test]
    fn every_knee_is_found_in_eight_probes(knee in 12.0..95_000.0f64, says in 0.0..2.0f64, kind in 0..3) {
        let found = search(|rate, _| probe(rate, knee, match kind {
            0 => rate.min(knee),
            1 => rate,
            _ => knee * says,
        }));
        prop_assert_eq!(found.ended, SearchEnd::Found);
        prop_assert!(found.probes.len() <= 8);
        let (low, high) = (found.rate.unwrap(), found.broken.unwrap());
        prop_assert!(low <= knee && knee <= high && high <= low * 1.0501, "{low} {knee} {high}");
    }

    /// Near the knee a noisy server answers either way; the result stays within the noise and the tolerance.
    #[test]
    fn noise_near_the_knee_costs_no_more_than_itself(knee in 100.0..50_000.0f64, noise in proptest::collection::vec(-0.02..0.02f64, 8)) {
        let found = search(|rate, n| {
            let knee = knee * (1.0 + noise[n]);
            probe(rate, knee, rate.min(knee))
        });
        let rate = found.rate.unwrap();
        prop_assert!(rate <= knee * 1.021 && rate >= knee * 0.98 / 1.051, "{rate} for {knee}");
    }
}

#[test]
fn overload_that_shows_its_rate_saves_probes() {
    let found = search(|rate, _| probe(rate, 7300.0, rate.min(7300.0)));
    assert!(found.probes.len() <= 5, "{:?}", found.probes);
}

#[test]
fn a_knee_outside_the_range_is_said() {
    assert_eq!(search(|rate, _| probe(rate, 1.0, 1.0)).ended, SearchEnd::BelowRange);
    assert_eq!(search(|rate, _| probe(rate, 1e9, rate)).ended, SearchEnd::AboveRange);
    let weak =
        search(|rate, _| Probe { rate, kept: rate < 2000.0, achieved: rate, conclusive: rate < 5000.0 });
    assert!(matches!(weak.ended, SearchEnd::Found | SearchEnd::GeneratorLimit));
    let weak = search(|rate, _| Probe { rate, kept: true, achieved: rate, conclusive: rate < 5000.0 });
    assert_eq!((weak.ended, weak.rate.is_some()), (SearchEnd::GeneratorLimit, true));
}

#[test]
fn a_range_that_the_probes_cannot_halve_is_refused() {
    for config in [
        SearchConfig { low: 1.0, high: 1e9, ..SearchConfig::default() },
        SearchConfig { low: 10.0, high: 10.0, ..SearchConfig::default() },
        SearchConfig { tolerance: 0.0001, ..SearchConfig::default() },
    ] {
        assert_eq!(Search::new(config).unwrap_err().kind(), ErrorKind::Plan);
    }
}
