//! What the API and the page see of alerts.

use serde_json::{Value, json};

use super::active::{Alert, Event};
use super::engine::Engine;
use super::outbox::Outbox;

/// Events shown at most.
const SHOWN: usize = 200;

/// `/api/alerts`.
pub(super) fn all(engine: &Engine, outbox: &Outbox) -> Value {
    let mut active: Vec<&Alert> = engine.active().collect();
    // The worst first, the newest of equals.
    active.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), std::cmp::Reverse(alert.since_ms)));
    let active: Vec<Value> =
        active.into_iter().map(|one| alert(one, engine.silenced_until(&one.labels))).collect();
    let history: Vec<Value> = engine.history().rev().take(SHOWN).map(event).collect();
    json!({
        "active": active,
        "history": history,
        "silences": engine.silences(),
        "rules": engine.rules().len(),
        "notifications": { "waiting": outbox.len(), "lost": outbox.lost },
    })
}

/// One event, as history and `/ws` show it.
pub(super) fn event(event: &Event) -> Value {
    let mut shown = alert(&event.alert, None);
    shown["seq"] = event.seq.into();
    shown["at_ms"] = event.at_ms.into();
    shown["change"] = json!(event.change);
    shown["event"] = event.name().into();
    shown["told"] = event.told.into();
    if event.is_end() {
        shown["state"] = "resolved".into();
    }
    if let Some(why) = &event.why {
        shown["why"] = why.as_str().into();
    }
    shown
}

fn alert(alert: &Alert, silenced_until_ms: Option<i64>) -> Value {
    let state = match alert {
        _ if silenced_until_ms.is_some() => "silenced",
        Alert { acknowledged: Some(_), .. } => "acknowledged",
        Alert { told_ms: None, .. } => "inhibited",
        _ => "firing",
    };
    let mut shown = json!({
        "id": alert.id,
        "rule": alert.rule,
        "severity": alert.severity,
        "state": state,
        "target": alert.target,
        "metric": alert.metric,
        "labels": alert.labels,
        "value": alert.value,
        "threshold": alert.threshold,
        "since_ms": alert.since_ms,
        "summary": alert.summary,
        "recommendation": alert.recommendation,
    });
    if let Some(baseline) = alert.baseline {
        shown["baseline"] = baseline.into();
    }
    if let Some(by) = &alert.acknowledged {
        shown["acknowledged"] = json!(by);
    }
    if let Some(until_ms) = silenced_until_ms {
        shown["silenced_until_ms"] = until_ms.into();
    }
    shown
}
