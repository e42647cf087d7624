//! The routes of the page.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use axum::response::IntoResponse;
use axum::routing::get;

use super::assets::Assets;
use super::hub::Hub;
use super::openapi;
use super::views::{Line, View};
use super::{events, first, socket};
use crate::event::Events;
use crate::history::{Answer, Question};

/// Looks up what was; `None` where it cannot be read. Blocks.
pub type Past = Box<dyn Fn(&Question) -> Option<Answer> + Send + Sync>;

/// What the page needs of the program.
pub struct Web {
    /// Where the live values come from.
    pub hub: Hub,
    /// What `/api/views` tells, from [`views`](super::views()).
    pub views: Vec<View>,
    /// What `/api/events` tells.
    pub events: Events,
    /// Names of the metrics that have a past: the page asks for no other.
    pub metrics: Box<dyn Fn() -> BTreeSet<String> + Send + Sync>,
    /// The past of one of them.
    pub past: Past,
}

/// `/`, `/assets/…`, `/ws`, `/api/views`, `/api/events` and `/api/openapi.json`.
pub fn router(web: Web) -> Router {
    let assets = Arc::new(Assets::new());
    let views = Views { views: web.views, metrics: web.metrics, past: web.past };
    Router::new()
        .route("/", get(page))
        .route("/assets/{*name}", get(asset))
        .with_state(assets)
        .merge(Router::new().route("/ws", get(live)).with_state(web.hub))
        .merge(Router::new().route("/api/views", get(views_now)).with_state(Arc::new(views)))
        .merge(Router::new().route("/api/openapi.json", get(json)).with_state(Json::from(openapi::DOCUMENT)))
        .merge(Router::new().route("/api/events", get(events::list)).with_state(web.events))
}

struct Views {
    views: Vec<View>,
    metrics: Box<dyn Fn() -> BTreeSet<String> + Send + Sync>,
    past: Past,
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

/// `?first=VIEW`: the hour before now of its first charts comes along.
#[derive(serde::Deserialize)]
struct Asked {
    first: Option<String>,
}

/// With the metrics of the views that there are, so that the page need not ask for those that there are not.
async fn views_now(State(web): State<Arc<Views>>, Query(asked): Query<Asked>) -> Response<Body> {
    let answered = tokio::task::spawn_blocking(move || {
        let names = (web.metrics)();
        let lines = web.views.iter().flat_map(|view| &view.charts).flat_map(|chart| &chart.lines);
        let known: BTreeSet<&str> =
            lines.flat_map(Line::metrics).filter(|name| names.contains(*name)).collect();
        let view = web.views.iter().find(|view| Some(&view.id) == asked.first.as_ref());
        let first = view.map(|view| first::of(view, &known, crate::now_ms(), &web.past));
        serde_json::to_vec(&Told { views: &web.views, known: &known, first }).unwrap_or_default()
    });
    let body = answered.await.unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

#[derive(serde::Serialize)]
struct Told<'a> {
    views: &'a [View],
    known: &'a BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<first::First>,
}

async fn json(State(document): State<Json>) -> impl IntoResponse {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))], document.to_string())
}
