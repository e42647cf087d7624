//! A receiver's settings: who is told, how, and of what.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::active::Event;
use crate::alert::matcher::{MAX_MATCHERS, Matcher};
use crate::alert::severity::Severity;
use crate::alert::span;

/// A `[[alert.receiver]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// Unique.
    pub name: String,
    /// How.
    pub kind: ReceiverKind,
    /// What is less than this is not told here. Default `info`.
    #[serde(default = "info")]
    pub min_severity: Severity,
    /// Labels that have to match, all of them. Default none.
    #[serde(default, rename = "match")]
    pub matchers: Vec<Matcher>,
    /// Alerts of one moment with equal values of these labels come in one notification. Default `alertname`, `target`.
    #[serde(default = "group_by")]
    pub group_by: Vec<String>,
    /// For `webhook` and `alertmanager`: where to.
    #[serde(default)]
    pub url: Option<String>,
    /// The name of a variable that holds the address, where that is a secret.
    #[serde(default)]
    pub url_env: Option<String>,
    /// For `webhook`: the name of a variable that holds the secret which signs each request.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// For `webhook` and `alertmanager`: the name of a variable that holds a bearer token.
    #[serde(default)]
    pub token_env: Option<String>,
    /// For `webhook` and `alertmanager`: how long one attempt may take. Default 10 s.
    #[serde(default = "ten_seconds", with = "span")]
    pub timeout: Duration,
    /// For `alertmanager`: how often everything that fires is sent again. Default 1 min.
    #[serde(default = "one_minute", with = "span")]
    pub resend: Duration,
    /// For `log`: the file, below `DATA/alerts` where it is not absolute.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// For `log`: bytes of one file at most; then it becomes `.1`, and `.1` becomes `.2`. Default 10 MB.
    #[serde(default = "ten_megabytes")]
    pub max_bytes: u64,
    /// For `log`: files kept beside the one that is written. Default 4.
    #[serde(default = "four")]
    pub keep: u32,
}

/// How somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiverKind {
    /// A line on the standard output.
    Console,
    /// A JSON line in a file.
    Log,
    /// A POST in the shape of Alertmanager's webhook, version 4.
    Webhook,
    /// An Alertmanager, over its API v2.
    Alertmanager,
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// For whoever sends it where it belongs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl ReceiverConfig {
    /// The standard output.
    #[must_use]
    pub fn console() -> Self {
        Self::of("console", ReceiverKind::Console)
    }

    /// A file of JSON lines.
    #[must_use]
    pub fn log(path: PathBuf) -> Self {
        Self { path: Some(path), ..Self::of("log", ReceiverKind::Log) }
    }

    /// A webhook.
    #[must_use]
    pub fn webhook(name: &str, url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..Self::of(name, ReceiverKind::Webhook) }
    }

    /// An Alertmanager.
    #[must_use]
    pub fn alertmanager(name: &str, url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..Self::of(name, ReceiverKind::Alertmanager) }
    }

    fn of(name: &str, kind: ReceiverKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            min_severity: info(),
            matchers: Vec::new(),
            group_by: group_by(),
            url: None,
            url_env: None,
            secret_env: None,
            token_env: None,
            timeout: ten_seconds(),
            resend: one_minute(),
            path: None,
            max_bytes: ten_megabytes(),
            keep: four(),
        }
    }

    /// Whether this event is for it.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        event.told
            && event.alert.severity >= self.min_severity
            && self.matchers.iter().all(|matcher| matcher.matches(&event.alert.labels))
    }

    /// Checks it; the variables are looked at when it is built.
    ///
    /// # Errors
    /// The field, and what it wants.
    pub fn validate(&self) -> Result<(), String> {
        let of = |field: &str, wants: &str| Err(format!("alert receiver {:?}: `{field}` {wants}", self.name));
        let named = !self.name.is_empty() && self.name.len() <= 60;
        if !(named && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))) {
            return of("name", "wants 1 to 60 letters, digits, `-`, `_` or `.`");
        }
        let remote = matches!(self.kind, ReceiverKind::Webhook | ReceiverKind::Alertmanager);
        match (&self.url, &self.url_env) {
            (None, None) if remote => return of("url", "or `url_env` is wanted: where to?"),
            (Some(_), Some(_)) => return of("url", "and `url_env` exclude each other"),
            (Some(url), _) => {
                if let Err(wants) = crate::address::Address::parse(url) {
                    return of("url", wants);
                }
            }
            _ => {}
        }
        if self.kind == ReceiverKind::Log && self.path.is_none() {
            return of("path", "is wanted: which file?");
        }
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(300) {
            return of("timeout", "must be above 0 and at most 5 min");
        }
        if self.resend < Duration::from_secs(1) || self.resend > Duration::from_secs(3600) {
            return of("resend", "must be 1 s to 1 h");
        }
        if self.max_bytes < 10_000 || self.keep > 100 {
            return of("max_bytes", "must be at least 10000, `keep` at most 100");
        }
        if self.matchers.len() > MAX_MATCHERS || self.group_by.len() > 8 {
            return of("match", "takes at most 32, `group_by` at most 8");
        }
        Ok(())
    }
}

fn info() -> Severity {
    Severity::Info
}

fn group_by() -> Vec<String> {
    vec!["alertname".to_owned(), "target".to_owned()]
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn one_minute() -> Duration {
    Duration::from_secs(60)
}

fn ten_megabytes() -> u64 {
    10_000_000
}

fn four() -> u32 {
    4
}
