//! `/api/logs` and `/api/logs/summary`.

use axum::extract::{Query as Asked, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::level::Level;
use super::search::{MAX_LIMIT, Query};
use super::service::Handle;

/// What everybody may see.
pub fn router(logs: Handle) -> Router {
    Router::new().route("/api/logs", get(search)).route("/api/logs/summary", get(summary)).with_state(logs)
}

/// What stands behind `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Params {
    text: String,
    level: String,
    source: String,
    from_ms: Option<i64>,
    to_ms: Option<i64>,
    limit: Option<usize>,
}

async fn search(
    State(logs): State<Handle>,
    asked: Result<Asked<Params>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Params { text, level, source, from_ms, to_ms, limit } = match asked {
        Ok(Asked(params)) => params,
        Err(error) => {
            let advice = "ask for text, level, source, from_ms, to_ms, limit";
            return refuse(StatusCode::BAD_REQUEST, &error.body_text(), advice);
        }
    };
    let level = match level.as_str() {
        "" => None,
        word => match Level::parse(word) {
            Some(level) => Some(level),
            None => {
                let advice = "write trace, debug, info, warning, error or critical";
                return refuse(StatusCode::BAD_REQUEST, "this level is not known", advice);
            }
        },
    };
    if text.len() > 1000 {
        return refuse(
            StatusCode::BAD_REQUEST,
            "the text is longer than 1000 bytes",
            "look for a part of it",
        );
    }
    let limit = limit.unwrap_or(200).clamp(1, MAX_LIMIT);
    let source = Some(source).filter(|source| !source.is_empty());
    let query = Query { from_ms, to_ms, level, source, text: text.to_lowercase(), limit };
    match tokio::task::spawn_blocking(move || logs.search(&query)).await {
        Ok(Ok(found)) => Json(found).into_response(),
        Ok(Err(error)) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string(), "see the disk under DATA/logs")
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the search panicked", "see the log"),
    }
}

async fn summary(State(logs): State<Handle>) -> Response {
    match tokio::task::spawn_blocking(move || logs.summary(crate::now_ms())).await {
        Ok(summary) => Json(summary).into_response(),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the summary panicked", "see the log"),
    }
}

fn refuse(status: StatusCode, error: &str, advice: &str) -> Response {
    (status, Json(json!({ "error": error, "do": advice }))).into_response()
}
