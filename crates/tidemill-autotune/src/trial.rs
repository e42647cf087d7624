//! One trial: pairs of the old and the new value, the evidence they give, and when to stop.

use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::decision::{Outcome, Turn};
use crate::evidence::{Effect, Evidence, Verdict};
use crate::held::Watch;
use crate::knob::TrialBy;
use crate::objective::Objective;
use crate::random::Random;
use crate::split::{Side, Split};

/// Pairs without enough readings after which a trial gives up.
const MAX_VOID: u32 = 10;

/// A trial that runs.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) id: u64,
    pub(crate) rule: String,
    pub(crate) objective: Objective,
    pub(crate) turns: Vec<Turn>,
    pub(crate) by: TrialBy,
    pub(crate) began: Duration,
    pub(crate) watches: Vec<Watch>,
    evidence: Evidence,
    shape: Shape,
    salt: u64,
    /// A coin's: in a switchback the new value comes first, in a split the groups are exchanged.
    coin: bool,
    /// Steps done in this pair.
    step: u32,
    new: Sum,
    old: Sum,
    void: u32,
}

/// What is to be tried, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) id: u64,
    pub(crate) rule: String,
    pub(crate) objective: Objective,
    pub(crate) turns: Vec<Turn>,
    pub(crate) by: TrialBy,
    /// A change is felt for a while.
    pub(crate) felt: bool,
    /// Over how many readings the objective remembers.
    pub(crate) memory: f64,
    pub(crate) watches: Vec<Watch>,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    block: u32,
    washout: u32,
    share: f64,
    max_pairs: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    sum: f64,
    count: u32,
}

/// What the owner of a trial has to do after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// Nothing.
    Stay,
    /// Set the values of a switchback: the new ones or the old ones.
    Switch { new: bool },
    /// Assign the keys of a split anew.
    Assign(Split),
    /// It is over.
    End(Outcome, &'static str),
}

/// How a trial stands, for whoever looks on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialView {
    /// Counts up.
    pub id: u64,
    /// The rule that began it.
    pub rule: String,
    /// What better means.
    pub objective: Objective,
    /// What is tried.
    pub turns: Vec<Turn>,
    /// How.
    pub by: TrialBy,
    /// When it began.
    pub began: Duration,
    /// What has been seen.
    pub effect: Effect,
    /// Pairs after which it ends without a verdict.
    pub max_pairs: u32,
}

impl Trial {
    pub(crate) fn new(plan: Plan, now: Duration, config: &Config, random: &mut Random) -> Self {
        let Plan { id, rule, objective, turns, by, felt, memory, watches } = plan;
        // A block outlives what the objective remembers; a dear change is felt for longer.
        let washout = config.washout_steps * if felt { 2 } else { 1 };
        let longer = if by == TrialBy::Switchback { (3.0 * memory).ceil() as u32 } else { 0 };
        let block = config.block_steps.max(longer).min(config.max_block_steps).max(washout + 1);
        let shape = Shape { block, washout, share: config.split_share, max_pairs: config.max_pairs };
        Self {
            id,
            rule,
            watches,
            objective,
            turns,
            by,
            began: now,
            evidence: Evidence::new(config.alpha),
            shape,
            salt: random.bits(),
            coin: random.coin(),
            step: 0,
            new: Sum::default(),
            old: Sum::default(),
            void: 0,
        }
    }

    /// What has to be set before the first step.
    pub(crate) fn begin(&self) -> Next {
        match self.by {
            TrialBy::Split => Next::Assign(self.split()),
            _ => Next::Switch { new: self.coin },
        }
    }

    /// Takes a reading of one side of a split.
    pub(crate) fn observe(&mut self, side: Side, value: f64) {
        if self.by == TrialBy::Split && value.is_finite() && self.step >= self.shape.washout {
            match side {
                Side::New => self.new.add(value),
                Side::Old => self.old.add(value),
                Side::Rest => {}
            }
        }
    }

    /// One step, with the objective's reading when there is a fresh one.
    pub(crate) fn step(&mut self, reading: Option<f64>, random: &mut Random) -> Next {
        let block = self.shape.block;
        if self.by != TrialBy::Split && self.step % block >= self.shape.washout {
            let side = if self.is_new() { &mut self.new } else { &mut self.old };
            reading.into_iter().for_each(|value| side.add(value));
        }
        self.step += 1;
        let pair = if self.by == TrialBy::Split { block } else { 2 * block };
        if self.step < pair {
            let turns_over = self.by != TrialBy::Split && self.step == block;
            return if turns_over { Next::Switch { new: self.is_new() } } else { Next::Stay };
        }
        self.close_pair();
        if let Some(end) = self.end() {
            return end;
        }
        let before = (self.is_new_at_the_end(), self.coin);
        self.coin = random.coin();
        self.step = 0;
        match self.by {
            TrialBy::Split if self.coin == before.1 => Next::Stay,
            TrialBy::Split => Next::Assign(self.split()),
            _ if self.coin == before.0 => Next::Stay,
            _ => Next::Switch { new: self.coin },
        }
    }

    fn is_new(&self) -> bool {
        self.coin == (self.step < self.shape.block)
    }

    fn is_new_at_the_end(&self) -> bool {
        !self.coin
    }

    fn split(&self) -> Split {
        Split { salt: self.salt, share: self.shape.share, swapped: self.coin }
    }

    fn close_pair(&mut self) {
        // Half of the readings a switchback's block can have, any reading of a split's.
        let least =
            if self.by == TrialBy::Split { 1 } else { (self.shape.block - self.shape.washout).div_ceil(2) };
        match (self.old.mean(least), self.new.mean(least)) {
            (Some(old), Some(new)) => self.evidence.add(self.objective.gain(old, new)),
            _ => self.void += 1,
        }
        (self.new, self.old) = (Sum::default(), Sum::default());
    }

    fn end(&self) -> Option<Next> {
        match self.evidence.verdict() {
            Some(Verdict::Better) => Some(Next::End(Outcome::Kept, "the new value is better")),
            Some(Verdict::Worse) => Some(Next::End(Outcome::Undone, "the new value is worse")),
            None if self.evidence.pairs() >= self.shape.max_pairs as usize => {
                Some(Next::End(Outcome::Inconclusive, "too little difference within the bound"))
            }
            None if self.void >= MAX_VOID => {
                Some(Next::End(Outcome::Inconclusive, "too few readings of the objective"))
            }
            None => None,
        }
    }

    pub(crate) fn effect(&self) -> Effect {
        self.evidence.effect()
    }

    pub(crate) fn view(&self) -> TrialView {
        TrialView {
            id: self.id,
            rule: self.rule.clone(),
            objective: self.objective.clone(),
            turns: self.turns.clone(),
            by: self.by,
            began: self.began,
            effect: self.effect(),
            max_pairs: self.shape.max_pairs,
        }
    }
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn mean(self, least: u32) -> Option<f64> {
        (self.count >= least.max(1)).then(|| self.sum / f64::from(self.count))
    }
}
