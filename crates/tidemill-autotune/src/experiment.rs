//! A/B: several variants beside a control, several metrics, one promise over all of them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::evidence::{Effect, Evidence, Verdict, pairs_needed};
use crate::objective::Objective;
use crate::split::place;

/// Readings of one arm that wait for one of the other; older ones are dropped.
const MAX_WAITING: usize = 1024;

/// Units (requests, hosts, users) assigned to arms by a hash, one reading a unit and metric.
///
/// The n-th reading of a variant and the n-th of the control make a pair. When the variant changes nothing either could have
/// been the other, so the test of [`Evidence`] holds; with `k` comparisons (variants × metrics) each takes `alpha / k`
/// (Bonferroni), so the chance of *any* wrong verdict stays below `alpha`, at every look.
///
/// A unit gives one reading. Who gives many, a symbol that is asked for every day, is many units: `symbol#day`. Else what
/// distinguishes the arms' members by chance comes back in every reading, and is taken for an effect.
///
/// Plain data: store it, read it after a restart.
///
/// ```
/// use tidemill_autotune::{Experiment, Verdict};
/// let metrics = vec!["ms lower".parse()?, "rows higher".parse()?];
/// let mut experiment = Experiment::new(&["old", "new", "other"], metrics, 0.05, 42)?;
/// // Before the start: what it takes to see an effect of one standard deviation of a pair's difference.
/// let pairs = experiment.pairs_needed(1.0, 1000, 42).expect("seen within 1000 pairs");
/// assert!(pairs < 40.0, "{pairs}");
/// for unit in 0..600_u32 {
///     let unit = unit.to_le_bytes();
///     let ms = if experiment.arm(&unit) == "new" { 80.0 } else { 100.0 } + f64::from(unit[0] % 7);
///     experiment.observe(&unit, "ms", ms)?;
/// }
/// let finding = &experiment.findings()[0];
/// assert_eq!((finding.variant.as_str(), finding.verdict), ("new", Some(Verdict::Better)));
/// # Ok::<(), tidemill_autotune::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    variants: Vec<String>,
    metrics: Vec<Objective>,
    /// Of one comparison.
    alpha: f64,
    salt: u64,
    comparisons: Vec<Comparison>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Comparison {
    evidence: Evidence,
    control: VecDeque<f64>,
    variant: VecDeque<f64>,
}

/// One variant against the control on one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The variant.
    pub variant: String,
    /// The metric and what better means.
    pub metric: Objective,
    /// Certain enough, or not yet.
    pub verdict: Option<Verdict>,
    /// How much, and how sure.
    pub effect: Effect,
}

impl Experiment {
    /// The first arm is the control.
    ///
    /// # Errors
    /// `Config` for fewer than two arms, more than 26, no metric or more than 20.
    pub fn new(arms: &[&str], metrics: Vec<Objective>, alpha: f64, salt: u64) -> Result<Self, Error> {
        let bad = |why: &str| Err(Error::config("experiment", why));
        if !(2..=26).contains(&arms.len()) {
            return bad("wants a control and 1 to 25 variants");
        }
        if !(1..=20).contains(&metrics.len()) {
            return bad("wants 1 to 20 metrics");
        }
        let variants: Vec<String> = arms.iter().map(|arm| (*arm).to_owned()).collect();
        let count = (variants.len() - 1) * metrics.len();
        let alpha = alpha / count as f64;
        let one =
            Comparison { evidence: Evidence::new(alpha), control: VecDeque::new(), variant: VecDeque::new() };
        Ok(Self { variants, metrics, alpha, salt, comparisons: vec![one; count] })
    }

    /// The arms' names, the control first.
    #[must_use]
    pub fn arms(&self) -> &[String] {
        &self.variants
    }

    /// Before the start: how many pairs each comparison will take on average to see an effect of `effect` standard deviations
    /// of one pair's difference, under its share of `alpha`. `None` when it is not seen within `most` in nine of ten.
    ///
    /// A pair takes a reading of each arm, so all arms together need about `pairs × arms` readings. Simulated 200 times; with
    /// `most` at 2000 that takes a few seconds for the smallest effects.
    #[must_use]
    pub fn pairs_needed(&self, effect: f64, most: usize, seed: u64) -> Option<f64> {
        pairs_needed(effect, self.alpha, most, 200, seed)
    }

    /// Pairs that every comparison has.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.comparisons.iter().map(|comparison| comparison.evidence.pairs()).min().unwrap_or(0)
    }

    /// Whether every comparison has its verdict.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.comparisons.iter().all(|comparison| comparison.evidence.verdict().is_some())
    }

    /// The arm of a unit: each gets the same share.
    #[must_use]
    pub fn arm(&self, unit: &[u8]) -> &str {
        &self.variants[self.index(unit)]
    }

    /// Takes one unit's reading of one metric, by the metric's signal.
    ///
    /// # Errors
    /// `Unknown` for a metric it was not built with.
    pub fn observe(&mut self, unit: &[u8], metric: &str, value: f64) -> Result<(), Error> {
        let Some(at) = self.metrics.iter().position(|one| one.signal == metric) else {
            let known: Vec<&str> = self.metrics.iter().map(|one| one.signal.as_str()).collect();
            return Err(Error::unknown("metric", metric, &known));
        };
        if !value.is_finite() {
            return Ok(());
        }
        let arm = self.index(unit);
        let (metrics, objective) = (self.metrics.len(), &self.metrics[at]);
        for variant in 1..self.variants.len() {
            let comparison = &mut self.comparisons[(variant - 1) * metrics + at];
            if arm == 0 {
                push(&mut comparison.control, value);
            } else if arm == variant {
                push(&mut comparison.variant, value);
            } else {
                continue;
            }
            comparison.pair(objective);
        }
        Ok(())
    }

    /// Every variant against the control on every metric.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let pairs = self.variants[1..]
            .iter()
            .flat_map(|variant| self.metrics.iter().map(move |metric| (variant, metric)));
        pairs
            .zip(&self.comparisons)
            .map(|((variant, metric), comparison)| Finding {
                variant: variant.clone(),
                metric: metric.clone(),
                verdict: comparison.evidence.verdict(),
                effect: comparison.evidence.effect(),
            })
            .collect()
    }

    fn index(&self, unit: &[u8]) -> usize {
        let arms = self.variants.len();
        ((place(unit, self.salt) * arms as f64) as usize).min(arms - 1)
    }
}

impl Comparison {
    fn pair(&mut self, objective: &Objective) {
        if !self.control.is_empty() && !self.variant.is_empty() {
            let (control, variant) = (self.control.pop_front(), self.variant.pop_front());
            if let (Some(control), Some(variant)) = (control, variant) {
                self.evidence.add(objective.gain(control, variant));
            }
        }
    }
}

fn push(waiting: &mut VecDeque<f64>, value: f64) {
    if waiting.len() == MAX_WAITING {
        waiting.pop_front();
    }
    waiting.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn run(effects: [f64; 3], units: u32, seed: u64) -> Vec<Finding> {
        let metrics = vec!["ms lower".parse().unwrap(), "errors lower".parse().unwrap()];
        let mut experiment = Experiment::new(&["a", "b", "c"], metrics, 0.05, seed).unwrap();
        let mut random = Random::new(seed);
        for unit in 0..units {
            let unit = unit.to_le_bytes();
            let effect = match experiment.arm(&unit) {
                "a" => effects[0],
                "b" => effects[1],
                _ => effects[2],
            };
            experiment.observe(&unit, "ms", 100.0 + effect + random.normal()).unwrap();
            experiment.observe(&unit, "errors", random.uniform()).unwrap();
        }
        experiment.findings()
    }

    #[test]
    fn each_variant_and_metric_is_judged_by_itself() {
        let found = run([0.0, -1.0, 1.0], 900, 4);
        let verdicts: Vec<_> =
            found.iter().map(|finding| (finding.variant.as_str(), finding.verdict)).collect();
        let (better, worse) = (Some(Verdict::Better), Some(Verdict::Worse));
        assert_eq!(verdicts, [("b", better), ("b", None), ("c", worse), ("c", None)]);
        assert!((found[0].effect.estimate - 1.0).abs() < 0.4, "{:?}", found[0]);
    }

    #[test]
    fn four_comparisons_of_nothing_are_called_something_as_seldom_as_one() {
        let wrong = (0..300)
            .filter(|seed| run([0.0; 3], 300, *seed).iter().any(|finding| finding.verdict.is_some()))
            .count();
        assert!(wrong <= 15, "{wrong} of 300");
    }

    #[test]
    fn the_estimate_grows_with_the_comparisons_and_a_restart_changes_nothing() {
        let metric = || "ms lower".parse::<Objective>().unwrap();
        let one = Experiment::new(&["a", "b"], vec![metric()], 0.05, 1).unwrap();
        let metrics = vec![metric(), "errors lower".parse().unwrap(), "rows higher".parse().unwrap()];
        let mut many = Experiment::new(&["a", "b", "c", "d"], metrics, 0.05, 1).unwrap();
        let needed = |experiment: &Experiment| experiment.pairs_needed(1.0, 500, 7).unwrap();
        assert!(needed(&many) > 1.2 * needed(&one), "{} {}", needed(&many), needed(&one));
        assert_eq!(one.pairs_needed(0.05, 100, 7), None, "too small to be seen");
        let mut kept = many.clone();
        for unit in 0..200_u32 {
            let (unit, ms) = (unit.to_le_bytes(), f64::from(unit % 13));
            many.observe(&unit, "ms", ms).unwrap();
            kept = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
            kept.observe(&unit, "ms", ms).unwrap();
        }
        let [many, kept] = [&many, &kept].map(|one| (one.findings(), one.pairs(), one.is_decided()));
        assert_eq!((kept.1, kept.2), (0, false), "two metrics have no reading");
        for (one, other) in many.0.iter().zip(&kept.0) {
            assert_eq!((one.effect.pairs, one.verdict), (other.effect.pairs, other.verdict));
            assert!((one.effect.p_value - other.effect.p_value).abs() < 1e-9);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Experiment::new(&["a"], vec!["x lower".parse().unwrap()], 0.05, 0).is_err());
        let mut experiment = Experiment::new(&["a", "b"], vec!["x lower".parse().unwrap()], 0.05, 0).unwrap();
        assert!(experiment.observe(b"1", "y", 1.0).unwrap_err().to_string().contains("there are: x"));
        assert!(Experiment::new(&["a", "b"], Vec::new(), 0.05, 0).is_err());
    }
}
