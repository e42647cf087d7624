//! `GET /api/events?hours=`: alerts and changes, as marks for charts.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use crate::event::Events;

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    hours: Option<f64>,
}

pub(super) async fn list(State(events): State<Events>, Query(wanted): Query<Wanted>) -> Response {
    let hours = wanted.hours.unwrap_or(24.0);
    if !(hours > 0.0 && hours <= 24.0 * 366.0) {
        let body = json!({"error": format!("hours is {hours}"), "do": "choose above 0 to 8784"});
        return (StatusCode::BAD_REQUEST, Json(body)).into_response();
    }
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let kept = events.since(now_ms.saturating_sub((hours * 3_600_000.0) as i64));
    let kept: Vec<_> = kept.iter().map(|event| &**event).collect();
    Json(json!({"events": kept})).into_response()
}
