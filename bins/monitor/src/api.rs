//! What is served of metrics, history and health.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::json;

use crate::current::{Current, Target};
use crate::health::{Judge, Verdict};
use crate::history::{History, Question, file_name};
use crate::meters::Meters;
use crate::probe::Probes;
use crate::{backup, now_ms};

/// Points of a series when nothing else is asked for.
const POINTS: usize = 600;
/// Points of a series, at most.
const MOST_POINTS: usize = 100_000;
/// Hours that may be asked for: ten years.
const MOST_HOURS: f64 = 24.0 * 366.0 * 10.0;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Api {
    /// The last rounds.
    pub current: Current,
    /// The past.
    pub history: History,
    /// What is good and bad.
    pub judge: Judge,
    /// What must answer.
    pub probes: Probes,
    /// The monitor's own numbers.
    pub meters: Meters,
    /// Where backups go, and of what.
    pub backup: Arc<backup::Config>,
    /// Folder of everything kept.
    pub data: Arc<std::path::PathBuf>,
    /// When this process began.
    pub started: Instant,
}

/// Why there is no answer, as JSON: what is wrong, and what to do.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: String,
    remedy: &'static str,
}

impl Refusal {
    fn bad(error: impl Into<String>, remedy: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: error.into(), remedy }
    }

    fn failed(error: &anyhow::Error) -> Self {
        tracing::warn!(error = format!("{error:#}"), "a request failed");
        let remedy = "see the monitor's log, and run tidemill-monitor check";
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, error: format!("{error:#}"), remedy }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, axum::Json(json!({"error": self.error, "do": self.remedy}))).into_response()
    }
}

/// Everything that changes nothing.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/api/metrics", get(names))
        .route("/api/metrics/current", get(current))
        .route("/api/metrics/history", get(history))
        .route("/api/history/export", get(export))
        .route("/api/health", get(health))
        .route("/api/probes", get(probes))
        .route("/metrics", get(metrics))
        .with_state(api)
}

/// What changes something: it belongs behind the token.
pub fn changing(api: Api) -> Router {
    Router::new().route("/api/backup", post(make_backup)).with_state(api)
}

async fn current(State(api): State<Api>) -> Response {
    axum::Json(json!({"at_ms": now_ms(), "targets": api.current.targets(true)})).into_response()
}

async fn names(State(api): State<Api>) -> Response {
    let all = api.history.metrics().into_iter();
    let names: Vec<_> = all.map(|(metric, target)| json!({"metric": metric, "target": target})).collect();
    axum::Json(json!({"metrics": names})).into_response()
}

async fn history(
    State(api): State<Api>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let question = question(&query, now_ms())?;
    if question.metric.is_empty() {
        return Err(Refusal::bad("metric is missing", "name one of /api/metrics, as in ?metric=up&hours=24"));
    }
    // What memory answers takes under a millisecond, but a month of the disk does not.
    let answered = tokio::task::spawn_blocking(move || {
        let answer = api.history.ask(&question)?;
        Ok::<_, anyhow::Error>(serde_json::to_vec(&answer)?)
    });
    let body = answered.await.map_err(|error| Refusal::failed(&error.into()))?;
    let body = body.map_err(|error| Refusal::failed(&error))?;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

fn question(query: &[(String, String)], now_ms: i64) -> Result<Question, Refusal> {
    let mut question = Question { to_ms: now_ms, points: POINTS, ..Question::default() };
    let (mut hours, mut from) = (1.0, None);
    for (name, value) in query {
        let wrong =
            |wanted: &'static str| Refusal::bad(format!("{name}={value:?} is not understood"), wanted);
        match name.as_str() {
            "metric" => question.metric.clone_from(value),
            "target" => question.target = Some(value.clone()),
            "hours" => {
                hours = value.parse().map_err(|_| wrong("give a number of hours"))?;
                if !(hours > 0.0 && hours <= MOST_HOURS) {
                    return Err(wrong("give hours above 0, at most ten years of them"));
                }
            }
            "from_ms" => from = Some(value.parse().map_err(|_| wrong("give milliseconds since 1970"))?),
            "to_ms" => question.to_ms = value.parse().map_err(|_| wrong("give milliseconds since 1970"))?,
            "points" => {
                question.points = value.parse().map_err(|_| wrong("give a number of points"))?;
                if !(1..=MOST_POINTS).contains(&question.points) {
                    return Err(wrong("give 1 to 100000 points"));
                }
            }
            other => match other.strip_prefix("label.") {
                Some(label) => question.labels.push((label.to_owned(), value.clone())),
                None => {
                    return Err(Refusal::bad(
                        format!("{other:?} is no parameter"),
                        "known are metric, target, label.NAME, hours, from_ms, to_ms, points",
                    ));
                }
            },
        }
    }
    question.from_ms = from.unwrap_or(question.to_ms.saturating_sub((hours * 3_600_000.0) as i64));
    // Beyond these no date can be told.
    let sane = 0..=253_402_300_799_000;
    if !sane.contains(&question.from_ms)
        || !sane.contains(&question.to_ms)
        || question.from_ms >= question.to_ms
    {
        return Err(Refusal::bad("from_ms must lie before to_ms, both after 1970", "swap or mend them"));
    }
    Ok(question)
}

async fn export(
    State(api): State<Api>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let now = now_ms();
    let question = question(&query, now)?;
    let (to_client, body) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(4);
    let history = api.history.clone();
    tokio::task::spawn_blocking(move || {
        let mut pipe = std::io::BufWriter::with_capacity(64 << 10, Pipe(to_client));
        let written = history.export(question.from_ms, question.to_ms, question.points, &mut pipe);
        if let Err(error) = written {
            tracing::warn!(error = format!("{error:#}"), "an export ended early");
            pipe.get_ref().0.blocking_send(Err(std::io::Error::other("the export ended early"))).ok();
        }
    });
    let body = Body::from_stream(futures_util::stream::unfold(body, |mut body| async {
        body.recv().await.map(|piece| (piece, body))
    }));
    let name = format!("attachment; filename=\"{}\"", file_name(now));
    Ok(([(CONTENT_TYPE, "application/json".to_owned()), (CONTENT_DISPOSITION, name)], body).into_response())
}

/// Bytes on their way from a thread to a client; a client that left ends the writing.
struct Pipe(tokio::sync::mpsc::Sender<Result<bytes::Bytes, std::io::Error>>);

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let piece = bytes::Bytes::copy_from_slice(bytes);
        self.0.blocking_send(Ok(piece)).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Serialize)]
struct Health {
    status: tidemill_metrics::Status,
    at_ms: i64,
    verdicts: Vec<Verdict>,
    targets: Vec<Target>,
    monitor: Own,
}

#[derive(Serialize)]
struct Own {
    version: &'static str,
    uptime_s: f64,
    history: crate::history::Stats,
}

async fn health(State(api): State<Api>) -> Response {
    let (status, verdicts) = api.judge.verdicts();
    let uptime_s = api.started.elapsed().as_secs_f64();
    let monitor = Own { version: env!("CARGO_PKG_VERSION"), uptime_s, history: api.history.stats() };
    let targets = api.current.targets(false);
    axum::Json(Health { status, at_ms: now_ms(), verdicts, targets, monitor }).into_response()
}

async fn probes(State(api): State<Api>) -> Response {
    axum::Json(json!({"at_ms": now_ms(), "probes": api.probes.report(now_ms())})).into_response()
}

async fn metrics(State(api): State<Api>) -> Response {
    ([(CONTENT_TYPE, tidemill_metrics::CONTENT_TYPE)], api.meters.expose()).into_response()
}

async fn make_backup(State(api): State<Api>) -> Result<Response, Refusal> {
    let made = tokio::task::spawn_blocking(move || copy(&api.history, &api.data, &api.backup)).await;
    let made = made.map_err(|error| Refusal::failed(&error.into()))?;
    made.map(|report| axum::Json(report).into_response()).map_err(|error| Refusal::failed(&error))
}

/// Publishes, then copies: everything committed until now is in it. Blocks.
///
/// # Errors
/// What could not be copied.
pub fn copy(
    history: &History,
    data: &std::path::Path,
    config: &backup::Config,
) -> anyhow::Result<backup::Report> {
    history.publish()?;
    let into = config.folder(data);
    std::fs::create_dir_all(&into)?;
    backup::make(data, &into, config.keep, now_ms())
}

/// How long open requests may take at the end.
pub const CLOSE: Duration = Duration::from_secs(5);
