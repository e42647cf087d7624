//! `/api/alerts` and `/api/silences`.

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::service::Handle;
use super::silence::NewSilence;

/// Bytes of a request at most.
const MAX_BODY: usize = 64 << 10;

/// What everybody may see.
pub fn router(alerts: Handle) -> Router {
    Router::new().route("/api/alerts", get(show)).with_state(alerts)
}

/// What changes something: to be put behind a token off loopback.
pub fn changes(alerts: Handle) -> Router {
    Router::new()
        .route("/api/alerts/{id}/acknowledge", post(acknowledge))
        .route("/api/silences", post(silence))
        .route("/api/silences/{id}", delete(unsilence))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(alerts)
}

async fn show(State(alerts): State<Handle>) -> Json<Value> {
    Json(alerts.view().await)
}

/// Who acknowledges.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct By {
    by: String,
}

async fn acknowledge(State(alerts): State<Handle>, Path(id): Path<String>, body: Bytes) -> Response {
    let by = match body.as_ref() {
        b"" => Ok(By::default()),
        body => serde_json::from_slice::<By>(body),
    };
    let by = match by {
        Ok(By { by }) if by.is_empty() => "api".to_owned(),
        Ok(By { by }) => by,
        Err(error) => {
            return refuse(StatusCode::BAD_REQUEST, &error.to_string(), "send {\"by\": \"NAME\"} or nothing");
        }
    };
    match alerts.acknowledge(&id, &by).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refuse(StatusCode::NOT_FOUND, &error, "see `active` of /api/alerts"),
    }
}

async fn silence(State(alerts): State<Handle>, body: Bytes) -> Response {
    let help = "send {\"matchers\": [{\"name\": \"alertname\", \"value\": \"cpu-high\"}], \"minutes\": 60, \"comment\": \"why\"}";
    let wanted: NewSilence = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string(), help),
    };
    match alerts.silence(wanted).await {
        Ok(silence) => (StatusCode::CREATED, Json(silence)).into_response(),
        Err(error) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error, help),
    }
}

async fn unsilence(State(alerts): State<Handle>, Path(id): Path<String>) -> Response {
    if alerts.unsilence(&id).await {
        StatusCode::NO_CONTENT.into_response()
    } else {
        refuse(StatusCode::NOT_FOUND, "there is no such silence", "see `silences` of /api/alerts")
    }
}

fn refuse(status: StatusCode, error: &str, advice: &str) -> Response {
    (status, Json(json!({ "error": error, "do": advice }))).into_response()
}
