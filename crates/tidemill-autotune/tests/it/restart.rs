//! What an earlier run decided is there again: values, cooldowns, and no trial left open.

use std::time::Duration;

use tidemill_autotune::{Action, Config, Decision, Knob, Outcome, Record, Rule, Tuner};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn tuner(workers: f64) -> Tuner {
    let mut tried = Rule::new("tried", "go > 0", &["ttl * 1.5"]).unwrap();
    (tried.objective, tried.cooldown) = (Some("ms lower".parse().unwrap()), s(600));
    let mut outright = Rule::new("outright", "go > 0", &["workers + 2"]).unwrap();
    outright.cooldown = s(600);
    let config = Config { rule: vec![tried, outright], builtin: false, ..Config::default() };
    Tuner::builder(config)
        .knob(Knob::new("ttl", 1.0, 1000.0), 60.0)
        .knob(Knob::new("workers", 2.0, 16.0).step(1.0), workers)
        .build()
        .unwrap()
}

#[test]
fn values_and_cooldowns_come_back_and_an_open_trial_ends() {
    let mut first = tuner(4.0);
    first.read(s(1000), "go", 1.0);
    first.step(s(1000));
    let text: Vec<String> =
        first.take_records().iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    assert_eq!(text.len(), 2, "one began, one changed");
    let records: Vec<Record> = text.iter().map(|text| serde_json::from_str(text).unwrap()).collect();

    let mut second = tuner(4.0);
    let set = second.restore(s(1100), &records);
    let expected = [("ttl", 60.0), ("workers", 6.0)];
    assert_eq!(set, expected.map(|(knob, value)| Action::Set { knob: knob.into(), value }));
    let closed = second.take_records();
    let Decision::TrialEnded { outcome: Outcome::Aborted, trial: 1, .. } = &closed[0].decision else {
        panic!("{closed:?}")
    };
    assert_eq!(closed[0].seq, 3, "numbers go on");
    for step in 1101..1599 {
        second.read(s(step), "go", 1.0);
        second.step(s(step));
    }
    assert_eq!(second.value("workers"), Some(6.0), "still in its cooldown");
    for step in 1599..1602 {
        second.read(s(step), "go", 1.0);
        second.step(s(step));
    }
    assert_eq!(second.value("workers"), Some(8.0));
}

#[test]
fn a_configuration_that_was_changed_meanwhile_counts() {
    let mut first = tuner(4.0);
    first.read(s(1000), "go", 1.0);
    first.step(s(1000));
    let records = first.take_records();
    let mut second = tuner(9.0);
    second.restore(s(1100), &records);
    assert_eq!(second.value("workers"), Some(9.0));
}
