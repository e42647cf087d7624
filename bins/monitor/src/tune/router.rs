//! `/api/tuning`.

use std::collections::BTreeMap;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};

use super::handle::Handle;

/// Bytes of a request at most.
const MAX_BODY: usize = 64 << 10;

/// What everybody may see.
pub fn router(tuning: Handle) -> Router {
    Router::new().route("/api/tuning", get(show)).with_state(tuning)
}

/// What changes something: to be put behind a token off loopback.
pub fn changes(tuning: Handle) -> Router {
    Router::new()
        .route("/api/tuning/{target}/knobs", put(set))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(tuning)
}

async fn show(State(tuning): State<Handle>) -> Json<Value> {
    Json(tuning.view().await)
}

async fn set(State(tuning): State<Handle>, Path(target): Path<String>, body: Bytes) -> Response {
    let wanted: BTreeMap<String, f64> = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if wanted.is_empty() || wanted.len() > 100 {
        return refuse(StatusCode::BAD_REQUEST, "name 1 to 100 knobs");
    }
    match tuning.set(&target, &wanted).await {
        Ok(knobs) => Json(knobs).into_response(),
        Err((status, why)) => refuse(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), &why),
    }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    let advice = "see `knobs` of /api/tuning, and write {\"KNOB\": NUMBER}";
    (status, Json(json!({ "error": error, "do": advice }))).into_response()
}
