//! Who shall not be told for a while, and which alert makes another one needless.

use serde::{Deserialize, Serialize};

use super::matcher::{Labels, MAX_MATCHERS, Matcher, all};

/// What matches it is not told to anybody until it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Given by the engine.
    pub id: String,
    /// All have to agree.
    pub matchers: Vec<Matcher>,
    /// When it ends, in milliseconds since 1970.
    pub until_ms: i64,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub comment: String,
    /// When it was asked for.
    pub since_ms: i64,
}

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSilence {
    /// All have to agree; at least one, at most 32.
    pub matchers: Vec<Matcher>,
    /// When it ends, in milliseconds since 1970; or say `minutes`.
    #[serde(default)]
    pub until_ms: Option<i64>,
    /// How long from now.
    #[serde(default)]
    pub minutes: Option<u32>,
    /// Who asks. Default `api`.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

/// While an alert that `source` matches fires, one that `target` matches is not told, where both have equal values in `equal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inhibit {
    /// The one that says it all.
    pub source: Vec<Matcher>,
    /// The one that is needless then.
    pub target: Vec<Matcher>,
    /// Labels in which both are equal. Default `target`.
    #[serde(default = "target")]
    pub equal: Vec<String>,
}

impl NewSilence {
    /// When it ends.
    ///
    /// # Errors
    /// What it lacks, and what it wants.
    pub fn until(&self, now_ms: i64) -> Result<i64, String> {
        if self.matchers.is_empty() || self.matchers.len() > MAX_MATCHERS {
            return Err("`matchers` wants 1 to 32 of {\"name\", \"value\"}".to_owned());
        }
        if self.matchers.iter().any(|matcher| matcher.name.len() + matcher.value.len() > 1000) {
            return Err("a matcher takes at most 1000 bytes".to_owned());
        }
        if self
            .matchers
            .iter()
            .all(|matcher| matcher.is_equal && matcher.value.bytes().all(|byte| byte == b'*'))
        {
            return Err("`matchers` would match every alert: name at least one value".to_owned());
        }
        if self.by.len() > 200 || self.comment.len() > 1000 {
            return Err("`by` takes at most 200 bytes, `comment` at most 1000".to_owned());
        }
        let minutes = self.minutes.map(|minutes| now_ms.saturating_add(i64::from(minutes) * 60_000));
        let until = self.until_ms.or(minutes).ok_or("say `until_ms` or `minutes`: when is it over?")?;
        let year_ms = 366 * 86_400_000;
        if until <= now_ms || until > now_ms.saturating_add(year_ms) {
            return Err("`until_ms` must be in the future, within a year".to_owned());
        }
        Ok(until)
    }
}

impl Inhibit {
    /// Whether `source` makes `target` needless. Nothing makes itself needless.
    #[must_use]
    pub fn covers(&self, source: &Labels, target: &Labels) -> bool {
        source != target
            && all(&self.source, source)
            && all(&self.target, target)
            && !all(&self.source, target)
            && self.equal.iter().all(|name| source.get(name) == target.get(name))
    }
}

fn target() -> Vec<String> {
    vec!["target".to_owned()]
}
