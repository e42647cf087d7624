//! Whatever is read and whoever turns: never out of bounds, no cooldown broken, no group twice, same seed same decisions.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tidemill_autotune::{Action, Config, Decision, Guard, Knob, Record, Rule, TrialBy, Tuner};

fn tuner(seed: u64) -> Tuner {
    let rule = |name: &str, when: &str, adjust: &str, objective: Option<&str>, group: Option<&str>| {
        let mut rule = Rule::new(name, when, &[adjust]).unwrap();
        rule.objective = objective.map(|text| text.parse().unwrap());
        rule.group = group.map(str::to_owned);
        rule.cooldown = Duration::from_secs(20);
        rule.restore = objective.is_none().then(|| "a < 10 for 3".parse().unwrap());
        rule.emergency = objective.is_none();
        rule
    };
    let config = Config {
        rule: vec![
            rule("up", "a > 60 for 2", "x * 3", None, Some("g")),
            rule("down", "a > 50", "x - 7", None, Some("g")),
            rule("try", "b > 50", "y + 2", Some("a lower"), None),
            rule("split", "b > 40", "z * 0.5", Some("b higher"), Some("g")),
        ],
        guard: vec![Guard { signal: "c".into(), above: Some(90.0), ratio: Some(3.0), steps: 1 }],
        bad: Some("c > 95".parse().unwrap()),
        bad_steps: 2,
        good_steps: 3,
        block_steps: 3,
        washout_steps: 1,
        max_pairs: 6,
        probation_steps: 5,
        builtin: false,
        seed,
        ..Config::default()
    };
    Tuner::builder(config)
        .knob(Knob::new("x", 1.0, 50.0).step(1.0), 10.0)
        .knob(Knob::new("y", -5.0, 5.0), 0.0)
        .knob(Knob::new("z", 0.1, 9.0).trial(TrialBy::Split), 3.0)
        .build()
        .unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Read(u8, f64),
    Set(u8, f64),
    Enable(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (0_u8..3, 0.0..100.0_f64).prop_map(|(name, value)| Op::Read(name, value)),
        1 => (0_u8..3, prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1e300)]).prop_map(|(n, v)| Op::Read(n, v)),
        1 => (0_u8..3, -10.0..60.0_f64).prop_map(|(name, value)| Op::Set(name, value)),
        1 => any::<bool>().prop_map(Op::Enable),
    ]
}

fn run(ops: &[Op], seed: u64) -> Result<Vec<Record>, TestCaseError> {
    let mut tuner = tuner(seed);
    let bounds = BTreeMap::from([("x", (1.0, 50.0)), ("y", (-5.0, 5.0)), ("z", (0.1, 9.0))]);
    let mut told = BTreeMap::from([("x".to_owned(), 10.0), ("y".to_owned(), 0.0), ("z".to_owned(), 3.0)]);
    let mut records = Vec::new();
    for (step, op) in ops.iter().enumerate() {
        let now = Duration::from_secs(step as u64);
        let mut actions = match op {
            Op::Read(name, value) => {
                tuner.read(now, ["a", "b", "c"][usize::from(*name)], *value);
                Vec::new()
            }
            Op::Set(name, value) => {
                tuner.set(now, ["x", "y", "z"][usize::from(*name)], value.round()).unwrap_or_default()
            }
            Op::Enable(enabled) => tuner.enable(now, *enabled),
        };
        actions.extend(tuner.step(now));
        for action in actions {
            match action {
                Action::Set { knob, value } => {
                    let (low, high) = bounds[knob.as_str()];
                    prop_assert!(low <= value && value <= high, "{knob} = {value}");
                    told.insert(knob, value);
                }
                Action::Split { knob, old, new, .. } => {
                    let (low, high) = bounds[knob.as_str()];
                    prop_assert!(low <= new && new <= high && told[&knob] == old);
                }
                Action::Run(_) => {}
            }
        }
        for (knob, value) in tuner.knobs() {
            prop_assert_eq!(told[&knob.name], value, "the program was told of {}", &knob.name);
        }
        records.extend(tuner.take_records());
    }
    Ok(records)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn bounds_cooldowns_and_exclusion_hold(ops in proptest::collection::vec(op(), 0..300), seed: u64) {
        let records = run(&ops, seed)?;
        prop_assert_eq!(&run(&ops, seed)?, &records, "one seed, one run");
        let mut fired: BTreeMap<&str, Duration> = BTreeMap::new();
        let mut emergency = false;
        for (at, record) in records.iter().enumerate() {
            prop_assert_eq!(record.seq, at as u64 + 1);
            match &record.decision {
                Decision::EmergencyBegan { .. } => emergency = true,
                Decision::EmergencyEnded => emergency = false,
                Decision::TrialBegan { .. } => prop_assert!(!emergency, "no trial in an emergency"),
                _ => {}
            }
            let by = match &record.decision {
                Decision::Changed { by, .. } if !emergency => by.as_str(),
                Decision::TrialBegan { rule, .. } => rule.as_str(),
                _ => continue,
            };
            if let Some(before) = fired.insert(by, record.at).filter(|_| by != "a person") {
                let apart = record.at - before;
                prop_assert!(apart >= Duration::from_secs(20), "{} at {:?} and {:?}", by, before, record.at);
            }
        }
    }
}
