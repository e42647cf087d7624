//! What every target said last, with the rates of its counters.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde::Serialize;

use crate::history::track::rate;
use crate::series::{BySeries, Kind, Reading, Round, Series};

/// The last round of each target. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Current {
    targets: Arc<RwLock<BTreeMap<Arc<str>, Seen>>>,
    helps: Arc<RwLock<BTreeMap<Box<str>, &'static str>>>,
}

#[derive(Debug, Default)]
struct Seen {
    url: Option<String>,
    round: Option<Arc<Round>>,
    /// Of each reading; `None` for what is no counter, and for a counter that was not there before.
    rates: Vec<Option<f64>>,
    /// The last round that had an answer: what its counters were.
    answered: Option<Arc<Round>>,
}

/// A target as `/api/metrics/current` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// Where it answers, without what stands before an `@`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether it answered last.
    pub up: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was asked last; 0 before that.
    pub at_ms: i64,
    /// How long it took.
    pub took_ms: f64,
    /// What it said.
    pub series: Vec<Value>,
}

/// A value as `/api/metrics/current` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Value {
    /// Whose.
    #[serde(flatten)]
    pub series: Arc<Series>,
    /// As it was told.
    pub value: f64,
    /// Of a counter: its growth per second since the round before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

impl Current {
    /// Makes a target known before it answers.
    pub fn declare(&self, name: &str, url: Option<&str>) {
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        targets.entry(Arc::from(name)).or_default().url = url.map(without_password);
    }

    /// Says what the metrics mean that we measure ourselves.
    pub fn explain<'a>(&self, helps: impl Iterator<Item = (&'a str, &'static str)>) {
        let mut known = self.helps.write().unwrap_or_else(PoisonError::into_inner);
        for (name, help) in helps {
            if !known.contains_key(name) {
                known.insert(name.into(), help);
            }
        }
    }

    /// What a metric means, as [`explain`](Self::explain) said.
    #[must_use]
    pub fn help(&self, name: &str) -> Option<&'static str> {
        self.helps.read().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// Takes a round.
    pub fn take(&self, round: &Arc<Round>) {
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        let seen = targets.entry(Arc::clone(&round.target)).or_default();
        let mut before = Before::new(seen.answered.as_deref());
        seen.rates.clear();
        seen.rates.extend(round.readings.iter().map(|reading| {
            let then = before.value(reading)?;
            (reading.series.kind == Kind::Counter).then(|| rate(then, (round.at_ms, reading.value)))
        }));
        // A round without an answer is not the end of a counter.
        if round.is_up() {
            seen.answered = Some(Arc::clone(round));
        }
        seen.round = Some(Arc::clone(round));
    }

    /// Each value of a target that answered last, with its rate.
    pub fn each(&self, target: &str, mut each: impl FnMut(&Series, f64, Option<f64>)) {
        let targets = self.read();
        let Some(seen) = targets.get(target) else { return };
        for (reading, rate) in seen.round.iter().flat_map(|round| &round.readings).zip(&seen.rates) {
            each(&reading.series, reading.value, *rate);
        }
    }

    /// Every target, by name; with its values or without.
    #[must_use]
    pub fn targets(&self, values: bool) -> Vec<Target> {
        let shown = |(name, seen): (&Arc<str>, &Seen)| {
            let round = seen.round.as_deref();
            let readings = round.filter(|_| values).map_or(&[][..], |round| &round.readings);
            let value = |(reading, rate): (&Reading, &Option<f64>)| Value {
                series: Arc::clone(&reading.series),
                value: reading.value,
                rate: *rate,
            };
            Target {
                name: Arc::clone(name),
                url: seen.url.clone(),
                up: round.is_some_and(Round::is_up),
                error: match round {
                    Some(round) => round.error.clone(),
                    None => Some("it was not asked yet".to_owned()),
                },
                at_ms: round.map_or(0, |round| round.at_ms),
                took_ms: round.map_or(0.0, |round| round.took.as_secs_f64() * 1000.0),
                series: readings.iter().zip(&seen.rates).map(value).collect(),
            }
        };
        self.read().iter().map(shown).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Arc<str>, Seen>> {
        self.targets.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a round said before, looked up in the order of the round that follows it: mostly the same.
struct Before<'a> {
    at_ms: i64,
    readings: &'a [Reading],
    next: usize,
    /// Made when the order is another one.
    places: Option<BySeries<usize>>,
}

impl<'a> Before<'a> {
    fn new(round: Option<&'a Round>) -> Self {
        let (at_ms, readings) = round.map_or((0, &[][..]), |round| (round.at_ms, &round.readings));
        Self { at_ms, readings, next: 0, places: None }
    }

    /// When and what the same series was.
    fn value(&mut self, reading: &Reading) -> Option<(i64, f64)> {
        let expected = self.readings.get(self.next);
        if !expected.is_some_and(|expected| Arc::ptr_eq(&expected.series, &reading.series)) {
            let place = |(at, reading): (usize, &Reading)| (Arc::clone(&reading.series), at);
            let all = self.readings;
            let places = self.places.get_or_insert_with(|| all.iter().enumerate().map(place).collect());
            self.next = *places.get(&reading.series)?;
        }
        let then = self.readings[self.next].value;
        self.next += 1;
        Some((self.at_ms, then))
    }
}

/// An address without a name and password.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &url[..scheme + 3], &url[at + 1..]),
        _ => url.to_owned(),
    }
}
