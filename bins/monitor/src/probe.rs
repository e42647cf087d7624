//! Availability: probes, uptime, outages, error budget.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use http::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::config::{Fault, check_interval, check_name, fault};
use crate::http::{Client, Request};
use crate::series::{Kind, Reading, Round, Series};
use crate::state;
use crate::watch::{Rounds, bearer, check_url, ticks};

/// Outages remembered of each probe.
const OUTAGES: usize = 200;
/// A day in milliseconds.
const DAY: i64 = 86_400_000;
/// How often what was counted is written down, beside each change.
const WRITE: Duration = Duration::from_secs(60);

/// `[[probe]]`: something that must answer. Exactly one of `url` and `tcp`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name in every chart, alert and log.
    pub name: String,
    /// An address that is fetched.
    pub url: Option<String>,
    /// `host:port` that is connected to.
    pub tcp: Option<String>,
    /// Environment variable with a bearer token for the address; default none.
    pub token_env: Option<String>,
    /// Statuses that are well; default all from 200 to 399.
    pub status: Vec<u16>,
    /// Text that the answer must hold; default none.
    pub contains: String,
    /// How often; default that of `[monitor]`.
    #[serde(with = "humantime_serde")]
    pub interval: Option<Duration>,
    /// Time it has to answer; default `5s`, and never more than the interval.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Percent of the time that it shall be up; default 99.9.
    pub objective: f64,
    /// Over how long; default `30d`. Whole days (UTC) count.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: None,
            tcp: None,
            token_env: None,
            status: Vec::new(),
            contains: String::new(),
            interval: None,
            timeout: Duration::from_secs(5),
            objective: 99.9,
            window: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Config {
    pub(crate) fn check(&self, path: &str) -> Result<(), Fault> {
        let at = |field: &str| format!("{path}.{field}");
        check_name(&at("name"), &self.name)?;
        let one = self.url.is_some() != self.tcp.is_some();
        fault(&at("url"), one, || "give url or tcp, one of them".into())?;
        if let Some(url) = &self.url {
            check_url(&at("url"), url)?;
        }
        if let Some(tcp) = &self.tcp {
            let port = tcp.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            fault(&at("tcp"), port, || format!("{tcp:?} must be host:port"))?;
        }
        if let Some(interval) = self.interval {
            check_interval(&at("interval"), interval)?;
        }
        fault(&at("timeout"), !self.timeout.is_zero(), || "must be longer than zero".into())?;
        fault(&at("objective"), self.objective > 0.0 && self.objective < 100.0, || {
            format!("is {}; choose above 0 and below 100", self.objective)
        })?;
        let days = Duration::from_secs(86_400)..=Duration::from_secs(400 * 86_400);
        fault(&at("window"), days.contains(&self.window), || "must be 1d to 400d".into())
    }
}

/// A time in which it did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Outage {
    /// The first failure.
    pub from_ms: i64,
    /// The first answer after it; none while it lasts.
    pub to_ms: Option<i64>,
    /// What the first failure was.
    pub error: String,
}

/// What is known of one probe. Time is an argument; what nobody looked at counts neither as up nor as down.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Book {
    days: BTreeMap<i64, Day>,
    outages: VecDeque<Outage>,
    last_ms: Option<i64>,
    up: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Day {
    checks: u64,
    failed: u64,
    up_ms: i64,
    down_ms: i64,
}

/// A probe as `/api/probes` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// Whether it answered last; none before the first time.
    pub up: Option<bool>,
    /// When it was asked last.
    pub last_ms: Option<i64>,
    /// Times it was asked within the window.
    pub checks: u64,
    /// Of those, in vain.
    pub failed: u64,
    /// Percent of the time looked at in which it was up.
    pub uptime_percent: Option<f64>,
    /// As configured.
    pub objective_percent: f64,
    /// Milliseconds it may be down within the window.
    pub budget_ms: i64,
    /// Milliseconds it was.
    pub down_ms: i64,
    /// Percent of the budget that is left; below 0 it is overdrawn.
    pub budget_left_percent: f64,
    /// The latest first.
    pub outages: Vec<Outage>,
}

impl Book {
    /// Takes what a check found. The time since the check before counts as what that one found, up to twice the interval.
    /// Returns whether the state changed.
    pub fn take(&mut self, at_ms: i64, interval: Duration, error: Option<&str>) -> bool {
        let most = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).saturating_mul(2);
        let passed = self.last_ms.map_or(0, |last| at_ms - last);
        let day = self.days.entry(at_ms.div_euclid(DAY)).or_default();
        if (1..=most).contains(&passed) {
            match self.up {
                Some(true) => day.up_ms += passed,
                Some(false) => day.down_ms += passed,
                None => {}
            }
        }
        day.checks += 1;
        day.failed += u64::from(error.is_some());
        while self.days.len() > 401 {
            self.days.pop_first();
        }
        let up = error.is_none();
        let changed = self.up != Some(up);
        if let (true, Some(error)) = (changed, error) {
            self.outages.push_back(Outage { from_ms: at_ms, to_ms: None, error: error.to_owned() });
            if self.outages.len() > OUTAGES {
                self.outages.pop_front();
            }
        }
        if let (true, Some(last)) = (up, self.outages.back_mut()) {
            last.to_ms.get_or_insert(at_ms);
        }
        (self.last_ms, self.up) = (Some(at_ms), Some(up));
        changed
    }

    /// What it comes to.
    #[must_use]
    pub fn report(&self, config: &Config, now_ms: i64) -> Report {
        let window_ms = i64::try_from(config.window.as_millis()).unwrap_or(i64::MAX);
        let first = (now_ms - window_ms).div_euclid(DAY) + 1;
        let mut sum = Day::default();
        for day in self.days.range(first..).map(|(_, day)| day) {
            sum.checks += day.checks;
            sum.failed += day.failed;
            sum.up_ms += day.up_ms;
            sum.down_ms += day.down_ms;
        }
        let looked = sum.up_ms + sum.down_ms;
        let budget = window_ms as f64 * (100.0 - config.objective) / 100.0;
        Report {
            name: config.name.clone(),
            up: self.up,
            last_ms: self.last_ms,
            checks: sum.checks,
            failed: sum.failed,
            uptime_percent: (looked > 0).then(|| sum.up_ms as f64 / looked as f64 * 100.0),
            objective_percent: config.objective,
            budget_ms: budget as i64,
            down_ms: sum.down_ms,
            budget_left_percent: (budget - sum.down_ms as f64) / budget * 100.0,
            outages: self.outages.iter().rev().cloned().collect(),
        }
    }
}

/// All probes with what is known of them. Clones share it.
#[derive(Clone, Debug)]
pub struct Probes {
    books: Arc<Mutex<BTreeMap<String, Book>>>,
    configs: Arc<[Config]>,
    file: Arc<PathBuf>,
}

impl Probes {
    /// Takes back what was written below `data`.
    ///
    /// # Errors
    /// A file that cannot be read, or is none of ours.
    pub fn open(data: &Path, configs: &[Config]) -> Result<Self> {
        let file = state::folder(data).join("probes.json");
        let books: BTreeMap<String, Book> = state::read(&file)?.unwrap_or_default();
        Ok(Self { books: Arc::new(Mutex::new(books)), configs: configs.into(), file: Arc::new(file) })
    }

    /// Each as it stands.
    #[must_use]
    pub fn report(&self, now_ms: i64) -> Vec<Report> {
        let books = self.lock();
        let none = Book::default();
        self.configs.iter().map(|c| books.get(&c.name).unwrap_or(&none).report(c, now_ms)).collect()
    }

    /// Writes down what is known. Blocks.
    ///
    /// # Errors
    /// What the disk said.
    pub fn save(&self) -> Result<()> {
        let books = self.lock().clone();
        state::write(&self.file, &books)
    }

    /// A task for each.
    pub(crate) fn tasks(
        &self,
        configs: &[Config],
        default: Duration,
        client: &Client,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<Task>> {
        let task = |config: &Config| {
            let interval = config.interval.unwrap_or(default);
            let request = match &config.url {
                None => None,
                Some(url) => {
                    let mut request = Request::get(url.parse().context("the address is none")?);
                    request.timeout = config.timeout.min(interval);
                    let token = bearer(config.token_env.as_ref(), env);
                    let token = token.with_context(|| format!("probe {:?}", config.name))?;
                    request.headers.extend(token.map(|token| (AUTHORIZATION, token)));
                    Some(request)
                }
            };
            let (client, probes, config) = (client.clone(), self.clone(), config.clone());
            Ok(Task { config, interval, client, request, probes })
        };
        configs.iter().map(task).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Book>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One probe at work.
#[derive(Debug)]
pub(crate) struct Task {
    config: Config,
    interval: Duration,
    client: Client,
    request: Option<Request>,
    probes: Probes,
}

impl Task {
    pub(crate) async fn run(self, rounds: Rounds) {
        let target: Arc<str> = Arc::from(self.config.name.as_str());
        let names = [
            "probe_success",
            "probe_duration_seconds",
            "probe_uptime_percent",
            "probe_error_budget_left_percent",
        ];
        let series: HashMap<&str, Arc<Series>> = names
            .into_iter()
            .map(|name| (name, Arc::new(Series::new(&target, name, &[], Kind::Gauge))))
            .collect();
        let mut ticks = ticks(self.interval);
        let mut written = Instant::now();
        loop {
            ticks.tick().await;
            let started = Instant::now();
            let error = self.ask().await.err().map(|error| format!("{error:#}"));
            let (took, at_ms) = (started.elapsed(), crate::now_ms());
            let (changed, report) = {
                let mut books = self.probes.lock();
                let book = books.entry(self.config.name.clone()).or_default();
                let changed = book.take(at_ms, self.interval, error.as_deref());
                (changed, book.report(&self.config, at_ms))
            };
            if changed || written.elapsed() >= WRITE {
                written = Instant::now();
                let probes = self.probes.clone();
                let saved = tokio::task::spawn_blocking(move || probes.save()).await;
                if let Ok(Err(error)) = saved {
                    tracing::warn!(error = format!("{error:#}"), "what probes found cannot be written down");
                }
            }
            let values = [
                ("probe_success", Some(f64::from(u8::from(error.is_none())))),
                ("probe_duration_seconds", Some(took.as_secs_f64())),
                ("probe_uptime_percent", report.uptime_percent),
                ("probe_error_budget_left_percent", Some(report.budget_left_percent)),
            ];
            let reading = |(name, value): (&str, Option<f64>)| {
                Some(Reading { series: Arc::clone(series.get(name)?), value: value? })
            };
            let readings = values.into_iter().filter_map(reading).collect();
            // The probe itself works; what it found is a value.
            rounds.tell(Round { target: Arc::clone(&target), at_ms, took, error: None, readings });
        }
    }

    async fn ask(&self) -> Result<()> {
        let timeout = self.config.timeout.min(self.interval);
        let Some(request) = &self.request else {
            let address = self.config.tcp.as_deref().unwrap_or_default();
            return match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
                Ok(connected) => connected.map(drop).with_context(|| format!("cannot connect to {address}")),
                Err(_) => bail!("no connection within {timeout:?}"),
            };
        };
        let answer = self.client.send(request).await?;
        let status = answer.status.as_u16();
        let well = match self.config.status.as_slice() {
            [] => (200..400).contains(&status),
            wanted => wanted.contains(&status),
        };
        ensure!(well, "the answer was {status}");
        let wanted = self.config.contains.as_bytes();
        ensure!(
            wanted.is_empty() || memchr::memmem::find(&answer.body, wanted).is_some(),
            "the answer does not hold {:?}",
            self.config.contains
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config() -> Config {
        Config { name: "p".into(), objective: 99.0, window: Duration::from_secs(86_400), ..Config::default() }
    }

    #[test]
    fn uptime_outages_and_budget_are_those_of_the_time_looked_at() {
        let mut book = Book::default();
        let (start, second) = (20_000 * DAY, Duration::from_secs(1));
        for at in 0..1000 {
            let error = (100..200).contains(&at).then_some("refused");
            book.take(start + at * 1000, second, error);
        }
        let report = book.report(&config(), start + 1_000_000);
        assert_eq!((report.checks, report.failed, report.up), (1000, 100, Some(true)));
        assert_eq!(report.down_ms, 100_000);
        assert!((report.uptime_percent.unwrap() - 899.0 / 9.99).abs() < 1e-9);
        // 1 % of a day are 864 s; 100 s are spent.
        assert_eq!(report.budget_ms, 864_000);
        assert!((report.budget_left_percent - 764.0 / 8.64).abs() < 1e-9);
        let outage =
            Outage { from_ms: start + 100_000, to_ms: Some(start + 200_000), error: "refused".into() };
        assert_eq!(report.outages, [outage]);
        // An hour in which nobody looked is neither.
        book.take(start + 4_600_000, second, None);
        assert_eq!(book.report(&config(), start + 4_600_000).down_ms, 100_000);
        // The next day begins anew, but for what is remembered.
        let later = book.report(&config(), start + 3 * DAY);
        assert_eq!((later.checks, later.uptime_percent, later.outages.len()), (0, None, 1));
    }

    proptest! {
        /// Whatever is found in whatever order: nothing grows without bound, and what is saved is what is read.
        #[test]
        fn it_is_bounded_and_survives_being_written(found in prop::collection::vec((0i64..200_000_000, any::<bool>()), 0..600)) {
            let mut book = Book::default();
            let mut at = 0;
            for (step, up) in found {
                at += step;
                book.take(at, Duration::from_secs(10), (!up).then_some("x"));
            }
            prop_assert!(book.outages.len() <= OUTAGES && book.days.len() <= 401);
            prop_assert!(book.outages.iter().rev().skip(1).all(|outage| outage.to_ms.is_some()));
            let text = serde_json::to_string(&book).unwrap();
            prop_assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
        }
    }
}
