//! Where the parts' numbers become metrics, and the state of the run becomes `/health`.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tidemill_metrics::{Gauge, Registry};

use crate::collector::Collector;
use crate::lease::Counts;
use crate::provider::Provider;

/// The state of a run as `/health` shows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Health {
    /// A pass runs now.
    pub passing: bool,
    /// Passes ended since the start.
    pub passes: u64,
    /// Whether the last pass left nothing missing.
    pub complete: Option<bool>,
    /// Why the last pass ended early.
    pub ended_early: Option<String>,
}

/// Serves what is known of a collector.
#[derive(Clone, Debug)]
pub struct Bridge {
    registry: Registry,
    providers: Arc<[Watched]>,
    leases: Option<Counts>,
    health: Arc<Mutex<Health>>,
}

/// A provider's limiter with the gauges that show it.
#[derive(Debug)]
struct Watched {
    provider: Arc<Provider>,
    in_flight: Gauge,
    waiters: Gauge,
    limits: Vec<Gauge>,
}

impl Bridge {
    /// Registers the gauges of `collector`.
    pub fn new(collector: &Collector, health: Arc<Mutex<Health>>) -> Result<Self> {
        let registry = collector.registry.clone();
        let watched = collector.providers.iter().map(|provider| Watched::new(&registry, provider));
        let providers = watched.collect::<Result<Vec<_>>>()?.into();
        let leases = collector.leases.as_ref().map(|leases| Counts::new(&registry, leases)).transpose()?;
        Ok(Self { registry, providers, leases, health })
    }

    /// `GET /health` and `GET /metrics`.
    pub fn router(self) -> Router {
        Router::new().route("/health", get(health)).route("/metrics", get(metrics)).with_state(self)
    }

    fn render(&self) -> String {
        for watched in self.providers.iter() {
            watched.read();
        }
        self.leases.iter().for_each(Counts::read);
        self.registry.to_text()
    }
}

impl Watched {
    fn new(registry: &Registry, provider: &Arc<Provider>) -> Result<Self> {
        let name = provider.name.as_str();
        let of = [("provider", name)];
        let limit = |index: usize| {
            let index = index.to_string();
            let help = "Requests a window is taken to allow, by limit in the order of the configuration.";
            registry.gauge("limit_requests", help).with(&[("provider", name), ("limit", &index)])
        };
        Ok(Self {
            provider: Arc::clone(provider),
            in_flight: registry.gauge("requests_in_flight", "Requests sent and not answered.").with(&of)?,
            waiters: registry.gauge("permit_waiters", "Work items that wait for a permit.").with(&of)?,
            limits: (0..provider.pool.stats().limits.len()).map(limit).collect::<Result<_, _>>()?,
        })
    }

    fn read(&self) {
        let stats = self.provider.pool.stats();
        self.in_flight.set(f64::from(stats.in_flight));
        self.waiters.set(stats.waiters as f64);
        for (gauge, limit) in self.limits.iter().zip(&stats.limits) {
            gauge.set(f64::from(limit.learned));
        }
    }
}

async fn metrics(State(bridge): State<Bridge>) -> Response {
    ([(CONTENT_TYPE, tidemill_metrics::CONTENT_TYPE)], bridge.render()).into_response()
}

/// 200 while all is well, 503 when the last pass left something missing; the body says what.
async fn health(State(bridge): State<Bridge>) -> Response {
    let health = bridge.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let status =
        if health.complete == Some(false) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = serde_json::to_string(&health).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}
