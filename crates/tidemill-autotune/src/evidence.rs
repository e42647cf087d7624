//! What a trial has shown so far: a test of paired differences that may be looked at after every pair.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Betting rates in units of the differences' own scale, for small, middling and large effects.
const RATES: [f64; 3] = [0.5, 1.0, 2.0];
/// The share of `alpha` spent on finding harm, which must be quick; a gain may wait for the rest.
const HARM_SHARE: f64 = 0.8;
/// Steps in which a bound of the interval is narrowed.
const BISECTIONS: u32 = 40;

/// Which way the differences point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The new value is better.
    Better,
    /// The new value is worse.
    Worse,
}

/// A sequential test of "the new value changes nothing" from paired differences, positive where the new value did better.
///
/// **Why it holds.** When a coin decides which half of a pair gets the new value, and nothing changes, each difference is
/// as likely `d` as `-d` given everything before it and given `|d|`: whatever the load drifts, swings or remembers. A bet of
/// `1 + tanh(x)` on its sign, with `x` taken from the past and from `|d|` alone, is then fair, and so is any mixture of such
/// bets. By Ville's inequality their wealth reaches `1 / alpha` with a probability of at most `alpha`, *however often one
/// looks*. Nothing is assumed about variance, shape or independence of the readings.
///
/// Four fifths of `alpha` are spent on finding harm and one fifth on finding a gain, since harm must end at once and a gain can
/// wait for a few pairs more. The rate of a bet is relative to the median of `|d|` seen so far, so it needs no unit. Sources: Ville 1939; de la Peña
/// 1999 and Ramdas et al. 2020 on tests of symmetry by betting.
///
/// ```
/// use tidemill_autotune::{Evidence, Verdict};
/// let mut evidence = Evidence::new(0.05);
/// for pair in 0..12 { evidence.add(1.0 + 0.3 * f64::from(pair % 3)); }
/// assert_eq!(evidence.verdict(), Some(Verdict::Better));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    alpha: f64,
    /// At most [`Evidence::MAX_PAIRS`].
    differences: Vec<f64>,
    magnitudes: Magnitudes,
    better: Wealth,
    worse: Wealth,
}

/// The sizes of the differences in order, for their median.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Magnitudes(Vec<f64>);

/// Logarithms of what each betting rate has made of one unit; and the most their mean ever was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Wealth {
    log: [f64; RATES.len()],
    peak: f64,
}

/// What the differences say of the effect.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Median of the differences, in the objective's unit; positive is better.
    pub estimate: f64,
    /// The interval holds the effect with at least `1 - alpha`, at every look. None while the pairs are too few.
    pub low: Option<f64>,
    /// Its upper end.
    pub high: Option<f64>,
    /// Pairs it rests on.
    pub pairs: usize,
    /// The smallest `alpha` that would have called a direction by now; valid at every look.
    pub p_value: f64,
}

impl Evidence {
    /// More pairs than any trial may take.
    pub const MAX_PAIRS: usize = 10_000;

    /// Nothing seen. `alpha` is the chance of a verdict when nothing changed, both directions together; kept within
    /// 10⁻⁹ and 0.5.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        let alpha = if alpha.is_nan() { 0.05 } else { alpha.clamp(1e-9, 0.5) };
        let (better, worse) = (Wealth::default(), Wealth::default());
        Self { alpha, differences: Vec::new(), magnitudes: Magnitudes::default(), better, worse }
    }

    /// Takes the difference of one pair, positive where the new value did better. What is not finite, and what comes after
    /// [`MAX_PAIRS`](Self::MAX_PAIRS), counts for nothing.
    pub fn add(&mut self, difference: f64) {
        if !difference.is_finite() || self.differences.len() >= Self::MAX_PAIRS {
            return;
        }
        self.differences.push(difference);
        self.magnitudes.add(difference.abs());
        let bet = difference / self.magnitudes.scale();
        self.better.bet(bet);
        self.worse.bet(-bet);
    }

    /// The direction, once it is certain enough; it never turns afterwards.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let (better, worse) = (self.better.peak - self.gain_bar(), self.worse.peak - self.harm_bar());
        if better.max(worse) < 0.0 {
            return None;
        }
        Some(if better >= worse { Verdict::Better } else { Verdict::Worse })
    }

    fn gain_bar(&self) -> f64 {
        -(self.alpha * (1.0 - HARM_SHARE)).ln()
    }

    fn harm_bar(&self) -> f64 {
        -(self.alpha * HARM_SHARE).ln()
    }

    /// Pairs seen.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.differences.len()
    }

    /// The effect and how sure it is.
    #[must_use]
    pub fn effect(&self) -> Effect {
        let better = (-self.better.peak).exp() / (1.0 - HARM_SHARE);
        let worse = (-self.worse.peak).exp() / HARM_SHARE;
        Effect {
            estimate: median(&mut self.differences.clone()),
            low: self.bound(1.0, self.gain_bar()),
            high: self.bound(-1.0, self.harm_bar()),
            pairs: self.pairs(),
            p_value: better.min(worse).min(1.0),
        }
    }

    /// The end of the interval on one side: the effect furthest out that the differences do not refute.
    fn bound(&self, side: f64, bar: f64) -> Option<f64> {
        if self.pairs() == 0 {
            return None;
        }
        let differences: Vec<f64> = self.differences.iter().map(|difference| side * difference).collect();
        let least = differences.iter().copied().fold(f64::INFINITY, f64::min);
        let most = differences.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let width = (most - least).max(most.abs()).max(f64::MIN_POSITIVE);
        let refuted = |effect: f64| {
            let (mut wealth, mut magnitudes) = (Wealth::default(), Magnitudes::default());
            for difference in &differences {
                magnitudes.add((difference - effect).abs());
                wealth.bet((difference - effect) / magnitudes.scale());
            }
            wealth.peak >= bar
        };
        let (mut out, mut inside) = (least - width, most + width);
        if !refuted(out) {
            return None;
        }
        for _ in 0..BISECTIONS {
            let middle = f64::midpoint(out, inside);
            if refuted(middle) { out = middle } else { inside = middle }
        }
        Some(side * out)
    }
}

impl Wealth {
    fn bet(&mut self, difference: f64) {
        for (log, rate) in self.log.iter_mut().zip(RATES) {
            // 1 + tanh(x) = 2 / (1 + exp(-2x))
            *log += std::f64::consts::LN_2 - softplus(-2.0 * rate * difference);
        }
        let most = self.log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = self.log.iter().map(|log| (log - most).exp()).sum::<f64>() / RATES.len() as f64;
        self.peak = self.peak.max(most + mean.ln());
    }
}

/// `ln(1 + exp(x))` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

impl Magnitudes {
    fn add(&mut self, magnitude: f64) {
        let at = self.0.partition_point(|other| *other < magnitude);
        self.0.insert(at, magnitude);
    }

    /// The median, the newest included: under the hypothesis it tells nothing about the signs.
    fn scale(&self) -> f64 {
        let median = middle(&self.0);
        if median > 0.0 { median } else { 1.0 }
    }
}

/// The middle value; 0 of nothing. Sorts what it is given.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    middle(values)
}

fn middle(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// How many pairs a trial will take to see an effect of `effect` standard deviations of one pair's difference: the mean of
/// `runs` simulated trials with the given seed. Nothing when it is not seen within `most` pairs in nine of ten.
#[must_use]
pub fn pairs_needed(effect: f64, alpha: f64, most: usize, runs: u32, seed: u64) -> Option<f64> {
    let mut random = crate::random::Random::new(seed);
    let (mut seen, mut pairs) = (0_u32, 0_usize);
    for _ in 0..runs {
        let mut evidence = Evidence::new(alpha);
        while evidence.pairs() < most.min(Evidence::MAX_PAIRS) && evidence.verdict().is_none() {
            evidence.add(effect + random.normal());
        }
        seen += u32::from(evidence.verdict().is_some());
        pairs += evidence.pairs();
    }
    (runs > 0 && f64::from(seen) >= 0.9 * f64::from(runs)).then(|| pairs as f64 / f64::from(runs))
}

/// The same as time, for pairs of `pair` each.
#[must_use]
pub fn time_needed(effect: f64, alpha: f64, pair: Duration, most: usize, seed: u64) -> Option<Duration> {
    let pairs = pairs_needed(effect, alpha, most, 200, seed)?;
    Some(pair.mul_f64(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Trials of `pairs` pairs in which nothing changes and the new value's half is a coin's choice.
    fn false_changes(trials: u32, pairs: usize, mut noise: impl FnMut(&mut Random, usize) -> f64) -> u32 {
        let mut random = Random::new(7);
        let mut wrong = 0;
        for _ in 0..trials {
            let mut evidence = Evidence::new(0.05);
            for pair in 0..pairs {
                let (first, second) = (noise(&mut random, 2 * pair), noise(&mut random, 2 * pair + 1));
                evidence.add(if random.coin() { first - second } else { second - first });
            }
            wrong += u32::from(evidence.verdict().is_some());
        }
        wrong
    }

    #[test]
    fn looking_after_every_pair_calls_nothing_changed_a_change_as_seldom_as_promised() {
        let plain = false_changes(800, 80, |random, _| random.normal());
        let drift = false_changes(800, 80, |random, at| at as f64 * 0.3 + random.normal());
        let mut swing = 0.0;
        let remembering = false_changes(800, 80, |random, _| {
            swing = 0.9 * swing + random.normal();
            swing
        });
        let tails = false_changes(800, 80, |random, _| random.normal() / random.normal().abs().max(1e-9));
        for (name, wrong) in
            [("plain", plain), ("drift", drift), ("remembering", remembering), ("tails", tails)]
        {
            assert!(wrong <= 40, "{name}: {wrong} of 800");
        }
    }

    #[test]
    fn without_the_coin_a_drift_is_called_a_change() {
        let mut evidence = Evidence::new(0.05);
        for pair in 0..30 {
            evidence.add(1.0 + 0.01 * f64::from(pair));
        }
        assert_eq!(evidence.verdict(), Some(Verdict::Better), "the control: always the new value second");
    }

    #[test]
    fn an_effect_of_twice_an_arms_noise_is_seen_within_twelve_pairs() {
        let mut random = Random::new(3);
        let mut seen = 0;
        for _ in 0..1000 {
            let mut evidence = Evidence::new(0.05);
            for _ in 0..12 {
                evidence.add(-2.0 + random.normal() - random.normal());
            }
            seen += u32::from(evidence.verdict() == Some(Verdict::Worse));
        }
        assert!(seen >= 900, "{seen} of 1000");
    }

    #[test]
    fn the_interval_holds_the_effect_and_narrows() {
        let mut random = Random::new(11);
        let (mut held, mut width) = (0, [0.0, 0.0]);
        for _ in 0..400 {
            let mut evidence = Evidence::new(0.05);
            for pair in 1..=60 {
                evidence.add(3.0 + random.normal());
                if pair == 20 {
                    width[0] += evidence.effect().high.unwrap() - evidence.effect().low.unwrap();
                }
            }
            let (low, high) = (evidence.effect().low.unwrap(), evidence.effect().high.unwrap());
            held += u32::from(low <= 3.0 && 3.0 <= high);
            width[1] += high - low;
        }
        assert!(held >= 380, "{held} of 400");
        assert!(width[1] < width[0] && width[1] / 400.0 < 2.5, "{width:?}");
    }

    #[test]
    fn what_is_no_number_counts_for_nothing() {
        let mut evidence = Evidence::new(f64::NAN);
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            evidence.add(wrong);
        }
        assert_eq!((evidence.pairs(), evidence.verdict()), (0, None));
        for _ in 0..100 {
            evidence.add(0.0);
        }
        assert_eq!(evidence.verdict(), None, "no difference at all");
        assert_eq!(evidence.effect().p_value, 1.0);
    }

    #[test]
    fn the_estimate_of_pairs_is_what_a_trial_takes() {
        let large = pairs_needed(2.0, 0.05, 200, 200, 1).unwrap();
        let small = pairs_needed(0.5, 0.05, 2000, 100, 1).unwrap();
        assert!(large < 12.0 && small > 3.0 * large, "{large} {small}");
        assert_eq!(pairs_needed(0.01, 0.05, 50, 20, 1), None);
    }
}
