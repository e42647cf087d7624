//! What holds on every system.

use std::time::Duration;

use tidemill_host::{Config, ErrorKind, Host, Reading, Sample};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_sample_has_levels_and_the_second_rates() {
    let mut host = Host::new().unwrap();
    let first = host.sample(SECOND).unwrap();
    assert_eq!(first.elapsed, None);
    assert_eq!(first.disk.wait_percent, None);
    assert!(first.memory.percent.is_some_and(|percent| percent > 0.0 && percent <= 100.0));
    let second = host.sample(3 * SECOND).unwrap();
    assert_eq!(second.elapsed, Some(2 * SECOND));
    assert!(second.process.cpu_percent.is_some());
}

#[test]
fn a_clock_that_steps_back_is_refused() {
    let mut host = Host::new().unwrap();
    host.sample(5 * SECOND).unwrap();
    let error = host.sample(4 * SECOND).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Clock);
    assert_eq!(error.to_string(), "sample at 4s comes before the last at 5s: use a monotonic clock");
    host.sample(5 * SECOND).unwrap();
}

#[test]
fn samples_and_readings_survive_json() {
    let mut host = Host::new().unwrap();
    // Without what holds fractions: a JSON reader may round their last digit.
    let reading = Reading {
        load: None,
        process_cpu_seconds: Some(0.5),
        cpu_percent: None,
        mounts: vec![],
        cpu_limit: None,
        ..host.read()
    };
    let text = serde_json::to_string(&reading).unwrap();
    assert_eq!(serde_json::from_str::<Reading>(&text).unwrap(), reading);
    let text = serde_json::to_string(&host.sample(SECOND).unwrap()).unwrap();
    let sample = serde_json::from_str::<Sample>(&text).unwrap();
    assert!(
        sample.memory.total_bytes.is_some_and(|total| text.contains(&format!("\"total_bytes\":{total}")))
    );
}

#[test]
fn the_config_is_checked() {
    let bad = Config { max_mounts: 0, ..Config::default() };
    assert_eq!(Host::builder(bad).build().unwrap_err().kind(), ErrorKind::Config);
    assert!(serde_json::from_str::<Config>(r#"{"mount": true}"#).is_err());
    assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
}
