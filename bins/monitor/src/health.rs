//! The judge: vitals of each round against limits and what is usual, for this host and every target.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tidemill_metrics::{Assessment, Baseline, Health, HealthConfig, Status, Vital, Vitals};

use crate::current::Current;
use crate::series::{Kind, Reading, Round, Series};
use crate::state;

/// Targets whose baselines are remembered, at most.
const SUBJECTS: usize = 1000;

/// A finding about one subject, with its evidence, as `/api/health` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// `host.memory`, `collector.response`, `collector.up`.
    pub subject: String,
    /// How good.
    pub status: Status,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What it usually is at this hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// The limit that decided the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Values behind what is usual.
    pub samples: u64,
    /// How much worse than usual, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worse_percent: Option<f64>,
    /// Worse than usual by the configured share, often enough in a row.
    pub degraded: bool,
    /// Times in a row it was worse than usual.
    pub consecutive: u32,
    /// `unknown`, `steady`, `rising` or `falling`.
    pub trend: tidemill_metrics::Trend,
    /// Its change per hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<f64>,
    /// What to do; empty when nothing is wrong.
    pub recommendation: String,
}

/// What changed with a round: for the log and the alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Whose.
    pub target: Arc<str>,
    /// What was found.
    pub assessment: Assessment,
    /// Vitals that are degraded now and were not before.
    pub degraded: Vec<Vital>,
}

/// Judges every target. Clones share it.
#[derive(Clone, Debug)]
pub struct Judge {
    inner: Arc<Mutex<Inner>>,
    file: Arc<PathBuf>,
}

#[derive(Debug)]
struct Inner {
    config: HealthConfig,
    subjects: BTreeMap<Arc<str>, Subject>,
    saved: BTreeMap<String, Saved>,
}

#[derive(Debug)]
struct Subject {
    health: Health,
    last: Option<Assessment>,
    down: Option<String>,
    down_for: u32,
}

/// What is usual, as it is written down.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Saved {
    memory: Baseline,
    cpu: Baseline,
    response: Baseline,
    hits: Baseline,
    errors: Baseline,
}

impl Judge {
    /// Takes back what is usual from below `data`. `config` has been checked.
    ///
    /// # Errors
    /// A file that cannot be read, or is none of ours.
    pub fn open(data: &Path, config: HealthConfig) -> Result<Self> {
        let file = state::folder(data).join("baselines.json");
        let saved = state::read(&file)?.unwrap_or_default();
        let inner = Inner { config, subjects: BTreeMap::new(), saved };
        Ok(Self { inner: Arc::new(Mutex::new(inner)), file: Arc::new(file) })
    }

    /// Judges a round that `current` has taken already. `None` for a target without vitals.
    pub fn take(&self, round: &Round, current: &Current, now: SystemTime) -> Option<Judged> {
        let vitals = vitals(round, current);
        let mut inner = self.lock();
        let subject = inner.subject(&round.target)?;
        subject.down.clone_from(&round.error);
        subject.down_for = if round.is_up() { 0 } else { subject.down_for.saturating_add(1) };
        if vitals == Vitals::default() {
            return None;
        }
        let assessment = subject.health.assess(&vitals, now);
        let degraded_before = |vital| {
            subject.last.iter().flat_map(|last| &last.findings).any(|f| f.vital == vital && f.degraded)
        };
        let fresh = assessment.findings.iter().filter(|f| f.degraded && !degraded_before(f.vital));
        let degraded = fresh.map(|finding| finding.vital).collect();
        subject.last = Some(assessment.clone());
        Some(Judged { target: Arc::clone(&round.target), assessment, degraded })
    }

    /// The worst of all, and every finding. A target that does not answer is poor, after three times in a row critical.
    #[must_use]
    pub fn verdicts(&self) -> (Status, Vec<Verdict>) {
        let inner = self.lock();
        let mut all = Vec::new();
        for (target, subject) in &inner.subjects {
            all.extend(subject.down.as_ref().map(|error| down(target, error, subject.down_for)));
            let findings = subject.last.iter().flat_map(|last| &last.findings);
            if subject.down.is_none() {
                all.extend(findings.map(|finding| verdict(target, finding)));
            }
        }
        let worst = all.iter().map(|verdict| verdict.status).max().unwrap_or(Status::Good);
        (worst, all)
    }

    /// Writes down what is usual. Blocks.
    ///
    /// # Errors
    /// What the disk said.
    pub fn save(&self) -> Result<()> {
        let saved = self.lock().saved();
        state::write(&self.file, &saved)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What is usual of everybody who was ever watched, within the bound.
    fn saved(&mut self) -> BTreeMap<String, Saved> {
        for (target, subject) in &self.subjects {
            let of = |vital| subject.health.baseline(vital).clone();
            let saved = Saved {
                memory: of(Vital::Memory),
                cpu: of(Vital::Cpu),
                response: of(Vital::Response),
                hits: of(Vital::Hits),
                errors: of(Vital::Errors),
            };
            self.saved.insert(target.to_string(), saved);
        }
        while self.saved.len() > SUBJECTS {
            self.saved.pop_first();
        }
        self.saved.clone()
    }

    fn subject(&mut self, target: &Arc<str>) -> Option<&mut Subject> {
        if !self.subjects.contains_key(target) {
            if self.subjects.len() >= SUBJECTS {
                return None;
            }
            let mut health = Health::new(self.config.clone()).ok()?;
            if let Some(saved) = self.saved.get(&**target) {
                let of = [&saved.memory, &saved.cpu, &saved.response, &saved.hits, &saved.errors];
                for (vital, baseline) in Vital::ALL.into_iter().zip(of) {
                    health.restore(vital, baseline.clone());
                }
            }
            let fresh = Subject { health, last: None, down: None, down_for: 0 };
            self.subjects.insert(Arc::clone(target), fresh);
        }
        self.subjects.get_mut(target)
    }
}

fn down(target: &str, error: &str, times: u32) -> Verdict {
    Verdict {
        subject: format!("{target}.up"),
        status: if times >= 3 { Status::Critical } else { Status::Poor },
        value: Some(0.0),
        baseline: None,
        threshold: Some(1.0),
        samples: u64::from(times),
        worse_percent: None,
        degraded: false,
        consecutive: times,
        trend: tidemill_metrics::Trend::Unknown,
        per_hour: None,
        recommendation: format!("{target} did not answer {times} times in a row: {error}"),
    }
}

fn verdict(target: &str, finding: &tidemill_metrics::Finding) -> Verdict {
    let vital = match finding.vital {
        Vital::Memory => "memory",
        Vital::Cpu => "cpu",
        Vital::Response => "response",
        Vital::Hits => "hits",
        Vital::Errors => "errors",
    };
    Verdict {
        subject: format!("{target}.{vital}"),
        status: finding.status,
        value: Some(finding.value),
        baseline: finding.baseline,
        threshold: finding.limit,
        samples: finding.samples,
        worse_percent: finding.worse_percent,
        degraded: finding.degraded,
        consecutive: finding.consecutive,
        trend: finding.trend,
        per_hour: finding.per_hour,
        recommendation: finding.recommendation.clone(),
    }
}

/// What a round says of the five vitals. A name counts with or without a prefix such as `collector_`:
/// `request_duration_seconds`, `requests_total`, `errors_total`, `cache_hits_total`, `cache_misses_total`.
#[must_use]
pub fn vitals(round: &Round, current: &Current) -> Vitals {
    if &*round.target == "host" {
        return Vitals {
            memory_percent: round.value("system_memory_percent"),
            cpu_percent: round.value("system_cpu_percent"),
            ..Vitals::default()
        };
    }
    let mut sums = Sums::default();
    current.each(&round.target, |series, value, rate| sums.take(series, value, rate));
    sums.vitals()
}

/// The vitals of a target other than this host as readings, for the rules that look at them: `response_ms`,
/// `error_percent`, `hit_percent`, `requests_per_second`.
#[must_use]
pub fn derived(round: &Round, current: &Current) -> Vec<Reading> {
    if &*round.target == "host" {
        return Vec::new();
    }
    let mut sums = Sums::default();
    current.each(&round.target, |series, value, rate| sums.take(series, value, rate));
    let vitals = sums.vitals();
    let requests = (sums.requests > 0.0).then_some(sums.requests);
    let named = [
        ("response_ms", vitals.response_ms),
        ("error_percent", vitals.error_percent),
        ("hit_percent", vitals.hit_percent),
        ("requests_per_second", requests),
    ];
    let reading = |(name, value): (&str, Option<f64>)| {
        let series = Arc::new(Series::new(&round.target, name, &[], Kind::Gauge));
        value.map(|value| Reading { series, value })
    };
    named.into_iter().filter_map(reading).collect()
}

#[derive(Debug, Default)]
struct Sums {
    seconds: f64,
    answered: f64,
    requests: f64,
    errors: Option<f64>,
    hits: f64,
    misses: f64,
    probe: Option<f64>,
}

impl Sums {
    fn take(&mut self, series: &Series, value: f64, rate: Option<f64>) {
        let named = |name: &str| {
            let rest = series.name.strip_suffix(name);
            rest.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('_'))
        };
        if &*series.name == "probe_duration_seconds" {
            self.probe = Some(value);
        }
        let (Kind::Counter, Some(rate)) = (series.kind, rate) else { return };
        if named("request_duration_seconds_sum") {
            self.seconds += rate;
        } else if named("request_duration_seconds_count") {
            self.answered += rate;
        } else if named("cache_hits_total") {
            self.hits += rate;
        } else if named("cache_misses_total") {
            self.misses += rate;
        } else if named("errors_total") {
            *self.errors.get_or_insert(0.0) += rate;
        } else if named("requests_total") {
            self.requests += rate;
        }
    }

    fn vitals(&self) -> Vitals {
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| (part / whole * 100.0).clamp(0.0, 100.0));
        let requests = if self.requests > 0.0 { self.requests } else { self.answered };
        let mean = (self.answered > 0.0).then(|| self.seconds / self.answered * 1000.0);
        Vitals {
            response_ms: mean.or(self.probe.map(|seconds| seconds * 1000.0)),
            hit_percent: share(self.hits, self.hits + self.misses),
            error_percent: self.errors.and_then(|errors| share(errors, requests)),
            ..Vitals::default()
        }
    }
}

/// How often what is usual is written down.
pub const SAVE_EVERY: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn host(at: i64, memory: f64, cpu: f64) -> Round {
        let target: Arc<str> = Arc::from("host");
        let reading = |name: &str, value| Reading {
            series: Arc::new(Series::new(&target, name, &[], Kind::Gauge)),
            value,
        };
        let readings = vec![reading("system_memory_percent", memory), reading("system_cpu_percent", cpu)];
        Round { target: Arc::clone(&target), at_ms: at * 1000, took: Duration::ZERO, error: None, readings }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
    }

    fn status(memory: f64, cpu: f64) -> Status {
        let dir = tempfile::tempdir().unwrap();
        let judge = Judge::open(dir.path(), crate::config::Config::default().limits()).unwrap();
        judge.take(&host(0, memory, cpu), &Current::default(), at(0)).unwrap();
        judge.verdicts().0
    }

    #[test]
    fn the_thresholds_of_the_specification_decide_the_status() {
        for (memory, cpu, wanted) in [
            (39.9, 29.9, Status::Excellent),
            (40.1, 29.9, Status::Good),
            (39.9, 30.1, Status::Good),
            (60.1, 10.0, Status::Fair),
            (10.0, 50.1, Status::Fair),
            (80.1, 10.0, Status::Poor),
            (10.0, 70.1, Status::Poor),
            (95.1, 10.0, Status::Critical),
            (10.0, 90.1, Status::Critical),
        ] {
            assert_eq!(status(memory, cpu), wanted, "memory {memory}, processor {cpu}");
        }
    }

    #[test]
    fn a_fifth_worse_than_usual_three_times_in_a_row_is_degraded_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Judge::open(dir.path(), crate::config::Config::default().limits()).unwrap();
        let current = Current::default();
        let judge = open();
        for second in 0..40 {
            judge.take(&host(second, 20.0, 20.0), &current, at(second as u64));
        }
        judge.save().unwrap();
        let judge = open();
        let mut told = Vec::new();
        for second in 40..44 {
            // A fifth and a little more of memory; the processor stays below it.
            let judged = judge.take(&host(second, 24.1, 23.9), &current, at(second as u64)).unwrap();
            told.push(judged.degraded);
        }
        assert_eq!(told, [vec![], vec![], vec![Vital::Memory], vec![]], "told once");
        let (_, verdicts) = judge.verdicts();
        let memory = verdicts.iter().find(|verdict| verdict.subject == "host.memory").unwrap();
        assert!(memory.degraded && memory.consecutive == 4 && memory.samples >= 40);
        assert!(memory.recommendation.contains("worse than the usual 20.0 %"), "{}", memory.recommendation);
    }

    #[test]
    fn a_target_that_does_not_answer_is_poor_and_after_three_times_critical() {
        let dir = tempfile::tempdir().unwrap();
        let judge = Judge::open(dir.path(), crate::config::Config::default().limits()).unwrap();
        let current = Current::default();
        let down = Round { error: Some("refused".into()), readings: Vec::new(), ..host(0, 0.0, 0.0) };
        for wanted in [Status::Poor, Status::Poor, Status::Critical] {
            assert!(judge.take(&down, &current, at(0)).is_none());
            assert_eq!(judge.verdicts().0, wanted);
        }
        judge.take(&host(1, 10.0, 10.0), &current, at(1));
        assert_eq!(judge.verdicts().0, Status::Excellent);
    }
}
