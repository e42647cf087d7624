//! History beyond memory: what the disk answers, what a restart takes back, what goes with time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidemill_monitor::history::{Answer, Config, History, Question, Writing};
use tidemill_monitor::series::{Kind, Reading, Round, Series};

const STEP_MS: i64 = 30_000;
const HOUR_MS: i64 = 3_600_000;

fn config() -> Config {
    // Five minutes of values and an hour of minutes.
    Config { values: 10, minutes: 60, ..Config::default() }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn open(dir: &Path, now_ms: i64) -> (History, Writing) {
    History::open(dir, config(), Duration::from_secs(300), now_ms).unwrap()
}

fn value(at_ms: i64) -> f64 {
    ((at_ms / STEP_MS) % 17) as f64
}

fn round(at_ms: i64) -> Round {
    let target: Arc<str> = Arc::from("t");
    let of = |name: &str, kind, value| Reading {
        series: Arc::new(Series::new(&target, name, &[("l", "1")], kind)),
        value,
    };
    let total = (at_ms / STEP_MS) as f64 * 60.0;
    let readings = vec![of("level", Kind::Gauge, value(at_ms)), of("steps_total", Kind::Counter, total)];
    Round { target: Arc::clone(&target), at_ms, took: Duration::ZERO, error: None, readings }
}

/// Values from `from` to `to`, at each step.
fn fill(history: &History, from: i64, to: i64) -> Vec<i64> {
    let times: Vec<i64> = (from..to).step_by(STEP_MS as usize).collect();
    for (count, at) in times.iter().enumerate() {
        history.take(&round(*at));
        if count % 100 == 99 {
            // In life seconds pass between two rounds; here the disk is waited for.
            history.publish().unwrap();
        }
    }
    history.publish().unwrap();
    assert_eq!(history.stats().dropped, 0);
    times
}

fn ask(history: &History, metric: &str, from_ms: i64, to_ms: i64, points: usize) -> Answer {
    let question = Question { metric: metric.into(), from_ms, to_ms, points, ..Question::default() };
    history.ask(&question).unwrap()
}

#[test]
fn what_memory_forgot_the_disk_knows_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let end = now() / HOUR_MS * HOUR_MS - 10 * 60_000;
    let start = end - 4 * HOUR_MS;
    let (history, writing) = open(dir.path(), start);
    let times = fill(&history, start, end);
    let check = |history: &History| {
        let raw = ask(history, "level", start, end, 100_000);
        assert_eq!((raw.tier, &raw.series[0].t), ("raw", &times));
        assert!(raw.series[0].t.iter().zip(&raw.series[0].mean).all(|(at, mean)| *mean == value(*at)));
        let minute = ask(history, "level", start, end, 200);
        assert_eq!(minute.tier, "minute");
        let (least, most) = (&minute.series[0].min, &minute.series[0].max);
        assert_eq!(minute.series[0].t.len(), 200.min(times.len() / 2), "none is missing");
        assert_eq!(least.iter().copied().fold(f64::INFINITY, f64::min), 0.0);
        assert_eq!(most.iter().copied().fold(0.0, f64::max), 16.0, "spikes stay");
        let hour = ask(history, "steps_total", start, end, 3);
        assert_eq!(hour.tier, "hour");
        assert!(hour.series[0].mean.iter().all(|rate| (rate - 2.0).abs() < 1e-9), "{hour:?}");
        // The last minutes are answered by memory alone, with the same numbers.
        let last = ask(history, "level", end - 4 * 60_000, end, 1000);
        assert_eq!((last.tier, last.series[0].t.len()), ("raw", 8));
        let rates = ask(history, "steps_total", start, end, 100_000);
        assert!(rates.series[0].mean.iter().all(|rate| (rate - 2.0).abs() < 1e-9));
        (raw, minute, hour)
    };
    let before = check(&history);
    drop(history);
    writing.close().unwrap();
    let (history, writing) = open(dir.path(), end);
    let after = check(&history);
    assert_eq!(before.0, after.0);
    assert_eq!(before.1.series, after.1.series);
    // What goes on after the restart closes the minutes and hours that the one before began.
    let more = fill(&history, end, end + 20 * 60_000);
    let minute = ask(&history, "level", end - 2 * 60_000, end + 2 * 60_000, 4);
    assert_eq!(minute.series[0].t.len(), 5, "both ends: {minute:?}");
    assert!(!more.is_empty());
    drop(history);
    writing.close().unwrap();
    for tier in ["raw", "minute", "hour"] {
        for store in std::fs::read_dir(dir.path().join("history").join(tier)).unwrap().flatten() {
            assert!(tidemill_storage::verify(&store.path()).unwrap().is_sound());
        }
    }
}

#[test]
fn a_kill_is_a_restart_that_misses_nothing_committed() {
    let dir = tempfile::tempdir().unwrap();
    let end = now() / 60_000 * 60_000;
    let start = end - 30 * 60_000;
    let copy = tempfile::tempdir().unwrap();
    let (history, writing) = open(dir.path(), start);
    let times = fill(&history, start, end - 5 * 60_000);
    for at in (end - 5 * 60_000..end).step_by(STEP_MS as usize) {
        history.take(&round(at));
    }
    // Committed but not published: what a kill leaves. The journal is copied while nobody closed anything.
    std::thread::sleep(Duration::from_secs(2));
    let status = std::process::Command::new("cp")
        .args(["-a"])
        .arg(dir.path().join("history"))
        .arg(copy.path())
        .status()
        .unwrap();
    assert!(status.success());
    let before = ask(&history, "level", start, end, 100_000);
    drop(history);
    writing.close().unwrap();
    let (history, writing) = open(copy.path(), end);
    let after = ask(&history, "level", start, end, 100_000);
    assert_eq!(before.series[0].t.len(), times.len() + 10);
    assert_eq!(before.series, after.series);
    drop(history);
    writing.close().unwrap();
}

#[test]
fn what_is_too_old_goes_with_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let now = now();
    let (history, writing) = open(dir.path(), now - 6 * 24 * HOUR_MS);
    let days = |dir: &Path| std::fs::read_dir(dir.join("history/raw")).unwrap().count();
    for day in [5, 4] {
        history.take(&round(now - day * 24 * HOUR_MS));
    }
    history.take(&round(now));
    // Old days are closed and removed by the first publish that finds them over; the next finds none.
    history.publish().unwrap();
    history.publish().unwrap();
    assert_eq!(days(dir.path()), 1, "today's alone; raw = 2d");
    assert!(dir.path().join("history/minute").read_dir().unwrap().count() >= 1, "minutes stay longer");
    drop(history);
    writing.close().unwrap();
}

#[test]
fn series_beyond_the_bound_take_the_place_of_silent_ones_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { max_series: 100, ..Config::default() };
    let start = now() - HOUR_MS;
    let (history, writing) = History::open(dir.path(), config, Duration::from_secs(60), start).unwrap();
    let target: Arc<str> = Arc::from("t");
    let round = |at_ms: i64, ids: std::ops::Range<usize>| {
        let series = |id: usize| Arc::new(Series::new(&target, "m", &[("id", &id.to_string())], Kind::Gauge));
        let readings = ids.map(|id| Reading { series: series(id), value: 1.0 }).collect();
        Round { target: Arc::clone(&target), at_ms, took: Duration::ZERO, error: None, readings }
    };
    history.take(&round(start, 0..200));
    let stats = history.stats();
    assert_eq!((stats.series, stats.refused), (100, 102), "two of them are up and the duration");
    history.take(&round(start + 60_000, 200..300));
    assert_eq!(history.stats().series, 100);
    // Silent for ten minutes and more: their places are free.
    history.take(&round(start + 700_000, 200..250));
    let stats = history.stats();
    assert_eq!(stats.series, 100);
    assert_eq!(stats.refused, 102 + 102, "the last fifty found places");
    drop(history);
    writing.close().unwrap();
}
