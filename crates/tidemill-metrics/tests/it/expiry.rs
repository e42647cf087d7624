//! Idle series leave, held ones stay, no count is lost on the way; collectors tell their numbers under the same rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidemill_metrics::{Collected, Config, Counter, ErrorKind, OVERFLOW, Registry};

const MINUTE: Duration = Duration::from_secs(60);

fn registry() -> Registry {
    let config = Config { idle: Some(10 * MINUTE), max_series: 100, ..Config::default() };
    Registry::builder(config).build().unwrap()
}

#[test]
fn what_nobody_holds_and_nobody_changes_leaves() {
    let registry = registry();
    let (counters, gauges) = (registry.counter("c_total", "C."), registry.gauge("g", "G."));
    let histograms = registry.histogram("h_seconds", "H.");
    for name in ["a", "b"] {
        counters.with(&[("x", name)]).unwrap().inc();
        gauges.with(&[("x", name)]).unwrap().set(2.0);
        histograms.with(&[("x", name)]).unwrap().observe(1.0);
    }
    let held = counters.with(&[("x", "held")]).unwrap();
    assert_eq!(registry.expire(MINUTE), 0);
    assert_eq!(registry.expire(10 * MINUTE), 0, "nine minutes are not ten");
    // What changes begins anew.
    counters.with(&[("x", "b")]).unwrap().inc();
    histograms.with(&[("x", "b")]).unwrap().observe(1.0);
    assert_eq!(registry.expire(11 * MINUTE), 4);
    let text = registry.to_text();
    assert!(!text.contains("x=\"a\"") && !text.contains("g{"), "{text}");
    assert!(text.contains("c_total{x=\"b\"} 2\n") && text.contains("h_seconds_count{x=\"b\"} 2\n"), "{text}");
    assert!(text.contains("c_total{x=\"held\"} 0\n"), "a handle keeps its series: {text}");
    assert_eq!(registry.expire(30 * MINUTE), 2);
    held.inc();
    assert!(registry.to_text().contains("c_total{x=\"held\"} 1\n"));
    assert_eq!(registry.stats().expired, 6);
    // A new one in the place of an old one begins at 0, and look-ups find what they should.
    let again = counters.with(&[("x", "a")]).unwrap();
    assert_eq!((again.get(), held.get()), (0, 1));
    again.add(5);
    assert_eq!(counters.with(&[("x", "a")]).unwrap().get(), 5);
}

#[test]
fn without_the_setting_nothing_leaves() {
    let registry = Registry::new();
    registry.counter("c_total", "C.").get().unwrap().inc();
    assert_eq!(registry.expire(MINUTE) + registry.expire(10_000 * MINUTE), 0);
    assert!(registry.to_text().contains("c_total 1\n"));
}

#[test]
fn expiry_makes_room_below_the_cap() {
    let registry = registry();
    let family = registry.counter("c_total", "C.");
    let take = |from: u64| {
        (from..from + 150).for_each(|i| family.with(&[("x", &i.to_string())]).unwrap().inc());
    };
    take(0);
    assert_eq!((registry.stats().series, registry.stats().overflowed), (101, 50));
    registry.expire(MINUTE);
    assert_eq!(registry.expire(12 * MINUTE), 101);
    take(1000);
    let text = registry.to_text();
    assert!(text.contains("c_total{x=\"1099\"} 1\n"), "{text}");
    assert!(text.contains(&format!("c_total{{x=\"{OVERFLOW}\"}} 50\n")), "{text}");
}

#[test]
fn no_count_is_lost_to_expiry() {
    let config = Config { idle: Some(Duration::from_nanos(1)), ..Config::default() };
    let registry = Registry::builder(config).build().unwrap();
    let family = registry.counter("c_total", "C.");
    let (stop, begun) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let expires = scope.spawn(|| {
            let mut now = 0;
            while !stop.load(Ordering::Relaxed) {
                now += 1;
                registry.expire(Duration::from_secs(now));
            }
        });
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let (family, begun) = (&family, &begun);
                scope.spawn(move || {
                    for i in 0..3000_u64 {
                        let counter = family.with(&[("x", &format!("{thread}-{}", i % 7))]).unwrap();
                        // What is held is never taken away: it only grows, from 0 when it is new.
                        let before = counter.get();
                        if before == 0 {
                            begun.fetch_add(1, Ordering::Relaxed);
                        }
                        (0..10).for_each(|_| counter.inc());
                        assert_eq!(counter.get(), before + 10);
                        assert_eq!(
                            family.with(&[("x", &format!("{thread}-{}", i % 7))]).unwrap().get(),
                            before + 10
                        );
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        expires.join().unwrap();
    });
    assert!(begun.load(Ordering::Relaxed) > 21, "none expired meanwhile: the test has shown nothing");
    assert!(registry.stats().expired > 0);
}

#[test]
fn the_setting_is_text() {
    let idle =
        |text: &str| serde_json::from_str::<Config>(&format!(r#"{{"idle": "{text}"}}"#)).map(|c| c.idle);
    assert_eq!(idle("15m").unwrap(), Some(15 * MINUTE));
    assert_eq!(idle("90s").unwrap(), Some(Duration::from_secs(90)));
    assert_eq!(idle("250ms").unwrap(), Some(Duration::from_millis(250)));
    assert_eq!(idle("2h").unwrap(), Some(120 * MINUTE));
    assert_eq!(idle("never").unwrap(), None);
    for bad in ["", "15", "m", "-1s", "1y", "99999999999999999999s", "18446744073709551615d"] {
        assert!(idle(bad).is_err(), "{bad}");
    }
    let config = Config { idle: Some(MINUTE), ..Config::default() };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    let zero = Config { idle: Some(Duration::ZERO), ..Config::default() };
    assert_eq!(Registry::builder(zero).build().unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn collectors_are_asked_at_each_exposition() {
    let registry = Registry::builder(Config { prefix: "app".into(), max_series: 3, ..Config::default() })
        .build()
        .unwrap();
    registry.counter("own_total", "Own.").get().unwrap().inc();
    let asked = Arc::new(Counter::new());
    let count = Arc::clone(&asked);
    registry.collect_from(move |out: &mut Collected<'_>| {
        count.inc();
        out.gauge("queue_length", "Jobs.", &[("queue", "a\"b")], 17.5)?;
        out.gauge("queue_length", "Jobs.", &[("queue", "c")], f64::INFINITY)?;
        out.counter("switches_total", "Switches.", &[], count.get() as f64 * 100.0)?;
        Ok(())
    });
    registry.collect_from(|out: &mut Collected<'_>| {
        out.gauge("before", "Kept.", &[], 1.0)?;
        Err("no answer".into())
    });
    let first = registry.to_text();
    assert!(
        first.contains("app_queue_length{queue=\"a\\\"b\"} 17.5\napp_queue_length{queue=\"c\"} +Inf\n"),
        "{first}"
    );
    assert!(first.contains("# TYPE app_switches_total counter\napp_switches_total 100\n"), "{first}");
    assert!(first.contains("app_before 1\n"));
    assert!(registry.to_text().contains("app_switches_total 200\n"));
    assert_eq!((asked.get(), registry.stats().failed_collections), (2, 2));
}

#[test]
fn collectors_keep_the_rules() {
    let registry =
        Registry::builder(Config { max_series: 3, max_families: 3, ..Config::default() }).build().unwrap();
    registry.counter("own_total", "Own.").get().unwrap();
    registry.collect_from(|out: &mut Collected<'_>| {
        let kind = |result: Result<(), tidemill_metrics::Error>| result.unwrap_err().kind();
        assert_eq!(kind(out.gauge("own_total", "", &[], 1.0)), ErrorKind::Clash);
        assert_eq!(kind(out.gauge("a-b", "", &[], 1.0)), ErrorKind::Name);
        out.gauge("g", "", &[("x", "1")], 1.0)?;
        assert_eq!(kind(out.gauge("g", "", &[("x", "1")], 2.0)), ErrorKind::Name, "twice");
        assert_eq!(kind(out.counter("g", "", &[("x", "2")], 2.0)), ErrorKind::Clash);
        assert_eq!(kind(out.gauge("g", "", &[("y", "2")], 2.0)), ErrorKind::Labels);
        for i in 2..10 {
            out.gauge("g", "", &[("x", &i.to_string())], 2.0)?;
        }
        out.gauge("h", "", &[], 1.0)?;
        assert_eq!(kind(out.gauge("i", "", &[], 1.0)), ErrorKind::Full);
        Ok(())
    });
    let text = registry.to_text();
    assert_eq!(registry.stats().failed_collections, 0, "{text}");
    assert_eq!(text.matches("\ng{").count(), 4, "{text}");
}
