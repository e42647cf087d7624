//! `/api/v2/knobs`, `/api/v2/trials`, `/api/v2/tuning`: what the tuner does, and what a person tells it.
//!
//! Everybody who reaches the port may look; [`Access`] says who may change something.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, put};
use serde_json::{Map, Value, json};
use tidemill_autotune::{Error, ErrorKind, Record, TrialView};

use super::{Inner, Tuning};
use crate::access::{Access, answer, refused};

/// Decisions in one answer, if nobody asks for fewer or more.
const LIMIT: usize = 100;
/// Knobs that one request sets, at most.
const AT_ONCE: usize = 100;

/// Serves the tuner.
pub fn routes(tuning: Tuning, access: Access<'_>) -> Router {
    let look = Router::new()
        .route("/api/v2/knobs", get(knobs))
        .route("/api/v2/trials", get(trials))
        .route("/api/v2/tuning", get(status))
        .route("/api/v2/tuning/journal", get(journal));
    let change = Router::new()
        .route("/api/v2/knobs", put(turn))
        .route("/api/v2/trials/{trial}", delete(end_trial))
        .route("/api/v2/tuning", put(switch));
    look.merge(access.guard(change)).with_state(tuning)
}

async fn knobs(State(tuning): State<Tuning>) -> Response {
    look(tuning, |inner| json!({ "knobs": inner.knobs() })).await
}

async fn trials(State(tuning): State<Tuning>) -> Response {
    look(tuning, |inner| json!({ "trials": inner.trials() })).await
}

async fn status(State(tuning): State<Tuning>) -> Response {
    look(tuning, Inner::status).await
}

/// `?limit=20`: the newest decisions, the newest first.
async fn journal(State(tuning): State<Tuning>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let given = query.split('&').find_map(|pair| pair.strip_prefix("limit="));
    let Ok(limit) = given.map_or(Ok(LIMIT), str::parse) else {
        return refused(StatusCode::BAD_REQUEST, "limit must be a whole number");
    };
    look(
        tuning,
        move |inner| json!({ "records": inner.journal.latest(limit).map(shown).collect::<Vec<_>>() }),
    )
    .await
}

/// `{"workers": 8, "flush.interval": 30}`: all of them or none.
async fn turn(State(tuning): State<Tuning>, body: Bytes) -> Response {
    let wanted: BTreeMap<String, f64> = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            let why = format!("write {{\"KNOB\": NUMBER}}, as in {{\"workers\": 8}}: {error}");
            return refused(StatusCode::BAD_REQUEST, &why);
        }
    };
    if wanted.is_empty() || wanted.len() > AT_ONCE {
        return refused(StatusCode::BAD_REQUEST, "name 1 to 100 knobs");
    }
    change(tuning, move |tuning| tuning.set(&wanted), |inner| json!({ "knobs": inner.knobs() })).await
}

async fn end_trial(State(tuning): State<Tuning>, Path(trial): Path<String>) -> Response {
    let Ok(trial) = trial.parse() else {
        return refused(StatusCode::NOT_FOUND, "a trial is called by its number");
    };
    change(tuning, move |tuning| tuning.end_trial(trial), |inner| json!({ "trials": inner.trials() })).await
}

/// `{"enabled": false}`, until the program ends.
async fn switch(State(tuning): State<Tuning>, body: Bytes) -> Response {
    let wanted: Option<Value> = serde_json::from_slice(&body).ok();
    let Some(enabled) = wanted.as_ref().and_then(|wanted| wanted.get("enabled")?.as_bool()) else {
        return refused(StatusCode::BAD_REQUEST, "write {\"enabled\": true} or {\"enabled\": false}");
    };
    let switch = move |tuning: &Tuning| {
        tuning.switch(enabled);
        Ok(())
    };
    change(tuning, switch, Inner::status).await
}

/// The tuner may just be at its journal: whoever looks waits beside the collection, not in it.
async fn look(tuning: Tuning, show: impl FnOnce(&Inner) -> Value + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(move || show(&tuning.lock())).await {
        Ok(value) => answer(StatusCode::OK, &value),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn change(
    tuning: Tuning,
    change: impl FnOnce(&Tuning) -> Result<(), Error> + Send + 'static,
    show: impl FnOnce(&Inner) -> Value + Send + 'static,
) -> Response {
    let changing = tuning.clone();
    match tokio::task::spawn_blocking(move || change(&changing)).await {
        Ok(Ok(())) => look(tuning, show).await,
        Ok(Err(error)) => refused(status_of(&error), &error.to_string()),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Unknown => StatusCode::NOT_FOUND,
        ErrorKind::Busy => StatusCode::CONFLICT,
        ErrorKind::Config | ErrorKind::Syntax => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Inner {
    fn knobs(&self) -> Vec<Value> {
        let tuner = self.driver.tuner();
        let trials = tuner.trials();
        let trial_of =
            |knob: &str| trials.iter().find(|trial| trial.turns.iter().any(|turn| turn.knob == knob));
        let shown = tuner.knobs().map(|(knob, value)| {
            json!({
                "name": knob.name,
                "value": value,
                "unit": knob.unit,
                "low": knob.low,
                "high": knob.high,
                "step": knob.step,
                "tried_by": knob.trial,
                "trial": trial_of(&knob.name).map(|trial| trial.id),
            })
        });
        shown.collect()
    }

    fn trials(&self) -> Vec<Value> {
        self.driver.tuner().trials().iter().map(trial).collect()
    }

    fn status(&self) -> Value {
        let (tuner, now) = (self.driver.tuner(), self.clock.now());
        let signals: Map<String, Value> = tuner
            .signals()
            .iter()
            .filter_map(|(name, series)| {
                let latest = series.latest()?;
                let age_s = now.saturating_sub(latest.at).as_secs_f64();
                let signal = json!({ "value": latest.value, "age_s": age_s, "count": series.count() });
                Some((name.to_owned(), signal))
            })
            .collect();
        let rules = tuner.rules().map(|rule| {
            json!({ "name": rule.name, "why": rule.why, "priority": rule.priority, "tried": rule.objective.is_some() })
        });
        json!({
            "enabled": self.enabled,
            "emergency": tuner.is_emergency(),
            "signals": signals,
            "rules": rules.collect::<Vec<_>>(),
            "stats": tuner.stats(),
            "failures": self.driver.failures().0,
        })
    }
}

/// A trial with its times as seconds since 1970.
fn trial(trial: &TrialView) -> Value {
    let mut value = serde_json::to_value(trial).unwrap_or_default();
    value["began"] = json!(trial.began.as_secs_f64());
    value
}

/// A decision with its time as seconds since 1970, and in words.
fn shown(record: &Record) -> Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    value["at"] = json!(record.at.as_secs_f64());
    value["words"] = json!(record.words());
    value
}
