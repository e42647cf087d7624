//! Whether B is better or worse than A, from turns that stood side by side.
//!
//! A machine drifts: two runs in a row differ though nothing changed. So A and B take turns in the order A B B A
//! ([`order`]), and one such pair yields one difference, `mean(ln b) − mean(ln a)`, in which a level and a linear trend
//! cancel. The interval comes from a block bootstrap: the pair is the block and is drawn as a whole, so that what
//! its turns share stays together. Its percentiles are widened to Student's t (Hesterberg 2015, section 5.4), because
//! ten blocks look more alike than they are. ADR 0028 has the figures.

mod order;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use order::{Side, Turn, order};

use crate::statistics::random::Random;
use crate::statistics::sample::{mean, median, of_sorted};
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
    /// The logarithm of B over A.
    fn difference(&self) -> f64 {
        let logs = |turns: &[f64; 2]| f64::midpoint(turns[0].ln(), turns[1].ln());
        logs(&self.b) - logs(&self.a)
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
    let differences: Vec<f64> = pairs.iter().map(Pair::difference).collect();
    let (low, high) = interval(&differences, judge);
    let side = |pick: fn(&Pair) -> [f64; 2]| median(&pairs.iter().flat_map(pick).collect::<Vec<f64>>());
    let (change, low, high) = (mean(&differences).exp_m1(), low.exp_m1(), high.exp_m1());
    Ok(Comparison {
        pairs: pairs.len(),
        a: side(|pair| pair.a),
        b: side(|pair| pair.b),
        change,
        low,
        high,
        level: judge.level,
        detectable: detectable(&differences, judge.level),
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

/// The interval of the mean difference, by drawing pairs with replacement.
fn interval(differences: &[f64], judge: &Judge) -> (f64, f64) {
    let count = differences.len();
    let mut random = Random::new(judge.seed);
    let draw = |random: &mut Random| {
        (0..count).map(|_| differences[random.below(count)]).sum::<f64>() / count as f64
    };
    let mut means: Vec<f64> = (0..judge.draws.max(200)).map(|_| draw(&mut random)).collect();
    means.sort_by(f64::total_cmp);
    let tail = widened_tail(count, judge.level);
    (of_sorted(&means, tail), of_sorted(&means, 1.0 - tail))
}

/// The share to cut off each end: a normal tail as far out as Student's t with n − 2 degrees of freedom, one spent on the
/// mean and one on the order of the turns, and as much further as the bootstrap's own spread is too small.
fn widened_tail(count: usize, level: f64) -> f64 {
    let freedom = (count - 2) as f64;
    let reach = student::quantile(f64::midpoint(1.0, level), freedom) * (count as f64 / freedom).sqrt();
    student::normal(-reach)
}

/// What would be found nine times in ten: the interval's half width and 1.28 standard errors on top.
fn detectable(differences: &[f64], level: f64) -> f64 {
    let count = differences.len() as f64;
    let error = crate::statistics::sample::deviation(differences) / count.sqrt();
    let freedom = count - 2.0;
    ((student::quantile(f64::midpoint(1.0, level), freedom) + 1.2816) * error).exp_m1()
}
