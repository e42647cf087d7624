//! Capacity search: which rate to try next, as a pure stepper that somebody drives.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::units;

/// Where and how finely to search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchConfig {
    /// The lowest rate of interest, arrivals a second. Default 10.
    pub low: f64,
    /// The highest rate of interest. Default 100 000.
    pub high: f64,
    /// How close, as a share of the result. Default 0.05.
    pub tolerance: f64,
    /// The most probes. It must be enough to halve from `low..high` to the tolerance: 8 for a range of 1 to 100 000.
    /// Default 8.
    pub probes: u32,
    /// How long each probe is counted. Default `"10s"`.
    #[serde(with = "units::duration")]
    pub probe: Duration,
    /// Sent before that and not counted. Default `"2s"`.
    #[serde(with = "units::duration")]
    pub warm_up: Duration,
}

/// Finds the largest rate that keeps the promises: halves the range on a logarithmic scale, and goes as near to
/// what an overloaded server still achieved as the guarantee allows.
///
/// ```
/// use tidemill_load::{Probe, Search, SearchConfig};
///
/// let mut search = Search::new(SearchConfig::default())?;
/// while let Some(rate) = search.rate() {
///     // A server that can do 4000 a second and not more.
///     search.record(Probe { rate, kept: rate <= 4000.0, achieved: rate.min(4000.0), conclusive: true });
/// }
/// let found = search.capacity();
/// assert!((3800.0..=4000.0).contains(&found.rate.unwrap()) && found.probes.len() <= 8);
/// # Ok::<(), tidemill_load::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Search {
    config: SearchConfig,
    kept: Option<f64>,
    broken: Option<f64>,
    hint: Option<f64>,
    probes: Vec<Probe>,
    inconclusive: bool,
}

/// What one rate did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Arrivals a second.
    pub rate: f64,
    /// Whether every promise was kept.
    pub kept: bool,
    /// Requests a second that ended well in the counted time.
    pub achieved: f64,
    /// False when the run was INVALID: the generator, not the server, was at its end.
    pub conclusive: bool,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// The largest rate that kept the promises; `None` when none did.
    pub rate: Option<f64>,
    /// The smallest rate that broke them; `None` when none did.
    pub broken: Option<f64>,
    /// Why the search ended.
    pub ended: SearchEnd,
    /// Every probe, in order.
    pub probes: Vec<Probe>,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchEnd {
    /// The answer is within the tolerance.
    Found,
    /// Not one rate kept the promises: the answer is below `low`.
    BelowRange,
    /// Every rate kept them: the answer is above `high`.
    AboveRange,
    /// A probe was INVALID: the answer is above the generator's own limit.
    GeneratorLimit,
    /// It is not over: probes are left, or the caller gave up.
    Unfinished,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            low: 10.0,
            high: 100_000.0,
            tolerance: 0.05,
            probes: 8,
            probe: Duration::from_secs(10),
            warm_up: Duration::from_secs(2),
        }
    }
}

impl Search {
    /// A search that has not begun.
    ///
    /// # Errors
    /// [`ErrorKind::Plan`](crate::ErrorKind::Plan) when the range is empty or the probes do not suffice for it.
    pub fn new(config: SearchConfig) -> Result<Self, Error> {
        if !(config.low > 0.0 && config.high > config.low && config.high <= 1e9) {
            return Err(Error::plan("search.low", "must be above 0 and below `high`, and that at most 1e9"));
        }
        if !(0.001..=1.0).contains(&config.tolerance) || config.probe.is_zero() {
            return Err(Error::plan(
                "search.tolerance",
                "must be 0.001 to 1, and `probe` longer than nothing",
            ));
        }
        let search =
            Self { config, kept: None, broken: None, hint: None, probes: Vec::new(), inconclusive: false };
        let needed = search.needed(search.config.low, search.config.high);
        if needed > search.config.probes || search.config.probes > 64 {
            let reason = format!("this range and tolerance need {needed} probes, and 64 are the most");
            return Err(Error::plan("search.probes", reason));
        }
        Ok(search)
    }

    /// The rate to try next; `None` when the search is over.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let left = self.config.probes.saturating_sub(self.probes.len() as u32);
        let (low, high) = (self.low(), self.high());
        if self.inconclusive || left == 0 || self.needed(low, high) == 0 {
            return None;
        }
        let middle = (low * high).sqrt();
        let Some(achieved) = self.hint else { return Some(middle) };
        // Just below what was achieved, and once that is kept just above it.
        let margin = 1.0 + 0.4 * self.config.tolerance;
        let wanted =
            [achieved / margin, achieved * margin].into_iter().find(|rate| *rate > low && *rate < high);
        // From here both ends can still be reached by halving with the probes that are left after this one.
        let reach = (self.config.tolerance.ln_1p() * 2f64.powi(left as i32 - 1)).exp();
        let (lowest, highest) = ((high / reach).max(low), (low * reach).min(high));
        Some(wanted.filter(|_| lowest <= highest).map_or(middle, |rate| rate.clamp(lowest, highest)))
    }

    /// Takes what became of the rate.
    pub fn record(&mut self, probe: Probe) {
        self.probes.push(probe);
        if !probe.conclusive {
            self.inconclusive = true;
        } else if probe.kept {
            self.kept = Some(self.kept.map_or(probe.rate, |rate| rate.max(probe.rate)));
        } else {
            self.broken = Some(self.broken.map_or(probe.rate, |rate| rate.min(probe.rate)));
            let overloaded = probe.achieved < probe.rate * (1.0 - 0.5 * self.config.tolerance);
            self.hint = overloaded.then_some(probe.achieved).filter(|achieved| *achieved > 0.0).or(self.hint);
        }
    }

    /// What is known so far.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        let ended = if self.inconclusive {
            SearchEnd::GeneratorLimit
        } else if self.rate().is_some() {
            SearchEnd::Unfinished
        } else if self.kept.is_none() {
            SearchEnd::BelowRange
        } else if self.broken.is_none() {
            SearchEnd::AboveRange
        } else {
            SearchEnd::Found
        };
        Capacity { rate: self.kept, broken: self.broken, ended, probes: self.probes.clone() }
    }

    fn low(&self) -> f64 {
        self.kept.unwrap_or(self.config.low)
    }

    fn high(&self) -> f64 {
        self.broken.unwrap_or(self.config.high)
    }

    /// Halvings until the ends of the range are within the tolerance of each other.
    fn needed(&self, low: f64, high: f64) -> u32 {
        let cells = (high / low).ln() / self.config.tolerance.ln_1p();
        cells.log2().ceil().max(0.0) as u32
    }
}
