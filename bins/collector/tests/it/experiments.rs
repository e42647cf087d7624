//! Providers of a dataset are compared: estimated before, judged on two metrics, over a kill; and a bad one loses at once.

use serde_json::{Value, json};

use crate::program::{Sandbox, assert_balanced, rows, summary};
use crate::rollouts::{SYMBOLS, config, sandbox};
use crate::tuning::Served;

fn stands(running: &Served) -> Value {
    running.get("/api/v2/experiments")["experiments"][0].clone()
}

#[test]
fn a_slow_provider_is_found_and_every_symbol_comes_home() {
    let dir = tempfile::tempdir().unwrap();
    let old = sandbox(dir.path(), "old", "");
    let slow = slow_sandbox(dir.path());
    let config = config(dir.path(), &[("old", &old), ("slow", &slow)]);
    let running = Served::start(dir.path(), &config, &[], &[]);
    assert_eq!(running.get("/api/v2/experiments"), json!({ "experiments": [] }));
    let with = |more: Value| {
        let mut wanted = json!({ "dataset": "us_daily", "variants": ["slow"], "effect": 1.0 });
        wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        running.ask("POST", "/api/v2/experiments", &[], &wanted.to_string())
    };
    for (more, says) in [
        (json!({ "dataset": "eu_daily" }), "no dataset"),
        (json!({ "variants": [] }), "name 1 to 7 variants"),
        (json!({ "variants": ["elsewhere"] }), "no provider"),
        (json!({ "variants": ["old"] }), "an arm already"),
        (json!({ "metrics": ["beauty higher"] }), "name each once of response_ms, well, rows"),
        (json!({ "effect": 0.05 }), "is not seen within"),
        (json!({ "alpha": 2.0 }), "alpha lies"),
    ] {
        let (status, why) = with(more.clone());
        assert!(status == 400 && why.to_string().contains(says), "{more}: {status} {why}");
    }
    let (status, estimated) = with(json!({ "dry_run": true }));
    let pairs = estimated["estimate"]["pairs"].as_f64().unwrap();
    assert!(status == 200 && (5.0..100.0).contains(&pairs), "{estimated}");
    assert_eq!(estimated["estimate"]["comparisons"], 2);
    assert_eq!(estimated["experiments"], json!([]), "nothing has begun");

    assert_eq!(with(json!({})).0, 200);
    assert_eq!(with(json!({})).0, 409, "one at a time");
    let moved = json!({ "dataset": "us_daily", "to": "slow" }).to_string();
    assert_eq!(running.ask("POST", "/api/v2/rollouts", &[], &moved).0, 409, "it does not move meanwhile");
    running.until("a pass of it", |running| stands(running)["passes"].as_u64() >= Some(1));
    drop(running);

    // What a pass had seen before the kill is known after it.
    let running = Served::start(dir.path(), &config, &[], &[]);
    let again = stands(&running);
    assert!(again["passes"].as_u64() >= Some(1) && again["phase"] == "running", "{again}");
    let slower = |running: &Served| stands(running)["findings"][0].clone();
    running.until("the slow one is found", |running| slower(running)["verdict"] == "worse");
    assert_eq!(slower(&running)["metric"], "response_ms lower");
    assert!(slower(&running)["effect"]["high"].as_f64() < Some(-200.0), "{}", slower(&running));
    // Both answer everything: of that there is nothing to be found, and it ends by its bound.
    running.until("it ends", |running| stands(running)["phase"] == "undecided");
    let ended = stands(&running);
    assert_eq!(ended["findings"][1]["verdict"], Value::Null, "{ended}");
    assert_eq!(running.ask("DELETE", "/api/v2/experiments/us_daily", &[], "").0, 409);
    assert_eq!(running.ask("DELETE", "/api/v2/experiments/eu_daily", &[], "").0, 400);
    let passes = |running: &Served| running.get("/health")["passes"].as_u64().unwrap();
    let settled = passes(&running) + 1;
    running.until("a pass more", |running| passes(running) > settled);
    let (home, away) = (old.admitted(), slow.admitted());
    running.until("all at home", |_| old.admitted() >= home + SYMBOLS as f64);
    assert_eq!(slow.admitted(), away);
    running.stop();
    assert_eq!(rows(&dir.path().join("data"), "us_daily").len(), 100 * SYMBOLS);
}

#[test]
fn a_provider_that_answers_badly_ends_the_comparison_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let old = sandbox(dir.path(), "old", "");
    let bad =
        sandbox(dir.path(), "bad", "faults = { rules = [{ kind = \"malformed\", probability = 1.0 }] }\n");
    let config = config(dir.path(), &[("old", &old), ("bad", &bad)]);
    let running = Served::start(dir.path(), &config, &[], &[]);
    let wanted = json!({ "dataset": "us_daily", "variants": ["bad"] }).to_string();
    assert_eq!(running.ask("POST", "/api/v2/experiments", &[], &wanted).0, 200);
    running.until("it ends", |running| stands(running)["phase"] == "harmful");
    let ended = stands(&running);
    assert!(ended["why"].as_str().unwrap().contains("bad answered"), "{ended}");
    let home = old.admitted();
    running.until("all at home", |_| old.admitted() >= home + SYMBOLS as f64);
    let text = running.get("/metrics");
    let text = text.as_str().unwrap();
    for line in [
        "tidemill_knob_value{knob=\"workers\"} ",
        "tidemill_tuning_enabled 1\n",
        "tidemill_tuning_trials_total{outcome=\"undone\"} ",
    ] {
        assert!(text.contains(line), "{line} is missing:\n{text}");
    }
    running.stop();
    assert_balanced(&summary(&dir.path().join("summary.json")));
    assert_eq!(rows(&dir.path().join("data"), "us_daily").len(), 100 * SYMBOLS);
}

fn slow_sandbox(dir: &std::path::Path) -> Sandbox {
    let folder = dir.join("slow");
    std::fs::create_dir(&folder).unwrap();
    let latency = "latency = { kind = \"fixed\", delay = \"400ms\" }";
    Sandbox::start(&folder, &format!("symbols = {SYMBOLS}\n{latency}\nquota = []\n"))
}
