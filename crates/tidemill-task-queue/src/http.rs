//! The task API over HTTP: submit, status, result, cancel, replay, list, progress as server-sent events.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::id::TaskId;
use crate::priority::Priority;
use crate::queue::TaskQueue;
use crate::record::{Filter, Record, State};
use crate::task::Draft;
use crate::timestamp::Timestamp;

/// How often progress is looked at for those who listen.
const LOOK: Duration = Duration::from_millis(250);
/// What an order may be longer than its payload, in bytes.
const AROUND: usize = 4096;

/// The routes, for tasks of these names; others are refused. Who may call them is decided by whoever mounts them.
///
/// | request | answer |
/// |---|---|
/// | `POST /tasks` `{"name", "payload", "priority", "queue", ...}` | 202 `{"id", "fresh"}` |
/// | `GET /tasks?queue=&name=&state=&before=&limit=` | 200, the newest first |
/// | `GET /tasks/{id}` | 200, all that is known |
/// | `GET /tasks/{id}/result` | 200 the result; 202 not yet; 409 it ended without one |
/// | `GET /tasks/{id}/progress` | server-sent events `progress`, and `end` at the end |
/// | `DELETE /tasks/{id}` | 200 it has ended; 202 it was asked to |
/// | `POST /tasks/{id}/replay` | 202 |
///
/// An order is at most `max_payload` and 4 KiB long. Errors are `{"error"}` with 400, 404, 409, 413, 500 or 503.
pub fn router<N: Into<String>>(queue: TaskQueue, names: impl IntoIterator<Item = N>) -> Router {
    let most = queue.config().max_payload + AROUND;
    let names = names.into_iter().map(Into::into).collect();
    Router::new()
        .route("/tasks", post(submit).get(list))
        .route("/tasks/{id}", get(status).delete(cancel))
        .route("/tasks/{id}/result", get(result))
        .route("/tasks/{id}/progress", get(progress))
        .route("/tasks/{id}/replay", post(replay))
        .layer(DefaultBodyLimit::max(most))
        .with_state(Arc::new(Desk { queue, names }))
}

struct Desk {
    queue: TaskQueue,
    names: BTreeSet<String>,
}

type AnyDesk = Shared<Arc<Desk>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    name: String,
    #[serde(default)]
    version: Option<u32>,
    payload: Box<RawValue>,
    #[serde(default)]
    queue: Option<String>,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default)]
    run_at: Option<Timestamp>,
    #[serde(default)]
    max_retries: Option<u32>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    unique_key: Option<String>,
    #[serde(default)]
    group: Option<String>,
}

impl Order {
    fn draft(self) -> Draft {
        let mut draft = Draft::raw(self.name, self.version.unwrap_or(1), self.payload.get());
        draft.queue = self.queue.unwrap_or(draft.queue);
        draft.priority = self.priority.unwrap_or(draft.priority);
        draft.run_at = self.run_at;
        draft.max_retries = self.max_retries.unwrap_or(draft.max_retries);
        draft.timeout = self.timeout_ms.map_or(draft.timeout, Duration::from_millis);
        draft.unique_key = self.unique_key;
        draft.group = self.group;
        draft
    }
}

async fn submit(Shared(desk): AnyDesk, body: Bytes) -> Result<Response, Refused> {
    let order: Order = serde_json::from_slice(&body).map_err(|error| Refused::input(error.to_string()))?;
    if !desk.names.contains(&order.name) {
        return Err(Refused(StatusCode::NOT_FOUND, "no task of this name is offered here".to_owned()));
    }
    let placed = desk.queue.submit(order.draft()).await?;
    Ok(answer(StatusCode::ACCEPTED, &json!({ "id": placed.id, "fresh": placed.fresh })))
}

async fn list(Shared(desk): AnyDesk, RawQuery(query): RawQuery) -> Result<Response, Refused> {
    let query = query.unwrap_or_default();
    let mut filter = Filter::default();
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let wrong = || Refused::input(format!("`{key}={value}` is no filter"));
        match key {
            "queue" => filter.queue = Some(value.to_owned()),
            "name" => filter.name = Some(value.to_owned()),
            "state" => {
                let state = serde_json::from_value(Value::String(value.to_owned()));
                filter.state = Some(state.map_err(|_| wrong())?);
            }
            "before" => filter.before = Some(value.parse().map_err(|_| wrong())?),
            "limit" => filter.limit = value.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
    }
    let records = desk.queue.list(filter).await?;
    Ok(answer(StatusCode::OK, &Value::Array(records.iter().map(shown).collect())))
}

async fn status(Shared(desk): AnyDesk, Path(id): Path<String>) -> Result<Response, Refused> {
    Ok(answer(StatusCode::OK, &shown(&desk.find(&id).await?)))
}

async fn result(Shared(desk): AnyDesk, Path(id): Path<String>) -> Result<Response, Refused> {
    let record = desk.find(&id).await?;
    Ok(match (record.state, record.result) {
        (State::Done, Some(result)) => ([(header::CONTENT_TYPE, "application/json")], result).into_response(),
        (state, _) if !state.is_finished() => answer(StatusCode::ACCEPTED, &json!({ "state": state })),
        (state, _) => {
            let says = json!({ "state": state, "error": record.reason, "failures": record.failures });
            answer(StatusCode::CONFLICT, &says)
        }
    })
}

async fn cancel(Shared(desk): AnyDesk, Path(id): Path<String>) -> Result<Response, Refused> {
    let ended = desk.queue.cancel(id.parse()?).await?;
    let status = if ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer(status, &json!({ "ended": ended })))
}

async fn replay(Shared(desk): AnyDesk, Path(id): Path<String>) -> Result<Response, Refused> {
    let id: TaskId = id.parse()?;
    desk.queue.replay(id).await?;
    Ok(answer(StatusCode::ACCEPTED, &json!({ "id": id })))
}

type Events = Sse<std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>>;

async fn progress(Shared(desk): AnyDesk, Path(id): Path<String>) -> Result<Events, Refused> {
    let record = desk.find(&id).await?;
    let said = |name: &str, record: &Record| {
        let says = json!({ "state": record.state, "attempt": record.attempt, "progress": record.progress });
        Ok(Event::default().event(name).data(says.to_string()))
    };
    // The first word at once, then one for each change, and the last when it has ended.
    let events = stream::unfold((desk, Some(record), None), move |(desk, now, last)| async move {
        let mut now: Record = now?;
        let mut last: Option<Record> = last;
        loop {
            if now.state.is_finished() {
                return Some((said("end", &now), (desk, None, None)));
            }
            let same = |old: &Record| {
                (old.state, old.attempt, &old.progress) == (now.state, now.attempt, &now.progress)
            };
            if !last.as_ref().is_some_and(same) {
                return Some((said("progress", &now), (desk, Some(now.clone()), Some(now))));
            }
            last = Some(now);
            let id = last.as_ref()?.id;
            // An end is told at once, by whatever process of ours it was.
            match desk.queue.wait(id, LOOK).await {
                Ok(record) => now = record,
                Err(_) => now = desk.queue.get(id).await.ok().flatten()?,
            }
        }
    });
    Ok(Sse::new(Box::pin(events)))
}

impl Desk {
    async fn find(&self, id: &str) -> Result<Record, Refused> {
        let id: TaskId = id.parse()?;
        let found = self.queue.get(id).await?;
        found
            .ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("there is no task {id}, or it was purged")))
    }
}

/// A record whose payload and result are JSON and not text that holds JSON.
fn shown(record: &Record) -> Value {
    let mut shown = serde_json::to_value(record).unwrap_or_default();
    for (field, text) in [("payload", Some(&record.payload)), ("result", record.result.as_ref())] {
        if let Some(value) = text.and_then(|text| serde_json::from_str(text).ok()) {
            shown[field] = value;
        }
    }
    shown
}

fn answer(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

struct Refused(StatusCode, String);

impl Refused {
    fn input(text: String) -> Self {
        Self(StatusCode::BAD_REQUEST, text)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Input | ErrorKind::Config => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::State | ErrorKind::Stale | ErrorKind::Failed => StatusCode::CONFLICT,
            ErrorKind::Schema => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        answer(self.0, &json!({ "error": self.1 }))
    }
}
