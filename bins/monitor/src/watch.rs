//! Asks everything that is watched, each at its own rhythm: this host, Prometheus endpoints, custom and business metrics.
//!
//! Each is a task of its own with a deadline, so that none delays another. What is answered goes as a [`Round`] to all
//! who listen; whoever listens slowly misses rounds and delays nobody.

mod business;
mod custom;
mod exposition;
mod host;
mod intern;
mod line;
mod target;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

pub use business::{Business, Per, Stat};
pub use custom::{Custom, Format};
pub use exposition::QUANTILES;
pub use target::Target;
pub(crate) use target::{bearer, check_url};

use crate::config::Config;
use crate::current::Current;
use crate::http::Client;
use crate::probe::Probes;
use crate::series::Round;

/// Reads the answers of one target as the monitor does, for those that want to know what that costs.
#[derive(Debug)]
pub struct Reader(exposition::Parser);

impl Reader {
    /// With the bounds of a target that sets none.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        Self(target.parser())
    }

    /// The readings of an answer.
    ///
    /// # Errors
    /// The line that is wrong, and why.
    pub fn read(&mut self, answer: &[u8]) -> anyhow::Result<Vec<crate::series::Reading>> {
        self.0.parse(answer).map_err(|malformed| anyhow::anyhow!("{malformed}"))
    }
}

/// Rounds that a listener may lag behind.
const LAG: usize = 1024;

/// Where rounds are told.
#[derive(Clone, Debug)]
pub struct Rounds {
    to_all: broadcast::Sender<Arc<Round>>,
    current: Current,
}

impl Rounds {
    /// Each round is put into `current` before it is told.
    #[must_use]
    pub fn new(current: Current) -> Self {
        Self { to_all: broadcast::Sender::new(LAG), current }
    }

    /// Those that follow.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Round>> {
        self.to_all.subscribe()
    }

    /// Tells a round.
    pub fn tell(&self, round: Round) {
        let round = Arc::new(round);
        self.current.take(&round);
        // Nobody listens: it is the current one all the same.
        self.to_all.send(round).ok();
    }
}

/// Starts a task for each that is watched. They end when the set is dropped.
///
/// # Errors
/// What was wrong with one of them: a token that is not set, an address that is none.
pub fn start(
    config: &Config,
    client: &Client,
    rounds: &Rounds,
    probes: &Probes,
    env: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    let default = config.monitor.interval;
    for target in &config.targets {
        let asked = target::Asked::new(target, default, client.clone(), env)?;
        tasks.spawn(asked.run(rounds.clone()));
    }
    for metric in &config.metrics {
        let asked = custom::Asked::new(metric, default, client.clone(), env)?;
        tasks.spawn(asked.run(rounds.clone()));
    }
    for probe in probes.tasks(&config.probes, default, client, env)? {
        tasks.spawn(probe.run(rounds.clone()));
    }
    if config.monitor.host {
        let watched = host::Watched::new(&config.monitor, rounds.current.clone())?;
        tasks.spawn(watch_host(default, watched, rounds.clone()));
    }
    if !config.business.is_empty() {
        tasks.spawn(business::run(config.business.clone(), default, rounds.clone()));
    }
    Ok(tasks)
}

/// Ticks of an interval; a late one moves those that follow, so that none come in a burst.
pub(crate) fn ticks(interval: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn watch_host(interval: Duration, mut watched: host::Watched, rounds: Rounds) {
    // The first sample has no rates: one a moment before gives them to the first round.
    watched.look().ok();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let target: Arc<str> = Arc::from("host");
    let mut ticks = ticks(interval);
    loop {
        ticks.tick().await;
        let started = Instant::now();
        // A file system that hangs holds up this task's thread and nothing else.
        let looked = tokio::task::spawn_blocking(move || {
            let looked = watched.look();
            (watched, looked)
        });
        let Ok((back, looked)) = looked.await else { return };
        watched = back;
        let (error, readings) = match looked {
            Ok(readings) => (None, readings),
            Err(error) => (Some(error.to_string()), Vec::new()),
        };
        rounds.tell(Round {
            target: Arc::clone(&target),
            at_ms: crate::now_ms(),
            took: started.elapsed(),
            error,
            readings,
        });
    }
}
