//! A dataset moves to another provider in steps: paused, killed, resumed, done, taken back; and from a bad one by itself.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::program::{Sandbox, assert_balanced, rows, summary, symbols};
use crate::tuning::Served;

pub(crate) const SYMBOLS: usize = 40;

/// One dataset at the first of several providers; each answer is fresh for a second.
pub(crate) fn config(dir: &Path, sandboxes: &[(&str, &Sandbox)]) -> PathBuf {
    let providers = sandboxes.iter().map(|(name, sandbox)| {
        let url = sandbox.url();
        format!("[[provider]]\nname = \"{name}\"\nadapter = \"alpha-vantage\"\nbase_url = \"{url}\"\nkeys = [\"k1\"]\n")
    });
    let text = format!(
        "config_version = 1\n[collector]\ntries = 1\ntry_again = \"1s\"\n{}[[dataset]]\nname = \"us_daily\"\nprovider = \"{}\"\nsymbols = {:?}\n\
         calendar = \"none\"\nrefresh = \"1s\"\n",
        providers.collect::<String>(),
        sandboxes[0].0,
        symbols(SYMBOLS)
    );
    let file = dir.join("collector.toml");
    std::fs::write(&file, text).unwrap();
    file
}

pub(crate) fn sandbox(dir: &Path, name: &str, more: &str) -> Sandbox {
    let folder = dir.join(name);
    std::fs::create_dir(&folder).unwrap();
    Sandbox::start(
        &folder,
        &format!("symbols = {SYMBOLS}\nlatency = {{ kind = \"none\" }}\nquota = []\n{more}"),
    )
}

fn stands(running: &Served) -> Value {
    running.get("/api/v2/rollouts")["rollouts"][0].clone()
}

/// Symbols that a sandbox was ever asked for.
fn asked(sandbox: &Sandbox) -> usize {
    sandbox.stats()["symbols"].as_object().map_or(0, |symbols| symbols.len())
}

#[test]
fn a_dataset_moves_in_steps_survives_a_kill_and_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (sandbox(dir.path(), "old", ""), sandbox(dir.path(), "new", ""));
    let config = config(dir.path(), &[("old", &old), ("new", &new)]);
    let running = Served::start(dir.path(), &config, &[], &[]);
    assert_eq!(running.get("/api/v2/rollouts"), json!({ "rollouts": [] }));
    for (wanted, says) in [
        (json!({ "dataset": "eu_daily", "to": "new" }), "no dataset"),
        (json!({ "dataset": "us_daily", "to": "elsewhere" }), "no provider"),
        (json!({ "dataset": "us_daily", "to": "old" }), "already"),
        (json!({ "dataset": "us_daily", "to": "new", "stages": [0.5, 0.1] }), "stages"),
    ] {
        let (status, why) = running.ask("POST", "/api/v2/rollouts", &[], &wanted.to_string());
        assert!(status == 400 && why.to_string().contains(says), "{wanted}: {status} {why}");
    }
    let wanted = json!({ "dataset": "us_daily", "to": "new", "stages": [0.2, 0.6, 1.0] }).to_string();
    assert_eq!(running.ask("POST", "/api/v2/rollouts", &[], &wanted).0, 200);
    assert_eq!(running.ask("POST", "/api/v2/rollouts", &[], &wanted).0, 409, "one at a time");
    running.until("the second step", |running| stands(running)["share"] != json!(0.2));
    assert_eq!(running.put("/api/v2/rollouts/us_daily", &json!({ "do": "pause" })).0, 200);
    let paused = stands(&running);
    assert!(paused["phase"] == "paused" && paused["from"] == "old", "{paused}");
    drop(running);

    let running = Served::start(dir.path(), &config, &[], &[]);
    let again = stands(&running);
    assert_eq!((&again["phase"], &again["share"]), (&paused["phase"], &paused["share"]), "as it stood");
    let passes = |running: &Served| running.get("/health")["passes"].as_u64().unwrap();
    running.until("two passes in a pause", |running| passes(running) >= 2);
    let before = (asked(&new), new.admitted());
    running.until("two more", |running| passes(running) >= 4);
    assert_eq!(stands(&running)["share"], paused["share"]);
    // The same symbols, asked for again.
    assert!(asked(&new) == before.0 && new.admitted() > before.1, "{before:?}");
    assert!(before.0 < SYMBOLS || paused["share"] == 1.0, "{before:?}");

    assert_eq!(running.put("/api/v2/rollouts/us_daily", &json!({ "do": "resume" })).0, 200);
    running.until("it is done", |running| stands(running)["phase"] == "done");
    assert_eq!(asked(&new), SYMBOLS);
    let settled = passes(&running) + 1;
    running.until("a pass more", |running| passes(running) > settled);
    let (left, went) = (old.admitted(), new.admitted());
    running.until("all at the new one", |_| new.admitted() >= went + SYMBOLS as f64);
    assert_eq!(old.admitted(), left);

    assert_eq!(running.put("/api/v2/rollouts/us_daily", &json!({ "do": "abort" })).0, 200);
    running.until("all at the old one", |_| old.admitted() >= left + SYMBOLS as f64);
    assert_eq!(stands(&running)["share"], 0.0);
    running.stop();
    assert_eq!(rows(&dir.path().join("data"), "us_daily").len(), 100 * SYMBOLS);
}

#[test]
fn a_provider_that_answers_badly_loses_the_dataset_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let old = sandbox(dir.path(), "old", "");
    let bad =
        sandbox(dir.path(), "bad", "faults = { rules = [{ kind = \"malformed\", probability = 1.0 }] }\n");
    let config = config(dir.path(), &[("old", &old), ("bad", &bad)]);
    let running = Served::start(dir.path(), &config, &[], &[]);
    let wanted = json!({ "dataset": "us_daily", "to": "bad", "stages": [0.5, 1.0] }).to_string();
    assert_eq!(running.ask("POST", "/api/v2/rollouts", &[], &wanted).0, 200);
    running.until("it is back", |running| stands(running)["phase"] == "aborted");
    let stands = stands(&running);
    assert!(stands["why"].as_str().unwrap().contains("answered badly"), "{stands}");
    assert_eq!(running.put("/api/v2/rollouts/us_daily", &json!({ "do": "resume" })).0, 409);
    let left = old.admitted();
    running.until("all at the old one", |_| old.admitted() >= left + SYMBOLS as f64);
    running.stop();
    assert!(asked(&bad) <= SYMBOLS, "{}", asked(&bad));
    assert_balanced(&summary(&dir.path().join("summary.json")));
    assert_eq!(rows(&dir.path().join("data"), "us_daily").len(), 100 * SYMBOLS);
}
