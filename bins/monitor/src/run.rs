//! Puts a monitor together and lets it run.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result};
use axum::Router;
use tidemill_metrics::Status;
use tidemill_shell::exit::{Exit, Failure, OrExit as _};
use tidemill_shell::serve::{self, Limits, Server};
use tidemill_shell::signals::Shutdown;
use tokio::sync::broadcast::error::RecvError;

use crate::alert::{self, Alerts};
use crate::api::{self, Api};
use crate::config::Config;
use crate::current::Current;
use crate::event::{Event, Events};
use crate::health::{self, Judge, SAVE_EVERY};
use crate::history::History;
use crate::http::Client;
use crate::logs::{self, Logs};
use crate::meters::Meters;
use crate::probe::Probes;
use crate::series::Round;
use crate::tune::{self, Around, Notify, Tuning};
use crate::watch::{self, Rounds};
use crate::web::{self, Hub, Web};
use crate::{backup, now_ms};

/// Bad rounds in a row that are told as `consecutive_poor_performance`.
const POOR: u32 = 5;

/// What the parts of a running monitor share.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// The configuration it was built from.
    pub config: Arc<Config>,
    /// The last rounds.
    pub current: Current,
    /// All rounds, as they come.
    pub rounds: Rounds,
    /// What happened.
    pub events: Events,
    /// The past.
    pub history: History,
    /// What is good and bad.
    pub judge: Judge,
    /// What must answer.
    pub probes: Probes,
    /// The monitor's own numbers.
    pub meters: Meters,
    /// Who watches the page.
    pub hub: Hub,
}

/// Watches, keeps, judges and serves until a signal; then everything is written down. `config` has been checked.
///
/// # Errors
/// What keeps it from starting, as bad input; what was lost at the end.
pub async fn run(
    config: Config,
    shutdown: &Shutdown,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    let client = Client::new(config.monitor.answers_max_bytes)?;
    let (monitor, writing) = open(config).await.or_exit(Exit::BAD_INPUT)?;
    // Who listens begins before the first round is told.
    let taking = tokio::spawn(take(monitor.clone()));
    let (hub, rounds, events) = (monitor.hub.clone(), monitor.rounds.subscribe(), monitor.events.subscribe());
    let showing = tokio::spawn(async move { hub.follow(rounds, events).await });
    let drain = monitor.config.monitor.drain.min(api::CLOSE);
    let ended = match serve(&monitor, &client, started, shutdown, env).await {
        Ok(Serving { tasks, server, alerts, logs, tuning }) => {
            begun(&monitor, &server, &alerts).await;
            let backups = tokio::spawn(back_up(monitor.clone()));
            shutdown.draining().await;
            drop(tasks);
            backups.abort();
            monitor.hub.close(drain).await;
            server.close(drain).await;
            // Before the alerts: what it puts back is told.
            tuning.close(drain).await;
            logs.close().await;
            alerts.close(drain).await;
            Ok(Exit::COMPLETE)
        }
        Err(error) => Err(error).or_exit(Exit::BAD_INPUT),
    };
    taking.abort();
    showing.abort();
    tracing::info!("writing down what is kept");
    let (judge, probes) = (monitor.judge.clone(), monitor.probes.clone());
    let closed = tokio::task::spawn_blocking(move || {
        let saved = [judge.save(), probes.save()];
        writing.close()?;
        saved.into_iter().collect::<Result<()>>()
    });
    let closed = closed.await.context("closing panicked")?;
    let exit = ended?;
    closed?;
    Ok(exit)
}

/// What runs until the end.
struct Serving {
    tasks: tokio::task::JoinSet<()>,
    server: Server,
    alerts: Alerts,
    logs: Logs,
    tuning: Tuning,
}

/// The ways to the parts that have routes of their own.
struct Parts {
    alerts: alert::Handle,
    logs: logs::Handle,
    tuning: tune::Handle,
}

async fn serve(
    monitor: &Monitor,
    client: &Client,
    started: Instant,
    shutdown: &Shutdown,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Serving> {
    let alerts = alerts(monitor, client, env).await?;
    let rounds = monitor.rounds.clone();
    let (config, data) = (monitor.config.logs.clone(), monitor.config.monitor.data.clone());
    let logs =
        Logs::start(config, data, move |round| rounds.tell(round)).await.map_err(anyhow::Error::msg)?;
    let tuning = tuning(monitor, client, &alerts, env).await?;
    let parts = Parts { alerts: alerts.handle(), logs: logs.handle(), tuning: tuning.handle() };
    monitor.meters.tell_of(&monitor.hub, parts.alerts.clone(), parts.tuning.clone());
    let router = router(monitor, started, parts, env)?;
    let ending = shutdown.clone();
    let until = async move { ending.draining().await };
    let server = serve::serve(monitor.config.monitor.addr(), router, Limits::default(), until).await?;
    let tasks = watch::start(&monitor.config, client, &monitor.rounds, &monitor.probes, env)?;
    Ok(Serving { tasks, server, alerts, logs, tuning })
}

async fn alerts(monitor: &Monitor, client: &Client, env: &dyn Fn(&str) -> Option<String>) -> Result<Alerts> {
    let m = &monitor.config.monitor;
    let config = monitor.config.alerts();
    // What is looked up later is looked up now: the environment is the command's.
    let named: std::collections::HashMap<String, String> = config
        .receiver
        .iter()
        .flat_map(|receiver| [&receiver.secret_env, &receiver.token_env, &receiver.url_env])
        .flatten()
        .filter_map(|name| Some((name.clone(), env(name)?)))
        .collect();
    let url = match m.external_url.as_str() {
        "" => format!("http://{}{}", m.addr(), m.prefix),
        url => url.to_owned(),
    };
    let current = monitor.current.clone();
    Alerts::builder(config, m.data.join("alerts"), monitor.events.clone())
        .client(client.clone())
        .external_url(&url)
        .secrets(move |name| named.get(name).cloned())
        .derive(move |round| health::derived(round, &current))
        .start(monitor.rounds.subscribe())
        .await
        .map_err(anyhow::Error::msg)
}

async fn tuning(
    monitor: &Monitor,
    client: &Client,
    alerts: &Alerts,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Tuning> {
    let current = monitor.current.clone();
    let around = Around {
        data: monitor.config.monitor.data.clone(),
        client: client.clone(),
        rounds: monitor.rounds.subscribe(),
        derive: Box::new(move |round| health::derived(round, &current)),
        notify: Notify { events: monitor.events.clone(), alerts: Some(alerts.handle()) },
    };
    let enabled = monitor.config.monitor.auto_tuning;
    Tuning::start(&monitor.config.tuning, enabled, around, env).await.map_err(anyhow::Error::msg)
}

async fn open(config: Config) -> Result<(Monitor, crate::history::Writing)> {
    let opened = tokio::task::spawn_blocking(move || {
        let data = &config.monitor.data;
        std::fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
        let judge = Judge::open(data, config.limits())?;
        let probes = Probes::open(data, &config.probes)?;
        let slowest = config.targets.iter().filter_map(|target| target.interval);
        let slowest = slowest.fold(config.monitor.interval, std::time::Duration::max);
        let span = slowest * u32::try_from(config.history.values).unwrap_or(u32::MAX);
        let (history, writing) = History::open(data, config.history.clone(), span, now_ms())?;
        let current = Current::default();
        for (name, url) in watched(&config) {
            current.declare(name, url);
        }
        let ours = ours(&config);
        let meters = Meters::new(&current, &history, ours)?;
        let rounds = Rounds::new(current.clone());
        let events = Events::new(config.monitor.events);
        let hub = Hub::new(&config.web, config.monitor.interval, &config.monitor.prefix);
        let config = Arc::new(config);
        let monitor = Monitor { config, current, rounds, events, history, judge, probes, meters, hub };
        anyhow::Ok((monitor, writing))
    });
    opened.await.context("opening panicked")?
}

/// Every target with where it answers.
fn watched(config: &Config) -> Vec<(&str, Option<&str>)> {
    let host = config.monitor.host.then_some(("host", None));
    let business = (!config.business.is_empty()).then_some(("business", None));
    let targets = config.targets.iter().map(|target| (target.name.as_str(), Some(target.url.as_str())));
    let metrics = config.metrics.iter().map(|metric| (metric.name.as_str(), metric.url.as_deref()));
    let probes = config.probes.iter().map(|probe| (probe.name.as_str(), probe.url.as_deref()));
    host.into_iter().chain(targets).chain(metrics).chain(probes).chain(business).collect()
}

/// Targets whose values nobody else exposes.
fn ours(config: &Config) -> Vec<Arc<str>> {
    let metrics = config.metrics.iter().map(|metric| metric.name.as_str());
    let probes = config.probes.iter().map(|probe| probe.name.as_str());
    ["host", "business"].into_iter().chain(metrics).chain(probes).map(Arc::from).collect()
}

/// Every route, below the prefix.
fn router(
    monitor: &Monitor,
    started: Instant,
    parts: Parts,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Router> {
    let config = &monitor.config;
    let api = Api {
        current: monitor.current.clone(),
        history: monitor.history.clone(),
        judge: monitor.judge.clone(),
        probes: monitor.probes.clone(),
        meters: monitor.meters.clone(),
        backup: Arc::new(config.backup.clone()),
        data: Arc::new(config.monitor.data.clone()),
        started,
    };
    let token = match &config.monitor.token_env {
        None => None,
        Some(name) => Some(env(name).with_context(|| format!("the environment variable {name} is not set"))?),
    };
    let changing = api::changing(api.clone())
        .merge(alert::changes(parts.alerts.clone()))
        .merge(tune::changes(parts.tuning.clone()));
    let changing = serve::protect(changing, config.monitor.addr(), token.as_deref())?;
    let (history, past) = (monitor.history.clone(), monitor.history.clone());
    let page = Web {
        hub: monitor.hub.clone(),
        views: web::views(config),
        events: monitor.events.clone(),
        metrics: Box::new(move || history.metrics().into_iter().map(|(name, _)| name.to_string()).collect()),
        past: Box::new(move |question| {
            // The page asks again by itself, and is told then what is wrong.
            past.ask(question).inspect_err(|error| tracing::debug!(%error, "the past cannot be read")).ok()
        }),
    };
    let told = alert::router(parts.alerts).merge(logs::router(parts.logs)).merge(tune::router(parts.tuning));
    let router = api::router(api).merge(told).merge(changing).merge(web::router(page));
    Ok(web::within(&config.monitor.prefix, router))
}

/// Says that watching began: to whoever started it, then to all who are told.
async fn begun(monitor: &Monitor, server: &Server, alerts: &Alerts) {
    let address = format!("http://{}{}", server.addr(), monitor.config.monitor.prefix);
    tracing::info!(event = "post_deployment_monitoring_started", %address, "watching");
    use std::io::Write as _;
    // Nobody is left to be told that standard output is closed.
    writeln!(std::io::stdout(), "watching; see {address}").ok();
    let notice = alert::Notice {
        name: alert::STARTED.to_owned(),
        severity: alert::Severity::Info,
        target: "monitor".to_owned(),
        summary: "monitoring started".to_owned(),
        recommendation: String::new(),
    };
    alerts.handle().notice(notice).await;
}

/// Takes rounds as they come: into history, to the judge, into the meters.
async fn take(monitor: Monitor) {
    let mut rounds = monitor.rounds.subscribe();
    let mut up = std::collections::HashMap::new();
    let mut saved = Instant::now();
    loop {
        let round = match rounds.recv().await {
            Ok(round) => round,
            Err(RecvError::Lagged(missed)) => {
                monitor.meters.missed(missed);
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        monitor.history.take(&round);
        monitor.meters.take(&round);
        judge(&monitor, &round);
        let before = up.insert(Arc::clone(&round.target), round.is_up());
        if before.is_some_and(|before| before != round.is_up()) || (before.is_none() && !round.is_up()) {
            turned(&monitor, &round);
        }
        if saved.elapsed() >= SAVE_EVERY {
            saved = Instant::now();
            let judge = monitor.judge.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(error) = judge.save() {
                    tracing::warn!(error = format!("{error:#}"), "what is usual cannot be written down");
                }
            });
        }
    }
}

fn judge(monitor: &Monitor, round: &Round) {
    let Some(judged) = monitor.judge.take(round, &monitor.current, SystemTime::now()) else { return };
    let findings = &judged.assessment.findings;
    for finding in findings.iter().filter(|finding| judged.degraded.contains(&finding.vital)) {
        tracing::warn!(
            event = "performance_degradation_detected",
            target_name = %round.target,
            value = finding.value,
            "{}",
            finding.recommendation
        );
        monitor.events.publish(Event {
            at_ms: round.at_ms,
            kind: "degradation",
            title: format!("{}: {}", round.target, finding.recommendation),
            severity: Some("warning"),
            detail: None,
        });
    }
    if judged.assessment.consecutive_poor == POOR {
        let critical = judged.assessment.status == Status::Critical;
        let title = format!("{} was poor {POOR} times in a row", round.target);
        tracing::error!(event = "consecutive_poor_performance", critical, "{title}");
        let severity = Some(if critical { "critical" } else { "error" });
        monitor.events.publish(Event {
            at_ms: round.at_ms,
            kind: "degradation",
            title,
            severity,
            detail: None,
        });
    }
}

fn turned(monitor: &Monitor, round: &Round) {
    let (title, severity) = match &round.error {
        None => (format!("{} answers again", round.target), "info"),
        Some(error) => (format!("{} does not answer: {error}", round.target), "error"),
    };
    tracing::warn!(target_name = %round.target, "{title}");
    let at_ms = round.at_ms;
    monitor.events.publish(Event { at_ms, kind: "target", title, severity: Some(severity), detail: None });
}

/// Backups on their schedule. The next one is due `every` after the newest that is there, restarts or not.
async fn back_up(monitor: Monitor) {
    let Some(every) = monitor.config.backup.every else { return };
    // There is nothing to copy before the first rounds.
    tokio::time::sleep(monitor.config.monitor.interval * 2).await;
    loop {
        let (history, config) = (monitor.history.clone(), Arc::clone(&monitor.config));
        let made = tokio::task::spawn_blocking(move || {
            let into = config.backup.folder(&config.monitor.data);
            let age = backup::all(&into)?
                .pop()
                .and_then(|newest| newest.metadata().ok()?.modified().ok()?.elapsed().ok());
            match age {
                Some(age) if age < every => Ok((None, every - age)),
                _ => Ok((Some(api::copy(&history, &config.monitor.data, &config.backup)?), every)),
            }
        });
        let wait = match made.await {
            Ok(Ok((report, wait))) => {
                if let Some(report) = report {
                    tracing::info!(path = %report.path.display(), bytes = report.bytes, "backup made and verified");
                }
                wait
            }
            Ok(Err(error)) => {
                let error: anyhow::Error = error;
                tracing::error!(error = format!("{error:#}"), "no backup could be made; it is tried again");
                every.min(std::time::Duration::from_secs(60))
            }
            Err(_) => every,
        };
        tokio::time::sleep(wait.max(std::time::Duration::from_secs(1))).await;
    }
}
