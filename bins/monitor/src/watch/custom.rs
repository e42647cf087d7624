//! Metrics by configuration: from a command, a file, or JSON over HTTP.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use super::exposition::{Limits, Parser};
use super::intern::{Interner, Wanted};
use super::target::{bearer, check_url};
use super::{Rounds, ticks};
use crate::config::{Fault, check_interval, check_name, fault};
use crate::http::{Client, Request};
use crate::series::{Kind, Reading, Round};

/// `[[metric]]`: one source of numbers of your own. Exactly one of `command`, `file` and `url`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Custom {
    /// Name of the metric, and of its target in every chart.
    pub name: String,
    /// Program and arguments, run without a shell; its output is read.
    pub command: Vec<String>,
    /// A file that is read.
    pub file: Option<PathBuf>,
    /// An address whose answer is read.
    pub url: Option<String>,
    /// Environment variable with a bearer token for the address; default none.
    pub token_env: Option<String>,
    /// What is read: `number` (the default), `json` or `prometheus`.
    pub format: Format,
    /// Of `json`: where the number stands, as a JSON pointer such as `/queue/length`. An object or array there gives a
    /// series for each of its numbers, with the label `key`. Default the whole answer.
    pub pointer: String,
    /// `gauge` (the default) or `counter`; of `prometheus` the source says it.
    pub counter: bool,
    /// Labels added to each series; not of `prometheus`.
    pub labels: BTreeMap<String, String>,
    /// How often; default that of `[monitor]`.
    #[serde(with = "humantime_serde")]
    pub interval: Option<Duration>,
    /// Time it may take; then a command is killed. Default `5s`, and never more than the interval.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Bytes that are read; more are a failure. Default 1 MiB.
    pub max_bytes: usize,
    /// Series; more are a failure. Default 1000.
    pub max_series: usize,
}

/// What a source's text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One number, and white space.
    #[default]
    Number,
    /// JSON with numbers in it.
    Json,
    /// Prometheus' text.
    Prometheus,
}

impl Default for Custom {
    fn default() -> Self {
        Self {
            name: String::new(),
            command: Vec::new(),
            file: None,
            url: None,
            token_env: None,
            format: Format::Number,
            pointer: String::new(),
            counter: false,
            labels: BTreeMap::new(),
            interval: None,
            timeout: Duration::from_secs(5),
            max_bytes: 1 << 20,
            max_series: 1000,
        }
    }
}

impl Custom {
    pub(crate) fn check(&self, path: &str) -> Result<(), Fault> {
        let at = |field: &str| format!("{path}.{field}");
        check_name(&at("name"), &self.name)?;
        let plain = self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !self.name.starts_with(|c: char| c.is_ascii_digit());
        fault(&at("name"), plain, || {
            format!("{:?} must be a metric name: letters, digits and '_'", self.name)
        })?;
        let given = [!self.command.is_empty(), self.file.is_some(), self.url.is_some()];
        let given = given.into_iter().filter(|given| *given).count();
        fault(&at("command"), given == 1, || format!("give one of command, file and url, not {given}"))?;
        if let Some(url) = &self.url {
            check_url(&at("url"), url)?;
        }
        let pointer = self.pointer.is_empty() || self.pointer.starts_with('/');
        fault(&at("pointer"), pointer, || format!("{:?} must begin with /", self.pointer))?;
        if let Some(interval) = self.interval {
            check_interval(&at("interval"), interval)?;
        }
        fault(&at("timeout"), !self.timeout.is_zero(), || "must be longer than zero".into())?;
        fault(&at("labels"), self.labels.len() <= 16, || "are more than 16".into())?;
        fault(&at("max_bytes"), (1..=64 << 20).contains(&self.max_bytes), || "must be 1 to 64 MiB".into())?;
        fault(&at("max_series"), (1..=100_000).contains(&self.max_series), || "must be 1 to 100000".into())
    }
}

enum Source {
    Command(Vec<String>),
    File(PathBuf),
    Url(Client, Box<Request>),
}

/// A source that is asked again and again.
pub(super) struct Asked {
    name: Arc<str>,
    config: Custom,
    interval: Duration,
    source: Source,
    parser: Parser,
    interner: Interner,
}

impl Asked {
    pub(super) fn new(
        config: &Custom,
        default: Duration,
        client: Client,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let name: Arc<str> = Arc::from(config.name.as_str());
        let interval = config.interval.unwrap_or(default);
        let source = match (&config.file, &config.url) {
            (Some(file), _) => Source::File(file.clone()),
            (_, Some(url)) => {
                let mut request = Request::get(url.parse().context("the address is none")?);
                request.timeout = config.timeout.min(interval);
                request.max_bytes = config.max_bytes;
                let token =
                    bearer(config.token_env.as_ref(), env).with_context(|| format!("metric {name:?}"))?;
                request.headers.extend(token.map(|token: HeaderValue| (AUTHORIZATION, token)));
                Source::Url(client, Box::new(request))
            }
            _ => Source::Command(config.command.clone()),
        };
        let limits = Limits { series: config.max_series, labels: 32, series_bytes: 4096 };
        let interner = || Interner::new(&name, Wanted::default(), config.max_series * 2);
        let (parser, interner) = (Parser::new(interner(), limits), interner());
        Ok(Self { name: Arc::clone(&name), config: config.clone(), interval, source, parser, interner })
    }

    pub(super) async fn run(mut self, rounds: Rounds) {
        let mut ticks = ticks(self.interval);
        loop {
            ticks.tick().await;
            let started = Instant::now();
            let (error, readings) = match self.ask().await {
                Ok(readings) => (None, readings),
                Err(error) => (Some(format!("{error:#}")), Vec::new()),
            };
            let (target, at_ms) = (Arc::clone(&self.name), crate::now_ms());
            rounds.tell(Round { target, at_ms, took: started.elapsed(), error, readings });
        }
    }

    async fn ask(&mut self) -> Result<Vec<Reading>> {
        let timeout = self.config.timeout.min(self.interval);
        let text = match tokio::time::timeout(timeout, self.fetch()).await {
            Ok(text) => text?,
            Err(_) => bail!("nothing came within {timeout:?}"),
        };
        match self.config.format {
            Format::Prometheus => self.parser.parse(&text).map_err(|malformed| anyhow!("{malformed}")),
            Format::Number => {
                let text = std::str::from_utf8(&text).context("the text is no UTF-8")?.trim();
                let shown: String = text.chars().take(80).collect();
                let number: f64 = text
                    .parse()
                    .map_err(|_| anyhow!("{shown:?} is no number; is format = \"json\" meant?"))?;
                self.numbers(&[(None, number)])
            }
            Format::Json => {
                let value: Value = serde_json::from_slice(&text).context("the text is no JSON")?;
                let numbers = numbers_at(&value, &self.config.pointer)?;
                ensure!(numbers.len() <= self.config.max_series, "there are {} numbers", numbers.len());
                self.numbers(&numbers)
            }
        }
    }

    async fn fetch(&self) -> Result<Bytes> {
        let most = self.config.max_bytes;
        let bytes = match &self.source {
            Source::Url(client, request) => {
                let answer = client.send(request).await?;
                ensure!(answer.status.is_success(), "the address answered {}", answer.status);
                return Ok(answer.body);
            }
            Source::File(path) => {
                let file = tokio::fs::File::open(path).await;
                let file = file.with_context(|| format!("cannot open {}", path.display()))?;
                let mut bytes = Vec::new();
                file.take(most as u64 + 1).read_to_end(&mut bytes).await?;
                bytes
            }
            Source::Command(words) => output(words, most).await?,
        };
        ensure!(bytes.len() <= most, "there are more than {most} bytes");
        Ok(bytes.into())
    }

    fn numbers(&mut self, numbers: &[(Option<String>, f64)]) -> Result<Vec<Reading>> {
        let kind = if self.config.counter { Kind::Counter } else { Kind::Gauge };
        self.interner.begin();
        let mut readings = Vec::with_capacity(numbers.len());
        for (key, value) in numbers {
            ensure!(value.is_finite(), "{value} is no finite number");
            let mut labels: Vec<(&str, &str)> =
                self.config.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            labels.extend(key.as_ref().map(|key| ("key", key.as_str())));
            let series = self.interner.labelled(&self.config.name, &labels, kind);
            readings.extend(series.map(|series| Reading { series, value: *value }));
        }
        self.interner.end();
        Ok(readings)
    }
}

/// What a command prints. It is killed when nobody waits for it any more.
async fn output(words: &[String], most: usize) -> Result<Vec<u8>> {
    let (program, arguments) = words.split_first().context("the command is empty")?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let mut bytes = Vec::new();
    let pipe = child.stdout.take().context("the command has no output")?;
    pipe.take(most as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > most {
        bail!("{program} prints more than {most} bytes");
    }
    let status = child.wait().await?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(bytes)
}

/// The number at `pointer`, or each of those in the object or array there.
fn numbers_at(value: &Value, pointer: &str) -> Result<Vec<(Option<String>, f64)>> {
    let found = value.pointer(pointer).with_context(|| format!("there is nothing at {pointer:?}"))?;
    let number = |value: &Value| match value {
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    match found {
        Value::Object(map) => {
            Ok(map.iter().filter_map(|(key, value)| Some((Some(key.clone()), number(value)?))).collect())
        }
        Value::Array(items) => {
            let all = items.iter().enumerate();
            Ok(all.filter_map(|(at, value)| Some((Some(at.to_string()), number(value)?))).collect())
        }
        plain => {
            let number = number(plain).with_context(|| format!("what stands at {pointer:?} is no number"))?;
            Ok(vec![(None, number)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_pointer() {
        let value =
            serde_json::json!({"queue": {"high": 3, "low": "4.5", "name": "x"}, "up": true, "all": [1, 2]});
        assert_eq!(numbers_at(&value, "/queue/high").unwrap(), [(None, 3.0)]);
        assert_eq!(
            numbers_at(&value, "/queue").unwrap(),
            [(Some("high".to_owned()), 3.0), (Some("low".to_owned()), 4.5)]
        );
        assert_eq!(numbers_at(&value, "/up").unwrap(), [(None, 1.0)]);
        assert_eq!(numbers_at(&value, "/all").unwrap().len(), 2);
        assert!(numbers_at(&value, "/gone").unwrap_err().to_string().contains("nothing at"));
        assert!(numbers_at(&value, "/queue/name").unwrap_err().to_string().contains("no number"));
    }
}
