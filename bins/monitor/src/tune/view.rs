//! What the API and the page see of tuning.

use serde_json::{Value, json};
use tidemill_autotune::{Knob, Record, TrialView};

use super::service::{Steered, millis};
use super::steering::Steering;

/// Decisions shown at most.
const SHOWN: usize = 100;

impl Steered {
    /// One target.
    pub(super) async fn view(&self, enabled: bool) -> Value {
        let inner = self.inner.lock().await;
        let ours = inner.steering.as_ref();
        let mut trials: Vec<Value> =
            ours.map(Steering::trials).unwrap_or_default().iter().map(trial).collect();
        let mut journal: Vec<Value> =
            inner.records.iter().rev().take(SHOWN).map(|one| record(one, "monitor")).collect();
        // Theirs come as they show them, with times in seconds.
        for (list, from, field) in
            [(&mut trials, &inner.shown.trials, "began"), (&mut journal, &inner.shown.journal, "at")]
        {
            for one in from {
                let mut one = one.clone();
                if let Some(seconds) = one[field].as_f64() {
                    one[if field == "at" { "at_ms" } else { "began_ms" }] = json!((seconds * 1000.0) as i64);
                }
                one["decided_by"] = "target".into();
                list.push(one);
            }
        }
        journal.sort_by_key(|one| std::cmp::Reverse(one["at_ms"].as_i64()));
        journal.truncate(SHOWN);
        let knobs: Vec<Value> =
            inner.shown.knobs.iter().map(|(one, value)| knob(one, *value, &trials)).collect();
        let mut shown = json!({
            "name": self.target.name,
            "steered": enabled && ours.is_some(),
            "tunes_itself": inner.shown.enabled,
            "emergency": ours.is_some_and(Steering::is_emergency),
            "knobs": knobs,
            "trials": trials,
            "journal": journal,
        });
        if let Some(error) = &inner.error {
            shown["error"] = error.as_str().into();
        }
        shown
    }
}

/// One knob, and the trial that holds it.
pub(super) fn knob(knob: &Knob, value: f64, trials: &[Value]) -> Value {
    let holds = |trial: &&Value| {
        let turns = trial["turns"].as_array();
        turns.is_some_and(|turns| turns.iter().any(|turn| turn["knob"] == knob.name.as_str()))
    };
    json!({
        "name": knob.name,
        "value": value,
        "unit": knob.unit,
        "low": knob.low,
        "high": knob.high,
        "step": knob.step,
        "trial": trials.iter().find(holds).map(|trial| trial["id"].clone()),
    })
}

fn trial(trial: &TrialView) -> Value {
    let mut shown = serde_json::to_value(trial).unwrap_or_default();
    shown["began"] = json!(trial.began.as_secs_f64());
    shown["began_ms"] = json!(millis(trial.began));
    shown["decided_by"] = "monitor".into();
    shown
}

fn record(record: &Record, by: &str) -> Value {
    let mut shown = serde_json::to_value(record).unwrap_or_default();
    shown["at"] = json!(record.at.as_secs_f64());
    shown["at_ms"] = json!(millis(record.at));
    shown["words"] = record.words().into();
    shown["decided_by"] = by.into();
    shown
}
