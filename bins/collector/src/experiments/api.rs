//! `/api/v2/experiments`: what is compared, what that will take, and what was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde_json::{Value, json};

use super::{Compared, Experiments, Wanted};
use crate::access::{Access, answer, refused};
use crate::rollouts::Error;

/// Serves the experiments.
pub fn routes(experiments: Arc<Experiments>, access: Access<'_>) -> Router {
    let look = Router::new().route("/api/v2/experiments", get(list));
    let change = Router::new()
        .route("/api/v2/experiments", post(begin))
        .route("/api/v2/experiments/{dataset}", delete(end));
    look.merge(access.guard(change)).with_state(experiments)
}

async fn list(State(experiments): State<Arc<Experiments>>) -> Response {
    beside(move || Ok(shown(&experiments))).await
}

/// `{"dataset": "us_daily", "variants": ["other"], "metrics": ["response_ms lower"], "effect": 0.5, "dry_run": true}`
async fn begin(State(experiments): State<Arc<Experiments>>, body: Bytes) -> Response {
    let wanted = match serde_json::from_slice::<Wanted>(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            return refused(StatusCode::BAD_REQUEST, &format!("name a dataset and its variants: {error}"));
        }
    };
    beside(move || {
        let estimate = experiments.begin(&wanted)?;
        let mut value = shown(&experiments);
        value["estimate"] = json!(estimate);
        Ok(value)
    })
    .await
}

async fn end(State(experiments): State<Arc<Experiments>>, Path(dataset): Path<String>) -> Response {
    beside(move || experiments.end(&dataset).map(|()| shown(&experiments))).await
}

/// Estimates, intervals and the disk take their time: beside the collection.
async fn beside(work: impl FnOnce() -> Result<Value, Error> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => answer(StatusCode::OK, &value),
        Ok(Err(error @ Error::Busy(_))) => refused(StatusCode::CONFLICT, &error.to_string()),
        Ok(Err(error)) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn shown(experiments: &Experiments) -> Value {
    // Intervals are narrowed without the lock, for which the collection waits.
    let compared: BTreeMap<String, Compared> = experiments.lock().clone();
    let compared = compared.iter().map(|(dataset, one)| {
        let arms = one.experiment.arms().iter().zip(&one.answers);
        let arms = arms.map(|(arm, (well, badly))| json!({ "provider": arm, "well": well, "badly": badly }));
        json!({
            "dataset": dataset,
            "phase": one.phase,
            "arms": arms.collect::<Vec<_>>(),
            "findings": one.experiment.findings(),
            "pairs": one.experiment.pairs(),
            "estimate": one.estimate,
            "max_pairs": one.max_pairs,
            "passes": one.pass,
            "why": one.why,
        })
    });
    json!({ "experiments": compared.collect::<Vec<_>>() })
}
