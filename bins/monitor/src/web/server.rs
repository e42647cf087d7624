//! The routes of the page.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use axum::response::IntoResponse;
use axum::routing::get;

use super::assets::Assets;
use super::hub::Hub;
use super::openapi;
use super::views::View;
use super::{events, socket};
use crate::event::Events;

/// What the page needs of the program.
#[derive(Debug)]
pub struct Web {
    /// Where the live values come from.
    pub hub: Hub,
    /// What `/api/views` tells, from [`views`](super::views()).
    pub views: Vec<View>,
    /// What `/api/events` tells.
    pub events: Events,
}

/// `/`, `/assets/…`, `/ws`, `/api/views`, `/api/events` and `/api/openapi.json`.
pub fn router(web: Web) -> Router {
    let assets = Arc::new(Assets::new());
    let views = serde_json::json!({ "views": web.views }).to_string();
    Router::new()
        .route("/", get(page))
        .route("/assets/{*name}", get(asset))
        .with_state(assets)
        .merge(Router::new().route("/ws", get(live)).with_state(web.hub))
        .merge(Router::new().route("/api/views", get(json)).with_state(views.into()))
        .merge(Router::new().route("/api/openapi.json", get(json)).with_state(Json::from(openapi::DOCUMENT)))
        .merge(Router::new().route("/api/events", get(events::list)).with_state(web.events))
}

/// A document that does not change while the program runs.
type Json = Arc<str>;

async fn page(State(assets): State<Arc<Assets>>, headers: HeaderMap) -> Response<Body> {
    assets.answer("index.html", &headers)
}

async fn asset(
    State(assets): State<Arc<Assets>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    assets.answer(&name, &headers)
}

async fn live(State(hub): State<Hub>, request: Request<Body>) -> Response<Body> {
    socket::upgrade(hub, request).await
}

async fn json(State(document): State<Json>) -> impl IntoResponse {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))], document.to_string())
}
