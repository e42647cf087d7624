//! The pure core: takes readings and the time, returns what to set, and remembers why.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::config::Config;
use crate::controller::Control;
use crate::decision::{Decision, Outcome, Record, Turn};
use crate::emergency::Emergency;
use crate::error::Error;
use crate::held::Held;
use crate::knob::Knob;
use crate::random::Random;
use crate::rule::Rule;
use crate::signal::Signals;
use crate::split::{Side, Split};
use crate::stats::Stats;
use crate::trial::{Trial, TrialView};

mod build;
mod steps;
mod turn;

pub use build::Builder;

/// What the owner of the tuner has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Set a knob for everyone.
    Set {
        /// The knob.
        knob: String,
        /// Its value.
        value: f64,
    },
    /// Set a knob for some: [`Split::side`] says for whom.
    Split {
        /// The knob.
        knob: String,
        /// For the rest and the old side.
        old: f64,
        /// For the new side.
        new: f64,
        /// Who is on which side.
        split: Split,
    },
    /// Run an action by name.
    Run(String),
}

/// A knob and what it is set to.
#[derive(Debug)]
struct Set {
    knob: Knob,
    value: f64,
    control: Option<Box<dyn Control>>,
}

#[derive(Debug)]
struct Watched {
    rule: Rule,
    streak: u32,
    barred_until: Option<Duration>,
}

/// Rules, trials and controllers over knobs, without a clock, a thread or the program itself.
///
/// Call [`step`](Self::step) once an interval, do what it returns, and store [`take_records`](Self::take_records).
#[derive(Debug)]
pub struct Tuner {
    config: Config,
    signals: Signals,
    knobs: BTreeMap<String, Set>,
    /// The actions there are; none: any.
    able: Option<BTreeSet<String>>,
    rules: Vec<Watched>,
    trials: Vec<Trial>,
    held: Vec<Held>,
    emergency: Emergency,
    /// When trials began and what each may cost, of the last day.
    spent: VecDeque<(Duration, f64)>,
    records: VecDeque<Record>,
    seq: u64,
    trial_seq: u64,
    random: Random,
    actions: Vec<Action>,
    stats: Stats,
}

impl Tuner {
    /// Starts one.
    #[must_use]
    pub fn builder(config: Config) -> Builder {
        Builder { config, knobs: Vec::new(), able: None }
    }

    /// Takes a reading of a signal.
    pub fn read(&mut self, now: Duration, signal: &str, value: f64) {
        self.signals.push(signal, now, value);
    }

    /// Takes a reading of one side of the split that tries `knob`; without such a trial it counts for nothing.
    pub fn observe(&mut self, knob: &str, side: Side, value: f64) {
        for trial in &mut self.trials {
            if trial.turns.iter().any(|turn| turn.knob == knob) {
                trial.observe(side, value);
            }
        }
    }

    /// One interval: looks at every guard, trial, controller and rule, and returns what to set, in order.
    pub fn step(&mut self, now: Duration) -> Vec<Action> {
        self.stats.steps += 1;
        if self.config.enabled {
            self.guard(now);
            self.mood(now);
            self.advance_trials(now);
            self.restore_what_is_over(now);
            self.run_controllers(now);
            self.apply_rules(now);
        }
        self.stats.dropped_readings = self.signals.dropped();
        std::mem::take(&mut self.actions)
    }

    /// Whether [`set`](Self::set) would set it. For whoever must first ask somebody else, who may refuse.
    ///
    /// # Errors
    /// As `set`.
    pub fn check(&self, knob: &str, value: f64) -> Result<(), Error> {
        self.settable(knob, value).map(drop)
    }

    fn settable(&self, knob: &str, value: f64) -> Result<&Set, Error> {
        let names: Vec<&str> = self.knobs.keys().map(String::as_str).collect();
        let Some(set) = self.knobs.get(knob) else { return Err(Error::unknown("knob", knob, &names)) };
        if let Some(trial) = self.trial_of(knob) {
            return Err(Error::busy(knob, format!("trial {} of {}", trial.id, trial.rule)));
        }
        if self.emergency.is_on() {
            return Err(Error::busy(knob, "an emergency"));
        }
        if !value.is_finite() || set.knob.clamp(value) != value {
            let Knob { low, high, step, .. } = &set.knob;
            let steps = if *step > 0.0 { format!(" in steps of {step}") } else { String::new() };
            return Err(Error::config(
                format!("knob {knob:?}"),
                format!("{value} is not within {low} to {high}{steps}"),
            ));
        }
        Ok(set)
    }

    /// Sets a knob by hand.
    ///
    /// # Errors
    /// `Unknown`; `Config` when out of bounds; `Busy` while it is tried or an emergency holds it.
    pub fn set(&mut self, now: Duration, knob: &str, value: f64) -> Result<Vec<Action>, Error> {
        let set = self.settable(knob, value)?;
        let turn = Turn { knob: knob.to_owned(), from: set.value, to: value };
        // What a rule would take back later is the person's now.
        self.held.iter_mut().for_each(|held| held.forget(knob));
        self.turn(std::slice::from_ref(&turn));
        self.record(
            now,
            Decision::Changed { by: "a person".to_owned(), turns: vec![turn], evidence: String::new() },
        );
        Ok(std::mem::take(&mut self.actions))
    }

    /// Ends a trial; the old value is back.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn abort(&mut self, now: Duration, trial: u64) -> Result<Vec<Action>, Error> {
        let Some(at) = self.trials.iter().position(|one| one.id == trial) else {
            return Err(Error::unknown("trial", &trial.to_string(), &[]));
        };
        self.end_trial(now, at, Outcome::Aborted, "a person ended it".to_owned());
        Ok(std::mem::take(&mut self.actions))
    }

    /// Switches all decisions on or off; off, trials end and what stands stays.
    pub fn enable(&mut self, now: Duration, enabled: bool) -> Vec<Action> {
        self.config.enabled = enabled;
        if !enabled {
            self.abort_trials(now, "tuning was switched off");
        }
        std::mem::take(&mut self.actions)
    }

    /// Takes back what an earlier run decided: values, cooldowns, and how far the numbers had counted. What was under trial
    /// when it ended is back at its old value. A change that began from another value than the knob has now is left out: the
    /// configuration was changed meanwhile.
    pub fn restore<'a>(
        &mut self,
        now: Duration,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Vec<Action> {
        let mut open: Vec<(u64, Vec<Turn>, String)> = Vec::new();
        for record in records {
            self.seq = self.seq.max(record.seq);
            let (fired, turns): (Option<&str>, &[Turn]) = match &record.decision {
                Decision::Changed { by, turns, .. } => (Some(by), turns),
                Decision::Undone { rule, turns, .. } | Decision::Restored { rule, turns, .. } => {
                    (Some(rule), turns)
                }
                Decision::TrialBegan { trial, rule, turns, .. } => {
                    self.trial_seq = self.trial_seq.max(*trial);
                    open.push((*trial, turns.clone(), rule.clone()));
                    self.spent.push_back((record.at, self.config.alpha));
                    (Some(rule), &[])
                }
                Decision::TrialEnded { trial, rule, outcome, turns, .. } => {
                    open.retain(|(id, ..)| id != trial);
                    (Some(rule), if *outcome == Outcome::Kept { turns } else { &[] })
                }
                Decision::Ran { by, .. } => (Some(by), &[]),
                _ => (None, &[]),
            };
            for turn in turns {
                // Where the configuration begins with another value than then, the configuration counts.
                if let Some(set) = self.knobs.get_mut(&turn.knob).filter(|set| is_same(set.value, turn.from))
                {
                    set.value = set.knob.clamp(turn.to);
                }
            }
            if let Some(watched) =
                fired.and_then(|name| self.rules.iter_mut().find(|watched| watched.rule.name == name))
            {
                watched.barred_until = Some(record.at + watched.rule.cooldown);
            }
        }
        for (trial, turns, rule) in open {
            let effect = crate::Evidence::new(self.config.alpha).effect();
            let why = "the program was restarted".to_owned();
            self.record(
                now,
                Decision::TrialEnded { trial, rule, outcome: Outcome::Aborted, turns, effect, why },
            );
        }
        let all = self.knobs.iter().map(|(knob, set)| Action::Set { knob: knob.clone(), value: set.value });
        all.collect()
    }

    /// The decisions not yet taken, oldest first; whoever stores them takes them.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.records.drain(..).collect()
    }

    /// Each knob and what it is set to. During a switchback: the value of the block.
    pub fn knobs(&self) -> impl Iterator<Item = (&Knob, f64)> {
        self.knobs.values().map(|set| (&set.knob, set.value))
    }

    /// The value of one knob.
    #[must_use]
    pub fn value(&self, knob: &str) -> Option<f64> {
        self.knobs.get(knob).map(|set| set.value)
    }

    /// The trials that run.
    #[must_use]
    pub fn trials(&self) -> Vec<TrialView> {
        self.trials.iter().map(Trial::view).collect()
    }

    /// The signals seen.
    #[must_use]
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// The rules that count, the highest priority first.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|watched| &watched.rule)
    }

    /// Whether an emergency is on.
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        self.emergency.is_on()
    }

    /// What has been done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.trials_running = self.trials.len() as u64;
        stats.changes_held = self.held.len() as u64;
        stats
    }
}

/// Equal but for what a text of decimals loses.
fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
}
