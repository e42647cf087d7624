//! Statuses by the thresholds, degradation against the hour's usual, trends, and advice with its numbers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidemill_metrics::{
    Baseline, ErrorKind, Finding, Health, HealthConfig, Limits, Status, Trend, Vital, Vitals,
};

fn at(minutes: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(60 * minutes)
}

fn health() -> Health {
    Health::new(HealthConfig::default()).unwrap()
}

fn vitals(memory: f64, cpu: f64, response: f64, hits: f64, errors: f64) -> Vitals {
    Vitals {
        memory_percent: Some(memory),
        cpu_percent: Some(cpu),
        response_ms: Some(response),
        hit_percent: Some(hits),
        error_percent: Some(errors),
    }
}

fn response(ms: f64) -> Vitals {
    Vitals { response_ms: Some(ms), ..Vitals::default() }
}

#[test]
fn the_status_follows_the_thresholds() {
    for (vitals, status) in [
        (vitals(39.9, 29.9, 199.0, 90.1, 0.0), Status::Excellent),
        (vitals(40.0, 29.9, 199.0, 90.1, 0.0), Status::Good),
        (vitals(39.0, 30.0, 199.0, 90.1, 0.0), Status::Good),
        (vitals(39.0, 29.0, 200.0, 90.1, 0.0), Status::Good),
        (vitals(39.0, 29.0, 199.0, 90.0, 0.0), Status::Good),
        (vitals(60.0, 50.0, 500.0, 70.0, 5.0), Status::Good),
        (vitals(60.1, 10.0, 100.0, 95.0, 0.0), Status::Fair),
        (vitals(10.0, 50.1, 100.0, 95.0, 0.0), Status::Fair),
        (vitals(10.0, 10.0, 501.0, 95.0, 0.0), Status::Fair),
        (vitals(10.0, 10.0, 100.0, 69.9, 0.0), Status::Fair),
        (vitals(80.1, 10.0, 100.0, 95.0, 0.0), Status::Poor),
        (vitals(10.0, 70.1, 100.0, 95.0, 0.0), Status::Poor),
        (vitals(10.0, 10.0, 1001.0, 95.0, 0.0), Status::Poor),
        (vitals(10.0, 10.0, 100.0, 95.0, 5.1), Status::Poor),
        (vitals(95.1, 10.0, 100.0, 95.0, 0.0), Status::Critical),
        (vitals(10.0, 90.1, 100.0, 95.0, 0.0), Status::Critical),
        (vitals(10.0, 10.0, 5001.0, 95.0, 0.0), Status::Critical),
        (vitals(10.0, 10.0, 100.0, 95.0, 20.1), Status::Critical),
        (Vitals::default(), Status::Good),
        (response(f64::NAN), Status::Good),
        (response(100.0), Status::Excellent),
    ] {
        assert_eq!(health().assess(&vitals, at(0)).status, status, "{vitals:?}");
    }
}

#[test]
fn poor_times_in_a_row_are_counted() {
    let mut health = health();
    let counts: Vec<u32> = [100.0, 2000.0, 6000.0, 2000.0, 100.0, 2000.0]
        .iter()
        .map(|ms| health.assess(&response(*ms), at(0)).consecutive_poor)
        .collect();
    assert_eq!(counts, [0, 1, 2, 3, 0, 1]);
}

/// The only finding.
fn judge(health: &mut Health, ms: f64, minutes: u64) -> Finding {
    let mut findings = health.assess(&response(ms), at(minutes)).findings;
    assert_eq!(findings.len(), 1);
    findings.remove(0)
}

#[test]
fn a_fifth_worse_than_usual_is_degraded_after_three_times() {
    let mut health = health();
    for minute in 0..60 {
        let finding = judge(&mut health, 100.0 + f64::from(u8::from(minute % 2 == 0)), minute);
        assert!(!finding.degraded, "{finding:?}");
        assert_eq!(finding.baseline.is_some(), minute >= 30, "thirty samples make a usual value");
    }
    // 19 % never is.
    for minute in 0..20 {
        assert!(!judge(&mut health, 119.0, minute).degraded);
    }
    let found: Vec<bool> = (0..4).map(|minute| judge(&mut health, 150.0, minute).degraded).collect();
    assert_eq!(found, [false, false, true, true]);
    let finding = judge(&mut health, 150.0, 5);
    assert!(finding.worse_percent.is_some_and(|worse| (35.0..50.0).contains(&worse)), "{finding:?}");
    assert!(finding.samples >= 80 && finding.consecutive == 5);
    let words = &finding.recommendation;
    assert!(words.contains("150.0 ms") && words.contains("worse than the usual 10"), "{words}");
    assert_eq!(
        finding.status,
        Status::Excellent,
        "by its thresholds it is fine, and still worse than it was"
    );
    // Better is not worse, and the count begins anew.
    assert!(!judge(&mut health, 20.0, 6).degraded);
    assert_eq!(judge(&mut health, 150.0, 7).consecutive, 1);
}

#[test]
fn the_usual_is_that_of_the_hour() {
    let mut health = health();
    // Nights take 50 ms and days 400 ms, for ten days.
    let usual = |minute: u64| if (8..20).contains(&(minute / 60 % 24)) { 400.0 } else { 50.0 };
    for minute in (0..10 * 1440).step_by(5) {
        let finding = judge(&mut health, usual(minute), minute);
        // Three days of twelve an hour make the thirty samples that an hour needs.
        assert!(minute < 3 * 1440 || !finding.degraded, "minute {minute}: {finding:?}");
    }
    // What is usual at noon is far from it at three in the morning. One mean for the day would see nothing.
    let day = 10 * 1440;
    let night: Vec<bool> = (0..3).map(|i| judge(&mut health, 200.0, day + 180 + i).degraded).collect();
    assert_eq!(night, [false, false, true]);
    assert!((0..5).all(|i| !judge(&mut health, 400.0, day + 720 + i).degraded));
    // The offset moves the hours.
    let mut moved = Health::new(HealthConfig { utc_offset_minutes: 540, ..HealthConfig::default() }).unwrap();
    moved.restore(Vital::Response, health.baseline(Vital::Response).clone());
    let finding = judge(&mut moved, 400.0, day + 180);
    assert!(
        finding.baseline.is_some_and(|baseline| baseline > 390.0),
        "03:00 UTC is noon there: {finding:?}"
    );
}

#[test]
fn a_lasting_change_becomes_usual_slowly() {
    let mut health = health();
    (0..200).for_each(|minute| drop(judge(&mut health, 100.0, minute % 60)));
    let degraded = (0..60).filter(|minute| judge(&mut health, 200.0, *minute).degraded).count();
    assert_eq!(degraded, 58, "an hour does not make it usual");
    let mut runs = 0;
    while judge(&mut health, 200.0, 0).degraded {
        runs += 1;
        assert!(runs < 100_000, "it never becomes usual");
    }
}

#[test]
fn noise_around_nothing_is_no_degradation() {
    let mut health = health();
    let errors = |percent: f64| Vitals { error_percent: Some(percent), ..Vitals::default() };
    (0..100).for_each(|_| drop(health.assess(&errors(0.0), at(0))));
    // Below a hundredth of the threshold.
    assert!((0..10).all(|_| !health.assess(&errors(0.04), at(0)).findings[0].degraded));
    let last = (0..10).map(|_| health.assess(&errors(3.0), at(0))).last().unwrap();
    assert!(last.findings[0].degraded && last.findings[0].recommendation.contains("error type"));
}

#[test]
fn fewer_hits_are_worse() {
    let mut health = health();
    let hits = |percent: f64| Vitals { hit_percent: Some(percent), ..Vitals::default() };
    (0..100).for_each(|_| drop(health.assess(&hits(80.0), at(0))));
    assert!((0..10).all(|_| !health.assess(&hits(99.0), at(0)).findings[0].degraded));
    let last = (0..3).map(|_| health.assess(&hits(60.0), at(0))).last().unwrap();
    let finding = &last.findings[0];
    assert!(finding.degraded && finding.status == Status::Fair);
    assert!(finding.recommendation.contains("below 70.0 %"), "{}", finding.recommendation);
}

#[test]
fn a_trend_needs_more_than_noise() {
    let mut rising = health();
    let memory = |percent: f64| Vitals { memory_percent: Some(percent), ..Vitals::default() };
    let mut last = None;
    for minute in 0..60_u64 {
        let noise = if minute % 2 == 0 { 1.0 } else { -1.0 };
        last = rising.assess(&memory(50.0 + minute as f64 * 0.4 + noise), at(minute)).findings.pop();
    }
    let finding = last.unwrap();
    assert_eq!(finding.trend, Trend::Rising);
    assert!(finding.per_hour.is_some_and(|slope| (22.0..26.0).contains(&slope)), "{finding:?}");
    assert!(finding.recommendation.contains("rises by") && finding.recommendation.contains("never dropped"));
    let mut noisy = health();
    let mut state = 7_u64;
    for minute in 0..200_u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let finding = noisy.assess(&memory(50.0 + (state >> 60) as f64), at(minute)).findings.pop().unwrap();
        let wanted = if minute < 9 { Trend::Unknown } else { Trend::Steady };
        assert!(finding.trend == wanted || minute < 20, "minute {minute}: {finding:?}");
    }
}

#[test]
fn baselines_survive_json_and_settings_are_checked() {
    let mut one = health();
    (0..100).for_each(|minute| drop(judge(&mut one, 100.0, minute)));
    let text = serde_json::to_string(one.baseline(Vital::Response)).unwrap();
    let mut two = health();
    two.restore(Vital::Response, serde_json::from_str::<Baseline>(&text).unwrap());
    assert_eq!(judge(&mut two, 150.0, 10).baseline, Some(100.0));
    let backwards = Limits { fair: Some(50.0), poor: Some(10.0), ..Limits::default() };
    for bad in [
        HealthConfig { cpu_percent: backwards, ..HealthConfig::default() },
        HealthConfig { degradation_percent: 0.0, ..HealthConfig::default() },
        HealthConfig { consecutive: 0, ..HealthConfig::default() },
    ] {
        assert_eq!(Health::new(bad).unwrap_err().kind(), ErrorKind::Config);
    }
    // For hits the other direction is the good one.
    let hits = HealthConfig { hit_percent: backwards, ..HealthConfig::default() };
    Health::new(hits).unwrap();
}
