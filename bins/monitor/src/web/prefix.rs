//! Everything below a path, as a proxy that shares its host with others wants it.

use axum::Router;
use axum::middleware::map_response;
use axum::response::Redirect;
use axum::routing::get;

use super::headers::secured;

/// The routes below `prefix`, which is empty or like `/monitor`, with the headers of every answer. The page finds
/// everything relative to itself, so the prefix itself leads to the prefix with a slash.
pub fn within(prefix: &str, routes: Router) -> Router {
    let all = if prefix.is_empty() {
        routes
    } else {
        let home = format!("{prefix}/");
        let to_home = move || std::future::ready(Redirect::permanent(&home));
        // A nested "/" answers the prefix without the slash; the page wants it with.
        Router::new().route(prefix, get(to_home)).nest_service(&format!("{prefix}/"), routes)
    };
    all.layer(map_response(secured))
}
