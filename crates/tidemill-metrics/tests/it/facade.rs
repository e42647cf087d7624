//! What others count by the macros of the `metrics` crate arrives, under names and rules of ours.

use metrics::{counter, describe_counter, gauge, histogram, with_local_recorder};
use tidemill_metrics::{FacadeRecorder, Registry};

#[test]
fn the_macros_count_into_the_registry() {
    let registry = Registry::new();
    let recorder = FacadeRecorder::new(registry.clone());
    with_local_recorder(&recorder, || {
        describe_counter!("http.requests", "Requests sent.");
        for _ in 0..3 {
            counter!("http.requests", "http.method" => "GET", "__zone" => "a\"b").increment(2);
        }
        let total = counter!("1st-absolute");
        total.absolute(10);
        total.absolute(7);
        total.increment(1);
        gauge!("level").set(5.0);
        gauge!("level").increment(2.5);
        gauge!("level").decrement(1.0);
        let seconds = histogram!("took_seconds", "le_" => "x");
        seconds.record(0.25);
        seconds.record_many(0.5, 3);
    });
    let text = registry.to_text();
    let line = |line: &str| assert!(text.contains(&format!("{line}\n")), "{line} in {text}");
    line("# HELP http_requests Requests sent.");
    line(r#"http_requests{_zone="a\"b",http_method="GET"} 6"#);
    line("_1st_absolute 11");
    line("level 6.5");
    line(r#"took_seconds_count{le_="x"} 4"#);
    line(r#"took_seconds_bucket{le_="x",le="0.25"} 1"#);
    assert_eq!(recorder.rejected(), 0);
}

#[test]
fn what_cannot_be_registered_is_counted_as_rejected() {
    let registry = Registry::new();
    let recorder = FacadeRecorder::new(registry.clone());
    with_local_recorder(&recorder, || {
        counter!("a").increment(1);
        gauge!("a").set(9.0);
        counter!("a", "other" => "label").increment(9);
        histogram!("h", "le" => "1").record(1.0);
    });
    assert_eq!(recorder.rejected(), 3);
    assert!(registry.to_text().contains("\na 1\n"));
}

#[test]
fn absolute_values_from_many_threads_end_at_the_largest() {
    let registry = Registry::new();
    let recorder = FacadeRecorder::new(registry.clone());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let recorder = &recorder;
            scope.spawn(move || {
                with_local_recorder(recorder, || {
                    let counter = counter!("raised");
                    (0..500).for_each(|i| counter.absolute(4 * i + thread));
                });
            });
        }
    });
    assert!(registry.to_text().contains("raised 1999\n"));
}
