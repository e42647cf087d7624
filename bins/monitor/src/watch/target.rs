//! A Prometheus endpoint: asked within a time, a size and a number of series.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use http::Uri;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::{Deserialize, Serialize};

use super::exposition::{Limits, Parser};
use super::intern::{Interner, Wanted};
use super::{Rounds, ticks};
use crate::config::{Fault, check_interval, check_name, fault};
use crate::http::{Client, Request};
use crate::series::{Reading, Round};

/// Answers longer than this are read off the async threads.
const INLINE: usize = 256 << 10;

/// `[[target]]`: one Prometheus endpoint.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Name in every chart, alert and log.
    pub name: String,
    /// Where it answers: `http://host:port/metrics`.
    pub url: String,
    /// How often it is asked; default that of `[monitor]`.
    #[serde(with = "humantime_serde")]
    pub interval: Option<Duration>,
    /// Time it has to answer; default `10s`, and never more than the interval.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Environment variable with a bearer token; default none.
    pub token_env: Option<String>,
    /// Metrics kept, `*` for any text; default all.
    pub keep: Vec<String>,
    /// Of those, metrics left out.
    pub drop: Vec<String>,
    /// Bytes of an answer; a longer one is a failure. Default 16 MiB.
    pub max_bytes: usize,
    /// Series of an answer; more are a failure. Default 10000.
    pub max_series: usize,
    /// Labels of a series. Default 32.
    pub max_labels: usize,
    /// Bytes of a series' name and labels. Default 4096.
    pub max_series_bytes: usize,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            interval: None,
            timeout: Duration::from_secs(10),
            token_env: None,
            keep: Vec::new(),
            drop: Vec::new(),
            max_bytes: 16 << 20,
            max_series: 10_000,
            max_labels: 32,
            max_series_bytes: 4096,
        }
    }
}

impl Target {
    pub(super) fn parser(&self) -> Parser {
        let wanted = Wanted { keep: self.keep.clone(), drop: self.drop.clone() };
        // Twice: between two rounds all of them may change their labels.
        let interner = Interner::new(&Arc::from(self.name.as_str()), wanted, self.max_series * 2);
        let limits =
            Limits { series: self.max_series, labels: self.max_labels, series_bytes: self.max_series_bytes };
        Parser::new(interner, limits)
    }

    pub(crate) fn check(&self, path: &str) -> Result<(), Fault> {
        let at = |field: &str| format!("{path}.{field}");
        check_name(&at("name"), &self.name)?;
        check_url(&at("url"), &self.url)?;
        if let Some(interval) = self.interval {
            check_interval(&at("interval"), interval)?;
        }
        fault(&at("timeout"), !self.timeout.is_zero(), || "must be longer than zero".into())?;
        for (field, value, least, most) in [
            ("max_bytes", self.max_bytes, 1 << 10, 1 << 30),
            ("max_series", self.max_series, 1, 1_000_000),
            ("max_labels", self.max_labels, 1, 32),
            ("max_series_bytes", self.max_series_bytes, 64, 64 << 10),
        ] {
            fault(&at(field), (least..=most).contains(&value), || {
                format!("is {value}; choose {least} to {most}")
            })?;
        }
        Ok(())
    }
}

/// With a scheme and a host.
pub(crate) fn check_url(path: &str, url: &str) -> Result<(), Fault> {
    let parsed: Result<Uri, _> = url.parse();
    let sound = parsed.is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    });
    fault(path, sound, || format!("{url:?} must be http://host:port/path or https://…"))
}

/// The value of a token's variable, as a header.
pub(crate) fn bearer(
    variable: Option<&String>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<HeaderValue>> {
    let Some(variable) = variable else { return Ok(None) };
    let token = env(variable).with_context(|| format!("the environment variable {variable} is not set"))?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_| anyhow!("the value of {variable} cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// A target that is asked again and again.
pub(super) struct Asked {
    name: Arc<str>,
    interval: Duration,
    client: Client,
    request: Request,
    parser: Option<Parser>,
}

impl Asked {
    pub(super) fn new(
        target: &Target,
        default: Duration,
        client: Client,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let name: Arc<str> = Arc::from(target.name.as_str());
        let interval = target.interval.unwrap_or(default);
        let mut request = Request::get(target.url.parse().context("the address is none")?);
        request.timeout = target.timeout.min(interval);
        request.max_bytes = target.max_bytes;
        let accept = "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
        request.headers.push((ACCEPT, HeaderValue::from_static(accept)));
        let token = bearer(target.token_env.as_ref(), env).with_context(|| format!("target {name:?}"))?;
        request.headers.extend(token.map(|token| (AUTHORIZATION, token)));
        Ok(Self { name, interval, client, request, parser: Some(target.parser()) })
    }

    pub(super) async fn run(mut self, rounds: Rounds) {
        let mut ticks = ticks(self.interval);
        loop {
            ticks.tick().await;
            let round = self.ask().await;
            rounds.tell(round);
        }
    }

    async fn ask(&mut self) -> Round {
        let started = Instant::now();
        let (error, readings) = match self.read().await {
            Ok(readings) => (None, readings),
            Err(error) => (Some(format!("{error:#}")), Vec::new()),
        };
        let at_ms = crate::now_ms();
        Round { target: Arc::clone(&self.name), at_ms, took: started.elapsed(), error, readings }
    }

    async fn read(&mut self) -> Result<Vec<Reading>> {
        let answer = self.client.send(&self.request).await?;
        if !answer.status.is_success() {
            bail!("the target answered {}; is the path right?", answer.status);
        }
        let mut parser = self.parser.take().context("the parser ended")?;
        let parsed = if answer.body.len() <= INLINE {
            let parsed = parser.parse(&answer.body);
            self.parser = Some(parser);
            parsed
        } else {
            let parsing = tokio::task::spawn_blocking(move || {
                let parsed = parser.parse(&answer.body);
                (parser, parsed)
            });
            let (parser, parsed) = parsing.await.context("reading the answer panicked")?;
            self.parser = Some(parser);
            parsed
        };
        parsed.map_err(|malformed| anyhow!("{malformed}"))
    }
}
