//! A target's knobs over its API: read, set, and whether it tunes itself.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tidemill_autotune::{Knob, TrialBy};

use crate::address::Address;
use crate::alert::Secret;
use crate::http::{Client, Request};

/// Bytes of an answer at most.
const MAX_BYTES: usize = 1 << 20;

/// Knobs that are moved at most; a target with more is refused.
const MAX_KNOBS: usize = 1000;

/// Speaks with one target.
#[derive(Clone, Debug)]
pub struct Remote {
    client: Client,
    address: Address,
    token: Option<Secret>,
    timeout: Duration,
}

/// What a target shows of its tuning.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Its knobs and their values.
    pub knobs: Vec<(Knob, f64)>,
    /// Whether it tunes itself; None when it has no tuner of its own.
    pub enabled: Option<bool>,
    /// What its own rules look at, read within the last minute.
    pub signals: BTreeMap<String, f64>,
    /// Its own trials, as it shows them.
    pub trials: Vec<Value>,
    /// Its own decisions, the newest first, as it shows them.
    pub journal: Vec<Value>,
}

/// One knob as `/api/v2/knobs` shows it.
#[derive(Debug, Deserialize)]
struct Told {
    name: String,
    value: f64,
    #[serde(default)]
    unit: String,
    low: f64,
    high: f64,
    #[serde(default)]
    step: f64,
    #[serde(default)]
    tried_by: Option<TrialBy>,
}

/// Why a target did not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// What it answered; None when it did not.
    pub status: Option<StatusCode>,
    /// In words.
    pub why: String,
}

impl Remote {
    /// The API below this address.
    #[must_use]
    pub fn new(client: Client, address: Address, token: Option<Secret>, timeout: Duration) -> Self {
        Self { client, address, token, timeout }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// It does not answer, or not with knobs.
    pub async fn look(&self) -> Result<Shown, Refusal> {
        #[derive(Deserialize)]
        struct Knobs {
            knobs: Vec<Told>,
        }
        let knobs = self.ask(Method::GET, "/api/v2/knobs", None).await?;
        let Knobs { knobs } =
            serde_json::from_value(knobs).map_err(|error| other(format!("its knobs: {error}")))?;
        if knobs.len() > MAX_KNOBS {
            return Err(other(format!("it has more than {MAX_KNOBS} knobs")));
        }
        let knobs = knobs.into_iter().map(Told::knob).collect();
        let mut shown = Shown { knobs, ..Shown::default() };
        // Who only has knobs has no tuner: then there is nothing more to show.
        let Ok(tuning) = self.ask(Method::GET, "/api/v2/tuning", None).await else { return Ok(shown) };
        shown.enabled = tuning["enabled"].as_bool();
        for (name, signal) in tuning["signals"].as_object().into_iter().flatten() {
            let fresh = signal["age_s"].as_f64().is_some_and(|age| age < 60.0);
            if let Some(value) = signal["value"].as_f64().filter(|_| fresh && shown.signals.len() < 1000) {
                shown.signals.insert(name.clone(), value);
            }
        }
        let list = |answer: Result<Value, Refusal>, field: &str| match answer
            .map(|mut answer| answer[field].take())
        {
            Ok(Value::Array(all)) => all,
            _ => Vec::new(),
        };
        shown.trials = list(self.ask(Method::GET, "/api/v2/trials", None).await, "trials");
        shown.journal = list(self.ask(Method::GET, "/api/v2/tuning/journal?limit=50", None).await, "records");
        Ok(shown)
    }

    /// Sets knobs, all of them or none.
    ///
    /// # Errors
    /// What it refused, and why.
    pub async fn set(&self, wanted: &BTreeMap<String, f64>) -> Result<(), Refusal> {
        self.ask(Method::PUT, "/api/v2/knobs", Some(serde_json::json!(wanted))).await.map(drop)
    }

    /// Switches its own tuner.
    ///
    /// # Errors
    /// What it refused, and why.
    pub async fn switch(&self, enabled: bool) -> Result<(), Refusal> {
        self.ask(Method::PUT, "/api/v2/tuning", Some(serde_json::json!({ "enabled": enabled })))
            .await
            .map(drop)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Refusal> {
        let base = self.address.path().trim_end_matches('/');
        let address =
            self.address.with_path(&format!("{base}{path}")).map_err(|why| other(why.to_owned()))?;
        let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
                .map_err(|_| other("the token is no header's value".to_owned()))?;
            value.set_sensitive(true);
            headers.push((AUTHORIZATION, value));
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let (url, timeout) = (address.uri().clone(), self.timeout);
        let request = Request { method, url, headers, body, timeout, max_bytes: MAX_BYTES };
        let answer = self.client.send(&request).await.map_err(|error| other(format!("{error:#}")))?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status.is_success() {
            return Ok(value);
        }
        let said = value["error"].as_str().map(|why| why.chars().take(500).collect());
        let why = said.unwrap_or_else(|| format!("it answered {}", answer.status));
        Err(Refusal { status: Some(answer.status), why })
    }
}

impl Told {
    fn knob(self) -> (Knob, f64) {
        let by = match self.tried_by {
            // From afar nothing can be one thing for some keys and another for the rest.
            Some(TrialBy::Split) | None => TrialBy::Switchback,
            Some(by) => by,
        };
        let knob = Knob::new(&self.name, self.low, self.high).unit(&self.unit).step(self.step).trial(by);
        (knob, self.value)
    }
}

fn other(why: String) -> Refusal {
    Refusal { status: None, why }
}
