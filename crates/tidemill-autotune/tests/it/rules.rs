//! Rules that ship and rules that harm: figures, cooldowns, exclusion, the way back, emergencies.

use std::time::Duration;

use tidemill_autotune::{Action, Config, Decision, Guard, Knob, Rule, Tuner};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn knobs(config: Config) -> Tuner {
    Tuner::builder(config)
        .knob(Knob::new("cache.prices.capacity", 10.0, 1000.0), 100.0)
        .knob(Knob::new("cache.prices.ttl", 1.0, 3600.0), 60.0)
        .knob(Knob::new("workers", 2.0, 16.0).step(1.0), 4.0)
        .knob(Knob::new("concurrency", 1.0, 64.0).step(1.0), 8.0)
        .build()
        .unwrap()
}

/// Steps with these readings; what changed outright, by rule.
fn run(tuner: &mut Tuner, from: u64, steps: u64, readings: &[(&str, f64)]) -> Vec<String> {
    let mut changed = Vec::new();
    for step in from..from + steps {
        for (name, value) in readings {
            tuner.read(s(step), name, *value);
        }
        tuner.step(s(step));
        changed.extend(tuner.take_records().iter().map(|record| record.words()));
    }
    changed
}

#[test]
fn every_figure_of_the_default_rules() {
    // (readings, knob, value after)
    for (readings, knob, value) in [
        (&[("memory.percent", 86.0), ("cpu.percent", 60.0)][..], "cache.prices.capacity", 70.0),
        (&[("queue.waiting", 51.0), ("cpu.percent", 69.0), ("memory.percent", 60.0)], "workers", 6.0),
        (&[("queue.waiting", 9.0), ("cpu.percent", 29.0), ("memory.percent", 60.0)], "workers", 3.0),
        (&[("queue.waiting", 30.0), ("cpu.percent", 49.0), ("memory.percent", 49.0)], "workers", 5.0),
        (&[("cpu.percent", 81.0)], "workers", 3.0),
        (&[("memory.percent", 81.0)], "workers", 3.0),
        (&[("cpu.percent", 71.0)], "concurrency", 7.0),
    ] {
        let mut tuner = knobs(Config::default());
        run(&mut tuner, 100, 6, readings);
        assert_eq!(tuner.value(knob), Some(value), "{readings:?}");
    }
    for (readings, knob) in [
        (&[("memory.percent", 85.0), ("cpu.percent", 60.0)][..], "cache.prices.capacity"),
        (&[("queue.waiting", 50.0), ("cpu.percent", 60.0), ("memory.percent", 60.0)], "workers"),
        (&[("cpu.percent", 70.0)], "concurrency"),
    ] {
        let mut tuner = knobs(Config::default());
        let before = tuner.value(knob);
        run(&mut tuner, 100, 6, readings);
        assert_eq!(tuner.value(knob), before, "just below: {readings:?}");
    }
}

#[test]
fn slow_answers_and_missed_hits_are_tried_and_not_believed() {
    let mut tuner = knobs(Config::default());
    run(&mut tuner, 100, 8, &[("response.ms", 1501.0), ("cache.hit_percent", 59.0)]);
    let trials = tuner.trials();
    let turns: Vec<String> =
        trials.iter().flat_map(|trial| &trial.turns).map(|turn| turn.to_string()).collect();
    assert_eq!(turns, ["concurrency 8 -> 10", "cache.prices.ttl 60 -> 90"]);
}

#[test]
fn caches_shrink_in_steps_and_their_sizes_come_back_in_steps() {
    let mut tuner = knobs(Config { off: vec!["workers-down-full".into()], ..Config::default() });
    run(&mut tuner, 0, 200, &[("memory.percent", 90.0)]);
    let low = tuner.value("cache.prices.capacity").unwrap();
    assert!((20.0..40.0).contains(&low), "four cooldowns of 60 s: {low}");
    run(&mut tuner, 200, 40, &[("memory.percent", 60.0)]);
    let between = tuner.value("cache.prices.capacity").unwrap();
    assert!(low < between && between < 100.0, "{between}");
    run(&mut tuner, 240, 300, &[("memory.percent", 60.0)]);
    assert!((tuner.value("cache.prices.capacity").unwrap() - 100.0).abs() < 1e-9);
}

#[test]
fn a_harmful_rule_is_undone_journalled_and_not_tried_within_its_cooldown() {
    let mut rule = Rule::new("planted", "cpu.percent < 90", &["concurrency * 4"]).unwrap();
    rule.cooldown = s(300);
    let guard = Guard { signal: "errors.percent".into(), above: Some(5.0), ratio: None, steps: 2 };
    let config = Config { rule: vec![rule], guard: vec![guard], builtin: false, ..Config::default() };
    let mut tuner = knobs(config);
    let (mut changed, mut undone, mut words) = (Vec::new(), Vec::new(), String::new());
    for step in 0..1000 {
        let errors = if tuner.value("concurrency") > Some(16.0) { 20.0 } else { 1.0 };
        tuner.read(s(step), "cpu.percent", 50.0);
        tuner.read(s(step), "errors.percent", errors);
        tuner.step(s(step));
        for record in tuner.take_records() {
            match record.decision {
                Decision::Changed { .. } => changed.push(step),
                Decision::Undone { .. } => (undone, words) = ([undone, vec![step]].concat(), record.words()),
                _ => {}
            }
        }
    }
    assert_eq!(undone.len(), changed.len());
    assert!(changed.windows(2).all(|pair| pair[1] - pair[0] >= 300), "{changed:?}");
    assert!(changed.iter().zip(&undone).all(|(from, to)| to - from <= 3), "{changed:?} {undone:?}");
    assert_eq!(words, "planted was undone, concurrency 32 -> 8: errors.percent = 20, before the change 1");
}

#[test]
fn an_emergency_takes_every_safe_measure_at_once_and_goes_back_one_by_one() {
    let config = Config {
        bad: Some("errors.percent > 20".parse().unwrap()),
        good: Some("errors.percent < 5".parse().unwrap()),
        good_steps: 10,
        ..Config::default()
    };
    let mut tuner = knobs(config);
    let calm = [("memory.percent", 60.0), ("cpu.percent", 60.0)];
    assert!(run(&mut tuner, 0, 4, &[("errors.percent", 30.0)]).is_empty(), "four are not five");
    let mut words = run(&mut tuner, 4, 1, &[("errors.percent", 30.0)]);
    assert!(words.remove(0).starts_with("an emergency began because errors.percent = 30"));
    assert!(tuner.is_emergency());
    assert_eq!((tuner.value("cache.prices.capacity"), tuner.value("workers")), (Some(70.0), Some(3.0)));
    assert!(words.iter().any(|words| words.contains("ran memory.release")), "{words:?}");
    assert!(tuner.set(s(6), "workers", 5.0).is_err_and(|error| error.is_retryable()));
    let back = run(&mut tuner, 6, 35, &[&calm[..], &[("errors.percent", 1.0)]].concat());
    let restored: Vec<&String> = back.iter().filter(|words| words.contains("no longer needed")).collect();
    assert_eq!(restored.len(), 2, "{back:?}");
    assert!(!tuner.is_emergency() && back.iter().any(|words| words == "the emergency ended"), "{back:?}");
    assert_eq!((tuner.value("cache.prices.capacity"), tuner.value("workers")), (Some(100.0), Some(4.0)));
}

#[test]
fn a_person_is_obeyed_within_the_bounds_and_not_overruled_on_the_way_back() {
    let mut tuner = knobs(Config::default());
    run(&mut tuner, 100, 6, &[("memory.percent", 90.0)]);
    let set = tuner.set(s(107), "cache.prices.capacity", 50.0).unwrap();
    assert_eq!(set, [Action::Set { knob: "cache.prices.capacity".into(), value: 50.0 }]);
    run(&mut tuner, 108, 100, &[("memory.percent", 50.0), ("cpu.percent", 60.0)]);
    assert_eq!(tuner.value("cache.prices.capacity"), Some(50.0));
    for (knob, value, says) in [
        ("nothing", 1.0, "there are: cache"),
        ("workers", 2.5, "in steps of 1"),
        ("workers", 99.0, "2 to 16"),
    ] {
        let error = tuner.set(s(300), knob, value).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn switched_off_nothing_moves() {
    let mut tuner = knobs(Config { enabled: false, ..Config::default() });
    assert!(run(&mut tuner, 0, 100, &[("memory.percent", 99.0), ("cpu.percent", 99.0)]).is_empty());
    assert!(tuner.set(s(200), "workers", 5.0).is_ok(), "by hand it does");
}

#[test]
fn rules_are_switched_off_replaced_and_checked_by_name() {
    let off = |name: &str| Tuner::builder(Config { off: vec![name.into()], ..Config::default() }).build();
    assert_eq!(off("cpu-high").unwrap().rules().count(), 12);
    assert!(off("cpu-hihg").unwrap_err().to_string().contains("there are: memory-high"));
    let mine = Rule::new("cpu-high", "cpu.percent > 99", &["workers - 1"]).unwrap();
    let tuner = Tuner::builder(Config { rule: vec![mine.clone()], ..Config::default() }).build().unwrap();
    assert_eq!(tuner.rules().filter(|rule| rule.name == "cpu-high").collect::<Vec<_>>(), [&mine]);
    assert!(Tuner::builder(Config { rule: vec![mine.clone(), mine], ..Config::default() }).build().is_err());
}

#[test]
fn what_the_program_cannot_do_is_not_told_as_done() {
    let rule = Rule::new("clean", "a > 1", &["run there", "run nowhere"]).unwrap();
    let other = Rule::new("nothing", "a > 1", &["run nowhere"]).unwrap();
    let config = Config { builtin: false, rule: vec![rule, other], ..Config::default() };
    let mut tuner = Tuner::builder(config).actions(["there".to_owned()]).build().unwrap();
    tuner.read(Duration::from_secs(1), "a", 2.0);
    assert_eq!(tuner.step(Duration::from_secs(1)), [Action::Run("there".to_owned())]);
    let words: Vec<String> = tuner.take_records().iter().map(|record| record.words()).collect();
    assert_eq!(words, ["clean ran there because a = 2"]);
}
