//! Alerts: the engine against a naive model, and what receivers are told whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidemill_monitor::alert::{
    Change, Config, Engine, Event, Inhibit, Kind, Matcher, NewSilence, Notice, Outbox, ReceiverConfig, Rule,
    Severity, State, Worse,
};
use tidemill_monitor::series::{self, Reading, Round, Series};

/// One round of the target `t`: the values of series of `m` by their label, or none when it is down.
fn round(at_ms: i64, values: Option<&[(&str, f64)]>) -> Round {
    let target: Arc<str> = "t".into();
    let reading = |(label, value): &(&str, f64)| Reading {
        series: Arc::new(Series::new(&target, "m", &[("s", label)], series::Kind::Gauge)),
        value: *value,
    };
    let readings = values.unwrap_or(&[]).iter().map(reading).collect();
    let error = values.is_none().then(|| "refused".to_owned());
    Round { target: Arc::clone(&target), at_ms, took: Duration::ZERO, error, readings }
}

fn engine(rule: Vec<Rule>) -> Engine {
    Engine::new(Config { builtin: false, rule, ..Config::default() }).unwrap()
}

fn told(events: &[Event]) -> Vec<(Change, &str)> {
    events.iter().filter(|event| event.told).map(|event| (event.change, event.alert.rule.as_str())).collect()
}

#[test]
fn it_fires_after_so_many_bad_ones_and_ends_after_so_many_good() {
    let rule =
        Rule { up: 3, down: 2, clear: Some(70.0), cooldown: Duration::ZERO, ..Rule::above("hot", "m", 80.0) };
    let mut engine = engine(vec![rule]);
    let values = [90.0, 90.0, 10.0, 81.0, 82.0, 83.0, 75.0, 60.0, 75.0, 60.0, 60.0];
    let mut seen = Vec::new();
    for (at, value) in values.into_iter().enumerate() {
        let events = engine.step(at as i64 * 1000, &round(at as i64 * 1000, Some(&[("a", value)])));
        seen.extend(events.into_iter().map(|event| (at, event.change, event.alert.value)));
    }
    assert_eq!(seen, [(5, Change::Fired, Some(83.0)), (10, Change::Resolved, Some(75.0))]);
}

#[test]
fn a_target_that_is_down_tells_one_thing() {
    let hot = Rule::above("hot", "m", 80.0);
    let down = Rule {
        above: None,
        below: Some(1.0),
        severity: Severity::Critical,
        ..Rule::above("down", "up", 0.0)
    };
    let inhibit = Inhibit {
        source: vec![Matcher::new("alertname", "down")],
        target: vec![Matcher::new("alertname", "*")],
        equal: vec!["target".to_owned()],
    };
    let config =
        Config { builtin: false, rule: vec![hot, down], inhibit: vec![inhibit], ..Config::default() };
    let mut engine = Engine::new(config).unwrap();
    assert_eq!(told(&engine.step(0, &round(0, Some(&[("a", 90.0)])))), [(Change::Fired, "hot")]);
    assert_eq!(told(&engine.step(1, &round(1, None))), [(Change::Fired, "down")]);
    // It says nothing, so nothing is known to be good or bad.
    for at in 2..20 {
        assert!(engine.step(at, &round(at, None)).is_empty());
    }
    assert_eq!(engine.active().count(), 2);
    let events = engine.step(20, &round(20, Some(&[("a", 10.0)])));
    assert_eq!(told(&events), [(Change::Resolved, "hot"), (Change::Resolved, "down")]);
}

#[test]
fn what_another_held_back_is_told_only_if_it_is_bad_again() {
    let rules = vec![Rule::above("cause", "m", 100.0), Rule::above("effect", "m", 80.0)];
    let inhibit = Inhibit {
        source: vec![Matcher::new("alertname", "cause")],
        target: vec![Matcher::new("alertname", "effect")],
        equal: vec!["target".to_owned()],
    };
    let config = Config { builtin: false, rule: rules, inhibit: vec![inhibit], ..Config::default() };
    let mut engine = Engine::new(config).unwrap();
    let mut at = |value: f64| {
        let now = engine.stats().rounds as i64;
        told(&engine.step(now, &round(now, Some(&[("a", value)]))))
            .iter()
            .map(|(change, rule)| format!("{change:?} {rule}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(at(150.0), ["Fired cause"]);
    // The cause ends; the effect is bad in the same round, which proves nothing yet.
    assert_eq!(at(90.0), ["Resolved cause"]);
    assert_eq!(at(90.0), ["Released effect"]);
    assert_eq!(at(10.0), ["Resolved effect"]);
}

#[test]
fn nobody_acknowledges_and_it_gets_worse() {
    let rule = Rule { escalate: Some(Duration::from_secs(60)), ..Rule::above("hot", "m", 80.0) };
    let mut engine = engine(vec![rule]);
    let id = engine.step(0, &round(0, Some(&[("a", 90.0)])))[0].alert.id.clone();
    assert!(engine.tick(59_000).is_empty());
    let events = engine.tick(60_000);
    assert_eq!((events[0].change, events[0].alert.severity), (Change::Escalated, Severity::Error));
    assert_eq!(events[0].alert.labels["severity"], "error");
    engine.acknowledge(61_000, &id, "me").unwrap();
    assert!(engine.tick(600_000).is_empty(), "acknowledged");
    assert!(engine.acknowledge(0, "no-such", "me").unwrap_err().contains("no-such"));
}

#[test]
fn a_silence_holds_back_and_lets_go() {
    let mut engine = engine(vec![Rule::above("hot", "m", 80.0)]);
    let matchers = vec![Matcher::new("alertname", "ho*")];
    let wanted = NewSilence {
        matchers,
        until_ms: Some(10_000),
        minutes: None,
        by: "me".to_owned(),
        comment: String::new(),
    };
    engine.silence(0, wanted.clone()).unwrap();
    let events = engine.step(1000, &round(1000, Some(&[("a", 90.0)])));
    assert_eq!((events[0].change, events[0].told), (Change::Fired, false));
    assert!(engine.tick(9_999).is_empty());
    assert_eq!(told(&engine.tick(10_000)), [(Change::Released, "hot")]);
    // One that ends within a silence was never told, and its end is not either.
    engine.step(11_000, &round(11_000, Some(&[("a", 1.0)])));
    engine.silence(300_000, NewSilence { until_ms: Some(400_000), ..wanted }).unwrap();
    assert!(!engine.step(320_000, &round(320_000, Some(&[("a", 90.0)])))[0].told);
    assert!(!engine.step(321_000, &round(321_000, Some(&[("a", 1.0)])))[0].told);
    let everything = NewSilence {
        matchers: vec![Matcher::new("alertname", "*")],
        until_ms: None,
        minutes: Some(1),
        by: String::new(),
        comment: String::new(),
    };
    assert!(engine.silence(0, everything).unwrap_err().contains("every alert"));
}

#[test]
fn five_poor_rounds_in_a_row_are_an_alert_of_their_own() {
    let hot = Rule { up: 100, ..Rule::above("hot", "m", 80.0) };
    let poor = Rule { severity: Severity::Critical, ..Rule::above("poor", "poor_rounds", 4.0) };
    let mut engine = engine(vec![hot, poor]);
    for at in 0..4 {
        assert!(engine.step(at, &round(at, Some(&[("a", 90.0)]))).is_empty());
    }
    assert!(engine.step(4, &round(4, Some(&[("a", 10.0)]))).is_empty(), "begins anew");
    let events: Vec<Event> =
        (5..10).flat_map(|at| engine.step(at, &round(at, Some(&[("a", 90.0)])))).collect();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].name(), events[0].at_ms), ("consecutive_poor_performance", 9));
}

#[test]
fn worse_than_usual_and_absent_are_seen() {
    let worse = Rule {
        kind: Kind::Degradation,
        above: None,
        samples: 10,
        worse: Worse::Lower,
        ..Rule::above("slow", "m", 0.0)
    };
    let gone = Rule {
        kind: Kind::Absence,
        above: None,
        target: Some("t".to_owned()),
        labels: BTreeMap::from([("s".to_owned(), "b".to_owned())]),
        ..Rule::above("gone", "m", 0.0)
    };
    let mut engine = engine(vec![worse, gone]);
    for at in 0..20 {
        assert!(engine.step(at, &round(at, Some(&[("a", 100.0), ("b", 1.0)]))).is_empty());
    }
    let events = engine.step(20, &round(20, Some(&[("a", 79.0)])));
    assert_eq!(told(&events), [(Change::Fired, "gone"), (Change::Fired, "slow")]);
    let slow = events.iter().find(|event| event.alert.rule == "slow").unwrap();
    assert_eq!(slow.name(), "performance_degradation_detected");
    assert!((slow.alert.baseline.unwrap() - 100.0).abs() < 1e-9);
    assert!(
        slow.alert.summary.contains("79") && slow.alert.summary.contains("100"),
        "{}",
        slow.alert.summary
    );
}

#[test]
fn a_rule_may_be_for_all_targets_but_one() {
    let of = |target: &str| Some(target.to_owned());
    let others = Rule { target: of("!t"), ..Rule::above("others", "m", 5.0) };
    let more = Rule { target: of("!x*"), ..Rule::above("more", "m", 5.0) };
    let mut engine = engine(vec![others, more]);
    let events = engine.step(0, &round(0, Some(&[("a", 9.0)])));
    assert_eq!(told(&events), [(Change::Fired, "more")]);
    // What this host tells in full is what `system_*` says: it is alerted of once.
    let shipped = Config::default().complete().unwrap();
    let of_nodes: Vec<_> = shipped.rule.iter().filter(|rule| rule.metric.starts_with("node_")).collect();
    assert!(of_nodes.len() >= 3 && of_nodes.iter().all(|rule| rule.target.as_deref() == Some("!host")));
}

#[test]
fn a_target_that_falls_silent_is_down() {
    let down = Rule { above: None, below: Some(1.0), ..Rule::above("down", "up", 0.0) };
    let config = Config {
        builtin: false,
        rule: vec![down],
        silent_after: Duration::from_secs(10),
        ..Config::default()
    };
    let mut engine = Engine::new(config).unwrap();
    engine.step(0, &round(0, Some(&[])));
    assert!(engine.tick(9_999).is_empty());
    assert_eq!(told(&engine.tick(10_000)), [(Change::Fired, "down")]);
}

#[test]
fn a_series_that_is_gone_ends_its_alert() {
    let mut engine = engine(vec![Rule::above("hot", "m", 80.0)]);
    engine.step(0, &round(0, Some(&[("a", 90.0)])));
    let events: Vec<Event> = (1..10).flat_map(|at| engine.step(at, &round(at, Some(&[])))).collect();
    assert_eq!((events.len(), events[0].why.as_deref()), (1, Some("its series is gone")));
}

#[test]
fn everything_is_bounded() {
    let config = Config {
        builtin: false,
        rule: vec![Rule::above("hot", "m", 0.0)],
        max_alerts: 10,
        max_series: 50,
        history: 5,
        receiver: vec![ReceiverConfig::console()],
        max_waiting: 3,
        max_in_one: 4,
        ..Config::default()
    };
    let mut engine = Engine::new(config.clone()).unwrap();
    let mut outbox = Outbox::default();
    let names: Vec<String> = (0..1000).map(|series| series.to_string()).collect();
    let values: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    let events = engine.step(0, &round(0, Some(&values)));
    assert_eq!((events.len(), engine.active().count(), engine.history().count()), (10, 10, 5));
    assert!(engine.stats().dropped > 0);
    outbox.put(&config, "x", &events);
    assert_eq!((outbox.len(), outbox.lost), (3, 0), "ten alerts in notifications of four");
    outbox.put(&config, "x", &events[..1]);
    assert_eq!((outbox.len(), outbox.lost), (3, 1));
}

/// What may happen to an engine.
#[derive(Clone, Debug)]
enum Op {
    Values(Vec<Option<u8>>),
    Down,
    Wait(u16),
    Silence(u8),
    Unsilence,
    Acknowledge(u8),
    Notice,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => prop::collection::vec(prop::option::weighted(0.9, 0_u8..120), 3).prop_map(Op::Values),
        1 => Just(Op::Down),
        2 => (1_u16..400).prop_map(Op::Wait),
        1 => (1_u8..100).prop_map(Op::Silence),
        1 => Just(Op::Unsilence),
        1 => any::<u8>().prop_map(Op::Acknowledge),
        1 => Just(Op::Notice),
        1 => Just(Op::Restart),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let one = |name: &'static str, metric: &'static str| {
        (1_u32..4, 1_u32..4, 0_u64..60, prop::option::of(5_u64..50)).prop_map(
            move |(up, down, cooldown, escalate)| Rule {
                up,
                down,
                cooldown: Duration::from_secs(cooldown),
                escalate: escalate.map(Duration::from_secs),
                ..Rule::above(name, metric, 80.0)
            },
        )
    };
    (one("cause", "m"), one("effect", "m"), one("poor", "poor_rounds")).prop_map(
        |(mut cause, effect, mut poor)| {
            (cause.above, poor.above) = (Some(100.0), Some(3.0));
            vec![cause, effect, poor]
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("TIDEMILL_TEST_FULL").is_some() { 20_000 } else { 150 }))]

    /// Whatever happens, restarts included: who is told that it fires is told once, then of its end, and not again before the
    /// cooldown is over.
    #[test]
    fn what_is_told_alternates(rules in rules(), ops in prop::collection::vec(op(), 1..120)) {
        let inhibit = Inhibit {
            source: vec![Matcher::new("alertname", "cause")],
            target: vec![Matcher::new("alertname", "effect")],
            equal: vec!["target".to_owned(), "s".to_owned()],
        };
        let config = Config { builtin: false, rule: rules.clone(), inhibit: vec![inhibit], ..Config::default() };
        let mut engine = Engine::new(config.clone()).unwrap();
        let (mut now, mut seq) = (1_000_000_i64, 0);
        // Of each alert: whether it was told, and when it fired last.
        let mut open: BTreeMap<String, bool> = BTreeMap::new();
        let mut fired: BTreeMap<String, i64> = BTreeMap::new();
        let mut severity: BTreeMap<String, Severity> = BTreeMap::new();
        for op in ops {
            now += 1000;
            let events = match op {
                Op::Values(values) => {
                    let names = ["a", "b", "c"];
                    let some = names.iter().zip(&values).filter_map(|(name, value)| Some((*name, f64::from((*value)?))));
                    engine.step(now, &round(now, Some(&some.collect::<Vec<_>>())))
                }
                Op::Down => engine.step(now, &round(now, None)),
                Op::Wait(seconds) => { now += i64::from(seconds) * 1000; engine.tick(now) }
                Op::Silence(seconds) => {
                    let matchers = vec![Matcher::new("s", if seconds % 2 == 0 { "a" } else { "b" })];
                    let until_ms = Some(now + i64::from(seconds) * 1000);
                    engine.silence(now, NewSilence { matchers, until_ms, minutes: None, by: String::new(), comment: String::new() }).unwrap();
                    Vec::new()
                }
                Op::Unsilence => {
                    if let Some(id) = engine.silences().first().map(|silence| silence.id.clone()) { engine.unsilence(&id); }
                    engine.tick(now)
                }
                Op::Acknowledge(which) => {
                    let ids: Vec<String> = engine.active().map(|alert| alert.id.clone()).collect();
                    if ids.is_empty() { continue }
                    engine.acknowledge(now, &ids[usize::from(which) % ids.len()], "me").unwrap()
                }
                Op::Notice => engine.notice(now, Notice {
                    name: "n".to_owned(), severity: Severity::Info, target: "t".to_owned(),
                    summary: String::new(), recommendation: String::new(),
                }),
                Op::Restart => {
                    let text = serde_json::to_string(&State::of("x", &engine, &Outbox::default())).unwrap();
                    let before: Vec<_> = engine.active().cloned().collect();
                    let state: State = serde_json::from_str(&text).unwrap();
                    engine = Engine::new(config.clone()).unwrap();
                    prop_assert!(state.restore(now, &mut engine).is_empty());
                    prop_assert_eq!(before, engine.active().cloned().collect::<Vec<_>>());
                    Vec::new()
                }
            };
            for event in events {
                seq += 1;
                prop_assert!(event.seq >= seq, "numbers only grow");
                seq = event.seq;
                let (id, rule) = (event.alert.id.clone(), rules.iter().find(|rule| rule.name == event.alert.rule));
                match event.change {
                    Change::Fired => {
                        let rule = rule.unwrap();
                        if let Some(last) = fired.insert(id.clone(), event.alert.since_ms) {
                            prop_assert!(now - last >= rule.cooldown.as_millis() as i64, "cooldown");
                        }
                        prop_assert!(!open.contains_key(&id), "fired twice");
                        open.insert(id.clone(), event.told);
                        severity.insert(id, event.alert.severity);
                    }
                    Change::Released => prop_assert_eq!(open.insert(id, true), Some(false), "released twice"),
                    Change::Escalated => {
                        prop_assert_eq!(open.get(&id), Some(&true));
                        prop_assert!(severity.insert(id, event.alert.severity) < Some(event.alert.severity));
                        prop_assert!(event.alert.acknowledged.is_none());
                    }
                    Change::Acknowledged => prop_assert!(open.contains_key(&id) && !event.told),
                    Change::Resolved => prop_assert_eq!(open.remove(&id), Some(event.told), "an end of nothing"),
                    Change::Noticed => {}
                }
            }
            prop_assert_eq!(open.len(), engine.active().count());
        }
    }

    /// Exactly the events that counting by hand gives.
    #[test]
    fn it_counts_as_one_counts_by_hand(
        up in 1_u32..5, down in 1_u32..5, cooldown in 0_i64..20, values in prop::collection::vec(0_u8..100, 0..200),
    ) {
        let rule = Rule { up, down, cooldown: Duration::from_secs(cooldown as u64), ..Rule::above("r", "m", 50.0) };
        let mut engine = engine(vec![rule]);
        let (mut bad, mut good, mut fires, mut last) = (0, 0, false, i64::MIN / 2);
        for (at, value) in values.into_iter().enumerate() {
            let now = at as i64 * 1000;
            let events = engine.step(now, &round(now, Some(&[("a", f64::from(value))])));
            (bad, good) = if value > 50 { (bad + 1, 0) } else { (0, good + 1) };
            let expected = if fires && good >= down {
                fires = false;
                Some(Change::Resolved)
            } else if !fires && bad >= up && now - last >= cooldown * 1000 {
                (fires, last) = (true, now);
                Some(Change::Fired)
            } else {
                None
            };
            prop_assert_eq!(events.iter().map(|event| event.change).collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        }
    }
}

/// What the guide shows is understood: rules, receivers, logs and knobs.
#[test]
fn the_guide_s_examples_are_good() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shown {
        alert: Option<Config>,
        logs: Option<tidemill_monitor::logs::Config>,
        tuning: Option<tidemill_monitor::tune::Config>,
    }
    let guide =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATING.md")).unwrap();
    let (_, alerts) = guide.split_once("\n## Alerts\n").unwrap();
    let sample = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/sample.toml")).unwrap();
    let (_, sample) = sample.split_once("# Alerts: the rules that ship").unwrap();
    // Every example of the sample is a comment.
    let is_toml = |line: &&str| line.starts_with('[') || line.contains(" = ");
    let lines = sample.lines().filter_map(|line| line.strip_prefix("# ")).filter(is_toml);
    let sample = lines.collect::<Vec<_>>().join("\n");
    let shown = alerts.split("```toml\n").skip(1).map(|block| block.split_once("```").unwrap().0.to_owned());
    let mut count = 0;
    for text in shown.chain([sample]) {
        let Shown { alert, logs, tuning } =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        if let Some(alert) = alert {
            assert!(alert.complete().unwrap().rule.iter().any(|rule| rule.name == "queue-long"));
            count += 1;
        }
        if let Some(logs) = logs {
            logs.validate().unwrap();
            count += 1;
        }
        if let Some(tuning) = tuning {
            tuning.validate(["collector"]).unwrap();
            count += 1;
        }
    }
    assert_eq!(count, 6);
}
