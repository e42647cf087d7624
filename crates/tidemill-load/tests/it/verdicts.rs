//! What a summary says: promises, warm-up, slices, recording, refusal of foreign hosts, reading it back.

use std::time::Duration;

use tidemill_load::{Cancel, ErrorKind, Plan, ReasonKind, Shape, Summary, Thresholds, run};

use crate::server::{Server, ok};

#[test]
fn the_warm_up_is_shown_and_not_counted() {
    let server = Server::start(|_, _| ok("x"));
    let mut plan = Plan::new(&server.url(), Shape::constant(50.0, Duration::from_secs(3)));
    plan.load.warm_up = Duration::from_secs(1);
    plan.load.drain = Duration::from_secs(60);
    let dir = tempfile::tempdir().unwrap();
    plan.record.path = Some(dir.path().join("slices.jsonl"));
    plan.server.pid = Some(std::process::id());
    plan.pass.set("errors", "<1%").unwrap();
    plan.pass.set("response.p99", "<1us").unwrap();
    plan.pass.set("delivery.p99", "<1s").unwrap();
    plan.pass.set("server.memory.max", ">1KB").unwrap();
    let mut seconds = Vec::new();
    let summary = run(&plan, &mut |now| seconds.push(now.slice.clone()), &Cancel::new()).unwrap();
    let warm: u64 = summary.slices.iter().filter(|slice| slice.warm_up).map(|slice| slice.ended).sum();
    assert!(warm > 0 && summary.totals.ended + warm == 150, "{warm} {:?}", summary.totals);
    assert!((summary.counted_s - 2.0).abs() < 1e-6 && summary.totals.rate > 0.0);
    assert_eq!(seconds, summary.slices);
    let written = std::fs::read_to_string(dir.path().join("slices.jsonl")).unwrap();
    let read: Vec<tidemill_load::Slice> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, summary.slices);
    let met: Vec<bool> = summary.thresholds.iter().map(|judged| judged.met).collect();
    // In the order of the names' meaning: two times, errors, memory.
    assert_eq!(met.iter().filter(|met| **met).count(), 2, "{:?}", summary.thresholds);
    assert!(!summary.passed() && summary.server.len() == summary.slices.len());
    let text = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
}

#[test]
fn a_run_without_anything_is_invalid() {
    let server = Server::start(|_, _| ok("x"));
    let mut plan = Plan::new(&server.url(), Shape::constant(0.0, Duration::from_secs(1)));
    plan.load.drain = Duration::ZERO;
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert!(
        !summary.verdict.valid && summary.verdict.reasons[0].kind == ReasonKind::Empty,
        "{}",
        summary.verdict
    );
}

/// The generator is made late on purpose: 100 ms between two looks at the clock.
#[test]
fn a_generator_that_is_late_says_so() {
    let server = Server::start(|_, _| ok("x"));
    let mut plan = Plan::new(&server.url(), Shape::constant(200.0, Duration::from_secs(2)));
    plan.load.quantum = Some(Duration::from_millis(100));
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert!(
        summary.verdict.reasons.iter().any(|reason| reason.kind == ReasonKind::GeneratorLate),
        "{}",
        summary.verdict
    );
    assert!(summary.totals.late > 100 && summary.late.p99_us > 5000.0, "{:?}", summary.totals);
}

/// One connection that is busy is the server's fault, not the generator's.
#[test]
fn waiting_for_a_slow_server_is_not_the_generators_lateness() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_millis(20));
        ok("x")
    });
    let mut plan = Plan::new(&server.url(), Shape::constant(100.0, Duration::from_secs(1)));
    plan.load.connections = 1;
    plan.load.drain = Duration::from_secs(60);
    let summary = run(&plan, &mut |_| {}, &Cancel::new()).unwrap();
    assert!(
        summary.lag.p50_us > 200_000.0 && summary.late.p50_us < summary.lag.p50_us / 4.0,
        "{:?}",
        summary.late
    );
}

#[test]
fn nobody_elses_server_is_loaded() {
    let plan = Plan::new("http://192.0.2.7/", Shape::constant(1.0, Duration::from_secs(1)));
    let error = run(&plan, &mut |_| {}, &Cancel::new()).unwrap_err();
    assert!(error.kind() == ErrorKind::NotOwned && error.to_string().contains("target.owned"), "{error}");
}

#[test]
fn promises_are_read_and_written_as_text() {
    let mut pass = Thresholds::default();
    for (metric, bound) in [
        ("response.p99.9", "<250ms"),
        ("errors.timeout", "<=0.5%"),
        ("rate", ">100"),
        ("server.memory.max", "<64MB"),
    ] {
        pass.set(metric, bound).unwrap();
    }
    let text = toml::to_string(&pass).unwrap();
    assert!(
        text.contains("\"response.p99.9\" = \"<250ms\"") && text.contains("\"errors.timeout\" = \"<=0.5%\""),
        "{text}"
    );
    assert_eq!(toml::from_str::<Thresholds>(&text).unwrap(), pass);
    for (metric, bound) in [
        ("response.p98", "<1s"),
        ("errors.nobody", "<1%"),
        ("rate", "100"),
        ("rate", ">1s"),
        ("errors", "<1"),
    ] {
        assert!(pass.set(metric, bound).is_err(), "{metric} {bound}");
    }
}
