//! What receivers hear, whatever happens to them and to us.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tidemill_monitor::alert::{self, Alerts, Builder, Config, ReceiverConfig, Rule, Severity};
use tidemill_monitor::event::Events;
use tidemill_monitor::series::{Kind, Reading, Round, Series};
use tokio::sync::broadcast;

/// What a webhook got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) key: String,
    pub(crate) signature: String,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn status(&self) -> String {
        self.json()["status"].as_str().unwrap().to_owned()
    }
}

/// A webhook that answers as it is told: the first answers one after the other, then 200.
#[derive(Clone, Default)]
pub(crate) struct Hook {
    pub(crate) got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Hook {
    pub(crate) async fn start(answers: &[u16]) -> (Self, String) {
        let hook = Self {
            answers: Arc::new(Mutex::new(answers.iter().rev().copied().collect())),
            ..Self::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook/SECRET-PATH", listener.local_addr().unwrap());
        let routes = Router::new().route("/hook/SECRET-PATH", post(take)).with_state(hook.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (hook, url)
    }

    pub(crate) fn all(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<Got> {
        until(|| Some(self.all()).filter(|got| got.len() >= count)).await
    }
}

async fn take(State(hook): State<Hook>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header =
        |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    hook.got.lock().unwrap().push(Got {
        key: header("idempotency-key"),
        signature: header("x-tidemill-signature"),
        body,
    });
    let answer = hook.answers.lock().unwrap().pop();
    if answer == Some(0) {
        // It never answers.
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    StatusCode::from_u16(answer.unwrap_or(200)).unwrap()
}

/// Waits for something that a loaded machine may take long for.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it did not happen within a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One round of `t` whose `m` is this.
pub(crate) fn round(value: f64) -> Arc<Round> {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let target: Arc<str> = "t".into();
    let series = Arc::new(Series::new(&target, "m", &[("s", "a")], Kind::Gauge));
    // Two rounds never have the same time.
    let now = jiff::Timestamp::now().as_millisecond();
    let at_ms = LAST.fetch_max(now, Ordering::Relaxed).max(now);
    Arc::new(Round {
        target,
        at_ms,
        took: Duration::ZERO,
        error: None,
        readings: vec![Reading { series, value }],
    })
}

pub(crate) fn config(receiver: Vec<ReceiverConfig>) -> Config {
    let rule = Rule { cooldown: Duration::ZERO, ..Rule::above("hot", "m", 80.0) };
    Config { builtin: false, rule: vec![rule], receiver, ..Config::default() }
}

fn builder(config: Config, folder: &Path) -> Builder {
    Alerts::builder(config, folder.to_owned(), Events::new(100))
        .secrets(|name: &str| Some("SECRET-VALUE".to_owned()).filter(|_| name == "HOOK_SECRET"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crossed_threshold_reaches_the_webhook_signed() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, url) = Hook::start(&[]).await;
    let receiver =
        ReceiverConfig { secret_env: Some("HOOK_SECRET".to_owned()), ..ReceiverConfig::webhook("ops", &url) };
    let (send, rounds) = broadcast::channel(16);
    let alerts = builder(config(vec![receiver]), folder.path())
        .external_url("http://monitor.example/")
        .start(rounds)
        .await
        .unwrap();
    let begin = Instant::now();
    send.send(round(90.0)).unwrap();
    let got = hook.until(1).await.remove(0);
    println!("from the round to the webhook: {:?}", begin.elapsed());
    let json = got.json();
    assert_eq!((json["version"].as_str(), json["status"].as_str()), (Some("4"), Some("firing")));
    assert_eq!(json["groupLabels"]["alertname"], "hot");
    assert_eq!(json["commonLabels"]["s"], "a");
    assert_eq!(json["groupKey"], "{}:{alertname=\"hot\", target=\"t\"}");
    let alert = &json["alerts"][0];
    assert_eq!(
        (alert["endsAt"].as_str(), alert["annotations"]["value"].as_str()),
        (Some("0001-01-01T00:00:00Z"), Some("90"))
    );
    // What a receiver does to know that it was us.
    let (time, signature) = got.signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"SECRET-VALUE");
    let signed = [time.as_bytes(), b".", &got.body].concat();
    let bytes: Vec<u8> = (0..signature.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap())
        .collect();
    ring::hmac::verify(&key, &signed, &bytes).unwrap();

    send.send(round(10.0)).unwrap();
    let over = hook.until(2).await.remove(1);
    assert_eq!(over.status(), "resolved");
    assert_eq!(over.json()["alerts"][0]["startsAt"], alert["startsAt"]);
    assert_eq!(over.json()["alerts"][0]["fingerprint"], alert["fingerprint"]);
    assert_ne!(over.key, got.key);
    let report = alerts.close(Duration::from_secs(10)).await;
    assert_eq!((report.delivered, report.waiting), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_is_tried_again_by_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, url) = Hook::start(&[503, 0, 500]).await;
    let receiver =
        ReceiverConfig { timeout: Duration::from_millis(300), ..ReceiverConfig::webhook("ops", &url) };
    let (send, rounds) = broadcast::channel(16);
    let alerts = builder(config(vec![receiver]), folder.path()).start(rounds).await.unwrap();
    send.send(round(90.0)).unwrap();
    send.send(round(10.0)).unwrap();
    let got = hook.until(5).await;
    assert!(
        got[..4].iter().all(|one| one.key == got[0].key && one.body == got[0].body),
        "the same until it is taken"
    );
    assert_eq!((got[3].status(), got[4].status()), ("firing".to_owned(), "resolved".to_owned()), "in order");
    assert_eq!(alerts.handle().errors()["delivery"], 1, "one notification failed, however often");
    alerts.close(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_given_up_and_alerts_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, url) = Hook::start(&[400]).await;
    let mut config = config(vec![ReceiverConfig::webhook("ops", &url)]);
    config.rule.push(Rule {
        kind: alert::Kind::Rate,
        severity: Severity::Error,
        ..Rule::above("monitor-errors", "monitor_errors_total", 0.0)
    });
    let (send, rounds) = broadcast::channel(16);
    let alerts = builder(config, folder.path()).start(rounds).await.unwrap();
    // The first of its own rounds is the one that later ones are compared with.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    send.send(round(90.0)).unwrap();
    let got = hook.until(2).await;
    assert_eq!(got[1].json()["commonLabels"]["kind"], "delivery", "{:?}", got[1]);
    let view = alerts.handle().view().await;
    assert_eq!(view["notifications"]["lost"], 1);
    alerts.close(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_neither_repeats_nor_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, url) = Hook::start(&[503; 1000]).await;
    let config =
        config(vec![ReceiverConfig::webhook("ops", &url), ReceiverConfig::log("alerts.jsonl".into())]);
    let (send, rounds) = broadcast::channel(16);
    let alerts = builder(config.clone(), folder.path()).start(rounds).await.unwrap();
    send.send(round(90.0)).unwrap();
    hook.until(1).await;
    let report = alerts.close(Duration::from_millis(100)).await;
    assert_eq!((report.delivered, report.waiting), (1, 1), "the file has it, the webhook has not");

    hook.answers.lock().unwrap().clear();
    let before = hook.all().len();
    let (send, rounds) = broadcast::channel(16);
    let alerts = builder(config, folder.path()).start(rounds).await.unwrap();
    let got = hook.until(before + 1).await;
    assert_eq!(got[before].key, got[0].key);
    // It fires still, and nobody has to hear that again.
    send.send(round(95.0)).unwrap();
    send.send(round(10.0)).unwrap();
    let got = hook.until(before + 2).await;
    assert_eq!(got[before + 1].status(), "resolved");
    assert_eq!(alerts.close(Duration::from_secs(10)).await.waiting, 0);

    let log = std::fs::read_to_string(folder.path().join("alerts.jsonl")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line["level"].as_str().unwrap(), line["change"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("WARNING", "fired"), ("INFO", "resolved")]);
    assert_eq!(lines[0]["event"], "threshold_violation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_the_five_events_at_four_levels() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(vec![ReceiverConfig::log("alerts.jsonl".into())]);
    config.rule[0].severity = Severity::Error;
    config.rule.push(Rule { severity: Severity::Critical, ..Rule::above("poor", alert::POOR_ROUNDS, 4.0) });
    config.rule.push(Rule {
        kind: alert::Kind::Degradation,
        above: None,
        samples: 5,
        severity: Severity::Warning,
        ..Rule::above("slow", "m", 0.0)
    });
    let (send, rounds) = broadcast::channel(64);
    let alerts = builder(config, folder.path()).began("watching began").start(rounds).await.unwrap();
    for value in [50.0; 10].into_iter().chain([90.0; 6]) {
        send.send(round(value)).unwrap();
    }
    let handle = alerts.handle();
    handle
        .notice(alert::Notice {
            name: alert::AUTO_TUNING.to_owned(),
            severity: Severity::Info,
            target: "t".to_owned(),
            summary: "workers 4 -> 6".to_owned(),
            recommendation: String::new(),
        })
        .await;
    let file = folder.path().join("alerts.jsonl");
    let lines = until(|| {
        let text = std::fs::read_to_string(&file).ok()?;
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).ok()).collect::<Option<_>>()?;
        Some(lines).filter(|lines| lines.len() >= 5)
    })
    .await;
    let mut seen: Vec<_> = lines
        .iter()
        .map(|line| format!("{} {}", line["level"].as_str().unwrap(), line["event"].as_str().unwrap()))
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            "CRITICAL consecutive_poor_performance",
            "ERROR threshold_violation",
            "INFO auto_tuning_started",
            "INFO post_deployment_monitoring_started",
            "WARNING performance_degradation_detected",
        ]
    );
    alerts.close(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn secrets_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = ReceiverConfig {
        url: None,
        url_env: Some("HOOK_SECRET".to_owned()),
        ..ReceiverConfig::webhook("ops", "http://127.0.0.1:9/")
    };
    let (_send, rounds) = broadcast::channel(16);
    // The variable holds no address; the complaint names the receiver and not what it holds.
    let error = builder(config(vec![receiver.clone()]), folder.path()).start(rounds).await.unwrap_err();
    assert!(error.contains("ops") && !error.contains("SECRET-VALUE"), "{error}");
    let absent = ReceiverConfig { url_env: Some("NO_SUCH".to_owned()), ..receiver };
    let (_send, rounds) = broadcast::channel(16);
    let error = builder(config(vec![absent]), folder.path()).start(rounds).await.unwrap_err();
    assert!(error.contains("NO_SUCH") && error.contains("not set"), "{error}");

    let receiver = ReceiverConfig {
        secret_env: Some("HOOK_SECRET".to_owned()),
        ..ReceiverConfig::webhook("ops", "http://127.0.0.1:9/SECRET-PATH")
    };
    let (send, rounds) = broadcast::channel(16);
    let alerts = builder(config(vec![receiver]), folder.path()).start(rounds).await.unwrap();
    send.send(round(90.0)).unwrap();
    until(|| Some(()).filter(|()| alerts.handle().errors()["delivery"] > 0)).await;
    let view = alerts.handle().view().await.to_string();
    assert!(!format!("{view} {alerts:?}").contains("SECRET"), "{view}");
    alerts.close(Duration::from_millis(10)).await;
    let state = std::fs::read_to_string(folder.path().join("alerts.json")).unwrap();
    assert!(!state.contains("SECRET"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_shows_acknowledges_and_silences() {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    let folder = tempfile::tempdir().unwrap();
    let (send, rounds) = broadcast::channel(16);
    let alerts = builder(config(Vec::new()), folder.path()).start(rounds).await.unwrap();
    send.send(round(90.0)).unwrap();
    let routes = alert::router(alerts.handle()).merge(alert::changes(alerts.handle()));
    let ask = |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        let routes = routes.clone();
        async move {
            let answer = routes.oneshot(request).await.unwrap();
            let status = answer.status().as_u16();
            let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            (status, serde_json::from_slice::<Value>(&bytes).unwrap_or_default())
        }
    };
    let handle = alerts.handle();
    let begin = Instant::now();
    while handle.view().await["active"].as_array().unwrap().is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (_, view) = ask("GET", "/api/alerts", "").await;
    let active = &view["active"][0];
    assert_eq!((active["state"].as_str(), active["value"].as_f64()), (Some("firing"), Some(90.0)));
    let id = active["id"].as_str().unwrap();
    assert_eq!(ask("POST", &format!("/api/alerts/{id}/acknowledge"), "{\"by\": \"me\"}").await.0, 204);
    assert_eq!(ask("POST", "/api/alerts/no-such/acknowledge", "").await.0, 404);
    assert_eq!(ask("POST", &format!("/api/alerts/{id}/acknowledge"), "nonsense").await.0, 400);
    let (status, silence) =
        ask("POST", "/api/silences", "{\"matchers\": [{\"name\": \"s\", \"value\": \"a\"}], \"minutes\": 5}")
            .await;
    assert_eq!(status, 201);
    let (_, view) = ask("GET", "/api/alerts", "").await;
    assert_eq!(view["active"][0]["acknowledged"]["by"], "me");
    assert_eq!(
        (view["active"][0]["state"].as_str(), view["silences"][0]["by"].as_str()),
        (Some("silenced"), Some("api"))
    );
    let path = format!("/api/silences/{}", silence["id"].as_str().unwrap());
    assert_eq!(ask("DELETE", &path, "").await.0, 204);
    let (status, refused) = ask("DELETE", &path, "").await;
    assert_eq!((status, refused["do"].as_str().is_some()), (404, true));
    let (status, refused) = ask("POST", "/api/silences", "{\"matchers\": []}").await;
    assert_eq!((status, refused["error"].as_str().is_some()), (422, true));
    assert_eq!(ask("POST", "/api/silences", &"x".repeat(100_000)).await.0, 413);
    alerts.close(Duration::from_secs(10)).await;
}
