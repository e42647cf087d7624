//! A real Alertmanager over its API v2: everything that fires, again and again, and what ended lately with its end.
//!
//! It has no queue: each request holds the state of now, so one that was missed is made up by the next. An alert is always sent
//! whole, since a resolve without annotations would wipe them there.

use std::collections::HashSet;

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::console::time;
use super::webhook::{Attempt, annotations, judge, value};
use super::{ReceiverConfig, Secret};
use crate::address::Address;
use crate::alert::active::{Alert, Change, Event};
use crate::alert::engine::Engine;
use crate::alert::severity::Severity;
use crate::http::{Client, Request};

/// So long after its end an alert is sent with it, as Prometheus does: an Alertmanager that was away hears it too.
const RESOLVED_MS: i64 = 15 * 60_000;

/// Where an Alertmanager is.
#[derive(Clone, Debug)]
pub(crate) struct Alertmanager {
    pub(crate) url: Address,
    pub(crate) token: Option<Secret>,
    pub(crate) config: ReceiverConfig,
    pub(crate) external_url: String,
}

impl Alertmanager {
    /// All it has to know at this moment.
    pub(crate) fn body(&self, engine: &Engine, now_ms: i64) -> Vec<Value> {
        // If we die it ends there by itself, after four times without us.
        let resend_ms = i64::try_from(self.config.resend.as_millis()).unwrap_or(60_000);
        let lasts = now_ms + 4 * resend_ms;
        let wants = |alert: &Alert| {
            alert.severity >= self.config.min_severity
                && self.config.matchers.iter().all(|matcher| matcher.matches(&alert.labels))
        };
        let mut all: Vec<Value> = Vec::new();
        // By what it is known there; the newest word counts.
        let mut said: HashSet<(&str, Severity)> = HashSet::new();
        for alert in engine.active().filter(|alert| alert.told_ms.is_some() && wants(alert)) {
            said.insert((&alert.id, alert.severity));
            all.push(self.alert(alert, alert.severity, lasts));
        }
        let late = |event: &&Event| event.told && event.at_ms > now_ms - RESOLVED_MS;
        for event in engine.history().rev().filter(late) {
            let alert = &event.alert;
            let (severity, ends_ms) = match event.change {
                Change::Resolved => (alert.severity, event.at_ms),
                // With its severity an alert changes its identity there: the milder one is over.
                Change::Escalated => (alert.severity.milder(), event.at_ms),
                Change::Noticed => (alert.severity, event.at_ms + 300_000),
                _ => continue,
            };
            let milder = Alert { severity, ..alert.clone() };
            if wants(&milder) && said.insert((&alert.id, severity)) {
                all.push(self.alert(alert, severity, ends_ms));
            }
        }
        all
    }

    /// Sends them once.
    pub(crate) async fn send(&self, client: &Client, all: &[Value]) -> Attempt {
        let path = format!("{}/api/v2/alerts", self.url.path().trim_end_matches('/'));
        let url = match self.url.with_path(&path) {
            Ok(url) => url,
            Err(why) => return Attempt::Refused(why.to_owned()),
        };
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        headers.extend(
            self.token.as_ref().map(|token| (AUTHORIZATION, value(&format!("Bearer {}", token.reveal())))),
        );
        let body = serde_json::to_vec(all).map(Bytes::from).unwrap_or_default();
        let (method, url, timeout) = (Method::POST, url.uri().clone(), self.config.timeout);
        judge(client.send(&Request { method, url, headers, body, timeout, max_bytes: 65_536 }).await)
    }

    fn alert(&self, alert: &Alert, severity: Severity, ends_ms: i64) -> Value {
        let mut labels = alert.labels.clone();
        // Alertmanager refuses the whole request for one empty value.
        labels.retain(|_, value| !value.is_empty());
        labels.insert("severity".to_owned(), severity.name().to_owned());
        let mut told = json!({
            "labels": labels,
            "annotations": annotations(alert),
            "startsAt": time(alert.since_ms),
            "endsAt": time(ends_ms.max(alert.since_ms + 1)),
        });
        if !self.external_url.is_empty() {
            told["generatorURL"] = self.external_url.as_str().into();
        }
        told
    }
}
