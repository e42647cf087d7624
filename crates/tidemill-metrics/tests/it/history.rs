//! What the ring says of the past: rates across restarts, quantiles of windows, spikes kept, every sample exported once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use tidemill_metrics::{Collected, ErrorKind, History, HistoryConfig, Registry, SeriesKind};

const SECOND: Duration = Duration::from_secs(1);
const ALWAYS: Duration = Duration::from_secs(1 << 40);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn history(samples: usize) -> History {
    History::new(HistoryConfig { samples, ..HistoryConfig::default() }).unwrap()
}

#[test]
fn the_last_thousand_samples_of_each_series_are_kept() {
    let registry = Registry::new();
    let counter = registry.counter("c_total", "").with(&[("x", "1")]).unwrap();
    registry.collect_from(|out: &mut Collected<'_>| Ok(out.gauge("told", "", &[], 5.0)?));
    let mut history = History::new(HistoryConfig::default()).unwrap();
    for second in 0..1500 {
        counter.add(3);
        history.sample(&registry, at(second));
    }
    let points = history.points("c_total", "x=\"1\"", ALWAYS).unwrap();
    assert_eq!((points.ts_ms.len(), points.value.len()), (1000, 1000));
    assert_eq!((points.ts_ms[0], points.value[0]), (1_700_000_500_000, 1503.0));
    assert_eq!(history.rate("c_total", "x=\"1\"", 60 * SECOND), Some(3.0));
    assert_eq!(history.difference("c_total", "x=\"1\"", 60 * SECOND), Some(180.0));
    assert_eq!(history.points("told", "", 2 * SECOND).unwrap().value, [5.0; 3]);
    assert_eq!(history.difference("told", "", ALWAYS), Some(0.0));
    assert_eq!(history.points("c_total", "", ALWAYS), None);
    assert_eq!(history.rate("none", "", ALWAYS), None);
}

#[test]
fn quantiles_of_any_window() {
    let registry = Registry::new();
    let seconds = registry.histogram("took_seconds", "").get().unwrap();
    let mut history = history(1000);
    for second in 0..100_u32 {
        // Slow in the second half.
        for i in 1..=100 {
            seconds.observe(f64::from(i) * if second < 50 { 0.001 } else { 0.1 });
        }
        history.sample(&registry, at(u64::from(second)));
    }
    let p99 = |window| history.distribution("took_seconds", "", window).unwrap().quantile(0.99).unwrap();
    assert!((p99(10 * SECOND) / 9.9 - 1.0).abs() < 0.044);
    assert_eq!(history.distribution("took_seconds", "", 10 * SECOND).unwrap().count, 1000);
    let all = history.distribution("took_seconds", "", ALWAYS).unwrap();
    assert_eq!(all.count, 9900, "after the first sample");
    assert!((all.quantile(0.49).unwrap() / 0.099 - 1.0).abs() < 0.06);
    assert_eq!(history.rate("took_seconds", "", 20 * SECOND), Some(100.0));
}

#[test]
fn a_restart_is_no_step_back() {
    let mut history = history(100);
    for (second, value) in [0.0, 10.0, 25.0, 5.0, 6.0].into_iter().enumerate() {
        history.push("c_total", "", SeriesKind::Counter, at(second as u64), value);
        history.push("g", "", SeriesKind::Gauge, at(second as u64), value);
    }
    assert_eq!(history.difference("c_total", "", ALWAYS), Some(10.0 + 15.0 + 5.0 + 1.0));
    assert_eq!(history.rate("c_total", "", ALWAYS), Some(31.0 / 4.0));
    assert_eq!(history.difference("g", "", ALWAYS), Some(6.0), "a gauge may fall");
    // And of a histogram: a new registry under the same name.
    for values in [[1.0, 1.0, 1.0].as_slice(), &[4.0]] {
        let registry = Registry::new();
        let seconds = registry.histogram("h", "").get().unwrap();
        history.sample(&registry, at(10));
        values.iter().for_each(|value| seconds.observe(*value));
        history.sample(&registry, at(11));
    }
    assert_eq!(history.distribution("h", "", ALWAYS).unwrap().count, 4);
}

#[test]
fn spikes_survive_downsampling() {
    let mut history = history(1000);
    for i in 0..1000_u64 {
        let value = match i {
            517 => 1e6,
            823 => -7.0,
            _ => 10.0,
        };
        history.push("g", "", SeriesKind::Gauge, at(i), value);
    }
    let pieces = history.downsampled("g", "", ALWAYS, 20);
    assert_eq!(pieces.len(), 20);
    assert_eq!(pieces.iter().map(|piece| piece.max).fold(f64::MIN, f64::max), 1e6);
    assert_eq!(pieces.iter().map(|piece| piece.min).fold(f64::MAX, f64::min), -7.0);
    assert!(pieces.is_sorted_by_key(|piece| piece.start_ms));
    assert_eq!(pieces[10].max, 1e6);
    assert!(history.downsampled("none", "", ALWAYS, 20).is_empty());
}

#[test]
fn every_sample_is_exported_once() {
    let mut history = history(10);
    let mut next = 0;
    let mut seen = Vec::new();
    for i in 0..25_u64 {
        history.push("a", "", SeriesKind::Gauge, at(i), i as f64);
        history.push("b", "x=\"1\"", SeriesKind::Counter, at(i), 2.0 * i as f64);
        if i % 4 == 3 {
            let batch = history.export(next);
            assert_eq!((batch.name.len(), batch.labels.len(), batch.ts_ms.len()), (8, 8, 8));
            next = batch.next;
            seen.extend(batch.name.into_iter().zip(batch.value));
        }
    }
    let wanted: Vec<(String, f64)> =
        (0..24).flat_map(|i| [("a".into(), f64::from(i)), ("b".into(), 2.0 * f64::from(i))]).collect();
    assert_eq!(seen, wanted);
    assert!(
        history.export(next).value == [24.0, 48.0] && history.export(history.export(0).next).value.is_empty()
    );
}

#[test]
fn the_number_of_series_is_bounded() {
    let mut history = History::new(HistoryConfig { samples: 5, max_series: 3 }).unwrap();
    for i in 0..100_u64 {
        history.push(&format!("g{i}"), "", SeriesKind::Gauge, at(i), 1.0);
        history.push("kept", "", SeriesKind::Gauge, at(i), i as f64);
    }
    let mut names: Vec<&str> = history.series().map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, ["g98", "g99", "kept"]);
    assert_eq!(history.points("kept", "", ALWAYS).unwrap().value, [95.0, 96.0, 97.0, 98.0, 99.0]);
    for bad in [HistoryConfig { samples: 0, max_series: 1 }, HistoryConfig { samples: 1, max_series: 0 }] {
        assert_eq!(History::new(bad).unwrap_err().kind(), ErrorKind::Config);
    }
}

proptest! {
    #[test]
    fn differences_are_what_was_counted_whatever_restarted(
        lives in prop::collection::vec(prop::collection::vec(0..1000_u64, 1..10), 1..6),
    ) {
        let mut history = history(1000);
        history.push("c", "", SeriesKind::Counter, at(0), 0.0);
        let (mut second, mut counted) = (0, 0);
        for life in &lives {
            let mut total = 0;
            for (i, n) in life.iter().enumerate() {
                // A life whose first sample is not below the last of the one before cannot be told from its going on.
                let before = history.points("c", "", ALWAYS).unwrap().value.last().copied().unwrap() as u64;
                let n = if i == 0 && second > 0 { (*n).min(before.saturating_sub(1)) } else { *n };
                prop_assume!(i > 0 || second == 0 || before > 0);
                total += n;
                counted += n;
                second += 1;
                history.push("c", "", SeriesKind::Counter, at(second), total as f64);
            }
        }
        prop_assert_eq!(history.difference("c", "", ALWAYS), Some(counted as f64));
    }

    #[test]
    fn no_clock_makes_it_panic(times in prop::collection::vec(any::<u32>(), 1..40), pieces in 0..50_usize) {
        let mut history = history(20);
        for time in &times {
            history.push("g", "", SeriesKind::Gauge, UNIX_EPOCH + Duration::from_secs(u64::from(*time)), 1.0);
        }
        let kept = history.downsampled("g", "", ALWAYS, pieces);
        prop_assert!(kept.iter().all(|piece| piece.max == 1.0));
        prop_assert!(history.rate("g", "", SECOND).is_none_or(|rate| rate == 0.0));
        prop_assert!(history.points("g", "", ALWAYS).is_some());
    }
}
