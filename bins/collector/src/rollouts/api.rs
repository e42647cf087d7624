//! `/api/v2/rollouts`: how the moves stand, and what a person wants of them.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Do, Error, Rollouts, Wanted};
use crate::access::{Access, answer, refused};

/// Serves the moves.
pub fn routes(rollouts: Arc<Rollouts>, access: Access<'_>) -> Router {
    let look = Router::new().route("/api/v2/rollouts", get(list));
    let change =
        Router::new().route("/api/v2/rollouts", post(begin)).route("/api/v2/rollouts/{dataset}", put(act));
    look.merge(access.guard(change)).with_state(rollouts)
}

async fn list(State(rollouts): State<Arc<Rollouts>>) -> Response {
    answer(StatusCode::OK, &shown(&rollouts))
}

/// `{"dataset": "us_daily", "to": "other", "stages": [0.01, 0.1, 0.5, 1.0], "passes": 1}`
async fn begin(State(rollouts): State<Arc<Rollouts>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Wanted>(&body) {
        Ok(wanted) => change(rollouts, move |rollouts| rollouts.begin(&wanted)).await,
        Err(error) => refused(StatusCode::BAD_REQUEST, &format!("name a dataset and a provider: {error}")),
    }
}

/// `{"do": "pause"}`, `{"do": "resume"}`, `{"do": "abort"}`
async fn act(State(rollouts): State<Arc<Rollouts>>, Path(dataset): Path<String>, body: Bytes) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        r#do: Do,
    }
    match serde_json::from_slice::<Order>(&body) {
        Ok(order) => change(rollouts, move |rollouts| rollouts.act(&dataset, order.r#do)).await,
        Err(error) => refused(StatusCode::BAD_REQUEST, &format!("write {{\"do\": \"pause\"}}: {error}")),
    }
}

/// What is changed is written to the disk first, beside the collection.
async fn change(
    rollouts: Arc<Rollouts>,
    change: impl FnOnce(&Rollouts) -> Result<(), Error> + Send + 'static,
) -> Response {
    let done = tokio::task::spawn_blocking(move || change(&rollouts).map(|()| shown(&rollouts))).await;
    match done {
        Ok(Ok(moves)) => answer(StatusCode::OK, &moves),
        Ok(Err(error @ Error::Busy(_))) => refused(StatusCode::CONFLICT, &error.to_string()),
        Ok(Err(error)) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn shown(rollouts: &Rollouts) -> Value {
    let moves = rollouts.lock();
    let moves = moves.iter().map(|(dataset, moving)| {
        json!({
            "dataset": dataset,
            "from": moving.from,
            "to": moving.to,
            "phase": moving.rollout.phase(),
            "share": moving.rollout.share(),
            "good": moving.good,
            "bad": moving.bad,
            "why": moving.why,
        })
    });
    json!({ "rollouts": moves.collect::<Vec<_>>() })
}
