//! Whether B is better or worse than A, from turns that stood side by side.
//!
//! A machine drifts: two runs in a row differ though nothing changed. So A and B take turns in the order A B B A
//! ([`order`]). Two neighbours, A and then B or B and then A, are a block and yield one difference, `ln b − ln a`, in
//! which the level of the moment cancels; a trend adds to one kind of block what it takes from the other. The interval
//! comes from a block bootstrap, stratified: as many blocks of either kind are drawn as there are, each as a whole, so
//! that what its turns share stays together. It is drawn by whole pairs too, and the wider one counts, so that
//! what lasts for several turns is not taken for nothing. Percentiles are widened to Student's t (Hesterberg 2015, section
//! 5.4), because twenty blocks look more alike than they are. ADR 0028 has the figures.

mod order;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use order::{Side, Turn, order};

use crate::statistics::random::Random;
use crate::statistics::sample::{deviation, mean, median, of_sorted};
use crate::statistics::student;

/// Fewer pairs than this tell nothing.
pub const MIN_PAIRS: usize = 4;
/// More pairs than this are refused.
pub const MAX_PAIRS: usize = 1000;

/// Which way is good.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Times and costs.
    Lower,
    /// Rates.
    Higher,
}

/// What the four turns of a pair gave; all values above 0.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Pair {
    /// A's two turns.
    pub a: [f64; 2],
    /// B's two turns.
    pub b: [f64; 2],
}

impl Pair {
    /// The logarithm of B over A in one of the two blocks.
    fn difference(&self, slot: usize) -> f64 {
        self.b[slot].ln() - self.a[slot].ln()
    }

    fn is_sound(&self) -> bool {
        self.a.iter().chain(&self.b).all(|value| value.is_finite() && *value > 0.0)
    }
}

/// How to judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judge {
    /// Which way is good.
    pub better: Better,
    /// How sure the interval is; default 0.95.
    pub level: f64,
    /// A change this small does not matter, 0.01 = 1 %; default 0.
    pub margin: f64,
    /// Draws of the bootstrap; default 4000.
    pub draws: usize,
    /// The same seed gives the same interval.
    pub seed: u64,
}

impl Judge {
    /// With the defaults.
    #[must_use]
    pub fn new(better: Better) -> Self {
        Self { better, level: 0.95, margin: 0.0, draws: 4000, seed: 1 }
    }
}

/// What is said in the end.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// B is better; the whole interval says so.
    Better,
    /// B is worse; the whole interval says so.
    Worse,
    /// Neither: if there is a difference, it is no larger than this.
    NoDifference {
        /// 0.02 = 2 %.
        within: f64,
    },
}

/// B against A.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Comparison {
    /// How many pairs stand behind it.
    pub pairs: usize,
    /// The median of A's turns.
    pub a: f64,
    /// The median of B's turns.
    pub b: f64,
    /// B over A less one: 0.05 = B is 5 % more.
    pub change: f64,
    /// The lower end of the interval of `change`.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How sure the interval is.
    pub level: f64,
    /// The change that so many pairs with this noise find nine times in ten.
    pub detectable: f64,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Why there is no verdict.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// Too few or too many pairs.
    #[error("{0} pairs: a verdict needs {MIN_PAIRS} to {MAX_PAIRS}; set --pairs")]
    Pairs(usize),
    /// A turn without a measured value.
    #[error(
        "pair {0} has a turn without a value above 0: it measured nothing; make the turns longer with --turn"
    )]
    Value(usize),
}

/// Judges the pairs.
///
/// # Errors
/// When there are too few or too many pairs, or a value is not above 0.
pub fn compare(pairs: &[Pair], judge: &Judge) -> Result<Comparison, Unfit> {
    if !(MIN_PAIRS..=MAX_PAIRS).contains(&pairs.len()) {
        return Err(Unfit::Pairs(pairs.len()));
    }
    if let Some(bad) = pairs.iter().position(|pair| !pair.is_sound()) {
        return Err(Unfit::Value(bad + 1));
    }
    let blocks = Blocks::of(pairs);
    let (low, high) = blocks.interval(judge);
    let side = |pick: fn(&Pair) -> [f64; 2]| median(&pairs.iter().flat_map(pick).collect::<Vec<f64>>());
    let (change, low, high) = (blocks.mean().exp_m1(), low.exp_m1(), high.exp_m1());
    Ok(Comparison {
        pairs: pairs.len(),
        a: side(|pair| pair.a),
        b: side(|pair| pair.b),
        change,
        low,
        high,
        level: judge.level,
        detectable: blocks.detectable(judge.level),
        verdict: verdict(low, high, judge),
    })
}

fn verdict(low: f64, high: f64, judge: &Judge) -> Verdict {
    let (up, down) = match judge.better {
        Better::Lower => (Verdict::Worse, Verdict::Better),
        Better::Higher => (Verdict::Better, Verdict::Worse),
    };
    if low > judge.margin {
        up
    } else if high < -judge.margin {
        down
    } else {
        Verdict::NoDifference { within: low.abs().max(high.abs()) }
    }
}

/// The differences of all blocks, by which side came first: a trend moves the two kinds apart and not their mean.
struct Blocks {
    kinds: [Vec<f64>; 2],
}

impl Blocks {
    fn of(pairs: &[Pair]) -> Self {
        let mut kinds = [Vec::new(), Vec::new()];
        for (n, pair) in pairs.iter().enumerate() {
            // A pair has one block of each kind, and every other pair begins with the other one.
            for (slot, kind) in [(0, n % 2), (1, 1 - n % 2)] {
                kinds[kind].push(pair.difference(slot));
            }
        }
        Self { kinds }
    }

    fn mean(&self) -> f64 {
        f64::midpoint(mean(&self.kinds[0]), mean(&self.kinds[1]))
    }

    /// The interval of the mean: the wider of two, one drawn by neighbours and one by whole pairs.
    fn interval(&self, judge: &Judge) -> (f64, f64) {
        let mut random = Random::new(judge.seed);
        let tail = self.widened_tail(judge.level);
        let ends = [false, true].map(|whole| {
            let draws = 0..judge.draws.max(200);
            let mut means: Vec<f64> = draws.map(|_| self.draw(whole, &mut random)).collect();
            means.sort_by(f64::total_cmp);
            (of_sorted(&means, tail), of_sorted(&means, 1.0 - tail))
        });
        (ends[0].0.min(ends[1].0), ends[0].1.max(ends[1].1))
    }

    /// The mean of blocks drawn with replacement: either kind for itself, or both blocks of a pair together.
    fn draw(&self, whole: bool, random: &mut Random) -> f64 {
        let [first, second] = &self.kinds;
        let mut sum = 0.0;
        for _ in first {
            let n = random.below(first.len());
            sum += first[n] + second[if whole { n } else { random.below(second.len()) }];
        }
        sum / (2 * first.len()) as f64
    }

    /// The share to cut off each end: a normal tail as far out as Student's t, and as much further as the bootstrap's own
    /// spread is too small.
    fn widened_tail(&self, level: f64) -> f64 {
        let count = self.kinds[0].len() as f64;
        let reach = self.reach(level) * (count / (count - 1.0)).sqrt();
        student::normal(-reach)
    }

    /// How many standard errors the interval reaches out: each kind of block has spent one degree of freedom on its mean.
    fn reach(&self, level: f64) -> f64 {
        let freedom = self.kinds.iter().map(|kind| kind.len() - 1).sum::<usize>();
        student::quantile(f64::midpoint(1.0, level), freedom as f64)
    }

    /// What would be found nine times in ten: the interval's half width and 1.28 standard errors on top.
    fn detectable(&self, level: f64) -> f64 {
        let variance = self.kinds.iter().map(|kind| deviation(kind).powi(2) / kind.len() as f64).sum::<f64>();
        ((self.reach(level) + 1.2816) * variance.sqrt() / 2.0).exp_m1()
    }
}
